"""What notebook 12 writes out: the weighted bound, grey pixels, rulers of shapes, odd images."""

import json
import subprocess
import sys
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from notebook_code import written_out
from scipy import integrate, optimize
from scipy.ndimage import gaussian_filter
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from vae_keras import VAE
from vae_keras.evaluation import standard_error
from vae_keras.layers import kl_divergence

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import importance_weighted  # noqa: E402

NOTEBOOK = "12_beyond"
WRITTEN_OUT = {
    "ContinuousVAE", "GreyVAE", "ImportanceWeighted", "auroc", "colour_and_detail", "complexity",
    "continuous_logit", "dequantise", "draw_shapes", "is_square", "is_triangle", "kept_share",
    "log_partition", "many", "mean_of", "patches_of", "random_ink", "read_as", "read_kind",
    "repeats", "scores", "signal_to_noise", "with_jackknife",
}  # fmt: skip


@pytest.fixture(scope="module")
def lesson():
    """The functions and classes of the notebook by their names."""
    from matplotlib.colors import hsv_to_rgb

    imports = {"VAE": VAE, "kl_divergence": kl_divergence, "hsv_to_rgb": hsv_to_rgb, "zlib": zlib}
    return written_out(NOTEBOOK, WRITTEN_OUT, np=np, ops=ops, **imports)


def tiny_networks():
    """From images of MNIST's shape to three latents, and back.

    Q is wide and the decoder flat, so that few draws tell one formula from another.
    """
    wide = keras.initializers.Constant(1.0)
    flat = keras.initializers.RandomNormal(stddev=0.05)
    x = keras.Input((28, 28, 1))
    z = keras.Input((3,))
    h = keras.layers.Dense(4)(keras.layers.Flatten()(x))
    heads = keras.layers.Dense(3)(h), keras.layers.Dense(3, bias_initializer=wide)(h)
    pixels = keras.layers.Dense(784, kernel_initializer=flat)(z)
    logits = keras.layers.Reshape((28, 28, 1))(pixels)
    return keras.Model(x, heads), keras.Model(z, logits)


class TestImportanceWeighted:
    """The class of the notebook and that of the recorded run."""

    @pytest.fixture(params=["notebook", "benchmark"])
    def model(self, request, lesson):
        keras.utils.set_random_seed(0)
        classes = {"notebook": lesson["ImportanceWeighted"]}
        classes["benchmark"] = importance_weighted.ImportanceWeighted
        return classes[request.param](*tiny_networks(), seed=0)

    @pytest.fixture
    def image(self, rng):
        return np.float32(rng.random((1, 28, 28, 1)) < 0.2)

    def test_its_weights_are_those_of_equation_7(self, model, image):
        """The mean of many weights is P(X), and the mean of their logs the ELBO."""
        model.draws = 4000
        log_w = ops.convert_to_numpy(model.log_weights(image)[0])[0].astype("float64")
        log_p = model.log_likelihood(image, num_samples=20_000, seed=0)[0]
        shares = np.exp(log_w - log_p)
        assert shares.mean() == pytest.approx(1, abs=5 * standard_error(shares))
        elbo = model.elbo(image, num_samples=20_000)[0]
        assert log_w.mean() == pytest.approx(elbo, abs=5 * standard_error(log_w))

    @pytest.mark.parametrize("draws", [1, 5])
    def test_its_loss_is_minus_the_log_of_the_mean_of_the_weights(self, model, image, draws):
        model.draws = draws
        images = np.repeat(image, 3000, axis=0)
        model(images)
        (loss,) = model.losses
        log_w = ops.convert_to_numpy(model.log_weights(images)[0]).astype("float64")
        bounds = logsumexp(log_w, axis=1) - np.log(draws)
        error = 5 * np.sqrt(2) * standard_error(bounds)
        assert float(loss) == pytest.approx(-bounds.mean(), abs=error)

    def test_each_image_has_its_own_draws(self, model, rng):
        model.draws = 7
        images = np.float32(rng.random((2, 28, 28, 1)) < 0.2)
        images = np.repeat(images, (1, 3), axis=0)
        log_w, log_p, logits = map(ops.convert_to_numpy, model.log_weights(images))
        assert log_w.shape == log_p.shape == (4, 7)
        assert logits.shape == (4, 784)
        assert len(np.unique(log_w)) == 28
        wanted = np.sum(images.reshape(4, 784) * logits - np.logaddexp(0, logits), axis=1)
        np.testing.assert_allclose(log_p[:, 0], wanted, rtol=1e-5)

    def test_its_two_terms_add_up_to_the_mean_log_weight(self, model, image):
        model.draws = 1
        terms = model(image)
        (loss,) = model.losses
        assert float(terms["reconstruction"][0] + terms["kl"][0]) == pytest.approx(float(loss))


