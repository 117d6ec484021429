"""Figures. Each function takes arrays and returns a matplotlib figure; none of them shows or saves it."""

import textwrap

import numpy as np
from matplotlib.figure import Figure

# Ten colours that stay apart for colour-blind readers: Paul Tol's "muted" scheme, with black for the tenth.
DIGIT_COLOURS = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499", "#000000")
BLUE, VERMILION, GREEN = "#0072B2", "#D55E00", "#009E73"  # from Okabe and Ito's palette


def image_grid(images, num_columns=10, title=None, caption=None, row_labels=None):
    """Lay images out as a grid, row by row.

    Args:
        images: (n, height, width, channels) in [0, 1]; one channel is drawn as black ink on white.
        num_columns: Images in a row.
        title, caption: Lines above and below.
        row_labels: One string for each row, drawn to its left.
    """
    tiles = _tile(images, num_columns)
    num_rows = -(-len(images) // num_columns)
    width = max(5.0, 0.6 * num_columns)
    figure, ax = _new_figure((width, width * tiles.shape[0] / tiles.shape[1]), title, caption)
    ax.imshow(tiles.squeeze(), cmap="gray_r", vmin=0, vmax=1)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[:].set_visible(False)
    if row_labels:
        ax.set_yticks((np.arange(num_rows) + 0.5) * tiles.shape[0] / num_rows, row_labels)
        ax.tick_params(length=0)
    return figure


def loss_curves(history, title=None, caption=None):
    """Draw the loss and its two parts against the epoch, for training and validation.

    Args:
        history: Dict of lists, one value an epoch, as in `History.history`: `loss`, `reconstruction`, `kl` and, where
            there are any, their `val_` twins, in nats per image.
        title, caption: Lines above and below.
    """
    figure, (left, right) = _new_figure((9.0, 3.6), title, caption, num_axes=2)
    epochs = np.arange(1, len(history["loss"]) + 1)
    for ax, names in ((left, ("loss", "reconstruction")), (right, ("kl",))):
        for name, colour in zip(names, (BLUE, VERMILION) if len(names) == 2 else (GREEN,), strict=True):
            label = {"loss": "loss = reconstruction + KL"}.get(name, {"kl": "KL"}.get(name, name))
            ax.plot(epochs, history[name], "o--", color=colour, mfc="white", ms=4, lw=1.2, label=f"{label}, training")
            if f"val_{name}" in history:
                ax.plot(epochs, history[f"val_{name}"], "o-", color=colour, ms=4, label=f"{label}, test")
        ax.set(xlabel="epoch", ylabel="nats per image")
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8)
    return figure


def latent_scatter(z, labels, title=None, caption=None, axis_labels=("$z_1$", "$z_2$")):
    """Scatter two latent coordinates of labelled images, a colour and a number for each digit.

    Args:
        z: (n, 2 or more); the first two columns are drawn.
        labels: Integers 0 to 9, (n,).
        title, caption: Lines above and below.
        axis_labels: Names of the two axes.
    """
    figure, ax = _new_figure((6.4, 6.0), title, caption)
    order = np.random.default_rng(0).permutation(len(z))  # so that no digit is always on top
    ax.scatter(*z[order, :2].T, c=np.array(DIGIT_COLOURS)[labels[order]], s=4, alpha=0.6, linewidths=0, rasterized=True)
    for digit in np.unique(labels):
        centre = np.median(z[labels == digit, :2], axis=0)
        ax.scatter([], [], color=DIGIT_COLOURS[digit], label=str(digit))
        ax.annotate(str(digit), centre, ha="center", va="center", weight="bold", color=DIGIT_COLOURS[digit],
                    bbox={"boxstyle": "circle,pad=0.2", "fc": "white", "ec": DIGIT_COLOURS[digit]})  # fmt: skip
    ax.set(xlabel=axis_labels[0], ylabel=axis_labels[1], aspect="equal")
    ax.legend(title="digit", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def decoder_test_mode(z, images, title=None, caption=None):
    """Draw the decoder in test mode (Figure 5): the latents that go in, the network, the mean image that comes out.

    Args:
        z: Draws from the prior, (n, latent_dim), a row of the figure each.
        images: What the decoder makes of them, (n, height, width, channels) in [0, 1].
        title, caption: Lines above and below.
    """
    figure, axes = _new_figure((8.0, 1.9 * len(z)), title, caption, num_axes=(len(z), 3))
    for (left, middle, right), latents, image in zip(axes, z, images, strict=True):
        left.bar(np.arange(1, len(latents) + 1), latents, color=BLUE)
        left.set(ylim=(-3.2, 3.2), ylabel="value")
        middle.axis("off")
        middle.annotate("", (1.0, 0.5), (0.0, 0.5), xycoords="axes fraction", arrowprops={"arrowstyle": "-|>", "color": "black"})
        middle.text(0.46, 0.5, r"$g(z;\theta)$" + "\ndecoder", ha="center", va="center", transform=middle.transAxes,
                    bbox={"boxstyle": "round,pad=0.6", "fc": "#EEEEEE", "ec": "black"})  # fmt: skip
        right.imshow(image.squeeze(), cmap="gray_r", vmin=0, vmax=1)
        right.set(xticks=[], yticks=[])
    axes[0][0].set_title(r"$z \sim \mathcal{N}(0, I)$")
    axes[0][2].set_title(r"$\mu_{X|z}$, the mean image")
    axes[-1][0].set_xlabel("latent variable")
    return figure


def _new_figure(size, title, caption, num_axes=1):
    caption = textwrap.fill(caption, int(size[0] * 14)) if caption else ""
    extra = 0.35 * bool(title) + 0.2 * len(caption.splitlines())
    figure = Figure(figsize=(size[0], size[1] + extra), dpi=110, layout="constrained")
    if title:
        figure.suptitle(title, fontsize=11, weight="bold")
    if caption:
        figure.supxlabel(caption, fontsize=9, x=0.5, ha="center")
    rows, columns = num_axes if isinstance(num_axes, tuple) else (1, num_axes)
    return figure, figure.subplots(rows, columns)


def _tile(images, num_columns, gap=2):
    images = np.asarray(images, "float32")
    n, height, width, channels = images.shape
    num_rows = -(-n // num_columns)
    paper = 0.0 if channels == 1 else 1.0  # white either way: grey images are drawn with the colours reversed
    tiles = np.full((num_rows * num_columns, height + gap, width + gap, channels), paper, "float32")
    tiles[:n, gap // 2 : gap // 2 + height, gap // 2 : gap // 2 + width] = images
    tiles = tiles.reshape(num_rows, num_columns, height + gap, width + gap, channels)
    return tiles.transpose(0, 2, 1, 3, 4).reshape(num_rows * (height + gap), num_columns * (width + gap), channels)
