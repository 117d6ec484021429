"""What is refused, and how it is said: the argument, what came, and what is wanted."""

import numbers

import keras
import numpy as np

SIGMOIDS = {"Sigmoid", "HardSigmoid"}
SIGMOID_ACTIVATIONS = keras.activations.sigmoid, keras.activations.hard_sigmoid
# layers and operations that leave values as they are, or to others between 0 and 1
ARRANGING = {
    "Activation", "Cast", "Clip", "Cropping1D", "Cropping2D", "Cropping3D", "Dropout", "ExpandDims",
    "Flatten", "GetItem", "Identity", "InputLayer", "Permute", "Reshape", "Squeeze", "Transpose",
    "UpSampling2D", "ZeroPadding2D",
}  # fmt: skip


def check_images(x, name: str = "x", image_shape: tuple | None = None, bernoulli: bool = True):
    """Refuse, by a `ValueError`, images that a VAE cannot be trained or measured on.

    Args:
        x: Array of images, (n, height, width, channels), or (n, *image_shape).
        name: How the message calls `x`.
        image_shape: Shape of one image, or `None` for any of three axes, but for 1 or 3 channels
            that come first.
        bernoulli: Whether the values must lie in [0, 1]; else they must be finite.
    """
    if np.ma.is_masked(x):
        raise ValueError(f"{name} has masked values; wanted numbers for all, as x.filled(0) gives.")
    x = np.asarray(x)
    hint = _channels_first_hint(x.shape[1:])
    wanted = f"(n, {', '.join(map(str, image_shape or ('height', 'width', 'channels')))})"
    # networks of one's own may take channels first
    fits = x.shape[1:] == tuple(image_shape) if image_shape else x.ndim == 4 and not hint
    if not fits:
        got = f"got the shape {x.shape}.{hint}"
        raise ValueError(f"{name} must hold images of shape {wanted}; {got}")
    if x.size == 0:
        raise ValueError(f"{name} holds no image; wanted {wanted} with n >= 1, got {x.shape}.")
    if x.dtype.kind not in "fiub":
        raise ValueError(f"{name} must hold numbers; got dtype {x.dtype}.")
    low = float(x.min())  # NaN, if there is one
    high = float(x.max())
    with np.errstate(over="ignore"):
        finite = np.isfinite(np.float32([low, high])).all()  # as Keras will hold them
    if not finite:
        raise ValueError(f"{name} must hold finite numbers; it holds NaN or infinity in float32.")
    if bernoulli and not 0 <= low <= high <= 1:
        hint = " Divide by 255?" if low >= 0 and 2 <= high <= 255 else ""
        got = f"values from {low:.9g} to {high:.9g}"
        raise ValueError(f"{name} must hold grey levels in [0, 1]; got {got}.{hint}")


def check_same_shapes(tensors, names: tuple):
    """Refuse tensors that are not of one shape, or not as many as `names`. Returns them."""
    wanted = " and ".join(names)
    if not isinstance(tensors, (tuple, list)):
        raise ValueError(f"{wanted} must be tensors in a tuple; got {type(tensors).__name__}.")
    shapes = [tuple(tensor.shape) for tensor in tensors]
    agree = len(shapes) == len(names) and len({len(shape) for shape in shapes}) == 1
    # a dimension of None is not known before the model runs
    if not agree or any(len({*sizes} - {None}) > 1 for sizes in zip(*shapes, strict=True)):
        raise ValueError(f"{wanted} must be tensors of one shape; got the shapes {shapes}.")
    return tensors


def check_weights(weights, n: int) -> np.ndarray:
    """Refuse weights that are not one finite number of 0 or more for each of `n` images."""
    weights = np.asarray(weights)
    if weights.shape not in ((n,), (n, 1)) or weights.dtype.kind not in "fiub":
        got = f"{weights.dtype} of shape {weights.shape}"
        raise ValueError(f"sample_weight must hold a number for each of {n} images; got {got}.")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError("sample_weight must hold finite numbers of 0 or more.")
    return weights.astype("float32").ravel()


def check_compiled(loss=None, loss_weights=None, metrics=None, weighted_metrics=None, **_):
    """Refuse arguments of `compile` that a VAE, which brings its own loss, would not use."""
    for name, value in (("loss", loss), ("loss_weights", loss_weights)):
        if value is not None:
            own = "a VAE brings its own loss, Equation 14; metrics=['mse'] measures images beside"
            raise ValueError(f"{name} must be None, for {own} it. Got {value!r}.")
    for name, value in (("metrics", metrics), ("weighted_metrics", weighted_metrics)):
        if isinstance(value, dict) and value.keys() != {"images"}:
            raise ValueError(f"{name} can be of 'images' alone; got some of {sorted(value)}.")


