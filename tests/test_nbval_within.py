"""The plugin nbval_within: which texts agree within a percentage, and what nbval does with it."""

import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from nbval_within import differences, percentage

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NUMBER = re.compile(r"(?<![\w.,)\]+-])[+-]?\d+\.\d+(?:e[+-]?\d+)?(?!\w|\.\d)")  # as notebooks print


AGREEING_WITHIN_2_PERCENT = {
    "the same text": ("KL 1.50 nats", "KL 1.50 nats"),
    "a little more": ("100.50", "100.91"),
    "a little less": ("100.50", "98.49"),
    "exactly 2 % more": ("100.0", "102.0"),
    "exactly 2 % less": ("100.0", "98.0"),
    "one unit of the last digit": ("0.05", "0.06"),
    "one unit beside zero": ("0.000", "0.001"),
    "one unit across zero": ("0.00", "-0.01"),
    "the unit of a final zero": ("1.50", "1.51"),
    "minus zero": ("-0.00", "0.00"),
    "both negative": ("-6.2469", "-6.2500"),
    "a written plus": ("+1.70 s.e.", "+1.72 s.e."),
    "exponents": ("1.50e-03", "1.51e-03"),
    "the unit of a number with an exponent": ("1.5e-03", "1.6e-03"),
    "another exponent, about the same number": ("9.99e-03", "1.00e-02"),
    "an exponent in place of zeros": ("0.00010", "9.9e-05"),
    "an exponent too large for a float": ("1.50e+999", "1.51e+999"),
    "percent signs": ("49.1%", "49.3%"),
    "units at the number": ("took 12.50ms", "took 12.60ms"),
    "brackets": ("[-0.900 0.100]", "[-0.910 0.101]"),
    "names with an equals sign": ("sigma=-0.500,", "sigma=-0.505,"),
    "the end of a sentence": ("It is 0.500.", "It is 0.505."),
    "a range": ("0.500-0.700", "0.505-0.705"),
    "thousands": ("1,999.50", "2,000.50"),
    "no digit before the point": (".500", ".505"),
    "more digits": ("0.5", "0.5000000001"),
    "wider, without a table": ("KL 9.99 nats", "KL 10.01 nats"),
    "wider, in a table": ("a    9.99\nb  100.00", "a   10.01\nb   99.99"),
    "wider than its column": ("a  9.99", "a 10.01"),
    "wider by two, for one blank": ("a  -9.99", "a -9.9990"),
    "a sign in a table": ("|   0.00|", "|  -0.01|"),
    "nan and inf": ("nan -inf inf 1.50", "nan -inf inf 1.51"),
}

