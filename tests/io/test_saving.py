"""Saved models: what is loaded, what is refused and how, and the record beside the weights."""

import stat

import keras
import pytest
from small_networks import dense_vae

from vae_keras import VAE, load_vae
from vae_keras.io.saving import read_record, save_with_record


@pytest.fixture
def registered():
    """Register classes with Keras for one test."""
    before = dict(keras.saving.get_custom_objects())

    def register(cls):
        return keras.saving.register_keras_serializable(package="mine")(cls)

    yield register
    forget(before)


def forget(before):
    """Leave registered with Keras what was `before`."""
    for name in keras.saving.get_custom_objects().keys() - before.keys():
        del keras.saving.get_custom_objects()[name]


class TestRefused:
    def test_what_is_no_saved_vae_is_refused_by_name(self, tmp_path, small_vae):
        small_vae.save(tmp_path / "vae.keras")
        small_vae.encoder.save(tmp_path / "encoder.keras")
        (tmp_path / "cut.keras").write_bytes((tmp_path / "vae.keras").read_bytes()[:-100])
        (tmp_path / "text.keras").write_text("no model")
        with pytest.raises(FileNotFoundError, match=r"none\.keras"):
            load_vae(tmp_path / "none.keras")
        for name, message in (
            ("encoder", "holds a Functional; wanted a VAE"),
            ("cut", "damaged"),
            ("text", "no saved VAE"),
        ):
            with pytest.raises(ValueError, match=rf"{name}\.keras.*{message}"):
                load_vae(tmp_path / f"{name}.keras")

    def test_a_layer_that_is_not_registered_is_named_and_the_file_not_called_damaged(
        self, tmp_path, registered
    ):
        before = dict(keras.saving.get_custom_objects())

        @registered
        class Doubled(keras.layers.Layer):
            def call(self, inputs):
                return 2 * inputs

        vae = dense_vae()
        z = keras.Input((2,))
        vae = VAE(vae.encoder, keras.Model(z, vae.decoder_network(Doubled()(z))))
        vae.save(tmp_path / "vae.keras")
        assert type(load_vae(tmp_path / "vae.keras").decoder_network.layers[1]) is Doubled
        forget(before)
        with pytest.raises(ValueError, match=r"vae\.keras needs Doubled, which is not") as caught:
            load_vae(tmp_path / "vae.keras")
        assert "damaged" not in str(caught.value)

    def test_networks_larger_than_their_weights_are_refused_before_keras_makes_them(
        self, tmp_path, small_vae, monkeypatch
    ):
        monkeypatch.setattr(small_vae, "get_config", lambda: {**config, "latent_dim": 2000})
        config = type(small_vae).get_config(small_vae)
        small_vae.save(tmp_path / "vae.keras")

        def fail(*args, **kwargs):
            raise AssertionError("Keras was asked to make it")

        monkeypatch.setattr(keras.saving, "load_model", fail)
        with pytest.raises(ValueError, match="its networks need an axis of 2000, and the longest"):
            load_vae(tmp_path / "vae.keras")


class TestLoaded:
    def test_a_number_that_is_no_size_may_be_of_any_size(self, tmp_path):
        vae = dense_vae()
        vae = VAE(vae.encoder, vae.decoder_network, beta=100_000, seed=2**31 - 1)
        vae.compile(keras.optimizers.Adam(epsilon=10**6))
        vae.optimizer.build(vae.trainable_variables)
        vae.save(tmp_path / "vae.keras")
        loaded = load_vae(tmp_path / "vae.keras")
        assert loaded.variational_loss.beta == 100_000

    def test_a_class_of_ones_own_may_have_the_name_of_one_of_the_package(
        self, tmp_path, registered
    ):
        @registered
        class ConvVAE(VAE):
            pass

        vae = dense_vae()
        ConvVAE(vae.encoder, vae.decoder_network).save(tmp_path / "vae.keras")
        assert type(load_vae(tmp_path / "vae.keras")) is ConvVAE


class TestRecord:
    def test_it_is_read_as_it_was_written_and_the_model_loads(self, tmp_path, rng):
        vae = dense_vae()
        record = {"network": "default", "sigma": None, "epochs done": 3}
        save_with_record(vae, tmp_path / "vae.keras", record)
        assert read_record(tmp_path / "vae.keras") == record
        x = rng.random((4, 6), dtype="float32")
        assert (load_vae(tmp_path / "vae.keras").reconstruct(x) == vae.reconstruct(x)).all()

    def test_a_model_that_no_run_has_saved_has_none(self, tmp_path):
        dense_vae().save(tmp_path / "vae.keras")
        assert read_record(tmp_path / "vae.keras") is None


@pytest.mark.parametrize("save", [VAE.save, lambda vae, path: save_with_record(vae, path, {})])
def test_a_file_that_only_its_owner_may_read_stays_so(tmp_path, save):
    path = tmp_path / "vae.keras"
    path.touch()
    path.chmod(0o600)
    save(dense_vae(), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
