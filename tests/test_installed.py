"""A wheel in an empty environment and an empty folder: a notebook and the README's lines run.

It needs a package index, and takes some minutes: weekly.
"""

import json
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))
import published  # noqa: E402

NOTEBOOK = "04_variational_objective.ipynb"
CLEAN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
JUPYTER = ("jupyter-client>=8,<9", "ipykernel>=6,<8", "nbconvert>=7,<8")
pytestmark = [pytest.mark.slow, pytest.mark.process]


def run(*command, cwd):
    done = subprocess.run([*map(str, command)], cwd=cwd, env=CLEAN, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    run(*pip, "--wheel-dir", folder, ROOT, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The folder of programs of an environment that has what a notebook runs in, and no more."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    run(programs / "python", "-m", "pip", "install", "--quiet", *JUPYTER, cwd=folder)
    return programs


@pytest.fixture(scope="module")
def installed(wheel, environment, tmp_path_factory):
    """The same environment after a published copy has run there, whose first cell installs."""
    folder = tmp_path_factory.mktemp("copy")
    committed = json.loads((ROOT / "notebooks" / NOTEBOOK).read_text(encoding="utf-8"))
    copy = published.with_first_cell(committed, str(wheel))
    (folder / NOTEBOOK).write_text(json.dumps(copy), encoding="utf-8")
    convert = ["nbconvert", "--to", "notebook", "--execute", "--inplace", NOTEBOOK]
    run(environment / "jupyter", *convert, cwd=folder)
    return environment, folder


def test_a_published_copy_runs_to_its_table_of_claims(installed):
    _, folder = installed
    cells = json.loads((folder / NOTEBOOK).read_text(encoding="utf-8"))["cells"]
    ran = [cell for cell in cells if cell["cell_type"] == "code"]
    assert "claim" in "".join(ran[-1]["outputs"][0]["text"])
    assert (folder / "course/notebooks" / NOTEBOOK).is_file()


def test_the_readmes_lines_run_there(installed, tmp_path):
    programs, _ = installed
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    said = run(programs / "python", "-c", lines, cwd=tmp_path)
    assert -98 < float(said.split()[-2]) < -92  # the test ELBO
    assert (tmp_path / "vae.keras").is_file()


def test_the_command_lays_the_course_there(installed, tmp_path):
    programs, _ = installed
    run(programs / "vae-keras", "notebooks", "course", "--student", cwd=tmp_path)
    laid = sorted(path.name for path in (tmp_path / "course/notebooks").glob("*.ipynb"))
    assert laid == sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
