"""The recorded long runs: whole, and what their commands give, as a fresh first epoch tells."""

import json
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from small_networks import tiny_vae

from vae_keras import ConvVAE, binarize, load_mnist

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import good_values  # noqa: E402
import record  # noqa: E402
import streaming  # noqa: E402

SAID = {"command", "commit", "tensorflow", "keras", "numpy", "python", "cpu", "cores", "date"}
# of the order of the images before; they tell of no first steps
OLD = {"keng2017", "keng2017_error"}
COMPARISONS = ("learned_prior", "disentanglement", "importance_weighted", "good_values")


def steps_to_take_again(name):
    """A record as a parameter: an old one is skipped, and a second one of the same network."""
    marks = [pytest.mark.skip(reason="the record is not made anew yet")] if name in OLD else []
    # the network of "keng2017_error" is that of "keng2017"
    return pytest.param(name, marks=[*marks, pytest.mark.slow] if "error" in name else marks)


class TestRecord:
    @pytest.mark.parametrize("name", record.RECIPE_OF)
    def test_it_is_finished_and_says_how_it_was_made(self, name):
        kept = record.read_record(name)
        assert set(kept) >= SAID
        assert f"record.py {name}" in kept["command"]
        assert [entry["epoch"] for entry in kept["log"]] == list(range(1, kept["epochs"] + 1))
        assert kept["test_neg_elbo"] == kept["log"][-1]["test_neg_elbo"]

    @pytest.mark.parametrize("name", record.RECIPE_OF)
    def test_it_was_made_on_committed_code(self, name):
        assert not record.read_record(name)["commit"].endswith("-dirty")

    @pytest.mark.parametrize("name", [steps_to_take_again(name) for name in record.RECIPE_OF])
    def test_its_first_steps_come_out_again(self, name):
        kept = record.read_record(name)
        assert len(kept["first_steps"]) == record.FIRST_STEPS
        few = 5 if name == "keng2017" else record.FIRST_STEPS  # whose 20 take the longest
        fresh = record.first_steps(name, few, epochs=kept["epochs"])
        for step, wanted in zip(fresh, kept["first_steps"][:few], strict=True):
            # of a thousandth of a nat the last printed digit is more than 1 %
            assert step == pytest.approx(wanted, rel=0.01, abs=1e-3)


def test_the_reported_loss_of_the_2017_error_lacks_what_the_missing_term_says():
    for entry in record.read_record("keng2017_error")["log"]:
        whole = entry["test_loss_reported"] + entry["test_missing"]
        assert whole == pytest.approx(entry["test_neg_elbo"], abs=0.5)
        assert entry["test_loss_reported"] < entry["test_neg_elbo"]


