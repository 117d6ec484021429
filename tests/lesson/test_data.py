"""The data: what is loaded, and what is refused."""

import hashlib
import socket
import time

import numpy as np
import pytest

from vae_keras import binarize, data, load_mnist
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
            (np.full((2, 8, 8, 1), 1e39), "finite numbers; it holds NaN or infinity in float32"),
            (np.full((2, 8, 8, 1), "a"), "numbers; got dtype"),
            (np.ma.masked_greater(np.eye(8)[None, ..., None], 0.5), r"masked.*x\.filled\(0\)"),
            (
                np.zeros((2, 1, 8, 8)),
                r"\(n, 8, 8, 1\); got the shape \(2, 1, 8, 8\)\. Are the channels first\? np\.move",
            ),
        ],
    )
    def test_bad_images_are_refused_with_what_came_and_what_is_wanted(self, x, message):
        with pytest.raises(ValueError, match=message):
            check_images(x, image_shape=(8, 8, 1))

    def test_channels_first_are_refused_unless_networks_take_them_so(self):
        with pytest.raises(ValueError, match=r"shape \(n, height, width, channels\);.* first\?"):
            check_images(np.zeros((2, 3, 8, 9)))
        check_images(np.zeros((2, 3, 8, 9)), image_shape=(3, 8, 9))
        check_images(np.zeros((2, 3, 7, 9)))  # 3 rows of 7 pixels, of 9 channels each

    def test_one_nan_among_many_pixels_is_found(self, images):
        images[17, 3, 3, 0] = np.nan
        with pytest.raises(ValueError, match="NaN"):
            check_images(images)

    def test_gaussian_pixels_may_have_any_finite_value(self):
        check_images(np.array([[-3.0, 400.0]]), image_shape=(2,), bernoulli=False)
        with pytest.raises(ValueError, match="finite"):
            check_images(np.array([[-3.0, np.nan]]), image_shape=(2,), bernoulli=False)
