"""Train on two devices and on one, interrupt and resume, and write what replicas draw.

Usage: devices.py ARGUMENT..., of the command line.
"""

import sys
from contextlib import nullcontext

import keras
import numpy as np
import two_devices
from keras import layers
from two_devices import ON_TENSORFLOW

from vae_keras import VAE
from vae_keras.cli import callbacks, runs
from vae_keras.cli.main import main

TRAIN = sys.argv[1:]


class Interrupted(callbacks.SaveRun):
    """Interrupts a run once it has saved an epoch."""

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        raise KeyboardInterrupt


def train(name, *options):
    two_devices.run["name"] = name
    return main([*TRAIN, "--output", f"{name}.keras", *options])


def train_all():
    """Train some times. Returns the model on two devices, and not on the one that measures."""
    kept = []
    save = callbacks.save_alone

    def save_and_keep(vae, path, record):
        kept.append(vae)
        save(vae, path, record)

    callbacks.save_alone = save_and_keep
    assert train("many", "--distribute") == 0
    assert train("one") == 0
    whole = runs.SaveRun
    runs.SaveRun = Interrupted
    assert train("interrupted", "--distribute") == 130
    runs.SaveRun = whole
    two_devices.run["name"] = "resumed"
    assert main([*TRAIN, "--output", "interrupted.keras", "--distribute", "--resume"]) == 0
    files = ("--data", "../files", "--stream")
    assert train("streamed_many", *files, "--distribute") == 0
    assert train("streamed_one", *files) == 0
    return kept[0]


def draw(vae):
    """Draw for eight images that are alike, four to a device."""
    if ON_TENSORFLOW:
        scope = vae.distribute_strategy.scope()
    else:
        scope = keras.distribution.DataParallel().scope()
    with scope:
        alike = np.full((8, 8, 8, 1), 0.5, "float32")
        np.save("drawn.npy", vae.predict(alike, batch_size=8, verbose=0)["images"])


def normalise(strategy):
    """Let each replica normalise four of eight images, and save the model."""
    with strategy.scope():
        x = keras.Input((2,))
        h = layers.BatchNormalization(momentum=0.9)(x)
        z = keras.Input((1,))
        encoder = keras.Model(x, [layers.Dense(1)(h), layers.Dense(1)(h)])
        vae = VAE(encoder, keras.Model(z, layers.Dense(2)(z)))
        vae.compile(keras.optimizers.SGD(0.0))
        images = np.arange(16, dtype="float32").reshape(8, 2) / 16
        vae.fit(images, batch_size=8, shuffle=False, verbose=0)
        mean = vae.encoder.layers[1].moving_mean.value
        parts = strategy.experimental_local_results(mean)
        np.savez("means.npz", *[part.numpy() for part in parts])
        vae.save("normalised.keras")


def weigh(name, scope):
    """Take a step on weighted images, and keep the weights and the logs."""
    with scope:
        keras.utils.set_random_seed(4)
        x = keras.Input((2,))
        z = keras.Input((1,))
        encoder = keras.Model(x, [layers.Dense(1)(x), layers.Dense(1)(x)])
        vae = VAE(encoder, keras.Model(z, layers.Dense(2)(z)), beta=2.0)
        vae.compile(keras.optimizers.SGD(0.5))
        images = np.arange(16, dtype="float32").reshape(8, 2) / 16
        # the two halves of the batch weigh 12 and 2
        weights = np.array([6, 0, 5, 1, 1, 0.5, 0.5, 0])
        options = {"sample_weight": weights, "batch_size": 8, "shuffle": False, "verbose": 0}
        history = vae.fit(images, **options).history
        np.savez(f"weighted_{name}.npz", *vae.get_weights(), **history)


normal = keras.random.normal
if ON_TENSORFLOW:  # where each replica's noise is its own, and not that of one device
    keras.random.normal = lambda shape, dtype, seed: keras.ops.full(shape, 0.3, dtype)
on_two = train_all()
two = on_two.distribute_strategy if ON_TENSORFLOW else keras.distribution.DataParallel()
weigh("two", two.scope())
weigh("one", nullcontext())
keras.random.normal = normal
draw(on_two)
if ON_TENSORFLOW:
    normalise(on_two.distribute_strategy)
