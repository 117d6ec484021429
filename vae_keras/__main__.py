"""The command line: `python -m vae_keras figures | train | sample | evaluate`."""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

DESCRIPTION = "Train, sample and measure variational autoencoders. Losses are nats per image, summed over pixels and latents."


def main(arguments=None):
    """Run one command. Returns 0 when done, 2 after bad input, 130 when interrupted; wrong usage exits with 2."""
    options = _parser().parse_args(arguments)
    try:
        # progress goes to stderr, so that stdout holds the result alone
        with contextlib.redirect_stdout(sys.stderr):
            _import_keras()
            results = options.run(options)
    except (ValueError, OSError) as error:
        print(f"vae_keras {options.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nvae_keras {options.command}: interrupted", file=sys.stderr)
        return 130
    print(json.dumps(results, indent=2) if options.json else _table(results))
    return 0


def figures(options):
    """Train the default network on MNIST and write its figures."""
    from vae_keras import load_mnist
    from vae_keras.training import RECIPES

    (x_train, _), (x_test, y_test) = load_mnist()
    options.network, options.latent_dim, options.likelihood, options.sigma = "default", 64, "bernoulli", None
    options.epochs, options.batch_size = RECIPES["default"]
    folder = Path(options.output)
    vae, history, seconds = _fit(options, x_train, x_test, folder / "vae.keras")
    files = [str(folder / "vae.keras")]
    for name, figure in _mnist_figures(vae, history, x_test, y_test, options.seed).items():
        files.append(_save_figure(figure, folder / f"{name}.png"))
    return {**_elbo_parts(vae, x_test, options.seed), "training seconds": round(seconds, 1), "files": files}


def train(options):
    """Train a network on MNIST, or on your own images, and save it after every epoch."""
    from vae_keras import load_images, load_mnist
    from vae_keras.training import RECIPES

    if options.data:
        x_train, x_test = _hold_out(load_images(options.data), options.seed)
    else:
        (x_train, _), (x_test, _) = load_mnist()
    recipe = RECIPES[options.network]
    options.epochs = options.epochs or recipe.epochs
    options.batch_size = options.batch_size or recipe.batch_size
    vae, _, seconds = _fit(options, x_train, x_test, options.output)
    sizes = {"training images": len(x_train), "test images": len(x_test)}
    parts = _elbo_parts(vae, x_test, options.seed)
    return {**sizes, **parts, "training seconds": round(seconds, 1), "files": [options.output]}


def sample(options):
    """Decode draws from the prior N(0, I) of a saved model."""
    import numpy as np

    from vae_keras import load_vae, plots
    from vae_keras.files import atomic_path

    suffix = Path(options.output).suffix
    if suffix not in (".png", ".npz"):
        raise ValueError(f"--output must end in .png, for a grid, or .npz, for the array; got {options.output}.")
    images = load_vae(options.model).sample(options.n, seed=options.seed)
    if suffix == ".png":
        _save_figure(plots.image_grid(images), options.output)
    else:
        with atomic_path(options.output) as partial:
            np.savez_compressed(partial, images=images)
    return {"images": len(images), "files": [options.output]}


def evaluate(options):
    """Measure a saved model on the MNIST test set, or on your own images."""
    import numpy as np

    from vae_keras import load_images, load_mnist, load_vae

    vae = load_vae(options.model)
    x = load_images(options.data) if options.data else load_mnist()[1][0]
    results = {"test images": len(x), **_elbo_parts(vae, x, options.seed)}
    nats = -vae.log_likelihood(x, options.num_samples, seed=options.seed, verbose=1)
    results |= {"-log P(X)": round(nats.mean(), 2), "samples per image": options.num_samples}
    results["standard error"] = round(np.std(nats, ddof=1) / np.sqrt(len(x)), 2) if len(x) > 1 else None
    if options.output:
        _save_json(results, options.output)
    return results


def _fit(options, x_train, x_test, path):
    import keras

    from vae_keras import ConvVAE
    from vae_keras.files import check_writable
    from vae_keras.training import make_optimizer

    check_writable(path)
    keras.utils.set_random_seed(options.seed)
    vae = ConvVAE(options.latent_dim, options.network, x_train.shape[1:], options.likelihood, options.sigma)
    vae.compile(make_optimizer(options.network, len(x_train), options.epochs, options.batch_size))
    start = time.perf_counter()
    history = vae.fit(
        x_train,
        epochs=options.epochs,
        batch_size=options.batch_size,
        validation_data=(x_test,),
        callbacks=[keras.callbacks.ModelCheckpoint(path)],  # after each epoch, so that finished work is never lost
    )
    return vae, history.history, time.perf_counter() - start


