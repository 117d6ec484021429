"""When imported: two devices of a CPU, a small network, and a record of the batches.

XLA_FLAGS gives JAX its devices. The batches of training are written to the file that the
environment variable BATCHES names, each under the name of its run, its epoch and its number.
"""

import atexit
import functools
import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import keras
import numpy as np
from small_networks import small_vae

from vae_keras._batches import Batches, Order
from vae_keras.cli import runs

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
if ON_TENSORFLOW:
    import tensorflow as tf

    two = [tf.config.LogicalDeviceConfiguration()] * 2
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, two)

# each replica of TensorFlow normalises its own images, and so not as one device does
runs.ConvVAE = functools.partial(small_vae, normalised=not ON_TENSORFLOW)
batches = {}
run = {"name": "only"}  # the one that trains now
make_batches = Batches.__init__
choose_rows = Order.rows


def make_and_tell(self, arrays, *arguments):
    make_batches(self, arrays, *arguments)
    self.order.images = arrays[0]


def choose_and_record(self, i):
    rows = choose_rows(self, i)
    if self.seed is not None:  # those of validation have none
        batches["{name} {} {}".format(self.epoch, i, **run)] = self.images[rows]
    return rows


Batches.__init__ = make_and_tell
Order.rows = choose_and_record
atexit.register(lambda: np.savez(os.environ["BATCHES"], **batches))
