"""The images: the bundled MNIST, a binarised copy of it, and your own."""

import hashlib
import io
import numbers
import zipfile
from pathlib import Path

import numpy as np

from vae_keras._files import check_archive

MNIST_PATH = Path(__file__).with_name("mnist.npz")
MNIST_SHA256 = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"
PNG_MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB"}  # kinds of PNG file that are read, and what they become


def load_mnist():
    """Load the MNIST database that travels with the package, after a check of its SHA-256; the network is never touched.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: float32 images of shape (60000, 28, 28, 1) and (10000, 28, 28, 1)
        with grey levels in [0, 1], and their integer labels of shape (60000,) and (10000,).

    Raises:
        FileNotFoundError: If the data file is missing.
        ValueError: If the data file is damaged or cut short.
    """
    try:
        content = MNIST_PATH.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"The data file {MNIST_PATH} is missing: install the package again, or restore it.") from None
    if (digest := hashlib.sha256(content).hexdigest()) != MNIST_SHA256:
        found = f"its {len(content)} bytes have the SHA-256 {digest}, wanted {MNIST_SHA256}"
        raise ValueError(f"The data file {MNIST_PATH} is damaged: {found}. Install the package again, or restore it.")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return tuple((_read_mnist_images(archive, part), _read_mnist_labels(archive, part)) for part in ("train", "test"))


def load_images(path):
    """Load your own images.

    Args:
        path: An `.npz` file whose array `x_train`, or whose only array, holds (n, height, width) or (n, height, width,
            channels), as uint8 in 0..255 or as floats in [0, 1]. Or a folder of PNG files of one size, all grey or all in
            colour, taken in the order of their names; links are followed.

    Returns:
        float32 images of shape (n, height, width, channels) in [0, 1].

    Raises:
        FileNotFoundError: If there is nothing at `path`, or no PNG file in the folder.
        ValueError: If a file is damaged or holds something else, or the PNG files differ in size or kind.
    """
    path = Path(path)
    images = _read_png_folder(path) if path.is_dir() else _read_npz(path)
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype == np.uint8:
        images = _to_unit_interval(images)
    elif images.dtype.kind != "f":
        raise ValueError(f"The images in {path} are {images.dtype}; wanted uint8 in 0..255 or floats in [0, 1].")
    check_images(images, name=str(path))
    return images.astype("float32", copy=False)


def binarize(x, seed):
    """Draw a dynamically binarised copy: each pixel is 1 with the probability that its grey level gives, else 0.

    Args:
        x: Images in [0, 1], (n, height, width, channels).
        seed: Integer: the same seed gives the same draw. Dynamic binarisation takes another one for each epoch.

    Returns:
        float32 array of the shape of `x`, of zeros and ones.
    """
    x = np.asarray(x)
    check_images(x)
    return (np.random.default_rng(seed).random(x.shape, dtype="float32") < x).astype("float32")


def check_images(x, name="x", image_shape=None, bernoulli=True):
    """Refuse images that a VAE cannot be trained or measured on.

    Args:
        x: Array of images, (n, height, width, channels), or (n, *image_shape).
        name: How the message calls `x`.
        image_shape: Shape of one image, or `None` for any of three axes.
        bernoulli: Whether the values must lie in [0, 1]; else they must be finite.

    Raises:
        ValueError: If the rank, the shape or the range is another, a value is NaN or infinite, or there is no image.
    """
    x = np.asarray(x)
    wanted = f"(n, {', '.join(map(str, image_shape or ('height', 'width', 'channels')))})"
    if (x.shape[1:] != tuple(image_shape)) if image_shape else (x.ndim != 4):
        raise ValueError(f"{name} must hold images of shape {wanted}; got an array of shape {x.shape}.")
    if x.size == 0:
        raise ValueError(f"{name} holds no image: its shape is {x.shape}; wanted {wanted} with n at least 1.")
    if x.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold numbers; got dtype {x.dtype}.")
    low, high = float(x.min()), float(x.max())  # NaN, if there is one
    if not np.isfinite([low, high]).all():
        raise ValueError(f"{name} must hold finite numbers; it holds NaN or infinity.")
    if bernoulli and not 0 <= low <= high <= 1:
        hint = " Divide by 255?" if low >= 0 and 2 <= high <= 255 else ""
        raise ValueError(f"{name} must hold grey levels in [0, 1]; got values from {low:.9g} to {high:.9g}.{hint}")


def is_integer(value):
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _read_mnist_images(archive, part):
    """Inflate and convert a quarter of a megabyte at a time: while it is in the cache, the conversion is nearly free."""
    with archive.open(f"x_{part}.npy") as file:
        np.lib.format.read_magic(file)
        shape, _, _ = np.lib.format.read_array_header_1_0(file)
        images, start = np.empty(shape, "float32"), 0
        while content := file.read(1 << 18):
            pixels = np.frombuffer(content, "uint8")
            np.divide(pixels, 255, out=images.reshape(-1)[start : start + len(pixels)], dtype="float32")
            start += len(pixels)
    return images[..., None]


def _read_mnist_labels(archive, part):
    with archive.open(f"y_{part}.npy") as file:
        return np.lib.format.read_array(file).astype("int64")


def _to_unit_interval(images):
    return np.divide(images, 255, dtype="float32")


def _read_npz(path):
    if not path.is_file():
        raise FileNotFoundError(f"There is no file or folder {path}.")
    try:
        check_archive(path)
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            images = arrays[arrays.files[0] if len(arrays) == 1 else "x_train"]
    except KeyError:
        raise ValueError(f"{path} holds no array named x_train, and not a single array either.") from None
    except Exception as error:  # the readers of zip files and of arrays raise many kinds
        raise ValueError(f"{path} cannot be read as an .npz file: {error}") from error
    if np.ndim(images) not in (3, 4):
        raise ValueError(f"The images in {path} have the shape {np.shape(images)}; wanted (n, height, width[, channels]).")
    return images


def _read_png_folder(folder):
    from PIL import Image  # here, so that importing the package stays fast

    images = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png"):
        try:
            if not path.is_file():  # to open a pipe would be to wait for ever
                raise ValueError("it is no file")
            with Image.open(path, formats=["PNG"]) as image:
                image.verify()  # checksums, which reading passes over
            with Image.open(path, formats=["PNG"]) as image:
                if image.mode not in PNG_MODES:
                    raise ValueError(f"it has the mode {image.mode}; wanted one of {', '.join(PNG_MODES)}")
                images[path.name] = np.asarray(image.convert(PNG_MODES[image.mode]))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"{path} cannot be read as a PNG image: {error}") from error
    if not images:
        raise FileNotFoundError(f"The folder {folder} holds no .png file.")
    if len(shapes := {image.shape: name for name, image in images.items()}) > 1:
        raise ValueError(f"The images in {folder} must be alike; their shapes are {shapes}.")
    return np.stack(list(images.values()))
