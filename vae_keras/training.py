"""The recipes that train the two networks."""

import math
from typing import NamedTuple

import keras


class Recipe(NamedTuple):
    """How long a network trains, and in what batches."""

    epochs: int
    batch_size: int


RECIPES = {"default": Recipe(epochs=10, batch_size=256), "keng2017": Recipe(epochs=20, batch_size=200)}


def make_optimizer(network, num_images, epochs, batch_size):
    """Make the optimizer that a network's recipe asks for.

    Args:
        network: "default": Adam whose learning rate rises in a straight line and then falls along a cosine, to reach zero
            just as training ends. "keng2017": RMSprop with Keras's defaults, as in the post.
        num_images, epochs, batch_size: What `fit` will be given; they fix how many steps the cosine spans.

    Returns:
        A Keras optimizer, for `VAE.compile`.
    """
    if network == "keng2017":
        return keras.optimizers.RMSprop()
    num_steps = math.ceil(num_images / batch_size) * epochs
    warmup_steps = min(40, num_steps // 4)
    peak = 0.03
    learning_rate = keras.optimizers.schedules.CosineDecay(
        0.0, decay_steps=num_steps - warmup_steps, warmup_target=peak, warmup_steps=warmup_steps
    )
    # short memories: over so few steps the averages of Adam's defaults (0.9, 0.999) lag behind
    return keras.optimizers.Adam(learning_rate, beta_1=0.8, beta_2=0.98)
