"""The notebooks and the records that they read, laid into a folder."""

import json
import re
from pathlib import Path

from vae_keras._files import atomic_path, check_writable

PACKAGE = Path(__file__).parents[1]
ANSWER = re.compile(r"<details>\s*<summary>Answer</summary>.*?</details>\n*", re.DOTALL)


def lay(folder, student: bool) -> list[str]:
    """Write the course to `folder`, as it lies in the repository, and return the paths.

    Args:
        folder: Where to; it is made if it is not there.
        student: Leave out the folded answers to the exercises.

    Raises:
        ValueError: If a file is there with other contents. Then nothing is written.
    """
    files = {Path(folder) / name: content for name, content in _course(student).items()}
    for path in files:
        check_writable(path)
    there = {path: path.read_bytes() for path in files if path.exists()}
    changed = [str(path) for path in there if there[path] != files[path]]
    if changed:
        wanted = "a new folder, or hold what is to be written unchanged"
        raise ValueError(f"DIR must be {wanted}; changed are {', '.join(changed)}.")
    for path in files.keys() - there.keys():
        with atomic_path(path) as partial:
            partial.write_bytes(files[path])
    return [str(path) for path in files]


def _course(student):
    """Give the contents of each file by its path in the repository."""
    # in an installed package both folders lie in it; in a clone, beside it
    installed = (PACKAGE / "notebooks").is_dir()
    root = PACKAGE if installed else PACKAGE.parent
    notebooks = root / "notebooks"
    records = root / "records" if installed else root / "benchmarks/records"
    files = {f"notebooks/{path.name}": path for path in sorted(notebooks.glob("*.ipynb"))}
    files["notebooks/conftest.py"] = notebooks / "conftest.py"
    files |= {f"benchmarks/records/{path.name}": path for path in sorted(records.glob("*.json"))}
    contents = {name: path.read_bytes() for name, path in files.items()}
    if student:
        is_notebook = [name for name in contents if name.endswith(".ipynb")]
        contents |= {name: _without_answers(contents[name]) for name in is_notebook}
    return contents


def _without_answers(content):
    notebook = json.loads(content)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            source = ANSWER.sub("", "".join(cell["source"]))
            cell["source"] = source.splitlines(keepends=True)
    return (json.dumps(notebook, ensure_ascii=False, indent=1) + "\n").encode()
