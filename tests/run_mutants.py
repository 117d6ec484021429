"""Plant each bug of tests/mutants/ in a copy of the repository, run the unit tests there, and print whether they saw it."""

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
NAMES = ("theory", "layers", "data", "sampling", "evaluation", "plots", "networks", "files", "model", "main")
FILES = [f"tests/test_{name}.py" for name in NAMES]
COPIED = ("vae_keras", "tests", "pyproject.toml")


def run_tests(patch):
    """Run the tests on a copy with the patch planted. Returns the name of the first test that failed, or None."""
    with tempfile.TemporaryDirectory() as folder:
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, Path(folder) / name)
        if patch:
            subprocess.run(["patch", "--strip=1", "--fuzz=0", "--quiet", f"--input={patch}"], cwd=folder, check=True)
        command = [sys.executable, "-m", "pytest", "-x", *FILES]
        environment = {**os.environ, "PYTHONPATH": folder}  # the copy, not the installed package
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode == 0:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode != 1 or not failed:
        raise RuntimeError(f"The tests did not run on {patch}:\n{done.stdout}{done.stderr}")
    return failed[1]


def main():
    patches = sorted((ROOT / "tests" / "mutants").glob("*.patch"))
    with ThreadPoolExecutor(2) as pool:
        healthy, *killers = pool.submit(run_tests, None), *(pool.submit(run_tests, patch) for patch in patches)
        if failed := healthy.result():
            pool.shutdown(cancel_futures=True)
            sys.exit(f"Without any bug planted, {failed} fails already.")
        survivors = 0
        for patch, killer in zip(patches, (future.result() for future in killers), strict=True):
            print(f"{'killed  ' if killer else 'SURVIVED'}  {patch.stem}" + (f"  by {killer}" if killer else ""), flush=True)
            survivors += killer is None
    print(f"{len(patches) - survivors} killed, {survivors} survived")
    sys.exit(survivors > 0)


if __name__ == "__main__":
    main()
