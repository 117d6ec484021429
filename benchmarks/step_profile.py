"""Where the time of a training step goes, read from a trace of TensorFlow's profiler."""

import collections
import tempfile
from pathlib import Path

import tensorflow as tf

STEP_FUNCTION = (
    "_on_iterator"  # part of the name of the function into which Keras traces a training step
)


def profile_fit(vae, x, batch_size):
    """Trace an epoch of a VAE whose step has been traced by TensorFlow before.

    Returns:
        `kinds`: dict from the kind of operation to its share of the time of all operations inside of the step, largest
        first. `python` and `data`: the time between two steps, and that of the threads of the input pipeline (which run
        beside the step), each as a share of the time of the epoch's steps.
    """
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            vae.fit(x, batch_size=batch_size, verbose=0)
        plane = _cpu_plane(next(Path(folder).rglob("*.xplane.pb")))
    names = {key: value.name for key, value in plane.event_metadata.items()}
    lines = {
        line.name: [(names[e.metadata_id], e.offset_ps, e.duration_ps) for e in line.events]
        for line in plane.lines
    }
    steps = [
        event
        for event in lines["python"]
        if event[0].startswith("EagerLocalExecute") and STEP_FUNCTION in event[0]
    ]
    span = max(start + duration for _, start, duration in steps) - min(
        start for _, start, _ in steps
    )
    data = sum(_busy(events) for name, events in lines.items() if name.startswith("tf_data"))
    kinds = _kinds(
        [
            event
            for name, events in lines.items()
            if name.startswith("tf_Compute")
            for event in events
        ],
        vae,
    )
    return kinds, 1 - sum(duration for _, _, duration in steps) / span, data / span


def _cpu_plane(path):
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    space.ParseFromString(path.read_bytes())
    return next(plane for plane in space.planes if plane.name == "/host:CPU")


def _kinds(events, vae):
    """Share of each kind of operation in the time of all; an operation's event is called `path/in/the/graph:Type`."""
    kinds = collections.Counter()
    for name, _, duration in events:
        path, colon, operation = name.rpartition(":")
        if colon and "/" in path:
            kinds[_kind(path, operation, vae.optimizer.name)] += duration
    return {kind: duration / kinds.total() for kind, duration in kinds.most_common()}


def _kind(path, operation, optimizer):
    if "Conv2D" in operation:
        return "convolutions"
    if "MatMul" in operation:
        return "matrix products of the dense layers"
    kinds = {
        **{f"/{optimizer}/": "optimizer", "batch_normalization": "batch normalisation"},
        **{"variational_loss": "loss", "sampling": "noise"},
    }
    return next(
        (kind for part, kind in kinds.items() if part in f"/{path}/"),
        "biases, activations and the rest",
    )


def _busy(events):
    """Time in which at least one event of a thread is under way; events nest."""
    busy = end = 0
    for start, stop in sorted((start, start + duration) for _, start, duration in events):
        busy += max(0, stop - max(start, end))
        end = max(end, stop)
    return busy
