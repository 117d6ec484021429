"""Strict validation of the notebooks, proved: a changed digit fails it. And the answers to the exercises run."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def compared_outputs(cell):
    """The printed outputs that nbval compares: those of a code cell that is not tagged as ignored."""
    if cell.cell_type != "code" or "nbval-ignore-output" in cell.metadata.get("tags", []):
        return []
    return [output for output in cell.outputs if output.get("name") == "stdout"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_it_was_run_once_from_top_to_bottom_without_noise(self, path):
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
        outputs = [output for cell in cells for output in cell.outputs]
        assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]

    def test_a_changed_digit_fails_its_validation(self, path, tmp_path):
        notebook = nbformat.read(path, 4)
        numbers = ((cell, output) for cell in notebook.cells for output in compared_outputs(cell) if re.search(r"\d", output.text))
        cell, output = next(numbers)
        output.text = re.sub(r"\d", lambda digit: str((int(digit[0]) + 1) % 10), output.text, count=1)
        notebook.cells = notebook.cells[: notebook.cells.index(cell) + 1]  # later cells cannot change the verdict on this one
        nbformat.write(notebook, tmp_path / path.name)
        (tmp_path / "conftest.py").write_text((FOLDER / "conftest.py").read_text())
        command = [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", path.name]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 1
        assert re.search(r"\b1 failed", done.stdout), done.stdout

    def test_the_answers_to_the_exercises_run(self, path):
        notebook = nbformat.read(path, 4)
        prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        answers = re.findall(r"<details>.*?```python\n(.*?)```.*?</details>", prose, re.DOTALL)
        assert 2 <= len(answers) <= 3
        notebook.cells += [nbformat.v4.new_code_cell(answer) for answer in answers]
        NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
