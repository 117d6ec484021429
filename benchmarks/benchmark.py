"""Measures each target side by side with what it is compared to: `make benchmark`.

It writes RESULTS.md and a picture.
"""

import argparse
import functools
import hashlib
import importlib.util
import math
import statistics
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from measuring import (
    fit_task,
    images,
    interleave,
    multiply_adds,
    peak_memory,
    progress,
    ratio,
    run_python,
)
from record import build, read_record, seconds_per_epoch, train
from results import Row, curve, curve_2017, picture, table, write_results
from step_profile import profile_fit

from vae_keras import RECIPES, VAE, load_mnist
from vae_keras.data import MNIST_PATH
from vae_keras.model import CHUNK

EPOCHS_2017 = RECIPES["keng2017"].epochs
BATCH_2017 = RECIPES["keng2017"].batch_size
BATCH_DEFAULT = RECIPES["default"].batch_size
NATS_2017 = 99.8  # test -ELBO of the 2017 network after its 20 epochs, if no run is recorded
MATRIX = 2048  # rows and columns
MATRIX_PRODUCTS = 5  # in a round


class Sizes(NamedTuple):
    """How much is measured: what the targets speak of, or, with `--quick`, as little as runs."""

    train_images: int = 60000
    test_images: int = 10000
    epochs: int | None = None  # None: what the recipe says
    keras_io_epochs: int = 6
    seeds: int = 3
    rounds: int = 5
    steps: int = 15  # of the 2017 network, in batches of 200
    draws: int = 1000  # of z an image, for log P(X)
    imports: int = 5


QUICK = Sizes(
    train_images=2000,
    test_images=200,
    epochs=1,
    keras_io_epochs=1,
    seeds=2,
    rounds=2,
    steps=2,
    draws=100,
    imports=2,
)


# Targets 1 to 3: training


class Runs(NamedTuple):
    """What was trained for targets 1 to 3 and for the picture."""

    seconds_2017: list  # of an epoch of the 2017 network, before the other runs and after them
    nats_2017: list  # its test -ELBO after each of the two
    fast: list  # a log for each seed
    default: list  # a log
    keras_io: list  # a log

    def seconds_of_all_2017(self):
        """Seconds that the 20 epochs of the 2017 network take."""
        return EPOCHS_2017 * statistics.mean(self.seconds_2017)


@functools.cache
def training_runs(sizes):
    """Train what targets 1 to 3 and the picture need."""
    x_train, x_test = images(sizes)
    old = build("keng2017", len(x_train))
    old.fit(x_train[:BATCH_2017], batch_size=BATCH_2017, verbose=0)  # traces the step
    runs = Runs([], [], [], [], [])

    def run_epoch_2017():
        progress("the 2017 network, one epoch")
        runs.seconds_2017.append(seconds_per_epoch(old, x_train, BATCH_2017))
        runs.nats_2017.append(-old.elbo(x_test).mean())

    run_epoch_2017()
    for seed in range(sizes.seeds):
        runs.fast.append(run_recipe("fast", seed, sizes))
    runs.default.extend(run_recipe("default", 0, sizes))
    run_epoch_2017()
    progress("the network of keras.io's example, made to 64 latents")
    keras.utils.set_random_seed(0)
    epochs = sizes.keras_io_epochs
    runs.keras_io.extend(train(keras_io_network(), x_train, x_test, epochs, batch_size=128))
    return runs


def run_recipe(name, seed, sizes):
    """Train the default network by a recipe from a seed; return the log."""
    progress(f"the default network by the recipe {name!r}, seed {seed}")
    x_train, x_test = images(sizes)
    epochs = sizes.epochs or RECIPES[name].epochs
    vae = build(name, len(x_train), seed, epochs)
    return train(vae, x_train, x_test, epochs, RECIPES[name].batch_size)


