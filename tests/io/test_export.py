"""ONNX files, against what Keras computes. They are run by onnxruntime, which shares no code with it."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import onnxruntime
import pytest

from vae_keras import ConvVAE
from vae_keras.cli.main import main
from vae_keras.io.export import export_onnx


def run_onnx(path, x):
    session = onnxruntime.InferenceSession(path)
    (only,) = session.get_inputs()
    return session.run(None, {only.name: x})


def scramble(vae, rng):
    """Give every weight a value of its own, the moving averages of batch normalisation too."""
    for weight in [*vae.encoder.weights, *vae.decoder.weights]:
        weight.assign(
            rng.uniform(0.5, 1.5, weight.shape)
            if "variance" in weight.path
            else rng.normal(0, 0.1, weight.shape)
        )
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
    assert (
        main(
            [
                "export",
                str(tmp_path / "vae.keras"),
                "--format",
                "onnx",
                "--output",
                str(tmp_path / "new"),
                "--json",
            ]
        )
        == 0
    )
    encoder, decoder = json.loads(capsys.readouterr().out)["files"]
    assert (encoder, decoder) == (
        str(tmp_path / "new" / "encoder.onnx"),
        str(tmp_path / "new" / "decoder.onnx"),
    )
    for n in (1, 40):
        x, z = (
            rng.random((n, *vae.image_shape), dtype="float32"),
            rng.normal(size=(n, vae.latent_dim)).astype("float32"),
        )
        for ours, theirs in zip(
            vae.encoder.predict(x, verbose=0), run_onnx(encoder, x), strict=True
        ):
            np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            *run_onnx(decoder, z), vae.decoder.predict(z, verbose=0), rtol=1e-4, atol=1e-5
        )
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "decoder.onnx",
        "encoder.onnx",
    ]


def test_a_file_that_computes_something_else_is_not_written(tmp_path, rng, monkeypatch):
    right, wrong = (keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]) for _ in range(2))
    x = rng.normal(size=(4, 2)).astype("float32")
    wrong.set_weights([weight + 1e-3 for weight in right.get_weights()])
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


def test_what_jax_saved_is_exported_on_tensorflow(tmp_path, rng):
    program = (
        "import numpy as np, sys, vae_keras; from vae_keras.cli.main import main\n"
        "vae = vae_keras.ConvVAE(3, image_shape=(8, 8, 1)); vae.save('vae.keras')\n"
        "np.save('images.npy', vae.decoder.predict(np.load('z.npy'), verbose=0)); sys.exit(main(['export', 'vae.keras']))"
    )
    z = rng.normal(size=(6, 3)).astype("float32")
    np.save(tmp_path / "z.npy", z)
    environment = {"KERAS_BACKEND": "jax", "PATH": "", "PYTHONPATH": os.pathsep.join(sys.path)}
    on_jax = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert on_jax.returncode == 2
    assert "set KERAS_BACKEND=tensorflow" in on_jax.stderr.strip().splitlines()[-1]
    assert main(["export", str(tmp_path / "vae.keras"), "--output", str(tmp_path)]) == 0
    np.testing.assert_allclose(
        *run_onnx(tmp_path / "decoder.onnx", z), np.load(tmp_path / "images.npy"), atol=1e-5
    )
