"""How good is it: standard errors, a classifier of digits and what it makes of samples, rulers."""

import keras
import numpy as np
from keras import layers

from vae_keras._batches import in_own_order
from vae_keras.networks import CHANNELS_LAST
from vae_keras.recipes import make_optimizer

CONFIDENCE = 0.9  # above it, an image counts as recognised


def standard_error(values) -> float:
    """The standard error of the mean of `values` (n,), from their sample deviation; NaN for one."""
    values = np.asarray(values)
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def loss_floor(x, likelihood: str = "bernoulli", sigma: float | None = 1.0) -> float:
    """The loss of reconstructions that equal the images, at no KL: no -ELBO is below it.

    Args:
        x: Images (n, ...).
        likelihood, sigma: As for `VAE`.

    Returns:
        Nats per image, summed over the pixels, mean over the images. For "bernoulli" the entropy of
        the grey levels, 0 for black and white; for "gaussian" the constants of the density, and
        minus infinity if sigma is learned.
    """
    x = np.asarray(x, "float64").reshape(len(x), -1)
    if likelihood == "bernoulli":
        return _bernoulli_loss(x, x)
    return _gaussian_loss(x, x, 0.0 if sigma is None else sigma)


def mean_image_loss(
    x_train, x_test, likelihood: str = "bernoulli", sigma: float | None = 1.0
) -> float:
    """The loss on `x_test` of a model that knows the mean image of `x_train` and nothing else.

    A model whose latents have collapsed ends there. Arguments and result as for `loss_floor`; for
    "bernoulli" half an image of each grey is added to the mean, so that no pixel is impossible; a
    sigma to be learned is the deviation of the training images from their mean.
    """
    x_train = np.asarray(x_train, "float64").reshape(len(x_train), -1)
    x_test = np.asarray(x_test, "float64").reshape(len(x_test), -1)
    mean = x_train.mean(axis=0)
    if likelihood == "bernoulli":
        count = len(x_train)
        return _bernoulli_loss(x_test, (mean * count + 0.5) / (count + 1))
    return _gaussian_loss(x_test, mean, (x_train - mean).std() if sigma is None else sigma)


def _bernoulli_loss(x, p):
    from scipy.special import xlog1py, xlogy  # here, so that importing the package stays fast

    return float(-np.mean(np.sum(xlogy(x, p) + xlog1py(1 - x, -p), axis=1)))


def _gaussian_loss(x, mean, sigma):
    if sigma == 0:
        return -np.inf
    squares = np.mean(np.sum(np.square((x - mean) / sigma), axis=1))
    return float(0.5 * squares + x.shape[1] * (np.log(sigma) + 0.5 * np.log(2 * np.pi)))


def train_classifier(x, y, epochs: int = 4, seed: int = 0, verbose: int = 0) -> keras.Model:
    """Train a small convolutional classifier of digits.

    Args:
        x: Training images (n, 28, 28, 1) in [0, 1].
        y: Their digits, integers (n,).
        epochs: Number of passes over them.
        seed: Integer that fixes the weights and the order of the images. Keras's global seed and
            the generators of others stay as they are.
        verbose: 1 shows progress bars.

    Returns:
        A Keras model from images (n, 28, 28, 1) to the pair of probabilities (n, 10) and features
        (n, 128).
    """
    kernels = (keras.initializers.GlorotUniform(1000 * seed + i) for i in range(4))
    images = keras.Input(x.shape[1:])
    halve = {"strides": 2, "padding": "same", **CHANNELS_LAST}
    h = layers.Conv2D(32, 3, kernel_initializer=next(kernels), **halve)(images)
    h = layers.Conv2D(64, 3, kernel_initializer=next(kernels), **halve)(layers.ReLU()(h))
    h = _normed_relu(h)
    h = layers.Dense(128, kernel_initializer=next(kernels))(layers.Flatten(**CHANNELS_LAST)(h))
    features = _normed_relu(h)
    h = layers.Dropout(0.3, seed=seed)(features)
    probabilities = layers.Dense(10, activation="softmax", kernel_initializer=next(kernels))(h)
    classifier = keras.Model(images, probabilities)
    optimizer = make_optimizer("default", len(x), epochs, 256)
    classifier.compile(optimizer, "sparse_categorical_crossentropy")
    options = {"x": x, "y": y, "epochs": epochs, "batch_size": 256, "verbose": verbose}
    classifier.fit(**in_own_order(options, seed))
    return keras.Model(images, (probabilities, features))


