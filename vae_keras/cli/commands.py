"""What the command line does: each command returns its results, losses in nats per image."""

import json
from pathlib import Path

import numpy as np

from vae_keras import plots
from vae_keras._checks import check_images, check_sigma, is_integer
from vae_keras._files import atomic_path, check_writable
from vae_keras.cli import course, report, runs
from vae_keras.cli.figures import draw_figures
from vae_keras.cli.quiet import quiet_stderr
from vae_keras.data import load_mnist
from vae_keras.evaluation import sample_quality, standard_error, train_classifier
from vae_keras.io.export import check_can_export, export_onnx
from vae_keras.io.folders import say
from vae_keras.io.images import load_splits
from vae_keras.io.saving import load_vae, read_record
from vae_keras.io.streams import ImageFiles
from vae_keras.layers import kl_divergence
from vae_keras.sampling import fit_mixture_prior

HELD_OUT = 1000  # of streamed images at most, since they are held in memory


def figures(seed, output):
    """Train on MNIST; write two models and all figures to the folder `output`; measure samples."""
    (x_train, y_train), (x_test, y_test) = load_mnist()
    folder = Path(output)
    models = folder / "vae.keras", folder / "vae_2_latents.keras"
    trained = runs.train(x_train, x_test, models[0], runs.plan(x_train, seed))
    flat_plan = runs.plan(x_train, seed, epochs=5, latent_dim=2)
    flat = runs.train(x_train, x_test, models[1], flat_plan)
    vae = trained.vae
    print("Fitting the mixture prior, and drawing a map by t-SNE: some 40 seconds")
    prior = fit_mixture_prior(*vae.encoder.predict(x_train, verbose=0), seed=seed)
    drawn = draw_figures(vae, flat.vae, prior, trained.history, x_test, y_test, seed)
    written = [_save_figure(figure, folder / f"{name}.png") for name, figure in drawn.items()]
    print("Training the classifier that judges the samples")
    classifier = train_classifier(x_train, y_train, seed=seed, verbose=1)
    return {
        **_elbo_parts(vae, x_test, seed),
        **_log_likelihood(vae, x_test[:1000], 100, seed),
        **_judge(vae, prior, x_test, classifier, seed),
        "training_seconds": round(trained.seconds, 1),
        "files": [*map(str, models), *written],
    }


def train(
    seed, output, resume, data, image_size, background, network, latent_dim, epochs, batch_size,
    likelihood, sigma, distribute, tensorboard, stream,
):  # fmt: skip
    """Train on MNIST or your own images, and measure on x_test or on a tenth held out."""
    if sigma is not None and likelihood == "bernoulli":
        raise ValueError(f"--sigma needs --likelihood gaussian; got {sigma} with bernoulli.")
    check_sigma(sigma)
    if stream:
        x_train, x_test = _split_files(data, image_size, background, seed)
        some = x_train[np.arange(min(len(x_train), HELD_OUT))]
    else:
        x_train, x_test = _split(data, image_size, background, likelihood, seed)
        some = x_train
    model = {"latent_dim": latent_dim, "likelihood": likelihood, "sigma": sigma}
    record = runs.plan(x_train, seed, network, epochs, batch_size, **model)
    picture = _picture_beside(output, data, x_train.shape[-1])
    expected = report.expect(some, x_test, likelihood, sigma)
    trained = runs.train(x_train, x_test, output, record, resume, distribute, tensorboard)
    if not trained.reports:
        return {}
    if picture is not None:
        _save_figure(report.picture(trained.vae, x_test, seed, ink=data is None), picture)
    return {
        "training_images": len(x_train),
        "held_out_images" if stream else _kind(x_train, x_test): len(x_test),
        **_elbo_parts(trained.vae, x_test, seed),
        **expected,
        "latents_in_use": report.latents_in_use(trained.vae, x_test),
        **report.learned_sigma(trained.vae),
        "training_seconds": round(trained.seconds, 1),
        "files": [file for file in (output, picture) if file],
    }


def sample(seed, output, model, n):
    """Decode draws from the prior, and write them as a picture or as an array."""
    suffix = Path(output).suffix
    if suffix not in (".png", ".npz"):
        raise ValueError(f"--output must end in .png (grid) or .npz (array); got {output}.")
    check_writable(output)
    images = load_vae(model).sample(n, seed=seed)
    if suffix == ".png":
        images = report.drawable(images)
        images = report.as_they_are(images) if _is_readers_own(model) else images
        _save_figure(plots.image_grid(images), output)
    else:
        with atomic_path(output) as partial:
            np.savez_compressed(partial, images=images)
    return {"images": n, "files": [output]}


