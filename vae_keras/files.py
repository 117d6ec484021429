"""Writing files so that a reader finds the old one or the new one, never half of one."""

import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path):
    """Give a path beside `path` to write to; move what was written to `path` once the block ends well.

    Args:
        path: The file wanted. Its folder is created if it is not there.

    Yields:
        A hidden path in the same folder with the same ending. It is removed if the block raises.

    Raises:
        OSError: If the folder cannot be made or written to; the message names it.
    """
    partial = _partial(path)
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())  # the content must be on the disk before its name is
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def check_writable(path):
    """Raise now the `OSError` that writing `path` would raise after the work is done."""
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder; wanted the name of a file.")
    partial = _partial(path)
    partial.touch()
    partial.unlink()


def _partial(path):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
