"""Streamed folders: the images, the order and the model are those of the array in memory."""

import json
import tracemalloc

import keras
import numpy as np
import pytest
from PIL import Image
from small_networks import small_vae, tiny_vae

from vae_keras import load_images, stream_images
from vae_keras.cli import runs
from vae_keras.cli.callbacks import SaveRun
from vae_keras.cli.distribute import Place
from vae_keras.cli.main import main
from vae_keras.io.saving import read_record
from vae_keras.io.streams import ImageFiles


@pytest.fixture
def folder(tmp_path, rng):
    """Thirty grey images of 8 x 8 pixels, in two folders of classes."""
    path = tmp_path / "mine"
    for i, pixels in enumerate(rng.integers(0, 256, (30, 8, 8), dtype="uint8")):
        save(path / f"class_{i % 2}" / f"{i:02}.png", pixels)
    return path


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


class TestImages:
    def test_they_are_those_of_the_array_in_the_order_of_the_numbers(self, folder):
        files = ImageFiles(folder)
        array = load_images(folder)
        assert files.shape == array.shape
        np.testing.assert_array_equal(files[[7, 2, 29]], array[[7, 2, 29]])

    def test_grey_among_colour_and_eight_bits_among_sixteen(self, tmp_path, rng):
        save(tmp_path / "a.png", rng.integers(0, 256, (6, 5), dtype="uint8"))
        save(tmp_path / "b.png", rng.integers(0, 2**16, (6, 5), dtype="uint16"))
        save(tmp_path / "c.jpg", rng.integers(0, 256, (6, 5, 3), dtype="uint8"))
        with pytest.warns(UserWarning, match="of grey, turned into RGB"):
            array = load_images(tmp_path)
        np.testing.assert_allclose(ImageFiles(tmp_path)[[0, 1, 2]], array, rtol=1e-6)

    def test_palettes_of_greys_are_grey_and_others_in_colour(self, folder, rng):
        shades = Image.fromarray(rng.integers(0, 256, (8, 8), dtype="uint8")).convert("P")
        shades.save(folder / "a.png")
        assert ImageFiles(folder).shape == (31, 8, 8, 1)
        shades.putpalette([0, 0, 255] * 256)
        shades.save(folder / "b.gif")
        assert ImageFiles(folder).shape == (32, 8, 8, 3)

    def test_what_is_transparent_may_show_a_colour_behind_it(self, folder):
        Image.new("LA", (8, 8), (200, 0)).save(folder / "a.png")
        assert ImageFiles(folder, background="white").shape[-1] == 1
        assert ImageFiles(folder, background="red")[[0]][0, 0, 0].tolist() == [1, 0, 0]

    def test_they_are_scaled_and_turned_as_in_memory(self, tmp_path, rng):
        turned = Image.Exif()
        turned[0x0112] = 6
        save(tmp_path / "a.png", rng.integers(0, 256, (9, 14, 3), dtype="uint8"), exif=turned)
        save(tmp_path / "b.png", rng.integers(0, 256, (30, 12, 3), dtype="uint8"))
        array = load_images(tmp_path, image_size=(8, 10))
        np.testing.assert_array_equal(ImageFiles(tmp_path, image_size=(8, 10))[[0, 1]], array)

    def test_of_other_files_the_number_is_kept(self, folder):
        (folder / "notes.txt").write_text("")
        assert ImageFiles(folder).notes == {".txt left out": 1}

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"folder": "none"}, FileNotFoundError, "no folder none"),
            ({"image_size": (0, 8)}, ValueError, "image_size must be two integers"),
            ({"background": "none"}, ValueError, "background must be a colour"),
            ({"batch_size": 0}, ValueError, "batch_size must be"),
        ],
    )
    def test_bad_arguments_are_refused_by_name(self, folder, options, error, message):
        with pytest.raises(error, match=message):
            stream_images(**{"folder": folder, "batch_size": 4, **options})

    def test_a_folder_without_images_is_refused(self, tmp_path):
        (tmp_path / "notes.txt").write_text("")
        with pytest.raises(FileNotFoundError, match=r"no image file .*\.txt left out: 1"):
            ImageFiles(tmp_path)

    def test_a_file_that_is_no_image_is_refused_before_training(self, folder):
        (folder / "broken.png").write_text("no picture")
        with pytest.raises(ValueError, match=r"broken\.png cannot be read as an image"):
            ImageFiles(folder)

    def test_masks_of_0_and_1_are_refused(self, tmp_path, rng):
        for i in range(3):
            save(tmp_path / f"{i}.png", rng.integers(0, 2, (8, 8), dtype="uint8"))
        with pytest.raises(ValueError, match="hold 0 and 1 alone"):
            ImageFiles(tmp_path)

    def test_an_image_of_another_size_is_refused_by_name_when_it_is_read(self, folder):
        save(folder / "other.png", np.zeros((9, 8), "uint8"))
        files = ImageFiles(folder)
        message = r"00\.png has \(8, 8\), .*other\.png has \(9, 8\): image_size"
        with pytest.raises(ValueError, match=message):
            files.take(range(1, 31))[[29]]


