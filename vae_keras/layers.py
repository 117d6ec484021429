"""The two layers that make an autoencoder variational, and the three formulas that they are made of.

Equation numbers are those of the post "Variational Autoencoders" (Brian Keng, 2017).
"""

import math
import numbers

import keras
from keras import ops

LIKELIHOODS = ("bernoulli", "gaussian")


def kl_divergence(z_mean, z_log_var):
    """KL divergence from the prior N(0, I) to Q(z|X) = N(z_mean, diag(exp(z_log_var))), in closed form.

    Source: the second bracket of Equation 14, (tr Sigma + mu'mu - k - log det Sigma) / 2.

    Takes two tensors of shape (n, latent_dim), z_log_var being the logarithm of the variance; returns nats per image (n,),
    summed over the latent dimensions.
    """
    return 0.5 * ops.sum(ops.exp(z_log_var) + ops.square(z_mean) - 1.0 - z_log_var, axis=-1)


def bernoulli_log_likelihood(x, logits):
    """log P(X|z) of pixels that are independent Bernoulli variables, computed from logits, so that none overflows.

    On grey pixels this is the expected log-likelihood of their binarised draws. Source: the note to Equation 5.

    Takes images (n, ...) in [0, 1] and logits log(p / (1 - p)) of the same shape; returns nats per image (n,), summed over
    the pixels.
    """
    # log(1 + exp(l)), written so that the exponent is never positive
    softplus = ops.maximum(logits, 0.0) + ops.log1p(ops.exp(-ops.abs(logits)))
    return _sum_over_pixels(x * logits - softplus)


def gaussian_log_likelihood(x, mean, log_sigma):
    """log P(X|z) of pixels that are independent N(mean, sigma^2) variables, constants included.

    Source: Equation 5. Equation 14 drops the constant -(log sigma + log(2 pi) / 2) of each pixel.

    Takes images and means (n, ...) and the logarithm of the standard deviation, a scalar; returns nats per image (n,),
    summed over the pixels.
    """
    constant = log_sigma + 0.5 * math.log(2.0 * math.pi)
    return _sum_over_pixels(-0.5 * ops.square((x - mean) * ops.exp(-log_sigma)) - constant)


