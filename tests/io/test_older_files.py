"""What older versions saved still loads, computes what it did, and resumes."""

import lzma
from pathlib import Path

import keras
import numpy as np
import pytest
from packaging.version import Version

from vae_keras import VAE, ConvVAE, load_vae
from vae_keras.cli.main import main
from vae_keras.io.saving import read_record

OLDER = Path(__file__).with_name("older")


@pytest.fixture
def unpack(tmp_path):
    """Give the path of an older file, unpacked, and what it computed."""

    def unpacked(name):
        path = tmp_path / name
        path.write_bytes(lzma.decompress((OLDER / f"{name}.xz").read_bytes()))
        computed = OLDER / f"{path.stem}.npz"
        return path, dict(np.load(computed)) if computed.exists() else None

    return unpacked


def assert_computes(vae, then):
    """It may be on another backend, which sums in another order."""
    np.testing.assert_allclose(vae.reconstruct(then["x"]), then["reconstructed"], rtol=1e-4)
    np.testing.assert_allclose(vae.elbo(then["x"], seed=1), then["elbo"], rtol=1e-4)


def test_a_conv_vae_computes_what_it_did(unpack):
    path, then = unpack("conv_vae.keras")
    vae = load_vae(path)
    assert type(vae) is ConvVAE
    assert vae.image_shape == (5, 4, 3)
    assert vae.variational_loss.beta == 2.0
    assert float(vae.variational_loss.log_sigma) == -0.75
    assert_computes(vae, then)


def test_the_noise_goes_on_where_it_stopped(unpack):
    path, then = unpack("conv_vae.keras")
    sampling = load_vae(path).sampling
    assert sampling.seed == 3
    for noise in (sampling.seed_generator, sampling.training_seed_generator):
        np.testing.assert_array_equal(noise.state, then["noise"])


def test_what_was_frozen_is_frozen_and_nothing_else(unpack):
    vae = load_vae(unpack("conv_vae.keras")[0])
    layers = [*vae.encoder.layers, *vae.decoder_network.layers, vae.variational_loss]
    frozen = [layer for layer in layers if not layer.trainable]
    assert frozen == [vae.decoder_network.layers[1]]
    assert vae.encoder.trainable
    assert vae.decoder_network.trainable


# its layers are in the file, while a ConvVAE builds its own
@pytest.mark.skipif(
    Version(keras.__version__) < Version("3.15"), reason="a newer Keras wrote the layers"
)
def test_a_vae_of_two_keras_models_computes_what_it_did_and_trains_on(unpack):
    path, then = unpack("vae.keras")
    vae = load_vae(path)
    assert type(vae) is VAE
    assert vae.variational_loss.beta == 0.5
    assert_computes(vae, then)
    assert int(vae.optimizer.iterations) == 1
    vae.fit(then["x"], epochs=2, verbose=0)
    assert int(vae.optimizer.iterations) == 3


class TestRun:
    @pytest.fixture
    def resume(self, unpack):
        """Resume the run in this process, with other arguments perhaps."""
        path, _ = unpack("run.keras")
        data = ["--data", OLDER / "images.npz", "--output", path, "--resume"]
        asked = ["--epochs", 4, "--batch-size", 8, "--latent-dim", 2, "--likelihood", "gaussian"]

        def run(*others):
            return path, main(["train", *map(str, [*data, *asked, *others])])

        return run

    def test_it_goes_on_with_the_third_epoch_of_four(self, resume, capsys):
        path, code = resume()
        assert code == 0
        captured = capsys.readouterr()
        assert "Epoch 2/4" not in captured.err
        assert "Epoch 3/4" in captured.err
        assert "Epoch 4/4" in captured.err
        assert read_record(path)["epochs done"] == 4
        assert int(load_vae(path).optimizer.iterations) == 20  # 36 images in batches of 8

    @pytest.mark.parametrize(
        ("others", "begun"),
        [
            (["--epochs", 5], "epochs 4"),
            (["--batch-size", 9], "batch_size 8"),
            (["--latent-dim", 3], "latent_dim 2"),
            (["--likelihood", "bernoulli"], "likelihood gaussian"),
            (["--sigma", 0.5], "sigma None"),
            (["--seed", 1], "seed 0"),
        ],
    )
    def test_other_arguments_are_refused_by_name(self, resume, capsys, others, begun):
        path, code = resume(*others)
        assert code == 2
        assert f"{path} was begun with {begun};" in capsys.readouterr().err.splitlines()[-1]
        assert read_record(path)["epochs done"] == 2

    def test_other_images_are_refused(self, resume, tmp_path, capsys):
        images = np.load(OLDER / "images.npz")["x_train"]
        images[0, 0, 0] ^= 1
        np.savez(tmp_path / "others.npz", x_train=images)
        path, code = resume("--data", tmp_path / "others.npz")
        assert code == 2
        assert "was begun with training images 36 of checksum" in capsys.readouterr().err
        assert read_record(path)["epochs done"] == 2
