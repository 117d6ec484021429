"""The repository around the package: its lists and texts agree, its wheel holds the course."""

import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from PIL import Image
from small_networks import tiny_networks

import vae_keras
from vae_keras import RECIPES, load_vae
from vae_keras.cli import main as cli
from vae_keras.networks import NETWORKS

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))
import pages  # noqa: E402

TEXTS = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/api.md")]
TEXTS += sorted((ROOT / "docs/guides").glob("*.md"))
COMMANDS = {"figures", "train", "sample", "evaluate", "export", "notebooks"}
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
    by_pip = ["- pip:", "- -r requirements.txt", "- -e ."]
    assert dependencies == ["- python >=3.11,<3.14", "- pip", *by_pip]
    assert PYPROJECT["project"]["requires-python"] == ">=3.11,<3.14"


def test_the_extras_are_what_requirements_site_txt_says():
    extras = PYPROJECT["project"]["optional-dependencies"]
    needed = [str(Requirement(line)) for name in ("onnx", "site") for line in extras[name]]
    listed = [str(requirement) for requirement in requirements("requirements-site")]
    assert sorted(needed) == sorted(["vae_keras[onnx]", *listed])
    assert "vae_keras[onnx]" in extras["site"]
    of_notebooks = [Requirement(line) for line in extras["notebooks"]]
    assert set(map(str, of_notebooks)) <= set(map(str, requirements()))
    assert {"jupyter", "daft-pgm", "nbval"} <= {requirement.name for requirement in of_notebooks}


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
    assert "make figures\nmake test\n" in readme


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
        writes = ["pages: write", "id-token: write", "contents: write"]
        writes = writes if name == "pages.yml" else []
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


def test_the_three_systems_are_tried_and_the_guide_says_that_only_linux_was():
    systems = (ROOT / ".github/workflows/systems.yml").read_text()
    assert "system: [ubuntu-latest, macos-latest, windows-latest]" in systems
    assert "pytest -m slow tests/test_installed.py" in systems
    guide = (ROOT / "docs/guides/commands.md").read_text()
    rows = re.findall(r"^\| (Linux|macOS|Windows)\b.* \| (\w+)[^|]* \|$", guide, re.MULTILINE)
    assert [tried for _, tried in rows] == ["yes", "no", "no", "no", "no"]


def test_the_lowest_versions_are_tested_on_the_oldest_and_the_newest_python():
    workflow = (ROOT / ".github/workflows/test.yml").read_text()
    assert f'python: ["{PYTHONS[0]}", "{PYTHONS[-1]}"]' in workflow
    assert "run: make test-lowest" in workflow
    makefile = (ROOT / "Makefile").read_text()
    (recipe,) = re.findall(r"^test-lowest:.*\n((?:\t.*\n)*)", makefile, re.MULTILINE)
    assert "--resolution lowest-direct" in recipe
    assert all(f"-r {name}.txt" in recipe for name in LOCKS)


def test_the_guide_validates_and_executes_notebooks_as_the_makefile_does():
    guide, makefile = ((ROOT / name).read_text() for name in ("docs/guides/ci.md", "Makefile"))
    options = re.findall(r"--Ex\w+\.\S+", makefile)
    assert len(options) > 3
    assert re.findall(r"--Ex\w+\.\S+", guide) == options
    assert all(re.search(r"@v\d+$", line) for line in re.findall(r"uses: .*", guide))
    for path in re.findall(r"notebooks/\w+\.ipynb", guide):
        assert (ROOT / path).exists()


def test_the_guide_says_what_each_command_of_the_makefile_does():
    guide, makefile = (
        (ROOT / name).read_text() for name in ("docs/guides/commands.md", "Makefile")
    )
    rows = dict(re.findall(r"^\| (`make .*?) \| (.*) \|$", guide, re.MULTILINE))
    named = re.findall(r"`make ([a-z-]+)`", " ".join(rows))
    targets = re.findall(r"^([a-z-]+):.*  ## ", makefile, re.MULTILINE)
    assert set(targets) - set(named) == {"help", "test-lowest", "lock"}
    assert set(named) <= set(targets)
    recipes = makefile.replace("$(BIN)", ".venv/bin").replace(" $(ON_JAX)", "")
    recipes = re.sub(r"--quiet |--disable-pip-version-check |python -m (?=pip )", "", recipes)
    recipes = recipes.replace(
        "$(JAX_QUICKLY)", "KERAS_BACKEND=jax JAX_DISABLE_MOST_OPTIMIZATIONS=1"
    )
    commands = [found for row in rows.values() for found in re.findall(r"`([^`]*)`", row)]
    commands = [command for command in commands if re.match(r"[A-Z_]+=|\.venv", command)]
    assert len(commands) > 15
    without = [command for command in commands if command not in recipes]
    assert without == [".venv/bin/pip install torch==2.13.0"]  # what is optional


