"""The variational autoencoder: two networks, a sampler between them, and Equation 14 as the loss."""

from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from vae_keras.data import check_images
from vae_keras.files import atomic_path
from vae_keras.layers import Sampling, VariationalLoss, kl_divergence
from vae_keras.networks import build_networks
from vae_keras.sampling import draw_latents

# Latents decoded at once when many are drawn for each image: it bounds the memory, whatever the number of samples.
CHUNK = 1000


@keras.saving.register_keras_serializable(package="vae_keras")
class VAE(keras.Model):
    """A variational autoencoder made of any two Keras models.

    Train it with `compile(optimizer)` and `fit(x)`: it brings its own loss, the negative ELBO of Equation 14 in nats per
    image, and logs its two parts beside it: `loss == reconstruction + beta * kl`.

    Args:
        encoder: Keras model from images (n, ...) to the pair `(z_mean, z_log_var)`, each (n, latent_dim) (Equation 10).
        decoder: Keras model from latents (n, latent_dim) to what the likelihood wants, in the shape of the images:
            logits for "bernoulli" (no sigmoid at its end), the mean for "gaussian" (Equation 5).
        likelihood, sigma, beta: As for `VariationalLoss`.
        seed: Seed of the noise, as for `Sampling`.

    Call arguments:
        inputs: Images of shape (n, ...).

    Returns:
        From a call, a dict: `"images"`, the mean of P(X|z) for one z drawn from Q(z|X) for each image; `"reconstruction"`
        and `"kl"`, the two terms of the loss, (n,), in nats per image.

    Attributes:
        encoder: The encoder, as given. decoder: A Keras model from latents to the mean of P(X|z), in float32: for
        "bernoulli", the sigmoid of the decoder network's logits. Both can be saved alone with their own `save`.

    Raises:
        ValueError: If encoder and decoder do not fit together, or an argument is out of range.
    """

    def __init__(self, encoder, decoder, likelihood="bernoulli", sigma=1.0, beta=1.0, seed=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        _check_networks(encoder, decoder, likelihood)
        self.encoder, self.decoder_network, self.seed = encoder, decoder, seed
        self.sampling = Sampling(seed)
        self.variational_loss = VariationalLoss(likelihood, sigma, beta)
        activation = "sigmoid" if likelihood == "bernoulli" else "linear"
        self.to_mean = keras.layers.Activation(activation, dtype="float32")
        latents = keras.Input(decoder.input_shape[1:], name="z")
        self.decoder = keras.Model(latents, self.to_mean(decoder(latents)), name="decoder")
        self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction")
        self.kl_tracker = keras.metrics.Mean(name="kl")
        self(keras.Input(self.image_shape))  # builds the model, so that it can be saved before it has been trained

    @property
    def image_shape(self):
        """Shape of one image, without the batch dimension."""
        return tuple(self.encoder.input_shape[1:])

    @property
    def latent_dim(self):
        """Number of latent variables."""
        return self.decoder_network.input_shape[-1]

    def call(self, inputs):
        z_mean, z_log_var = self.encoder(inputs)  # Equation 10
        z = self.sampling((z_mean, z_log_var))  # Equation 13
        logits_or_mean = self.decoder_network(z)  # Equation 5
        reconstruction, kl = self.variational_loss((inputs, logits_or_mean, z_mean, z_log_var))  # Equation 14
        return {"images": self.to_mean(logits_or_mean), "reconstruction": reconstruction, "kl": kl}

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.reconstruction_tracker.update_state(y_pred["reconstruction"])
        self.kl_tracker.update_state(y_pred["kl"])
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def fit(self, x=None, *args, validation_data=None, **kwargs):
        """Train as in Keras; arrays of images are checked first.

        Raises:
            ValueError: If `x` or the images of `validation_data` are not images of `image_shape` in range.
        """
        self._check_images(x, "x")
        if isinstance(validation_data, (tuple, list)):
            self._check_images(validation_data[0], "validation_data")
        return super().fit(x, *args, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        """Evaluate as in Keras; an array of images is checked first, and refused with a `ValueError`."""
        self._check_images(x, "x")
        return super().evaluate(x, *args, **kwargs)

    def reconstruct(self, x):
        """Reconstruct images through the mean of Q(z|X), without noise.

        Args:
            x: Images, (n, *image_shape).

        Returns:
            The mean of P(X|z) at z = z_mean: float32 array of the shape of `x`.
        """
        self._check_images(x, "x")
        z_mean, _ = self.encoder.predict(x, verbose=0)
        return self.decoder.predict(z_mean, verbose=0)

    def sample(self, n, seed=None, prior=None):
        """Decode `n` draws of z from the prior, in one batch (Figures 5 and 6).

        Args:
            n: Number of images, at least 1.
            seed: Integer: the same seed draws the same z. `None` draws new ones each time.
            prior: `None` for N(0, I), or a fitted mixture, as for `draw_latents`.

        Returns:
            The mean of P(X|z) for each z: float32 array of shape (n, *image_shape).
        """
        z = draw_latents(n, self.latent_dim, seed, prior)
        return self.decoder.predict(z, batch_size=n, verbose=0)

    def elbo(self, x, num_samples=1, seed=0):
        """The evidence lower bound of each image (the right side of Equation 9): exact KL, sampled reconstruction.

        It is the bound itself, beta and all other weights left out.

        Args:
            x: Images, (n, *image_shape).
            num_samples: Draws of z for each image, over which log P(X|z) is averaged.
            seed: Integer: the same seed draws the same noise, however the images are split into calls of equal order.

        Returns:
            float64 array (n,): nats per image, summed over pixels and latent dimensions.
        """
        kl = np.zeros(len(x))
        log_p_x_given_z = np.zeros(len(x))
        for images, z_mean, z_log_var, _, log_p in self._draws(x, num_samples, seed):
            kl[images] = keras.ops.convert_to_numpy(kl_divergence(z_mean, z_log_var))
            log_p_x_given_z[images] += log_p.sum(axis=1, dtype="float64") / num_samples
        return log_p_x_given_z - kl

    def log_likelihood(self, x, num_samples=1000, seed=0):
        """log P(X) of each image, estimated by importance sampling with Q(z|X) as the proposal.

        The log of the mean of the weights P(X|z) P(z) / Q(z|X): the estimate of P(X) is unbiased, so that of log P(X) is
        too low on average, and rises towards the truth with `num_samples`. Source: Equation 7, with z drawn where the
        posterior is; Burda, Grosse and Salakhutdinov (2016), Equation 8.

        Args:
            x: Images, (n, *image_shape).
            num_samples: Draws of z for each image. The memory needed does not grow with it.
            seed: Integer: the same seed draws the same noise.

        Returns:
            float64 array (n,): nats per image, summed over the pixels.
        """
        total = np.full(len(x), -np.inf)
        for images, z_mean, z_log_var, epsilon, log_p in self._draws(x, num_samples, seed):
            z = z_mean[:, None] + np.exp(0.5 * z_log_var[:, None]) * epsilon
            # log P(z) - log Q(z|X): the constants of the two normal densities cancel
            log_ratio = 0.5 * np.sum(np.square(epsilon) - np.square(z) + z_log_var[:, None], axis=2, dtype="float64")
            total[images] = np.logaddexp(total[images], np.logaddexp.reduce(log_p + log_ratio, axis=1))
        return total - np.log(num_samples)

    def save(self, filepath, overwrite=True, **kwargs):
        """Save the whole model to one `.keras` file, which appears only once it is whole.

        Load it with `keras.models.load_model`, in a process that has imported `vae_keras`.

        Raises:
            FileExistsError: If the file exists and `overwrite` is `False`.
            OSError: If the folder cannot be written to.
        """
        if not overwrite and Path(filepath).exists():
            raise FileExistsError(f"{filepath} exists, and overwrite is False.")
        with atomic_path(filepath) as partial:
            super().save(partial, **kwargs)

    def get_config(self):
        loss = self.variational_loss
        return {
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder_network),
            **{"likelihood": loss.likelihood, "sigma": loss.sigma, "beta": loss.beta, "seed": self.seed, "name": self.name},
        }

    @classmethod
    def from_config(cls, config):
        networks = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("encoder", "decoder")}
        return cls(**{**config, **networks})

    @cached_property  # it lies outside of what Keras tracks, so the weights are not listed twice
    def _conditional_likelihood(self):
        return _ConditionalLikelihood(self.decoder_network, self.variational_loss)

    def _draws(self, x, num_samples, seed):
        """Yield draws of z for a few images at a time: slice, z_mean, z_log_var, epsilon (i, s, k), log P(X|z) (i, s)."""
        self._check_images(x, "x")
        if num_samples < 1:
            raise ValueError(f"num_samples must be at least 1; got {num_samples}.")
        x = np.asarray(x, "float32")
        z_mean, z_log_var = self.encoder.predict(x, verbose=0)
        rng = np.random.default_rng(seed)
        step = max(1, CHUNK // num_samples)
        for start in range(0, len(x), step):
            images = slice(start, min(start + step, len(x)))
            for first in range(0, num_samples, CHUNK):
                shape = (images.stop - start, min(CHUNK, num_samples - first), self.latent_dim)
                epsilon = rng.standard_normal(shape, dtype="float32")
                z = z_mean[images, None] + np.exp(0.5 * z_log_var[images, None]) * epsilon  # Equation 13
                pairs = np.repeat(x[images], shape[1], axis=0), z.reshape(-1, self.latent_dim)
                log_p = self._conditional_likelihood.predict_on_batch(pairs).reshape(shape[:2])
                yield images, z_mean[images], z_log_var[images], epsilon, log_p

    def _check_images(self, x, name):
        if isinstance(x, np.ndarray) or keras.ops.is_tensor(x):
            bernoulli = self.variational_loss.likelihood == "bernoulli"
            check_images(x, name=name, image_shape=self.image_shape, bernoulli=bernoulli)


@keras.saving.register_keras_serializable(package="vae_keras")
class ConvVAE(VAE):
    """A `VAE` that chooses its two networks by name.

    Args:
        latent_dim: Number of latent variables, at least 1.
        network: "default", or "keng2017" for the network of the post.
        image_shape: (height, width, channels) of an image; any for "default", (28, 28, 1) for "keng2017".
        likelihood, sigma, beta: As for `VariationalLoss`.
        seed: Integer that fixes the initial weights and the noise, or `None` to take both from Keras's global seed.

    Raises:
        ValueError: If an argument is not as above; the message names it.
    """

    def __init__(
        self,
        latent_dim=64,
        network="default",
        image_shape=(28, 28, 1),
        likelihood="bernoulli",
        sigma=1.0,
        beta=1.0,
        seed=None,
        dtype=None,
        **kwargs,
    ):
        policy = keras.dtype_policies.get(dtype)
        encoder, decoder = build_networks(network, latent_dim, image_shape, seed, policy)
        super().__init__(encoder, decoder, likelihood, sigma, beta, seed, dtype=policy, **kwargs)
        self.network = network

    def get_config(self):
        config = super().get_config()
        del config["encoder"], config["decoder"]
        policy = keras.dtype_policies.serialize(self.dtype_policy)
        return {**config, "latent_dim": self.latent_dim, "network": self.network, "image_shape": self.image_shape, "dtype": policy}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


class _ConditionalLikelihood(keras.Model):
    """log P(X|z) of pairs of an image and a latent, (n,), as a model, so that Keras compiles it on each backend."""

    def __init__(self, decoder_network, variational_loss):
        super().__init__(autocast=False, name="conditional_likelihood")
        self.decoder_network, self.variational_loss = decoder_network, variational_loss

    def call(self, inputs):
        x, z = inputs
        return self.variational_loss.log_likelihood(x, self.decoder_network(z))


def load_vae(path):
    """Load a saved `VAE` or `ConvVAE`, in Keras's safe mode.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or holds something else.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no model file {path}.")
    try:
        model = keras.saving.load_model(path, safe_mode=True)
    except Exception as error:  # Keras raises whatever its readers of zip, JSON and HDF5 do
        raise ValueError(f"{path} is no saved VAE, or is damaged: {error}") from error
    if not isinstance(model, VAE):
        raise ValueError(f"{path} holds a {type(model).__name__}; wanted a VAE.")
    return model


def _check_networks(encoder, decoder, likelihood):
    outputs = encoder.output_shape
    if not (isinstance(outputs, (tuple, list)) and len(outputs) == 2 and outputs[0] == outputs[1]):
        raise ValueError(f"encoder must return the pair (z_mean, z_log_var), of one shape; its output shape is {outputs}.")
    if outputs[0][1:] != decoder.input_shape[1:]:
        raise ValueError(f"decoder must take latents of shape {outputs[0]}, as encoder gives; it takes {decoder.input_shape}.")
    if decoder.output_shape != encoder.input_shape:
        raise ValueError(f"decoder must return images of shape {encoder.input_shape}; it returns {decoder.output_shape}.")
    if likelihood == "bernoulli" and getattr(decoder.layers[-1], "activation", None) is keras.activations.sigmoid:
        raise ValueError(
            "decoder must end in logits for the bernoulli likelihood; it ends in a sigmoid, which the VAE adds itself."
        )
