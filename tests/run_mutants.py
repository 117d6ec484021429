"""Plant each bug of tests/mutants/ in a copy of the repository, run the unit tests there, and print whether they saw it.

The bugs of published tutorials, peers_*, must be seen by a notebook too.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
# the quick ones first: the first failure ends a run
NAMES = (
    "theory",
    "layers",
    "data",
    "sampling",
    "evaluation",
    "plots",
    "networks",
    "files",
    "model",
    "export",
    "main",
)
SLOWER = ("properties", "distribute", "faults")
FILES = [f"tests/test_{name}.py" for name in (*NAMES, *SLOWER)]
COPIED = ("vae_keras", "tests", "notebooks", "benchmarks", "pyproject.toml", "nbval_within.py")
NOTEBOOKS = {  # the quickest that notices
    "peers_01_variance_as_scale": "05_reparameterization",
    "peers_02_kl_averaged_over_latents": "06_training_objective",
    "peers_03_reconstruction_averaged_over_pixels": "06_training_objective",
    "peers_04_batch_flattened": "07_mnist_vae",
    "peers_05_logged_parts_do_not_add_up": "06_training_objective",
    "peers_06_no_loss_in_validation": "06_training_objective",
    "peers_07_beta_not_saved": "07_mnist_vae",
    "peers_07_model_cannot_be_loaded": "07_mnist_vae",
    "peers_08_raw_op_on_a_symbolic_tensor": "07_mnist_vae",
    "peers_10_weights_from_a_positive_loss": "09_how_good_is_it",
    "peers_11_log_likelihood_of_wrong_sign": "09_how_good_is_it",
    "peers_11_num_samples_ignored": "09_how_good_is_it",
}


def first_failure(patch, what):
    """Run pytest on a copy with the patch planted. Returns the name of the first test or cell that failed, or None."""
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, Path(folder) / name)
        if patch:
            subprocess.run(
                ["patch", "--strip=1", "--fuzz=0", "--quiet", f"--input={patch}"],
                cwd=folder,
                check=True,
            )
        command = [sys.executable, "-m", "pytest", "-x", *what]
        environment = {**os.environ, "PYTHONPATH": folder}  # the copy, not the installed package
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (\S+(?: \d+)?)", done.stdout, re.MULTILINE)
    if done.returncode != 1 or not failed:
        raise RuntimeError(f"The tests did not run on {patch}:\n{done.stdout}{done.stderr}")
    return failed[1]


def in_order(patch):
    """The test files, those named like the module with the bug first; if none is, those of the command line, which come last."""
    module = re.search(r"^\+\+\+ b/vae_keras/(\w+)", patch.read_text(), re.MULTILINE)[1]
    named = [file for file in FILES if file == f"tests/test_{module}.py"]
    return named + [file for file in FILES if file not in named] if named else FILES[::-1]


def verdicts(patch):
    """The first failures of the unit tests and, for the bugs of tutorials, of the notebook that is to notice."""
    found = [first_failure(patch, in_order(patch))]
    if patch.stem.startswith("peers_"):
        notebook = NOTEBOOKS.get(patch.stem)
        found.append(notebook and first_failure(patch, ["--nbval", f"notebooks/{notebook}.ipynb"]))
    return found


def main():
    patches = sorted((ROOT / "tests" / "mutants").glob("*.patch"))
    with ThreadPoolExecutor(2) as pool:
        healthy = [pool.submit(first_failure, None, FILES)]
        healthy += [
            pool.submit(first_failure, None, ["--nbval", f"notebooks/{name}.ipynb"])
            for name in {*NOTEBOOKS.values()}
        ]
        found = [pool.submit(verdicts, patch) for patch in patches]
        if failed := next(filter(None, (future.result() for future in healthy)), None):
            pool.shutdown(cancel_futures=True)
            sys.exit(f"Without any bug planted, {failed} fails already.")
        survivors = 0
        for patch, killers in zip(patches, (future.result() for future in found), strict=True):
            verdict = "killed  " if all(killers) else "SURVIVED"
            print(
                f"{verdict}  {patch.stem}  by",
                "  and by ".join(killer or "NONE" for killer in killers),
                flush=True,
            )
            survivors += not all(killers)
    print(f"{len(patches) - survivors} killed, {survivors} survived")
    sys.exit(survivors > 0)


if __name__ == "__main__":
    main()
