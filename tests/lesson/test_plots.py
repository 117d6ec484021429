"""The figures: what is drawn is what was given."""

import matplotlib
import numpy as np
import pytest
from matplotlib import colors

from vae_keras import plots


def test_image_grid_puts_each_image_in_its_place_row_by_row():
    images = np.arange(6, dtype="float32").reshape(6, 1, 1, 1) / 6
    figure = plots.image_grid(
        images, num_columns=3, title="A title", row_labels=("first", "second")
    )
    (ax,) = figure.axes
    shown = ax.images[0].get_array()
    np.testing.assert_allclose(
        shown[1::3, 1::3].ravel(), images.ravel()
    )  # a pixel with a margin of one on each side
    assert figure.get_suptitle() == "A title"
    assert [label.get_text() for label in ax.get_yticklabels()] == ["first", "second"]
    assert ax.images[0].get_cmap().name == "gray_r"


def test_image_grid_takes_colour_and_an_incomplete_row(rng):
    figure = plots.image_grid(rng.random((4, 5, 6, 3)), num_columns=3)
    shown = figure.axes[0].images[0].get_array()
    assert shown.shape == (2 * 7, 3 * 8, 3)
    assert np.all(shown[7:, 8:] == 1)  # white


def test_image_grid_refuses_channels_that_have_no_colour():
    with pytest.raises(
        ValueError, match="images must have 1 or 3 channels to be drawn; they have 2"
    ):
        plots.image_grid(np.zeros((4, 5, 6, 2)))


def test_loss_curves_draws_each_part_against_its_epoch():
    history = {"loss": [3.0, 2.0], "reconstruction": [2.0, 1.5], "kl": [1.0, 0.5]}
    history |= {
        f"val_{name}": [value + 0.1 for value in values] for name, values in history.items()
    }
    left, right = plots.loss_curves(history).axes
    drawn = {line.get_label(): list(line.get_ydata()) for ax in (left, right) for line in ax.lines}
    assert drawn["KL, training"] == history["kl"]
    assert drawn["KL, test"] == history["val_kl"]
    assert drawn["reconstruction, test"] == history["val_reconstruction"]
    assert drawn["loss = reconstruction + KL, training"] == history["loss"]
    assert left.get_ylabel() == right.get_ylabel() == "nats per image"
    assert list(right.lines[0].get_xdata()) == [1, 2]


def test_latent_scatter_gives_each_point_the_colour_of_its_digit(rng):
    z, labels = rng.normal(size=(50, 3)), np.arange(50) % 10
    (ax,) = plots.latent_scatter(z, labels, latents=(2, 0)).axes
    points = ax.collections[0]
    for (x, y), colour in zip(points.get_offsets(), points.get_facecolors(), strict=True):
        label = labels[np.argmin(np.hypot(z[:, 2] - x, z[:, 0] - y))]
        np.testing.assert_allclose(colour[:3], colors.to_rgb(plots.DIGIT_COLOURS[label]))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("z_mean of latent 3", "z_mean of latent 1")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list("0123456789")


def test_decoder_test_mode_shows_what_goes_in_and_what_comes_out(rng):
    z, images = rng.normal(size=(2, 4)), rng.random((2, 3, 3, 1))
    axes = plots.decoder_test_mode(z, images).axes
    np.testing.assert_allclose([bar.get_height() for bar in axes[3].patches], z[1])
    np.testing.assert_allclose(axes[5].images[0].get_array(), images[1].squeeze())


def test_kl_bars_draws_the_most_used_latent_first():
    (ax,) = plots.kl_bars(np.array([0.1, 3.0, 0.0, 1.5])).axes
    assert [bar.get_height() for bar in ax.patches] == [3.0, 1.5, 0.1, 0.0]


def test_image_grids_puts_each_set_of_images_under_its_name():
    panels = {"black": np.ones((4, 2, 2, 1)), "white": np.zeros((4, 2, 2, 1))}
    left, right = plots.image_grids(panels, num_columns=2).axes
    assert [ax.get_title() for ax in (left, right)] == ["black", "white"]
    assert [ax.images[0].get_array().max() for ax in (left, right)] == [1, 0]


def test_the_style_reaches_the_figures_that_are_drawn_after_it():
    with matplotlib.rc_context():
        plots.use_style()
        drawn = matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]
        assert matplotlib.rcParams["figure.constrained_layout.use"]
    assert drawn[:3] == [plots.BLUE, plots.VERMILION, plots.GREEN]


def test_no_line_of_the_style_s_grid_crosses_the_images_of_a_labelled_row():
    with matplotlib.rc_context():
        plots.use_style()
        figure = plots.image_grid(np.zeros((2, 3, 3, 1)), num_columns=1, row_labels=("a", "b"))
    assert not any(line.get_visible() for line in figure.axes[0].get_ygridlines())


class TestClaims:
    def test_each_is_printed_with_its_number_and_what_that_must_be(self, capsys):
        plots.claims(
            [
                ("loss", 95.712, "<", 97),
                ("error", np.float32(3e-11), "<=", 1e-7),
                ("images", 10, "==", 10),
                ("ratio", 99.34, "in", (90, 110)),
                ("gap", 0.0312, ">", 0),
                ("smallest", 0.25, ">=", 0.2),
            ]
        )
        assert capsys.readouterr().out.splitlines() == [
            "claim         number  must be",
            "loss            95.7  < 97",
            "error        0.0e-07  <= 1e-07",
            "images            10  == 10",
            "ratio           99.3  90 to 110",
            "gap           0.0312  > 0",
            "smallest       0.250  >= 0.2",
        ]

    @pytest.mark.parametrize(
        ("number", "relation", "bound"),
        [
            (2.0, "<", 2.0),
            (2.1, "<=", 2.0),
            (2.0, ">", 2.0),
            (1.9, ">=", 2.0),
            (2, "==", 3),
            ([1], "==", [2]),
            (0.9, "in", (1, 2)),
            (2.1, "in", (1, 2)),
            (float("nan"), "<", 2.0),
            (float("nan"), ">", 2.0),
            (float("nan"), "in", (1, 2)),
        ],
    )
    def test_one_that_fails_raises_and_the_message_names_it_alone(
        self, number, relation, bound, capsys
    ):
        with pytest.raises(AssertionError, match=r"^the false one: ") as raised:
            plots.claims([("a true one", 1, "<", 2), ("the false one", number, relation, bound)])
        assert "a true one" not in str(raised.value)
        assert "the false one" in capsys.readouterr().out  # the table is whole

    def test_all_that_fail_are_named(self, capsys):
        with pytest.raises(AssertionError, match=r"^one: 2, .* < 1; two: 3, .* < 1$"):
            plots.claims([("one", 2, "<", 1), ("two", 3, "<", 1), ("three", 0, "<", 1)])
        assert len(capsys.readouterr().out.splitlines()) == 4

    def test_an_unknown_relation_is_an_error(self):
        with pytest.raises(ValueError, match=r"relation must be one of \('<', .*; got '='"):
            plots.claims([("a", 1, "=", 1)])
