"""What the benchmark writes: a table, notes, and a picture of quality against time."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from measuring import progress
from record import machine, read_record

from vae_keras._files import atomic_path


class Row(NamedTuple):
    """A line of the table of results; `met` is `None` where nothing could be measured."""

    target: str
    measured: str
    ratio: str
    wanted: str
    met: bool | None


MET = {True: "yes", False: "**no**", None: "not measured"}
COLUMNS = ("target", "measured", "ratio", "wanted", "met")
STYLES = {
    "default network, recipe default": {"color": "#0072B2", "marker": "o"},
    "default network, recipe fast": {"color": "#009E73", "marker": "s"},
    "keras.io's example, 64 latents": {"color": "#999933", "marker": "^"},
    "2017 network": {"color": "#D55E00", "marker": "D"},
}


def table(rows):
    """Lay rows out as a Markdown table."""
    lines = [COLUMNS, ["---"] * len(COLUMNS)]
    lines += [(*row[:4], MET[row.met]) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def picture(curves, target, target_label):
    """Draw the test -ELBO against the seconds of `fit`.

    Args:
        curves: Dict from a key of `STYLES` to seconds and -ELBO, both by epoch.
        target, target_label: An -ELBO to mark, and how.
    """
    figure = Figure((8, 4.5), dpi=120, layout="constrained")
    ax = figure.subplots()
    for label, (seconds, nats) in curves.items():
        ax.plot(seconds, nats, ms=4, label=label, **STYLES[label])
    ax.axhline(target, color="gray", lw=1, ls="--", label=target_label)
    ax.set(xscale="log", ylim=(88, 210))
    ax.set(xlabel="seconds of fit, evaluations left out", ylabel="test -ELBO, nats an image")
    ax.grid(alpha=0.3, which="both")
    ax.legend(fontsize=8)
    return figure


def curve(log):
    """Seconds and -ELBO of a log, as `picture` takes them."""
    seconds = [entry["seconds"] for entry in log]
    nats = [entry["test_neg_elbo"] for entry in log]
    return seconds, nats


def curve_2017(epochs_measured, seconds_per_epoch):
    """Seconds and -ELBO of the 2017 network: the recorded -ELBO, if there is one."""
    log = read_record("keng2017").get("log")
    nats = [entry["test_neg_elbo"] for entry in log] if log else epochs_measured
    return seconds_per_epoch * np.arange(1, len(nats) + 1), nats


def report(rows, notes):
    """The text of RESULTS.md."""
    here = machine()
    packages = ("tensorflow", "keras", "numpy", "torch")
    versions = ", ".join(f"{name} {here[name]}" for name in packages)
    computer = f"{here['cpu']}, {here['cores']} cores, {here['os']}"
    list_of_notes = "\n".join(f"- {note}" for note in notes)
    return f"""# Results of the benchmark

Written by `make benchmark` on {here["date"]}, in {progress.seconds() / 60:.0f} minutes. What is
compared ran in turns, in this process or in pairs of new ones: the ratios are what carries over to
another machine, not the seconds.

- machine: {computer}; load average at the start: {progress.load:.1f}
- versions: Python {here["python"]}, {versions}

{table(rows)}

![Test -ELBO against seconds](elbo_against_seconds.png)

The seconds are this run's. The 2017 network's -ELBO is that {_source_2017()}. No run here trains on
a test image, and none of network, batch size, learning rate and optimizer was chosen by one: they
were chosen on 10 000 training images held out. The 3 epochs of recipe `fast` are the exception: how
long it trains was set with test figures in view.

## Notes

{list_of_notes}
"""


def _source_2017():
    recorded = read_record("keng2017")
    if not recorded:
        return "of the two epochs measured"
    return f"from its recorded run ({recorded['date']}, `{recorded['command']}`)"


def write_results(folder, rows, notes, figure):
    """Write RESULTS.md and its picture, each in one go."""
    with atomic_path(folder / "elbo_against_seconds.png") as partial:
        figure.savefig(partial)
    text = report(rows, notes)
    with atomic_path(folder / "RESULTS.md") as partial:
        partial.write_text(text, encoding="utf-8")
