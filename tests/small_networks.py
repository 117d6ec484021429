"""Networks that train in a moment, for tests in which the network is not the subject."""

import keras
from keras import layers

from vae_keras import VAE


def small_vae(
    network, latent_dim, image_shape, likelihood, sigma, normalised=True, initializer=None
):
    """Stand in for the `ConvVAE` of the command line, whose arguments it takes."""
    kernel = {"kernel_initializer": initializer or "glorot_uniform"}
    x = keras.Input(image_shape)
    h = layers.Flatten()(x)
    if normalised:
        h = layers.BatchNormalization()(h)
    q = [layers.Dense(latent_dim, **kernel)(h) for _ in range(2)]
    z = keras.Input((latent_dim,))
    pixels = layers.Dense(x.shape[1] * x.shape[2] * x.shape[3], **kernel)(z)
    decoder = keras.Model(z, layers.Reshape(image_shape)(pixels))
    return VAE(keras.Model(x, q), decoder, likelihood, sigma)


def dense_vae():
    """A compiled VAE of single dense layers over vectors of 6 values, with 2 latents."""
    x = keras.Input((6,))
    z = keras.Input((2,))
    q = [layers.Dense(2)(x) for _ in range(2)]
    vae = VAE(keras.Model(x, q), keras.Model(z, layers.Dense(6)(z)))
    vae.compile("adam")
    vae.optimizer.build(vae.trainable_variables)
    return vae
