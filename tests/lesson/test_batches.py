"""The order of the images: new in each epoch, from seed and epoch alone, wherever it runs."""

import gc
import random
import weakref

import keras
import numpy as np
import pytest

from vae_keras import VAE
from vae_keras._batches import Batches, draw_seed, in_own_order

# of 6 rows, from seed 7, in epochs 0 and 1: the same on every machine, backend and version
ORDERS = [[5, 2, 0, 4, 1, 3], [3, 0, 2, 1, 4, 5]]


def rows_of(batches, epoch):
    batches.begin_epoch(epoch)
    return [batches[i][0].ravel().astype(int).tolist() for i in range(len(batches))]


class TestBatches:
    def test_the_order_depends_on_seed_and_epoch_alone(self):
        batches = Batches((np.arange(6),), 4, seed=7)
        for epoch in (1, 0, 1):
            order = ORDERS[epoch]
            assert rows_of(batches, epoch) == [order[:4], order[4:]]
        assert rows_of(Batches((np.arange(6),), 4, seed=8), 0) != rows_of(batches, 0)

    def test_items_may_be_asked_for_in_any_order_and_twice(self):
        batches = Batches((np.arange(20),), 3, seed=0)
        first = batches[0][0]
        assert sorted(np.concatenate([batches[i][0] for i in reversed(range(7))])) == [*range(20)]
        np.testing.assert_array_equal(batches[0][0], first)

    def test_fewer_steps_go_on_where_the_epoch_before_ended(self):
        whole = Batches((np.arange(6),), 2, seed=7)
        part = Batches((np.arange(6),), 2, seed=7, steps=2)
        expected = rows_of(whole, 0) + rows_of(whole, 1)
        assert [rows_of(part, epoch) for epoch in range(3)] == [
            expected[0:2],
            expected[2:4],
            expected[4:6],
        ]

    def test_the_parts_of_processes_make_up_the_batch(self):
        whole = Batches((np.arange(12),), 4, seed=3)
        parts = [Batches((np.arange(12),), 4, seed=3, part=(i, 2)) for i in range(2)]
        for i in range(3):
            np.testing.assert_array_equal(
                np.concatenate([part[i][0] for part in parts]), whole[i][0]
            )


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="it keeps functions for ever")
def test_images_that_were_trained_on_are_let_go(images):
    vae = VAE(*dense_networks(images.shape[1:]))
    vae.compile("sgd")
    x = np.repeat(images, 2, axis=0)
    kept = weakref.ref(x)
    vae.fit(x, validation_split=0.5, batch_size=8, verbose=0)
    del x
    gc.collect()
    assert kept() is None


class Spy(VAE):
    """Notes the images and targets of each training step, and trains as ever."""

    def train_step(self, *args):
        data = args[-1]  # after the state, on JAX
        self.seen.append([np.asarray(part).reshape(len(part), -1)[:, 0] for part in data])
        return super().train_step(*args)


@pytest.fixture
def fit():
    """Train on images 0, 1, ..., and return what each step of each epoch saw, as lists."""

    def run(seed=1, n=6, **options):
        keras.utils.set_random_seed(seed)
        x = keras.Input((2,))
        z = keras.Input((1,))
        dense = keras.layers.Dense
        encoder = keras.Model(x, [dense(1)(x), dense(1)(x)])
        spy = Spy(encoder, keras.Model(z, dense(2)(z)), likelihood="gaussian")
        spy.seen = []
        spy.compile(keras.optimizers.SGD(1e-6), run_eagerly=True)
        images = np.repeat(np.arange(n, dtype="float32")[:, None], 2, axis=1)
        spy.fit(images, **{"batch_size": 4, "verbose": 0, **options})
        return spy.seen

    return run


def images(seen):
    return [step[0].astype(int).tolist() for step in seen]


