"""Files that were made to do harm: to run code, to write elsewhere, to take memory or time."""

import json
import os
import pickle
import subprocess
import sys
import threading
import zipfile
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest
from mutations import rezip
from PIL import Image
from small_networks import dense_vae

from vae_keras import VAE, ConvVAE, load_images, load_vae

READER = Path(__file__).with_name("read_in_little_memory.py")
LARGEST = 2**28  # bytes that an archive may unpack to, where memory is the subject


class Touch:
    """Unpickled, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


class TestCode:
    def test_nothing_is_unpickled(self, tmp_path):
        mark = tmp_path / "mark"
        path = tmp_path / "a.npz"
        np.savez(path, np.array([Touch(mark)], dtype=object))
        with pytest.raises(ValueError, match=r"a\.npz .*allow_pickle"):
            load_images(path)
        path.write_bytes(pickle.dumps(Touch(mark)))
        with pytest.raises(ValueError, match=r"a\.npz"):
            load_images(path)
        assert not mark.exists()
        pickle.loads(path.read_bytes()).close()
        assert mark.exists()  # the trap works

    def test_code_in_a_model_is_refused_and_not_run(self, tmp_path):
        path = tmp_path / "a.keras"
        mark = tmp_path / "mark"
        write = eval(f"lambda h: (open({str(mark)!r}, 'w').close(), h)[1]")
        vae = ConvVAE(2, image_shape=(4, 4, 1))
        z = keras.Input((2,))
        decoder = keras.Model(z, keras.layers.Lambda(write)(vae.decoder_network(z)))
        VAE(vae.encoder, decoder).save(path)
        mark.unlink()
        with pytest.raises(ValueError, match=r"a\.keras is no saved VAE.*Lambda"):
            load_vae(path)
        assert not mark.exists()
        keras.saving.load_model(path, safe_mode=False)(np.zeros((1, 4, 4, 1)))
        assert mark.exists()  # the trap works

    @pytest.mark.parametrize(
        "name", ["../evil.txt", "/tmp/evil.txt", "assets/../../evil.txt", "assets/evil.txt"]
    )
    def test_an_archive_with_other_parts_is_refused(self, tmp_path, name):
        path = tmp_path / "a.keras"
        ConvVAE(2, image_shape=(4, 4, 1)).save(path)
        path.write_bytes(rezip(path.read_bytes(), lambda parts: {**parts, name: b"evil"}))
        with pytest.raises(ValueError, match=r"a\.keras .*its parts are .*evil\.txt"):
            load_vae(path)

    def test_an_archive_with_a_part_twice_is_refused(self, tmp_path):
        path = tmp_path / "a.keras"
        ConvVAE(2, image_shape=(4, 4, 1)).save(path)
        with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("config.json", "{}")
        with pytest.raises(ValueError, match=r"a\.keras .*its parts are "):
            load_vae(path)


def test_a_header_that_lost_images_is_seen_by_the_checksum(folder):
    path = folder / "mine.npz"
    # NumPy then reads fewer bytes than the part holds, and does not get to its checksum
    path.write_bytes(path.read_bytes().replace(b"(40, 9, 7)", b"(30, 9, 7)"))
    with pytest.raises(ValueError, match=r"mine\.npz .*part x_train\.npy is damaged"):
        load_images(path)


# how each file that would take memory is refused
REFUSED = {
    "bomb.npz": "would unpack to 419430",
    "bomb.keras": "would unpack to 419430",
    "many_images.npz": "cannot be read as an .npz file",
    "many_rows.npz": "cannot be read as an .npz file",
    "beyond_64_bits.npz": "cannot be read as an .npz file",
    "many_images.npy": "cannot be read as an .npy file",
    "latents.keras": "its networks need an axis of 100000, and the longest axis of its weights has",
    "pixels.keras": "its networks need an axis of 180000, and",
    "channels.keras": "its networks need an axis of 100000, and",
    "units.keras": "its networks need an axis of 60000, and the longest axis of its weights has 6",
    "huge_png": "a.png cannot be read as an image: ",
}


class TestMemory:
    @pytest.fixture(scope="class")
    def refused(self, tmp_path_factory):
        """Read all files that would take memory, in a process of their own that may take little."""
        folder = tmp_path_factory.mktemp("hostile")
        np.savez(folder / "honest.npz", np.zeros((2, 4, 4)))
        ConvVAE(2, image_shape=(4, 4, 1)).save(folder / "honest.keras")
        write_bombs(folder)
        write_array_headers(folder)
        write_large_models(folder)
        write_huge_png(folder / "huge_png")
        names = ["honest.keras", "honest.npz", *REFUSED]
        command = [sys.executable, READER, str(LARGEST), *(folder / name for name in names)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout)

    @pytest.mark.parametrize("name", REFUSED)
    def test_what_would_take_memory_is_refused_before_it_does(self, refused, name):
        assert name in refused[name]
        assert REFUSED[name] in refused[name]

    @pytest.mark.parametrize("name", ["honest.keras", "honest.npz"])
    def test_an_honest_file_is_read_in_the_memory_that_was_left(self, refused, name):
        assert refused[name] == "it was read"

    @pytest.mark.parametrize("options", [
        {"image_shape": (1, 1, 1), "latent_dim": 3000},
        {"image_shape": (1, 1, 300), "latent_dim": 1},
        {"image_shape": (64, 64, 1), "latent_dim": 1, "dtype": "float16"},
        {"network": "keng2017", "latent_dim": 3000},
    ])  # fmt: skip
    def test_honest_models_of_any_proportions_load(self, tmp_path, options):
        ConvVAE(**options).save(tmp_path / "a.keras")
        assert load_vae(tmp_path / "a.keras").latent_dim == options["latent_dim"]


def write_bombs(folder):
    """400 MiB of zeros in archives a thousandth as large."""
    array = {"descr": "|u1", "fortran_order": False, "shape": (400, 1024, 1024)}
    for name, part in (("bomb.npz", "x_train.npy"), ("bomb.keras", "model.weights.h5")):
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            with archive.open(part, "w") as file:
                if name == "bomb.npz":
                    np.lib.format.write_array_header_1_0(file, array)
                for _ in range(400):
                    file.write(bytes(2**20))
            archive.writestr("config.json", "{}")
            archive.writestr("metadata.json", "{}")


def write_array_headers(folder):
    """Arrays that declare more than they hold."""
    for name, shape in {
        "many_images.npz": (2**20, 2**10, 2**10),
        "many_rows.npz": (3 * 2**30, 1, 1),
        "beyond_64_bits.npz": (2**60, 2**20, 2**20),
    }.items():
        array = {"descr": "|u1", "fortran_order": False, "shape": shape}
        with (
            zipfile.ZipFile(folder / name, "w") as archive,
            archive.open("x_train.npy", "w") as file,
        ):
            np.lib.format.write_array_header_1_0(file, array)
            file.write(b"few")
    with zipfile.ZipFile(folder / "many_images.npz") as archive:
        (folder / "many_images.npy").write_bytes(archive.read("x_train.npy"))


def write_large_models(folder):
    """Models that declare more than they hold."""
    honest = (folder / "honest.keras").read_bytes()
    for name, change in {
        "latents.keras": {"latent_dim": 10**5},
        "pixels.keras": {"image_shape": [300, 300, 1]},
        "channels.keras": {"image_shape": [4, 4, 10**5]},
    }.items():

        def forge(parts, change=change):
            config = json.loads(parts["config.json"])
            config["config"].update(change)
            return {**parts, "config.json": json.dumps(config).encode()}

        (folder / name).write_bytes(rezip(honest, forge))

    def widen(parts):
        return {
            name: part.replace(b'"units": 2', b'"units": 60000') for name, part in parts.items()
        }

    dense_vae().save(folder / "dense.keras")
    (folder / "units.keras").write_bytes(rezip((folder / "dense.keras").read_bytes(), widen))


def write_huge_png(folder):
    """A picture of 60000 x 60000 pixels, in a few kB."""

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + checksum

    header = (60000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    chunks = {b"IHDR": header, b"IDAT": zlib.compress(bytes(2**24)), b"IEND": b""}
    folder.mkdir()
    png = b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*item) for item in chunks.items())
    (folder / "a.png").write_bytes(png)


@pytest.fixture
def make_pipe():
    """Make a pipe that, once a reader opens it, is at its end: so that no reader waits for ever."""
    writers = {}

    def make(path):
        os.mkfifo(path)
        writers[path] = threading.Thread(target=lambda: os.close(os.open(path, os.O_WRONLY)))
        writers[path].start()  # it waits for a reader

    yield make
    for path, writer in writers.items():
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        writer.join()  # with the reader open, however late the writer comes
        os.close(reader)


class TestFolders:
    def test_links_are_followed_to_files_and_else_refused(self, tmp_path):
        (tmp_path / "real").mkdir()
        Image.new("L", (4, 4), 255).save(tmp_path / "real" / "x.png")
        folder = tmp_path / "links"
        folder.mkdir()
        (folder / "a.png").symlink_to(tmp_path / "real" / "x.png")
        assert load_images(folder).shape == (1, 4, 4, 1)
        no_file = r"b\.png cannot be read as an image: it is no file"
        for target in (tmp_path / "real", tmp_path / "none.png", folder / "b.png"):
            (folder / "b.png").symlink_to(target)
            with pytest.raises(ValueError, match=no_file):
                load_images(folder)
            (folder / "b.png").unlink()

    def test_a_pipe_is_refused_without_being_opened(self, tmp_path, make_pipe):
        make_pipe(tmp_path / "a.png")
        with pytest.raises(ValueError, match=r"a\.png .*it is no file"):
            load_images(tmp_path)
        make_pipe(tmp_path / "a.npz")
        with pytest.raises(FileNotFoundError, match=r"a\.npz"):
            load_images(tmp_path / "a.npz")
        make_pipe(tmp_path / "a.keras")
        with pytest.raises(FileNotFoundError, match=r"a\.keras"):
            load_vae(tmp_path / "a.keras")
