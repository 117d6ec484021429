"""The command line, run as a process where the process matters."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from scipy import stats
from scipy.special import xlog1py, xlogy
from small_networks import small_vae

from vae_keras import RECIPES, evaluation, load_images, load_mnist, load_vae, plots, sampling
from vae_keras.cli import commands, report, runs
from vae_keras.cli.distribute import Place
from vae_keras.cli.main import main
from vae_keras.io.saving import save_with_record

# a note of C++ code to stderr while Keras is imported; then the process may end
NOTE = """
import os
import sys


class Noter:
    def find_spec(self, name, path=None, target=None):
        if name == "keras":
            os.write(2, b"a note of the backend\\n")
            if "END_AT_THE_NOTE" in os.environ:
                os._exit(0)


sys.meta_path.insert(0, Noter())
"""

SMALL = Path(__file__).with_name("small_command_line.py")


def run(*arguments, **options):
    """Run Python in a process of its own."""
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, **options)


def printed(capsys):
    return json.loads(capsys.readouterr().out)


class TestCommands:
    def test_train_prints_its_results_alone_and_saves_the_model(
        self, tmp_path, my_images, small_network, monkeypatch, capfd
    ):
        monkeypatch.chdir(tmp_path)
        sizes = ("--latent-dim", "3", "--epochs", "2", "--batch-size", "8")
        assert main(["train", "--data", str(my_images), *sizes, "--json"]) == 0
        trained = capfd.readouterr()  # what C++ prints too
        results = json.loads(trained.out)
        assert results["training_images"] == 36
        assert results["test_images"] == 4
        parts = results["reconstruction"] + results["kl"]
        assert results["neg_elbo"] == pytest.approx(parts, abs=0.02)
        assert results["files"] == ["vae.keras", "vae.png"]
        assert "Epoch 2/2" in trained.err  # the progress is there, and not in the way
        assert load_vae(tmp_path / "vae.keras").latent_dim == 3

    def test_train_says_what_its_loss_means_for_these_images_and_shows_some(
        self, tmp_path, my_images, small_network, monkeypatch, capsys
    ):
        given = []
        picture = report.picture
        monkeypatch.setattr(
            report, "picture", lambda *of, **how: given.extend(of) or picture(*of, **how)
        )
        output = str(tmp_path / "a.keras")
        sizes = ("--latent-dim", "3", "--epochs", "1", "--batch-size", "8", "--output", output)
        assert main(["train", "--data", str(my_images), *sizes, "--json"]) == 0
        captured = capsys.readouterr()
        results = json.loads(captured.out)
        x_train, x_test = commands._hold_out(load_images(my_images), 0)
        p = (x_train.sum(axis=0) + 0.5) / 37
        mean_image = -(xlogy(x_test, p) + xlog1py(1 - x_test, -p)).sum() / 4
        floor = stats.bernoulli.entropy(x_test.astype("float64")).sum() / 4
        assert results["mean_image"] == pytest.approx(mean_image, abs=0.01)
        assert results["floor"] == pytest.approx(floor, abs=0.01)
        said = captured.err.partition("Epoch 1")[0]  # while one can still stop it
        assert f"a loss of {mean_image:.2f} nats" in said
        assert f"No loss is below {floor:.2f}" in said
        z_mean, z_log_var = load_vae(output).encoder.predict(x_test, verbose=0)
        kl = 0.5 * (np.exp(z_log_var) + z_mean**2 - 1 - z_log_var).mean(axis=0)
        assert results["latents_in_use"] == (kl > 0.01).sum()
        assert results["files"] == [output, str(tmp_path / "a.png")]
        np.testing.assert_array_equal(given[1], x_test)
        with Image.open(tmp_path / "a.png") as drawn:
            assert min(drawn.size) > 50

    def test_images_that_cannot_be_drawn_are_trained_on_all_the_same(
        self, tmp_path, rng, small_network, capsys
    ):
        np.save(tmp_path / "five.npy", rng.random((20, 4, 4, 5), dtype="float32"))
        output = str(tmp_path / "a.keras")
        sizes = ["--latent-dim", "2", "--epochs", "1", "--batch-size", "18", "--output", output]
        assert main(["train", "--data", str(tmp_path / "five.npy"), *sizes, "--json"]) == 0
        captured = capsys.readouterr()
        assert json.loads(captured.out)["files"] == [output]
        assert "No picture is drawn of images of 5 channels" in captured.err.partition("Epoch 1")[0]

    def test_the_picture_replaces_no_image_of_the_users_and_joins_none(
        self, tmp_path, my_images, monkeypatch, capsys
    ):
        monkeypatch.setattr(runs, "train", None)  # it is said before
        folder = tmp_path / "folder"
        folder.mkdir()
        for name in ("cat.png", "dog.png"):
            Image.new("L", (8, 8)).save(folder / name)
        for data, output, said in (
            (folder, "new.keras", "--output must not lie in the folder of --data"),
            (folder, "deeper/new.keras", "--output must not lie in the folder of --data"),
            (my_images, "cat.keras", "cat.png is there without"),
        ):
            assert main(["train", "--data", str(data), "--output", str(folder / output)]) == 2
            assert said in capsys.readouterr().err

    def test_of_constant_images_nothing_is_said_that_is_not_finite(self, capsys):
        x = np.full((4, 3, 3, 1), 0.5, "float32")
        assert report.expect(x, x, "gaussian", None) == {}
        assert capsys.readouterr().out == ""

    def test_samples_of_another_range_are_scaled_to_be_drawn(self, capsys):
        grey = np.linspace(-0.05, 1.1, 200).reshape(2, 10, 10, 1)
        np.testing.assert_array_equal(report.drawable(grey), grey.clip(0, 1))
        assert capsys.readouterr().out == ""
        drawn = report.drawable(np.linspace(-1, 1, 101).reshape(1, 101, 1, 1)).ravel()
        np.testing.assert_allclose(drawn[[0, 1, 50, 99, 100]], [0, 0, 0.5, 1, 1], atol=1e-12)
        assert "shows values from -0.98 to 0.98" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("sizes", "steps", "batch_size"),
        [
            ([], 22, 8),
            (["--batch-size", "16"], 22, 16),
            (["--batch-size", "8", "--epochs", "1"], 5, 8),
        ],
    )
    def test_few_images_are_taken_several_times_an_epoch_unless_all_is_given(
        self, tmp_path, my_images, monkeypatch, sizes, steps, batch_size
    ):
        plans = []
        monkeypatch.setattr(runs, "_begin", lambda record, _: plans.append(record))
        monkeypatch.setattr(runs, "_fit", None)
        with pytest.raises(TypeError):
            main(["train", "--data", str(my_images), "--output", str(tmp_path / "a.keras"), *sizes])
        (plan,) = plans
        assert (plan["steps an epoch"] or 5, plan["batch_size"]) == (steps, batch_size)

    def test_so_many_steps_are_taken(self, tmp_path, my_images, small_network):
        output = str(tmp_path / "a.keras")
        options = ["--latent-dim", "2", "--epochs", "1", "--output", output]
        assert main(["train", "--data", str(my_images), *options]) == 0
        assert int(load_vae(output).optimizer.iterations) == 22

    def test_an_epoch_of_small_batches_takes_each_image(self):
        plan = runs.plan(np.zeros((301, 1, 1, 1)), 0, batch_size=2)
        assert plan["steps an epoch"] == 151  # and not 60

    def test_the_learning_rate_spans_the_steps_that_are_taken(self, monkeypatch):
        monkeypatch.setattr(runs, "ConvVAE", small_vae)
        x = np.zeros((36, 2, 2, 1), "float32")
        vae, record = runs._begin(runs.plan(x, 0, latent_dim=2), x)
        schedule = vae.optimizer.get_config()["learning_rate"]["config"]
        assert schedule["num_steps"] == record["epochs"] * record["steps an epoch"] == 9 * 22

    def test_a_picture_that_cannot_be_written_is_refused_before_training(
        self, tmp_path, my_images, monkeypatch, capsys
    ):
        monkeypatch.setattr(runs, "train", None)
        (tmp_path / "a.png").mkdir()
        assert main(["train", "--data", str(my_images), "--output", str(tmp_path / "a.keras")]) == 2
        assert "a.png is a folder" in capsys.readouterr().err

    def test_logs_for_tensorboard_go_where_they_were_asked_for(self, monkeypatch):
        class Fitted:
            def fit(self, *_, callbacks, **__):
                self.history = callbacks
                return self

        logger = keras.callbacks.Callback()
        monkeypatch.setattr(keras.callbacks, "TensorBoard", {"logs": logger}.get)
        x = np.zeros((2, 2, 2, 1))
        record = {**runs.plan(x, 0), "order seed": 0, "epochs done": 0}
        assert logger in runs._fit(Fitted(), x, x, "a.keras", record, Place(), "logs")

    def test_tensorboard_is_asked_for_by_name_where_it_is_missing(
        self, tmp_path, my_images, monkeypatch, capsys
    ):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        options = ["--output", str(tmp_path / "a.keras"), "--tensorboard", str(tmp_path)]
        assert main(["train", "--data", str(my_images), *options]) == 2
        assert "--tensorboard needs TensorBoard" in capsys.readouterr().err

    def test_an_image_folder_trains_too(self, tmp_path, rng, small_network, capsys):
        folder = tmp_path / "folder"
        folder.mkdir()
        for i, pixels in enumerate(rng.integers(0, 256, (6, 8, 8, 3), dtype="uint8")):
            Image.fromarray(pixels).save(folder / f"{i}.png")
        output = str(tmp_path / "colour.keras")
        sizes = ["--latent-dim", "2", "--epochs", "1", "--batch-size", "8"]
        model = ["--likelihood", "gaussian", *sizes]
        assert main(["train", "--data", str(folder), "--output", output, *model, "--json"]) == 0
        vae = load_vae(output)
        assert vae.image_shape == (8, 8, 3)
        sigma = np.exp(keras.ops.convert_to_numpy(vae.variational_loss.log_sigma))
        assert printed(capsys)["sigma"] == pytest.approx(sigma, abs=1e-4)
        assert vae.variational_loss.sigma is None

    def test_grey_images_of_ones_own_are_shown_as_they_are_and_mnist_as_ink(
        self, tmp_path, my_images, saved_vae, small_network, monkeypatch
    ):
        drawn = []
        grid = plots.image_grid

        def watched_grid(images, *args, **kwargs):
            drawn.append(images)
            return grid(images, *args, **kwargs)

        monkeypatch.setattr(plots, "image_grid", watched_grid)
        own = str(tmp_path / "own.keras")
        options = ["--latent-dim", "2", "--epochs", "1", "--output", own]
        assert main(["train", "--data", str(my_images), *options]) == 0
        mnist = tmp_path / "mnist.keras"
        (x_train, _), _ = load_mnist()
        save_with_record(load_vae(saved_vae), mnist, runs.plan(x_train, seed=0))
        for model in (own, saved_vae, mnist):
            options = ["--n", "2", "--output", str(tmp_path / "grid.png")]
            assert main(["sample", str(model), *options]) == 0
        assert [images.shape[-1] for images in drawn] == [3, 3, 1, 1]
        np.testing.assert_array_equal(drawn[0][..., 0], drawn[0][..., 1])

    def test_sample_writes_the_array_that_the_model_gives(self, tmp_path, saved_vae, capsys):
        output = str(tmp_path / "a.npz")
        options = ["--n", "4", "--seed", "3", "--output", output, "--json"]
        assert main(["sample", str(saved_vae), *options]) == 0
        expected = load_vae(saved_vae).sample(4, seed=3)
        np.testing.assert_array_equal(np.load(output)["images"], expected)
        assert printed(capsys) == {"images": 4, "files": [output]}

    def test_sample_draws_a_grid_in_a_folder_that_it_makes(self, tmp_path, saved_vae, capsys):
        output = tmp_path / "new" / "grid.png"
        assert main(["sample", str(saved_vae), "--n", "5", "--output", str(output)]) == 0
        assert str(output) in capsys.readouterr().out
        with Image.open(output) as image:
            assert min(image.size) > 50

    def test_evaluate_gives_the_models_own_measures(self, tmp_path, saved_vae, my_images, capsys):
        output = tmp_path / "r.json"
        options = ["--num-samples", "7", "--seed", "2", "--json", "--output", str(output)]
        assert main(["evaluate", str(saved_vae), "--data", str(my_images), *options]) == 0
        results = printed(capsys)
        vae = load_vae(saved_vae)
        x = load_images(my_images)
        nats = -vae.log_likelihood(x, 7, seed=2)
        error = np.sqrt(((nats - nats.mean()) ** 2).sum() / 39 / 40)
        assert results["neg_elbo"] == pytest.approx(
            -vae.elbo(x, 1000 // len(x), seed=2).mean(), abs=0.01
        )
        assert results["neg_log_likelihood"] == pytest.approx(nats.mean(), abs=0.01)
        assert results["standard_error"] == pytest.approx(error, abs=0.01)
        assert results["images"] == results["num_images"] == 40
        assert "test_images" not in results  # no record says what the model was trained on
        assert results["num_samples"] == 7
        assert results.pop("files") == [str(output)]
        assert json.loads(output.read_text()) == results

    def test_results_are_a_table_unless_json_is_asked_for(
        self, saved_vae, my_images, monkeypatch, capsys
    ):
        results = {"neg_log_likelihood": 1.5, "test_images": 4, "files": ["a", "b"]}
        monkeypatch.setattr(commands, "evaluate", lambda **_: results)
        assert main(["evaluate", "a.keras"]) == 0
        assert capsys.readouterr().out.splitlines() == [
            "neg log likelihood  1.5",
            "test images         4",
            "files               a",
            "files               b",
        ]


class TestFigures:
    @pytest.fixture
    def few_digits(self, monkeypatch, rng):
        labels = np.arange(50) % 10
        train, test = ((rng.random((50, 28, 28, 1), dtype="float32"), labels) for _ in range(2))
        monkeypatch.setattr(commands, "load_mnist", lambda: (train, test))
        short = RECIPES["default"]._replace(epochs=1)
        monkeypatch.setitem(RECIPES, "default", short)
        return train[0], test[0]

    @pytest.fixture
    def made(self, monkeypatch):
        """The classifier and the prior that the command makes, and on what."""
        made = {}

        def train_classifier(x, y, **options):
            made["classifier's images"] = x
            made["classifier"] = evaluation.train_classifier(x, y, **options)
            return made["classifier"]

        def fit_mixture_prior(z_mean, z_log_var, **options):
            made["prior's means"] = z_mean
            made["prior"] = sampling.fit_mixture_prior(z_mean, z_log_var, 2, **options)
            return made["prior"]

        monkeypatch.setattr(commands, "train_classifier", train_classifier)
        monkeypatch.setattr(commands, "fit_mixture_prior", fit_mixture_prior)
        return made

    def test_it_writes_what_it_says_trains_on_training_images_and_measures_on_others(
        self, tmp_path, few_digits, made, small_network, capsys
    ):
        folder = tmp_path / "figures"
        assert main(["figures", "--output", str(folder), "--json"]) == 0
        results = printed(capsys)
        x_train, x_test = few_digits
        vae = load_vae(folder / "vae.keras")
        assert np.array_equal(made["classifier's images"], x_train)
        assert np.array_equal(made["prior's means"], vae.encoder.predict(x_train, verbose=0)[0])
        check_files(folder, results)
        check_measures(results, vae, x_test)
        check_samples(results, vae, x_test, made)


def check_files(folder, results):
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == [
        "figure_5_test_mode.png",
        "figure_6_both_priors.png",
        "figure_6_prior_samples.png",
        "interpolation.png",
        "kl_per_latent.png",
        "latent_means.png",
        "latent_means_most_used.png",
        "latent_means_tsne.png",
        "loss_curves.png",
        "manifold.png",
        "mean_and_draw.png",
        "reconstructions.png",
        "vae.keras",
        "vae_2_latents.keras",
    ]
    assert sorted(results["files"]) == [str(path) for path in files]


def check_measures(results, vae, x_test):
    parts = results["reconstruction"] + results["kl"]
    assert results["neg_elbo"] == pytest.approx(parts, abs=0.02)
    neg_elbo = -vae.elbo(x_test, 1000 // len(x_test)).mean()  # of a few images one draw is noise
    assert results["neg_elbo"] == pytest.approx(neg_elbo, abs=0.01)
    nats = -vae.log_likelihood(x_test, 100)
    assert results["neg_log_likelihood"] == pytest.approx(nats.mean(), abs=0.01)
    assert results["num_images"] == len(x_test)
    assert results["num_samples"] == 100


def check_samples(results, vae, x_test, made):
    for name, images in {
        "normal_prior": vae.sample(25, 0),
        "mixture_prior": vae.sample(25, 0, made["prior"]),
        "real_digits": x_test[::2],
    }.items():
        quality = evaluation.sample_quality(images, x_test[1::2], made["classifier"])
        recognised = results[f"recognised_{name}"]
        distance = results[f"frechet_distance_{name}"]
        assert recognised == pytest.approx(quality["recognised"], abs=0.001)
        assert distance == pytest.approx(quality["frechet_distance"], rel=1e-3, abs=0.01)


PIXELS = 28 * 28
# the losses of the constant network, with 2 latents
BLACK = {"reconstruction": PIXELS * np.log1p(np.exp(1.0)), "kl": 0.0}
WHITE = {"reconstruction": PIXELS * np.log1p(np.exp(-1.0)), "kl": 0.5 * 2}


class TestWhatIsLogged:
    """Black images to train on, white ones to measure on: each figure says on which it is."""

    @pytest.fixture(autouse=True)
    def _black_and_white(self, monkeypatch):
        images = [np.full((n, 28, 28, 1), grey, "float32") for n, grey in ((16, 0), (6, 1))]
        labelled = [(x, np.zeros(len(x), int)) for x in images]
        monkeypatch.setattr(commands, "load_mnist", lambda: labelled)

    def train(self, output):
        sizes = ["--latent-dim", "2", "--epochs", "1", "--batch-size", "8"]
        assert main(["train", *sizes, "--output", str(output), "--json"]) == 0

    def test_training_figures_are_of_training_images_and_all_others_of_the_rest(
        self, tmp_path, constant_network, capsys
    ):
        self.train(tmp_path / "vae.keras")
        captured = capsys.readouterr()
        figures = re.findall(r"(\w+): ([\d.e+-]+)", captured.err.rpartition("\r")[2])
        log = {name: float(value) for name, value in figures}
        results = json.loads(captured.out)
        for name in ("reconstruction", "kl"):
            assert log[name] == pytest.approx(BLACK[name], abs=0.01)
            assert log[f"val_{name}"] == pytest.approx(WHITE[name], abs=0.01)
            assert results[name] == pytest.approx(WHITE[name], abs=0.01)
        assert log["loss"] == pytest.approx(sum(BLACK.values()), abs=0.01)
        assert log["val_loss"] == pytest.approx(sum(WHITE.values()), abs=0.01)
        assert results["neg_elbo"] == pytest.approx(sum(WHITE.values()), abs=0.01)
        assert results["training_images"] == 16
        assert results["test_images"] == 6

    def test_evaluate_measures_the_test_images_of_mnist_if_none_are_given(
        self, tmp_path, constant_network, capsys
    ):
        self.train(tmp_path / "vae.keras")
        capsys.readouterr()
        assert main(["evaluate", str(tmp_path / "vae.keras"), "--num-samples", "1", "--json"]) == 0
        results = printed(capsys)
        assert results["neg_elbo"] == pytest.approx(sum(WHITE.values()), abs=0.01)
        assert results["test_images"] == results["num_images"] == 6


class TestOwnImages:
    """What is measured, and whether it may be called test images."""

    @pytest.fixture
    def saved(self, tmp_path):
        """Save a model with the record of a run that trained on these images."""

        def save(x_train, seed=0):
            vae = small_vae("default", 3, x_train.shape[1:], "bernoulli", None)
            save_with_record(vae, tmp_path / "run.keras", runs.plan(x_train, seed))
            return str(tmp_path / "run.keras")

        return save

    @pytest.fixture
    def evaluate(self, capsys):
        """Run the command. Returns its results, and what it says."""

        def run(model, data, *options):
            arguments = ["evaluate", model, "--data", str(data), "--num-samples", "1", "--json"]
            assert main([*arguments, *options]) == 0
            captured = capsys.readouterr()
            return json.loads(captured.out), captured.err

        return run

    def test_of_the_runs_own_images_those_held_out_are_measured(
        self, tmp_path, my_images, saved, evaluate
    ):
        kept, held_out = commands._hold_out(load_images(my_images), seed=5)
        model = saved(kept, seed=5)
        results, said = evaluate(model, my_images, "--seed", "2")
        assert results["test_images"] == results["num_images"] == 4
        assert "Measured are the 4 of these images that the run held out." in said
        np.savez(tmp_path / "held_out.npz", held_out)
        alone, _ = evaluate(model, tmp_path / "held_out.npz", "--seed", "2")
        assert alone["neg_elbo"] == results["neg_elbo"]
        assert alone["images"] == 4  # of these alone it cannot know

    def test_training_images_and_others_are_not_called_test_images(
        self, tmp_path, my_images, saved, evaluate, rng
    ):
        x = load_images(my_images)
        model = saved(x)
        np.savez(tmp_path / "others.npz", rng.random((5, 9, 7), dtype="float32"))
        np.savez(tmp_path / "one.npz", x[:1])
        for name, number in (("mine.npz", 40), ("others.npz", 5), ("one.npz", 1)):
            results, _ = evaluate(model, tmp_path / name)
            assert results["images"] == results["num_images"] == number
            assert "test_images" not in results

    def test_x_test_is_measured_and_called_by_what_the_run_trained_on(
        self, tmp_path, saved, evaluate, rng
    ):
        x, x_test = (rng.random((n, 9, 7, 1), dtype="float32") for n in (20, 6))
        path = tmp_path / "a.npz"
        np.savez(path, x_train=x, x_test=x_test)
        results, _ = evaluate(saved(x), path)
        assert results["test_images"] == results["num_images"] == 6
        results, _ = evaluate(saved(x[1:]), path)  # it may have trained on them
        assert results["images"] == 6
        np.savez(path, x_train=x, x_test=np.concatenate([x_test[:2], x[7:8]]))
        results, said = evaluate(saved(x), path)
        assert results["images"] == 3
        assert "1 of the 3 images measured are among those trained on." in said

    def test_train_tests_on_x_test_and_evaluate_on_the_same(
        self, tmp_path, small_network, evaluate, rng, capsys
    ):
        x, x_test = (rng.integers(0, 256, (n, 9, 7), dtype="uint8") for n in (20, 6))
        np.savez(tmp_path / "a.npz", x_train=x, x_test=x_test)
        arguments = ["train", "--data", str(tmp_path / "a.npz"), "--json"]
        output = str(tmp_path / "a.keras")
        sizes = ["--latent-dim", "2", "--epochs", "1", "--batch-size", "8"]
        assert main([*arguments, *sizes, "--output", output]) == 0
        trained = printed(capsys)
        assert (trained["training_images"], trained["test_images"]) == (20, 6)
        results, _ = evaluate(output, tmp_path / "a.npz")
        assert results["test_images"] == 6
        assert results["neg_elbo"] == trained["neg_elbo"]

    def test_files_of_several_sizes_in_class_folders(self, tmp_path, saved, evaluate):
        sizes = {"cats/1.png": (7, 9), "dogs/1.png": (14, 18), "dogs/2.tif": (7, 9)}
        for name, size in sizes.items():
            path = tmp_path / "folder" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("LA", size, (100, 0)).save(path)
        options = ["--image-size", "9", "7", "--background", "gray"]
        model = saved(np.zeros((1, 9, 7, 1), "float32"))
        results, said = evaluate(model, tmp_path / "folder", *options)
        assert results["images"] == 2
        left_out = "folder: .tif left out: 1; "
        changed = "with transparency, laid on the background: 2; scaled to the size asked for: 1"
        assert f"{left_out}{changed}\n" in said

    def test_the_gaussian_likelihood_takes_any_range_and_says_how_to_scale(
        self, tmp_path, small_network, evaluate, rng, capsys
    ):
        x = rng.uniform(-1, 1, (20, 9, 7, 1)).astype("float32")
        data = str(tmp_path / "a.npy")
        output = str(tmp_path / "a.keras")
        arguments = ["train", "--data", data, "--output", output, "--likelihood", "gaussian"]
        for scale in (1, 0.01, 1000):
            np.save(data, scale * x)
            assert (
                main([*arguments, "--epochs", "1", "--batch-size", "8", "--latent-dim", "2"]) == 0
            )
            said = capsys.readouterr().err
            assert ("unit scale" in said) == (scale != 1)
        shift, unit = re.search(r"\(x - (\S+)\) / (\S+) would", said).groups()
        kept, _ = commands._hold_out(scale * x, 0)
        assert float(shift) == pytest.approx(kept.mean(), rel=1e-3)
        assert float(unit) == pytest.approx(kept.std(), rel=1e-3)
        results, _ = evaluate(output, data)
        assert results["test_images"] == 2


class TestSeed:
    def test_the_seed_reaches_training(self, tmp_path, rng, small_network):
        alike = tmp_path / "alike.npz"  # so that it does not matter which are held out
        np.savez(alike, np.repeat(rng.integers(0, 256, (1, 9, 7), dtype="uint8"), 20, axis=0))

        def train(name, seed):
            output = str(tmp_path / name)
            sizes = ["--latent-dim", "2", "--epochs", "1", "--batch-size", "8"]
            options = [*sizes, "--seed", str(seed)]
            assert main(["train", "--data", str(alike), "--output", output, *options]) == 0
            return load_vae(output).get_weights()

        first = train("a.keras", 1)
        again = train("b.keras", 1)
        other = train("c.keras", 2)
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
        assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))

    def test_training_and_test_images_of_your_own_do_not_overlap(self, rng):
        images = rng.permutation(1000).reshape(1000, 1, 1, 1)
        x_train, x_test = commands._hold_out(images, seed=0)
        assert len(x_test) == 100
        assert sorted([*x_train.ravel(), *x_test.ravel()]) == list(range(1000))


class TestBadInput:
    def test_it_ends_with_2_and_one_line_whatever_the_backend_notes(self, tmp_path):
        (tmp_path / "sitecustomize.py").write_text(NOTE)
        path = os.pathsep.join([str(tmp_path), *sys.path])
        environment = {**os.environ, "PYTHONPATH": path}
        done = run("-m", "vae_keras", "sample", "none.keras", cwd=tmp_path, env=environment)
        assert done.returncode == 2
        line = "vae_keras sample: There is no model file none.keras."
        assert done.stderr.splitlines() == [line]
        assert done.stdout == ""

    def test_elsewhere_what_the_backend_notes_is_seen(self, tmp_path):
        (tmp_path / "sitecustomize.py").write_text(NOTE)
        path = os.pathsep.join([str(tmp_path), *sys.path])
        environment = {**os.environ, "PYTHONPATH": path, "END_AT_THE_NOTE": "1"}
        done = run("-c", "import vae_keras", env=environment)
        assert "a note of the backend" in done.stderr

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ("train --data none.npz", "no file or folder none.npz"),
            ("train --data MINE --network keng2017", "image_shape must be (28, 28, 1)"),
            ("train --data MINE --likelihood gaussian --sigma -1", "sigma must be"),
            ("train --data MINE --output MINE/a.keras", "mine.npz"),
            ("train --data MINE --output a.h5", "--output must end in .keras"),
            ("train --data MINE --sigma 0.5", "--sigma needs --likelihood gaussian"),
            ("train --image-size 8 8", "--image-size and --background need --data"),
            ("train --background black", "--image-size and --background need --data"),
            ("evaluate VAE --data MINE --image-size 9 7", "for a folder of image files; got"),
            ("train --data EMPTY --background x", "background must be a colour"),
            ("train --data EMPTY", "holds no image file"),
            ("evaluate TEXT", "text.keras is no saved VAE"),
            ("evaluate VAE --data WRONG", "wrong.npz must hold images of shape (n, 9, 7, 1)"),
            ("evaluate VAE --output .", "is a folder"),
            ("sample VAE --output a.gif", "--output must end in .png"),
        ],
    )
    def test_the_line_names_what_is_wrong(
        self, tmp_path, my_images, saved_vae, arguments, message, capsys
    ):
        np.savez(tmp_path / "wrong.npz", np.zeros((2, 5, 5)))
        (tmp_path / "text.keras").write_text("no model")
        (tmp_path / "empty").mkdir()
        for name, path in {
            "MINE": my_images,
            "VAE": saved_vae,
            "WRONG": tmp_path / "wrong.npz",
            "TEXT": tmp_path / "text.keras",
            "EMPTY": tmp_path / "empty",
        }.items():
            arguments = arguments.replace(name, str(path))
        assert main(arguments.split()) == 2
        captured = capsys.readouterr()
        assert message in captured.err.strip().splitlines()[-1]
        assert "Traceback" not in captured.err
        assert captured.out == ""

    def test_traceback_raises_the_error_instead_of_printing_a_line(self, capsys):
        with pytest.raises(FileNotFoundError, match=r"no model file none\.keras") as caught:
            main(["sample", "none.keras", "--traceback"])
        assert caught.traceback[-1].name == "load_vae"  # where it was raised
        assert "vae_keras sample" not in capsys.readouterr().err

    @pytest.mark.parametrize(
        "arguments",
        [
            "",
            "paint",
            "train --epochs 0",
            "train --latent-dim x",
            "train --seed -1",
            "train --network a",
            "sample",
        ],
    )
    def test_wrong_usage_ends_with_2_and_one_line(self, arguments, capsys):
        with pytest.raises(SystemExit) as ended:
            main(arguments.split())
        assert ended.value.code == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "own"),
    [
        ("figures", ""),
        (
            "train",
            "resume data image-size background network latent-dim epochs batch-size likelihood "
            "sigma tensorboard distribute stream",
        ),
        ("sample", "n"),
        ("evaluate", "data image-size background num-samples"),
        ("export", "format"),
    ],
)
def test_help_names_each_option_and_says_what_it_does(command, own, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    options = capsys.readouterr().out.partition("options:")[2]
    # its name, its values if it takes any, and in the same line or the next what it does
    explained = re.findall(r"^  (?:-h, )?--([a-z-]+)(?: \S+)*\s{2,}\w+", options, re.MULTILINE)
    assert sorted(explained) == sorted(
        ["help", "seed", "output", "json", "traceback", *own.split()]
    )


def test_an_interrupted_run_leaves_the_last_whole_epoch(tmp_path, my_images):
    sizes = ["--epochs", "100000", "--latent-dim", "2"]
    command = [sys.executable, SMALL, "train", "--data", my_images, *sizes]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # what runs the tests may ignore it, and so would the child
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, cwd=tmp_path, **pipes)
    signal.signal(signal.SIGINT, handler)
    while not (tmp_path / "vae.keras").exists() and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    assert out == ""
    assert err.strip().endswith("vae_keras train: interrupted")
    assert "Traceback" not in err
    assert load_vae(tmp_path / "vae.keras").latent_dim == 2
