"""Your own images, from an .npz file or a folder of PNG files."""

from pathlib import Path

import numpy as np

from vae_keras._checks import check_images
from vae_keras._files import check_archive
from vae_keras.data import to_unit_interval

# kinds of PNG file that are read, and what they become
PNG_MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB"}


def load_images(path) -> np.ndarray:
    """Load your own images.

    Args:
        path: An `.npz` file whose array `x_train`, or whose only array, holds (n, height, width) or
            (n, height, width, channels), as uint8 in 0..255 or as floats in [0, 1]. Or a folder of
            PNG files of one size, all grey or all in colour, taken in the order of their names;
            links are followed.

    Returns:
        float32 images (n, height, width, channels) in [0, 1].

    Raises:
        FileNotFoundError: If there is nothing at `path`, or no PNG file in the folder.
        ValueError: If a file is damaged, unpacks to more than 8 GiB or holds something else, or the
            PNG files differ in size or kind.
    """
    path = Path(path)
    images = _read_png_folder(path) if path.is_dir() else _read_npz(path)
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype == np.uint8:
        images = to_unit_interval(images)
    elif images.dtype.kind != "f":
        wanted = "uint8 in 0..255 or floats in [0, 1]"
        raise ValueError(f"The images in {path} are {images.dtype}; wanted {wanted}.")
    check_images(images, name=str(path))
    return np.ascontiguousarray(images, "float32")


def _read_npz(path):
    if not path.is_file():
        raise FileNotFoundError(f"There is no file or folder {path}.")
    try:
        check_archive(path)
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            images = arrays[arrays.files[0] if len(arrays) == 1 else "x_train"]
    except KeyError:
        raise ValueError(f"{path} holds no array named x_train, nor a single array.") from None
    except Exception as error:  # the readers of zip files and of arrays raise many kinds
        raise ValueError(f"{path} cannot be read as an .npz file: {error}") from error
    if np.ndim(images) not in (3, 4):
        wanted = "(n, height, width[, channels])"
        raise ValueError(
            f"The images in {path} have the shape {np.shape(images)}; wanted {wanted}."
        )
    return images


def _read_png_folder(folder):
    images = {}
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png"):
        images[path.name] = _read_png(path)
    if not images:
        raise FileNotFoundError(f"The folder {folder} holds no .png file.")
    shapes = {image.shape: name for name, image in images.items()}
    if len(shapes) > 1:
        raise ValueError(f"The images in {folder} must be alike; their shapes are {shapes}.")
    return np.stack(list(images.values()))


def _read_png(path):
    from PIL import Image  # here, so that importing the package stays fast

    try:
        if not path.is_file():  # to open a pipe would be to wait for ever
            raise ValueError("it is no file")
        with Image.open(path, formats=["PNG"]) as image:
            image.verify()  # checksums, which reading passes over
        with Image.open(path, formats=["PNG"]) as image:
            if image.mode not in PNG_MODES:
                wanted = ", ".join(PNG_MODES)
                raise ValueError(f"it has the mode {image.mode}; wanted one of {wanted}")
            return np.asarray(image.convert(PNG_MODES[image.mode]))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as a PNG image: {error}") from error
