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

import jax
import jax.numpy as jnp
import keras
import numpy as np
from keras import layers

from vae_keras import ConvVAE, binarize, load_mnist
from vae_keras._files import atomic_path
from vae_keras.networks import NETWORKS, _heads, _normed_relu

BATCH_SIZE = 500  # which divides 50 000 and 60 000
PEAK_RATE = 0.002  # of Adam, reached after the first fiftieth of the time
TIMED = {"keng2017": 64, "default": 64, "resnet": 32}  # networks and their latents
DRAWS = 1000  # of z for each image, for -log P(X)


def resnet_networks(latent_dim, image_shape, dtype=None):
    """Residual blocks of 3 x 3 convolutions each way, two at each size: 28, 14 and 7."""
    height, width, channels = image_shape
    rows = -(-height // 4)
    columns = -(-width // 4)
    same = {"padding": "same", "dtype": dtype}

    images = keras.Input(image_shape, name="images")
    h = _two_blocks(layers.Conv2D(32, 3, **same)(images), dtype)  # 28x28x32
    h = _two_blocks(layers.Conv2D(64, 3, strides=2, **same)(h), dtype)  # 14x14x64
    h = _two_blocks(layers.Conv2D(64, 3, strides=2, **same)(h), dtype)  # 7x7x64
    h = layers.Flatten(dtype=dtype)(_normed_relu(h, dtype))
    h = _normed_relu(layers.Dense(512, dtype=dtype)(h), dtype)
    encoder = keras.Model(images, _heads(h, latent_dim, log_var=-3.0), name="encoder")

    z = keras.Input((latent_dim,), name="z")
    h = _normed_relu(layers.Dense(512, dtype=dtype)(z), dtype)
    h = layers.Dense(rows * columns * 64, dtype=dtype)(h)
    h = _two_blocks(layers.Reshape((rows, columns, 64), dtype=dtype)(h), dtype)  # 7x7x64
    h = _two_blocks(layers.Conv2DTranspose(64, 4, strides=2, **same)(h), dtype)  # 14x14x64
    h = _two_blocks(layers.Conv2DTranspose(32, 4, strides=2, **same)(h), dtype)  # 28x28x32
    h = layers.Conv2D(channels, 3, **same)(_normed_relu(h, dtype))
    h = layers.Cropping2D(((0, 4 * rows - height), (0, 4 * columns - width)), dtype=dtype)(h)
    h = layers.Activation("linear", dtype="float32")(h)
    return encoder, keras.Model(z, h, name="decoder_network")


def _two_blocks(h, dtype):
    for _ in range(2):
        change = h
        for _ in range(2):
            change = _normed_relu(change, dtype)
            change = layers.Conv2D(h.shape[-1], 3, padding="same", dtype=dtype)(change)
        h = layers.Add(dtype=dtype)([h, change])
    return h


NETWORKS["resnet"] = resnet_networks


class Trainer:
    """A VAE whose epochs run on the device as one compiled function.

    Args:
        network, dtype: As for `ConvVAE`.
        batch_size: Images of a step.
    """

    def __init__(self, network, batch_size, dtype=None):
        keras.utils.set_random_seed(0)
        self.vae = ConvVAE(TIMED[network], network=network, dtype=dtype)
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


def operations_per_image(vae):
    """Floating-point operations of a training step for an image: thrice those of the products.

    XLA's own count leaves out the convolutions that it hands to cuDNN.
    """
    products = 0
    for layer in [*vae.encoder.layers, *vae.decoder_network.layers]:
        if isinstance(layer, layers.Dense):
            products += layer.kernel.shape[0] * layer.kernel.shape[1]
        elif isinstance(layer, layers.Conv2D | layers.Conv2DTranspose):
            transposed = isinstance(layer, layers.Conv2DTranspose)
            places = layer.input.shape[1:3] if transposed else layer.output.shape[1:3]
            products += int(np.prod(layer.kernel.shape)) * places[0] * places[1]
    return 3 * 2 * products


def operations_a_second(size, dtype):
    """Those of a large matrix product: what this device reaches at best."""
    matrix = jax.random.normal(jax.random.key(0), (size, size), dtype)
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
    rate = operations_per_image(trainer.vae) * len(x) / seconds
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
    while (share := (time.perf_counter() - start) / length) < 1:
        rate = PEAK_RATE * min(1.0, 0.02 + 50 * share) * 0.5 * (1 + np.cos(np.pi * share))
        trainer.set_rate(rate)
        trainer.state, loss = trainer.epoch(trainer.state, x, jax.random.key(1 + len(log)))
        entry = {"epoch": len(log) + 1, "seconds": time.perf_counter() - start}
        entry |= {"loss": float(loss), "held_out_neg_elbo": trainer.neg_elbo(held_out)}
        log.append(entry)
        if entry["held_out_neg_elbo"] <= min(past["held_out_neg_elbo"] for past in log):
            best = jax.tree.map(jnp.copy, trainer.state)
        if len(log) % 10 == 1:
            write(log)
            print(json.dumps(entry), flush=True)
    write(log)
    return best, log


def log_likelihood(vae, x, num_samples, batch_size, draws_at_once=50):
    """log P(X) of images (n,) by importance sampling, as `VAE.log_likelihood`, on the device."""
    decoder = vae.decoder_network
    trained = [variable.value for variable in decoder.trainable_variables]
    kept = [variable.value for variable in decoder.non_trainable_variables]

    def log_weights(x, mean, log_var, key):
        epsilon = jax.random.normal(key, (draws_at_once, *mean.shape))
        z = mean + jnp.exp(0.5 * log_var) * epsilon  # Equation 13
        logits, _ = decoder.stateless_call(trained, kept, z.reshape(-1, z.shape[-1]))
        logits = logits.reshape(draws_at_once, *x.shape)
        log_p = x * logits - jnp.logaddexp(0.0, logits)
        ratio = 0.5 * jnp.sum(epsilon**2 - z**2 + log_var, axis=-1)
        return log_p.sum(axis=(2, 3, 4)) + ratio

    @jax.jit
    def estimate(x, mean, log_var, keys):
        values = jax.lax.map(lambda key: log_weights(x, mean, log_var, key), keys)
        return jax.nn.logsumexp(values.reshape(-1, len(x)), axis=0) - jnp.log(num_samples)

    found = []
    for start in range(0, len(x), batch_size):
        rows = slice(start, start + batch_size)
        mean, log_var = vae.encoder(x[rows])
        keys = jax.random.split(jax.random.key(start), num_samples // draws_at_once)
        found.append(estimate(x[rows], mean, log_var, keys))
    return np.concatenate(found).astype("float64")


def score(vae, x, quick):
    """-ELBO and -log P(X) of binary images, their means and standard errors in nats per image.

    The latter for fifty images by `VAE.log_likelihood` too, which shares no code with that above.
    """
    measures = {
        "test_neg_elbo": -vae.elbo(np.asarray(x), num_samples=1 if quick else 10),
        "test_nll": -log_likelihood(vae, x, 100 if quick else DRAWS, 4 if quick else 100),
    }
    found = {}
    for name, nats in measures.items():
        found[name] = float(nats.mean())
        found[f"{name}_standard_error"] = float(nats.std(ddof=1) / np.sqrt(len(nats)))
    few = np.asarray(x[:50])
    again = -vae.log_likelihood(few, DRAWS, seed=1)
    found["nll_of_50_images"] = [float(measures["test_nll"][:50].mean()), float(again.mean())]
    return {**found, "test_images": len(x), "num_samples": 100 if quick else DRAWS}


def main():
    start = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=9.0, help="how long it may take in all")
    parser.add_argument("--output", type=Path, required=True, help="folder for gpu.json")
    parser.add_argument("--quick", action="store_true", help="a rehearsal on few images")
    arguments = parser.parse_args()
    quick = arguments.quick
    path = arguments.output / "gpu.json"
    (x_train, _), (x_test, _) = load_mnist()
    if quick:
        x_train = x_train[:24]
        x_test = x_test[:8]
    split = len(x_train) * 5 // 6
    record = {"device": str(jax.devices()[0].device_kind), "jax": jax.__version__}
    record |= {"keras": keras.__version__, "minutes": arguments.minutes, "quick": quick}

    def write(**more):
        record.update(more)
        with atomic_path(path) as partial:
            partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    x = jnp.asarray(x_train[:split])
    peak = operations_a_second(256 if quick else 8192, "float32")
    timings = []
    for network in TIMED:  # the deep one last, which is then trained
        trainer = Trainer(network, 4 if quick else BATCH_SIZE)
        timings.append(time_network(trainer, network, x, peak, 1 if quick else 5))
        write(timings=timings, peak_teraflops=peak / 1e12)
    held_out = jnp.asarray(binarize(x_train[split:], seed=0))
    # the scores take a seventh of the time
    end = start + 60 * arguments.minutes * (0.5 if quick else 0.83)
    best, log = train_until(end, trainer, x, held_out, lambda log: write(log=log))
    chosen = min(log, key=lambda entry: entry["held_out_neg_elbo"])
    write(chosen=chosen, parameters=trainer.vae.count_params())
    trainer.give_to_model(best)
    write(**score(trainer.vae, jnp.asarray(binarize(x_test, seed=0)), quick))
    with atomic_path(arguments.output / "resnet.keras") as partial:
        trainer.vae.save(partial)
    shown = {name: value for name, value in record.items() if name not in ("log", "timings")}
    print(json.dumps(shown, indent=1))
    print(f"Wrote {path}")


if __name__ == "__main__":
    main()
