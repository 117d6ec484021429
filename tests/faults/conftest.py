"""What the tests of faults share: images of one's own, the command line on them, its last line."""

import numpy as np
import pytest
from small_networks import small_vae

from vae_keras.cli import runs
from vae_keras.cli.main import main


@pytest.fixture
def folder(tmp_path, rng):
    """A folder with 40 images: 36 to train on, so 5 steps an epoch."""
    np.savez(tmp_path / "mine.npz", x_train=rng.integers(0, 256, (40, 9, 7), dtype="uint8"))
    return tmp_path


@pytest.fixture
def small_network(monkeypatch, untraced):
    """The command line trains a small network."""
    monkeypatch.setattr(runs, "ConvVAE", small_vae)


@pytest.fixture
def train(tmp_path):
    """Run the command train on mine.npz, in this process."""

    def run(*arguments, epochs=4, output="vae.keras"):
        data = ["--data", tmp_path / "mine.npz", "--output", tmp_path / output]
        sizes = ["--latent-dim", 2, "--batch-size", 8, "--epochs", epochs]
        return main(["train", *map(str, [*sizes, *data, *arguments])])

    return run


@pytest.fixture
def last_line(capsys):
    """The line that the command ended with."""

    def read():
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "Traceback" not in captured.err
        return captured.err.rstrip("\n").splitlines()[-1]

    return read
