"""Notebook 02: its own functions against SciPy, quadrature and brute force."""

import numpy as np
import pytest
from keras import ops
from notebook_code import written_out
from scipy import integrate, optimize, stats
from scipy.spatial.distance import cdist

from vae_keras import load_mnist

WRITTEN_OUT = (
    *("exponential_cdf", "exponential_inverse", "staircase_inverse", "steps", "two_pieces_cdf"),
    *("two_pieces_inverse", "to_upper", "linear", "banana", "density", "exact_share"),
    *("distances", "energy_distance", "away", "to_exponential"),
)


@pytest.fixture(scope="module")
def lesson():
    """The functions of the notebook by their names, from its own cells."""
    given = {"np": np, "stats": stats, "integrate": integrate, "ops": ops, "RATE": 2.0}
    given["waits"] = stats.expon(scale=1 / 2)
    return written_out("02_inverse_transform_sampling", WRITTEN_OUT, **given)


def test_the_exponential_inverse_is_the_root_of_the_cdf(lesson):
    for u in np.linspace(0.001, 0.999, 37):
        root = optimize.brentq(lambda x, u=u: stats.expon.cdf(x, scale=0.5) - u, 0, 20)
        assert lesson["exponential_inverse"](u) == pytest.approx(root, abs=1e-9)
        assert lesson["exponential_cdf"](root) == pytest.approx(u, abs=1e-9)


def test_a_far_z_is_lost_in_its_u_as_the_third_exercise_says(lesson):
    exact = -stats.norm.logsf(8) / 2
    with np.errstate(divide="ignore"):
        found = [lesson["to_exponential"](z) for z in (8.0, 9.0)]
    assert [int(10 * x) for x in (found[0], exact)] == [174, 175]
    assert found[1] == np.inf


def test_two_sets_of_digits_have_mean_images_that_are_apart_by_chance():
    (x, _), _ = load_mnist()
    by_chance = 2 * x[:20_000].var(axis=0, dtype="float64").sum() / 5120
    assert by_chance / 10.1 == pytest.approx(0.002, abs=1e-4)


def test_the_staircase_takes_the_first_step_that_reaches_u(lesson):
    law = stats.poisson(3)
    for u in np.random.default_rng(1).random(500):
        k = int(lesson["staircase_inverse"](u))
        assert law.cdf(k) >= u
        assert law.cdf(k - 1) < u
    at_steps = law.cdf(np.arange(8))  # and exactly at a step
    np.testing.assert_array_equal(lesson["staircase_inverse"](at_steps), np.arange(8))


def test_the_two_pieces_have_their_cdf(lesson):
    u = np.random.default_rng(2).random(500)
    x = np.linspace(-2.5, 2.5, 101)
    left = lesson["two_pieces_inverse"](u)[:, None] <= x
    np.testing.assert_array_equal(left, u[:, None] <= lesson["two_pieces_cdf"](x))


def test_the_banana_carries_the_normal_density_to_the_target(lesson):
    z = np.random.default_rng(3).normal(size=(200, 2))
    step = 1e-6
    columns = [
        (lesson["banana"](z + step * e) - lesson["banana"](z - step * e)) / (2 * step)
        for e in np.eye(2)
    ]
    area = np.abs(np.linalg.det(np.stack(columns, axis=2)))
    target = lesson["density"](*lesson["banana"](z).T)
    np.testing.assert_allclose(target * area, stats.norm.pdf(z).prod(axis=1), rtol=1e-5)


def test_the_linear_function_has_the_covariance_of_the_text(lesson):
    matrix = lesson["linear"](np.eye(2)).T
    np.testing.assert_allclose(matrix @ matrix.T, [[1, 0.8], [0.8, 1]])


@pytest.mark.parametrize("box", [(-0.5, 0.5, 0, 0.5), (1, 2, 1, 2), (-2, -1, 2, 3)])
def test_the_exact_shares_of_the_boxes(lesson, box):
    left, right, bottom, top = box
    x_1 = np.linspace(left, right, 2001)[:, None]
    x_2 = np.linspace(bottom, top, 2001)
    values = lesson["density"](x_1, x_2)
    area = integrate.trapezoid(integrate.trapezoid(values, x_2, axis=1), x_1[:, 0])
    assert lesson["exact_share"](*box) == pytest.approx(area, rel=2e-3)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("slope", [10, 100, 1000])
