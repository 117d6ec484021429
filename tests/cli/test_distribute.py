"""Several devices and processes. Their number is fixed when a backend starts, so each run here is a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext

import numpy as np
import pytest

from vae_keras import load_vae
from vae_keras.cli import commands
from vae_keras.cli.distribute import Place
from vae_keras.cli.main import main

TRAIN = (
    "train",
    "--data",
    "../x.npz",
    "--epochs",
    "2",
    "--batch-size",
    "8",
    "--latent-dim",
    "3",
    "--json",
)

# the command line with a small network; without batch normalisation on TensorFlow, whose replicas each do their own
SETUP = """
import runpy, sys
if sys.argv.pop(1) == "tensorflow":
    import tensorflow as tf
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
import keras, numpy as np
from keras import layers
from vae_keras import VAE
from vae_keras import recipes as training
from vae_keras.cli import commands

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"

def small_vae(network, latent_dim, image_shape, likelihood, sigma):
    x = keras.Input(image_shape)
    h = layers.Dense(16, activation="tanh")(layers.Flatten()(x))
    h = h if ON_TENSORFLOW else layers.BatchNormalization()(h)
    z = keras.Input((latent_dim,))
    logits = layers.Reshape(image_shape)(layers.Dense(64)(z))
    return VAE(keras.Model(x, [layers.Dense(latent_dim)(h), layers.Dense(latent_dim)(h)]), keras.Model(z, logits))

commands.ConvVAE = small_vae
"""
COMMAND_LINE = f"{SETUP}\nrunpy.run_module('vae_keras', run_name='__main__')"
DEVICES = f"""{SETUP}
from vae_keras.cli.main import main
kept, normal, save = [], keras.random.normal, training.save_alone
training.save_alone = lambda vae, path: (kept.append(vae), save(vae, path))
if ON_TENSORFLOW:  # where each replica's noise is its own, and not that of one device
    keras.random.normal = lambda shape, dtype, seed: keras.ops.full(shape, 0.3, dtype)
main([*{TRAIN}, "--distribute", "--output", "many.keras"])
main([*{TRAIN}, "--output", "one.keras"])

class Interrupted(training.Checkpoint):
    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        raise KeyboardInterrupt

commands.Checkpoint = Interrupted
assert main([*{TRAIN}, "--distribute", "--output", "resumed.keras"]) == 130
commands.Checkpoint = training.Checkpoint
main([*{TRAIN}, "--distribute", "--output", "resumed.keras", "--resume"])
keras.random.normal = normal
alike = np.full((8, 8, 8, 1), 0.5, "float32")
if ON_TENSORFLOW:
    with kept[0].distribute_strategy.scope() as strategy:
        drawn = kept[0].predict(alike, batch_size=8, verbose=0)["images"]
        x = keras.Input((2,))
        h = layers.BatchNormalization(momentum=0.9)(x)
        z = keras.Input((1,))
        vae = VAE(keras.Model(x, [layers.Dense(1)(h), layers.Dense(1)(h)]), keras.Model(z, layers.Dense(2)(z)))
        vae.compile(keras.optimizers.SGD(0.0))
        vae.fit(np.arange(16, dtype="float32").reshape(8, 2) / 16, batch_size=8, shuffle=False, verbose=0)
        mean = vae.encoder.layers[1].moving_mean
        np.savez("means.npz", *[part.numpy() for part in strategy.experimental_local_results(mean.value)])
        vae.save("normalised.keras")
else:
    with keras.distribution.DataParallel().scope():
        drawn = kept[0].predict(alike, batch_size=8, verbose=0)["images"]
np.save("drawn.npy", drawn)
"""


def start(folder, program, *arguments, **environment):
    folder.mkdir(exist_ok=True)
    quiet = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, **quiet, **environment}
    command = [sys.executable, "-c", program, environment["KERAS_BACKEND"], *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Train on one device, on two devices and in two processes: the folder, and what each printed."""
    folder = tmp_path_factory.mktemp("distribute")
    np.savez(folder / "x.npz", np.random.default_rng(0).random((40, 8, 8), dtype="float32"))
    two_devices = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    group = {
        "KERAS_BACKEND": "jax",
        "JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_port()}",
        "JAX_NUM_PROCESSES": "2",
    }
    processes = {
        name: start(folder / name, DEVICES, KERAS_BACKEND=name, **two_devices)
        for name in ("tensorflow", "jax")
    }
    for i in range(2):
        name, arguments = f"process_{i}", (*TRAIN, "--distribute", "--output", "many.keras")
        processes[name] = start(
            folder / name, COMMAND_LINE, *arguments, **group, JAX_PROCESS_ID=str(i)
        )
    printed = {}
    try:
        for name, process in processes.items():
            out, err = process.communicate(
                timeout=600
            )  # seconds suffice, on a machine that does nothing else
            assert process.returncode == 0, err
            printed[name] = out
    finally:
        for process in processes.values():
            process.kill()
    return folder, printed


def results(out):
    """The JSON objects that a run printed."""
    found, decoder = [], json.JSONDecoder()
    while "{" in out:
        value, end = decoder.raw_decode(out[out.index("{") :])
        out = out[out.index("{") + end :]
        found.append(
            {name: value[name] for name in ("-ELBO", "reconstruction", "KL", "training images")}
        )
    return found


