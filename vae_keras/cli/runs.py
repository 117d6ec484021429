"""A training run of the command line: begun or resumed, trained, recorded beside the model."""

import importlib.util
import time
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import keras

from vae_keras._batches import draw_seed
from vae_keras._files import check_writable
from vae_keras.cli.callbacks import SaveRun, StopAtInterrupt, StopAtNaN
from vae_keras.cli.distribute import Place, all_devices, tell_replicas_apart
from vae_keras.io.saving import load_vae, read_record
from vae_keras.io.streams import ImageFiles, errors_of_files
from vae_keras.model import VAE, ConvVAE
from vae_keras.recipes import fit_options, make_optimizer

MODEL = ("latent_dim", "likelihood", "sigma")  # what a record holds of the model's arguments


class Trained(NamedTuple):
    """A run that has ended. Of several processes, the one with `reports` writes and measures."""

    vae: VAE
    history: dict
    seconds: float
    reports: bool


def plan(x_train, seed, network="default", epochs=None, batch_size=None, **model) -> dict:
    """The record of a run that has not begun: what was asked for, and on which images."""
    # each network has a recipe of its own name
    usual = fit_options(network, len(x_train), batch_size)
    # who gives both means epochs of one pass
    steps = usual.get("steps_per_epoch") if epochs is None or batch_size is None else None
    return {
        "network": network,
        "epochs": epochs or usual["epochs"],
        "batch_size": usual["batch_size"],
        "steps an epoch": steps,
        "latent_dim": 64,
        "likelihood": "bernoulli",
        "sigma": 1.0,
        **model,
        "seed": seed,
        "training images": f"{len(x_train)} of checksum {_checksum(x_train):08x}",
    }


def _checksum(x):
    return x.checksum() if isinstance(x, ImageFiles) else zlib.crc32(x)


def train(
    x_train, x_test, path, record, resume=False, distribute=False, tensorboard=None
) -> Trained:
    """Train as the record says, and save model and record to `path` after each epoch.

    Args:
        x_train, x_test: Images to train on (an array, or `ImageFiles`), and to measure the
            validation loss on.
        path: The `.keras` file to write.
        record: What `plan` gives.
        resume: Go on from `path`, as the run that wrote it would have; a `ValueError` is raised if
            that run was another.
        distribute: Use all devices.
        tensorboard: Folder for the logs that TensorBoard shows, or `None`.
    """
    if tensorboard is not None and importlib.util.find_spec("tensorboard") is None:
        raise ValueError("--tensorboard needs TensorBoard: pip install tensorboard.")
    if Path(path).suffix != ".keras":
        raise ValueError(f"--output must end in .keras; got {path}.")
    check_writable(path)
    keras.utils.set_random_seed(record["seed"])
    with all_devices() if distribute else nullcontext(Place()) as place:
        # of several processes each must find the file, lest some resume and some start afresh
        resuming = resume and (place.processes > 1 or Path(path).exists())
        if resume and not resuming:
            print(f"There is no file {path} yet: starting afresh.")
        vae, record = _resume(path, record) if resuming else _begin(record, x_train)
        tell_replicas_apart(vae)
        start = time.perf_counter()
        history = _fit(vae, x_train, x_test, path, record, place, tensorboard)
        seconds = time.perf_counter() - start
    if distribute:
        vae = _to_one_device(vae)
    return Trained(vae, history, seconds, reports=place.process == 0)


def _begin(record, x_train):
    model = {name: record[name] for name in MODEL}
    vae = ConvVAE(network=record["network"], image_shape=x_train.shape[1:], **model)
    schedule = len(x_train), record["epochs"], record["batch_size"], record["steps an epoch"]
    vae.compile(make_optimizer(record["network"], *schedule))
    return vae, {**record, "order seed": draw_seed(), "epochs done": 0}


def _resume(path, record):
    """Load a model, if it was begun as the record says: its learning rates span that run alone."""
    vae = load_vae(path)
    stored = read_record(path)
    if stored is None or "epochs done" not in stored or vae.optimizer is None:
        raise ValueError(f"{path} holds no run of the command train to resume.")
    for name, wanted in record.items():
        if stored.get(name) != wanted:
            found = f"{path} was begun with {name} {stored.get(name)}"
            raise ValueError(f"{found}; --resume needs the same, and got {wanted}.")
    stored.setdefault("order seed", record["seed"])  # older files have none
    return vae, stored


def _fit(vae, x_train, x_test, path, record, place, tensorboard):
    batch_size = record["batch_size"]
    bar = keras.callbacks.ProgbarLogger()
    bar.async_safe = True  # as the one that Keras adds: steps do not wait for it
    # it comes first, so that an error takes a line of its own
    callbacks = [bar, StopAtNaN(path)]
    if place.process == 0:
        callbacks.append(SaveRun(path, record))
        if tensorboard is not None:
            callbacks.append(keras.callbacks.TensorBoard(tensorboard))
    with StopAtInterrupt() as stop, errors_of_files(x_train):
        history = vae.fit(
            place.batches(x_train, batch_size, record["order seed"], record.get("steps an epoch")),
            epochs=record["epochs"],
            initial_epoch=record["epochs done"],
            validation_data=place.batches(x_test, batch_size),
            callbacks=[*callbacks, stop],  # the last, so that an epoch that is done is saved
            verbose="auto" if place.process == 0 else 0,
        )
    return history.history


def _to_one_device(vae):
    single = vae.from_config(vae.get_config())
    single.set_weights(vae.get_weights())
    return single
