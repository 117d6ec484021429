"""What notebook 09 writes out: its table, its estimate, its search for Q, and Equation 15."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from notebook_code import written_out
from scipy import integrate, stats
from scipy.special import logsumexp

from vae_keras.layers import bernoulli_log_likelihood, kl_divergence
from vae_keras.linear_gaussian import LinearGaussian

NOTEBOOK = "09_how_good_is_it"
WANTED = ("contexts", "fit_table", "nats_of_table", "log_p_of", "log_weights", "log_mean")
WANTED += ("many_log_weights", "toy_gap", "optimise_q", "minus_gap", "missing", "kl_integral")


@pytest.fixture(scope="module")
def lesson():
    """The notebook's functions by their names."""
    given = {"np": np, "keras": keras, "ops": ops, "tf": tf, "logsumexp": logsumexp}
    given |= {"norm": stats.norm, "quad": integrate.quad, "kl_divergence": kl_divergence}
    return written_out(NOTEBOOK, WANTED, **given)


@pytest.fixture(scope="module")
def toy():
    """A linear decoder whose posterior is tilted, five images, and their log P(X|z)."""
    weights = np.array([[1.0, 0.7], [0.8, 0.9], [0.6, 0.8], [0.9, 0.5]], "float32")
    model = LinearGaussian(weights, np.zeros(4), sigma=0.5)
    x = model.sample(5, seed=0).astype("float32")

    def log_p(x, z):
        off = x[:, None] - ops.matmul(z, weights.T)
        return ops.sum(-2 * off**2 - 0.5 * np.log(0.5 * np.pi), axis=2)

    return model, x, log_p


def drawn_images(rng, n):
    return (rng.random((n, 28, 28, 1)) < 0.3).astype("float32")


class TestTable:
    def test_a_context_is_the_twelve_pixels_above_and_to_the_left(self, lesson, rng):
        ink = drawn_images(rng, 2)
        found = lesson["contexts"](ink)
        wide = np.zeros((2, 30, 32), int)
        wide[:, 2:, 2:-2] = ink[..., 0]
        for i, j in ((0, 0), (0, 27), (5, 1), (27, 13)):
            around = [wide[:, i + a, j + b] for a in (0, 1) for b in range(5)]
            around += [wide[:, i + 2, j], wide[:, i + 2, j + 1]]
            wanted = sum(bits * 2 ** (11 - place) for place, bits in enumerate(around))
            np.testing.assert_array_equal(found[:, i, j], wanted)

    def test_a_pixel_is_not_predicted_from_itself_or_from_later_ones(self, lesson, rng):
        ink = drawn_images(rng, 1)
        changed = ink.copy()
        changed[0, 10, 10] = 1 - changed[0, 10, 10]
        before = lesson["contexts"](ink).ravel()[: 10 * 28 + 11]
        np.testing.assert_array_equal(lesson["contexts"](changed).ravel()[: 10 * 28 + 11], before)
        assert np.any(lesson["contexts"](changed) != lesson["contexts"](ink))

    def test_it_holds_the_frequency_of_ink(self, lesson, rng):
        ink = drawn_images(rng, 50)
        table = lesson["fit_table"](ink)
        codes = lesson["contexts"](ink)
        seen = ink[codes == 0]
        assert table[0] == pytest.approx((seen.sum() + 0.5) / (seen.size + 1), rel=1e-6)
        never = np.setdiff1d(np.arange(4096), codes)
        np.testing.assert_array_equal(table[never], 0.5)

    def test_an_image_costs_the_sum_over_its_pixels(self, lesson, rng):
        ink = drawn_images(rng, 2)
        table = rng.random(4096)
        p = table[lesson["contexts"](ink)]
        wanted = -stats.bernoulli.logpmf(ink[..., 0], p).sum(axis=(1, 2))
        np.testing.assert_allclose(lesson["nats_of_table"](table, ink), wanted, rtol=1e-12)


class TestWeights:
    def test_log_p_of_bernoulli_pixels_is_that_of_the_package(self, lesson, rng):
        x = drawn_images(rng, 2)
        decoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(784)])
        decoder = keras.Sequential([decoder, keras.layers.Reshape((28, 28, 1))])
        z = rng.normal(size=(2, 4, 3)).astype("float32")
        found = lesson["log_p_of"](decoder)(x, z)
        for draw in range(4):
            wanted = bernoulli_log_likelihood(x, decoder(z[:, draw]))
            np.testing.assert_allclose(found[:, draw], wanted, rtol=1e-5)

    def test_a_weight_is_the_quotient_of_the_densities(self, lesson, toy, rng):
        _, x, log_p = toy
        z_mean, z_log_var = rng.normal(size=(2, 5, 2)).astype("float32")
        found = lesson["log_weights"](log_p, x, (z_mean, z_log_var), 7, np.random.default_rng(3))
        epsilon = np.random.default_rng(3).standard_normal((5, 7, 2), dtype="float32")
        s = np.exp(0.5 * z_log_var)[:, None]
        z = z_mean[:, None] + s * epsilon
        wanted = np.array(log_p(x, z)) + stats.norm.logpdf(z).sum(axis=2)
        wanted -= stats.norm.logpdf(z, z_mean[:, None], s).sum(axis=2)
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)

    def test_with_the_exact_posterior_every_weight_is_p_of_x(self, lesson):
        model = LinearGaussian(np.array([[1.0], [0.5]]), np.zeros(2), sigma=0.5)
        x = model.sample(4, seed=1).astype("float32")
        mean, cov = model.posterior(x)
        q = mean.astype("float32"), np.full((4, 1), np.log(cov[0, 0]), "float32")

        def log_p(x, z):
            off = x[:, None] - z * np.array([1.0, 0.5], "float32")
            return np.sum(-2 * off**2 - 0.5 * np.log(0.5 * np.pi), axis=2)

        found = lesson["log_weights"](log_p, x, q, 6, np.random.default_rng(0))
        wanted = np.repeat(model.log_evidence(x)[:, None], 6, axis=1)
        np.testing.assert_allclose(found, wanted, atol=1e-4)

    def test_log_mean_is_the_logarithm_of_the_mean(self, lesson, rng):
        log_w = rng.normal(size=(3, 9))
        wanted = np.log(np.exp(log_w).mean(axis=1))
        np.testing.assert_allclose(lesson["log_mean"](log_w), wanted, rtol=1e-12)
        far = lesson["log_mean"](log_w - 5000)  # where exp would give 0
        np.testing.assert_allclose(far, wanted - 5000, rtol=1e-12)

    def test_rounds_are_different_draws(self, lesson, toy):
        _, x, log_p = toy
        q = np.zeros((5, 2), "float32"), np.zeros((5, 2), "float32")
        found = lesson["many_log_weights"](log_p, x, q, 300, seed=0)
        assert found.shape == (5, 300)
        assert len(np.unique(found[0])) == 300


