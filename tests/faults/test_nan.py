"""Numbers that are none, and data that is not what it was, end training before it saves them."""

import zipfile

import keras
import numpy as np
import pytest

from vae_keras import data
from vae_keras.cli import runs
from vae_keras.cli.callbacks import SaveRun
from vae_keras.cli.main import main


class NoNumberFrom(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that is NaN in one step, counted from 0: the weights are NaN after it."""

    def __init__(self, step):
        self.step = step

    def __call__(self, step):
        return keras.ops.where(keras.ops.equal(step, self.step), np.nan, 0.001)

    def get_config(self):
        return {"step": self.step}


class TestLossThatIsNoNumber:
    # 5 steps an epoch; a step's loss is taken before its weights change: it shows one step later
    @pytest.mark.parametrize(
        ("step", "place"), [(5, "step 2 of epoch 2"), (9, "the last step of epoch 2")]
    )
    def test_it_stops_names_the_step_and_keeps_the_last_good_epoch(
        self, folder, train, small_network, monkeypatch, last_line, step, place
    ):
        saved = {}
        path = folder / "vae.keras"

        class Spy(SaveRun):
            def on_epoch_end(self, epoch, logs=None):
                super().on_epoch_end(epoch, logs)
                saved[epoch + 1] = path.read_bytes()

        optimizer = keras.optimizers.SGD(NoNumberFrom(step))
        monkeypatch.setattr(runs, "SaveRun", Spy)
        monkeypatch.setattr(runs, "make_optimizer", lambda *_: optimizer)
        assert train() == 2
        message = f"The loss is NaN or infinite at {place}: {path} stays."
        assert last_line() == f"vae_keras train: {message}"
        assert list(saved) == [1]
        assert path.read_bytes() == saved[1]
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None

    def test_a_loss_beyond_float32_counts_too_and_nothing_is_written(
        self, folder, train, small_network, last_line
    ):
        assert train("--likelihood", "gaussian", "--sigma", "1e-30") == 2
        assert "at step 1 of epoch 1" in last_line()
        assert not (folder / "vae.keras").exists()


def test_a_bit_flipped_in_the_bundled_data_ends_training(tmp_path, monkeypatch, last_line):
    content = bytearray(data.MNIST_PATH.read_bytes())
    content[np.random.default_rng(0).integers(len(content))] ^= 4
    (tmp_path / "mnist.npz").write_bytes(content)
    monkeypatch.setattr(data, "MNIST_PATH", tmp_path / "mnist.npz")
    assert main(["train", "--output", str(tmp_path / "vae.keras")]) == 2
    assert "mnist.npz is damaged" in last_line()
    assert not (tmp_path / "vae.keras").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_images_that_are_no_numbers_end_training(tmp_path, train, rng, value, last_line):
    images = rng.random((20, 5, 5))
    images[13, 2, 3] = value
    np.savez(tmp_path / "mine.npz", images)
    assert train() == 2
    assert "mine.npz must hold finite numbers" in last_line()
