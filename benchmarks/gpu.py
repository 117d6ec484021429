"""What one GPU makes of the networks, on JAX: their speed, and the deep one trained and scored.

`KERAS_BACKEND=jax python benchmarks/gpu.py --minutes 9 --output FOLDER` takes no longer than that.
First it times epochs of the 2017 network, the default one and the deep one, with the data on the
device, a whole epoch compiled, and the learning rate at zero. Then it trains the deep one on 50 000
binarised images (new draws in each epoch) in the time that is left, keeps the epoch with the best
-ELBO on 10 000 training images held out, and scores that one on all test images, once.
`--quick` is a rehearsal, on any machine.

The measure of the deep one is the class of Kingma et al. (2016, Table 1): prior N(0, I), one layer
of 32 latents, a diagonal normal Q; there -ELBO is 84.08 nats, and -log P(X) 81.08.
"""

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np
from keras import layers
from measuring import multiply_adds
from record import machine

from vae_keras import ConvVAE, binarize, load_mnist
from vae_keras._files import atomic_path
from vae_keras.evaluation import standard_error
from vae_keras.networks import NETWORKS, _heads

PEAK_RATE = 0.002  # of Adam, reached after the first fiftieth of the time
TIMED = {"keng2017": 64, "default": 64, "resnet": 32}  # networks and their latents


class Sizes(NamedTuple):
    """How much is measured: what the targets speak of, or, with `--quick`, as little as runs."""

    train_images: int = 60000
    test_images: int = 10000
    batch_size: int = 500  # which divides 50 000
    epochs_timed: int = 5
    matrix: int = 8192  # rows and columns of the product that tells the peak
    elbo_draws: int = 10  # of z for each image
    draws: int = 1000  # the same, for -log P(X)
    images_at_once: int = 100
    training_share: float = 0.83  # of the minutes; the scores take the rest


QUICK = Sizes(
    train_images=24, test_images=8, batch_size=4, epochs_timed=1, matrix=256, elbo_draws=1,
    draws=100, images_at_once=4, training_share=0.5,
)  # fmt: skip


