"""Plant each bug of mutants.toml in a copy of the repository, and see that a test finds it.

Usage: run_mutants.py [NAME...]

The test that is expected to see a bug runs first; if it passes, the other unit tests run, or for a
bug of the live figures and the explorer the others of these. The bugs of published tutorials,
peers_*, must be seen by a notebook too. The exit code is 1 if one is not.

The bugs of the live figures and the explorer need npm's packages and Chromium. Where these are not,
they are left out and the last line says how many; one that is named is an error, and each with
VAE_KERAS_NEED_SITE=1.

To import TensorFlow takes longer than most tests. So this process imports what the tests need, all
but the package, and forks for each run; the package then comes from the copy with the bug.
"""

import contextlib
import importlib.util
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
sys.path.append(str(BENCHMARKS))
from threads import ONE_THREAD  # noqa: E402

TABLE = ROOT / "tests" / "mutants.toml"
COPIED = ("vae_keras", "tests", "notebooks", "benchmarks", "pyproject.toml", "nbval_within.py")
COPIED += ("docs/explorer", "docs/live", "docs/site.js", "docs/site.css")
NODE_MODULES = "docs/node_modules"  # the copy has a link to them
# the quick ones first, since the first failure ends a run
REST = ("tests/test_nbval_within.py", "tests/lesson", "tests/io", "tests/cli", "tests/faults")
# the others there need a site that is built
REST_OF_SITE = ("tests/site/test_live.py", "tests/site/test_explorer.py")
# imports that take long; none of them starts threads or runs an operation of the backend
IMPORTED = ("keras", "scipy.stats", "sklearn.manifold", "matplotlib.figure", "nbformat")
# what the tests of texts and of lists read
COPIED += (".github", ".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md", "CITATION.cff")
COPIED += ("CONTRIBUTING.md", "LICENSE", "MANIFEST.in", "Makefile", "README.md", "environment.yml")
COPIED += ("docs/api.md", "docs/conf.py", "docs/guides", "docs/images", "docs/pages.py")
COPIED += ("docs/browsing.py", "docs/published.py", "requirements.txt", "requirements.lock")
COPIED += ("docs/live.md", "requirements-site.txt", "requirements-site.lock")
AT_ONCE = 2
LIMIT = 1200  # seconds of a run: with some bugs it would never end
FORK = multiprocessing.get_context("fork")


class DidNotRunError(Exception):
    """The tests said neither that all passed nor that one failed."""


def read_table():
    return tomllib.loads(TABLE.read_text())["bug"]


def misfits(bug):
    """Say in words where an entry does not fit the code: an empty list if it does."""
    found = []
    count = (ROOT / bug["file"]).read_text().count(bug["stands"])
    if count != 1:
        found.append(f"what stands occurs {count} times in {bug['file']}")
    file, *names = bug["test"].partition("[")[0].split("::")
    text = (ROOT / file).read_text() if (ROOT / file).exists() else ""
    for kind, name in zip(("class", "def")[-len(names) :], names, strict=True):
        if f"{kind} {name}" not in text:
            found.append(f"there is no {name} in {file}")
    if bug["name"].startswith("peers_") != ("notebook" in bug):
        found.append("the bugs of tutorials, peers_*, name a notebook, and no others")
    elif "notebook" in bug and not (ROOT / notebook_of(bug)).exists():
        found.append(f"there is no {notebook_of(bug)}")
    return found


def marks(bug):
    """The options of pytest that its expected test needs, if it is one of the weekly ones."""
    return ["-m", "slow"] if bug.get("slow") else []


def notebook_of(bug):
    return f"notebooks/{bug['notebook']}.ipynb"


def is_of_the_site(bug):
    """Whether its expected test runs in a browser."""
    return bug["test"].startswith("tests/site/")


def missing_for_site():
    """What the tests in a browser need, and is not here."""
    there = {
        "Chromium (apt-get install chromium)": shutil.which("chromium"),
        "playwright (make mutants)": importlib.util.find_spec("playwright"),
        "npm's packages (make mutants, where npm is)": (ROOT / NODE_MODULES).is_dir(),
        "onnx (make mutants)": importlib.util.find_spec("onnx"),
    }
    return [what for what, is_there in there.items() if not is_there]


def copy_with(bug, folder):
    """Copy to a folder what the tests need, and plant the bug there, if one is given."""
    for name in dict.fromkeys(COPIED):
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / NODE_MODULES).symlink_to(ROOT / NODE_MODULES)
    if bug:
        path = folder / bug["file"]
        path.write_text(path.read_text().replace(bug["stands"], bug["planted"]))


class FirstFailure:
    """A plugin of pytest that notes the test, the cell or the file that fails first."""

    name = None

    def note(self, report):
        if report.failed and self.name is None:
            self.name = report.nodeid

    def pytest_runtest_logreport(self, report):
        self.note(report)

    def pytest_collectreport(self, report):
        self.note(report)