def keras_io_network(latent_dim=64):
    """The network of the VAE example on keras.io, with more latents than its 2."""
    relu = {"activation": "relu"}
    halve_or_double = {"strides": 2, "padding": "same", "activation": "relu"}
    x = keras.Input((28, 28, 1))
    h = layers.Conv2D(32, 3, **halve_or_double)(x)
    h = layers.Conv2D(64, 3, **halve_or_double)(h)
    h = layers.Dense(16, **relu)(layers.Flatten()(h))
    encoder = keras.Model(x, (layers.Dense(latent_dim)(h), layers.Dense(latent_dim)(h)))
    z = keras.Input((latent_dim,))
    h = layers.Dense(7 * 7 * 64, **relu)(z)
    h = layers.Reshape((7, 7, 64))(h)
    h = layers.Conv2DTranspose(64, 3, **halve_or_double)(h)
    h = layers.Conv2DTranspose(32, 3, **halve_or_double)(h)
    decoder = keras.Model(z, layers.Conv2DTranspose(1, 3, padding="same")(h))
    vae = VAE(encoder, decoder)
    vae.compile("adam")
    return vae


def target_nats():
    """The test -ELBO of the 2017 network after its 20 epochs."""
    return read_record("keng2017").get("test_neg_elbo", NATS_2017)


def first_to_reach(log, nats):
    """Seconds of `fit` at the first end of an epoch whose test -ELBO is at most `nats`.

    They are infinite if there is none.
    """
    seconds = (entry["seconds"] for entry in log if entry["test_neg_elbo"] <= nats)
    return next(seconds, math.inf)


def fast_recipe(sizes):
    """Time to the quality that the 2017 network has after 20 epochs."""
    runs = training_runs(sizes)
    nats = target_nats()
    seconds = statistics.median(first_to_reach(log, nats) for log in runs.fast)
    share = seconds / runs.seconds_of_all_2017()
    target = (
        f"Recipe `fast`: time to the 2017 network's test -ELBO after {EPOCHS_2017} epochs, "
        f"{nats:.2f}"
    )
    measured = f"{seconds:.1f} s, median of {len(runs.fast)} seeds"
    shown = f"1/{1 / share:.1f}"
    if seconds == math.inf:
        measured = "not reached"
        shown = ""
    row = Row(target, measured, shown, "at most 1/50", share <= 1 / 50)
    return [row], [_note_on_fast(runs)]


def _note_on_fast(runs):
    last_entries = [log[-1] for log in runs.fast]
    last = ", ".join(f"{e['test_neg_elbo']:.2f} in {e['seconds']:.1f} s" for e in last_entries)
    return (
        f"Recipe `fast`, all of its epochs: -ELBO {last} (one figure a seed). The clock runs from "
        "the call of `fit`, tracing included, evaluations left out. "
        f"{EPOCHS_2017} epochs of the 2017 network: {runs.seconds_of_all_2017():.0f} s, "
        "extrapolated from one epoch before these runs and one after them, tracing left out."
    )


def default_recipe(sizes):
    """What the recipe of `make figures` reaches, and when."""
    runs = training_runs(sizes)
    nats = runs.default[-1]["test_neg_elbo"]
    seconds = runs.default[-1]["seconds"]
    share = seconds / runs.seconds_of_all_2017()
    target = (
        "Recipe `default`, that of `make figures`: test -ELBO, and its time against those "
        f"{EPOCHS_2017} epochs"
    )
    measured = f"{nats:.2f} nats in {seconds:.1f} s"
    met = nats <= 95.0 and share <= 1 / 15
    return [Row(target, measured, f"1/{1 / share:.1f}", "at most 95.0 nats, 1/15", met)], []


def long_recipe(sizes):
    """The recorded run that was given the time of the 2017 network's 20 epochs."""
    best = read_record("best")
    target = "Recipe `long`, about that time once: test -ELBO of a recorded run"
    wanted = "below 92 would be remarkable"
    if not best:
        missing = "not recorded: `python benchmarks/record.py best`"
        return [Row(target, missing, "", wanted, None)], []
    runs = training_runs(sizes)
    nats = best["test_neg_elbo"]
    # from epochs measured in this run, since a record may come from a busier or another machine
    seconds = best["epochs"] * runs.default[-1]["seconds"] / len(runs.default)
    share = seconds / runs.seconds_of_all_2017()
    row = Row(target, f"{nats:.2f} nats in {seconds:.0f} s", f"{share:.2f}", wanted, nats < 92)
    return [row], [_note_on_long(best)]