def test_each_command_line_of_the_texts_is_understood(capsys):
    lines = [line for path in TEXTS for line in commands_of(path)]
    assert len(lines) > 10
    for line in lines:
        cli._parser().parse_args(shlex.split(line, comments=True))  # else it would exit
    assert {line.split()[0] for line in lines} == COMMANDS


def commands_of(path):
    """The command lines of the package that a text names as code, without the program's name."""
    text = path.read_text()
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"(?<!`)`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    lines = [*"\n".join(blocks).splitlines(), *inline]
    found = [re.search(r"(?:vae-keras|-m vae_keras) (.*)", line) for line in lines]
    return [match[1] for match in found if match]


def test_the_versions_agree():
    version = PYPROJECT["project"]["version"]
    assert vae_keras.__version__ == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    latest = re.search(r"^## (\S+?),? ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert latest[1] == version
    assert f"vae_keras-{version}-py3-none-any.whl" in (ROOT / "README.md").read_text()


def test_pre_commit_has_the_ruff_of_the_lock():
    (revision,) = re.findall(r"rev: v(\S+)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert Version(revision) == locked_versions("requirements", PYTHONS[0])["ruff"]


def test_the_readme_is_one_page_with_a_line_for_each_notebook():
    readme = (ROOT / "README.md").read_text()
    assert len(readme.splitlines()) <= 150
    listed = re.findall(r"^\| \[(\w+)\]\(notebooks/(\w+)\.ipynb\)", readme, re.MULTILINE)
    assert listed == [(path.stem, path.stem) for path in sorted(ROOT.glob("notebooks/*.ipynb"))]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_each_link_of_a_text_leads_to_a_file(path):
    found = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text())
    made = {ROOT / "docs" / name for name in pages.PAGES}
    files = [(path.parent / link).resolve() for link in found]
    assert [str(file) for file in files if not file.exists() and file not in made] == []


def test_no_guide_is_left_out_of_the_readme():
    readme = (ROOT / "README.md").read_text()
    guides = [f"](docs/guides/{path.name})" for path in ROOT.glob("docs/guides/*.md")]
    assert [guide for guide in guides if guide not in readme] == []


def test_nothing_of_a_long_text_is_said_twice():
    """No two sentences are the same, but for rows of tables, code and short ones."""
    seen = {}
    for path in TEXTS:
        prose = re.sub(r"^ *```.*?^ *```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
        for sentence in re.split(r"(?<=[.:!?])\s+|\n\s*\n", prose):
            words = " ".join(sentence.split())
            if len(words.split()) > 7 and "|" not in words:
                seen.setdefault(words, []).append(path.name)
    assert {words: names for words, names in seen.items() if len(names) > 1} == {}


def test_figures_are_written_where_git_ignores_them():
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "/figures/" in ignored
    parsed = cli._parser().parse_args(["figures"])
    assert parsed.output == "figures"
    assert not re.search(r"\]\([^)]*figures/", "".join(path.read_text() for path in TEXTS))


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


def test_the_onnx_guides_lines_of_python_run(tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx", reason="the site's packages are not installed: make site")
    pytest.importorskip("onnxruntime")
    guide = (ROOT / "docs/guides/onnx.md").read_text()
    (lines,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n", 64])
        for name in ("latents", "images")
    ]
    same = onnx.helper.make_node("Identity", ["latents"], ["images"])
    graph = onnx.helper.make_graph([same], "decoder", ends[:1], ends[1:])
    opset = [onnx.helper.make_opsetid("", 17)]
    (tmp_path / "exported").mkdir()
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    onnx.save(model, tmp_path / "exported/decoder.onnx")
    monkeypatch.chdir(tmp_path)
    given = {}
    exec(compile(lines, "onnx.md", "exec"), given)
    assert (given["images"] == given["z"]).all()


def test_the_committed_pictures_are_shown_small_and_on_the_site():
    texts = "\n".join(path.read_text() for path in TEXTS)
    names = re.findall(r"\]\((?:\.\./|docs/)images/(.*?)\)", texts)
    pictures = sorted(path.name for path in (ROOT / "docs/images").iterdir())
    assert sorted(names) == pictures
    still = [name for name in names if name != "explorer.webp"]  # which moves
    assert all((ROOT / "docs/images" / name).stat().st_size < 60_000 for name in still)
    assert "docs/images" in (ROOT / "Makefile").read_text()


def test_the_lines_that_put_answers_into_a_solution_do(tmp_path, monkeypatch):
    guide = (ROOT / "docs/guides/for_teachers.md").read_text()
    (lines,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    cell = nbformat.v4.new_code_cell
    for name, answer, number in (("mine", "x = 1", "1.00"), ("ada", "x = 2", "2.00")):
        shown = nbformat.v4.new_output("stream", text=number)
        filled = cell(answer, metadata={"tags": ["answer"]})
        cells = [filled, cell("print(f'{x:.2f}')", outputs=[shown])]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
    paths = [str(tmp_path / f"{name}.ipynb") for name in ("mine", "ada", "checked")]
    monkeypatch.setattr(sys, "argv", ["", *paths])
    exec(compile(lines, "for_teachers.md", "exec"), {})
    checked = nbformat.read(paths[2], 4).cells
    assert checked[0].source == "x = 2"
    assert checked[1].outputs[0].text == "1.00"


BUILT = ("pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "nbval_within.py")
BUILD = """
import sys
from setuptools import build_meta
(folder,) = sys.argv[1:]  # setuptools changes them
build_meta.build_sdist(folder)
build_meta.build_wheel(folder)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with a wheel and a source distribution, and a copy of what they were built from."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"  # a copy, since the build leaves files in it
    for name in ("vae_keras", "notebooks", "benchmarks/records"):
        ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in BUILT:
        shutil.copy(ROOT / name, source)
    (source / "tests").mkdir()
    (source / "tests/test_a.py").touch()
    command = [sys.executable, "-c", BUILD, str(folder)]
    subprocess.run(command, check=True, capture_output=True, cwd=source)
    return folder


def test_the_wheel_holds_the_package_whole_the_data_and_the_course(built):
    source = built / "source"
    places = {"vae_keras/**/*.*": "", "nbval_within.py": ""}
    places |= {"notebooks/*.ipynb": "vae_keras/", "notebooks/conftest.py": "vae_keras/"}
    wanted = {
        place + path.relative_to(source).as_posix(): path.read_bytes()
        for pattern, place in places.items()
        for path in source.glob(pattern)
    }
    records = source.glob("benchmarks/records/*.json")
    wanted |= {f"vae_keras/records/{path.name}": path.read_bytes() for path in records}
    with zipfile.ZipFile(*built.glob("*.whl")) as wheel:
        files = {name: wheel.read(name) for name in wheel.namelist() if "dist-info/" not in name}
        (entry_points,) = [name for name in wheel.namelist() if "entry_points" in name]
        scripts = wheel.read(entry_points).decode()
    assert files.keys() == wanted.keys()
    assert files == wanted
    assert {"vae_keras/mnist.npz", "vae_keras/MNIST_NOTICE.md"} <= set(files)
    assert sum(name.endswith(".ipynb") for name in files) == len([*ROOT.glob("notebooks/*.ipynb")])
    assert "vae-keras = vae_keras.cli.main:run" in scripts
    assert "nbval_within = nbval_within" in scripts


def test_the_wheel_says_who_made_it_and_for_whom(built):
    with zipfile.ZipFile(*built.glob("*.whl")) as wheel:
        (name,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
        metadata = wheel.read(name).decode().partition("\n\n")[0]
    said = dict(line.split(": ", 1) for line in metadata.splitlines())
    assert said["Version"] == vae_keras.__version__
    assert said["Author"] == "The vae_keras authors"
    assert said["License-Expression"] == "MIT AND CC-BY-SA-3.0"
    assert said["Description-Content-Type"] == "text/markdown"
    assert "Project-URL: Post, http" in metadata
    for python in PYTHONS:
        assert f"Classifier: Programming Language :: Python :: {python}" in metadata


def test_the_source_distribution_has_all_that_the_wheel_is_built_from(built):
    with tarfile.open(*built.glob("*.tar.gz")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    source = built / "source"
    patterns = ("vae_keras/**/*.*", "notebooks/*.ipynb", "benchmarks/records/*.json")
    files = [path for pattern in patterns for path in source.glob(pattern)]
    wanted = {path.relative_to(source).as_posix() for path in files}
    assert wanted | {"notebooks/conftest.py", *BUILT} - {"MANIFEST.in"} <= names
    assert not [name for name in names if name.startswith("tests")]
