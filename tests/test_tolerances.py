"""What the script says of two runs of a notebook: how far their numbers are apart, and the tag."""

import sys
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_output

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from tolerances import needed, tag_for


def printing(text):
    return new_code_cell(outputs=[new_output("stream", text=text)])


@pytest.mark.parametrize(
    ("stored", "printed", "percent"),
    [
        ("a 1.50", "a 1.50", 0),
        ("a 1.50", "a 1.51", 0),  # one unit of the last digit
        ("a 1.50", "a 1.53", 2),
        ("a 1.50, b 2.0", "a 1.53, b 3.0", 50),
        ("a 100.50", "a 99.50", 100 / 100.5),
    ],
)
def test_the_percentage_is_that_of_the_number_that_moves_most(stored, printed, percent):
    assert needed(printing(stored), printing(printed)) == pytest.approx(percent)


@pytest.mark.parametrize(
    ("stored", "printed"),
    [("a 15", "a 16"), ("a 1.5", "b 1.5"), ("a 1.5", "a 1.5\nb 2.5"), ("a 0.00", "a 0.02")],
)
def test_what_no_percentage_mends_is_said_in_words(stored, printed):
    assert "differ" in needed(printing(stored), printing(printed))


@pytest.mark.parametrize("percent", [0.1, 0.4, 2.01, 7, 40, 99])
def test_a_tag_covers_what_was_seen_and_at_most_three_times_that(percent):
    number = float(tag_for(percent).removeprefix("within-").removesuffix("%"))
    assert percent <= number <= 3 * percent


@pytest.mark.parametrize("percent", [0, 100, float("inf")])
def test_there_is_no_tag_where_none_is_needed_or_none_would_do(percent):
    assert tag_for(percent) is None
