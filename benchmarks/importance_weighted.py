"""Trains small dense networks on the importance-weighted bound, with k = 1, 5 and 50 draws.

`python benchmarks/importance_weighted.py` trains networks of the kind of Burda, Grosse and
Salakhutdinov (2016), "Importance weighted autoencoders", on binarised MNIST: for each seed first
k = 50 for 1500 steps, whose processor time is then given to k = 5 and k = 1, too. These are scored
twice: after as many steps, and after as much time. A control has 50 draws of z as well, but trains
on the ELBO. -log P(X) is estimated by the same importance sampling for all, on the first test
images.

The record is benchmarks/records/importance_weighted.json. It is written after each model: if it is
stopped, it holds the models so far. It is made on committed code alone; trials go to another
folder, --output.
"""

import argparse
import math
import time

import keras
import numpy as np
from keras import layers, ops
from record import origin_of, parse_trial, record_runs

from vae_keras import VAE, binarize, load_mnist
from vae_keras.evaluation import standard_error
from vae_keras.layers import IN_USE, kl_per_latent

SEEDS = 2
BATCH_SIZE = 20  # as Burda et al.
STEPS_OF_ROUND = 250  # on images that are binarised anew
ROUNDS = 6  # which make the equal steps
LATENTS = 50
HIDDEN = 200
SCORED = 500  # test images
NLL_DRAWS = (50, 250)  # for -log P(X): the fewer show how far the estimate still falls


def networks():
    """Two hidden layers each way, and 50 latents: 784-200-200-50 and back."""
    dense = layers.Dense
    x = keras.Input((28, 28, 1))
    z = keras.Input((LATENTS,))
    h = layers.Flatten()(x)
    g = z
    for _ in range(2):
        h = dense(HIDDEN, "tanh")(h)
        g = dense(HIDDEN, "tanh")(g)
    heads = dense(LATENTS, name="z_mean")(h), dense(LATENTS, name="z_log_var")(h)
    return keras.Model(x, heads), keras.Model(z, layers.Reshape((28, 28, 1))(dense(784)(g)))


class ImportanceWeighted(VAE):
    """A VAE whose loss is minus log of the mean of `draws` weights, Equation 7', for each image.

    A weight is P(X|z) P(z) / Q(z|X), with z drawn from Q(z|X). With one draw its log is the ELBO
    of that draw. The logged reconstruction and kl are means over the draws; the loss lies below
    their sum.
    """

    draws = 1

    def log_weights(self, x, training=None):
        """log w and log P(X|z) of each draw, (n, draws); logits of the first, (n, 784)."""
        q = self.encoder(x, training=training)
        z_mean, z_log_var = [ops.repeat(part, self.draws, axis=0) for part in q]
        z = self.sampling((z_mean, z_log_var), training=training)  # Equation 13
        logits = ops.reshape(self.decoder_network(z), (-1, self.draws, 784))
        pixels = ops.reshape(x, (-1, 1, 784))
        log_p = ops.sum(pixels * logits - ops.softplus(logits), axis=2)
        epsilon = (z - z_mean) * ops.exp(-0.5 * z_log_var)
        log_ratio = 0.5 * ops.sum(epsilon**2 + z_log_var - z**2, axis=1)
        return log_p + ops.reshape(log_ratio, (-1, self.draws)), log_p, logits[:, 0]

    def call(self, inputs, training=None):
        log_w, log_p, logits = self.log_weights(inputs, training)
        self.add_loss(-ops.mean(self.bound(log_w)))
        images = ops.reshape(ops.sigmoid(logits), (-1, 28, 28, 1))
        terms = {"reconstruction": -log_p, "kl": log_p - log_w}
        means = {name: ops.mean(term, axis=1) for name, term in terms.items()}
        return {"images": images, **means}

    def bound(self, log_w):
        return ops.logsumexp(log_w, axis=1) - math.log(self.draws)  # Equation 7'


class ManyDraws(ImportanceWeighted):
    """The control: the ELBO, by as many draws. It has their mean log weight as its bound."""

    def bound(self, log_w):
        return ops.mean(log_w, axis=1)


class Clock(keras.callbacks.Callback):
    """Adds up the processor's seconds in training, without what precedes each round.

    Those of all cores count: other programs on the machine do not change them.
    """

    seconds = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds += time.process_time() - self.start


# the slowest first: it says how much time all have
TRAINED = (
    (ImportanceWeighted, 50), (ManyDraws, 50), (ImportanceWeighted, 5), (ImportanceWeighted, 1)
)  # fmt: skip


