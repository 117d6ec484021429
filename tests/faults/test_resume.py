"""Runs that were interrupted or killed go on as if they had not been, and lose nothing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vae_keras import ConvVAE, load_vae
from vae_keras._files import atomic_path
from vae_keras.cli import runs
from vae_keras.cli.callbacks import SaveRun, StopAtInterrupt
from vae_keras.io.saving import read_record

KILLER = Path(__file__).with_name("killer.py")


class TestResume:
    @pytest.mark.parametrize(
        "likelihood", [pytest.param("bernoulli", marks=pytest.mark.slow), "gaussian"]
    )
    def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
        self, folder, train, small_network, monkeypatch, likelihood, capsys
    ):
        options = ("--likelihood", likelihood, "--json")
        assert train(*options, output="whole.keras") == 0
        whole = json.loads(capsys.readouterr().out)
        with monkeypatch.context() as patch:
            patch.setattr(runs, "SaveRun", interrupted_after(2))
            assert train(*options) == 130
        assert "Epoch 3" not in capsys.readouterr().err
        assert train(*options, "--resume") == 0
        captured = capsys.readouterr()
        assert "Epoch 2/4" not in captured.err
        assert "Epoch 3/4" in captured.err
        resumed = json.loads(captured.out)
        assert resumed["neg_elbo"] == pytest.approx(whole["neg_elbo"], abs=0.01)
        vae = load_vae(folder / "vae.keras")
        wanted = load_vae(folder / "whole.keras")
        assert int(vae.optimizer.iterations) == int(wanted.optimizer.iterations) == 20
        # the order of the images is the same too: so they agree to rounding, not within noise
        for a, b in zip(vae.get_weights(), wanted.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

    def test_a_run_that_never_began_starts_afresh_and_one_that_has_ended_is_measured(
        self, folder, train, small_network, capsys
    ):
        assert train("--resume", epochs=1) == 0
        captured = capsys.readouterr()
        assert "vae.keras yet: starting afresh" in captured.err
        before = (folder / "vae.keras").read_bytes()
        first = without_seconds(captured.out)
        assert train("--resume", epochs=1) == 0
        assert (folder / "vae.keras").read_bytes() == before
        assert without_seconds(capsys.readouterr().out) == first

    def test_other_arguments_are_refused_by_name(
        self, folder, train, small_network, rng, last_line, capsys
    ):
        np.savez(folder / "others.npz", x_train=rng.integers(0, 256, (40, 9, 7), dtype="uint8"))
        np.savez(folder / "fewer.npz", x_train=np.load(folder / "mine.npz")["x_train"][:39])
        assert train(epochs=1) == 0
        content = (folder / "vae.keras").read_bytes()
        capsys.readouterr()
        for name, arguments in {
            "network default": ("--network", "keng2017"),
            "epochs 1": ("--epochs", 2),
            "batch_size 8": ("--batch-size", 9),
            "latent_dim 2": ("--latent-dim", 3),
            "likelihood bernoulli": ("--likelihood", "gaussian"),
            "seed 0": ("--seed", 1),
            "training images 36 of": ("--data", folder / "others.npz"),
            "training images": ("--data", folder / "fewer.npz"),
        }.items():
            assert train("--resume", *arguments, epochs=1) == 2
            line = last_line()
            assert f"was begun with {name}" in line
            assert line.endswith(f"got {arguments[1]}.") or name.startswith("training images")
            assert (folder / "vae.keras").read_bytes() == content

    def test_a_damaged_file_and_a_model_without_a_run_are_refused(self, folder, train, last_line):
        ConvVAE(2, image_shape=(9, 7, 1)).save(folder / "vae.keras")
        assert train("--resume") == 2
        assert "vae.keras holds no run of the command train to resume" in last_line()
        whole = (folder / "vae.keras").read_bytes()
        (folder / "vae.keras").write_bytes(whole[:-1])
        assert train("--resume") == 2
        assert "vae.keras is no saved VAE, or is damaged" in last_line()
        assert (folder / "vae.keras").read_bytes() == whole[:-1]


def test_an_interrupt_that_python_would_drop_ends_the_run_after_its_step(
    folder, train, small_network, monkeypatch, capsys
):
    class Finalized:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    class Interrupted(SaveRun):
        def on_train_batch_begin(self, batch, logs=None):
            steps.append(batch)
            if len(steps) == 8:  # the third of the second epoch
                Finalized()

    steps = []
    monkeypatch.setattr(runs, "SaveRun", Interrupted)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert train() == 130
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, handler)
    assert len(steps) == 8
    assert capsys.readouterr().err.endswith("vae_keras train: interrupted\n")
    assert read_record(folder / "vae.keras")["epochs done"] == 1


def test_a_second_interrupt_ends_the_run_at_once():
    stop = StopAtInterrupt()
    stop.hear()
    with pytest.raises(KeyboardInterrupt):
        stop.hear()


@pytest.mark.parametrize(
    ("kills", "epochs"), [(2, 3), pytest.param(20, 21, marks=pytest.mark.slow)]
)
def test_runs_killed_at_any_moment_resume_and_lose_nothing(folder, tmp_path_factory, kills, epochs):
    place = tmp_path_factory.mktemp("killed")
    command = [sys.executable, KILLER, str(kills), str(epochs), folder / "mine.npz"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    print(results)
    assert results["final"] == epochs
    assert 0 < results["done"] < epochs  # the kills came in the midst of it
    assert results["left by kills"] == kills // 2  # each that came while it saved
    # and no partial file
    written = [
        f"{name}.{kind}" for name in ("vae", "whole") for kind in ("keras", "keras.log", "png")
    ]
    assert results["left"] == written
    resumed, whole = results["neg_elbo"]
    assert resumed == pytest.approx(whole, abs=0.02)  # printed to 0.01


def test_what_a_killed_save_left_goes_with_the_next_save_of_that_file_alone(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with atomic_path(tmp_path / "a.keras") as partial:
        name = partial.name.replace(str(os.getpid()), str(dead.pid))
    others = {
        name.replace(".a.", ".a.b."),
        name.replace(".keras", ".png"),
        name.removeprefix("."),
        name.replace(f"-{dead.pid}", f"_of_another_host-{dead.pid}"),
        f".a.{dead.pid}.partial.keras",
    }
    for path in {name} | others:
        (tmp_path / path).write_text("half")
    ConvVAE(2, image_shape=(4, 4, 1)).save(tmp_path / "a.keras")
    assert {path.name for path in tmp_path.iterdir()} == others | {"a.keras"}


def interrupted_after(epoch):
    """A `SaveRun` after whose save of that epoch the run is interrupted."""

    class Interrupted(SaveRun):
        def on_epoch_end(self, number, logs=None):
            super().on_epoch_end(number, logs)
            if number + 1 == epoch:
                raise KeyboardInterrupt

    return Interrupted


def without_seconds(printed):
    return [line for line in printed.splitlines() if not line.startswith("training seconds")]
