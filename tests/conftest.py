"""Settings and helpers of the unit tests. They run on the backend that KERAS_BACKEND names.

Keras is imported where it is needed: the process that hands the tests out would wait for it.
"""

import os
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# the same examples in every run; the fixtures that test_properties.py takes only make things
settings.register_profile(
    "quick",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.register_profile("slow", settings.get_profile("quick"), max_examples=2000)
settings.load_profile("quick")  # unless pytest's --hypothesis-profile names another


@pytest.fixture(autouse=True)
def _seeded():
    import keras

    keras.utils.set_random_seed(1)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def images(rng):
    """24 images of 8 x 8 grey pixels."""
    return rng.random((24, 8, 8, 1), dtype="float32")


@pytest.fixture
def untraced():
    """TensorFlow runs op by op: to trace a small network takes longer than its few steps."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Even though .* does not apply to tf.data functions")
        yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def small_vae():
    from small_networks import tiny_vae

    return tiny_vae(seed=0)


@pytest.fixture
def default_vae():
    from vae_keras import ConvVAE

    return ConvVAE(latent_dim=3, image_shape=(8, 8, 1), seed=0)


@pytest.fixture
def make_dense_vae():
    """Make a VAE of single dense layers over vectors, with the weights given: linear maps."""
    import keras

    from vae_keras import VAE

    def make(encoder_mean, encoder_log_var, decoder, **kwargs):
        (kernel, bias), (log_var, (decoder_kernel, decoder_bias)) = (
            encoder_mean,
            (encoder_log_var, decoder),
        )
        x = keras.Input((len(kernel),))
        z_mean = keras.layers.Dense(len(bias), name="z_mean")
        z_log_var = keras.layers.Dense(len(bias), kernel_initializer="zeros", name="z_log_var")
        encoder = keras.Model(x, (z_mean(x), z_log_var(x)))
        z_mean.set_weights([kernel, bias])
        z_log_var.set_weights([np.zeros_like(kernel), log_var])
        z = keras.Input((len(bias),))
        layer = keras.layers.Dense(len(decoder_bias))
        decoder = keras.Model(z, layer(z))
        layer.set_weights([decoder_kernel, decoder_bias])
        return VAE(encoder, decoder, **kwargs)

    return make


@pytest.fixture
def gradient():
    """The gradient of a scalar function at an array, by the backend's own differentiation."""

    import keras

    def by_jax(function, values):
        import jax

        return np.asarray(jax.grad(function)(values))

    def by_tensorflow(function, values):
        import tensorflow as tf

        values = tf.convert_to_tensor(values)
        with tf.GradientTape() as tape:
            tape.watch(values)
            result = function(values)
        return tape.gradient(result, values).numpy()

    return by_jax if keras.backend.backend() == "jax" else by_tensorflow
