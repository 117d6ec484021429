"""What notebook 01 writes out is right: its heights, its EM, its densities and its draws."""

import re

import numpy as np
import pytest
from notebook_code import answers, read, written_out
from scipy import linalg, ndimage, optimize, special, stats

from vae_keras import load_mnist

NOTEBOOK = "01_generative_models"
WRITTEN_OUT = ("em_step", "fit_classes", "log_joint", "draw_images")
SHARES = np.array([0.5, 0.3, 0.2])
MEANS = np.array([220.0, 620.0, 850.0])
SDS = np.array([30.0, 70.0, 90.0])
START = [np.full(3, 1 / 3), np.array([300.0, 500.0, 700.0]), np.full(3, 150.0)]


@pytest.fixture(scope="module")
def cells():
    return [cell.source for cell in read(NOTEBOOK) if cell.cell_type == "code"]


@pytest.fixture
def lesson(rng):
    """The functions of the notebook by their names, from its own cells."""
    given = {"np": np, "stats": stats, "rng": rng}
    given |= {"solve_triangular": linalg.solve_triangular, "logsumexp": special.logsumexp}
    return written_out(NOTEBOOK, WRITTEN_OUT, **given)


@pytest.fixture
def images(rng):
    """60 images of two classes, with pixels that are correlated; and their classes."""
    patterns = rng.random((2, 5, 784))
    z = np.repeat([0, 1], 30)
    return np.stack([0.2 * rng.standard_normal(5) @ patterns[k] for k in z]), z


def city(rng, n):
    z = rng.choice(3, n, p=SHARES)
    return rng.normal(MEANS[z], SDS[z])


def log_likelihood(theta, x):
    """Mean log-density of a mixture of three normals, in nats."""
    shares, means, sds = np.reshape(theta, (3, -1))
    joint = [w * stats.norm(m, s).pdf(x) for w, m, s in zip(shares, means, sds, strict=True)]
    return np.log(np.sum(joint, axis=0)).mean()


def test_its_heights_are_macdonells(cells):
    (source,) = [source for source in cells if "COUNTS = [" in source]
    lists = re.findall(r"COUNTS \+?= \[(.*?)\]", source)
    counts = [int(n) for n in ",".join(lists).split(",")]
    assert (len(counts), sum(counts)) == (22, 3000)
    # the column sums of crimtab, the same table in R (package datasets)
    by_height = "1 1 6 23 48 90 175 317 393 462 458 413 264 177 97 46 17 7 4 0 0 1"
    assert counts == [int(n) for n in by_height.split()]


def test_a_step_of_em_is_bayes_rule_and_three_weighted_averages(lesson, rng):
    x = city(rng, 200)
    (shares, means, sds), score = lesson["em_step"](x, *START)
    assert score == pytest.approx(log_likelihood(START, x), rel=1e-12)
    for k in range(3):
        joint = [w * stats.norm(m, s).pdf(x) for w, m, s in zip(*START, strict=True)]
        r = joint[k] / sum(joint)
        assert shares[k] == pytest.approx(np.mean(r), rel=1e-10)
        assert means[k] == pytest.approx(np.average(x, weights=r), rel=1e-10)
        variance = np.average((x - means[k]) ** 2, weights=r)
        assert sds[k] == pytest.approx(np.sqrt(variance), rel=1e-10)


def test_em_never_lowers_the_likelihood_and_ends_where_its_gradient_is_zero(lesson, rng):
    x = city(rng, 2000)
    theta = START
    scores = []
    for _ in range(400):
        theta, score = lesson["em_step"](x, *theta)
        scores.append(score)
    assert np.min(np.diff(scores)) > -1e-12
    shares, means, sds = theta

    def of_free(free):  # the means, the sds, and two of the three shares
        rest = [free[6], free[7], 1 - free[6] - free[7]]
        return log_likelihood([rest, free[:3], free[3:6]], x)

    free = np.concatenate([means, sds, shares[:2]])
    gradient = optimize.approx_fprime(free, of_free, 1e-5 * np.abs(free))
    assert np.abs(gradient * free).max() < 1e-3


def test_em_has_no_bias_and_the_spread_over_cities_that_the_text_names(lesson, rng):
    fitted = []
    for _ in range(16):
        theta, x = START, city(rng, 4000)
        for _ in range(120):
            theta, _ = lesson["em_step"](x, *theta)
        fitted.append([theta[1][2], theta[2][2]])  # Hilltop's mean and standard deviation
    spread = np.std(fitted, axis=0, ddof=1)
    assert np.abs(np.mean(fitted, axis=0) - [850, 90]).max() < 3 * spread.max() / np.sqrt(16)
    assert 4 < spread[0] < 11  # "about 7"
    assert 3 < spread[1] < 8  # "about 4.5"


def test_counting_by_the_inch_widens_the_spread_by_what_the_text_names():
    width, fine = 2.54, np.linspace(-40, 40, 8001)
    middles = width * np.round(fine / width)
    weights = stats.norm.pdf(fine, scale=6.38)
    counted = np.sqrt(np.average(middles**2, weights=weights))
    assert counted / 6.38 - 1 == pytest.approx(0.007, abs=5e-4)