def check_count(value, name: str):
    """Refuse what is no integer of at least 1."""
    if not is_integer(value) or value < 1:
        raise ValueError(f"{name} must be an integer of at least 1; got {value!r}.")


def check_sigma(sigma):
    """Refuse a standard deviation that is no number above 0, nor `None`."""
    if sigma is not None and not (is_number(sigma) and 0 < sigma < np.inf):
        raise ValueError(f"sigma must be a number above 0, or None to learn it; got {sigma!r}.")


def check_beta(beta):
    """Refuse a weight of the kl term that is no number of 0 or more."""
    if not (is_number(beta) and 0 <= beta < np.inf):
        raise ValueError(f"beta must be a number of 0 or more; got {beta!r}.")


def check_image_shape(shape):
    """The shape of an image as a tuple; anything but three integers of at least 1 is refused."""
    sizes = shape if isinstance(shape, (tuple, list)) else ()
    if len(sizes) != 3 or not all(is_integer(size) and size >= 1 for size in sizes):
        wanted = "three integers (height, width, channels)"
        raise ValueError(f"image_shape must be {wanted}; got {shape!r}.")
    if hint := _channels_first_hint(sizes):
        raise ValueError(f"image_shape must be (height, width, channels); got {shape!r}.{hint}")
    return tuple(map(int, sizes))


def _channels_first_hint(shape):
    """How to move the channels of (1 or 3, height, width) to the end; "" for any other shape.

    Images of fewer than 8 rows or columns are not taken for such: a few rows of pixels with many
    channels each may be meant.
    """
    if len(shape) != 3 or shape[0] not in (1, 3) or min(shape[1:]) < 8:
        return ""
    return " Are the channels first? np.moveaxis(x, 1, -1) puts those of images last."


def is_integer(value) -> bool:
    """Whether `value` is an integer of Python or NumPy, and no boolean."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_number(value) -> bool:
    """Whether `value` is a real number, and no boolean."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_networks(encoder: keras.Model, decoder: keras.Model, likelihood: str):
    """Refuse two networks that do not make a VAE together."""
    for name, network in (("encoder", encoder), ("decoder", decoder)):
        if not (hasattr(network, "input_shape") and hasattr(network, "output_shape")):
            wanted = "a Keras model that knows its shapes: functional, or Sequential with an Input"
            raise ValueError(f"{name} must be {wanted}; got {type(network).__name__}.")
    q = encoder.output_shape
    if not (isinstance(q, (tuple, list)) and len(q) == 2 and q[0] == q[1]):
        wanted = "the pair (z_mean, z_log_var), of one shape"
        raise ValueError(f"encoder must return {wanted}; its output shape is {q}.")
    if (z := decoder.input_shape) != q[0]:
        raise ValueError(f"decoder must take latents of shape {q[0]}, as encoder gives; got {z}.")
    if (logits := decoder.output_shape) != (x := encoder.input_shape):
        raise ValueError(f"decoder must return images of shape {x}; it returns {logits}.")
    if likelihood == "bernoulli" and _ends_in_sigmoid(decoder):
        wanted = "end in logits for the bernoulli likelihood, not in a sigmoid"
        raise ValueError(f"decoder must {wanted}, which the VAE adds itself.")


def _ends_in_sigmoid(model):
    """Whether the last operation that does more than arrange values is a sigmoid."""
    steps = model.layers if isinstance(model, keras.Sequential) else model.operations
    for operation in reversed(steps):
        if isinstance(operation, keras.Sequential) or hasattr(operation, "operations"):
            return _ends_in_sigmoid(operation)
        activation = getattr(operation, "activation", keras.activations.linear)
        kind = type(operation).__name__
        if kind in SIGMOIDS or activation in SIGMOID_ACTIVATIONS:
            return True
        if hasattr(operation, "kernel") and activation is keras.activations.linear:
            return False
        if kind not in ARRANGING or activation is not keras.activations.linear:
            return _gives_probabilities(model)
    return False


def _gives_probabilities(model):
    """Whether its outputs stay in [0, 1] wherever z is, as of a sigmoid that no class names."""
    z = 1000.0 * np.random.default_rng(0).standard_normal((8, *model.input_shape[1:]))
    outputs = keras.ops.convert_to_numpy(model(np.concatenate([z, -z]).astype("float32")))
    return outputs.min() >= 0 and outputs.max() <= 1 and np.ptp(outputs) > 0
