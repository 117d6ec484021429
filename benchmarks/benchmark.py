"""Measures each target side by side with what it is compared to; writes RESULTS.md and a picture. Run it by `make benchmark`."""

import argparse
import functools
import hashlib
import importlib.util
import itertools
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from matplotlib.figure import Figure
from record import build, machine, read_record, seconds_per_epoch, train
from step_profile import profile_fit

from vae_keras import RECIPES, VAE, load_mnist
from vae_keras.data import MNIST_PATH
from vae_keras._files import atomic_path
from vae_keras.model import CHUNK

HERE = Path(__file__).parent
EPOCHS_2017 = RECIPES["keng2017"].epochs
TARGET_NATS = (
    99.8  # test -ELBO of the 2017 network after its 20 epochs, where no recorded run says it better
)
MATRIX = 2048


class Sizes(NamedTuple):
    """How much is measured: what the targets speak of, or, with `--quick`, enough to see that everything runs."""

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
    2000, 200, epochs=1, keras_io_epochs=1, seeds=2, rounds=2, steps=2, draws=100, imports=2
)


class Row(NamedTuple):
    """A line of the table of results; `met` is `None` where nothing could be measured."""

    target: str
    measured: str
    ratio: str
    wanted: str
    met: bool | None


class Progress:
    """A bar on stderr: how many sections are done, the time so far, and what is being measured."""

    def __init__(self, total):
        self.total, self.done, self.start, self.load = (
            total,
            0,
            time.perf_counter(),
            os.getloadavg()[0],
        )

    def __call__(self, text):
        bar = "=" * self.done + "." * (self.total - self.done)
        minutes, seconds = divmod(int(time.perf_counter() - self.start), 60)
        print(f"[{bar}] {minutes:2d}:{seconds:02d} {text}", file=sys.stderr, flush=True)


progress = Progress(0)


# What all sections share


def interleave(rounds, tasks):
    """Run tasks in turn, round after round, so that all see the same machine; return the seconds of each: lists by name."""
    seconds = {name: [] for name in tasks}
    for _, (name, task) in itertools.product(range(rounds), tasks.items()):
        start = time.perf_counter()
        task()
        seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(seconds, name, other):
    """The median over the rounds of the time of one task divided by that of another in the same round."""
    return statistics.median(a / b for a, b in zip(seconds[name], seconds[other], strict=True))


def fit_task(vae, x, batch_size):
    """A task that trains for one epoch, its step already traced."""
    vae.fit(x, batch_size=batch_size, verbose=0)
    return lambda: vae.fit(x, batch_size=batch_size, verbose=0)


def images(sizes):
    """The training and the test images, as many of each as are wanted."""
    (x_train, _), (x_test, _) = load_mnist()
    return x_train[: sizes.train_images], x_test[: sizes.test_images]


def run_python(code):
    """Run code in a process of its own; return the number that it prints last."""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=HERE.parent, capture_output=True, text=True
    )
    if result.returncode:
        raise RuntimeError(
            f"A measuring process ended with code {result.returncode}:\n{result.stderr}"
        )
    return float(result.stdout.split()[-1])


def peak_memory(code):
    """Peak memory in MiB of a process that runs `code`, its imports included."""
    # Linux hands the ru_maxrss of a large parent down to its children; VmHWM is the process's own
    report = """
import pathlib, re, resource, sys
status = pathlib.Path("/proc/self/status")
own = re.search(r"VmHWM:\\s+(\\d+)", status.read_text()) if status.exists() else None
rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
print((int(own[1]) if own else rss) / 1024)
"""
    return run_python(code + report)


def multiply_adds(vae):
    """Multiplications of the convolutions and dense layers for one image, forwards, padding counted."""
    total = 0
    for layer in vae.encoder.layers + vae.decoder_network.layers:
        if isinstance(layer, layers.Conv2DTranspose):  # the kernel meets each pixel of the input
            total += math.prod(layer.kernel.shape) * math.prod(layer.input.shape[1:3])
        elif isinstance(layer, layers.Conv2D):
            total += math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
        elif isinstance(layer, layers.Dense):
            total += math.prod(layer.kernel.shape)
    return total


