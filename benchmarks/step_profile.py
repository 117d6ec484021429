"""Where the time of a training step goes, read from a trace of TensorFlow's profiler."""

import collections
import tempfile
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

STEP_FUNCTION = "_on_iterator"  # in the name of the function that Keras makes of a training step


class StepProfile(NamedTuple):
    """What `profile_fit` finds."""

    kinds: dict  # the share of each kind of operation in the time of all, the largest first
    python: float  # the time between two steps, as a share of the time of the epoch's steps
    data: float  # that of the input pipeline's threads, which run beside the step, as such a share


def profile_fit(vae, x, batch_size):
    """Trace an epoch of a VAE whose step has been traced by TensorFlow before."""
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            vae.fit(x, batch_size=batch_size, verbose=0)
        threads = _threads(next(Path(folder).rglob("*.xplane.pb")))
    steps = [event for event in threads["python"] if _is_step(event)]
    first = min(start for _, start, _ in steps)
    last = max(start + duration for _, start, duration in steps)
    inside = sum(duration for _, _, duration in steps)
    operations = []
    data = 0
    for name, events in threads.items():
        if name.startswith("tf_Compute"):
            operations += events
        elif name.startswith("tf_data"):
            data += _busy(events)
    kinds = _kinds(operations, vae.optimizer.name)
    return StepProfile(kinds, 1 - inside / (last - first), data / (last - first))


def _threads(path):
    """The events of each of the processor's threads, as name, start and duration."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    space.ParseFromString(path.read_bytes())
    plane = next(plane for plane in space.planes if plane.name == "/host:CPU")
    names = {key: value.name for key, value in plane.event_metadata.items()}
    return {
        line.name: [(names[e.metadata_id], e.offset_ps, e.duration_ps) for e in line.events]
        for line in plane.lines
    }


def _is_step(event):
    return event[0].startswith("EagerLocalExecute") and STEP_FUNCTION in event[0]


def _kinds(events, optimizer):
    """Share of each kind of operation in the time of all.

    The event of an operation is called `path/in/the/graph:Type`.
    """
    kinds = collections.Counter()
    for name, _, duration in events:
        path, colon, operation = name.rpartition(":")
        if colon and "/" in path:
            kinds[_kind(path, operation, optimizer)] += duration
    return {kind: duration / kinds.total() for kind, duration in kinds.most_common()}


def _kind(path, operation, optimizer):
    if "Conv2D" in operation:
        return "convolutions"
    if "MatMul" in operation:
        return "matrix products of the dense layers"
    kinds = {
        f"/{optimizer}/": "optimizer",
        "batch_normalization": "batch normalisation",
        "variational_loss": "loss",
        "sampling": "noise",
    }
    for part, kind in kinds.items():
        if part in f"/{path}/":
            return kind
    return "biases, activations and the rest"


def _busy(events):
    """Time in which at least one event of a thread is under way; events nest."""
    busy = 0
    end = 0
    for start, stop in sorted((start, start + duration) for _, start, duration in events):
        busy += max(0, stop - max(start, end))
        end = max(end, stop)
    return busy
