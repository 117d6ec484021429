"""Trains a network once and records each epoch in benchmarks/records/: `python benchmarks/record.py NAME`.

keng2017        the 2017 network, with the sampler mended
keng2017_error  the 2017 network as it was, with the error in its sampler
best            the default network, trained for as long as it pays
binarized       the default network on dynamically binarised images: each epoch draws them anew
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import keras
import numpy as np

from vae_keras import RECIPES, VAE, ConvVAE, binarize, load_mnist, make_optimizer
from vae_keras._files import atomic_path
from vae_keras.networks import NETWORKS

RECORDS = Path(__file__).with_name("records")
PACKAGES = ("tensorflow", "keras", "numpy", "torch")


RECIPE_OF = {
    "keng2017": "keng2017",
    "keng2017_error": "keng2017",
    "best": "long",
    "binarized": "long",
}
NLL_SAMPLES = {"binarized": 5000}  # as Burda et al. take; 100 for the others


class VAE2017(ConvVAE):
    """The model of the post's own notebook, error and all: it samples with the scale exp(z_log_var), the variance."""

    def call(self, inputs, training=None):
        z_mean, z_log_var = self.encoder(inputs, training=training)
        logits = self.decoder_network(
            self.sampling((z_mean, 2.0 * z_log_var)), training=training
        )  # should be z_log_var
        reconstruction, kl = self.variational_loss((inputs, logits, z_mean, z_log_var))
        return {"images": self.to_mean(logits), "reconstruction": reconstruction, "kl": kl}


class Watch(keras.callbacks.Callback):
    """Logs, after each epoch, the seconds of `fit` so far and the test -ELBO; the time spent on the latter is left out."""

    def __init__(self, x_test, after_epoch=None):
        super().__init__()
        self.x_test, self.after_epoch, self.log, self.start = (
            x_test,
            after_epoch,
            [],
            time.perf_counter(),
        )

    def on_epoch_end(self, epoch, logs=None):
        stopped = time.perf_counter()
        figures = {
            "seconds": stopped - self.start,
            **(logs or {}),
            **measure(self.model, self.x_test),
        }
        self.log.append(
            {
                "epoch": epoch + 1,
                **{name: round(float(value), 4) for name, value in figures.items()},
            }
        )
        if self.after_epoch:
            self.after_epoch(self.log)
        self.start += time.perf_counter() - stopped


def measure(vae, x_test):
    """The test -ELBO of the Q that the model samples; for the model of 2017, its reported loss and what that leaves out too."""
    if not isinstance(vae, VAE2017):
        return {"test_neg_elbo": -vae.elbo(x_test).mean()}
    _, z_log_var = outputs = vae.encoder.outputs
    doubled = keras.Model(
        vae.encoder.inputs, (outputs[0], keras.layers.Rescaling(2.0)(z_log_var))
    )  # the Q that was sampled
    log_v = vae.encoder.predict(x_test, verbose=0)[1].astype("float64")
    return {
        "test_loss_reported": vae.evaluate(x_test, batch_size=200, verbose=0, return_dict=True)[
            "loss"
        ],
        "test_missing": 0.5 * np.sum(np.exp(2 * log_v) - np.exp(log_v) - log_v, axis=1).mean(),
        "test_neg_elbo": -VAE(doubled, vae.decoder_network).elbo(x_test).mean(),
    }


def build(
    recipe,
    num_images,
    seed=0,
    epochs=None,
    batch_size=None,
    dtype=None,
    model=ConvVAE,
    **compile_options,
):
    """Build and compile the network of a recipe; `epochs` and `batch_size` can replace the recipe's own."""
    keras.utils.set_random_seed(seed)
    vae = model(network=recipe if recipe in NETWORKS else "default", dtype=dtype)
    epochs, batch_size = epochs or RECIPES[recipe].epochs, batch_size or RECIPES[recipe].batch_size
    vae.compile(make_optimizer(recipe, num_images, epochs, batch_size), **compile_options)
    return vae