@keras.saving.register_keras_serializable(package="vae_keras")
class Sampling(keras.layers.Layer):
    """Draws z from Q(z|X) by the reparameterization trick, so that gradients reach z_mean and z_log_var.

    z = z_mean + exp(0.5 z_log_var) * epsilon, with epsilon ~ N(0, I): one draw an image at each call.
    Source: Equation 13.

    Args:
        seed: Integer, or `None` to take one from Keras's global seed. The state of the noise is saved with the layer:
            a loaded one goes on where the saved one stopped.

    Call arguments:
        inputs: The pair `(z_mean, z_log_var)`.

    Input shape:
        Two tensors of one shape, (n, latent_dim).

    Output shape:
        (n, latent_dim).

    Raises:
        ValueError: If the input is not a pair of tensors of one shape.
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = None if seed is None else int(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self.built = True

    def call(self, inputs):
        z_mean, z_log_var = _same_shapes(inputs, ("z_mean", "z_log_var"))
        epsilon = keras.random.normal(ops.shape(z_mean), dtype=z_mean.dtype, seed=self.seed_generator)
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    # Keras leaves the state of a seed generator out of its files
    def save_own_variables(self, store):
        store["seed_generator_state"] = ops.convert_to_numpy(self.seed_generator.state)

    def load_own_variables(self, store):
        self.seed_generator.state.assign(store["seed_generator_state"][...])

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable(package="vae_keras")
class VariationalLoss(keras.layers.Layer):
    """Adds the negative ELBO to the loss: the mean over the batch of reconstruction + beta * kl.

    The reconstruction term is -log P(X|z), constants included; the kl term is D(Q(z|X) || N(0, I)).
    Source: Equation 14, with its sign changed, since Keras minimises.

    Args:
        likelihood: "bernoulli" or "gaussian": the distribution of a pixel given z (Equation 5 and its note).
        sigma: Standard deviation of the Gaussian likelihood, above 0, or `None` to learn it. The Bernoulli one has none.
        beta: Weight of the kl term, 0 or more; 1 is the ELBO. It is fixed once the layer exists.

    Call arguments:
        inputs: The tuple `(x, logits_or_mean, z_mean, z_log_var)`: images, what the decoder network made of z
            (logits for "bernoulli", the mean for "gaussian"), and the parameters of Q(z|X).

    Input shape:
        Two tensors of one shape (n, ...), then two of one shape (n, latent_dim).

    Output shape:
        Two tensors of shape (n,), `(reconstruction, kl)`: nats per image, summed over the pixels and over the latent
        dimensions. They are float32 whatever the dtype policy, and `x` is used as it came, unrounded.

    Raises:
        ValueError: If `likelihood`, `sigma` or `beta` is none of the above, or the inputs' shapes do not agree.
    """

    def __init__(self, likelihood="bernoulli", sigma=1.0, beta=1.0, **kwargs):
        super().__init__(autocast=False, **kwargs)
        if likelihood not in LIKELIHOODS:
            raise ValueError(f"likelihood must be one of {LIKELIHOODS}; got {likelihood!r}.")
        if sigma is not None and not (_is_number(sigma) and 0 < sigma < math.inf):
            raise ValueError(f"sigma must be a number above 0, or None to learn it; got {sigma!r}.")
        if not (_is_number(beta) and 0 <= beta < math.inf):
            raise ValueError(f"beta must be a number of 0 or more; got {beta!r}.")
        self.likelihood, self.sigma, self.beta = likelihood, sigma, beta
        self.log_sigma = math.log(sigma) if sigma is not None else None
        if likelihood == "gaussian" and sigma is None:
            self.log_sigma = self.add_weight(shape=(), initializer="zeros", dtype="float32", autocast=False, name="log_sigma")
        self.built = True

    def log_likelihood(self, x, logits_or_mean):
        """log P(X|z) of each image: nats, summed over the pixels, in float32. Shape (n,)."""
        x, logits_or_mean = ops.cast(x, "float32"), ops.cast(logits_or_mean, "float32")
        if self.likelihood == "bernoulli":
            return bernoulli_log_likelihood(x, logits_or_mean)
        return gaussian_log_likelihood(x, logits_or_mean, self.log_sigma)

    def call(self, inputs):
        x, logits_or_mean = _same_shapes(inputs[:2], ("x", "logits_or_mean"))
        z_mean, z_log_var = _same_shapes(inputs[2:], ("z_mean", "z_log_var"))
        reconstruction = -self.log_likelihood(x, logits_or_mean)
        kl = kl_divergence(ops.cast(z_mean, "float32"), ops.cast(z_log_var, "float32"))
        self.add_loss(ops.mean(reconstruction + self.beta * kl))
        return reconstruction, kl

    def compute_output_spec(self, inputs):
        # two tensors, and not one twice: a functional model tells its outputs apart by them
        return tuple(keras.KerasTensor(inputs[0].shape[:1], dtype="float32") for _ in range(2))

    def get_config(self):
        return {**super().get_config(), "likelihood": self.likelihood, "sigma": self.sigma, "beta": self.beta}


def _sum_over_pixels(x):
    return ops.sum(x, axis=tuple(range(1, len(x.shape))))


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _same_shapes(tensors, names):
    if not isinstance(tensors, (tuple, list)):
        raise ValueError(f"{' and '.join(names)} must be tensors in a tuple; got {type(tensors).__name__}.")
    shapes = [tuple(tensor.shape) for tensor in tensors]
    agree = len(shapes) == len(names) and len({len(shape) for shape in shapes}) == 1
    # a dimension of None is not known before the model runs
    if not agree or any(len({*sizes} - {None}) > 1 for sizes in zip(*shapes, strict=True)):
        raise ValueError(f"{' and '.join(names)} must be tensors of one shape; got the shapes {shapes}.")
    return tensors
