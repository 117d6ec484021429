"""What notebook 11 writes out: one number for sigma and beta, shapes, their score, a condition."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from matplotlib.colors import hsv_to_rgb
from notebook_code import written_out
from scipy import optimize, stats
from scipy.special import entr
from sklearn.metrics import mutual_info_score

from vae_keras.layers import Sampling, VariationalLoss, kl_divergence
from vae_keras.networks import default_networks

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import disentanglement  # noqa: E402

NOTEBOOK = "11_variations"
WRITTEN_OUT = {"NUM_VALUES", "draw_shape", "information", "shares_told", "mig"}
WRITTEN_OUT |= {"with_best_sigma", "conditional_vae"}
LAYERS = ("Concatenate", "RepeatVector", "Reshape")


@pytest.fixture(scope="module")
def lesson():
    """The notebook's functions by their names."""
    given = {"np": np, "keras": keras, "entr": entr, "hsv_to_rgb": hsv_to_rgb, "SEED": 0}
    given |= {"Sampling": Sampling, "VariationalLoss": VariationalLoss}
    given |= {"default_networks": default_networks}
    given |= {name: getattr(keras.layers, name) for name in LAYERS}
    return written_out(NOTEBOOK, WRITTEN_OUT, **given)


@pytest.mark.parametrize("beta", [0.25, 4, 9])
def test_a_weight_of_the_kl_is_a_wider_sigma(beta, rng):
    """Equation 14', with the constants that it leaves out."""
    x, mean = rng.random((2, 6, 5, 5, 1))
    q = rng.normal(size=(2, 6, 3))

    def loss(sigma, beta):
        layer = VariationalLoss("gaussian", sigma, beta)
        reconstruction, kl = map(np.asarray, layer((x, mean, *q)))
        constant = 25 * np.log(sigma * np.sqrt(2 * np.pi))
        return reconstruction - constant + beta * kl

    wider = loss(0.3 * np.sqrt(beta), 1)
    np.testing.assert_allclose(loss(0.3, beta), beta * wider, rtol=1e-4)


def test_adam_takes_no_notice_of_a_factor_if_its_epsilon_has_it_too(rng):
    gradients = 1e-6 * rng.normal(size=(5, 3)).astype("float32")

    def walk(factor, epsilon):
        place = keras.Variable(np.zeros(3, "float32"))
        adam = keras.optimizers.Adam(0.1, epsilon=epsilon)
        for gradient in gradients:
            adam.apply([keras.ops.convert_to_tensor(factor * gradient)], [place])
        return keras.ops.convert_to_numpy(place)

    plain = walk(1, 1e-7)
    np.testing.assert_allclose(walk(4, 4e-7), plain, rtol=1e-4)
    assert np.abs(walk(4, 1e-7) / plain - 1).max() > 0.01


def test_the_best_sigma_is_the_error_itself(lesson, rng):
    """Equation 14'''."""
    errors = rng.random(7) / 10
    lesson |= {"errors": {"a": errors}, "gaussian": {"a": None}, "x_test": None}
    lesson["kl_each"] = lambda *_: np.full(7, 20.0)

    def loss(sigma):
        off = np.sqrt(errors[:, None]) * np.ones(784)
        return 20 - stats.norm.logpdf(off, scale=sigma).sum(axis=1).mean()

    best = optimize.minimize_scalar(loss, (0.1, 0.3))
    assert best.x**2 == pytest.approx(errors.mean(), rel=1e-5)
    assert lesson["with_best_sigma"]("a").mean() == pytest.approx(best.fun, rel=1e-9)


