"""The pages that scripts make from the sources, and the published copies of the notebooks."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import nbformat
import pytest
from notebook_code import answers

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "docs"))
import pages  # noqa: E402
import published  # noqa: E402

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FROM = "vae_keras @ git+https://github.com/owner/name"


def rows_of_the_map():
    lines = pages.make_map().splitlines()
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line][2:]


def cells_of(notebook):
    return json.loads((ROOT / f"notebooks/{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]


class TestMap:
    def test_each_equation_of_the_post_has_a_notebook_and_a_test_of_its_own(self):
        rows = rows_of_the_map()
        assert [row[0] for row in rows] == [str(number) for number in range(1, 15)]
        theory = (ROOT / "tests/lesson/test_theory.py").read_text()
        for number, _, notebooks, _, test, _ in rows:
            assert f"def test_equation_{number}_{test.replace(' ', '_')}(" in theory
            names = re.findall(r"\(notebooks/(\w+)\.ipynb\)", notebooks)
            assert names
            for name in names:
                assert rf"\\tag{{{number}}}" in (ROOT / f"notebooks/{name}.ipynb").read_text()

    def test_each_function_says_so_in_its_docstring(self):
        found = re.findall(r"`(\w+)\.(\w+)`", "".join(row[3] for row in rows_of_the_map()))
        assert ("layers", "Sampling") in found
        for module, name in found:
            code = (ROOT / f"vae_keras/{module}.py").read_text()
            assert re.search(rf'(class|def) {name}\b.*?"""[^"]*Equation', code, re.DOTALL)

    def test_an_equation_of_another_paper_is_not_the_posts(self):
        # -log P(X) is Equation 8 of Burda et al., and the Fréchet distance Equation 6 of another
        by_number = {row[0]: row[3] for row in rows_of_the_map()}
        assert by_number["8"] == by_number["6"] == ""

    def test_all_live_figures_are_there(self):
        listed = {
            f"{name} in {notebook}"
            for row in rows_of_the_map()
            for name, notebook in re.findall(r"\[(\w+)\]\(notebooks/(\w+)\.ipynb\)", row[5])
        }
        wanted = {
            f"{tag.removeprefix('live-')} in {path.stem}"
            for path in NOTEBOOKS
            for cell in cells_of(path.stem)
            for tag in cell["metadata"].get("tags", [])
            if tag.startswith("live-") and pages.equations_of(pages.read_notebooks()[path.stem])
        }
        assert listed == wanted


class TestForTeachers:
    def test_all_exercises_are_there_with_the_code_of_their_answers(self):
        text = pages.make_exercises()
        for path in NOTEBOOKS:
            cells = nbformat.read(path, 4).cells
            holds = ["## Exercises\n" in cell.source for cell in cells]
            written = answers(cells[holds.index(True) :])
            assert written
            assert [code for code in written if code not in text] == [], path.name
        assert "<details>" not in text
        assert text.count("**Answer.**") == len(re.findall(r"^\*\*\d\.", text, re.MULTILINE))

    def test_each_has_the_questions_number(self):
        numbers = re.findall(r"^\*\*(\d)\.", pages.make_exercises(), re.MULTILINE)
        assert numbers.count("1") == len(NOTEBOOKS)
        assert set(numbers) <= {"1", "2", "3"}

    def test_the_goals_are_those_of_the_first_cells(self):
        text = pages.make_goals()
        for path in NOTEBOOKS:
            first = "".join(cells_of(path.stem)[0]["source"])
            assert f"#{first.splitlines()[0]}\n" in text
            paragraphs = [part for part in first.split("\n\n") if part.startswith("**")]
            assert len(paragraphs) >= 4
            assert [part for part in paragraphs if part.strip() not in text] == []

    def test_links_lead_to_files_of_the_site(self):
        for make in pages.PAGES.values():
            prose = re.sub(r"```.*?```", "", make(), flags=re.DOTALL)
            links = re.findall(r"\]\((?!https?:)([^)#]+)\)", prose)
            assert len(links) >= len(NOTEBOOKS)
            places = [ROOT / link if link[:4] == "note" else ROOT / "docs" / link for link in links]
            assert [str(place) for place in places if not place.exists()] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_published_copy_is_the_notebook_after_a_cell_that_installs(path):
    committed = json.loads(path.read_text(encoding="utf-8"))
    copy = published.with_first_cell(committed, FROM)
    nbformat.validate(nbformat.from_dict(copy))
    first, *rest = copy["cells"]
    assert rest == committed["cells"]
    source = "".join(first["source"])
    assert f'%pip install --quiet "{FROM}"' in source
    assert "!{sys.executable} -m vae_keras notebooks course\n" in source
    assert "pip install" not in "".join("".join(cell["source"]) for cell in rest)


def test_the_copies_are_written_to_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["published.py", str(tmp_path / "new"), FROM])
    published.main()
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        path.name for path in NOTEBOOKS
    ]


@pytest.fixture(scope="module")
def conf():
    pytest.importorskip("docutils", reason="the site's packages are not installed: make site")
    spec = importlib.util.spec_from_file_location("conf", ROOT / "docs/conf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_repository_a_notebook_is_offered_for_download_alone(conf):
    offered = conf.offers("07_mnist_vae.ipynb", "")
    assert re.findall(r'href="(.*?)"', offered) == ["07_mnist_vae.ipynb"]
    assert 'href="07_mnist_vae.ipynb" download>' in offered


def test_with_a_repository_there_are_colab_binder_and_the_copy_that_installs(conf):
    colab, binder, copy = re.findall(
        r'href="(.*?)"', conf.offers("07_mnist_vae.ipynb", "owner/name")
    )
    assert colab.startswith("https://colab.research.google.com/github/owner/name/blob/published/")
    assert colab.endswith("/07_mnist_vae.ipynb")
    assert binder == (
        "https://mybinder.org/v2/gh/owner/name/HEAD?labpath=notebooks%2F07_mnist_vae.ipynb"
    )
    assert copy == "../published/07_mnist_vae.ipynb"


def test_the_makefile_publishes_copies_only_with_a_repository():
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^REPOSITORY :=$", makefile, re.MULTILINE)
    (line,) = [line for line in makefile.splitlines() if "docs/published.py" in line]
    assert line.startswith("\t$(if $(REPOSITORY),")
    assert "docs/_build/extra/published" in line
    pages_workflow = (ROOT / ".github/workflows/pages.yml").read_text()
    assert "make site REPOSITORY=${{ github.repository }}" in pages_workflow
    assert "site/published" in pages_workflow
