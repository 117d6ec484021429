"""The encoder and decoder networks: the default one, and the one of the post."""

import itertools

import keras
from keras import layers


def build_networks(network, latent_dim, image_shape, seed=None, dtype=None):
    """Build an encoder and a decoder network by name.

    Args:
        network: "default" or "keng2017".
        latent_dim: Number of latent variables, at least 1.
        image_shape: (height, width, channels): any for "default", (28, 28, 1) for "keng2017".
        seed: Integer that fixes the initial weights, or `None` to take them from Keras's global seed.
        dtype: Dtype policy of the layers, or `None` for Keras's global one.

    Returns:
        The encoder, from images to `(z_mean, z_log_var)` (Equation 10), and the decoder network, from z to the logits or
        the mean of the pixels (Equation 5). What they return is float32 whatever the policy.

    Raises:
        ValueError: If an argument is not as above.
    """
    if network not in NETWORKS:
        raise ValueError(f"network must be one of {tuple(NETWORKS)}; got {network!r}.")
    if not isinstance(latent_dim, int) or latent_dim < 1:
        raise ValueError(f"latent_dim must be an integer of at least 1; got {latent_dim!r}.")
    if len(image_shape) != 3 or not all(isinstance(size, int) and size >= 1 for size in image_shape):
        raise ValueError(f"image_shape must be three integers (height, width, channels), each at least 1; got {image_shape!r}.")
    return NETWORKS[network](latent_dim, tuple(image_shape), _Layers(seed, dtype))


def _default(latent_dim, image_shape, make):
    """Two strided convolutions and a dense layer each way, with batch normalisation."""
    height, width, channels = image_shape
    rows, columns = -(-height // 4), -(-width // 4)  # 28 to 14 to 7, rounded up

    images = keras.Input(image_shape, name="images")
    h = make.relu(make(layers.Conv2D, 16, 3, strides=2, padding="same")(images))
    h = make.normed_relu(make(layers.Conv2D, 64, 3, strides=2, padding="same")(h))
    h = make.normed_relu(make(layers.Dense, 256)(layers.Flatten()(h)))
    encoder = keras.Model(images, make.heads(h, latent_dim, log_var=-3.0), name="encoder")

    z = keras.Input((latent_dim,), name="z")
    h = make.normed_relu(make(layers.Dense, 256)(z))
    h = make.normed_relu(make(layers.Dense, rows * columns * 64)(h))
    h = layers.Reshape((rows, columns, 64))(h)
    h = make.relu(make(layers.Conv2DTranspose, 16, 3, strides=2, padding="same")(h))
    h = make(layers.Conv2DTranspose, channels, 3, strides=2, padding="same")(h)
    h = layers.Cropping2D(((0, 4 * rows - height), (0, 4 * columns - width)))(h)  # odd sizes were rounded up
    return encoder, keras.Model(z, make.float32(h), name="decoder_network")


def _keng2017(latent_dim, image_shape, make):
    """The network of the post, layer for layer: 3 450 502 parameters with 64 latents."""
    if image_shape != (28, 28, 1):
        raise ValueError(f"image_shape must be (28, 28, 1) for the network 'keng2017'; got {image_shape}.")
    relu = {"activation": "relu"}

    images = keras.Input(image_shape, name="images")
    h = make(layers.Conv2D, 1, 2, padding="same", **relu)(images)
    h = make(layers.Conv2D, 64, 2, strides=2, padding="same", **relu)(h)  # 28x28 to 14x14
    h = make(layers.Conv2D, 64, 3, padding="same", **relu)(h)
    h = make(layers.Conv2D, 64, 3, padding="same", **relu)(h)
    h = make(layers.Dense, 128, **relu)(layers.Flatten()(h))  # 14x14x64 to 12544 to 128
    h = make(layers.Dense, 128, **relu)(h)
    encoder = keras.Model(images, make.heads(h, latent_dim), name="encoder")

    z = keras.Input((latent_dim,), name="z")
    h = make(layers.Dense, 128, **relu)(z)
    h = make(layers.Dense, 12544, **relu)(h)
    h = layers.Reshape((14, 14, 64))(h)
    h = make(layers.Conv2DTranspose, 64, 3, padding="same", **relu)(h)
    h = make(layers.Conv2DTranspose, 64, 3, padding="same", **relu)(h)
    h = make(layers.Conv2DTranspose, 64, 3, strides=2, padding="valid", **relu)(h)  # 14x14 to 29x29
    h = make(layers.Conv2D, 1, 2, padding="valid")(h)  # 29x29 to 28x28
    return encoder, keras.Model(z, make.float32(h), name="decoder_network")


class _Layers:
    """Makes layers of one dtype policy, the kernel of each drawn with a seed of its own."""

    def __init__(self, seed, dtype):
        self.seeds = itertools.repeat(None) if seed is None else itertools.count(seed)
        self.dtype = dtype

    def __call__(self, layer, *args, **kwargs):
        initializer = keras.initializers.GlorotUniform(seed=next(self.seeds))
        return layer(*args, kernel_initializer=initializer, **{"dtype": self.dtype, **kwargs})

    def relu(self, h):
        return layers.ReLU(dtype=self.dtype)(h)

    def normed_relu(self, h):
        return self.relu(layers.BatchNormalization(momentum=0.9, dtype=self.dtype)(h))

    def heads(self, h, latent_dim, log_var=0.0):
        """The two outputs of an encoder; z_log_var starts at `log_var`. float32, since exp(z_log_var) needs the digits."""
        start = keras.initializers.Constant(log_var)
        return (
            self(layers.Dense, latent_dim, dtype="float32", name="z_mean")(h),
            self(layers.Dense, latent_dim, dtype="float32", bias_initializer=start, name="z_log_var")(h),
        )

    def float32(self, h):
        return layers.Activation("linear", dtype="float32")(h)


NETWORKS = {"default": _default, "keng2017": _keng2017}
