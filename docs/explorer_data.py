"""Write what the explorer page loads: `python docs/explorer_data.py FIGURES OUTPUT`.

FIGURES holds the models of `make figures`; `npm ci` must have run in docs/. What is large is
compressed here and not by the host, so that the page weighs the same everywhere, and so that a
checksum tells the page when a file is damaged.
"""

import json
import shutil
import sys
import zlib
from pathlib import Path

import keras
import numpy as np
import onnx
from onnx.numpy_helper import from_array, to_array

from vae_keras import fit_mixture_prior, load_mnist, load_vae
from vae_keras.io.export import export_onnx
from vae_keras.layers import IN_USE, kl_per_latent
from vae_keras.plots import DIGIT_COLOURS

MODELS = {"2d": "vae_2_latents.keras", "64d": "vae.keras"}
RUNTIME = Path(__file__).parent / "node_modules/onnxruntime-web/dist"
SCRIPT = "ort.wasm.bundle.min.mjs"
WASM = "ort-wasm-simd-threaded.wasm"
NUM_POINTS = 3000  # test digits on the map
NUM_JUDGED = 500  # test digits whose -ELBO the page shows
DRAWS = 16  # of z for each of them, as in the page


def load_rounded(path):
    """Load a VAE with its large weights rounded, since the page may not weigh more.

    Keras rounds the kernels of the decoder's dense layers to 8 bits. The encoder's lose half of
    their 32 bits: its answer is compared with a narrow Q.
    """
    vae = load_vae(path)
    config = keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
    for layer in vae.decoder_network.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.quantize(config=config)
    for layer in vae.encoder.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.kernel.assign(np.asarray(layer.kernel).astype("float16").astype("float32"))
    return vae


def write_network(network, path, dtype, outputs):
    """Let Keras export a network; then store its rounded kernels in the few bits that they need.

    The export made floats of them. The outputs get names of their own.
    """
    export_onnx(network, path, np.zeros((1, *network.input_shape[1:]), "float32"))
    model = onnx.load(path)
    for kernel in [tensor for tensor in model.graph.initializer if len(tensor.dims) == 2]:
        values = to_array(kernel)
        if not np.array_equal(values.astype(dtype), values):
            raise ValueError(f"{kernel.name} of {path.name} is not rounded to {dtype}.")
        stored = f"{kernel.name}:{dtype}"
        model.graph.initializer.remove(kernel)
        model.graph.initializer.append(from_array(values.astype(dtype), stored))
        to_float = {"to": onnx.TensorProto.FLOAT}
        cast = onnx.helper.make_node("Cast", [stored], [kernel.name], **to_float)
        model.graph.node.insert(0, cast)  # the runtime computes it once, when it loads the model
    for output, name in zip(model.graph.output, outputs, strict=True):
        model.graph.node.append(onnx.helper.make_node("Identity", [output.name], [name]))
        output.name = name
    path.unlink()
    _write_compressed(f"{path}.zlib", model.SerializeToString())


def page_data(flat_vae):
    """What the page shows beside the models: encoded test digits, and the first two of each."""
    _, (x, labels) = load_mnist()
    codes, _ = flat_vae.encoder.predict(x[:NUM_POINTS], verbose=0)
    offered = first_two(labels)
    pixels = (255 * x[offered]).round().astype(int).reshape(len(offered), -1)
    return {
        "colours": DIGIT_COLOURS,
        "points": {"z": _as_list(codes, 2), "labels": labels[:NUM_POINTS].tolist()},
        "digits": {"labels": labels[offered].tolist(), "pixels": pixels.tolist()},
    }


def first_two(labels):
    """The places of the digits that the page offers: the ten first, then the ten second ones."""
    return np.stack([np.flatnonzero(labels == digit)[:2] for digit in range(10)], axis=1).ravel()


def facts(rounded, exact):
    """What the page says of a model.

    The latents in use; what test digits cost, sorted; how far the rounding moves their -ELBO, with
    the same draws; and if there are 64 latents, where walks end, and a mixture prior.
    """
    (x_train, _), (x, labels) = load_mnist()
    q = rounded.encoder.predict(x, verbose=0)
    kl = np.mean(kl_per_latent(*q), axis=0)
    used = np.flatnonzero(kl > IN_USE)
    costs = -rounded.elbo(x[:NUM_JUDGED], DRAWS)
    moved = np.abs(costs + exact.elbo(x[:NUM_JUDGED], DRAWS))
    found = {
        "latents": rounded.latent_dim,
        "in_use": IN_USE,
        "used": used.tolist(),
        "kl_mean": _as_list(kl, 4),
        "sorted": _as_list(np.sort(costs), 2),
        "distance": {"mean": round(moved.mean(), 4), "most": round(moved.max(), 4)},
    }
    if rounded.latent_dim == 2:
        return found
    prior = fit_mixture_prior(*rounded.encoder.predict(x_train, verbose=0))
    ends = _as_list(q[0][first_two(labels)], 4)
    return {**found, "ends": ends, "mixture": _mixture(prior)}


def _mixture(prior):
    """A mixture prior over the latents in use, each covariance by its Cholesky root."""
    # along the others, which stay N(0, 1), all means are 0
    used = np.flatnonzero(prior.means.any(axis=0))
    roots = np.linalg.cholesky(prior.covariances[:, used[:, None], used])
    return {
        "used": used.tolist(),
        "weights": _as_list(prior.weights, 4),
        "means": _as_list(prior.means[:, used], 4),
        "roots": _as_list(roots, 4),
    }


def main(figures, output):
    output.mkdir(parents=True, exist_ok=True)
    for name, file in MODELS.items():
        vae = load_rounded(figures / file)
        encoder = output / f"encoder_{name}.onnx"
        write_network(vae.encoder, encoder, "float16", ["z_mean", "z_log_var"])
        write_network(vae.decoder_network, output / f"decoder_{name}.onnx", "int8", ["logits"])
        _write_json(output / f"facts_{name}.json.zlib", facts(vae, load_vae(figures / file)))
    _write_json(output / "data.json.zlib", page_data(load_rounded(figures / MODELS["2d"])))
    _write_compressed(output / f"{WASM}.zlib", (RUNTIME / WASM).read_bytes())
    shutil.copy(RUNTIME / SCRIPT, output)


def _write_json(path, content):
    _write_compressed(path, json.dumps(content, separators=(",", ":")).encode())


def _write_compressed(path, content):
    Path(path).write_bytes(zlib.compress(content, 9))


def _as_list(values, decimals):
    return np.asarray(values, "float64").round(decimals).tolist()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
