"""The variational autoencoder: two networks, a draw between them, and Equation 14 as the loss."""

from pathlib import Path

import keras
import numpy as np

from vae_keras._checks import check_count, check_image_shape, check_networks
from vae_keras._files import atomic_path
from vae_keras._fit import ModelOfImages, relative_weights
from vae_keras.layers import Sampling, VariationalLoss, kl_divergence
from vae_keras.networks import NETWORKS, usual_depth
from vae_keras.sampling import MixturePrior, draw_latents

CHUNK = 1000  # latents decoded at once: it bounds the memory, whatever the number of samples


@keras.saving.register_keras_serializable(package="vae_keras")
class VAE(ModelOfImages):
    """A variational autoencoder made of any two Keras models.

    Train it with `compile(optimizer)` and `fit(x)`: it brings its own loss, the negative ELBO of
    Equation 14 in nats per image, and logs `loss == reconstruction + beta * kl`.

    Args:
        encoder: Keras model from images (n, ...) to the pair `(z_mean, z_log_var)`, each
            (n, latent_dim) (Equation 10).
        decoder: Keras model from latents (n, latent_dim) to the shape of the images (Equation 5):
            to logits for "bernoulli", with no sigmoid at its end, or to the mean for "gaussian".
            The attribute `decoder` is a model from latents to the mean, float32, in either case.
        likelihood, sigma, beta: As for `VariationalLoss`.
        seed: Seed of the noise, as for `Sampling`.

    Returns:
        Called on images (n, ...), a dict: "images", the mean of P(X|z) at a z drawn from Q(z|X)
        for each, and "reconstruction" and "kl", the terms of the loss, (n,), in nats per image.

    Raises:
        ValueError: If encoder and decoder do not fit together, or an argument is out of range.

    >>> x, z = keras.Input((8, 8, 1)), keras.Input((2,))
    >>> pixels = keras.layers.Flatten()(x)
    >>> q = keras.layers.Dense(2)(pixels), keras.layers.Dense(2)(pixels)
    >>> logits = keras.layers.Reshape((8, 8, 1))(keras.layers.Dense(64)(z))
    >>> vae = VAE(keras.Model(x, q), keras.Model(z, logits))
    >>> vae.sample(3, seed=0).shape
    (3, 8, 8, 1)
    """

    def __init__(
        self, encoder, decoder, likelihood="bernoulli", sigma=1.0, beta=1.0, seed=None, **kwargs
    ):
        super().__init__(autocast=False, **kwargs)
        check_networks(encoder, decoder, likelihood)
        self.encoder = encoder
        self.decoder_network = decoder
        self.image_shape = tuple(encoder.input_shape[1:])
        self.latent_dim = decoder.input_shape[-1]
        self.sampling = Sampling(seed, dtype="float32")  # as the heads of the encoder
        self.variational_loss = VariationalLoss(likelihood, sigma, beta)
        activation = "sigmoid" if likelihood == "bernoulli" else "linear"
        self.to_mean = keras.layers.Activation(activation, dtype="float32")
        z = keras.Input((self.latent_dim,), name="z")
        self.decoder = keras.Model(z, self.to_mean(decoder(z)), name="decoder")
        # -log P(X|z) of pairs; `z, z` stand in for Q, whose KL is not used. Keras saves attributes
        # in the order of their names: this one must come last, or older files do not load
        x = keras.Input(self.image_shape, name="x")
        reconstruction, _ = self.variational_loss((x, decoder(z), z, z))
        self.z_to_reconstruction = keras.Model((x, z), reconstruction)
        self.reconstruction_tracker = keras.metrics.Mean("reconstruction")
        self.kl_tracker = keras.metrics.Mean("kl")
        self(keras.Input(self.image_shape))  # builds it, so that it can be saved before training

    def call(self, inputs, training=None):
        z_mean, z_log_var = self.encoder(inputs, training=training)  # Equation 10
        z = self.sampling((z_mean, z_log_var), training=training)  # Equation 13
        logits_or_mean = self.decoder_network(z, training=training)  # Equation 5
        # Equation 14
        reconstruction, kl = self.variational_loss((inputs, logits_or_mean, z_mean, z_log_var))
        images = self.to_mean(logits_or_mean)
        return {"images": images, "reconstruction": reconstruction, "kl": kl}

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        weights = 1.0 if sample_weight is None else relative_weights(sample_weight)
        self.reconstruction_tracker.update_state(weights * y_pred["reconstruction"])
        self.kl_tracker.update_state(weights * y_pred["kl"])
        # users' metrics compare the images, whatever the targets are
        images = {"images": y_pred["images"]}
        return super().compute_metrics(x, {"images": x}, images, sample_weight)

    def reconstruct(self, x) -> np.ndarray:
        """Reconstruct images without noise: the mean of P(X|z) at z = z_mean (n, *image_shape)."""
        x = self._array_of_images(x)
        z_mean, _ = self.encoder.predict(x, verbose=0)
        return self.decoder.predict(z_mean, verbose=0)

    def sample(self, n: int, seed=None, prior: MixturePrior | None = None) -> np.ndarray:
        """Decode draws of z (Figures 5 and 6): the mean of P(X|z), float32 (n, *image_shape).

        Arguments as for `draw_latents`.
        """
        z = draw_latents(n, self.latent_dim, seed, prior)
        return self.decoder.predict(z, batch_size=min(n, CHUNK), verbose=0)

    def elbo(self, x, num_samples: int = 1, seed: int = 0, verbose: int = 0) -> np.ndarray:
        """The evidence lower bound of each image, without beta (right side of Equation 9).

        Args:
            x: Images (n, *image_shape).
            num_samples: Draws of z for each image, over which log P(X|z) is averaged; the KL term
                is exact.
            seed: Integer that fixes the draws.
            verbose: 1 shows a progress bar.

        Returns:
            float64 array (n,): nats per image, summed over pixels and latent dimensions.
        """
        x = self._array_of_images(x)
        q = self.encoder.predict(x, verbose=0)
        log_p = np.zeros(len(x))
        for rows, log_p_x_given_z, _ in self._draws(x, *q, num_samples, seed, verbose):
            log_p[rows] += np.sum(log_p_x_given_z, axis=1, dtype="float64")
        return log_p / num_samples - keras.ops.convert_to_numpy(kl_divergence(*q))

    def log_likelihood(
        self, x, num_samples: int = 1000, seed: int = 0, verbose: int = 0
    ) -> np.ndarray:
        """log P(X) by importance sampling: log of the mean of the weights P(X|z) P(z) / Q(z|X).

        The mean is unbiased, so its log is too low on average, and rises to log P(X) with
        `num_samples`; the memory does not grow with it. Arguments and result as for `elbo`.
        Source: Equation 7, with z drawn from Q(z|X) instead of P(z); Burda, Grosse and
        Salakhutdinov (2016), Equation 8.
        """
        x = self._array_of_images(x)
        q = self.encoder.predict(x, verbose=0)
        total = np.full(len(x), -np.inf)
        for rows, log_p_x_given_z, log_ratio in self._draws(x, *q, num_samples, seed, verbose):
            log_weight = np.logaddexp.reduce(log_p_x_given_z + log_ratio, axis=1)
            total[rows] = np.logaddexp(total[rows], log_weight)
        return total - np.log(num_samples)

    def save(self, filepath, overwrite: bool = True, **kwargs):
        """Save the whole model, with optimizer and noise, to one `.keras` file.

        The file appears once it is whole. Load it with `keras.models.load_model`, in a process
        that has run `import vae_keras`, which tells Keras the classes that the file names.
        Raises a `ValueError` if the name does not end in `.keras`, and an `OSError` if the file
        cannot be written, or exists and `overwrite` is `False`.
        """
        if Path(filepath).suffix != ".keras":
            raise ValueError(f"filepath must end in .keras; got {filepath}.")
        if not overwrite and Path(filepath).exists():
            raise FileExistsError(f"{filepath} exists, and overwrite is False.")
        with atomic_path(filepath) as partial:
            super().save(partial, **kwargs)

    def get_config(self):
        loss = self.variational_loss
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder_network),
            **{"likelihood": loss.likelihood, "sigma": loss.sigma, "beta": loss.beta},
            "seed": self.sampling.seed,
            "trainable_layers": [layer.trainable for layer in self._layers_to_freeze()],
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        trainable = config.pop("trainable_layers", [])
        older = config.pop("trainable") if isinstance(config.get("trainable"), list) else []
        for name in {"encoder", "decoder"} & config.keys():
            config[name] = keras.saving.deserialize_keras_object(config[name])
        vae = cls(**config)
        networks = [vae.encoder, vae.decoder_network]
        older_layers = [*networks, *networks[0].layers, *networks[1].layers]
        layers = vae._layers_to_freeze() if trainable else older_layers
        for layer, value in zip(layers, trainable or older, strict=False):
            layer.trainable = value
        return vae

    def _layers_to_freeze(self):  # parents first, since they set those inside them
        layers = [self.encoder, self.decoder_network, self.variational_loss]
        for layer in layers:  # which grows
            layers += getattr(layer, "layers", [])
        return layers

    def _draws(self, x, z_mean, z_log_var, num_samples, seed, verbose):
        """Yield for some images their slice, log P(X|z) and log P(z)/Q(z|X) (images, draws)."""
        check_count(num_samples, "num_samples")
        rng = np.random.default_rng(seed)
        progress = keras.utils.Progbar(len(x), verbose=verbose, unit_name="image")
        step = max(1, CHUNK // num_samples)
        for start in range(0, len(x), step):
            rows = slice(start, min(start + step, len(x)))
            for first in range(0, num_samples, CHUNK):
                shape = rows.stop - start, min(CHUNK, num_samples - first), self.latent_dim
                epsilon = rng.standard_normal(shape, dtype="float32")
                log_var = z_log_var[rows, None]
                z = z_mean[rows, None] + np.exp(0.5 * log_var) * epsilon  # Equation 13
                # the constants of the two normal densities cancel
                exponents = np.square(epsilon) - np.square(z) + log_var
                log_ratio = 0.5 * np.sum(exponents, axis=2, dtype="float64")
                pairs = np.repeat(x[rows], shape[1], axis=0), z.reshape(-1, self.latent_dim)
                log_p = -self.z_to_reconstruction.predict_on_batch(pairs)
                yield rows, log_p.reshape(shape[:2]), log_ratio
            progress.update(rows.stop)


@keras.saving.register_keras_serializable(package="vae_keras")
class ConvVAE(VAE):
    """A `VAE` that chooses its two networks by name.

    Args:
        latent_dim: Number of latent variables, at least 1.
        network: "default", or "keng2017" for the network of the post.
        image_shape: (height, width, channels); any for "default", (28, 28, 1) for "keng2017".
        likelihood, sigma, beta, seed: As for `VAE`.
        dtype: Dtype policy of the networks; `None` takes Keras's global one.
        activation: Of the hidden layers; if not given, "gelu", or "relu" as in the post.
        depth: How often "default" halves the image; if not given, 2 for images of at most 32
            pixels a side, one more for each doubling. None for "keng2017".

    Raises:
        ValueError: If an argument is not as above; the message names it.

    >>> vae = ConvVAE(latent_dim=2, image_shape=(8, 8, 1))
    >>> vae.elbo(np.zeros((3, 8, 8, 1))).shape  # nats of each image
    (3,)
    """

    def __init__(
        self, latent_dim=64, network="default", image_shape=(28, 28, 1), likelihood="bernoulli",
        sigma=1.0, beta=1.0, seed=None, dtype=None, activation=None, depth=None, **kwargs,
    ):  # fmt: skip
        if network not in tuple(NETWORKS):
            raise ValueError(f"network must be one of {tuple(NETWORKS)}; got {network!r}.")
        check_count(latent_dim, "latent_dim")
        shape = check_image_shape(image_shape)
        policy = keras.dtype_policies.get(dtype)
        build, own = NETWORKS[network]
        activation = own if activation is None else activation
        if depth is not None and network != "default":
            raise ValueError(f"depth must be None for {network!r}; got {depth!r}.")
        depths = {} if depth is None else {"depth": depth}
        encoder, decoder = build(int(latent_dim), shape, policy, activation, **depths)
        super().__init__(encoder, decoder, likelihood, sigma, beta, seed, dtype=policy, **kwargs)
        self.network = network
        self.depth = usual_depth(shape) if (depth, network) == (None, "default") else depth
        self.activation = keras.activations.serialize(keras.activations.get(activation))

    def get_config(self):
        config = {"network": self.network, "latent_dim": self.latent_dim, **super().get_config()}
        del config["encoder"], config["decoder"]  # from_config builds them anew
        own = {"image_shape": self.image_shape, "activation": self.activation, "depth": self.depth}
        return {**config, **own}

    @classmethod
    def from_config(cls, config):
        older = {"activation": "relu", "depth": 2 if config["network"] == "default" else None}
        return super().from_config({**older, **config})