def _normed_relu(h):
    return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(h))


def frechet_distance(features, other) -> float:
    """The Frechet distance of two sets of features (n, k), each taken for a normal distribution.

    |m - m'|^2 + tr(S + S' - 2 (S S')^(1/2)), with means m and covariances S. Source: Heusel et al.
    (2017), "GANs trained by a two time-scale update rule", Equation 6. It has the square of the
    features' unit: compare it with distances by the same classifier, on as many images.
    """
    covariance = np.cov(features.T)
    other_covariance = np.cov(other.T)
    # the trace of the root is the sum of the roots of the eigenvalues, which are real and not
    # negative but for rounding
    eigenvalues = np.linalg.eigvals(covariance @ other_covariance).real.clip(0)
    shift = features.mean(axis=0) - other.mean(axis=0)
    traces = np.trace(covariance) + np.trace(other_covariance)
    return shift @ shift + traces - 2 * np.sqrt(eigenvalues).sum()


def sample_quality(images, real_images, classifier: keras.Model) -> dict:
    """Measure how much images look like digits.

    Args:
        images: Samples (n, 28, 28, 1) in [0, 1].
        real_images: What to compare their features with, of that shape.
        classifier: What `train_classifier` returns.

    Returns:
        dict: "recognised", the share of images in which one digit has a probability above 0.9;
        "digit_shares" (10,), those of the digits seen; "frechet_distance" to the real images.
    """
    probabilities, features = classifier.predict(images, batch_size=500, verbose=0)
    _, real_features = classifier.predict(real_images, batch_size=500, verbose=0)
    digits = np.bincount(probabilities.argmax(axis=1), minlength=10)
    return {
        "recognised": float((probabilities.max(axis=1) > CONFIDENCE).mean()),
        "digit_shares": digits / digits.sum(),
        "frechet_distance": float(frechet_distance(features, real_features)),
    }


def ink(images) -> np.ndarray:
    """The ink of each image: the sum of its grey levels over the pixels.

    Args:
        images: Images (n, height, width, channels) in [0, 1], 1 for ink; channels are averaged.

    Returns:
        float64 array (n,): as many as the pixels that would be full.
    """
    return _grey_levels(images).sum(axis=(1, 2))


def slant(images) -> np.ndarray:
    """The slant of the ink: by how many columns it leans to the right for each row it goes up.

    sum(x u v) / sum(x v^2), where x are the grey levels, and u and v the places of the pixels, to
    the right and upwards, measured from the centre of the ink. An image that is sheared to the
    right by s columns a row gets a slant that is larger by s.

    Args:
        images: Images (n, height, width, channels) in [0, 1], 1 for ink; channels are averaged.

    Returns:
        float64 array (n,): columns per row; NaN for an image without ink, or with all in one row.
    """
    x = _grey_levels(images)
    _, height, width = x.shape
    with np.errstate(invalid="ignore"):
        shares = x / x.sum(axis=(1, 2), keepdims=True)
        right = np.arange(width) - (shares.sum(axis=1) @ np.arange(width))[:, None]
        up = (shares.sum(axis=2) @ np.arange(height))[:, None] - np.arange(height)
        together = np.einsum("nij,ni,nj->n", shares, up, right)
        return together / np.einsum("nij,ni->n", shares, up**2)


def stroke_width(images) -> np.ndarray:
    """The mean width of the strokes: twice the ink over the length of its edge.

    The edge is measured by the steepness of the grey levels, summed over the pixels. A bar that
    crosses the image, at least two pixels wide, gets its own width. Ends and corners add to the
    edge: a full square gets half its side, a disc its radius. A line of one pixel gets 2.

    Args:
        images: Images (n, height, width, channels) in [0, 1], 1 for ink; channels are averaged.

    Returns:
        float64 array (n,): pixels; NaN for an image without an edge.
    """
    x = _grey_levels(images)
    edge = np.hypot(*np.gradient(x, axis=(1, 2))).sum(axis=(1, 2))
    return 2 * x.sum(axis=(1, 2)) / np.where(edge > 0, edge, np.nan)


def _grey_levels(images):
    images = np.asarray(images, "float64")
    if images.ndim != 4:
        got = images.shape
        raise ValueError(f"images must have the shape (n, height, width, channels); got {got}.")
    return images.mean(axis=3)