def test_its_largest_gaps_by_chance():
    """Of 2000 houses from a model, and from 2000 others, once in twenty times."""
    assert stats.kstwo.isf(0.05, 2000) == pytest.approx(0.03, abs=5e-4)
    assert stats.kstwobign.isf(0.05) * np.sqrt(2 / 2000) == pytest.approx(0.043, abs=5e-4)


def test_a_friends_hard_em_ends_as_the_third_exercise_says(lesson, capsys):
    rng = np.random.default_rng(0)  # as in the notebook, which draws its heights first
    rng.permutation(3000), rng.normal(size=1500)
    names = {"np": np, "stats": stats, "start": START, "log_likelihoods": [-6.2451]}
    names["prices"] = city(rng, 6000)[:4000]
    assert names["prices"].mean().round() == 468
    exec(answers(read(NOTEBOOK))[2], names)
    shares, _, sds = names["theta"]
    assert (100 * shares[1]).round(1) == 0.3
    assert sds[1].round(1) == 0.2
    scores = re.findall(r"^ *\d+ (-\d\.\d{4})", capsys.readouterr().out, re.MULTILINE)
    rises = np.diff(np.array(scores, float))
    assert rises[0] > 0 > rises.min()  # at first it rises, and falls at some of the steps


def test_the_noise_is_as_large_as_the_variance_of_a_pixel_within_a_class():
    (x, labels), _ = load_mnist()
    x, labels = x[:10_000].reshape(-1, 784), labels[:10_000]
    within = [x[labels == k].var(axis=0).mean() * np.mean(labels == k) for k in range(10)]
    assert sum(within) == pytest.approx(0.053, abs=5e-4)


def test_its_log_joint_is_scipys(lesson, images):
    x, z = images
    model = lesson["fit_classes"](x, z, 0.05)
    ours = lesson["log_joint"](x, *model)
    for k in range(2):
        group = x[z == k]
        centred = group - group.mean(axis=0)
        covariance = centred.T @ centred / 29 + 0.05 * np.eye(784)
        law = stats.multivariate_normal(group.mean(axis=0), covariance)
        np.testing.assert_allclose(ours[:, k], np.log(0.5) + law.logpdf(x), rtol=1e-8)


def test_its_draws_have_the_mean_and_the_covariance_of_their_class(lesson, images, rng):
    x, z = images
    drawn, drawn_z = lesson["draw_images"](6000, lesson["fit_classes"](x, z, 0.05))
    assert stats.binomtest(int(np.sum(drawn_z)), 6000).pvalue > 1e-4
    directions = rng.normal(size=(784, 4))
    directions /= np.linalg.norm(directions, axis=0)
    for k in range(2):
        seen = drawn[drawn_z == k] @ directions
        group = x[z == k]
        covariance = np.cov(group.T) + 0.05 * np.eye(784)
        sd = np.sqrt(np.diag(directions.T @ covariance @ directions))
        error = (seen.mean(axis=0) - group.mean(axis=0) @ directions) / sd * np.sqrt(len(seen))
        assert np.abs(error).max() < 4.5
        np.testing.assert_allclose(seen.std(axis=0), sd, rtol=0.08)


def test_a_draw_lies_half_its_dimensions_below_the_mean(lesson, images):
    x, z = images
    model = lesson["fit_classes"](x, z, 0.05)
    drawn, drawn_z = lesson["draw_images"](400, model)
    at_mean = np.diag(lesson["log_joint"](model[1], *model))
    below = at_mean[drawn_z] - lesson["log_joint"](drawn, *model)[np.arange(400), drawn_z]
    sd = np.sqrt(392)  # exercise 2: D/2 is the mean and the variance
    assert abs(below.mean() - 392) < 4 * sd / np.sqrt(400)
    assert abs(below.std() / sd - 1) < 4 / np.sqrt(800)


def test_its_measures_of_images(cells, images, capsys):
    pixels, _ = images
    sheet = np.zeros((60, 28, 28))
    sheet[:, 2:6, 3] = sheet[:, 10, 10:20] = sheet[:, 11, 20] = 1  # the last at a corner only
    names = {"np": np, "ndimage": ndimage, "pixels": pixels}
    for source in cells:
        if "def count(" in source or "def measure(" in source:
            exec(source, names)
    names["measure"]("sheet", sheet.reshape(60, 784))
    names["measure"]("pixels", pixels)
    assert (names["pieces"]["sheet"], names["specks"]["sheet"]) == (2, 1)
    assert names["large"]["sheet"] == 1  # ten pixels in a row; the other piece has four
    used = pixels.std(axis=0) > 0.1
    pairs = np.flatnonzero(used[:-1] & used[1:])
    expected = np.mean([np.corrcoef(pixels[:, i], pixels[:, i + 1])[0, 1] for i in pairs])
    assert float(capsys.readouterr().out.split()[-1]) == pytest.approx(expected, abs=0.0051)
