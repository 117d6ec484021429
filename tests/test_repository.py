"""The repository around the package: its lists agree, its wheel holds the data."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from PIL import Image
from small_networks import tiny_networks

from vae_keras import RECIPES, load_vae
from vae_keras.networks import NETWORKS

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


LOCKS = (
    "requirements",
    "requirements-site",
)  # each a list of ranges, .txt, and what was compiled from it, .lock


def requirements(name="requirements"):
    lines = (ROOT / f"{name}.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def is_for(requirement, python):
    return not requirement.marker or requirement.marker.evaluate({"python_version": python})


def locked(name="requirements"):
    """Each locked version as (requirement, number of hashes)."""
    entries = re.split(r"\n(?=\S)", (ROOT / f"{name}.lock").read_text().replace("\\\n", ""))
    return [
        (Requirement(entry.split("--hash")[0].strip()), entry.count("--hash=sha256:"))
        for entry in entries
        if entry[0] != "#"
    ]


def locked_versions(name, python):
    """The versions that a lock holds for Linux and one Python; each with a hash, and none twice."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": "linux",
    }
    versions = {}
    for requirement, hashes in locked(name):
        assert hashes, f"{requirement} has no hash"
        if not requirement.marker or requirement.marker.evaluate(environment):
            assert requirement.name not in versions
            versions[requirement.name] = Version(str(requirement.specifier).removeprefix("=="))
    return versions


def test_what_the_package_needs_is_what_requirements_txt_says():
    needed = [Requirement(line) for line in PYPROJECT["project"]["dependencies"]]
    names = {requirement.name for requirement in needed}
    listed = [requirement for requirement in requirements() if requirement.name in names]
    assert sorted(map(str, needed)) == sorted(map(str, listed))  # markers and all
    built_with = {Requirement(line).name for line in PYPROJECT["build-system"]["requires"]}
    assert built_with <= {requirement.name for requirement in requirements()}


def test_each_requirement_has_one_range_for_each_python():
    listed = [requirement for name in LOCKS for requirement in requirements(name)]
    names = sorted({requirement.name for requirement in listed})
    for python in PYTHONS:
        assert sorted(r.name for r in listed if is_for(r, python)) == names, python
    assert all(any(is_for(r, python) for python in PYTHONS) for r in listed)


def test_conda_takes_everything_but_python_from_requirements_txt():
    lines = [line.strip() for line in (ROOT / "environment.yml").read_text().splitlines()]
    dependencies = lines[lines.index("dependencies:") + 1 :]
    assert dependencies == ["- python >=3.11,<3.14", "- pip", "- pip:", "- -r requirements.txt"]
    assert PYPROJECT["project"]["requires-python"] == ">=3.11,<3.14"


def test_the_extras_are_what_requirements_site_txt_says():
    extras = PYPROJECT["project"]["optional-dependencies"]
    needed = [str(Requirement(line)) for name in ("onnx", "site") for line in extras[name]]
    listed = [str(requirement) for requirement in requirements("requirements-site")]
    assert sorted(needed) == sorted(["vae_keras[onnx]", *listed])
    assert "vae_keras[onnx]" in extras["site"]


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_holds_one_tested_version_of_each_requirement_for_each_python(name, python):
    versions = locked_versions(name, python)
    for requirement in requirements(name):
        if is_for(requirement, python):
            assert requirement.specifier.contains(versions[requirement.name]), requirement


@pytest.mark.parametrize("python", PYTHONS)
def test_both_locks_fit_into_one_environment(python):
    versions, more = (locked_versions(name, python) for name in LOCKS)
    assert {
        name: version for name, version in more.items() if versions.get(name, version) != version
    } == {}
    assert {"numpy", "protobuf"} <= versions.keys() & more.keys()


@pytest.mark.parametrize("name", [*(f"{name}.lock" for name in LOCKS), "docs/package-lock.json"])
def test_a_lock_names_no_host_to_download_from(name):
    assert not re.search(r"https?://|--index-url|--find-links|resolved", (ROOT / name).read_text())


