"""A pytest plugin for nbval: the decimal numbers of a cell may differ by the percentage in its tag.

It acts on a code cell with a tag such as `within-2%`; nbval compares every other cell as strictly
as without it. docs/guides/within.md has the rules.
"""

import functools
import re
from decimal import Decimal

import pytest

TAG = re.compile(r"within-([0-9]{1,2}(?:\.[0-9]+)?)%")
TOKEN = re.compile(
    r"""[^\W\d]\w*(?:[-.]\w+)*                            # a name is text: z_1, float32, vae-2.5
    | (?<!\ )(?P<blanks>\ *)(?P<number>
        (?:(?<![\w.)\]])[+-])?                            # the minus of 0.5-0.7 is text, no sign
        (?<![\w.])(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]*)\.[0-9]+(?:[eE][+-]?[0-9]+)?
      )(?!\.?[0-9])                                       # the version 0.1.0 is text""",
    re.VERBOSE,
)


def percentage(tags, where="tags"):
    """Return the N of a cell's tag `within-N%`, or None if no tag begins with `within`."""
    ours = [str(tag) for tag in tags if str(tag).lower().startswith("within")]
    if not ours:
        return None
    match = TAG.fullmatch(ours[0])
    if len(ours) > 1 or not match:
        rule = "one tag of the form within-N% is allowed, with N from 0 to below 100"
        raise pytest.Collector.CollectError(f"{where}: tag {' and '.join(ours)}: {rule}")
    return Decimal(match[1])


def differences(stored, printed, percent):
    """Return in words where two texts disagree; the list is empty if they agree within percent."""
    old_lines = stored.split("\n")
    new_lines = printed.split("\n")
    if len(old_lines) != len(new_lines):
        return [f"the number of lines differs: stored {len(old_lines)}, printed {len(new_lines)}"]
    found = []
    for line, (old, new) in enumerate(zip(old_lines, new_lines, strict=True), start=1):
        what = [f"the text differs: stored {old!r}, printed {new!r}"]
        if _text(old) == _text(new):
            pairs = zip(_numbers(old), _numbers(new), strict=True)
            what = [reason for pair in pairs for reason in _beyond(*pair, Decimal(str(percent)))]
        found += [f"line {line}: {reason}" for reason in what]
    return found


def _text(line):
    return TOKEN.sub(lambda match: "\0" if match["number"] else match[0], line)


def _numbers(line):
    return [match for match in TOKEN.finditer(line) if match["number"]]


def _value(number):
    return Decimal(number["number"].replace(",", ""))


def _last_digit(value):
    return Decimal(1).scaleb(value.as_tuple().exponent)


def _beyond(old, new, percent):
    stored = _value(old)
    difference = abs(_value(new) - stored)
    allowed = max(abs(stored) * percent / 100, _last_digit(stored))
    if difference > allowed:
        yield (
            f"stored {old['number']}, printed {new['number']}: they differ by {difference}, and"
            f" {allowed} is allowed, the larger of {percent}% and one unit of the last stored digit"
        )
    # in a right-aligned table, a number that gets wider takes the place of blanks
    widened = len(new["number"]) - len(old["number"])
    taken = len(old["blanks"]) - len(new["blanks"])
    if not min(0, widened) <= taken <= max(0, widened):
        yield f"the blanks before a number differ: stored {old[0]!r}, printed {new[0]!r}"


def _texts(outputs, skipped):
    """Return the printed texts in the order in which nbval pairs them: (name, holder, key)."""
    texts = []
    for output in outputs:
        if output.output_type == "stream":
            texts.append((output.name, output, "text"))
        elif "text/plain" in output.get("data", {}):
            texts.append(("text/plain", output["data"], "text/plain"))
    return sorted((text for text in texts if text[0] not in skipped), key=lambda text: text[0])


def _compare_outputs(item, strictly, percent, test, ref, skip_compare=None):
    """Let nbval compare, after putting the stored text for each printed one that agrees with it."""
    skipped = skip_compare or item.parent.skip_compare
    printed = _texts(test, skipped)
    stored = _texts(ref, skipped)
    found = []
    if [text[0] for text in printed] == [text[0] for text in stored]:
        for (name, new, key), (_, old, _) in zip(printed, stored, strict=True):
            if "\x1b" in old[key] + new[key]:  # nbval compares coloured text
                continue
            what = differences(item.sanitize(old[key]), item.sanitize(new[key]), percent)
            found += [f"beyond within-{percent}%: {name}, {reason}" for reason in what]
            if not what:
                new[key] = old[key]
    agree = strictly(test, ref, skip_compare)
    item.comparison_traceback[:0] = found  # nbval has emptied the list
    return agree


def _collect(cells):
    for item in cells():
        percent = percentage(item.cell.metadata.get("tags") or [], item.name)
        if percent is not None:
            compare = functools.partial(_compare_outputs, item, item.compare_outputs, percent)
            item.compare_outputs = compare
        yield item


def pytest_collectstart(collector):
    """Compare each tagged cell of a notebook that nbval collects within the cell's percentage."""
    if hasattr(collector, "skip_compare"):  # what marks nbval's collector, without its import
        collector.collect = functools.partial(_collect, collector.collect)
