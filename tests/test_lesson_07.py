"""What notebook 07 writes out is what the package computes, in Keras and in PyTorch."""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops
from notebook_code import read, written_out
from scipy import linalg, stats

from vae_keras import Sampling, load_mnist
from vae_keras.layers import bernoulli_log_likelihood, kl_divergence
from vae_keras.networks import default_networks

NOTEBOOK = "07_mnist_vae"
WRITTEN_OUT = {
    "LATENT_DIM", "NARROW", "draw_z", "kl", "kl_of_latents", "make_decoder", "make_encoder",
    "normed", "reconstruction",
}  # fmt: skip


@pytest.fixture(scope="module")
def lesson():
    """The functions of the notebook by their names, from its own cells, and its constants."""
    imports = {"keras": keras, "layers": layers, "ops": ops, "np": np}
    return written_out(NOTEBOOK, WRITTEN_OUT, **imports)


@pytest.fixture
def codes(rng):
    """Means and log-variances of eight images, (8, 64)."""
    return rng.normal(size=(2, 8, 64)).astype("float32")


def test_its_terms_are_those_of_the_package(lesson, codes, rng):
    x = rng.random((8, 28, 28, 1), dtype="float32")
    logits = rng.normal(0, 3, x.shape).astype("float32")
    ours = lesson["reconstruction"](x, logits)
    np.testing.assert_allclose(ours, -bernoulli_log_likelihood(x, logits), rtol=1e-6)
    np.testing.assert_allclose(lesson["kl"](*codes), kl_divergence(*codes), rtol=1e-6)


@pytest.fixture(scope="module")
def mnist():
    return load_mnist()


def test_its_floors_are_the_entropies_of_the_grey_levels(mnist):
    levels = np.arange(256) / 255
    of_a_pixel = stats.bernoulli(levels).entropy()
    for (x, _), floor in zip(mnist, (45.76, 45.53), strict=True):
        counts = np.bincount(np.rint(255 * x).astype("uint8").ravel(), minlength=256)
        assert counts @ of_a_pixel / len(x) == pytest.approx(floor, abs=0.005)
    (_, _), (x_test, _) = mnist
    assert x_test.mean() == pytest.approx(0.13, abs=0.005)


def test_the_test_images_are_no_harder_for_pca(mnist):
    """Fourteen components of the other 50 000: the squared error is that of the rest."""
    (x_train, _), (x_test, _) = ((x.reshape(-1, 784), y) for x, y in mnist)
    others = x_train[10_000:]
    mean = others.mean(axis=0, dtype="float64").astype("float32")
    centred = others - mean
    _, vectors = linalg.eigh((centred.T @ centred).astype("float64"), subset_by_index=(770, 783))
    errors = []
    for x in (x_train[:10_000], x_test):
        squares = np.sum((x - mean) ** 2, axis=1) - np.sum(((x - mean) @ vectors) ** 2, axis=1)
        errors.append(squares.mean())
    assert errors == pytest.approx((22.81, 22.71), abs=0.006)


def test_its_draw_is_that_of_the_package(lesson, codes):
    ours = lesson["draw_z"](*codes, keras.random.SeedGenerator(5))
    np.testing.assert_allclose(ours, Sampling(seed=5)(tuple(codes)), rtol=1e-6)


def test_its_networks_are_the_default_ones(lesson, codes, rng):
    pairs = zip(
        (lesson["make_encoder"](), lesson["make_decoder"]()),
        default_networks(64, (28, 28, 1), None, "gelu"),
        strict=True,
    )
    for (ours, theirs), inputs in zip(pairs, (rng.random((8, 28, 28, 1)), codes[0]), strict=True):
        theirs.set_weights([rng.uniform(0.1, 0.5, w.shape) for w in theirs.get_weights()])
        ours.set_weights(theirs.get_weights())
        for one, other in zip(
            keras.tree.flatten(ours(inputs)), keras.tree.flatten(theirs(inputs)), strict=True
        ):
            np.testing.assert_allclose(one, other, rtol=1e-5)
    start = lesson["make_encoder"]().layers[-1].bias
    np.testing.assert_array_equal(start, np.full(64, -3.0))


def test_the_pytorch_version_has_equal_losses_on_equal_weights(lesson, rng):
    torch = pytest.importorskip("torch")
    text = "\n".join(cell.source for cell in read(NOTEBOOK))
    (code,) = re.findall(r"```py\n(import torch.*?)```", text, re.DOTALL)
    names = {}
    exec(code, names)
    model = names["VariationalAutoencoder"]()
    encoder, decoder = default_networks(64, (28, 28, 1), None, "gelu")
    transplant(torch, model, encoder, decoder)
    x = rng.random((16, 28, 28, 1), dtype="float32")
    epsilon = rng.standard_normal((16, 64), dtype="float32")
    z_mean, z_log_var = encoder(x, training=True)
    logits = decoder(z_mean + ops.exp(0.5 * z_log_var) * epsilon, training=True)
    images = torch.tensor(x.transpose(0, 3, 1, 2))
    terms = model(images, torch.tensor(epsilon))
    wanted = -bernoulli_log_likelihood(x, logits), kl_divergence(z_mean, z_log_var)
    for ours, theirs in zip(terms, wanted, strict=True):
        np.testing.assert_allclose(ours.detach().numpy(), theirs, rtol=1e-4)


def transplant(torch, model, encoder, decoder):
    """Give the PyTorch model the weights of the Keras networks, in PyTorch's order of axes."""
    kinds = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.Dense)
    kernels = [
        layer for part in (encoder, decoder) for layer in part.layers if isinstance(layer, kinds)
    ]
    learned = (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear)
    theirs = [module for module in model.modules() if isinstance(module, learned)]
    for layer, module in zip(kernels, theirs, strict=True):
        weight, bias = layer.get_weights()
        weight = in_torchs_order(weight, module.weight.shape)
        if bias.shape == (1568,):  # before the reshape: rows, columns, channels
            bias = bias.reshape(7, 7, 32).transpose(2, 0, 1).ravel()
        with torch.no_grad():
            module.weight.copy_(torch.tensor(np.ascontiguousarray(weight)))
            module.bias.copy_(torch.tensor(np.ascontiguousarray(bias)))


def in_torchs_order(weight, shape):
    """Transpose a kernel; where a dense layer meets 7 x 7 x 32 values, in PyTorch's order."""
    if weight.ndim == 4:  # Conv2D is (rows, columns, in, out), its transpose (..., out, in)
        return weight.transpose(3, 2, 0, 1)
    if weight.shape[0] == 1568:
        weight = weight.reshape(7, 7, 32, -1).transpose(2, 0, 1, 3).reshape(1568, -1)
    if weight.shape[1] == 1568:
        weight = weight.reshape(-1, 7, 7, 32).transpose(0, 3, 1, 2).reshape(-1, 1568)
    return weight.T
