"""Networks that train in a moment, for tests in which the network is not the subject."""

import keras
from keras import layers

from vae_keras import VAE, ConvVAE
from vae_keras.networks import NETWORKS


def tiny_networks(
    latent_dim, image_shape, dtype=None, activation=None, depth=None, normalised=True
):
    """Stand in for the networks of a `ConvVAE`: `ConvVAE(network="tiny")` builds these.

    What makes tests slow is the number of weights, since each is traced, and not their size.
    """
    images = keras.Input(image_shape)
    h = layers.Flatten(dtype=dtype)(images)
    if normalised:
        h = layers.BatchNormalization(momentum=0.9, dtype=dtype)(h)
    start = keras.initializers.Constant(-3.0)
    z_mean = layers.Dense(latent_dim, dtype="float32")(h)
    z_log_var = layers.Dense(latent_dim, bias_initializer=start, dtype="float32")(h)
    z = keras.Input((latent_dim,))
    num_values = images.shape[1] * images.shape[2] * images.shape[3]
    h = layers.Dense(num_values, dtype=dtype)(z)
    h = layers.Activation("linear", dtype="float32")(layers.Reshape(image_shape, dtype=dtype)(h))
    return keras.Model(images, (z_mean, z_log_var)), keras.Model(z, h)


NETWORKS["tiny"] = tiny_networks, "linear"  # no hidden layer has one


def tiny_vae(**arguments):
    """A `ConvVAE` of these networks over 8 x 8 grey pixels, with 3 latents."""
    return ConvVAE(**{"latent_dim": 3, "image_shape": (8, 8, 1), **arguments}, network="tiny")


def small_vae(network, latent_dim, image_shape, likelihood, sigma, **networks):
    """Stand in for the `ConvVAE` of the command line, whose arguments it takes."""
    return VAE(*tiny_networks(latent_dim, image_shape, **networks), likelihood, sigma)


def dense_vae():
    """A compiled VAE of single dense layers over vectors of 6 values, with 2 latents."""
    x = keras.Input((6,))
    z = keras.Input((2,))
    q = [layers.Dense(2)(x) for _ in range(2)]
    vae = VAE(keras.Model(x, q), keras.Model(z, layers.Dense(6)(z)))
    vae.compile("adam")
    vae.optimizer.build(vae.trainable_variables)
    return vae
