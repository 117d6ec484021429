"""The flow of a variational autoencoder, as Figures 3 and 4 of the post draw it."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, FancyArrowPatch, FancyBboxPatch

from vae_keras.plots import BLACK, BLUE, GREEN, ORANGE, VERMILION, _new_figure

_DRAW = "draw $z$ from\n$\\mathcal{N}(\\mu_{z|X},\\Sigma_{z|X})$"
_FLOW = {  # name: x, y, width, shape, colour, text
    "X": (0.55, 1.6, 0.7, "round", BLACK, "$X$"),
    "encoder": (2.3, 1.6, 1.4, "round", GREEN, "encoder\n$g_{z|X}(X;\\phi)$"),
    "Q": (4.4, 1.6, 1.3, "round", GREEN, "$\\mu_{z|X},\\,\\Sigma_{z|X}$"),
    "z": (6.8, 1.6, 1.9, "ellipse", GREEN, _DRAW),
    "decoder": (9.1, 1.6, 1.3, "round", VERMILION, "decoder\n$g(z;\\theta)$"),
    "mean": (10.95, 1.6, 0.8, "round", VERMILION, "$\\mu_{X|z}$"),
    "kl": (4.4, 3.1, 2.1, "square", GREEN, "KL term\n$\\mathcal{D}[Q(z|X)\\,\\|\\,P(z)]$"),
    "error": (10.95, 0.2, 1.6, "square", VERMILION, "reconstruction\n$\\|X-\\mu_{X|z}\\|^2$"),
}
_WITH_THE_TRICK = {
    "z": (6.8, 1.6, 1.9, "round", GREEN, "$z=$\n$\\mu_{z|X}+\\Sigma_{z|X}^{1/2}\\,\\epsilon$"),
    "epsilon": (6.8, 3.1, 1.55, "ellipse", BLUE, "draw\n$\\epsilon\\sim\\mathcal{N}(0,I)$"),
}
_FORWARD = ("X encoder", "encoder Q", "Q kl", "Q z", "z decoder", "decoder mean", "mean error")
_ASIDE = 0.21  # how far a gradient's arrow runs beside the forward one


def autoencoder_flow(reparameterized=False, gradients=True, title=None) -> Figure:
    """Draw how a variational autoencoder computes its two terms, and where gradients flow back.

    Source: Figures 3 and 4 of the post.

    Args:
        reparameterized: Whether the noise enters as an input (Figure 4), or z is drawn between
            encoder and decoder (Figure 3).
        gradients: Whether to draw the gradients of both terms too, as dashed arrows.
        title: Title of the figure.
    """
    figure, ax = _new_figure((9.0, 3.6), title, None)
    ax.set(xlim=(-0.05, 12.05), ylim=(-0.25, 3.75))
    ax.axis("off")
    places = {**_FLOW, **_WITH_THE_TRICK} if reparameterized else _FLOW
    boxes = {name: _flow_box(ax, *place) for name, place in places.items()}
    pairs = _FORWARD + (("epsilon z",) if reparameterized else ())
    for pair in pairs:
        _flow_arrow(ax, places, boxes, pair, color=BLACK)
    bent = {"connectionstyle": "angle,angleA=90,angleB=0"}
    _flow_arrow(ax, places, boxes, "X error", color=BLACK, **bent)
    if gradients:
        for pair in ("kl Q", "Q encoder"):
            _flow_arrow(ax, places, boxes, pair, -_ASIDE, color=GREEN, ls="--")
        way_back = ("error mean", "mean decoder", "decoder z")
        for pair in way_back + (("z Q", "Q encoder") if reparameterized else ()):
            _flow_arrow(ax, places, boxes, pair, _ASIDE, color=VERMILION, ls="--")
        if not reparameterized:
            ax.plot(5.42, 1.6 - _ASIDE, "X", ms=13, color=ORANGE, mec=BLACK, zorder=5)
            ax.text(5.42, 0.95, "no way back", ha="center", va="top", fontsize=9, weight="bold")
    _flow_legend(figure, gradients)
    return figure


def _flow_box(ax, x, y, width, shape, colour, text):
    style = {"fc": (colour, 0.08), "ec": colour, "lw": 2.5 if shape == "square" else 1.5}
    if shape == "ellipse":
        box = Ellipse((x, y), 1.25 * width, 1.05, **style)
    else:
        corner = x - width / 2, y - 0.3
        box = FancyBboxPatch(corner, width, 0.6, f"{shape},pad=0.08", **style)
    ax.text(x, y, text, ha="center", va="center", fontsize=9)
    return ax.add_patch(box)


def _flow_arrow(ax, places, boxes, pair, aside=0.0, connectionstyle="arc3", **style):
    start, end = pair.split()
    (x0, y0), (x1, y1) = places[start][:2], places[end][:2]
    if x0 == x1:
        x0, x1 = x0 - aside, x1 - aside
    else:
        y0, y1 = y0 - aside, y1 - aside
    clip = {"patchA": boxes[start], "patchB": boxes[end], "connectionstyle": connectionstyle}
    shape = {"arrowstyle": "-|>", "lw": 1.4, "mutation_scale": 13}
    ax.add_patch(FancyArrowPatch((x0, y0), (x1, y1), **shape, **clip, **style))


def _flow_legend(figure, gradients):
    box = {"color": "none", "mfc": "none", "mec": BLACK, "ms": 9}
    handles = [
        Line2D([], [], marker="s", label="computed", **box),
        Line2D([], [], marker="o", label="drawn at random", **box),
        Line2D([], [], marker="s", mew=2.5, label="term of the objective", **box),
        Line2D([], [], color=BLACK, label="forward"),
    ]
    if gradients:
        dashed = {"ls": "--"}
        handles += [
            Line2D([], [], color=VERMILION, label="gradient of the reconstruction", **dashed),
            Line2D([], [], color=GREEN, label="gradient of the KL term", **dashed),
        ]
    columns = 3 if gradients else 4
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
