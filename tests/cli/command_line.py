"""`python -m vae_keras` on two devices, or as one of two processes, with a small network."""

import runpy

import two_devices  # noqa: F401

runpy.run_module("vae_keras", run_name="__main__")
