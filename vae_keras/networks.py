"""The encoder and decoder networks: the default one, and the one of the post.

Each builder returns the encoder, from images to `(z_mean, z_log_var)` (Equation 10), and the
decoder network, from z to the logits or the mean of the pixels (Equation 5). `activation` is that
of the hidden layers, `dtype` the policy of all; what they return is float32, as the loss needs it.
"""

import keras
from keras import layers

from vae_keras._checks import is_integer

CHANNELS_LAST = {"data_format": "channels_last"}  # as our images are, whatever keras.json says


def usual_depth(image_shape: tuple) -> int:
    """How often the default network halves an image: twice, or until 8 x 8 pixels are left."""
    depth = 2
    while max(image_shape[:2]) > 8 << depth:
        depth += 1
    return depth


def innermost(image_shape: tuple, depth: int) -> tuple:
    """Rows, columns and channels of an image that the default network has halved `depth` times."""
    height, width, _ = image_shape
    most = max(2, (max(height, width) - 1).bit_length())  # it is a single pixel then
    if not (is_integer(depth) and 2 <= depth <= most):
        raise ValueError(f"depth must be an integer from 2 to {most}; got {depth!r}.")
    return -(-height >> depth), -(-width >> depth), 32 if depth == 2 else 64


def default_networks(
    latent_dim: int, image_shape: tuple, dtype=None, activation="gelu", depth=None
):
    """Strided convolutions and dense layers each way, normalised; for images of any size.

    The sizes in the comments are those of MNIST, of depth 2.
    """
    depth = usual_depth(image_shape) if depth is None else depth
    height, width, channels = image_shape
    rows, columns, filters = innermost(image_shape, depth)  # 28 to 14 to 7
    widths = [16, 32, *[filters] * (depth - 2)]
    halve = {"strides": 2, "padding": "same", "dtype": dtype, **CHANNELS_LAST}

    def normed(h):
        h = layers.BatchNormalization(momentum=0.9, dtype=dtype)(h)
        return layers.Activation(activation, dtype=dtype)(h)

    images = keras.Input(image_shape, name="images")  # 28x28
    h = layers.Conv2D(16, 3, activation=activation, **halve)(images)  # 14x14x16
    for width_of_layer in widths[1:]:
        h = normed(layers.Conv2D(width_of_layer, 3, **halve)(h))  # 7x7x32
    h = layers.Flatten(dtype=dtype, **CHANNELS_LAST)(h)  # 1568
    h = normed(layers.Dense(256, dtype=dtype)(h))
    # a narrow Q to start with: noise of full width would teach the decoder to ignore z
    encoder = keras.Model(images, _heads(h, latent_dim, log_var=-3.0), name="encoder")

    z = keras.Input((latent_dim,), name="z")
    h = normed(layers.Dense(512, dtype=dtype)(z))
    h = normed(layers.Dense(512, dtype=dtype)(h))
    h = normed(layers.Dense(rows * columns * filters, dtype=dtype)(h))
    h = layers.Reshape((rows, columns, filters), dtype=dtype)(h)  # 7x7x32
    for width_of_layer in widths[-2:0:-1]:  # none for MNIST
        h = normed(layers.Conv2DTranspose(width_of_layer, 4, **halve)(h))
    # kernels of 4 at strides of 2: each pixel is made of as many terms as the next
    h = layers.Conv2DTranspose(16, 4, activation=activation, **halve)(h)  # 14x14x16
    h = layers.Conv2DTranspose(channels, 4, **halve)(h)  # 28x28
    excess = (0, (rows << depth) - height), (0, (columns << depth) - width)
    h = layers.Cropping2D(excess, dtype=dtype, **CHANNELS_LAST)(h)
    h = layers.Activation("linear", dtype="float32")(h)
    return encoder, keras.Model(z, h, name="decoder_network")


def keng2017_networks(latent_dim: int, image_shape: tuple, dtype=None, activation="relu"):
    """The network of the post, layer for layer: 3 450 502 parameters with 64 latents."""
    if image_shape != (28, 28, 1):
        raise ValueError(f"image_shape must be (28, 28, 1) for 'keng2017'; got {image_shape}.")
    made = {"activation": activation, "dtype": dtype}
    same = {"padding": "same", **made, **CHANNELS_LAST}

    images = keras.Input(image_shape, name="images")  # 28x28x1
    h = layers.Conv2D(1, 2, **same)(images)
    h = layers.Conv2D(64, 2, strides=2, **same)(h)  # 14x14x64
    h = layers.Conv2D(64, 3, **same)(h)
    h = layers.Conv2D(64, 3, **same)(h)
    h = layers.Flatten(dtype=dtype, **CHANNELS_LAST)(h)  # 12544
    h = layers.Dense(128, **made)(h)
    h = layers.Dense(128, **made)(h)
    encoder = keras.Model(images, _heads(h, latent_dim), name="encoder")

    z = keras.Input((latent_dim,), name="z")
    h = layers.Dense(128, **made)(z)
    h = layers.Dense(12544, **made)(h)
    h = layers.Reshape((14, 14, 64), dtype=dtype)(h)
    h = layers.Conv2DTranspose(64, 3, **same)(h)
    h = layers.Conv2DTranspose(64, 3, **same)(h)
    h = layers.Conv2DTranspose(64, 3, strides=2, **made, **CHANNELS_LAST)(h)  # 29x29x64
    h = layers.Conv2D(1, 2, dtype=dtype, **CHANNELS_LAST)(h)  # 28x28x1
    h = layers.Activation("linear", dtype="float32")(h)
    return encoder, keras.Model(z, h, name="decoder_network")


NETWORKS = {"default": (default_networks, "gelu"), "keng2017": (keng2017_networks, "relu")}


def _heads(h, latent_dim, log_var=0.0):
    head = {"units": latent_dim, "dtype": "float32"}
    start = keras.initializers.Constant(log_var)
    z_mean = layers.Dense(name="z_mean", **head)(h)
    return z_mean, layers.Dense(name="z_log_var", bias_initializer=start, **head)(h)
