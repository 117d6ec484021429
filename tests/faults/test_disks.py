"""Disks that are full or fill up: what cannot be written is named, and nothing is lost."""

import resource
import subprocess

import pytest
from small_networks import small_vae

from vae_keras import ConvVAE
from vae_keras.cli.main import main


@pytest.fixture(params=["limit", "tmpfs"])
def make_full(request, tmp_path):
    """Let a folder hold `size` bytes a file, or in all."""
    disk = tmp_path / "disk"
    disk.mkdir()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
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
        # lazily: what another test starts just now may hold a file of it open for a moment
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.parametrize("size", [4096, 600_000, 1_500_000])
def test_a_full_disk_refuses_a_model_with_its_name_and_keeps_nothing_of_it(make_full, size):
    vae = ConvVAE(2, image_shape=(9, 7, 1))
    disk = make_full(size)
    with pytest.raises(OSError, match=rf"{disk / 'vae.keras'} cannot be written: \[Errno"):
        vae.save(disk / "vae.keras")
    assert list(disk.iterdir()) == []


def test_a_disk_that_fills_up_keeps_the_run_that_it_holds(
    folder, train, small_network, make_full, last_line
):
    disk = make_full(2**20)
    small_vae("default", 2, (9, 7, 1), "bernoulli", None).save(disk / "vae.keras")
    content = (disk / "vae.keras").read_bytes()
    left = 2**14  # bytes, less than the model needs
    if disk.is_mount():
        (disk / "other").write_bytes(bytes(2**20 - len(content) - left))
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (left, resource.RLIM_INFINITY))
    assert train(epochs=1, output="disk/vae.keras") == 2
    assert "cannot be written" in last_line()
    assert (disk / "vae.keras").read_bytes() == content
    assert not list(disk.glob(".*"))


@pytest.mark.parametrize("output", ["grid.png", "draws.npz"])
def test_samples_on_a_full_disk(tmp_path, make_full, output, last_line):
    ConvVAE(2, image_shape=(9, 7, 1)).save(tmp_path / "vae.keras")
    disk = make_full(4096)
    model = str(tmp_path / "vae.keras")
    assert main(["sample", model, "--n", "400", "--output", str(disk / output)]) == 2
    assert f"{disk / output} cannot be written: [Errno" in last_line()
    assert list(disk.iterdir()) == []


def test_a_file_where_a_folder_is_wanted(folder, train, last_line):
    assert train(output="mine.npz/vae.keras") == 2
    assert "mine.npz" in last_line()