DIFFERING = {
    "beyond the percentage": ("200.50", "204.52"),
    "below by more than the percentage": ("200.50", "196.48"),
    "the percentage is of the stored number": ("100.0", "102.1"),
    "two units of the last digit": ("0.05", "0.07"),
    "two units beside a final zero": ("1.50", "1.54"),
    "the unit is that of the stored number": ("0.0010", "0.002"),
    "two units of a number with an exponent": ("1.5e-03", "1.7e-03"),
    "the other sign": ("-0.50", "0.50"),
    "a sign lost after a bracket": ("(-0.50)", "(0.50)"),
    "another exponent": ("1.5e-03", "1.5e-02"),
    "an exponent lost": ("1.5e+01", "1.5"),
    "a thousand more": ("1,999.50", "2,999.50"),
    "another word": ("KL 1.50 nats", "KL 1.50 bits"),
    "another capital letter": ("True 1.50", "true 1.50"),
    "one number more": ("1.50", "1.50 1.50"),
    "one number fewer": ("1.50 1.50", "1.50"),
    "the second number of a line": ("1.50 2.50", "1.50 3.50"),
    "numbers in another order": ("1.50 2.50", "2.50 1.50"),
    "one line more": ("1.50\n", "1.50\n\n"),
    "a line break lost": ("1.50\n", "1.50"),
    "a whole number": ("digit 50 of 100", "digit 51 of 100"),
    "a whole number at the end of a sentence": ("It is 50.", "It is 51."),
    "a whole number beside a decimal one": ("epoch 50: 1.50", "epoch 51: 1.50"),
    "a whole number in groups": ("1,508,769", "1,508,770"),
    "an exponent without a point": ("1e-05", "2e-05"),
    "a point lost": ("50.0", "50"),
    "a point won": ("50", "50.0"),
    "nan for a number": ("1.50", "nan"),
    "a number for nan": ("nan", "1.50"),
    "infinity for a number": ("1.50", "inf"),
    "the other infinity": ("inf", "-inf"),
    "a version": ("0.500.0", "0.501.0"),
    "a name with a hyphen": ("vae-2.50", "vae-2.51"),
    "a name with a point": ("layer1.50", "layer1.51"),
    "a name with an underscore": ("z_1", "z_2"),
    "a type": ("float32 1.50", "float64 1.50"),
    "an operator": ("x - 1.50", "x + 1.50"),
    "the hyphen of a range": ("0.50-0.00", "0.50+0.00"),
    "a blank more": ("KL  1.50", "KL   1.50"),
    "a blank fewer": ("KL  1.50", "KL 1.51"),
    "more blanks taken than the number is wider": ("a    9.99", "a  10.01"),
    "wider and farther to the right": ("a  9.99", "a   10.01"),
    "narrower and farther to the left": ("a  10.01", "a 9.99"),
    "blanks after a number": ("9.99  nats", "10.01 nats"),
    "blanks at the end": ("1.50", "1.50 "),
    "a tabulator for blanks": ("a  1.50", "a\t1.50"),
}


@pytest.mark.parametrize("texts", AGREEING_WITHIN_2_PERCENT.values(), ids=AGREEING_WITHIN_2_PERCENT)
def test_texts_agree(texts):
    assert differences(*texts, 2) == []


@pytest.mark.parametrize("texts", DIFFERING.values(), ids=DIFFERING)
def test_texts_differ(texts):
    assert differences(*texts, 2) != []


def test_each_number_beyond_its_tolerance_is_reported_with_its_line_and_the_tolerance():
    found = differences("a 200.50 b 1.0\nc 0.05", "a 210.50 b 1.1\nc 0.09", 2)
    assert [line.split(": they")[0] for line in found] == [
        "line 1: stored 200.50, printed 210.50",
        "line 2: stored 0.05, printed 0.09",
    ]
    assert "differ by 10.00, and 4.01" in found[0]
    assert "differ by 0.04, and 0.01 is allowed" in found[1]


def test_a_line_with_another_text_is_reported():
    found = differences("same\nloss 1.50", "same\nerror 1.50", 2)
    assert found == ["line 2: the text differs: stored 'loss 1.50', printed 'error 1.50'"]


@pytest.mark.parametrize(("percent", "printed"), [(0, "200.51"), (0.5, "201.50"), (50, "300.75")])
def test_the_percentage_counts(percent, printed):
    assert differences("200.50", printed, percent) == []
    assert differences("200.50", str(Decimal(printed) + Decimal("0.01")), percent) != []


@pytest.mark.parametrize(
    ("tags", "percent"),
    [
        ([], None),
        (["nbval-ignore-output", "not-within-2%"], None),
        (["hide-input", "within-2%"], Decimal(2)),
        (["within-0.5%"], Decimal("0.5")),
        (["within-0%"], Decimal(0)),
    ],
)
def test_the_tag_gives_the_percentage(tags, percent):
    assert percentage(tags) == percent


@pytest.mark.parametrize(
    "tag",
    [
        "within-x%",
        "within2%",
        "within-2",
        "within-2 %",
        "within-%",
        "within--2%",
        "within-.5%",
        "within-2%%",
        "within-100%",
        "within-2,5%",
        "within_2%",
        "Within-2%",
        "within",
    ],
)
def test_a_tag_that_begins_with_within_and_is_none_is_an_error(tag):
    with pytest.raises(pytest.Collector.CollectError, match=re.escape(f"Cell 7: tag {tag}: one")):
        percentage(["hide-input", tag], "Cell 7")


