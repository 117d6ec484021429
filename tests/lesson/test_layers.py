"""The layers and their formulas, against SciPy, numerical integration and arithmetic by hand."""

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.testing import TestCase
from scipy import integrate, stats

from vae_keras import Sampling, VariationalLoss
from vae_keras.layers import (
    bernoulli_log_likelihood,
    gaussian_log_likelihood,
    kl_divergence,
    kl_per_latent,
)


def to_numpy(tensor):
    return ops.convert_to_numpy(tensor)


class TestFormulas:
    def test_kl_equals_its_integral(self):
        z_mean, z_log_var = (
            np.array([[0.7, -1.2], [0.0, 2.0]]),
            np.array([[-1.0, 0.6], [0.0, -2.5]]),
        )

        def integral(mean, log_var):
            q, p = stats.norm(mean, np.exp(log_var / 2)), stats.norm(0, 1)
            return integrate.quad(
                lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)),
                mean - 12,
                mean + 12,
                points=[mean],
            )[0]

        expected = np.vectorize(integral)(z_mean, z_log_var)
        per_latent = to_numpy(kl_per_latent(z_mean, z_log_var))
        np.testing.assert_allclose(per_latent, expected, rtol=1e-5)
        whole = to_numpy(kl_divergence(z_mean, z_log_var))
        np.testing.assert_allclose(whole, expected.sum(axis=1), rtol=1e-5)

    def test_kl_is_zero_at_the_prior(self):
        assert (
            to_numpy(kl_divergence(np.zeros((1, 5), "float32"), np.zeros((1, 5), "float32"))) == 0
        )

    def test_bernoulli_of_binary_pixels_is_scipys(self, rng):
        x, logits = rng.integers(0, 2, (4, 3, 5)), rng.normal(size=(4, 3, 5), scale=3)
        expected = stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits))).sum(axis=(1, 2))
        np.testing.assert_allclose(
            to_numpy(bernoulli_log_likelihood(x.astype("float64"), logits)), expected, rtol=1e-5
        )

    def test_bernoulli_of_grey_pixels_is_the_mean_over_their_binarised_draws(self, rng):
        x, logits = rng.random((4, 6)), rng.normal(size=(4, 6))
        p = 1 / (1 + np.exp(-logits))
        expected = (x * stats.bernoulli.logpmf(1, p) + (1 - x) * stats.bernoulli.logpmf(0, p)).sum(
            axis=1
        )
        np.testing.assert_allclose(
            to_numpy(bernoulli_log_likelihood(x, logits)), expected, rtol=1e-5
        )

    def test_bernoulli_is_stable_where_the_sigmoid_is_not(self):
        logits = np.array([[-500.0, 500.0], [500.0, -500.0]], "float32")
        x = np.array([[0.0, 1.0], [0.0, 1.0]], "float32")
        np.testing.assert_array_equal(to_numpy(bernoulli_log_likelihood(x, logits)), [0.0, -1000.0])

    @pytest.mark.parametrize("sigma", [0.1, 1.0, 2.5])
    def test_gaussian_is_scipys(self, rng, sigma):
        x, mean = rng.normal(size=(4, 3, 2)), rng.normal(size=(4, 3, 2))
        expected = stats.norm.logpdf(x, mean, sigma).sum(axis=(1, 2))
        np.testing.assert_allclose(
            to_numpy(gaussian_log_likelihood(x, mean, np.log(sigma))), expected, rtol=1e-4
        )