# Targets 1 to 3: training


def target_nats():
    return read_record("keng2017").get("test_neg_elbo", TARGET_NATS)


def keras_io_network(latent_dim=64):
    """The network of the VAE example on keras.io, with more latents than its 2."""
    relu, same = {"activation": "relu"}, {"strides": 2, "padding": "same", "activation": "relu"}
    x = keras.Input((28, 28, 1))
    h = layers.Conv2D(64, 3, **same)(layers.Conv2D(32, 3, **same)(x))
    h = layers.Dense(16, **relu)(layers.Flatten()(h))
    encoder = keras.Model(x, (layers.Dense(latent_dim)(h), layers.Dense(latent_dim)(h)))
    z = keras.Input((latent_dim,))
    h = layers.Reshape((7, 7, 64))(layers.Dense(7 * 7 * 64, **relu)(z))
    h = layers.Conv2DTranspose(32, 3, **same)(layers.Conv2DTranspose(64, 3, **same)(h))
    vae = VAE(encoder, keras.Model(z, layers.Conv2DTranspose(1, 3, padding="same")(h)))
    vae.compile("adam")
    return vae


@functools.cache
def training_runs(sizes):
    """Train everything that targets 1 to 3 and the picture need: a dict from a name to a log, or to logs by seed."""
    x_train, x_test = images(sizes)
    old = build("keng2017", len(x_train))
    batch_2017 = RECIPES["keng2017"].batch_size
    old.fit(x_train[:batch_2017], batch_size=batch_2017, verbose=0)  # traces the step

    def epoch_2017():
        progress("the 2017 network, one epoch")
        return seconds_per_epoch(old, x_train, batch_2017), -old.elbo(x_test).mean()

    epochs_2017 = [epoch_2017()]
    fast = [run_recipe("fast", seed, sizes) for seed in range(sizes.seeds)]
    default = run_recipe("default", 0, sizes)
    epochs_2017.append(epoch_2017())
    progress("the network of keras.io's example, made to 64 latents")
    keras.utils.set_random_seed(0)
    keras_io = train(keras_io_network(), x_train, x_test, sizes.keras_io_epochs, batch_size=128)
    return {"keng2017": epochs_2017, "fast": fast, "default": default, "keras.io": keras_io}


def run_recipe(name, seed, sizes):
    """Train the default network by a recipe from a seed; return the log."""
    progress(f"the default network by the recipe {name!r}, seed {seed}")
    x_train, x_test = images(sizes)
    epochs = sizes.epochs or RECIPES[name].epochs
    return train(
        build(name, len(x_train), seed, epochs), x_train, x_test, epochs, RECIPES[name].batch_size
    )


def seconds_2017(runs):
    """Seconds that the 20 epochs of the 2017 network take, from one epoch before the other runs and one after."""
    return EPOCHS_2017 * statistics.mean(seconds for seconds, _ in runs["keng2017"])


def first_to_reach(log, nats):
    """Seconds of `fit` at the first end of an epoch whose test -ELBO is at most `nats`; infinite if there is none."""
    return next((entry["seconds"] for entry in log if entry["test_neg_elbo"] <= nats), math.inf)


