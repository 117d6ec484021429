"""Writing Keras models as ONNX files, for runtimes that know nothing of Keras."""

import warnings

import keras
import numpy as np

from vae_keras._files import atomic_path
from vae_keras.cli.quiet import quiet_stderr

RTOL, ATOL = 1e-4, 1e-5  # float32 sums in another order; a wrong weight or layer shows far above


def check_can_export():
    """Raise a `ValueError` that says what to do if ONNX files cannot be written here."""
    if keras.backend.backend() != "tensorflow":
        # on JAX, Keras exports through jax2onnx: forty more packages, and weights in a second file beside the model
        raise ValueError("a model is exported on TensorFlow, whichever backend trained it: set KERAS_BACKEND=tensorflow.")
    try:
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise ValueError(f'ONNX files need {error.name}, which is optional: pip install "vae_keras[onnx]".') from error


def export_onnx(model, path, x):
    """Write a float32 Keras model as an ONNX file, once onnxruntime computes from it what Keras computes.

    Args:
        model: Keras model of one input.
        path: File to write. It appears once it is whole and checked.
        x: Float32 inputs on which the two are compared.

    Returns:
        The largest absolute difference between an output of onnxruntime and Keras's.

    Raises:
        ValueError: If an output differs by more than 1e-5 + 1e-4 of its size, or packages are missing.
        OSError: If the file cannot be written.
    """
    check_can_export()
    wanted = keras.tree.flatten(model.predict(x, verbose=0))  # first: Keras exports no model that was never called
    with atomic_path(path) as partial:
        with quiet_stderr(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's, about the patch with which Keras keeps tf2onnx running
            model.export(partial, format="onnx", verbose=False)
        got = _run_onnx(partial, x)
        for ours, theirs in zip(wanted, got, strict=True):
            if not np.allclose(theirs, ours, RTOL, ATOL):
                raise ValueError(f"{path} was not written: it gives other numbers than Keras, by up to {_gap(ours, theirs):.2g}.")
    return max(map(_gap, wanted, got))


def _run_onnx(path, x):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return session.run(None, {session.get_inputs()[0].name: x})


def _gap(ours, theirs):
    return float(np.abs(theirs - ours).max())
