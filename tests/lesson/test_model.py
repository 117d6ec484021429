"""The model: losses, logs, the ELBO and log P(X) against closed forms, saving, seeds, bad input."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from scipy import integrate, special, stats
from small_networks import tiny_vae

from vae_keras import VAE, ConvVAE, draw_latents, load_vae
from vae_keras.linear_gaussian import LinearGaussian
from vae_keras.sampling import MixturePrior

TERMS = ("loss", "reconstruction", "kl")


@pytest.fixture
def linear_gaussian(rng):
    # orthogonal columns, so that the exact posterior has a diagonal covariance, as Q has
    columns, _ = np.linalg.qr(rng.normal(size=(6, 3)))
    return LinearGaussian(columns * [2.0, 1.0, 0.5], rng.normal(size=6), sigma=0.5)


@pytest.fixture
def make_linear_vae(linear_gaussian, make_dense_vae):
    """Make the VAE of that model; `shift` and `widen` move Q away from the exact posterior."""

    def make(shift=0.0, widen=0.0, **kwargs):
        model = linear_gaussian
        offset, covariance = model.posterior(np.zeros((1, 6)))
        kernel = model.weights @ covariance / model.sigma**2
        mean = kernel, offset[0] + shift
        return make_dense_vae(
            mean,
            np.log(np.diag(covariance)) + widen,
            (model.weights.T, model.bias),
            likelihood="gaussian",
            sigma=0.5,
            **kwargs,
        )

    return make


class TestAgainstTheLinearGaussianModel:
    """Where log P(X) and P(z|X) are known in closed form."""

    def test_with_the_exact_posterior_each_weight_is_the_evidence(
        self, linear_gaussian, make_linear_vae
    ):
        x = linear_gaussian.sample(50, seed=0).astype("float32")
        estimate = make_linear_vae().log_likelihood(x, num_samples=1)
        np.testing.assert_allclose(estimate, linear_gaussian.log_evidence(x), atol=1e-3)

    def test_with_the_exact_posterior_the_elbo_is_the_evidence(
        self, linear_gaussian, make_linear_vae
    ):
        x = linear_gaussian.sample(20, seed=0).astype("float32")
        elbo = make_linear_vae().elbo(x, num_samples=4000)
        # its reconstruction term is sampled: half a chi-squared of the latents, scaled by what the
        # data says of each
        assert (
            np.abs(elbo - linear_gaussian.log_evidence(x)).max() < 5 * np.sqrt(3 * 0.5 / 4000) * 2
        )

    def test_with_another_q_the_elbo_lies_below_by_the_kl_to_the_posterior(
        self, linear_gaussian, make_linear_vae
    ):
        x = linear_gaussian.sample(20, seed=0).astype("float32")
        elbo = make_linear_vae(shift=0.2, widen=0.3).elbo(x, num_samples=4000)
        _, covariance = linear_gaussian.posterior(x)
        gap = 0.5 * np.sum(
            np.exp(0.3) - 1 - 0.3 + 0.2**2 / np.diag(covariance)
        )  # KL between normals, dimension by dimension
        np.testing.assert_allclose(elbo, linear_gaussian.log_evidence(x) - gap, atol=0.3)
        np.testing.assert_allclose(
            np.mean(elbo), np.mean(linear_gaussian.log_evidence(x)) - gap, atol=0.05
        )

    def test_importance_sampling_closes_the_gap(self, linear_gaussian, make_linear_vae):
        x = linear_gaussian.sample(5, seed=0).astype("float32")
        vae, truth = make_linear_vae(shift=0.1, widen=0.3), linear_gaussian.log_evidence(x)
        few, many = (vae.log_likelihood(x, num_samples=n, seed=1) for n in (1, 60_000))
        # a weight's variance is about 0.4, whatever the image: 0.01 nats are four standard errors
        np.testing.assert_allclose(many, truth, atol=0.01)
        assert np.mean(few) < np.mean(many)

    def test_the_estimate_is_unbiased_in_p(self, linear_gaussian, make_linear_vae):
        x = np.repeat(linear_gaussian.sample(1, seed=0), 20_000, axis=0).astype("float32")
        ratio = np.exp(
            make_linear_vae(shift=0.2, widen=0.3).log_likelihood(x, num_samples=1)
            - linear_gaussian.log_evidence(x)
        )
        assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(len(x))
        assert np.log(ratio).mean() < -0.05  # and so the logarithm of few samples is too low

    def test_samples_are_split_into_chunks_without_changing_the_result(
        self, linear_gaussian, make_linear_vae, monkeypatch
    ):
        x, vae = linear_gaussian.sample(7, seed=0).astype("float32"), make_linear_vae(shift=0.2)
        whole = vae.log_likelihood(x, num_samples=60), vae.elbo(x, num_samples=60)
        monkeypatch.setattr(
            "vae_keras.model.CHUNK", 25
        )  # below the number of samples: an image takes three chunks
        np.testing.assert_allclose(vae.log_likelihood(x, num_samples=60), whole[0], rtol=1e-6)
        np.testing.assert_allclose(vae.elbo(x, num_samples=60), whole[1], rtol=1e-6)


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_log_likelihood_equals_numerical_integration(rng, make_dense_vae, latent_dim):
    """The oracle for Bernoulli pixels is the integral of Equation 6 over a fine grid."""
    kernel, bias = rng.normal(0, 0.7, (latent_dim, 8)), rng.normal(size=8)
    vae = make_dense_vae(
        (np.zeros((8, latent_dim)), np.full(latent_dim, 0.3)),
        np.full(latent_dim, -0.2),
        (kernel, bias),
    )
    x = (rng.random((6, 8)) < 0.5).astype("float32")
    axis = np.linspace(-8, 8, 161)
    z = np.stack(np.meshgrid(*[axis] * latent_dim, indexing="ij"), axis=-1).reshape(-1, latent_dim)
    p = special.expit(z @ kernel + bias)[:, None]
    weights = np.exp(
        stats.norm.logpdf(z).sum(axis=1) + stats.bernoulli.logpmf(x, p).sum(axis=2).T
    )  # of P(X, z)
    evidence = weights.reshape(6, *[len(axis)] * latent_dim)
    for _ in range(latent_dim):
        evidence = integrate.simpson(evidence, x=axis, axis=-1)
    np.testing.assert_allclose(
        vae.log_likelihood(x, num_samples=100_000), np.log(evidence), atol=0.01
    )


class TestElboAndLogLikelihood:
    def test_one_value_an_image_in_the_order_of_the_images(self, make_linear_vae, linear_gaussian):
        vae, x = make_linear_vae(), linear_gaussian.sample(8, seed=0).astype("float32")
        values = vae.log_likelihood(
            x, num_samples=1
        )  # exact whatever the noise, since Q is the posterior
        assert values.shape == vae.elbo(x).shape == (8,)
        assert values.dtype == vae.elbo(x).dtype == np.float64
        assert np.ptp(values) > 1
        np.testing.assert_allclose(
            vae.log_likelihood(x[::-1], num_samples=1), values[::-1], atol=1e-3
        )

    def test_elbo_is_minus_the_loss(self, small_vae, images):
        small_vae.compile("sgd")
        loss = np.mean(
            [small_vae.evaluate(images, verbose=0, return_dict=True)["loss"] for _ in range(30)]
        )
        assert abs(loss + small_vae.elbo(images, num_samples=500).mean()) < 0.5

    def test_the_seed_fixes_the_noise(self, small_vae, images):
        for estimate in (small_vae.elbo, small_vae.log_likelihood):
            np.testing.assert_array_equal(estimate(images, 3, seed=1), estimate(images, 3, seed=1))
            assert not np.array_equal(estimate(images, 3, seed=1), estimate(images, 3, seed=2))

    def test_elbo_leaves_beta_out(self, images):
        weighted, plain = (tiny_vae(beta=5.0) for _ in range(2))
        plain.set_weights(weighted.get_weights())
        plain.variational_loss.beta = 1.0  # after the weights, of which it is one
        np.testing.assert_array_equal(weighted.elbo(images), plain.elbo(images))

    @pytest.mark.parametrize("method", ["elbo", "log_likelihood"])
    def test_no_samples_are_refused(self, small_vae, images, method):
        with pytest.raises(ValueError, match="num_samples must be an integer of at least 1; got 0"):
            getattr(small_vae, method)(images, num_samples=0)


class TestTraining:
    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"beta": 0.3},
            {"likelihood": "gaussian", "sigma": 0.2},
            {"likelihood": "gaussian", "sigma": None},
        ],
    )
    def test_loss_is_reconstruction_plus_beta_kl_in_every_log(self, images, arguments):
        vae = tiny_vae(**arguments)
        vae.compile("sgd")
        # 24 images in batches of 7: the last batch is a smaller one
        history = vae.fit(
            images, epochs=3, batch_size=7, validation_data=(images[:10],), verbose=0
        ).history
        assert set(history) == {f"{prefix}{term}" for prefix in ("", "val_") for term in TERMS}
        for prefix in ("", "val_"):
            loss, reconstruction, kl = (np.array(history[prefix + term]) for term in TERMS)
            np.testing.assert_allclose(
                loss, reconstruction + arguments.get("beta", 1.0) * kl, rtol=1e-5
            )

    def test_logs_are_means_over_images_of_sums_over_pixels(self, make_dense_vae, rng):
        x = rng.random((10, 4), dtype="float32")
        # logits of 0 whatever z is: each pixel costs log 2. Q(z|X) = N(1, 1) in 2 latents: KL = 1
        vae = make_dense_vae(
            (np.zeros((4, 2)), np.ones(2)), np.zeros(2), (np.zeros((2, 4)), np.zeros(4))
        )
        vae.compile("sgd")
        logs = vae.evaluate(x, batch_size=3, verbose=0, return_dict=True)
        assert logs["reconstruction"] == pytest.approx(4 * np.log(2), rel=1e-6)
        assert logs["kl"] == pytest.approx(1.0, rel=1e-6)

    def test_batch_normalisation_learns_in_training_and_rests_in_evaluation(
        self, default_vae, images
    ):
        def statistics():
            return [w.numpy() for w in default_vae.non_trainable_variables if "moving" in w.path]

        default_vae.compile("sgd")
        before = statistics()
        assert (
            len(before) == 10
        )  # mean and variance of two layers in the encoder and three in the decoder
        default_vae.evaluate(images, verbose=0)
        assert all(np.array_equal(old, new) for old, new in zip(before, statistics(), strict=True))
        default_vae.fit(images, verbose=0)
        assert not any(
            np.array_equal(old, new) for old, new in zip(before, statistics(), strict=True)
        )

    def test_training_lowers_the_loss(self, images):
        vae = tiny_vae()
        vae.compile(keras.optimizers.Adam(0.01))
        loss = vae.fit(np.round(images[:4]), epochs=60, verbose=0).history["loss"]
        assert loss[-1] < 0.8 * loss[0]

    def test_a_learned_sigma_learns(self, images):
        vae = tiny_vae(likelihood="gaussian", sigma=None)
        vae.compile(keras.optimizers.Adam(0.02))
        vae.fit(images, epochs=100, verbose=0)
        sigma = float(np.exp(vae.variational_loss.log_sigma.numpy()))
        assert 0.1 < sigma < 0.4  # the pixels are uniform: their standard deviation is 0.29


class TestOutputs:
    def test_a_call_gives_images_and_both_terms(self, small_vae, images):
        outputs = small_vae(images)
        assert {name: tuple(value.shape) for name, value in outputs.items()} == {
            "images": (24, 8, 8, 1), "reconstruction": (24,), "kl": (24,),
        }  # fmt: skip

    def test_encoder_gives_the_parameters_of_q(self, small_vae, images):
        z_mean, z_log_var = small_vae.encoder.predict(images, verbose=0)
        assert z_mean.shape == z_log_var.shape == (24, 3)

    def test_decoder_is_the_sigmoid_of_the_network(self, default_vae, rng):
        z = rng.normal(size=(5, 3), scale=20)
        images, logits = (
            default_vae.decoder.predict(z, verbose=0),
            default_vae.decoder_network.predict(z, verbose=0),
        )
        np.testing.assert_allclose(images, 1 / (1 + np.exp(-logits.astype("float64"))), atol=1e-6)
        assert images.dtype == np.float32
        assert (
            default_vae.count_params()
            == default_vae.encoder.count_params() + default_vae.decoder.count_params()
        )

    def test_a_gaussian_decoder_gives_the_mean_itself(self, rng):
        vae = tiny_vae(likelihood="gaussian")
        z = rng.normal(size=(5, 3))
        np.testing.assert_array_equal(
            vae.decoder.predict(z, verbose=0), vae.decoder_network.predict(z, verbose=0)
        )

    def test_reconstruct_goes_through_the_mean(self, small_vae, images):
        z_mean, _ = small_vae.encoder.predict(images, verbose=0)
        np.testing.assert_array_equal(
            small_vae.reconstruct(images), small_vae.decoder.predict(z_mean, verbose=0)
        )

    def test_sample_decodes_seeded_draws_from_the_prior(self, small_vae):
        z = np.random.default_rng(4).standard_normal((9, 3), dtype="float32")
        np.testing.assert_array_equal(
            small_vae.sample(9, seed=4), small_vae.decoder.predict(z, verbose=0)
        )
        assert not np.array_equal(small_vae.sample(9), small_vae.sample(9))

    def test_many_samples_are_decoded_some_at_a_time(self, small_vae, monkeypatch):
        monkeypatch.setattr("vae_keras.model.CHUNK", 7)
        sizes = []
        decode = small_vae.decoder.call

        def call(z, **kwargs):
            sizes.append(len(z))
            return decode(z, **kwargs)

        whole = small_vae.decoder.predict(draw_latents(20, 3, seed=4), verbose=0)
        small_vae.decoder.compile(run_eagerly=True)
        monkeypatch.setattr(small_vae.decoder, "call", call)
        np.testing.assert_allclose(small_vae.sample(20, seed=4), whole, atol=1e-6)
        assert max(sizes) == 7


class TestSaving:
    @pytest.mark.parametrize(
        "arguments",
        [
            {},
            {"likelihood": "gaussian", "sigma": None, "beta": 2.0},
            {"dtype": "mixed_bfloat16"},
            {"seed": 5, "latent_dim": 2},
        ],
    )
    def test_a_loaded_model_is_the_saved_one(self, tmp_path, images, arguments):
        vae = tiny_vae(**arguments)
        vae.save(tmp_path / "vae.keras")
        loaded = keras.models.load_model(tmp_path / "vae.keras")
        assert type(loaded) is ConvVAE
        assert loaded.get_config() == vae.get_config()
        kept = {
            name: getattr(loaded.variational_loss, name) for name in ("likelihood", "sigma", "beta")
        }
        assert kept == {
            name: arguments.get(name, default)
            for name, default in (("likelihood", "bernoulli"), ("sigma", 1.0), ("beta", 1.0))
        }
        assert loaded.sampling.seed == arguments.get("seed")
        for one, other in zip(loaded.weights, vae.weights, strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())
        np.testing.assert_array_equal(loaded.reconstruct(images), vae.reconstruct(images))

    def test_what_was_frozen_stays_frozen(self, tmp_path, default_vae):
        default_vae.encoder.trainable = False
        default_vae.decoder_network.layers[1].trainable = False
        default_vae.save(tmp_path / "vae.keras")
        loaded = load_vae(tmp_path / "vae.keras")
        kept, before = (
            [weight.shape for weight in vae.trainable_weights] for vae in (loaded, default_vae)
        )
        assert kept == before
        assert (
            len(kept) == 14
        )  # kernel and bias of four layers, scale and offset of three normalisations

    @pytest.mark.parametrize("frozen", ["loss", "model", "all but the loss"])
    def test_a_frozen_loss_and_a_frozen_model_stay_frozen(self, tmp_path, frozen):
        vae = tiny_vae(likelihood="gaussian", sigma=None)
        part = vae.variational_loss if frozen == "loss" else vae
        part.trainable = False
        if frozen == "all but the loss":
            vae.variational_loss.trainable = True
        vae.save(tmp_path / "vae.keras")
        loaded = load_vae(tmp_path / "vae.keras")
        paths = [[weight.shape for weight in one.trainable_weights] for one in (loaded, vae)]
        assert paths[0] == paths[1]
        flags = [(one.trainable, one.variational_loss.trainable) for one in (loaded, vae)]
        assert flags[0] == flags[1]

    def test_a_layer_frozen_inside_of_a_network_in_a_network_stays_frozen(self, tmp_path):
        def dense(inputs, outputs):
            x = keras.Input((inputs,))
            return keras.Model(x, keras.layers.Dense(outputs)(keras.layers.Dense(3)(x)))

        inner = dense(4, 2)
        inner.layers[1].trainable = False
        x = keras.Input((4,))
        vae = VAE(keras.Model(x, [inner(x), keras.layers.Dense(2)(x)]), dense(2, 4))
        vae.save(tmp_path / "vae.keras")
        loaded = load_vae(tmp_path / "vae.keras")
        shapes = [[weight.shape for weight in one.trainable_weights] for one in (loaded, vae)]
        assert shapes[0] == shapes[1]

    def test_a_vae_of_any_two_networks_keeps_its_precision(self, tmp_path, make_linear_vae):
        make_linear_vae(dtype="mixed_bfloat16").save(tmp_path / "vae.keras")
        assert load_vae(tmp_path / "vae.keras").dtype_policy.name == "mixed_bfloat16"

    def test_a_model_keeps_its_precision_under_another_global_policy(self, tmp_path, images):
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            vae = tiny_vae()
            vae.save(tmp_path / "vae.keras")
            expected = vae.predict(images, verbose=0)
        finally:
            keras.config.set_dtype_policy("float32")
        loaded = load_vae(tmp_path / "vae.keras")
        assert loaded.dtype_policy.name == "mixed_bfloat16"
        fresh = load_vae(tmp_path / "vae.keras").predict(images, verbose=0)
        np.testing.assert_array_equal(fresh["kl"], expected["kl"])
        assert {layer.compute_dtype for layer in (loaded.sampling, vae.sampling)} == {"float32"}

    @pytest.mark.parametrize("optimizer", ["adam", pytest.param("rmsprop", marks=pytest.mark.slow)])
    def test_save_load_continue_equals_the_uninterrupted_run(self, tmp_path, images, optimizer):
        def fit(vae):
            return vae.fit(
                images, batch_size=7, epochs=1, shuffle=False, verbose=0, validation_data=(images,)
            ).history

        vae = tiny_vae(likelihood="gaussian", sigma=None)
        vae.compile(optimizer)
        fit(vae)
        vae.save(tmp_path / "vae.keras")
        loaded = keras.models.load_model(tmp_path / "vae.keras")
        assert fit(loaded) == fit(vae)
        for one, other in zip(loaded.weights, vae.weights, strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())

    @pytest.mark.process
    def test_a_new_process_loads_it_in_safe_mode(self, tmp_path, default_vae, images):
        default_vae.save(tmp_path / "vae.keras")
        default_vae.encoder.save(tmp_path / "encoder.keras")
        default_vae.decoder.save(tmp_path / "decoder.keras")
        np.save(tmp_path / "x.npy", images)
        program = (
            "import keras, numpy as np\n"
            "load = keras.models.load_model\n"
            "encoder = load('encoder.keras', safe_mode=True)\n"
            "decoder = load('decoder.keras', safe_mode=True)\n"
            "import vae_keras\n"  # the encoder and the decoder need Keras alone
            "x, vae = np.load('x.npy'), keras.models.load_model('vae.keras', safe_mode=True)\n"
            "np.save('whole.npy', vae.reconstruct(x))\n"
            "np.save('parts.npy', decoder.predict(encoder.predict(x, verbose=0)[0], verbose=0))\n"
        )
        subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True
        )
        for name in ("whole", "parts"):
            np.testing.assert_array_equal(
                np.load(tmp_path / f"{name}.npy"), default_vae.reconstruct(images)
            )

    def test_any_two_keras_models_are_saved_with_it(
        self, tmp_path, make_linear_vae, linear_gaussian
    ):
        vae, x = make_linear_vae(beta=0.5), linear_gaussian.sample(5, seed=0).astype("float32")
        vae.save(tmp_path / "vae.keras")
        loaded = load_vae(tmp_path / "vae.keras")
        assert type(loaded) is VAE
        np.testing.assert_array_equal(loaded.elbo(x), vae.elbo(x))

    def test_a_failed_save_leaves_the_old_file_and_nothing_else(
        self, tmp_path, small_vae, monkeypatch
    ):
        path = tmp_path / "vae.keras"
        small_vae.save(path)
        before = path.read_bytes()

        def fail(self, filepath, **kwargs):
            filepath.write_bytes(before[: len(before) // 2])
            raise OSError("no space left")

        monkeypatch.setattr(keras.Model, "save", fail)
        with pytest.raises(OSError, match="no space left"):
            small_vae.save(path)
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    def test_a_link_stays_a_link(self, tmp_path, small_vae):
        (tmp_path / "link.keras").symlink_to(tmp_path / "vae.keras")
        small_vae.save(tmp_path / "link.keras")
        assert (tmp_path / "link.keras").is_symlink()
        assert load_vae(tmp_path / "vae.keras").latent_dim == 3

    def test_another_ending_is_refused(self, tmp_path, small_vae):
        with pytest.raises(ValueError, match=r"filepath must end in \.keras"):
            small_vae.save(tmp_path / "vae.h5")

    def test_overwrite_false_keeps_the_file(self, tmp_path, small_vae):
        small_vae.save(tmp_path / "vae.keras")
        with pytest.raises(FileExistsError, match=r"vae\.keras exists"):
            small_vae.save(tmp_path / "vae.keras", overwrite=False)

    def test_what_is_no_saved_vae_is_refused_by_name(self, tmp_path, small_vae):
        small_vae.save(tmp_path / "vae.keras")
        small_vae.encoder.save(tmp_path / "encoder.keras")
        (tmp_path / "cut.keras").write_bytes((tmp_path / "vae.keras").read_bytes()[:-100])
        (tmp_path / "text.keras").write_text("no model")
        with pytest.raises(FileNotFoundError, match=r"none\.keras"):
            load_vae(tmp_path / "none.keras")
        for name, message in (
            ("encoder", "holds a Functional; wanted a VAE"),
            ("cut", "damaged"),
            ("text", "no saved VAE"),
        ):
            with pytest.raises(ValueError, match=rf"{name}\.keras.*{message}"):
                load_vae(tmp_path / f"{name}.keras")


class TestReproducibility:
    @pytest.mark.process
    def test_two_processes_with_one_seed_end_with_the_same_weights(self, tmp_path):
        program = (
            "import sys\n"
            "import keras, numpy as np\n"
            "from small_networks import tiny_vae\n"
            "def train(seed):\n"
            "    keras.utils.set_random_seed(seed)\n"
            "    vae = tiny_vae()\n"
            "    vae.compile('adam')\n"
            "    x = np.random.default_rng(0).random((40, 8, 8, 1), dtype='float32')\n"
            "    vae.fit(x, batch_size=8, epochs=2, verbose=0)\n"
            "    return [w.numpy() for w in vae.weights]\n"
        )
        command = [sys.executable, "-c", f"{program}np.savez('other.npz', *train(3))"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        options = {"cwd": tmp_path, "env": environment, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, **options)
        here = {}
        exec(program, here)
        another_seed = here["train"](4)
        same_seed = here["train"](3)
        assert process.wait() == 0
        other_process = np.load(tmp_path / "other.npz").values()
        for one, other in zip(same_seed, other_process, strict=True):
            np.testing.assert_array_equal(one, other)
        pairs = zip(same_seed, another_seed, strict=True)
        assert not all(np.array_equal(one, other) for one, other in pairs)

    def test_the_models_own_seed_fixes_the_noise(self, images):
        one, same, other = (tiny_vae(seed=seed) for seed in (0, 0, 1))
        for vae in (same, other):
            vae.set_weights(one.get_weights())
        first, again, different = (
            np.asarray(vae(images)["reconstruction"]) for vae in (one, same, other)
        )
        np.testing.assert_array_equal(first, again)
        assert not np.array_equal(first, different)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
class TestPrecision:
    def test_losses_are_float32_and_close(self, images, policy):
        vae, exact = (tiny_vae(seed=0, dtype=policy), tiny_vae(seed=0))
        exact.set_weights(vae.get_weights())
        outputs = vae(images)
        assert {keras.backend.standardize_dtype(value.dtype) for value in outputs.values()} == {
            "float32"
        }
        np.testing.assert_allclose(
            outputs["reconstruction"], exact(images)["reconstruction"], rtol=0.02
        )
        np.testing.assert_allclose(vae.elbo(images), exact.elbo(images), rtol=0.02)
        vae.compile("sgd")
        assert np.isfinite(vae.fit(images, epochs=2, verbose=0).history["loss"]).all()

    def test_it_learns_and_a_loaded_model_goes_on_as_the_saved_one(self, tmp_path, images, policy):
        def fit(vae, epochs):
            return vae.fit(np.round(images[:8]), epochs=epochs, shuffle=False, verbose=0).history[
                "loss"
            ]

        vae = tiny_vae(dtype=policy)
        vae.compile(keras.optimizers.Adam(0.01))
        loss = fit(vae, 30)
        assert loss[-1] < 0.9 * loss[0]
        vae.save(tmp_path / "vae.keras")
        loaded = load_vae(tmp_path / "vae.keras")
        assert loaded.dtype_policy.name == policy
        assert {weight.dtype for weight in loaded.trainable_weights} == {"float32"}
        assert fit(loaded, 3) == fit(vae, 3)

    def test_the_loss_sees_the_images_unrounded(self, policy):
        x = np.full((1, 8, 8, 1), 0.3003, "float32")  # bfloat16 would make it 0.3008
        vae = tiny_vae(dtype=policy, likelihood="gaussian", sigma=0.01)
        logits = np.zeros_like(x)
        expected = -stats.norm.logpdf(x, 0, 0.01).sum()
        np.testing.assert_allclose(
            -vae.variational_loss.log_likelihood(x, logits), [expected], rtol=1e-6
        )


class TestBadInput:
    @pytest.mark.parametrize("method", ["fit", "evaluate", "elbo", "log_likelihood", "reconstruct"])
    def test_bytes_instead_of_grey_levels_are_refused_everywhere(self, small_vae, images, method):
        small_vae.compile("sgd")
        with pytest.raises(ValueError, match=r"x must hold grey levels in \[0, 1\].*Divide by 255"):
            getattr(small_vae, method)(images * 255)

    def test_validation_images_are_checked_too(self, small_vae, images):
        small_vae.compile("sgd")
        with pytest.raises(ValueError, match="validation_data must hold images of shape"):
            small_vae.fit(images, validation_data=(images[..., 0],))
        with pytest.raises(ValueError, match="validation_data must hold grey levels"):
            small_vae.fit(images, validation_data=images * 255)

    @pytest.mark.parametrize("method", ["elbo", "log_likelihood", "reconstruct"])
    def test_lists_are_taken_and_checked_as_arrays(self, small_vae, images, method):
        measure = getattr(small_vae, method)
        np.testing.assert_array_equal(measure(images[:2].tolist()), measure(images[:2]))
        with pytest.raises(ValueError, match="Divide by 255"):
            measure((images * 255).tolist())

    def test_numpy_integers_are_integers(self):
        vae = ConvVAE(np.int64(2), image_shape=[np.int32(8), 8, 1], seed=np.int64(3))
        assert vae.get_config()["seed"] == 3
        assert vae.image_shape == (8, 8, 1)

    def test_sample_refuses_no_images(self, small_vae):
        with pytest.raises(ValueError, match="n must be an integer of at least 1; got 0"):
            small_vae.sample(0)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"latent_dim": 0}, "latent_dim must be an integer of at least 1; got 0"),
            ({"latent_dim": 2.5}, "latent_dim must be an integer of at least 1; got 2.5"),
            ({"network": "vgg"}, "network must be one of .*; got 'vgg'"),
            (
                {"network": "keng2017", "image_shape": (32, 32, 1)},
                r"image_shape must be \(28, 28, 1\)",
            ),
            ({"image_shape": (28, 28)}, "image_shape must be three integers"),
            ({"image_shape": 28}, "image_shape must be three integers"),
            ({"image_shape": (1, 28, 28)}, r"image_shape must be \(height, .*channels first\?"),
            ({"image_shape": (3, 32, 40)}, r"image_shape must be \(height, .*channels first\?"),
            ({"latent_dim": True}, "latent_dim must be an integer of at least 1; got True"),
            ({"likelihood": "laplace"}, "likelihood must be one of"),
            ({"likelihood": "gaussian", "sigma": 0}, "sigma must be a number above 0"),
            ({"beta": -1}, "beta must be a number of 0 or more; got -1"),
        ],
    )
    def test_bad_arguments_are_refused_by_name(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            ConvVAE(**arguments)

    def test_networks_that_do_not_fit_are_refused_by_name(self):
        def dense(inputs, outputs, activation=None, heads=1):
            x = keras.Input((inputs,))
            made = [keras.layers.Dense(outputs, activation=activation)(x) for _ in range(heads)]
            return keras.Model(x, made if heads > 1 else made[0])

        good = dense(4, 2, heads=2), dense(2, 4)
        VAE(*good)
        for encoder, decoder, message in (
            (dense(4, 2), good[1], "encoder must return the pair"),
            (good[0], dense(3, 4), "decoder must take latents"),
            (good[0], dense(2, 5), "decoder must return images"),
            (good[0], dense(2, 4, "sigmoid"), "decoder must end in logits"),
            (keras.layers.Dense(2), good[1], "encoder must be a Keras model that knows its shapes"),
            (good[0], keras.Sequential([keras.layers.Dense(4)]), "decoder must be a Keras model"),
            (good[0], None, "decoder must be a Keras model .* got NoneType"),
        ):
            with pytest.raises(ValueError, match=message):
                VAE(encoder, decoder)


def test_sample_decodes_draws_from_the_prior_that_is_given(small_vae):
    prior = MixturePrior(np.ones(1), np.full((1, 3), 5.0), 0.01 * np.eye(3)[None])
    z = draw_latents(9, 3, seed=4, prior=prior)
    expected = small_vae.decoder.predict(z, verbose=0)
    np.testing.assert_array_equal(small_vae.sample(9, seed=4, prior=prior), expected)