def section_1(sizes):
    """Time to the quality that the 2017 network has after 20 epochs."""
    runs, nats = training_runs(sizes), target_nats()
    seconds = statistics.median(first_to_reach(log, nats) for log in runs["fast"])
    share = seconds / seconds_2017(runs)
    measured = (
        f"{seconds:.1f} s, median of {len(runs['fast'])} seeds"
        if seconds < math.inf
        else "not reached"
    )
    target = f"Recipe `fast`: time to the 2017 network's test -ELBO after {EPOCHS_2017} epochs, {nats:.2f}"
    last = ", ".join(
        f"{log[-1]['test_neg_elbo']:.2f} in {log[-1]['seconds']:.1f} s" for log in runs["fast"]
    )
    notes = [
        f"Recipe `fast`, all of its epochs: -ELBO {last} (one figure a seed). The clock runs from the call of `fit`, tracing "
        f"included, evaluations left out. {EPOCHS_2017} epochs of the 2017 network: {seconds_2017(runs):.0f} s, extrapolated from "
        "one epoch before these runs and one after them, tracing left out."
    ]
    return [
        Row(
            target,
            measured,
            f"1/{1 / share:.1f}" if share < math.inf else "",
            "at most 1/50",
            share <= 1 / 50,
        )
    ], notes


def section_2(sizes):
    """What the recipe of `make figures` reaches, and when."""
    runs = training_runs(sizes)
    nats, seconds = (runs["default"][-1][name] for name in ("test_neg_elbo", "seconds"))
    share = seconds / seconds_2017(runs)
    target = (
        "Recipe `default`, that of `make figures`: test -ELBO, and its time against those 20 epochs"
    )
    measured = f"{nats:.2f} nats in {seconds:.1f} s"
    return [
        Row(
            target,
            measured,
            f"1/{1 / share:.1f}",
            "at most 95.0 nats, 1/15",
            nats <= 95.0 and share <= 1 / 15,
        )
    ], []


def section_3(sizes):
    """The recorded run that was given the time of the 2017 network's 20 epochs."""
    best, runs = read_record("best"), training_runs(sizes)
    target = "Recipe `long`, about that time once: test -ELBO of a recorded run"
    wanted = "below 92 would be remarkable"
    if not best:
        return [
            Row(target, "not recorded: `python benchmarks/record.py best`", "", wanted, None)
        ], []
    nats, default = best["test_neg_elbo"], runs["default"]
    # from epochs measured in this run, since a record may come from a busier or another machine
    seconds = best["epochs"] * default[-1]["seconds"] / len(default)
    note = (
        f"Recorded run by recipe `{best['recipe']}`: {best['epochs']} epochs, {best['parameters']:,} parameters, "
        f"test -ELBO {nats:.2f}, importance-sampled -log P(X) {best['nll']['mean']:.2f} "
        f"(first 1000 test images, 100 samples each), commit {best['commit']}, {best['date']}, `{best['command']}`. Its seconds in "
        "the table are its number of epochs times what an epoch of recipe `default` took in this run."
    )
    share = f"{seconds / seconds_2017(runs):.2f}"
    return [Row(target, f"{nats:.2f} nats in {seconds:.0f} s", share, wanted, nats < 92)], [note]


# Target 4: the 2017 network against PyTorch and the roofline


def section_4(sizes):
    """A step of the 2017 network in Keras, in PyTorch, and a large matrix product."""
    progress("the 2017 network against PyTorch and a matrix product")
    batch_size = RECIPES["keng2017"].batch_size
    x = images(sizes)[0][: sizes.steps * batch_size]
    vae = build("keng2017", len(x))
    matrices = tf.random.normal((2, MATRIX, MATRIX))
    tasks = {
        "keras": fit_task(vae, x, batch_size),
        "matrix product": lambda: [tf.linalg.matmul(*matrices) for _ in range(5)],
    }
    tasks["matrix product"]()
    if importlib.util.find_spec("torch"):
        from torch_keng2017 import Twin

        twins = {"torch": Twin(), "torch, channels last": Twin(channels_last=True)}
        tasks |= {
            name: functools.partial(twin.train_epoch, x, batch_size) for name, twin in twins.items()
        }
        tasks["torch"]()
        tasks["torch, channels last"]()
    seconds = interleave(sizes.rounds, tasks)
    return [_against_torch(seconds)], _roofline(
        seconds, 2 * 3 * multiply_adds(vae) * len(x), 5 * 2 * MATRIX**3
    )


