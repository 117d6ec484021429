"""How far the notebooks' numbers move with the processor, the threads and the versions.

`python benchmarks/tolerances.py --output FOLDER` executes each notebook under each variation, and
prints for each cell the largest difference from the stored numbers, which its tag `within-N%` must
cover, N being at most three times as large. What FOLDER holds already is not executed again.

--python NAME=PATH  one more variation: the interpreter of another environment, such as one of
                    another Python, or of the lowest versions (`make test-lowest`); may be repeated
--variation NAME    this one and not all; may be repeated
--tag               write the tags into the notebooks
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import nbformat
from threads import ONE_THREAD, THREADS

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
import nbval_within  # noqa: E402

ON = {"TF_ENABLE_ONEDNN_OPTS": "1"}  # TensorFlow's default on some processors alone
VARIATIONS = {
    "again": {},
    "oneDNN on": ON,
    "oneDNN off": {"TF_ENABLE_ONEDNN_OPTS": "0"},
    "oneDNN AVX2": {**ON, "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "oneDNN SSE4.1": {**ON, "ONEDNN_MAX_CPU_ISA": "SSE41"},
    "OpenBLAS Nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
    "one thread": ONE_THREAD,
    "two threads": dict.fromkeys(THREADS, "2"),
}
PERCENTAGES = (0.1, 0.2, 0.3, 0.5, 1, 2, 3, 5, 10, 15, 20, 30, 50, 75, 99)
EXECUTE = (
    "--to=notebook", "--execute", "--log-level=ERROR", "--ExecutePreprocessor.timeout=3600",
    "--Exporter.preprocessors=nbconvert.preprocessors.CoalesceStreamsPreprocessor",
    "--ExecutePreprocessor.extra_arguments=['--IPKernelApp.capture_fd_output=False']",
)  # fmt: skip


def execute(notebook, folder, python, environment):
    """Execute a notebook into `folder`, unless that holds it; return the executed one's path."""
    executed = folder / notebook.name
    if not executed.exists():
        print(f"executing {notebook.stem}: {folder.name}", file=sys.stderr, flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        command = [python, "-m", "nbconvert", *EXECUTE, f"--output-dir={folder}", str(notebook)]
        # the names of the kernels are those of the interpreter's own environment
        path = os.pathsep.join([str(Path(python).parent), os.environ["PATH"]])
        subprocess.run(command, check=True, env={**os.environ, "PATH": path, **environment})
    return executed


def code_cells(path):
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def compared_cells(path):
    """Return the code cells that nbval compares, by their number as nbval counts them."""
    cells = dict(enumerate(code_cells(path)))
    tags = {i: cell.metadata.get("tags", []) for i, cell in cells.items()}
    return {i: cell for i, cell in cells.items() if "nbval-ignore-output" not in tags[i]}


def needed(stored, printed):
    """Return the percentage within which two cells' outputs agree, or in words why none does."""
    old_texts = nbval_within._texts(stored.outputs, ("stderr",))
    new_texts = nbval_within._texts(printed.outputs, ("stderr",))
    if len(old_texts) != len(new_texts):
        return "another number of outputs"
    percent = 0.0
    for (_, old, key), (_, new, _) in zip(old_texts, new_texts, strict=True):
        words = nbval_within.differences(old[key], new[key], 10**6)
        if words:  # another text, a number without a decimal point, or one that was 0
            return words[0]
        percent = max(percent, *_percentages(old[key], new[key]), 0.0)
    return percent


def _percentages(old, new):
    pairs = zip(nbval_within._numbers(old), nbval_within._numbers(new), strict=True)
    for before, after in pairs:
        stored = nbval_within._value(before)
        difference = abs(nbval_within._value(after) - stored)
        if difference > nbval_within._last_digit(stored):
            yield float(100 * difference / abs(stored))


def tag_for(percent):
    """Return the widest tag of at most three times the percentage, None for 0 or above 99."""
    allowed = [n for n in PERCENTAGES if percent <= n <= 3 * percent]
    return f"within-{max(allowed):g}%" if allowed else None


def measure(notebook, variations, folder):
    """Return for each compared cell the largest percentage, or a reason, and the variation."""
    stored = compared_cells(notebook)
    largest = dict.fromkeys(stored, (0.0, ""))
    for name, (python, environment) in variations.items():
        printed = code_cells(execute(notebook, folder / name, python, environment))
        for i, cell in stored.items():
            found = needed(cell, printed[i])
            before = largest[i][0]
            if isinstance(before, str):
                continue
            if isinstance(found, str) or found > before:
                largest[i] = found, name
    return largest


def write_tags(path, largest):
    """Put the tags into a notebook, in place of those that it has."""
    notebook = nbformat.read(path, 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for i, (found, _) in largest.items():
        tags = [tag for tag in code[i].metadata.get("tags", []) if not tag.startswith("within")]
        wanted = None if isinstance(found, str) else tag_for(found)
        tags += [wanted] if wanted else []
        code[i].metadata.pop("tags", None)
        if tags:
            code[i].metadata["tags"] = tags
    nbformat.write(notebook, path)


def report(path, largest):
    """Print the cells whose numbers move, how far, and the tag that they have and should have."""
    cells = compared_cells(path)
    for i, (found, name) in largest.items():
        tags = [tag for tag in cells[i].metadata.get("tags", []) if tag.startswith("within")]
        if found or tags:
            wanted = None if isinstance(found, str) else tag_for(found)
            what = found if isinstance(found, str) else f"{found:.3g} %"
            what += f", tag {wanted}" if wanted else ", which no tag mends" if found else ""
            print(f"{path.stem} cell {i}: {what} ({name}); has {tags[0] if tags else 'no tag'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "notebooks", nargs="*", type=Path, help="all of notebooks/ if none is named"
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--variation", action="append", choices=VARIATIONS)
    parser.add_argument("--tag", action="store_true")
    arguments = parser.parse_args()
    chosen = arguments.variation or VARIATIONS
    variations = {name: (sys.executable, VARIATIONS[name]) for name in chosen}
    for pair in arguments.python:
        name, _, python = pair.partition("=")
        variations[name] = (python, {})
    for path in arguments.notebooks or sorted((ROOT / "notebooks").glob("*.ipynb")):
        largest = measure(path, variations, arguments.output)
        if arguments.tag:
            write_tags(path, largest)
        report(path, largest)


if __name__ == "__main__":
    main()
