"""What Keras users do with `compile` and `fit`: it works as they know it, or is refused by name."""

import keras
import numpy as np
import pytest
from keras import layers
from small_networks import dense_vae, tiny_vae

from vae_keras import VAE, KLWarmUp, fit_options, make_optimizer
from vae_keras._fit import check_learning_rate, seen
from vae_keras.recipes import RECIPES


class Noiseless(VAE):
    """Draws z = z_mean, so that one batch gives one gradient."""

    def call(self, inputs, training=None):
        z_mean, z_log_var = self.encoder(inputs, training=training)
        logits = self.decoder_network(z_mean, training=training)
        terms = self.variational_loss((inputs, logits, z_mean, z_log_var))
        return {"images": self.to_mean(logits), "reconstruction": terms[0], "kl": terms[1]}


@pytest.fixture
def vectors(rng):
    return rng.random((6, 6), dtype="float32")


@pytest.fixture
def step():
    """One step of plain gradient descent from the same start: its logs and the weights after it."""

    def take(x, beta=2.0, **options):
        keras.utils.set_random_seed(3)
        vae = dense_vae()
        vae = Noiseless(vae.encoder, vae.decoder_network, beta=beta)
        vae.compile(keras.optimizers.SGD(0.1))
        logs = vae.fit(x, batch_size=len(x), shuffle=False, verbose=0, **options).history
        return logs, vae.get_weights(), vae

    return take


def assert_alike(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


class TestWeights:
    def test_a_weight_of_two_is_the_image_twice_and_of_zero_none(self, step, vectors):
        twice = vectors[[0, 0, 1, 2, 3, 4]]
        logs, weights, _ = step(twice)
        weighted_logs, weighted, _ = step(vectors, sample_weight=np.array([2, 1, 1, 1, 1, 0]))
        assert_alike(weighted, weights)
        for name, values in logs.items():
            np.testing.assert_allclose(weighted_logs[name], values, rtol=1e-5)
        _, unweighted, _ = step(vectors)
        assert not np.allclose(weighted[0], unweighted[0], rtol=1e-3)

    def test_the_scale_of_the_weights_is_nothing(self, step, vectors):
        shares = np.array([2, 1, 1, 3, 1, 0.5])
        assert_alike(
            step(vectors, sample_weight=shares)[1], step(vectors, sample_weight=7 * shares)[1]
        )

    def test_weights_of_classes_are_those_of_their_images(self, step, vectors):
        y = np.array([0, 1, 1, 0, 2, 2])
        by_class = step(vectors, y=y, class_weight={0: 2.0, 1: 0.5})  # and 1 for the others
        by_image = step(vectors, sample_weight=np.array([2, 0.5, 0.5, 2, 1, 1]))
        assert_alike(by_class[1], by_image[1])
        assert_alike(step(vectors, y=np.eye(3)[y], class_weight={0: 2.0, 1: 0.5})[1], by_image[1])

    def test_the_loss_stays_the_sum_of_its_terms(self, step, vectors):
        weights = np.array([3.0, 1, 0, 1, 2, 1])
        logs, *_ = step(
            vectors, sample_weight=weights, validation_data=(vectors, None, weights[::-1])
        )
        assert len(logs) == 6
        for prefix in ("", "val_"):
            loss, reconstruction, kl = (
                logs[prefix + k][0] for k in ("loss", "reconstruction", "kl")
            )
            assert loss == pytest.approx(reconstruction + 2.0 * kl, rel=1e-5)

    def test_validation_and_evaluation_are_weighted_means(self, step, vectors):
        weights = np.array([3.0, 1, 0, 1, 2, 1])
        held_out = vectors, None, weights
        logs, _, vae = step(vectors[::-1], validation_data=held_out)
        terms = vae(vectors)
        for name in ("reconstruction", "kl"):
            values = keras.ops.convert_to_numpy(terms[name])
            assert logs[f"val_{name}"][0] == pytest.approx(
                np.average(values, weights=weights), rel=1e-5
            )
        evaluated = vae.evaluate(vectors, sample_weight=weights, verbose=0, return_dict=True)
        assert evaluated["loss"] == pytest.approx(logs["val_loss"][0], rel=1e-5)

    def test_a_dataset_brings_its_weights(self, step, vectors):
        tf = pytest.importorskip("tensorflow")
        weights = np.array([2.0, 1, 1, 1, 1, 0], "float32")
        dataset = tf.data.Dataset.from_tensors((vectors, np.zeros(6), weights[:, None]))
        keras.utils.set_random_seed(3)
        vae = dense_vae()
        vae = Noiseless(vae.encoder, vae.decoder_network, beta=2.0)
        vae.compile(keras.optimizers.SGD(0.1))
        vae.fit(dataset, verbose=0, shuffle=False)
        assert_alike(vae.get_weights(), step(vectors, sample_weight=weights)[1])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"sample_weight": np.ones(5)}, r"a number for each of 6 images; got float64 of shape"),
            ({"sample_weight": np.ones((6, 6))}, r"shape \(6, 6\)"),
            ({"sample_weight": np.array([1, 1, 1, 1, 1, np.nan])}, "finite numbers of 0 or more"),
            ({"sample_weight": -np.ones(6)}, "finite numbers of 0 or more"),
            ({"class_weight": {0: 1.0}}, "class_weight needs y"),
            ({"y": np.ones(6), "class_weight": {}, "sample_weight": np.ones(6)}, "together"),
        ],
    )
    def test_others_are_refused_by_name(self, step, vectors, options, message):
        with pytest.raises(ValueError, match=message):
            step(vectors, **options)

    def test_those_of_a_generator_are_looked_at_and_may_be_of_64_bits(self, step, vectors):
        vae = dense_vae()
        for weights in (np.ones((6, 6)), -np.ones(6)):
            with pytest.raises(ValueError, match="sample_weight must hold"):
                vae.fit(once((vectors, vectors, weights)), verbose=0, shuffle=False)
        vae.fit(once((vectors, vectors, np.ones(6))), steps_per_epoch=1, verbose=0, shuffle=False)
        assert int(vae.optimizer.iterations) == 1

    def test_weights_of_nothing_change_nothing(self, step, vectors):
        logs, weights, _ = step(vectors, sample_weight=np.zeros(6))
        keras.utils.set_random_seed(3)
        vae = dense_vae()
        start = [*vae.encoder.get_weights(), *vae.decoder_network.get_weights()]
        assert logs["loss"] == [0.0]
        for before, after in zip(start, weights, strict=False):
            np.testing.assert_array_equal(before, after)