class TestComparisons:
    """The records that notebooks 10 to 13 read."""

    @staticmethod
    def read(name):
        return json.loads((record.RECORDS / f"{name}.json").read_text())

    @pytest.mark.parametrize("name", COMPARISONS)
    def test_it_says_how_it_was_made_and_the_table_of_records_too(self, name):
        kept = self.read(name)
        assert set(kept) >= SAID
        assert kept["command"] == f"python benchmarks/{name}.py"
        assert not kept["commit"].endswith("-dirty")
        said = [kept["commit"][:7], kept["date"], f"`{kept['command']}`"]
        row = row_of(name)
        assert [text for text in [*said, f"| {kept['minutes']:.0f} |"] if text not in row] == []

    def test_the_shapes_are_trained_on_once_in_each_way_with_each_seed(self):
        runs = self.read("disentanglement")["runs"]
        found = [(run["seed"], run["beta"], run["epochs"]) for run in runs]
        ways = [(1, 20), (4, 20), (1, 40)]
        assert sorted(found) == sorted((seed, *way) for seed in range(5) for way in ways)

    def test_each_bound_is_scored_after_equal_steps_and_equal_time_with_each_seed(self):
        runs = self.read("importance_weighted")["runs"]
        found = [(run["name"], run["seed"], at) for run in runs for at in run["equal"]]
        names = ("k_50", "elbo_50", "k_5", "k_1")
        wanted = [(name, seed, at) for name in names for seed in (0, 1) for at in ("steps", "time")]
        assert sorted(found) == sorted(wanted)

    def test_estimates_of_log_p_rise_with_the_draws(self):
        for run in self.read("importance_weighted")["runs"]:
            nats = [run[name][0] for name in ("bound_1", "bound_5", "bound_50", "nll_250")]
            assert nats == sorted(nats, reverse=True)

    def test_the_table_of_good_values_is_whole(self):
        runs = self.read("good_values")["runs"]
        found = [(run["network"], run["latents"], run["images"], run["seed"]) for run in runs]
        wanted = [("dense", *which) for which in good_values.DENSE]
        assert found == [*wanted, *(("default", *which) for which in good_values.DEFAULT)]

    def test_each_good_value_is_below_the_mean_image_and_above_the_floor(self):
        kept = self.read("good_values")
        for run in kept["runs"]:
            assert run["test_neg_elbo"] < kept["mean_image"][run["images"]]
            assert run["test_neg_elbo"] > kept["floor"][run["images"]]
            assert len(run["log"]) == kept["epochs"]


def row_of(name):
    """The row of a record in the tables of benchmarks/README.md."""
    lines = (BENCHMARKS / "README.md").read_text().splitlines()
    (row,) = [line for line in lines if line.startswith(f"| [{name}](records/{name}.json)")]
    return row


def said_of(name):
    """What the tables must say of a record, as they print it."""
    kept = json.loads((record.RECORDS / f"{name}.json").read_text())
    nll = kept.get("nll") or {
        "mean": kept.get("test_nll"), "standard_error": kept.get("test_nll_standard_error")
    }  # fmt: skip
    said = [f"{kept['test_neg_elbo']:.2f}", kept["commit"][:7], f"`{kept['command']}`"]
    said += [f"{nll['mean']:.2f}"] if nll["mean"] else []
    said += [f"± {nll['standard_error']:.2f}"] if nll.get("standard_error") else []
    epochs = kept["epochs"] if "epochs" in kept else kept["chosen"]["epoch"]
    said += [f"| {minutes_of(name)} |"]
    return [*said, f"| {epochs} |", *([kept["date"]] if "date" in kept else [])]


def minutes_of(name):
    kept = json.loads((record.RECORDS / f"{name}.json").read_text())
    return f"{kept['log'][-1]['seconds'] / 60:.0f}"


@pytest.mark.parametrize("name", [*record.RECIPE_OF, "gpu"])
def test_the_table_of_records_says_what_they_hold(name):
    row = row_of(name)
    assert [text for text in said_of(name) if text not in row] == []


@pytest.mark.parametrize("name", ["keng2017", "best", "binarized", "gpu"])
def test_the_readmes_table_of_results_says_what_the_records_hold(name):
    lines = (BENCHMARKS.parent / "README.md").read_text().splitlines()
    (row,) = [line for line in lines if f"](benchmarks/records/{name}.json)" in line]
    said = [text for text in said_of(name) if re.fullmatch(r"[\d.]+|± [\d.]+|\| \d+ \|", text)]
    said.remove(f"| {minutes_of(name)} |")
    assert len(said) >= 3
    assert [text for text in said if text not in row] == []


def figures_of(name):
    """The figures of a record that the guide to the results quotes, as it prints them."""
    kept = json.loads((record.RECORDS / f"{name}.json").read_text())
    end = kept["log"][-1]
    if name == "gpu":
        parts = ("test_nll", "test_neg_elbo")
        return [f"{kept[part]:.2f} ± {kept[f'{part}_standard_error']:.2f}" for part in parts]
    if name == "binarized":
        return [f"{kept['nll']['mean']:.2f} ± {kept['nll']['standard_error']:.2f}"]
    parts = {"keng2017_error": ("test_loss_reported", "test_missing"), "best": ("loss",)}
    return [f"{end[part]:.2f}" for part in (*parts.get(name, ()), "test_neg_elbo")]


