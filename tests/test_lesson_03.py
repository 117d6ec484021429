"""The formulas of notebook 03 against SciPy's quadrature, its normal distributions, and slopes."""

import itertools
import math

import numpy as np
import pytest
from notebook_code import written_out
from scipy import integrate, optimize, stats
from scipy.special import logsumexp, ndtr, softmax

from vae_keras.linear_gaussian import LinearGaussian

WRITTEN_OUT = ("spiral", "log_normal", "log_p_exact", "log_p_by_draws", "pulls")
WRITTEN_OUT += ("prior_grid", "gradient", "posterior", "log_p_linear", "divergence", "crossing")
WRITTEN_OUT += ("prior_step", "posterior_step", "TRUTH", "draw_data", "fit")
SIGMA = 0.2
LIVE_B = (-1.337508, 1.313199, -4.685384)  # row 1 of live figure B: x, and log P(x)


@pytest.fixture(scope="module")
def lesson():
    """The functions of the notebook by their names, from its own cells."""
    given = {"np": np, "math": math, "norm": stats.norm, "SIGMA": SIGMA}
    given |= {"logsumexp": logsumexp, "ndtr": ndtr, "softmax": softmax}
    given["LinearGaussian"] = LinearGaussian
    return written_out("03_decoder_and_hard_fit", WRITTEN_OUT, **given)


def curve(z, size, turns):
    """The notebook's spiral, in complex numbers."""
    u = stats.norm.cdf(z)
    return size * (0.3 + 0.7 * u) * np.exp(2j * np.pi * turns * u)


def density(point, theta, sigma):
    """P(x) of a point by adaptive quadrature over z."""

    def joint(z):
        distance = abs(complex(*point) - curve(z, *theta))
        return stats.norm.pdf(z) * np.exp(-0.5 * (distance / sigma) ** 2) / (2 * np.pi * sigma**2)

    edges = np.arange(-9, 9.1, 0.25)
    return sum(integrate.quad(joint, a, b, epsabs=1e-13)[0] for a, b in itertools.pairwise(edges))


@pytest.mark.parametrize(
    ("point", "theta", "sigma"),
    [
        ((0.0, -1.0), (1.5, 1.5), 0.2),
        ((0.6, 0.7), (1.0, 2.2), 0.2),
        ((-0.1, 0.1), (1.5, 1.5), 0.05),
    ],
)
def test_the_grid_gives_the_integral_of_equation_6(lesson, point, theta, sigma):
    found = lesson["log_p_exact"](np.array([point]), theta, sigma)
    assert found[0] == pytest.approx(np.log(density(point, theta, sigma)), abs=1e-8)


def test_the_table_of_live_figure_b_begins_with_this_density():
    assert np.log(density(LIVE_B[:2], (1.5, 1.5), SIGMA)) == pytest.approx(LIVE_B[2], abs=2e-5)


def test_its_first_hill_is_highest_at_1_37_turns(lesson):
    point = np.array([[0, -1.5 * 0.65]])  # of the true spiral, at z = 0

    def minus_log_p(turns):
        return -lesson["log_p_exact"](point, (1.5, turns))[0]

    best = optimize.minimize_scalar(minus_log_p, bracket=(1.2, 1.4, 1.6))
    assert best.x == pytest.approx(1.37, abs=0.005)


def test_one_draw_in_7_to_29_is_near_a_point(lesson):
    """The shares of the prior within 0.4 of each of the 16 points; the text counts draws."""
    x = lesson["draw_data"](100, 16, seed=0)[2][3]
    means = curve(stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000), 1.5, 1.5)
    shares = np.mean(np.abs(means[:, None] - (x[:16] + 1j * x[16:])) < 0.4, axis=0)
    named = 1 / shares.max(), 1 / shares.min(), stats.gmean(1 / shares)
    assert named == pytest.approx((7, 29, 14), abs=0.6)


def test_begun_at_the_truth_eight_spirals_shrink_too(lesson):
    data = lesson["draw_data"](100, 8, seed=0)[2]
    size, turns = lesson["fit"](data, theta=lesson["TRUTH"])[-1]
    assert (size, turns) == pytest.approx((1.13, 1.49), abs=0.01)


def test_25_copies_of_each_coordinate_hardly_move_the_fit(lesson, monkeypatch, rng):
    """Their terms are those of the mean of the copies, whose noise is a fifth, but for a factor."""
    z, mu, _ = lesson["draw_data"](100, 2, seed=0)
    assert z.shape == (100, 2)
    monkeypatch.setitem(lesson, "SIGMA", SIGMA / 5)
    size, _ = lesson["fit"](rng.normal(mu, SIGMA / 5))[-1]
    assert size == pytest.approx(1.48, abs=0.02)


def test_the_nearest_to_a_constant_spiral_is_a_short_arc(lesson):
    points = lesson["draw_data"](100, 1, seed=0)[2]
    mean = complex(*points.mean(axis=0))
    assert (mean.real, mean.imag) == pytest.approx((-0.14, 0.26), abs=0.005)
    z = stats.norm.ppf((np.arange(2000) + 0.5) / 2000)

    def squared(theta):
        return np.mean(np.abs(curve(z, *theta) - mean) ** 2)

    best = optimize.minimize(squared, (0.3, 0.4), method="Nelder-Mead")
    assert best.x == pytest.approx((0.28, 0.45), abs=0.005)
    assert np.abs(curve(z, *best.x) - mean).min() == pytest.approx(0.06, abs=0.005)