def _against_torch(seconds):
    target, wanted = (
        "The 2017 network in Keras: steps a second against PyTorch eager, float32, batch 200",
        "at least 1.7",
    )
    if "torch" not in seconds:
        return Row(target, "install torch: `pip install torch==2.13.0`", "", wanted, None)
    faster = ratio(seconds, "torch", "keras")
    other = ratio(seconds, "torch, channels last", "keras")
    return Row(
        target,
        f"{other:.2f} if PyTorch keeps channels last",
        f"{faster:.2f}",
        wanted,
        faster >= 1.7,
    )


def _roofline(seconds, flop, flop_matrix):
    share = flop / flop_matrix * ratio(seconds, "matrix product", "keras")
    gigaflops = flop / statistics.median(seconds["keras"]) / 1e9
    return [
        f"The 2017 network trains at {gigaflops:.0f} GFLOP/s, {share:.0%} of what a {MATRIX} x {MATRIX} float32 matrix product "
        "reaches in the same rounds (multiplications and additions of convolutions and dense layers; backwards counts twice)."
    ]


# Targets 5 and 6: using a model


def section_5(sizes):
    """A grid of 100 digits in one batch, against one image a call."""
    progress("100 digits in one batch, and one by one")
    vae = build("default", sizes.train_images)
    z = np.random.default_rng(0).standard_normal((100, vae.latent_dim), dtype="float32")
    tasks = {
        "batch": lambda: vae.sample(100),
        "one by one": lambda: [vae.decoder.predict(z[i : i + 1], verbose=0) for i in range(len(z))],
    }
    vae.sample(100)
    vae.decoder.predict(z[:1], verbose=0)
    faster = ratio(interleave(sizes.rounds, tasks), "one by one", "batch")
    target = (
        "`sample(100)` in one batch against 100 calls of `decoder.predict` with one image: speed"
    )
    return [
        Row(target, f"median of {sizes.rounds} pairs", f"{faster:.0f}", "at least 40", faster >= 40)
    ], []


def section_6(sizes):
    """The importance-sampled likelihood: its time against the bare decoder, its memory, and how both grow."""
    vae = build("default", sizes.train_images)
    x = images(sizes)[1]
    vae.log_likelihood(x[:10], num_samples=sizes.draws)
    return [
        _likelihood_time(vae, x, sizes),
        _likelihood_memory(sizes),
        *_likelihood_slopes(vae, x, sizes),
    ], []


def _likelihood_time(vae, x, sizes):
    parts = np.array_split(x[:1000], sizes.rounds)
    progress(
        f"log_likelihood of {sum(map(len, parts))} images with {sizes.draws} samples, against the bare decoder"
    )
    z = np.random.default_rng(0).standard_normal((CHUNK, vae.latent_dim), dtype="float32")
    num_chunks = max(map(len, parts)) * sizes.draws // CHUNK
    assert all(len(part) * sizes.draws == num_chunks * CHUNK for part in parts), (
        "the two sides must decode as many latents"
    )
    remaining = iter(parts)
    tasks = {
        "log_likelihood": lambda: vae.log_likelihood(next(remaining), num_samples=sizes.draws),
        "decoder": lambda: [vae.decoder.predict_on_batch(z) for _ in range(num_chunks)] and None,
    }
    vae.decoder.predict_on_batch(z)
    slower = ratio(interleave(sizes.rounds, tasks), "log_likelihood", "decoder")
    images_samples = f"{min(len(x), 1000)} images, {sizes.draws} samples"
    target = (
        f"`log_likelihood` of {images_samples}: time against the bare decoder on as many latents"
    )
    return Row(
        target,
        f"in {sizes.rounds} interleaved parts",
        f"{slower:.2f}",
        "at most 1.3",
        slower <= 1.3,
    )