def train(kind, draws, seed, x_train, stop, steps=STEPS_OF_ROUND):
    """Train round by round, and yield the model and its clock after each until told to stop.

    Args:
        kind: The class of the model.
        draws: The k of the bound, or the draws of the ELBO.
        seed: Integer that fixes the weights, the noise and the images of each round.
        x_train: Grey images, of which each round binarises some anew.
        stop: Function of the number of rounds and the seconds.
        steps: Steps of a round.
    """
    keras.utils.set_random_seed(seed)
    model = kind(*networks(), seed=seed)
    model.draws = draws
    model.compile(keras.optimizers.Adam(0.002))
    clock = Clock()
    some = binarize(x_train[:BATCH_SIZE], seed=seed)
    model.fit(some, batch_size=BATCH_SIZE, verbose=0)  # one step, for the tracing
    rng = np.random.default_rng(seed)
    rounds = 0
    while not stop(rounds, clock.seconds):
        chosen = rng.choice(len(x_train), BATCH_SIZE * steps, replace=len(x_train) < 6000)
        x = binarize(x_train[chosen], seed=[seed, rounds])
        model.fit(x, batch_size=BATCH_SIZE, callbacks=[clock], verbose=0)
        rounds += 1
        yield model, rounds, clock.seconds


def score(model, x, nll_draws=NLL_DRAWS):
    """The bounds of one model, and -log P(X): means with standard errors, and the latter (n,)."""
    found = {}
    for draws in (1, 5, 50):
        nats = -model.log_likelihood(x, num_samples=draws, seed=1)
        found[f"bound_{draws}"] = with_error(nats)
    for draws in nll_draws:
        nats = -model.log_likelihood(x, num_samples=draws, seed=0)
        found[f"nll_{draws}"] = with_error(nats)
    z_mean, z_log_var = model.encoder.predict(x, verbose=0)
    used = np.mean(kl_per_latent(z_mean, z_log_var), axis=0) > IN_USE
    return {**found, "latents_in_use": int(used.sum())}, nats


def with_error(nats):
    """The mean over images and its standard error."""
    return [round(float(np.mean(nats)), 3), round(standard_error(nats), 3)]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many (default: {SEEDS})")
    parser.add_argument("--quick", action="store_true", help="two rounds of 5 steps, for a trial")
    options = parse_trial(parser)
    record = {
        **origin_of(options.output),
        "network": f"784-{HIDDEN}-{HIDDEN}-{LATENTS}",
        "batch_size": BATCH_SIZE,
        "images_scored": SCORED,
        "seconds_are": "of processor time in training, of all cores together",
    }
    sizes = (2, 5, (2, 4)) if options.quick else (ROUNDS, STEPS_OF_ROUND, NLL_DRAWS)
    seeds = range(options.seeds)
    runs = (run for seed in seeds for run in runs_of(seed, options.images, *sizes))
    record_runs(record, runs, "importance_weighted", options.output)


def runs_of(seed, num_images, rounds, steps, nll_draws):
    """Yield, for one seed, an entry of the record for each model that is scored.

    The entries of k = 1 come last. They have the differences of the others from it.
    """
    (x_train, _), (x_test, _) = load_mnist()
    x_train = x_train[:num_images]
    x = binarize(x_test[:num_images][:SCORED], seed=0)
    most = None  # the seconds of k = 50
    nats = {}

    def stop(done, seconds):
        return done >= rounds and (most is None or draws == 50 or seconds >= most)

    for kind, draws in TRAINED:
        name = f"elbo_{draws}" if kind is ManyDraws else f"k_{draws}"
        for model, done, seconds in train(kind, draws, seed, x_train, stop, steps):
            stages = ["steps"] if done == rounds else []
            stages += ["time"] if stop(done, seconds) else []
            if not stages:
                continue
            figures, nll = score(model, x, nll_draws)
            nats.update({(stage, name): nll for stage in stages})
            entry = {"name": name, "seed": seed, "equal": stages, "steps": done * steps}
            entry = {**entry, "seconds": round(seconds, 1), **figures}
            yield {**entry, **(paired(nats, stages) if draws == 1 else {})}
        most = seconds if most is None else most


def paired(nats, stages):
    """-log P(X) less that of k = 1 at the same stage, image by image: mean and standard error."""
    return {
        f"{name}_less_k_1_at_equal_{stage}": with_error(nll - nats[stage, "k_1"])
        for (stage, name), nll in nats.items()
        if stage in stages and name != "k_1"
    }


if __name__ == "__main__":
    main()
