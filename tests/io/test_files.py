"""Atomic writing, under failures and under kill -9."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vae_keras import _files as files
from vae_keras._files import atomic_path, check_writable


def test_a_file_appears_whole_in_a_folder_that_is_made_for_it(tmp_path):
    with atomic_path(tmp_path / "new" / "a.txt") as partial:
        partial.write_text("whole")
        assert not (tmp_path / "new" / "a.txt").exists()
        assert partial.suffix == ".txt"
    assert (tmp_path / "new" / "a.txt").read_text() == "whole"
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_and_fail():
        with atomic_path(path) as partial:
            partial.write_text("ha")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_kill_at_any_moment_leaves_the_old_file_or_the_new_one(tmp_path):
    program = (
        "import itertools\n"
        "from _files import atomic_path\n"  # without the package around it, which would import Keras
        "for i in itertools.count():\n"
        "    with atomic_path('a.bin') as partial, open(partial, 'wb') as file:\n"
        "        for _ in range(200):\n"
        "            file.write(bytes([i % 256]) * 10_000)\n"
        "    print(i, flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(files.__file__).parent)}
    for delay in (0.0, 0.003, 0.011, 0.02, 0.05):
        process = subprocess.Popen(
            [sys.executable, "-c", program], cwd=tmp_path, env=environment, stdout=subprocess.PIPE
        )
        process.stdout.readline()  # it has written once
        time.sleep(delay)
        process.kill()
        process.wait()
        process.stdout.close()
        content = (tmp_path / "a.bin").read_bytes()
        assert len(content) == 2_000_000
        assert len(set(content)) == 1


def test_what_cannot_be_written_is_said_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        check_writable(tmp_path / "file" / "a.keras")
    with pytest.raises(IsADirectoryError, match="is a folder; wanted the name of a file"):
        check_writable(tmp_path)
    check_writable(tmp_path / "a.keras")
    assert not (tmp_path / "a.keras").exists()