def resnet_networks(latent_dim, image_shape, dtype, activation):
    """Residual blocks of 3 x 3 convolutions each way, two at each size: 28, 14 and 7."""
    height, width, channels = image_shape
    rows = -(-height // 4)
    columns = -(-width // 4)
    same = {"padding": "same", "dtype": dtype}
    made = {"activation": activation, "dtype": dtype}

    images = keras.Input(image_shape, name="images")
    h = _two_blocks(layers.Conv2D(32, 3, **same)(images), **made)  # 28x28x32
    h = _two_blocks(layers.Conv2D(64, 3, strides=2, **same)(h), **made)  # 14x14x64
    h = _two_blocks(layers.Conv2D(64, 3, strides=2, **same)(h), **made)  # 7x7x64
    h = layers.Flatten(dtype=dtype)(_normed(h, **made))
    h = _normed(layers.Dense(512, dtype=dtype)(h), **made)
    encoder = keras.Model(images, _heads(h, latent_dim, log_var=-3.0), name="encoder")

    z = keras.Input((latent_dim,), name="z")
    h = _normed(layers.Dense(512, dtype=dtype)(z), **made)
    h = layers.Dense(rows * columns * 64, dtype=dtype)(h)
    h = _two_blocks(layers.Reshape((rows, columns, 64), dtype=dtype)(h), **made)  # 7x7x64
    h = _two_blocks(layers.Conv2DTranspose(64, 4, strides=2, **same)(h), **made)  # 14x14x64
    h = _two_blocks(layers.Conv2DTranspose(32, 4, strides=2, **same)(h), **made)  # 28x28x32
    h = layers.Conv2D(channels, 3, **same)(_normed(h, **made))
    h = layers.Cropping2D(((0, 4 * rows - height), (0, 4 * columns - width)), dtype=dtype)(h)
    h = layers.Activation("linear", dtype="float32")(h)
    return encoder, keras.Model(z, h, name="decoder_network")


def _two_blocks(h, activation, dtype):
    for _ in range(2):
        change = h
        for _ in range(2):
            change = _normed(change, activation, dtype)
            change = layers.Conv2D(h.shape[-1], 3, padding="same", dtype=dtype)(change)
        h = layers.Add(dtype=dtype)([h, change])
    return h


def _normed(h, activation, dtype):
    h = layers.BatchNormalization(momentum=0.9, dtype=dtype)(h)
    return layers.Activation(activation, dtype=dtype)(h)


NETWORKS["resnet"] = resnet_networks, "relu"


class Trainer:
    """A VAE whose epochs run on the device as one compiled function.

    Args:
        network: As for `ConvVAE`.
        batch_size: Images of a step.
    """

    def __init__(self, network, batch_size):
        keras.utils.set_random_seed(0)
        self.vae = ConvVAE(TIMED[network], network=network)
        self.batch_size = batch_size
        self.optimizer = keras.optimizers.Adam(0.0)
        self.optimizer.build(self.vae.trainable_variables)
        trained = self.vae.trainable_variables
        kept = self.vae.non_trainable_variables
        parts = (trained, kept, self.optimizer.variables)
        self.state = tuple([variable.value for variable in part] for part in parts)
        names = [variable.path for variable in self.optimizer.variables]
        (self.rate,) = (i for i, name in enumerate(names) if name.endswith("learning_rate"))
        self.epoch = jax.jit(self._epoch, donate_argnums=0)
        self.terms = jax.jit(self._terms)

    def set_rate(self, rate):
        self.state[2][self.rate] = jnp.asarray(rate, "float32")

    def _loss(self, trained, kept, x):
        _, kept, losses = self.vae.stateless_call(
            trained, kept, x, training=True, return_losses=True
        )
        return sum(losses), kept

    def _epoch(self, state, x, key):
        """Train for an epoch on x; returns the new state and the mean loss, in nats per image."""
        order_key, key = jax.random.split(key)
        steps = len(x) // self.batch_size
        order = jax.random.permutation(order_key, len(x))[: steps * self.batch_size]

        def step(state, rows_and_key):
            rows, key = rows_and_key
            batch = jax.random.bernoulli(key, x[rows]).astype("float32")
            slope = jax.value_and_grad(self._loss, has_aux=True)
            (loss, kept), gradients = slope(state[0], state[1], batch)
            trained, moments = self.optimizer.stateless_apply(state[2], gradients, state[0])
            return (trained, kept, moments), loss

        rows = order.reshape(steps, self.batch_size)
        state, losses = jax.lax.scan(step, state, (rows, jax.random.split(key, steps)))
        return state, losses.mean()

    def _terms(self, state, x):
        """The mean reconstruction and KL of binary images, in nats per image."""

        def measure(kept, batch):
            outputs, kept = self.vae.stateless_call(state[0], kept, batch, training=False)
            return kept, (outputs["reconstruction"].mean(), outputs["kl"].mean())

        batches = x.reshape(-1, self.batch_size, *x.shape[1:])
        _, terms = jax.lax.scan(measure, state[1], batches)
        return tuple(term.mean() for term in terms)

    def neg_elbo(self, x):
        return float(sum(self.terms(self.state, x)))

    def give_to_model(self, state):
        """Put the weights of a state into the model, whose own methods can then be called."""
        variables = self.vae.trainable_variables + self.vae.non_trainable_variables
        for variable, value in zip(variables, state[0] + state[1], strict=True):
            variable.assign(value)


def seconds_of_an_epoch(trainer, x, repeats):
    """The median of some epochs after the first, and the first, which compiles."""
    seconds = []
    for i in range(repeats + 1):
        start = time.perf_counter()
        trainer.state, loss = trainer.epoch(trainer.state, x, jax.random.key(i))
        loss.block_until_ready()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds[1:])), seconds[0]


def operations_a_second(size):
    """Those of a large float32 matrix product: what this device reaches at best."""
    matrix = jax.random.normal(jax.random.key(0), (size, size))
    multiply = jax.jit(jnp.matmul)
    multiply(matrix, matrix).block_until_ready()
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        multiply(matrix, matrix).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / np.median(seconds)


def time_network(trainer, network, x, peak, repeats):
    """Seconds of an epoch of 60 000 images, images a second, and the share of the peak."""
    seconds, first = seconds_of_an_epoch(trainer, x, repeats)
    # of a step, forwards and backwards; XLA's own count lacks the convolutions given to cuDNN
    operations = 2 * 3 * multiply_adds(trainer.vae)
    rate = operations * len(x) / seconds
    row = {"network": network, "seconds_of_60000_images": 60000 * seconds / len(x)}
    row |= {"first_epoch_seconds": first, "images_per_second": len(x) / seconds}
    row |= {"teraflops": rate / 1e12, "share_of_peak": rate / peak}
    print(json.dumps(row), flush=True)
    return row


def train_until(end, trainer, x, held_out, write):
    """Train until the time `end`, and return the state with the best held-out -ELBO, and a log.

    The learning rate rises, then falls along a cosine to zero, by the clock.
    """
    trainer.neg_elbo(held_out)  # which compiles it
    start = time.perf_counter()
    length = max(end - start, 1.0)
    log = []
    best = None
    least = np.inf
    while (share := (time.perf_counter() - start) / length) < 1:
        rate = PEAK_RATE * min(1.0, 0.02 + 50 * share) * 0.5 * (1 + np.cos(np.pi * share))
        trainer.set_rate(rate)
        trainer.state, loss = trainer.epoch(trainer.state, x, jax.random.key(1 + len(log)))
        entry = {"epoch": len(log) + 1, "seconds": time.perf_counter() - start}
        entry |= {"loss": float(loss), "held_out_neg_elbo": trainer.neg_elbo(held_out)}
        log.append(entry)
        if entry["held_out_neg_elbo"] < least:
            least = entry["held_out_neg_elbo"]
            best = jax.tree.map(jnp.copy, trainer.state)
        if len(log) % 10 == 1:
            write(log)
            print(json.dumps(entry), flush=True)
    write(log)
    return best, log


