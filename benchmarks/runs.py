"""The training runs that targets 1 to 3 and the picture of the benchmark share."""

import functools
import statistics
from typing import NamedTuple

import keras
from keras import layers
from measuring import images, progress, timed
from record import build, read_record, train

from vae_keras import RECIPES, VAE


class Runs(NamedTuple):
    """The logs of the runs, as `train` gives them."""

    network_2017: list  # the -ELBO is the recorded one; the seconds are those measured here
    fast: list  # a log for each seed
    default: list
    keras_io: list


@functools.cache
def training_runs(sizes):
    """Train each network, and reckon the seconds of the 2017 network from two of its epochs."""
    recorded = read_record("keng2017")["log"]
    batch_size = RECIPES["keng2017"].batch_size
    x_train, x_test = images(sizes)
    old = build("keng2017", len(x_train))
    old.fit(x_train[:batch_size], batch_size=batch_size, verbose=0)  # traces the step
    epoch_2017 = functools.partial(old.fit, x_train, batch_size=batch_size, verbose=0)
    progress("the 2017 network, one epoch")
    before = timed(epoch_2017)
    fast = [run_recipe("fast", seed, sizes) for seed in range(sizes.seeds)]
    default = run_recipe("default", 0, sizes)
    progress("the 2017 network, one epoch")
    seconds = statistics.mean((before, timed(epoch_2017)))
    network_2017 = [{**entry, "seconds": entry["epoch"] * seconds} for entry in recorded]
    progress("the network of keras.io's example, made to 64 latents")
    keras.utils.set_random_seed(0)
    keras_io = train(keras_io_network(), x_train, x_test, sizes.keras_io_epochs, batch_size=128)
    return Runs(network_2017, fast, default, keras_io)


def run_recipe(name, seed, sizes):
    """Train the default network by a recipe from a seed; return the log."""
    progress(f"the default network by the recipe {name!r}, seed {seed}")
    x_train, x_test = images(sizes)
    epochs = sizes.epochs or RECIPES[name].epochs
    vae = build(name, len(x_train), seed, epochs)
    return train(vae, x_train, x_test, epochs, RECIPES[name].batch_size)


def keras_io_network(latent_dim=64):
    """The network of the VAE example on keras.io, with more latents than its 2."""
    halve_or_double = {"strides": 2, "padding": "same", "activation": "relu"}
    x = keras.Input((28, 28, 1))
    h = layers.Conv2D(32, 3, **halve_or_double)(x)
    h = layers.Conv2D(64, 3, **halve_or_double)(h)
    h = layers.Dense(16, "relu")(layers.Flatten()(h))
    encoder = keras.Model(x, (layers.Dense(latent_dim)(h), layers.Dense(latent_dim)(h)))
    z = keras.Input((latent_dim,))
    h = layers.Dense(7 * 7 * 64, "relu")(z)
    h = layers.Reshape((7, 7, 64))(h)
    h = layers.Conv2DTranspose(64, 3, **halve_or_double)(h)
    h = layers.Conv2DTranspose(32, 3, **halve_or_double)(h)
    decoder = keras.Model(z, layers.Conv2DTranspose(1, 3, padding="same")(h))
    vae = VAE(encoder, decoder)
    vae.compile("adam")
    return vae