class TestTraining:
    def test_the_weights_are_those_of_the_same_images_in_memory(self, folder):
        weights = []
        for x in (load_images(folder), None):
            keras.utils.set_random_seed(3)
            vae = tiny_vae(seed=0)
            vae.compile("adam")
            x = stream_images(folder, batch_size=8) if x is None else x
            options = {} if hasattr(x, "arrays") else {"batch_size": 8}
            vae.fit(x, epochs=2, verbose=0, **options)
            weights.append(vae.get_weights())
        for streamed, wanted in zip(*weights, strict=True):
            np.testing.assert_allclose(streamed, wanted, rtol=1e-5, atol=1e-6)

    def test_no_more_than_some_batches_are_in_memory(self, tmp_path):
        for i in range(200):  # of 49 kB as float32
            save(tmp_path / f"{i}.png", np.full((64, 64, 3), i, "uint8"))
        batches = stream_images(tmp_path, batch_size=2, seed=0)
        tracemalloc.start()
        for i in range(len(batches)):
            assert batches[i][0].nbytes == 2 * 64 * 64 * 3 * 4
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 * 2 * 64 * 64 * 3 * 4  # all would be 100 batches

    def test_processes_read_each_image_once_and_share_no_file(self, folder, monkeypatch):
        files = ImageFiles(folder)
        read = []
        parts = [Place(process, 3, 3).batches(files, 6, seed=0) for process in range(3)]
        for batches in parts:
            rows = [batches.order.rows(i) for i in range(len(batches))]
            images = np.concatenate([batches[i][0] for i in range(len(batches))])
            np.testing.assert_array_equal(images, files[np.concatenate(rows)])
            read.append(np.concatenate(rows))
        assert [len(rows) for rows in read] == [10, 10, 10]
        assert sorted(np.concatenate(read)) == list(range(30))


@pytest.fixture
def train(tmp_path, folder, monkeypatch):
    """Run the command on the folder with a small network: options to its exit code."""
    monkeypatch.setattr(runs, "ConvVAE", small_vae)
    sizes = ["--latent-dim", "2", "--epochs", "2", "--batch-size", "9", "--json"]

    def run(*options, output="a.keras"):
        where = ["--data", str(folder), "--output", str(tmp_path / output)]
        return main(["train", *where, *sizes, *map(str, options)])

    return run


class TestCommand:
    def test_it_trains_and_measures_as_in_memory(self, train, tmp_path, capsys):
        assert train("--stream") == 0
        captured = capsys.readouterr()
        assert "30/30" in captured.err  # files that were looked at
        streamed = json.loads(captured.out)
        assert train(output="b.keras") == 0
        wanted = json.loads(capsys.readouterr().out)
        assert streamed["held_out_images"] == wanted["test_images"] == 3
        for name in ("training_images", "neg_elbo", "kl", "mean_image", "floor"):
            assert streamed[name] == pytest.approx(wanted[name], rel=1e-4)

    def test_at_most_a_thousand_are_held_out_and_the_others_trained_on(
        self, train, monkeypatch, capsys
    ):
        monkeypatch.setattr("vae_keras.cli.commands.HELD_OUT", 2)
        assert train("--stream") == 0
        results = json.loads(capsys.readouterr().out)
        assert (results["training_images"], results["held_out_images"]) == (28, 2)

    def test_a_resumed_run_goes_on_and_one_of_other_files_is_refused(
        self, train, tmp_path, folder, capsys
    ):
        assert train("--stream") == 0
        content = (tmp_path / "a.keras").read_bytes()
        assert train("--stream", "--resume") == 0
        assert (tmp_path / "a.keras").read_bytes() == content
        save(folder / "class_0" / "00.png", np.zeros((8, 8), "uint8"))
        assert train("--stream", "--resume") == 2
        assert "was begun with training images" in capsys.readouterr().err

    def test_a_file_that_breaks_during_training_is_named_in_one_line(
        self, train, tmp_path, folder, monkeypatch, capsys
    ):
        class SaveAndCut(SaveRun):
            def on_epoch_end(self, epoch, logs=None):
                super().on_epoch_end(epoch)
                for path in folder.rglob("*.png"):  # as if the disk had failed
                    path.write_bytes(path.read_bytes()[:60])

        monkeypatch.setattr(runs, "SaveRun", SaveAndCut)
        assert train("--stream") == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith("vae_keras train: ")
        assert "cannot be read as an image" in line
        assert read_record(tmp_path / "a.keras")["epochs done"] == 1

    @pytest.mark.parametrize("data", ["file", None])
    def test_it_needs_a_folder(self, tmp_path, data, capsys):
        where = [] if data is None else ["--data", str(tmp_path / "mine.npz")]
        assert main(["train", "--stream", *where, "--output", str(tmp_path / "a.keras")]) == 2
        assert "--stream needs --data, a folder" in capsys.readouterr().err