def test_two_tags_are_an_error():
    with pytest.raises(pytest.Collector.CollectError, match="within-1% and within-2%"):
        percentage(["within-1%", "within-2%"])


def stream(text):
    return new_output("stream", name="stdout", text=text)


def result(plain, **data):
    return new_output("execute_result", data={"text/plain": plain, **data}, execution_count=1)


TAG = ["within-2%"]
CELLS = [  # the tags, the stored outputs, the code, and what nbval is to say
    (TAG, [stream("KL 100.50\n")], "print('KL 100.91')", "PASSED"),
    (TAG, [stream("KL 200.50\n")], "print('KL 210.50')", "FAILED"),
    ([], [stream("KL 100.50\n")], "print('KL 100.51')", "FAILED"),
    (["within-0.1%"], [stream("KL 100.50\n")], "print('KL 100.91')", "FAILED"),
    (TAG, [result("[1.50, 7]")], "[1.51, 7]", "PASSED"),
    (TAG, [result("[1.50, 7]")], "[1.58, 7]", "FAILED"),
    (TAG, [stream("1.50\n"), result("2.50")], "print(1.51)\n2.51", "PASSED"),
    (TAG, [stream("1.50\n"), result("2.50")], "print(1.51)\n2.61", "FAILED"),
    # nbval joins the pieces of a stream, and minds no order between a stream and results
    (TAG, [stream("a 1."), stream("50\n")],
     "print('a ', end='', flush=True)\nprint(1.51)", "PASSED"),
    (TAG, [result("2.50"), stream("1.50\n")], "print(1.51)\n2.51", "PASSED"),
    # conftest.py leaves stderr out of every comparison
    (TAG, [stream("1.50\n")], "import sys\nprint(1.51)\nprint(7, file=sys.stderr)", "PASSED"),
    (TAG, [stream("1.50\n")], "", "FAILED"),
    (TAG, [result("1.50")], "display(1.51)\n1.51", "FAILED"),
    # the file of replacements, which nbval applies first, leaves a word for the seconds
    (TAG, [stream("9.90 s, KL 1.50\n")], "print('1.10 s, KL 1.51')", "PASSED"),
    # neither HTML nor text with colours is compared within a percentage
    (TAG, [result("<IPython.core.display.HTML object>", **{"text/html": "<b>1.50</b>"})],
     "from IPython.display import HTML\nHTML('<b>1.51</b>')", "FAILED"),
    (TAG, [stream("\x1b[1m 1.50\x1b[0m\n")], r"print('\x1b[1m 1.51\x1b[0m')", "FAILED"),
    ([*TAG, "nbval-ignore-output"], [stream("1.50\n")], "print(7.50)", "PASSED"),
]  # fmt: skip


def run_nbval(folder, cells, *options):
    """Run nbval on a notebook of (tags, stored outputs, code), in a process of its own."""
    notebook = new_notebook()
    for tags, outputs, code in cells:
        metadata = {"tags": tags}
        cell = new_code_cell(code, execution_count=1, outputs=outputs, metadata=metadata)
        notebook.cells.append(cell)
    nbformat.write(notebook, folder / "notebook.ipynb")
    command = [sys.executable, "-m", "pytest", "-p", "nbval.plugin", "-p", "nbval_within"]
    command += ["--nbval", "--nbval-current-env", "--color=no", *options, "notebook.ipynb"]
    # the two plugins alone, which start sooner than all that are installed
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_nbval_compares_the_tagged_cells_within_their_percentage(tmp_path):
    replacements = tmp_path / "replacements"
    replacements.write_text("regex: [0-9.]+ s,\nreplace: SECONDS,\n")
    (tmp_path / "conftest.py").write_text((ROOT / "notebooks" / "conftest.py").read_text())
    option = f"--nbval-sanitize-with={replacements}"
    done = run_nbval(tmp_path, [cell[:3] for cell in CELLS], "--verbose", option)
    verdicts = re.findall(r"::Cell \d+ (PASSED|FAILED)", done.stdout)
    assert verdicts == [cell[3] for cell in CELLS], done.stdout
    report = "beyond within-2%: stdout, line 1: stored 200.50, printed 210.50: they differ by 10.00"
    assert f"{report}, and 4.01" in done.stdout
    assert "beyond within-2%: text/plain, line 1: stored 1.50, printed 1.58" in done.stdout
    # the summary repeats the reports, in full where the variable CI is set
    reports = done.stdout.partition("short test summary info")[0].count("beyond within-")
    assert reports == verdicts.count("FAILED") - 5  # left to nbval
    assert "plugin exception" not in done.stdout


