"""The recipes that train the networks: how long, in what batches, by which optimizer."""

import math
from typing import NamedTuple

import keras

from vae_keras._schedule import RiseAndFall


class Recipe(NamedTuple):
    """How long to train, in what batches, and the highest learning rate."""

    epochs: int
    batch_size: int
    learning_rate: float


RECIPES = {
    "default": Recipe(epochs=9, batch_size=256, learning_rate=0.02),
    "fast": Recipe(epochs=3, batch_size=320, learning_rate=0.03),  # to where "keng2017" ends
    "long": Recipe(epochs=140, batch_size=256, learning_rate=0.01),  # no longer than "keng2017"
    "keng2017": Recipe(epochs=20, batch_size=200, learning_rate=0.001),
}


def make_optimizer(recipe: str, num_images: int, epochs: int, batch_size: int) -> keras.Optimizer:
    """Make the optimizer of a recipe.

    "keng2017" takes RMSprop with Keras's defaults, as in the post. The others, for the default
    network, take Adam, whose learning rate rises, and falls to zero in a straight line.

    Args:
        recipe: A key of `RECIPES`.
        num_images, epochs, batch_size: What `fit` will be given: the steps that the lines span.
    """
    if recipe not in RECIPES:
        raise ValueError(f"recipe must be one of {tuple(RECIPES)}; got {recipe!r}.")
    if recipe == "keng2017":
        return keras.optimizers.RMSprop(RECIPES[recipe].learning_rate)
    num_steps = math.ceil(num_images / batch_size) * epochs
    rate = RiseAndFall(RECIPES[recipe].learning_rate, min(60, num_steps // 4), num_steps)
    # short memories: over so few steps the averages of Adam's defaults (0.9, 0.999) lag behind
    return keras.optimizers.Adam(rate, beta_1=0.8, beta_2=0.98)
