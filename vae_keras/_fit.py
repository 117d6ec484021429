"""What `fit` and `evaluate` of a VAE do beside Keras's own: looks, weights, rates, and beta."""

import inspect
import types
import warnings

import keras
import numpy as np

from vae_keras._batches import in_own_order
from vae_keras._checks import check_compiled, check_images, check_weights
from vae_keras._schedule import RiseAndFall

NO_BATCHES = list, tuple, dict, str  # though they can be iterated over


def prepare(options: dict, vae, check) -> dict:
    """Give the arguments of Keras's `fit`, by name, as a VAE needs them.

    Args:
        options: Arguments as users gave them.
        vae: The model, compiled.
        check: Function of images and of what they are called, which raises if they are none.
    """
    options = {name: value for name, value in options.items() if value is not None}
    options["x"] = seen(options.get("x"), "x", check)
    if hasattr(options["x"], "__array__"):
        options |= _weighted(options)
    if "validation_data" in options:
        x, y, weights = keras.utils.unpack_x_y_sample_weight(options["validation_data"])
        held_out = with_targets(seen(x, "validation_data", check), y, weights)
        options["validation_data"] = held_out if hasattr(x, "__array__") else held_out[0]
    options = in_own_order(options)
    callbacks = keras.tree.flatten(options.get("callbacks", []))
    # the first, so that it sees the beta that an epoch had, and not what others set for the next
    options["callbacks"] = [LogBeta(), *callbacks]
    epochs = options.get("epochs", 1) - options.get("initial_epoch", 0)
    if epochs > 0:
        # there is none before `compile`, which Keras asks for by name
        check_learning_rate(getattr(vae, "optimizer", None), epochs * _steps(options))
    return options


def seen(data, name, check):
    """Check the first images of data that Keras takes; give the data once more, nothing lost.

    All images of an array are checked, and the first batch of the rest: of a `PyDataset`, of a
    generator, of what gives its batches anew each time, as a `tf.data.Dataset`, or the loaders of
    PyTorch and Grain.
    """
    if data is None:
        return data  # Keras refuses it
    if hasattr(data, "__array__"):
        batch = data, None, None
    elif isinstance(data, keras.utils.PyDataset):
        batch = data[0]
    elif isinstance(data, types.GeneratorType):
        batch = next(data, None)
        data = _once_more(batch, data)
    elif hasattr(data, "__iter__") and not isinstance(data, NO_BATCHES):
        batch = next(iter(data), None)
    else:
        batch = data, None, None
    if batch is not None:
        _check_batch(batch, name, check)
    return data


def _check_batch(batch, name, check):
    images, _, weights = keras.utils.unpack_x_y_sample_weight(batch)
    if isinstance(getattr(images, "values", None), tuple):  # TensorFlow distributes batches so
        images = images.values[0]
        weights = None if weights is None else weights.values[0]
    check(images, name)
    if weights is not None:
        check_weights(weights, len(images))


def _once_more(batch, rest):
    if batch is not None:
        yield batch
    yield from rest


def with_targets(x, y, sample_weight) -> tuple:
    """Give arrays and their weights targets that say nothing, if there are none.

    Keras drops weights where there are no targets. A `ValueError` says what is wrong with weights.
    """
    if sample_weight is None or not hasattr(x, "__array__"):
        return x, y, sample_weight
    y = np.zeros(len(x), "float32") if y is None else y
    return x, y, check_weights(sample_weight, len(x))


def _weighted(options):
    classes = options.pop("class_weight", None)
    weights = options.get("sample_weight")
    if classes is not None and weights is not None:
        raise ValueError("class_weight and sample_weight cannot be given together, as in Keras.")
    if classes is not None:
        weights = _weights_of_classes(options.get("y"), classes)
    arrays = with_targets(options["x"], options.get("y"), weights)
    named = zip(("x", "y", "sample_weight"), arrays, strict=True)
    return {name: array for name, array in named if array is not None}


def _weights_of_classes(y, class_weight):
    """The weight of each image by its class; as in Keras, 1 where none is given."""
    if y is None:
        raise ValueError("class_weight needs y, the class of each image; got none.")
    y = np.asarray(y)
    classes = y.argmax(axis=-1) if y.ndim > 1 and y.shape[-1] > 1 else y.ravel()  # as in Keras
    return np.array([class_weight.get(int(label), 1.0) for label in classes])


def relative_weights(sample_weight):
    """Weights of images as shares of their mean over the batch, on all replicas together: (n,)."""
    sample_weight = keras.ops.cast(keras.ops.reshape(sample_weight, (-1,)), "float32")
    mean = keras.ops.mean(sample_weight)
    if _replicas() > 1:
        import tensorflow as tf

        context = tf.distribute.get_replica_context()
        mean = context.all_reduce(tf.distribute.ReduceOp.MEAN, mean)
    return keras.ops.divide_no_nan(sample_weight, mean)


def scale_for_replicas(loss):
    """Divide a loss by the number of TensorFlow's replicas, whose gradients are summed."""
    return loss / _replicas()


def _replicas():
    if keras.backend.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def _steps(options):
    """The number of steps of an epoch; 0 where it is not known."""
    if "steps_per_epoch" in options:
        return options["steps_per_epoch"]
    try:
        return len(options.get("x"))
    except TypeError:  # of a generator, or of a dataset whose length is not known
        return 0


