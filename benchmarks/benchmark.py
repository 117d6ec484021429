"""Measures each target beside what it is compared to, for RESULTS.md: `make benchmark`."""

import argparse
import functools
import hashlib
import importlib.util
import itertools
import statistics
from pathlib import Path
from typing import NamedTuple

import measuring
import numpy as np
import tensorflow as tf
from measuring import compare, images, interleave, progress, ratio
from record import build
from results import Row, table, write_results
from runs import default_recipe, fast_recipe, long_recipe, training_runs
from step_profile import profile_fit

from vae_keras import RECIPES, load_mnist
from vae_keras.data import MNIST_PATH
from vae_keras.model import CHUNK

BATCH_2017 = RECIPES["keng2017"].batch_size
BATCH_DEFAULT = RECIPES["default"].batch_size
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


QUICK = Sizes(2000, 200, epochs=1, keras_io_epochs=1, seeds=2, rounds=2, steps=2, draws=100)


def step_2017(sizes):
    """Target 4: the 2017 network against PyTorch, and against a large matrix product."""
    progress("the 2017 network against PyTorch and a matrix product")
    x = images(sizes)[0][: sizes.steps * BATCH_2017]
    vae = build("keng2017", len(x))
    matrices = tf.random.normal((2, MATRIX, MATRIX))

    def multiply():
        for _ in range(MATRIX_PRODUCTS):
            tf.linalg.matmul(*matrices)

    keras_epoch = functools.partial(vae.fit, x, batch_size=BATCH_2017, verbose=0)
    tasks = {"keras": keras_epoch, "matrix product": multiply}
    if importlib.util.find_spec("torch"):
        from torch_keng2017 import Twin

        twins = {"torch": Twin(), "torch, channels last": Twin(channels_last=True)}
        for name, twin in twins.items():
            tasks[name] = functools.partial(twin.train_epoch, x, BATCH_2017)
    interleave(1, tasks)  # traces the step
    seconds = interleave(sizes.rounds, tasks)
    operations = 2 * 3 * measuring.multiply_adds(vae) * len(x)
    return [_against_torch(seconds)], [_roofline(seconds, operations)]


def _against_torch(seconds):
    target = f"The 2017 network: steps a second against PyTorch eager, float32, batch {BATCH_2017}"
    wanted = "at least 1.7"
    if "torch" not in seconds:
        return Row(target, "install torch: `pip install torch==2.13.0`", "", wanted, None)
    faster = ratio(seconds, "torch", "keras")
    other = ratio(seconds, "torch, channels last", "keras")
    measured = f"{other:.2f} if PyTorch keeps channels last"
    return Row(target, measured, f"{faster:.2f}", wanted, faster >= 1.7)


def _roofline(seconds, operations):
    in_products = MATRIX_PRODUCTS * 2 * MATRIX**3
    share = operations / in_products * ratio(seconds, "matrix product", "keras")
    gigaflops = operations / statistics.median(seconds["keras"]) / 1e9
    return (
        f"The 2017 network trains at {gigaflops:.0f} GFLOP/s, {share:.0%} of what a "
        f"{MATRIX} x {MATRIX} float32 matrix product reaches in the same rounds "
        "(multiplications and additions of convolutions and dense layers; backwards counts twice)."
    )


def sampling(sizes):
    """Target 5: a grid of 100 digits in one batch, against one image a call."""
    progress("100 digits in one batch, and one by one")
    vae = build("default", sizes.train_images)
    z = np.random.default_rng(0).standard_normal((100, vae.latent_dim), dtype="float32")

    def decode_one_by_one():
        for i in range(len(z)):
            vae.decoder.predict(z[i : i + 1], verbose=0)

    faster = compare(sizes.rounds, decode_one_by_one, lambda: vae.sample(len(z)))
    target = "`sample(100)`, one batch, against 100 calls of `decoder.predict` for one image: speed"
    measured = f"median of {sizes.rounds} pairs"
    return [Row(target, measured, f"{faster:.0f}", "at least 40", faster >= 40)], []


