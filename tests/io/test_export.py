"""ONNX files, against what Keras computes. onnxruntime runs them, which shares no code with it."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import onnxruntime
import pytest

from vae_keras import ConvVAE
from vae_keras.cli import commands
from vae_keras.cli.main import main
from vae_keras.io.export import export_onnx

TOLERANCES = {"rtol": 1e-4, "atol": 1e-5}


def run_onnx(path, x):
    session = onnxruntime.InferenceSession(path)
    (only,) = session.get_inputs()
    return session.run(None, {only.name: x})


def scramble(vae, rng):
    """Give every weight a value of its own, the moving averages of batch normalisation too."""
    for weight in [*vae.encoder.weights, *vae.decoder.weights]:
        if "variance" in weight.path:
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        else:
            weight.assign(rng.normal(0, 0.1, weight.shape))
    return vae


@pytest.fixture
def saved(tmp_path, rng):
    scramble(ConvVAE(3, image_shape=(9, 7, 1)), rng).save(tmp_path / "vae.keras")
    return tmp_path / "vae.keras"


@pytest.mark.parametrize(
    "model",
    [
        {"latent_dim": 3, "image_shape": (9, 7, 2), "likelihood": "gaussian"},
        {"latent_dim": 5, "network": "keng2017"},
    ],
)
def test_both_files_compute_what_keras_does_for_any_number_of_inputs(tmp_path, rng, capsys, model):
    vae = scramble(ConvVAE(**model), rng)
    vae.save(tmp_path / "vae.keras")
    folder = tmp_path / "new"
    options = ["--format", "onnx", "--output", str(folder), "--json"]
    assert main(["export", str(tmp_path / "vae.keras"), *options]) == 0
    encoder, decoder = json.loads(capsys.readouterr().out)["files"]
    assert (encoder, decoder) == (str(folder / "encoder.onnx"), str(folder / "decoder.onnx"))
    assert {path.name for path in folder.iterdir()} == {"encoder.onnx", "decoder.onnx"}
    for n in (1, 40):
        x = rng.random((n, *vae.image_shape), dtype="float32")
        z = rng.normal(size=(n, vae.latent_dim)).astype("float32")
        for ours, theirs in zip(
            vae.encoder.predict(x, verbose=0), run_onnx(encoder, x), strict=True
        ):
            np.testing.assert_allclose(theirs, ours, **TOLERANCES)
        (images,) = run_onnx(decoder, z)
        np.testing.assert_allclose(images, vae.decoder.predict(z, verbose=0), **TOLERANCES)


def test_the_difference_that_is_printed_is_that_of_the_named_part(
    tmp_path, saved, monkeypatch, capsys
):
    differences = {"encoder.onnx": 0.0312, "decoder.onnx": 0.0678}
    monkeypatch.setattr(commands, "export_onnx", lambda _, path, x: differences[path.name])
    assert main(["export", str(saved), "--output", str(tmp_path / "new"), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert results["encoder_difference"] == 0.03
    assert results["decoder_difference"] == 0.07


def make_pair(change):
    """Two small models, the weights of the second those of the first with `change` added."""
    one, other = (keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]) for _ in range(2))
    other.set_weights([weight + change for weight in one.get_weights()])
    return one, other


def test_the_difference_is_the_largest_of_an_output(tmp_path, monkeypatch):
    one, other = make_pair(0.0)
    other.layers[0].bias.assign([2e-6, -7e-6])
    x = np.zeros((1, 2), "float32")
    other(x)
    monkeypatch.setattr(one, "export", other.export)
    assert export_onnx(one, tmp_path / "a.onnx", x) == pytest.approx(7e-6)


def test_a_file_that_computes_something_else_is_not_written(tmp_path, rng, monkeypatch):
    right, wrong = make_pair(1e-3)
    x = rng.normal(size=(4, 2)).astype("float32")
    wrong(x)
    monkeypatch.setattr(right, "export", wrong.export)
    (tmp_path / "a.onnx").write_text("old")
    with pytest.raises(
        ValueError, match=r"a\.onnx was not written: it gives other numbers than Keras"
    ):
        export_onnx(right, tmp_path / "a.onnx", x)
    assert (tmp_path / "a.onnx").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("package", ["tf2onnx", "onnxruntime"])
def test_a_missing_package_is_asked_for_in_one_line(tmp_path, saved, monkeypatch, capsys, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["export", str(saved), "--output", str(tmp_path / "new")]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert package in line
    assert 'pip install "vae_keras[onnx]"' in line
    assert not (tmp_path / "new").exists()


def test_bad_input_ends_with_2_and_says_why(tmp_path, saved, capsys):
    (tmp_path / "text.keras").write_text("no model")
    ConvVAE(3, image_shape=(9, 7, 1), dtype="mixed_bfloat16").save(tmp_path / "mixed.keras")
    in_the_way = tmp_path / "text.keras" / "folder"
    for arguments, message in (
        ([tmp_path / "none.keras"], "none.keras"),
        ([tmp_path / "text.keras"], "no saved VAE"),
        ([tmp_path / "mixed.keras"], "computes in bfloat16"),
        ([saved, "--output", in_the_way], "text.keras"),
    ):
        assert main(["export", "--output", str(tmp_path / "new"), *map(str, arguments)]) == 2
        captured = capsys.readouterr()
        assert message in captured.err.strip().splitlines()[-1]
        assert captured.out == ""
        assert not list(tmp_path.rglob("*.onnx"))


JAX_PROGRAM = """
import sys
import numpy as np
import vae_keras
from vae_keras.cli.main import main

vae = vae_keras.ConvVAE(3, image_shape=(8, 8, 1))
vae.save("vae.keras")
np.save("images.npy", vae.decoder.predict(np.load("z.npy"), verbose=0))
sys.exit(main(["export", "vae.keras"]))
"""


@pytest.mark.slow
def test_what_jax_saved_is_exported_on_tensorflow(tmp_path, rng):
    z = rng.normal(size=(6, 3)).astype("float32")
    np.save(tmp_path / "z.npy", z)
    environment = {"KERAS_BACKEND": "jax", "PATH": "", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", JAX_PROGRAM]
    on_jax = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert on_jax.returncode == 2
    assert "set KERAS_BACKEND=tensorflow" in on_jax.stderr.strip().splitlines()[-1]
    assert main(["export", str(tmp_path / "vae.keras"), "--output", str(tmp_path)]) == 0
    (images,) = run_onnx(tmp_path / "decoder.onnx", z)
    np.testing.assert_allclose(images, np.load(tmp_path / "images.npy"), atol=1e-5)
