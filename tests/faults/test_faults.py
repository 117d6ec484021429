"""Faults and hostile files: killed runs, full disks, losses that are no numbers, damaged and forged archives."""

import io
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import warnings
import zipfile
import zlib
from contextlib import contextmanager

import keras
import numpy as np
import pytest
from PIL import Image

from vae_keras import VAE, ConvVAE, data, load_images, load_vae
from vae_keras import recipes as training
from vae_keras.cli import commands
from vae_keras.cli.main import main

SMALL = ("--latent-dim", "2", "--batch-size", "8")


def train(folder, *arguments, epochs=4, output="vae.keras"):
    arguments = [
        "--data",
        str(folder / "mine.npz"),
        "--epochs",
        str(epochs),
        "--output",
        str(folder / output),
        *arguments,
    ]
    return main(["train", *SMALL, *arguments])


@pytest.fixture
def folder(tmp_path, rng):
    """A folder with 40 images: 36 to train on, so 5 steps an epoch."""
    np.savez(tmp_path / "mine.npz", x_train=rng.integers(0, 256, (40, 9, 7), dtype="uint8"))
    return tmp_path


@pytest.fixture
def last_line(capsys):
    """The line that the command ended with."""

    def read():
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "Traceback" not in captured.err
        return captured.err.rstrip("\n").splitlines()[-1]

    return read


@contextmanager
def limits(seconds=60, memory=2**30):
    """No hang, and no memory to speak of."""

    def stop(*_):
        raise AssertionError(f"it took more than {seconds} s")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    handler = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < memory


def interrupt_after(epoch, monkeypatch):
    class Interrupted(training.Checkpoint):
        def on_epoch_end(self, number, logs=None):
            super().on_epoch_end(number, logs)
            if number + 1 == epoch:
                raise KeyboardInterrupt

    monkeypatch.setattr(commands, "Checkpoint", Interrupted)


