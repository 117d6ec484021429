"""Properties that hold for any image shape, batch, latents, likelihood, sigma and beta.

`make test` tries a hundred examples of each that hypothesis makes up, or two where each builds a
network; `make test-slow` twenty times as many.
"""

import tempfile
from contextlib import nullcontext
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from keras import ops
from PIL import Image
from scipy import special, stats

from vae_keras import (
    ConvVAE,
    Sampling,
    VariationalLoss,
    binarize,
    draw_latents,
    interpolate,
    load_images,
    load_vae,
    manifold_grid,
)
from vae_keras import model as model_module
from vae_keras.io.images import load_splits

# where each example builds a network; a failing one is shown as it was found, since looking for a
# simpler one takes minutes
FEW = settings(max_examples=settings.default.max_examples // 50, phases=[Phase.generate])
# the default network takes long to trace: `make test-slow` alone tries it
SLOWLY = settings.default.max_examples == settings.get_profile("slow").max_examples
NETWORK = "default" if SLOWLY else "tiny"

seeds = st.integers(0, 2**31 - 1)
betas = st.floats(0, 20) | st.integers(0, 5) | st.floats(0, 2, width=32).map(np.float32)
likelihoods = st.fixed_dictionaries({"likelihood": st.just("bernoulli")}) | st.fixed_dictionaries(
    {"likelihood": st.just("gaussian"), "sigma": st.none() | st.floats(0.05, 5)}
)
latent_shapes = st.tuples(st.integers(1, 6), st.integers(1, 6))
grey_levels = st.floats(0, 1, width=32)


def floats(shape, size):
    return npst.arrays("float32", shape, elements=st.floats(-size, size, width=32))


@st.composite
def conv_vaes(draw, **more):
    """The arguments of a small `ConvVAE`, and images for it."""
    arguments = {"latent_dim": st.integers(1, 5), "beta": betas, "seed": seeds, **more}
    arguments["network"] = st.just(NETWORK)
    arguments = draw(st.fixed_dictionaries(arguments)) | draw(likelihoods)
    arguments["image_shape"] = draw(
        st.tuples(st.integers(1, 11), st.integers(1, 11), st.integers(1, 4))
    )
    x = np.random.default_rng(draw(seeds)).random(
        (draw(st.integers(1, 7)), *arguments["image_shape"]), dtype="float32"
    )
    return arguments, x


@pytest.fixture
def make_random_vae(make_dense_vae):
    """Make a VAE of dense layers with random weights, and images for it.

    `reach` is how far the decoder looks at z.
    """

    def make(seed, num_images, latent_dim, reach=1.0, **loss):
        rng, num_pixels = np.random.default_rng(seed), 5
        heads = (
            (0.5 * rng.normal(size=(num_pixels, latent_dim)), rng.normal(size=latent_dim)),
            rng.normal(size=latent_dim),
        )
        decoder = reach * rng.normal(size=(latent_dim, num_pixels)), rng.normal(size=num_pixels)
        return make_dense_vae(*heads, decoder, **loss), rng.random(
            (num_images, num_pixels), dtype="float32"
        )

    return make


@pytest.mark.usefixtures("untraced")
class TestModel:
    @FEW
    @given(conv_vaes(), st.integers(1, 8))
    def test_shapes_and_losses_are_right_in_calls_and_in_logs(self, made, batch_size):
        arguments, x = made
        vae, k = ConvVAE(**arguments), arguments["latent_dim"]
        outputs = {name: ops.convert_to_numpy(value) for name, value in vae(x).items()}
        assert {name: value.shape for name, value in outputs.items()} == {
            "images": x.shape, "reconstruction": (len(x),), "kl": (len(x),),
        }  # fmt: skip
        assert all(np.isfinite(value).all() for value in outputs.values())
        assert [tuple(head.shape) for head in vae.encoder(x)] == [(len(x), k)] * 2
        assert vae.sample(3, seed=0).shape == (3, *x.shape[1:])
        expected = np.mean(outputs["reconstruction"] + arguments["beta"] * outputs["kl"])
        assert float(vae.losses[0]) == pytest.approx(expected, rel=1e-5)
        vae.compile("sgd")
        logs = vae.evaluate(x, batch_size=batch_size, verbose=0, return_dict=True)
        assert logs["loss"] == pytest.approx(
            logs["reconstruction"] + arguments["beta"] * logs["kl"], rel=1e-5
        )
        assert logs["kl"] == pytest.approx(outputs["kl"].mean(), rel=1e-4)  # needs no noise

    @FEW
    @given(conv_vaes(dtype=st.sampled_from([None, "mixed_bfloat16"])))
    def test_save_and_load_keep_everything(self, made):
        arguments, x = made
        vae = ConvVAE(**arguments)
        rng = np.random.default_rng(0)
        vae.set_weights(
            [weight + 0.1 * rng.random(weight.shape) for weight in vae.get_weights()]
        )  # as if trained
        vae.variational_loss.beta = arguments["beta"]
        vae(x)  # the noise is no longer where the seed puts it
        with tempfile.TemporaryDirectory() as folder:
            vae.save(Path(folder) / "vae.keras")
            loaded = load_vae(Path(folder) / "vae.keras")
        assert loaded.get_config() == vae.get_config()
        assert loaded.variational_loss.beta == pytest.approx(arguments["beta"], rel=1e-6)
        for one, other in zip(loaded.variables, vae.variables, strict=True):
            np.testing.assert_array_equal(ops.convert_to_numpy(one), ops.convert_to_numpy(other))
        for expected, actual in zip(
            *(keras.tree.flatten(model(x)) for model in (vae, loaded)), strict=True
        ):  # the same noise
            np.testing.assert_array_equal(
                ops.convert_to_numpy(actual), ops.convert_to_numpy(expected)
            )

    @FEW
    @given(
        seed=seeds, num_samples=st.integers(1, 40), latent_dim=st.integers(1, 4), loss=likelihoods
    )
    def test_the_elbo_never_exceeds_the_log_likelihood_by_more_than_their_error(
        self, make_random_vae, seed, num_samples, latent_dim, loss
    ):
        vae, x = make_random_vae(seed, 3, latent_dim, **loss)
        copies = np.repeat(x, 50, axis=0)  # each with noise of its own: their spread is the error
        gaps = vae.log_likelihood(copies, num_samples, seed=1) - vae.elbo(
            copies, num_samples, seed=2
        )
        gaps = gaps.reshape(3, 50)
        assert np.all(gaps.mean(axis=1) > -5 * gaps.std(axis=1, ddof=1) / np.sqrt(50) - 1e-4)

    @FEW
    @given(
        seed=seeds, num_images=st.integers(1, 9), latent_dim=st.integers(1, 4),
        num_samples=st.integers(1, 30),
        chunks=st.tuples(st.integers(1, 40), st.integers(1, 400)), loss=likelihoods,
    )  # fmt: skip
    def test_estimates_do_not_depend_on_how_they_are_cut_into_chunks(
        self, make_random_vae, seed, num_images, latent_dim, num_samples, chunks, loss
    ):
        vae, x = make_random_vae(seed, num_images, latent_dim, **loss)
        estimates = []
        for chunk in chunks:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(model_module, "CHUNK", chunk)
                estimates.append((vae.elbo(x, num_samples), vae.log_likelihood(x, num_samples)))
        np.testing.assert_allclose(*estimates, rtol=1e-5, atol=1e-5)

    @FEW
    @given(
        seed=seeds, num_images=st.integers(1, 30), latent_dim=st.integers(1, 4),
        loss=likelihoods, beta=betas,
        batch_sizes=st.tuples(st.integers(1, 35), st.integers(1, 35)),
    )  # fmt: skip
    def test_logs_and_reconstructions_do_not_depend_on_the_batch_size(
        self, make_random_vae, seed, num_images, latent_dim, loss, beta, batch_sizes
    ):
        vae, x = make_random_vae(
            seed, num_images, latent_dim, reach=0.0, **loss, beta=beta
        )  # z is ignored, and so the noise
        vae.compile("sgd")
        one, other = (
            vae.evaluate(x, batch_size=size, verbose=0, return_dict=True) for size in batch_sizes
        )
        assert one == pytest.approx(other, rel=1e-5)
        alone = np.concatenate([vae.reconstruct(image[None]) for image in x[:3]])
        np.testing.assert_allclose(vae.reconstruct(x)[:3], alone, rtol=1e-5, atol=1e-6)


class TestLayers:
    @given(st.data(), latent_shapes, seeds)
    def test_sampling_is_equation_13(self, data, shape, seed):
        z_mean, z_log_var = data.draw(floats(shape, 100)), data.draw(floats(shape, 20))
        zeros = np.zeros(shape, "float32")
        epsilon, z = (
            ops.convert_to_numpy(Sampling(seed)(inputs))
            for inputs in ((zeros, zeros), (z_mean, z_log_var))
        )
        expected = z_mean + np.exp(0.5 * z_log_var.astype("float64")) * epsilon
        np.testing.assert_allclose(z, expected, rtol=1e-4, atol=1e-5 * np.abs(z_mean).max() + 1e-6)

    @given(
        st.data(),
        latent_shapes,
        npst.array_shapes(min_dims=1, max_dims=4, max_side=5),
        likelihoods,
        betas,
    )
    def test_the_loss_is_equation_14_with_its_constants(
        self, data, latent_shape, image_shape, loss, beta
    ):
        n = latent_shape[0]
        x = data.draw(npst.arrays("float32", (n, *image_shape), elements=grey_levels))
        decoded = data.draw(floats((n, *image_shape), 50))
        z_mean, z_log_var = data.draw(floats(latent_shape, 30)), data.draw(floats(latent_shape, 10))
        layer = VariationalLoss(**loss, beta=beta)
        reconstruction, kl = (
            ops.convert_to_numpy(term) for term in layer((x, decoded, z_mean, z_log_var))
        )

        x, decoded, z_mean, z_log_var = (
            array.astype("float64") for array in (x, decoded, z_mean, z_log_var)
        )
        if loss["likelihood"] == "bernoulli":
            log_p = x * special.log_expit(decoded) + (1 - x) * special.log_expit(-decoded)
        else:
            log_p = stats.norm.logpdf(
                x, decoded, loss["sigma"] or 1.0
            )  # a learned sigma starts at 1
        # minus the entropy of Q, plus its cross-entropy with the prior
        expected_kl = np.sum(0.5 * (np.log(2 * np.pi) + z_mean**2 + np.exp(z_log_var)), axis=1)
        expected_kl -= stats.norm(z_mean, np.exp(0.5 * z_log_var)).entropy().sum(axis=1)
        np.testing.assert_allclose(
            reconstruction, -log_p.reshape(n, -1).sum(axis=1), rtol=1e-4, atol=1e-3
        )
        np.testing.assert_allclose(kl, expected_kl, rtol=1e-4, atol=1e-4)
        expected = np.mean(-log_p.reshape(n, -1).sum(axis=1) + float(beta) * expected_kl)
        assert float(layer.losses[0]) == pytest.approx(expected, rel=1e-4, abs=1e-3)


class TestLatents:
    @given(n=st.integers(1, 50), latent_dim=st.integers(1, 20), seed=seeds)
    def test_draws_have_their_shape_and_repeat(self, n, latent_dim, seed):
        z = draw_latents(n, latent_dim, seed)
        assert z.shape == (n, latent_dim)
        assert z.dtype == np.float32
        assert np.isfinite(z).all()
        np.testing.assert_array_equal(z, draw_latents(n, latent_dim, seed))

    @given(st.data(), st.integers(1, 6), st.integers(2, 20), st.booleans())
    def test_a_walk_starts_and_ends_where_it_should(self, data, latent_dim, num_steps, spherical):
        start, end = (
            data.draw(npst.arrays("float64", latent_dim, elements=st.floats(-1e3, 1e3)))
            for _ in range(2)
        )
        walk = interpolate(start, end, num_steps, spherical)
        assert walk.shape == (num_steps, latent_dim)
        assert np.isfinite(walk).all()
        np.testing.assert_allclose(walk[[0, -1]], [start, end], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(
            interpolate(start, end, num_steps), np.linspace(start, end, num_steps), atol=1e-9
        )
        np.testing.assert_allclose(
            walk[::-1], interpolate(end, start, num_steps, spherical), rtol=1e-6, atol=1e-6
        )

    @given(
        angle=st.floats(0.01, 3.1),
        length=st.floats(0.1, 100),
        latent_dim=st.integers(2, 6),
        num_steps=st.integers(2, 20),
        seed=seeds,
    )
    def test_an_arc_keeps_its_length_and_its_pace(self, angle, length, latent_dim, num_steps, seed):
        axes = stats.ortho_group.rvs(latent_dim, random_state=seed)[:2]
        angles = np.linspace(0, angle, num_steps)[:, None]
        arc = length * (np.cos(angles) * axes[0] + np.sin(angles) * axes[1])
        np.testing.assert_allclose(
            interpolate(arc[0], arc[-1], num_steps, spherical=True), arc, atol=1e-6 * length
        )

    @given(num_rows=st.integers(1, 30))
    def test_each_cell_of_the_grid_holds_the_same_mass(self, num_rows):
        z_1, z_2 = (
            stats.norm.cdf(manifold_grid(num_rows))
            .reshape(num_rows, num_rows, 2)
            .transpose(2, 0, 1)
        )
        middles = (np.arange(num_rows) + 0.5) / num_rows
        np.testing.assert_allclose(z_1, np.tile(middles, (num_rows, 1)), atol=1e-12)
        np.testing.assert_allclose(z_2, z_1.T[::-1], atol=1e-12)


image_arrays = npst.array_shapes(min_dims=3, max_dims=4, max_side=6).flatmap(
    lambda shape: (
        npst.arrays("uint8", shape)
        | st.sampled_from(["float16", "float32", "float64", ">f4"]).flatmap(
            lambda dtype: npst.arrays(dtype, shape, elements={"min_value": 0, "max_value": 1})
        )
    )
)


def masks_are_told(array):
    """Bytes of 0 and 1 alone are read as black and white, with a warning."""
    if array.dtype == np.uint8 and array.max() == 1:
        return pytest.warns(UserWarning, match="0 and 1 alone")
    return nullcontext()


class TestImages:
    @given(
        x=npst.arrays(
            "float32", npst.array_shapes(min_dims=4, max_dims=4, max_side=6), elements=grey_levels
        ),
        seed=seeds,
    )
    def test_a_binarised_copy_is_of_zeros_and_ones_drawn_by_the_grey_levels(self, x, seed):
        before, drawn = x.copy(), binarize(x, seed)
        np.testing.assert_array_equal(x, before)
        assert drawn.shape == x.shape
        assert drawn.dtype == np.float32
        assert set(np.unique(drawn)) <= {0, 1}
        certain = (x == 0) | (x == 1)
        np.testing.assert_array_equal(drawn[certain], x[certain])
        np.testing.assert_array_equal(drawn, binarize(x, seed))
        spread = np.sqrt(np.sum(x * (1 - x), dtype="float64"))
        assert abs(drawn.sum() - x.sum(dtype="float64")) <= 6 * spread + 2

    @given(array=image_arrays, name=st.none() | st.sampled_from(["x_train", "images"]))
    def test_an_npz_file_comes_back_as_it_went(self, array, name):
        arrays = {name: array} if name else {"x_train": array, "y_train": np.arange(3)}
        with tempfile.TemporaryDirectory() as folder:
            np.savez(Path(folder) / "images.npz", **arrays)
            with masks_are_told(array):
                loaded = load_images(Path(folder) / "images.npz")
        expected = array / 255 if array.dtype == np.uint8 and array.max() > 1 else array
        assert loaded.dtype == np.float32
        np.testing.assert_array_equal(
            loaded, expected.astype("float32").reshape(*array.shape[:3], -1)
        )

    @given(
        npst.arrays(
            npst.complex_number_dtypes() | npst.datetime64_dtypes() | npst.unicode_string_dtypes(),
            (2, 3, 3),
        )
    )
    def test_an_npz_file_of_another_dtype_is_refused_by_name(self, array):
        with tempfile.TemporaryDirectory() as folder:
            np.savez(Path(folder) / "images.npz", array)
            with pytest.raises(ValueError, match=r"images\.npz must hold numbers; got dtype"):
                load_images(Path(folder) / "images.npz")

    @given(
        npst.arrays(
            npst.integer_dtypes() | npst.unsigned_integer_dtypes() | npst.boolean_dtypes(),
            (2, 3, 3),
        )
    )
    def test_integers_are_taken_by_their_range_if_unsigned_and_of_16_bits_at_most(self, array):
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder) / "images.npy", array)
            loaded, _, _ = load_splits(Path(folder) / "images.npy", bernoulli=False)
        ranges = {"uint8": 255, "uint16": 65535} if array.max() > 1 else {}
        expected = array / ranges.get(array.dtype.name, 1)
        np.testing.assert_allclose(loaded[..., 0], expected, rtol=1e-6)

    @given(
        npst.array_shapes(min_dims=3, max_dims=3, max_side=6).flatmap(
            lambda shape: (
                npst.arrays("uint8", shape)
                | npst.arrays("uint8", (*shape, 3))
                | npst.arrays("bool", shape)
            )
        )
    )
    def test_a_folder_of_png_files_comes_back_in_the_order_of_its_names(self, array):
        with tempfile.TemporaryDirectory() as folder:
            for i, image in reversed([*enumerate(array)]):
                Image.fromarray(image).save(Path(folder) / f"{i}.png")
            with masks_are_told(array):
                loaded = load_images(folder)
        expected = array.astype("float32") / (255 if array.max() > 1 else 1)
        np.testing.assert_allclose(loaded, expected.reshape(*array.shape[:3], -1), rtol=1e-6)
