"""What the measurements share: turns, ratios of times, processes of their own, a bar."""

import itertools
import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from keras import layers

from vae_keras import load_mnist

ROOT = Path(__file__).resolve().parents[1]

# Linux hands the ru_maxrss of a large parent down to its children; VmHWM is the process's own
REPORT_MEMORY = """
import pathlib, re, resource, sys
status = pathlib.Path("/proc/self/status")
own = re.search(r"VmHWM:\\s+(\\d+)", status.read_text()) if status.exists() else None
largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
kibibytes = largest / 1024 if sys.platform == "darwin" else largest
print((int(own[1]) if own else kibibytes) / 1024)
"""


class Progress:
    """A bar on stderr: how many sections are done, the time so far, and what is being measured."""

    def __init__(self):
        self.total = 0
        self.done = 0
        self.start = time.perf_counter()
        self.load = os.getloadavg()[0]

    def __call__(self, text):
        bar = "=" * self.done + "." * (self.total - self.done)
        minutes, seconds = divmod(int(self.seconds()), 60)
        print(f"[{bar}] {minutes:2d}:{seconds:02d} {text}", file=sys.stderr, flush=True)

    def seconds(self):
        """Seconds since the start."""
        return time.perf_counter() - self.start


progress = Progress()


def timed(task):
    """The seconds that a task takes."""
    start = time.perf_counter()
    task()
    return time.perf_counter() - start


def interleave(rounds, tasks):
    """Run tasks in turn, round after round, so that all see the same machine.

    Returns the seconds of each: a dict of lists by name.
    """
    seconds = {name: [] for name in tasks}
    for _, (name, task) in itertools.product(range(rounds), tasks.items()):
        seconds[name].append(timed(task))
    return seconds


def ratio(seconds, name, other):
    """The median over the rounds of one task's time divided by another's in the same round."""
    pairs = zip(seconds[name], seconds[other], strict=True)
    return statistics.median(a / b for a, b in pairs)


def compare(rounds, task, other):
    """The `ratio` of one task's time to another's; each runs once before, untimed."""
    tasks = {"task": task, "other": other}
    interleave(1, tasks)  # traces networks and fills caches
    return ratio(interleave(rounds, tasks), "task", "other")


def images(sizes):
    """The training and the test images, as many of each as are wanted."""
    (x_train, _), (x_test, _) = load_mnist()
    return x_train[: sizes.train_images], x_test[: sizes.test_images]


def run_python(code):
    """Run code in a process of its own; return the number that it prints last."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"A measuring process ended with {done.returncode}:\n{done.stderr}")
    return float(done.stdout.split()[-1])


def peak_memory(code):
    """Peak memory in MiB of a process that runs `code`, its imports included."""
    return run_python(code + REPORT_MEMORY)


def multiply_adds(vae):
    """Multiplications for one image, forwards, in convolutions and dense layers.

    Those with the padding are counted too.
    """
    total = 0
    for layer in vae.encoder.layers + vae.decoder_network.layers:
        if isinstance(layer, layers.Conv2DTranspose):  # the kernel meets each pixel of the input
            total += math.prod(layer.kernel.shape) * math.prod(layer.input.shape[1:3])
        elif isinstance(layer, layers.Conv2D):
            total += math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
        elif isinstance(layer, layers.Dense):
            total += math.prod(layer.kernel.shape)
    return total
