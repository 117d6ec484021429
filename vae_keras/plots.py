"""Figures. Each function takes arrays and returns a matplotlib figure; none shows or saves it.

Here too: the palette and the style of all notebooks, and the table of claims that ends each.
"""

import math
import operator
import textwrap

import matplotlib
import numpy as np
from matplotlib import cycler
from matplotlib.figure import Figure

# ten colours that stay apart for colour-blind readers: after Paul Tol's "muted" scheme
DIGIT_COLOURS = (
    "#332288", "#88CCEE", "#44AA99", "#117733", "#999933",
    "#DDAA33", "#CC6677", "#882255", "#AA4499", "#000000",
)  # fmt: skip
# Okabe and Ito's palette, made for colour-blind readers, and two greys
BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
ORANGE = "#E69F00"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
BLACK = "#000000"
GREY = "#777777"
SILVER = "#BBBBBB"
DIVERGING = "RdBu_r"  # for values on both sides of zero
SEQUENTIAL = "cividis"
# black ink on white paper; seventeen greys look like all of them, and make small files
INK = {"cmap": matplotlib.colormaps["gray_r"].resampled(17), "vmin": 0, "vmax": 1}
IMAGES = {**INK, "interpolation_stage": "data"}  # for `imshow`, which would mix new greys
STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.prop_cycle": cycler(color=[BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK]),
    "axes.titlesize": 10,
    "figure.constrained_layout.use": True,
    "figure.dpi": 90,
    "figure.figsize": (8, 3.4),
    "figure.titlesize": 11,
    "grid.alpha": 0.3,
    "image.cmap": SEQUENTIAL,
    "legend.fontsize": 8,
}
RELATIONS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "in": lambda number, bounds: bounds[0] <= number <= bounds[1],
}


def use_style():
    """Give the figures that are drawn from now on the sizes, grids and colours of this package."""
    matplotlib.rcParams.update(STYLE)


def claims(rows):
    """Print what a notebook claims as a table: each claim, its number, and what it must be.

    Args:
        rows: tuples of claim, number, relation and bound, such as
            `("test -ELBO, nats per image", 95.7, "<", 97)`. The relation is one of `RELATIONS`;
            "in" takes the lowest and the highest number that will do.

    Raises:
        AssertionError: If a claim does not hold, after the table is printed. It names each.
        ValueError: If a relation is none of `RELATIONS`.
    """
    if unknown := {relation for *_, relation, _ in rows} - set(RELATIONS):
        raise ValueError(f"relation must be one of {tuple(RELATIONS)}; got {unknown.pop()!r}.")
    width = max(len(claim) for claim, *_ in rows)
    print(f"{'claim':{width}}  {'number':>10}  must be")
    failed = []
    for claim, number, relation, bound in rows:
        finest = min(bound, key=abs) if relation == "in" else bound
        wanted = " to ".join(map(str, bound)) if relation == "in" else f"{relation} {bound}"
        print(f"{claim:{width}}  {_as_fine_as(finest, number):>10}  {wanted}")
        if not RELATIONS[relation](number, bound):
            failed.append(f"{claim}: {number}, which must be {wanted}")
    if failed:
        raise AssertionError("; ".join(failed))


def _as_fine_as(bound, number):
    """Format a number with three digits of its bound, or of itself where the bound is 0."""
    if not isinstance(number, float | np.floating):
        return str(number)
    size = abs(bound) or abs(number) or 1.0
    exponent = math.floor(math.log10(size)) if math.isfinite(size) else 0
    if exponent < -4:  # in the units of the bound: 0.0e-12 says that it is far below 1e-12
        return f"{number / 10.0**exponent:.1f}e{exponent:+03d}"
    return f"{number:.{max(1, 2 - exponent)}f}"


def image_grid(images, num_columns=10, title=None, caption=None, row_labels=()) -> Figure:
    """Lay images (n, height, width, channels) in [0, 1] out row by row, with labels if given."""
    tiles = _tile(images, num_columns)
    width = max(5.0, 0.7 * num_columns)
    size = width, width * tiles.shape[0] / tiles.shape[1]
    figure, ax = _new_figure(size, title, caption)
    ax.imshow(tiles.squeeze(), **IMAGES)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)  # a labelled row has a tick: a line of the grid would cross its images
    ax.spines[:].set_visible(False)
    if row_labels:
        num_rows = -(-len(images) // num_columns)
        ax.set_yticks((np.arange(num_rows) + 0.5) * tiles.shape[0] / num_rows, row_labels)
        ax.tick_params(length=0)
    return figure


def image_grids(panels: dict, num_columns=10, title=None, caption=None) -> Figure:
    """Lay sets of images out side by side, each as a grid; `panels` maps a name to its images."""
    figure, axes = _new_figure((4.4 * len(panels), 4.6), title, caption, (1, len(panels)))
    for ax, (name, images) in zip(axes, panels.items(), strict=True):
        ax.imshow(_tile(images, num_columns).squeeze(), **IMAGES)
        ax.set(title=name, xticks=[], yticks=[])
    return figure


def kl_bars(kl, title=None, caption=None) -> Figure:
    """Draw the KL divergence of each latent (latent_dim,), sorted, in nats per image."""
    figure, ax = _new_figure((8.0, 3.0), title, caption)
    ax.bar(np.arange(1, len(kl) + 1), np.sort(kl)[::-1], color=BLUE)
    ax.set(xlabel="latents, the most used first", ylabel="mean KL, nats per image")
    ax.grid(axis="y", alpha=0.3)
    return figure


def loss_curves(history: dict, title=None, caption=None) -> Figure:
    """Draw the loss and its two parts by epoch, in nats per image, from a `History.history`."""
    figure, (left, right) = _new_figure((9.0, 3.6), title, caption, (1, 2))
    figure.get_layout_engine().set(wspace=0.06)
    _draw_log(left, history, "loss", "loss = reconstruction + KL", BLUE)
    _draw_log(left, history, "reconstruction", "reconstruction", VERMILION)
    _draw_log(right, history, "kl", "KL", GREEN)
    for ax, corner in ((left, "upper right"), (right, "lower right")):
        ax.set(xlabel="epoch", ylabel="nats per image")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8, loc=corner)
    right.set_ylim(0, 1.2 * right.get_ylim()[1])
    return figure


