"""Trains the default network with a prior that is learned beside it, and with N(0, I).

`python benchmarks/learned_prior.py` trains by the recipe "fast", first with a learned mixture of
normals, for each seed, then with N(0, I), to which it fits a mixture afterwards, as notebook 10
does.

The record is benchmarks/records/learned_prior.json. It is written after each run: if it is stopped,
it holds the runs so far. It is made on committed code alone; trials go to another folder, --output.
"""

import argparse
import itertools
import time

import keras
import numpy as np
from keras import ops
from record import build, origin_of, parse_trial, record_runs

from vae_keras import RECIPES, ConvVAE, fit_mixture_prior, load_mnist
from vae_keras.evaluation import sample_quality, standard_error, train_classifier
from vae_keras.layers import bernoulli_log_likelihood

SEEDS = 3
COMPONENTS = 20  # of either mixture, as in the notebook
ENCODED = 10_000  # training images to whose codes a mixture is fitted
SAMPLES = 5000  # that the classifier judges, from each prior
LOG_2_PI = float(np.log(2 * np.pi))


class LearnedPrior(keras.layers.Layer):
    """log r(z) of a mixture of normals whose shares, means and variances are trained."""

    def __init__(self, num_components, latent_dim, seed=None):
        super().__init__()
        spread = keras.initializers.RandomNormal(stddev=0.5, seed=seed)
        shape = (num_components, latent_dim)
        self.means = self.add_weight(shape=shape, initializer=spread)
        self.log_vars = self.add_weight(shape=shape, initializer="zeros")
        self.logits = self.add_weight(shape=(num_components,), initializer="zeros")

    def call(self, z):  # (n, latent_dim) to (n,)
        squares = ops.square(z[:, None] - self.means) * ops.exp(-self.log_vars)
        log_normals = -0.5 * ops.sum(squares + self.log_vars + LOG_2_PI, axis=2)
        return ops.logsumexp(log_normals + ops.log_softmax(self.logits), axis=1)

    def sample(self, n, seed):
        means, log_vars, logits = map(ops.convert_to_numpy, self.get_weights())
        rng = np.random.default_rng(seed)
        shares = np.exp(logits - logits.max())
        k = rng.choice(len(shares), size=n, p=shares / shares.sum())
        noise = rng.standard_normal((n, means.shape[1]))
        return (means[k] + np.exp(0.5 * log_vars[k]) * noise).astype("float32")


def log_normal(z, z_mean, z_log_var):
    """log density of each row of z under its own normal distribution, (n,)."""
    squares = ops.square(z - z_mean) * ops.exp(-z_log_var)
    return -0.5 * ops.sum(squares + z_log_var + LOG_2_PI, axis=1)


class VAEWithLearnedPrior(ConvVAE):
    """For a mixture the KL term has no formula: log Q(z|X) - log r(z) at the draw stands for it."""

    def build(self, input_shape):
        self.prior = LearnedPrior(COMPONENTS, self.latent_dim, self.sampling.seed)
        super().build(input_shape)

    def call(self, inputs, training=None):
        z_mean, z_log_var = self.encoder(inputs, training=training)
        z = self.sampling((z_mean, z_log_var), training=training)
        logits = self.decoder_network(z, training=training)
        reconstruction = -bernoulli_log_likelihood(inputs, logits)
        kl = log_normal(z, z_mean, z_log_var) - self.prior(z)
        self.add_loss(ops.mean(reconstruction + kl))
        return {"images": self.to_mean(logits), "reconstruction": reconstruction, "kl": kl}


def train(model, seed, x_train):
    """Train a model by the recipe "fast". Returns it, and the seconds."""
    epochs, batch_size, _ = RECIPES["fast"]
    vae = build("fast", len(x_train), seed, model=model)
    start = time.perf_counter()
    vae.fit(x_train, epochs=epochs, batch_size=batch_size, verbose=2)
    return vae, time.perf_counter() - start


