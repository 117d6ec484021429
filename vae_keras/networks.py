"""The encoder and decoder networks: the default one, and the one of the post.

Each builder returns the encoder, from images to `(z_mean, z_log_var)` (Equation 10), and the decoder network, from z to the
logits or the mean of the pixels (Equation 5). What they return is float32 whatever the dtype policy: the loss needs the digits.
"""

import keras
from keras import layers


def default_networks(latent_dim, image_shape):
    """Two strided convolutions and dense layers each way, batch-normalised; for images of any size."""
    height, width, channels = image_shape
    rows, columns = -(-height // 4), -(-width // 4)  # 28 to 14 to 7, rounded up

    images = keras.Input(image_shape, name="images")
    h = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(images)
    h = _normed_relu(layers.Conv2D(32, 3, strides=2, padding="same")(h))
    h = _normed_relu(layers.Dense(256)(layers.Flatten()(h)))
    # a narrow Q to start with: noise of full width would teach the decoder to ignore z
    encoder = keras.Model(images, _heads(h, latent_dim, log_var=-3.0), name="encoder")

    z = keras.Input((latent_dim,), name="z")
    h = _normed_relu(layers.Dense(512)(z))
    h = _normed_relu(layers.Dense(512)(h))
    h = _normed_relu(layers.Dense(rows * columns * 32)(h))
    h = layers.Reshape((rows, columns, 32))(h)
    # kernels of 4 at strides of 2: each pixel is made of as many terms as the next
    h = layers.Conv2DTranspose(16, 4, strides=2, padding="same", activation="relu")(h)
    h = layers.Conv2DTranspose(channels, 4, strides=2, padding="same")(h)
    h = layers.Cropping2D(((0, 4 * rows - height), (0, 4 * columns - width)))(h)  # what was rounded up
    return encoder, keras.Model(z, _float32(h), name="decoder_network")


def keng2017_networks(latent_dim, image_shape):
    """The network of the post, layer for layer: 3 450 502 parameters with 64 latents."""
    if image_shape != (28, 28, 1):
        raise ValueError(f"image_shape must be (28, 28, 1) for the network 'keng2017'; got {image_shape}.")

    images = keras.Input(image_shape, name="images")
    h = layers.Conv2D(1, 2, padding="same", activation="relu")(images)
    h = layers.Conv2D(64, 2, strides=2, padding="same", activation="relu")(h)  # 28x28 to 14x14
    h = layers.Conv2D(64, 3, padding="same", activation="relu")(h)
    h = layers.Conv2D(64, 3, padding="same", activation="relu")(h)
    h = layers.Dense(128, activation="relu")(layers.Flatten()(h))  # 14x14x64 to 12544 to 128
    h = layers.Dense(128, activation="relu")(h)
    encoder = keras.Model(images, _heads(h, latent_dim), name="encoder")

    z = keras.Input((latent_dim,), name="z")
    h = layers.Dense(128, activation="relu")(z)
    h = layers.Dense(12544, activation="relu")(h)
    h = layers.Reshape((14, 14, 64))(h)
    h = layers.Conv2DTranspose(64, 3, padding="same", activation="relu")(h)
    h = layers.Conv2DTranspose(64, 3, padding="same", activation="relu")(h)
    h = layers.Conv2DTranspose(64, 3, strides=2, padding="valid", activation="relu")(h)  # 14x14 to 29x29
    h = layers.Conv2D(1, 2, padding="valid")(h)  # 29x29 to 28x28
    return encoder, keras.Model(z, _float32(h), name="decoder_network")


def _normed_relu(h):
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(h))


def _heads(h, latent_dim, log_var=0.0):
    start = keras.initializers.Constant(log_var)
    z_mean = layers.Dense(latent_dim, dtype="float32", name="z_mean")(h)
    return z_mean, layers.Dense(latent_dim, dtype="float32", bias_initializer=start, name="z_log_var")(h)


def _float32(h):
    return layers.Activation("linear", dtype="float32")(h)


NETWORKS = {"default": default_networks, "keng2017": keng2017_networks}
