"""The formulas of notebook 04 against SciPy's quadrature, Gauss-Hermite, and slopes."""

import re

import numpy as np
import pytest
from notebook_code import answers, read, written_out
from scipy import integrate, optimize, stats

from vae_keras.linear_gaussian import LinearGaussian

NOTEBOOK = "04_variational_objective"
WRITTEN_OUT = (
    *("true_weights", "data", "poor_weights", "start"),
    *("z", "dz", "integral", "decoder", "x", "sigma", "log_prior", "log_likelihood"),
    *("log_evidence", "kl", "kl_to_prior", "terms", "elbo_at", "climb"),
    *("kl_of_normals", "expected_log_likelihood", "elbo_of", "theta_step"),
)
NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(6)  # exact up to degree 11
LIVE_C = [  # mean, width, reconstruction, KL, ELBO, gap: the table of the live figure C
    (0.0, 1.0, -2.910741, 0.000000, -2.910741, 1.317729),
    (2.0, 0.5, -4.521541, 2.318147, -6.839689, 5.246676),
    (0.26, 0.92, -2.688307, 0.040382, -2.728689, 1.135676),
    (0.92, 0.28, -0.801131, 1.235366, -2.036497, 0.443485),
    (-1.5, 0.5, -4.643622, 1.443147, -6.086769, 4.493757),
]


@pytest.fixture(scope="module")
def lesson():
    """The functions of the notebook by their names, from its own cells."""
    imports = {"np": np, "norm": stats.norm, "LinearGaussian": LinearGaussian}
    return written_out(NOTEBOOK, WRITTEN_OUT, **imports)


def log_joint(z):
    """Log P(x = 2, z) of the decoder with two hidden units."""
    decoded = 2 * np.tanh(2 * z + 2) - 2 * np.tanh(z - 1)
    return stats.norm.logpdf(2.0, decoded, 0.5) + stats.norm.logpdf(z)


def quad(f, centre, width):
    points = (centre - 3 * width, centre, centre + 3 * width)
    return integrate.quad(f, -12, 12, points=points, epsabs=1e-12, limit=500)[0]


@pytest.mark.parametrize(("mu", "s", *("reconstruction", "to_prior", "elbo", "gap")), LIVE_C)
def test_both_sides_of_equation_9_are_what_quadrature_gives(
    lesson, mu, s, reconstruction, to_prior, elbo, gap
):
    log_evidence = np.log(quad(lambda z: np.exp(log_joint(z)), 0, 1))
    assert lesson["log_evidence"] == pytest.approx(log_evidence, abs=1e-9)
    q = stats.norm(mu, s)
    terms = lesson["terms"](mu, s)
    exact_gap = quad(lambda z: q.pdf(z) * (q.logpdf(z) - log_joint(z) + log_evidence), mu, s)
    assert terms[0] - terms[1] == pytest.approx(log_evidence - exact_gap, abs=1e-9)
    to_the_prior = quad(lambda z: q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z)), mu, s)
    assert terms[1] == pytest.approx(to_the_prior, abs=1e-9)
    assert lesson["kl_to_prior"](mu, s) == pytest.approx(to_the_prior, abs=1e-9)
    table = reconstruction, to_prior, elbo
    assert (*terms, terms[0] - terms[1]) == pytest.approx(table, abs=6e-7)
    assert exact_gap == pytest.approx(gap, abs=6e-7)


def test_the_climbs_end_at_the_summits_that_scipy_finds(lesson):
    def minus_elbo(v):
        return -lesson["elbo_at"](v[0], v[1], lesson["log_likelihood"])

    ends = []
    for start, share in (((0.0, 0.0), 0.6), ((-1.5, np.log(0.5)), 0.3)):
        ends.append(lesson["climb"](*start)[-1])
        best = optimize.minimize(minus_elbo, ends[-1], tol=1e-12)
        np.testing.assert_allclose(ends[-1], best.x, atol=2e-3)
        gap = lesson["log_evidence"] + best.fun
        assert 0 < gap < -np.log(share)
    from_a = lesson["climb"](2.0, np.log(0.5))[-1]
    np.testing.assert_allclose(from_a, ends[0], atol=2e-3)
    right, left = (stats.norm(mu, np.exp(log_s)) for mu, log_s in ends)
    assert max(right.cdf(-0.215), left.sf(-0.215)) < 1e-4  # outside of their humps: exercise 1