def run_pytest(folder, arguments, answer):
    """Run pytest in a copy, in a process forked for it, and send its exit code and first failure.

    What it prints goes to a file beside the copy.
    """
    os.setsid()  # so that it can be ended with all processes that it starts
    printed = os.open(f"{folder}.log", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(printed, stream)
    os.chdir(folder)
    os.environ["PYTHONPATH"] = folder  # for the processes that tests start
    os.environ["VAE_KERAS_NEED_SITE"] = "1"  # a test that is skipped sees no bug
    if "--nbval" not in arguments:  # a notebook is computed with the threads that a reader has
        os.environ.update(ONE_THREAD)
    here = {*TABLE.parents, BENCHMARKS}  # where there is no bug
    sys.path[:] = [folder, *(place for place in sys.path if Path(place) not in here)]
    code = None
    failure = FirstFailure()
    try:
        options = ["-x", "-p", "no:cacheprovider", f"--basetemp={folder}.tmp"]
        code = int(importlib.import_module("pytest").main([*options, *arguments], [failure]))
        package = sys.modules.get("vae_keras")
        if package and not package.__file__.startswith(folder):
            print(f"The tests ran on {package.__file__}.")
            code = None
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    answer.send((code, failure.name))
    os._exit(0)  # without what the backend does at a normal exit


def first_failure(bug, arguments):
    """Run pytest on a copy with the bug. Returns what failed first, or `None` if all passed."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve() / "copy"
        copy_with(bug, folder)
        reader, writer = FORK.Pipe(duplex=False)
        process = FORK.Process(target=run_pytest, args=(str(folder), arguments, writer))
        process.start()
        writer.close()
        try:
            if not reader.poll(LIMIT):
                return f"its time: no end after {LIMIT} s of {' '.join(arguments)}"
            code, failure = reader.recv()
        except EOFError:
            code = failure = None
        finally:
            end(process)
        if failure or code == 0:
            return failure
        log = Path(f"{folder}.log").read_text(errors="replace")
        raise DidNotRunError(f"{' '.join(arguments)} did not run; pytest's code is {code}:\n{log}")


def end(process):
    """End what is left of a run, and of the processes that its tests have started."""
    with contextlib.suppress(ProcessLookupError):  # all may have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


def killers(bug):
    """Yield what sees the bug, or `None`: a unit test, and for the bugs of tutorials a cell."""
    expected = bug["test"]
    killer = first_failure(bug, [*marks(bug), expected])
    if killer is None:
        rest = REST_OF_SITE if is_of_the_site(bug) else REST
        other = first_failure(bug, [*rest, "--deselect", expected])
        killer = other and f"{other}, and not by {expected}"
    yield killer
    if "notebook" in bug:
        yield first_failure(bug, ["--nbval", notebook_of(bug)])


def verdict_on(bug):
    """Look for what sees the bug. Returns whether all that must see it do, and a line."""
    start = time.perf_counter()
    try:
        found = list(killers(bug))
    except DidNotRunError as error:
        found = [None]
        line = f"none: {error}"
    else:
        line = " and by ".join(killer or "NONE" for killer in found)
    word = "killed  " if all(found) else "SURVIVED"
    seconds = time.perf_counter() - start
    return all(found), f"{word} {bug['name']} by {line} ({seconds:.0f} s)"


def verdict_without_bugs(arguments):
    """Run tests on a copy without a bug. Returns whether all passed, and a line."""
    start = time.perf_counter()
    try:
        failure = first_failure(None, arguments)
    except DidNotRunError as error:
        failure = str(error)
    what = arguments[-1].partition("::")[0]
    says = f"FAILS already without any bug: {failure}" if failure else "passes without any bug"
    return not failure, f"{what} {says} ({time.perf_counter() - start:.0f} s)"


def healthy_runs(bugs):
    """The tests that are expected to see bugs, those of a file together.

    That the notebooks pass is not tried again: `make test` does, and it takes long.
    """
    tests = sorted({(*marks(bug), bug["test"]) for bug in bugs})
    files = groupby(tests, key=lambda test: (test[:-1], test[-1].partition("::")[0]))
    return [[*options, *(test[-1] for test in group)] for (options, _), group in files]


def all_hold(verdict, things):
    """Take the verdict on each thing, some at once, and print its line. Returns how many held."""
    with ProcessPoolExecutor(AT_ONCE, FORK) as pool:
        waiting = [pool.submit(verdict, thing) for thing in things]
        held = 0
        for i, done in enumerate(as_completed(waiting), start=1):
            holds, line = done.result()
            print(f"[{i}/{len(waiting)}] {line}", flush=True)
            held += holds
    return held


def chosen(names):
    """The bugs of these names, or all; ends the program if there is no such bug, or none fits."""
    bugs = read_table()
    if unknown := set(names) - {bug["name"] for bug in bugs}:
        sys.exit(f"There is no bug {', '.join(sorted(unknown))} in {TABLE.name}.")
    bugs = [bug for bug in bugs if not names or bug["name"] in names]
    lines = [f"{bug['name']}: {reason}" for bug in bugs for reason in misfits(bug)]
    if lines:
        sys.exit("\n".join(lines))
    return bugs


def left_out(bugs, must_run):
    """Those that cannot be seen here; ends the program if there are some, and all must run."""
    missing = missing_for_site()
    found = [bug for bug in bugs if missing and is_of_the_site(bug)]
    if found and must_run:
        sys.exit(f"The bugs that a browser sees need what is not here: {', '.join(missing)}.")
    return found


def main():
    names = sys.argv[1:]
    bugs = chosen(names)
    site_is_needed = os.environ.get("VAE_KERAS_NEED_SITE") == "1"
    unseen = left_out(bugs, must_run=bool(names) or site_is_needed)
    bugs = [bug for bug in bugs if bug not in unseen]
    start = time.perf_counter()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # NumPy's library has threads, of which a forked process makes its own
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    for name in IMPORTED:
        importlib.import_module(name)
    runs = healthy_runs(bugs)
    if all_hold(verdict_without_bugs, runs) < len(runs):
        sys.exit("Tests that fail without any bug cannot see one.")
    killed = all_hold(verdict_on, bugs)
    minutes = (time.perf_counter() - start) / 60
    print(f"{killed} killed, {len(bugs) - killed} survived, in {minutes:.0f} minutes")
    if unseen:
        print(f"{len(unseen)} left out: they need npm's packages and Chromium")
    sys.exit(killed < len(bugs))


if __name__ == "__main__":
    main()
