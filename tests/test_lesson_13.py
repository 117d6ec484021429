"""What notebook 13 writes out: a VAE in plain Keras, mistakes planted in it, and their checks."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from notebook_code import written_out
from scipy import special, stats

from vae_keras import VariationalLoss

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import good_values  # noqa: E402
from record import RECORDS  # noqa: E402

NOTEBOOK = "13_what_went_wrong"
WRITTEN_OUT = {
    "SmallVAE", "PixelsAveraged", "LastSigmoid", "HiddenSigmoid", "KLAveraged", "VarianceAsScale",
    "LogOfP", "Flattened", "best_in_sigmoid", "drawn_spread", "kl_by_latent", "mean_image",
    "outside", "package_vae", "second_order", "stages", "stated_spread", "to_first_nan",
}  # fmt: skip


@pytest.fixture(scope="module")
def lesson():
    """The classes and functions of the notebook by their names, from its own cells."""
    from vae_keras import VAE

    return written_out(NOTEBOOK, WRITTEN_OUT, np=np, keras=keras, ops=ops, VAE=VAE, SEED=0)


@pytest.fixture
def x(rng):
    """Five images of 784 grey levels."""
    return rng.random((5, 784), dtype="float32")


@pytest.fixture
def q(rng):
    """The parameters of Q for five images and three latents."""
    return rng.normal(size=(2, 5, 3)).astype("float32")


def test_its_terms_are_those_of_the_package(lesson, x, q, rng):
    logits = rng.normal(size=(5, 784)).astype("float32")
    model = lesson["SmallVAE"](3)
    wanted = VariationalLoss()((x, logits, *q))
    np.testing.assert_allclose(model.reconstruction(x, logits), wanted[0], rtol=1e-5)
    np.testing.assert_allclose(model.kl(*q), wanted[1], rtol=1e-5)


def test_its_loss_is_the_mean_of_the_sum_and_every_log_adds_up(lesson, x):
    model = lesson["SmallVAE"]()
    model.compile("adam", jit_compile=False)
    log = model.fit(x, epochs=2, batch_size=2, verbose=0).history
    np.testing.assert_allclose(np.add(log["reconstruction"], log["kl"]), log["loss"], rtol=1e-5)
    terms = model(x)
    assert float(model.losses[0]) == pytest.approx(np.mean(terms["reconstruction"] + terms["kl"]))


@pytest.mark.parametrize(("name", "scale"), [("SmallVAE", 0.5), ("VarianceAsScale", 1.0)])
def test_the_spread_of_its_draws(lesson, name, scale):
    v = np.tile(np.float32([-2.0, 0.0, 1.0]), (100_000, 1))
    drawn = np.array(lesson[name](3).draw(np.zeros_like(v), v))
    np.testing.assert_allclose(drawn.std(axis=0), np.exp(scale * v[0]), rtol=0.02)


def test_the_mistakes_weigh_the_terms_as_the_notebook_says(lesson, x, q, rng):
    logits = rng.normal(size=(5, 784)).astype("float32")
    right = lesson["SmallVAE"](3)
    kl = ops.convert_to_numpy(right.kl(*q))
    reconstruction = ops.convert_to_numpy(right.reconstruction(x, logits))
    np.testing.assert_allclose(lesson["KLAveraged"](3).kl(*q), kl / 3, rtol=1e-5)
    averaged = lesson["PixelsAveraged"](3).reconstruction(x, logits)
    np.testing.assert_allclose(averaged, reconstruction / 784, rtol=1e-5)
    flattened = float(lesson["Flattened"](3).reconstruction(x, logits))
    assert flattened == pytest.approx(reconstruction.mean(), rel=1e-5)
    of_p = lesson["LogOfP"](3).reconstruction(x, logits)
    np.testing.assert_allclose(of_p, reconstruction, rtol=1e-4)


@pytest.mark.parametrize("grey", [0.0, 0.3, 1.0])
def test_a_hidden_sigmoid_starts_at_the_cost_of_a_logit_of_one_half(lesson, grey):
    model = lesson["HiddenSigmoid"](3)
    outputs = model.decoder(np.zeros((5, 3), "float32"))  # biases start at 0
    x = np.full((5, 784), grey, "float32")
    wanted = 784 * (np.log1p(np.exp(0.5)) - 0.5 * grey)
    np.testing.assert_allclose(model.reconstruction(x, outputs), wanted, rtol=1e-5)


def test_before_training_the_terms_are_those_of_the_second_order(lesson, x, rng):
    z_mean, z_log_var = rng.normal(scale=0.05, size=(2, 5, 16))
    logits = rng.normal(scale=0.1, size=(5, 784))
    reconstruction, kl = lesson["second_order"](x, z_mean, z_log_var, logits)
    np.testing.assert_allclose(reconstruction, costs(x, logits), rtol=1e-5)
    normals = stats.norm(z_mean, np.exp(0.5 * z_log_var))
    divergence = -normals.entropy() - 0.5 * (-np.log(2 * np.pi) - normals.var() - z_mean**2)
    np.testing.assert_allclose(kl, divergence.sum(axis=1), rtol=0.05)


def test_the_mean_image_scores_as_the_package_says(lesson, x, rng):
    from vae_keras.evaluation import mean_image_loss

    new = rng.random((7, 784))
    assert lesson["mean_image"](x, new) == pytest.approx(mean_image_loss(x, new), rel=1e-6)


def test_outside_gives_the_terms_of_the_q_that_the_encoder_states(lesson, x):
    model = lesson["SmallVAE"](3)
    z_mean, z_log_var = (np.float64(part) for part in model.encode(x))
    epsilon = np.random.default_rng(0).standard_normal(z_mean.shape)
    z = z_mean + np.exp(0.5 * z_log_var) * epsilon
    logits = np.array(model.decoder(np.float32(z)))
    reconstruction, by_latent = lesson["outside"](model, x)
    assert reconstruction == pytest.approx(costs(x, logits).mean(), rel=1e-5)
    kl = ops.convert_to_numpy(model.kl(np.float32(z_mean), np.float32(z_log_var)))
    assert by_latent.sum() == pytest.approx(kl.mean(), rel=1e-5)


def test_the_best_that_a_hidden_sigmoid_can_do_is_the_best_of_all_outputs(lesson, x):
    outputs = np.linspace(0, 1, 1001)[:, None, None]
    wanted = np.min(np.logaddexp(0, outputs) - x * outputs, axis=0).sum(axis=1).mean()
    assert lesson["best_in_sigmoid"](x, x) == pytest.approx(wanted, rel=1e-5)


def test_the_spread_of_z_that_is_stated_is_the_one_drawn_but_for_a_wrong_scale(lesson, rng):
    lesson["judged"] = rng.random((2000, 784), dtype="float32")
    names = {"right": "SmallVAE", "wrong": "VarianceAsScale"}
    lesson["models"] = {name: lesson[kind](3) for name, kind in names.items()}
    for model in lesson["models"].values():
        model(lesson["judged"][:1])
        model.z_log_var.bias.assign(np.full(3, -2.0))
    ratio = {name: lesson["drawn_spread"](name) / lesson["stated_spread"](name) for name in names}
    np.testing.assert_allclose(ratio["right"], 1, atol=0.03)
    assert ratio["wrong"].max() < 0.95


def costs(x, logits):
    """Nats of each image, summed over the pixels."""
    p = special.expit(logits)
    return -np.sum(special.xlogy(x, p) + special.xlog1py(1 - x, -p), axis=1)


class TestNaN:
    def test_a_step_that_spoils_the_loss_is_found_and_taken_back(self, lesson, x):
        model = lesson["SmallVAE"](3)
        model.compile("adam", run_eagerly=True)
        images = np.concatenate([x[:2], x[2:4], np.full((2, 784), np.nan, "float32")])
        step, batch = lesson["to_first_nan"](model, images, batch=2)
        assert step == 3
        assert np.isnan(batch).all()
        assert all(np.isfinite(weight).all() for weight in model.get_weights())

    def test_a_training_without_one_goes_to_its_end(self, lesson, x):
        model = lesson["SmallVAE"](3)
        model.compile("adam", run_eagerly=True)
        step, _ = lesson["to_first_nan"](model, x, batch=2)
        assert step == 0

    def test_the_stages_show_where_a_number_becomes_infinite(self, lesson, x):
        model = lesson["SmallVAE"](3)
        model(x)
        model.z_log_var.bias.assign([0.0, 200.0, 0.0])
        found = lesson["stages"](model, x)
        finite = {name for name, value in found.items() if np.isfinite(value)}
        assert finite == {"images", "hidden", "z_mean", "z_log_var"}
        assert found["images"] == x.max()


class TestGoodValues:
    def test_its_dense_network_is_that_of_the_notebook(self, lesson, x):
        model = lesson["SmallVAE"](16)
        model(x)
        encoder, decoder = good_values.dense_networks(16)
        theirs = [*encoder.weights, *decoder.weights]
        shapes = [tuple(weight.shape) for weight in theirs]
        assert sorted(shapes) == sorted(tuple(weight.shape) for weight in model.weights)
        assert lesson["package_vae"]().count_params() == encoder.count_params() + sum(
            int(np.prod(weight.shape)) for weight in decoder.weights
        )

    def test_a_quick_trial_has_all_that_the_notebook_reads(self, tmp_path):
        command = [sys.executable, str(BENCHMARKS / "good_values.py"), "--quick"]
        command += ["--images", "300", "--output", str(tmp_path)]
        subprocess.run(command, check=True, capture_output=True)
        record = json.loads((tmp_path / "good_values.json").read_text())
        kept = json.loads((RECORDS / "good_values.json").read_text())
        assert set(record) == set(kept)
        assert set(record["runs"][0]) == set(kept["runs"][0])
        assert len(record["diagnose"]["runs"]) == 4

    def test_a_quick_trial_of_all_images_is_refused(self, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", ["good_values.py", "--quick"])
        with pytest.raises(SystemExit):
            good_values.main()
        assert "say how many --images" in capsys.readouterr().err

    def test_the_mistake_of_its_first_log_is_the_one_that_it_names(self, rng):
        x = rng.random((4, 28, 28, 1), dtype="float32")
        wrong = good_values.dense_vae(16, 0, model=good_values.VAEWithAveragedKL)
        right = good_values.dense_vae(16, 0)
        right.set_weights(wrong.get_weights())
        shown, wanted = wrong.predict(x, verbose=0), right.predict(x, verbose=0)
        np.testing.assert_allclose(shown["kl"], wanted["kl"] / 16, rtol=1e-5)
        np.testing.assert_allclose(shown["reconstruction"], wanted["reconstruction"], rtol=1e-5)


class TestLogsToDiagnose:
    """The logs of the record are those of what they name; A to D, as the notebook calls them."""

    @pytest.fixture
    def kept(self):
        return json.loads((RECORDS / "good_values.json").read_text())["diagnose"]

    @pytest.fixture
    def logs(self, kept):
        begins = ("the KL", "healthy", "the weight", "the learning rate")
        runs = zip("ABCD", begins, kept["runs"], strict=True)
        assert all(run["was"].startswith(begin) for _, begin, run in runs)
        return {x: np.transpose(run["log"]) for x, run in zip("ABCD", kept["runs"], strict=True)}

    @pytest.mark.parametrize(("letter", "weight"), [("A", 1), ("B", 1), ("C", 0), ("D", 1)])
    def test_a_log_adds_up_with_the_weight_that_the_kl_had(self, logs, letter, weight):
        loss, reconstruction, kl = logs[letter]
        np.testing.assert_allclose(reconstruction + weight * kl, loss, atol=0.01)

    def test_an_ended_rate_leaves_the_noise_of_the_draws(self, logs):
        loss, _, _ = logs["D"]
        assert np.ptp(loss[3:]) < 0.5 < loss[1] - loss[2]

    def test_the_healthy_one_has_the_highest_loss_and_is_below_the_mean_image(self, logs, kept):
        ends = {letter: loss[-1] for letter, (loss, _, _) in logs.items()}
        assert max(ends, key=ends.get) == "B"
        assert ends["B"] < kept["mean_image"] - 20

    def test_an_averaged_kl_starts_at_a_sixteenth(self, logs):
        assert logs["A"][2][0] == pytest.approx(logs["D"][2][0] / 16, rel=0.01)