def evaluate(seed, output, model, data, image_size, background, num_samples):
    """Measure -ELBO and -log P(X), with its standard error over the images."""
    if output is not None:
        check_writable(output)
    vae = load_vae(model)
    bernoulli = vae.variational_loss.likelihood == "bernoulli"
    splits = _load(data, image_size, background, bernoulli)
    check_images(splits[0], data or "MNIST", vae.image_shape, bernoulli)
    x, kind = _choose_images(*splits, read_record(model) or {})
    results = {
        kind: len(x),
        **_elbo_parts(vae, x, seed),
        **_log_likelihood(vae, x, num_samples, seed),
    }
    if output is not None:
        with atomic_path(output) as partial:
            partial.write_text(json.dumps(results, indent=2) + "\n")
        results["files"] = [output]
    return results


def export(seed, output, model, format):
    """Write encoder and decoder as files of their own, checked against Keras on 16 inputs."""
    check_can_export()
    paths = {part: Path(output) / f"{part}.{format}" for part in ("encoder", "decoder")}
    for path in paths.values():
        check_writable(path)
    vae = load_vae(model)
    if vae.compute_dtype != "float32":
        raise ValueError(f"{model} computes in {vae.compute_dtype}; wanted float32, to export.")
    rng = np.random.default_rng(seed)
    images = rng.random((16, *vae.image_shape), dtype="float32")
    latents = rng.standard_normal((16, vae.latent_dim), dtype="float32")
    with quiet_stderr():
        gaps = {
            "encoder": export_onnx(vae.encoder, paths["encoder"], images),
            "decoder": export_onnx(vae.decoder, paths["decoder"], latents),
        }
    results = {f"{part}_difference": float(f"{gap:.1g}") for part, gap in gaps.items()}
    return {**results, "files": [str(path) for path in paths.values()]}


def notebooks(folder, student):
    """Lay the notebooks into a folder."""
    files = course.lay(folder, student)
    return {"notebooks": sum(file.endswith(".ipynb") for file in files), "files": files}


def _load(data, image_size, background, bernoulli):
    """Images of MNIST or your own, and those to test on or `None`; say what was changed."""
    if data is not None:
        x_train, x_test, notes = load_splits(data, image_size, background, bernoulli)
        if notes:
            print(f"{data}: {say(notes)}")
    elif image_size is not None or background != "white":
        raise ValueError("--image-size and --background need --data, a folder of image files.")
    else:
        (x_train, _), (x_test, _) = load_mnist()
    return x_train, x_test


def _picture_beside(output, data, channels):
    """Where the picture of a run goes; a `ValueError` where it would get among the images."""
    if channels not in (1, 3):
        print(f"No picture is drawn of images of {channels} channels; wanted 1 or 3.")
        return None
    picture = Path(output).with_suffix(".png")
    check_writable(picture)
    if data is not None and Path(data).is_dir() and _is_within(picture, data):
        taken = f"{picture}, the picture of the run, would be taken for one of the images"
        raise ValueError(f"--output must not lie in the folder of --data: {taken}.")
    if picture.exists() and not Path(output).exists():
        whose = f"{picture} is there without {output}: the picture of the run would replace it"
        raise ValueError(f"--output must have another name, for {whose}.")
    return str(picture)


def _is_within(path, folder):
    return Path(folder).resolve() in path.resolve().parents


def _split(data, image_size, background, likelihood, seed):
    """Images to train on and to test on: their own x_test, or a tenth that is held out."""
    x_train, x_test = _load(data, image_size, background, likelihood == "bernoulli")
    if x_test is None:
        x_train, x_test = _hold_out(x_train, seed)
    if likelihood == "gaussian":  # bernoulli's lie in [0, 1]
        _say_if_far_from_unit_scale(x_train)
    return x_train, x_test


def _split_files(data, image_size, background, seed):
    """Files to train on, in the order of a draw, and images of a tenth of them, or fewer."""
    if data is None or not Path(data).is_dir():
        raise ValueError(f"--stream needs --data, a folder of image files; got {data}.")
    print(f"Looking at the files in {data}")
    files = ImageFiles(data, image_size, background, verbose=1)
    if files.notes:
        print(f"{data}: {say(files.notes)}")
    train, test = _shares(len(files), seed, HELD_OUT)
    return files.take(train), files[test]


