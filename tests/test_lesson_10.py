"""What notebook 10 writes out: densities of codes, and a collapse; and a prior that is learned."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from notebook_code import written_out
from scipy import integrate, optimize, stats
from scipy.special import logsumexp

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import learned_prior  # noqa: E402

NOTEBOOK = "10_weird_digits"
PRIORS = ("normal", "fitted", "learned")
WRITTEN_OUT = {"by_fifth", "choose", "log_aggregate", "log_prior", "nats"}


@pytest.fixture(scope="module")
def lesson():
    """The functions of the notebook by their names, on a grid of its kind."""
    side = np.linspace(-2, 2, 21)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    imports = {"np": np, "norm": stats.norm, "logsumexp": logsumexp}
    return written_out(NOTEBOOK, WRITTEN_OUT, grid=grid, **imports)


def test_the_aggregate_posterior_has_a_normal_for_each_image(lesson, rng):
    z_mean, z_log_var = rng.normal(size=(2, 7, 3))
    z = rng.normal(size=(250, 3))  # more than are computed at once
    normals = [
        stats.multivariate_normal(mean, np.diag(np.exp(log_var)))
        for mean, log_var in zip(z_mean, z_log_var, strict=True)
    ]
    wanted = np.log(np.mean([normal.pdf(z) for normal in normals], axis=0))
    np.testing.assert_allclose(lesson["log_aggregate"](z, z_mean, z_log_var), wanted, rtol=1e-9)


def test_of_codes_that_are_the_prior_it_is_the_prior(lesson, rng):
    z = rng.normal(size=(20, 3))
    log_q = lesson["log_aggregate"](z, np.zeros((5, 3)), np.zeros((5, 3)))
    np.testing.assert_allclose(log_q, lesson["log_prior"](z), rtol=1e-12)


def test_the_places_chosen_are_the_first_that_are_far_apart(lesson):
    order = np.arange(441)
    chosen = lesson["choose"](order, number=5, apart=0.45)
    # along the lowest row, whose points are 0.2 apart: each third one
    np.testing.assert_allclose(chosen, [[-2 + 0.6 * i, -2] for i in range(5)])


def test_fifths_go_up_the_measure(lesson, rng):
    measure = rng.permutation(50)
    np.testing.assert_allclose(lesson["by_fifth"](measure, measure), [4.5, 14.5, 24.5, 34.5, 44.5])


def written_layer():
    return written_out(NOTEBOOK, {"LearnedPrior"}, keras=keras, ops=ops, np=np)["LearnedPrior"]


class TestLearnedPrior:
    @pytest.fixture
    def weights(self, rng):
        return [rng.normal(size=shape).astype("float32") for shape in ((4, 3), (4, 3), (4,))]

    @pytest.fixture
    def layer(self, weights):
        return self.with_weights(learned_prior.LearnedPrior, weights)

    @staticmethod
    def with_weights(layer_class, weights):
        layer = layer_class(4, 3)
        layer.set_weights(weights)
        return layer

    @pytest.mark.parametrize("written", [False, True], ids=["script", "notebook"])
    def test_it_is_the_density_of_its_mixture(self, written, weights, rng):
        layer_class = written_layer() if written else learned_prior.LearnedPrior
        layer = self.with_weights(layer_class, weights)
        means, log_vars, logits = weights
        shares = np.exp(logits) / np.exp(logits).sum()
        z = rng.normal(size=(30, 3)).astype("float32")
        densities = [
            share * stats.norm.pdf(z, mean, np.exp(0.5 * log_var)).prod(axis=1)
            for share, mean, log_var in zip(shares, means, log_vars, strict=True)
        ]
        log_r = ops.convert_to_numpy(layer(z))
        np.testing.assert_allclose(log_r, np.log(np.sum(densities, axis=0)), rtol=1e-4)

    def test_its_draws_have_the_moments_of_its_mixture(self, layer, weights):
        means, log_vars, logits = weights
        shares = np.exp(logits) / np.exp(logits).sum()
        drawn = layer.sample(100_000, seed=0)
        mean = shares @ means
        spread = np.sqrt(shares @ (np.exp(log_vars) + means**2) - mean**2)
        np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.02 * spread.max())
        np.testing.assert_allclose(drawn.std(axis=0), spread, rtol=0.02)

    def test_in_the_place_of_the_normal_prior_its_loss_has_the_mean_of_the_closed_form(self, rng):
        vae = learned_prior.VAEWithLearnedPrior(seed=0)
        vae.prior.set_weights([np.zeros(weight.shape) for weight in vae.prior.weights])
        image = rng.random((1, 28, 28, 1), dtype="float32")
        terms = vae.predict(np.repeat(image, 2000, axis=0), batch_size=500, verbose=0)
        z_mean, z_log_var = (ops.convert_to_numpy(part) for part in vae.encoder(image))
        exact = 0.5 * np.sum(np.exp(z_log_var) + z_mean**2 - 1 - z_log_var)
        error = terms["kl"].std() / np.sqrt(2000)
        assert terms["kl"].mean() == pytest.approx(exact, abs=5 * error)


class TestRecordOfPriors:
    @pytest.fixture(scope="class")
    def kept(self):
        return json.loads((BENCHMARKS / "records" / "learned_prior.json").read_text())

    def test_it_holds_three_seeds_of_each_on_committed_code(self, kept):
        assert not kept["commit"].endswith("-dirty")
        assert kept["command"] == "python benchmarks/learned_prior.py"
        for name in ("normal", "fitted", "learned"):
            assert [run["seed"] for run in kept["runs"] if name in run] == [0, 1, 2]

    def test_with_each_seed_the_priors_stand_in_the_order_that_the_notebook_says(self, kept):
        rows = {seed: {} for seed in range(3)}
        for run in kept["runs"]:
            rows[run["seed"]] |= {name: run[name] for name in run.keys() & set(PRIORS)}
        for row in rows.values():
            by_loss = sorted(PRIORS, key=lambda name: row[name]["test_neg_elbo"])
            by_share = sorted(PRIORS, key=lambda name: -row[name]["recognised"])
            assert by_loss == by_share == ["fitted", "learned", "normal"]


def test_equation_9_with_another_prior_is_a_bound_for_that_prior():
    """One latent, X = z + noise, r a normal: all by quadrature."""
    x, q, prior, r = 1.3, stats.norm(0.8, 0.6), stats.norm(), stats.norm(0.5, 0.7)

    def expected(f):
        return integrate.quad(lambda z: q.pdf(z) * f(z), -6, 6)[0]

    elbo = expected(lambda z: stats.norm.logpdf(x, z, 0.5) + prior.logpdf(z) - q.logpdf(z))
    gain = expected(lambda z: r.logpdf(z) - prior.logpdf(z))
    evidence = stats.norm.logpdf(x, 0.5, np.hypot(0.7, 0.5))  # r and the noise add up
    variance = 1 / (1 / 0.7**2 + 1 / 0.5**2)
    posterior = stats.norm(variance * (0.5 / 0.7**2 + x / 0.5**2), np.sqrt(variance))
    gap = expected(lambda z: q.logpdf(z) - posterior.logpdf(z))
    assert gap > 0
    assert elbo + gain == pytest.approx(evidence - gap, abs=1e-9)


@pytest.mark.parametrize(("sigma", "beta"), [(0.5, 1), (1.0, 1), (1.0, 4), (2.0, 1), (0.5, 40)])
def test_a_direction_of_a_linear_decoder_carries_what_the_formula_says(lesson, sigma, beta):
    lesson["lambdas"] = np.array([9.0])

    def loss(parameters):  # of the best Q(z|x) = N(a x, s^2) and the decoder w z
        a, w, log_s = parameters
        square = (1 - w * a) ** 2 * 9 + (w * np.exp(log_s)) ** 2
        return square / (2 * sigma**2) + beta * kl(a, log_s)

    def kl(a, log_s):
        return 0.5 * (np.exp(2 * log_s) + a**2 * 9 - 1 - 2 * log_s)

    best = optimize.minimize(loss, (0.2, 2.0, -0.5), method="Nelder-Mead", tol=1e-10)
    wanted = lesson["nats"](sigma, beta).sum()
    assert kl(best.x[0], best.x[2]) == pytest.approx(wanted, abs=1e-3)
    assert (wanted > 0) == (beta * sigma**2 < 9)