class TestSampling:
    def test_mean_and_variance_are_those_of_q(self):
        z_mean, z_log_var = (
            np.array([1.0, -2.0, 0.5], "float32"),
            np.array([-2.0, 0.0, 1.0], "float32"),
        )
        n = 200_000
        z = to_numpy(Sampling(seed=0)((np.tile(z_mean, (n, 1)), np.tile(z_log_var, (n, 1)))))
        variance = np.exp(z_log_var)
        # five standard errors of a mean and of a variance
        assert np.all(np.abs(z.mean(axis=0) - z_mean) < 5 * np.sqrt(variance / n))
        assert np.all(np.abs(z.var(axis=0) / variance - 1) < 5 * np.sqrt(2 / n))

    def test_noise_is_standard_normal_and_independent_across_latents(self):
        epsilon = to_numpy(
            Sampling(seed=0)((np.zeros((20_000, 2), "float32"), np.zeros((20_000, 2), "float32")))
        )
        assert stats.kstest(epsilon[:, 0], "norm").pvalue > 0.001
        assert abs(np.corrcoef(epsilon.T)[0, 1]) < 5 / np.sqrt(20_000)

    def test_a_seed_repeats_the_noise_and_each_call_draws_anew(self):
        inputs = np.zeros((4, 3), "float32"), np.zeros((4, 3), "float32")
        first, second = Sampling(seed=7), Sampling(seed=7)
        draw = to_numpy(first(inputs))
        np.testing.assert_array_equal(draw, to_numpy(second(inputs)))
        assert not np.array_equal(draw, to_numpy(first(inputs)))
        assert not np.array_equal(draw, to_numpy(Sampling(seed=8)(inputs)))

    def test_training_draws_noise_of_its_own_which_evaluating_does_not_use_up(self):
        q = np.zeros((4, 3), "float32"), np.zeros((4, 3), "float32")
        looked_at, alone = Sampling(seed=4), Sampling(seed=4)
        evaluated = to_numpy(looked_at(q, training=False))
        trained = to_numpy(looked_at(q, training=True))
        np.testing.assert_array_equal(trained, to_numpy(alone(q, training=True)))
        assert not np.any(trained == evaluated)

    def test_it_loads_the_one_state_that_older_files_hold(self):
        q = np.zeros((4, 3), "float32"), np.zeros((4, 3), "float32")
        one, other = Sampling(seed=4), Sampling(seed=5)
        one(q)
        other.load_own_variables({"seed_generator_state": to_numpy(one.seed_generator.state)})
        goes_on = to_numpy(one(q))
        np.testing.assert_array_equal(to_numpy(other(q, training=False)), goes_on)
        np.testing.assert_array_equal(to_numpy(other(q, training=True)), goes_on)

    def test_the_gradient_is_that_of_equation_13(self, gradient):
        z_mean, z_log_var = np.array([[0.3, -0.4]], "float32"), np.array([[-1.0, 0.5]], "float32")
        epsilon = (to_numpy(Sampling(seed=3)((z_mean, z_log_var))) - z_mean) / np.exp(z_log_var / 2)
        by_mean = gradient(lambda m: ops.sum(Sampling(seed=3)((m, z_log_var))), z_mean)
        by_log_var = gradient(lambda v: ops.sum(Sampling(seed=3)((z_mean, v))), z_log_var)
        np.testing.assert_allclose(by_mean, [[1.0, 1.0]])
        np.testing.assert_allclose(by_log_var, 0.5 * np.exp(z_log_var / 2) * epsilon, rtol=1e-5)

    def test_one_tensor_is_no_pair(self):
        with pytest.raises(ValueError, match="z_mean and z_log_var must be tensors in a tuple"):
            Sampling()(np.zeros((2, 3), "float32"))

    @pytest.mark.parametrize(
        "shapes", [((2, 3), (2, 4)), ((2, 3), (2, 3), (2, 3)), ((2, 3), (2, 3, 1))]
    )
    def test_inputs_that_do_not_agree_are_refused_by_name(self, shapes):
        with pytest.raises(ValueError, match="z_mean and z_log_var must be"):
            Sampling()(tuple(np.zeros(shape, "float32") for shape in shapes))