def _hold_out(images, seed):
    """Split off a tenth of your own images, drawn at random, to test on."""
    import numpy as np

    if len(images) < 2:
        raise ValueError(f"--data must hold at least 2 images, one to train on and one to test on; got {len(images)}.")
    order = np.random.default_rng(seed).permutation(len(images))
    num_test = max(1, len(images) // 10)
    return images[order[num_test:]], images[order[:num_test]]


def _elbo_parts(vae, x, seed):
    """The mean -ELBO of the images and its two parts, with one draw of z an image."""
    from vae_keras.layers import kl_divergence

    elbo = vae.elbo(x, seed=seed).mean()
    kl = float(kl_divergence(*vae.encoder.predict(x, verbose=0)).mean())
    return {"-ELBO": round(-elbo, 2), "reconstruction": round(-elbo - kl, 2), "KL": round(kl, 2)}


def _mnist_figures(vae, history, x_test, y_test, seed):
    """Draw the figures of notebook 07: a dict from file name to figure."""
    import numpy as np

    from vae_keras import draw_latents, plots

    z = draw_latents(3, vae.latent_dim, seed)
    z_mean, _ = vae.encoder.predict(x_test, verbose=0)
    originals = x_test[:10]
    means = vae.sample(10, seed=seed)
    draws = (np.random.default_rng(seed).random(means.shape) < means).astype("float32")  # a draw from P(X|z)
    return {
        "figure_5_test_mode": plots.decoder_test_mode(
            z,
            vae.decoder.predict(z, verbose=0),
            "Figure 5: the decoder in test mode",
            "Each row: 64 standard normal numbers go in, the mean image comes out. No encoder takes part.",
        ),
        "figure_6_prior_samples": plots.image_grid(
            vae.sample(100, seed=seed),
            title="Figure 6: 100 digits decoded from z ~ N(0, I)",
            caption="Most are digits. The odd ones come from z where the prior has mass and the encoder sends no digit.",
        ),
        "reconstructions": plots.image_grid(
            np.concatenate([originals, vae.reconstruct(originals)]),
            title="Test digits and their reconstructions",
            caption="Stroke and slant survive; what is smoothed away is what the 64 latents do not carry.",
            row_labels=("original", "reconstruction"),
        ),
        "mean_and_draw": plots.image_grid(
            np.concatenate([means, draws]),
            title="The mean of P(X|z), and a draw from it",
            caption="The draw decides each pixel alone, black or white, so edges fray: the mean is the picture to look at.",
            row_labels=("mean", "draw"),
        ),
        "latent_means": plots.latent_scatter(
            z_mean,
            y_test,
            "The first two of the 64 latent means, by digit",
            "Two raw coordinates out of 64 tell the digits apart only in part; all of them together do much better.",
            axis_labels=("z_mean, latent 1", "z_mean, latent 2"),
        ),
        "loss_curves": plots.loss_curves(
            history,
            "The loss and its two parts",
            "The reconstruction term buys its fall with a little KL. Grey pixels put a floor of 45.53 nats under it.",
        ),
    }


def _save_figure(figure, path):
    from vae_keras.files import atomic_path

    with atomic_path(path) as partial:
        figure.savefig(partial)
    return str(path)


def _import_keras():
    """Import Keras without the notes that its backend's C++ code writes to stderr; if the import fails, show them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            import keras  # noqa: F401
        except BaseException:
            notes.seek(0)
            os.write(stderr, notes.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _table(results):
    """Lay the results out in two columns; a list takes a row for each item."""
    rows = [(name, item) for name, value in results.items() for item in (value if isinstance(value, list) else [value])]
    units = {"-ELBO": "nats per image", "reconstruction": "nats per image", "KL": "nats per image", "-log P(X)": "nats per image"}
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {item} {units.get(name, '')}".rstrip() for name, item in rows)


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        print(f"{self.prog}: {message} (see --help)", file=sys.stderr)
        sys.exit(2)


def _positive_integer(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {text}")
    return value


def _parser():
    parser = _Parser(prog="vae_keras", description=DESCRIPTION)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Parser)

    def add(run, output, output_help):
        command = commands.add_parser(run.__name__, help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run)
        command.add_argument("--seed", type=int, default=0, help="fixes weights, noise and shuffling (default: 0)")
        command.add_argument("--output", default=output, help=f"{output_help} (default: {output})")
        command.add_argument("--json", action="store_true", help="print the results as JSON")
        return command

    add(figures, "figures", "folder for the figures and the model")

    command = add(train, "vae.keras", "model file to write")
    command.add_argument("--data", help="your own images: an .npz file or a folder of PNG files (default: MNIST)")
    command.add_argument("--network", choices=("default", "keng2017"), default="default")
    command.add_argument("--latent-dim", type=_positive_integer, default=64, help="number of latent variables (default: 64)")
    command.add_argument("--epochs", type=_positive_integer, help="default: what the network's recipe says")
    command.add_argument("--batch-size", type=_positive_integer, help="default: what the network's recipe says")
    command.add_argument("--likelihood", choices=("bernoulli", "gaussian"), default="bernoulli")
    command.add_argument("--sigma", type=float, help="standard deviation of the gaussian likelihood (default: learned)")

    command = add(sample, "samples.png", "a .png grid or an .npz array")
    command.add_argument("model", help="a saved .keras file")
    command.add_argument("--n", type=_positive_integer, default=100, help="number of images (default: 100)")

    command = add(evaluate, None, "JSON file to write as well")
    command.add_argument("model", help="a saved .keras file")
    command.add_argument("--data", help="your own images, as for train (default: the MNIST test set)")
    command.add_argument(
        "--num-samples", type=_positive_integer, default=100, help="draws of z an image for log P(X) (default: 100)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
