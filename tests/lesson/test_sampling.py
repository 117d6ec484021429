"""Draws from a prior, walks and grids, against SciPy and geometry."""

import numpy as np
import pytest
from scipy import stats

from vae_keras import draw_latents, fit_mixture_prior, interpolate, manifold_grid
from vae_keras.sampling import MixturePrior

WEIGHTS = np.array([0.8, 0.2])
MEANS = np.array([[-20.0, 0.0], [20.0, 5.0]])
COVARIANCES = np.array([[[2.0, 1.2], [1.2, 1.0]], [[0.5, -0.3], [-0.3, 3.0]]])
MIXTURE = MixturePrior(WEIGHTS, MEANS, COVARIANCES)


class TestDrawLatents:
    def test_without_a_prior_they_are_standard_normal(self):
        z = draw_latents(20_000, 2, seed=0)
        assert z.shape == (20_000, 2)
        assert z.dtype == np.float32
        assert stats.kstest(z[:, 0], "norm").pvalue > 0.001
        assert abs(np.corrcoef(z.T)[0, 1]) < 5 / np.sqrt(20_000)

    def test_a_mixture_is_drawn_with_its_weights_means_and_covariances(self, rng):
        z = draw_latents(50_000, 2, seed=0, prior=MIXTURE)
        left = z[z[:, 0] < 0]
        assert abs(len(left) / len(z) - 0.8) < 5 * np.sqrt(0.16 / len(z))
        for part, k in ((left, 0), (z[z[:, 0] > 0], 1)):
            np.testing.assert_allclose(part.mean(axis=0), MEANS[k], atol=0.1)
            np.testing.assert_allclose(np.cov(part.T), COVARIANCES[k], atol=0.1)

    @pytest.mark.parametrize("prior", [None, MIXTURE], ids=["normal", "mixture"])
    def test_the_seed_fixes_the_draws(self, prior):
        np.testing.assert_array_equal(draw_latents(5, 2, 1, prior), draw_latents(5, 2, 1, prior))
        assert not np.array_equal(draw_latents(5, 2, 1, prior), draw_latents(5, 2, 2, prior))
        assert not np.array_equal(draw_latents(5, 2, None, prior), draw_latents(5, 2, None, prior))

    def test_a_prior_over_other_latents_is_refused(self):
        with pytest.raises(ValueError, match="prior must be over 4 latents; it is over 3"):
            draw_latents(5, 4, prior=fit_mixture_prior(np.eye(3), np.zeros((3, 3)), 1))


def test_a_fitted_prior_has_the_moments_of_the_aggregate_posterior(rng):
    z_mean = np.concatenate([rng.normal(-4, 0.1, (500, 2)), rng.normal(4, 0.1, (500, 2))])
    prior = fit_mixture_prior(z_mean, np.full((1000, 2), np.log(0.25)), n_components=2, seed=0)
    z = draw_latents(20_000, 2, seed=0, prior=prior)
    np.testing.assert_allclose(z.mean(axis=0), z_mean.mean(axis=0), atol=0.15)
    # the draws are wider than the means by the variance of Q
    np.testing.assert_allclose(z[z[:, 0] < 0].std(axis=0), np.sqrt(0.01 + 0.25), rtol=0.1)


