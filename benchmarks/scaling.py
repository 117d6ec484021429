"""Weak and strong scaling of the default network over 1 and 2 devices, written to SCALING.md.

What bounds 8 and 64 devices is reckoned on paper. Each device is one core: a process of its own on
JAX, a logical device of one process on TensorFlow.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

BATCH = 256  # images a device with weak scaling, and in all with strong
STEPS = 10  # of an epoch
EPOCHS = 6
LINKS = {  # bytes a second
    "10 Gbit/s Ethernet": 10e9 / 8,
    "400 Gbit/s InfiniBand": 400e9 / 8,
    "NVLink, 450 GB/s": 450e9,
}


class Measured(NamedTuple):
    """What one run found."""

    step: float  # seconds
    parameters: int  # trained ones
    arrays: int  # that they are in
    latency: float | None  # seconds of one small all-reduce, on JAX


def measure(engine, devices, batch_size) -> Measured:
    """Train in processes of their own; give what the first prints."""
    cores = sorted(os.sched_getaffinity(0))[:devices]
    own_cores = [[core] for core in cores] if engine == "jax" else [cores]
    environment = _environment(engine, len(own_cores))
    runs = []
    for i, own in enumerate(own_cores):
        cores_of_it = ",".join(map(str, own))
        command = [sys.executable, __file__, str(devices), str(batch_size), cores_of_it]
        env = {**environment, "JAX_PROCESS_ID": str(i)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        runs.append(subprocess.Popen(command, env=env, **pipes))
    (out, err), *_ = [run.communicate() for run in runs]
    if runs[0].returncode:
        sys.exit(err)
    return Measured(*json.loads(out.strip().splitlines()[-1]))


def _environment(engine, processes):
    environment = {
        **os.environ,
        "KERAS_BACKEND": engine,
        "OMP_NUM_THREADS": "1",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    if engine == "jax":
        with socket.create_server(("127.0.0.1", 0)) as server:  # a port that nobody uses
            port = server.getsockname()[1]
        environment["JAX_COORDINATOR_ADDRESS"] = f"127.0.0.1:{port}"
        environment["JAX_NUM_PROCESSES"] = str(processes)
    return environment


def train(devices, batch_size):
    """What each process does: an epoch to compile, then some to measure.

    It prints the fields of `Measured`, the step that of the fastest epoch, which was disturbed
    least.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        _make_logical_devices(devices)
    from vae_keras import ConvVAE, load_mnist, make_optimizer
    from vae_keras.cli.distribute import all_devices

    keras.utils.set_random_seed(0)  # all processes must start from the same weights
    x = load_mnist()[0][0][: STEPS * batch_size]
    with all_devices() as place:
        vae = ConvVAE()
        vae.compile(make_optimizer("default", len(x), EPOCHS, batch_size))
        batches = place.batches(x, batch_size, seed=0)
        seconds = []
        for epoch in range(EPOCHS):
            start = time.perf_counter()
            vae.fit(batches, initial_epoch=epoch, epochs=epoch + 1, verbose=0)
            seconds.append((time.perf_counter() - start) / STEPS)
        sizes = [int(keras.ops.size(weight)) for weight in vae.trainable_weights]
        latency = small_all_reduce() if keras.backend.backend() == "jax" else None
    print(json.dumps(Measured(min(seconds[1:]), sum(sizes), len(sizes), latency)))


def _make_logical_devices(devices):
    import tensorflow as tf

    (processor,) = tf.config.list_physical_devices("CPU")
    logical = [tf.config.LogicalDeviceConfiguration()] * devices
    tf.config.set_logical_device_configuration(processor, logical)


def small_all_reduce():
    """The seconds of summing 1000 numbers over the processes: too few for their bytes to matter."""
    import jax
    import numpy as np
    from jax.sharding import NamedSharding, PartitionSpec

    mesh = jax.sharding.Mesh(np.array(jax.devices()), "device")
    split = NamedSharding(mesh, PartitionSpec("device"))
    whole = NamedSharding(mesh, PartitionSpec())
    x = jax.make_array_from_process_local_data(split, np.ones((1, 1000), "float32"))
    total = jax.jit(lambda x: x.sum(0), out_shardings=whole)
    seconds = []
    for _ in range(100):
        start = time.perf_counter()
        total(x).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def scaling_table(measured):
    """What was measured, as the lines of a Markdown table.

    Takes a dict from engine and kind of scaling to runs: devices, batch and seconds a step.
    """
    head = ("engine", "scaling", "devices", "batch", "ms a step", "images a second", "efficiency")
    lines = [_line(head), "|---" * len(head) + "|"]
    for (engine, scaling), runs in measured.items():
        alone, *_ = [batch / seconds for _, batch, seconds in runs]
        for devices, batch, seconds in runs:
            rate = batch / seconds
            numbers = f"{1000 * seconds:.0f}", f"{rate:.0f}", f"{rate / alone / devices:.0%}"
            lines.append(_line((engine, scaling, devices, batch, *numbers)))
    return lines