class TestFit:
    def test_each_epoch_sees_all_images_in_an_order_of_its_own(self, fit):
        seen = images(fit(n=40, epochs=3))
        epochs = [np.concatenate(seen[10 * epoch : 10 * epoch + 10]) for epoch in range(3)]
        assert all(sorted(epoch) == [*range(40)] for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) == 3

    def test_keras_seed_fixes_the_order_and_another_seed_changes_it(self, fit):
        one, same, other = (images(fit(seed, n=40)) for seed in (1, 1, 2))
        assert one == same
        assert one != other

    def test_the_order_is_that_of_batches_of_a_seed_drawn_from_keras(self, fit, monkeypatch):
        monkeypatch.setattr("vae_keras._batches.draw_seed", lambda: 7)
        expected = [part for order in ORDERS for part in (order[:4], order[4:])]
        assert images(fit(epochs=2)) == expected

    def test_initial_epoch_goes_on_as_the_whole_run_would_have(self, fit, monkeypatch):
        monkeypatch.setattr("vae_keras._batches.draw_seed", lambda: 7)
        assert images(fit(epochs=2, initial_epoch=1)) == [ORDERS[1][:4], ORDERS[1][4:]]

    def test_shuffle_false_keeps_the_images_as_they_are(self, fit):
        assert images(fit(epochs=2, shuffle=False)) == 2 * [[0, 1, 2, 3], [4, 5]]

    def test_validation_split_holds_the_last_images_out(self, fit):
        seen = np.concatenate(images(fit(n=10, epochs=2, validation_split=0.3)))
        assert sorted(seen) == sorted(2 * [*range(7)])
        with pytest.raises(ValueError, match=r"validation_split .* both sides; got 0.99 of 6"):
            fit(validation_split=0.99)

    def test_targets_stay_with_their_images(self, fit):
        seen = fit(n=6, y=10 * np.arange(6), epochs=2)
        assert all(np.array_equal(10 * x, y) for x, y in seen)

        with pytest.raises(ValueError, match=r"y must have a row for each of x; got the shapes"):
            fit(n=6, y=np.arange(5))

    def test_arguments_may_be_given_by_place_as_in_keras(self, small_vae, images):
        small_vae.compile("sgd")
        history = small_vae.fit(images, None, 8, 2, 0)  # x, y, batch_size, epochs, verbose
        assert history.params["steps"] == 3
        assert history.epoch == [0, 1]

    def test_callbacks_and_steps_per_epoch_are_kept(self, small_vae, images):
        ended = []
        callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: ended.append(epoch))
        options = {"callbacks": callback, "steps_per_epoch": 2, "batch_size": 8, "verbose": 0}
        small_vae.compile("sgd")
        history = small_vae.fit(images, epochs=3, **options)
        assert ended == [0, 1, 2]
        assert history.params["steps"] == 2

    def test_training_does_not_depend_on_whether_one_looks(self, images):
        def train(**looks):
            keras.utils.set_random_seed(3)
            vae = VAE(*dense_networks(images.shape[1:]))
            vae.compile("sgd")
            vae.fit(images, epochs=2, batch_size=8, verbose=0, **looks)
            return vae.get_weights()

        blind = train()
        for looks in ({"validation_data": (images,)}, {"callbacks": [Looking(images)]}):
            for one, other in zip(blind, train(**looks), strict=True):
                np.testing.assert_array_equal(one, other)


class Looking(keras.callbacks.Callback):
    def __init__(self, images):
        super().__init__()
        self.images = images

    def on_epoch_end(self, epoch, logs=None):
        self.model.elbo(self.images)
        self.model.sample(3, seed=0)


def dense_networks(shape):
    x = keras.Input(shape)
    h = keras.layers.Flatten()(x)
    z = keras.Input((2,))
    logits = keras.layers.Dense(int(np.prod(shape)))(z)
    encoder = keras.Model(x, [keras.layers.Dense(2)(h), keras.layers.Dense(2)(h)])
    return encoder, keras.Model(z, keras.layers.Reshape(shape)(logits))


def test_the_seed_of_an_order_is_drawn_from_keras_as_that_of_a_layer_is():
    keras.utils.set_random_seed(5)
    drawn = draw_seed()
    random.seed(5)  # which Keras draws from
    assert drawn == random.randint(1, int(1e9))


def test_what_is_no_array_is_taken_as_it_comes():
    generator = iter([np.zeros((2, 2))])
    options = {"x": generator, "steps_per_epoch": 1, "shuffle": True}
    assert in_own_order(options) == options
