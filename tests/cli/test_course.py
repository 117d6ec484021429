"""`vae-keras notebooks DIR`: the course in a folder, with and without answers."""

import json
from pathlib import Path

import nbformat
import pytest
from notebook_code import answers

from vae_keras.cli import course
from vae_keras.cli.main import main

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
RECORDS = sorted(path.name for path in (ROOT / "benchmarks/records").glob("*.json"))


def laid(folder, *options):
    """Lay the course, and give its files by their place in the folder."""
    assert main(["notebooks", str(folder), *options]) == 0
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_notebooks_are_those_of_the_repository_with_what_they_read(tmp_path, capsys):
    files = laid(tmp_path / "course", "--json")
    names = [*(f"notebooks/{name}" for name in NOTEBOOKS), "notebooks/conftest.py"]
    names += [f"benchmarks/records/{name}" for name in RECORDS]
    assert files == {name: (ROOT / name).read_bytes() for name in names}
    results = json.loads(capsys.readouterr().out)
    assert results["notebooks"] == len(NOTEBOOKS)
    assert results["files"] == [str(tmp_path / "course" / name) for name in names]


def test_an_installed_package_has_them_within(tmp_path, monkeypatch):
    for folder in ("notebooks", "records"):
        (tmp_path / "package" / folder).mkdir(parents=True)
    (tmp_path / "package/notebooks/01_a.ipynb").write_text("{}")
    (tmp_path / "package/notebooks/conftest.py").write_text("# a\n")
    (tmp_path / "package/records/b.json").write_text("[]")
    monkeypatch.setattr(course, "PACKAGE", tmp_path / "package")
    assert laid(tmp_path / "course") == {
        "notebooks/01_a.ipynb": b"{}",
        "notebooks/conftest.py": b"# a\n",
        "benchmarks/records/b.json": b"[]",
    }


def test_a_changed_notebook_is_named_and_nothing_is_written(tmp_path, capsys):
    files = laid(tmp_path)
    changed, missing = (tmp_path / "notebooks" / name for name in NOTEBOOKS[:2])
    changed.write_text("mine")
    missing.unlink()
    assert main(["notebooks", str(tmp_path)]) == 2
    assert f"changed are {changed}." in capsys.readouterr().err
    assert changed.read_text() == "mine"
    assert not missing.exists()
    changed.unlink()
    assert laid(tmp_path) == files  # what is missing is laid again


def test_a_folder_that_cannot_be_made_is_named(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert main(["notebooks", str(tmp_path / "file")]) == 2
    assert f"{tmp_path / 'file'} is no folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_students_get_all_but_the_answers(name, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "student"
    given = nbformat.reads((ROOT / "notebooks" / name).read_text(encoding="utf-8"), 4)
    left = nbformat.reads(laid(folder, "--student")[f"notebooks/{name}"].decode(), 4)
    nbformat.validate(left)
    assert answers(given.cells)
    assert answers(left.cells) == []
    prose, less = ("\n".join(cell.source for cell in part.cells) for part in (given, left))
    assert "<summary>Answer" not in less
    assert less.count("<summary>Hint") == prose.count("<summary>Hint")
    assert less.count("<details>") == less.count("</details>")
    lines = prose.splitlines()
    assert [line for line in less.splitlines() if line not in lines] == []
    code = [[cell for cell in part.cells if cell.cell_type == "code"] for part in (given, left)]
    assert code[0] == code[1]  # with their outputs
    assert len(given.cells) == len(left.cells)
