"""The numbers and pictures of the live figures that show trained models: docs/live/NAME.json, .png.

`python benchmarks/live_data.py training` trains the default network by its recipe, and keeps what
it makes of ten test images and of ten draws, at some moments: "learning". Of the trained model it
then takes walks between codes: "walk". `python benchmarks/live_data.py beta` trains the network by
the recipe "fast" with one beta after another: "beta". The first takes 9 epochs, the second 18.

Each file names its command and its commit. It is made on committed code alone, unless it goes to
another folder, --output. --images N and --epochs N make a quick trial of it.
"""

import argparse
import json
from pathlib import Path

import keras
import numpy as np
from PIL import Image
from record import build, origin_of
from scipy.stats import chi

from vae_keras import RECIPES, draw_latents, interpolate, load_mnist
from vae_keras._files import atomic_path
from vae_keras.evaluation import loss_floor
from vae_keras.layers import kl_per_latent

LIVE = Path(__file__).parents[1] / "docs" / "live"
STEPS = (10, 20, 40, 80, 160)  # within the first epoch, at which pictures are kept
BETAS = (0.1, 0.3, 1, 3, 10, 30)
PAIRS = ((3, 5), (4, 9), (1, 7), (0, 6), (2, 8), (7, 3))  # the first test image of each digit
PLACES = 21  # of a walk
ENOUGH = 0.1  # nats: the latents of the figures have a mean KL above it, as in notebook 08


class Moments(keras.callbacks.Callback):
    """Keeps the pictures and the terms of the test images before training, and at some moments."""

    def __init__(self, x_test, z):
        super().__init__()
        self.x_test = x_test
        self.z = z
        self.log = []
        self.rows = []

    def keep(self, name):
        step = int(self.model.optimizer.iterations)
        self.log.append({"name": name, "step": step, **terms(self.model, self.x_test)})
        self.rows.append(pictures_of(self.model, self.x_test[:10], self.z))
        print(self.log[-1], flush=True)

    def on_train_begin(self, logs=None):
        self.keep("before training")

    def on_train_batch_end(self, batch, logs=None):
        step = int(self.model.optimizer.iterations)
        if step in STEPS:
            self.keep(f"after {step} steps")

    def on_epoch_end(self, epoch, logs=None):
        self.keep(f"after epoch {epoch + 1}")


def terms(vae, x, kls=None):
    """Loss, reconstruction and KL in nats per image: sums over pixels and latents, means over x."""
    loss = -float(vae.elbo(x, seed=0).mean())
    kl = float(np.sum(kls_of(vae, x) if kls is None else kls))
    return {"loss": round(loss, 4), "reconstruction": round(loss - kl, 4), "kl": round(kl, 4)}


def kls_of(vae, x):
    """The mean KL of each latent, in nats per image: (latent_dim,)."""
    parts = kl_per_latent(*vae.encoder.predict(x, verbose=0))
    return np.mean(keras.ops.convert_to_numpy(parts), axis=0, dtype="float64")


def pictures_of(vae, x, z):
    """The reconstructions of images, and the decoded z: one row of the sheet."""
    return np.concatenate([vae.reconstruct(x), vae.decoder.predict(z, verbose=0)])


def originals(x_test):
    """The first row of a sheet: the test images, and nothing where the others have draws."""
    return np.concatenate([x_test[:10], np.zeros_like(x_test[:10])])


