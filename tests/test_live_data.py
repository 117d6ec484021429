"""What the live figures of trained models show was recorded, and is what it says it is."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import stats

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "benchmarks"))
import live_data  # noqa: E402
import record  # noqa: E402

from vae_keras import load_mnist  # noqa: E402
from vae_keras.evaluation import loss_floor  # noqa: E402

SIDE = 28
NUM_ROWS = {"learning": 16, "beta": 7, "walk": 12}


def numbers_of(name, folder=live_data.LIVE):
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def images_of(name, folder=live_data.LIVE):
    """The images of the sheet, ink from 0 to 15: (rows, columns, 28, 28)."""
    with Image.open(folder / f"{name}.png") as picture:
        ink = 15 - np.asarray(picture, "int64")
    rows, columns = np.array(ink.shape) // SIDE
    return ink.reshape(rows, SIDE, columns, SIDE).swapaxes(1, 2)


@pytest.fixture(scope="module")
def mnist():
    return load_mnist()


@pytest.mark.parametrize("name", NUM_ROWS)
def test_it_was_made_on_committed_code_and_has_a_picture_for_each_place(name):
    kept = numbers_of(name)
    assert not kept["commit"].endswith("-dirty")
    assert kept["command"].startswith("python benchmarks/live_data.py ")
    assert images_of(name).shape == (NUM_ROWS[name], 21 if name == "walk" else 20, SIDE, SIDE)


@pytest.mark.parametrize("name", ["learning", "beta"])
def test_its_first_row_is_of_ten_test_images(name, mnist):
    _, (x_test, _) = mnist
    wanted = np.round(15 * x_test[:10, ..., 0])
    np.testing.assert_array_equal(images_of(name)[0, :10], wanted)
    assert images_of(name)[0, 10:].max() == 0


def test_training_is_that_of_the_recipe_and_its_terms_add_up(mnist):
    _, (x_test, _) = mnist
    kept = numbers_of("learning")
    moments = kept["moments"]
    steps = [*live_data.STEPS, *(235 * epoch for epoch in range(1, 10))]
    assert [moment["step"] for moment in moments] == [0, *steps]
    assert kept["stepsOfEpoch"] == 235
    assert kept["floor"] == pytest.approx(loss_floor(x_test), abs=1e-4)
    for moment in moments:
        assert moment["reconstruction"] + moment["kl"] == pytest.approx(moment["loss"], abs=2e-4)
    assert moments[0]["loss"] > 500  # of a network that has seen nothing
    assert moments[-1]["loss"] < 95.5  # of the default recipe


def test_the_models_of_each_beta_trade_rate_for_distortion():
    models = numbers_of("beta")["models"]
    assert [model["beta"] for model in models] == list(live_data.BETAS)
    assert np.all(np.diff([model["rate"] for model in models]) < 0)
    assert np.all(np.diff([model["distortion"] for model in models]) > 0)
    sums = [model["rate"] + model["distortion"] for model in models]
    assert models[np.argmin(sums)]["beta"] == 1


def test_the_last_reconstructions_are_nearer_to_the_images_than_the_first():
    ink = images_of("learning")[:, :10]
    off = [np.abs(row - ink[0]).mean() for row in ink[1:]]
    assert off[-1] < 0.3 * off[0]


def test_walks_begin_and_end_alike_and_their_band_is_the_priors():
    kept = numbers_of("walk")
    assert [pair["digits"] for pair in kept["pairs"]] == [list(pair) for pair in live_data.PAIRS]
    law = stats.chi(len(kept["pairs"][0]["start"]))
    np.testing.assert_allclose(kept["band"], law.ppf([0.05, 0.5, 0.95]), atol=1e-4)
    straight, arc = images_of("walk")[::2], images_of("walk")[1::2]
    for end in (0, -1):
        assert np.abs(straight[:, end] - arc[:, end]).max() <= 1  # of 15 greys
    assert np.abs(straight[:, 10] - arc[:, 10]).max() > 1


@pytest.mark.parametrize(
    ("what", "names"), [("training", ["learning", "walk"]), ("beta", ["beta"])]
)
def test_a_trial_writes_both_files_of_each_figure(what, names, tmp_path, monkeypatch, mnist):
    monkeypatch.setattr(record, "commit_of_code", lambda: "of a copy")
    monkeypatch.setattr(live_data, "BETAS", (1, 4))
    monkeypatch.setattr(live_data, "STEPS", (1,))
    words = [what, "--images", "64", "--epochs", "1", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["live_data.py", *words])
    # of 64 images not each digit is there
    monkeypatch.setattr(live_data, "PAIRS", ((7, 2),))
    monkeypatch.setattr(live_data, "load_mnist", lambda: mnist)
    live_data.main()
    if what == "training":
        originals = np.round(15 * mnist[1][0][:10, ..., 0])
        np.testing.assert_array_equal(images_of("learning", tmp_path)[0, :10], originals)
    for name in names:
        command = numbers_of(name, tmp_path)["command"]
        assert command.startswith(f"python benchmarks/live_data.py {what}")
        assert images_of(name, tmp_path).shape[0] == {"learning": 4, "walk": 2, "beta": 3}[name]


def test_a_sheet_holds_each_image_at_its_place(rng):
    rows = [rng.random((n, SIDE, SIDE, 1)) for n in (3, 5)]
    ink = 15 - np.asarray(live_data.sheet_of(rows), "int64")
    second = ink[SIDE:, 4 * SIDE :]
    np.testing.assert_array_equal(second, np.round(15 * rows[1][4, ..., 0]))
    assert ink[:SIDE, 3 * SIDE :].max() == 0
