"""Damaged and forged files by the hundred: each is refused in one line, or read as it was."""

import warnings

import numpy as np
import pytest
from mutations import (
    DAMAGES,
    OF_ANY_FILE,
    change_an_array_header,
    change_the_config,
    drop_or_rename_a_part,
    outcome,
    same_config,
    same_model,
    swap_parts,
)
from PIL import Image
from small_networks import dense_vae

from vae_keras import ConvVAE, load_images, load_vae
from vae_keras.cli.main import main


def numbers(quick, slow):
    """How many mutations, and their seed: few of one, or many of another."""
    many = pytest.param(slow, 1, marks=pytest.mark.slow)
    return pytest.mark.parametrize(("number", "seed"), [(quick, 0), many])


@numbers(100, 1500)
def test_a_damaged_model_is_refused_or_whole(tmp_path, number, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path / "mutant.keras"
    for name in ("a.keras", "b.keras"):
        dense_vae().save(tmp_path / name)
    originals = [(tmp_path / name).read_bytes() for name in ("a.keras", "b.keras")]
    wanted = [load_vae(tmp_path / name) for name in ("a.keras", "b.keras")]
    loaded = 0
    for i in range(number):
        damage = DAMAGES[i % len(DAMAGES)]
        mutant = damage(rng, *originals)
        path.write_bytes(mutant)
        vae = outcome(load_vae, path)
        if vae is not None and mutant != originals[0]:
            assert any(same_model(vae, whole) for whole in wanted), (i, damage.__name__)
            loaded += 1
    print(f"{number} damaged models: {loaded} were whole, the others refused")
    assert loaded < number / 2  # else the mutations hardly mutate


@numbers(30, 400)
def test_a_forged_model_is_refused_or_a_vae_that_computes(tmp_path, number, seed):
    rng = np.random.default_rng(seed)
    path = tmp_path / "mutant.keras"
    wholes = [ConvVAE(2, image_shape=(4, 4, 1)), dense_vae()]
    for vae in wholes:
        vae.save(tmp_path / f"{vae.name}.keras")
    originals = [(tmp_path / f"{vae.name}.keras").read_bytes() for vae in wholes]
    forgeries = [change_the_config, change_the_config, change_the_config]
    forgeries += [swap_parts, drop_or_rename_a_part]
    others = 0
    for i in range(number):
        forge = forgeries[i % len(forgeries)]
        path.write_bytes(forge(rng, originals[i % 2], None))
        vae = outcome(load_vae, path)
        if vae is None:
            continue
        assert forge is change_the_config, (i, forge.__name__)
        whole = wholes[i % 2]
        x = rng.random((3, *whole.image_shape), dtype="float32")
        decoded = vae.decoder(vae.encoder(x)[0])
        assert np.isfinite(decoded).all(), (i, vae.get_config())
        if same_config(vae, whole):
            np.testing.assert_array_equal(decoded, whole.decoder(whole.encoder(x)[0]))
        else:
            others += 1
    print(f"{number} forged models: {others} are another VAE")
    assert others > 0  # else the forgeries hardly forge


@numbers(200, 1500)
def test_damaged_images_are_refused_or_whole(folder, rng, number, seed):
    path = folder / "mutant.npz"
    other = rng.integers(0, 256, (40, 9, 7), dtype="uint8")
    np.savez_compressed(folder / "other.npz", x_train=other, more=[1])
    originals = [(folder / name).read_bytes() for name in ("mine.npz", "other.npz")]
    wanted = [load_images(folder / name) for name in ("mine.npz", "other.npz")]
    rng = np.random.default_rng(seed)
    forgeries = [*DAMAGES, change_an_array_header, swap_parts, drop_or_rename_a_part]
    loaded = 0
    for i in range(number):
        damage = forgeries[i % len(forgeries)]
        path.write_bytes(damage(rng, *originals[:: 1 if rng.random() < 0.5 else -1]))
        images = outcome(load_images, path)
        if images is not None and damage in DAMAGES:
            assert any(np.array_equal(images, whole) for whole in wanted), (i, damage.__name__)
            loaded += 1
    print(f"{number} damaged .npz files: {loaded} were whole, the others refused")
    assert loaded < number / 2


@numbers(150, 1000)
def test_a_damaged_png_is_refused_or_whole(tmp_path, rng, number, seed):
    for name in ("a.png", "b.PNG"):
        Image.fromarray(rng.integers(0, 256, (12, 12), dtype="uint8")).save(tmp_path / name)
    originals = [(tmp_path / name).read_bytes() for name in ("a.png", "b.PNG")]
    wanted = load_images(tmp_path)
    (tmp_path / "b.PNG").unlink()
    rng = np.random.default_rng(seed)
    for i in range(number):
        damage = OF_ANY_FILE[i % len(OF_ANY_FILE)]
        (tmp_path / "a.png").write_bytes(damage(rng, *originals))
        images = outcome(lambda path: load_images(path.parent), tmp_path / "a.png")
        if images is not None:
            assert any(np.array_equal(images[0], whole) for whole in wanted), (i, damage.__name__)


@numbers(8, 150)
def test_the_command_ends_with_one_line(folder, number, seed, capsys):
    rng = np.random.default_rng(seed)
    ConvVAE(2, image_shape=(4, 4, 1)).save(folder / "a.keras")
    dense_vae().save(folder / "b.keras")
    models = [(folder / name).read_bytes() for name in ("a.keras", "b.keras")]
    npz = (folder / "mine.npz").read_bytes()
    model = folder / "mutant.keras"
    images = folder / "mutant.npz"
    of_models = [*DAMAGES, change_the_config, swap_parts, drop_or_rename_a_part]
    of_images = [*DAMAGES, change_an_array_header]
    codes = set()
    for i in range(number):
        if i % 3 < 2:
            model.write_bytes(of_models[i % len(of_models)](rng, *models))
            arguments = ["sample", model, "--n", 1, "--output", folder / "out.npz"]
        else:
            images.write_bytes(of_images[i % len(of_images)](rng, npz, npz))
            arguments = ["evaluate", folder / "a.keras", "--data", images, "--num-samples", 1]
        codes.add(ends_in_one_line(capsys, *arguments))
    assert 2 in codes


def ends_in_one_line(capsys, *arguments):
    """Run a command. Returns its code, 0 or 2, the latter with one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = main([*map(str, arguments)])
    captured = capsys.readouterr()
    assert code in (0, 2)
    assert "Traceback" not in captured.err
    if code == 2:
        assert captured.err.startswith(f"vae_keras {arguments[0]}: ")
        assert len(captured.err.splitlines()) == 1
    return code


@numbers(40, 600)
def test_a_model_cut_at_any_byte_is_refused(tmp_path, number, seed, last_line):
    ConvVAE(2, image_shape=(4, 4, 1)).save(tmp_path / "whole.keras")
    content = (tmp_path / "whole.keras").read_bytes()
    path = tmp_path / "cut.keras"
    cuts = np.random.default_rng(seed).integers(len(content), size=number)
    for cut in (0, 1, len(content) - 1, *cuts):
        path.write_bytes(content[:cut])
        with pytest.raises(ValueError, match=r"cut\.keras is no saved VAE, or is damaged"):
            load_vae(path)
    assert main(["sample", str(path)]) == 2
    assert "cut.keras is no saved VAE" in last_line()
