"""Weak and strong scaling of the default network over 1 and 2 devices, written to SCALING.md with what bounds 8 and 64 on paper.

Each device is one core: a process of its own on JAX, a logical device of one process on TensorFlow.
"""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

BATCH, STEPS, EPOCHS = 256, 10, 6
LINKS = {
    "10 Gbit/s Ethernet": 10e9 / 8,
    "400 Gbit/s InfiniBand": 400e9 / 8,
    "NVLink, 450 GB/s": 450e9,
}


def measure(engine, devices, batch_size):
    """Train in processes of their own. Returns what the first prints: see `train`."""
    processes, cores = (devices if engine == "jax" else 1), sorted(os.sched_getaffinity(0))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    threads = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")
    environment = {**os.environ, **threads, "KERAS_BACKEND": engine, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if engine == "jax":
        environment |= {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(processes)}
    runs = []
    for i in range(processes):
        own = cores[:devices] if engine == "tensorflow" else cores[i : i + 1]
        command = [sys.executable, __file__, str(devices), str(batch_size), ",".join(map(str, own))]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        runs.append(
            subprocess.Popen(command, env={**environment, "JAX_PROCESS_ID": str(i)}, **pipes)
        )
    (out, err), *_ = [run.communicate() for run in runs]
    if runs[0].returncode:
        sys.exit(err)
    return json.loads(out.strip().splitlines()[-1])


def train(devices, batch_size):
    """What each process does: an epoch to compile, then some to measure, of which the fastest was disturbed least.

    It prints the seconds of a step, the trained parameters, their arrays, and on JAX the seconds of one small all-reduce.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        logical = [tf.config.LogicalDeviceConfiguration()] * devices
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0], logical
        )
    from vae_keras import ConvVAE, load_mnist, make_optimizer
    from vae_keras.cli.distribute import all_devices

    keras.utils.set_random_seed(0)  # all processes must start from the same weights
    x = load_mnist()[0][0][: STEPS * batch_size]
    with all_devices() as place:
        vae = ConvVAE()
        vae.compile(make_optimizer("default", len(x), EPOCHS, batch_size))
        seconds = []
        for _ in range(EPOCHS):
            start = time.perf_counter()
            vae.fit(
                place.share(x, batch_size, True),
                batch_size=batch_size,
                shuffle=place.processes == 1,
                verbose=0,
            )
            seconds.append((time.perf_counter() - start) / STEPS)
        sizes = [int(keras.ops.size(weight)) for weight in vae.trainable_weights]
        latency = small_all_reduce() if keras.backend.backend() == "jax" else None
    print(json.dumps([min(seconds[1:]), sum(sizes), len(sizes), latency]))


def small_all_reduce():
    """The seconds that it takes to sum 1000 numbers over the processes: too few for their bytes to matter."""
    import jax
    import numpy as np
    from jax.sharding import NamedSharding, PartitionSpec

    mesh, seconds = jax.sharding.Mesh(np.array(jax.devices()), "device"), []
    x = jax.make_array_from_process_local_data(
        NamedSharding(mesh, PartitionSpec("device")), np.ones((1, 1000), "float32")
    )
    total = jax.jit(lambda x: x.sum(0), out_shardings=NamedSharding(mesh, PartitionSpec()))
    for _ in range(100):
        start = time.perf_counter()
        total(x).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def report(measured, parameters):
    """The two tables, as Markdown."""
    lines = [
        "| engine | scaling | devices | batch | ms a step | images a second | efficiency |",
        "|---|---|---|---|---|---|---|",
    ]
    for (engine, scaling), runs in measured.items():
        rates = [batch / seconds for _, batch, seconds in runs]
        for (devices, batch, seconds), rate in zip(runs, rates, strict=True):
            share = f"{rate / rates[0] / devices:.0%}"
            lines.append(
                f"| {engine} | {scaling} | {devices} | {batch} | {1000 * seconds:.0f} | {rate:.0f} | {share} |"
            )
    step = measured["jax", "weak"][0][2]
    links = [f"all-reduce over {name}, ms" for name in LINKS]
    head = ["devices", "bytes a step and device", *links, "weak: step, ms", "strong: step, ms"]
    paper = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for n in (2, 8, 64):
        moved = 4 * parameters * 2 * (n - 1) / n
        times = " | ".join(f"{1000 * moved / speed:.2f}" for speed in LINKS.values())
        paper.append(
            f"| {n} | {moved / 1e6:.1f} MB | {times} | {1000 * step:.0f} | {1000 * step / n:.1f} |"
        )
    return lines, paper, step


def main():
    measured, last = {}, {}
    for engine in ("jax", "tensorflow"):
        one, strong, last[engine] = (
            measure(engine, *run) for run in ((1, BATCH), (2, BATCH), (2, 2 * BATCH))
        )
        measured[engine, "strong"] = [(1, BATCH, one[0]), (2, BATCH, strong[0])]
        measured[engine, "weak"] = [(1, BATCH, one[0]), (2, 2 * BATCH, last[engine][0])]
    _, parameters, arrays, latency = last["jax"]
    lines, paper, step = report(measured, parameters)
    gained = measured["jax", "weak"][1][2] - step
    needed = 4 * parameters * 2 * 63 / 64 / step
    text = f"""# Scaling

`python benchmarks/scaling.py`: the default network, the fastest of {EPOCHS - 1} epochs of {STEPS} steps, on
{len(os.sched_getaffinity(0))} cores of a processor, one core a device.
The load average over 5 minutes was {os.getloadavg()[1]:.1f}, this benchmark included.

{chr(10).join(lines)}

On JAX, each process needs {1000 * latency:.1f} ms to sum 1000 numbers over both, though their bytes would take no time:
on one core, the thread that computes and the one that talks wait for each other. A step sums
{arrays} arrays of gradients at least, so about {1000 * latency * arrays:.0f} ms; weak scaling adds {1000 * gained:.0f} ms.
Devices that do not share a core with the network's thread are not held up in this way; none were here to
measure. The two devices of TensorFlow are in one process, and sum in its memory.

## What bounds it at 8 and at 64

Each step, each device sends and receives the gradients of {parameters} parameters: 4 x parameters x 2(n - 1)/n
bytes in a ring. Against the step of one core above, on paper:

{chr(10).join(paper)}

Weak scaling keeps {BATCH} images a device, so that the step stays as long as it is, and the bytes hardly grow with n:
over a link faster than {needed / 1e6:.0f} MB/s, the step of such a core outlasts its all-reduce at 64 devices. The faster the
device, the faster the link must be, in proportion. Strong scaling divides the step by n, and leaves the bytes: at 64
devices each has {BATCH // 64} images, and its link must be 64 times as fast, and the delay of each of the {arrays} sums weighs more
than its bytes.
"""
    Path(__file__).with_name("SCALING.md").write_text(text)
    print(text)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        os.sched_setaffinity(
            0, map(int, sys.argv[3].split(","))
        )  # before the backends count the cores
        train(int(sys.argv[1]), int(sys.argv[2]))
    else:
        main()
