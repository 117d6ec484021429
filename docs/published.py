"""Notebooks that install what they need: `python docs/published.py FOLDER REQUIREMENT`.

They are for Colab, or any Jupyter with a network. The committed notebooks have no such cell.
REQUIREMENT is what pip is to install, such as "vae_keras @ git+https://github.com/owner/name".
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FIRST = """\
# Only this copy has this cell. It installs the package, and lays the course beside it.
import sys
%pip install --quiet "{requirement}" daft-pgm
!{{sys.executable}} -m vae_keras notebooks course
%cd course/notebooks"""


def main():
    folder, requirement = Path(sys.argv[1]), sys.argv[2]
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        text = json.dumps(with_first_cell(notebook, requirement), ensure_ascii=False, indent=1)
        (folder / path.name).write_text(text + "\n", encoding="utf-8")


def with_first_cell(notebook, requirement):
    """Give the notebook with a cell before all others that installs the requirement."""
    source = FIRST.format(requirement=requirement).splitlines(keepends=True)
    cell = {"cell_type": "code", "execution_count": None, "id": "install", "metadata": {}}
    cell |= {"outputs": [], "source": source}
    return {**notebook, "cells": [cell, *notebook["cells"]]}


if __name__ == "__main__":
    main()
