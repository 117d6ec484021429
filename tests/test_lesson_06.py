"""What notebook 06 writes out: its two terms, and the gradients that it derives by hand."""

from copy import deepcopy

import numpy as np
import pytest
from notebook_code import statements, written_out
from scipy import integrate, stats
from scipy.special import expit, xlogy
from sklearn.datasets import load_digits

NOTEBOOK = "06_training_objective"
PROGRAM = ("reconstruction", "kl", "new_weights", "dense", "forward", "pixel_gradient")
PROGRAM += ("kl_gradients", "of_layer", "gradients", "adam", "fit")
DIGITS = ("shuffled", "x_train", "LATENT_DIM", "SIGMA", "HEAD", "ENCODER", "DECODER", "two_means")
OTHERS = ("bernoulli_gradient", "cross_entropy", "of_wrong_draw")
SIZES = {"h": (5, 4), "z_mean": (4, 3), "z_log_var": (4, 3), "g": (3, 4), "mean": (4, 5)}


@pytest.fixture(scope="module")
def lesson():
    """The notebook's functions by their names, for five pixels and three latents."""
    encoder = {name: SIZES[name] for name in ("h", "z_mean", "z_log_var")}
    decoder = {name: SIZES[name] for name in ("g", "mean")}
    given = {"np": np, "deepcopy": deepcopy, "xlogy": xlogy}
    given |= {"ENCODER": encoder, "DECODER": decoder, "SIGMA": 0.3, "LATENT_DIM": 3}
    return written_out(NOTEBOOK, PROGRAM + OTHERS, **given)


@pytest.fixture
def case(lesson, rng):
    """Weights, eight images, and their noise."""
    return lesson["new_weights"](rng), rng.random((8, 5)), rng.standard_normal((8, 3))


def quotients(loss, net, h=1e-5):
    """The derivative of a loss by each weight, from the weight moved up and down."""
    found = {}
    for name, values in net.items():
        found[name] = np.empty_like(values)
        for place in np.ndindex(values.shape):
            nudged = [deepcopy(net), deepcopy(net)]
            nudged[0][name][place] += h
            nudged[1][name][place] -= h
            found[name][place] = (loss(nudged[0]) - loss(nudged[1])) / (2 * h)
    return found


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for name in found:
        np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5, atol=1e-6, err_msg=name)


def test_the_program_has_at_most_60_lines():
    program = statements(NOTEBOOK, PROGRAM)
    assert sum(len(code.splitlines()) for code in program) <= 60


def test_reconstruction_is_minus_the_log_density_with_its_constant(lesson, rng):
    x, mean = rng.random((2, 4, 6))
    wanted = -stats.norm(mean, 0.5).logpdf(x).sum(axis=1)
    np.testing.assert_allclose(lesson["reconstruction"](x, mean, 0.5), wanted, rtol=1e-12)
    dropped = -lesson["reconstruction"](x, x, 0.5)[0]
    assert dropped == pytest.approx(-1.3547, abs=1e-4)  # its sign is that of log P(X|z)
    of_mnist = -lesson["reconstruction"](np.zeros((1, 784)), np.zeros((1, 784)), 0.25)[0]
    assert of_mnist == pytest.approx(366, abs=0.5)


def test_kl_equals_its_integral(lesson, rng):
    z_mean, z_log_var = rng.normal(size=(2, 3, 2))
    wanted = np.zeros_like(z_mean)
    for place in np.ndindex(z_mean.shape):
        q = stats.norm(z_mean[place], np.exp(0.5 * z_log_var[place]))
        wanted[place] = integrate.quad(
            lambda z, q=q: q.pdf(z) * (q.logpdf(z) - stats.norm.logpdf(z)), -15, 15, limit=200
        )[0]
    np.testing.assert_allclose(lesson["kl"](z_mean, z_log_var), wanted.sum(axis=1), rtol=1e-6)


def test_gradients_are_the_limits_of_quotients(lesson, case):
    net, x, epsilon = case

    def loss(net):
        _, z_mean, z_log_var, _, _, mean = lesson["forward"](net, x, epsilon)
        return np.mean(lesson["reconstruction"](x, mean, 0.3) + lesson["kl"](z_mean, z_log_var))

    assert_same(lesson["gradients"](net, x, epsilon), quotients(loss, net))


def test_bernoulli_gradients_are_the_limits_of_quotients(lesson, case):
    net, x, epsilon = case

    def loss(net):
        _, z_mean, z_log_var, _, _, logits = lesson["forward"](net, x, epsilon)
        costs = lesson["cross_entropy"](x, expit(logits))
        return np.mean(costs + lesson["kl"](z_mean, z_log_var))

    found = lesson["gradients"](net, x, epsilon, of_pixels=lesson["bernoulli_gradient"])
    assert_same(found, quotients(loss, net))