class TestVariationalLoss:
    def by_hand(self, x, decoded, z_mean, z_log_var, likelihood, sigma):
        if likelihood == "bernoulli":
            p = 1 / (1 + np.exp(-decoded))
            log_p = x * np.log(p) + (1 - x) * np.log(1 - p)
        else:
            log_p = -((x - decoded) ** 2) / (2 * sigma**2) - np.log(sigma * np.sqrt(2 * np.pi))
        kl = (np.exp(z_log_var) + z_mean**2 - 1 - z_log_var) / 2
        return -log_p.sum(axis=(1, 2, 3)), kl.sum(axis=1)

    @pytest.mark.parametrize(("likelihood", "sigma"), [("bernoulli", 1.0), ("gaussian", 0.3)])
    def test_terms_and_loss_equal_those_worked_out_by_hand(self, rng, likelihood, sigma):
        x, decoded = rng.random((5, 4, 3, 2)), rng.normal(size=(5, 4, 3, 2))
        z_mean, z_log_var = rng.normal(size=(5, 6)), rng.normal(size=(5, 6))
        layer = VariationalLoss(likelihood, sigma, beta=0.7)
        reconstruction, kl = layer((x, decoded, z_mean, z_log_var))
        expected_reconstruction, expected_kl = self.by_hand(
            x, decoded, z_mean, z_log_var, likelihood, sigma
        )
        np.testing.assert_allclose(to_numpy(reconstruction), expected_reconstruction, rtol=1e-5)
        np.testing.assert_allclose(to_numpy(kl), expected_kl, rtol=1e-5)
        expected_loss = np.mean(expected_reconstruction + 0.7 * expected_kl)
        np.testing.assert_allclose(to_numpy(layer.losses[0]), expected_loss, rtol=1e-5)
        assert len(layer.losses) == 1

    def test_gradients_equal_finite_differences(self, rng, gradient):
        arrays = [
            rng.random((2, 3, 3, 1)),
            *(rng.normal(size=shape) for shape in ((2, 3, 3, 1), (2, 4), (2, 4))),
        ]

        def by_hand(*arrays):
            reconstruction, kl = self.by_hand(*arrays, "bernoulli", 1.0)
            return np.mean(reconstruction + 0.7 * kl)

        for position in (1, 2, 3):  # the logits, z_mean, z_log_var

            def loss(values, position=position):
                layer = VariationalLoss(beta=0.7)
                layer(
                    [values if i == position else a.astype("float32") for i, a in enumerate(arrays)]
                )
                return layer.losses[0]

            expected = np.zeros_like(arrays[position])
            for index in np.ndindex(expected.shape):
                step = np.zeros_like(expected)
                step[index] = 1e-6
                up, down = (
                    [a + sign * step if i == position else a for i, a in enumerate(arrays)]
                    for sign in (1, -1)
                )
                expected[index] = (by_hand(*up) - by_hand(*down)) / 2e-6
            actual = gradient(loss, arrays[position].astype("float32"))
            np.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-6)

    def test_a_functional_model_tells_its_two_outputs_apart(self, rng):
        shapes = (4, 3, 1), (4, 3, 1), (2,), (2,)
        inputs = [keras.Input(shape) for shape in shapes]
        values = [rng.random((3, *shape), dtype="float32") for shape in shapes]
        got = keras.Model(inputs, VariationalLoss()(inputs))(values)
        for output, expected in zip(got, self.by_hand(*values, "bernoulli", None), strict=True):
            np.testing.assert_allclose(to_numpy(output), expected, rtol=1e-5)

    def test_a_learned_sigma_settles_on_the_root_mean_squared_error(self, rng):
        layer = VariationalLoss("gaussian", sigma=None)
        x, mean, z = rng.normal(size=(64, 5)), np.zeros((64, 5)), np.zeros((64, 2))
        assert [weight.name for weight in layer.trainable_weights] == ["log_sigma"]
        losses = {}
        for sigma in (0.8, 1.0, 1.25):
            layer.log_sigma.assign(np.log(sigma * np.sqrt(np.mean(x**2))))
            losses[sigma] = to_numpy(layer.log_likelihood(x, mean)).mean()
        assert losses[1.0] > max(losses[0.8], losses[1.25])
        assert to_numpy(layer((x, mean, z, z))[0]).shape == (64,)

    @pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
    def test_mixed_precision_keeps_the_images_and_the_sums_in_float32(self, rng, policy):
        x, z = rng.random((2, 28, 28, 1), dtype="float32"), np.zeros((2, 3), "float32")
        logits = rng.normal(size=x.shape).astype("float32")
        exact, _ = VariationalLoss()((x, logits, z, z))
        mixed, kl = VariationalLoss(dtype=policy)((x, logits, z, z))
        assert (
            keras.backend.standardize_dtype(mixed.dtype)
            == keras.backend.standardize_dtype(kl.dtype)
            == "float32"
        )
        np.testing.assert_array_equal(to_numpy(mixed), to_numpy(exact))

    @pytest.mark.parametrize(
        ("arguments", "name"),
        [
            ({"likelihood": "poisson"}, "likelihood"),
            ({"sigma": 0.0}, "sigma"),
            ({"sigma": -1.0}, "sigma"),
            ({"sigma": float("nan")}, "sigma"),
            ({"sigma": "1"}, "sigma"),
            ({"beta": -0.1}, "beta"),
            ({"beta": float("inf")}, "beta"),
            ({"beta": None}, "beta"),
        ],
    )
    def test_bad_arguments_are_refused_by_name(self, arguments, name):
        with pytest.raises(ValueError, match=f"^{name} must be .*; got "):
            VariationalLoss(**arguments)

    @pytest.mark.parametrize(
        "shapes",
        [((2, 4), (2, 5), (2, 3), (2, 3)), ((2, 4), (2, 4), (2, 3), (2, 2)), ((2, 4), (2, 4))],
    )
    def test_inputs_that_do_not_agree_are_refused_by_name(self, shapes):
        with pytest.raises(ValueError, match="must be"):
            VariationalLoss()(tuple(np.zeros(shape, "float32") for shape in shapes))


# the harness trains from a generator, and a layer without weights cannot learn
@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed:UserWarning")
@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights:UserWarning")
class TestKerasConformity(TestCase):
    """Keras's own harness: shapes, dtypes, serialization, a training step; not the loss."""

    def test_sampling(self):
        self.run_layer_test(
            Sampling, {"seed": 1}, input_shape=((4, 3), (4, 3)), expected_output_shape=(4, 3),
            expected_num_seed_generators=2,
            expected_num_losses=0, run_training_check=True,
        )  # fmt: skip

    def test_variational_loss(self):
        for arguments in ({}, {"likelihood": "gaussian", "sigma": None, "beta": 0.5}):
            self.run_layer_test(
                VariationalLoss, arguments,
                input_shape=((4, 6, 5, 1), (4, 6, 5, 1), (4, 3), (4, 3)),
                expected_output_shape=((4,), (4,)), expected_num_losses=1, run_training_check=True,
            )  # fmt: skip
