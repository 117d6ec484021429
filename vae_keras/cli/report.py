"""What a run's loss means for its own images, and how they look: numbers and a picture."""

import math

import keras
import numpy as np

from vae_keras import plots
from vae_keras.evaluation import loss_floor, mean_image_loss
from vae_keras.layers import IN_USE, kl_per_latent


def expect(x_train, x_test, likelihood, sigma) -> dict:
    """The losses of a model that has learned the mean image alone, and of one without a fault.

    In nats per image; they are printed, and no model has less than the second.
    """
    floor = loss_floor(x_test, likelihood, sigma)
    mean_image = mean_image_loss(x_train, x_test, likelihood, sigma)
    if math.isfinite(mean_image):  # it is not where constant images have a learned sigma
        known = "A model that knows only the mean image has a loss of"
        print(f"{known} {mean_image:.2f} nats an image.")
    if math.isfinite(floor):
        print(f"No loss is below {floor:.2f}, which is that of reconstructions without a fault.")
    bounds = {"mean_image": mean_image, "floor": floor}
    return {name: round(nats, 2) for name, nats in bounds.items() if math.isfinite(nats)}


def learned_sigma(vae) -> dict:
    """The deviation of a pixel by its name, if the model has learned it and it is a number."""
    loss = vae.variational_loss
    if loss.likelihood != "gaussian" or loss.sigma is not None:
        return {}
    with np.errstate(over="ignore"):  # of images far from unit scale it may have run away
        sigma = float(np.exp(keras.ops.convert_to_numpy(loss.log_sigma)))
    return {"sigma": round(sigma, 4)} if math.isfinite(sigma) else {}


def latents_in_use(vae, x) -> int:
    """How many latents have a mean KL divergence above 0.01 nats."""
    kl = np.mean(kl_per_latent(*vae.encoder.predict(x, verbose=0)), axis=0)
    return int(np.sum(kl > IN_USE))


def as_they_are(images):
    """Grey images as RGB, with their own black and white: `plots` draws grey as ink on paper."""
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def picture(vae, x, seed: int, ink: bool):
    """Draw up to ten images, their reconstructions, and as many samples twice.

    With `ink`, as MNIST is shown, the highest grey is black.
    """
    x = x[:10]
    rows = [x, vae.reconstruct(x), vae.sample(2 * len(x), seed)]
    images = _scaled(np.concatenate(rows), x.min(), x.max())
    images = images if ink else as_they_are(images)
    labels = ["test image", "reconstruction", "sample", "sample"]
    title = "What the model makes of images that it was not trained on, and what it draws"
    return plots.image_grid(images, len(x), title, row_labels=labels)


def drawable(images):
    """Images for a picture, which shows [0, 1]: scaled if theirs is another range, which it says.

    A gaussian likelihood takes images of any range, which its model does not hold.
    """
    low, high = np.percentile(images, (1, 99))
    if low >= -0.25 and high <= 1.25:  # a mean may stray a little
        return np.clip(images, 0, 1)
    print(f"The picture shows values from {low:.4g} to {high:.4g}; the rest is cut off.")
    return _scaled(images, low, high)


def _scaled(images, low, high):
    return np.clip((images - low) / max(high - low, 1e-6), 0, 1)
