"""The encoder and decoder networks: the default one, and the one of the post."""

import keras
from keras import layers


def build_networks(network, latent_dim, image_shape, seed=None, dtype=None):
    """Build an encoder and a decoder network by name.

    Args:
        network: A key of `NETWORKS`.
        latent_dim: Number of latent variables, at least 1.
        image_shape: (height, width, channels).
        seed: Integer that fixes the initial weights, or `None`.
        dtype: Dtype policy of the layers, or `None` for Keras's global one.

    Returns:
        The encoder, from images to `(z_mean, z_log_var)`, and the decoder network, from z to logits or means.
        What they return is float32 whatever the policy.

    Raises:
        ValueError: If an argument is not as above.
    """
    if network not in NETWORKS:
        raise ValueError(f"network must be one of {tuple(NETWORKS)}; got {network!r}.")
    if not isinstance(latent_dim, int) or latent_dim < 1:
        raise ValueError(f"latent_dim must be an integer of at least 1; got {latent_dim!r}.")
    if len(image_shape) != 3 or not all(isinstance(size, int) and size >= 1 for size in image_shape):
        raise ValueError(f"image_shape must be three integers (height, width, channels); got {image_shape!r}.")
    return NETWORKS[network](latent_dim, tuple(image_shape), seed, dtype)


def _heads(hidden, latent_dim, options, log_var_start):
    """The two outputs of an encoder (Equation 10). They stay float32: exp(z_log_var) needs the digits."""
    options = {**options, "dtype": "float32"}
    z_mean = layers.Dense(latent_dim, name="z_mean", **options)(hidden)
    start = keras.initializers.Constant(log_var_start)
    z_log_var = layers.Dense(latent_dim, bias_initializer=start, name="z_log_var", **options)(hidden)
    return z_mean, z_log_var


def _keng2017(latent_dim, image_shape, seed, dtype):
    """The network of the post, layer for layer: 3 450 502 parameters at 64 latents."""
    if image_shape != (28, 28, 1):
        raise ValueError(f"image_shape must be (28, 28, 1) for the network 'keng2017'; got {image_shape}.")
    options = {"dtype": dtype, "kernel_initializer": _initializer("glorot_uniform", seed)}
    relu = {**options, "activation": "relu"}

    images = keras.Input(image_shape, name="images")
    h = layers.Conv2D(1, 2, padding="same", **relu)(images)
    h = layers.Conv2D(64, 2, strides=2, padding="same", **relu)(h)  # 28x28 to 14x14
    h = layers.Conv2D(64, 3, padding="same", **relu)(h)
    h = layers.Conv2D(64, 3, padding="same", **relu)(h)
    h = layers.Flatten()(h)  # 14x14x64 to 12544
    h = layers.Dense(128, **relu)(h)
    h = layers.Dense(128, **relu)(h)
    encoder = keras.Model(images, _heads(h, latent_dim, options, log_var_start=0.0), name="encoder")

    z = keras.Input((latent_dim,), name="z")
    h = layers.Dense(128, **relu)(z)
    h = layers.Dense(12544, **relu)(h)
    h = layers.Reshape((14, 14, 64))(h)
    h = layers.Conv2DTranspose(64, 3, padding="same", **relu)(h)
    h = layers.Conv2DTranspose(64, 3, padding="same", **relu)(h)
    h = layers.Conv2DTranspose(64, 3, strides=2, padding="valid", **relu)(h)  # 14x14 to 29x29
    h = layers.Conv2D(1, 2, padding="valid", **options)(h)  # 29x29 to 28x28
    return encoder, keras.Model(z, _to_float32(h), name="decoder_network")


def _initializer(name, seed):
    # one seed generator for all layers: each kernel draws the next numbers from it
    seed = None if seed is None else keras.random.SeedGenerator(seed)
    return keras.initializers.get({"class_name": name, "config": {"seed": seed}})


def _to_float32(h):
    return layers.Activation("linear", dtype="float32")(h)
