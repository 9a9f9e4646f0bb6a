import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.report.elements.inputs import read_record
from knee_i2m2.report.paper.reporting_sheet import reporting_sheet
from tests.evaluation.runs import EXPERTS, leak_into_train, make_run, make_ten_classes
from tests.report.page_parts import NASTY

HEADINGS = {
    "Title and abstract": range(1, 3),
    "Introduction": range(3, 5),
    "Methods: study design": range(5, 7),
    "Methods: data": range(7, 14),
    "Methods: reference standard": range(14, 19),
    "Methods: data partitions": range(19, 21),
    "Methods: testing data": range(21, 22),
    "Methods: model": range(22, 25),
    "Methods: training": range(25, 28),
    "Methods: evaluation": range(28, 35),
    "Results: data": range(35, 37),
    "Results: model performance": range(37, 40),
    "Discussion": range(40, 42),
    "Other information": range(42, 45),
}
DATA = {
    "task": "knee",
    "settings": {"split": "patient", "seed": 3, "acl": "reference", "normalise": "volume", "columns": None},
    "sources": {"a": "0" * 64, "b": "1" * 64},
    "modalities": {"magnitude": {"shape": [1, 8, 8], "unit": "RMS of the volume", "array": "magnitude+phase"}},
    "left_out": {"unusable": 2},
    "counts": {split: {"samples": 72, "clusters": 12, "positives": {"acl": 30}} for split in ("train", "val", "test")},
}
FROM_PREDICTIONS = {27, 28, 29, 30, 31, 37, 38}
"""Items that the predictions and their evaluation fill in without any word about the data."""


def items(sheet: str) -> dict[int, str]:
    """Returns what stands under the number of every item."""
    parts = re.split(r"^### (\d+)\. ", re.sub(r"^## .*\n", "", sheet, flags=re.MULTILINE), flags=re.MULTILINE)
    return {int(number): text for number, text in zip(parts[1::2], parts[2::2], strict=True)}


def filled(sheet: str) -> set[int]:
    return {number for number, text in items(sheet).items() if "**TO DO**" not in text}


def sheet_of(run: Path, replicates: int = 20, options: Mapping[str, object] | None = None) -> str:
    if options:
        (run / "config.yaml").write_text(yaml.safe_dump(dict(options)))
    evaluate(run, replicates, allow_leaks=True)
    return reporting_sheet(read_record(run))


def told(run: Path) -> Path:
    """Adds what `prepare` and `train` leave beside the predictions."""
    (run / "data.json").write_text(json.dumps(DATA))
    environment = {"command": "knee-i2m2 train knee", "python": "3.11", "packages": {"torch": "2.13.0"}}
    (run / "environment.json").write_text(json.dumps(environment))
    amounts = {"finished": True, "epochs": 3, "best_epoch": 1, "updates": 30, "parameters": 97_000}
    lines = [{"rival": rival, "seed": seed, **amounts} for rival in ("magnitude", "i2m2") for seed in (0, 1)]
    lines.append({"rival": "frozen", "seed": 0, **amounts, "epochs": 0, "best_epoch": None})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return told(make_run(tmp_path_factory.mktemp("sheet")))


@pytest.fixture(scope="module")
def sheet(run: Path) -> str:
    return sheet_of(run, 50, options={"lr": 0.003, "data": "/home/somebody/data", "out": "/home/somebody/run"})


def test_all_44_items_stand_once_and_in_order_under_their_headings(sheet: str) -> None:
    assert [int(n) for n in re.findall(r"^### (\d+)\. ", sheet, flags=re.MULTILINE)] == list(range(1, 45))
    chapters = re.split(r"^## (.*)$", sheet, flags=re.MULTILINE)[1:]
    assert dict(zip(chapters[::2], map(list, map(items, chapters[1::2])), strict=True)) == {
        heading: list(numbers) for heading, numbers in HEADINGS.items()
    }


def test_the_count_is_that_of_the_items_without_anything_to_do(sheet: str) -> None:
    assert f"**{len(filled(sheet))} of 44 items are filled in automatically; the rest is marked TO DO" in sheet
    assert sheet.count("**TO DO**") == 44 - len(filled(sheet))
    assert filled(sheet) == FROM_PREDICTIONS | {9, 19, 20, 23, 25, 26, 32, 35}


