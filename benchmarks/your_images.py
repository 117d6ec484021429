"""The images of docs/guides/your_images.md: made, trained on, measured, and drawn.

`python benchmarks/your_images.py --output FOLDER` makes in FOLDER grey shapes, patches of the two
photographs of scikit-learn, icons with transparency, and digits, as PNG files in folders of classes
or none; trains on each with `vae_keras train`; and prints the guide's table. FOLDER/RUN.png is what
that draws, and FOLDER/RUN.webp the same in few bytes. All is seeded, and nothing is downloaded.

--only RUN    this training alone; may be repeated
"""

import argparse
import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_images

from vae_keras import load_mnist

SIZE = 32
SHAPES = ("circle", "square", "triangle", "plus")
LARGE = 4 * SIZE  # drawn four times as large, and scaled down: smooth edges
GAUSSIAN = ["--likelihood", "gaussian"]
OPTIONS = {
    "shapes": [],
    "shapes, long": ["--epochs", "30"],
    "icons": [],
    "icons, gaussian": GAUSSIAN,
    "icons, 8 latents": [*GAUSSIAN, "--latent-dim", "8"],
    "icons, collapsed": [*GAUSSIAN, "--sigma", "5"],
    "patches": GAUSSIAN,
    "patches, long": [*GAUSSIAN, "--epochs", "40"],
    "patches, bernoulli": [],
    **{f"{n} digits": [] for n in (30, 60, 300, 2000)},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--only", action="append", choices=tuple(OPTIONS), metavar="RUN")
    options = parser.parse_args()
    columns = "run, images, options, -ELBO, KL, mean image, floor, latents in use, sigma, seconds"
    print(f"| {columns.replace(', ', ' | ')} |")
    print("|" + "---|" * 10)
    for run in options.only or OPTIONS:
        name = run.partition(",")[0]
        folder = options.output / name.replace(" ", "_")
        if not folder.exists():
            make(name, folder, np.random.default_rng(0))
        output = options.output / f"{run.replace(', ', '_').replace(' ', '_')}.keras"
        print(row(run, train(folder, output, OPTIONS[run])), flush=True)


def make(name, folder, rng):
    makers = {"shapes": make_shapes, "patches": make_patches, "icons": make_icons}
    if name in makers:
        return makers[name](folder, rng)
    (digits, _), _ = load_mnist()
    for i in rng.permutation(len(digits))[: int(name.split()[0])]:
        save(Image.fromarray(np.uint8(np.round(digits[i, ..., 0] * 255))), folder / f"{i}.png")


def make_shapes(folder, rng, n=2000):
    """Circles, squares and triangles of grey on black, at random places, of random sizes."""
    for i in range(n):
        kind = SHAPES[i % 3]  # no plus
        radius = rng.uniform(20, 44)
        x, y = rng.uniform(radius, LARGE - radius, 2)
        image = Image.new("L", (LARGE, LARGE))
        draw_shape(ImageDraw.Draw(image), kind, x, y, radius, int(rng.integers(120, 256)))
        save(image, folder / kind / f"{i:04d}.png")


def make_patches(folder, _):
    """Patches of both photographs that do not overlap: no part of a test image is trained on."""
    photographs = load_sample_images()
    for name, photograph in zip(photographs.filenames, photographs.images, strict=True):
        height, width = (SIZE * (length // SIZE) for length in photograph.shape[:2])
        for top, left in itertools.product(range(0, height, SIZE), range(0, width, SIZE)):
            patch = photograph[top : top + SIZE, left : left + SIZE]
            save(Image.fromarray(patch), folder / Path(name).stem / f"{top:03d}_{left:03d}.png")


def make_icons(folder, rng, n=2000):
    """White signs on a disc or a tile of any colour, a little moved; all else is transparent."""
    for i in range(n):
        image = Image.new("RGBA", (LARGE, LARGE))
        draw = ImageDraw.Draw(image)
        colour = f"hsv({rng.integers(360)}, 80%, 80%)"
        x, y = LARGE / 2 + rng.uniform(-8, 8, 2)
        ground = SHAPES[rng.integers(2)]
        kind = SHAPES[i % 4]
        draw_shape(draw, ground, x, y, rng.uniform(48, 56), colour)
        draw_shape(draw, kind, x, y, rng.uniform(20, 32), "white")
        save(image, folder / kind / f"{i:04d}.png")


def draw_shape(draw, kind, x, y, radius, colour):
    if kind == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), colour)
    elif kind == "square":
        side = 0.85 * radius
        draw.rounded_rectangle((x - side, y - side, x + side, y + side), radius / 4, colour)
    elif kind == "triangle":
        draw.regular_polygon((x, y, radius), 3, fill=colour)
    else:
        draw.rectangle((x - radius, y - radius / 3, x + radius, y + radius / 3), colour)
        draw.rectangle((x - radius / 3, y - radius, x + radius / 3, y + radius), colour)


def save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    if image.width == LARGE:
        image = image.resize((SIZE, SIZE), Image.Resampling.BOX)
    image.save(path)


def train(folder, output, options):
    """Train by the command line, as a reader would; its results."""
    command = [sys.executable, "-m", "vae_keras", "train", "--data", str(folder), *options]
    command += ["--output", str(output), "--json"]
    print(" ".join(command[1:]), file=sys.stderr, flush=True)
    results = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    with Image.open(output.with_suffix(".png")) as picture:
        picture.convert("RGB").save(output.with_suffix(".webp"), quality=80)
    return results


def row(run, results):
    number = results["training_images"] + results["test_images"]
    keys = ("neg_elbo", "kl", "mean_image", "floor", "latents_in_use", "sigma", "training_seconds")
    numbers = [str(results.get(key, "none")) for key in keys]
    return f"| {' | '.join([run, str(number), ' '.join(OPTIONS[run]), *numbers])} |"


if __name__ == "__main__":
    main()
