"""What notebook 08 writes out, against SciPy, quadrature and models whose answer is known."""

import keras
import numpy as np
import pytest
from notebook_code import written_out
from scipy import integrate, special, stats
from sklearn.linear_model import LinearRegression

from vae_keras import (
    ConvVAE,
    fit_mixture_prior,
    fit_options,
    interpolate,
    load_mnist,
    make_optimizer,
)
from vae_keras.layers import kl_divergence, kl_per_latent

NOTEBOOK = "08_latent_space"
WRITTEN_OUT = {
    "angle", "arc", "gains_of", "greyness", "log_mixture", "null_codes", "off_chi", "one_normal",
    "split", "steps_for", "straight", "twenty_normals",
}  # fmt: skip


@pytest.fixture(scope="module")
def lesson():
    """The functions of the notebook by their names, from its own cells."""
    return written_out(
        NOTEBOOK,
        WRITTEN_OUT,
        np=np,
        norm=stats.norm,
        chi=stats.chi,
        kstest=stats.kstest,
        entr=special.entr,
        logsumexp=special.logsumexp,
        fit_mixture_prior=fit_mixture_prior,
        LinearRegression=LinearRegression,
    )


class TestWalks:
    @pytest.mark.parametrize(("name", "spherical"), [("straight", False), ("arc", True)])
    def test_they_are_those_of_the_package(self, lesson, rng, name, spherical):
        starts, ends = rng.normal(size=(2, 4, 7))
        ours = [lesson[name](starts, ends, t) for t in np.linspace(0, 1, 5)]
        for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
            theirs = interpolate(start, end, 5, spherical)
            np.testing.assert_allclose([way[i] for way in ours], theirs)

    def test_half_way_the_arc_is_the_straight_walk_stretched(self, lesson, rng):
        a, b = rng.normal(size=(2, 4, 7))
        half_angle = lesson["angle"](a, b) / 2
        stretched = lesson["straight"](a, b, 0.5) / np.cos(half_angle)
        np.testing.assert_allclose(lesson["arc"](a, b, 0.5), stretched)

    def test_a_straight_midpoint_of_two_draws_is_a_draw_over_the_root_of_two(self, lesson):
        a, b = np.random.default_rng(4).standard_normal((2, 20_000, 12))
        lengths = np.linalg.norm(lesson["straight"](a, b, 0.5), axis=1)
        assert stats.kstest(np.sqrt(2) * lengths, stats.chi(12).cdf).pvalue > 0.01


def permuted(vae, order):
    """A copy of a `ConvVAE` whose latents stand in another order."""
    copy = ConvVAE(vae.latent_dim, image_shape=vae.image_shape, seed=0)
    copy.set_weights(vae.get_weights())
    for name in ("z_mean", "z_log_var"):
        kernel, bias = vae.encoder.get_layer(name).get_weights()
        copy.encoder.get_layer(name).set_weights([kernel[:, order], bias[order]])
    first, other = (model.decoder_network.layers[1] for model in (vae, copy))
    kernel, bias = first.get_weights()
    other.set_weights([kernel[order], bias])
    return copy


def test_latents_that_are_numbered_anew_have_the_same_loss(default_vae, images):
    order = np.array([2, 0, 1])
    other = permuted(default_vae, order)
    codes, others = (vae.encoder(images) for vae in (default_vae, other))
    np.testing.assert_allclose(np.array(codes[0])[:, order], others[0], rtol=1e-5)
    np.testing.assert_allclose(kl_divergence(*codes), kl_divergence(*others), rtol=1e-5)
    np.testing.assert_allclose(
        default_vae.reconstruct(images), other.reconstruct(images), rtol=1e-5
    )


