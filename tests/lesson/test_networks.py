"""The networks: the 2017 one layer for layer, and the default one for images of any size."""

import inspect

import keras
import numpy as np
import pytest

from vae_keras import ConvVAE, make_optimizer
from vae_keras.networks import NETWORKS


def kind_and_output(model):
    kinds = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.Dense)
    return [
        (type(layer).__name__, *layer.output.shape[1:], layer.count_params())
        for layer in model.layers
        if isinstance(layer, kinds)
    ]


def test_keng2017_is_layer_for_layer_the_network_of_the_post():
    vae = ConvVAE(network="keng2017")
    assert kind_and_output(vae.encoder) == [
        ("Conv2D", 28, 28, 1, 5), ("Conv2D", 14, 14, 64, 320),
        ("Conv2D", 14, 14, 64, 36928), ("Conv2D", 14, 14, 64, 36928),
        ("Dense", 128, 1605760), ("Dense", 128, 16512), ("Dense", 64, 8256), ("Dense", 64, 8256),
    ]  # fmt: skip
    assert kind_and_output(vae.decoder_network) == [
        ("Dense", 128, 8320), ("Dense", 12544, 1618176), ("Conv2DTranspose", 14, 14, 64, 36928),
        ("Conv2DTranspose", 14, 14, 64, 36928), ("Conv2DTranspose", 29, 29, 64, 36928),
        ("Conv2D", 28, 28, 1, 257),
    ]  # fmt: skip
    assert vae.count_params() == 3_450_502


@pytest.mark.parametrize(
    ("network", "dtype"), [("keng2017", None), ("default", None), ("default", "mixed_bfloat16")]
)
def test_every_trainable_weight_gets_a_gradient(network, dtype, rng):
    vae = ConvVAE(latent_dim=4, network=network, dtype=dtype)
    vae.compile(keras.optimizers.SGD(1e-3))
    before = [weight.numpy() for weight in vae.trainable_weights]
    vae.fit(rng.random((8, 28, 28, 1)), epochs=3, verbose=0)
    unmoved = [
        w.path
        for w, old in zip(vae.trainable_weights, before, strict=True)
        if np.array_equal(w.numpy(), old)
    ]
    assert unmoved == []


@pytest.mark.parametrize("network", ["keng2017", "default"])
def test_every_latent_changes_what_is_decoded(network):
    vae = ConvVAE(latent_dim=4, network=network)
    origin, *others = vae.decoder_network(np.pad(np.eye(4, dtype="float32"), ((1, 0), (0, 0))))
    assert all(np.abs(other - origin).max() > 1e-6 for other in others)


@pytest.mark.parametrize(
    ("network", "given", "wanted"),
    [("default", None, "gelu"), ("keng2017", None, "relu"), ("default", "tanh", "tanh")],
)
def test_the_hidden_layers_have_the_activation_and_keep_it(network, given, wanted):
    vae = ConvVAE(latent_dim=2, network=network, activation=given)
    for copy in (vae, ConvVAE.from_config(vae.get_config())):
        for part in (copy.encoder, copy.decoder_network):
            kinds = [getattr(layer, "activation", None) for layer in part.layers]
            names = {kind.__name__ for kind in kinds if kind is not None}
            assert names == {wanted, "linear"}


@pytest.mark.parametrize("network", ["default", "keng2017"])
def test_a_builder_called_alone_takes_the_activation_of_its_model(network):
    build, own = NETWORKS[network]
    assert inspect.signature(build).parameters["activation"].default == own


@pytest.mark.parametrize("given", ["quick", ""])
def test_an_unknown_activation_is_refused_by_name(given):
    with pytest.raises(ValueError, match=rf"activation.*{given}"):
        ConvVAE(latent_dim=2, activation=given)


@pytest.mark.parametrize("shape", [(28, 28, 1), (1, 1, 1), (5, 7, 3), (33, 18, 2), (32, 32, 3)])
def test_default_takes_images_of_any_shape(shape, rng):
    vae = ConvVAE(latent_dim=2, image_shape=shape)
    x = rng.random((3, *shape), dtype="float32")
    assert vae.reconstruct(x).shape == x.shape
    assert np.isfinite(vae.elbo(x)).all()


