"""Latents to decode: draws from a prior, walks between two of them, a grid over two dimensions."""

from typing import NamedTuple

import numpy as np

from vae_keras._checks import check_count
from vae_keras.layers import IN_USE, kl_per_latent


class MixturePrior(NamedTuple):
    """A mixture of normal distributions over z (Equation 2), to take the place of N(0, I)."""

    weights: np.ndarray  # the share of each component, (n_components,)
    means: np.ndarray  # (n_components, latent_dim)
    covariances: np.ndarray  # (n_components, latent_dim, latent_dim)

    def sample(self, n: int, seed=None) -> np.ndarray:
        """Draw a component by its share, then z from it. Returns z: float32 (n, latent_dim)."""
        rng = np.random.default_rng(seed)
        components = rng.choice(len(self.weights), size=n, p=self.weights)
        z = rng.standard_normal((n, self.means.shape[1]))
        for k, root in enumerate(np.linalg.cholesky(self.covariances)):
            chosen = components == k
            z[chosen] = self.means[k] + z[chosen] @ root.T
        return z.astype("float32")

    def log_prob(self, z: np.ndarray) -> np.ndarray:
        """log density of each row of `z` (n, latent_dim): (n,), in nats."""
        from scipy import special, stats  # here, so that importing the package stays fast

        normals = map(stats.multivariate_normal, self.means, self.covariances)
        log_densities = [np.atleast_1d(normal.logpdf(z)) for normal in normals]
        return special.logsumexp(log_densities, axis=0, b=self.weights[:, None])


def draw_latents(n: int, latent_dim: int, seed=None, prior: MixturePrior | None = None):
    """Draw latents from the prior (Equation 5).

    Args:
        n: Number of draws, at least 1.
        latent_dim: Number of latent variables.
        seed: Integer that fixes the draws. `None` gives new ones each time.
        prior: `None` for N(0, I), or what `fit_mixture_prior` returns.

    Returns:
        float32 array (n, latent_dim).

    >>> draw_latents(2, latent_dim=3, seed=0).shape
    (2, 3)
    """
    check_count(n, "n")
    if prior is None:
        return np.random.default_rng(seed).standard_normal((n, latent_dim), dtype="float32")
    if prior.means.shape[1] != latent_dim:
        got = prior.means.shape[1]
        raise ValueError(f"prior must be over {latent_dim} latents; it is over {got}.")
    return prior.sample(n, seed)


def fit_mixture_prior(z_mean, z_log_var, n_components: int = 40, seed: int = 0) -> MixturePrior:
    """Fit a Gaussian mixture to draws from Q(z|X): a prior with its mass where the images are.

    It is fitted to the latents in use (`layers.IN_USE`). The others stay as they are, N(0, 1).

    Args:
        z_mean, z_log_var: What the encoder makes of the training images, each (n, latent_dim).
        n_components: Number of Gaussians, each with a full covariance matrix.
        seed: Integer that fixes the draws and the start of the fit.

    Returns:
        A `MixturePrior` over all latents, for `VAE.sample`. A `ValueError` says if none is in use.

    >>> z_mean = np.random.default_rng(0).choice([-3.0, 3.0], (100, 2))
    >>> prior = fit_mixture_prior(z_mean, np.full((100, 2), -4.0), n_components=4)
    >>> prior.means.shape
    (4, 2)
    """
    from sklearn.mixture import GaussianMixture  # here, so that importing the package stays fast

    used = np.flatnonzero(np.mean(kl_per_latent(z_mean, z_log_var), axis=0) > IN_USE)
    if not len(used):
        raise ValueError("z_mean and z_log_var must hold a latent in use; Q(z|X) is the prior.")
    epsilon = np.random.default_rng(seed).standard_normal(z_mean.shape, dtype="float32")
    z = z_mean + np.exp(0.5 * z_log_var) * epsilon  # Equation 13
    fitted = GaussianMixture(n_components, random_state=seed).fit(z[:, used])

    _, latent_dim = z.shape
    means = np.zeros((n_components, latent_dim))
    means[:, used] = fitted.means_
    covariances = np.tile(np.eye(latent_dim), (n_components, 1, 1))
    covariances[:, used[:, None], used] = fitted.covariances_
    return MixturePrior(fitted.weights_, means, covariances)


def interpolate(z_start, z_end, num_steps: int, spherical: bool = False) -> np.ndarray:
    """Walk from one latent to another, both ends included.

    Args:
        z_start, z_end: Arrays (latent_dim,).
        num_steps: Number of latents, at least 2.
        spherical: Go along an arc, on which the length of z does not shrink as on a straight line;
            under N(0, I) it is near sqrt(latent_dim).

    Returns:
        Array (num_steps, latent_dim).

    >>> interpolate([0.0, 0.0], [1.0, 2.0], num_steps=3).tolist()
    [[0.0, 0.0], [0.5, 1.0], [1.0, 2.0]]
    """
    z_start = np.asarray(z_start)
    z_end = np.asarray(z_end)
    if z_start.shape != z_end.shape or z_start.ndim != 1:
        got = f"{z_start.shape} and {z_end.shape}"
        raise ValueError(f"z_start and z_end must have one shape (latent_dim,); got {got}.")
    if num_steps < 2:
        raise ValueError(f"num_steps must be at least 2; got {num_steps}.")
    t = np.linspace(0.0, 1.0, num_steps)[:, None]
    lengths = np.linalg.norm(z_start) * np.linalg.norm(z_end)
    angle = 0.0
    if spherical and lengths > 0:
        angle = np.arccos(np.clip(z_start @ z_end / lengths, -1.0, 1.0))
    if np.sin(angle) < 1e-6:  # straight, or an arc that is not defined
        return (1 - t) * z_start + t * z_end
    return (np.sin((1 - t) * angle) * z_start + np.sin(t * angle) * z_end) / np.sin(angle)


def manifold_grid(num_rows: int) -> np.ndarray:
    """Lay a grid over a 2-D latent space at the quantiles of N(0, 1) (Equation 3).

    Each cell holds the same mass. Returns an array (num_rows ** 2, 2), row by row from the top:
    z_1 grows to the right, z_2 upwards.

    >>> manifold_grid(2).round(2).tolist()
    [[-0.67, 0.67], [0.67, 0.67], [-0.67, -0.67], [0.67, -0.67]]
    """
    from scipy.stats import norm  # here, so that importing the package stays fast

    quantiles = norm.ppf((np.arange(num_rows) + 0.5) / num_rows)
    z_1, z_2 = np.meshgrid(quantiles, quantiles[::-1])
    return np.stack([z_1.ravel(), z_2.ravel()], axis=1)
