"""The recipes that train the networks, and the checkpoint after each epoch."""

import math
from typing import NamedTuple

import keras
import numpy as np

from vae_keras.cli.distribute import save_alone


class Recipe(NamedTuple):
    """How long to train, and in what batches."""

    epochs: int
    batch_size: int


RECIPES = {
    "default": Recipe(epochs=10, batch_size=256),
    "fast": Recipe(epochs=3, batch_size=320),  # to where the 20 epochs of "keng2017" end, as benchmarks/RESULTS.md measures
    "long": Recipe(epochs=140, batch_size=256),  # no longer than those 20 epochs take
    "keng2017": Recipe(epochs=20, batch_size=200),
}


def make_optimizer(recipe, num_images, epochs, batch_size):
    """Make the optimizer of a recipe.

    "keng2017" takes RMSprop with Keras's defaults, as in the post. The others, for the default network, take Adam, whose
    learning rate rises in a straight line and then falls along a cosine to zero, where training ends.

    Args:
        recipe: A key of `RECIPES`.
        num_images, epochs, batch_size: What `fit` will be given; they fix how many steps the cosine spans.
    """
    if recipe not in RECIPES:
        raise ValueError(f"recipe must be one of {tuple(RECIPES)}; got {recipe!r}.")
    if recipe == "keng2017":
        return keras.optimizers.RMSprop()
    num_steps = math.ceil(num_images / batch_size) * epochs
    warm_up = min(60, num_steps // 4)
    rate = keras.optimizers.schedules.CosineDecay(0.0, num_steps - warm_up, warmup_target=0.02, warmup_steps=warm_up)
    # short memories: over so few steps the averages of Adam's defaults (0.9, 0.999) lag behind
    return keras.optimizers.Adam(rate, beta_1=0.8, beta_2=0.98)


class Checkpoint(keras.callbacks.ProgbarLogger):
    """The progress bar, which also saves the model to `path` after each epoch, so that no finished work is lost.

    Of several processes one saves. The images come in an order that `seed` and the number of the epoch give, so that a resumed
    run goes on as it would have; on TensorFlow, whose order is fixed for a run, they do without.

    Raises a `FloatingPointError` at the end of an epoch in which a training loss was NaN or infinite, or after which the
    validation loss is: training stops at that step, and the file stays as the epoch before left it.
    """

    async_safe = True  # it may look at a step's loss while the next step runs

    def __init__(self, path, seed, saves=True):
        super().__init__()
        self.path, self.seed, self.saves, self.bad_steps = path, seed, saves, []

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        np.random.seed([self.seed, epoch])  # from which Keras shuffles

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        if not math.isfinite(logs["loss"]):
            self.bad_steps.append(batch + 1)
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)  # an error takes a line of its own
        # the last step's own loss was taken before its weights changed, so the validation loss has a say too
        if self.bad_steps or not math.isfinite(logs["val_loss"]):
            place = f"step {min(self.bad_steps)}" if self.bad_steps else "the last step"
            raise FloatingPointError(f"The loss is NaN or infinite at {place} of epoch {epoch + 1}: {self.path} is not changed.")
        self.model.run["epochs done"] = epoch + 1
        if self.saves:
            save_alone(self.model, self.path)
