from pathlib import Path

import pandas as pd
import pytest

from knee_i2m2 import predictions
from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.evaluate import evaluate
from tests.evaluation.runs import make_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return make_run(tmp_path / "run", seeds=1)


def faster(run: Path, folder: Path, acceleration: int, change=lambda frame: frame) -> Path:
    """Writes what `predict` would of the test samples of a run, without the truth."""
    frame = pd.read_parquet(run / "predictions/i2m2/0/test.parquet")
    columns = [*frame.columns]
    columns.insert(columns.index("target"), "acceleration")
    frame = change(frame.assign(acceleration=acceleration, truth=-1)[columns])
    frame.attrs = {**frame.attrs, "rival": "i2m2"}
    predictions.write(frame, folder / "predictions.parquet")
    return folder


def test_a_faster_scan_of_the_same_samples_stands_beside_test(run: Path, tmp_path: Path) -> None:
    folders = [faster(run, tmp_path / f"at_{a}", a) for a in (2, 4)]
    found = evaluate(run, replicates=50, accelerated=folders).results
    test = found.query(
        "split == 'test' and seed == 'mean' and rival == 'i2m2' and unit == 'slice' and metric == 'auroc'"
    )
    whole = test.query("subgroup == 'all'").set_index("target")
    for acceleration in (2, 4):
        rows = test[test["subgroup"] == f"acceleration={acceleration}"].set_index("target")
        assert rows["value"].to_dict() == pytest.approx(whole["value"].to_dict())
        assert rows["low"].to_dict() == pytest.approx(whole["low"].to_dict())
        assert (rows["positives"].dropna() == whole["positives"].dropna()).all()


def test_two_of_one_acceleration_are_refused(run: Path, tmp_path: Path) -> None:
    folders = [faster(run, tmp_path / name, 4) for name in ("a", "b")]
    with pytest.raises(DataError, match=r"has the acceleration 4 of .*; give one folder per acceleration"):
        evaluate(run, replicates=10, accelerated=folders)


def test_other_samples_are_refused(run: Path, tmp_path: Path) -> None:
    folder = faster(run, tmp_path / "a", 4, lambda frame: frame[frame["sample"] != "test000:0"])
    with pytest.raises(DataError, match="only one holds test000:0"):
        evaluate(run, replicates=10, accelerated=[folder])


def test_what_does_not_tell_its_acceleration_is_refused(run: Path, tmp_path: Path) -> None:
    folder = faster(run, tmp_path / "a", 4, lambda frame: frame.drop(columns="acceleration"))
    with pytest.raises(DataError, match="does not state its rival and one acceleration"):
        evaluate(run, replicates=10, accelerated=[folder])
