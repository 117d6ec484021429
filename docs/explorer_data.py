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
from vae_keras.plots import DIGIT_COLOURS

MODELS = {"decoder_2d": "vae_2_latents.keras", "decoder_64d": "vae.keras"}
RUNTIME = Path(__file__).parent / "node_modules/onnxruntime-web/dist"
SCRIPT = "ort.wasm.bundle.min.mjs"
WASM = "ort-wasm-simd-threaded.wasm"
NUM_POINTS = 3000  # test digits on the map


def load_rounded(path):
    """Load a VAE whose decoder's dense layers Keras rounds to 8 bits.

    With all 32 the page would weigh twice what it may.
    """
    vae = load_vae(path)
    config = keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
    for layer in vae.decoder_network.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.quantize(config=config)
    return vae


def write_decoder(decoder, path):
    """Let Keras export the decoder; then store its rounded kernels as the integers that they are.

    The export made floats of them.
    """
    export_onnx(decoder, path, np.zeros((1, *decoder.input_shape[1:]), "float32"))
    model = onnx.load(path)
    for kernel in [tensor for tensor in model.graph.initializer if len(tensor.dims) == 2]:
        stored = f"{kernel.name}:int8"
        model.graph.initializer.remove(kernel)
        model.graph.initializer.append(from_array(to_array(kernel).astype("int8"), stored))
        to_float = {"to": onnx.TensorProto.FLOAT}
        cast = onnx.helper.make_node("Cast", [stored], [kernel.name], **to_float)
        model.graph.node.insert(0, cast)  # the runtime computes it once, when it loads the model
    path.unlink()
    _write_compressed(f"{path}.zlib", model.SerializeToString())


def page_data(flat_vae, vae):
    """What the page shows beside the decoders.

    Encoded test digits, a mixture prior, and digits to walk between: the first two of each.
    """
    (x_train, _), (x, labels) = load_mnist()
    codes, _ = flat_vae.encoder.predict(x[:NUM_POINTS], verbose=0)
    first_two = [np.flatnonzero(labels == digit)[:2] for digit in range(10)]
    walkers = np.stack(first_two, axis=1).ravel()
    ends, _ = vae.encoder.predict(x[walkers], verbose=0)
    pixels = (255 * x[walkers]).round().astype(int).reshape(len(walkers), -1)
    prior = fit_mixture_prior(*vae.encoder.predict(x_train, verbose=0))
    return {
        "colours": DIGIT_COLOURS,
        "points": {"z": _as_list(codes, 2), "labels": labels[:NUM_POINTS].tolist()},
        "mixture": _mixture(prior),
        "digits": {
            "z": _as_list(ends, 4),
            "labels": labels[walkers].tolist(),
            "pixels": pixels.tolist(),
        },
    }


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
    vaes = {name: load_rounded(figures / file) for name, file in MODELS.items()}
    for name, vae in vaes.items():
        write_decoder(vae.decoder, output / f"{name}.onnx")
    flat_vae, vae = vaes.values()
    data = json.dumps(page_data(flat_vae, vae), separators=(",", ":"))
    _write_compressed(output / "data.json.zlib", data.encode())
    _write_compressed(output / f"{WASM}.zlib", (RUNTIME / WASM).read_bytes())
    shutil.copy(RUNTIME / SCRIPT, output)


def _write_compressed(path, content):
    Path(path).write_bytes(zlib.compress(content, 9))


def _as_list(values, decimals):
    return np.asarray(values, "float64").round(decimals).tolist()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
