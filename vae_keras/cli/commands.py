"""What the command line does: each command returns its results as a dict, losses in nats per image."""

import json
import time
import zlib
from contextlib import nullcontext
from pathlib import Path

import keras
import numpy as np

from vae_keras import plots
from vae_keras.data import check_images, load_images, load_mnist
from vae_keras.cli.distribute import Place, all_devices, tell_replicas_apart
from vae_keras.evaluation import kl_per_latent, sample_quality, train_classifier
from vae_keras.io.export import check_can_export, export_onnx
from vae_keras.cli.figures import mnist_figures
from vae_keras._files import atomic_path, check_writable
from vae_keras.model import ConvVAE, load_vae
from vae_keras.sampling import fit_mixture_prior
from vae_keras.recipes import RECIPES, Checkpoint, make_optimizer


def figures(seed, output):
    """Train on MNIST; write two models and all figures to the folder `output`, and measure the samples."""
    digits, folder = load_mnist(), Path(output)
    (x_train, y_train), (x_test, _) = digits
    paths = folder / "vae.keras", folder / "vae_2_latents.keras"
    vae, history, seconds = _fit(x_train, x_test, paths[0], seed, "default")
    flat_vae, _, _ = _fit(x_train, x_test, paths[1], seed, "default", epochs=5, latent_dim=2)
    print("Fitting the mixture prior, and drawing a map by t-SNE: some 40 seconds")
    prior = fit_mixture_prior(*vae.encoder.predict(x_train, verbose=0), seed=seed)
    drawn = mnist_figures(vae, flat_vae, prior, history, digits[1], seed)
    written = [_save_figure(figure, folder / f"{name}.png") for name, figure in drawn.items()]
    print("Training the classifier that judges the samples")
    classifier = train_classifier(x_train, y_train, seed=seed, verbose=1)
    nats = -vae.log_likelihood(x_test[:1000], 100, seed=seed, verbose=1)
    nll = {"-log P(X), 1000 images": round(nats.mean(), 2), "its standard error": round(nats.std() / np.sqrt(1000), 2)}
    quality = _sample_qualities(vae, prior, x_test, classifier, seed)
    files = [*map(str, paths), *written]
    return {**_elbo_parts(vae, x_test, seed), **nll, **quality, "training seconds": round(seconds, 1), "files": files}


def train(seed, output, resume, data, network, latent_dim, epochs, batch_size, likelihood, sigma, distribute):
    """Train on MNIST, or on nine tenths of your own images, and measure on the rest; `resume` goes on from the file `output`."""
    if sigma is not None and likelihood == "bernoulli":
        raise ValueError(f"--sigma needs --likelihood gaussian; got --sigma {sigma} with bernoulli.")
    if data is not None:
        x_train, x_test = _hold_out(load_images(data), seed)
    else:
        (x_train, _), (x_test, _) = load_mnist()
    model = {"latent_dim": latent_dim, "likelihood": likelihood, "sigma": sigma}
    vae, _, seconds = _fit(x_train, x_test, output, seed, network, epochs, batch_size, resume, distribute, **model)
    if vae is None:  # another process has the model, and the say
        return {}
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


def export(seed, output, model, format):
    """Write the encoder and the decoder as files of their own, each checked against Keras on 16 random inputs."""
    check_can_export()
    paths = {part: str(Path(output) / f"{part}.{format}") for part in ("encoder", "decoder")}
    for path in paths.values():
        check_writable(path)
    vae, rng = load_vae(model), np.random.default_rng(seed)
    if vae.compute_dtype != "float32":
        raise ValueError(f"{model} computes in {vae.compute_dtype}; only a float32 model can be exported.")
    images = rng.random((16, *vae.image_shape), dtype="float32")
    latents = rng.standard_normal((16, vae.latent_dim), dtype="float32")
    gaps = {part: export_onnx(getattr(vae, part), paths[part], x) for part, x in (("encoder", images), ("decoder", latents))}
    differences = {f"{part}, largest difference from Keras": float(f"{gap:.1g}") for part, gap in gaps.items()}
    return {**differences, "files": list(paths.values())}


