"""The pages of the site that are made from the sources: `python docs/pages.py FOLDER`.

`map.md` tells where each equation of the post is computed, tested and shown; `goals.md` holds the
goals and prerequisites of all notebooks; `exercises.md` their exercises with the answers.
"""

import ast
import functools
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
EQUATIONS = {
    1: "a height is a draw from a normal distribution",
    2: "a house price is a draw from a mixture",
    3: "F⁻¹ of a uniform draw has the distribution F",
    4: "a joint density is a product of conditional ones",
    5: "an image is g(z) plus noise, z from N(0, I)",
    6: "P(X) is an average over draws of z",
    7: "log P of a data set is a sum of logs of such averages",
    8: "the divergence of Q from the posterior, opened up",
    9: "evidence less divergence: the bound",
    10: "the encoder gives the mean and the variance of Q",
    11: "the gradients that training needs",
    12: "the bound, averaged over the data",
    13: "z = mean + deviation × noise",
    14: "the loss: squares, a trace, a product, a determinant",
}
MAP = """\
# Where each equation is found

The numbers are the post's. A notebook counts if it writes the equation out. The tests lie in
`tests/lesson/test_theory.py`, under names that begin with `test_equation_`, the number, and what
stands here. The live figures lie in the notebooks named. `docs/pages.py` makes this table from
the sources.

| equation | says | notebooks | in the package | its test | live figures there |
|---|---|---|---|---|---|
"""
EXERCISES = """\
# All exercises, with their answers

They stand in the notebooks, with the answers folded. What the code of an answer needs is in its
notebook."""
OTHERS = r"\(\d{4}\)[^.]*?Equation \d+"  # an equation of another paper, named by its year


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (folder / name).write_text(make(), encoding="utf-8")


@functools.cache
def read_notebooks():
    """Give the cells of each notebook by its name, as (kind, source, tags)."""
    notebooks = {}
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        notebooks[path.stem] = [
            (cell["cell_type"], "".join(cell["source"]), cell["metadata"].get("tags", []))
            for cell in cells
        ]
    return notebooks


# ---- The map


def make_map():
    """Make the table of equations, with where each of them is found."""
    notebooks = read_notebooks()
    written = {name: equations_of(cells) for name, cells in notebooks.items()}
    live = {name: live_figures_of(cells) for name, cells in notebooks.items()}
    functions = find_functions()
    tests = find_tests()
    rows = []
    for number, says in EQUATIONS.items():
        names = [name for name in notebooks if number in written[name]]
        figures = [link(name, figure) for name in names for figure in live[name]]
        cells = [
            str(number),
            says,
            ", ".join(link(name, name[:2]) for name in names),
            ", ".join(f"`{function}`" for function in functions.get(number, [])),
            ", ".join(tests.get(number, [])),
            ", ".join(figures),
        ]
        rows.append("| " + " | ".join(cells) + " |")
    return MAP + "\n".join(rows) + "\n"


def link(name, text):
    return f"[{text}](notebooks/{name}.ipynb)"


def equations_of(cells):
    """Give the numbers of the post's equations that a notebook writes out."""
    prose = "\n".join(source for kind, source, _ in cells if kind == "markdown")
    return {int(number) for number in re.findall(r"\\tag\{(\d+)\}", prose)}


def live_figures_of(cells):
    tags = [tag for _, _, tags in cells for tag in tags]
    return [tag.removeprefix("live-") for tag in tags if tag.startswith("live-")]


def find_functions():
    """Give the functions and classes of the package whose docstrings name an equation."""
    found = {}
    for path in sorted((ROOT / "vae_keras").glob("[a-z]*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != "_":
                text = re.sub(OTHERS, "", ast.get_docstring(node) or "")
                for number in sorted(set(re.findall(r"Equation (\d+)", text)), key=int):
                    found.setdefault(int(number), []).append(f"{path.stem}.{node.name}")
    return found


def find_tests():
    """Give what the tests of each equation say, by their names."""
    found = {}
    text = (ROOT / "tests/lesson/test_theory.py").read_text(encoding="utf-8")
    for number, name in re.findall(r"def test_equation_(\d+)_(\w+)", text):
        found.setdefault(int(number), []).append(name.replace("_", " "))
    return found


# ---- For teachers


def make_goals():
    """Put the first cells of all notebooks below each other."""
    parts = ["# Goals and prerequisites of the notebooks"]
    for name, cells in read_notebooks().items():
        first = of_the_site(cells[0][1]).strip()
        parts.append(f"#{first}\n\n[Open the notebook](notebooks/{name}.ipynb).")
    return "\n\n".join(parts) + "\n"


def make_exercises():
    """Put the exercises of all notebooks below each other, with their answers unfolded."""
    parts = [EXERCISES]
    for name, cells in read_notebooks().items():
        title = cells[0][1].splitlines()[0].removeprefix("# ")
        parts.append(f"## {title}\n\n[Open the notebook](notebooks/{name}.ipynb).")
        parts.append(unfold(exercises_of(cells)))
    return "\n\n".join(parts) + "\n"


def exercises_of(cells):
    """Give the text of a notebook from its heading "Exercises" to its end."""
    prose = "\n\n".join(source for kind, source, _ in cells if kind == "markdown")
    text = prose.partition("## Exercises\n")[2]
    return of_the_site(text.partition("\n---\n")[0]).strip()


def unfold(text):
    """Show what is folded, below its summary in bold."""
    text = re.sub(r"<details>\s*<summary>(.*?)</summary>\s*", r"**\1.**\n\n", text)
    return text.replace("</details>", "")


def of_the_site(text):
    """Turn the links of a notebook into those of a page one folder higher."""
    text = text.replace("](../docs/", "](")
    return re.sub(r"\]\((\d\d_\w+\.ipynb)", r"](notebooks/\1", text)


PAGES = {"map.md": make_map, "goals.md": make_goals, "exercises.md": make_exercises}

if __name__ == "__main__":
    main()