def test_the_signal_to_noise_is_that_of_known_normals(lesson, rng):
    mean = np.array([3.0, -4.0, 0.0])
    drawn = mean + 2 * rng.standard_normal((20_000, 3))
    assert lesson["signal_to_noise"](drawn) == pytest.approx(5 / np.sqrt(12), rel=0.02)
    few = [lesson["signal_to_noise"](rng.standard_normal((50, 1000))) for _ in range(20)]
    assert np.mean(few) < 0.03  # where |mean| / sd of each parameter would give 0.14


def test_the_jackknife_gives_the_spread_of_the_ratio_over_other_draws(lesson, rng):
    mean = np.full(50, 0.3)
    pairs = [lesson["with_jackknife"](mean + rng.standard_normal((100, 50))) for _ in range(300)]
    ratios, errors = np.transpose(pairs)
    assert np.mean(errors) == pytest.approx(ratios.std(), rel=0.2)


class TestContinuousBernoulli:
    @pytest.mark.parametrize("logit", [-40.0, -3.0, -0.003, 0.0, 1e-4, 0.5, 8.0, 700.0])
    def test_its_density_integrates_to_one(self, lesson, logit):
        log_partition = float(lesson["log_partition"](logit))
        near = [1 / logit] if abs(logit) > 2 else None
        points = None if near is None else [abs(near[0]) if logit < 0 else 1 - near[0]]
        whole = integrate.quad(lambda x: np.exp(logit * x - log_partition), 0, 1, points=points)[0]
        assert whole == pytest.approx(1, abs=1e-4)

    @pytest.mark.parametrize("logit", [-30.0, -2.0, -0.005, 0.0, 0.02, 4.0])
    def test_its_mean_is_that_of_the_density(self, lesson, logit):
        whole = integrate.quad(lambda x: np.exp(logit * x), 0, 1)[0]
        mean = integrate.quad(lambda x: x * np.exp(logit * x), 0, 1)[0]
        assert lesson["mean_of"](logit) == pytest.approx(mean / whole, abs=1e-4)

    @pytest.mark.parametrize("mean", [0.002, 0.1, 0.5, 0.73, 0.99])
    def test_a_logit_has_the_mean_asked_for(self, lesson, mean):
        exact = optimize.brentq(lambda logit: lesson["mean_of"](logit) - mean, -1500, 1500)
        assert lesson["continuous_logit"](mean) == pytest.approx(exact, rel=0.01, abs=0.01)

    def test_the_scores_are_the_two_log_densities(self, lesson, rng):
        x = rng.random((3, 2, 2, 1))
        mean = rng.uniform(0.05, 0.95, (3, 2, 2, 1))
        cross_entropy, continuous = lesson["scores"](x, mean)
        wanted = -np.sum(x * np.log(mean) + (1 - x) * np.log(1 - mean), axis=(1, 2, 3))
        np.testing.assert_allclose(cross_entropy, wanted)
        logit = np.vectorize(
            lambda m: optimize.brentq(lambda logit: lesson["mean_of"](logit) - m, -500, 500)
        )(mean)
        wanted = np.sum(np.log(np.expm1(logit) / logit) - x * logit, axis=(1, 2, 3))
        np.testing.assert_allclose(continuous, wanted, atol=1e-3)

    @pytest.mark.parametrize("name", ["GreyVAE", "ContinuousVAE"])
    def test_each_model_has_the_loss_of_its_likelihood(self, lesson, rng, name):
        keras.utils.set_random_seed(0)
        model = lesson[name](*tiny_networks(), seed=0)
        image = rng.random((1, 28, 28, 1), dtype="float32")
        model.encoder.layers[-1].set_weights([np.zeros((4, 3)), np.full(3, -60.0)])  # no noise
        model(image)
        (loss,) = model.losses
        z_mean, z_log_var = model.encoder(image)
        logit = ops.convert_to_numpy(model.decoder_network(z_mean)).astype("float64")
        log_z = (
            np.log(np.expm1(logit) / logit) if name == "ContinuousVAE" else np.logaddexp(0, logit)
        )
        wanted = np.sum(log_z - image * logit) + float(kl_divergence(z_mean, z_log_var)[0])
        assert float(loss) == pytest.approx(wanted, rel=1e-4)