def once(batch):
    yield batch


class SetBeta(keras.callbacks.Callback):
    def __init__(self, betas):
        super().__init__()
        self.betas = betas

    def on_epoch_begin(self, epoch, logs=None):
        self.model.variational_loss.beta = self.betas[epoch]


class TestBeta:
    def test_a_callback_changes_it_from_epoch_to_epoch(self, images):
        vae = tiny_vae()
        vae.compile("sgd")
        betas = [0.0, 1.0, 2.5]
        history = vae.fit(
            images, epochs=3, verbose=0, callbacks=[SetBeta(betas)], validation_data=(images,)
        ).history
        assert history["beta"] == betas
        for prefix in ("", "val_"):
            loss, reconstruction, kl = (
                np.array(history[prefix + name]) for name in ("loss", "reconstruction", "kl")
            )
            np.testing.assert_allclose(loss, reconstruction + betas * kl, rtol=1e-5)

    def test_the_log_is_of_the_beta_that_the_epoch_had(self, images):
        class ForTheNext(keras.callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                self.model.variational_loss.beta = epoch + 2.0

        vae = tiny_vae()
        vae.compile("sgd")
        history = vae.fit(images, epochs=3, verbose=0, callbacks=[ForTheNext()]).history
        assert history["beta"] == [1.0, 2.0, 3.0]
        loss, reconstruction, kl = (
            np.array(history[name]) for name in ("loss", "reconstruction", "kl")
        )
        np.testing.assert_allclose(loss, reconstruction + history["beta"] * kl, rtol=1e-5)

    def test_the_gradient_follows_it(self, images):
        def trained(beta, callbacks):
            keras.utils.set_random_seed(2)
            vae = tiny_vae(beta=beta, seed=0)
            vae.compile("sgd")
            vae.fit(images, epochs=2, verbose=0, callbacks=callbacks)
            return vae.get_weights()

        assert_alike(trained(1.0, [SetBeta([3.0, 3.0])]), trained(3.0, []))

    def test_it_is_saved_as_it_is(self, tmp_path):
        vae = tiny_vae(beta=0.3)
        assert vae.variational_loss.beta == vae.get_config()["beta"] == 0.3
        vae.variational_loss.beta = 0.7
        vae.save(tmp_path / "a.keras")
        loaded = keras.models.load_model(tmp_path / "a.keras")
        assert loaded.variational_loss.beta == loaded.get_config()["beta"] == 0.7

    @pytest.mark.parametrize("how", ["file", "arrays"])
    def test_weights_of_another_model_leave_it(self, tmp_path, how):
        vae, other = tiny_vae(beta=4.0), tiny_vae(beta=0.5)
        if how == "file":
            other.save_weights(tmp_path / "a.weights.h5")
            vae.load_weights(tmp_path / "a.weights.h5")
        else:
            vae.set_weights(other.get_weights())
        assert_alike(vae.get_weights(), other.get_weights())
        assert vae.variational_loss.beta == 4.0

    @pytest.mark.filterwarnings("ignore:Skipping nested container")  # where a file does not fit
    def test_a_learned_sigma_is_never_taken_for_it_nor_it_for_one(self, tmp_path):
        learned, fixed = (tiny_vae(likelihood="gaussian", sigma=s, beta=3.0) for s in (None, 0.5))
        learned.variational_loss.log_sigma.assign(-2.0)
        for vae in (learned, fixed):
            vae.save_weights(tmp_path / f"{vae.name}.weights.h5")
        fixed.load_weights(tmp_path / f"{learned.name}.weights.h5")
        assert fixed.variational_loss.beta == 3.0
        fixed.save_weights(tmp_path / f"{fixed.name}.weights.h5", overwrite=True)
        with pytest.raises(ValueError, match="the file holds no learned sigma"):
            learned.load_weights(tmp_path / f"{fixed.name}.weights.h5")

    @pytest.mark.parametrize("beta", [-1, np.nan, "1", True, np.inf])
    def test_no_weight_is_refused(self, beta):
        vae = tiny_vae()
        with pytest.raises(ValueError, match="beta must be a number of 0 or more"):
            vae.variational_loss.beta = beta

    def test_within_an_epoch_it_is_set_through_the_callbacks_model(self, images):
        class EachStep(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                self.model.variational_loss.beta = 0.0

        vae = tiny_vae()
        vae.compile("sgd")
        history = vae.fit(images, batch_size=8, verbose=0, callbacks=[EachStep()]).history
        assert history["beta"] == [0.0]
        # of three batches, the first alone had the kl term
        whole = history["reconstruction"][0] + history["kl"][0]
        assert history["reconstruction"][0] + 1 < history["loss"][0] < whole - 1

    def test_from_outside_it_is_set_or_refused_but_never_lost(self, images):
        vae = tiny_vae()
        vae.compile("sgd")

        class FromOutside(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                vae.variational_loss.beta = 0.0

        options = {"batch_size": 8, "verbose": 0, "callbacks": [FromOutside()]}
        if keras.backend.backend() == "jax":
            with pytest.raises(RuntimeError, match="beta would be lost within an epoch on JAX"):
                vae.fit(images, **options)
            vae.variational_loss.beta = 2.0  # after it, it can
            assert vae.variational_loss.beta == 2.0
        else:
            assert vae.fit(images, **options).history["beta"] == [0.0]

    def test_its_history_has_a_number_for_each_epoch(self, images):
        vae = tiny_vae(beta=0.0)
        vae.compile("sgd")
        history = vae.fit(images, epochs=3, verbose=0, callbacks=[KLWarmUp(2)]).history
        assert history["beta"] == [0.0, 0.5, 1.0]

    def test_warm_up_rises_in_a_straight_line_and_stays(self, images):
        vae = tiny_vae()
        vae.compile("sgd")
        warm_up = KLWarmUp(2, beta=0.5)
        history = vae.fit(images, epochs=4, verbose=0, callbacks=[warm_up]).history
        assert history["beta"] == [0.0, 0.25, 0.5, 0.5]
        resumed = vae.fit(images, epochs=2, initial_epoch=1, verbose=0, callbacks=[warm_up])
        assert resumed.history["beta"] == [0.25]
        started_there = tiny_vae(beta=0.0)
        started_there.compile("sgd")
        history = started_there.fit(images, epochs=2, verbose=0, callbacks=[KLWarmUp(2)]).history
        assert history["beta"] == [0.0, 0.5]
        with pytest.raises(ValueError, match="epochs must be at least 1; got 0"):
            KLWarmUp(0)


class TestCompile:
    @pytest.mark.parametrize("metrics", [["mse"], {"images": ["mse"]}, {"images": "mse"}])
    def test_a_metric_compares_the_images(self, images, metrics):
        vae = tiny_vae(seed=0)
        vae.compile("sgd", metrics=metrics)
        drawn = tiny_vae(seed=0)
        drawn.set_weights(vae.get_weights())
        expected = np.mean((keras.ops.convert_to_numpy(drawn(images)["images"]) - images) ** 2)
        logs = vae.evaluate(images, np.arange(24), 24, verbose=0, return_dict=True)
        (name,) = set(logs) - {"loss", "reconstruction", "kl"}
        assert "mse" in name
        assert logs[name] == pytest.approx(expected, rel=1e-5)

    def test_a_metric_is_weighted_where_that_is_asked_for(self, images):
        vae = tiny_vae(seed=0)
        vae.compile("sgd", weighted_metrics=["mse"])
        weights = np.zeros(24)
        weights[5] = 3.0
        drawn = tiny_vae(seed=0)
        drawn.set_weights(vae.get_weights())
        expected = np.mean((keras.ops.convert_to_numpy(drawn(images)["images"]) - images)[5] ** 2)
        logs = vae.evaluate(images, None, 24, 0, weights, return_dict=True)
        (name,) = set(logs) - {"loss", "reconstruction", "kl"}
        assert logs[name] == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize(
        "options",
        [{"loss": "binary_crossentropy"}, {"loss_weights": [1.0]}, {"metrics": {"kl": ["mse"]}}],
    )
    def test_what_it_would_not_use_is_refused_by_name(self, small_vae, options):
        (name,) = options
        with pytest.raises(ValueError, match=name):
            small_vae.compile("sgd", **options)

    def test_the_optimizer_and_the_metrics_are_in_the_file(self, tmp_path, images):
        vae = tiny_vae()
        vae.compile(keras.optimizers.Adam(0.01), metrics=["mse"])
        vae.fit(images, verbose=0)
        vae.save(tmp_path / "a.keras")
        loaded = keras.models.load_model(tmp_path / "a.keras")
        assert_alike(
            [keras.ops.convert_to_numpy(v) for v in loaded.optimizer.variables],
            [keras.ops.convert_to_numpy(v) for v in vae.optimizer.variables],
        )
        assert int(loaded.optimizer.iterations) == 1
        assert "mse" in " ".join(loaded.fit(images, verbose=0).history)


class TestLearningRate:
    def test_a_second_fit_is_refused_once_the_rate_has_ended(self, small_vae, images):
        small_vae.compile(make_optimizer("default", 24, 2, 8))
        small_vae.fit(images, epochs=2, batch_size=8, verbose=0)
        before = small_vae.get_weights()
        with pytest.raises(ValueError, match=r"fallen to 0.* after 6 steps.*compile again"):
            small_vae.fit(images, batch_size=8, verbose=0)
        assert_alike(small_vae.get_weights(), before)
        small_vae.compile(make_optimizer("default", 24, 1, 8))
        small_vae.fit(images, batch_size=8, verbose=0)
        assert not np.array_equal(small_vae.get_weights()[0], before[0])

    def test_it_is_said_where_float16_wraps_the_optimizer(self, images):
        vae = tiny_vae(dtype="mixed_float16")
        vae.compile(make_optimizer("default", 24, 1, 24))
        with pytest.warns(UserWarning, match="falls to 0 after 1 of 2 steps"):
            vae.fit(images, epochs=2, batch_size=24, verbose=0)
        with pytest.raises(ValueError, match="fallen to 0"):
            vae.fit(images, batch_size=24, verbose=0)

    @pytest.mark.filterwarnings("error::UserWarning")
    @pytest.mark.parametrize("start", [0.0, 0.1])
    def test_schedules_of_ones_own_may_start_at_nothing_and_have_no_config(
        self, small_vae, images, start
    ):
        small_vae.compile(keras.optimizers.SGD(Rising(start)))
        before = small_vae.get_weights()
        small_vae.fit(images, batch_size=12, verbose=0)
        assert not np.array_equal(small_vae.get_weights()[0], before[0])

    def test_nothing_is_said_where_nothing_is_left_to_do(self, small_vae, images):
        small_vae.compile(make_optimizer("default", 24, 2, 8))
        small_vae.fit(images, epochs=2, batch_size=8, verbose=0)
        small_vae.fit(images, epochs=2, initial_epoch=2, batch_size=8, verbose=0)

    def test_a_rate_that_ends_too_soon_is_said_before(self, small_vae, images):
        small_vae.compile(make_optimizer("default", 24, 2, 8))
        with pytest.warns(UserWarning, match="falls to 0 after 6 of 9 steps"):
            small_vae.fit(images, epochs=3, batch_size=8, verbose=0)

    def test_in_a_second_fit_the_steps_of_the_first_are_counted(self):
        optimizer = make_optimizer("default", 24, 2, 8)
        optimizer.iterations.assign(3)
        check_learning_rate(optimizer, 3)
        with pytest.warns(UserWarning, match="falls to 0 after 3 of 4 steps"):
            check_learning_rate(optimizer, 4)

    def test_a_constant_rate_may_be_set_by_callbacks(self, small_vae, images):
        small_vae.compile(make_optimizer("default", 24, 2, 8, constant=True))
        halve = keras.callbacks.LearningRateScheduler(lambda _, rate: rate / 2)
        plateau = keras.callbacks.ReduceLROnPlateau("loss", patience=1)
        start = float(small_vae.optimizer.learning_rate)
        small_vae.fit(images, epochs=2, batch_size=8, verbose=0, callbacks=[halve, plateau])
        assert float(small_vae.optimizer.learning_rate) == pytest.approx(start / 4, rel=1e-5)


class Rising(keras.optimizers.schedules.LearningRateSchedule):
    def __init__(self, start):
        self.start = start
        self.num_steps = 1  # which means nothing here

    def __call__(self, step):
        return self.start + 0.01 * keras.ops.cast(step, "float32")


class Sevens(keras.utils.PyDataset):
    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return (self.batch,)


def generated(batch, times=2):
    for _ in range(times):
        yield (batch,)


def datasets(batch):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensors(batch).repeat(2)
    return {"dataset": dataset, "of tuples": dataset.map(lambda x: (x,))}


class TestTheFirstBatch:
    """Images of 0..255 would train on in silence, to a loss without meaning."""

    @pytest.fixture(params=["dataset", "of tuples", "generator", "PyDataset"])
    def make(self, request):
        def make(batch):
            if request.param == "generator":
                return generated(batch)
            if request.param == "PyDataset":
                return Sevens(batch)
            pytest.importorskip("tensorflow")
            return datasets(batch)[request.param]

        return make

    def test_it_is_looked_at_before_the_first_step(self, small_vae, images, make):
        small_vae.compile("sgd")
        before = small_vae.get_weights()
        bytes_ = (images * 255).round()
        for call in (
            lambda: small_vae.fit(make(bytes_), verbose=0, shuffle=False),
            lambda: small_vae.fit(images, validation_data=make(bytes_), verbose=0),
            lambda: small_vae.evaluate(make(bytes_), verbose=0),
        ):
            with pytest.raises(ValueError, match=r"(x|validation_data) must .*Divide by 255\?"):
                call()
        assert_alike(small_vae.get_weights(), before)

    def test_it_is_not_lost(self, small_vae, images, make):
        small_vae.compile("sgd")
        options = {"verbose": 0, "shuffle": False, "steps_per_epoch": 2, "validation_steps": 2}
        history = small_vae.fit(make(images), validation_data=make(images), **options)
        assert int(small_vae.optimizer.iterations) == 2
        assert "val_loss" in history.history
        logs = small_vae.evaluate(make(images), verbose=0, steps=2, return_dict=True)
        assert np.isfinite(logs["loss"])

    def test_of_a_batch_on_several_devices_the_first_part_is_looked_at(self, small_vae, images):
        class OfTwoDevices:  # as TensorFlow hands out what it distributes
            values = images * 255, images

        with pytest.raises(ValueError, match=r"Divide by 255\?"):
            seen(iter([(OfTwoDevices(),)]), "x", small_vae._check_images)

    def test_what_gives_no_batch_is_left_to_keras(self, small_vae):
        small_vae.compile("sgd")
        with pytest.raises(ValueError, match=r"(?i)empty|batch"):
            small_vae.fit(generated(None, times=0), verbose=0, shuffle=False)


class TestWhatIsNoArray:
    @pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
    @pytest.mark.parametrize("kind", [list, tuple, lambda x: {"images": x}, lambda x: "images.npz"])
    def test_it_is_refused_by_name(self, small_vae, images, method, kind):
        small_vae.compile("sgd")
        with pytest.raises(ValueError, match=r"x must be an array of images; got a (list|t|d|str)"):
            getattr(small_vae, method)(kind(images))

    def test_it_is_refused_in_batches_too(self, small_vae, images):
        small_vae.compile("sgd")
        with pytest.raises(ValueError, match="x must be an array of images; got a dict"):
            small_vae.fit(once({"image": images, "label": np.zeros(24)}), verbose=0)

    def test_targets_that_are_no_rows_are_refused_by_name(self, small_vae, images):
        small_vae.compile("sgd")
        for y in ({"images": images}, 3):
            with pytest.raises(ValueError, match="y must have a row for each of x"):
                small_vae.fit(images, y, verbose=0)

    def test_before_compile_keras_asks_for_it(self, small_vae, images):
        with pytest.raises(ValueError, match="call `compile"):
            small_vae.fit(images, verbose=0)


class TestOnBatch:
    @pytest.mark.parametrize("method", ["train_on_batch", "test_on_batch"])
    def test_images_and_weights_are_looked_at(self, small_vae, images, method):
        small_vae.compile("sgd")
        for arguments, message in (
            ((255 * images,), "x must hold grey levels"),
            ((images, None, np.ones(3)), "sample_weight must hold a number for each of 24"),
        ):
            with pytest.raises(ValueError, match=message):
                getattr(small_vae, method)(*arguments)

    def test_weights_count_as_in_fit(self, step, vectors):
        weights = np.array([2.0, 1, 1, 1, 1, 0])
        _, expected, _ = step(vectors, sample_weight=weights)
        keras.utils.set_random_seed(3)
        vae = dense_vae()
        vae = Noiseless(vae.encoder, vae.decoder_network, beta=2.0)
        vae.compile(keras.optimizers.SGD(0.1))
        logs = vae.train_on_batch(vectors, sample_weight=weights, return_dict=True)
        assert_alike(vae.get_weights(), expected)
        assert set(logs) == {"loss", "reconstruction", "kl"}


@pytest.mark.parametrize("method", ["elbo", "log_likelihood", "reconstruct"])
def test_what_is_no_array_is_refused_by_its_kind(small_vae, images, method):
    with pytest.raises(ValueError, match="x must be an array of images; got a generator"):
        getattr(small_vae, method)(generated(images))


class TestFewImages:
    @pytest.mark.parametrize("recipe", RECIPES)
    @pytest.mark.parametrize("n", [1, 27, 60, 300, 2000, 15_359, 15_360, 60_000])
    def test_an_epoch_has_enough_steps_and_many_images_have_the_recipes(self, recipe, n):
        options = fit_options(recipe, n)
        batch_size = options["batch_size"]
        steps = options.get("steps_per_epoch", -(-n // batch_size))
        assert steps >= 15
        assert steps >= 60 or steps * batch_size > 4 * n
        assert steps <= 60 or steps * batch_size < n + batch_size  # many: one pass
        assert steps == 15 or steps * batch_size <= max(5 * n, n + batch_size)
        assert options["epochs"] == RECIPES[recipe].epochs
        if n == 60_000:
            assert options == {
                "epochs": RECIPES[recipe].epochs,
                "batch_size": RECIPES[recipe].batch_size,
            }

    @pytest.mark.parametrize("n", [300, 60_000])
    def test_a_batch_size_that_is_given_stays(self, n):
        assert fit_options("default", n, 32)["batch_size"] == 32
        assert fit_options("default", n, 2000)["batch_size"] == 2000

    def test_they_are_taken_again_and_again(self, small_vae, images):
        options = fit_options("default", len(images)) | {"epochs": 2}
        small_vae.compile(make_optimizer("default", len(images), **options))
        small_vae.fit(images, verbose=0, **options)
        assert int(small_vae.optimizer.iterations) == 2 * options["steps_per_epoch"] == 30

    def test_another_recipe_is_refused_by_name(self):
        with pytest.raises(ValueError, match=r"batch_size must be at least 1; got 0\."):
            fit_options("default", 60, 0)
        with pytest.raises(ValueError, match="recipe must be one of"):
            fit_options("slow", 60)


def logistic(x):
    return 1 / (1 + keras.ops.exp(-keras.ops.clip(x, -50, 50)))


class TestSigmoids:
    """The VAE adds the sigmoid itself: a second would keep pixels within 0.5 to 0.73."""

    @pytest.fixture
    def make(self):
        def make(*ends):
            x = keras.Input((4, 4, 1))
            h = layers.Flatten()(x)
            h = keras.Model(x, [layers.Dense(2)(h), layers.Dense(2)(h)])
            z = keras.Input((2,))
            outputs = z
            for end in ends:
                outputs = end(outputs)
            return VAE(h, keras.Model(z, outputs))

        return make

    @pytest.mark.parametrize(
        "ends",
        [
            [layers.Dense(16, activation="sigmoid"), layers.Reshape((4, 4, 1))],
            [layers.Dense(16), layers.Activation("sigmoid"), layers.Reshape((4, 4, 1))],
            [layers.Dense(16), keras.ops.sigmoid, lambda h: keras.ops.reshape(h, (-1, 4, 4, 1))],
            [keras.Sequential([layers.Dense(16, "sigmoid"), layers.Reshape((4, 4, 1))])],
            [layers.Dense(16, activation=logistic), layers.Reshape((4, 4, 1))],
            [layers.Dense(36, "hard_sigmoid"), layers.Reshape((6, 6, 1)), layers.Cropping2D(1)],
            [layers.Dense(16), layers.Reshape((4, 4, 1)), logistic],
        ],
    )
    def test_one_is_refused_wherever_it_hides(self, make, ends):
        with pytest.raises(ValueError, match="not in a sigmoid, which the VAE adds itself"):
            make(*ends)

    @pytest.mark.parametrize(
        "ends",
        [
            [layers.Dense(16), layers.Reshape((4, 4, 1))],
            [layers.Dense(16, kernel_initializer="zeros"), layers.Reshape((4, 4, 1))],
            [layers.Dense(16, "relu"), layers.Reshape((4, 4, 1))],
            [layers.Dense(16), layers.ReLU(), layers.Reshape((4, 4, 1))],
            [layers.Dense(9, "sigmoid"), layers.Dense(16), layers.Reshape((4, 4, 1))],
            [
                layers.Dense(16, kernel_initializer="zeros"),
                layers.Reshape((4, 4, 1)),
                lambda h: 1 / (2 + keras.ops.exp(h)),
            ],
            [layers.Dense(16), layers.LayerNormalization(), layers.Reshape((4, 4, 1))],
        ],
    )
    def test_others_are_not_refused_by_mistake(self, make, ends):
        assert make(*ends).image_shape == (4, 4, 1)
