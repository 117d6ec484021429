"""Writing files so that a reader finds the old one or the new one, never half of one; and archives that are safe to read."""

import os
import re
import zipfile
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path):
    """Give a hidden path beside `path` to write to, and rename it to `path` once the block has ended well.

    The folder is created if it is not there. If the block raises, what it wrote is removed.

    Raises:
        OSError: If the folder cannot be made, or the file cannot be written; the message names it.
    """
    partial = _partial(path)
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())  # the content must be on the disk before its name is
        os.replace(partial, os.path.realpath(path))  # a link stays a link
    except OSError as error:  # a full disk names no file
        raise OSError(f"{path} cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def check_writable(path):
    """Raise now the `OSError` that writing `path` would raise once the work is done."""
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder; wanted the name of a file.")
    partial = _partial(path)
    partial.touch()
    partial.unlink()


def check_archive(path):
    """Raise a `ValueError` if a part of a zip archive is damaged, or if it would take far more memory than disk.

    Returns:
        The names of its parts.
    """
    with zipfile.ZipFile(path) as archive:
        size, unpacked = Path(path).stat().st_size, sum(part.file_size for part in archive.infolist())
        if unpacked > max(2**28, 100 * size):
            raise ValueError(f"its {size} bytes would unpack to {unpacked}, as those of no array of images and no weights do")
        if damaged := archive.testzip():
            raise ValueError(f"its part {damaged} is damaged")
        return archive.namelist()


def _partial(path):
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    for name in os.listdir(path.parent):  # what a killed run left
        if re.fullmatch(rf"\.{re.escape(path.stem)}\.\d+\.partial{re.escape(path.suffix)}", name):
            path.with_name(name).unlink(missing_ok=True)
    return path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