class TestGap:
    def given(self, lesson, toy, x):
        """Lets `toy_gap` see the posterior of the images."""
        model, _, _ = toy
        mean, cov = model.posterior(x)
        lesson |= {"post_mean": mean, "post_cov": cov, "precision": np.linalg.inv(cov)}
        return mean, cov

    def test_toy_gap_is_the_integral_of_the_divergence(self, lesson, toy, rng):
        x = toy[1][:1]
        mean, cov = self.given(lesson, toy, x)
        q = mean + 0.1, np.array([[-2.0, -1.5]])
        axes = [np.linspace(m - 4, m + 4, 801) for m in q[0][0]]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
        log_q = stats.multivariate_normal(q[0][0], np.diag(np.exp(q[1][0]))).logpdf(grid)
        log_ratio = log_q - stats.multivariate_normal(mean[0], cov).logpdf(grid)
        wanted = np.sum(np.exp(log_q) * log_ratio) * 0.01**2
        assert lesson["toy_gap"](q)[0] == pytest.approx(wanted, rel=1e-6)

    def test_toy_gap_is_what_the_elbo_lacks(self, lesson, toy):
        model, x, log_p = toy
        mean, _ = self.given(lesson, toy, x)
        q = 0.7 * mean.astype("float32"), np.full((5, 2), -1.5, "float32")
        elbo = lesson["many_log_weights"](log_p, x, q, 20_000, seed=0).mean(axis=1)
        np.testing.assert_allclose(model.log_evidence(x) - elbo, lesson["toy_gap"](q), atol=0.1)

    def test_the_search_ends_at_the_best_diagonal_normal(self, lesson, toy):
        _, x, log_p = toy
        mean, cov = self.given(lesson, toy, x)
        start = np.zeros((5, 2), "float32"), np.full((5, 2), -2, "float32")
        found = lesson["optimise_q"](log_p, x, start, np.random.default_rng(0))
        variances = 1 / np.diag(np.linalg.inv(cov))
        np.testing.assert_allclose(found[0], mean, atol=0.1)
        np.testing.assert_allclose(np.exp(found[1]).mean(axis=0), variances, rtol=0.1)
        best = lesson["toy_gap"]((mean, np.log(np.tile(variances, (5, 1)))))
        assert np.all(lesson["toy_gap"](found) > best - 1e-6)
        assert np.all(lesson["toy_gap"](found) < best + 0.05)

    def test_the_error_of_the_difference_is_what_repetitions_spread(self, lesson, rng):
        population = rng.normal(100, 25, size=10_000)
        found = []
        for _ in range(300):
            gap = rng.normal(5, 2, size=50)
            found.append(lesson["minus_gap"](population, gap))
        means, errors = np.transpose(found)
        assert np.mean(means) == pytest.approx(population.mean() - 5, abs=0.1)
        # the population stays: only the 50 gaps vary
        variances = errors**2 - population.var(ddof=1) / 10_000
        assert np.sqrt(variances.mean()) == pytest.approx(means.std(), rel=0.15)


class TestErrorOf2017:
    @pytest.mark.parametrize("v", [0.05, 0.3, 1.0, 1.7])
    def test_equation_15_is_what_two_integrals_differ_by(self, lesson, v):
        def divergence(variance):  # D[N(0.3, variance) || N(0, 1)]
            q = stats.norm(0.3, np.sqrt(variance))
            return q.expect(lambda z: q.logpdf(z) - stats.norm.logpdf(z))

        wanted = divergence(v**2) - divergence(v)
        assert lesson["missing"](v) == pytest.approx(wanted, abs=1e-6)
        assert lesson["kl_integral"](0.3, v) == pytest.approx(divergence(v**2), abs=1e-6)

    def test_it_is_nowhere_below_zero(self, lesson):
        v = np.linspace(0.01, 5, 500)
        assert lesson["missing"](1.0) == 0
        assert np.all(lesson["missing"](v) >= 0)
