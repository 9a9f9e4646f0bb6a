from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knee_i2m2 import predictions
from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.report.elements.inputs import Record, read_record
from knee_i2m2.report.tables.results import (
    adjusted_table,
    difference_table,
    effect_table,
    interval_table,
    results_table,
    seed_table,
)
from tests.evaluation.runs import EXPERTS, TARGETS, make_run, make_ten_classes
from tests.report.shown import bare, cells, shows, text, written

RIVALS = {**EXPERTS, "phase": ("phase",), "intra": ("magnitude", "phase")}
SPREAD = "SD over seeds"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_run(tmp_path_factory.mktemp("results"), RIVALS)
    evaluate(run, replicates=20)
    return run


@pytest.fixture(scope="module")
def record(run: Path) -> Record:
    return read_record(run)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """One seed, no reference, no positions, one target that is not estimable."""
    run = make_run(tmp_path_factory.mktemp("alone"), {"magnitude": ("magnitude",), "phase": ("phase",)}, seeds=1)
    for path in run.glob("predictions/*/*/*.parquet"):
        frame = pd.read_parquet(path).drop(columns="position")
        predictions.write(frame.assign(truth=frame["truth"].where(frame["target"] != "acl", 0)), path)
    evaluate(run, replicates=5)
    return run, read_record(run)


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """A run of ten classes and one target."""
    run = make_ten_classes(tmp_path_factory.mktemp("ten"))
    evaluate(run, replicates=10)
    return run, read_record(run)


@pytest.mark.parametrize(("metric", "unit"), [("auroc", "slice"), ("auroc", "volume"), ("efficiency", "slice")])
def test_every_rival_and_target_has_its_number_of_the_evaluation(
    run: Path, record: Record, metric: str, unit: str
) -> None:
    table = results_table(record, unit, metric)
    assert (table.name, table.title, table.corner) == (f"{metric}_{unit}", f"per {unit}", "rival")
    assert (*map(bare, table.columns),) == (*TARGETS, "macro", SPREAD)
    found = cells(table)
    rows = written(run, unit=unit, metric=metric).set_index(["rival", "target"])
    assert len(rows) == 3 * len(found)
    for (rival, target), row in rows.iterrows():
        assert shows(found[rival][target], row)


def test_the_reference_stands_first_the_ceiling_last_and_between_them_the_better_first(
    run: Path, record: Record
) -> None:
    order = list(cells(results_table(record, "slice", "auroc")))
    means = written(run, unit="slice", metric="auroc", target="macro").set_index("rival")["value"]
    assert (order[0], order[-1]) == ("i2m2", "ideal")
    assert order[1:-1] == means[["magnitude", "phase", "intra"]].sort_values(ascending=False).index.tolist()
    assert list(cells(results_table(record, "volume", "auroc"))) == order  # one order on the whole page
    assert "ideal" not in cells(results_table(record, "slice", "efficiency"))  # it is what is divided by


@pytest.mark.parametrize(("metric", "unit"), [("auroc", "slice"), ("efficiency", "slice")])
def test_the_spread_over_seeds_is_that_of_the_mean_over_targets(
    run: Path, record: Record, metric: str, unit: str
) -> None:
    found = cells(results_table(record, unit, metric))
    for rival in ("i2m2", "intra"):
        values = [
            written(run, unit=unit, metric=metric, rival=rival, target="macro", seed=seed)["value"].item()
            for seed in ("0", "1")
        ]
        assert found[rival][SPREAD].value == text(np.std(values, ddof=1))
        assert found[rival][SPREAD].interval == ""
    if metric == "auroc":
        assert found["ideal"][SPREAD].value == "one seed"


def test_every_target_has_its_spread_over_seeds_in_a_table_of_its_own(run: Path, record: Record) -> None:
    table = seed_table(record, "slice")
    assert table.columns == (*TARGETS, "macro")
    found = cells(table)
    of_seeds = pd.concat([written(run, unit="slice", metric="auroc", seed=seed) for seed in ("0", "1")])
    spread = of_seeds.groupby(["rival", "target"])["value"].std()
    for target in table.columns:
        assert found["phase"][target].value == text(spread["phase", target])
        assert found["ideal"][target].value == "one seed"


@pytest.mark.parametrize("down", [0.0, 0.4])
def test_the_scale_reaches_from_one_half_or_the_least_to_one(run: Path, record: Record, down: float) -> None:
    lower = record.evaluation.assign(low=record.evaluation["low"] - down)
    rows = written(run, unit="slice", metric="auroc").set_index(["rival", "target"])
    rows = rows.assign(low=rows["low"] - down)
    bottom = min(0.5, rows["low"].min())
    assert (bottom < 0.5) == (down > 0)  # or this test shows nothing
    found = cells(results_table(replace(record, evaluation=lower), "slice", "auroc"))
    for (rival, target), row in rows.iterrows():
        places = [100 * (row[end] - bottom) / (1 - bottom) for end in ("low", "value", "high")]
        assert found[rival][target].marks == pytest.approx(places, abs=1e-6)


def test_the_scale_of_efficiencies_begins_at_nothing_and_holds_what_is_above_one(run: Path, record: Record) -> None:
    rows = written(run, unit="slice", metric="efficiency").set_index(["rival", "target"])
    top = max(1.0, rows["high"].max())
    marks = cells(results_table(record, "slice", "efficiency"))["i2m2"]["acl"].marks
    assert marks == pytest.approx(
        [100 * max(rows.loc[("i2m2", "acl"), end], 0) / top for end in ("low", "value", "high")]
    )