def weights(path):
    return load_vae(path).get_weights()  # here, on one device


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_two_devices_train_as_one_does(runs, backend):
    folder, printed = runs
    many, one, _ = results(printed[backend])
    assert many == pytest.approx(one, abs=0.02)
    for trained, expected in zip(
        *(weights(folder / backend / f"{name}.keras") for name in ("many", "one")), strict=True
    ):
        np.testing.assert_allclose(trained, expected, atol=1e-5)


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_resumed_run_on_two_devices_ends_where_an_uninterrupted_one_does(runs, backend):
    folder, printed = runs
    many, _, resumed = results(printed[backend])
    assert resumed == many
    for trained, expected in zip(
        *(weights(folder / backend / f"{name}.keras") for name in ("resumed", "many")), strict=True
    ):
        np.testing.assert_allclose(trained, expected, atol=1e-5)


def test_two_processes_train_as_one_does_and_one_of_them_writes(runs):
    folder, printed = runs
    assert results(printed["process_0"])[0] == pytest.approx(results(printed["jax"])[1], abs=0.02)
    paths = folder / "process_0" / "many.keras", folder / "jax" / "one.keras"
    for trained, expected in zip(*map(weights, paths), strict=True):
        np.testing.assert_allclose(trained, expected, atol=1e-5)
    assert results(printed["process_1"]) == []
    assert list((folder / "process_1").iterdir()) == []


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_replicas_draw_different_noise(runs, backend):
    folder, _ = runs
    drawn = np.load(folder / backend / "drawn.npy").reshape(
        8, 64
    )  # of eight images that are alike, four to a device
    assert len(np.unique(drawn, axis=0)) == 8


def test_on_tensorflow_each_replica_normalises_its_own_images_and_the_first_is_saved(runs):
    folder, _ = runs
    x = np.arange(16).reshape(8, 2) / 16
    means = np.load(folder / "tensorflow" / "means.npz")
    for part, images in zip(means.values(), (x[:4], x[4:]), strict=True):
        np.testing.assert_allclose(part, 0.1 * images.mean(axis=0), rtol=1e-5)
    saved = load_vae(folder / "tensorflow" / "normalised.keras").encoder.layers[1].moving_mean
    np.testing.assert_allclose(saved, 0.1 * x[:4].mean(axis=0), rtol=1e-5)


def test_the_parts_of_the_processes_make_up_the_batch():
    x, places = np.arange(13), [Place(i, 2, 4) for i in range(2)]
    parts = [place.share(x, 8) for place in places]
    assert [len(part) for part in parts] == [2, 2]
    for i, batch in enumerate(
        (x[:8], x[8:12])
    ):  # the 13th would leave three of four devices without
        np.testing.assert_array_equal(np.concatenate([part[i][0] for part in parts]), batch)


@pytest.mark.parametrize(("images", "batch_size"), [(20, 9), (1, 8)])
def test_what_leaves_a_device_without_images_is_refused(images, batch_size):
    with pytest.raises(
        ValueError,
        match=rf"--batch-size must be a multiple of the 2 devices.*got {batch_size} and {images}",
    ):
        Place(devices=2).share(np.zeros(images), batch_size)


def test_a_process_without_the_file_does_not_start_afresh_while_others_resume(
    tmp_path, monkeypatch, capsys
):
    np.savez(tmp_path / "x.npz", np.zeros((40, 8, 8), "float32"))
    monkeypatch.setattr(commands, "all_devices", lambda: nullcontext(Place(1, 2, 2)))
    data, output = str(tmp_path / "x.npz"), str(tmp_path / "vae.keras")
    assert (
        main(
            [
                "train",
                "--data",
                data,
                "--batch-size",
                "8",
                "--distribute",
                "--resume",
                "--output",
                output,
            ]
        )
        == 2
    )
    assert (
        capsys.readouterr().err.splitlines()[-1]
        == f"vae_keras train: There is no model file {output}."
    )


def start_two(folder, *arguments):
    # JAX makes the port from the job's number; other tests may be looking for one too
    job = next(job for job in range(9 * os.getpid() % 3000, 4096) if not in_use(61440 + job))
    slurm = {
        "SLURM_JOB_ID": str(job),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2",
    }
    arguments = (
        *TRAIN,
        "--distribute",
        "--output",
        "../vae.keras",
        "--epochs",
        "1000000",
        *arguments,
    )
    ranks = [{"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)} for i in range(2)]
    return [
        start(folder / str(i), COMMAND_LINE, *arguments, KERAS_BACKEND="jax", **slurm, **rank)
        for i, rank in enumerate(ranks)
    ]


def wait_until_saved(path, processes, before=None):
    deadline = time.monotonic() + 200
    while (not path.exists() or path.read_bytes() == before) and time.monotonic() < deadline:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_dies_or_hangs_ends_the_run_whose_last_checkpoint_can_be_resumed(
    tmp_path, stop
):
    np.savez(tmp_path / "x.npz", np.random.default_rng(0).random((40, 8, 8), dtype="float32"))
    path, processes = tmp_path / "vae.keras", start_two(tmp_path)
    try:
        wait_until_saved(path, processes)
        processes[1].send_signal(stop)
        _, err = processes[0].communicate(timeout=60)
        if stop == signal.SIGKILL:
            assert processes[0].returncode == 2
            assert (
                "vae_keras train: the processes lost each other, most likely since one has died"
                in err
            )
        else:  # JAX ends the process from within, wherever it waits
            assert processes[0].returncode == -signal.SIGABRT
            assert "This most likely indicates that another task died" in err
        saved, done = path.read_bytes(), load_vae(path).run["epochs done"]
        processes += (resumed := start_two(tmp_path, "--resume"))
        wait_until_saved(path, resumed, before=saved)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert load_vae(path).run["epochs done"] > done >= 1


def in_use(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
