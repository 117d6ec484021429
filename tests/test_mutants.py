"""The table of bugs that `make mutants` plants: each entry fits the code and the tests."""

import pytest
import run_mutants
from run_mutants import misfits, read_table

BUGS = read_table()


def test_each_bug_has_a_name_of_its_own():
    names = [bug["name"] for bug in BUGS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug["name"])
def test_a_bug_fits_the_code_and_names_a_test(bug):
    assert misfits(bug) == []
    assert bug["planted"] != bug["stands"]
    assert bug["why"].endswith(".")


def test_an_entry_that_does_not_fit_is_seen():
    bug = next(bug for bug in BUGS if "notebook" in bug)
    for change in (
        {"stands": "no such text"},
        {"stands": "def "},
        {"test": "tests/lesson/test_none.py::test_a"},
        {"test": f"{bug['test'].partition('::')[0]}::test_that_is_not_there"},
        {"notebook": "none"},
        {"name": "no_tutorial"},
    ):
        assert misfits({**bug, **change})


OF_SITE = {"name": "of_site", "test": "tests/site/test_live.py::test_a"}
OF_LESSON = {"name": "of_lesson", "test": "tests/lesson/test_layers.py::test_a"}


@pytest.mark.parametrize(
    ("bug", "rest"), [(OF_SITE, run_mutants.REST_OF_SITE), (OF_LESSON, run_mutants.REST)]
)
def test_a_bug_that_survives_meets_the_other_tests_that_could_see_it(bug, rest, monkeypatch):
    runs = []
    monkeypatch.setattr(run_mutants, "first_failure", lambda _, tests: runs.append(tests))
    assert list(run_mutants.killers(bug)) == [None]
    assert runs == [[bug["test"]], [*rest, "--deselect", bug["test"]]]


def test_only_the_bugs_of_the_live_figures_need_a_browser(monkeypatch):
    both = [OF_SITE, OF_LESSON]
    monkeypatch.setattr(run_mutants, "missing_for_site", lambda: ["Chromium"])
    assert run_mutants.left_out(both, must_run=False) == [OF_SITE]
    assert run_mutants.left_out([OF_LESSON], must_run=True) == []
    with pytest.raises(SystemExit, match="not here: Chromium"):
        run_mutants.left_out(both, must_run=True)
    monkeypatch.setattr(run_mutants, "missing_for_site", list)
    assert run_mutants.left_out(both, must_run=True) == []