@pytest.mark.parametrize("name", [*record.RECIPE_OF, "gpu"])
def test_the_guide_quotes_the_records(name):
    text = (BENCHMARKS.parent / "docs/guides/results.md").read_text()
    assert [figure for figure in figures_of(name) if figure not in text] == []


def test_the_guide_says_what_streaming_costs():
    kept = json.loads((record.RECORDS / "streaming.json").read_text())
    assert set(kept) >= SAID
    assert not kept["commit"].endswith("-dirty")
    text = (BENCHMARKS.parent / "docs/guides/your_images.md").read_text()
    peaks = kept["peak_mebibytes"].values()
    figures = [*map(str, peaks)]
    for ratios in kept["seconds_by_those_from_memory"].values():
        assert len(ratios) == streaming.ROUNDS
        figures.append(f"{median(ratios):.2f} times")
        figures.append(f"({min(ratios):.2f} to {max(ratios):.2f})")
    assert [figure for figure in figures if figure not in text] == []
    assert kept["commit"][:7] in (BENCHMARKS / "README.md").read_text()


def test_a_trial_of_streaming_tells_how_much_longer_files_take(tmp_path, monkeypatch):
    def run_and_pretend(rounds, tasks):
        """Run each task, and let that from files take twice as long."""
        for task in tasks.values():
            task()
        return {"files": [6.0], "memory": [3.0]}

    monkeypatch.setattr(record, "commit_of_code", lambda: "of a copy")
    monkeypatch.setattr(streaming, "interleave", run_and_pretend)
    monkeypatch.setattr(streaming, "ConvVAE", tiny_vae)
    monkeypatch.setattr(streaming, "FOLDERS", (8,))
    words = ["streaming.py", "--images", "8", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    streaming.main()
    kept = json.loads((tmp_path / "streaming.json").read_text())
    assert kept["seconds_by_those_from_memory"] == {"28 x 28": [2.0], "64 x 64": [2.0]}
    # an import of TensorFlow alone takes more than the one, and no run so small the other
    assert 100 < kept["peak_mebibytes"]["8"] < 10_000


class TestKeptModel:
    """What is scored is what is kept: the weights in half precision, image by image."""

    @pytest.fixture
    def kept(self, tmp_path, monkeypatch):
        """The default network as it starts, kept in a folder, with an empty record beside it."""
        monkeypatch.setattr(record, "NLL_SAMPLES", 3)
        monkeypatch.setattr(record, "SCORED_AT_ONCE", 2)
        monkeypatch.setattr(record, "commit_of_code", lambda: "of a copy")
        vae = ConvVAE(seed=0)
        record.keep(vae, tmp_path / "binarized.npz")
        (tmp_path / "binarized.json").write_text("{}")
        return vae

    def test_its_weights_are_the_rounded_ones(self, kept, tmp_path):
        model = ConvVAE(seed=1)
        record.load_kept(model, tmp_path / "binarized.npz")
        for part in ("encoder", "decoder_network"):
            weights = getattr(model, part).get_weights(), getattr(kept, part).get_weights()
            for one, other in zip(*weights, strict=True):
                np.testing.assert_array_equal(one, other.astype("float16").astype("float32"))

    def test_a_weight_too_large_for_half_precision_is_refused(self, kept, tmp_path):
        kept.encoder.get_layer("z_mean").bias.assign(np.full(64, 1e6))
        with (
            np.errstate(over="ignore"),
            pytest.raises(ValueError, match="too large for half precision"),
        ):
            record.keep(kept, tmp_path / "other.npz")
        assert not (tmp_path / "other.npz").exists()

    def test_every_image_is_scored_once_and_a_stopped_score_goes_on(self, kept, tmp_path):
        done = tmp_path / "binarized_nats.npz"
        np.savez(done, nll=[7.0, 8.0, np.nan, np.nan])  # as if it had been stopped half-way
        record.score("binarized", tmp_path, num_images=4)
        x = binarize(load_mnist()[1][0][:4], seed=0)
        model = ConvVAE()
        record.load_kept(model, tmp_path / "binarized.npz")
        fresh = -model.log_likelihood(x[2:], 3, seed=2)
        with np.load(done) as file:
            np.testing.assert_allclose(file["nll"], [7.0, 8.0, *fresh], rtol=1e-6)
        scored = json.loads((tmp_path / "binarized.json").read_text())
        wanted = {"images": 4, "mean": (15 + fresh.sum()) / 4}
        assert {name: scored["nll"][name] for name in wanted} == pytest.approx(wanted, abs=1e-4)

    def test_scores_of_other_images_are_not_taken_for_these(self, kept, tmp_path):
        np.savez(tmp_path / "binarized_nats.npz", nll=[7.0, 8.0])
        with pytest.raises(SystemExit, match="scores of 2 images, not of 4"):
            record.score("binarized", tmp_path, num_images=4)

    def test_a_record_that_keeps_no_model_is_not_scored(self, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", ["record.py", "best", "--score"])
        with pytest.raises(SystemExit):
            record.main()
        assert "--score takes binarized" in capsys.readouterr().err


class Trained(Exception):  # noqa: N818
    """That training has begun."""


class TestUncommittedCode:
    """The command as if it lay in another repository, of one commit; training is not begun."""

    @pytest.fixture(autouse=True)
    def _repository(self, tmp_path, monkeypatch):
        monkeypatch.setattr(record, "RECORDS", tmp_path / "benchmarks" / "records")
        monkeypatch.setattr(record, "prepare", self.begin)
        record.RECORDS.mkdir(parents=True)
        self.code = tmp_path / "benchmarks" / "code.py"
        self.code.write_text("x = 1\n")
        self.kept = record.RECORDS / "best.json"
        self.kept.write_text("{}\n")
        author = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        for command in (["init"], ["add", "."], [*author, "commit", "--message=first"]):
            subprocess.run(["git", *command], cwd=tmp_path, check=True, capture_output=True)

    @staticmethod
    def begin(*_):
        raise Trained

    def test_its_record_is_refused_in_one_line_that_says_what_to_do(self, monkeypatch):
        self.code.write_text("x = 2\n")
        monkeypatch.setattr(sys, "argv", ["record.py", "best"])
        with pytest.raises(SystemExit, match=r"commit them, or .* --output FOLDER\.$") as refusal:
            record.main()
        assert "\n" not in refusal.value.code

    def test_a_score_by_it_is_refused_too(self, monkeypatch):
        self.code.write_text("x = 2\n")
        monkeypatch.setattr(sys, "argv", ["record.py", "binarized", "--score"])
        with pytest.raises(SystemExit, match=r"A record must name the commit"):
            record.main()

    @pytest.mark.parametrize("words", [("best",), ("binarized", "--score")])
    def test_a_trial_on_few_images_must_name_a_folder(self, words, monkeypatch, capsys):
        monkeypatch.setattr(sys, "argv", ["record.py", *words, "--images", "40"])
        with pytest.raises(SystemExit):
            record.main()
        assert "--output FOLDER" in capsys.readouterr().err

    def test_a_trial_of_it_in_another_folder_begins(self, tmp_path, monkeypatch):
        self.code.write_text("x = 2\n")
        monkeypatch.setattr(sys, "argv", ["record.py", "best", "--output", str(tmp_path)])
        with pytest.raises(Trained):
            record.main()

    def test_a_record_made_just_before_is_no_such_change(self, monkeypatch):
        self.kept.write_text('{"commit": "0123456789ab"}\n')
        monkeypatch.setattr(sys, "argv", ["record.py", "keng2017"])
        with pytest.raises(Trained):
            record.main()
