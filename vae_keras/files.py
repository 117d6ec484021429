"""Writing files so that a reader finds the old one or the new one, never half of one."""

import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path):
    """Give a hidden path beside `path` to write to, and rename it to `path` once the block has ended well.

    The folder is created if it is not there. If the block raises, what it wrote is removed.

    Raises:
        OSError: If the folder cannot be made or written to; the message names it.
    """
    partial = _partial(path)
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())  # the content must be on the disk before its name is
        os.replace(partial, os.path.realpath(path))  # a link stays a link
    finally:
        partial.unlink(missing_ok=True)


def check_writable(path):
    """Raise now the `OSError` that writing `path` would raise once the work is done."""
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder; wanted the name of a file.")
    partial = _partial(path)
    partial.touch()
    partial.unlink()


def _partial(path):
    path = Path(os.path.realpath(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