def test_numbers_are_those_of_the_evaluation(run: Path, sheet: str) -> None:
    evaluation = pd.read_csv(run / "evaluation.csv", dtype={"seed": str})
    chosen = "rival == 'i2m2' and seed == 'mean' and split == 'test' and subgroup == 'all' and target == 'acl'"
    rows = evaluation.query(chosen).set_index(["unit", "metric"])
    for number, unit, metric in ((37, "volume", "auroc"), (38, "slice", "sensitivity"), (38, "slice", "brier")):
        row = rows.loc[unit, metric]
        interval = "" if np.isnan(row["low"]) else f" [{row['low']:.3f}, {row['high']:.3f}]"
        assert f"{row['value']:.3f}{interval}".replace("-", "−") in items(sheet)[number]


def test_what_the_run_knows_is_told(sheet: str) -> None:
    expected = {
        7: "2 source files",
        8: "unusable 2",
        9: "columns none",
        10: "72 of the 72 samples",
        14: "acl reference",
        19: "split patient; seed 3",
        20: "in more than one of train, val and test",
        22: "i2m2: 3 experts, magnitude, phase and magnitude+phase; seeds 0 and 1",
        23: "torch 2.13.0",
        25: "lr 0.003",
        26: "i2m2, seed 1: 2 of 3",
        29: "50 bootstrap replicates",
        36: "sequence: PD, 36 slices of 12 clusters",
        43: "knee-i2m2 train knee",
    }
    assert [number for number, text in expected.items() if text not in items(sheet)[number]] == []
    assert "frozen" not in items(sheet)[26]
    assert "somebody" not in sheet


def test_nothing_is_guessed_of_data_that_tell_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"magnitude": ("magnitude",), "i2m2": EXPERTS["i2m2"]}, seeds=1)
    (run / "clusters.json").unlink()
    sheet = sheet_of(run)
    assert filled(sheet) == FROM_PREDICTIONS
    for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 15, 16, 18, 19, 23, 25, 26, 33, 34, 35, 41, 42, 43, 44):
        assert re.fullmatch(r"[^\n]+\n\n\*\*TO DO\*\* [^\n]+\n\s*", items(sheet)[number])
    assert "in more than one of val and test" in items(sheet)[20]
    assert not re.search("knee|k-space|fastMRI|simulated", sheet, re.IGNORECASE)


def test_an_ideal_observer_tells_that_the_data_are_simulated(sheet: str) -> None:
    assert all("The data are simulated" in items(sheet)[number] for number in (7, 40))


def test_a_leak_is_told_loudly_and_nobody_is_named(tmp_path: Path) -> None:
    run = told(make_run(tmp_path, seeds=1))
    leak_into_train(run, 2)
    sheet = sheet_of(run)
    assert "**THE SPLIT LEAKS: 2 clusters, such as patients, are in more than one split" in sheet.split("##")[0]
    assert all("THE SPLIT LEAKS" in items(sheet)[number] for number in (20, 40))
    assert "testp000" not in sheet


def test_names_are_escaped(tmp_path: Path) -> None:
    rivals = {"i2m2": EXPERTS["i2m2"], "a|<b>": ("phase",)}
    run = told(make_run(tmp_path, rivals, 1, targets=(NASTY, "up|down")))
    (run / "data.json").write_text(json.dumps(DATA | {"left_out": {NASTY: 1}, "settings": {"<b>": "x|y\n# z"}}))
    (run / "environment.json").write_text(json.dumps({"command": NASTY, "<i>": "|"}))
    sheet = sheet_of(run, options={"<u>": NASTY})
    assert not re.search("<[a-z/]", sheet)
    assert not re.search(r"(?<!\\)\|down|a\|", sheet)
    assert list(items(sheet)) == list(range(1, 45))


def test_another_task_is_not_taken_for_a_knee(tmp_path: Path) -> None:
    make_ten_classes(tmp_path)
    made = {"settings": {"components": 4, "snr": [-18.0, -1.0]}, "counts": {"train": {"samples": 9}, "test": {}}}
    (tmp_path / "data.json").write_text(json.dumps({"task": "avmnist", **made}))
    sheet = sheet_of(tmp_path)
    assert filled(sheet) == FROM_PREDICTIONS - {30, 31, 38} | {9, 32}
    assert "components 4; snr -18.0, -1.0" in items(sheet)[9]
    assert "Accuracy, per sample:" in items(sheet)[37]
    assert not re.search("AUROC|knee|slice", sheet)