def check_learning_rate(optimizer, num_steps: int):
    """Say before training starts that the learning rate of a recipe ends before training does.

    Raises a `ValueError` if the rate is 0 already, and warns if it falls to 0 within the first
    `num_steps` steps. Schedules of others are theirs: some begin at 0.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # that of float16 wraps another
    schedule = getattr(optimizer, "_learning_rate", None)  # `learning_rate` is the number of now
    if not isinstance(schedule, RiseAndFall):
        return
    how = "compile again with make_optimizer for the epochs to come (the weights stay)"
    done = int(keras.ops.convert_to_numpy(optimizer.iterations))
    left = schedule.num_steps - done
    if left <= 0:
        ended = f"The learning rate has fallen to 0, as its schedule says, after {done} steps"
        raise ValueError(f"{ended}: fit would change nothing. To train on, {how}.")
    if num_steps > left:
        ends = f"The learning rate falls to 0 after {left} of {num_steps} steps"
        warnings.warn(f"{ends}: the others change nothing. To use them, {how}.", stacklevel=4)


class LogBeta(keras.callbacks.Callback):
    """Adds the weight of the kl term to the logs of each epoch, from when it first changes.

    In the history it stands for the epochs before, too.
    """

    def on_train_begin(self, logs=None):
        self.start = self.model.variational_loss.beta
        self.changes = False

    def on_epoch_end(self, epoch, logs=None):
        beta = self.model.variational_loss.beta
        if not self.changes and beta != self.start:
            history = self.model.history
            history.history["beta"] = [self.start] * len(history.epoch)
            self.changes = True
        if self.changes:
            logs["beta"] = beta


class ModelOfImages(keras.Model):
    """A Keras model that brings its own loss, its `variational_loss`, as users train it.

    It has an `image_shape` too, and returns a dict with "images", "reconstruction" and "kl".
    """

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, None, training)
        if sample_weight is None:
            return loss
        # the loss layer has added the mean over the batch: what weights change of it
        nats = self.variational_loss.weighted_sum(y_pred["reconstruction"], y_pred["kl"])
        change = keras.ops.mean((relative_weights(sample_weight) - 1.0) * nats)
        return loss + scale_for_replicas(change)

    def compile(self, *args, **kwargs):
        """Compile as in Keras, but for a loss: the model brings its own, Equation 14.

        `metrics` compare the images with those that P(X|z) has as its mean. A `ValueError` is
        raised if `loss` or `loss_weights` are given, or metrics of anything but "images".
        """
        options = inspect.signature(super().compile).bind(*args, **kwargs).arguments
        check_compiled(**options)
        super().compile(**options)

    def fit(self, x=None, *args, **kwargs) -> keras.callbacks.History:
        """Train as in Keras; arrays are taken in a new order in each epoch (`in_own_order`).

        A weight counts an image as often as its number says: the loss is the weighted mean over a
        batch. Logs are means over batches, by their numbers of images. A `beta` that changes is
        logged too.

        Raises a `ValueError` if the first images of `x` or `validation_data` are not of the right
        kind, weights are not one number an image, or the rate of a recipe has fallen to 0.
        """
        options = inspect.signature(super().fit).bind(x, *args, **kwargs).arguments
        return super().fit(**prepare(options, self, self._check_images))

    def evaluate(
        self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, **kwargs
    ):
        """Evaluate as in Keras, after the same look at `x`, and with weights as in `fit`."""
        if "_use_cached_eval_dataset" not in kwargs:  # by which `fit` calls it, after its own look
            x = seen(x, "x", self._check_images)
            x, y, sample_weight = with_targets(x, y, sample_weight)
        return super().evaluate(x, y, batch_size, verbose, sample_weight, **kwargs)

    def train_on_batch(self, x, y=None, sample_weight=None, *args, **kwargs):
        """Take one step as in Keras, after the same look at `x` and the weights as in `fit`."""
        arrays = with_targets(seen(x, "x", self._check_images), y, sample_weight)
        return super().train_on_batch(*arrays, *args, **kwargs)

    def test_on_batch(self, x, y=None, sample_weight=None, *args, **kwargs):
        """Measure one batch as in Keras, after the same look as in `train_on_batch`."""
        arrays = with_targets(seen(x, "x", self._check_images), y, sample_weight)
        return super().test_on_batch(*arrays, *args, **kwargs)

    def compile_from_config(self, config):
        # Keras's own does nothing for a class with a `compile` of its own
        # older files of the command line hold the record of their run here
        config = {key: config[key] for key in config if key != "run"}
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def _array_of_images(self, x):
        if not (hasattr(x, "__array__") or isinstance(x, (list, tuple))):
            how = "give what yields batches one batch at a time"
            raise ValueError(f"x must be an array of images; got a {type(x).__name__}: {how}.")
        return self._check_images(np.asarray(x), "x")

    def _check_images(self, x, name):
        if not hasattr(x, "__array__"):
            hint = " np.stack makes one of a list of images." * isinstance(x, (list, tuple))
            raise ValueError(f"{name} must be an array of images; got a {type(x).__name__}.{hint}")
        bernoulli = self.variational_loss.likelihood == "bernoulli"
        check_images(x, name, self.image_shape, bernoulli)
        return x
