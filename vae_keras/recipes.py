"""The recipes that train the networks: how long, in what batches, by which optimizer."""

import math
from typing import NamedTuple

import keras

from vae_keras._schedule import RiseAndFall


class Recipe(NamedTuple):
    """How long to train, in what batches, and the highest learning rate.

    >>> RECIPES["default"]
    Recipe(epochs=9, batch_size=256, learning_rate=0.02)
    """

    epochs: int
    batch_size: int
    learning_rate: float


RECIPES = {
    "default": Recipe(epochs=9, batch_size=256, learning_rate=0.02),
    "fast": Recipe(epochs=3, batch_size=320, learning_rate=0.03),  # to where "keng2017" ends
    "long": Recipe(epochs=140, batch_size=256, learning_rate=0.01),  # no longer than "keng2017"
    "keng2017": Recipe(epochs=20, batch_size=200, learning_rate=0.001),
}


MIN_STEPS = 60  # of an epoch, unless the images are passed five times in fewer


def fit_options(recipe: str, num_images: int, batch_size: int | None = None) -> dict:
    """The arguments `epochs`, `batch_size` and `steps_per_epoch` of `fit` for so many images.

    They are those of the recipe, but for few images. Those are taken in smaller batches, and
    several times in an epoch, which has at least 60 steps, or as many as five passes take: after
    the ten steps that 60 images would make, not even the averages of batch normalisation have
    arrived, and after ten passes an epoch the model knows them by heart, and no others. A
    `batch_size` that is given stays, and the steps are as many as without it, or one pass takes.

    >>> fit_options("default", num_images=60_000)
    {'epochs': 9, 'batch_size': 256}
    """
    if recipe not in RECIPES:
        raise ValueError(f"recipe must be one of {tuple(RECIPES)}; got {recipe!r}.")
    if batch_size is not None and not batch_size >= 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size!r}.")
    epochs, usual, _ = RECIPES[recipe]
    if num_images >= MIN_STEPS * usual:
        return {"epochs": epochs, "batch_size": batch_size or usual}
    usual = min(max(8, num_images // 96 * 16), 128)
    batch_size = batch_size or usual
    least = min(MIN_STEPS, max(15, 5 * num_images // usual))
    steps = max(least, math.ceil(num_images / min(batch_size, usual)))
    return {"epochs": epochs, "batch_size": batch_size, "steps_per_epoch": steps}


def make_optimizer(
    recipe: str, num_images: int, epochs: int, batch_size: int, steps_per_epoch: int | None = None,
    constant: bool = False,
) -> keras.Optimizer:  # fmt: skip
    """Make the optimizer of a recipe.

    "keng2017" takes RMSprop with Keras's defaults, as in the post. The others, for the default
    network, take Adam, whose learning rate rises, and falls to zero in a straight line. It is 0
    from then on: to train further, compile again with an optimizer made for the epochs to come.

    Args:
        recipe: A key of `RECIPES`.
        num_images, epochs, batch_size, steps_per_epoch: What `fit` will be given: the steps that
            the lines span.
        constant: Keep to a third of the recipe's highest rate, for callbacks that set the rate
            themselves, as `ReduceLROnPlateau` and `LearningRateScheduler`: at a schedule Keras
            raises a `TypeError`.

    >>> options = fit_options("default", num_images=60_000)
    >>> make_optimizer("default", 60_000, **options).beta_1
    0.8
    """
    if recipe not in RECIPES:
        raise ValueError(f"recipe must be one of {tuple(RECIPES)}; got {recipe!r}.")
    if recipe == "keng2017":
        return keras.optimizers.RMSprop(RECIPES[recipe].learning_rate)
    num_steps = (steps_per_epoch or math.ceil(num_images / batch_size)) * epochs
    rate = RiseAndFall(RECIPES[recipe].learning_rate, min(60, num_steps // 4), num_steps)
    if constant:
        rate = RECIPES[recipe].learning_rate / 3
    # short memories: over so few steps the averages of Adam's defaults (0.9, 0.999) lag behind
    return keras.optimizers.Adam(rate, beta_1=0.8, beta_2=0.98)


class KLWarmUp(keras.callbacks.Callback):
    """Lets the weight of the kl term rise in a straight line, from 0 to `beta` (KL annealing).

    Epoch 0 has the weight 0, epoch `epochs` and all after it `beta`. It is logged as "beta";
    `val_loss` has the same weight, so losses of different epochs are not alike while it rises:
    `EarlyStopping` should begin after it, with `start_from_epoch=epochs`.

    >>> callbacks = [KLWarmUp(epochs=3, beta=0.5)]  # of `fit`
    >>> callbacks[0].epochs, callbacks[0].beta
    (3, 0.5)
    """

    def __init__(self, epochs: int, beta: float = 1.0):
        super().__init__()
        if not epochs >= 1:
            raise ValueError(f"epochs must be at least 1; got {epochs!r}.")
        self.epochs = epochs
        self.beta = beta

    def on_epoch_begin(self, epoch, logs=None):
        self.model.variational_loss.beta = self.beta * min(1.0, epoch / self.epochs)

    def on_epoch_end(self, epoch, logs=None):
        logs["beta"] = self.model.variational_loss.beta  # from the first epoch, as tables need it
