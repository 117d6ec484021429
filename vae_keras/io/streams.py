"""A folder of more images than memory holds: a file is read when its batch is asked for."""

import os
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np

from vae_keras._batches import Batches, draw_seed
from vae_keras._checks import check_count
from vae_keras.data import to_unit_interval
from vae_keras.io.folders import (
    check_alike,
    check_colour,
    check_size,
    image_files,
    may_be_in_colour,
    read_image,
    verify,
)

AT_ONCE = 1000  # files that wait for a thread: each of them takes memory
LOOKED_AT = 100  # files whose grey levels are looked at before training


def stream_images(folder, batch_size, image_size=None, background="white", seed=None) -> Batches:
    """Give `fit` the images of a folder batch by batch, each file read when its turn comes.

    In memory are the names of the files and a few batches. The images and their order are those
    that `fit` takes of the array of `load_images`, but for three things. Unsigned integers are
    taken by the range of their type, so a folder of masks of 0 and 1 is refused. All images become
    RGB if one may be in colour, as far as the head of its file tells. What is changed in reading
    is not counted.

    Args:
        folder: As for `load_images`.
        batch_size: Images of a batch; the last one may have fewer.
        image_size, background: As for `load_images`.
        seed: Integer that the order depends on, a new one in each epoch; drawn from Keras's global
            seed if not given.

    Returns:
        A `keras.utils.PyDataset` of batches `(x,)`, float32 (n, height, width, channels) in [0, 1].

    Raises:
        FileNotFoundError: If there is no such folder, or no image file in it.
        ValueError: If a file is damaged or no image, or the first hold 0 and 1 alone. If one
            differs in size, or is cut short later, training ends with it.

    >>> from PIL import Image
    >>> for i in range(10):
    ...     Image.new("L", (8, 8), 20 * i).save(f"{i}.png")
    >>> batches = stream_images(".", batch_size=4)
    >>> len(batches), batches[0][0].shape
    (3, (4, 8, 8, 1))
    """
    check_count(batch_size, "batch_size")
    files = ImageFiles(folder, image_size, background)
    return Batches((files,), batch_size, draw_seed() if seed is None else seed)


@contextmanager
def errors_of_files(x):
    """Raise the error of a file itself, where TensorFlow raises one of its own for it."""
    try:
        yield
    except Exception:
        if refused := getattr(x, "refused", None):
            raise refused[0] from None
        raise


class ImageFiles:
    """The images of a folder by number: `files[rows]` reads those of an array of numbers.

    Arguments and images are as for `stream_images`. With `verbose` a bar shows how many files were
    looked at.

    Attributes:
        shape: (n, height, width, channels).
        notes: Counter of the files that were left out.
        refused: List of the errors that files were refused for, in reading.
    """

    def __init__(self, folder, image_size=None, background="white", verbose=0):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise FileNotFoundError(f"There is no folder {folder}.")
        self.size = check_size(image_size)
        self.background = check_colour(background)
        self.notes = Counter()
        self.refused = []
        self.pool = ThreadPoolExecutor(os.cpu_count())
        # of strings, which take less memory than paths
        self.names = [str(path.relative_to(folder)) for path in image_files(folder, self.notes)]
        # of all, before training
        bar = keras.utils.Progbar(len(self.names), verbose=verbose, unit_name="file")
        in_colour = self._map(self._look_at, self.names, bar.update)
        channels = 3 if any(in_colour) else 1
        self.first_path = self.folder / self.names[0]
        self.first = self._read(self.names[0])
        self.shape = (len(self.names), *self.first.shape[:2], channels)
        self._refuse_masks()

    def __len__(self):
        return len(self.names)

    def __getitem__(self, rows):
        """Read the images of an array of numbers; of a slice give the files."""
        if isinstance(rows, slice):
            return self.take(range(*rows.indices(len(self))))
        try:
            return np.stack(self._map(self._read_alike, [self.names[row] for row in rows]))
        except ValueError as error:
            self.refused.append(error)  # TensorFlow raises an error of its own for it
            raise

    def take(self, rows):
        """Give some of these files, in the order of the numbers."""
        taken = object.__new__(ImageFiles)
        vars(taken).update(vars(self))
        taken.names = [self.names[row] for row in rows]
        taken.shape = (len(taken.names), *self.shape[1:])
        return taken

    def checksum(self) -> int:
        """A number for the names and sizes of the files, in their order."""
        lines = [f"{name} {os.path.getsize(self.folder / name)}\n" for name in self.names]
        return zlib.crc32("".join(lines).encode("utf-8", "surrogateescape"))

    def _map(self, function, names, say_how_many=None):
        """Call a function on each name, in threads. Returns a list."""
        done = []
        for i in range(0, len(names), AT_ONCE):
            done += self.pool.map(function, names[i : i + AT_ONCE])
            if say_how_many:
                say_how_many(len(done))
        return done

    def _look_at(self, name):
        verify(self.folder / name)
        return may_be_in_colour(self.folder / name, self.background)

    def _read(self, name):
        # what is changed is not counted: this runs in several threads
        return read_image(self.folder / name, self.size, self.background, Counter())

    def _read_alike(self, name):
        image = self._read(name)
        check_alike(image, self.folder / name, self.first, self.first_path)
        image = to_unit_interval(image if image.ndim == 3 else image[..., None])
        return np.broadcast_to(image, self.shape[1:])

    def _refuse_masks(self):
        some = self._map(self._read, self.names[:LOOKED_AT])
        if max(image.max() for image in some) == 1:
            found = f"the first {LOOKED_AT} images in {self.folder} hold 0 and 1 alone"
            wanted = "grey levels from 0 to 255 (load_images takes such as black and white)"
            raise ValueError(f"Images that are streamed must have {wanted}; {found}.")