class TestShapes:
    def test_a_circle_has_its_area_its_place_and_its_colour(self, lesson):
        for size, across, down, hue in ((0, 0, 7, 0), (2, 3, 3, 5), (4, 7, 2, 2)):
            image = lesson["draw_shape"](0, size, across, down, hue)
            ink = (1 - image).sum(axis=2)
            colour = hsv_to_rgb((hue * 2 / 15, 1, 1))
            ink /= (1 - colour).sum()  # the share of each pixel that is covered
            assert ink.sum() == pytest.approx(np.pi * (3 + size / 2) ** 2, rel=0.02)
            places = np.arange(16) + 0.5
            at = ink.sum(axis=0) @ places, ink.sum(axis=1) @ places
            wanted = 5 + 6 / 7 * across, 5 + 6 / 7 * down
            assert np.divide(at, ink.sum()) == pytest.approx(wanted, abs=0.05)
            np.testing.assert_allclose(image[down * 6 // 7 + 5, across * 6 // 7 + 5], colour)

    def test_no_two_of_them_are_alike(self):
        factors, shapes = disentanglement.make_shapes()
        assert len(np.unique(factors, axis=0)) == len(factors) == 3 * 5 * 8 * 8 * 6
        assert len(np.unique(shapes.reshape(len(shapes), -1), axis=0)) == len(shapes)
        assert shapes.min() >= 0
        assert shapes.max() <= 1

    def test_the_recorded_run_draws_and_scores_as_the_notebook_does(self, lesson, rng):
        factors, _ = disentanglement.make_shapes()
        assert lesson["NUM_VALUES"] == disentanglement.NUM_VALUES
        for row in factors[:20]:
            drawn = lesson["draw_shape"](*row)
            np.testing.assert_array_equal(drawn, disentanglement.draw_shape(*row))
        codes = rng.normal(size=(300, 4)) + factors[:300, :4]
        shares = lesson["shares_told"](codes, factors[:300])
        np.testing.assert_array_equal(shares, disentanglement.shares_told(codes, factors[:300]))
        np.testing.assert_array_equal(lesson["mig"](shares), disentanglement.mig(shares))


class TestScore:
    @pytest.fixture
    def factors(self):
        return disentanglement.make_shapes()[0]

    def test_the_information_is_that_of_the_table_of_counts(self, lesson, rng):
        v = rng.integers(6, size=1000)
        z = v + rng.normal(size=1000)
        edges = np.linspace(z.min(), z.max(), 21)
        wanted = mutual_info_score(np.digitize(z, edges[1:-1]), v)
        assert lesson["information"](z, v) == pytest.approx(wanted, abs=1e-9)

    def test_a_factor_tells_all_about_itself(self, lesson, factors):
        for v, n in zip(factors.T, lesson["NUM_VALUES"].values(), strict=True):
            assert lesson["information"](v, v) == pytest.approx(np.log(n))

    def test_planted_codes_get_the_score_that_they_must(self, lesson, factors, rng):
        def score(codes):
            return lesson["mig"](lesson["shares_told"](codes, factors))

        perfect = factors + 0.01 * rng.random(factors.shape)
        np.testing.assert_allclose(score(perfect[:, ::-1]), 1, atol=0.01)
        np.testing.assert_allclose(score(np.hstack([perfect, perfect])), 0, atol=0.01)
        np.testing.assert_allclose(score(rng.normal(size=factors.shape)), 0, atol=0.02)
        rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
        assert score(perfect / factors.std(axis=0) @ rotation).mean() < 0.4

    def test_the_reader_finds_what_is_in_the_codes_however_turned(self, factors, rng):
        rotation = np.linalg.qr(rng.normal(size=(2, 2)))[0]
        codes = (factors[:, 2:4] + 0.01 * rng.normal(size=(len(factors), 2))) @ rotation
        read = disentanglement.read(codes, factors)
        assert min(read["across"], read["down"]) > 0.99
        assert read["hue"] == pytest.approx(1 / 6, abs=0.05)


class TestConditional:
    def test_both_networks_are_told_the_digit_and_the_loss_is_equation_14(self, lesson, rng):
        model, heads, decoder = lesson["conditional_vae"]()
        x = rng.random((4, 28, 28, 1), dtype="float32")
        digits = np.eye(10, dtype="float32")
        q = [np.asarray(part) for part in heads([x, digits[:4]])]
        others = [np.asarray(part) for part in heads([x, digits[4:8]])]
        assert np.abs(q[0] - others[0]).max() > 1e-3
        reconstruction, kl = map(np.asarray, model([x, digits[:4]]))
        np.testing.assert_allclose(kl, kl_divergence(*q), rtol=1e-5)
        assert float(model.losses[0]) == pytest.approx(np.mean(reconstruction + kl), rel=1e-5)
        kernel = decoder.weights[0]
        changed = keras.ops.convert_to_numpy(kernel).copy()
        changed[8:] += 10 * rng.normal(size=changed[8:].shape)
        kernel.assign(changed)  # what the decoder makes of the digit
        assert np.mean(model([x, digits[:4]])[0]) > np.mean(reconstruction) + 10


def test_the_recorded_codes_are_draws_from_q():
    x = keras.Input((2,))
    wide = keras.layers.Dense(3, kernel_initializer="zeros", bias_initializer="ones")(x)
    vae = type("Model", (), {"encoder": keras.Model(x, (wide, 2 * wide))})
    z_mean, z_log_var, z = disentanglement.encode(vae, np.zeros((20_000, 2), "float32"))
    assert (z_mean.mean(), z_log_var.mean()) == pytest.approx((1, 2))
    np.testing.assert_allclose(z.mean(axis=0), 1, atol=0.1)
    np.testing.assert_allclose(z.std(axis=0), np.e, rtol=0.02)


def test_a_trial_of_the_recorded_run_writes_each_way_of_each_seed(tmp_path, monkeypatch):
    words = ["--images", "120", "--epochs", "1", "--seeds", "1", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["disentanglement.py", *words])
    monkeypatch.setattr(disentanglement, "BETAS", (4,))
    disentanglement.main()
    made = json.loads((tmp_path / "disentanglement.json").read_text())
    assert [(run["beta"], run["epochs"]) for run in made["runs"]] == [(4, 1), (1, 2)]
    assert made["images"] == 60
    for run in made["runs"]:
        assert run["mig"] == pytest.approx(np.mean(list(run["gaps"].values())), abs=1e-3)
        assert run["neg_elbo"] > run["rate"] > 0
