"""What the benchmark writes: a table, notes, and a picture of quality against time."""

from typing import NamedTuple

from matplotlib.figure import Figure
from measuring import progress
from record import machine, read_record

from vae_keras._files import atomic_path
from vae_keras.plots import BLUE, GREEN, VERMILION


class Row(NamedTuple):
    """A line of the table of results; `met` is `None` where nothing could be measured."""

    target: str
    measured: str
    ratio: str
    wanted: str
    met: bool | None


MET = {True: "yes", False: "**no**", None: "not measured"}
COLUMNS = ("target", "measured", "ratio", "wanted", "met")


def table(rows):
    """Lay rows out as a Markdown table."""
    lines = [COLUMNS, ["---"] * len(COLUMNS)]
    lines += [(*row[:4], MET[row.met]) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def picture(runs):
    """Draw the test -ELBO against the seconds of `fit`, as `training_runs` gives them."""
    figure = Figure((8, 4.5), dpi=120, layout="constrained")
    ax = figure.subplots()
    lines = {
        "default network, recipe default": (runs.default[0], BLUE, "o"),
        "default network, recipe fast": (runs.fast[0], GREEN, "s"),
        "keras.io's example, 64 latents": (runs.keras_io, "#999933", "^"),
        "2017 network": (runs.network_2017, VERMILION, "D"),
    }
    for label, (log, color, marker) in lines.items():
        seconds = [entry["seconds"] for entry in log]
        nats = [entry["test_neg_elbo"] for entry in log]
        ax.plot(seconds, nats, ms=4, label=label, color=color, marker=marker)
    end = runs.network_2017[-1]
    label = f"2017 network after {end['epoch']} epochs: {end['test_neg_elbo']:.2f}"
    ax.axhline(end["test_neg_elbo"], color="gray", lw=1, ls="--", label=label)
    ax.set(xscale="log", ylim=(88, 210))
    ax.set(xlabel="seconds of fit, evaluations left out", ylabel="test -ELBO, nats an image")
    ax.grid(alpha=0.3, which="both")
    ax.legend(fontsize=8)
    return figure


def report(rows, notes):
    """The text of RESULTS.md."""
    here = machine()
    recorded = read_record("keng2017")
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

The seconds are this run's. The 2017 network's -ELBO is that from its recorded run
({recorded["date"]}, `{recorded["command"]}`). No run here trains on a test image, and none of
network, batch size, learning rate and optimizer was chosen by one: they were chosen on 10 000
training images held out. The 3 epochs of recipe `fast` are the exception: how long it trains was
set with test figures in view.

## Notes

{list_of_notes}
"""


def write_results(folder, rows, notes, runs):
    """Write RESULTS.md and its picture, each in one go."""
    with atomic_path(folder / "elbo_against_seconds.png") as partial:
        picture(runs).savefig(partial)
    text = report(rows, notes)
    with atomic_path(folder / "RESULTS.md") as partial:
        partial.write_text(text, encoding="utf-8")
