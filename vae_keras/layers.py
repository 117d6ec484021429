"""The two layers that make an autoencoder variational, and the formulas that they are made of.

Equation numbers are those of the post "Variational Autoencoders" (Brian Keng, 2017).
"""

import math
from typing import Any

import keras
from keras import KerasTensor, ops

from vae_keras._checks import check_beta, check_same_shapes, check_sigma

Tensor = Any  # an array of NumPy, or a tensor of the backend that runs
LIKELIHOODS = ("bernoulli", "gaussian")
IN_USE = 0.01  # nats: a latent is in use if its mean KL divergence is above it


def kl_per_latent(z_mean: Tensor, z_log_var: Tensor) -> Tensor:
    """The KL divergence D(Q(z|X) || N(0, 1)) of each latent by itself, in closed form.

    Source: the second bracket of Equation 14, before it is summed over the latents.

    Takes the mean of Q(z|X) and the logarithm of its variance, each (n, latent_dim); returns nats
    per image and latent, (n, latent_dim). A latent near 0 for all images is not used.
    """
    return 0.5 * (ops.exp(z_log_var) + ops.square(z_mean) - 1.0 - z_log_var)


def kl_divergence(z_mean: Tensor, z_log_var: Tensor) -> Tensor:
    """The KL divergence D(Q(z|X) || N(0, I)): nats per image (n,), summed over the latents.

    Source: the second bracket of Equation 14, (tr Sigma + mu'mu - k - log det Sigma) / 2.
    """
    return ops.sum(kl_per_latent(z_mean, z_log_var), axis=-1)


def bernoulli_log_likelihood(x: Tensor, logits: Tensor) -> Tensor:
    """log P(X|z) of pixels that are independent Bernoulli variables, from logits log(p / (1 - p)).

    On grey pixels it is the expectation over their binarised draws. Source: note to Equation 5.

    Takes images (n, ...) in [0, 1] and logits of the same shape; returns nats per image (n,),
    summed over the pixels.
    """
    return _sum_over_pixels(-ops.binary_crossentropy(x, logits, from_logits=True))


def gaussian_log_likelihood(x: Tensor, mean: Tensor, log_sigma: Tensor) -> Tensor:
    """log P(X|z) of pixels that are independent N(mean, sigma^2) variables, constants included.

    Source: Equation 5. Equation 14 drops the constant -(log sigma + log(2 pi) / 2) of each pixel.

    Takes images and means (n, ...) and the logarithm of the standard deviation, a scalar; returns
    nats per image (n,), summed over the pixels.
    """
    constant = log_sigma + 0.5 * math.log(2.0 * math.pi)
    return _sum_over_pixels(-0.5 * ops.square((x - mean) * ops.exp(-log_sigma)) - constant)


