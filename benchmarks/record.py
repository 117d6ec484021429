"""Trains a network once and records each epoch in benchmarks/records/: `python benchmarks/record.py keng2017 | best`."""

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

from vae_keras import RECIPES, ConvVAE, load_mnist, make_optimizer
from vae_keras.files import atomic_path
from vae_keras.networks import NETWORKS

RECORDS = Path(__file__).with_name("records")
PACKAGES = ("tensorflow", "keras", "numpy", "torch")


class Watch(keras.callbacks.Callback):
    """Logs, after each epoch, the seconds of `fit` so far and the test -ELBO; the time spent on the latter is left out."""

    def __init__(self, x_test, after_epoch=None):
        super().__init__()
        self.x_test, self.after_epoch, self.log, self.start = x_test, after_epoch, [], time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        stopped = time.perf_counter()
        test_neg_elbo = -self.model.elbo(self.x_test).mean()
        figures = {"seconds": stopped - self.start, **(logs or {}), "test_neg_elbo": test_neg_elbo}
        self.log.append({"epoch": epoch + 1, **{name: round(float(value), 4) for name, value in figures.items()}})
        if self.after_epoch:
            self.after_epoch(self.log)
        self.start += time.perf_counter() - stopped


def build(recipe, num_images, seed=0, epochs=None, batch_size=None, dtype=None, **compile_options):
    """Build and compile the network of a recipe; `epochs` and `batch_size` can replace the recipe's own."""
    keras.utils.set_random_seed(seed)
    vae = ConvVAE(network=recipe if recipe in NETWORKS else "default", dtype=dtype)
    epochs, batch_size = epochs or RECIPES[recipe].epochs, batch_size or RECIPES[recipe].batch_size
    vae.compile(make_optimizer(recipe, num_images, epochs, batch_size), **compile_options)
    return vae


def train(vae, x_train, x_test, epochs, batch_size, after_epoch=None, verbose=0):
    """Train a compiled VAE; return one entry an epoch: seconds since the call of `fit`, losses, test -ELBO."""
    watch = Watch(x_test, after_epoch)
    watch.start = time.perf_counter()
    vae.fit(x_train, epochs=epochs, batch_size=batch_size, callbacks=[watch], verbose=verbose)
    return watch.log


def seconds_per_epoch(vae, x_train, batch_size):
    """Seconds that one more epoch takes a VAE whose step has been traced."""
    start = time.perf_counter()
    vae.fit(x_train, batch_size=batch_size, verbose=0)
    return time.perf_counter() - start


def machine():
    """What this runs on: a dict of strings."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        cpu = next(line.split(":")[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name"))
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, StopIteration, KeyError):  # not Linux
        cpu, system = platform.processor(), platform.platform(terse=True)
    versions = {package: _version(package) for package in PACKAGES}
    return {"cpu": cpu, "cores": os.cpu_count(), "os": system, "python": platform.python_version(), **versions, "date": _today()}


def read_record(name):
    """A finished record as a dict; an empty one if it is not there or was cut short."""
    path = RECORDS / f"{name}.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return record if "test_neg_elbo" in record else {}


def make_record(name, sizes):
    """Train by the recipe of that record, and write the record after each epoch; only a finished one holds `test_neg_elbo`."""
    (x_train, _), (x_test, _) = load_mnist()
    x_train, x_test = x_train[: sizes.images], x_test[: sizes.images]
    recipe = {"best": "long"}.get(name, name)
    epochs, batch_size = sizes.epochs or RECIPES[recipe].epochs, RECIPES[recipe].batch_size
    vae = build(recipe, len(x_train), epochs=epochs)
    record = {
        **{"command": f"python benchmarks/record.py {' '.join(sys.argv[1:])}", "commit": _commit(), **machine()},
        **{"recipe": recipe, "epochs": epochs, "batch_size": batch_size, "parameters": vae.count_params(), "log": []},
        "seconds_are": "since the call of fit, tracing included, evaluations left out",
    }

    def write(log):
        record["log"] = log
        with atomic_path(sizes.output / f"{name}.json") as partial:
            partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    log = train(vae, x_train, x_test, epochs, batch_size, write, verbose=2)
    nll = -vae.log_likelihood(x_test[:1000], num_samples=100).mean()
    record["nll_1000_images_100_samples"] = round(float(nll), 4)
    record["test_neg_elbo"] = log[-1]["test_neg_elbo"]
    write(log)


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _today():
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def _commit():
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    return subprocess.run(command, cwd=RECORDS.parent, capture_output=True, text=True, check=True).stdout.strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=("keng2017", "best"), help="best: the recipe for the lowest -ELBO")
    parser.add_argument("--epochs", type=int, help="default: what the recipe says")
    parser.add_argument("--images", type=int, help="train and test on the first images alone, to try it out")
    parser.add_argument("--output", type=Path, default=RECORDS, help="folder of the record (default: benchmarks/records)")
    options = parser.parse_args()
    make_record(options.name, options)


if __name__ == "__main__":
    main()
