"""The functions that a notebook writes out, taken from its own cells for a test."""

import ast
import re
from pathlib import Path

import nbformat

FOLDER = Path(__file__).parents[1] / "notebooks"


def written_out(notebook, wanted, **given):
    """Run the statements of a notebook that first define the `wanted` names, and no others.

    `given` holds what the notebook imports, by its names. Returns all names with their values.
    """
    exec(compile("\n".join(statements(notebook, wanted)), notebook, "exec"), given)
    return given


def statements(notebook, wanted):
    """The text of the statements of a notebook that first define the `wanted` names."""
    cells = [cell for cell in read(notebook) if cell.cell_type == "code"]
    code = "\n".join(cell.source.replace("%matplotlib inline", "") for cell in cells)
    missing, chosen = set(wanted), []
    for node in ast.parse(code).body:
        if missing & defined_by(node):
            missing -= defined_by(node)
            chosen.append(ast.get_source_segment(code, node))
    if missing:
        raise NameError(f"{notebook} does not define {sorted(missing)}.")
    return chosen


def answers(cells):
    """The code of the folded answers to the exercises, from the cells of a notebook."""
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return re.findall(r"<details>.*?```python\n(.*?)```.*?</details>", prose, re.DOTALL)


def read(notebook):
    """The cells of notebooks/`notebook`.ipynb."""
    return nbformat.read(FOLDER / f"{notebook}.ipynb", 4).cells


def defined_by(node):
    """The names that a statement defines: a function's or class's, or those that it assigns."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else []
    names = [name for target in targets for name in getattr(target, "elts", [target])]
    return {name.id for name in names if isinstance(name, ast.Name)}