def _note_on_long(best):
    nll = best["nll"]
    return (
        f"Recorded run by recipe `{best['recipe']}`: {best['epochs']} epochs, "
        f"{best['parameters']:,} parameters, test -ELBO {best['test_neg_elbo']:.2f}, "
        f"importance-sampled -log P(X) {nll['mean']:.2f} (first {nll['images']} test images, "
        f"{nll['num_samples']} samples each), commit {best['commit']}, {best['date']}, "
        f"`{best['command']}`. Its seconds in the table are its number of epochs times what an "
        "epoch of recipe `default` took in this run."
    )


# Target 4: the 2017 network against PyTorch and the roofline


def step_2017(sizes):
    """A step of the 2017 network in Keras, in PyTorch, and a large matrix product."""
    progress("the 2017 network against PyTorch and a matrix product")
    x = images(sizes)[0][: sizes.steps * BATCH_2017]
    vae = build("keng2017", len(x))
    tasks = {
        "keras": fit_task(vae, x, BATCH_2017),
        "matrix product": _matrix_task(),
        **_torch_tasks(x),
    }
    seconds = interleave(sizes.rounds, tasks)
    flop = 2 * 3 * multiply_adds(vae) * len(x)
    return [_against_torch(seconds)], [_roofline(seconds, flop)]


def _matrix_task():
    matrices = tf.random.normal((2, MATRIX, MATRIX))

    def task():
        for _ in range(MATRIX_PRODUCTS):
            tf.linalg.matmul(*matrices)

    task()
    return task


def _torch_tasks(x):
    """Tasks that train the twin in PyTorch, each run once; none if PyTorch is not installed."""
    if not importlib.util.find_spec("torch"):
        return {}
    from torch_keng2017 import Twin

    twins = {"torch": Twin(), "torch, channels last": Twin(channels_last=True)}
    tasks = {}
    for name, twin in twins.items():
        tasks[name] = functools.partial(twin.train_epoch, x, BATCH_2017)
        tasks[name]()
    return tasks


def _against_torch(seconds):
    target = (
        "The 2017 network in Keras: steps a second against PyTorch eager, float32, batch "
        f"{BATCH_2017}"
    )
    wanted = "at least 1.7"
    if "torch" not in seconds:
        return Row(target, "install torch: `pip install torch==2.13.0`", "", wanted, None)
    faster = ratio(seconds, "torch", "keras")
    other = ratio(seconds, "torch, channels last", "keras")
    measured = f"{other:.2f} if PyTorch keeps channels last"
    return Row(target, measured, f"{faster:.2f}", wanted, faster >= 1.7)


def _roofline(seconds, flop):
    flop_matrix = MATRIX_PRODUCTS * 2 * MATRIX**3
    share = flop / flop_matrix * ratio(seconds, "matrix product", "keras")
    gigaflops = flop / statistics.median(seconds["keras"]) / 1e9
    return (
        f"The 2017 network trains at {gigaflops:.0f} GFLOP/s, {share:.0%} of what a "
        f"{MATRIX} x {MATRIX} float32 matrix product reaches in the same rounds "
        "(multiplications and additions of convolutions and dense layers; backwards counts twice)."
    )


# Targets 5 and 6: using a model


def sampling(sizes):
    """A grid of 100 digits in one batch, against one image a call."""
    progress("100 digits in one batch, and one by one")
    vae = build("default", sizes.train_images)
    z = np.random.default_rng(0).standard_normal((100, vae.latent_dim), dtype="float32")

    def decode_one_by_one():
        for i in range(len(z)):
            vae.decoder.predict(z[i : i + 1], verbose=0)

    vae.sample(len(z))
    vae.decoder.predict(z[:1], verbose=0)
    tasks = {"batch": lambda: vae.sample(len(z)), "one by one": decode_one_by_one}
    faster = ratio(interleave(sizes.rounds, tasks), "one by one", "batch")
    target = (
        "`sample(100)` in one batch against 100 calls of `decoder.predict` with one image: speed"
    )
    measured = f"median of {sizes.rounds} pairs"
    return [Row(target, measured, f"{faster:.0f}", "at least 40", faster >= 40)], []