def test_spread_grey_levels_stay_in_their_16th_part(lesson):
    x = np.float32(np.arange(256) / 255).reshape(1, 16, 16, 1)
    for seed in range(5):
        place = 16.0 * lesson["dequantise"](x, seed) - np.arange(256).reshape(x.shape) // 16
        assert place.min() >= 0
        assert place.max() <= 1
        assert place.mean() == pytest.approx(0.5, abs=0.1)


class TestShapes:
    def test_each_kind_is_read_and_a_square_repeats_by_three_sevenths(self, lesson):
        lesson["KINDS"] = ("circle", "square", "triangle")
        images, kind = lesson["draw_shapes"](300, seed=3, size=48)
        assert images.shape == (300, 48, 48, 3)
        large, _ = lesson["draw_shapes"](300, seed=3)
        assert np.mean(lesson["read_kind"](large) == kind) > 0.99
        squares = lesson["repeats"](large[kind == 1], 4)
        assert squares.mean() == pytest.approx(3 / 7, abs=0.05)
        assert lesson["repeats"](large[kind == 0], 4).max() < 0.15
        assert lesson["repeats"](large[kind == 2], 3).min() > 0.2

    def test_blur_makes_circles_of_squares_and_leaves_a_circle_a_circle(self, lesson):
        lesson["KINDS"] = ("circle", "square", "triangle")
        images, lesson["kind_test"] = lesson["draw_shapes"](300, seed=3)
        shares = lesson["read_as"](gaussian_filter(images, (0, 3, 3, 0), mode="nearest"))
        np.testing.assert_allclose(shares.sum(axis=1), 1)
        assert shares[0, 0] == 1
        assert shares[1, 0] > 0.9

    def test_the_sides_of_a_triangle_are_equal_and_it_is_centred(self, lesson):
        side = np.linspace(-1.5, 1.5, 1201)
        x, y = np.meshgrid(side, side)
        inside = lesson["is_triangle"](x, y)
        height = np.ptp(y[inside])
        assert np.ptp(x[inside]) == pytest.approx(2 / np.sqrt(3) * height, abs=0.01)
        assert y[inside].mean() == pytest.approx(0, abs=0.01)

    @pytest.mark.parametrize("n", [3, 4])
    def test_a_turn_does_not_change_how_a_shape_repeats(self, lesson, n):
        images, _ = lesson["draw_shapes"](50, seed=0)
        turned = np.rot90(images, axes=(1, 2))
        np.testing.assert_allclose(lesson["repeats"](turned, n), lesson["repeats"](images, n))


def test_a_photograph_is_cut_where_its_patches_say(lesson):
    photograph = np.arange(40 * 24 * 3).reshape(40, 24, 3)
    patches = lesson["patches_of"](photograph)
    assert patches.shape == (4 * 2, 16, 16, 3)
    np.testing.assert_allclose(patches[3] * 255, photograph[8:24, 8:24])


