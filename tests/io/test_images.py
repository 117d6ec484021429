"""Your own images: which files are read, as what, and what is refused by name."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from vae_keras import _files, load_images


def test_npz_of_bytes_and_of_floats_give_the_same_images(tmp_path, rng):
    pixels = rng.integers(0, 256, (5, 7, 9), dtype="uint8")
    np.savez(tmp_path / "bytes.npz", x_train=pixels, other=[1])
    np.savez(tmp_path / "floats.npz", pixels[..., None] / 255)
    from_bytes = load_images(tmp_path / "bytes.npz")
    from_floats = load_images(tmp_path / "floats.npz")
    assert from_bytes.shape == (5, 7, 9, 1)
    assert from_bytes.dtype == np.float32
    np.testing.assert_allclose(from_bytes, pixels[..., None] / 255, rtol=1e-6)
    np.testing.assert_allclose(from_bytes, from_floats, rtol=1e-6)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("1", 1), ("P", 3)])
def test_a_folder_of_png_files(tmp_path, rng, mode, channels):
    pixels = rng.integers(0, 256, (3, 6, 5, 3), dtype="uint8")
    for name, image in zip("bac", pixels, strict=True):
        Image.fromarray(image).convert(mode).save(tmp_path / f"{name}.png")
    images = load_images(tmp_path)
    assert images.shape == (3, 6, 5, channels)
    if mode == "RGB":  # in the order of the names
        np.testing.assert_allclose(images, pixels[[1, 0, 2]] / 255, rtol=1e-6)


def test_png_files_that_differ_are_refused_by_name(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.png")
    Image.new("L", (5, 4)).save(tmp_path / "b.png")
    with pytest.raises(ValueError, match=r"must be alike.*\(4, 4\): 'a\.png', \(4, 5\): 'b\.png'"):
        load_images(tmp_path)


def test_kinds_of_png_that_would_lose_something_are_refused(tmp_path):
    Image.new("RGBA", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png .*RGBA.*wanted"):
        load_images(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros(3), "b": np.zeros(3)}, "holds no array named x_train"),
        ({"x_train": np.zeros((3, 4))}, r"shape \(3, 4\); wanted"),
        ({"x_train": np.zeros((3, 4, 4), "int32")}, "int32; wanted uint8"),
        ({"x_train": np.full((3, 4, 4), 2.0)}, r"grey levels in \[0, 1\]"),
        ({"x_train": np.full((3, 4, 4), None)}, "Object arrays cannot be loaded"),
    ],
)
def test_bad_arrays_are_refused_by_name(tmp_path, arrays, message):
    np.savez(tmp_path / "my.npz", **arrays)
    with pytest.raises(ValueError, match=message) as caught:
        load_images(tmp_path / "my.npz")
    assert "my.npz" in str(caught.value)


def test_png_names_may_be_in_capitals(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "a.PNG")
    assert load_images(tmp_path).shape == (1, 4, 4, 1)


def test_a_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("note.txt", "no array")
    with pytest.raises(ValueError, match=r"a\.npz"):
        load_images(tmp_path / "a.npz")


def test_damaged_and_missing_files_are_refused_by_name(tmp_path):
    np.savez(tmp_path / "whole.npz", np.zeros((3, 4, 4)))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:100])
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    (tmp_path / "empty").mkdir()
    for name, error in (
        ("cut.npz", ValueError),
        ("none.npz", FileNotFoundError),
        ("empty", FileNotFoundError),
        ("", ValueError),
    ):
        with pytest.raises(error, match=name or "bad.png"):
            load_images(tmp_path / name)


def test_what_compresses_well_is_read_and_what_would_unpack_to_too_much_is_not(
    tmp_path, monkeypatch
):
    path = tmp_path / "sprites.npz"
    sprites = np.zeros((3000, 32, 32), "uint8")  # black but for a corner
    sprites[::100, :2, :2] = 255
    np.savez_compressed(path, x_train=sprites)
    with zipfile.ZipFile(path) as archive:
        (part,) = archive.infolist()
    assert part.file_size > 370 * path.stat().st_size
    monkeypatch.setattr(_files, "LARGEST", part.file_size)
    np.testing.assert_array_equal(load_images(path)[..., 0], sprites / 255)
    monkeypatch.setattr(_files, "LARGEST", part.file_size - 1)
    with pytest.raises(ValueError, match=rf"sprites\.npz .*would unpack to {part.file_size} bytes"):
        load_images(path)
