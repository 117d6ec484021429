"""The variational autoencoder: two networks, a sampler between them, and Equation 14 as the loss."""

import json
import zipfile
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from vae_keras.data import check_images, is_integer
from vae_keras._files import atomic_path, check_archive
from vae_keras.layers import Sampling, VariationalLoss, kl_divergence
from vae_keras.networks import NETWORKS
from vae_keras.sampling import draw_latents

CHUNK = 1000  # latents decoded at once: it bounds the memory, whatever the number of samples
PARTS = ["config.json", "metadata.json", "model.weights.h5"]  # of a saved model; Keras would unpack others to the disk


@keras.saving.register_keras_serializable(package="vae_keras")
class VAE(keras.Model):
    """A variational autoencoder made of any two Keras models.

    Train it with `compile(optimizer)` and `fit(x)`: it brings its own loss, the negative ELBO of Equation 14 in nats per
    image, and logs the two parts beside it: `loss == reconstruction + beta * kl`.

    Args:
        encoder: Keras model from images (n, ...) to the pair `(z_mean, z_log_var)`, each (n, latent_dim) (Equation 10).
        decoder: Keras model from latents (n, latent_dim) to the shape of the images (Equation 5): to logits for
            "bernoulli", with no sigmoid at its end, or to the mean for "gaussian".
        likelihood, sigma, beta: As for `VariationalLoss`.
        seed: Seed of the noise, as for `Sampling`.

    Call arguments:
        inputs: Images (n, ...).

    Returns:
        Calling the model returns a dict: "images", the mean of P(X|z) at a z drawn from Q(z|X) for each image, and
        "reconstruction" and "kl", the terms of the loss, (n,), in nats per image.

    Attributes:
        encoder: As given.
        decoder: Keras model from latents to the mean of P(X|z), float32: for "bernoulli", the sigmoid of the logits.

    Raises:
        ValueError: If encoder and decoder do not fit together, or an argument is out of range.
    """

    run = None  # what the command line was asked to train, saved with the optimizer, so that nothing else is resumed

    def __init__(self, encoder, decoder, likelihood="bernoulli", sigma=1.0, beta=1.0, seed=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        _check_networks(encoder, decoder, likelihood)
        self.encoder, self.decoder_network = encoder, decoder
        self.image_shape, self.latent_dim = tuple(encoder.input_shape[1:]), decoder.input_shape[-1]
        self.sampling = Sampling(seed, dtype="float32")  # as the heads of the encoder
        self.variational_loss = VariationalLoss(likelihood, sigma, beta)
        self.to_mean = keras.layers.Activation("sigmoid" if likelihood == "bernoulli" else "linear", dtype="float32")
        z = keras.Input((self.latent_dim,), name="z")
        self.decoder = keras.Model(z, self.to_mean(decoder(z)), name="decoder")
        self.reconstruction_tracker, self.kl_tracker = keras.metrics.Mean("reconstruction"), keras.metrics.Mean("kl")
        self(keras.Input(self.image_shape))  # builds it, so that it can be saved before it is trained

    def call(self, inputs, training=None):
        z_mean, z_log_var = self.encoder(inputs, training=training)  # Equation 10
        z = self.sampling((z_mean, z_log_var))  # Equation 13
        logits_or_mean = self.decoder_network(z, training=training)  # Equation 5
        reconstruction, kl = self.variational_loss((inputs, logits_or_mean, z_mean, z_log_var))  # Equation 14
        return {"images": self.to_mean(logits_or_mean), "reconstruction": reconstruction, "kl": kl}

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.reconstruction_tracker.update_state(y_pred["reconstruction"])
        self.kl_tracker.update_state(y_pred["kl"])
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def fit(self, x=None, *args, validation_data=None, **kwargs):
        """Train as in Keras. Raises a `ValueError` first if the arrays `x` or `validation_data` are not images of the right kind.

        Datasets and generators are taken as they come.
        """
        self._check_images(x, "x")
        self._check_images(validation_data[0] if isinstance(validation_data, tuple) else validation_data, "validation_data")
        return super().fit(x, *args, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        """Evaluate as in Keras, after the same check."""
        self._check_images(x, "x")
        return super().evaluate(x, *args, **kwargs)

    def reconstruct(self, x):
        """Reconstruct images (n, *image_shape) without noise: the mean of P(X|z) at z = z_mean, of the same shape."""
        x = self._check_images(np.asarray(x), "x")
        return self.decoder.predict(self.encoder.predict(x, verbose=0)[0], verbose=0)

    def sample(self, n, seed=None, prior=None):
        """Decode `n` draws of z in one batch (Figures 5 and 6). Arguments as for `draw_latents`.

        Returns:
            The mean of P(X|z) for each z: float32 array of shape (n, *image_shape).
        """
        return self.decoder.predict(draw_latents(n, self.latent_dim, seed, prior), batch_size=n, verbose=0)

    def elbo(self, x, num_samples=1, seed=0, verbose=0):
        """The evidence lower bound of each image, without beta: exact KL, sampled reconstruction.

        Source: the right side of Equation 9.

        Args:
            x: Images (n, *image_shape).
            num_samples: Draws of z for each image, over which log P(X|z) is averaged.
            seed: Integer: the same seed draws the same noise.
            verbose: 1 shows a progress bar.

        Returns:
            float64 array (n,): nats per image, summed over pixels and latent dimensions.
        """
        x = self._check_images(np.asarray(x), "x")
        kl, log_p_x_given_z = np.zeros(len(x)), np.zeros(len(x))
        for i, z_mean, z_log_var, _, _, log_p in self._draws(x, num_samples, seed, verbose):
            kl[i] = keras.ops.convert_to_numpy(kl_divergence(z_mean, z_log_var))
            log_p_x_given_z[i] += log_p.sum(axis=1, dtype="float64") / num_samples
        return log_p_x_given_z - kl

    def log_likelihood(self, x, num_samples=1000, seed=0, verbose=0):
        """log P(X) of each image by importance sampling: the log of the mean of the weights P(X|z) P(z) / Q(z|X).

        The mean is unbiased, so its log is too low on average, and rises to log P(X) with `num_samples`. Source: Equation
        7, with z drawn from Q(z|X) instead of P(z); Burda, Grosse and Salakhutdinov (2016), Equation 8.

        Args:
            x: Images (n, *image_shape).
            num_samples: Draws of z for each image. The memory needed does not grow with it.
            seed: Integer: the same seed draws the same noise.
            verbose: 1 shows a progress bar.

        Returns:
            float64 array (n,): nats per image, summed over the pixels.
        """
        x = self._check_images(np.asarray(x), "x")
        total = np.full(len(x), -np.inf)
        for i, _, z_log_var, z, epsilon, log_p in self._draws(x, num_samples, seed, verbose):
            # log P(z) - log Q(z|X): the constants of the two normal densities cancel
            log_ratio = 0.5 * np.sum(np.square(epsilon) - np.square(z) + z_log_var[:, None], axis=2, dtype="float64")
            total[i] = np.logaddexp(total[i], np.logaddexp.reduce(log_p + log_ratio, axis=1))
        return total - np.log(num_samples)

    def save(self, filepath, overwrite=True, **kwargs):
        """Save the whole model, with the states of optimizer and noise, to one `.keras` file, which appears once it is whole.

        Load it with `keras.models.load_model`, in a process that has imported `vae_keras`.

        Raises:
            ValueError: If the name does not end in `.keras`.
            OSError: If the file cannot be written, or exists and `overwrite` is `False`.
        """
        if Path(filepath).suffix != ".keras":
            raise ValueError(f"filepath must end in .keras; got {filepath}.")
        if not overwrite and Path(filepath).exists():
            raise FileExistsError(f"{filepath} exists, and overwrite is False.")
        with atomic_path(filepath) as partial:
            super().save(partial, **kwargs)

    def get_config(self):
        networks = {"encoder": self.encoder, "decoder": self.decoder_network}
        loss = {name: getattr(self.variational_loss, name) for name in ("likelihood", "sigma", "beta")}
        networks = {name: keras.saving.serialize_keras_object(network) for name, network in networks.items()}
        return {**networks, **loss, "seed": self.sampling.seed, "name": self.name}

    def get_compile_config(self):
        config = super().get_compile_config()
        return {**config, "run": self.run} if config else config

    def compile_from_config(self, config):
        self.run = config.pop("run", None)
        super().compile_from_config(config)

    @classmethod
    def from_config(cls, config):
        networks = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("encoder", "decoder")}
        return cls(**{**config, **networks})

    @cached_property  # kept where Keras does not track it, so that no weight is listed twice
    def _conditional_likelihood(self):
        return _ConditionalLikelihood(self.decoder_network, self.variational_loss)

    def _draws(self, x, num_samples, seed, verbose):
        """Yield draws for some images at a time: their slice, z_mean, z_log_var, z and epsilon (i, s, k), log P(X|z) (i, s)."""
        if not is_integer(num_samples) or num_samples < 1:
            raise ValueError(f"num_samples must be an integer of at least 1; got {num_samples!r}.")
        x, rng = x.astype("float32", copy=False), np.random.default_rng(seed)
        z_mean, z_log_var = self.encoder.predict(x, verbose=0)
        progress = keras.utils.Progbar(len(x), verbose=verbose, unit_name="image")
        step = max(1, CHUNK // num_samples)
        for start in range(0, len(x), step):
            i = slice(start, min(start + step, len(x)))
            for first in range(0, num_samples, CHUNK):
                shape = (i.stop - start, min(CHUNK, num_samples - first), self.latent_dim)
                epsilon = rng.standard_normal(shape, dtype="float32")
                z = z_mean[i, None] + np.exp(0.5 * z_log_var[i, None]) * epsilon  # Equation 13
                pairs = np.repeat(x[i], shape[1], axis=0), z.reshape(-1, self.latent_dim)
                log_p = self._conditional_likelihood.predict_on_batch(pairs).reshape(shape[:2])
                yield i, z_mean[i], z_log_var[i], z, epsilon, log_p
            progress.update(i.stop)

    def _check_images(self, x, name):
        if hasattr(x, "__array__"):
            check_images(x, name, self.image_shape, bernoulli=self.variational_loss.likelihood == "bernoulli")
        return x


@keras.saving.register_keras_serializable(package="vae_keras")
class ConvVAE(VAE):
    """A `VAE` that chooses its two networks by name.

    Args:
        latent_dim: Number of latent variables, at least 1.
        network: "default", or "keng2017" for the network of the post.
        image_shape: (height, width, channels) of an image; any for "default", (28, 28, 1) for "keng2017".
        likelihood, sigma, beta, seed: As for `VAE`.
        dtype: Dtype policy of the networks; `None` takes Keras's global one.

    Raises:
        ValueError: If an argument is not as above; the message names it.
    """

    def __init__(self, latent_dim=64, network="default", image_shape=(28, 28, 1), likelihood="bernoulli", sigma=1.0, beta=1.0,
                 seed=None, dtype=None, **kwargs):  # fmt: skip
        if network not in tuple(NETWORKS):
            raise ValueError(f"network must be one of {tuple(NETWORKS)}; got {network!r}.")
        if not is_integer(latent_dim) or latent_dim < 1:
            raise ValueError(f"latent_dim must be an integer of at least 1; got {latent_dim!r}.")
        sizes = image_shape if isinstance(image_shape, (tuple, list)) else ()
        if len(sizes) != 3 or not all(is_integer(size) and size >= 1 for size in sizes):
            raise ValueError(f"image_shape must be three integers (height, width, channels); got {image_shape!r}.")
        policy, before = keras.dtype_policies.get(dtype), keras.config.dtype_policy()
        try:
            keras.config.set_dtype_policy(policy)
            encoder, decoder = NETWORKS[network](int(latent_dim), tuple(map(int, image_shape)))
        finally:
            keras.config.set_dtype_policy(before)
        super().__init__(encoder, decoder, likelihood, sigma, beta, seed, dtype=policy, **kwargs)
        self.network = network

    def get_config(self):
        config = {name: value for name, value in super().get_config().items() if name not in ("encoder", "decoder")}
        own = {"latent_dim": self.latent_dim, "network": self.network, "image_shape": self.image_shape}
        policy = keras.dtype_policies.serialize(self.dtype_policy)
        return {**config, **own, "dtype": policy, "trainable": [layer.trainable for layer in self._layers_to_freeze()]}

    @classmethod
    def from_config(cls, config):
        trainable = config.pop("trainable")
        vae = cls(**config)
        for layer, value in zip(vae._layers_to_freeze(), trainable, strict=True):
            layer.trainable = value
        return vae

    def _layers_to_freeze(self):  # parents first, since they set their children
        return [self.encoder, self.decoder_network, *self.encoder.layers, *self.decoder_network.layers]


class _ConditionalLikelihood(keras.Model):
    """log P(X|z) of pairs of an image and a latent, (n,), as a model, so that Keras compiles it on each backend."""

    def __init__(self, decoder_network, variational_loss):
        super().__init__(autocast=False, name="conditional_likelihood")
        self.decoder_network, self.variational_loss = decoder_network, variational_loss

    def call(self, inputs):
        x, z = inputs
        return self.variational_loss.log_likelihood(x, self.decoder_network(z))


def load_vae(path):
    """Load a saved VAE in safe mode. Raises `FileNotFoundError`, or `ValueError` if the file is damaged or no VAE."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no model file {path}.")
    try:
        if sorted(parts := check_archive(path)) != PARTS:
            raise ValueError(f"its parts are {parts}; wanted {PARTS}")
        _check_sizes(path)
        model = keras.saving.load_model(path, safe_mode=True)
    except Exception as error:  # Keras raises whatever its readers of zip, JSON and HDF5 do
        reason = str(error).rpartition("Exception encountered: ")[2]  # without the whole config before it
        raise ValueError(f"{path} is no saved VAE, or is damaged: {reason}") from error
    if not isinstance(model, VAE):
        raise ValueError(f"{path} holds a {type(model).__name__}; wanted a VAE.")
    return model


def _check_sizes(path):
    """Refuse networks larger than their file: their weights would take memory before those of the file are read."""
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json")
    no_sizes = {"seed", "shared_object_id"}
    model = json.loads(config, object_hook=lambda pairs: {key: pairs[key] for key in pairs.keys() - no_sizes})
    needed = max([size for size in keras.tree.flatten(model["config"]) if isinstance(size, int)], default=0)
    if model["class_name"] == "ConvVAE":
        height, width, channels = model["config"]["image_shape"]
        # each pixel, channel and latent takes 192 weights or more, of 2 bytes or more
        needed = 384 * (height * width + channels + model["config"]["latent_dim"])
    if needed > (size := Path(path).stat().st_size):
        raise ValueError(f"its networks need {needed} bytes or more, and the file has {size}")


def _check_networks(encoder, decoder, likelihood):
    q, z, logits = encoder.output_shape, decoder.input_shape, decoder.output_shape
    if not (isinstance(q, (tuple, list)) and len(q) == 2 and q[0] == q[1]):
        raise ValueError(f"encoder must return the pair (z_mean, z_log_var), of one shape; its output shape is {q}.")
    if q[0] != z:
        raise ValueError(f"decoder must take latents of shape {q[0]}, as encoder gives; it takes {z}.")
    if logits != encoder.input_shape:
        raise ValueError(f"decoder must return images of shape {encoder.input_shape}; it returns {logits}.")
    if likelihood == "bernoulli" and getattr(decoder.layers[-1], "activation", None) is keras.activations.sigmoid:
        raise ValueError("decoder must end in logits for the bernoulli likelihood, not in a sigmoid, which the VAE adds itself.")
