"""The command line, run as a process where the process matters."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from vae_keras import ConvVAE, evaluation, load_vae, sampling
from vae_keras.cli import commands
from vae_keras.cli.main import main


def run(*arguments, cwd, **kwargs):
    command = [sys.executable, "-m", "vae_keras", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, **kwargs)


@pytest.fixture
def my_images(tmp_path, rng):
    np.savez(tmp_path / "mine.npz", x_train=rng.integers(0, 256, (40, 9, 7), dtype="uint8"))
    return tmp_path / "mine.npz"


@pytest.fixture
def saved_vae(tmp_path):
    ConvVAE(3, image_shape=(9, 7, 1)).save(tmp_path / "vae.keras")
    return tmp_path / "vae.keras"


def test_train_sample_and_evaluate_your_own_images(tmp_path, my_images):
    small = ("--latent-dim", 3, "--epochs", 2, "--batch-size", 8)
    trained = run("train", "--data", my_images, *small, "--json", cwd=tmp_path, check=True)
    results = json.loads(trained.stdout)
    assert results["training images"] == 36
    assert results["test images"] == 4
    assert results["-ELBO"] == pytest.approx(results["reconstruction"] + results["KL"], abs=0.02)
    assert "Epoch 2/2" in trained.stderr  # the progress is there, and not in the way
    assert load_vae(tmp_path / "vae.keras").latent_dim == 3

    sampled = run(
        "sample", "vae.keras", "--n", 5, "--output", "new/grid.png", cwd=tmp_path, check=True
    )
    assert "new/grid.png" in sampled.stdout
    with Image.open(tmp_path / "new" / "grid.png") as image:
        assert min(image.size) > 50
    evaluated = run(
        "evaluate", "vae.keras", "--data", my_images, "--num-samples", 5, cwd=tmp_path, check=True
    )
    assert "-log P(X)" in evaluated.stdout


def test_an_image_folder_trains_too(tmp_path, rng):
    (tmp_path / "folder").mkdir()
    for i in range(6):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype="uint8")).save(
            tmp_path / "folder" / f"{i}.png"
        )
    arguments = [
        "train",
        "--data",
        str(tmp_path / "folder"),
        "--epochs",
        "1",
        "--output",
        str(tmp_path / "colour.keras"),
    ]
    assert main([*arguments, "--likelihood", "gaussian", "--latent-dim", "2"]) == 0
    vae = load_vae(tmp_path / "colour.keras")
    assert vae.image_shape == (8, 8, 3)
    assert vae.variational_loss.sigma is None


def test_sample_writes_the_array_that_the_model_gives(tmp_path, saved_vae, capsys):
    output = tmp_path / "a.npz"
    assert (
        main(
            ["sample", str(saved_vae), "--n", "4", "--seed", "3", "--output", str(output), "--json"]
        )
        == 0
    )
    np.testing.assert_array_equal(np.load(output)["images"], load_vae(saved_vae).sample(4, seed=3))
    assert json.loads(capsys.readouterr().out) == {"images": 4, "files": [str(output)]}


def test_evaluate_gives_the_models_own_measures(tmp_path, saved_vae, my_images, capsys):
    arguments = [
        "evaluate",
        str(saved_vae),
        "--data",
        str(my_images),
        "--num-samples",
        "7",
        "--seed",
        "2",
        "--json",
    ]
    assert main([*arguments, "--output", str(tmp_path / "r.json")]) == 0
    results, vae, x = (
        json.loads(capsys.readouterr().out),
        load_vae(saved_vae),
        commands.load_images(my_images),
    )
    assert results["-ELBO"] == pytest.approx(-vae.elbo(x, seed=2).mean(), abs=0.01)
    assert results["-log P(X)"] == pytest.approx(-vae.log_likelihood(x, 7, seed=2).mean(), abs=0.01)
    assert json.loads((tmp_path / "r.json").read_text())["-ELBO"] == results["-ELBO"]


def test_figures_writes_what_it_says_and_never_trains_on_test_images(
    tmp_path, monkeypatch, rng, capsys
):
    labels = np.arange(50) % 10
    train, test = ((rng.random((50, 28, 28, 1), dtype="float32"), labels) for _ in range(2))
    monkeypatch.setattr(commands, "load_mnist", lambda: (train, test))
    monkeypatch.setitem(commands.RECIPES, "default", commands.RECIPES["default"]._replace(epochs=1))
    trained_on = []

    def train_classifier(x, y, **kwargs):
        trained_on.append(x)
        return evaluation.train_classifier(x, y, **kwargs)

    def fit_mixture_prior(z_mean, z_log_var, **kwargs):
        assert np.array_equal(
            z_mean,
            load_vae(tmp_path / "figures" / "vae.keras").encoder.predict(train[0], verbose=0)[0],
        )
        return sampling.fit_mixture_prior(z_mean, z_log_var, 2, **kwargs)

    monkeypatch.setattr(commands, "train_classifier", train_classifier)
    monkeypatch.setattr(commands, "fit_mixture_prior", fit_mixture_prior)
    assert main(["figures", "--output", str(tmp_path / "figures"), "--json"]) == 0
    assert np.array_equal(*trained_on, train[0])
    results = json.loads(capsys.readouterr().out)
    files = sorted((tmp_path / "figures").iterdir())
    assert [path.name for path in files] == [
        "figure_5_test_mode.png", "figure_6_both_priors.png", "figure_6_prior_samples.png", "interpolation.png",
        "kl_per_latent.png", "latent_means.png", "latent_means_most_used.png", "latent_means_tsne.png", "loss_curves.png",
        "manifold.png", "mean_and_draw.png", "reconstructions.png", "vae.keras", "vae_2_latents.keras",
    ]  # fmt: skip
    assert sorted(results["files"]) == [str(path) for path in files]
    assert results["-ELBO"] == pytest.approx(results["reconstruction"] + results["KL"], abs=0.02)
    for name in ("N(0, I)", "mixture of 2", "real digits"):
        assert 0 <= results[f"recognised, {name}"] <= 1
        assert results[f"Frechet distance, {name}"] >= 0


def test_the_seed_reaches_training(tmp_path, rng, capsys):
    my_images = tmp_path / "alike.npz"  # all alike, so that it does not matter which are held out
    np.savez(my_images, np.repeat(rng.integers(0, 256, (1, 9, 7), dtype="uint8"), 20, axis=0))

    def train(name, seed):
        arguments = [
            "--epochs",
            "1",
            "--latent-dim",
            "2",
            "--output",
            str(tmp_path / name),
            "--seed",
            str(seed),
        ]
        assert main(["train", "--data", str(my_images), *arguments]) == 0
        return load_vae(tmp_path / name).get_weights()

    first, again, other = train("a.keras", 1), train("b.keras", 1), train("c.keras", 2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_training_and_test_images_of_your_own_do_not_overlap(rng):
    images = rng.permutation(1000).reshape(1000, 1, 1, 1)
    x_train, x_test = commands._hold_out(images, seed=0)
    assert len(x_test) == 100
    assert sorted([*x_train.ravel(), *x_test.ravel()]) == list(range(1000))


class TestBadInput:
    def test_it_ends_with_2_and_one_line(self, tmp_path, my_images):
        (tmp_path / "text.keras").write_text("no model")
        for arguments, message in (
            (("sample", "none.keras"), "none.keras"),
            (("evaluate", "text.keras"), "no saved VAE"),
        ):
            done = run(*arguments, cwd=tmp_path)
            assert done.returncode == 2
            assert len(done.stderr.strip().splitlines()) == 1
            assert message in done.stderr
            assert done.stdout == ""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["train", "--data", "none.npz"], "no file or folder none.npz"),
            (
                ["train", "--data", "MINE", "--network", "keng2017"],
                "image_shape must be (28, 28, 1)",
            ),
            (
                ["train", "--data", "MINE", "--likelihood", "gaussian", "--sigma", "-1"],
                "sigma must be",
            ),
            (["train", "--data", "MINE", "--output", "MINE/a.keras"], "mine.npz"),
            (["train", "--data", "MINE", "--output", "a.h5"], "--output must end in .keras"),
            (["train", "--data", "MINE", "--sigma", "0.5"], "--sigma needs --likelihood gaussian"),
            (["train", "--data", ""], "holds no .png file"),
            (
                ["evaluate", "VAE", "--data", "WRONG"],
                "wrong.npz must hold images of shape (n, 9, 7, 1)",
            ),
            (["evaluate", "VAE", "--output", "."], "is a folder"),
            (["sample", "VAE", "--output", "a.gif"], "--output must end in .png"),
        ],
    )
    def test_the_line_names_what_is_wrong(self, my_images, saved_vae, arguments, message, capsys):
        np.savez(my_images.with_name("wrong.npz"), np.zeros((2, 5, 5)))
        arguments = [a.replace("WRONG", str(my_images.with_name("wrong.npz"))) for a in arguments]
        arguments = [
            a.replace("MINE", str(my_images)).replace("VAE", str(saved_vae)) for a in arguments
        ]
        assert main(arguments) == 2
        captured = capsys.readouterr()
        assert message in captured.err.strip().splitlines()[-1]
        assert "Traceback" not in captured.err
        assert captured.out == ""

    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["paint"],
            ["train", "--epochs", "0"],
            ["train", "--latent-dim", "x"],
            ["train", "--seed", "-1"],
            ["train", "--network", "a"],
            ["sample"],
        ],
    )
    def test_wrong_usage_ends_with_2_and_one_line(self, arguments, capsys):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1

    @pytest.mark.parametrize("command", ["figures", "train", "sample", "evaluate", "export"])
    def test_help_names_each_option(self, command, capsys):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        assert "--seed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("stop", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_stopped_run_leaves_the_last_whole_epoch(tmp_path, my_images, stop, code):
    command = [
        sys.executable,
        "-m",
        "vae_keras",
        "train",
        "--data",
        my_images,
        "--epochs",
        "100000",
        "--latent-dim",
        "2",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    handler = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # what runs the tests may ignore it, and so would the child
    process = subprocess.Popen(command, cwd=tmp_path, **pipes)
    signal.signal(signal.SIGINT, handler)
    deadline = time.monotonic() + 120
    while not (tmp_path / "vae.keras").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.3)
    os.kill(process.pid, stop)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert out == ""
    if stop == signal.SIGINT:
        assert err.strip().endswith("vae_keras train: interrupted")
        assert "Traceback" not in err
    assert load_vae(tmp_path / "vae.keras").latent_dim == 2
