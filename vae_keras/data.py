"""The images: the bundled MNIST, and a binarised copy of it."""

import hashlib
import io
from pathlib import Path

import numpy as np

from vae_keras._checks import check_images

MNIST_PATH = Path(__file__).with_name("mnist.npz")
MNIST_SHA256 = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"
RESTORE = "install the package again, or restore it"

Pairs = tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def load_mnist() -> Pairs:
    """Load the MNIST database that travels with the package, after a check of its SHA-256.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: float32 images (60000, 28, 28, 1) and
        (10000, 28, 28, 1) with grey levels in [0, 1], and their integer labels (60000,), (10000,).

    Raises:
        FileNotFoundError: If the data file is missing.
        ValueError: If the data file is damaged or cut short.

    >>> (x_train, y_train), (x_test, y_test) = load_mnist()
    >>> x_train.shape, y_test[:3].tolist()
    ((60000, 28, 28, 1), [7, 2, 1])
    """
    try:
        content = MNIST_PATH.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"The data file {MNIST_PATH} is missing: {RESTORE}.") from None
    digest = hashlib.sha256(content).hexdigest()
    if digest != MNIST_SHA256:
        found = f"its {len(content)} bytes have the SHA-256 {digest}, wanted {MNIST_SHA256}"
        raise ValueError(f"The data file {MNIST_PATH} is damaged: {found}; {RESTORE}.")
    arrays = np.load(io.BytesIO(content))
    train = to_unit_interval(arrays["x_train"])[..., None], arrays["y_train"].astype("int64")
    test = to_unit_interval(arrays["x_test"])[..., None], arrays["y_test"].astype("int64")
    return train, test


def to_unit_interval(pixels: np.ndarray) -> np.ndarray:
    """Unsigned integers as float32 grey levels in [0, 1], by the range of their type."""
    return np.divide(pixels, np.iinfo(pixels.dtype).max, dtype="float32")


def binarize(x, seed: int) -> np.ndarray:
    """Draw a binarised copy: each pixel is 1 with the probability that is its grey level, else 0.

    Args:
        x: Images in [0, 1], (n, height, width, channels).
        seed: Integer that fixes the draw. Dynamic binarisation takes another for each epoch.

    Returns:
        float32 array of the shape of `x`, of zeros and ones.

    >>> binarize(np.linspace(0, 1, 4).reshape(1, 2, 2, 1), seed=0).ravel()[[0, -1]].tolist()
    [0.0, 1.0]
    """
    x = np.asarray(x)
    check_images(x)
    return (np.random.default_rng(seed).random(x.shape, dtype="float32") < x).astype("float32")
