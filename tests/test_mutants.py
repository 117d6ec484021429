"""The table of bugs that `make mutants` plants: each entry fits the code and the tests."""

import pytest
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