def test_the_first_mistake_charges_for_half_the_log_variance(lesson, case):
    net, x, epsilon = case

    def loss(net):
        _, z_mean, z_log_var, _, _, mean = lesson["forward"](net, x, epsilon)
        wrong = lesson["kl"](z_mean, 0.5 * z_log_var)
        return np.mean(lesson["reconstruction"](x, mean, 0.3) + wrong)

    found = lesson["gradients"](net, x, epsilon, of_kl=lesson["of_wrong_draw"])
    assert_same(found, quotients(loss, net))


def test_fit_gives_each_image_its_own_noise_and_renews_it_unless_frozen(lesson, case, monkeypatch):
    net, x, _ = case
    seen = []

    def record(net, images, noise, **_):
        seen.append(dict(zip(map(bytes, images), map(bytes, noise), strict=True)))
        return {name: np.zeros_like(value) for name, value in net.items()}

    monkeypatch.setitem(lesson, "gradients", record)
    for frozen in (False, True):
        seen.clear()
        list(lesson["fit"](net, x, 2, np.random.default_rng(0), batch=4, frozen=frozen))
        first, second = seen[0] | seen[1], seen[2] | seen[3]
        assert len(first) == len(set(first.values())) == len(x)
        assert first.keys() == second.keys()
        assert (first == second) == frozen


def test_fit_with_four_draws_repeats_each_image_with_other_noise(lesson, case, monkeypatch):
    net, x, _ = case
    seen = []

    def record(net, images, noise, **_):
        seen.append((images, noise))
        return {name: np.zeros_like(value) for name, value in net.items()}

    monkeypatch.setitem(lesson, "gradients", record)
    list(lesson["fit"](net, x, 1, np.random.default_rng(0), batch=8, draws=4))
    [(images, noise)] = seen
    np.testing.assert_array_equal(images[::4], images[3::4])
    assert len(np.unique(images, axis=0)) == len(x)
    assert len(np.unique(noise, axis=0)) == 4 * len(x)


def on_digits(rate=0.01):
    """The notebook's program by its names, and its digits; with another learning rate."""
    given = {"np": np, "deepcopy": deepcopy, "xlogy": xlogy, "load_digits": load_digits}
    given["rng"] = np.random.default_rng(0)  # which shuffles the digits
    names = written_out(NOTEBOOK, PROGRAM + DIGITS, **given)
    (fit,) = statements(NOTEBOOK, ("fit",))
    assert fit.count("rate = 0.01 *") == 1
    exec(fit.replace("rate = 0.01 *", f"rate = {rate} *"), names)
    return names


def loss_after(names, x, judged_on, rng, start, **options):
    """The loss with new noise, in nats per image, of what `fit` ends with."""
    *_, net = names["fit"](names["new_weights"](start), x, rng=rng, **options)
    return sum(names["two_means"](net, judged_on))


def test_no_direction_of_the_digits_has_a_variance_above_0_71():
    variances = np.linalg.eigvalsh(np.cov(on_digits()["x_train"].T))
    assert 0.69 < variances.max() < 0.71


def losses_of_ways(rate, *ways):
    """Of 100 digits, as in the notebook's four ways to draw the noise: means of three starts."""
    names = on_digits(rate)
    few = names["x_train"][:100]
    losses = np.zeros((3, len(ways)))
    for seed, i in np.ndindex(losses.shape):
        rng, start = np.random.default_rng(seed), np.random.default_rng(100 + seed)
        losses[seed, i] = loss_after(names, few, few, rng, start, batch=20, **ways[i])
    return losses.mean(axis=0)


SIXTEEN = {"epochs": 50, "draws": 16}


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.005, 0.02, 0.04])
def test_at_other_rates_too_more_steps_are_worth_six_nats(rate):
    sixteen, renewed = losses_of_ways(rate, SIXTEEN, {"epochs": 200})
    assert sixteen - renewed > 5.5


@pytest.mark.slow
def test_at_twice_the_rate_sixteen_draws_are_worth_nothing():
    sixteen, short = losses_of_ways(0.02, SIXTEEN, {"epochs": 50})
    assert sixteen == pytest.approx(short, abs=0.3)


def losses_of_splits(rate):
    """Of test digits, after 256 steps of 64 draws over 512 digits: means of five starts."""
    names = on_digits(rate)
    x, x_test = names["x_train"][:512], names["shuffled"][1500:]
    losses = []
    for images, draws in ((64, 1), (16, 4), (4, 16)):
        options = {"epochs": 32 // draws, "batch": images, "draws": draws}
        rngs = [np.random.default_rng(seed) for seed in range(5)]
        losses.append(np.mean([loss_after(names, x, x_test, r, r, **options) for r in rngs]))
    return losses


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "lead"), [(0.003, 0.4), (0.03, 0.0)])
def test_the_lead_of_one_draw_depends_on_the_rate(rate, lead):
    one, four, sixteen = losses_of_splits(rate)
    assert four - one == pytest.approx(lead, abs=0.2)
    assert sixteen > max(one, four) + 0.5
    assert one > -4.30 + 0.5  # worse than at 0.01, as the notebook prints it