def _draw_log(ax, history, name, label, colour):
    epochs = np.arange(1, len(history[name]) + 1)
    style = {"color": colour, "ms": 4}
    ax.plot(epochs, history[name], "o--", mfc="white", lw=1.2, label=f"{label}, training", **style)
    if f"val_{name}" in history:
        ax.plot(epochs, history[f"val_{name}"], "o-", label=f"{label}, test", **style)


def latent_scatter(z, labels, title=None, caption=None, latents=(0, 1)) -> Figure:
    """Scatter two of the columns of `z` (n, latent_dim), coloured by the digits `labels` (n,)."""
    figure, ax = _new_figure((6.4, 5.6), title, caption)
    z = z[:, list(latents)]
    order = np.random.default_rng(0).permutation(len(z))  # so that no digit is always on top
    colours = np.array(DIGIT_COLOURS)[labels[order]]
    ax.scatter(*z[order].T, c=colours, s=5, alpha=0.6, linewidths=0)
    for digit in np.unique(labels):
        colour = DIGIT_COLOURS[digit]
        ax.scatter([], [], color=colour, label=str(digit))
        style = {"ha": "center", "va": "center", "weight": "bold", "color": colour}
        box = {"boxstyle": "circle,pad=0.2", "fc": "white", "ec": colour}
        ax.annotate(str(digit), np.median(z[labels == digit], axis=0), bbox=box, **style)
    names = [f"z_mean of latent {latent + 1}" for latent in latents]
    ax.set(xlabel=names[0], ylabel=names[1])
    ax.set_aspect("equal", adjustable="datalim")
    ax.legend(title="digit", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def decoder_test_mode(z, images, title=None, caption=None) -> Figure:
    """Draw the decoder in test mode (Figure 5): a row has a draw of z, the network, the image."""
    figure, axes = _new_figure((8.0, 1.9 * len(z)), title, caption, (len(z), 3))
    box = {"boxstyle": "round,pad=0.6", "fc": "#EEEEEE", "ec": "black"}
    centred = {"ha": "center", "va": "center"}
    for (left, middle, right), latents, image in zip(axes, z, images, strict=True):
        left.bar(np.arange(1, len(latents) + 1), latents, color=BLUE)
        left.set(ylim=(-3.5, 3.5), ylabel="value")
        middle.axis("off")
        arrow = {"xycoords": "axes fraction", "arrowprops": {"arrowstyle": "-|>"}}
        middle.annotate("", (1.0, 0.5), (0.0, 0.5), **arrow)
        name = "$g(z;\\theta)$\ndecoder"
        middle.text(0.46, 0.5, name, transform=middle.transAxes, bbox=box, **centred)
        right.imshow(image.squeeze(), **IMAGES)
        right.set(xticks=[], yticks=[])
    axes[0][0].set_title(r"$z \sim \mathcal{N}(0, I)$")
    axes[0][2].set_title(r"$\mu_{X|z}$, the mean image")
    axes[-1][0].set_xlabel("latent variable")
    return figure


def _new_figure(size, title, caption, axes=(1, 1)):
    caption = textwrap.fill(caption, int(size[0] * 14)) if caption else ""
    height = size[1] + 0.35 * bool(title) + 0.2 * len(caption.splitlines())
    figure = Figure(figsize=(size[0], height), dpi=110, layout="constrained")
    if title:
        figure.suptitle(title, fontsize=11, weight="bold")
    figure.supxlabel(caption, fontsize=9)
    return figure, figure.subplots(*axes)


def _tile(images, num_columns, gap=2):
    images = np.asarray(images, "float32")
    n, height, width, channels = images.shape
    if channels not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels to be drawn; they have {channels}.")
    num_rows = -(-n // num_columns)
    paper = 0.0 if channels == 1 else 1.0  # white either way
    shape = num_rows * num_columns, height + gap, width + gap, channels
    tiles = np.full(shape, paper, "float32")
    margin = gap // 2
    tiles[:n, margin : margin + height, margin : margin + width] = images
    tiles = tiles.reshape(num_rows, num_columns, *shape[1:]).swapaxes(1, 2)
    return tiles.reshape(num_rows * shape[1], num_columns * shape[2], channels)
