"""Equations 1 to 14 of the post, one test each, against SciPy, quadrature, or calculus by hand."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import integrate, stats

from vae_keras import (
    VAE,
    ConvVAE,
    Sampling,
    VariationalLoss,
    draw_latents,
    fit_mixture_prior,
    manifold_grid,
)
from vae_keras.layers import gaussian_log_likelihood, kl_divergence
from vae_keras.linear_gaussian import LinearGaussian

NODES, NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(
    8
)  # exact for polynomials of N(0, 1) up to degree 15


@pytest.fixture
def model(rng):
    """5 pixels made of 2 latents."""
    return LinearGaussian(rng.normal(size=(5, 2)), rng.normal(size=5), sigma=0.7)


@pytest.fixture
def q():
    """Mean and logarithm of the variance of a Q(z|X) that is not the posterior."""
    return np.array([0.4, -0.3]), np.array([-1.0, -0.5])


def expectation(f, mean, log_var):
    """E[f(z)] for z ~ N(mean, diag(exp(log_var))) in two dimensions, by Gauss-Hermite quadrature."""
    epsilon = np.stack(np.meshgrid(NODES, NODES), axis=-1).reshape(-1, 2)
    weights = np.outer(NODE_WEIGHTS, NODE_WEIGHTS).ravel() / (2 * np.pi)
    return weights @ f(mean + np.exp(0.5 * log_var) * epsilon)


def kl_of_normals(mean, covariance, other_mean, other_covariance):
    """D(N(mean, covariance) || N(other_mean, other_covariance)) in nats."""
    precision, shift = np.linalg.inv(other_covariance), other_mean - mean
    logdets = np.linalg.slogdet(other_covariance)[1] - np.linalg.slogdet(covariance)[1]
    return 0.5 * (
        np.trace(precision @ covariance) + shift @ precision @ shift - len(mean) + logdets
    )


def linear_vae(make_dense_vae, model, q):
    """The VAE of a `LinearGaussian`, with the same Q for every image."""
    mean, log_var = q
    encoder = (np.zeros((len(model.bias), len(mean))), mean), log_var
    return make_dense_vae(
        *encoder, (model.weights.T, model.bias), likelihood="gaussian", sigma=model.sigma
    )


def test_equation_1_x_is_normal():
    heights = LinearGaussian(np.zeros((1, 1)), [170.0], sigma=7.0).sample(20_000, seed=0)[
        :, 0
    ]  # a g that is constant
    assert stats.kstest(heights, stats.norm(170, 7).cdf).pvalue > 0.01
    x = np.array([[158.0], [171.0]])
    log_density = ops.convert_to_numpy(
        gaussian_log_likelihood(x, np.full_like(x, 170.0), np.log(7.0))
    )
    np.testing.assert_allclose(log_density, stats.norm(170, 7).logpdf(x[:, 0]), rtol=1e-6)


def test_equation_2_a_mixture_is_drawn_by_its_shares(rng):
    shares, centres, widths = np.array([0.2, 0.8]), np.array([-3.0, 1.0]), np.array([0.5, 1.5])
    z = rng.choice(2, size=20_000, p=shares)
    data = rng.normal(centres[z], widths[z])[:, None].astype("float32")
    fitted = fit_mixture_prior(data, np.full_like(data, -20.0), n_components=2)
    order = fitted.means[:, 0].argsort()
    np.testing.assert_allclose(fitted.weights[order], shares, atol=0.02)
    np.testing.assert_allclose(fitted.means[order, 0], centres, atol=0.1)
    np.testing.assert_allclose(np.sqrt(fitted.covariances[order, 0, 0]), widths, atol=0.1)

    def cdf(x):
        return fitted.weights @ stats.norm.cdf(
            (x - fitted.means) / np.sqrt(fitted.covariances[:, 0])
        )

    assert stats.kstest(draw_latents(20_000, 1, seed=0, prior=fitted)[:, 0], cdf).pvalue > 0.01


def test_equation_3_quantiles_of_evenly_spread_points_have_the_distribution_asked_for():
    n = 50
    z_1 = np.unique(manifold_grid(n)[:, 0])  # F^-1 of the middles of n intervals of (0, 1)
    x = np.linspace(-3, 3, 101)
    share_below = (z_1[:, None] <= x).mean(axis=0)
    cdf = [
        integrate.quad(lambda t: np.exp(-0.5 * t * t) / np.sqrt(2 * np.pi), -12, upper)[0]
        for upper in x
    ]
    assert np.abs(share_below - cdf).max() <= 0.5 / n + 1e-9


def test_equation_4_a_joint_density_is_the_product_of_its_conditionals(model):
    x = model.sample(10, seed=0)
    covariance = model.weights @ model.weights.T + model.sigma**2 * np.eye(5)
    total = np.zeros(len(x))
    for i in range(5):  # P(x_i | x_1 ... x_(i-1)), by the rule for conditioning a normal
        gain = covariance[i, :i] @ np.linalg.inv(covariance[:i, :i])
        mean = model.bias[i] + (x[:, :i] - model.bias[:i]) @ gain
        total += stats.norm(mean, np.sqrt(covariance[i, i] - gain @ covariance[:i, i])).logpdf(
            x[:, i]
        )
    np.testing.assert_allclose(model.log_evidence(x), total, rtol=1e-10)


def test_equation_5_decoded_draws_have_the_moments_of_g_of_a_normal(make_dense_vae, model, q):
    vae = linear_vae(make_dense_vae, model, q)
    means = vae.sample(20_000, seed=0)  # g(Z), with Z ~ N(0, I)
    np.testing.assert_allclose(means.mean(axis=0), model.bias, atol=0.05)
    np.testing.assert_allclose(np.cov(means.T), model.weights @ model.weights.T, atol=0.1)
    noisy = model.sample(20_000, seed=0)  # X ~ N(g(Z), sigma^2 I)
    np.testing.assert_allclose(
        np.cov(noisy.T), model.weights @ model.weights.T + model.sigma**2 * np.eye(5), atol=0.1
    )


def test_equation_6_averaging_over_draws_from_the_prior_gives_the_integral(rng):
    kernel = rng.normal(size=(1, 3))
    x, z = keras.Input((3,)), keras.Input((1,))
    zeros = {"kernel_initializer": "zeros"}
    encoder = keras.Model(
        x, (keras.layers.Dense(1, **zeros)(x), keras.layers.Dense(1, **zeros)(x))
    )  # Q is the prior
    layer = keras.layers.Dense(3, activation="tanh")
    vae = VAE(encoder, keras.Model(z, layer(z)), likelihood="gaussian", sigma=0.5)
    layer.set_weights([kernel, np.zeros(3)])
    images = rng.normal(size=(4, 3), scale=0.7).astype("float32")

    def joint(z, image):
        return np.prod(stats.norm(np.tanh(z * kernel[0]), 0.5).pdf(image)) * stats.norm.pdf(z)

    exact = [integrate.quad(joint, -8, 8, args=(image,), points=[0])[0] for image in images]
    estimate = vae.log_likelihood(images, num_samples=20_000)
    np.testing.assert_allclose(np.exp(estimate), exact, rtol=0.05)


def test_equation_7_each_observation_has_its_own_average_over_all_draws(make_dense_vae, model):
    x = model.sample(5, seed=1).astype("float32")
    vae = linear_vae(make_dense_vae, model, (np.zeros(2), np.zeros(2)))  # Q is the prior

    def ratios(num_samples):
        """The estimate of each P(X) over its true value, by seed and image."""
        draws = [vae.log_likelihood(x, num_samples, seed) for seed in range(8)]
        return np.exp(draws - model.log_evidence(x))

    many, few = ratios(2500), ratios(500)  # many: more than are decoded at once
    np.testing.assert_allclose(many.mean(axis=0), 1, atol=0.15)
    assert (
        np.mean(many.std(axis=0) / few.std(axis=0)) < 0.75
    )  # five times the draws: 0.45 of the spread


def test_equation_8_holds_to_rounding(model, q):
    x = model.sample(6, seed=0)
    log_q = stats.multivariate_normal(q[0], np.diag(np.exp(q[1]))).logpdf
    posterior_means, posterior_covariance = model.posterior(x)
    for image, evidence, mean in zip(x, model.log_evidence(x), posterior_means, strict=True):

        def bracket(z, image=image):
            log_p_x = (
                stats.norm(z @ model.weights.T + model.bias, model.sigma).logpdf(image).sum(axis=1)
            )
            return log_q(z) - log_p_x - stats.norm.logpdf(z).sum(axis=1)

        divergence = kl_of_normals(q[0], np.diag(np.exp(q[1])), mean, posterior_covariance)
        assert divergence == pytest.approx(expectation(bracket, *q) + evidence, rel=1e-9)


def test_equation_9_the_elbo_lies_below_the_evidence_by_the_divergence(make_dense_vae, model, q):
    x = model.sample(6, seed=0).astype("float32")
    posterior_means, posterior_covariance = model.posterior(x)
    gap = [
        kl_of_normals(q[0], np.diag(np.exp(q[1])), mean, posterior_covariance)
        for mean in posterior_means
    ]
    vae = linear_vae(make_dense_vae, model, q)
    draws = np.stack([vae.elbo(x, num_samples=1000, seed=seed) for seed in range(20)])
    standard_error = draws.std(axis=0, ddof=1) / np.sqrt(20)
    assert np.all(np.abs(draws.mean(axis=0) - (model.log_evidence(x) - gap)) < 5 * standard_error)
    assert np.all(standard_error < 0.05 * np.array(gap))  # so that no gap passes for noise


def test_equation_10_the_encoders_heads_are_the_mean_and_the_log_variance_of_z():
    vae = ConvVAE(2, image_shape=(8, 8, 1), seed=0)
    for name, bias in (("z_mean", [2.0, -1.0]), ("z_log_var", np.log([0.25, 4.0]))):
        head = vae.encoder.get_layer(name)
        head.set_weights([np.zeros_like(head.get_weights()[0]), np.array(bias)])
    z = ops.convert_to_numpy(vae.sampling(vae.encoder(np.zeros((20_000, 8, 8, 1), "float32"))))
    np.testing.assert_allclose(z.mean(axis=0), [2, -1], atol=0.07)
    np.testing.assert_allclose(np.cov(z.T), np.diag([0.25, 4.0]), atol=0.15)


def test_equation_11_gradients_equal_calculus_by_hand(rng, gradient):
    x = rng.normal(size=(6, 4)).astype("float32")
    to_mean, to_log_var, theta = (
        rng.normal(size=shape).astype("float32") for shape in ((4, 2), (4, 2), (2, 4))
    )
    epsilon = ops.convert_to_numpy(
        Sampling(seed=3)((np.zeros((6, 2), "float32"), np.zeros((6, 2), "float32")))
    )

    def squares(to_mean, to_log_var, theta):  # |X - mu_X|z|^2
        z = Sampling(seed=3)((ops.matmul(x, to_mean), ops.matmul(x, to_log_var)))
        return -2 * ops.sum(gaussian_log_likelihood(x, ops.matmul(z, theta), 0.0))

    deviation = np.exp(0.5 * x @ to_log_var)
    z = x @ to_mean + deviation * epsilon
    by_mean = -2 * (x - z @ theta)
    by_z = by_mean @ theta.T
    checks = (
        (lambda w: squares(to_mean, to_log_var, w), theta, z.T @ by_mean),
        (lambda w: squares(w, to_log_var, theta), to_mean, x.T @ by_z),
        (
            lambda w: squares(to_mean, w, theta),
            to_log_var,
            x.T @ (by_z * 0.5 * deviation * epsilon),
        ),
        (
            lambda w: ops.sum(kl_divergence(ops.matmul(x, w), x @ to_log_var)),
            to_mean,
            x.T @ (x @ to_mean),
        ),
        (
            lambda w: ops.sum(kl_divergence(x @ to_mean, ops.matmul(x, w))),
            to_log_var,
            0.5 * x.T @ (deviation**2 - 1),
        ),
    )
    for function, at, expected in checks:
        np.testing.assert_allclose(
            gradient(function, at), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max()
        )


def test_equation_12_means_are_over_images_and_not_over_batches(make_dense_vae, rng):
    x = rng.normal(size=(10, 3), scale=np.arange(1, 11)[:, None]).astype(
        "float32"
    )  # the last images cost most
    # a decoder without z: P(X) = N(0.5, sigma^2 I), and the posterior is the prior
    to_mean = rng.normal(size=(3, 2))
    vae = make_dense_vae(
        (to_mean, np.zeros(2)),
        np.zeros(2),
        (np.zeros((2, 3)), np.full(3, 0.5)),
        likelihood="gaussian",
        sigma=2.0,
    )
    vae.compile("sgd")
    logs = vae.evaluate(x, batch_size=4, verbose=0, return_dict=True)  # batches of 4, 4 and 2
    log_p_x = stats.norm(0.5, 2.0).logpdf(x).sum(axis=1)
    divergence = [kl_of_normals(mean, np.eye(2), np.zeros(2), np.eye(2)) for mean in x @ to_mean]
    assert logs["reconstruction"] == pytest.approx(-log_p_x.mean(), rel=1e-5)
    assert logs["kl"] == pytest.approx(np.mean(divergence), rel=1e-5)
    assert logs["loss"] == pytest.approx(np.mean(divergence - log_p_x), rel=1e-5)


def test_equation_13_each_image_and_latent_has_a_normal_noise_of_its_own(rng):
    z_mean, z_log_var = (rng.normal(size=(4000, 5)).astype("float32") for _ in range(2))
    z = ops.convert_to_numpy(Sampling(seed=0)((z_mean, z_log_var)))
    roots = np.sqrt(np.exp(z_log_var.astype("float64")))
    epsilon = (z - z_mean) / roots
    assert stats.kstest(epsilon.ravel(), stats.norm.cdf).pvalue > 0.01
    assert np.abs(np.corrcoef(epsilon.T) - np.eye(5)).max() < 0.08  # between latents
    assert (
        abs(np.corrcoef(epsilon[:-1].ravel(), epsilon[1:].ravel())[0, 1]) < 0.05
    )  # between images


def test_equation_14_equals_traces_products_and_determinants(rng):
    x, mean = rng.random((6, 3, 4)), rng.random((6, 3, 4))
    z_mean, z_log_var, sigma = rng.normal(size=(6, 5)), rng.normal(size=(6, 5)), 0.3
    layer = VariationalLoss("gaussian", sigma=sigma)
    layer(tuple(array.astype("float32") for array in (x, mean, z_mean, z_log_var)))
    total = 0.0
    for i in range(6):
        covariance, difference = np.diag(np.exp(z_log_var[i])), (x[i] - mean[i]).ravel()
        total -= difference @ difference / (2 * sigma**2)
        total -= 0.5 * (
            np.trace(covariance) + z_mean[i] @ z_mean[i] - 5 - np.linalg.slogdet(covariance)[1]
        )
    dropped = -12 * (
        np.log(sigma) + 0.5 * np.log(2 * np.pi)
    )  # what the equation leaves out of the normal density
    assert float(ops.convert_to_numpy(layer.losses[0])) == pytest.approx(
        -(total / 6 + dropped), rel=1e-5
    )