class TestAggregatePosterior:
    @pytest.fixture
    def codes(self, rng):
        """Means and log-variances of six images in two latents."""
        return rng.normal(size=(6, 2)), rng.normal(-1, 0.5, (6, 2))

    def test_the_mixture_is_scipys(self, lesson, codes, rng):
        z = rng.normal(size=(9, 2))
        each = [
            stats.multivariate_normal(mean, np.diag(np.exp(log_var))).pdf(z)
            for mean, log_var in zip(*codes, strict=True)
        ]
        np.testing.assert_allclose(lesson["log_mixture"](z, *codes), np.log(np.mean(each, axis=0)))

    def test_the_parts_are_those_of_quadrature_and_add_up_to_the_kl(self, lesson, rng):
        means, log_vars = np.array([[-1.0], [0.5], [1.5]]), np.array([[-2.0], [-1.0], [-3.0]])

        def integral(of):
            return integrate.quad(of, -9, 9, limit=400)[0]

        def densities(t):
            return stats.norm.pdf(t, means[:, 0], np.exp(0.5 * log_vars[:, 0]))

        information = integral(
            lambda t: np.mean(special.rel_entr(densities(t), densities(t).mean()))
        )
        gap = integral(lambda t: special.rel_entr(densities(t).mean(), stats.norm.pdf(t)))
        total = np.mean(kl_divergence(means, log_vars))
        assert information + gap == pytest.approx(total, abs=1e-6)

        # many draws an image: `split` takes the images with their draws, so each draw is an image
        many = 40_000
        rows = np.tile(np.arange(3), many)
        z = means[rows] + np.exp(0.5 * log_vars[rows]) * rng.standard_normal((3 * many, 1))
        own = stats.norm.logpdf(z, means[rows], np.exp(0.5 * log_vars[rows])).sum(axis=1)
        log_q = lesson["log_mixture"](z, means, log_vars)
        assert np.mean(own - log_q) == pytest.approx(information, abs=0.01)
        assert np.mean(log_q - stats.norm.logpdf(z)[:, 0]) == pytest.approx(gap, abs=0.01)

    def test_split_takes_every_tenth_draw_with_its_own_image(self, lesson, rng):
        means, log_vars = rng.normal(size=(40, 3)), rng.normal(-2, 0.5, (40, 3))
        z = means + np.exp(0.5 * log_vars) * rng.standard_normal(means.shape)
        information, gap = lesson["split"](means, log_vars, z)
        log_q = lesson["log_mixture"](z, means, log_vars)[::10]
        for i, row in enumerate(range(0, 40, 10)):
            own = stats.multivariate_normal(means[row], np.diag(np.exp(log_vars[row])))
            assert information[i] == pytest.approx(own.logpdf(z[row]) - log_q[i])
        np.testing.assert_allclose(gap, log_q - stats.norm.logpdf(z[::10]).sum(axis=1))
        assert np.mean(information) <= np.log(40)

    def test_the_null_is_the_prior_whatever_the_widths(self, lesson):
        rng = np.random.default_rng(3)
        log_vars = rng.normal(-2, 1, (40_000, 2))  # some variances are above 1, and cut the mean
        z = lesson["null_codes"](log_vars, 5) + np.exp(0.5 * log_vars) * rng.standard_normal(
            log_vars.shape
        )
        narrow = np.all(log_vars < 0, axis=1)
        for column in z[narrow].T:
            assert stats.kstest(column, "norm").pvalue > 0.01
        wide, thin = z[narrow & (log_vars[:, 0] > -1)], z[narrow & (log_vars[:, 0] < -3)]
        assert wide[:, 0].var() == pytest.approx(1, abs=0.05)
        assert thin[:, 0].var() == pytest.approx(1, abs=0.05)
        assert np.all(lesson["null_codes"](np.full((3, 2), 0.5), 5) == 0)

    def test_its_kl_is_that_of_codes_whose_variances_add_up_to_one(self, lesson):
        """So the null has the KL term of the model, and the same information at the same N."""
        log_vars = np.random.default_rng(3).normal(-3, 0.5, (40_000, 2))
        nats = np.mean(kl_per_latent(lesson["null_codes"](log_vars, 5), log_vars), axis=0)
        np.testing.assert_allclose(nats, -0.5 * log_vars.mean(axis=0), atol=0.02)

    def test_the_gain_of_one_normal_is_its_divergence_from_the_prior(self, lesson):
        means, log_vars = np.array([[-1.0], [0.5], [1.5]]), np.array([[-2.0], [-1.0], [-3.0]])
        r = stats.norm(means.mean(), np.sqrt(means.var() + np.exp(log_vars).mean()))
        divergence, _ = integrate.quad(
            lambda t: special.rel_entr(r.pdf(t), stats.norm.pdf(t)), -9, 9
        )
        assert lesson["one_normal"](means, log_vars) == pytest.approx(divergence, abs=1e-6)

    def test_twenty_normals_gain_where_there_is_something_to_gain_and_no_more_than_that(
        self, lesson
    ):
        """Two far heaps of codes: the gap is known, and no density gains more."""
        rng = np.random.default_rng(0)
        sides = rng.choice([-1.0, 1.0], (2, 4000, 1))
        narrow = np.full((4000, 1), np.log(0.01))
        z = sides[1] + 0.1 * rng.standard_normal((4000, 1))
        gap, _ = integrate.quad(
            lambda t: special.rel_entr(
                np.mean(stats.norm.pdf(t, [-1, 1], 0.1)), stats.norm.pdf(t)
            ),
            -4, 4, points=(-1, 1),
        )  # fmt: skip
        gain = lesson["twenty_normals"](z, sides[0], narrow)
        assert gap - 0.1 < gain.mean() < gap + 3 * stats.sem(gain)
        prior = rng.standard_normal((4000, 1))
        other = np.sqrt(0.99) * rng.standard_normal((4000, 1))
        assert -0.1 < lesson["twenty_normals"](prior, other, narrow).mean() < 0.01


