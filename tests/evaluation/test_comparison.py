from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knee_i2m2 import predictions
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.evaluation.comparison import RUN_COMPARISON_COLUMNS, compare
from knee_i2m2.evaluation.statistics.auroc import auroc
from tests.evaluation.runs import EXPERTS, TARGETS, make_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs on the same samples, of which the second has other seeds and a rival more."""
    first = make_run(tmp_path_factory.mktemp("first"), {name: EXPERTS[name] for name in ("i2m2", "magnitude")})
    second = make_run(tmp_path_factory.mktemp("second"), EXPERTS, seeds=3)
    return [first, second]


def test_the_second_run_is_judged_minus_the_first_on_the_same_samples(runs: list[Path]) -> None:
    table, _ = compare(runs, replicates=100)
    row = table.query("rival == 'magnitude' and unit == 'slice' and target == 'acl'").squeeze()

    def mean(run: Path) -> float:
        frames = [pd.read_parquet(p).query("target == 'acl'") for p in run.glob("predictions/magnitude/*/test.parquet")]
        return float(np.mean([auroc(f["truth"].to_numpy(), (f["logp_1"] - f["logp_0"]).to_numpy()) for f in frames]))

    assert table.columns.tolist() == RUN_COMPARISON_COLUMNS
    assert (row["first"], row["second"]) == pytest.approx((mean(runs[0]), mean(runs[1])))
    assert row["value"] == pytest.approx(row["second"] - row["first"])
    assert row["holm_low"] <= row["low"] <= row["value"] <= row["high"] <= row["holm_high"]
    assert 0 < row["p"] <= row["p_holm"] <= 1


def test_every_rival_that_both_have_is_compared_and_the_others_are_named(runs: list[Path]) -> None:
    table, notes = compare(runs, replicates=20)
    assert set(table["rival"]) == {"i2m2", "magnitude"}
    assert set(table["target"]) == {*TARGETS, "macro"}
    assert len(notes) == 1
    assert notes[0].startswith("ideal is in")


def test_a_run_is_level_with_its_copy(runs: list[Path], tmp_path: Path) -> None:
    again = make_run(tmp_path, EXPERTS, seeds=3)
    table, notes = compare([runs[1], again], replicates=20)
    slices = table[(table["unit"] == "slice")]
    assert notes == []
    assert (slices["value"].dropna() == 0).all()
    assert (slices.query("target != 'macro'")["p"] == 1).all()
    assert set(slices.query("target != 'macro'")["verdict"]) == {"not detectable"}


def test_unequal_samples_are_refused_with_one_of_them(runs: list[Path], tmp_path: Path) -> None:
    other = make_run(tmp_path, patients=13)
    with pytest.raises(DataError, match=r"do not hold the same samples: only one holds test024:0"):
        compare([runs[0], other], replicates=20)


def test_another_truth_is_refused_with_its_sample(runs: list[Path], tmp_path: Path) -> None:
    other = make_run(tmp_path)
    for path in other.glob("predictions/*/*/test.parquet"):
        frame = pd.read_parquet(path)
        flip = (frame["sample"] == "test003:1") & (frame["target"] == "acl")
        predictions.write(frame.assign(truth=frame["truth"].where(~flip, 1 - frame["truth"])), path)
    with pytest.raises(DataError, match=r"hold another truth for test003:1"):
        compare([runs[0], other], replicates=20)


def test_one_run_or_none_in_common_is_refused(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two or more different runs"):
        compare([runs[0], runs[0]], replicates=20)
    with pytest.raises(ConfigError, match="no rival in common"):
        compare([runs[0], make_run(tmp_path, {"phase": ("phase",)})], replicates=20)


def test_a_leak_that_is_allowed_is_told(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, seeds=1) for name in ("a", "b")]
    for path in tmp_path.glob("*/predictions/*/*/test.parquet"):
        frame = pd.read_parquet(path)
        predictions.write(frame.assign(cluster=frame["cluster"].replace({"testp000": "valp000"})), path)
    _, notes = compare(runs, replicates=5, allow_leaks=True)
    assert [note.endswith("LEAKS: 1 clusters (patients) are in more than one split") for note in notes] == [True] * 2
