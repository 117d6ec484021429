"""The script for one GPU: its estimate of log P(X), and a rehearsal on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy import integrate, special, stats
from small_networks import tiny_vae

from vae_keras import ConvVAE

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="it computes with JAX")
def test_its_log_likelihood_equals_numerical_integration(rng, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu

    vae = tiny_vae(latent_dim=1)
    *_, mean, log_var = vae.encoder.layers
    mean.set_weights([np.zeros((64, 1)), np.full(1, 0.3)])  # Q is N(0.3, exp(-0.2)) for all images
    log_var.set_weights([np.zeros((64, 1)), np.full(1, -0.2)])
    kernel = rng.normal(0, 0.3, (1, 64))
    vae.decoder_network.layers[1].set_weights([kernel, np.zeros(64)])
    x = (rng.random((6, 8, 8, 1)) < 0.5).astype("float32")
    z = np.linspace(-8, 8, 1601)[:, None]
    p = special.expit(z @ kernel)[:, None]
    log_p = stats.bernoulli.logpmf(x.reshape(6, 64), p).sum(axis=2).T
    evidence = integrate.simpson(np.exp(log_p) * stats.norm.pdf(z[:, 0]), x=z[:, 0])
    estimate = gpu.log_likelihood(vae, x, 20_000, images_at_once=3)
    np.testing.assert_allclose(estimate, np.log(evidence), atol=0.03)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="it computes with JAX")
def test_the_deep_network_has_the_activation_that_its_model_tells(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import gpu  # noqa: F401 - which gives a ConvVAE that network

    for given, wanted in ((None, "relu"), ("tanh", "tanh")):
        vae = ConvVAE(latent_dim=2, network="resnet", activation=given)
        layers = [*vae.encoder.layers, *vae.decoder_network.layers]
        kinds = {layer.activation.__name__ for layer in layers if hasattr(layer, "activation")}
        assert (kinds, vae.get_config()["activation"]) == ({wanted, "linear"}, wanted)


@pytest.mark.slow
def test_the_rehearsal_times_trains_and_scores(tmp_path):
    script = BENCHMARKS / "gpu.py"
    command = [sys.executable, script, "--quick", "--minutes", "0.1", "--output", tmp_path]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((tmp_path / "gpu.json").read_text())
    assert [row["network"] for row in record["timings"]] == ["keng2017", "default", "resnet"]
    assert all(row["share_of_peak"] > 0 for row in record["timings"])
    losses = [entry["held_out_neg_elbo"] for entry in record["log"]]
    assert record["chosen"]["held_out_neg_elbo"] == min(losses)
    assert 0 < record["test_nll"] < record["test_neg_elbo"]
    assert (tmp_path / "resnet.keras").exists()
