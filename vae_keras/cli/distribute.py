"""Training on several devices and machines, by the engines that TensorFlow and JAX have for it."""

import os
import re
from contextlib import contextmanager
from typing import NamedTuple

import keras

from vae_keras._batches import Batches
from vae_keras.io.saving import save_with_record

TIMEOUT = 30  # seconds of silence after which JAX takes a process for dead, and ends the others


class Place(NamedTuple):
    """Which of how many processes this one is, and how many devices they have together."""

    process: int = 0
    processes: int = 1
    devices: int = 1

    def batches(self, x, batch_size: int, seed: int | None = None, steps=None) -> Batches:
        """Give what this process hands to `fit` of the images that all processes hold.

        `steps` are those of an epoch, if it is not one pass. Each device gets as many of a batch as
        the next; the few that are left are left out.
        """
        if batch_size % self.devices:
            wanted = f"a multiple of the {self.devices} devices"
            raise ValueError(f"--batch-size must be {wanted}; got {batch_size}.")
        if len(x) < self.devices:
            raise ValueError(
                f"There must be an image for each of {self.devices} devices; got {len(x)}."
            )
        x = x[: len(x) // self.devices * self.devices]
        return Batches((x,), batch_size, seed, steps, (self.process, self.processes))


@contextmanager
def all_devices():
    """A model made, compiled and trained in this context uses all devices.

    To be entered before anything is computed. On TensorFlow these are the devices of this process;
    on JAX those of all processes that were started together.

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
        jax.distributed.shutdown()  # at exit JAX would wait for the one that goes on to measure
    except (RuntimeError, ValueError) as error:
        if jax.process_count() == 1 or not re.match("[A-Z_]+: ", str(error)):
            raise  # XLA's begin with the name of a status
        lost = "the processes lost each other, most likely since one has died"
        raise ConnectionError(f"{lost} ({str(error).splitlines()[0]}).") from error


def tell_replicas_apart(vae):
    """Let each replica of TensorFlow, all of one state, draw noise of its own, as on JAX."""
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    for noise in (vae.sampling.seed_generator, vae.sampling.training_seed_generator):
        states = strategy.experimental_local_results(noise.state.value)
        for replica, state in enumerate(states):
            state.assign_add([replica, 0])


def save_alone(vae, path, record):
    """Save from one process of several."""
    # while Keras distributes tensors, JAX compares them across all processes
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        save_with_record(vae, path, record)
    finally:
        keras.distribution.set_distribution(distribution)


def _join_processes():
    import jax

    given = {}
    for name in ("num_processes", "process_id"):
        if f"JAX_{name.upper()}" in os.environ:
            given[name] = int(os.environ[f"JAX_{name.upper()}"])
    by_slurm = int(os.environ.get("SLURM_STEP_NUM_TASKS", 1))
    if max(given.get("num_processes", 1), by_slurm) > 1:
        # JAX reads its coordinator's address, and all of Slurm's variables, by itself
        timeouts = {"heartbeat_timeout_seconds": TIMEOUT, "shutdown_timeout_seconds": TIMEOUT}
        jax.distributed.initialize(**given, **timeouts)