def train(vae, x_train, x_test, epochs, batch_size, after_epoch=None, verbose=0):
    """Train a compiled VAE; return one entry an epoch: seconds since the call of `fit`, losses, test -ELBO.

    `x_train` is an array, or a function that makes the array of an epoch.
    """
    watch = Watch(x_test, after_epoch)
    watch.start = time.perf_counter()
    options = {"batch_size": batch_size, "callbacks": [watch], "verbose": verbose}
    if callable(x_train):
        for epoch in range(epochs):
            vae.fit(x_train(epoch), initial_epoch=epoch, epochs=epoch + 1, **options)
    else:
        vae.fit(x_train, epochs=epochs, **options)
    return watch.log


def prepare(name, num_images=None, epochs=None):
    """Build what a record trains: the compiled VAE, the training images and the test images."""
    (x_train, _), (x_test, _) = load_mnist()
    x_train, x_test = x_train[:num_images], x_test[:num_images]
    vae = build(
        RECIPE_OF[name],
        len(x_train),
        epochs=epochs,
        model=VAE2017 if name == "keng2017_error" else ConvVAE,
    )
    if name == "binarized":
        grey = x_train
        return vae, lambda epoch: binarize(grey, seed=1 + epoch), binarize(x_test, seed=0)
    return vae, x_train, x_test


def seconds_per_epoch(vae, x_train, batch_size):
    """Seconds that one more epoch takes a VAE whose step has been traced."""
    start = time.perf_counter()
    vae.fit(x_train, batch_size=batch_size, verbose=0)
    return time.perf_counter() - start


def machine():
    """What this runs on: a dict of strings."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        cpu = next(
            line.split(":")[1].strip()
            for line in cpuinfo.splitlines()
            if line.startswith("model name")
        )
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, StopIteration, KeyError):  # not Linux
        cpu, system = platform.processor(), platform.platform(terse=True)
    versions = {package: _version(package) for package in PACKAGES}
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "os": system,
        "python": platform.python_version(),
        **versions,
        "date": _today(),
    }


def read_record(name):
    """A finished record as a dict; an empty one if it is not there or was cut short."""
    path = RECORDS / f"{name}.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return record if "test_neg_elbo" in record else {}


def make_record(name, sizes):
    """Train by the recipe of that record, and write the record after each epoch; only a finished one holds `test_neg_elbo`."""
    start, recipe = time.perf_counter(), RECIPE_OF[name]
    epochs, batch_size = sizes.epochs or RECIPES[recipe].epochs, RECIPES[recipe].batch_size
    vae, x_train, x_test = prepare(name, sizes.images, epochs)
    record = {
        **{
            "command": f"python benchmarks/record.py {' '.join(sys.argv[1:])}",
            "commit": _commit(),
            **machine(),
        },
        **{
            "recipe": recipe,
            "epochs": epochs,
            "batch_size": batch_size,
            "parameters": vae.count_params(),
            "log": [],
        },
        "seconds_are": "since the call of fit, tracing included, evaluations left out",
    }

    def write(log):
        record["log"] = log
        with atomic_path(sizes.output / f"{name}.json") as partial:
            partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    log = train(vae, x_train, x_test, epochs, batch_size, write, verbose=2)
    if name != "keng2017_error":  # whose Q is not the one that its encoder was trained for
        record["nll"] = negative_log_likelihood(vae, x_test[:1000], NLL_SAMPLES.get(name, 100))
    record["minutes"] = round((time.perf_counter() - start) / 60, 2)
    record["test_neg_elbo"] = log[-1]["test_neg_elbo"]
    write(log)


def negative_log_likelihood(vae, x, num_samples):
    """-log P(X) by importance sampling: its mean over the images, in nats, and the standard error of that."""
    nats = -vae.log_likelihood(x, num_samples=num_samples, verbose=2)
    error = nats.std(ddof=1) / np.sqrt(len(x))
    return {
        "images": len(x),
        "num_samples": num_samples,
        "mean": round(nats.mean(), 4),
        "standard_error": round(error, 4),
    }


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _today():
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def _commit():
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    return subprocess.run(
        command, cwd=RECORDS.parent, capture_output=True, text=True, check=True
    ).stdout.strip()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "name", choices=tuple(RECIPE_OF), help="what to train; it is told apart above"
    )
    parser.add_argument("--epochs", type=int, help="default: what the recipe says")
    parser.add_argument(
        "--images", type=int, help="train and test on the first images alone, to try it out"
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=RECORDS,
        help="folder of the record (default: benchmarks/records)",
    )
    options = parser.parse_args()
    make_record(options.name, options)


if __name__ == "__main__":
    main()