def _say_if_far_from_unit_scale(x):
    low, high = float(x.min()), float(x.max())
    if low == high or 0.1 <= max(-low, high) <= 10:
        return
    values = f"The images hold values from {low:.4g} to {high:.4g}"
    unit = f"(x - {x.mean(dtype='float64'):.4g}) / {x.std(dtype='float64'):.4g}"
    print(f"{values}: {unit} would bring them to unit scale, where training does best.")


def _choose_images(x_train, x_test, record):
    """Choose the images to measure, and their name: test images if the run trained on none.

    A run's record holds the checksum of its training images. They may be `x_train`, or what is
    left of it once a tenth is held out by the run's seed; that tenth is then measured.
    """
    if x_test is None and len(x_train) > 1 and is_integer(record.get("seed")):
        kept, held_out = _hold_out(x_train, record["seed"])
        if _trained_on(kept, record):
            print(f"Measured are the {len(held_out)} of these images that the run held out.")
            x_train, x_test = kept, held_out
    if x_test is None:
        return x_train, "images"
    if not _trained_on(x_train, record):
        return x_test, "images"
    return x_test, _kind(x_train, x_test)


def _kind(x_train, x):
    """What images that are measured are to be called: test images if none was trained on."""
    seen = {hash(image.tobytes()) for image in x_train}  # of 64 bits
    repeated = sum(hash(image.tobytes()) in seen for image in x)
    if repeated:
        print(f"{repeated} of the {len(x)} images measured are among those trained on.")
    return "images" if repeated else "test_images"


def _trained_on(x, record):
    return runs.plan(x, seed=0)["training images"] == record.get("training images")


def _is_readers_own(model):
    """Whether the record of a model file says that it was trained on other images than MNIST's."""
    record = read_record(model) or {}
    return "training images" in record and not _trained_on(load_mnist()[0][0], record)


def _hold_out(images, seed):
    """Split off a tenth; the same split as ever, so that older runs on these images resume."""
    train, test = _shares(len(images), seed)
    return images[train], images[test]


def _shares(n, seed, most=None):
    """The numbers of those to train on and of a tenth, at most `most`, to test on."""
    if n < 2:
        wanted = "at least 2 images, one to train on and one to test on"
        raise ValueError(f"--data must hold {wanted}; got {n}.")
    order = np.random.default_rng(seed).permutation(n)
    num_test = min(max(1, n // 10), most or n)
    return order[num_test:], order[:num_test]


def _elbo_parts(vae, x, seed):
    num_samples = max(1, 1000 // len(x))  # of a few images a single draw says little
    neg_elbo = -vae.elbo(x, num_samples, seed=seed).mean()
    kl = float(np.mean(kl_divergence(*vae.encoder.predict(x, verbose=0)), dtype="float64"))
    parts = {"neg_elbo": neg_elbo, "reconstruction": neg_elbo - kl, "kl": kl}
    return {name: round(value, 2) for name, value in parts.items()}


def _log_likelihood(vae, x, num_samples, seed):
    nats = -vae.log_likelihood(x, num_samples, seed=seed, verbose=1)
    return {
        "neg_log_likelihood": round(nats.mean(), 2),
        "standard_error": round(standard_error(nats), 2) if len(x) > 1 else None,
        "num_images": len(x),
        "num_samples": num_samples,
    }


def _judge(vae, prior, x_test, classifier, seed):
    """What the classifier makes of samples from both priors, and of real digits, beside others."""
    real = x_test[::2]
    others = x_test[1::2]
    sets = {
        "normal_prior": vae.sample(len(real), seed),
        "mixture_prior": vae.sample(len(real), seed, prior),
        "real_digits": real,
    }
    results = {}
    for name, images in sets.items():
        quality = sample_quality(images, others, classifier)
        results[f"recognised_{name}"] = round(quality["recognised"], 3)
        results[f"frechet_distance_{name}"] = round(quality["frechet_distance"], 2)
    return results


def _save_figure(figure, path):
    with atomic_path(path) as partial:
        figure.savefig(partial, bbox_inches="tight", pad_inches=0.1)
    return str(path)