def likelihood(sizes):
    """The importance-sampled likelihood: its time, its memory, and how both grow."""
    vae = build("default", sizes.train_images)
    x = images(sizes)[1]
    vae.log_likelihood(x[:10], num_samples=sizes.draws)
    rows = [
        _likelihood_time(vae, x[:1000], sizes),
        _likelihood_memory(sizes),
        _likelihood_by_images(vae, x, sizes),
        _likelihood_by_samples(vae, x[:20], sizes),
    ]
    return rows, []


def _likelihood_time(vae, x, sizes):
    progress(f"log_likelihood of {len(x)} images, {sizes.draws} samples, against the decoder")
    parts = np.array_split(x, sizes.rounds)
    chunks = len(parts[0]) * sizes.draws // CHUNK
    as_many = [len(part) * sizes.draws == chunks * CHUNK for part in parts]
    assert all(as_many), "the two sides must decode as many latents"
    z = np.random.default_rng(0).standard_normal((CHUNK, vae.latent_dim), dtype="float32")

    def decode():
        for _ in range(chunks):
            vae.decoder_network.predict_on_batch(z)

    decode()
    left = iter(parts)
    tasks = {
        "log_likelihood": lambda: vae.log_likelihood(next(left), num_samples=sizes.draws),
        "decoder": decode,
    }
    slower = ratio(interleave(sizes.rounds, tasks), "log_likelihood", "decoder")
    what = f"`log_likelihood` of {len(x)} images, {sizes.draws} samples"
    target = f"{what}: time against the bare decoder on as many latents"
    measured = f"in {sizes.rounds} interleaved parts"
    return Row(target, measured, f"{slower:.2f}", "at most 1.3", slower <= 1.3)


def _likelihood_memory(sizes):
    few = sizes.draws // 10
    many = 2 * sizes.draws
    progress(f"memory of log_likelihood with {few} and {many} samples")
    code = """
from vae_keras import ConvVAE, load_mnist
(_, _), (x, _) = load_mnist()
ConvVAE().log_likelihood(x[:20], num_samples={})
"""
    with_few = peak_memory(code.format(few))
    with_many = peak_memory(code.format(many))
    growth = with_many / with_few
    target = f"Its peak memory with {many} samples against {few}"
    measured = f"{with_many:.0f} MiB, {with_few:.0f} MiB"
    return Row(target, measured, f"{growth:.2f}", "1 (at most 1.05)", growth <= 1.05)


