"""What train tells of its model beside the losses, on models that are known."""

import numpy as np

from vae_keras.cli import report


class Known:
    """Stand in for a model: Q is given, a reconstruction is the image halved, a sample is 2."""

    def __init__(self, z_mean=None):
        self.z_mean = z_mean
        self.encoder = self

    def predict(self, x, verbose):
        return self.z_mean, np.zeros_like(self.z_mean)

    def reconstruct(self, x):
        return x / 2

    def sample(self, n, seed):
        return np.full((n, 2, 2, 1), seed)


def test_a_latent_is_in_use_above_a_hundredth_of_a_nat_in_the_mean():
    kl = np.array([[0.0, 0.021, 0.0, 3.0], [0.0, 0.001, 0.019, 0.0]])
    z_mean = np.sqrt(2 * kl)  # at a variance of 1
    assert report.latents_in_use(Known(z_mean), None) == 2


def test_the_picture_has_images_reconstructions_and_samples_on_one_scale(monkeypatch):
    drawn = []
    monkeypatch.setattr(report.plots, "image_grid", lambda *given, **labels: drawn.extend(given))
    x = np.zeros((12, 2, 2, 1))
    x[0] = -1.0
    x[1] = 3.0
    report.picture(Known(), x, seed=2, ink=True)
    images, num_columns, _ = drawn
    assert num_columns == 10  # the first ten
    rows = images[:, 0, 0, 0].reshape(4, 10)
    np.testing.assert_allclose(rows[0], [0.0, 1.0, *[0.25] * 8])  # from -1 to 3
    np.testing.assert_allclose(rows[1], [0.125, 0.625, *[0.25] * 8])
    np.testing.assert_allclose(rows[2:], 0.75)


def test_with_a_learned_sigma_there_is_no_floor_to_tell(rng, capsys):
    x = rng.normal(size=(5, 2, 2, 1))
    assert set(report.expect(x, x, "gaussian", None)) == {"mean_image"}
    assert "inf" not in capsys.readouterr().out
