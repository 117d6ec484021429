"""Atomic writing, under failures, beside other writers, and under kill -9."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vae_keras import _files as files
from vae_keras._files import atomic_path, check_writable


def start(folder, program):
    """Start a process that writes files, without the package around, which would import Keras."""
    environment = {**os.environ, "PYTHONPATH": str(Path(files.__file__).parent)}
    command = [sys.executable, "-c", f"from _files import atomic_path\n{program}"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes)


def kill(process):
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def names(folder):
    return {path.name for path in folder.iterdir()}


class TestWhole:
    def test_a_file_appears_whole_in_a_folder_that_is_made_for_it(self, tmp_path):
        with atomic_path(tmp_path / "new" / "a.txt") as partial:
            partial.write_text("whole")
            assert not (tmp_path / "new" / "a.txt").exists()
            assert partial.suffix == ".txt"
        assert (tmp_path / "new" / "a.txt").read_text() == "whole"
        assert names(tmp_path / "new") == {"a.txt"}

    def test_a_failed_write_leaves_the_old_file_and_nothing_else(self, tmp_path):
        path = tmp_path / "a.txt"
        path.write_text("old")

        def write_and_fail():
            with atomic_path(path) as partial:
                partial.write_text("ha")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            write_and_fail()
        assert path.read_text() == "old"
        assert names(tmp_path) == {"a.txt"}

    def test_kill_at_any_moment_leaves_the_old_file_or_the_new_one(self, tmp_path):
        program = (
            "import itertools\n"
            "for i in itertools.count():\n"
            "    with atomic_path('a.bin') as partial, open(partial, 'wb') as file:\n"
            "        for _ in range(200):\n"
            "            file.write(bytes([i % 256]) * 10_000)\n"
            "    print(i, flush=True)\n"
        )
        for delay in (0.0, 0.003, 0.011, 0.02, 0.05):
            process = start(tmp_path, program)
            process.stdout.readline()  # it has written once
            time.sleep(delay)
            kill(process)
            content = (tmp_path / "a.bin").read_bytes()
            assert len(content) == 2_000_000
            assert len(set(content)) == 1


class TestOtherWriters:
    """Two runs with one output: each file is that of one of them, and neither loses its own."""

    HALF = (
        "with atomic_path('a.bin') as partial:\n"
        "    partial.write_text('theirs')\n"
        "    print(partial.name, flush=True)\n"
        "    input()\n"
    )

    def test_a_save_leaves_the_partial_file_of_one_that_lives(self, tmp_path):
        process = start(tmp_path, self.HALF)
        theirs = process.stdout.readline().decode().strip()
        with atomic_path(tmp_path / "a.bin") as partial:
            partial.write_text("ours")
        assert names(tmp_path) == {theirs, "a.bin"}
        assert (tmp_path / "a.bin").read_text() == "ours"
        process.communicate(b"\n")
        assert process.returncode == 0
        assert names(tmp_path) == {"a.bin"}
        assert (tmp_path / "a.bin").read_text() == "theirs"

    def test_a_save_removes_the_partial_file_of_one_that_was_killed(self, tmp_path):
        process = start(tmp_path, self.HALF)
        theirs = process.stdout.readline().decode().strip()
        kill(process)
        assert names(tmp_path) == {theirs}
        with atomic_path(tmp_path / "b.bin") as partial:
            partial.write_text("another file")
        assert names(tmp_path) == {theirs, "b.bin"}
        with atomic_path(tmp_path / "a.bin") as partial:
            partial.write_text("ours")
        assert names(tmp_path) == {"a.bin", "b.bin"}


class TestMode:
    def test_a_file_that_only_its_owner_may_read_is_replaced_by_one_like_it(self, tmp_path):
        path = tmp_path / "a.txt"
        path.touch()
        path.chmod(0o600)
        with atomic_path(path) as partial:
            assert stat.S_IMODE(partial.stat().st_mode) == 0o600  # from its first byte on
            partial.write_text("new")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600

    def test_a_new_file_has_the_mode_that_open_gives(self, tmp_path):
        (tmp_path / "by_open.txt").touch()
        with atomic_path(tmp_path / "a.txt") as partial:
            partial.write_text("new")
        assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "by_open.txt").stat().st_mode


class TestErrors:
    def test_an_error_of_writing_names_the_file(self, tmp_path):
        def write(error):
            with atomic_path(tmp_path / "a.txt"):
                raise error

        full = OSError(28, "No space left on device")  # such an error names no file
        with pytest.raises(OSError, match=r"a\.txt cannot be written: .*No space left"):
            write(full)
        assert names(tmp_path) == set()

    def test_an_error_of_reading_another_file_passes_through_as_it_is(self, tmp_path):
        def read_and_write():
            with atomic_path(tmp_path / "a.txt"):
                (tmp_path / "other.txt").read_text()

        with pytest.raises(FileNotFoundError) as caught:
            read_and_write()
        assert caught.value.filename == str(tmp_path / "other.txt")
        assert "cannot be written" not in str(caught.value)
        assert names(tmp_path) == set()


class TestCheckWritable:
    def test_what_cannot_be_written_is_said_before_the_work(self, tmp_path):
        (tmp_path / "file").write_text("")
        for path in (tmp_path / "file" / "a.keras", tmp_path / "file" / "new" / "a.keras"):
            with pytest.raises(NotADirectoryError, match="file is no folder"):
                check_writable(path)
        with pytest.raises(IsADirectoryError, match="is a folder; wanted the name of a file"):
            check_writable(tmp_path)
        check_writable(tmp_path / "a.keras")
        assert names(tmp_path) == {"file"}

    def test_it_creates_no_folder(self, tmp_path):
        check_writable(tmp_path / "new" / "deeper" / "a.keras")
        assert names(tmp_path) == set()