def test_keras_seed_fixes_the_initial_weights():
    keras.utils.set_random_seed(5)
    first = ConvVAE(latent_dim=2).get_weights()
    keras.utils.set_random_seed(5)
    for one, other in zip(first, ConvVAE(latent_dim=2).get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("recipe", "peak"), [("default", 0.02), ("fast", 0.03), ("long", 0.01)])
def test_the_learning_rate_rises_then_falls_in_a_line_to_zero_at_the_end(recipe, peak):
    optimizer = make_optimizer(recipe, num_images=1000, epochs=3, batch_size=256)
    rates = []
    for step in range(14):  # 4 steps an epoch, and one more
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    wanted = np.interp(range(14), [0, 3, 12], [peak / 4, peak, 0])
    np.testing.assert_allclose(rates, wanted, rtol=1e-5, atol=1e-9)


def test_a_single_step_has_a_rate():
    assert float(make_optimizer("default", 10, 1, 256).learning_rate) == pytest.approx(0.02)


def test_the_recipe_of_the_post_takes_kerass_own_rmsprop():
    configs = []
    for optimizer in (make_optimizer("keng2017", 1000, 3, 200), keras.optimizers.RMSprop()):
        configs.append({**optimizer.get_config(), "name": ""})
    assert configs[0] == configs[1]


def test_another_recipe_is_refused_by_name():
    with pytest.raises(ValueError, match=r"recipe must be one of .*; got 'quick'"):
        make_optimizer("quick", 1000, 3, 200)


@pytest.mark.parametrize(
    ("shape", "depth"),
    [((1, 1, 1), 2), ((28, 28, 1), 2), ((32, 20, 3), 2), ((20, 33, 3), 3), ((65, 1, 1), 4)],
)
def test_the_default_network_deepens_with_the_image(shape, depth, rng):
    vae = ConvVAE(latent_dim=2, image_shape=shape)
    assert vae.depth == vae.get_config()["depth"] == depth
    halving = [layer for layer in vae.encoder.layers if isinstance(layer, keras.layers.Conv2D)]
    assert len(halving) == depth
    assert max(halving[-1].output.shape[1:3]) <= 8
    assert vae.reconstruct(rng.random((2, *shape))).shape == (2, *shape)


def test_large_images_have_no_hundred_million_weights_and_train(rng):
    vae = ConvVAE(image_shape=(256, 256, 3))
    assert vae.count_params() < 20e6
    vae.compile(keras.optimizers.SGD(1e-7), run_eagerly=True)
    before = [weight.numpy() for weight in vae.trainable_weights]
    vae.fit(rng.random((2, 256, 256, 3)), epochs=2, verbose=0)
    moved = [
        not np.array_equal(weight.numpy(), old)
        for weight, old in zip(vae.trainable_weights, before, strict=True)
    ]
    assert np.mean(moved) > 0.9  # a step so small moves no weight far, and some not at all


def test_the_network_of_mnist_is_the_one_of_the_records():
    assert ConvVAE().count_params() == 1_559_665


def test_a_config_without_a_depth_is_that_of_a_network_of_depth_2():
    config = ConvVAE(latent_dim=2, image_shape=(40, 40, 1), depth=2).get_config()
    del config["depth"]  # as older files have it
    assert ConvVAE.from_config(config).depth == 2
    assert ConvVAE(latent_dim=2, image_shape=(40, 40, 1)).depth == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 1}, "depth must be an integer from 2 to 5; got 1"),
        ({"depth": 6}, "depth must be an integer from 2 to 5; got 6"),
        ({"depth": 2.0}, "depth must be an integer"),
        ({"depth": 2, "network": "keng2017"}, "depth must be None for 'keng2017'; got 2"),
    ],
)
def test_a_depth_that_cannot_be_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        ConvVAE(latent_dim=2, **options)


@pytest.mark.parametrize("network", ["default", "keng2017"])
def test_kerass_setting_of_channels_first_changes_nothing(network, rng):
    usual = ConvVAE(latent_dim=2, network=network)
    keras.config.set_image_data_format("channels_first")
    try:
        other = ConvVAE(latent_dim=2, network=network)
    finally:
        keras.config.set_image_data_format("channels_last")
    other.set_weights(usual.get_weights())
    x = rng.random((2, 28, 28, 1), dtype="float32")
    np.testing.assert_array_equal(other.elbo(x), usual.elbo(x))