def test_a_g_that_crosses_three_times_has_more_in_the_gap(slope, seed):
    half = 1 / slope  # of the interval that a crossing needs
    second, third = np.sort(np.random.default_rng(seed).uniform(0.5, 3, 2))
    third += 2 * half

    def shares(first):
        edges = np.array([first, second, third])
        low, high = stats.norm.cdf(edges - half), stats.norm.cdf(edges + half)
        left = low[0] + low[2] - high[1]
        right = low[1] - high[0] + 1 - high[2]
        return left, right

    def uneven(first):
        return np.subtract(*shares(first))

    first = optimize.brentq(uneven, -10, second - 2 * half)
    assert 1 - sum(shares(first)) > 2 * stats.norm.cdf(half) - 1


def test_the_energy_distance_against_its_closed_form(lesson):
    rng = np.random.default_rng(4)
    found = []
    for _ in range(100):
        x, y = np.zeros((2, 8, 2), "float32")
        x[:, 0], y[:, 0] = rng.normal(size=8), rng.normal(1.5, 2, size=8)
        found.append(float(lesson["energy_distance"](x, y)))

    def squared(t):
        return (stats.norm.cdf(t) - stats.norm.cdf(t, 1.5, 2)) ** 2

    exact = 2 * integrate.quad(squared, -15, 15)[0]  # twice Cramér's
    assert stats.sem(found) < 0.1
    assert np.mean(found) == pytest.approx(exact, abs=4 * stats.sem(found))


@pytest.mark.parametrize("n", [2, 3, 7])
def test_the_energy_distance_against_brute_force(lesson, n):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(n, 3)).astype("float32")
    y = rng.normal(1, 2, size=(n, 3)).astype("float32")
    between = [np.linalg.norm(x[i] - y[j]) for i in range(n) for j in range(n)]
    within_x = [np.linalg.norm(x[i] - x[j]) for i in range(n) for j in range(n) if i != j]
    within_y = [np.linalg.norm(y[i] - y[j]) for i in range(n) for j in range(n) if i != j]
    by_hand = 2 * np.mean(between) - np.mean(within_x) - np.mean(within_y)
    # a point is 0.001 from itself: its square is kept above 1e-6, for the gradient
    assert float(lesson["energy_distance"](x, y)) == pytest.approx(by_hand, abs=0.003)


def test_a_share_astray_costs_its_square():
    rng = np.random.default_rng(6)
    p = rng.normal(size=(30, 2))
    r = rng.normal(size=(30, 2)) + 3

    def energy(w, v):  # of two distributions on the 60 points, exactly
        d = cdist(np.vstack([p, r]), np.vstack([p, r]))
        return 2 * w @ d @ v - w @ d @ w - v @ d @ v

    of_p, of_r = np.repeat([1, 0], 30) / 30, np.repeat([0, 1], 30) / 30
    mixed = energy(of_p, 0.95 * of_p + 0.05 * of_r)
    assert mixed == pytest.approx(0.05**2 * energy(of_p, of_r), rel=1e-9)


def test_the_distance_to_the_half_circles(lesson):
    angle = np.linspace(0, np.pi, 20_001)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = [1, 0] - upper
    x = np.random.default_rng(7).uniform(-2, 3, (300, 2))
    to_upper = cdist(x, upper).min(axis=1)
    np.testing.assert_allclose(lesson["to_upper"](x), to_upper, atol=1e-4)
    near = np.minimum(cdist(x, upper), cdist(x, lower)).min(axis=1)
    np.testing.assert_allclose(lesson["away"](x), near, atol=1e-4)


def test_the_half_circles_are_one_apart(lesson):
    angle = np.linspace(0, np.pi, 2001)
    lower = np.stack([1 - np.cos(angle), -np.sin(angle)], axis=1)
    assert lesson["to_upper"](lower).min() == pytest.approx(1, abs=1e-9)