def draw(vae, x, seed=0):
    """One z from Q(z|X) for each image."""
    z_mean, z_log_var = vae.encoder.predict(x, verbose=0)
    epsilon = np.random.default_rng(seed).standard_normal(z_mean.shape, dtype="float32")
    return z_mean + np.exp(0.5 * z_log_var) * epsilon


def judge(vae, log_r, z, x_test, x_real, classifier):
    """-ELBO on the test images with the prior r, and what the classifier makes of decoded z."""
    images = vae.decoder.predict(z, batch_size=1000, verbose=0)
    quality = sample_quality(images, x_real, classifier)
    neg_elbo = -vae.elbo(x_test, num_samples=1, seed=0)
    neg_elbo -= gain(vae, log_r, x_test)
    return {
        "test_neg_elbo": round(float(neg_elbo.mean()), 3),
        "standard_error": round(standard_error(neg_elbo), 3),
        "recognised": round(quality["recognised"], 4),
        "frechet_distance": round(quality["frechet_distance"], 3),
        "digit_shares": [round(float(share), 4) for share in quality["digit_shares"]],
    }


def gain(vae, log_r, x, num_draws=2):
    """E_Q[log r(z) - log P(z)] of each image: what the ELBO gains if r takes the prior's place."""
    if log_r is None:
        return np.zeros(len(x))
    total = np.zeros(len(x))
    for seed in range(num_draws):
        z = draw(vae, x, seed)
        total += log_r(z) - np.asarray(log_normal(z, np.zeros_like(z), np.zeros_like(z)))
    return total / num_draws


def with_standard_prior(seed, images, classifier):
    """Train with N(0, I); judge it, draws from Q of test images, and a mixture fitted to codes."""
    x_train, x_test = images
    vae, seconds = train(ConvVAE, seed, x_train)
    real = x_train[:SAMPLES], classifier
    standard = np.random.default_rng(seed).standard_normal((SAMPLES, vae.latent_dim), "float32")
    codes = vae.encoder.predict(x_train[:ENCODED], verbose=0)
    mixture = fit_mixture_prior(*codes, n_components=COMPONENTS, seed=seed)
    rebuilt = vae.decoder.predict(draw(vae, x_test[:SAMPLES]), batch_size=1000, verbose=0)
    return {
        "seed": seed,
        "seconds": round(seconds),
        "normal": judge(vae, None, standard, x_test, *real),
        "fitted": judge(vae, mixture.log_prob, mixture.sample(SAMPLES, seed), x_test, *real),
        "recognised_from_q": round(sample_quality(rebuilt, *real)["recognised"], 4),
    }


def with_learned_prior(seed, images, classifier):
    """Train with a learned mixture as prior, and judge it."""
    x_train, x_test = images
    vae, seconds = train(VAEWithLearnedPrior, seed, x_train)

    def log_r(z):
        return np.concatenate([np.asarray(vae.prior(part)) for part in np.array_split(z, 20)])

    rebuilt = vae.decoder.predict(draw(vae, x_test[:SAMPLES]), batch_size=1000, verbose=0)
    real = x_train[:SAMPLES], classifier
    return {
        "seed": seed,
        "seconds": round(seconds),
        "learned": judge(vae, log_r, vae.prior.sample(SAMPLES, seed), x_test, *real),
        "recognised_from_q": round(sample_quality(rebuilt, *real)["recognised"], 4),
    }


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many (default: {SEEDS})")
    options = parse_trial(parser)
    origin = origin_of(options.output)
    (x_train, y_train), (x_test, _) = load_mnist()
    images = x_train[: options.images], x_test[: options.images]
    classifier = train_classifier(images[0], y_train[: options.images], epochs=3, seed=0)
    record = {**origin, "recipe": "fast", "components": COMPONENTS}
    ways = itertools.product((with_learned_prior, with_standard_prior), range(options.seeds))
    runs = (train_and_judge(seed, images, classifier) for train_and_judge, seed in ways)
    record_runs(record, runs, "learned_prior", options.output)


if __name__ == "__main__":
    main()
