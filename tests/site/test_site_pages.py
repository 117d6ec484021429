"""The built pages, read as text: links and files are there, and nothing is another host's."""

import json
import os
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
SITE = ROOT / os.environ.get("SITE", "site")
bs4 = pytest.importorskip("bs4", reason="the site's packages are not installed: make site")
if not (SITE / "index.html").exists():
    pytest.skip("there is no site/: make site", allow_module_level=True)

PAGES = sorted(SITE.rglob("*.html"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# the attribute with the address of what is loaded
LOADED = dict.fromkeys(("img", "script", "source", "iframe", "video"), "src") | {"link": "href"}
NAVIGATION = [["index"], ["search"], ["next"], ["prev"]]  # <link rel=...> to pages


@cache
def read(path):
    return bs4.BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def of_the_notebook(path):
    return read(SITE / "notebooks" / f"{path.stem}.html")


def is_there(page, address):
    """Whether an address on a page leads to a file of the site.

    With a #fragment it must lead to a place in it.
    """
    parts = urlsplit(address)
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    target = target / "index.html" if target.is_dir() else target
    if address.startswith("/") or SITE not in target.parents or not target.is_file():
        return False
    if not parts.fragment or target.suffix != ".html":
        return True
    return read(target).find(id=unquote(parts.fragment)) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(SITE)))
class TestPage:
    def test_each_of_its_own_links_leads_somewhere(self, page):
        addresses = [tag["href"] for tag in read(page).find_all("a", href=True)]
        inner = [url for url in addresses if not urlsplit(url).scheme and not url.startswith("//")]
        assert len(inner) > 10
        assert [address for address in inner if not is_there(page, address)] == []

    def test_what_it_loads_is_there_and_its_own(self, page):
        found = read(page).find_all(list(LOADED))
        tags = [tag for tag in found if tag.get("rel") not in NAVIGATION]
        loaded = [tag[LOADED[tag.name]] for tag in tags if tag.has_attr(LOADED[tag.name])]
        assert len(loaded) > 10
        assert [address for address in loaded if not is_there(page, address)] == []

    def test_each_picture_has_an_alternative_text_of_its_own(self, page):
        texts = [picture.get("alt", "") for picture in read(page).find_all("img")]
        assert [text for text in texts if len(text) < 20] == []
        assert len(set(texts)) == len(texts)


def test_style_sheets_load_only_what_is_there():
    for sheet in SITE.rglob("*.css"):
        style = sheet.read_text(encoding="utf-8")
        assert "@import" not in style
        for address in re.findall(r"url\(['\"]?([^'\")]+)", style):
            if not address.startswith("data:"):
                assert (sheet.parent / urlsplit(address).path).is_file(), (sheet, address)


def test_the_front_page_leads_to_the_explorer_and_to_the_notebooks_in_the_order_of_the_post():
    navigation = read(SITE / "index.html").find(class_="sidebar-tree")
    addresses = [link["href"] for link in navigation.find_all("a")]
    assert addresses[:2] == ["explorer/index.html", "live.html"]
    assert addresses[2 : 2 + len(NOTEBOOKS)] == [
        f"notebooks/{path.stem}.html" for path in NOTEBOOKS
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_shown_as_it_is_stored_its_figures_captioned(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    shown = of_the_notebook(path)
    text = re.sub(r"\s+", "", shown.get_text())
    printed = ["".join(output["text"]) for output in outputs if output.get("name") == "stdout"]
    assert [lines for lines in printed if re.sub(r"\s+", "", lines) not in text] == []
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(shown.select(".cell .cell_input")) == len(code)
    figures = shown.select(".cell_output figure")
    assert len(figures) == sum("image/png" in output.get("data", {}) for output in outputs)
    assert all(figure.img and len(figure.figcaption.get_text()) > 20 for figure in figures)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_equations_reach_mathjax_as_they_are_written(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    written = [f"\\[{equation}\\]" for equation in re.findall(r"\$\$(.*?)\$\$", prose, re.DOTALL)]
    shown = [equation.get_text() for equation in of_the_notebook(path).select("div.math")]
    assert [re.sub(r"\s", "", one) for one in shown] == [re.sub(r"\s", "", one) for one in written]


def test_the_post_live_has_its_fourteen_equations_and_each_figure_with_its_notebook():
    page = read(SITE / "live.html")
    tags = re.findall(r"\\tag\{(\d+)\}", "".join(one.get_text() for one in page.select("div.math")))
    assert tags == [str(number) for number in range(1, 15)]
    built = {
        tag: path.stem
        for path in NOTEBOOKS
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        for tag in cell["metadata"].get("tags", [])
        if tag.startswith("live-")
    }
    figures = page.select("[class*=tag_live-]")
    linked = {
        figure["class"][-1].removeprefix("tag_"): figure.find_next("a")["href"]
        for figure in figures
    }
    assert linked == {tag: f"notebooks/{stem}.html" for tag, stem in built.items()}


def test_equations_are_set_by_what_comes_with_the_site():
    page = str(of_the_notebook(NOTEBOOKS[5]))
    assert "_static/mathjax/tex-chtml.js" in page
    (paths,) = re.findall(r'"paths": ({.*?})', page)
    assert json.loads(paths) == {"fonts": "[mathjax]/fonts"}  # MathJax would ask a host for them
    assert list((SITE / "_static" / "mathjax" / "fonts").rglob("*.woff2"))


def test_the_search_knows_words_of_the_prose_and_titles():
    index = json.loads((SITE / "searchindex.js").read_text()[len("Search.setIndex(") : -1])
    assert "reparameter" in index["terms"] or "reparameter" in index["titleterms"]
    assert len(index["docnames"]) == len(PAGES) - 2  # all but the index and the search page itself


@pytest.mark.parametrize("name", ["map", "goals", "exercises", "api"])
def test_a_page_that_is_made_from_the_sources_is_there(name):
    article = read(SITE / f"{name}.html").find("article")
    text = article.get_text()
    known = {
        "map": "equals traces products and determinants",
        "goals": "What you need to know.",
        "exercises": "Answer.",
        "api": "fit_mixture_prior",
    }
    assert known[name] in text
    prose = "\n".join(part.get_text() for part in article.select("p, td, li"))
    assert re.findall(r".*(?:`|\*\*(?! 2)).*", prose) == []  # Markdown that was not understood


def test_only_a_site_of_a_repository_leads_to_colab_and_binder():
    links = [link["href"] for page in PAGES for link in read(page).find_all("a", href=True)]
    hosts = {urlsplit(link).netloc for link in links}
    assert not hosts & {"colab.research.google.com", "mybinder.org"}
    assert not (SITE / "published").exists()
