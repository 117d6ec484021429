"""The order of the images in training: a new one in each epoch, the same wherever it runs."""

import math
from functools import lru_cache

import keras
import numpy as np

from vae_keras._checks import check_count


class Batches(keras.utils.PyDataset):
    """Batches of arrays for `fit`: each row once, in an order that `seed` and the epoch give.

    Keras's own order is the same in every epoch on TensorFlow, once its seed is set. This one is
    new in each epoch, and the same on every backend and number of devices, and after a resume.

    Args:
        arrays: Tuple `(x,)`, `(x, y)` or `(x, y, sample_weight)`, of arrays of one length. What
            reads its rows when they are asked for may take an array's place, with its `shape`.
        batch_size: Rows of a batch; the last one may have fewer.
        seed: Integer, or `None` to keep the rows as they are.
        steps: Batches of an epoch, if not all; the next epoch goes on from there.
        part: This process's number, and how many there are: each gets its share of a batch.
    """

    def __init__(self, arrays: tuple, batch_size: int = 32, seed=None, steps=None, part=(0, 1)):
        super().__init__()
        self.arrays = arrays
        self.order = Order(len(arrays[0]), batch_size, seed, steps, part)

    def __len__(self):
        return self.order.steps

    def __getitem__(self, i):
        rows = self.order.rows(i)
        return tuple(array[rows] for array in self.arrays)

    def for_backend(self):
        """These batches as the backend takes them fastest: on TensorFlow, as a dataset.

        Keras would make a generator of them, at which TensorFlow 2.21 sets the whole process to
        give freed memory back at once: training then takes twice the processor's time.
        """
        if keras.backend.backend() != "tensorflow":
            return self
        import tensorflow as tf

        takers = [_taker(array) for array in self.arrays]
        order = self.order  # TensorFlow never lets go of its method: so it must not hold the arrays

        def batch(i):
            rows = tf.ensure_shape(tf.numpy_function(order.rows, [i], tf.int64), [None])
            return tuple(take(rows) for take in takers)

        return tf.data.Dataset.range(order.steps).map(batch).prefetch(tf.data.AUTOTUNE)

    def begin_epoch(self, epoch, logs=None):
        """To be called by a callback: the hooks of `PyDataset` are called more often than that."""
        self.order.epoch = epoch


def _taker(array):
    """The function by which TensorFlow takes rows of an array, or reads them from files."""
    import tensorflow as tf

    if hasattr(array, "__array__"):
        with tf.device("CPU"):
            tensor = tf.convert_to_tensor(array)
        return lambda rows: tf.gather(tensor, rows)

    def read(rows):
        images = tf.numpy_function(array.__getitem__, [rows], tf.float32)
        return tf.ensure_shape(images, (None, *array.shape[1:]))

    return read


class Order:
    """Which rows each batch of an epoch has. Arguments as of `Batches`, with the number of rows."""

    def __init__(self, num_rows: int, batch_size: int, seed, steps, part):
        self.num_rows = num_rows
        self.batch_size = batch_size
        self.seed = seed
        self.part = part
        self.epoch = 0
        self.batches_of_all = -(-num_rows // batch_size)
        self.steps = steps or self.batches_of_all

    def rows(self, i) -> np.ndarray:
        """The numbers of the rows of batch `i` of the present epoch."""
        passage, i = divmod(self.epoch * self.steps + i, self.batches_of_all)
        order = _permutation(self.seed, passage, self.num_rows)
        batch = order[i * self.batch_size : (i + 1) * self.batch_size]
        process, processes = self.part
        return np.split(batch, processes)[process]


@lru_cache(maxsize=2)
def _permutation(seed, passage, n):
    return np.arange(n) if seed is None else np.random.default_rng([seed, passage]).permutation(n)


def draw_seed() -> int:
    """Draw the seed of an order as Keras draws a layer's, so that its global seed fixes it."""
    return int(keras.ops.convert_to_numpy(keras.random.SeedGenerator().state)[0])


def in_own_order(options: dict, seed: int | None = None) -> dict:
    """Give the arguments of Keras's `fit` with arrays as `Batches`; other data stays as it is.

    Args:
        options: Arguments of `fit` by name. An array `x`, and `y` and `sample_weight` if given,
            become `Batches`; `shuffle`, `validation_split`, `steps_per_epoch` and `initial_epoch`
            mean what they do in Keras. `Batches` as `x` are told which epoch it is.
        seed: Integer that the order depends on; drawn from Keras's global seed if not given.
    """
    options = {name: value for name, value in options.items() if value is not None}
    if hasattr(options.get("x"), "__array__") and options.get("shuffle") != "batch":
        options = _as_batches(options, seed)
    if isinstance(options.get("x"), Batches):
        clock = keras.callbacks.LambdaCallback(on_epoch_begin=options["x"].begin_epoch)
        options["callbacks"] = [clock, *keras.tree.flatten(options.get("callbacks", []))]
        options["shuffle"] = False  # else Keras would shuffle the batches too
    for name in ("x", "validation_data"):
        if isinstance(options.get(name), Batches):
            options[name] = options[name].for_backend()
    return options


def _as_batches(options, seed):
    names = [name for name in ("x", "y", "sample_weight") if name in options]
    arrays = [np.asarray(options.pop(name)) for name in names]
    shapes = [array.shape for array in arrays]
    if len({shape[:1] for shape in shapes}) > 1:
        raise ValueError(f"y must have a row for each of x; got the shapes {shapes}.")
    batch_size = options.pop("batch_size", 32)
    check_count(batch_size, "batch_size")
    share = options.pop("validation_split", 0.0)
    if share and "validation_data" not in options:
        first = math.floor(len(arrays[0]) * (1 - share))
        if not 0 < first < len(arrays[0]):
            got = f"{share} of {len(arrays[0])} images"
            raise ValueError(f"validation_split must leave images on both sides; got {got}.")
        options["validation_data"] = tuple(array[first:] for array in arrays)
        arrays = [array[:first] for array in arrays]
    options.setdefault("validation_batch_size", batch_size)
    if not options.get("shuffle", True):
        seed = None
    elif seed is None:
        seed = draw_seed()
    steps = options.pop("steps_per_epoch", None)
    if steps is not None:
        check_count(steps, "steps_per_epoch")
    return {**options, "x": Batches(tuple(arrays), batch_size, seed, steps)}
