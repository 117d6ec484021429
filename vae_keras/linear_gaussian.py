"""A decoder so simple that its evidence and its posterior are known exactly."""

import numpy as np
from scipy.stats import multivariate_normal


class LinearGaussian:
    """The latent variable model of Equation 5 with a linear decoder, g(z) = W z + b.

    Then X ~ N(b, W W' + sigma^2 I), and z|X is normal too (Bishop, "Pattern Recognition and
    Machine Learning", 2006, Equations 12.35 and 12.42).

    Args:
        weights: W, (data_dim, latent_dim).
        bias: b, (data_dim,).
        sigma: Standard deviation of the noise, above 0.
    """

    def __init__(self, weights, bias, sigma: float):
        self.weights = np.asarray(weights, float)
        self.bias = np.asarray(bias, float)
        self.sigma = float(sigma)

    def sample(self, n: int, seed=None) -> np.ndarray:
        """Draw z from N(0, I), then X from N(g(z), sigma^2 I). Returns X: (n, data_dim)."""
        rng = np.random.default_rng(seed)
        z = rng.standard_normal((n, self.weights.shape[1]))
        noise = rng.standard_normal((n, len(self.bias)))
        return z @ self.weights.T + self.bias + self.sigma * noise

    def log_evidence(self, x) -> np.ndarray:
        """log P(X) of each row of `x` (n, data_dim): (n,), in nats."""
        covariance = self.weights @ self.weights.T + self.sigma**2 * np.eye(len(self.bias))
        return np.atleast_1d(multivariate_normal(self.bias, covariance).logpdf(x))

    def posterior(self, x) -> tuple[np.ndarray, np.ndarray]:
        """Mean (n, latent_dim) and covariance (latent_dim, latent_dim) of z|X for each row."""
        precision = np.eye(self.weights.shape[1]) + self.weights.T @ self.weights / self.sigma**2
        covariance = np.linalg.inv(precision)
        return (x - self.bias) @ self.weights @ covariance / self.sigma**2, covariance