def test_the_priors_slope_comes_from_between_the_humps():
    def slope(z):  # of log P(x | z), in the factor of both hyperbolic tangents
        g = 2 * np.tanh(2 * z + 2) - 2 * np.tanh(z - 1)
        return stats.norm.pdf(z) * (2 - g) * g / 2 / 0.5**2

    assert integrate.quad(slope, -0.65, 0.6)[0] == pytest.approx(-4.04, abs=0.005)
    assert np.subtract(*stats.norm.cdf([0.6, -0.65])) == pytest.approx(0.47, abs=0.005)
    inside, whole = (
        integrate.quad(lambda z: np.exp(log_joint(z)), *ends, points=(-1, 1))[0]
        for ends in ((-0.65, 0.6), (-12, 12))
    )
    assert inside / whole == pytest.approx(0.10, abs=0.005)
    z = np.linspace(-0.65, 0.6, 1001)
    highest = np.max(2 * np.tanh(2 * z + 2) - 2 * np.tanh(z - 1))
    assert highest == pytest.approx(3.5, abs=0.05)


def test_the_friends_bias_costs_the_elbo_what_the_third_exercise_says(lesson, capsys):
    names = dict(lesson)
    exec(answers(read(NOTEBOOK))[2], names)
    ours, hers = re.findall(r"after one step (-[\d.]+)", capsys.readouterr().out)
    assert float(ours) - float(hers) == pytest.approx(0.76, abs=0.005)
    models = [names["start"]] * 2
    for _ in range(3):  # the evidence of the friend's is the higher one in the first rounds
        models = [
            names[step](names["shifted"], *model.posterior(names["shifted"]))
            for step, model in zip(("theta_step", "friends_step"), models, strict=True)
        ]
        evidence = [model.log_evidence(names["shifted"]).mean() for model in models]
        assert evidence[1] > evidence[0]


@pytest.fixture
def case():
    """A linear decoder, 30 observations that it did not make, and a Q whose codes lie off 0."""
    rng = np.random.default_rng(0)
    model = LinearGaussian(rng.standard_normal((5, 2)), rng.standard_normal(5), 0.7)
    root = 0.5 * rng.standard_normal((2, 3))
    return model, 3 + rng.standard_normal((30, 5)), 1 + rng.standard_normal((30, 2)), root @ root.T


def elbo_by_nodes(model, x, mean, cov):
    """The ELBO as E[log P(x, z) - log Q(z)], by Gauss-Hermite quadrature: no closed form in it."""
    epsilon = np.stack(np.meshgrid(NODES, NODES), axis=-1).reshape(-1, 2)
    weights = np.outer(NODE_WEIGHTS, NODE_WEIGHTS).ravel() / (2 * np.pi)
    offsets = epsilon @ np.linalg.cholesky(cov).T
    log_q = stats.multivariate_normal([0, 0], cov).logpdf(offsets)
    z = mean[:, None] + offsets
    log_p = stats.norm.logpdf(x[:, None], z @ model.weights.T + model.bias, model.sigma).sum(axis=2)
    return (log_p + stats.norm.logpdf(z).sum(axis=2) - log_q) @ weights


def test_its_closed_forms_are_what_quadrature_gives(lesson, case):
    np.testing.assert_allclose(lesson["elbo_of"](*case), elbo_by_nodes(*case), rtol=1e-10)
    model, x, mean, cov = case
    true_mean, true_cov = model.posterior(x)
    gap = lesson["kl_of_normals"](mean, cov, true_mean, true_cov)
    np.testing.assert_allclose(model.log_evidence(x) - gap, elbo_by_nodes(*case), rtol=1e-10)


def test_the_theta_step_is_a_maximum_for_codes_that_do_not_average_to_zero(lesson, case):
    _, x, mean, cov = case
    best = lesson["theta_step"](x, mean, cov)
    top = np.concatenate([best.weights.ravel(), best.bias, [np.log(best.sigma)]])

    def bound(v):
        model = LinearGaussian(v[:10].reshape(5, 2), v[10:15], np.exp(v[15]))
        return elbo_by_nodes(model, x, mean, cov).mean()

    steps = 1e-5 * np.eye(16)
    slopes = [(bound(top + step) - bound(top - step)) / 2e-5 for step in steps]
    np.testing.assert_allclose(slopes, 0, atol=1e-7)
    rng = np.random.default_rng(1)
    assert max(bound(top + 0.05 * rng.standard_normal(16)) for _ in range(50)) < bound(top)
    assert np.abs(best.bias - x.mean(axis=0)).max() > 0.1  # so the mean of the data is not it
