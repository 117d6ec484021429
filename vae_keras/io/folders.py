"""A folder of image files, read with Pillow into one array of unsigned integers."""

import os
import textwrap
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from vae_keras._checks import is_integer

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")  # which of them a file is, its content decides
GREY = ("1", "L", "LA")  # Pillow's modes
COLOUR = ("P", "PA", "RGB", "RGBA", "CMYK")
HIDDEN = ("__macosx", "thumbs.db", "desktop.ini")  # and what begins with a dot
ORIENTATION = 0x0112  # EXIF's tag
TURNED = "turned as their EXIF says"
SCALED = "scaled to the size asked for"
CUT = "cut at two sides to its proportions"
LEFT_OUT = "{} left out"
ROUTINE = (TURNED, SCALED, CUT, LEFT_OUT.format("hidden"))  # counted, and no surprise


def read_folder(folder, image_size, background, notes) -> np.ndarray:
    """Read the image files of a folder, and of the folders in it, as `load_images` says.

    Returns uint8 or uint16 images, (n, height, width) if all are grey, else (n, height, width, 3).
    What is changed or left out is added to the counter `notes`.
    """
    size = check_size(image_size)
    colour = check_colour(background)
    paths = image_files(folder, notes)
    for path in paths:
        verify(path)
    images = [read_image(path, size, colour, notes) for path in paths]
    for path, image in zip(paths, images, strict=True):
        check_alike(image, path, images[0], paths[0])
    return _stack(images, notes)


def check_alike(image, path, first, first_path):
    """Refuse an image of another size than the first one's, by a `ValueError`."""
    if image.shape[:2] != first.shape[:2]:
        found = f"{first_path} has {first.shape[:2]}, {path} has {image.shape[:2]}"
        hint = "image_size (--image-size H W) scales all to one"
        raise ValueError(f"The images must be of one size; {found}: {hint}.")


def say(notes) -> str:
    """What was changed or left out, and how many times, in one line."""
    return textwrap.shorten("; ".join(f"{what}: {n}" for what, n in notes.items()), 500)


def image_files(folder, notes) -> list[Path]:
    """The paths of the image files, in the order of their names; `FileNotFoundError` if none is."""
    found = []
    for where, folders, files in os.walk(folder, onerror=_raise):
        visible = [name for name in (*folders, *files) if not _is_hidden(name)]
        if hidden := len(folders) + len(files) - len(visible):
            notes[LEFT_OUT.format("hidden")] += hidden
        folders[:] = [name for name in folders if not _is_hidden(name)]
        found += [Path(where, name) for name in visible]
    # a link to a folder is not walked: it may lead anywhere, and back
    found = sorted(path for path in found if path.is_symlink() or not path.is_dir())
    for path in found:
        if path.suffix.lower() not in SUFFIXES:
            kind = "links to folders" if path.is_dir() else path.suffix.lower()
            notes[LEFT_OUT.format(kind or "files without a suffix")] += 1
    paths = [path for path in found if path.suffix.lower() in SUFFIXES]
    if not paths:
        wanted = f"no image file ({', '.join(SUFFIXES)})"
        raise FileNotFoundError(f"The folder {folder} holds {wanted}{notes and '; '}{say(notes)}.")
    return paths


def _is_hidden(name):
    return name.startswith(".") or name.lower() in HIDDEN


def _raise(error):  # os.walk would pass over a folder that it may not read
    raise error


def read_image(path, size, background, notes) -> np.ndarray:
    """Read one image, uint8 or uint16, (height, width) if it is grey, else (height, width, 3)."""
    with _opened(path) as image:
        _note_what_is_lost(image, notes)
        image = _flatten(_turn(image, notes), background, notes)
        return np.asarray(image if size is None else _fit(image, size, notes))


def verify(path):
    """Verify the checksums of a file, which reading passes over."""
    with _opened(path) as image:
        image.verify()


def may_be_in_colour(path, background) -> bool:
    """Whether `read_image` may give it in colour: its head does not tell what is transparent."""
    with _opened(path) as image:
        grey = image.mode == "I;16" or _looks_grey(image)
        return not grey or (image.has_transparency_data and len({*background}) > 1)


@contextmanager
def _opened(path):
    from PIL import Image  # here, so that importing the package stays fast

    try:
        if not path.is_file():  # to open a pipe would be to wait for ever
            raise ValueError("it is no file")
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except Exception as error:  # the readers of images raise many kinds
        raise ValueError(f"{path} cannot be read as an image: {error}") from error


def _note_what_is_lost(image, notes):
    if getattr(image, "is_animated", False):
        notes["of several frames, the first taken"] += 1
    # Pillow reads 16 bits in grey images alone
    if image.format == "PNG" and image.mode != "I;16" and "16" in str(image.tile[0][3]):
        notes["of 16 bits in each colour, read as 8"] += 1
    if image.mode == "CMYK":
        notes["of CMYK, turned into RGB"] += 1


def _turn(image, notes):
    from PIL import ImageOps

    if image.getexif().get(ORIENTATION) in range(2, 9):
        notes[TURNED] += 1
    return ImageOps.exif_transpose(image)


def _flatten(image, background, notes):
    """The image with no palette, and the background behind it: grey (8 or 16 bits) or RGB."""
    from PIL import Image

    clear = image.has_transparency_data
    if image.mode == "I;16" and not clear:
        return image
    if image.mode not in (*GREY, *COLOUR):
        kind = f"{image.mode}{' with a transparent grey' if clear else ''}"
        raise ValueError(f"it has the mode {kind}; wanted one of {', '.join((*GREY, *COLOUR))}")
    grey = _looks_grey(image)
    if clear:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema()[0] < 255:
            notes["with transparency, laid on the background"] += 1
            grey = grey and len({*background}) == 1
        image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    return image.convert("L" if grey else "RGB")


def _looks_grey(image):
    if image.mode != "P":
        return image.mode in GREY
    colours = np.reshape(image.getpalette(), (-1, 3))
    return (colours == colours[:, :1]).all()


def _fit(image, size, notes):
    """Scale an image to cover the (height, width), and cut off what sticks out."""
    from PIL import Image, ImageOps

    height, width = size
    if image.size == (width, height):
        return image
    notes[SCALED] += 1
    if image.width * height != image.height * width:
        notes[CUT] += 1
    # this filter goes beyond no grey level of the image
    return ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)


def _stack(images, notes):
    """One array: of 16 bits if any image is, and in colour if any is."""
    deep = any(image.dtype == np.uint16 for image in images)
    colour = any(image.ndim == 3 for image in images)
    for i, image in enumerate(images):
        if deep and image.dtype == np.uint8:
            image = image * np.uint16(257)  # 255 becomes 65535
        if colour and image.ndim == 2:
            image = np.repeat(image[..., None], 3, axis=-1)
            notes["of grey, turned into RGB as others are in colour"] += 1
        images[i] = image
    return np.stack(images)


def check_size(size):
    if size is None:
        return None
    sizes = tuple(size) if isinstance(size, (tuple, list)) else ()
    if len(sizes) != 2 or not all(is_integer(side) and side >= 1 for side in sizes):
        wanted = "two integers (height, width) of at least 1"
        raise ValueError(f"image_size must be {wanted}; got {size!r}.")
    return sizes


def check_colour(background):
    from PIL import ImageColor

    try:
        colour = ImageColor.getrgb(background)
    except (ValueError, TypeError):
        colour = ()
    if len(colour) != 3:
        wanted = "a colour that Pillow knows, without transparency, such as white or #ff8000"
        raise ValueError(f"background must be {wanted}; got {background!r}.")
    return colour
