"""AV-MNIST goes from real digits, speech and noise to a table of accuracies, in the verbs' own words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import log_softmax

from knee_i2m2 import predictions
from knee_i2m2.cli import main
from knee_i2m2.recipes.avmnist import RIVALS as KNOWN
from knee_i2m2.recipes.avmnist import STANDARD
from knee_i2m2.types import Rival

RIVALS = {name: KNOWN[name] for name in (*STANDARD, "ogm_ge", "mincq", "i2moe")}
SIZES = ("--train", "256", "--val", "60", "--test", "90")
SHORT = ("--epochs", "1", "--fine-tune-epochs", "1", "--threads", "1")


def prepare(shared: Path, out: Path, *options: str) -> Path:
    inputs = ("--mnist", shared / "mnist", "--fsdd", shared / "fsdd/recordings.zip", "--noise", shared / "noise")
    assert main(["prepare", "avmnist", *map(str, inputs), "--out", str(out), *options]) == 0
    return out


def train(data: Path, out: Path, *options: str) -> int:
    return main(["train", "avmnist", "--data", str(data), "--out", str(out), *options])


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Gives the threads back that `--threads 1` takes from the process: such small networks are slower with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def data(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare(shared_data, tmp_path_factory.mktemp("avmnist") / "data", *SIZES)


@pytest.fixture(scope="module")
def run(data: Path) -> Path:
    """A run of all rivals, of two seeds, evaluated and reported."""
    out = data.with_name("run")
    assert train(data, out, "--rivals", *RIVALS, "--seeds", "0", "1", *SHORT) == 0
    assert main(["evaluate", str(out), "--replicates", "100"]) == 0
    assert main(["report", str(out)]) == 0
    return out


def answers(run: Path, rival: str, split: str = "test", seed: int = 0) -> pd.DataFrame:
    return predictions.read(run / "predictions" / rival / str(seed) / f"{split}.parquet")


@pytest.mark.parametrize("rival", RIVALS)
def test_every_pair_is_answered_by_the_rivals_experts(rival: str, run: Path, data: Path) -> None:
    index = pd.read_parquet(data / "index.parquet")
    for split in ("val", "test"):
        asked, said = index[index["split"] == split], answers(run, rival, split)
        assert predictions.classes(said) == 10 and predictions.experts(said) == RIVALS[rival].experts
        assert (said["truth"].to_numpy() == asked["label"].to_numpy()).all()
        assert (said["cluster"].to_numpy() == asked["recording"].to_numpy()).all()
        assert not predictions.logits(said, "bias").any()  # no class is weighted, so nothing is to be undone


def test_the_frozen_product_hears_its_experts_as_they_answer_alone(run: Path) -> None:
    for rival, expert in (("image", "image"), ("audio", "audio"), ("inter", "image+audio")):
        frozen, alone = (predictions.logits(answers(run, name), expert) for name in ("frozen", rival))
        np.testing.assert_allclose(frozen, alone, atol=1e-6)
        assert not np.allclose(alone, predictions.logits(answers(run, "i2m2"), expert), atol=1e-6)


def test_accuracies_have_intervals_over_recordings(run: Path, data: Path) -> None:
    index = pd.read_parquet(data / "index.parquet")
    recordings = index.groupby("split")["recording"].nunique()
    table = pd.read_csv(run / "evaluation.csv").query("seed == 'mean' and target == 'label' and metric != 'entropy'")
    assert set(zip(table["rival"], table["split"], strict=True)) == {(r, s) for r in RIVALS for s in ("val", "test")}
    assert set(table["metric"]) == {"accuracy"} and set(table["unit"]) == {"sample"}
    assert (table["clusters"].to_numpy() == recordings[table["split"]].to_numpy()).all()
    low, value, high = table[["low", "value", "high"]].to_numpy().T
    assert ((low >= 0) & (low <= value) & (value <= high) & (high <= 1) & (low < high)).all()


def test_a_headline_accuracy_is_the_share_of_right_answers_over_both_seeds(run: Path) -> None:
    said = pd.concat([answers(run, "i2m2", seed=seed) for seed in (0, 1)])
    share = (said[[f"logp_{c}" for c in range(10)]].to_numpy().argmax(axis=1) == said["truth"]).mean()
    table = pd.read_csv(run / "evaluation.csv").query("rival == 'i2m2' and split == 'test' and seed == 'mean'")
    np.testing.assert_allclose(table.query("metric == 'accuracy'")["value"], share)


def test_a_rival_learns(shared_data: Path, tmp_path: Path) -> None:
    data = prepare(shared_data, tmp_path / "data", "--train", "1500", "--val", "100", "--test", "400")
    assert train(data, tmp_path / "run", "--rivals", "image", "--epochs", "5", "--threads", "1") == 0
    said = answers(tmp_path / "run", "image")
    share = (said[[f"logp_{c}" for c in range(10)]].to_numpy().argmax(axis=1) == said["truth"]).mean()
    assert 0.4 < share < 0.75  # .1 by chance; four components tell no more than about .64


def test_every_other_rival_is_compared_with_i2m2(run: Path) -> None:
    table = pd.read_csv(run / "comparisons.csv").query("seed == 'mean' and split == 'test' and target == 'label'")
    assert set(table["rival"]) == set(RIVALS) - {"i2m2"} and set(table["against"]) == {"i2m2"}
    assert np.isfinite(table[["low", "value", "high"]].to_numpy()).all()


def test_the_report_has_a_row_for_every_rival(run: Path) -> None:
    page = (run / "report.md").read_text()
    assert all(f"| {rival} |" in page.replace("\\_", "_") for rival in RIVALS) and "accuracy" in page.lower()
    assert (run / "report.html").is_file()


def test_run_again_it_trains_nothing(run: Path, data: Path) -> None:
    kept = [run / "metrics.jsonl", *run.glob("experts/*/*/best/weights.safetensors"), *run.rglob("*.parquet")]
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept}
    assert train(data, run, "--rivals", *RIVALS, "--seeds", "0", "1", *SHORT) == 0
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept} == before


def test_the_same_seed_gives_the_same_bits(run: Path, data: Path, tmp_path: Path) -> None:
    assert train(data, tmp_path / "again", "--rivals", "image", *SHORT) == 0
    pd.testing.assert_frame_equal(answers(tmp_path / "again", "image"), answers(run, "image"), check_exact=True)
    assert not answers(run, "image", seed=1).equals(answers(run, "image"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--rivals", "imag"), "--rivals imag is unknown; did you mean image?"),
        (("--audio-pool", "3"), "--audio-pool 3 does not divide 112"),
        (("--audiopool", "2"), "did you mean --audio-pool?"),
        (("--epochs", "many"), "--epochs"),
        (("--epochs", "0"), "0 epochs with patience 10 train nothing"),
        (("--rivals",), "--rivals"),
        (("--batch-size", "0"), "--batch-size 0 trains nothing"),
        (("--fine-tune-lr", "-1"), "--fine-tune-lr -1.0 trains nothing"),
        (("--clip", "0"), "--clip 0.0 trains nothing"),
        (("--momentum", "-0.5"), "--momentum -0.5 is negative"),
    ],
)
def test_a_wrong_option_is_one_sentence(data, tmp_path, capsys, options: tuple[str, ...], sentence: str) -> None:
    assert train(data, tmp_path / "run", *options) == 2
    told = capsys.readouterr().err.strip()
    assert sentence in told and "\n" not in told
    assert not (tmp_path / "run").exists()


def test_another_tasks_data_are_refused(data: Path, tmp_path: Path, capsys) -> None:
    other = shutil.copytree(data, tmp_path / "knee")
    about = json.loads((other / "data.json").read_text())
    (other / "data.json").write_text(json.dumps({**about, "task": "knee"}))
    assert train(other, tmp_path / "run") == 2
    assert "holds the data of task knee" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_data_that_are_not_there_are_one_sentence(tmp_path: Path, capsys) -> None:
    assert train(tmp_path / "nowhere", tmp_path / "run") == 3
    assert "nowhere" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_missing_digits_leave_nothing_behind(shared_data: Path, tmp_path: Path, capsys) -> None:
    inputs = (
        "--mnist",
        tmp_path / "none",
        "--fsdd",
        shared_data / "fsdd/recordings.zip",
        "--noise",
        shared_data / "noise",
    )
    assert main(["prepare", "avmnist", *map(str, inputs), "--out", str(tmp_path / "data")]) == 3
    assert "none" in capsys.readouterr().err and not (tmp_path / "data").exists()


def test_a_last_pair_alone_is_trained_with_the_batch_before_it(data: Path, tmp_path: Path) -> None:
    assert train(data, tmp_path / "run", "--rivals", "i2m2", "ogm_ge", "--batch-size", "255", *SHORT) == 0


@pytest.mark.parametrize("rival", ["image", "audio", "i2m2", "ogm_ge", "gblend", "mmpareto", "shallow_fusion"])
def test_a_batch_of_one_pair_is_refused_before_anything_is_written(data, tmp_path, capsys, rival: str) -> None:
    assert train(data, tmp_path / "run", "--rivals", rival, "--batch-size", "1", *SHORT) == 2
    assert "a training batch would hold one sample" in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_without_a_modality_the_rest_answers_in_rows_of_its_own(data: Path, tmp_path: Path, caplog) -> None:
    out = tmp_path / "run"
    rivals = ("--rivals", "image", "inter", "i2m2", "--method", "shared_trunk", "late_transformer")
    assert train(data, out, *rivals, *SHORT, "--drop", "audio") == 0
    assert "inter has no row without audio: no expert of image+audio can answer from image" in caplog.text
    rows = {folder.name for folder in (out / "predictions").iterdir()} - {"image", "inter", "i2m2", "shared_trunk"}
    assert rows == {
        "late_transformer",
        *(f"{name} without audio" for name in ("i2m2", "shared_trunk", "late_transformer")),
    }
    partial = answers(out, "i2m2 without audio")
    assert predictions.experts(partial) == ("image",)
    alone = predictions.logits(answers(out, "i2m2"), "image")
    np.testing.assert_allclose(predictions.logits(partial, "image"), alone, atol=1e-6)
    logp = partial[[f"logp_{c}" for c in range(10)]].to_numpy()
    np.testing.assert_allclose(logp, log_softmax(alone, axis=-1), atol=1e-6)
    assert train(data, out, *rivals, *SHORT, "--drop", "image") == 0  # goes on, with what is new
    assert {"i2m2 without audio", "i2m2 without image"} <= {folder.name for folder in (out / "predictions").iterdir()}
    assert main(["evaluate", str(out), "--replicates", "50"]) == 0
    table = pd.read_csv(out / "evaluation.csv").query("metric == 'accuracy' and split == 'test' and seed == 'mean'")
    assert {"i2m2", "i2m2 without audio", "late_transformer without image"} <= set(table["rival"])
    assert main(["report", str(out)]) == 0
    assert "i2m2 without audio" in (out / "report.md").read_text()


def test_a_modality_that_is_not_there_cannot_be_dropped(data: Path, tmp_path: Path, capsys) -> None:
    assert train(data, tmp_path / "run", "--rivals", "image", *SHORT, "--drop", "sound") == 2
    assert "--drop sound is unknown" in capsys.readouterr().err


@pytest.mark.slow
def test_every_method_is_trained_and_evaluated(data: Path, tmp_path: Path) -> None:
    methods = [name for name in KNOWN if name not in STANDARD]
    assert train(data, tmp_path / "run", "--rivals", "i2m2", "--method", *methods, *SHORT) == 0
    for name in methods:
        found = predictions.rival(answers(tmp_path / "run", name))
        assert found == Rival(*(getattr(KNOWN[name], part) for part in ("experts", "method", "combiner", "warm")))
    assert main(["evaluate", str(tmp_path / "run"), "--replicates", "50"]) == 0
