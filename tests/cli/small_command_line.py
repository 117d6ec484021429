"""`python -m vae_keras` with a small network, whose few steps are not traced."""

import runpy
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import tensorflow as tf
from small_networks import small_vae

from vae_keras.cli import runs

runs.ConvVAE = small_vae
tf.config.run_functions_eagerly(True)
runpy.run_module("vae_keras", run_name="__main__")
