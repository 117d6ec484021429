"""Several devices and processes.

Their number is fixed when a backend starts, so each run is a process of its own, and those tests
run weekly. What each process takes of a batch is tested here, and in lesson/test_batches.py.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vae_keras import load_vae
from vae_keras.cli import runs as training
from vae_keras.cli.distribute import Place
from vae_keras.cli.main import main
from vae_keras.io.saving import read_record

SIZES = ["--epochs", "2", "--batch-size", "8", "--latent-dim", "3"]
TRAIN = ["train", "--data", "../x.npz", *SIZES, "--json"]
COMMAND_LINE = Path(__file__).with_name("command_line.py")
DEVICES = Path(__file__).with_name("devices.py")
QUIET = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
BOTH = pytest.mark.parametrize("backend", ["tensorflow", "jax"])


def start(folder, program, *arguments, **environment):
    """Start a program in a folder of its own, beside which it writes its batches."""
    folder.mkdir(exist_ok=True)
    batches = {"BATCHES": str(folder.with_suffix(".npz"))}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    environment = {**os.environ, **QUIET, **batches, **environment}
    command = [sys.executable, program, *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def start_all(folder):
    processes = {}
    flags = "--xla_force_host_platform_device_count=2"
    for name in ("tensorflow", "jax"):
        environment = {"KERAS_BACKEND": name, "XLA_FLAGS": flags}
        processes[name] = start(folder / name, DEVICES, *TRAIN, **environment)
    coordinator = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{free_port()}", "JAX_NUM_PROCESSES": "2"}
    for i in range(2):
        arguments = (*TRAIN, "--distribute", "--output", "many.keras")
        environment = {"KERAS_BACKEND": "jax", **coordinator, "JAX_PROCESS_ID": str(i)}
        name = f"process_{i}"
        processes[name] = start(folder / name, COMMAND_LINE, *arguments, **environment)
    return processes


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Train on one device, on two, and in two processes: the folder, and what each printed."""
    folder = tmp_path_factory.mktemp("distribute")
    rng = np.random.default_rng(0)
    np.savez(folder / "x.npz", rng.random((40, 8, 8), dtype="float32"))
    (folder / "files").mkdir()
    for i, pixels in enumerate(rng.integers(0, 256, (40, 8, 8), dtype="uint8")):
        Image.fromarray(pixels).save(folder / "files" / f"{i:02}.png")
    processes = start_all(folder)
    printed = {}
    try:
        for name, process in processes.items():
            printed[name], err = process.communicate()
            assert process.returncode == 0, err
    finally:
        for process in processes.values():
            process.kill()
    return folder, printed


def results(out):
    """What each run printed of the model that it trained."""
    found = []
    decoder = json.JSONDecoder()
    while "{" in out:
        value, end = decoder.raw_decode(out[out.index("{") :])
        out = out[out.index("{") + end :]
        names = ("neg_elbo", "reconstruction", "kl", "training_images")
        found.append({name: value[name] for name in names})
    return found


