"""What the command line does: each command returns its results as a dict, losses in nats per image."""

import json
import time
from pathlib import Path

import keras
import numpy as np

from vae_keras import plots
from vae_keras.data import check_images, load_images, load_mnist
from vae_keras.files import atomic_path, check_writable
from vae_keras.layers import kl_divergence
from vae_keras.model import ConvVAE, load_vae
from vae_keras.sampling import draw_latents
from vae_keras.training import RECIPES, make_optimizer


def figures(seed, output):
    """Train the default network on MNIST; write the model and the figures of notebook 07 to the folder `output`."""
    (x_train, _), (x_test, y_test) = load_mnist()
    path = Path(output) / "vae.keras"
    vae, history, seconds = _fit(x_train, x_test, path, seed, "default")
    drawn = _mnist_figures(vae, history, x_test, y_test, seed)
    written = [_save_figure(figure, Path(output) / f"{name}.png") for name, figure in drawn.items()]
    return {**_elbo_parts(vae, x_test, seed), "training seconds": round(seconds, 1), "files": [str(path), *written]}


def train(seed, output, data, network, latent_dim, epochs, batch_size, likelihood, sigma):
    """Train on MNIST, or on nine tenths of your own images, and measure on the rest."""
    if sigma is not None and likelihood == "bernoulli":
        raise ValueError(f"--sigma needs --likelihood gaussian; got --sigma {sigma} with bernoulli.")
    if data is not None:
        x_train, x_test = _hold_out(load_images(data), seed)
    else:
        (x_train, _), (x_test, _) = load_mnist()
    model = {"latent_dim": latent_dim, "likelihood": likelihood, "sigma": sigma}
    vae, _, seconds = _fit(x_train, x_test, output, seed, network, epochs, batch_size, **model)
    counts = {"training images": len(x_train), "test images": len(x_test)}
    return {**counts, **_elbo_parts(vae, x_test, seed), "training seconds": round(seconds, 1), "files": [output]}


def sample(seed, output, model, n):
    """Decode draws from the prior, and write them as a picture or as an array."""
    suffix = Path(output).suffix
    if suffix not in (".png", ".npz"):
        raise ValueError(f"--output must end in .png, for a grid, or .npz, for the array; got {output}.")
    check_writable(output)
    images = load_vae(model).sample(n, seed=seed)
    if suffix == ".png":
        _save_figure(plots.image_grid(images), output)
    else:
        with atomic_path(output) as partial:
            np.savez_compressed(partial, images=images)
    return {"images": n, "files": [output]}


def evaluate(seed, output, model, data, num_samples):
    """Measure -ELBO and -log P(X), with its standard error over the images."""
    if output is not None:
        check_writable(output)
    vae = load_vae(model)
    x = load_mnist()[1][0] if data is None else load_images(data)
    check_images(x, data or "the MNIST test set", vae.image_shape)
    nats = -vae.log_likelihood(x, num_samples, seed=seed, verbose=1)
    results = {"test images": len(x), **_elbo_parts(vae, x, seed), "-log P(X)": round(nats.mean(), 2)}
    results["standard error"] = round(nats.std(ddof=1) / np.sqrt(len(x)), 2) if len(x) > 1 else None
    results["samples per image"] = num_samples
    if output is not None:
        with atomic_path(output) as partial:
            partial.write_text(json.dumps(results, indent=2) + "\n")
        results["files"] = [output]
    return results


def _fit(x_train, x_test, path, seed, network, epochs=None, batch_size=None, **model):
    if Path(path).suffix != ".keras":
        raise ValueError(f"--output must end in .keras; got {path}.")
    keras.utils.set_random_seed(seed)
    recipe = RECIPES[network]
    epochs, batch_size = epochs or recipe.epochs, batch_size or recipe.batch_size
    vae = ConvVAE(network=network, image_shape=x_train.shape[1:], **model)
    check_writable(path)
    vae.compile(make_optimizer(network, len(x_train), epochs, batch_size))
    start = time.perf_counter()
    checkpoint = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: vae.save(path))  # no finished work is lost
    history = vae.fit(x_train, epochs=epochs, batch_size=batch_size, validation_data=(x_test,), callbacks=[checkpoint])
    return vae, history.history, time.perf_counter() - start


def _hold_out(images, seed):
    if len(images) < 2:
        raise ValueError(f"--data must hold at least 2 images, one to train on and one to test on; got {len(images)}.")
    order, num_test = np.random.default_rng(seed).permutation(len(images)), max(1, len(images) // 10)
    return images[order[num_test:]], images[order[:num_test]]


def _elbo_parts(vae, x, seed):
    elbo = vae.elbo(x, seed=seed).mean()
    kl = float(keras.ops.mean(kl_divergence(*vae.encoder.predict(x, verbose=0))))
    return {"-ELBO": round(-elbo, 2), "reconstruction": round(-elbo - kl, 2), "KL": round(kl, 2)}


def _mnist_figures(vae, history, x_test, y_test, seed):
    z = draw_latents(3, vae.latent_dim, seed)
    z_mean, z_log_var = vae.encoder.predict(x_test, verbose=0)
    originals, means = x_test[:10], vae.sample(10, seed=seed)
    draws = np.random.default_rng(seed).random(means.shape) < means  # from P(X|z)
    return {
        "figure_5_test_mode": plots.decoder_test_mode(
            z, vae.decoder.predict(z, verbose=0), "Figure 5: the decoder in test mode",
            "Each row: standard normal numbers go in, the mean image comes out. No encoder takes part.",
        ),
        "figure_6_prior_samples": plots.image_grid(
            vae.sample(100, seed=seed), 10, "Figure 6: 100 digits decoded from z ~ N(0, I)",
            "Most can be read at a glance; some lie between two digits, or between a digit and none.",
        ),
        "reconstructions": plots.image_grid(
            np.concatenate([originals, vae.reconstruct(originals)]), 10, "Test digits and their reconstructions",
            "Shape, stroke and slant survive; the finest detail is smoothed away.", ("original", "reconstruction"),
        ),
        "mean_and_draw": plots.image_grid(
            np.concatenate([means, draws]), 10, "The mean of P(X|z), and a draw from it",
            "Top: means. Bottom: each pixel drawn black or white on its own, which frays the edges.", ("mean", "draw"),
        ),
        "latent_means": plots.latent_scatter(
            z_mean, y_test, "The first two of the 64 latent means of the test digits",
            "A latent whose mean hardly moves is one that the model does not use.",
        ),
        "latent_means_most_used": plots.latent_scatter(
            z_mean, y_test, "The two latents with the largest share of the KL term",
            "Even these two of the 64 coordinates tell the digits apart only in part.",
            latents=np.argsort(-(np.exp(z_log_var) + z_mean**2 - z_log_var).mean(axis=0))[:2],
        ),
        "loss_curves": plots.loss_curves(
            history, "The loss and its two parts",
            "The reconstruction term falls fast at first, then slowly, at a nearly constant KL.",
        ),
    }  # fmt: skip


def _save_figure(figure, path):
    with atomic_path(path) as partial:
        figure.savefig(partial, bbox_inches="tight", pad_inches=0.1)
    return str(path)