def test_draws_give_the_mean_of_normals_of_equation_6(lesson, rng):
    x, z = rng.standard_normal((3, 4)), rng.standard_normal((7, 2))
    means = np.concatenate([curve(z, 1.2, 1.4).real, curve(z, 1.2, 1.4).imag], axis=1)
    terms = [[stats.norm(m, SIGMA).pdf(row).prod() for m in means] for row in x]
    found = lesson["log_p_by_draws"](x, z, (1.2, 1.4))
    np.testing.assert_allclose(np.exp(found), np.mean(terms, axis=1), rtol=1e-8)


def test_the_gradient_of_equation_7_is_its_slope(lesson, rng):
    x, z, theta = rng.standard_normal((5, 6)), rng.standard_normal((40, 3)), np.array([1.3, 1.1])

    def equation_7(theta):
        return lesson["log_p_by_draws"](x, z, theta).mean()

    steps = 1e-6 * np.eye(2)
    slopes = [(equation_7(theta + step) - equation_7(theta - step)) / 2e-6 for step in steps]
    np.testing.assert_allclose(lesson["gradient"](x, z, theta), slopes, rtol=1e-5)


@pytest.fixture
def model(rng):
    return LinearGaussian(rng.standard_normal((5, 2)), rng.standard_normal(5), 0.7)


def test_the_posterior_and_the_evidence_are_those_of_the_joint_normal(lesson, model, rng):
    x = rng.standard_normal((4, 5))
    weights = model.weights
    of_x = weights @ weights.T + 0.49 * np.eye(5)
    mean, cov = lesson["posterior"](model, x)  # by conditioning (x, z), not by Bayes' rule
    np.testing.assert_allclose(mean, (x - model.bias) @ np.linalg.inv(of_x) @ weights, rtol=1e-10)
    np.testing.assert_allclose(
        cov, np.eye(2) - weights.T @ np.linalg.inv(of_x) @ weights, rtol=1e-10
    )
    exact = stats.multivariate_normal(model.bias, of_x).logpdf(x)
    np.testing.assert_allclose(lesson["log_p_linear"](model, x), exact, rtol=1e-10)


def test_the_divergence_is_what_quadrature_gives(lesson, rng):
    root = 0.5 * rng.standard_normal((2, 3))
    means, cov = rng.standard_normal((3, 2)), root @ root.T
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    epsilon = np.stack(np.meshgrid(nodes, nodes), axis=-1).reshape(-1, 2)
    weights = np.outer(weights, weights).ravel() / (2 * np.pi)
    offsets = epsilon @ np.linalg.cholesky(cov).T
    log_q = stats.multivariate_normal([0, 0], cov).logpdf(offsets)
    log_prior = stats.norm.logpdf(means[:, None] + offsets).sum(axis=2)
    np.testing.assert_allclose(
        lesson["divergence"](means, cov), (log_q - log_prior) @ weights, rtol=1e-10
    )


def test_the_mean_divergence_of_the_plainest_decoder(lesson):
    """For g(z) = z it is K/2 log(1 + 1/sigma^2): so e^D is (1 + 1/sigma^2)^(K/2)."""
    for latent_dim, sigma in ((8, 0.7), (2, 0.1)):
        plain = LinearGaussian(np.eye(latent_dim), np.zeros(latent_dim), sigma)
        x = plain.sample(100_000, seed=0)
        nats = lesson["divergence"](*lesson["posterior"](plain, x))
        error = nats.std() / math.sqrt(len(nats))
        exact = latent_dim / 2 * math.log(1 + 1 / sigma**2)
        assert abs(nats.mean() - exact) < 5 * error


def test_both_steps_climb_the_same_slope_on_average(lesson, model):
    """With few latents and many draws, prior and posterior draws agree, and with the evidence."""
    x = model.sample(300, seed=1) - model.bias
    start = 0.8 * model.weights
    rng = np.random.default_rng(2)
    of_prior, of_posterior = (
        np.mean([lesson[f](start, x, 0.7, rng) for _ in range(200)], axis=0)
        for f in ("prior_step", "posterior_step")
    )

    def evidence(weights):
        return LinearGaussian(weights, np.zeros(5), 0.7).log_evidence(x).mean()

    slopes = np.zeros((5, 2))
    for i in np.ndindex(5, 2):
        step = np.zeros((5, 2))
        step[i] = 1e-5
        slopes[i] = (evidence(start + step) - evidence(start - step)) / 2e-5
    np.testing.assert_allclose(of_posterior, 0.49 * slopes, atol=0.015)
    np.testing.assert_allclose(of_prior, 0.49 * slopes, atol=0.03)


def test_a_crossing_is_found_with_its_error(lesson, rng):
    sizes = np.arange(1, 101)
    errors = 2 * np.log(sizes / 50) - 1 + 0.1 * rng.standard_normal((1000, 1, 1))
    m, error = lesson["crossing"](errors, sizes, -1)
    assert abs(m - 50) < 4 * error
    assert error == pytest.approx(50 * 0.05 / math.sqrt(1000), rel=0.1)
