"""Notebook 05: its formulas against closed forms, quadrature and a search; its Figures 3 and 4."""

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.colors import to_hex
from matplotlib.patches import FancyArrowPatch
from notebook_code import written_out
from scipy import optimize, stats

from vae_keras.diagrams import autoencoder_flow
from vae_keras.linear_gaussian import LinearGaussian
from vae_keras.plots import GREEN, VERMILION

WRITTEN_OUT = ("MU", "S", "draw_z", "kl", "single_draws", "cost_of_score", "cosine")
WRITTEN_OUT += ("cosine_slope", "evenly", "variances", "five")
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(120)
WEIGHTS = WEIGHTS / WEIGHTS.sum()
EVENLY = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)


@pytest.fixture(scope="module")
def lesson():
    """The functions of the notebook by their names, from its own cells."""
    imports = {"np": np, "tf": tf, "norm": stats.norm}
    return written_out("05_reparameterization", WRITTEN_OUT, **imports)


def four_variances(f, slope, mu, s):
    """Variances of one draw of d/dmu E[f]: trick; score with b = 0, E[f], and the best b."""
    z = mu + s * NODES
    exact = WEIGHTS @ slope(z)
    assert WEIGHTS @ (f(z) * NODES / s) == pytest.approx(exact, abs=1e-9)  # both are unbiased

    def of_score(b):
        return WEIGHTS @ ((f(z) - b) * NODES / s) ** 2 - exact**2

    best = optimize.minimize_scalar(of_score).fun  # found by search, not by the formula
    return WEIGHTS @ slope(z) ** 2 - exact**2, of_score(0.0), of_score(WEIGHTS @ f(z)), best


def test_its_draw_and_its_kl_are_those_of_scipy(lesson, rng):
    z_mean, z_log_var, epsilon = rng.normal(size=(3, 5, 2))
    drawn = stats.norm.ppf(stats.norm.cdf(epsilon), z_mean, np.sqrt(np.exp(z_log_var)))
    np.testing.assert_allclose(lesson["draw_z"](z_mean, z_log_var, epsilon), drawn, rtol=1e-6)
    z = z_mean[..., None] + np.exp(0.5 * z_log_var)[..., None] * NODES
    q = stats.norm(z_mean[..., None], np.exp(0.5 * z_log_var)[..., None])
    of_latents = (q.logpdf(z) - stats.norm.logpdf(z)) @ WEIGHTS
    np.testing.assert_allclose(lesson["kl"](z_mean, z_log_var), of_latents.sum(axis=1))


@pytest.mark.parametrize(("a", "s"), [(1, 0.5), (0, 0.5), (1, 0.1), (-2, 1.3)])
def test_its_four_ways_have_the_variances_of_its_table(lesson, a, s):
    def slope(z):
        return 2 * z

    plain = a**4 / s**2 + 14 * a**2 + 15 * s**2
    table = 4 * s**2, plain, 8 * a**2 + 10 * s**2, 8 * a**2 + 6 * s**2
    np.testing.assert_allclose(four_variances(np.square, slope, a, s), table, rtol=1e-6)
    draws = lesson["single_draws"](np.square, slope, a, s, EVENLY)  # c = 0: mu is a
    np.testing.assert_allclose([draw.var() for draw in draws.values()], table, rtol=2e-3)


@pytest.mark.parametrize(("height", "trick", "score"), [(99, 18, 42), (18, 16, 25), (2, 7.0, 2.3)])
def test_which_way_is_better_depends_on_the_size_of_f(lesson, height, trick, score):
    def cubic(z):
        return np.clip(z**3 - 3 * z, -height, height)

    def slope(z):
        return np.where(np.abs(z**3 - 3 * z) < height, 3 * z**2 - 3, 0)

    draws = lesson["single_draws"](cubic, slope, 0.0, 1.0, EVENLY)
    wanted = [trick, score, score, score]  # f is odd, so that no constant helps
    np.testing.assert_allclose([draw.var() for draw in draws.values()], wanted, rtol=0.03)


def test_a_kink_at_the_mean_can_turn_round_which_way_is_better(lesson):
    draws = lesson["single_draws"](np.abs, np.sign, 0.0, 1.0, EVENLY)
    wanted = 1, 3, 1.090, 0.4535  # the last is 3 - 8 / pi
    np.testing.assert_allclose([draw.var() for draw in draws.values()], wanted, rtol=2e-3)