def make_training(x_train, x_test, y_test, epochs):
    """Train by the default recipe. Returns the two figures by their names: numbers and rows."""
    vae, fit = prepare("default", len(x_train), epochs)
    z = draw_latents(10, vae.latent_dim, seed=0)
    moments = Moments(x_test, z)
    vae.fit(x_train, callbacks=[moments], verbose=2, **fit)
    numbers = {
        "moments": moments.log,
        "floor": round(loss_floor(x_test), 4),
        "stepsOfEpoch": -(-len(x_train) // fit["batch_size"]),
    }
    rows = [originals(x_test), *moments.rows]
    return {"learning": (numbers, rows), "walk": make_walks(vae, x_test, y_test)}


def make_walks(vae, x_test, y_test):
    """Walks between codes; latents that are not in use are 0 on the way."""
    z_mean = vae.encoder.predict(x_test, verbose=0)[0]
    used = np.flatnonzero(kls_of(vae, x_test) > ENOUGH)
    first = [int(np.flatnonzero(y_test == digit)[0]) for digit in range(10)]
    pairs, rows = [], []
    for start, end in PAIRS:
        ends = np.zeros((2, vae.latent_dim))
        ends[:, used] = z_mean[[first[start], first[end]]][:, used].round(4)
        pairs.append({"digits": [start, end], "start": ends[0, used].tolist()})
        pairs[-1]["end"] = ends[1, used].tolist()
        for spherical in (False, True):
            way = interpolate(*ends, PLACES, spherical)
            rows.append(vae.decoder.predict(way.astype("float32"), verbose=0))
    band = chi(len(used)).ppf([0.05, 0.5, 0.95]).round(4).tolist()
    return {"pairs": pairs, "steps": PLACES, "band": band}, rows


def make_beta(x_train, x_test, _, epochs):
    """Train with one beta after another. Returns the figure by its name: numbers and rows."""
    models, rows = [], [originals(x_test)]
    for beta in BETAS:
        vae, fit = prepare("fast", len(x_train), epochs, beta=beta)
        vae.fit(x_train, verbose=0, **fit)
        kls = kls_of(vae, x_test)
        measured = terms(vae, x_test, kls)
        model = {"beta": beta, "rate": measured["kl"], "distortion": measured["reconstruction"]}
        models.append({**model, "inUse": int(np.sum(kls > ENOUGH))})
        rows.append(pictures_of(vae, x_test[:10], draw_latents(10, vae.latent_dim, seed=0)))
        print(models[-1], flush=True)
    return {"beta": ({"models": models}, rows)}


def prepare(recipe, num_images, epochs, **options):
    """A compiled model, and the arguments of `fit`."""
    epochs = epochs or RECIPES[recipe].epochs
    vae = build(recipe, num_images, epochs=epochs, **options)
    return vae, {"epochs": epochs, "batch_size": RECIPES[recipe].batch_size}


def sheet_of(rows):
    """Ink on paper in 16 greys, one row of images below the other."""
    longest = max(len(row) for row in rows)
    padded = [np.pad(row[..., 0], ((0, longest - len(row)), (0, 0), (0, 0))) for row in rows]
    ink = np.concatenate([np.concatenate(list(row), axis=1) for row in padded])
    picture = Image.fromarray(np.uint8(np.round(15 * (1 - ink))), mode="P")
    picture.putpalette(np.repeat(np.arange(16) * 17, 3).astype("uint8").tobytes())
    return picture


def write(name, numbers, rows, origin, folder):
    """Write the numbers and the sheet of a figure; the place of each is printed."""
    with atomic_path(folder / f"{name}.png") as partial:
        sheet_of(rows).save(partial, bits=4, optimize=True)
    with atomic_path(folder / f"{name}.json") as partial:
        partial.write_text(json.dumps({**origin, **numbers}) + "\n")
    print(f"wrote {folder / name}.json and .png")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("training", "beta"))
    parser.add_argument("--output", type=Path, default=LIVE)
    parser.add_argument("--images", type=int, help="how many to train and to test on, if not all")
    parser.add_argument("--epochs", type=int)
    options = parser.parse_args()
    origin = origin_of(options.output, LIVE)
    (x_train, _), (x_test, y_test) = load_mnist()
    images = x_train[: options.images], x_test[: options.images], y_test[: options.images]
    make = {"training": make_training, "beta": make_beta}[options.what]
    for name, (numbers, rows) in make(*images, options.epochs).items():
        write(name, numbers, rows, origin, options.output)


if __name__ == "__main__":
    main()
