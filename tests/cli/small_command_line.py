"""`python -m vae_keras` with a small network."""

import runpy
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from small_networks import small_vae

from vae_keras.cli import runs

runs.ConvVAE = small_vae
runpy.run_module("vae_keras", run_name="__main__")