def paper_table(parameters, step):
    """What 2, 8 and 64 devices would have to send, as the lines of a Markdown table."""
    links = [f"all-reduce over {name}, ms" for name in LINKS]
    head = ("devices", "bytes a step and device", *links, "weak: step, ms", "strong: step, ms")
    lines = [_line(head), "|---" * len(head) + "|"]
    for n in (2, 8, 64):
        moved = bytes_moved(parameters, n)
        times = [f"{1000 * moved / speed:.2f}" for speed in LINKS.values()]
        steps = f"{1000 * step:.0f}", f"{1000 * step / n:.1f}"
        lines.append(_line((n, f"{moved / 1e6:.1f} MB", *times, *steps)))
    return lines


def bytes_moved(parameters, devices):
    """Bytes that each device of a ring sends in a step: float32 gradients, there and back."""
    return 4 * parameters * 2 * (devices - 1) / devices


def _line(cells):
    return f"| {' | '.join(map(str, cells))} |"


def report(measured, last):
    """The text of SCALING.md, from the runs and from JAX's last one."""
    step = measured["jax", "weak"][0][2]
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[1]
    latency = 1000 * last.latency
    gained = 1000 * (last.step - step)
    needed = bytes_moved(last.parameters, 64) / step / 1e6
    measured_lines = "\n".join(scaling_table(measured))
    paper_lines = "\n".join(paper_table(last.parameters, step))
    return f"""# Scaling

`python benchmarks/scaling.py`: the default network, the fastest of {EPOCHS - 1} epochs of
{STEPS} steps, on {cores} cores of a processor, one core a device.
The load average over 5 minutes was {load:.1f}, this benchmark included.

{measured_lines}

On JAX, each process needs {latency:.1f} ms to sum 1000 numbers over both, though their bytes would
take no time: on one core, the thread that computes and the one that talks wait for each other. A
step sums {last.arrays} arrays of gradients at least, so about {latency * last.arrays:.0f} ms; weak
scaling adds {gained:.0f} ms to a step.
Devices that do not share a core with the network's thread are not held up in this way; none were
here to measure. The two devices of TensorFlow are in one process, and sum in its memory.

## What bounds it at 8 and at 64

Each step, each device sends and receives the gradients of {last.parameters} parameters:
4 x parameters x 2(n - 1)/n bytes in a ring. Against the step of one core above, on paper:

{paper_lines}

Weak scaling keeps {BATCH} images a device, so that the step stays as long as it is, and the bytes
hardly grow with n: over a link faster than {needed:.0f} MB/s, the step of such a core outlasts its
all-reduce at 64 devices. The faster the device, the faster the link must be, in proportion. Strong
scaling divides the step by n, and leaves the bytes: at 64 devices each has {BATCH // 64} images,
and its link must be 64 times as fast, and the delay of each of the {last.arrays} sums weighs more
than its bytes.
"""


def main():
    measured = {}
    last = {}
    for engine in ("jax", "tensorflow"):
        one = measure(engine, 1, BATCH)
        strong = measure(engine, 2, BATCH)
        weak = measure(engine, 2, 2 * BATCH)
        measured[engine, "strong"] = [(1, BATCH, one.step), (2, BATCH, strong.step)]
        measured[engine, "weak"] = [(1, BATCH, one.step), (2, 2 * BATCH, weak.step)]
        last[engine] = weak
    text = report(measured, last["jax"])
    Path(__file__).with_name("SCALING.md").write_text(text)
    print(text)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        devices, batch_size, cores = sys.argv[1:]
        os.sched_setaffinity(0, map(int, cores.split(",")))  # before the backends count the cores
        train(int(devices), int(batch_size))
    else:
        main()
