"""What is measured on samples, against SciPy."""

import random

import keras
import numpy as np
import pytest
from scipy import linalg, ndimage, stats

from vae_keras import load_mnist
from vae_keras.evaluation import (
    frechet_distance,
    ink,
    loss_floor,
    mean_image_loss,
    sample_quality,
    slant,
    standard_error,
    stroke_width,
    train_classifier,
)


class TestFrechetDistance:
    def test_it_equals_its_formula_with_scipys_root_of_a_matrix(self, rng):
        one, other = (
            rng.normal(size=(400, 5)) @ rng.normal(size=(5, 5)),
            rng.normal(1, 2, (300, 5)) @ rng.normal(size=(5, 5)),
        )
        shift, s, t = one.mean(axis=0) - other.mean(axis=0), np.cov(one.T), np.cov(other.T)
        expected = shift @ shift + np.trace(s + t - 2 * linalg.sqrtm(s @ t).real)
        np.testing.assert_allclose(frechet_distance(one, other), expected, rtol=1e-8)

    def test_it_is_zero_to_itself_and_grows_by_the_square_of_a_shift(self, rng):
        features = np.pad(rng.normal(size=(100, 3)), ((0, 0), (0, 1)))  # a feature that never fires
        assert abs(frechet_distance(features, features)) < 1e-6
        np.testing.assert_allclose(
            frechet_distance(features, features + np.array([3.0, 0.0, 4.0, 0.0])), 25.0, rtol=1e-6
        )


class Classifier:
    """Takes an image of one pixel p for the digit 7 with the confidence p; its feature is p."""

    def predict(self, images, **kwargs):
        p = images.reshape(-1, 1)
        return np.eye(10)[[7]] * p + np.eye(10)[[0, 1]].mean(axis=0) * (1 - p), p @ np.array(
            [[1.0, -2.0]]
        )


def test_sample_quality_counts_confident_images_and_the_digits_that_are_seen():
    images = np.array([0.1, 0.5, 0.95, 0.99, 0.85]).reshape(-1, 1, 1, 1)
    quality = sample_quality(images, images + 0.5, Classifier())
    assert quality["recognised"] == 0.4  # 0.95 and 0.99
    np.testing.assert_allclose(quality["digit_shares"], [0.2, 0, 0, 0, 0, 0, 0, 0.8, 0, 0])
    np.testing.assert_allclose(quality["frechet_distance"], 0.5**2 + 1.0**2)


def test_a_classifier_learns_the_digits():
    (x_train, y_train), (x_test, y_test) = load_mnist()
    classifier = train_classifier(x_train[:4000], y_train[:4000])
    probabilities, features = classifier.predict(x_test[:1000], batch_size=500, verbose=0)
    assert (probabilities.argmax(axis=1) == y_test[:1000]).mean() > 0.93
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert features.shape == (1000, 128)


def test_its_seed_fixes_the_classifier(rng, untraced):
    x = rng.random((300, 8, 8, 1), dtype="float32")  # two batches: their order counts

    def weights(seed):
        classifier = train_classifier(x, np.arange(300) % 10, epochs=1, seed=seed)
        return np.concatenate([weight.ravel() for weight in classifier.get_weights()])

    one = weights(0)
    np.testing.assert_array_equal(one, weights(0))
    assert not np.allclose(one, weights(1))


def test_kerass_setting_of_channels_first_does_not_change_the_classifier(rng, untraced):
    x = rng.random((40, 8, 8, 1), dtype="float32")

    def weights(data_format):
        keras.config.set_image_data_format(data_format)
        try:
            classifier = train_classifier(x, np.arange(40) % 10, epochs=1)
        finally:
            keras.config.set_image_data_format("channels_last")
        return np.concatenate([weight.ravel() for weight in classifier.get_weights()])

    np.testing.assert_array_equal(weights("channels_first"), weights("channels_last"))


def test_the_classifier_leaves_the_callers_generators_alone(rng, untraced):
    x = rng.random((40, 8, 8, 1), dtype="float32")

    def draws(between):
        keras.utils.set_random_seed(2)
        between()
        layer = keras.layers.Dense(2)
        layer.build((None, 3))
        return random.random(), np.random.random(), layer.get_weights()[0].tolist()

    trained = draws(lambda: train_classifier(x, np.arange(40) % 10, epochs=1))
    assert trained == draws(lambda: None)


def test_the_standard_error_is_scipys_whatever_the_number_of_values(rng):
    for n in (2, 3, 1000):
        values = rng.normal(3.0, 2.0, n)
        np.testing.assert_allclose(standard_error(values), stats.sem(values))
    assert np.isnan(standard_error([1.0]))


