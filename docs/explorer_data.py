"""Write what the explorer page loads: `python docs/explorer_data.py FIGURES OUTPUT`, once `npm ci` has run in docs/.

FIGURES holds the models of `make figures`. What is large is compressed here and not by the host, so that the page weighs the same
everywhere, and so that a checksum tells the page when a file is damaged.
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
from vae_keras.evaluation import IN_USE, kl_per_latent
from vae_keras.io.export import export_onnx
from vae_keras.plots import DIGIT_COLOURS

MODELS = {"decoder_2d": "vae_2_latents.keras", "decoder_64d": "vae.keras"}
REACH = 3.0  # the map shows latents from -3 to 3
RUNTIME = Path(__file__).parent / "node_modules/onnxruntime-web/dist"
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"


def load_rounded(path):
    """Load a VAE whose decoder's dense layers Keras rounds to 8 bits: with all 32 the page would weigh twice what it may."""
    vae = load_vae(path)
    for layer in vae.decoder_network.layers:
        if isinstance(layer, keras.layers.Dense):
            layer.quantize(
                config=keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
            )
    return vae


def write_decoder(decoder, path):
    """Let Keras export the decoder; then store its rounded kernels, which the export made floats, as the integers that they are."""
    export_onnx(decoder, path, np.zeros((1, *decoder.input_shape[1:]), "float32"))
    model = onnx.load(path)
    for kernel in [tensor for tensor in model.graph.initializer if len(tensor.dims) == 2]:
        model.graph.initializer.remove(kernel)
        model.graph.initializer.append(
            from_array(to_array(kernel).astype("int8"), f"{kernel.name}:int8")
        )
        cast = onnx.helper.make_node(
            "Cast", [f"{kernel.name}:int8"], [kernel.name], to=onnx.TensorProto.FLOAT
        )
        model.graph.node.insert(0, cast)  # the runtime computes it once, when it loads the model
    path.unlink()
    _write_compressed(f"{path}.zlib", model.SerializeToString())


def page_data(flat_vae, vae):
    """What the page shows beside the decoders: encoded test digits, a mixture prior, and digits to walk between."""
    (x_train, _), (x, labels) = load_mnist()
    codes = flat_vae.encoder.predict(x[:3000], verbose=0)[0]
    walkers = np.stack([np.flatnonzero(labels == digit)[:2] for digit in range(10)], axis=1).ravel()
    return {
        "colours": DIGIT_COLOURS,
        "points": {"z": _as_list(codes, 2), "labels": labels[:3000].tolist()},
        "mixture": _mixture(*vae.encoder.predict(x_train, verbose=0)),
        "digits": {
            "z": _as_list(vae.encoder.predict(x[walkers], verbose=0)[0], 4),
            "labels": labels[walkers].tolist(),
            "pixels": (255 * x[walkers]).round().astype(int).reshape(len(walkers), -1).tolist(),
        },
    }


def _mixture(z_mean, z_log_var):
    """The mixture prior over the latents in use, each covariance by its Cholesky root; the other latents are N(0, 1)."""
    prior, used = (
        fit_mixture_prior(z_mean, z_log_var),
        np.flatnonzero(kl_per_latent(z_mean, z_log_var) > IN_USE),
    )
    roots = np.linalg.cholesky(prior.covariances_[:, used[:, None], used])
    parts = {"weights": prior.weights_, "means": prior.means_[:, used], "roots": roots}
    return {"used": used.tolist(), **{name: _as_list(values, 4) for name, values in parts.items()}}


def main(figures, output):
    output.mkdir(parents=True, exist_ok=True)
    vaes = {name: load_rounded(figures / file) for name, file in MODELS.items()}
    for name, vae in vaes.items():
        write_decoder(vae.decoder, output / f"{name}.onnx")
    _write_compressed(
        output / "data.json.zlib",
        json.dumps(page_data(*vaes.values()), separators=(",", ":")).encode(),
    )
    _write_compressed(output / f"{WASM}.zlib", (RUNTIME / WASM).read_bytes())
    shutil.copy(RUNTIME / SCRIPT, output)


def _write_compressed(path, content):
    Path(path).write_bytes(zlib.compress(content, 9))


def _as_list(values, decimals):
    return np.asarray(values, "float64").round(decimals).tolist()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
