"""Single cases show what is there: the boxes lie on the lesions, the numbers are those of the predictions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from knee_i2m2.cli import main
from knee_i2m2.data.prepared import Prepared
from knee_i2m2.errors import DataError
from knee_i2m2.recipes.evaluate import EvaluateOptions, evaluate
from knee_i2m2.recipes.knee_cases import write_cases

TARGETS = ("abnormal", "meniscus", "acl", "cartilage")


@pytest.fixture(scope="module")
def run(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run, with its data where it was trained on them."""
    return shutil.copytree(small_run, tmp_path_factory.mktemp("cases") / "run")


@pytest.fixture(scope="module")
def cases(run: Path) -> dict:
    evaluate(run, EvaluateOptions(replicates=20, cases=8, device="cpu"))
    return json.loads((run / "cases" / "cases.json").read_text())


def test_a_case_is_what_the_predictions_say(run: Path, cases: dict) -> None:
    table = pd.read_parquet(run / "predictions/i2m2/0/test.parquet").set_index(["sample", "target"])
    assert len(cases["cases"]) == 8
    for case in cases["cases"]:
        row = table.loc[(case["sample"], case["target"])]
        assert case["truth"] == row["truth"]
        assert case["log_odds"] == pytest.approx(row["logp_1"] - row["logp_0"])
        assert case["log_odds"] == pytest.approx(sum(case["experts"].values()) + case["bias"])
        for expert, said in case["experts"].items():
            assert said == pytest.approx(row[f"logit_{expert}_1"] - row[f"logit_{expert}_0"])
        positive = case["log_odds"] > case["threshold"]
        kinds = {(1, True): "true positive", (0, True): "false positive", (1, False): "false negative"}
        assert case["kind"] == kinds[case["truth"], positive]


def test_every_case_has_its_pictures_at_the_size_of_the_image(run: Path, cases: dict) -> None:
    for case in cases["cases"]:
        assert set(case["pictures"]) == {"magnitude", "phase", "kspace"}
        assert set(case["saliency"]) == {"magnitude", "phase", "magnitude+phase"}
        for name in (*case["pictures"].values(), *case["saliency"].values()):
            assert Image.open(run / "cases" / name).size == (32, 32)


def test_the_centre_of_kspace_is_the_centre_of_its_picture(run: Path, cases: dict) -> None:
    for case in cases["cases"]:
        bright = np.asarray(Image.open(run / "cases" / case["pictures"]["kspace"]).convert("L"))
        assert np.unravel_index(bright.argmax(), bright.shape) == pytest.approx((16, 16), abs=1)


def test_boxes_are_those_of_the_sample_and_know_their_target(small_run: Path, cases: dict) -> None:
    index = pd.read_parquet(small_run.parent / "data/index.parquet").set_index("sample")
    for case in cases["cases"]:
        assert [box["label"] for box in case["boxes"]] == [box["label"] for box in index.loc[case["sample"], "boxes"]]
        assert (case["target"] in {box["target"] for box in case["boxes"]}) == bool(case["truth"])


def test_boxes_lie_on_the_planted_lesions(small_run: Path, without_ligaments: Path) -> None:
    """The same phantom with and without its magnitude lesions differs just where the boxes of the ACL lie."""
    there, gone = (Prepared.open(data, "train") for data in (small_run.parent / "data", without_ligaments))
    rows = np.flatnonzero(there.index["acl"] == 1).tolist()
    assert len(rows) > 5
    for row in rows:
        change = (there[[row]].x["magnitude"] - gone[[row]].x["magnitude"])[0, 0].abs().numpy()
        inside = np.zeros_like(change, dtype=bool)
        for box in there.index["boxes"].iloc[row]:
            if "ACL" in box["label"]:
                x, y, width, height = (round(box[side]) for side in ("x", "y", "width", "height"))
                inside[y : y + height + 1, x : x + width + 1] = True
        assert inside[np.unravel_index(change.argmax(), change.shape)]


def test_every_expert_and_target_is_scored_and_few_patients_are_not_estimable(cases: dict) -> None:
    assert len(cases["scores"]) == 12
    for score in cases["scores"]:
        assert 0 < score["chance"] < 0.5
        assert 0 <= score["centre"] <= 1
        assert (score["pointing"] is None) == (score["patients"] < 10)
        assert (score["passes"] is None) == (score["patients"] < 10)


def test_cases_written_again_are_the_same_and_leave_nothing_of_the_old_ones(run: Path, cases: dict) -> None:
    write_cases(run, 2, device="cpu")
    assert len(list((run / "cases").glob("*.png"))) == 12
    write_cases(run, 8, device="cpu")
    assert json.loads((run / "cases" / "cases.json").read_text()) == cases


def test_without_the_prepared_data_there_are_no_pictures_but_the_tables_are_there(
    small_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    copy = shutil.copytree(small_run, tmp_path / "run")
    config = (copy / "config.yaml").read_text().replace(str(small_run.parent / "data"), str(tmp_path / "gone"))
    (copy / "config.yaml").write_text(config)
    shutil.rmtree(copy / "cases", ignore_errors=True)
    assert main(["evaluate", str(copy), "--cases", "2", "--replicates", "10"]) == 3
    assert "is gone, or was prepared anew since the run was trained on it" in capsys.readouterr().err
    assert (copy / "evaluation.csv").is_file()
    assert not (copy / "cases").exists()


def test_no_cases_at_all_are_a_usage_error(run: Path, capsys) -> None:
    assert main(["evaluate", str(run), "--cases", "0"]) == 2
    assert "--cases 0: give how many to show" in capsys.readouterr().err


def test_a_run_of_another_data_version_is_refused(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    data = json.loads((copy / "data.json").read_text())
    (copy / "data.json").write_text(json.dumps(data | {"volumes": 1}))
    with pytest.raises(DataError, match="prepared anew"):
        write_cases(copy, 1, device="cpu")