@keras.saving.register_keras_serializable(package="vae_keras")
class Sampling(keras.layers.Layer):
    """Draws z from Q(z|X) by the reparameterization trick: gradients reach z_mean and z_log_var.

    z = z_mean + exp(0.5 z_log_var) * epsilon, with epsilon ~ N(0, I): one draw an image at each
    call. Training has noise of its own, so that it does not depend on how often one evaluates.
    Source: Equation 13.

    Args:
        seed: Integer, or `None` to take one from Keras's global seed. The state of the noise is
            saved with the layer: a loaded one goes on where the saved one stopped.

    Call arguments:
        inputs: The pair `(z_mean, z_log_var)`, each (n, latent_dim).
        training: Whether the draw is for a training step, as in Keras's own layers.

    Returns:
        z, (n, latent_dim). A `ValueError` is raised if the input is no pair of one shape.

    >>> z = Sampling(seed=0)((np.full((5, 2), 7.0), np.full((5, 2), -99.0)))
    >>> np.round(z[0]).tolist()  # with hardly any variance, z is its mean
    [7.0, 7.0]
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = None if seed is None else int(seed)
        training_seed = None if seed is None else (self.seed + 2**31) % 2**32  # none that one gives
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.training_seed_generator = keras.random.SeedGenerator(training_seed)
        self.built = True

    def call(self, inputs, training=None):
        z_mean, z_log_var = check_same_shapes(inputs, ("z_mean", "z_log_var"))
        noise = self.training_seed_generator if training else self.seed_generator
        epsilon = keras.random.normal(ops.shape(z_mean), dtype=z_mean.dtype, seed=noise)
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon

    # Keras leaves the states of seed generators out of its files
    def save_own_variables(self, store):
        store["seed_generator_state"] = ops.convert_to_numpy(self.seed_generator.state)
        store["training_state"] = ops.convert_to_numpy(self.training_seed_generator.state)

    def load_own_variables(self, store):
        state = store["seed_generator_state"][...]
        self.seed_generator.state.assign(state)
        # older files hold one state, from which training goes on
        training_state = store["training_state"][...] if "training_state" in store else state
        self.training_seed_generator.state.assign(training_state)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable(package="vae_keras")
class VariationalLoss(keras.layers.Layer):
    """Adds the negative ELBO to the loss: the mean over the batch of reconstruction + beta * kl.

    The reconstruction term is -log P(X|z), constants included; the kl term is D(Q(z|X) || N(0, I)).
    Source: Equation 14, with its sign changed, since Keras minimises.

    Args:
        likelihood: "bernoulli" or "gaussian": that of a pixel given z (Equation 5 and its note).
        sigma: Standard deviation of the Gaussian likelihood, above 0, or `None` to learn it. The
            Bernoulli one has none.
        beta: Weight of the kl term, 0 or more; 1 is the ELBO. A callback may set the attribute of
            that name, as `KLWarmUp` does (KL annealing), and it is saved with the model. Within an
            epoch on JAX it must be reached through the callback's `model`; else a `RuntimeError` is
            raised. It is a setting, and none of the weights: `load_weights` and `set_weights` of
            another model leave it.

    Call arguments:
        inputs: The tuple `(x, logits_or_mean, z_mean, z_log_var)`: images (n, ...); what the
            decoder network made of z, of that shape: logits for "bernoulli", the mean for
            "gaussian"; and the parameters of Q(z|X), each (n, latent_dim).

    Returns:
        `(reconstruction, kl)`, each (n,): nats per image, summed over the pixels and over the
        latents. They are float32 whatever the dtype policy, and `x` is used unrounded.

    Raises:
        ValueError: If an argument is none of the above, or the shapes of the inputs do not agree.

    >>> x, logits, zeros = np.ones((1, 4)), np.zeros((1, 4)), np.zeros((1, 2))
    >>> reconstruction, kl = VariationalLoss()((x, logits, zeros, zeros))
    >>> f"{float(reconstruction[0]):.4f}, {float(kl[0]):.4f}"  # 4 log 2, and 0
    '2.7726, 0.0000'
    """

    def __init__(self, likelihood="bernoulli", sigma=1.0, beta=1.0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        if likelihood not in LIKELIHOODS:
            raise ValueError(f"likelihood must be one of {LIKELIHOODS}; got {likelihood!r}.")
        check_sigma(sigma)
        check_beta(beta)
        self.likelihood = likelihood
        self.sigma = sigma
        scalar = {"shape": (), "dtype": "float32", "autocast": False}
        if sigma is not None:
            self.log_sigma = math.log(sigma)
        elif likelihood == "gaussian":
            self.log_sigma = self.add_weight(initializer="zeros", name="log_sigma", **scalar)
        # a variable, since a number would be frozen in the step that Keras traces
        start = keras.initializers.Constant(beta)
        self.beta_weight = self.add_weight(
            initializer=start, trainable=False, name="beta", **scalar
        )
        self.built = True

    @property
    def weights(self):
        # without beta: a model that takes the weights of another keeps its own
        return [weight for weight in super().weights if weight is not self.beta_weight]

    @property
    def beta(self) -> float:
        """The weight of the kl term: the shortest number that its float32 stands for."""
        return float(str(ops.convert_to_numpy(self.beta_weight)))

    @beta.setter
    def beta(self, beta):
        check_beta(beta)
        if self.beta_weight._value is None:  # JAX keeps weights elsewhere while an epoch runs
            raise RuntimeError(
                "beta would be lost within an epoch on JAX: set self.model.variational_loss.beta "
                "in a callback, or set it between epochs."
            )
        self.beta_weight.assign(beta)

    def weighted_sum(self, reconstruction: Tensor, kl: Tensor) -> Tensor:
        """The loss of each image, reconstruction + beta * kl, (n,)."""
        return reconstruction + self.beta_weight * kl

    def log_likelihood(self, x: Tensor, logits_or_mean: Tensor) -> Tensor:
        """log P(X|z) of each image, (n,): nats, summed over the pixels, in float32."""
        x = ops.cast(x, "float32")
        logits_or_mean = ops.cast(logits_or_mean, "float32")
        if self.likelihood == "bernoulli":
            return bernoulli_log_likelihood(x, logits_or_mean)
        return gaussian_log_likelihood(x, logits_or_mean, self.log_sigma)

    def call(self, inputs):
        x, logits_or_mean = check_same_shapes(inputs[:2], ("x", "logits_or_mean"))
        z_mean, z_log_var = check_same_shapes(inputs[2:], ("z_mean", "z_log_var"))
        reconstruction = -self.log_likelihood(x, logits_or_mean)
        kl = kl_divergence(ops.cast(z_mean, "float32"), ops.cast(z_log_var, "float32"))
        self.add_loss(ops.mean(self.weighted_sum(reconstruction, kl)))
        return reconstruction, kl

    def compute_output_spec(self, inputs):
        # two tensors, and not one twice: a functional model tells its outputs apart by them
        return tuple(KerasTensor(inputs[0].shape[:1], dtype="float32") for _ in range(2))

    # beta is in the config
    def save_own_variables(self, store):
        for i, variable in enumerate(self.weights):
            store[str(i)] = ops.convert_to_numpy(variable)

    def load_own_variables(self, store):
        for i, variable in enumerate(self.weights):
            if str(i) not in store:
                raise ValueError("the file holds no learned sigma, as this model has.")
            variable.assign(store[str(i)])

    def get_config(self):
        own = {"likelihood": self.likelihood, "sigma": self.sigma, "beta": self.beta}
        return {**super().get_config(), **own}


def _sum_over_pixels(x):
    return ops.sum(x, axis=tuple(range(1, len(x.shape))))
