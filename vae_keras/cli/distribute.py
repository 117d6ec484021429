"""Training on several devices and machines, by the engines that TensorFlow and JAX have for it."""

import os
import re
from contextlib import contextmanager
from typing import NamedTuple

import keras
import numpy as np

TIMEOUT = 30  # seconds of silence after which JAX takes a process for dead, and ends the others


class Place(NamedTuple):
    """Which of how many processes this one is, and how many devices they have together."""

    process: int = 0
    processes: int = 1
    devices: int = 1

    def share(self, x, batch_size, shuffle=False):
        """Give what this process hands to `fit` of the images that all hold, less the few that leave some devices one short.

        Raises:
            ValueError: If not every device gets as many images of a batch as the next, and at least one.
        """
        if batch_size % self.devices or len(x) < self.devices:
            wanted = f"a multiple of the {self.devices} devices, and each set of images no smaller than their number"
            raise ValueError(f"--batch-size must be {wanted}; got {batch_size} and {len(x)}.")
        x = x[: len(x) // self.devices * self.devices]
        return x if self.processes == 1 else Batches(x, batch_size, self, shuffle)


@contextmanager
def all_devices():
    """A model made, compiled and trained in this context uses all devices. To be entered before anything is computed.

    On TensorFlow these are the devices of this process; on JAX those of all processes that were started together.

    Raises:
        ConnectionError: If JAX gives up, as when another process has died.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        strategy = tf.distribute.MirroredStrategy()
        with strategy.scope():
            yield Place(devices=strategy.num_replicas_in_sync)
        return
    import jax

    _join_processes()
    try:
        with keras.distribution.DataParallel(auto_shard_dataset=False).scope():
            yield Place(jax.process_index(), jax.process_count(), jax.device_count())
        jax.distributed.shutdown()  # while all are here: at exit JAX would wait for the one that goes on to measure
    except (RuntimeError, ValueError) as error:
        if jax.process_count() == 1 or not re.match("[A-Z_]+: ", str(error)):  # XLA's begin with the name of a status
            raise
        reason = str(error).splitlines()[0]
        raise ConnectionError(f"the processes lost each other, most likely since one has died ({reason}).") from error


def tell_replicas_apart(vae):
    """Let each replica of TensorFlow draw noise of its own: all start from one state. JAX draws that of the whole batch at once."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        states = tf.distribute.get_strategy().experimental_local_results(vae.sampling.seed_generator.state.value)
        for replica, state in enumerate(states):
            state.assign_add([replica, 0])


def save_alone(vae, path):
    """Save from one process of several: while Keras distributes tensors, JAX compares them across all processes."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        vae.save(path)
    finally:
        keras.distribution.set_distribution(distribution)


class Batches(keras.utils.PyDataset):
    """This process's part of each batch of an array, in the order in which Keras shuffles the array on one device."""

    def __init__(self, x, batch_size, place, shuffle):
        super().__init__()
        self.x, self.batch_size, self.place, self.shuffle = x, batch_size, place, shuffle
        self.order = np.arange(len(x))

    def __len__(self):
        return -(-len(self.x) // self.batch_size)

    def __getitem__(self, i):
        if i == 0 and self.shuffle:
            self.order = np.random.permutation(len(self.x))
        batch = self.order[i * self.batch_size : (i + 1) * self.batch_size]
        return (self.x[np.split(batch, self.place.processes)[self.place.process]],)


def _join_processes():
    import jax

    given = {name: int(os.environ[key]) for name in ("num_processes", "process_id") if (key := f"JAX_{name.upper()}") in os.environ}
    if max(given.get("num_processes", 1), int(os.environ.get("SLURM_STEP_NUM_TASKS", 1))) > 1:
        # JAX reads its coordinator's address, and all of Slurm's variables, by itself
        jax.distributed.initialize(**given, heartbeat_timeout_seconds=TIMEOUT, shutdown_timeout_seconds=TIMEOUT)
