"""Latents to decode: draws from a prior, walks between two latents, a grid over a 2-D latent space."""

import numpy as np

from vae_keras.data import is_integer
from vae_keras.evaluation import IN_USE, kl_per_latent


def draw_latents(n, latent_dim, seed=None, prior=None):
    """Draw latents from the prior (Equation 5).

    Args:
        n: Number of draws, at least 1.
        latent_dim: Number of latent variables.
        seed: Integer: the same seed gives the same draws. `None` gives new ones each time.
        prior: `None` for N(0, I), or what `fit_mixture_prior` returns.

    Returns:
        float32 array of shape (n, latent_dim).

    Raises:
        ValueError: If `n` is below 1, or `prior` is over another number of latents.
    """
    if not is_integer(n) or n < 1:
        raise ValueError(f"n must be an integer of at least 1; got {n!r}.")
    rng = np.random.default_rng(seed)
    if prior is None:
        return rng.standard_normal((n, latent_dim), dtype="float32")
    if prior.means_.shape[1] != latent_dim:
        raise ValueError(f"prior must be over {latent_dim} latents; it is over {prior.means_.shape[1]}.")
    # not prior.sample, which sorts its draws by component, and takes no seed
    components = rng.choice(len(prior.weights_), size=n, p=prior.weights_)
    roots = np.linalg.cholesky(prior.covariances_)[components]
    return (prior.means_[components] + np.einsum("nij,nj->ni", roots, rng.standard_normal((n, latent_dim)))).astype("float32")


def fit_mixture_prior(z_mean, z_log_var, n_components=40, seed=0):
    """Fit a Gaussian mixture to draws from Q(z|X): a prior with its mass where the encoder puts the images.

    It is fitted to the latents in use, whose KL divergence is above 0.01 nats. The others stay as they are, N(0, 1).

    Args:
        z_mean, z_log_var: What the encoder makes of the training images, each (n, latent_dim).
        n_components: Number of Gaussians, each with a full covariance matrix.
        seed: Integer that fixes the draws and the start of the fit.

    Returns:
        A fitted `sklearn.mixture.GaussianMixture` over all latents, for the argument `prior` of `VAE.sample`.

    Raises:
        ValueError: If no latent is in use, or there are fewer images than Gaussians.
    """
    from sklearn.mixture import GaussianMixture  # here, so that importing the package stays fast

    used = np.flatnonzero(kl_per_latent(z_mean, z_log_var) > IN_USE)
    if not len(used):
        raise ValueError("z_mean and z_log_var must hold a latent in use; for each of them Q(z|X) is the prior.")
    epsilon = np.random.default_rng(seed).standard_normal(z_mean.shape, dtype="float32")
    z = z_mean + np.exp(0.5 * z_log_var) * epsilon
    mixture = GaussianMixture(n_components, random_state=seed).fit(z[:, used])
    _, latent_dim = z.shape
    means, covariances, roots = np.zeros((n_components, latent_dim)), *np.tile(np.eye(latent_dim), (2, n_components, 1, 1))
    means[:, used], covariances[:, used[:, None], used] = mixture.means_, mixture.covariances_
    roots[:, used[:, None], used] = mixture.precisions_cholesky_
    mixture.means_, mixture.covariances_, mixture.precisions_cholesky_ = means, covariances, roots
    mixture.precisions_, mixture.n_features_in_ = roots @ roots.swapaxes(1, 2), latent_dim
    return mixture


def interpolate(z_start, z_end, num_steps, spherical=False):
    """Walk from one latent to another, both ends included.

    Args:
        z_start, z_end: Arrays of shape (latent_dim,).
        num_steps: Number of latents, at least 2.
        spherical: Go along an arc instead of straight, so that the length of z, which is near sqrt(latent_dim) under
            N(0, I), does not shrink on the way.

    Returns:
        Array of shape (num_steps, latent_dim).

    Raises:
        ValueError: If the ends differ in shape, or `num_steps` is below 2.
    """
    z_start, z_end = np.asarray(z_start), np.asarray(z_end)
    if z_start.shape != z_end.shape or z_start.ndim != 1:
        raise ValueError(f"z_start and z_end must have one shape (latent_dim,); got {z_start.shape} and {z_end.shape}.")
    if num_steps < 2:
        raise ValueError(f"num_steps must be at least 2; got {num_steps}.")
    t, lengths = np.linspace(0.0, 1.0, num_steps)[:, None], np.linalg.norm(z_start) * np.linalg.norm(z_end)
    angle = np.arccos(np.clip(z_start @ z_end / lengths, -1.0, 1.0)) if spherical and lengths > 0 else 0.0
    if np.sin(angle) < 1e-6:  # straight, or an arc that is not defined
        return (1 - t) * z_start + t * z_end
    return (np.sin((1 - t) * angle) * z_start + np.sin(t * angle) * z_end) / np.sin(angle)


def manifold_grid(num_rows):
    """Lay a square grid over a 2-D latent space at the quantiles of N(0, 1), so that each cell holds the same mass.

    Returns:
        Array of shape (num_rows ** 2, 2), row by row from the top: z_1 grows to the right, z_2 upwards.
    """
    from scipy.stats import norm  # here, so that importing the package stays fast

    quantiles = norm.ppf((np.arange(num_rows) + 0.5) / num_rows)
    z_1, z_2 = np.meshgrid(quantiles, quantiles[::-1])
    return np.stack([z_1.ravel(), z_2.ravel()], axis=1)