def _likelihood_memory(sizes):
    few, many = sizes.draws // 10, 2 * sizes.draws
    progress(f"memory of log_likelihood with {few} and {many} samples")
    code = "from vae_keras import ConvVAE, load_mnist\nConvVAE().log_likelihood(load_mnist()[1][0][:20], num_samples={})"
    memory = [peak_memory(code.format(num_samples)) for num_samples in (few, many)]
    growth = memory[1] / memory[0]
    target = f"Its peak memory with {many} samples against {few}"
    return Row(
        target,
        f"{memory[1]:.0f} MiB, {memory[0]:.0f} MiB",
        f"{growth:.2f}",
        "1 (at most 1.05)",
        growth <= 1.05,
    )


def _likelihood_slopes(vae, x, sizes):
    progress("how the time of log_likelihood grows")
    draws = sizes.draws
    num_images = [n * len(x) // 10000 for n in (250, 500, 1000, 2000)]
    grids = {
        "images": [(n, draws // 10) for n in num_images],
        "samples": [(20, n * draws) for n in (1, 2, 4, 8)],
    }
    for what, grid in grids.items():
        tasks = {
            pair: functools.partial(vae.log_likelihood, x[: pair[0]], num_samples=pair[1])
            for pair in grid
        }
        seconds = interleave(3, tasks)
        medians = [statistics.median(seconds[pair]) for pair in grid]
        sizes_varied = [pair[what == "samples"] for pair in grid]
        slope = np.polyfit(np.log(sizes_varied), np.log(medians), 1)[0]
        measured = ", ".join(
            f"{n}: {s / medians[0]:.2f}" for n, s in zip(sizes_varied, medians, strict=True)
        )
        target = f"How its time grows with the number of {what}: slope in logarithms"
        yield Row(
            target,
            f"time by {what}, relative: {measured}",
            f"{slope:.2f}",
            "1 (0.9 to 1.1)",
            0.9 <= slope <= 1.1,
        )


# Target 7: imports, data, memory


def section_7(sizes):
    """The time of imports and of loading the data, and the memory of training."""
    return [_import_time(sizes), _load_time(sizes), _training_memory(sizes)], []


def _import_time(sizes):
    progress("imports")
    start = "import time; start = time.perf_counter(); "
    alone = start + "import {}; print(time.perf_counter() - start)"
    both = (
        start
        + "import keras; middle = time.perf_counter(); import vae_keras; print((time.perf_counter() - start) / (middle - start))"
    )
    run_python(both)  # fills the caches
    rounds = [
        [run_python(code) for code in (alone.format("keras"), alone.format("vae_keras"), both)]
        for _ in range(sizes.imports)
    ]
    pairs = statistics.median(ours / theirs for theirs, ours, _ in rounds)
    more = statistics.median(inside for _, _, inside in rounds)
    target = "`import keras, vae_keras` against `import keras`, both timed in one new process"
    measured = f"median of {len(rounds)}; `import vae_keras` alone against `import keras` alone in another process: {pairs:.2f}"
    return Row(target, measured, f"{more:.3f}", "at most 1.05", more <= 1.05)


def _load_time(sizes):
    progress("loading MNIST")

    def numpy_load():
        with open(MNIST_PATH, "rb") as file:
            hashlib.sha256(file.read()).digest()
        with np.load(MNIST_PATH) as arrays:
            return {name: arrays[name] for name in arrays.files}

    tasks = {"load_mnist": load_mnist, "numpy": numpy_load}
    interleave(1, tasks)
    more = ratio(interleave(4 * sizes.rounds, tasks), "load_mnist", "numpy")
    target = (
        "`load_mnist()` (float32) against `numpy.load` of the same arrays (uint8) and a SHA-256"
    )
    return Row(
        target, f"median of {4 * sizes.rounds} pairs", f"{more:.2f}", "at most 1.2", more <= 1.2
    )


def _training_memory(sizes):
    progress("memory of training")
    code = f"""
from vae_keras import RECIPES, ConvVAE, load_mnist, make_optimizer
x = load_mnist()[0][0][:{sizes.train_images}]
vae = ConvVAE()
vae.compile(make_optimizer("default", len(x), 1, RECIPES["default"].batch_size))
vae.fit(x, batch_size=RECIPES["default"].batch_size, verbose=0)
"""
    gigabytes = peak_memory(code) / 1024
    target = "Peak memory of training: one epoch of recipe `default`, the data included"
    return Row(
        target, f"{gigabytes:.2f} GiB", f"{gigabytes / 2:.2f}", "at most 2 GiB", gigabytes <= 2
    )


# Measured beside: what might pay, and where the time goes


def section_notes(sizes):
    """Variants of the training step, and a profile of it."""
    return [], [_precision(sizes), _variants(sizes), *_profiles(sizes)]


def _precision(sizes):
    progress("mixed bfloat16")
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists() or "bf16" not in cpuinfo.read_text(encoding="utf-8"):
        return "Mixed bfloat16 was not measured: this processor has no instructions for it."
    shares = []
    for recipe, num_steps in {"default": 2 * sizes.steps, "keng2017": sizes.steps}.items():
        batch_size = RECIPES[recipe].batch_size
        x = images(sizes)[0][: num_steps * batch_size]
        policies = ("float32", "mixed_bfloat16")
        tasks = {
            policy: fit_task(build(recipe, len(x), dtype=policy), x, batch_size)
            for policy in policies
        }
        shares.append(ratio(interleave(sizes.rounds, tasks), *reversed(policies)))
    return (
        "Time of a step in mixed bfloat16, relative to float32: "
        f"{shares[0]:.2f} for the default network, {shares[1]:.2f} for the 2017 network."
    )


def _variants(sizes):
    progress("steps_per_execution, batch sizes, XLA")
    batch_size = RECIPES["default"].batch_size
    x = images(sizes)[0][: 40 * batch_size]
    variants = {
        f"as it is (batch {batch_size})": {},
        "steps_per_execution=10": {"steps_per_execution": 10},
        **{f"batch {n}": {"batch_size": n} for n in (128, 256, 512) if n != batch_size},
        "XLA (jit_compile=True)": {"jit_compile": True},
    }
    tasks = {}
    for name, options in variants.items():
        tasks[name] = fit_task(
            build("default", len(x), **options), x, options.get("batch_size", batch_size)
        )
    seconds = interleave(sizes.rounds, tasks)
    first, *others = variants
    shares = ", ".join(f"{name} {ratio(seconds, name, first):.2f}" for name in others)
    return (
        f"Time of an epoch of the default network, relative to recipe `default` {first}: {shares}."
    )


def _profiles(sizes):
    for recipe, network in {"default": "default", "keng2017": "2017"}.items():
        progress(f"where the time of a step of the {network} network goes")
        batch_size = RECIPES[recipe].batch_size
        x = images(sizes)[0][: 2 * sizes.steps * batch_size]
        vae = build(recipe, len(x))
        vae.fit(x, batch_size=batch_size, verbose=0)
        kinds, python, data = profile_fit(vae, x, batch_size)
        parts = ", ".join(f"{kind} {share:.0%}" for kind, share in kinds.items())
        yield (
            f"Where a step of the {network} network spends its time, by TensorFlow's profiler, as shares of the time of all "
            f"operations: {parts}. Python between two steps takes {python:.1%} of the wall time; the threads of the input "
            f"pipeline, which run beside the step, are busy for {data:.1%} of it. It does {multiply_adds(vae) / 1e6:.1f} million "
            "multiplications an image, forwards."
        )


# The report

SECTIONS = {
    **{"1": section_1, "2": section_2, "3": section_3, "4": section_4},
    **{"5": section_5, "6": section_6, "7": section_7, "notes": section_notes},
}


def picture(runs):
    """Draw the test -ELBO against the seconds of `fit`, for the three networks."""
    log_2017 = [entry["test_neg_elbo"] for entry in read_record("keng2017").get("log", [])] or [
        n for _, n in runs["keng2017"]
    ]
    epochs = np.arange(1, len(log_2017) + 1)
    figure = Figure((8, 4.5), dpi=120, layout="constrained")
    ax = figure.subplots()
    for label, log, style in (
        ("default network, recipe default", runs["default"], {"color": "#0072B2", "marker": "o"}),
        ("default network, recipe fast", runs["fast"][0], {"color": "#009E73", "marker": "s"}),
        ("keras.io's example, 64 latents", runs["keras.io"], {"color": "#999933", "marker": "^"}),
    ):
        ax.plot(
            [entry["seconds"] for entry in log],
            [entry["test_neg_elbo"] for entry in log],
            ms=4,
            label=label,
            **style,
        )
    ax.plot(
        epochs * seconds_2017(runs) / EPOCHS_2017,
        log_2017,
        "D-",
        color="#D55E00",
        ms=4,
        label="2017 network",
    )
    ax.axhline(
        target_nats(),
        color="gray",
        lw=1,
        ls="--",
        label=f"2017 network after {EPOCHS_2017} epochs: {target_nats():.2f}",
    )
    ax.set(
        xscale="log",
        xlabel="seconds of fit, evaluations left out",
        ylabel="test -ELBO, nats an image",
        ylim=(88, 210),
    )
    ax.grid(alpha=0.3, which="both")
    ax.legend(fontsize=8)
    return figure


def table(rows):
    """Lay rows out as a Markdown table."""
    lines = ["| target | measured | ratio | wanted | met |", "|---|---|---|---|---|"]
    met = {True: "yes", False: "**no**", None: "not measured"}
    return "\n".join(lines + [f"| {' | '.join(row[:4])} | {met[row.met]} |" for row in rows])


def report(rows, notes, minutes):
    """The text of RESULTS.md."""
    here = machine()
    versions = ", ".join(
        f"{name} {here[name]}" for name in ("tensorflow", "keras", "numpy", "torch")
    )
    curve = read_record("keng2017")
    source = (
        f"from its recorded run ({curve['date']}, `{curve['command']}`)"
        if curve
        else "of the two epochs measured"
    )
    return f"""# Results of the benchmark

Written by `make benchmark` on {here["date"]}, in {minutes:.0f} minutes. What is compared ran in turns, in this process
or in pairs of new ones: the ratios are what carries over to another machine, not the seconds.

- machine: {here["cpu"]}, {here["cores"]} cores, {here["os"]}; load average at the start: {progress.load:.1f}
- versions: Python {here["python"]}, {versions}

{table(rows)}

![Test -ELBO against seconds](elbo_against_seconds.png)

The seconds are this run's. The 2017 network's -ELBO is that {source}. No run here trains on a test image, and none
of network, batch size, learning rate and optimizer was chosen by one: they were chosen on 10 000 training images held
out. The 3 epochs of recipe `fast` are the exception: how long it trains was set with test figures in view.

## Notes

{chr(10).join(f"- {note}" for note in notes)}
"""


def write_results(sizes, results):
    """Write the picture and RESULTS.md, each in one go."""
    rows, notes = ([item for result in results for item in result[part]] for part in (0, 1))
    with atomic_path(HERE / "elbo_against_seconds.png") as partial:
        picture(training_runs(sizes)).savefig(partial)
    text = report(rows, notes, (time.perf_counter() - progress.start) / 60)
    with atomic_path(HERE / "RESULTS.md") as partial:
        partial.write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only",
        choices=tuple(SECTIONS),
        help="measure this alone and print it; nothing is written",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="tiny sizes, to see that everything runs; nothing is written",
    )
    options = parser.parse_args()
    sizes = QUICK if options.quick else Sizes()
    sections = [SECTIONS[options.only]] if options.only else list(SECTIONS.values())
    progress.total = len(sections)
    results = []
    for section in sections:
        rows, notes = section(sizes)
        print(*([table(rows)] if rows else []), *notes, sep="\n", flush=True)
        results.append((rows, notes))
        progress.done += 1
    if not (options.only or options.quick):
        write_results(sizes, results)


if __name__ == "__main__":
    main()
