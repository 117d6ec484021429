"""Writing files so that a reader finds the old one or the new one whole; archives safe to read."""

import os
import re
import shutil
import socket
import zipfile
from contextlib import contextmanager
from pathlib import Path

LARGEST = 2**33  # bytes that an archive may unpack to: 8 GiB


@contextmanager
def atomic_path(path):
    """Give a hidden path beside `path` to write to; rename it to `path` once the block has ended.

    The folder is created if it is not there, and a file that was there passes its mode on. If the
    block raises, what it wrote is removed.

    Raises:
        OSError: If the folder cannot be made, or the file cannot be written; the message names it.
    """
    path = Path(os.path.realpath(path))  # a link stays a link
    partial = _partial(path, os.getpid())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(path)
        partial.touch(0o600 if path.exists() else 0o666)  # private, as the old one may be
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())  # the content must be on the disk before its name is
        if path.exists():
            shutil.copymode(path, partial)
        os.replace(partial, path)
    except OSError as error:
        if error.filename and str(error.filename) not in map(str, (partial, *path.parents)):
            raise  # it is about another file, which the block was reading
        raise OSError(f"{path} cannot be written: {error}") from error  # a full disk names no file
    finally:
        partial.unlink(missing_ok=True)


def check_writable(path):
    """Raise now the `OSError` that writing `path` would raise later. Nothing is created."""
    path = Path(os.path.realpath(path))
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; wanted the name of a file.")
    folder = next(parent for parent in path.parents if os.path.lexists(parent))
    if not folder.is_dir():
        raise NotADirectoryError(f"{path} cannot be written: {folder} is no folder.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{path} cannot be written: no permission to write in {folder}.")


def check_archive(path) -> list[str]:
    """Give the names of a zip archive's parts.

    Raises a `ValueError` if one is damaged, or all together unpack to more than 8 GiB.
    """
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(part.file_size for part in archive.infolist())
        if unpacked > LARGEST:
            raise ValueError(f"it would unpack to {unpacked} bytes; at most {LARGEST} are read")
        damaged = archive.testzip()
        if damaged:
            raise ValueError(f"its part {damaged} is damaged")
        return archive.namelist()


def _partial(path, process):
    host = re.sub(r"\W", "_", socket.gethostname())
    return path.with_name(f".{path.stem}.{host}-{process}.partial{path.suffix}")


def _remove_abandoned(path):
    """Delete the partial files of `path` whose process on this machine no longer runs."""
    if os.name != "posix":
        return  # elsewhere to ask for a process is to end it
    before, after = map(re.escape, _partial(path, "\n").name.split("\n"))
    for other in os.listdir(path.parent):
        found = re.fullmatch(rf"{before}(\d+){after}", other)
        if found and not _is_running(int(found[1])):
            path.with_name(other).unlink(missing_ok=True)


def _is_running(process):
    try:
        os.kill(process, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    return True
