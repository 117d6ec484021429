"""Variational autoencoders, taken apart: the package beside the notebooks."""

from vae_keras.cli.quiet import quiet_at_the_command_line

with quiet_at_the_command_line():
    import keras  # noqa: F401

from vae_keras.data import binarize, load_mnist
from vae_keras.io.images import load_images
from vae_keras.io.saving import load_vae
from vae_keras.io.streams import stream_images
from vae_keras.layers import Sampling, VariationalLoss
from vae_keras.model import VAE, ConvVAE
from vae_keras.recipes import RECIPES, KLWarmUp, fit_options, make_optimizer
from vae_keras.sampling import draw_latents, fit_mixture_prior, interpolate, manifold_grid

__all__ = [
    "RECIPES",
    "VAE",
    "ConvVAE",
    "KLWarmUp",
    "Sampling",
    "VariationalLoss",
    "binarize",
    "draw_latents",
    "fit_mixture_prior",
    "fit_options",
    "interpolate",
    "load_images",
    "load_mnist",
    "load_vae",
    "make_optimizer",
    "manifold_grid",
    "stream_images",
]
__version__ = "0.1.0"