def _likelihood_by_images(vae, x, sizes):
    tasks = {}
    for n in (len(x) // 40, len(x) // 20, len(x) // 10, len(x) // 5):
        tasks[n] = functools.partial(vae.log_likelihood, x[:n], num_samples=sizes.draws // 10)
    return _growth("images", tasks)


def _likelihood_by_samples(vae, x, sizes):
    tasks = {}
    for n in (sizes.draws, 2 * sizes.draws, 4 * sizes.draws, 8 * sizes.draws):
        tasks[n] = functools.partial(vae.log_likelihood, x, num_samples=n)
    return _growth("samples", tasks)


def _growth(what, tasks):
    """How the time of tasks grows with the numbers that they are named by."""
    progress(f"how the time of log_likelihood grows with the number of {what}")
    seconds = interleave(3, tasks)
    medians = {n: statistics.median(of_n) for n, of_n in seconds.items()}
    slope, _ = np.polyfit(np.log(list(medians)), np.log(list(medians.values())), 1)
    first = next(iter(medians.values()))
    relative = ", ".join(f"{n}: {median / first:.2f}" for n, median in medians.items())
    target = f"How its time grows with the number of {what}: slope in logarithms"
    measured = f"time by {what}, relative: {relative}"
    return Row(target, measured, f"{slope:.2f}", "1 (0.9 to 1.1)", 0.9 <= slope <= 1.1)


# Target 7: imports, data, memory


def start_up(sizes):
    """The time of imports and of loading the data, and the memory of training."""
    return [_import_time(sizes), _load_time(sizes), _training_memory(sizes)], []


def _import_time(sizes):
    progress("imports")
    alone = """
import time
start = time.perf_counter()
import {}
print(time.perf_counter() - start)
"""
    both = """
import time
start = time.perf_counter()
import keras
middle = time.perf_counter()
import vae_keras
print((time.perf_counter() - start) / (middle - start))
"""
    run_python(both)  # fills the caches
    pairs = []
    inside = []
    for _ in range(sizes.imports):
        theirs = run_python(alone.format("keras"))
        pairs.append(run_python(alone.format("vae_keras")) / theirs)
        inside.append(run_python(both))
    more = statistics.median(inside)
    return _import_row(more, statistics.median(pairs), len(inside))


def _import_row(more, pairs, rounds):
    target = "`import keras, vae_keras` against `import keras`, both timed in one new process"
    measured = (
        f"median of {rounds}; `import vae_keras` alone against `import keras` alone in another "
        f"process: {pairs:.2f}"
    )
    return Row(target, measured, f"{more:.3f}", "at most 1.05", more <= 1.05)


def _load_time(sizes):
    progress("loading MNIST")
    rounds = 4 * sizes.rounds
    tasks = {"load_mnist": load_mnist, "numpy": _load_with_numpy}
    interleave(1, tasks)
    more = ratio(interleave(rounds, tasks), "load_mnist", "numpy")
    target = (
        "`load_mnist()` (float32) against `numpy.load` of the same arrays (uint8) and a SHA-256"
    )
    measured = f"median of {rounds} pairs"
    return Row(target, measured, f"{more:.2f}", "at most 1.2", more <= 1.2)


def _load_with_numpy():
    hashlib.sha256(MNIST_PATH.read_bytes()).digest()
    with np.load(MNIST_PATH) as arrays:
        return {name: arrays[name] for name in arrays.files}


def _training_memory(sizes):
    progress("memory of training")
    code = f"""
from vae_keras import ConvVAE, load_mnist, make_optimizer
x = load_mnist()[0][0][:{sizes.train_images}]
vae = ConvVAE()
vae.compile(make_optimizer("default", len(x), 1, {BATCH_DEFAULT}))
vae.fit(x, batch_size={BATCH_DEFAULT}, verbose=0)
"""
    gigabytes = peak_memory(code) / 1024
    target = "Peak memory of training: one epoch of recipe `default`, the data included"
    share = f"{gigabytes / 2:.2f}"
    return Row(target, f"{gigabytes:.2f} GiB", share, "at most 2 GiB", gigabytes <= 2)


# Measured beside: what might pay, and where the time goes


def beside(sizes):
    """Variants of the training step, and a profile of it."""
    notes = [
        _precision(sizes),
        _variants(sizes),
        _profile("default", "default", sizes),
        _profile("keng2017", "2017", sizes),
    ]
    return [], notes


def _precision(sizes):
    progress("mixed bfloat16")
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists() or "bf16" not in cpuinfo.read_text(encoding="utf-8"):
        return "Mixed bfloat16 was not measured: this processor has no instructions for it."
    default = _mixed_share("default", 2 * sizes.steps, sizes)
    old = _mixed_share("keng2017", sizes.steps, sizes)
    return (
        f"Time of a step in mixed bfloat16, relative to float32: {default:.2f} for the default "
        f"network, {old:.2f} for the 2017 network."
    )


def _mixed_share(recipe, num_steps, sizes):
    batch_size = RECIPES[recipe].batch_size
    x = images(sizes)[0][: num_steps * batch_size]
    tasks = {}
    for policy in ("float32", "mixed_bfloat16"):
        tasks[policy] = fit_task(build(recipe, len(x), dtype=policy), x, batch_size)
    return ratio(interleave(sizes.rounds, tasks), "mixed_bfloat16", "float32")


def _variants(sizes):
    progress("steps_per_execution, batch sizes, XLA")
    x = images(sizes)[0][: 40 * BATCH_DEFAULT]
    standard = f"as it is (batch {BATCH_DEFAULT})"
    variants = {standard: {}, "steps_per_execution=10": {"steps_per_execution": 10}}
    for n in (128, 256, 512):
        if n != BATCH_DEFAULT:
            variants[f"batch {n}"] = {"batch_size": n}
    variants["XLA (jit_compile=True)"] = {"jit_compile": True}
    tasks = {}
    for name, options in variants.items():
        vae = build("default", len(x), **options)
        tasks[name] = fit_task(vae, x, options.get("batch_size", BATCH_DEFAULT))
    seconds = interleave(sizes.rounds, tasks)
    others = [name for name in variants if name != standard]
    shares = ", ".join(f"{name} {ratio(seconds, name, standard):.2f}" for name in others)
    return (
        f"Time of an epoch of the default network, relative to recipe `default` {standard}: "
        f"{shares}."
    )


def _profile(recipe, network, sizes):
    progress(f"where the time of a step of the {network} network goes")
    batch_size = RECIPES[recipe].batch_size
    x = images(sizes)[0][: 2 * sizes.steps * batch_size]
    vae = build(recipe, len(x))
    vae.fit(x, batch_size=batch_size, verbose=0)
    profile = profile_fit(vae, x, batch_size)
    parts = ", ".join(f"{kind} {share:.0%}" for kind, share in profile.kinds.items())
    return (
        f"Where a step of the {network} network spends its time, by TensorFlow's profiler, as "
        f"shares of the time of all operations: {parts}. Python between two steps takes "
        f"{profile.python:.1%} of the wall time; the threads of the input pipeline, which run "
        f"beside the step, are busy for {profile.data:.1%} of it. It does "
        f"{multiply_adds(vae) / 1e6:.1f} million multiplications an image, forwards."
    )


# The command

SECTIONS = {  # by the number of their target; each returns rows of the table, and notes
    "1": fast_recipe,
    "2": default_recipe,
    "3": long_recipe,
    "4": step_2017,
    "5": sampling,
    "6": likelihood,
    "7": start_up,
    "notes": beside,
}


def draw_runs(runs):
    """Draw the test -ELBO against the seconds of `fit`, for the three networks."""
    seconds = runs.seconds_of_all_2017() / EPOCHS_2017
    curves = {
        "default network, recipe default": curve(runs.default),
        "default network, recipe fast": curve(runs.fast[0]),
        "keras.io's example, 64 latents": curve(runs.keras_io),
        "2017 network": curve_2017(runs.nats_2017, seconds),
    }
    nats = target_nats()
    return picture(curves, nats, f"2017 network after {EPOCHS_2017} epochs: {nats:.2f}")


def main():
    options = _read_options()
    sizes = QUICK if options.quick else Sizes()
    sections = [SECTIONS[options.only]] if options.only else list(SECTIONS.values())
    progress.total = len(sections)
    rows = []
    notes = []
    for section in sections:
        new_rows, new_notes = section(sizes)
        shown = [table(new_rows)] if new_rows else []
        print(*shown, *new_notes, sep="\n", flush=True)
        rows += new_rows
        notes += new_notes
        progress.done += 1
    if options.output:
        write_results(options.output, rows, notes, draw_runs(training_runs(sizes)))


def _read_options():
    parser = argparse.ArgumentParser(description=__doc__)
    only = "measure this target alone and print it"
    parser.add_argument("--only", choices=tuple(SECTIONS), help=only)
    quick = "tiny sizes, to see that everything runs"
    parser.add_argument("--quick", action="store_true", help=quick)
    output = "folder to write to (default: benchmarks/; with --only or --quick nothing is written)"
    parser.add_argument("--output", type=Path, help=output)
    options = parser.parse_args()
    if not (options.only or options.quick or options.output):
        options.output = Path(__file__).parent
    return options


if __name__ == "__main__":
    main()
