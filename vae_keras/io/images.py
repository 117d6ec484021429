"""Your own images, from a folder of image files, or from an array in an .npz or .npy file."""

import warnings
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vae_keras._checks import check_images
from vae_keras._files import check_archive
from vae_keras.data import to_unit_interval
from vae_keras.io.folders import ROUTINE, SUFFIXES, read_folder, say


class Splits(NamedTuple):
    """Images as `load_images` gives them, those to test on if the file holds any, and notes.

    The notes say what was changed or left out, and how many times.
    """

    train: np.ndarray
    test: np.ndarray | None
    notes: Counter


def load_images(path, image_size=None, background="white") -> np.ndarray:
    """Load your own images.

    Args:
        path: A folder of image files, or an `.npz` or `.npy` file.

            A folder: PNG, JPEG, BMP, GIF and WebP files in it, and in the folders in it, are read
            in the order of their names; of several frames the first. They are turned as their EXIF
            says. Grey images keep their 16 bits, and all become RGB if one is in colour. Hidden
            files and other kinds are left out. Links to files are followed, to folders not.

            An array: (n, height, width) or (n, height, width, channels). In an `.npz` file it is
            `x_train`, or the only one. uint8 is taken as 0..255, and uint16 as 0..65535, unless
            they hold 0 and 1 alone: then as black and white. Other numbers are taken as they are.
        image_size: (height, width) to scale image files to, in pixels; what sticks out at two sides
            is cut off. `None` leaves them as they are: they must be of one size.
        background: Colour behind the transparent pixels of image files: a name, or "#rrggbb".

    Returns:
        float32 images (n, height, width, channels) in [0, 1].

    Warns:
        UserWarning: With the number of images that were changed, or files left out, unasked.

    Raises:
        FileNotFoundError: If there is nothing at `path`, or no image file in the folder.
        ValueError: If a file is damaged, unpacks to more than 8 GiB or holds something else, the
            image files differ in size, or an argument is not as above; the message names it.

    >>> np.save("mine.npy", np.full((5, 8, 8), 255, "uint8"))
    >>> load_images("mine.npy").shape
    (5, 8, 8, 1)
    """
    splits = load_splits(path, image_size, background)
    surprises = {what: n for what, n in splits.notes.items() if what not in ROUTINE}
    if surprises:
        warnings.warn(f"{path}: {say(surprises)}", stacklevel=2)
    return splits.train


def load_splits(path, image_size=None, background="white", bernoulli=True) -> Splits:
    """Load your own images, and `x_test` too of an `.npz` file that holds it beside `x_train`.

    Arguments as for `load_images`; with `bernoulli=False` floats of any finite range are taken.
    """
    path = Path(path)
    notes = Counter()
    if path.is_dir():
        arrays = {str(path): read_folder(path, image_size, background, notes)}
    elif path.is_file() and (image_size is not None or background != "white"):
        raise ValueError(f"image_size and background are for a folder of image files; got {path}.")
    else:
        arrays = _read_arrays(path)
    images = []
    for name, x in _to_grey_levels(arrays, notes).items():
        x = x[..., None] if x.ndim == 3 else x
        check_images(x, name, images[0].shape[1:] if images else None, bernoulli)
        images.append(np.ascontiguousarray(x, "float32"))
    return Splits(images[0], images[1] if len(images) > 1 else None, notes)


def _read_arrays(path):
    """The arrays of a file, by what messages call them: the images, and those to test on."""
    if not path.is_file():  # to open a pipe would be to wait for ever
        raise FileNotFoundError(f"There is no file or folder {path}.")
    kind = path.suffix.lower()
    if kind in SUFFIXES:
        raise ValueError(f"{path} is a single image; wanted a folder, or an .npz or .npy file.")
    try:
        arrays = _read_npy(path) if kind == ".npy" else _read_npz(path)
    except KeyError:
        raise ValueError(f"{path} holds no array named x_train, nor a single array.") from None
    except Exception as error:  # the readers of zip files and of arrays raise many kinds
        kind = ".npy" if kind == ".npy" else ".npz"
        raise ValueError(f"{path} cannot be read as an {kind} file: {error}") from error
    for name, x in arrays.items():
        if np.ndim(x) not in (3, 4):
            wanted = "(n, height, width[, channels])"
            raise ValueError(f"The images in {name} have the shape {np.shape(x)}; wanted {wanted}.")
    return arrays


def _read_npz(path):
    check_archive(path)
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        if len(arrays) == 1:
            return {str(path): arrays[arrays.files[0]]}
        splits = {str(path): arrays["x_train"]}
        if "x_test" in arrays:
            splits[f"x_test of {path}"] = arrays["x_test"]
        return splits


def _read_npy(path):
    # mapped, what a header declares beyond the file's end takes no memory
    mapped = np.lib.format.open_memmap(path, mode="r")
    surplus = path.stat().st_size - mapped.offset - mapped.nbytes
    if surplus:
        raise ValueError(f"{surplus} of its bytes are no part of its array, {mapped.shape}")
    return {str(path): np.array(mapped)}


def _to_grey_levels(arrays, notes):
    """Unsigned integers by the range of their type, or as black and white; all else as it is."""
    unsigned = [x for x in arrays.values() if _is_unsigned(x)]
    if max((x.max(initial=0) for x in unsigned), default=0) == 1:
        notes["of 0 and 1 alone, taken as black and white"] += sum(map(len, unsigned))
        return arrays
    return {name: to_unit_interval(x) if _is_unsigned(x) else x for name, x in arrays.items()}


def _is_unsigned(x):
    return x.dtype.kind == "u" and x.itemsize <= 2