def test_half_of_the_scores_single_draws_or_more_are_nearer_than_1_to_zero(lesson):
    _, *scores = lesson["single_draws"](
        lambda z: (z - 0.5) ** 2, lambda z: 2 * (z - 0.5), 1.5, 0.5, EVENLY
    ).values()
    assert min(np.mean(np.abs(score) < 1) for score in scores) >= 0.5


def test_the_five_draws_of_its_picture_have_a_mean_of_a_tenth(lesson):
    assert lesson["five"][:, 0].mean() == pytest.approx(0.10, abs=0.005)


@pytest.mark.parametrize(("s", "share"), [(0.05, 0.81), (0.1, 0.51), (0.2, 0.20)])
def test_how_straight_the_cosine_is(lesson, s, share):
    f_z = lesson["cosine"](lesson["MU"] + s * EVENLY)
    assert stats.pearsonr(f_z, EVENLY).statistic ** 2 == pytest.approx(share, abs=0.005)


@pytest.mark.parametrize("num_latents", [1, 8])
def test_the_cost_of_the_score_function_for_a_log_variance(num_latents):
    """Of the bowl, in its first latent: by nodes, and the other latents by their moments."""
    others = (num_latents - 1) / 2  # the mean of what they add to f, and its variance
    score = 0.5 * (NODES**2 - 1)  # the derivative of log q by log s^2

    def variance(b):
        f = 0.5 * NODES**2 + others - b
        return WEIGHTS @ ((f**2 + others) * score**2) - (WEIGHTS @ (f * score)) ** 2

    trick = 0.5  # the variance of f'(z) (z - mu) / 2, which is epsilon^2 / 2
    best = optimize.minimize_scalar(variance).fun
    assert best / trick == pytest.approx((num_latents + 5) / 2)


@pytest.mark.parametrize("mu", np.linspace(0, np.pi / 4, 5))
def test_the_lines_of_the_cosine_cross_once_between_0_18_and_0_33(lesson, mu):
    widths = np.geomspace(0.03, 1, 36)
    curves = np.array([lesson["variances"](mu, s) for s in widths])
    functions = lesson["cosine"], lesson["cosine_slope"]
    exact = np.array([four_variances(*functions, mu, s) for s in widths])
    np.testing.assert_allclose(curves, exact, rtol=0.01, atol=0.002)
    changes = np.diff(np.sign(curves[:, 1:] - curves[:, :1]), axis=0) != 0
    assert list(changes.sum(axis=0)) == [1, 1, 1]
    crossings = widths[changes.argmax(axis=0)]
    assert crossings.min() >= 0.17
    assert crossings.max() <= 0.33


@pytest.mark.parametrize("num_latents", [1, 8, 64])
def test_the_cost_of_the_score_function_near_a_minimum(lesson, num_latents):
    """Of a bowl, and of its control: a linear decoder of 100 pixels at its best diagonal Q."""
    rng = np.random.default_rng(num_latents)
    noise = rng.standard_normal((20_000, num_latents))
    bowl = lesson["cost_of_score"](0.5 * np.sum(noise**2, axis=1), noise, noise, 1)
    assert bowl[2] == pytest.approx((num_latents + 2) / 2, rel=0.1)
    model = LinearGaussian(rng.standard_normal((100, num_latents)), np.zeros(100), 0.5)
    image = model.sample(1, seed=1)
    mean, covariance = model.posterior(image)
    s = 1 / np.sqrt(np.diag(np.linalg.inv(covariance)))  # of the diagonal Q with the highest ELBO
    errors = (mean + s * noise) @ model.weights.T - image
    f_z = np.sum(errors**2, axis=1) / (2 * 0.5**2)
    cost = lesson["cost_of_score"](f_z, errors @ model.weights / 0.5**2, noise, s)
    assert cost[2] == pytest.approx((num_latents + 2) / 2, rel=0.1)


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("reparameterized", [False, True])
def test_the_figures_gradients_reach_the_encoder_where_the_trick_lets_them(
    reparameterized, gradients
):
    ax = autoencoder_flow(reparameterized, gradients).axes[0]
    dashed = [p for p in ax.patches if isinstance(p, FancyArrowPatch) and p.get_linestyle() == "--"]
    colours = [to_hex(arrow.get_edgecolor()).upper() for arrow in dashed]
    of_reconstruction = 5 if reparameterized else 3  # error, mean, decoder, z, Q to the encoder
    counted = colours.count(GREEN), colours.count(VERMILION)
    assert counted == ((2, of_reconstruction) if gradients else (0, 0))
    assert len(ax.patches) - len(dashed) == (9 + 9 if reparameterized else 8 + 8)