def test_the_lengths_of_prior_draws_are_near_chi_and_others_are_not(lesson, rng):
    assert lesson["off_chi"](rng.standard_normal((10_000, 12))) < 0.02
    assert lesson["off_chi"](1.1 * rng.standard_normal((10_000, 12))) > 0.1


def test_greyness_is_the_entropy_of_the_pixels(lesson, rng):
    images = rng.random((3, 4, 5, 1))
    entropy = stats.bernoulli.entropy(images).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(lesson["greyness"](images), entropy)
    assert lesson["greyness"](np.round(images)).max() == 0


class TestSteps:
    """A decoder that is linear obeys a step exactly; a latent that it ignores moves nothing."""

    @pytest.fixture
    def fitted(self, rng):
        codes = np.zeros((500, 64))
        codes[:, :6] = rng.normal(size=(500, 6))
        weights = rng.normal(size=(2, 64))
        return codes, weights, codes @ weights.T

    def test_they_raise_one_attribute_and_leave_the_other(self, lesson, fitted):
        codes, weights, attributes = fitted
        lesson["taught_codes"] = codes
        latents = np.arange(64) < 6
        steps = lesson["steps_for"](latents, attributes)
        np.testing.assert_allclose(weights @ steps.T, np.eye(2), atol=1e-9)
        assert np.all(steps[:, ~latents] == 0)
        shortest = np.linalg.lstsq(weights[:, :6], np.eye(2), rcond=None)[0].T
        np.testing.assert_allclose(steps[:, :6], shortest, atol=1e-9)

    def test_a_gain_is_what_the_decoder_makes_of_a_step(self, lesson, fitted):
        codes, weights, _ = fitted
        lesson["decode"] = lambda z: z
        steps = np.linalg.pinv(weights).T
        gains = lesson["gains_of"](steps, lambda z: 0.5 * z @ weights.T, codes)
        np.testing.assert_allclose(gains, 0.5 * np.eye(2), atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1])
def test_what_is_said_of_the_used_latents_holds_for_other_seeds(lesson, seed):
    (x_train, _), (x_test, _) = load_mnist()
    keras.utils.set_random_seed(seed)
    vae = ConvVAE(64)
    options = fit_options("fast", len(x_train))
    vae.compile(make_optimizer("fast", len(x_train), **options))
    vae.fit(x_train, verbose=0, **options)
    z_mean, z_log_var = (part.astype("float64") for part in vae.encoder.predict(x_test, verbose=0))
    of_latents = np.mean(kl_per_latent(z_mean, z_log_var), axis=0)
    used = of_latents > 0.1
    print(f"seed {seed}: {used.sum()} latents in use, {np.flatnonzero(used) + 1}")
    print(f"{of_latents[used].min():.3f} {of_latents[~used].max():.3f}")
    assert of_latents[used].sum() > 0.95 * of_latents.sum()
    assert 9 <= used.sum() <= 18
    sums = z_mean.var(axis=0) + np.exp(z_log_var).mean(axis=0)
    assert np.abs(sums - 1).max() < 0.3
    k = used.sum()
    assert 0.03 < stats.chi(k).cdf(stats.chi(k).median() / np.sqrt(2)) < 0.12

    means, log_vars = z_mean[:, used], z_log_var[:, used]
    noise = np.random.default_rng(seed).standard_normal((2, *means.shape))
    z = means + np.exp(0.5 * log_vars) * noise[0]
    null = lesson["null_codes"](log_vars, seed)
    null_z = null + np.exp(0.5 * log_vars) * noise[1]
    (_, gap), (_, null_gap) = (
        lesson["split"](means, log_vars, z),
        lesson["split"](null, log_vars, null_z),
    )
    train = [
        part[:, used].astype("float64") for part in vae.encoder.predict(x_train[:10_000], verbose=0)
    ]
    gain = lesson["twenty_normals"](z, *train)
    null_gain = lesson["twenty_normals"](null_z, lesson["null_codes"](train[1], 7), train[1])
    print(f"gap {gap.mean():.2f}, null {null_gap.mean():.2f}")
    print(f"gain {gain.mean():.2f}, null {null_gain.mean():.2f}")
    assert gap.mean() == pytest.approx(null_gap.mean(), abs=2)
    assert gain.mean() > 0.5 > 0.05 > null_gain.mean()