def test_colour_and_detail_add_up_to_the_patch(lesson, rng):
    x = rng.random((5, 4, 4, 3))
    colour, detail = lesson["colour_and_detail"](x)
    np.testing.assert_allclose(colour + detail, x)
    np.testing.assert_allclose(detail.mean(axis=(1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(lesson["kept_share"](x, x), 1)
    mean = np.broadcast_to(x.mean(axis=0), x.shape)
    np.testing.assert_allclose(lesson["kept_share"](x, mean), 0, atol=1e-12)


class TestAUROC:
    def test_it_is_that_of_scikit_learn_and_ties_count_half(self, lesson, rng):
        odd = rng.normal(0.5, 1, 80).round(1)
        digits = rng.normal(0, 1, 120).round(1)
        value, _ = lesson["auroc"](odd, digits)
        labels = np.r_[np.ones(80), np.zeros(120)]
        assert value == pytest.approx(roc_auc_score(labels, np.r_[odd, digits]))

    @pytest.mark.parametrize(("odd", "digits"), [(2, 1), (1, 2)])
    def test_its_standard_error_is_the_spread_over_other_images(self, lesson, rng, odd, digits):
        """Of few images that spread far and of many that do not: most is of the few."""
        number = {1: 400, 2: 100}
        pairs = [
            (rng.normal(1, odd, number[odd]), rng.normal(0, digits, number[digits]))
            for _ in range(400)
        ]
        values, errors = np.transpose([lesson["auroc"](*pair) for pair in pairs])
        assert np.mean(errors) == pytest.approx(values.std(), rel=0.12)


def test_complexity_is_the_compressed_size_in_nats(lesson, rng):
    blank = np.zeros((1, 28, 28, 1))
    coins = lesson["random_ink"](0.5, 20, rng)
    sizes = lesson["complexity"](np.concatenate([blank, coins]))
    assert sizes[0] == pytest.approx(8 * np.log(2) * len(zlib.compress(bytes(784), 9)))
    assert sizes[1:].min() > 784 * np.log(2)  # coins cannot be compressed below their entropy
    assert sizes[0] < 100


def test_random_ink_has_its_share(lesson, rng):
    images = lesson["random_ink"](0.3, 50, rng)
    assert images.mean() == pytest.approx(0.3, abs=0.02)
    assert set(np.unique(images)) == {0.0, 1.0}


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """What the command of the record writes, at a size of seconds."""
    folder = tmp_path_factory.mktemp("record")
    words = ["--quick", "--images", "60", "--seeds", "1", "--output", str(folder)]
    command = [sys.executable, BENCHMARKS / "importance_weighted.py", *words]
    subprocess.run(command, check=True, capture_output=True)
    return json.loads((folder / "importance_weighted.json").read_text())


class TestRecordedRun:
    """The command, at a size of seconds."""

    def test_each_is_scored_at_equal_steps_and_at_equal_time(self, trial):
        stages = {(run["name"], stage): run for run in trial["runs"] for stage in run["equal"]}
        names = ("k_1", "k_5", "k_50", "elbo_50")
        assert set(stages) == {(name, stage) for name in names for stage in ("steps", "time")}
        assert {stages[name, "steps"]["steps"] for name in names} == {10}
        most = stages["k_50", "time"]["seconds"]
        assert all(stages[name, "time"]["seconds"] >= most - 0.1 for name in ("k_1", "k_5"))

    def test_the_bound_of_each_model_rises_with_its_draws(self, trial):
        for run in trial["runs"]:
            bounds = [run[f"bound_{k}"][0] for k in (1, 5, 50)]
            assert bounds == sorted(bounds, reverse=True)

    def test_the_differences_are_those_of_the_means(self, trial):
        stages = {(run["name"], stage): run for run in trial["runs"] for stage in run["equal"]}
        for stage in ("steps", "time"):
            for name in ("k_5", "k_50", "elbo_50"):
                paired = stages["k_1", stage][f"{name}_less_k_1_at_equal_{stage}"]
                wanted = stages[name, stage]["nll_4"][0] - stages["k_1", stage]["nll_4"][0]
                assert paired[0] == pytest.approx(wanted, abs=2e-3)


def test_the_control_trains_on_the_mean_log_weight(rng):
    keras.utils.set_random_seed(0)
    model = importance_weighted.ManyDraws(*tiny_networks(), seed=0)
    model.draws = 6
    terms = model(np.float32(rng.random((3, 28, 28, 1)) < 0.2))
    (loss,) = model.losses
    elbo = -ops.mean(terms["reconstruction"] + terms["kl"])
    assert float(loss) == pytest.approx(-float(elbo), rel=1e-5)
