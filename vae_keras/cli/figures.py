"""The figures that `python -m vae_keras figures` draws: what each shows, and what its caption says."""

import numpy as np

from vae_keras import plots
from vae_keras.data import binarize
from vae_keras.evaluation import IN_USE, kl_per_latent
from vae_keras.sampling import draw_latents, interpolate, manifold_grid

PAIRS = ((3, 5), (5, 6), (4, 9), (1, 7), (0, 8))  # of digits between which to walk
NUM_STEPS, NUM_ROWS, NUM_MAPPED = 9, 15, 4000  # of a walk; of the manifold; images on the t-SNE map


def mnist_figures(vae, flat_vae, prior, history, test_digits, seed):
    """Draw the figures of the post and of the notebooks.

    Args:
        vae, flat_vae: Trained models, the second with 2 latents. prior: What `fit_mixture_prior` made for the first.
        history: The log of its training. test_digits: The pair of test images and labels. seed: Fixes all draws.

    Returns:
        dict from a name to a matplotlib figure.
    """
    x_test, y_test = test_digits
    z_mean, z_log_var = vae.encoder.predict(x_test, verbose=0)
    return {
        **_samples(vae, x_test, prior, seed),
        **_latents(z_mean, kl_per_latent(z_mean, z_log_var), y_test, seed),
        "interpolation": _interpolation(vae, z_mean, x_test, y_test),
        "manifold": _manifold(flat_vae),
        "loss_curves": plots.loss_curves(
            history, "The loss and its two parts",
            "The reconstruction term falls fast at first, then slowly, at a nearly constant KL.",
        ),
    }  # fmt: skip


def _samples(vae, x_test, prior, seed):
    z, originals, means = draw_latents(3, vae.latent_dim, seed), x_test[:10], vae.sample(10, seed=seed)
    digits, draws = vae.sample(100, seed=seed), binarize(means, seed)  # the latter from P(X|z)
    mixture = f"a mixture of {len(prior.weights_)} normals"
    return {
        "figure_5_test_mode": plots.decoder_test_mode(
            z, vae.decoder.predict(z, verbose=0), "Figure 5: the decoder in test mode",
            "Each row: standard normal numbers go in, the mean image comes out. No encoder takes part.",
        ),
        "figure_6_prior_samples": plots.image_grid(
            digits, 10, "Figure 6: 100 digits decoded from z ~ N(0, I)",
            "Most can be read at a glance; some lie between two digits, or between a digit and none.",
        ),
        "figure_6_both_priors": plots.image_grids(
            {"z ~ N(0, I)": digits, f"z ~ {mixture}": vae.sample(100, seed=seed, prior=prior)},
            10, "Figure 6 from two priors",
            "The same decoder. The mixture was fitted to encoded training digits: fewer of its digits are hard to read.",
        ),
        "reconstructions": plots.image_grid(
            np.concatenate([originals, vae.reconstruct(originals)]), 10, "Test digits and their reconstructions",
            "Shape, stroke and slant survive; the finest detail is smoothed away.", ("original", "reconstruction"),
        ),
        "mean_and_draw": plots.image_grid(
            np.concatenate([means, draws]), 10, "The mean of P(X|z), and a draw from it",
            "Top: means. Bottom: each pixel drawn black or white on its own, which frays the edges.", ("mean", "draw"),
        ),
    }  # fmt: skip


def _latents(z_mean, kl, labels, seed):
    from sklearn.manifold import TSNE  # here, so that importing the package stays fast

    points = TSNE(init="pca", random_state=seed).fit_transform(z_mean[:NUM_MAPPED])
    tsne = plots.latent_scatter(
        points, labels[:NUM_MAPPED], "t-SNE map of all latent means",
        f"{NUM_MAPPED} test digits. Neighbours on the map are neighbours in z; its axes and its long distances mean nothing.",
    )  # fmt: skip
    tsne.axes[0].set(xlabel="t-SNE, first axis", ylabel="t-SNE, second axis")
    return {
        "latent_means": plots.latent_scatter(
            z_mean, labels, f"The first two of the {len(kl)} latent means of the test digits",
            "A latent whose mean hardly moves is one that the model does not use.",
        ),
        "latent_means_most_used": plots.latent_scatter(
            z_mean, labels, "The two latents with the largest share of the KL term",
            f"Even these two of the {len(kl)} coordinates tell the digits apart only in part.", np.argsort(-kl)[:2],
        ),
        "latent_means_tsne": tsne,
        "kl_per_latent": plots.kl_bars(
            kl, f"The KL term, latent by latent: {np.sum(kl > IN_USE)} of {len(kl)} are in use",
            "Test images. Where there is no bar, Q(z|X) is the prior, and the latent tells the decoder nothing.",
        ),
    }  # fmt: skip


def _interpolation(vae, z_mean, x_test, labels):
    """Walk along an arc from the code of one digit's first test image to that of another's."""
    ends = [[np.flatnonzero(labels == digit)[0] for digit in pair] for pair in PAIRS]
    walks = [interpolate(z_mean[start], z_mean[end], NUM_STEPS, spherical=True) for start, end in ends]
    images = vae.decoder.predict(np.concatenate(walks), verbose=0).reshape(len(ends), NUM_STEPS, *x_test.shape[1:])
    rows = [np.concatenate([x_test[[start]], row, x_test[[end]]]) for (start, end), row in zip(ends, images, strict=True)]
    caption = "Left and right: the two test images. Between them: steps along an arc in z, decoded."
    return plots.image_grid(np.concatenate(rows), NUM_STEPS + 2, "Walks from one test digit to another", caption)


def _manifold(flat_vae):
    """Decode a grid of equal shares of the prior over both latents."""
    z, size = manifold_grid(NUM_ROWS), flat_vae.image_shape[0] + 2  # of a tile, with its margin
    caption = "Each digit stands for the same share of N(0, I): the steps are its quantiles, so they widen outwards."
    figure = plots.image_grid(flat_vae.decoder.predict(z, verbose=0), NUM_ROWS, "The manifold of a model with 2 latents", caption)
    shown = np.linspace(0, NUM_ROWS - 1, 7).round().astype(int)
    values = [f"{value:.1f}" for value in z[shown, 0]]
    figure.axes[0].set_xticks((shown + 0.5) * size, values)
    figure.axes[0].set_yticks((shown + 0.5) * size, values[::-1])
    figure.axes[0].set(xlabel="latent 1", ylabel="latent 2")
    return figure
