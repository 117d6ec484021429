"""The script for one GPU, rehearsed on the CPU in its quick form."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


@pytest.mark.slow
def test_the_rehearsal_times_trains_and_scores(tmp_path):
    command = [sys.executable, SCRIPT, "--quick", "--minutes", "0.1", "--output", tmp_path]
    environment = {**os.environ, "KERAS_BACKEND": "jax", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    record = json.loads((tmp_path / "gpu.json").read_text())
    assert [row["network"] for row in record["timings"]] == ["keng2017", "default", "resnet"]
    assert all(row["share_of_peak"] > 0 for row in record["timings"])
    assert record["chosen"] in record["log"]
    # few images and an untrained network: both estimates of -log P(X) are of eight images
    ours, the_package = record["nll_of_50_images"]
    assert abs(ours - the_package) < 10
    assert record["test_nll"] < record["test_neg_elbo"]
    assert (tmp_path / "resnet.keras").exists()
