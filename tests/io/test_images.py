"""Your own images: which files are read, as what, and what is refused by name."""

import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from vae_keras import _files, load_images
from vae_keras.io.images import load_splits


def save(path, pixels, **options):
    """Save pixels as an image file, in folders that are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)


@pytest.fixture
def grey(rng):
    """Three grey images of 6 x 5 pixels."""
    return rng.integers(0, 256, (3, 6, 5), dtype="uint8")


@pytest.fixture
def colour(rng):
    """Three images of 6 x 5 pixels in colour."""
    return rng.integers(0, 256, (3, 6, 5, 3), dtype="uint8")


class TestFolders:
    @pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("1", 1), ("P", 3)])
    def test_png_files_in_the_order_of_their_names(self, tmp_path, colour, mode, channels):
        for name, pixels in zip("bac", colour, strict=True):
            save(tmp_path / f"{name}.png", Image.fromarray(pixels).convert(mode))
        images = load_images(tmp_path)
        assert images.shape == (3, 6, 5, channels)
        assert images.dtype == np.float32
        if mode == "RGB":
            np.testing.assert_allclose(images, colour[[1, 0, 2]] / 255, rtol=1e-6)
        if mode == "1":
            assert {*np.unique(images)} == {0, 1}

    @pytest.mark.parametrize(
        ("name", "options"),
        [
            ("a.bmp", {}),
            ("a.webp", {"lossless": True}),
            ("a.jpg", {"quality": 95}),
            ("a.JPEG", {"quality": 95}),
            ("a.jfif", {"format": "JPEG", "quality": 95}),
            ("a.gif", {}),
        ],
    )
    def test_other_kinds_of_file(self, tmp_path, name, options):
        ramp = np.repeat(np.arange(0, 256, 16, dtype="uint8")[:, None], 16, axis=1)
        save(tmp_path / name, np.stack([ramp, ramp.T, ramp[::-1]], axis=-1), **options)
        (image,) = load_images(tmp_path)
        assert image.shape == (16, 16, 3)
        for channel, wanted in enumerate((ramp, ramp.T, ramp[::-1])):
            assert np.abs(image[..., channel] - wanted / 255).mean() < 0.05  # lossy, or few colours

    @pytest.mark.parametrize("name", ["a.gif", "a.bmp", "a.png"])
    def test_a_palette_of_greys_is_grey(self, tmp_path, grey, name):
        image = Image.fromarray(grey[0])
        save(tmp_path / name, image.convert("P"))  # the palette is that of the levels
        np.testing.assert_allclose(load_images(tmp_path)[0, ..., 0], grey[0] / 255, rtol=1e-6)
        assert load_images(tmp_path).shape[-1] == 1

    def test_the_content_decides_what_a_file_is(self, tmp_path, grey):
        save(tmp_path / "a.jpg", grey[0], format="PNG")
        np.testing.assert_allclose(load_images(tmp_path)[0, ..., 0], grey[0] / 255, rtol=1e-6)

    def test_folders_of_class_folders_at_any_depth(self, tmp_path, grey):
        for name, pixels in zip(("cats/1.png", "dogs/a/b/1.png", "0.png"), grey, strict=True):
            save(tmp_path / name, pixels)
        images = load_images(tmp_path)
        np.testing.assert_allclose(images[..., 0], grey[[2, 0, 1]] / 255, rtol=1e-6)

    def test_hidden_files_are_left_out_and_counted(self, tmp_path, grey):
        save(tmp_path / ".data" / "cats" / "a.png", grey[0])  # a hidden folder may be asked for
        folder = tmp_path / ".data"
        for name in (".DS_Store", "cats/._a.png", "Thumbs.db", "__MACOSX/cats/a.png", ".git/a.png"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("no image")
        assert len(load_images(folder)) == 1  # with no warning
        assert load_splits(folder).notes == {"hidden left out": 5}

    def test_other_files_are_left_out_and_counted_by_suffix(self, tmp_path, grey):
        save(tmp_path / "a.png", grey[0])
        for name in ("b.tif", "c.TIF", "d.heic", "labels.csv", "README"):
            (tmp_path / name).write_text("no image")
        (tmp_path / "link").symlink_to(tmp_path)
        counted = (
            r"\.tif left out: 2; \.heic left out: 1; \.csv left out: 1; "
            "links to folders left out: 1"
        )
        with pytest.warns(UserWarning, match="files without a suffix left out: 1") as caught:
            assert len(load_images(tmp_path)) == 1
        (warning,) = caught
        assert warning.filename == __file__
        for part in counted.split("; "):
            assert part.replace("\\", "") in str(warning.message)

    def test_a_folder_of_other_files_alone_is_refused_and_they_are_named(self, tmp_path):
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "a.avif").write_text("no image")
        (tmp_path / ".hidden").write_text("no image")
        left_out = r"hidden left out: 1; \.avif left out: 1\.$"
        with pytest.raises(FileNotFoundError, match=rf"holds no image file \(\.png, .*{left_out}"):
            load_images(tmp_path)

    def test_a_folder_that_may_not_be_read_is_refused(self, tmp_path, grey, monkeypatch):
        save(tmp_path / "a.png", grey[0])
        (tmp_path / "closed").mkdir()
        scandir = os.scandir

        def refuse(path):  # a folder's mode does not keep the superuser out
            if str(path).endswith("closed"):
                raise PermissionError(13, "Permission denied", str(path))
            return scandir(path)

        monkeypatch.setattr(os, "scandir", refuse)
        with pytest.raises(PermissionError, match="closed"):
            load_images(tmp_path)

    def test_one_grey_among_colours_becomes_rgb(self, tmp_path, grey, colour):
        save(tmp_path / "a.png", grey[0])
        save(tmp_path / "b.png", colour[1])
        with pytest.warns(UserWarning, match="of grey, turned into RGB as others are in colour: 1"):
            images = load_images(tmp_path)
        expected = np.stack([np.stack([grey[0]] * 3, axis=-1), colour[1]])
        np.testing.assert_allclose(images, expected / 255, rtol=1e-6)

    @pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L"])
    def test_what_is_transparent_shows_the_background(self, tmp_path, mode):
        pixels = np.full((2, 2, 4), 100, "uint8")
        pixels[..., 3] = [[255, 255], [255, 0]]
        image = Image.fromarray(pixels)
        options = {}
        if mode == "L":  # one grey level is declared transparent
            image = Image.fromarray(np.array([[100, 100], [100, 7]], "uint8"))
            options = {"transparency": 7}
        save(tmp_path / "a.png", image.convert(mode), **options)
        for background, level in (("white", 1.0), ("#000000", 0.0), ("rgb(0, 255, 0)", (0, 1, 0))):
            with pytest.warns(UserWarning, match="transparency, laid on the background: 1"):
                (image,) = load_images(tmp_path, background=background)
            np.testing.assert_allclose(image[0, 0], 100 / 255, atol=1 / 255)
            np.testing.assert_array_equal(image[1, 1], np.broadcast_to(level, image.shape[-1]))
            in_grey = mode != "RGBA" and np.ndim(level) == 0
            assert image.shape[-1] == (1 if in_grey else 3)

    def test_half_transparency_is_half_the_background(self, tmp_path):
        save(tmp_path / "a.png", np.array([[[200, 0, 0, 51]]], "uint8"))
        with pytest.warns(UserWarning, match="background"):
            (image,) = load_images(tmp_path)
        np.testing.assert_allclose(image[0, 0] * 255, [244, 204, 204], atol=1)

    def test_opaque_alpha_changes_nothing_and_is_not_counted(self, tmp_path, colour):
        save(tmp_path / "a.png", Image.fromarray(colour[0]).convert("RGBA"))
        np.testing.assert_allclose(load_images(tmp_path)[0], colour[0] / 255, rtol=1e-6)

    @pytest.mark.parametrize("background", ["no colour", "#ffffff80", 3, None])
    def test_what_is_no_opaque_colour_is_refused(self, tmp_path, grey, background):
        save(tmp_path / "a.png", grey[0])
        with pytest.raises(ValueError, match=r"background must be a colour .*; got"):
            load_images(tmp_path, background=background)

    def test_sixteen_bits_are_kept(self, tmp_path):
        levels = np.array([[0, 1, 256], [257, 40000, 65535]], "uint16")
        save(tmp_path / "a.png", levels)
        np.testing.assert_allclose(load_images(tmp_path)[0, ..., 0], levels / 65535, rtol=1e-6)

    def test_eight_bits_beside_sixteen_keep_their_levels(self, tmp_path, grey, colour):
        deep = np.arange(30, dtype="uint16").reshape(6, 5) * 2000
        save(tmp_path / "a.png", grey[0])
        save(tmp_path / "b.png", deep)
        images = load_images(tmp_path)
        np.testing.assert_allclose(images[0, ..., 0], grey[0] / 255, rtol=1e-6)
        np.testing.assert_allclose(images[1, ..., 0], deep / 65535, rtol=1e-6)

    def test_sixteen_bits_that_cannot_be_kept_are_counted_or_refused(self, tmp_path):
        path = tmp_path / "a.png"
        path.write_bytes(png_of_16_bits_in_each_colour())
        with pytest.warns(UserWarning, match="of 16 bits in each colour, read as 8: 1"):
            assert load_images(tmp_path).shape == (1, 1, 1, 3)
        save(path, np.zeros((2, 2), "uint16"), transparency=5)
        with pytest.raises(ValueError, match=r"a\.png .*I;16 with a transparent grey"):
            load_images(tmp_path)

    def test_exif_turns_an_image(self, tmp_path, grey):
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned by 90 degrees to the right
        save(tmp_path / "a.png", grey[0], exif=exif)
        upright = np.rot90(grey[0], -1)
        np.testing.assert_allclose(load_images(tmp_path)[0, ..., 0], upright / 255, rtol=1e-6)
        assert load_splits(tmp_path).notes == {"turned as their EXIF says": 1}
        exif[0x0112] = 9  # no orientation
        save(tmp_path / "a.png", grey[0], exif=exif)
        assert not load_splits(tmp_path).notes

    @pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
    def test_of_several_frames_the_first_is_taken(self, tmp_path, name):
        frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
        save(tmp_path / name, frames[0], save_all=True, append_images=frames[1:], lossless=True)
        with pytest.warns(UserWarning, match="of several frames, the first taken: 1"):
            images = load_images(tmp_path)
        np.testing.assert_array_equal(images[0, 0, 0], [1, 0, 0])

    def test_cmyk_becomes_rgb(self, tmp_path):
        save(tmp_path / "a.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)), quality=100)
        with pytest.warns(UserWarning, match="of CMYK, turned into RGB: 1"):
            images = load_images(tmp_path)
        np.testing.assert_allclose(images[0, 0, 0], [1, 0, 0], atol=0.02)

    def test_masks_of_0_and_1_are_black_and_white(self, tmp_path, rng):
        masks = rng.integers(0, 2, (2, 4, 4), dtype="uint8")
        for i, pixels in enumerate(masks):
            save(tmp_path / f"{i}.png", pixels)
        with pytest.warns(UserWarning, match="0 and 1 alone, taken as black and white: 2"):
            np.testing.assert_array_equal(load_images(tmp_path)[..., 0], masks)

    def test_an_image_of_one_pixel(self, tmp_path):
        save(tmp_path / "a.png", np.array([[51]], "uint8"))
        np.testing.assert_allclose(load_images(tmp_path), np.full((1, 1, 1, 1), 0.2))

    def test_a_name_that_is_not_utf_8(self, tmp_path, grey):
        path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
        try:
            Image.fromarray(grey[0]).save(path)
        except OSError:
            pytest.skip("the file system takes UTF-8 alone")
        assert load_images(tmp_path).shape == (1, 6, 5, 1)

    def test_a_broken_file_among_others_is_refused_by_name(self, tmp_path, grey, colour):
        for name in ("a.jpg", "b.gif", "c.png"):
            save(tmp_path / name, colour[0])
        for name in ("a.jpg", "b.gif", "c.png"):
            whole = (tmp_path / name).read_bytes()
            (tmp_path / name).write_bytes(whole[: len(whole) * 2 // 3])
            with pytest.raises(ValueError, match=rf"{name} cannot be read as an image"):
                load_images(tmp_path)
            (tmp_path / name).write_bytes(whole)

    @pytest.mark.parametrize("kind", ["TIFF", "text"])
    def test_another_kind_of_file_by_the_name_of_an_image_is_refused(self, tmp_path, grey, kind):
        if kind == "TIFF":
            save(tmp_path / "a.png", grey[0], format="TIFF")
        else:
            (tmp_path / "a.png").write_text("no image")
        with pytest.raises(ValueError, match=r"a\.png cannot be read as an image: cannot identify"):
            load_images(tmp_path)

    def test_a_single_image_is_refused(self, tmp_path, grey):
        save(tmp_path / "a.png", grey[0])
        with pytest.raises(ValueError, match=r"a\.png is a single image; wanted a folder"):
            load_images(tmp_path / "a.png")


def png_of_16_bits_in_each_colour():
    """One pixel, which Pillow cannot write."""
    import zlib

    def chunk(kind, content):
        checksum = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + checksum

    header = (1).to_bytes(4, "big") * 2 + bytes([16, 2, 0, 0, 0])
    pixels = zlib.compress(bytes([0, 255, 255, 0, 0, 128, 0]))
    chunks = {b"IHDR": header, b"IDAT": pixels, b"IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*item) for item in chunks.items())


class TestSizes:
    def test_images_that_differ_in_size_are_refused_by_name(self, tmp_path):
        save(tmp_path / "a.png", Image.new("L", (4, 4)))
        save(tmp_path / "b" / "b.png", Image.new("L", (5, 4)))
        found = r"a\.png has \(4, 4\), .*b\.png has \(4, 5\): image_size \(--image-size H W\)"
        with pytest.raises(ValueError, match=rf"must be of one size; .*{found}"):
            load_images(tmp_path)

    @pytest.mark.parametrize("dtype", ["uint8", "uint16"])
    def test_they_are_scaled_to_cover_the_size_and_cut_at_two_sides(self, tmp_path, dtype):
        white = np.iinfo(dtype).max
        wide = np.zeros((4, 16), dtype)
        wide[:, 4:12] = white // 2  # the middle, of the proportions asked for
        save(tmp_path / "wide.png", wide)
        save(tmp_path / "same.png", np.full((2, 4), white, dtype))
        save(tmp_path / "tall.png", np.full((9, 3), white, dtype))
        same, tall, wide = load_images(tmp_path, image_size=(2, 4))
        np.testing.assert_array_equal(same, np.ones((2, 4, 1)))
        np.testing.assert_array_equal(tall, np.ones((2, 4, 1)))
        np.testing.assert_allclose(wide[:, 1:3], 0.5, atol=0.01)
        assert wide.max() < 0.51  # nothing beyond the levels of the image
        assert load_splits(tmp_path, (2, 4)).notes == {
            "scaled to the size asked for": 2,
            "cut at two sides to its proportions": 2,
        }

    @pytest.mark.parametrize("size", [(4,), (4, 0), (4.0, 4), 4, "44", (4, True), (1, 2, 3)])
    def test_what_is_no_size_is_refused(self, tmp_path, size):
        with pytest.raises(ValueError, match="image_size must be two integers"):
            load_images(tmp_path, image_size=size)

    def test_the_options_of_image_files_are_refused_with_an_array(self, tmp_path):
        np.save(tmp_path / "a.npy", np.zeros((1, 4, 4)))
        for options in ({"image_size": (2, 2)}, {"background": "black"}):
            with pytest.raises(ValueError, match=r"for a folder of image files; got .*a\.npy"):
                load_images(tmp_path / "a.npy", **options)
            with pytest.raises(FileNotFoundError, match=r"no file or folder .*none"):
                load_images(tmp_path / "none", **options)


class TestArrays:
    def test_npz_of_bytes_and_of_floats_give_the_same_images(self, tmp_path, rng):
        pixels = rng.integers(0, 256, (5, 7, 9), dtype="uint8")
        np.savez(tmp_path / "bytes.npz", x_train=pixels, other=[1])
        np.savez(tmp_path / "floats.npz", pixels[..., None] / 255)
        from_bytes = load_images(tmp_path / "bytes.npz")
        from_floats = load_images(tmp_path / "floats.npz")
        assert from_bytes.shape == (5, 7, 9, 1)
        assert from_bytes.dtype == np.float32
        np.testing.assert_allclose(from_bytes, pixels[..., None] / 255, rtol=1e-6)
        np.testing.assert_allclose(from_bytes, from_floats, rtol=1e-6)

    @pytest.mark.parametrize("suffix", [".npy", ".NPY", ".npz"])
    @pytest.mark.parametrize("order", ["C", "F"])
    @pytest.mark.parametrize(
        ("dtype", "levels"),
        [("uint8", 255), (">u2", 65535), ("bool", 1), ("float16", 1), (">f8", 1), ("int64", 1)],
    )
    def test_kinds_of_numbers(self, tmp_path, suffix, order, dtype, levels):
        values = np.tile([0, levels], 12).reshape(2, 3, 4).astype(dtype, order=order)
        path = tmp_path / f"a{suffix}"
        with open(path, "wb") as file:  # so that NumPy keeps the suffix
            np.savez(file, values) if suffix == ".npz" else np.save(file, values)
        images = load_images(path)
        assert images.flags.c_contiguous
        assert images.flags.writeable
        assert images.dtype == np.float32
        assert images.dtype.isnative
        np.testing.assert_array_equal(images[..., 0], np.tile([0, 1], 12).reshape(2, 3, 4))

    def test_bytes_of_0_and_1_alone_are_black_and_white(self, tmp_path, rng):
        masks = rng.integers(0, 2, (4, 3, 3), dtype="uint8")
        np.savez(tmp_path / "a.npz", masks)
        with pytest.warns(UserWarning, match="0 and 1 alone, taken as black and white: 4"):
            np.testing.assert_array_equal(load_images(tmp_path / "a.npz")[..., 0], masks)

    def test_a_dark_half_of_the_images_is_not_taken_for_masks(self, tmp_path, rng):
        dark = rng.integers(0, 2, (4, 3, 3), dtype="uint8")
        np.savez(tmp_path / "a.npz", x_train=np.full((5, 3, 3), 255, "uint8"), x_test=dark)
        splits = load_splits(tmp_path / "a.npz")
        np.testing.assert_allclose(splits.test[..., 0], dark / 255, rtol=1e-6)
        assert not splits.notes

    def test_x_test_is_read_beside_x_train(self, tmp_path, rng):
        x_train, x_test = (rng.random((n, 4, 3), dtype="float32") for n in (5, 2))
        np.savez(tmp_path / "a.npz", x_train=x_train, x_test=x_test[..., None], y_train=[0] * 5)
        splits = load_splits(tmp_path / "a.npz")
        np.testing.assert_array_equal(splits.train[..., 0], x_train)
        np.testing.assert_array_equal(splits.test[..., 0], x_test)
        np.testing.assert_array_equal(load_images(tmp_path / "a.npz")[..., 0], x_train)
        np.savez(tmp_path / "a.npz", x_train=x_train, x_test=x_test[:, 1:])
        with pytest.raises(ValueError, match=r"x_test of .*a\.npz must hold .*\(n, 4, 3, 1\)"):
            load_splits(tmp_path / "a.npz")

    def test_any_finite_range_may_be_asked_for(self, tmp_path, rng):
        x = rng.normal(scale=300, size=(4, 3, 3, 1))
        np.savez(tmp_path / "a.npz", x)
        with pytest.raises(ValueError, match=r"grey levels in \[0, 1\]"):
            load_splits(tmp_path / "a.npz")
        x_train, _, _ = load_splits(tmp_path / "a.npz", bernoulli=False)
        np.testing.assert_array_equal(x_train, x.astype("float32"))

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"a": np.zeros(3), "b": np.zeros(3)}, "holds no array named x_train"),
            ({"x_train": np.zeros((3, 4))}, r"shape \(3, 4\); wanted"),
            ({"x_train": np.uint8(1)}, r"shape \(\); wanted"),
            ({"x_train": np.full((3, 4, 4), 7, "int32")}, r"from 7 to 7\. Divide by 255\?"),
            ({"x_train": np.zeros((3, 4, 4), complex)}, "must hold numbers; got dtype complex128"),
            ({"x_train": np.full((3, 4, 4), "a")}, "must hold numbers; got dtype <U1"),
            ({"x_train": np.full((3, 4, 4), 2.0)}, r"grey levels in \[0, 1\]"),
            ({"x_train": np.full((3, 4, 4), np.nan)}, "holds NaN or infinity"),
            ({"x_train": np.zeros((0, 4, 4), "uint8")}, "holds no image"),
            ({"x_train": np.full((3, 4, 4), None)}, "Object arrays cannot be loaded"),
            ({"x_train": np.zeros((3, 1, 28, 28))}, r"Are the channels first\? np\.moveaxis"),
            ({"x_train": np.zeros((3, 3, 8, 9))}, r"Are the channels first\? np\.moveaxis"),
        ],
    )
    def test_bad_arrays_are_refused_by_name(self, tmp_path, arrays, message):
        np.savez(tmp_path / "my.npz", **arrays)
        with pytest.raises(ValueError, match=message) as caught:
            load_images(tmp_path / "my.npz")
        assert "my.npz" in str(caught.value)

    @pytest.mark.parametrize(
        "shape", [(2, 1, 7, 28), (2, 3, 3, 100), (2, 28, 1, 28), (2, 3, 28, 4)]
    )
    def test_few_rows_of_pixels_of_many_channels_may_be_meant(self, tmp_path, shape):
        np.save(tmp_path / "a.npy", np.zeros(shape, "float32"))
        assert load_images(tmp_path / "a.npy").shape == shape

    def test_an_npy_file_is_whole_or_refused(self, tmp_path):
        np.save(tmp_path / "whole.npy", np.zeros((40, 4, 4), "uint8"))
        whole = (tmp_path / "whole.npy").read_bytes()
        for content in (
            whole[:-1],
            whole + b"0",
            whole[:50],
            b"",
            whole.replace(b"(40, 4, 4)", b"(30, 4, 4)"),
            whole.replace(b"(40, 4, 4)", b"(9**9,4,4)"),
            whole.replace(b"|u1", b"|O "),
            np.random.default_rng(0).bytes(500),
        ):
            (tmp_path / "a.npy").write_bytes(content)
            with pytest.raises(ValueError, match=r"a\.npy cannot be read as an \.npy file: "):
                load_images(tmp_path / "a.npy")

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
            ("none.npy", FileNotFoundError),
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