def likelihood(sizes):
    """Target 6: the importance-sampled likelihood: its time, its memory, and how both grow."""
    vae = build("default", sizes.train_images)
    x = images(sizes)[1]
    few = sizes.draws // 10
    return [
        _likelihood_time(vae, x[:1000], sizes),
        _likelihood_memory(few, 2 * sizes.draws),
        _growth("images", len(x) // 40, lambda n: vae.log_likelihood(x[:n], few)),
        _growth("samples", sizes.draws, lambda n: vae.log_likelihood(x[:20], n)),
    ], []


def _likelihood_time(vae, x, sizes):
    what = f"`log_likelihood` of {len(x)} images, {sizes.draws} samples"
    progress(f"{what}, against the decoder")
    parts = itertools.cycle(np.split(x, sizes.rounds))
    chunks = len(x) * sizes.draws // sizes.rounds // CHUNK  # as many latents as of a part
    z = np.random.default_rng(0).standard_normal((CHUNK, vae.latent_dim), dtype="float32")

    def decode():
        for _ in range(chunks):
            vae.decoder_network.predict_on_batch(z)

    slower = compare(sizes.rounds, lambda: vae.log_likelihood(next(parts), sizes.draws), decode)
    target = f"{what}: time against the bare decoder on as many latents"
    measured = f"in {sizes.rounds} interleaved parts"
    return Row(target, measured, f"{slower:.2f}", "at most 1.3", slower <= 1.3)


def _likelihood_memory(few, many):
    progress(f"memory of log_likelihood with {few} and {many} samples")
    code = """
from vae_keras import ConvVAE, load_mnist
(_, _), (x, _) = load_mnist()
ConvVAE().log_likelihood(x[:20], num_samples={})
"""
    with_few = measuring.peak_memory(code.format(few))
    with_many = measuring.peak_memory(code.format(many))
    growth = with_many / with_few
    target = f"Its peak memory with {many} samples against {few}"
    measured = f"{with_many:.0f} MiB, {with_few:.0f} MiB"
    return Row(target, measured, f"{growth:.2f}", "1 (at most 1.05)", growth <= 1.05)


def _growth(what, first, call):
    """How the time of a call grows with its argument, from `first` to eight times as much."""
    progress(f"how the time of log_likelihood grows with the number of {what}")
    numbers = [first, 2 * first, 4 * first, 8 * first]
    seconds = interleave(3, {n: functools.partial(call, n) for n in numbers})
    medians = np.median(list(seconds.values()), axis=1)
    slope, _ = np.polyfit(np.log(numbers), np.log(medians), 1)
    pairs = zip(numbers, medians / medians[0], strict=True)
    relative = ", ".join(f"{n}: {times:.2f}" for n, times in pairs)
    target = f"How its time grows with the number of {what}: slope in logarithms"
    measured = f"time by {what}, relative: {relative}"
    return Row(target, measured, f"{slope:.2f}", "1 (0.9 to 1.1)", 0.9 <= slope <= 1.1)


def start_up(sizes):
    """Target 7: the time of imports and of loading the data, and the memory of training."""
    return [_import_time(sizes.rounds), _load_time(4 * sizes.rounds), _training_memory(sizes)], []


IMPORTS = """
import time
start = time.perf_counter()
import {}
middle = time.perf_counter()
import vae_keras
print({})
"""


def _import_time(rounds):
    progress("imports")
    theirs = IMPORTS.format("keras", "middle - start")
    ours = IMPORTS.format("vae_keras", "middle - start")
    both = IMPORTS.format("keras", "(time.perf_counter() - start) / (middle - start)")
    measuring.run_python(both)  # fills the caches
    together = []
    apart = []
    for _ in range(rounds):
        seconds = measuring.run_python(theirs)
        apart.append(measuring.run_python(ours) / seconds)
        together.append(measuring.run_python(both))
    more = statistics.median(together)
    target = "`import keras, vae_keras` against `import keras`, both timed in one new process"
    measured = (
        f"median of {rounds}; `import vae_keras` alone against `import keras` alone in another "
        f"process: {statistics.median(apart):.2f}"
    )
    return Row(target, measured, f"{more:.3f}", "at most 1.05", more <= 1.05)


def _load_time(rounds):
    progress("loading MNIST")

    def load_with_numpy():
        hashlib.sha256(MNIST_PATH.read_bytes()).digest()
        with np.load(MNIST_PATH) as arrays:
            return {name: arrays[name] for name in arrays.files}

    more = compare(rounds, load_mnist, load_with_numpy)
    target = "`load_mnist()` (float32) against `numpy.load` of the arrays (uint8) and a SHA-256"
    return Row(target, f"median of {rounds} pairs", f"{more:.2f}", "at most 1.2", more <= 1.2)


def _training_memory(sizes):
    progress("memory of training")
    code = f"""
from vae_keras import ConvVAE, load_mnist, make_optimizer
x = load_mnist()[0][0][:{sizes.train_images}]
vae = ConvVAE()
vae.compile(make_optimizer("default", len(x), 1, {BATCH_DEFAULT}))
vae.fit(x, batch_size={BATCH_DEFAULT}, verbose=0)
"""
    gib = measuring.peak_memory(code) / 1024
    target = "Peak memory of training: one epoch of recipe `default`, the data included"
    return Row(target, f"{gib:.2f} GiB", f"{gib / 2:.2f}", "at most 2 GiB", gib <= 2)


def beside(sizes):
    """Variants of the training step, which might pay, and where the time of a step goes."""
    notes = [_precision(sizes), _variants(sizes)]
    notes += [_profile("default", "default", sizes), _profile("keng2017", "2017", sizes)]
    return [], notes


def _relative_times(recipe, num_steps, variants, sizes):
    """Time of an epoch by each variant, a dict of arguments of `build`, relative to none."""
    own_size = RECIPES[recipe].batch_size
    x = images(sizes)[0][: num_steps * own_size]
    tasks = {}
    for name, options in {"as it is": {}, **variants}.items():
        vae = build(recipe, len(x), **options)
        batch_size = options.get("batch_size", own_size)
        tasks[name] = functools.partial(vae.fit, x, batch_size=batch_size, verbose=0)
    interleave(1, tasks)  # traces the steps
    seconds = interleave(sizes.rounds, tasks)
    return {name: ratio(seconds, name, "as it is") for name in variants}


def _precision(sizes):
    progress("mixed bfloat16")
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists() or "bf16" not in cpuinfo.read_text(encoding="utf-8"):
        return "Mixed bfloat16 was not measured: this processor has no instructions for it."
    mixed = {"mixed": {"dtype": "mixed_bfloat16"}}
    default = _relative_times("default", 2 * sizes.steps, mixed, sizes)["mixed"]
    old = _relative_times("keng2017", sizes.steps, mixed, sizes)["mixed"]
    return (
        f"Time of a step in mixed bfloat16, relative to float32: {default:.2f} for the default "
        f"network, {old:.2f} for the 2017 network."
    )


def _variants(sizes):
    progress("steps_per_execution, batch sizes, XLA")
    variants = {
        "steps_per_execution=10": {"compile_options": {"steps_per_execution": 10}},
        "batch 128": {"batch_size": 128},
        "batch 512": {"batch_size": 512},
        "XLA (jit_compile=True)": {"compile_options": {"jit_compile": True}},
    }
    times = _relative_times("default", 40, variants, sizes)
    shares = ", ".join(f"{name} {time:.2f}" for name, time in times.items())
    return (
        "Time of an epoch of the default network, relative to recipe `default` as it is "
        f"(batch {BATCH_DEFAULT}): {shares}."
    )


def _profile(recipe, network, sizes):
    progress(f"where the time of a step of the {network} network goes")
    batch_size = RECIPES[recipe].batch_size
    x = images(sizes)[0][: 2 * sizes.steps * batch_size]
    vae = build(recipe, len(x))
    vae.fit(x, batch_size=batch_size, verbose=0)  # traces the step
    profile = profile_fit(vae, x, batch_size)
    parts = ", ".join(f"{kind} {share:.0%}" for kind, share in profile.kinds.items())
    return (
        f"Where a step of the {network} network spends its time, by TensorFlow's profiler, as "
        f"shares of the time of all operations: {parts}. Python between two steps takes "
        f"{profile.python:.1%} of the wall time; the threads of the input pipeline, which run "
        f"beside the step, are busy for {profile.data:.1%} of it. It does "
        f"{measuring.multiply_adds(vae) / 1e6:.1f} million multiplications an image, forwards."
    )


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


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=SECTIONS, help="measure this target alone and print it")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that all runs")
    output = "folder to write to (default: benchmarks/; with --only or --quick nothing is written)"
    parser.add_argument("--output", type=Path, help=output)
    options = parser.parse_args()
    if not (options.only or options.quick or options.output):
        options.output = Path(__file__).parent
    sizes = QUICK if options.quick else Sizes()
    names = [options.only] if options.only else list(SECTIONS)
    progress.total = len(names)
    rows = []
    notes = []
    for name in names:
        new_rows, new_notes = SECTIONS[name](sizes)
        shown = [table(new_rows)] if new_rows else []
        print(*shown, *new_notes, sep="\n", flush=True)
        rows += new_rows
        notes += new_notes
        progress.done += 1
    if options.output:
        write_results(options.output, rows, notes, training_runs(sizes))


if __name__ == "__main__":
    main()