def log_likelihood(vae, x, num_samples, images_at_once, draws_at_once=50):
    """log P(X) of images (n,) by importance sampling, as `VAE.log_likelihood`, on the device."""
    model = vae.z_to_reconstruction
    trained = [variable.value for variable in model.trainable_variables]
    kept = [variable.value for variable in model.non_trainable_variables]

    def log_weights(x, mean, log_var, key):
        epsilon = jax.random.normal(key, (draws_at_once, *mean.shape))
        z = mean + jnp.exp(0.5 * log_var) * epsilon  # Equation 13
        pairs = jnp.tile(x, (draws_at_once, 1, 1, 1)), z.reshape(-1, z.shape[-1])
        reconstruction, _ = model.stateless_call(trained, kept, pairs)
        log_ratio = 0.5 * jnp.sum(epsilon**2 - z**2 + log_var, axis=-1)
        return log_ratio - reconstruction.reshape(log_ratio.shape)

    @jax.jit
    def estimate(x, mean, log_var, keys):
        values = jax.lax.map(lambda key: log_weights(x, mean, log_var, key), keys)
        return jax.nn.logsumexp(values.reshape(-1, len(x)), axis=0) - jnp.log(num_samples)

    found = []
    for start in range(0, len(x), images_at_once):
        rows = slice(start, start + images_at_once)
        mean, log_var = vae.encoder(x[rows])
        keys = jax.random.split(jax.random.key(start), num_samples // draws_at_once)
        found.append(estimate(x[rows], mean, log_var, keys))
    return np.concatenate(found).astype("float64")


def score(vae, x, sizes):
    """-ELBO and -log P(X) of binary images, their means and standard errors in nats per image."""
    on_device = jnp.asarray(x)
    measures = {
        "test_neg_elbo": -vae.elbo(x, sizes.elbo_draws),
        "test_nll": -log_likelihood(vae, on_device, sizes.draws, sizes.images_at_once),
    }
    found = {}
    for name, nats in measures.items():
        found[name] = float(nats.mean())
        found[f"{name}_standard_error"] = standard_error(nats)
    return {**found, "test_images": len(x), "num_samples": sizes.draws}


class Record:
    """What the script found so far, written whole to gpu.json each time that something is added."""

    def __init__(self, folder, **first):
        self.path = folder / "gpu.json"
        self.found = first

    def add(self, **more):
        self.found.update(more)
        with atomic_path(self.path) as partial:
            partial.write_text(json.dumps(self.found, indent=1) + "\n", encoding="utf-8")


def time_networks(x, sizes, record):
    """Time an epoch of each network; return the trainer of the last, the deep one."""
    peak = operations_a_second(sizes.matrix)
    timings = []
    for network in TIMED:
        trainer = Trainer(network, sizes.batch_size)
        timings.append(time_network(trainer, network, x, peak, sizes.epochs_timed))
        record.add(timings=timings, peak_teraflops=peak / 1e12)
    return trainer


def measure(minutes, folder, sizes):
    start = time.perf_counter()
    device = jax.devices()[0].device_kind
    versions = {"device": device, "jax": jax.__version__, **machine()}
    record = Record(folder, minutes=minutes, **sizes._asdict(), **versions)
    (x_train, _), (x_test, _) = load_mnist()
    x_train = x_train[: sizes.train_images]
    split = len(x_train) * 5 // 6
    x = jnp.asarray(x_train[:split])
    trainer = time_networks(x, sizes, record)
    held_out = jnp.asarray(binarize(x_train[split:], seed=0))
    end = start + 60 * minutes * sizes.training_share
    best, log = train_until(end, trainer, x, held_out, lambda log: record.add(log=log))
    chosen = min(log, key=lambda entry: entry["held_out_neg_elbo"])
    record.add(chosen=chosen, parameters=trainer.vae.count_params())
    trainer.give_to_model(best)
    with atomic_path(folder / "resnet.keras") as partial:
        trainer.vae.save(partial)
    record.add(**score(trainer.vae, binarize(x_test[: sizes.test_images], seed=0), sizes))
    shown = {name: value for name, value in record.found.items() if name != "log"}
    print(json.dumps(shown, indent=1))
    print(f"Wrote {record.path} and {folder / 'resnet.keras'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=9.0, help="how long it may take in all")
    parser.add_argument("--output", type=Path, required=True, help="folder for what it finds")
    parser.add_argument("--quick", action="store_true", help="a rehearsal on few images")
    arguments = parser.parse_args()
    measure(arguments.minutes, arguments.output, QUICK if arguments.quick else Sizes())


if __name__ == "__main__":
    main()
