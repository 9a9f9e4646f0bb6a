import json
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest
import yaml

from knee_i2m2 import predictions
from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.report.elements.inputs import read_record
from knee_i2m2.report.elements.verdicts import sentences
from knee_i2m2.report.paper.model_card import model_card
from tests.evaluation.runs import EXPERTS, leak_into_train, make_run
from tests.report.page_parts import NASTY
from tests.report.paper.test_reporting_sheet import told

RIVALS = {**EXPERTS, "phase": ("phase",), "intra": ("magnitude", "phase")}
HEADINGS = [
    "Model details",
    "Intended use",
    "Data",
    "Evaluation",
    "What every target depends on",
    "Subgroups",
    "Limitations",
    "Ethical considerations",
    "Contact, licence and citation",
]


def card_of(run: Path, replicates: int = 20, options: Mapping[str, object] | None = None) -> str:
    if options:
        (run / "config.yaml").write_text(yaml.safe_dump(dict(options)))
    evaluate(run, replicates, allow_leaks=True)
    return model_card(read_record(run))


def chapters(card: str) -> dict[str, str]:
    parts = re.split(r"^## (.*)$", card, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return told(make_run(tmp_path_factory.mktemp("card"), rivals=RIVALS))


@pytest.fixture(scope="module")
def card(run: Path) -> str:
    return card_of(run, 50, options={"epochs": 3, "out": "/home/somebody/run"})


def test_every_chapter_is_there_and_the_front_matter_is_yaml(run: Path, card: str) -> None:
    assert list(chapters(card)) == HEADINGS
    assert yaml.safe_load(card.split("---\n")[1]) == {
        "name": run.name,
        "task": "knee",
        "targets": ["acl", "meniscus"],
        "use": "research only, not for diagnosis",
    }


def test_numbers_are_those_of_the_evaluation(run: Path, card: str) -> None:
    evaluation = pd.read_csv(run / "evaluation.csv", dtype={"seed": str})
    chosen = "rival == 'i2m2' and seed == 'mean' and split == 'test' and target == 'acl' and unit == 'slice'"
    rows = evaluation.query(chosen).set_index(["subgroup", "metric"])
    for title, metric in (("Evaluation", "auroc"), ("Evaluation", "specificity"), ("Evaluation", "brier")):
        row = rows.loc["all", metric]
        assert f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]".replace("-", "−") in chapters(card)[title]
    inside = rows.loc["sequence=PD", "auroc"]
    assert f"{inside['value']:.3f} [{inside['low']:.3f}, {inside['high']:.3f}]" in chapters(card)["Subgroups"]


def test_the_verdicts_are_those_of_the_report(run: Path, card: str) -> None:
    record = read_record(run)
    effects = record.effects[record.effects["split"] == "test"]
    found = sentences(effects, "slice", record.settings["margin"])
    assert len(found) == 2
    assert all(f"- {sentence}\n" in chapters(card)["What every target depends on"] for sentence in found.values())


def test_what_the_run_knows_is_told_and_no_folder(card: str) -> None:
    details = chapters(card)["Model details"]
    for text in (
        "    knee-i2m2 train knee\n",
        "- i2m2: 3 experts",
        "epochs 3",
        "torch 2.13.0",
        "| i2m2 | 2 | 3 |  (in all 30) |",
    ):
        assert text in details
    assert "| test | 72 | 12 | 30 |" in chapters(card)["Data"]
    assert "somebody" not in card


def test_what_only_the_authors_know_is_to_do(card: str) -> None:
    asked = {title for title, text in chapters(card).items() if "**TO DO**" in text}
    assert asked == {"Intended use", "Limitations", "Ethical considerations", "Contact, licence and citation"}
    assert "**For research only. Not for diagnosis; not a medical device.**" in chapters(card)["Intended use"]


def test_predictions_alone_make_a_card_that_claims_nothing_of_the_data(tmp_path: Path) -> None:
    run = make_run(tmp_path, rivals={"magnitude": ("magnitude",)}, seeds=1)
    (run / "clusters.json").unlink()
    card = card_of(run)
    assert "in more than one of val and test" in chapters(card)["Data"]
    assert "train" not in chapters(card)["Data"]
    assert "Not measured" in chapters(card)["What every target depends on"]
    assert not re.search("knee|k-space|simulated|nan|None", card)


def test_what_is_not_estimable_is_a_limitation(tmp_path: Path) -> None:
    run = make_run(tmp_path, seeds=1)
    for path in run.glob("predictions/*/*/*.parquet"):
        frame = pd.read_parquet(path)
        predictions.write(frame.assign(truth=frame["truth"].where(frame["target"] != "acl", 0)), path)
    card = card_of(run)
    assert "acl in test 0 positive" in chapters(card)["Limitations"]
    assert "| not estimable |" in chapters(card)["Evaluation"]


def test_a_leak_is_told_loudly_and_nobody_is_named(tmp_path: Path) -> None:
    run = told(make_run(tmp_path, seeds=1))
    leak_into_train(run, 1)
    card = card_of(run)
    loud = "THE SPLIT LEAKS: 1 cluster, such as a patient, is in more than one split"
    assert f"**{loud}" in card.split("## ")[0]
    assert f"**{loud}" in chapters(card)["Limitations"]
    assert loud in chapters(card)["Data"]
    assert "testp000" not in card


def test_names_are_escaped(tmp_path: Path) -> None:
    rivals = {"i2m2": EXPERTS["i2m2"], "a|<b>": ("phase",)}
    run = told(make_run(tmp_path, rivals, 1, targets=(NASTY, "up|down")))
    (run / "data.json").write_text(json.dumps({"task": f"{NASTY}\n---", "settings": {"<b>": "x|y\n# z"}}))
    (run / "environment.json").write_text(json.dumps({"<i>": "|"}))
    card = card_of(run, options={"<u>": NASTY})
    assert not re.search("<[a-z/]", card)
    assert yaml.safe_load(card.split("---\n")[1])["task"] == f"{NASTY}\n---"
    assert not re.search(r"(?<!\\)\|down|a\|", card.split("---\n")[2])
    assert list(chapters(card)) == HEADINGS
