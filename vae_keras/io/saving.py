"""Saved models: loaded with care, and with the record of a training run beside the weights."""

import json
import math
import re
import zipfile
from pathlib import Path

import h5py
import keras

from vae_keras._files import atomic_path, check_archive
from vae_keras.model import VAE
from vae_keras.networks import innermost

PARTS = {"config.json", "metadata.json", "model.weights.h5"}  # Keras would unpack others to disk
RECORD = "run.json"
# sizes that Keras's layers take; each is the length of an axis of one of their weights
SIZES = {"units", "filters", "kernel_size", "input_dim", "output_dim", "key_dim"}


def load_vae(path) -> VAE:
    """Load a saved VAE in Keras's safe mode: no code from the file is run, nothing is unpickled.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, declares networks larger than its weights, holds no VAE,
            or needs a class that is not registered; the message names it.

    >>> ConvVAE(latent_dim=2, image_shape=(8, 8, 1)).save("vae.keras")
    >>> load_vae("vae.keras").latent_dim
    2
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no model file {path}.")
    try:
        _check_parts(path)
        _check_sizes(path)
        model = keras.saving.load_model(path, safe_mode=True)
    except Exception as error:  # Keras raises whatever its readers of zip, JSON and HDF5 do
        raise ValueError(_why_not_loaded(path, error)) from error
    if not isinstance(model, VAE):
        raise ValueError(f"{path} holds a {type(model).__name__}; wanted a VAE.")
    return model


def save_with_record(vae: VAE, path, record: dict):
    """Save a model, and beside it in its archive the record of the run that trains it."""
    with atomic_path(path) as partial:
        keras.Model.save(vae, partial)  # not the VAE's own, which would take a path beside this one
        with zipfile.ZipFile(partial, "a") as archive:
            archive.writestr(RECORD, json.dumps(record, indent=1))


def read_record(path) -> dict | None:
    """Read the record of a saved model's run. `None` if there is none."""
    with zipfile.ZipFile(path) as archive:
        if RECORD in archive.namelist():
            record = json.loads(archive.read(RECORD))
        else:  # older files hold it here
            compiled = json.loads(archive.read("config.json")).get("compile_config") or {}
            record = compiled.get("run")
    return record if isinstance(record, dict) else None


def _check_parts(path):
    parts = check_archive(path)
    if {*parts} - {RECORD} != PARTS or len({*parts}) < len(parts):
        raise ValueError(f"its parts are {sorted(parts)}; wanted {sorted(PARTS)}")


def _check_sizes(path):
    """Refuse layers wider than every axis of the file's arrays, and arrays that it does not hold.

    They would take memory before anything is read. What layers make of each other's sizes is not
    bounded.
    """
    lengths = {0}

    def measure(name, item):
        if isinstance(item, h5py.Dataset):
            if item.id.get_storage_size() < item.nbytes:
                raise ValueError(f"its array {name} of shape {item.shape} is not whole")
            lengths.update(item.shape)

    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        with archive.open("model.weights.h5") as file, h5py.File(file) as weights:
            weights.visititems(measure)
    declared = max(_declared_sizes(config), default=0)
    if declared > max(lengths):
        has = f"the longest axis of its weights has {max(lengths)}"
        raise ValueError(f"its networks need an axis of {declared}, and {has}")


def _declared_sizes(node):
    """Yield the sizes that Keras's layers, and a ConvVAE, declare in a config."""
    if isinstance(node, list):
        for item in node:
            yield from _declared_sizes(item)
    if not isinstance(node, dict):
        return
    config = node.get("config")
    if node.get("registered_name") == "vae_keras>ConvVAE":
        shape = config["image_shape"]
        default = config["network"] == "default"
        # the other networks have dense layers wider than an image has rows times columns
        widest = innermost(shape, config.get("depth", 2)) if default else shape[:2]
        yield from (math.prod(widest), shape[-1], config["latent_dim"])
    elif str(node.get("module")).startswith("keras") and isinstance(config, dict):
        sizes = [config[name] for name in SIZES & config.keys()]
        yield from (size for size in keras.tree.flatten(sizes) if isinstance(size, int))
    for item in node.values():
        yield from _declared_sizes(item)


def _why_not_loaded(path, error):
    missing = re.search(r"Could not locate (?:class|function) '(\w+)'", str(error))
    if missing:
        how = "import the module that registers it (keras.saving.register_keras_serializable)"
        return f"{path} needs {missing[1]}, which is not registered: {how} before loading."
    reason = str(error).rpartition("Exception encountered: ")[2]  # without the config before it
    return f"{path} is no saved VAE, or is damaged: {reason}"