@pytest.mark.parametrize("unit", ["slice", "volume"])
def test_differences_are_of_each_other_rival_to_the_reference(run: Path, record: Record, unit: str) -> None:
    table = difference_table(record, unit)
    found = cells(table)
    assert set(found) == {*RIVALS} - {"i2m2"}
    assert table.zero == 50
    rows = written(run, "comparisons", unit=unit).set_index(["rival", "target"])
    for (rival, target), row in rows.iterrows():
        cell = found[rival][target]
        assert shows(cell, row)
        p = row["p_holm"]
        few = row["note"] if isinstance(row["note"], str) else ""  # why there is no interval
        assert cell.note == (few if np.isnan(p) else "p < 0.001" if p < 0.001 else f"p = {p:.3f}")
        assert (cell.marks is None) == np.isnan(row["low"])
        assert cell.marks is None or np.sign(cell.marks[1] - table.zero) == np.sign(row["value"])
    assert not any(row["macro"].note.startswith("p") for row in found.values())  # the mean is no test of its own


def test_differences_are_those_of_the_headline(run: Path) -> None:
    values = written(run, unit="slice", metric="auroc", target="macro").set_index("rival")["value"]
    row = written(run, "comparisons", unit="slice", target="macro", rival="phase").squeeze()
    assert row["value"] == pytest.approx(values["phase"] - values["i2m2"])


def test_within_strata_of_position_the_raw_auroc_stands_below(run: Path, record: Record) -> None:
    found = cells(adjusted_table(record))
    rows = written(run, unit="slice").set_index(["metric", "rival", "target"])
    assert set(found) == set(RIVALS)
    for rival, row in found.items():
        for target, cell in row.items():
            assert shows(cell, rows.loc["auroc_adjusted", rival, target])
            assert cell.note == f"raw {text(rows.loc[('auroc', rival, target), 'value'])}"


def test_effects_have_the_corrected_interval_and_the_verdict(run: Path, record: Record) -> None:
    table = effect_table(record, "slice")
    found = cells(table)
    assert (table.corner, table.columns, table.zero) == ("effect", TARGETS, 50)
    assert set(found) == {"magnitude", "phase", "interaction"}
    rows = written(run, "effects", unit="slice").set_index(["effect", "target"])
    assert len(rows) == 6
    for (effect, target), row in rows.iterrows():
        assert shows(found[effect][target], row, "holm_low", "holm_high")
        assert found[effect][target].note == row["verdict"]
    low, high = rows["holm_low"], rows["holm_high"]
    reach = max(low.abs().max(), high.abs().max())
    assert found["phase"]["acl"].marks[0] == pytest.approx(50 + 50 * low["phase", "acl"] / reach)


def test_three_intervals_stand_side_by_side_around_one_value(run: Path, record: Record) -> None:
    table = interval_table(record, "slice")
    found = cells(table)
    rows = written(run, unit="slice", rival="i2m2").set_index(["metric", "target"])
    methods = dict(zip(found, ("auroc", "auroc_obuchowski", "auroc_delong"), strict=True))
    assert ["jackknife" in (names := list(methods))[0], "Obuchowski" in names[1], "DeLong" in names[2]] == [True] * 3
    for method, metric in methods.items():
        assert all(shows(found[method][target], rows.loc[metric, target]) for target in TARGETS)
    assert len({row["acl"].value for row in found.values()}) == 1
    assert all(0 <= mark <= 100 for row in found.values() for cell in row.values() for mark in cell.marks)


def test_what_was_not_measured_has_no_table(record: Record) -> None:
    assert results_table(record, "slice", "accuracy") is None
    assert results_table(record, "volume", "efficiency") is None  # the ideal observer is one of slices
    assert effect_table(record, "knee") is None


def test_one_seed_has_no_spread(alone: tuple[Path, Record]) -> None:
    _, record = alone
    assert seed_table(record, "slice") is None
    assert SPREAD not in results_table(record, "slice", "auroc").columns


def test_without_a_reference_a_position_or_an_effect_there_is_no_table_of_them(alone: tuple[Path, Record]) -> None:
    _, record = alone
    assert difference_table(record, "slice") is None
    assert adjusted_table(record) is None
    assert effect_table(record, "slice") is None
    assert list(cells(results_table(record, "slice", "auroc"))) == record.rivals


def test_what_is_not_estimable_is_said_in_words(alone: tuple[Path, Record], record: Record) -> None:
    _, few = alone
    found = cells(results_table(few, "slice", "auroc"))
    for row in found.values():
        assert (row["acl"].value, row["acl"].interval, row["acl"].marks) == ("not estimable", "", None)
        assert row["macro"].value == row["meniscus"].value  # the mean is over what is estimable
    assert all(row["acl"].missing for row in cells(interval_table(few, "slice")).values())
    patients = cells(results_table(record, "patient", "auroc"))  # all of them are positive
    assert {cell.value for row in patients.values() for cell in row.values()} == {"not estimable"}
    effects = cells(effect_table(record, "patient"))
    assert {(c.value, c.note) for row in effects.values() for c in row.values()} == {("not estimable", "not estimable")}


def test_ten_classes_have_accuracies_differences_and_one_target(ten: tuple[Path, Record]) -> None:
    run, record = ten
    table = results_table(record, "sample", record.metric)
    assert (record.metric, table.columns) == ("accuracy", ("answer",))
    rows = written(run, metric="accuracy", target="label").set_index("rival")
    found = cells(table)
    assert all(shows(found[rival]["answer"], rows.loc[rival]) for rival in ("i2m2", "magnitude"))
    assert found["i2m2"]["answer"].marks[1] == pytest.approx(100 * rows.loc["i2m2", "value"])  # from 0 to 1
    differences = cells(difference_table(record, "sample"))
    assert list(differences) == ["magnitude"]
    assert shows(differences["magnitude"]["answer"], written(run, "comparisons", target="label").squeeze())
    assert interval_table(record, "sample") is None
    assert adjusted_table(record) is None
