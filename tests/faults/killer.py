"""Kill runs of the command train at any moment, resume them, and see that nothing is lost.

A server that has imported the package forks each run, so that a run starts at once.

Usage: killer.py KILLS EPOCHS IMAGES, in an empty folder. It prints what it saw as JSON.
"""

import io
import json
import os
import re
import select
import signal
import sys
import zipfile
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import h5py
import numpy as np
from small_networks import small_vae

from vae_keras import _files
from vae_keras.cli import runs
from vae_keras.cli.callbacks import SaveRun
from vae_keras.cli.main import main

KILLS = int(sys.argv[1])
EPOCHS = int(sys.argv[2])
IMAGES = sys.argv[3]
STEPS = 5  # of an epoch


def start(output, midst=None):
    """Fork a run. If `midst` is given, it says so and stops there.

    Returns:
        Its process, and a pipe to which it writes.
    """
    reader, writer = os.pipe()
    if child := os.fork():
        os.close(writer)
        return child, reader
    log = os.open(f"{output}.log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    if midst:
        stop_while_saving(writer, *midst)
    sizes = ["--latent-dim", "2", "--batch-size", "8", "--epochs", str(EPOCHS)]
    code = main(["train", *sizes, "--data", IMAGES, "--output", output, "--resume", "--json"])
    sys.stdout.flush()
    os._exit(code)


def stop_while_saving(writer, module, name):
    """Let a function that saving calls stop for ever in the run's second save."""
    whole = getattr(module, name)
    saves = []

    class Counted(SaveRun):
        def on_epoch_end(self, epoch, logs=None):
            saves.append(epoch)
            super().on_epoch_end(epoch, logs)

    def stop(*arguments, **options):
        if len(saves) == 2:
            os.write(writer, b"!")
            signal.pause()
        return whole(*arguments, **options)

    runs.SaveRun = Counted
    setattr(module, name, stop)


def epochs_done():
    with zipfile.ZipFile("vae.keras") as archive:
        assert archive.testzip() is None
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights:
            steps = int(weights["optimizer/vars/0"][()])
    assert steps % STEPS == 0, steps
    return steps // STEPS


def kill(i, rng):
    """Start the `i`-th run and kill it: an odd one while it saves, an even one at any moment."""
    # Keras writes the weights to the archive at its end; once it is whole, it goes to the disk
    midst = (_files.os, "fsync") if i % 4 == 1 else (zipfile.ZipFile, "writestr")
    child, pipe = start("vae.keras", midst)
    select.select([pipe], [], [], None if i % 2 else rng.uniform(0.0, 3.0) if i else 0.5)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(pipe)
    assert os.WIFSIGNALED(status), Path("vae.keras.log").read_text()[-2000:]
    return any(f"-{child}.partial.keras" in name for name in os.listdir("."))


def run_to_the_end(output):
    child, pipe = start(output)
    _, status = os.waitpid(child, 0)
    os.close(pipe)
    log = Path(f"{output}.log").read_text()
    assert status == 0, log[-2000:]
    return json.loads(log[log.rindex("{") :])["neg_elbo"]


def kill_and_resume():
    rng = np.random.default_rng(0)
    runs.ConvVAE = small_vae
    done = 0
    left_by_kills = 0
    for i in range(KILLS):
        left = kill(i, rng)
        left_by_kills += left and i % 2
        if os.path.exists("vae.keras"):
            begun = re.findall(r"Epoch (\d+)/", Path("vae.keras.log").read_text())
            # no epoch that was finished is lost
            finished = max([done, *(int(epoch) - 1 for epoch in begun)])
            assert epochs_done() >= finished, (epochs_done(), done, begun)
            done = epochs_done()
    neg_elbo = [run_to_the_end(output) for output in ("vae.keras", "whole.keras")]
    results = {"done": done, "left by kills": left_by_kills, "final": epochs_done()}
    print(json.dumps({**results, "left": sorted(os.listdir(".")), "neg_elbo": neg_elbo}))


kill_and_resume()
