"""Trains small VAEs on drawn shapes, whose factors are known, and scores their latents.

`python benchmarks/disentanglement.py` trains the default network on one half of the shapes, for
each seed with each beta, and as a control with beta = 1 for twice as long. It scores draws from
Q(z|X) of the other half: by the mutual information gap, of the latents as they are and turned by
random rotations, and by how well each factor is read from all latents in use together.

The record is benchmarks/records/disentanglement.json. It is written after each run: if it is
stopped, it holds the runs so far. It is made on committed code alone; trials go to another folder,
--output.
"""

import argparse
import itertools
import time

import keras
import numpy as np
from matplotlib.colors import hsv_to_rgb
from record import origin_of, parse_trial, record_runs
from scipy.special import entr
from sklearn.neighbors import KNeighborsClassifier

from vae_keras import ConvVAE, make_optimizer
from vae_keras.layers import IN_USE, kl_per_latent

NUM_VALUES = {"kind": 3, "size": 5, "across": 8, "down": 8, "hue": 6}
SEEDS = 5
BETAS = (1, 4)
EPOCHS = 20
LATENT_DIM = 10
BATCH_SIZE = 64
ROTATIONS = 20


def draw_shape(kind, size, across, down, hue):
    """One image, (16, 16, 3)."""
    points = (np.arange(64) + 0.5) / 4 - 5  # a grid of 4 x 4 points in each pixel
    radius = 3 + 0.5 * size
    u = np.abs(points - 6 / 7 * across) / radius
    v = (points[:, None] - 6 / 7 * down) / radius
    circle = u**2 + v**2 < 1
    square = np.maximum(u, np.abs(v)) < 0.85
    triangle = (v < 0.7) & (v > 1.8 * u - 1)
    inside = (circle, square, triangle)[kind]
    cover = inside.reshape(16, 4, 16, 4).mean(axis=(1, 3))[..., None]
    return 1 - cover + cover * hsv_to_rgb((hue / 5 * 2 / 3, 1, 1))


def make_shapes():
    """All combinations of the factors, (n, 5), in an order drawn at random, and their images."""
    grids = np.meshgrid(*map(np.arange, NUM_VALUES.values()), indexing="ij")
    factors = np.stack(grids, axis=-1).reshape(-1, 5)
    factors = np.random.default_rng(0).permutation(factors)
    return factors, np.stack([draw_shape(*row) for row in factors]).astype("float32")


def information(z, v):
    """I(z; v) in nats, with z cut into 20 intervals of equal width."""
    joint = np.histogram2d(z, v, (20, v.max() + 1))[0] / len(z)
    separate = entr(joint.sum(axis=1)).sum() + entr(joint.sum(axis=0)).sum()
    return separate - entr(joint).sum()


def shares_told(codes, factors):
    """What each latent tells of each factor, as a share of the factor's entropy."""
    table = [[information(z, v) / information(v, v) for v in factors.T] for z in codes.T]
    return np.array(table)


def mig(shares):
    """The gap between the best and the second best latent, of each factor (Chen et al., 2018)."""
    ordered = np.sort(shares, axis=0)
    return ordered[-1] - ordered[-2]


def train(x, seed, beta, epochs):
    """Train on the shapes. Returns the model, and the seconds."""
    keras.utils.set_random_seed(seed)
    vae = ConvVAE(LATENT_DIM, image_shape=x.shape[1:], beta=beta, seed=seed)
    vae.compile(make_optimizer("default", len(x), epochs, BATCH_SIZE))
    start = time.perf_counter()
    vae.fit(x, epochs=epochs, batch_size=BATCH_SIZE, verbose=0)
    return vae, time.perf_counter() - start


def encode(vae, x):
    """z_mean, z_log_var and one draw from Q(z|X) for each image."""
    z_mean, z_log_var = vae.encoder.predict(x, verbose=0)
    epsilon = np.random.default_rng(0).standard_normal(z_mean.shape)
    return z_mean, z_log_var, z_mean + np.exp(0.5 * z_log_var) * epsilon


def turned(codes, factors):
    """The mutual information gap of codes turned by random rotations, the mean over them."""
    rng = np.random.default_rng(0)
    size = codes.shape[1]
    scores = []
    for _ in range(ROTATIONS):
        rotation = np.linalg.qr(rng.standard_normal((size, size)))[0]
        scores.append(mig(shares_told(codes @ rotation, factors)).mean())
    return float(np.mean(scores))


def read(codes, factors):
    """How often a factor of the second half is that of most of the 5 nearest codes of the first."""
    half = len(codes) // 2
    right = [
        KNeighborsClassifier(5).fit(codes[:half], v[:half]).score(codes[half:], v[half:])
        for v in factors.T
    ]
    return by_factor(right)


def judge(vae, factors, shapes):
    """Score a model on the second half of the shapes."""
    half = len(shapes) // 2
    z_mean, z_log_var, z = encode(vae, shapes)
    kl = np.mean(kl_per_latent(z_mean[half:], z_log_var[half:]), axis=0)
    in_use = int(np.sum(kl > IN_USE))
    used = np.argsort(-kl)[: max(2, in_use)]  # a gap needs two
    neg_elbo = -vae.elbo(shapes[half:], num_samples=4, seed=0)
    shares = shares_told(z[half:], factors[half:])
    return {
        "neg_elbo": round(float(neg_elbo.mean()), 3),
        "rate": round(float(kl.sum()), 3),
        "in_use": in_use,
        "mig": round(float(mig(shares).mean()), 4),
        "mig_turned": round(turned(z[half:, used], factors[half:]), 4),
        "gaps": by_factor(mig(shares)),
        "best_shares": by_factor(shares.max(axis=0)),
        "read": read(z[:, used], factors),
    }


def by_factor(values):
    """Numbers by the names of the factors."""
    return {name: round(float(value), 4) for name, value in zip(NUM_VALUES, values, strict=True)}


def run(factors, shapes, seed, beta, epochs):
    """Train on the first half of the shapes, and judge on the second."""
    vae, seconds = train(shapes[: len(shapes) // 2], seed, beta, epochs)
    said = {"seed": seed, "beta": beta, "epochs": epochs, "seconds": round(seconds, 1)}
    return {**said, **judge(vae, factors, shapes)}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many (default: {SEEDS})")
    of_one = f"of a training (default: {EPOCHS}); the control takes twice as many"
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=of_one)
    options = parse_trial(parser)
    origin = origin_of(options.output)
    factors, shapes = (array[: options.images] for array in make_shapes())
    record = {
        **origin,
        "images": len(shapes) // 2,
        "batch_size": BATCH_SIZE,
        "latent_dim": LATENT_DIM,
        "read_from_pixels": read(shapes.reshape(len(shapes), -1), factors),
    }
    ways = [*((beta, options.epochs) for beta in BETAS), (1, 2 * options.epochs)]
    ways = itertools.product(range(options.seeds), ways)
    runs = (run(factors, shapes, seed, *way) for seed, way in ways)
    record_runs(record, runs, "disentanglement", options.output)


if __name__ == "__main__":
    main()