def assert_same_weights(path, other):
    weights = [load_vae(path).get_weights() for path in (path, other)]  # here, on one device
    for one, two in zip(*weights, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


@pytest.mark.slow
@BOTH
def test_two_devices_train_as_one_does(runs, backend):
    folder, printed = runs
    many, one, *_ = results(printed[backend])
    assert many == pytest.approx(one, abs=0.02)
    assert_same_weights(folder / backend / "many.keras", folder / backend / "one.keras")


@pytest.mark.slow
@BOTH
def test_two_devices_train_on_streamed_files_as_one_does(runs, backend):
    folder, printed = runs
    many, one = results(printed[backend])[3:]
    assert many == pytest.approx(one, abs=0.02)
    places = [folder / backend / f"streamed_{name}.keras" for name in ("many", "one")]
    assert_same_weights(*places)


@pytest.mark.slow
@BOTH
def test_a_resumed_run_on_two_devices_ends_where_an_uninterrupted_one_does(runs, backend):
    folder, printed = runs
    many, _, resumed, *_ = results(printed[backend])
    assert resumed == many
    assert_same_weights(folder / backend / "interrupted.keras", folder / backend / "many.keras")


@pytest.mark.slow
def test_two_processes_train_as_one_does_and_one_of_them_writes(runs):
    folder, printed = runs
    assert results(printed["process_0"])[0] == pytest.approx(results(printed["jax"])[1], abs=0.02)
    assert_same_weights(folder / "process_0" / "many.keras", folder / "jax" / "one.keras")
    assert results(printed["process_1"]) == []
    assert list((folder / "process_1").iterdir()) == []


@pytest.mark.slow
class TestOrder:
    @staticmethod
    def batches(folder, name, run, epoch):
        """The batches that a run trained on in an epoch."""
        recorded = np.load(folder / f"{name}.npz")
        # 36 images in batches of 8
        return [recorded[f"{run} {epoch} {i}"] for i in range(5)]

    @BOTH
    @pytest.mark.parametrize("run", ["one", "many"])
    def test_each_epoch_takes_each_training_image_once_and_in_an_order_of_its_own(
        self, runs, backend, run
    ):
        folder, _ = runs
        x = np.load(folder / "x.npz")["arr_0"]
        orders = []
        for epoch in range(2):
            taken = np.concatenate(self.batches(folder, backend, run, epoch))[..., 0]
            same = [(x == image).all(axis=(1, 2)) for image in taken]
            places = [int(place) for row in same for place in np.flatnonzero(row)]
            assert len(places) == 36
            assert len(set(places)) == 36
            orders.append(places)
        assert set(orders[0]) == set(orders[1])
        assert orders[0] != orders[1]

    @BOTH
    def test_a_resumed_run_takes_the_batches_that_an_uninterrupted_one_takes(self, runs, backend):
        folder, _ = runs
        resumed = self.batches(folder, backend, "resumed", 1)
        whole = self.batches(folder, backend, "one", 1)
        for batch, wanted in zip(resumed, whole, strict=True):
            np.testing.assert_array_equal(batch, wanted)

    def test_it_is_the_same_on_both_backends(self, runs):
        folder, _ = runs
        for epoch in range(2):
            orders = [self.batches(folder, name, "one", epoch) for name in ("tensorflow", "jax")]
            np.testing.assert_array_equal(*map(np.concatenate, orders))

    def test_two_processes_share_each_batch_of_one(self, runs):
        folder, _ = runs
        for epoch in range(2):
            parts = [self.batches(folder, f"process_{i}", "only", epoch) for i in range(2)]
            whole = self.batches(folder, "jax", "one", epoch)
            for first, second, batch in zip(*parts, whole, strict=True):
                assert len(first) == len(second)
                np.testing.assert_array_equal(np.concatenate([first, second]), batch)


@pytest.mark.slow
@BOTH
def test_replicas_draw_different_noise(runs, backend):
    folder, _ = runs
    drawn = np.load(folder / backend / "drawn.npy")
    assert len(np.unique(drawn.reshape(8, 64), axis=0)) == 8


@pytest.mark.slow
def test_on_tensorflow_each_replica_normalises_its_own_images_and_the_first_is_saved(runs):
    folder, _ = runs
    x = np.arange(16).reshape(8, 2) / 16
    means = np.load(folder / "tensorflow" / "means.npz")
    for part, images in zip(means.values(), (x[:4], x[4:]), strict=True):
        np.testing.assert_allclose(part, 0.1 * images.mean(axis=0), rtol=1e-5)
    saved = load_vae(folder / "tensorflow" / "normalised.keras").encoder.layers[1].moving_mean
    np.testing.assert_allclose(saved, 0.1 * x[:4].mean(axis=0), rtol=1e-5)


@pytest.mark.slow
@BOTH
def test_weights_of_images_mean_on_two_devices_what_they_mean_on_one(runs, backend):
    folder, _ = runs
    two, one = (np.load(folder / backend / f"weighted_{name}.npz") for name in ("two", "one"))
    assert set(two) == set(one) >= {"arr_0", "loss", "reconstruction", "kl"}
    for name, values in one.items():
        np.testing.assert_allclose(two[name], values, rtol=1e-5, atol=1e-6)
    assert two["loss"] == pytest.approx(two["reconstruction"] + 2.0 * two["kl"], rel=1e-5)


def test_the_parts_of_the_processes_make_up_the_batch():
    x = np.arange(13)
    parts = [Place(i, 2, 4).batches(x, 8) for i in range(2)]
    assert [len(part) for part in parts] == [2, 2]
    # the 13th would leave three of four devices without
    for i, batch in enumerate((x[:8], x[8:12])):
        np.testing.assert_array_equal(np.concatenate([part[i][0] for part in parts]), batch)


@pytest.mark.parametrize(
    ("images", "batch_size", "message"),
    [
        (20, 9, "--batch-size must be a multiple of the 2 devices; got 9"),
        (1, 8, "There must be an image for each of 2 devices; got 1"),
    ],
)
def test_what_leaves_a_device_without_images_is_refused(images, batch_size, message):
    with pytest.raises(ValueError, match=message):
        Place(devices=2).batches(np.zeros(images), batch_size)


def test_a_process_without_the_file_does_not_start_afresh_while_others_resume(
    tmp_path, monkeypatch, capsys
):
    np.savez(tmp_path / "x.npz", np.zeros((40, 8, 8), "float32"))
    monkeypatch.setattr(training, "all_devices", lambda: nullcontext(Place(1, 2, 2)))
    output = str(tmp_path / "vae.keras")
    command = ["train", "--data", str(tmp_path / "x.npz"), "--output", output]
    assert main([*command, "--batch-size", "8", "--distribute", "--resume"]) == 2
    line = f"vae_keras train: There is no model file {output}."
    assert capsys.readouterr().err.splitlines()[-1] == line


def start_two(folder, *arguments):
    # JAX makes the port from the job's number; other tests may be looking for one too
    job = next(job for job in range(9 * os.getpid() % 3000, 4096) if not in_use(61440 + job))
    slurm = {
        "SLURM_JOB_ID": str(job),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2",
    }
    endless = ["--distribute", "--output", "../vae.keras", "--epochs", "1000000"]
    processes = []
    for i in range(2):
        rank = {"SLURM_PROCID": str(i), "SLURM_LOCALID": str(i)}
        environment = {"KERAS_BACKEND": "jax", **slurm, **rank}
        command = (COMMAND_LINE, *TRAIN, *endless, *arguments)
        processes.append(start(folder / str(i), *command, **environment))
    return processes


def wait_until_saved(path, processes, before=None):
    while not path.exists() or path.read_bytes() == before:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGSTOP])
def test_a_process_that_dies_or_hangs_ends_the_run_whose_last_epoch_can_be_resumed(tmp_path, stop):
    np.savez(tmp_path / "x.npz", np.random.default_rng(0).random((40, 8, 8), dtype="float32"))
    path = tmp_path / "vae.keras"
    processes = start_two(tmp_path)
    try:
        wait_until_saved(path, processes)
        processes[1].send_signal(stop)
        _, err = processes[0].communicate()
        if stop == signal.SIGKILL:
            assert processes[0].returncode == 2
            assert "vae_keras train: the processes lost each other, most likely since" in err
        else:  # JAX ends the process from within, wherever it waits
            assert processes[0].returncode == -signal.SIGABRT
            assert "This most likely indicates that another task died" in err
        saved = path.read_bytes()
        done = read_record(path)["epochs done"]
        resumed = start_two(tmp_path, "--resume")
        processes += resumed
        wait_until_saved(path, resumed, before=saved)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert read_record(path)["epochs done"] > done >= 1


def in_use(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
