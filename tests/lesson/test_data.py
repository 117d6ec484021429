"""The data: what is loaded, and what is refused."""

import hashlib
import socket
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from vae_keras import binarize, data, load_images, load_mnist
from vae_keras.data import check_images


class TestLoadMnist:
    def test_arrays_are_those_of_the_contract(self):
        (x_train, y_train), (x_test, y_test) = load_mnist()
        assert x_train.shape == (60000, 28, 28, 1)
        assert x_test.shape == (10000, 28, 28, 1)
        assert x_train.dtype == x_test.dtype == np.float32
        assert x_train.min() == x_test.min() == 0
        assert x_train.max() == x_test.max() == 1
        assert y_train.shape == (60000,)
        assert y_test.shape == (10000,)
        np.testing.assert_array_equal(
            np.bincount(y_test), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
        )

    def test_pixels_are_the_canonical_ones(self):
        (x_train, _), (x_test, _) = load_mnist()
        # MD5 of the original IDX files without their 16-byte headers, rebuilt here from the arrays
        for x, digest in (
            (x_train, "6bbc9ace898e44ae57da46a324031adb"),
            (x_test, "2646ac647ad5339dbf082846283269ea"),
        ):
            header = np.array([2051, len(x), 28, 28], ">i4").tobytes()
            assert (
                hashlib.md5(header + np.rint(x * 255).astype("uint8").tobytes()).hexdigest()
                == digest
            )

    def test_it_is_quick_and_never_asks_the_network(self, monkeypatch):
        def refuse(*args):
            raise AssertionError("the network was asked")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        load_mnist()
        start = time.process_time()  # processor time: the tests share the machine
        load_mnist()
        assert time.process_time() - start < 1

    @pytest.mark.parametrize(
        "damage",
        [lambda c: c[:-1], lambda c: c[: len(c) // 2], lambda c: b"", lambda c: b"\0" + c[1:]],
    )
    def test_a_damaged_file_is_refused_by_name(self, tmp_path, monkeypatch, damage):
        path = tmp_path / "mnist.npz"
        path.write_bytes(damage(data.MNIST_PATH.read_bytes()))
        monkeypatch.setattr(data, "MNIST_PATH", path)
        with pytest.raises(ValueError, match=r"mnist\.npz is damaged.*wanted 06af5dfe"):
            load_mnist()

    def test_one_flipped_bit_is_found(self, tmp_path, monkeypatch):
        content = bytearray(data.MNIST_PATH.read_bytes())
        content[5_000_000] ^= 1
        path = tmp_path / "mnist.npz"
        path.write_bytes(content)
        monkeypatch.setattr(data, "MNIST_PATH", path)
        with pytest.raises(ValueError, match="is damaged"):
            load_mnist()

    def test_a_missing_file_is_refused_by_name(self, tmp_path, monkeypatch):
        monkeypatch.setattr(data, "MNIST_PATH", tmp_path / "mnist.npz")
        with pytest.raises(FileNotFoundError, match=r"mnist\.npz is missing"):
            load_mnist()


class TestBinarize:
    def test_each_pixel_is_one_with_the_probability_of_its_grey_level(self):
        grey = np.tile(
            np.array([0.0, 0.1, 0.5, 0.9, 1.0], "float32")[:, None, None], (20_000, 1, 1, 1)
        )
        drawn = binarize(grey, seed=0)
        assert set(np.unique(drawn)) == {0.0, 1.0}
        assert drawn.dtype == np.float32
        share, error = drawn.mean(axis=0), np.sqrt(grey[0] * (1 - grey[0]) / len(grey))
        assert np.all(np.abs(share - grey[0]) <= 5 * error)  # black and white pixels exactly

    def test_the_seed_fixes_the_draw(self, images):
        np.testing.assert_array_equal(binarize(images, 3), binarize(images, 3))
        assert not np.array_equal(binarize(images, 3), binarize(images, 4))

    def test_grey_levels_out_of_range_are_refused(self):
        with pytest.raises(
            ValueError,
            match=r"x must hold grey levels .*; got values from 0 to 255\. Divide by 255\?",
        ):
            binarize(np.array([0.0, 255.0]).reshape(2, 1, 1, 1), 0)


class TestCheckImages:
    @pytest.mark.parametrize(
        ("x", "message"),
        [
            (
                np.zeros((2, 8, 8)),
                r"x must hold images of shape \(n, 8, 8, 1\); got the shape \(2, 8, 8\)",
            ),
            (np.zeros((2, 8, 9, 1)), r"got the shape \(2, 8, 9, 1\)"),
            (np.zeros((0, 8, 8, 1)), "x holds no image"),
            (
                np.full((2, 8, 8, 1), 255.0),
                r"grey levels in \[0, 1\]; got values from 255 to 255\. Divide by 255\?",
            ),
            (
                np.full((2, 8, 8, 1), -0.5),
                r"grey levels in \[0, 1\]; got values from -0\.5 to -0\.5\.$",
            ),
            (np.full((2, 8, 8, 1), np.nan), "finite"),
            (np.full((2, 8, 8, 1), np.inf), "finite"),
            (np.full((2, 8, 8, 1), "a"), "numbers; got dtype"),
        ],
    )
    def test_bad_images_are_refused_with_what_came_and_what_is_wanted(self, x, message):
        with pytest.raises(ValueError, match=message):
            check_images(x, image_shape=(8, 8, 1))

    def test_one_nan_among_many_pixels_is_found(self, images):
        images[17, 3, 3, 0] = np.nan
        with pytest.raises(ValueError, match="NaN"):
            check_images(images)

    def test_gaussian_pixels_may_have_any_finite_value(self):
        check_images(np.array([[-3.0, 400.0]]), image_shape=(2,), bernoulli=False)
        with pytest.raises(ValueError, match="finite"):
            check_images(np.array([[-3.0, np.nan]]), image_shape=(2,), bernoulli=False)


class TestLoadImages:
    def test_npz_of_bytes_and_of_floats_give_the_same_images(self, tmp_path, rng):
        pixels = rng.integers(0, 256, (5, 7, 9), dtype="uint8")
        np.savez(tmp_path / "bytes.npz", x_train=pixels, other=[1])
        np.savez(tmp_path / "floats.npz", pixels[..., None] / 255)
        from_bytes, from_floats = (
            load_images(tmp_path / "bytes.npz"),
            load_images(tmp_path / "floats.npz"),
        )
        assert from_bytes.shape == (5, 7, 9, 1)
        assert from_bytes.dtype == np.float32
        np.testing.assert_allclose(from_bytes, pixels[..., None] / 255, rtol=1e-6)
        np.testing.assert_allclose(from_bytes, from_floats, rtol=1e-6)

    @pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("1", 1), ("P", 3)])
    def test_a_folder_of_png_files(self, tmp_path, rng, mode, channels):
        pixels = rng.integers(0, 256, (3, 6, 5, 3), dtype="uint8")
        for name, image in zip("bac", pixels, strict=True):
            Image.fromarray(image).convert(mode).save(tmp_path / f"{name}.png")
        images = load_images(tmp_path)
        assert images.shape == (3, 6, 5, channels)
        if mode == "RGB":  # in the order of the names
            np.testing.assert_allclose(images, pixels[[1, 0, 2]] / 255, rtol=1e-6)

    def test_png_files_that_differ_are_refused_by_name(self, tmp_path):
        Image.new("L", (4, 4)).save(tmp_path / "a.png")
        Image.new("L", (5, 4)).save(tmp_path / "b.png")
        with pytest.raises(
            ValueError, match=r"must be alike.*\(4, 4\): 'a\.png', \(4, 5\): 'b\.png'"
        ):
            load_images(tmp_path)

    def test_kinds_of_png_that_would_lose_something_are_refused(self, tmp_path):
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
    def test_bad_arrays_are_refused_by_name(self, tmp_path, arrays, message):
        np.savez(tmp_path / "my.npz", **arrays)
        with pytest.raises(ValueError, match=message) as caught:
            load_images(tmp_path / "my.npz")
        assert "my.npz" in str(caught.value)

    def test_png_names_may_be_in_capitals(self, tmp_path):
        Image.new("L", (4, 4)).save(tmp_path / "a.PNG")
        assert load_images(tmp_path).shape == (1, 4, 4, 1)

    def test_a_zip_of_something_else_is_refused(self, tmp_path):
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("note.txt", "no array")
        with pytest.raises(ValueError, match=r"a\.npz"):
            load_images(tmp_path / "a.npz")

    def test_damaged_and_missing_files_are_refused_by_name(self, tmp_path):
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
