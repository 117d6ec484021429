"""Trains a VAE on MNIST with few and many latents, on grey and on binarised images.

`python benchmarks/good_values.py` answers "is my loss normal?": it trains the default network by
the recipe "fast", and a small dense network, that of notebook 13, for as many epochs with three
seeds. Binarised images are drawn anew in each epoch. Before that it makes four logs for an exercise
of notebook 13: three of them with a mistake.

The record is benchmarks/records/good_values.json. It is written after each run: if it is stopped,
it holds the runs so far. It is made on committed code alone; trials go to another folder, --output.
"""

import argparse
import time

import keras
import numpy as np
from keras import layers, ops
from record import build, origin_of, parse_trial, record_runs

from vae_keras import RECIPES, VAE, binarize, load_mnist
from vae_keras.evaluation import loss_floor, mean_image_loss, standard_error
from vae_keras.layers import IN_USE, bernoulli_log_likelihood, kl_divergence, kl_per_latent

EPOCHS = RECIPES["fast"].epochs
# latents, images, seed
DEFAULT = [(64, "grey", 0), (2, "grey", 0), (64, "binarised", 0)]
DEFAULT += [(2, "binarised", 0), (8, "grey", 0), (64, "grey", 1)]
DENSE = [(latents, images, seed) for latents in (2, 16, 64) for images in ("grey", "binarised")
         for seed in (0, 1, 2)]  # fmt: skip
DENSE_RATE = 0.002
DENSE_BATCH = 200
LOG_IMAGES = 10_000  # of the logs, in batches of LOG_BATCH
LOG_BATCH = 100
LOG_EPOCHS = 6


def dense_networks(latent_dim):
    """The small dense network of notebook 13: one hidden layer of 256 each way."""
    x = keras.Input((28, 28, 1))
    h = layers.Dense(256, "relu")(layers.Flatten()(x))
    heads = layers.Dense(latent_dim)(h), layers.Dense(latent_dim)(h)
    z = keras.Input((latent_dim,))
    logits = layers.Dense(784)(layers.Dense(256, "relu")(z))
    return keras.Model(x, heads), keras.Model(z, layers.Reshape((28, 28, 1))(logits))


class VAEWithAveragedKL(VAE):
    """The mistake of averaging the KL term over the latents, in the loss and in the log."""

    def call(self, inputs, training=None):
        z_mean, z_log_var = self.encoder(inputs, training=training)
        z = self.sampling((z_mean, z_log_var), training=training)
        logits = self.decoder_network(z, training=training)
        reconstruction = -bernoulli_log_likelihood(inputs, logits)
        kl = kl_divergence(z_mean, z_log_var) / self.latent_dim  # the mistake
        self.add_loss(ops.mean(reconstruction + kl))
        return {"images": self.to_mean(logits), "reconstruction": reconstruction, "kl": kl}


def dense_vae(latent_dim, seed, rate=DENSE_RATE, model=VAE, **options):
    """Build and compile a VAE of the small dense network."""
    keras.utils.set_random_seed(seed)
    vae = model(*dense_networks(latent_dim), seed=seed, **options)
    vae.compile(keras.optimizers.Adam(rate))
    return vae


def run(network, latents, kind, seed, x_train, x_test):
    """Train one network, and measure it on the test images. Returns what the record keeps."""
    if network == "default":
        vae = build("fast", len(x_train), seed, latent_dim=latents)
        batch_size = RECIPES["fast"].batch_size
    else:
        vae = dense_vae(latents, seed)
        batch_size = DENSE_BATCH
    start = time.perf_counter()
    log = []
    for epoch in range(EPOCHS):
        x = binarize(x_train, seed=1 + epoch) if kind == "binarised" else x_train
        options = {"initial_epoch": epoch, "epochs": epoch + 1, "batch_size": batch_size}
        history = vae.fit(x, verbose=0, **options).history
        log.append({name: round(float(values[-1]), 3) for name, values in history.items()})
    seconds = time.perf_counter() - start
    x_test = binarize(x_test, seed=0) if kind == "binarised" else x_test
    loss = -vae.elbo(x_test, seed=0)
    kl = ops.convert_to_numpy(kl_per_latent(*vae.encoder.predict(x_test, verbose=0)))
    return {
        "network": network,
        "latents": latents,
        "images": kind,
        "seed": seed,
        "seconds": round(seconds),
        "test_neg_elbo": round(float(loss.mean()), 3),
        "standard_error": round(standard_error(loss), 3),
        "test_kl": round(float(kl.sum(axis=1).mean()), 3),
        "in_use": int(np.sum(kl.mean(axis=0) > IN_USE)),
        "log": log,
    }


def logs_to_diagnose(x):
    """Four logs on the same binarised images: a healthy one, and three with a mistake.

    Each row has the loss, the reconstruction and the KL term as the program shows them: first
    before training, then after each epoch.
    """
    x = binarize(x[:LOG_IMAGES], seed=0)
    steps = LOG_EPOCHS // 3 * -(-len(x) // LOG_BATCH)
    ended = keras.optimizers.schedules.PolynomialDecay(DENSE_RATE, steps, end_learning_rate=0.0)
    models = {
        "the KL term is averaged over the latents": dense_vae(16, 0, model=VAEWithAveragedKL),
        "healthy, with two latents": dense_vae(2, 0),
        "the weight of the KL term is stuck at 0": dense_vae(16, 0, beta=0.0),
        "the learning rate ends after two epochs": dense_vae(16, 0, rate=ended),
    }
    logs = []
    for name, vae in models.items():
        options = {"batch_size": LOG_BATCH, "verbose": 0}
        before = vae.evaluate(x, return_dict=True, **options)
        history = vae.fit(x, epochs=LOG_EPOCHS, **options).history
        rows = [[before[term], *history[term]] for term in ("loss", "reconstruction", "kl")]
        logs.append({"was": name, "log": np.transpose(rows).round(3).tolist()})
    mean_image = round(mean_image_loss(x, x), 2)
    return {"mean_image": mean_image, "floor": round(loss_floor(x), 2), "runs": logs}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    quick = "train the dense network alone, with one seed: a trial"
    parser.add_argument("--quick", action="store_true", help=quick)
    options = parse_trial(parser)
    origin = origin_of(options.output)
    (x_train, _), (x_test, _) = load_mnist()
    images = x_train[: options.images], x_test[: options.images]
    record = {
        **origin,
        "epochs": EPOCHS,
        "recipe": "fast",
        "dense": {"rate": DENSE_RATE, "batch_size": DENSE_BATCH},
        "floor": {"grey": round(loss_floor(images[1]), 2), "binarised": 0.0},
        "mean_image": {
            "grey": round(mean_image_loss(*images), 2),
            "binarised": round(mean_image_loss(images[0], binarize(images[1], seed=0)), 2),
        },
        "diagnose": logs_to_diagnose(images[0]),
    }
    wanted = [("dense", *which) for which in DENSE if which[2] == 0 or not options.quick]
    wanted += [] if options.quick else [("default", *which) for which in DEFAULT]
    runs = (run(*which, *images) for which in wanted)
    record_runs(record, runs, "good_values", options.output)


if __name__ == "__main__":
    main()
