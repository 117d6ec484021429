"""Trains a network once and records each epoch: `python benchmarks/record.py NAME`.

`python benchmarks/record.py NAME --score` then scores the model that "binarized" keeps.

keng2017        the 2017 network, with the sampler mended
keng2017_error  the 2017 network as it was, with the error in its sampler
best            the default network, trained for as long as it pays
binarized       the default network on dynamically binarised images: each epoch draws them anew

The record is benchmarks/records/NAME.json, which names the commit that it was made on. It is made
on committed code alone; trials with changes that are not committed go to another folder, --output.
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
from threads import ONE_THREAD

from vae_keras import RECIPES, VAE, ConvVAE, binarize, load_mnist, make_optimizer
from vae_keras._files import atomic_path
from vae_keras.evaluation import standard_error
from vae_keras.networks import NETWORKS

RECORDS = Path(__file__).resolve().with_name("records")
PACKAGES = ("tensorflow", "keras", "numpy", "torch")
RECIPE_OF = {
    "keng2017": "keng2017",
    "keng2017_error": "keng2017",
    "best": "long",
    "binarized": "long",
}
FIRST_STEPS = 20  # that a record tells of, so that a test can take them again
ALIKE = {**ONE_THREAD, "TF_ENABLE_ONEDNN_OPTS": "0"}  # whose kernels depend on the processor
RECORDED = ("benchmarks/records", "docs/live/*.json", "docs/live/*.png")
KEPT = {"binarized"}  # records that keep their model, in half precision
NLL_SAMPLES = 5000  # of z for each test image, as Burda et al. take, for a model that is kept
SCORED_AT_ONCE = 250  # images after which the scores so far are written


class VAE2017(ConvVAE):
    """The model of the post's own notebook, error and all.

    It samples with the scale exp(z_log_var), which is the variance.
    """

    def call(self, inputs, training=None):
        z_mean, z_log_var = self.encoder(inputs, training=training)
        doubled = 2.0 * z_log_var  # the error: it should be z_log_var
        z = self.sampling((z_mean, doubled), training=training)
        logits = self.decoder_network(z, training=training)
        reconstruction, kl = self.variational_loss((inputs, logits, z_mean, z_log_var))
        return {"images": self.to_mean(logits), "reconstruction": reconstruction, "kl": kl}


class Steps(keras.callbacks.Callback):
    """Logs the losses of each step: those of its batch alone, before its weights change."""

    def __init__(self):
        super().__init__()
        self.log = []

    def on_train_batch_begin(self, batch, logs=None):
        self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        self.log.append({name: round(float(value), 4) for name, value in logs.items()})


class Watch(keras.callbacks.Callback):
    """Logs, after each epoch, the seconds of training so far and the test -ELBO.

    The seconds run from when the callback is made; those spent on the test images are left out.
    """

    def __init__(self, x_test, after_epoch=None):
        super().__init__()
        self.x_test = x_test
        self.after_epoch = after_epoch
        self.log = []
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        stopped = time.perf_counter()
        figures = {"seconds": stopped - self.start, **(logs or {})}
        figures.update(measure(self.model, self.x_test))
        rounded = {name: round(float(value), 4) for name, value in figures.items()}
        self.log.append({"epoch": epoch + 1, **rounded})
        if self.after_epoch:
            self.after_epoch(self.log)
        self.start += time.perf_counter() - stopped


def measure(vae, x_test):
    """The test -ELBO of the Q that the model samples.

    For the model of 2017 also the loss that it reports, and what that leaves out.
    """
    if not isinstance(vae, VAE2017):
        return {"test_neg_elbo": -vae.elbo(x_test).mean()}
    z_mean, z_log_var = vae.encoder.outputs
    doubled = keras.layers.Rescaling(2.0)(z_log_var)
    sampled = VAE(keras.Model(vae.encoder.inputs, (z_mean, doubled)), vae.decoder_network)
    reported = vae.evaluate(x_test, batch_size=200, verbose=0, return_dict=True)
    log_v = vae.encoder.predict(x_test, verbose=0)[1].astype("float64")
    missing = 0.5 * np.sum(np.exp(2 * log_v) - np.exp(log_v) - log_v, axis=1)
    return {
        "test_loss_reported": reported["loss"],
        "test_missing": missing.mean(),
        "test_neg_elbo": -sampled.elbo(x_test).mean(),
    }


def build(
    recipe,
    num_images,
    seed=0,
    epochs=None,
    batch_size=None,
    model=ConvVAE,
    compile_options=None,
    **options,
):
    """Build and compile the network of a recipe.

    Args:
        recipe: A key of `RECIPES`.
        num_images: How many images it will be trained on.
        seed: Integer that fixes the weights, the noise and the order of the images.
        epochs, batch_size: What to take instead of the recipe's own.
        model: The class to build.
        compile_options: A dict of further arguments of `compile`.
        options: Further arguments of the model.
    """
    keras.utils.set_random_seed(seed)
    vae = model(network=recipe if recipe in NETWORKS else "default", **options)
    epochs = epochs or RECIPES[recipe].epochs
    batch_size = batch_size or RECIPES[recipe].batch_size
    optimizer = make_optimizer(recipe, num_images, epochs, batch_size)
    vae.compile(optimizer, **(compile_options or {}))
    return vae


def train(vae, x_train, x_test, epochs, batch_size, after_epoch=None, verbose=0):
    """Train a compiled VAE, and measure it after each epoch.

    Args:
        vae: The model.
        x_train: An array, or a function that makes the array of an epoch.
        x_test: What to measure it on.
        epochs, batch_size, verbose: As for `fit`.
        after_epoch: A function to be called with the log after each epoch.

    Returns:
        The log, one entry an epoch: seconds since the call of `fit`, losses, test -ELBO.
    """
    watch = Watch(x_test, after_epoch)
    options = {"batch_size": batch_size, "callbacks": [watch], "verbose": verbose}
    if callable(x_train):
        for epoch in range(epochs):
            vae.fit(x_train(epoch), initial_epoch=epoch, epochs=epoch + 1, **options)
    else:
        vae.fit(x_train, epochs=epochs, **options)
    return watch.log


def first_steps(name, num_steps=FIRST_STEPS, num_images=None, epochs=None):
    """Train the first steps of a record, in a process of its own.

    They come out alike each time, whatever the number of cores and their load: TensorFlow takes
    one thread and deterministic operations, which a process cannot leave again.

    Returns:
        A list with a dict of losses for each step, in nats per image.
    """
    options = {"--first-steps": num_steps, "--images": num_images, "--epochs": epochs}
    words = [str(word) for option, value in options.items() if value for word in (option, value)]
    command = [sys.executable, __file__, name, *words]
    environment = {**os.environ, **ALIKE}
    pipe = subprocess.PIPE
    done = subprocess.run(command, env=environment, stdout=pipe, text=True, check=True)
    return json.loads(done.stdout)


def _train_first_steps(name, num_steps, num_images, epochs):
    import tensorflow as tf  # here, since the script for one GPU imports this file without it

    tf.config.experimental.enable_op_determinism()
    vae, x_train, _ = prepare(name, num_images, epochs)
    x = x_train(0) if callable(x_train) else x_train
    steps = Steps()
    options = {"steps_per_epoch": num_steps, "callbacks": [steps], "verbose": 0}
    vae.fit(x, batch_size=RECIPES[RECIPE_OF[name]].batch_size, **options)
    return steps.log


def prepare(name, num_images=None, epochs=None):
    """Build what a record trains: the compiled VAE, the training images and the test images."""
    (x_train, _), (x_test, _) = load_mnist()
    x_train = x_train[:num_images]
    x_test = x_test[:num_images]
    model = VAE2017 if name == "keng2017_error" else ConvVAE
    vae = build(RECIPE_OF[name], len(x_train), epochs=epochs, model=model)
    if name == "binarized":
        return vae, lambda epoch: binarize(x_train, seed=1 + epoch), binarize(x_test, seed=0)
    return vae, x_train, x_test


def machine():
    """What this runs on: a dict of strings and the number of cores."""
    try:
        cpuinfo = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.split(":")[1] for line in cpuinfo if line.startswith("model name")]
        cpu = names[0].strip()
        system = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, IndexError, KeyError):  # not Linux
        cpu = platform.processor()
        system = platform.platform(terse=True)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "os": system,
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "date": _today(),
    }


def read_record(name):
    """A finished record as a dict; an empty one if it is not there or was cut short."""
    path = RECORDS / f"{name}.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return record if "test_neg_elbo" in record else {}


def make_record(name, output=RECORDS, num_images=None, epochs=None):
    """Train by the recipe of a record, and write the record after each epoch.

    Only a finished one holds `test_neg_elbo`.

    Args:
        name: A key of `RECIPE_OF`.
        output: Folder to write it to.
        num_images: How many images to train and to test on, if not all.
        epochs: What to take instead of the recipe's own.
    """
    start = time.perf_counter()
    origin = origin_of(output)
    epochs = epochs or RECIPES[RECIPE_OF[name]].epochs
    vae, x_train, x_test = prepare(name, num_images, epochs)
    record = _begin(name, origin, epochs, vae)
    record["first_steps"] = first_steps(name, num_images=num_images, epochs=epochs)

    def write(log):
        record["log"] = log
        write_record(record, name, output)

    log = train(vae, x_train, x_test, epochs, record["batch_size"], write, verbose=2)
    if name in KEPT:
        keep(vae, output / f"{name}.npz")
        (output / f"{name}_nats.npz").unlink(missing_ok=True)  # of the model before
    elif name != "keng2017_error":  # whose Q is not the one that its encoder was trained for
        nats = -vae.log_likelihood(x_test[:1000], num_samples=100, verbose=2)
        record["nll"] = {"num_samples": 100, **summary(nats)}
    record["minutes"] = round((time.perf_counter() - start) / 60, 2)
    record["test_neg_elbo"] = log[-1]["test_neg_elbo"]
    write(log)


def check_committed(commit, output, kept=None):
    """End the program if it would write into a folder that is kept what is of no commit.

    That is benchmarks/records/, if no other is given.
    """
    if commit.endswith("-dirty") and output.resolve().is_relative_to(kept or RECORDS):
        changed = f"files have changed since {commit.removesuffix('-dirty')}"
        how = "commit them, or try it out with --output FOLDER"
        sys.exit(f"A record must name the commit that it was made on, and {changed}: {how}.")


def origin_of(output, kept=None):
    """What every record begins with: the command, the commit and the machine.

    Ends the program if the code is of no commit, and the folder is that of the records, or `kept`.
    """
    commit = commit_of_code()
    check_committed(commit, output, kept)
    words = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return {"command": f"python benchmarks/{words}", "commit": commit, **machine()}


def _begin(name, origin, epochs, vae):
    """What a record says before the first epoch."""
    recipe = RECIPE_OF[name]
    return {
        **origin,
        "recipe": recipe,
        "epochs": epochs,
        "batch_size": RECIPES[recipe].batch_size,
        "parameters": vae.count_params(),
        "log": [],
        "seconds_are": "since the call of fit, tracing included, evaluations left out",
    }


def keep(vae, path):
    """Write the weights of both networks in half precision, which takes half of the room."""
    weights = [*vae.encoder.get_weights(), *vae.decoder_network.get_weights()]
    halves = [array.astype("float16") for array in weights]
    if not all(np.isfinite(array).all() for array in halves):
        raise ValueError("a weight is too large for half precision.")
    with atomic_path(path) as partial:
        np.savez_compressed(partial, *halves)


def load_kept(vae, path):
    """Give a VAE the weights that `keep` wrote."""
    with np.load(path) as file:
        weights = [file[key].astype("float32") for key in file.files]
    num_encoder = len(vae.encoder.weights)
    vae.encoder.set_weights(weights[:num_encoder])
    vae.decoder_network.set_weights(weights[num_encoder:])


def score(name, output=RECORDS, num_images=None):
    """Score the kept model on the test images: -ELBO and -log P(X), image by image.

    What was scored before a stop is in NAME_nats.npz, and is not scored again. The means go into
    the record.
    """
    origin = origin_of(output)
    vae, _, x = prepare(name, num_images)
    load_kept(vae, output / f"{name}.npz")
    path = output / f"{name}_nats.npz"
    nats = {"neg_elbo": -vae.elbo(x, num_samples=10, seed=0), "nll": np.full(len(x), np.nan)}
    if path.exists():
        with np.load(path) as file:
            nats["nll"] = file["nll"]
        if len(nats["nll"]) != len(x):
            sys.exit(
                f"{path} holds scores of {len(nats['nll'])} images, not of {len(x)}: remove it."
            )
    bar = keras.utils.Progbar(len(x), unit_name="image")
    for first in range(0, len(x), SCORED_AT_ONCE):
        rows = slice(first, first + SCORED_AT_ONCE)
        if np.isnan(nats["nll"][rows]).any():
            nats["nll"][rows] = -vae.log_likelihood(x[rows], NLL_SAMPLES, seed=first)
            with atomic_path(path) as partial:
                np.savez(partial, **nats)
        bar.update(min(rows.stop, len(x)))
    record = json.loads((output / f"{name}.json").read_text(encoding="utf-8"))
    record["nll"] = {"num_samples": NLL_SAMPLES, **summary(nats["nll"])}
    record["neg_elbo"] = {"num_samples": 10, **summary(nats["neg_elbo"])}
    record["scored"] = origin
    write_record(record, name, output)


def summary(nats):
    """How many images were scored, their mean, and its standard error."""
    mean = round(float(np.mean(nats)), 4)
    error = round(standard_error(nats), 4)
    return {"images": len(nats), "mean": mean, "standard_error": error}


def write_record(record, name, output):
    """Write a record as JSON, whole or not at all."""
    with atomic_path(output / f"{name}.json") as partial:
        partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def record_runs(record, runs, name, output):
    """Train one run after the other, and write the record after each.

    Args:
        record: The dict to which "runs" and "minutes" are added.
        runs: An iterable that makes each run, a dict, when it is asked for it.
        name, output: As for `write_record`.
    """
    start = time.perf_counter()
    record["runs"] = []
    for run in runs:
        record["runs"].append(run)
        record["minutes"] = round((time.perf_counter() - start) / 60, 1)
        print(run, flush=True)
        write_record(record, name, output)


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _today():
    return datetime.datetime.now(datetime.UTC).date().isoformat()


def commit_of_code():
    """The commit that is checked out, with "-dirty" if a file that git knows was changed since.

    What is recorded does not count: several records can be made one after the other.
    """
    commit = _git("describe", "--always", "--abbrev=12", "--exclude=*")
    others = [f":(top,exclude){place}" for place in RECORDED]
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", *others)
    return f"{commit}-dirty" if changes else commit


def _git(*arguments):
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=RECORDS.parent, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def parse_trial(parser, *prints_only):
    """Add --images and --output to a parser, and parse.

    Args:
        parser: An `ArgumentParser`.
        prints_only: Options of the parser with which it writes nothing.
    """
    images = "train and test on the first images alone, to try it out with --output"
    parser.add_argument("--images", type=int, help=images)
    folder = "folder of the record (default: benchmarks/records)"
    parser.add_argument("--output", type=Path, default=RECORDS, help=folder)
    options = parser.parse_args()
    if getattr(options, "quick", False) and not options.images:
        parser.error("--quick makes a trial, and no record: say how many --images.")
    writes = not any(getattr(options, name[2:].replace("-", "_")) for name in prints_only)
    if options.images and writes and options.output.resolve().is_relative_to(RECORDS):
        parser.error("--images makes a trial, and no record: name its folder with --output FOLDER.")
    return options


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=tuple(RECIPE_OF), help="what to train; told apart above")
    parser.add_argument("--epochs", type=int, help="default: what the recipe says")
    steps = "print the losses of the first N steps alone"
    parser.add_argument("--first-steps", type=int, metavar="N", help=steps)
    scored = "score the model that the record keeps, on all test images (takes an hour)"
    parser.add_argument("--score", action="store_true", help=scored)
    options = parse_trial(parser, "--first-steps")
    if options.first_steps:
        sizes = options.first_steps, options.images, options.epochs
        print(json.dumps(_train_first_steps(options.name, *sizes)))
    elif options.score:
        if options.name not in KEPT:
            parser.error(f"--score takes {', '.join(KEPT)}, which keeps its model.")
        score(options.name, options.output, options.images)
    else:
        make_record(options.name, options.output, options.images, options.epochs)


if __name__ == "__main__":
    main()
