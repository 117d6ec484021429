"""Strict validation of the notebooks with nbval, exercises included.

And the proof that a changed digit fails it.
"""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from notebook_code import answers

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SHELL_OR_DOWNLOAD = re.compile(  # the one magic command that is allowed runs nothing
    r"^\s*(!|%%|%(?!matplotlib inline$)\w)|https?://"
    r"|\b(get_ipython|system|popen|subprocess|socket|urllib|requests|httpx|wget|curl"
    r"|get_file|fetch_\w+|datasets\.\w+\.load_data|tensorflow_datasets|from_pretrained)\b",
    re.MULTILINE,
)
FORBIDDEN = (
    "!ls",
    "x = 1\n  !ls",
    "%%bash\nls",
    "%pip install x",
    "os.system('ls')",
    "import urllib.request",
    "requests.get(url)",
    "keras.utils.get_file('x', url)",
    "fetch_openml('mnist_784')",
    "keras.datasets.mnist.load_data()",
    "url = 'http://x.org'",
)


def compared_outputs(cell):
    """The printed outputs that nbval compares: those of code not tagged as ignored."""
    if cell.cell_type != "code" or "nbval-ignore-output" in cell.metadata.get("tags", []):
        return []
    return [output for output in cell.outputs if output.get("name") == "stdout"]


def with_a_number(cell):
    """The printed outputs that nbval compares and that hold a number."""
    return [output for output in compared_outputs(cell) if re.search(r"\d", output.text)]


def next_digit(found):
    """The digit after the one found, 0 after 9."""
    return str((int(found[0]) + 1) % 10)


def validate(notebook, folder):
    """Run strict nbval on a notebook, written to `folder` as if it were the repository."""
    # notebook 09 reads the recorded runs
    (folder / "benchmarks").symlink_to(FOLDER.parent / "benchmarks")
    (folder / "notebooks").mkdir()
    nbformat.write(notebook, folder / "notebooks" / "notebook.ipynb")
    (folder / "notebooks" / "conftest.py").write_text((FOLDER / "conftest.py").read_text())
    pytest_here = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    command = [*pytest_here, "--nbval", "notebook.ipynb"]
    return subprocess.run(command, cwd=folder / "notebooks", capture_output=True, text=True)


@pytest.mark.parametrize("line", FORBIDDEN)
def test_shell_commands_and_downloads_are_seen(line):
    assert SHELL_OR_DOWNLOAD.search(line)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_it_was_run_once_from_top_to_bottom_without_noise(self, path):
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
        outputs = [output for cell in cells for output in cell.outputs]
        errors = [output for output in outputs if output.output_type == "error"]
        assert errors + [output for output in outputs if output.get("name") == "stderr"] == []

    def test_nine_in_ten_of_the_cells_that_print_are_compared_with_a_number(self, path):
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        printing = [cell for cell in cells if any(o.get("name") == "stdout" for o in cell.outputs)]
        compared = [cell for cell in printing if with_a_number(cell)]
        assert len(compared) >= max(10, 0.9 * len(printing))

    def test_it_prints_numbers_and_ends_in_a_table_of_claims(self, path):
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        printed = "\n".join(o.text for cell in cells for o in compared_outputs(cell))
        assert re.findall(r".*\b(?:True|False)\b.*", printed) == []
        assert "plots.claims(" in cells[-1].source
        assert cells[-1].outputs[0].text.split()[:3] == ["claim", "number", "must"]

    def test_its_figures_have_the_colours_and_the_style_of_the_package(self, path):
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        code = "\n".join(cell.source for cell in cells)
        assert "plots.use_style()" in code
        assert re.findall(r"#[0-9A-Fa-f]{6}\b|rcParams|color=\"(?!none)[a-z]+\"", code) == []

    def test_it_runs_no_shell_command_and_downloads_nothing(self, path):
        notebook = nbformat.read(path, 4)
        code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        code += answers(notebook.cells)
        assert [found[0] for source in code for found in SHELL_OR_DOWNLOAD.finditer(source)] == []

    def test_it_validates_and_the_answers_to_its_exercises_run(self, path, tmp_path):
        notebook = nbformat.read(path, 4)
        exercises = answers(notebook.cells)
        assert 2 <= len(exercises) <= 3
        # nbval runs them; nothing is stored to compare
        notebook.cells += [nbformat.v4.new_code_cell(answer) for answer in exercises]
        done = validate(notebook, tmp_path)
        assert done.returncode == 0, done.stdout
        assert f"{sum(cell.cell_type == 'code' for cell in notebook.cells)} passed" in done.stdout

    def test_a_changed_digit_fails_its_validation(self, path, tmp_path):
        notebook = nbformat.read(path, 4)
        cell = next(cell for cell in notebook.cells if with_a_number(cell))
        output = with_a_number(cell)[0]
        output.text = re.sub(r"\d", next_digit, output.text, count=1)
        # later cells cannot change the verdict on this one
        notebook.cells = notebook.cells[: notebook.cells.index(cell) + 1]
        done = validate(notebook, tmp_path)
        assert done.returncode == 1
        assert re.search(r"\b1 failed", done.stdout), done.stdout
