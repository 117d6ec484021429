"""The recipes that train the networks: how long, in what batches, by which optimizer."""

import math
from typing import NamedTuple

import keras


class Recipe(NamedTuple):
    """How long to train, and in what batches."""

    epochs: int
    batch_size: int


RECIPES = {
    "default": Recipe(epochs=10, batch_size=256),
    "fast": Recipe(epochs=3, batch_size=320),  # to where "keng2017" ends: benchmarks/RESULTS.md
    "long": Recipe(epochs=140, batch_size=256),  # no longer than "keng2017" takes
    "keng2017": Recipe(epochs=20, batch_size=200),
}


def make_optimizer(recipe: str, num_images: int, epochs: int, batch_size: int) -> keras.Optimizer:
    """Make the optimizer of a recipe.

    "keng2017" takes RMSprop with Keras's defaults, as in the post. The others, for the default
    network, take Adam, whose learning rate rises in a straight line and then falls along a cosine
    to zero, where training ends.

    Args:
        recipe: A key of `RECIPES`.
        num_images, epochs, batch_size: What `fit` will be given: the steps that the cosine spans.
    """
    if recipe not in RECIPES:
        raise ValueError(f"recipe must be one of {tuple(RECIPES)}; got {recipe!r}.")
    if recipe == "keng2017":
        return keras.optimizers.RMSprop()
    num_steps = math.ceil(num_images / batch_size) * epochs
    warm_up = min(60, num_steps // 4)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, num_steps - warm_up, warmup_target=0.02, warmup_steps=warm_up
    )
    # short memories: over so few steps the averages of Adam's defaults (0.9, 0.999) lag behind
    return keras.optimizers.Adam(rate, beta_1=0.8, beta_2=0.98)