def _fit(x_train, x_test, path, seed, network, epochs=None, batch_size=None, resume=False, distribute=False, **model):
    if Path(path).suffix != ".keras":
        raise ValueError(f"--output must end in .keras; got {path}.")
    keras.utils.set_random_seed(seed)
    recipe = RECIPES[network]
    epochs, batch_size = epochs or recipe.epochs, batch_size or recipe.batch_size
    images = f"{len(x_train)} of checksum {zlib.crc32(x_train):08x}"
    run = {"network": network, "epochs": epochs, "batch_size": batch_size, **model, "seed": seed, "training images": images}
    check_writable(path)
    with all_devices() if distribute else nullcontext(Place()) as place:
        x, x_val = place.share(x_train, batch_size, shuffle=True), place.share(x_test, batch_size)
        begun = resume and (place.processes > 1 or Path(path).exists())  # processes must not begin some here and some there
        if resume and not begun:
            print(f"There is no file {path} yet: starting afresh.")
        vae = _load_run(path, run) if begun else _new_run(run, x_train, model)
        tell_replicas_apart(vae)
        start, first = time.perf_counter(), place.process == 0
        options = {"batch_size": batch_size, "shuffle": place.processes == 1, "verbose": "auto" if first else 0}
        options |= {"validation_data": (x_val,), "callbacks": [Checkpoint(path, seed, saves=first)]}
        history = vae.fit(x, epochs=epochs, initial_epoch=vae.run["epochs done"], **options)
    seconds = time.perf_counter() - start
    if distribute:  # to one device
        vae, trained = vae.from_config(vae.get_config()), vae
        vae.set_weights(trained.get_weights())
    return vae if first else None, history.history, seconds


def _new_run(run, x_train, model):
    vae = ConvVAE(network=run["network"], image_shape=x_train.shape[1:], **model)
    vae.compile(make_optimizer(run["network"], len(x_train), run["epochs"], run["batch_size"]))
    vae.run = {**run, "epochs done": 0}
    return vae


def _load_run(path, run):
    """Load a model to go on training it, if it was begun as `run` says: its learning rates span that run alone."""
    vae = load_vae(path)
    if not isinstance(vae.run, dict) or vae.optimizer is None:
        raise ValueError(f"{path} holds no run of the command train to resume.")
    for name, wanted in run.items():
        if vae.run.get(name) != wanted:
            raise ValueError(f"{path} was begun with {name} {vae.run.get(name)}; --resume needs the same, and got {wanted}.")
    return vae


def _hold_out(images, seed):
    if len(images) < 2:
        raise ValueError(f"--data must hold at least 2 images, one to train on and one to test on; got {len(images)}.")
    order, num_test = np.random.default_rng(seed).permutation(len(images)), max(1, len(images) // 10)
    return images[order[num_test:]], images[order[:num_test]]


def _elbo_parts(vae, x, seed):
    elbo = vae.elbo(x, seed=seed).mean()
    kl = kl_per_latent(*vae.encoder.predict(x, verbose=0)).sum(dtype="float64")
    return {"-ELBO": round(-elbo, 2), "reconstruction": round(-elbo - kl, 2), "KL": round(float(kl), 2)}


def _sample_qualities(vae, prior, x_test, classifier, seed):
    """What the classifier makes of samples from both priors, and of real digits; each is compared with other real digits."""
    real, others = x_test[::2], x_test[1::2]
    sets = {"N(0, I)": vae.sample(len(real), seed), f"mixture of {len(prior.weights_)}": vae.sample(len(real), seed, prior)}
    measured = {name: sample_quality(images, others, classifier) for name, images in {**sets, "real digits": real}.items()}
    recognised = {f"recognised, {name}": round(quality["recognised"], 3) for name, quality in measured.items()}
    return recognised | {f"Frechet distance, {name}": round(quality["frechet_distance"], 2) for name, quality in measured.items()}


def _save_figure(figure, path):
    with atomic_path(path) as partial:
        figure.savefig(partial, bbox_inches="tight", pad_inches=0.1)
    return str(path)