class TestResume:
    @pytest.mark.parametrize(
        "likelihood", ["bernoulli", pytest.param("gaussian", marks=pytest.mark.slow)]
    )
    def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
        self, folder, monkeypatch, likelihood, capsys
    ):
        options = ("--likelihood", likelihood, "--json")
        assert train(folder, *options, output="whole.keras") == 0
        whole = json.loads(capsys.readouterr().out)
        with monkeypatch.context() as patch:
            interrupt_after(2, patch)
            assert train(folder, *options) == 130
        assert "Epoch 3" not in capsys.readouterr().err
        assert train(folder, *options, "--resume") == 0
        captured = capsys.readouterr()
        assert "Epoch 2/4" not in captured.err
        assert "Epoch 3/4" in captured.err
        resumed = json.loads(captured.out)
        assert resumed["-ELBO"] == pytest.approx(whole["-ELBO"], abs=0.01)
        vae, wanted = load_vae(folder / "vae.keras"), load_vae(folder / "whole.keras")
        assert int(vae.optimizer.iterations) == int(wanted.optimizer.iterations) == 20
        # TensorFlow gives each epoch the order that the seed gives: so the two agree to rounding, not only within noise
        for a, b in zip(vae.get_weights(), wanted.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

    def test_a_run_that_never_began_starts_afresh_and_one_that_has_ended_is_measured(
        self, folder, capsys
    ):
        assert train(folder, "--resume", epochs=1) == 0
        captured = capsys.readouterr()
        assert "vae.keras yet: starting afresh" in captured.err
        before, first = (folder / "vae.keras").read_bytes(), captured.out.splitlines()[:5]
        assert train(folder, "--resume", epochs=1) == 0
        assert (folder / "vae.keras").read_bytes() == before
        assert capsys.readouterr().out.splitlines()[:5] == first

    def test_other_arguments_are_refused_by_name(self, folder, rng, last_line, capsys):
        np.savez(folder / "others.npz", x_train=rng.integers(0, 256, (40, 9, 7), dtype="uint8"))
        np.savez(folder / "fewer.npz", x_train=np.load(folder / "mine.npz")["x_train"][:39])
        assert train(folder, epochs=1) == 0
        content = (folder / "vae.keras").read_bytes()
        capsys.readouterr()
        for name, arguments in {
            "network default": ("--network", "keng2017"), "epochs 1": ("--epochs", "2"), "batch_size 8": ("--batch-size", "9"),
            "latent_dim 2": ("--latent-dim", "3"), "likelihood bernoulli": ("--likelihood", "gaussian"), "seed 0": ("--seed", "1"),
            "training images 36 of": ("--data", str(folder / "others.npz")),
            "training images": ("--data", str(folder / "fewer.npz")),
        }.items():  # fmt: skip
            assert train(folder, "--resume", *arguments, epochs=1) == 2
            line = last_line()
            assert f"was begun with {name}" in line
            assert line.endswith(f"got {arguments[1]}.") or name.startswith("training images")
            assert (folder / "vae.keras").read_bytes() == content

    def test_a_damaged_file_and_a_model_without_a_run_are_refused(self, folder, last_line):
        ConvVAE(2, image_shape=(9, 7, 1)).save(folder / "vae.keras")
        assert train(folder, "--resume") == 2
        assert "vae.keras holds no run of the command train to resume" in last_line()
        whole = (folder / "vae.keras").read_bytes()
        (folder / "vae.keras").write_bytes(whole[:-1])
        assert train(folder, "--resume") == 2
        assert "vae.keras is no saved VAE, or is damaged" in last_line()
        assert (folder / "vae.keras").read_bytes() == whole[:-1]


# a server that has imported the package forks each run, so that a run starts at once; it kills them and looks at what they left
KILLER = """
import io, json, os, re, signal, sys, time, zipfile
import h5py, numpy as np
from vae_keras.cli.main import main

kills, epochs, images = int(sys.argv[1]), sys.argv[2], sys.argv[3]
rng, while_saving, done = np.random.default_rng(0), 0, 0
partial = re.compile(r"\\.vae\\.\\d+\\.partial\\.keras")

def start(output):
    if child := os.fork():
        return child
    log = os.open(output + ".log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(log, 1), os.dup2(log, 2)
    arguments = ["--latent-dim", "2", "--batch-size", "8", "--epochs", epochs, "--data", images, "--output", output]
    code = main(["train", *arguments, "--resume", "--json"])
    sys.stdout.flush()
    os._exit(code)

def epochs_done():
    with zipfile.ZipFile("vae.keras") as archive:
        assert archive.testzip() is None
        with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights:
            steps = int(weights["optimizer/vars/0"][()])
    assert steps % 5 == 0, steps
    return steps // 5

def stamp():
    return os.stat("vae.keras").st_mtime_ns if os.path.exists("vae.keras") else 0

def wait(saves, seconds):  # for as many saves, but no longer
    until, last = time.monotonic() + seconds, stamp()
    while saves and time.monotonic() < until:
        if stamp() != last:
            last, saves = stamp(), saves - 1
        time.sleep(0.0005)

for i in range(kills):
    child = start("vae.keras")
    if i % 2 == 0:  # at any moment, from its first operation on
        wait(2, rng.uniform(0.0, 6.0) if i else 0.5)
    else:  # once it has saved, while it saves the next
        wait(int(rng.integers(1, 3)), 120)
        until = time.monotonic() + 30
        while not any(map(partial.fullmatch, os.listdir("."))) and time.monotonic() < until:
            pass
        time.sleep(rng.uniform(0.0, 0.01))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), open("vae.keras.log").read()[-2000:]
    while_saving += os.path.exists(f".vae.{child}.partial.keras")
    if os.path.exists("vae.keras"):
        begun = [int(n) for n in re.findall(r"Epoch (\\d+)/", open("vae.keras.log").read())]
        assert epochs_done() >= max([done, *(n - 1 for n in begun)]), (epochs_done(), done, begun)  # no finished epoch is lost
        done = epochs_done()

results = []
for output in ("vae.keras", "whole.keras"):  # resumed to its end; never interrupted
    _, status = os.waitpid(start(output), 0)
    log = open(output + ".log").read()
    assert status == 0, log[-2000:]
    results.append(json.loads(log[log.rindex("{"):]))
elbo, left = [r["-ELBO"] for r in results], sorted(os.listdir("."))
print(json.dumps({"done": done, "while_saving": while_saving, "final": epochs_done(), "left": left, "elbo": elbo}))
"""


@pytest.mark.parametrize(
    ("kills", "epochs"), [(3, 12), pytest.param(20, 80, marks=pytest.mark.slow)]
)
def test_runs_killed_at_any_moment_resume_and_lose_nothing(folder, tmp_path_factory, kills, epochs):
    place = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-c", KILLER, str(kills), str(epochs), str(folder / "mine.npz")]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    print(results)
    assert results["final"] == epochs
    assert 0 < results["done"] < epochs  # the kills came in the midst of it
    assert results["while_saving"] >= 1
    assert results["left"] == [
        "vae.keras",
        "vae.keras.log",
        "whole.keras",
        "whole.keras.log",
    ]  # no partial file
    resumed, whole = results["elbo"]
    assert resumed == pytest.approx(whole, abs=0.02)  # printed to 0.01


def test_what_a_killed_save_left_goes_with_the_next_save_of_that_file_alone(tmp_path):
    for name in (
        ".a.123.partial.keras",
        ".a.b.123.partial.keras",
        ".a.123.partial.png",
        "a.123.partial.keras",
    ):
        (tmp_path / name).write_text("half")
    ConvVAE(2, image_shape=(4, 4, 1)).save(tmp_path / "a.keras")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [
        ".a.123.partial.png",
        ".a.b.123.partial.keras",
        "a.123.partial.keras",
        "a.keras",
    ]


class _NoNumberFrom(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that is NaN in one step, counted from 0, so that the weights are NaN after it."""

    def __init__(self, step):
        self.step = step

    def __call__(self, step):
        return keras.ops.where(keras.ops.equal(step, self.step), np.nan, 0.001)

    def get_config(self):
        return {"step": self.step}


class TestLossThatIsNoNumber:
    # 5 steps an epoch: a step's loss is taken before its weights change, so that it shows one step later
    @pytest.mark.parametrize(
        ("step", "place"), [(5, "step 2 of epoch 2"), (9, "the last step of epoch 2")]
    )
    def test_it_stops_names_the_step_and_keeps_the_last_good_checkpoint(
        self, folder, monkeypatch, last_line, step, place
    ):
        saved = {}

        class Spy(training.Checkpoint):
            def on_epoch_end(self, epoch, logs=None):
                super().on_epoch_end(epoch, logs)
                saved[epoch + 1] = (folder / "vae.keras").read_bytes()

        monkeypatch.setattr(commands, "Checkpoint", Spy)
        monkeypatch.setattr(
            commands, "make_optimizer", lambda *_: keras.optimizers.SGD(_NoNumberFrom(step))
        )
        assert train(folder) == 2
        line = last_line()
        assert line.startswith("vae_keras train: The loss is NaN or infinite at " + place)
        assert str(folder / "vae.keras") in line
        assert list(saved) == [1]
        assert (folder / "vae.keras").read_bytes() == saved[1]
        with zipfile.ZipFile(folder / "vae.keras") as archive:
            assert archive.testzip() is None

    def test_a_loss_beyond_float32_counts_too_and_nothing_is_written(self, folder, last_line):
        assert train(folder, "--likelihood", "gaussian", "--sigma", "1e-30") == 2
        assert "at step 1 of epoch 1" in last_line()
        assert not (folder / "vae.keras").exists()


class TestDisks:
    @pytest.fixture(params=["limit", "tmpfs"])
    def make_full(self, request, tmp_path):
        """Let a folder hold `size` bytes a file, or in all."""
        disk, limit = tmp_path / "disk", resource.getrlimit(resource.RLIMIT_FSIZE)
        disk.mkdir()
        mounted = []

        def make(size):
            if request.param == "limit":
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
            else:
                command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(disk)]
                if subprocess.run(command, capture_output=True).returncode:
                    pytest.skip("only root may mount a small disk")
                mounted.append(disk)
            return disk

        yield make
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        if mounted:
            subprocess.run(["umount", str(disk)], check=True)

    @pytest.mark.parametrize("size", [4096, 600_000, 1_500_000])
    def test_a_full_disk_refuses_a_model_with_its_name_and_keeps_nothing_of_it(
        self, make_full, size
    ):
        vae, disk = ConvVAE(2, image_shape=(9, 7, 1)), make_full(size)
        with pytest.raises(OSError, match=rf"{disk / 'vae.keras'} cannot be written: \[Errno"):
            vae.save(disk / "vae.keras")
        assert list(disk.iterdir()) == []

    def test_a_disk_that_fills_up_keeps_the_checkpoint_that_it_holds(
        self, folder, make_full, last_line
    ):
        disk = make_full(2**23)
        ConvVAE(2, image_shape=(9, 7, 1)).save(disk / "vae.keras")
        content = (disk / "vae.keras").read_bytes()
        if disk.is_mount():
            (disk / "other").write_bytes(bytes(2**23 - len(content) - 2**20))
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, resource.RLIM_INFINITY))
        assert train(folder, epochs=1, output="disk/vae.keras") == 2
        assert "cannot be written" in last_line()
        assert (disk / "vae.keras").read_bytes() == content
        assert not list(disk.glob(".*"))

    @pytest.mark.parametrize(("output", "size"), [("grid.png", 4096), ("draws.npz", 4096)])
    def test_samples_on_a_full_disk(self, tmp_path, make_full, output, size, last_line):
        ConvVAE(2, image_shape=(9, 7, 1)).save(tmp_path / "vae.keras")
        disk = make_full(size)
        assert (
            main(
                [
                    "sample",
                    str(tmp_path / "vae.keras"),
                    "--n",
                    "400",
                    "--output",
                    str(disk / output),
                ]
            )
            == 2
        )
        assert f"{disk / output} cannot be written: [Errno" in last_line()
        assert list(disk.iterdir()) == []

    def test_a_file_where_a_folder_is_wanted(self, folder, last_line):
        assert train(folder, output="mine.npz/vae.keras") == 2
        assert "mine.npz" in last_line()


def test_a_bit_flipped_in_the_bundled_data_ends_training(tmp_path, monkeypatch, last_line):
    content = bytearray(data.MNIST_PATH.read_bytes())
    content[np.random.default_rng(0).integers(len(content))] ^= 4
    (tmp_path / "mnist.npz").write_bytes(content)
    monkeypatch.setattr(data, "MNIST_PATH", tmp_path / "mnist.npz")
    assert main(["train", "--output", str(tmp_path / "vae.keras")]) == 2
    assert "mnist.npz is damaged" in last_line()
    assert not (tmp_path / "vae.keras").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_images_that_are_no_numbers_end_training(tmp_path, rng, value, last_line):
    images = rng.random((20, 5, 5))
    images[13, 2, 3] = value
    np.savez(tmp_path / "mine.npz", images)
    assert train(tmp_path) == 2
    assert "mine.npz must hold finite numbers" in last_line()


# --- mutations: each takes a generator and the bytes of two whole files, and returns the bytes of a damaged one ---


def flip_bits(rng, content, _):
    content = bytearray(content)
    for position in rng.integers(len(content), size=rng.integers(1, 4)):
        content[position] ^= 1 << int(rng.integers(8))
    return bytes(content)


def flip_a_bit_of_the_directory(rng, content, _):
    content = bytearray(content)
    content[int(rng.integers(content.index(b"PK\x01\x02"), len(content)))] ^= 1 << int(
        rng.integers(8)
    )
    return bytes(content)


def flip_a_bit_of_a_header(rng, content, _):
    content, starts = (
        bytearray(content),
        [i for i in range(len(content)) if content.startswith(b"PK\x03\x04", i)],
    )
    content[int(rng.choice(starts)) + int(rng.integers(50))] ^= 1 << int(rng.integers(8))
    return bytes(content)


def overwrite(rng, content, _):
    start, length = int(rng.integers(len(content))), int(rng.integers(1, 600))
    run = bytes(length) if rng.random() < 0.5 else rng.bytes(length)
    return content[:start] + run[: len(content) - start] + content[start + length :]


def truncate(rng, content, _):
    return content[: int(rng.integers(len(content)))]


def cut_out(rng, content, _):
    start = int(rng.integers(len(content)))
    return content[:start] + content[start + int(rng.integers(1, 600)) :]


def repeat(rng, content, _):
    start = int(rng.integers(len(content)))
    end = start + int(rng.integers(1, 600))
    return content[:end] + content[start:]


def splice(rng, content, other):
    return content[: int(rng.integers(len(content)))] + other[int(rng.integers(len(other))) :]


def splice_in_place(rng, content, other):
    cut = int(rng.integers(min(len(content), len(other))))
    return content[:cut] + other[cut:]


def declare_absurd_sizes(rng, content, _):
    content = bytearray(content)
    start = content.index(b"PK\x01\x02")
    for _ in range(int(rng.integers(3))):
        start = (
            content.index(b"PK\x01\x02", start + 1)
            if b"PK\x01\x02" in content[start + 1 :]
            else start
        )
    field = start + int(rng.choice([20, 24, 42]))  # packed size, unpacked size, place
    content[field : field + 4] = int(rng.choice([2**32 - 1, 2**31, 2**30, 0])).to_bytes(4, "little")
    return bytes(content)


DAMAGES = [flip_bits, flip_a_bit_of_the_directory, flip_a_bit_of_a_header, overwrite, truncate, cut_out, repeat, splice,
           splice_in_place, declare_absurd_sizes]  # fmt: skip


def rezip(content, change, compression=zipfile.ZIP_STORED):
    """The archive whose parts are what `change` makes of those of another one."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = change({name: archive.read(name) for name in archive.namelist()})
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return packed.getvalue()


def swap_parts(rng, content, _):
    def swap(parts):
        a, b = rng.choice(list(parts), 2, replace=len(parts) < 2)
        return {**parts, a: parts[b], b: parts[a]}

    return rezip(content, swap)


def drop_or_rename_a_part(rng, content, _):
    def change(parts):
        name = str(rng.choice(list(parts)))
        part = parts.pop(name)
        return (
            parts
            if rng.random() < 0.5
            else {**parts, str(rng.choice(["../evil", "/evil", "evil", name.upper()])): part}
        )

    return rezip(content, change)


def change_the_config(rng, content, _):
    """Another value, or none, somewhere in config.json."""
    values = [
        None,
        True,
        -1,
        0,
        3,
        10**6,
        10**9,
        10**30,
        0.5,
        float("nan"),
        "",
        "x",
        [],
        {},
        [10**5, 10**5, 1],
        "os>system",
    ]

    def change(parts):
        config = node = json.loads(parts["config.json"])
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            key = keys[int(rng.integers(len(keys)))]
            if not (isinstance(node[key], dict | list) and node[key]) or rng.random() < 0.15:
                break
            node = node[key]
        if rng.random() < 0.15:
            del node[key]
        else:
            node[key] = values[int(rng.integers(len(values)))]
        return {**parts, "config.json": json.dumps(config).encode()}

    return rezip(content, change)


def change_an_array_header(rng, content, _):
    """Another shape or type in the header of a .npy file, whose length stays."""
    texts = [(b"(40, 9, 7)", b"(4, 9, 7) "), (b"(40, 9, 7)", b"(9**9, 9) "), (b"(40, 9, 7)", b"(40,10**9)"), (b"|u1", b"|O8"),
             (b"(40, 9, 7)", b"(99999999)"), (b"|u1", b"<f8"), (b"|u1", b"|V9"), (b"False", b"True "), (b"{", b"("),
             (b"|u1", b"<M8"), (b"(40, 9, 7)", b"(-1, 9, 7)"), (b"(40, 9, 7)", b"(0, 9, 7) "), (b"NUMPY", b"NUMPX")]  # fmt: skip
    old, new = texts[int(rng.integers(len(texts)))]
    return rezip(
        content, lambda parts: {name: part.replace(old, new) for name, part in parts.items()}
    )


def dense_vae(make, rng):
    kernels = rng.standard_normal((3, 6, 6)).astype("float32")
    vae = make(
        (kernels[0, :, :2], kernels[1, 0, :2]), kernels[1, 1, :2], (kernels[2, :2], kernels[2, 3])
    )
    vae.compile("adam")
    vae.optimizer.build(vae.trainable_variables)
    return vae


def same_model(a, b):
    config = {key: value for key, value in a.get_config().items() if key != "name"}
    same = json.dumps(config) == json.dumps(
        {key: value for key, value in b.get_config().items() if key != "name"}
    )
    variables = zip(
        a.variables + a.optimizer.variables, b.variables + b.optimizer.variables, strict=True
    )
    return same and all(np.array_equal(p, q) for p, q in variables)


def outcome(read, path):
    """What reading gives, or the line of its refusal; anything else than these two is a bug."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on the command line they do not stop it
        try:
            return read(path)
        except ValueError as error:
            if path.name not in str(error):
                raise
            return None


class Touch:
    """Unpickled, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


class TestHostileFiles:
    def test_nothing_is_unpickled(self, tmp_path):
        mark, path = tmp_path / "mark", tmp_path / "a.npz"
        np.savez(path, np.array([Touch(mark)], dtype=object))
        with pytest.raises(ValueError, match=r"a\.npz .*allow_pickle"):
            load_images(path)
        path.write_bytes(pickle.dumps(Touch(mark)))
        with pytest.raises(ValueError, match=r"a\.npz"):
            load_images(path)
        assert not mark.exists()
        pickle.loads(path.read_bytes()).close()
        assert mark.exists()  # the trap works

    def test_code_in_a_model_is_refused_and_not_run(self, tmp_path):
        path, mark = tmp_path / "a.keras", tmp_path / "mark"
        write = eval(f"lambda h: (open({str(mark)!r}, 'w').close(), h)[1]")
        vae, z = ConvVAE(2, image_shape=(4, 4, 1)), keras.Input((2,))
        VAE(vae.encoder, keras.Model(z, keras.layers.Lambda(write)(vae.decoder_network(z)))).save(
            path
        )
        mark.unlink()
        with pytest.raises(ValueError, match=r"a\.keras is no saved VAE.*Lambda"):
            load_vae(path)
        assert not mark.exists()
        keras.saving.load_model(path, safe_mode=False)(np.zeros((1, 4, 4, 1)))
        assert mark.exists()  # the trap works

    @pytest.mark.parametrize(
        "name", ["../evil.txt", "/tmp/evil.txt", "assets/../../evil.txt", "assets/evil.txt"]
    )
    def test_an_archive_with_other_parts_is_refused(self, tmp_path, name):
        ConvVAE(2, image_shape=(4, 4, 1)).save(tmp_path / "a.keras")
        (tmp_path / "a.keras").write_bytes(
            rezip((tmp_path / "a.keras").read_bytes(), lambda parts: {**parts, name: b"evil"})
        )
        with pytest.raises(ValueError, match=r"a\.keras .*its parts are .*evil\.txt"):
            load_vae(tmp_path / "a.keras")

    @pytest.mark.parametrize("suffix", [".keras", ".npz"])
    def test_bombs_are_refused_before_they_take_memory(self, tmp_path, suffix):
        path, zeros = tmp_path / f"a{suffix}", bytes(2**20)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            with archive.open(
                "x_train.npy" if suffix == ".npz" else "model.weights.h5", "w"
            ) as part:
                if suffix == ".npz":
                    np.lib.format.write_array_header_1_0(
                        part, {"descr": "|u1", "fortran_order": False, "shape": (400, 1024, 1024)}
                    )
                for _ in range(400):
                    part.write(zeros)
            archive.writestr("config.json", "{}")
            archive.writestr("metadata.json", "{}")
        with limits(memory=2**28), pytest.raises(ValueError, match=r"would unpack to 419430"):
            (load_vae if suffix == ".keras" else load_images)(path)

    def test_a_header_that_lost_images_is_seen_by_the_checksum(self, folder):
        path = (
            folder / "mine.npz"
        )  # fewer bytes are then read than the part holds, and NumPy does not get to its checksum
        path.write_bytes(path.read_bytes().replace(b"(40, 9, 7)", b"(30, 9, 7)"))
        with pytest.raises(ValueError, match=r"mine\.npz .*part x_train\.npy is damaged"):
            load_images(path)

    @pytest.mark.parametrize(
        "shape", [(2**20, 2**10, 2**10), (2**60, 2**20, 2**20), (3 * 2**30, 1, 1)]
    )
    def test_an_array_that_declares_more_than_it_holds_takes_no_memory(self, tmp_path, shape):
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("x_train.npy", header.getvalue() + b"few")
        with (
            limits(memory=2**28),
            pytest.raises(ValueError, match=r"a\.npz cannot be read as an \.npz file"),
        ):
            load_images(tmp_path / "a.npz")

    @pytest.mark.parametrize("change", [
        {"latent_dim": 10**5}, {"image_shape": [300, 300, 1]}, {"image_shape": [4, 4, 10**5]},
    ])  # fmt: skip
    def test_a_model_that_declares_more_than_it_holds_takes_no_memory(self, tmp_path, change):
        path = tmp_path / "a.keras"
        ConvVAE(2, image_shape=(4, 4, 1)).save(path)

        def inflate(parts):
            config = json.loads(parts["config.json"])
            config["config"].update(change)
            return {**parts, "config.json": json.dumps(config).encode()}

        path.write_bytes(rezip(path.read_bytes(), inflate))
        with (
            limits(memory=2**28),
            pytest.raises(ValueError, match=r"its networks need \d+ bytes or more"),
        ):
            load_vae(path)

    def test_a_layer_wider_than_the_file_is_long_takes_no_memory(
        self, tmp_path, make_dense_vae, rng
    ):
        path = tmp_path / "a.keras"
        dense_vae(make_dense_vae, rng).save(path)
        content, forge = path.read_bytes(), lambda parts: {
            name: part.replace(b'"units": 2', b'"units": 60000') for name, part in parts.items()
        }  # fmt: skip
        path.write_bytes(rezip(content, forge))
        with (
            limits(memory=2**28),
            pytest.raises(ValueError, match="its networks need 60000 bytes or more"),
        ):
            load_vae(path)

    @pytest.mark.parametrize("options", [
        {"image_shape": (1, 1, 1), "latent_dim": 3000}, {"image_shape": (1, 1, 300), "latent_dim": 1},
        {"image_shape": (64, 64, 1), "latent_dim": 1, "dtype": "float16"}, {"network": "keng2017", "latent_dim": 3000},
    ])  # fmt: skip
    def test_honest_models_of_any_proportions_load(self, tmp_path, options):
        ConvVAE(**options).save(tmp_path / "a.keras")
        assert load_vae(tmp_path / "a.keras").latent_dim == options["latent_dim"]


class TestMutations:
    @pytest.mark.parametrize(
        ("number", "seed"), [(250, 0), pytest.param(1500, 1, marks=pytest.mark.slow)]
    )
    def test_a_damaged_model_is_refused_or_whole(self, tmp_path, make_dense_vae, number, seed):
        rng, originals, path = np.random.default_rng(seed), [], tmp_path / "mutant.keras"
        for name in ("a.keras", "b.keras"):
            dense_vae(make_dense_vae, rng).save(tmp_path / name)
            originals.append((tmp_path / name).read_bytes())
        wanted, loaded = [load_vae(tmp_path / name) for name in ("a.keras", "b.keras")], 0
        for i in range(number):
            path.write_bytes(mutant := DAMAGES[i % len(DAMAGES)](rng, *originals))
            with limits():
                vae = outcome(load_vae, path)
            if vae is not None and mutant != originals[0]:
                assert any(same_model(vae, whole) for whole in wanted), (
                    i,
                    DAMAGES[i % len(DAMAGES)].__name__,
                )
                loaded += 1
        print(f"{number} damaged models: {loaded} were whole, the others refused")
        assert loaded < number / 2  # else the mutations hardly mutate

    @pytest.mark.parametrize(
        ("number", "seed"), [(40, 0), pytest.param(400, 1, marks=pytest.mark.slow)]
    )
    def test_a_forged_model_is_refused_or_a_vae(self, tmp_path, make_dense_vae, number, seed):
        rng, path, loaded = np.random.default_rng(seed), tmp_path / "mutant.keras", 0
        ConvVAE(2, image_shape=(4, 4, 1)).save(tmp_path / "a.keras")
        dense_vae(make_dense_vae, rng).save(tmp_path / "b.keras")
        originals = [(tmp_path / name).read_bytes() for name in ("a.keras", "b.keras")]
        for i in range(number):
            forge = (
                change_the_config,
                change_the_config,
                change_the_config,
                swap_parts,
                drop_or_rename_a_part,
            )[i % 5]
            path.write_bytes(forge(rng, originals[i % 2], None))
            with limits():
                loaded += outcome(load_vae, path) is not None
        print(f"{number} forged models: {loaded} are another VAE, the others refused")

    @pytest.mark.parametrize(
        ("number", "seed"), [(400, 0), pytest.param(1500, 1, marks=pytest.mark.slow)]
    )
    def test_damaged_images_are_refused_or_whole(self, folder, rng, number, seed):
        path, other = folder / "mutant.npz", folder / "other.npz"
        np.savez_compressed(
            other, x_train=rng.integers(0, 256, (40, 9, 7), dtype="uint8"), more=[1]
        )
        originals = [(folder / "mine.npz").read_bytes(), other.read_bytes()]
        wanted, rng, loaded = (
            [load_images(folder / "mine.npz"), load_images(other)],
            np.random.default_rng(seed),
            0,
        )
        for i in range(number):
            damage = [*DAMAGES, change_an_array_header, swap_parts, drop_or_rename_a_part][
                i % (len(DAMAGES) + 3)
            ]
            mutant = damage(rng, *originals[:: 1 if rng.random() < 0.5 else -1])
            path.write_bytes(mutant)
            with limits():
                images = outcome(load_images, path)
            if images is not None and damage in DAMAGES:
                assert any(np.array_equal(images, whole) for whole in wanted), (i, damage.__name__)
                loaded += 1
        print(f"{number} damaged .npz files: {loaded} were whole, the others refused")
        assert loaded < number / 2

    @pytest.mark.parametrize(
        ("number", "seed"), [(15, 0), pytest.param(150, 1, marks=pytest.mark.slow)]
    )
    def test_the_command_ends_with_one_line(
        self, folder, make_dense_vae, number, seed, last_line, capsys
    ):
        rng, codes = np.random.default_rng(seed), []
        ConvVAE(2, image_shape=(4, 4, 1)).save(folder / "a.keras")
        dense_vae(make_dense_vae, rng).save(folder / "b.keras")
        model, other = ((folder / name).read_bytes() for name in ("a.keras", "b.keras"))
        npz = (folder / "mine.npz").read_bytes()
        forges = [*DAMAGES, change_the_config, swap_parts, drop_or_rename_a_part]
        for i in range(number):
            if i % 3 < 2:
                (folder / "mutant.keras").write_bytes(forges[i % len(forges)](rng, model, other))
                arguments = [
                    "sample",
                    str(folder / "mutant.keras"),
                    "--n",
                    "1",
                    "--output",
                    str(folder / "out.npz"),
                ]
            else:
                (folder / "mutant.npz").write_bytes(
                    [*DAMAGES, change_an_array_header][i % (len(DAMAGES) + 1)](rng, npz, npz)
                )
                arguments = [
                    "evaluate",
                    str(folder / "a.keras"),
                    "--data",
                    str(folder / "mutant.npz"),
                    "--num-samples",
                    "1",
                ]
            with limits(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                codes.append(main(arguments))
            captured = capsys.readouterr()
            assert codes[-1] in (0, 2)
            assert "Traceback" not in captured.err
            if codes[-1] == 2:
                assert captured.err.startswith(f"vae_keras {arguments[0]}: ")
                assert len(captured.err.splitlines()) == 1
        assert 2 in codes

    @pytest.mark.parametrize(
        ("number", "seed"), [(40, 0), pytest.param(600, 1, marks=pytest.mark.slow)]
    )
    def test_a_model_cut_at_any_byte_is_refused(self, tmp_path, number, seed, last_line):
        ConvVAE(2, image_shape=(4, 4, 1)).save(tmp_path / "whole.keras")
        content, path = (tmp_path / "whole.keras").read_bytes(), tmp_path / "cut.keras"
        cuts = np.random.default_rng(seed).integers(len(content), size=number)
        for cut in (0, 1, len(content) - 1, *cuts):
            path.write_bytes(content[:cut])
            with pytest.raises(ValueError, match=r"cut\.keras is no saved VAE, or is damaged"):
                load_vae(path)
        assert main(["sample", str(path)]) == 2
        assert "cut.keras is no saved VAE" in last_line()


def png_chunk(kind, content):
    return (
        len(content).to_bytes(4, "big")
        + kind
        + content
        + zlib.crc32(kind + content).to_bytes(4, "big")
    )


class TestHostileFolders:
    def test_links_are_followed_to_files_and_else_refused(self, tmp_path):
        (tmp_path / "real").mkdir()
        Image.new("L", (4, 4), 255).save(tmp_path / "real" / "x.png")
        folder = tmp_path / "links"
        folder.mkdir()
        (folder / "a.png").symlink_to(tmp_path / "real" / "x.png")
        assert load_images(folder).shape == (1, 4, 4, 1)
        for target in (tmp_path / "real", tmp_path / "none.png", folder / "b.png"):
            (folder / "b.png").symlink_to(target)
            with pytest.raises(
                ValueError, match=r"b\.png cannot be read as a PNG image: it is no file"
            ):
                load_images(folder)
            (folder / "b.png").unlink()

    def test_a_pipe_is_refused_without_waiting_for_it(self, tmp_path):
        os.mkfifo(tmp_path / "a.png")
        with limits(10), pytest.raises(ValueError, match=r"a\.png .*it is no file"):
            load_images(tmp_path)
        os.mkfifo(tmp_path / "a.npz")
        with limits(10), pytest.raises(FileNotFoundError, match=r"a\.npz"):
            load_images(tmp_path / "a.npz")

    def test_a_huge_image_is_refused_before_it_takes_memory(self, tmp_path):
        header = (60000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
        content = zlib.compress(bytes(2**24))
        png = (
            b"\x89PNG\r\n\x1a\n"
            + png_chunk(b"IHDR", header)
            + png_chunk(b"IDAT", content)
            + png_chunk(b"IEND", b"")
        )
        (tmp_path / "a.png").write_bytes(png)
        with (
            limits(memory=2**28),
            pytest.raises(
                ValueError, match=r"a\.png cannot be read as a PNG image: .*decompression bomb"
            ),
        ):
            load_images(tmp_path)

    @pytest.mark.parametrize(
        ("number", "seed"), [(150, 0), pytest.param(1000, 1, marks=pytest.mark.slow)]
    )
    def test_a_damaged_image_is_refused_or_whole(self, tmp_path, rng, number, seed):
        Image.fromarray(rng.integers(0, 256, (12, 12), dtype="uint8")).save(tmp_path / "a.png")
        Image.fromarray(rng.integers(0, 256, (12, 12), dtype="uint8")).save(tmp_path / "b.PNG")
        originals = [(tmp_path / name).read_bytes() for name in ("a.png", "b.PNG")]
        wanted, rng = load_images(tmp_path), np.random.default_rng(seed)
        (tmp_path / "b.PNG").unlink()
        damages = [flip_bits, overwrite, truncate, cut_out, repeat, splice, splice_in_place]
        for i in range(number):
            (tmp_path / "a.png").write_bytes(damages[i % len(damages)](rng, *originals))
            with limits():
                images = outcome(lambda _: load_images(tmp_path), tmp_path / "a.png")
            if images is not None:
                assert any(np.array_equal(images[0], image) for image in wanted), (
                    i,
                    damages[i % len(damages)].__name__,
                )