class TestWhatALossMeans:
    def test_the_floor_is_the_entropy_of_the_grey_levels(self, rng):
        x = rng.random((5, 4, 3, 1))
        entropy = stats.bernoulli.entropy(x).sum(axis=(1, 2, 3)).mean()
        assert loss_floor(x) == pytest.approx(entropy)
        assert loss_floor(np.round(x)) == 0.0

    def test_the_floor_of_a_gaussian_is_its_density_at_the_mean(self, rng):
        x = rng.normal(size=(5, 4, 3, 1))
        assert loss_floor(x, "gaussian", 0.3) == pytest.approx(-12 * stats.norm.logpdf(0, 0, 0.3))
        assert loss_floor(x, "gaussian", None) == -np.inf

    def test_the_mean_image_is_that_of_the_training_images_and_half_an_image_of_each_grey(
        self, rng
    ):
        x_train = (rng.random((9, 2, 2, 1)) < 0.3).astype("float32")
        x_test = (rng.random((4, 2, 2, 1)) < 0.7).astype("float32")
        p = (x_train.sum(axis=0) + 0.5) / 10
        expected = -stats.bernoulli.logpmf(x_test, p).sum(axis=(1, 2, 3)).mean()
        assert mean_image_loss(x_train, x_test) == pytest.approx(expected)
        assert np.isfinite(mean_image_loss(np.zeros((3, 2, 2, 1)), np.ones((3, 2, 2, 1))))

    @pytest.mark.parametrize("sigma", [0.4, None])
    def test_of_a_gaussian_it_is_the_density_around_the_mean(self, rng, sigma):
        x_train, x_test = rng.normal(3, 2, (2, 50, 2, 3, 1))
        mean = x_train.mean(axis=0)
        width = (x_train - mean).std() if sigma is None else sigma
        expected = -stats.norm.logpdf(x_test, mean, width).sum(axis=(1, 2, 3)).mean()
        assert mean_image_loss(x_train, x_test, "gaussian", sigma) == pytest.approx(expected)

    def test_images_that_are_all_alike_leave_a_learned_sigma_no_width(self):
        x = np.ones((3, 2, 2, 1))
        assert mean_image_loss(x, x, "gaussian", None) == -np.inf


def drawn(inside, height=60, width=80):
    """An image (1, height, width, 1): 1 where the places right and up of its centre are `inside`.

    Each pixel is a mean over 16 x 16 points, so that edges are grey, as in a photograph.
    """
    step = (np.arange(16) + 0.5) / 16
    right = (np.arange(width)[:, None] + step).ravel() - width / 2
    up = height / 2 - (np.arange(height)[:, None] + step).ravel()
    fine = inside(right[None, :], up[:, None]).astype("float64")
    return fine.reshape(1, height, 16, width, 16).mean(axis=(2, 4))[..., None]


class TestRulers:
    @pytest.mark.parametrize("wide", [2, 3, 6])
    def test_a_bar_has_its_width_its_ink_and_no_slant(self, wide):
        bars = np.zeros((2, 28, 28, 1))
        bars[0, :, 10 : 10 + wide] = 1
        bars[1, 10 : 10 + wide] = 0.5  # grey, and lying
        np.testing.assert_allclose(stroke_width(bars), wide)
        np.testing.assert_allclose(ink(bars), [28 * wide, 14 * wide])
        np.testing.assert_allclose(slant(bars), 0, atol=1e-12)

    @pytest.mark.parametrize("lean", [-1.0, -0.3, 0.5])
    def test_a_leaning_bar_has_the_slant_and_the_width_that_geometry_gives(self, lean):
        bar = drawn(lambda right, up: abs(right - lean * up) < 4)
        assert slant(bar)[0] == pytest.approx(lean, abs=1e-3)
        assert stroke_width(bar)[0] == pytest.approx(8 / np.hypot(1, lean), rel=0.03)
        assert ink(bar)[0] == pytest.approx(8 * 60, rel=0.01)

    def test_a_disc_has_its_radius_and_a_ring_its_width(self):
        disc = drawn(lambda right, up: np.hypot(right, up) < 20)
        ring = drawn(lambda right, up: abs(np.hypot(right, up) - 20) < 2.5)
        widths = stroke_width(np.concatenate([disc, ring]))
        np.testing.assert_allclose(widths, [20, 5], rtol=0.02)
        np.testing.assert_allclose(ink(disc), np.pi * 20**2, rtol=1e-3)
        np.testing.assert_allclose(slant(np.concatenate([disc, ring])), 0, atol=1e-12)

    def test_a_sheared_digit_has_its_slant_and_the_shear(self):
        digit = load_mnist()[1][0][0, :, :, 0]
        rows = np.arange(28) - 14
        for shear in (-0.2, 0.25):
            sheared = np.stack(
                [
                    ndimage.shift(row, -shear * up, order=1)
                    for row, up in zip(digit, rows, strict=True)
                ]
            )
            one, other = slant(np.stack([digit, sheared])[..., None])
            assert other - one == pytest.approx(shear, abs=1e-3)

    def test_where_the_digit_lies_does_not_matter(self, rng):
        images = np.pad(rng.random((3, 9, 7, 1)), ((0, 0), (5, 5), (5, 5), (0, 0)))
        moved = np.roll(images, (2, -3), axis=(1, 2))
        for ruler in (ink, slant, stroke_width):
            np.testing.assert_allclose(ruler(moved), ruler(images))

    def test_channels_are_averaged(self, rng):
        images = rng.random((3, 9, 7, 3))
        for ruler in (ink, slant, stroke_width):
            np.testing.assert_allclose(ruler(images), ruler(images.mean(axis=3, keepdims=True)))

    def test_without_ink_there_is_nothing_to_measure(self):
        blank = np.zeros((1, 8, 8, 1))
        assert ink(blank) == 0
        assert np.isnan([slant(blank), stroke_width(blank)]).all()

    def test_another_shape_is_refused(self):
        for ruler in (ink, slant, stroke_width):
            with pytest.raises(ValueError, match=r"images must have the shape .* got \(28, 28\)"):
                ruler(np.zeros((28, 28)))