class TestFitMixturePrior:
    def test_the_density_is_that_of_the_mixture_times_the_prior_of_the_unused_latents(self, rng):
        z_mean = np.insert(rng.normal(0, 2, (600, 2)) @ [[1.0, 0.5], [0.0, 1.0]], 1, 0.0, axis=1)
        z_log_var = np.full((600, 3), -2.0)
        z_log_var[:, 1] = 0.0  # the middle latent is not in use
        prior, z = fit_mixture_prior(z_mean, z_log_var, n_components=3), rng.normal(0, 2, (50, 3))
        used = np.ix_([0, 2], [0, 2])
        components = zip(prior.weights, prior.means[:, [0, 2]], prior.covariances, strict=True)
        density = sum(
            w * stats.multivariate_normal(m, c[used]).pdf(z[:, [0, 2]]) for w, m, c in components
        )
        np.testing.assert_allclose(
            prior.log_prob(z), np.log(density) + stats.norm.logpdf(z[:, 1]), rtol=1e-6
        )
        draws = draw_latents(20_000, 3, seed=0, prior=prior)
        assert stats.kstest(draws[:, 1], "norm").pvalue > 0.001
        np.testing.assert_allclose(
            np.cov(draws.T)[used], np.cov(z_mean[:, [0, 2]].T) + np.exp(-2.0) * np.eye(2), rtol=0.15
        )

    def test_a_collapsed_encoder_is_refused(self):
        with pytest.raises(ValueError, match="must hold a latent in use"):
            fit_mixture_prior(np.zeros((100, 3)), np.zeros((100, 3)))

    def test_the_seed_fixes_it(self, rng):
        z_mean, z_log_var = rng.normal(size=(200, 2)), np.full((200, 2), -2.0)
        one, same, other = (fit_mixture_prior(z_mean, z_log_var, 2, seed) for seed in (0, 0, 1))
        np.testing.assert_array_equal(one.means, same.means)
        assert not np.allclose(one.means, other.means)


def test_the_density_of_a_mixture_is_scipys(rng):
    z = rng.normal(0, 20, (7, 2))
    normals = [stats.multivariate_normal(*of) for of in zip(MEANS, COVARIANCES, strict=True)]
    density = sum(w * normal.pdf(z) for w, normal in zip(WEIGHTS, normals, strict=True))
    np.testing.assert_allclose(np.exp(MIXTURE.log_prob(z)), density, rtol=1e-9)
    assert MIXTURE.log_prob(z[:1]).shape == (1,)


class TestInterpolate:
    def test_straight(self):
        np.testing.assert_allclose(interpolate([0, 0], [3, 6], 4), [[0, 0], [1, 2], [2, 4], [3, 6]])

    def test_spherical_keeps_the_length_and_takes_equal_angles(self):
        walk = interpolate([2.0, 0.0], [0.0, 2.0], 4, spherical=True)
        angles = np.radians([0, 30, 60, 90])
        np.testing.assert_allclose(
            walk, 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1), atol=1e-12
        )

    def test_spherical_between_parallel_latents_is_straight(self):
        np.testing.assert_allclose(
            interpolate([1.0, 0.0], [3.0, 0.0], 3, spherical=True), [[1, 0], [2, 0], [3, 0]]
        )

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (([0, 0], [1], 3), "z_start and z_end"),
            (([0], [1], 1), "num_steps must be at least 2; got 1"),
        ],
    )
    def test_bad_arguments_are_refused_by_name(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            interpolate(*arguments)


def test_manifold_grid_cuts_the_prior_into_cells_of_equal_mass():
    grid = manifold_grid(4).reshape(4, 4, 2)
    np.testing.assert_allclose(
        stats.norm.cdf(grid[0, :, 0]), [0.125, 0.375, 0.625, 0.875]
    )  # z_1 to the right
    np.testing.assert_allclose(
        stats.norm.cdf(grid[:, 0, 1]), [0.875, 0.625, 0.375, 0.125]
    )  # z_2 upwards


def test_a_latent_that_is_hardly_used_keeps_the_normal_prior(rng):
    z_mean = rng.normal(0, [2.0, 0.05], (500, 2))
    z_log_var = np.tile([-2.0, 0.0], (500, 1))  # a KL of 0.001 nats an image in the second latent
    prior = fit_mixture_prior(z_mean, z_log_var, n_components=3)
    np.testing.assert_array_equal(prior.means[:, 1], 0)
    np.testing.assert_array_equal(prior.covariances[:, 1], np.tile([0, 1], (3, 1)))
