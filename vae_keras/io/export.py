"""Writing Keras models as ONNX files, for runtimes that know nothing of Keras."""

import warnings

import keras
import numpy as np

from vae_keras._files import atomic_path

RTOL = 1e-4  # float32 sums in another order; a wrong weight or layer shows far above
ATOL = 1e-5


def check_can_export():
    """Raise a `ValueError` that says what to do if ONNX files cannot be written here."""
    if keras.backend.backend() != "tensorflow":
        # on JAX, Keras exports through jax2onnx: forty more packages, and weights in another file
        raise ValueError("any model is exported on TensorFlow: set KERAS_BACKEND=tensorflow.")
    try:
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ImportError as error:
        how = 'pip install "vae_keras[onnx]"'
        raise ValueError(f"ONNX files need {error.name}, which is optional: {how}.") from error


def export_onnx(model: keras.Model, path, x: np.ndarray) -> float:
    """Write a float32 model as an ONNX file, once onnxruntime computes from it what Keras does.

    Args:
        model: Keras model of one input.
        path: File to write. It appears once it is whole and checked.
        x: Float32 inputs on which the two are compared.

    Returns:
        The largest absolute difference between an output of onnxruntime and Keras's.

    Raises:
        ValueError: If one differs by more than 1e-5 + 1e-4 of its size, or packages are missing.
    """
    check_can_export()
    # first, since Keras exports no model that was never called
    wanted = keras.tree.flatten(model.predict(x, verbose=0))
    _teach_erfc()
    with atomic_path(path) as partial:
        with warnings.catch_warnings():
            # about the patch with which Keras keeps tf2onnx running
            warnings.simplefilter("ignore")
            model.export(partial, format="onnx", verbose=False)
        got = _run_onnx(partial, x)
        for ours, theirs in zip(wanted, got, strict=True):
            if not np.allclose(theirs, ours, RTOL, ATOL):
                gap = f"by up to {_gap(ours, theirs):.2g}"
                raise ValueError(
                    f"{path} was not written: it gives other numbers than Keras, {gap}."
                )
    return max(map(_gap, wanted, got))


def _teach_erfc():
    """Tell tf2onnx what Erfc is, of which TensorFlow makes GELU: 1 - Erf."""
    from tf2onnx.handler import tf_op

    def as_one_less_erf(graph, node, **kwargs):
        (x,) = node.input
        made = {"outputs": node.output, "shapes": node.output_shapes, "dtypes": node.output_dtypes}
        graph.remove_node(node.name)
        erf = graph.make_node("Erf", [x], dtypes=made["dtypes"], shapes=made["shapes"])
        one = graph.make_const(f"{node.name}_one", np.float32(1))
        graph.make_node("Sub", [one.output[0], erf.output[0]], name=node.name, **made)

    tf_op("Erfc").register_compat_handler(as_one_less_erf, version=9)


def _run_onnx(path, x):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return session.run(None, {session.get_inputs()[0].name: x})


def _gap(ours, theirs):
    return float(np.abs(theirs - ours).max())