def test_a_wrong_tag_is_an_error_of_the_notebook(tmp_path):
    done = run_nbval(tmp_path, [(["within-x%"], [], "")], "--collect-only")
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "ERROR collecting notebook.ipynb" in done.stdout
    assert "Cell 0: tag within-x%: one tag of the form within-N% is allowed" in done.stdout


def test_its_import_imports_none_of_the_large_packages():
    program = "import sys, nbval_within; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert "nbval_within" in imported
    assert imported.isdisjoint({"keras", "tensorflow", "numpy", "nbval", "nbformat", "vae_keras"})


def stored_texts(cell):
    """Return the texts that a code cell stores: its streams and its results as plain text."""
    texts = [output.get("text") for output in cell.outputs]
    texts += [output.get("data", {}).get("text/plain") for output in cell.outputs]
    return [text for text in texts if text]


def moved(match, percent, steps_beyond):
    """Return a number moved away from zero, by its tolerance and so many units of its last digit.

    The tolerance is written out here once more, so that an error in the plugin's shows.
    """
    digits, e, exponent = match[0].partition("e")
    number = Decimal(digits)
    unit = Decimal(10) ** number.as_tuple().exponent
    steps = max(abs(number) * percent / 100 // unit, 1) + steps_beyond
    return format(number + (steps * unit).copy_sign(number), "f") + e + exponent


def prove_that_numbers_beyond_their_tolerance_fail(path):
    """Move the first decimal number of each tagged cell of a notebook; return how many were moved.

    Nothing is run: the stored text stands against the same text with the one number moved.
    """
    proven = 0
    for cell in nbformat.read(path, 4).cells:
        percent = percentage(cell.metadata.get("tags", [])) if cell.cell_type == "code" else None
        if percent is None:
            continue
        stored = next((text for text in stored_texts(cell) if NUMBER.search(text)), None)
        assert stored, f"nothing in this cell is compared within {percent}%:\n{cell.source}"
        within = NUMBER.sub(lambda match, n=percent: moved(match, n, 0), stored, count=1)
        beyond = NUMBER.sub(lambda match, n=percent: moved(match, n, 1), stored, count=1)
        assert differences(stored, within, percent) == []
        (found,) = differences(stored, beyond, percent)
        assert f"stored {NUMBER.search(stored)[0]}, printed " in found
        proven += 1
    return proven


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_number_beyond_its_tolerance_fails_in_each_tagged_cell_of_the_notebooks(path):
    prove_that_numbers_beyond_their_tolerance_fail(path)


def test_the_proof_looks_at_each_tagged_cell(tmp_path):
    notebook = new_notebook(cells=[new_code_cell("", outputs=[stream("1.50")])])
    for output in (stream("digit 50 of 100: 0.05"), result("[-12.50, 3]"), stream("p = 9.9e+00")):
        outputs = [stream("digit 50"), output]
        notebook.cells.append(new_code_cell("", outputs=outputs, metadata={"tags": TAG}))
    path = tmp_path / "notebook.ipynb"
    nbformat.write(notebook, path)
    assert prove_that_numbers_beyond_their_tolerance_fail(path) == 3
    notebook.cells[-1].outputs = [stream("digit 50\n")]
    nbformat.write(notebook, path)
    with pytest.raises(AssertionError, match="nothing in this cell is compared"):
        prove_that_numbers_beyond_their_tolerance_fail(path)
