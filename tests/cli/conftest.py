"""What the tests of the command line share: images of one's own, and a small model."""

import keras
import numpy as np
import pytest
from small_networks import small_vae as make_small_vae

from vae_keras.cli import runs


@pytest.fixture
def my_images(tmp_path, rng):
    np.savez(tmp_path / "mine.npz", x_train=rng.integers(0, 256, (40, 9, 7), dtype="uint8"))
    return tmp_path / "mine.npz"


@pytest.fixture
def saved_vae(tmp_path):
    make_small_vae("default", 3, (9, 7, 1), "bernoulli", None).save(tmp_path / "vae.keras")
    return tmp_path / "vae.keras"


@pytest.fixture
def small_network(monkeypatch, untraced):
    """The command line trains a small network, by the simplest optimizer."""
    monkeypatch.setattr(runs, "ConvVAE", make_small_vae)
    monkeypatch.setattr(runs, "make_optimizer", lambda *_: keras.optimizers.SGD(1e-3))


@pytest.fixture
def constant_network(monkeypatch):
    """The command line "trains" a network that never changes, whose losses are known.

    Each latent mean is the mean grey level, and each logit is 1, whatever the latents are.
    """
    layers = keras.layers

    def make(network, latent_dim, image_shape, likelihood, sigma):
        x = keras.Input(image_shape)
        pixels = layers.Flatten()(x)
        average = keras.initializers.Constant(1 / pixels.shape[1])
        z_mean = layers.Dense(latent_dim, kernel_initializer=average)(pixels)
        z_log_var = layers.Dense(latent_dim, kernel_initializer="zeros")(pixels)
        z = keras.Input((latent_dim,))
        ones = {"kernel_initializer": "zeros", "bias_initializer": "ones"}
        logits = layers.Reshape(image_shape)(layers.Dense(pixels.shape[1], **ones)(z))
        return runs.VAE(keras.Model(x, (z_mean, z_log_var)), keras.Model(z, logits), likelihood)

    monkeypatch.setattr(runs, "ConvVAE", make)
    monkeypatch.setattr(runs, "make_optimizer", lambda *_: keras.optimizers.SGD(0.0))