def test_the_workflow_and_ci_run_what_the_readme_says():
    workflow = (ROOT / ".github/workflows/test.yml").read_text()
    assert all(f'"{python}"' in workflow for python in PYTHONS)
    assert ".ci/run" in workflow
    ci = (ROOT / ".ci/run").read_text()
    assert ci.rstrip().endswith("make test")
    assert "export VAE_KERAS_NEED_SITE=1" in ci  # a site that cannot be built or tested fails there
    assert (
        "site-test"
        in re.findall(r"^test: (.*?)  ##", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()
    )
    readme = (ROOT / "README.md").read_text()
    assert "make figures" in readme
    assert "make test" in readme


def test_the_audit_reads_the_lock_on_each_python_and_is_no_part_of_make_test():
    workflows = {path.name: path.read_text() for path in (ROOT / ".github/workflows").glob("*.yml")}
    audit = workflows["audit.yml"]
    assert all(f'"{python}"' in audit for python in PYTHONS)
    assert all(f"--requirement {name}.lock --require-hashes" in audit for name in LOCKS)
    assert audit.count("paths: [requirements.lock, requirements-site.lock,") == 2
    assert "cron:" in audit
    assert "pip_audit" not in (ROOT / "Makefile").read_text()
    for name, workflow in workflows.items():
        assert (
            re.search(r"^permissions:\n((?:  .*\n)*)", workflow, re.MULTILINE)[1]
            == "  contents: read\n"
        ), name
        writes = ["pages: write", "id-token: write"] if name == "pages.yml" else []
        assert re.findall(r"\S+: write", workflow) == writes, name
        assert all(re.search(r"@v\d+$", line) for line in re.findall(r"uses: .*", workflow)), name


def test_newest_tries_what_no_lock_holds_and_blocks_nothing():
    newest = (ROOT / ".github/workflows/newest.yml").read_text()
    triggers = re.search(r"^on:\n((?:  .*\n)*)", newest, re.MULTILINE)[1]
    assert re.findall(r"^  (\w+):", triggers, re.MULTILINE) == ["schedule", "workflow_dispatch"]
    assert "upgrade: --pre keras" in newest
    assert "make unit UNIT_NEEDS= " in newest
    assert ".lock" not in newest
    assert "GITHUB_STEP_SUMMARY" in newest


def test_the_lowest_versions_are_tested_on_the_oldest_and_the_newest_python():
    workflow = (ROOT / ".github/workflows/test.yml").read_text()
    assert f'python: ["{PYTHONS[0]}", "{PYTHONS[-1]}"]' in workflow
    assert "run: make test-lowest" in workflow
    makefile = (ROOT / "Makefile").read_text()
    (recipe,) = re.findall(r"^test-lowest:.*\n((?:\t.*\n)*)", makefile, re.MULTILINE)
    assert "--resolution lowest-direct" in recipe
    assert all(f"-r {name}.txt" in recipe for name in LOCKS)


def test_the_readme_validates_and_executes_notebooks_as_the_makefile_does():
    readme, makefile = ((ROOT / name).read_text() for name in ("README.md", "Makefile"))
    options = re.findall(r"--Ex\w+\.\S+", makefile)
    (section,) = re.findall(r"## Validate these notebooks.*?(?=\n## )", readme, re.DOTALL)
    assert re.findall(r"--Ex\w+\.\S+", section) == options
    assert all(re.search(r"@v\d+$", line) for line in re.findall(r"uses: .*", section))
    for path in re.findall(r"notebooks/\w+\.ipynb", section):
        assert (ROOT / path).exists()


def test_the_readmes_lines_of_python_run(tmp_path, monkeypatch, rng):
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(lines.splitlines()) <= 12
    digits = rng.random((40, 28, 28, 1), dtype="float32"), rng.integers(0, 10, 40)
    monkeypatch.setattr(
        "vae_keras.load_mnist", lambda: (digits, digits)
    )  # all else as the reader runs it
    monkeypatch.setitem(NETWORKS, "default", (tiny_networks, "linear"))
    monkeypatch.chdir(tmp_path)
    exec(compile(lines, "README.md", "exec"), {})
    assert (tmp_path / "vae.keras").exists()


def test_the_guides_lines_of_python_run(tmp_path, monkeypatch, rng, untraced):
    guide = (ROOT / "docs/guides/your_images.md").read_text()
    (lines,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    assert len(lines.splitlines()) <= 12
    (tmp_path / "my_images").mkdir()
    for i, pixels in enumerate(rng.integers(0, 256, (20, 40, 36, 3), dtype="uint8")):
        Image.fromarray(pixels).save(tmp_path / "my_images" / f"{i}.png")
    monkeypatch.setitem(NETWORKS, "default", (tiny_networks, "linear"))
    monkeypatch.setitem(RECIPES, "default", RECIPES["default"]._replace(epochs=4))
    monkeypatch.chdir(tmp_path)
    exec(compile(lines, "your_images.md", "exec"), {})
    assert load_vae(tmp_path / "mine.keras").image_shape == (32, 32, 3)
    assert load_vae(tmp_path / "mine.keras").variational_loss.beta == 0.5


def test_the_guides_pictures_are_there_small_and_on_the_site():
    guide = (ROOT / "docs/guides/your_images.md").read_text()
    names = re.findall(r"\]\(\.\./images/(.*?)\)", guide)
    pictures = sorted(path.name for path in (ROOT / "docs/images").iterdir())
    assert sorted(names) == pictures
    assert all((ROOT / "docs/images" / name).stat().st_size < 60_000 for name in names)
    assert "docs/images" in (ROOT / "Makefile").read_text()


def test_the_wheel_holds_the_package_whole_its_data_and_their_notice(tmp_path):
    source = tmp_path / "source"  # a copy, since the build leaves files in it
    shutil.copytree(
        ROOT / "vae_keras", source / "vae_keras", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE", "nbval_within.py"):
        shutil.copy(ROOT / name, source)
    wanted = {
        path.relative_to(source).as_posix(): path.read_bytes()
        for path in [*source.glob("vae_keras/**/*.*"), source / "nbval_within.py"]
    }
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", tmp_path, source]
    subprocess.run(build, check=True, capture_output=True)
    with zipfile.ZipFile(*tmp_path.glob("*.whl")) as wheel:
        files = {name: wheel.read(name) for name in wheel.namelist() if "dist-info/" not in name}
        (entry_points,) = [name for name in wheel.namelist() if "entry_points" in name]
        scripts = wheel.read(entry_points).decode()
    assert files == wanted
    assert {"vae_keras/mnist.npz", "vae_keras/MNIST_NOTICE.md"} <= set(files)
    assert "vae-keras = vae_keras.cli.main:run" in scripts
    assert "nbval_within = nbval_within" in scripts
