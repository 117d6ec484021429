"""The figures that `python -m vae_keras figures` draws: what each shows, what its caption says."""

import numpy as np

from vae_keras import plots
from vae_keras.data import binarize
from vae_keras.layers import IN_USE, kl_per_latent
from vae_keras.sampling import draw_latents, interpolate, manifold_grid

PAIRS = ((3, 5), (5, 6), (4, 9), (1, 7), (0, 8))  # of digits between which to walk
NUM_STEPS = 9  # of a walk
NUM_ROWS = 15  # of the manifold
NUM_MAPPED = 4000  # images on the t-SNE map


def draw_figures(vae, flat_vae, prior, history, x_test, y_test, seed: int) -> dict:
    """Draw the figures of the post and of the notebooks.

    Args:
        vae, flat_vae: Trained models, the second with 2 latents.
        prior: What `fit_mixture_prior` made for the first.
        history: The log of its training.
        x_test, y_test: Test images and their labels.
        seed: Fixes all draws.

    Returns:
        dict from the name of a file, without its ending, to a matplotlib figure.
    """
    z_mean, z_log_var = vae.encoder.predict(x_test, verbose=0)
    kl = np.mean(kl_per_latent(z_mean, z_log_var), axis=0)
    return {
        "figure_5_test_mode": _test_mode(vae, seed),
        "figure_6_prior_samples": _prior_samples(vae, seed),
        "figure_6_both_priors": _both_priors(vae, prior, seed),
        "reconstructions": _reconstructions(vae, x_test[:10]),
        "mean_and_draw": _mean_and_draw(vae, seed),
        "latent_means": _first_latents(z_mean, y_test),
        "latent_means_most_used": _most_used_latents(z_mean, y_test, kl),
        "latent_means_tsne": _all_latents(z_mean[:NUM_MAPPED], y_test[:NUM_MAPPED], seed),
        "kl_per_latent": _kl_per_latent(kl),
        "interpolation": _interpolation(vae, z_mean, x_test, y_test),
        "manifold": _manifold(flat_vae),
        "loss_curves": _loss_curves(history),
    }


def _test_mode(vae, seed):
    z = draw_latents(3, vae.latent_dim, seed)
    title = "Figure 5: the decoder in test mode"
    flow = "standard normal numbers go in, the mean image comes out"
    caption = f"Each row: {flow}. No encoder takes part."
    return plots.decoder_test_mode(z, vae.decoder.predict(z, verbose=0), title, caption)


def _prior_samples(vae, seed):
    digits = vae.sample(100, seed=seed)
    title = "Figure 6: 100 digits decoded from z ~ N(0, I)"
    some = "some lie between two digits, or between a digit and none"
    return plots.image_grid(digits, 10, title, f"Most can be read at a glance; {some}.")


def _both_priors(vae, prior, seed):
    panels = {
        "z ~ N(0, I)": vae.sample(100, seed=seed),
        f"z ~ a mixture of {len(prior.weights)} normals": vae.sample(100, seed=seed, prior=prior),
    }
    fitted = "The mixture was fitted to encoded training digits"
    caption = f"The same decoder. {fitted}: fewer of its digits are hard to read."
    return plots.image_grids(panels, 10, "Figure 6 from two priors", caption)


def _reconstructions(vae, originals):
    images = np.concatenate([originals, vae.reconstruct(originals)])
    title = "Test digits and their reconstructions"
    caption = "Shape, stroke and slant survive; the finest detail is smoothed away."
    return plots.image_grid(images, 10, title, caption, ("original", "reconstruction"))


def _mean_and_draw(vae, seed):
    means = vae.sample(10, seed=seed)
    images = np.concatenate([means, binarize(means, seed)])  # the latter from P(X|z)
    title = "The mean of P(X|z), and a draw from it"
    drawn = "each pixel drawn black or white on its own, which frays the edges"
    return plots.image_grid(images, 10, title, f"Top: means. Bottom: {drawn}.", ("mean", "draw"))


def _first_latents(z_mean, labels):
    title = f"The first two of the {z_mean.shape[1]} latent means of the test digits"
    caption = "A latent whose mean hardly moves is one that the model does not use."
    return plots.latent_scatter(z_mean, labels, title, caption)


def _most_used_latents(z_mean, labels, kl):
    title = "The two latents with the largest share of the KL term"
    caption = f"Even these two of the {len(kl)} coordinates tell the digits apart only in part."
    return plots.latent_scatter(z_mean, labels, title, caption, np.argsort(-kl)[:2])


def _all_latents(z_mean, labels, seed):
    from sklearn.manifold import TSNE  # here, so that importing the package stays fast

    points = TSNE(init="pca", random_state=seed).fit_transform(z_mean)
    neighbours = "Neighbours on the map are neighbours in z; its axes and its long distances"
    caption = f"{len(labels)} test digits. {neighbours} mean nothing."
    figure = plots.latent_scatter(points, labels, "t-SNE map of all latent means", caption)
    figure.axes[0].set(xlabel="t-SNE, first axis", ylabel="t-SNE, second axis")
    return figure


def _kl_per_latent(kl):
    title = f"The KL term, latent by latent: {np.sum(kl > IN_USE)} of {len(kl)} are in use"
    unused = "Where there is no bar, Q(z|X) is the prior, and the latent tells the decoder nothing"
    return plots.kl_bars(kl, title, f"Test images. {unused}.")


def _loss_curves(history):
    caption = "The reconstruction term falls fast at first, then slowly, at a nearly constant KL."
    return plots.loss_curves(history, "The loss and its two parts", caption)


def _interpolation(vae, z_mean, x_test, labels):
    rows = []
    for pair in PAIRS:
        start, end = (np.flatnonzero(labels == digit)[0] for digit in pair)
        walk = interpolate(z_mean[start], z_mean[end], NUM_STEPS, spherical=True)
        decoded = vae.decoder.predict(walk, verbose=0)
        rows += [x_test[[start]], decoded, x_test[[end]]]
    caption = "Left and right: the two test images. Between them: steps along an arc in z, decoded."
    title = "Walks from one test digit to another"
    return plots.image_grid(np.concatenate(rows), NUM_STEPS + 2, title, caption)


def _manifold(flat_vae):
    z = manifold_grid(NUM_ROWS)
    equal = "Each digit stands for the same share of N(0, I)"
    caption = f"{equal}: the steps are its quantiles, so they widen outwards."
    images = flat_vae.decoder.predict(z, verbose=0)
    figure = plots.image_grid(images, NUM_ROWS, "The manifold of a model with 2 latents", caption)
    shown = np.linspace(0, NUM_ROWS - 1, 7).round().astype(int)
    places = (shown + 0.5) * (flat_vae.image_shape[0] + 2)  # a tile, with its margin
    values = [f"{value:.1f}" for value in z[shown, 0]]
    figure.axes[0].set_xticks(places, values)
    figure.axes[0].set_yticks(places, values[::-1])
    figure.axes[0].set(xlabel="latent 1", ylabel="latent 2")
    return figure
