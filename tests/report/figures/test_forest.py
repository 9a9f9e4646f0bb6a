from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knee_i2m2 import predictions
from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.report.elements.inputs import Record, read_record
from knee_i2m2.report.figures.forest import acceleration_picture, acceleration_table, forest_pictures, forest_table
from tests.evaluation.runs import TARGETS, make_run
from tests.evaluation.test_accelerated import faster
from tests.report.shown import cells, shows, text, words, written

RIVALS = {"i2m2": ("magnitude", "phase"), "magnitude": ("magnitude",)}
GROUPS = ("all", "sequence: PD", "sequence: PDFS", "site: far", "site: near")
"""As they are shown; in the tables of the evaluation `: ` is `=`."""


def at_two_sites(frame: pd.DataFrame) -> pd.DataFrame:
    """Adds a subgroup column, by which few patients come from afar."""
    far = frame["cluster"].str[-3:].isin(["000", "001"])
    frame.insert(frame.columns.get_loc("target"), "site", far.map({True: "far", False: "near"}))
    return frame


def without_phase(frame: pd.DataFrame) -> pd.DataFrame:
    """Silences an expert, so that the product is the other."""
    other = frame[["logit_magnitude_0", "logit_magnitude_1"]].to_numpy()
    frame[["logit_phase_0", "logit_phase_1"]] = 0.0
    frame[["logp_0", "logp_1"]] = other - np.logaddexp(*other.T)[:, None]
    return frame


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forest")
    run = make_run(folder / "run", RIVALS, patients=16)
    for path in run.glob("predictions/*/*/*.parquet"):
        predictions.write(at_two_sites(pd.read_parquet(path)), path)
    slow, fast = faster(run, folder / "2", 2), faster(run, folder / "10", 10, without_phase)
    evaluate(run, replicates=20, accelerated=[fast, slow])
    return run


@pytest.fixture(scope="module")
def record(run: Path) -> Record:
    return read_record(run)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """A run without subgroups and faster scans."""
    run = make_run(tmp_path_factory.mktemp("plain"), RIVALS, seeds=1)
    for path in run.glob("predictions/*/*/*.parquet"):
        predictions.write(pd.read_parquet(path).drop(columns="sequence"), path)
    evaluate(run, replicates=5)
    return read_record(run)


def test_every_subgroup_has_its_number_and_its_contrast_of_the_evaluation(run: Path, record: Record) -> None:
    table = forest_table(record)
    found = cells(table)
    assert (tuple(found), table.columns, table.corner) == (GROUPS, TARGETS, "subgroup")
    for group, row in found.items():
        raw = group.replace(": ", "=")
        rows = written(run, rival="i2m2", unit="slice", subgroup=raw).set_index(["metric", "target"])
        for target, cell in row.items():
            assert shows(cell, rows.loc["auroc", target])
            if group.startswith("sequence"):
                contrast = rows.loc["auroc_contrast", target]
                interval = f"[{text(contrast['low'])}, {text(contrast['high'])}]"
                assert cell.note == f"Δ {text(contrast['value'])} {interval}"


def test_a_contrast_is_inside_minus_outside_and_everybody_has_none(record: Record) -> None:
    found = cells(forest_table(record))
    values = {group: float(row["acl"].value) for group, row in found.items() if not row["acl"].missing}
    told = {
        group: float(row["acl"].note.split()[1].replace("−", "-")) for group, row in found.items() if row["acl"].note
    }
    assert told["sequence: PD"] == pytest.approx(values["sequence: PD"] - values["sequence: PDFS"], abs=0.002)
    assert told["sequence: PDFS"] == pytest.approx(-told["sequence: PD"])
    assert found["all"]["acl"].note == ""


def test_a_subgroup_of_few_positive_patients_has_a_value_and_no_interval(run: Path, record: Record) -> None:
    found = cells(forest_table(record))["site: far"]
    assert written(run, subgroup="site=far", unit="slice", target="acl")["clusters"].max() == 2
    for cell in found.values():
        assert float(cell.value) > 0 and (cell.interval, cell.marks) == ("", None)  # a value, no interval


def test_a_forest_plot_names_every_subgroup_with_what_it_holds(run: Path, record: Record) -> None:
    pictures = list(forest_pictures(record))
    assert [picture.name for picture in pictures] == ["forest_1_acl", "forest_2_meniscus"]
    for target, picture in zip(TARGETS, pictures, strict=True):
        said = words(picture.svg)
        assert [one for one in said if one in GROUPS] == [*GROUPS]
        for group in GROUPS:
            wanted = {"rival": "i2m2", "unit": "slice", "metric": "auroc", "target": target}
            row = written(run, subgroup=group.replace(": ", "="), **wanted).squeeze()
            assert f"{row['n']} slices, {int(row['positives'])} positive" in said
        assert "not estimable" not in said
        assert "AUROC of i2m2, 95 % interval" in said
        assert not any("acceleration" in one for one in said)


def test_without_subgroups_there_is_no_forest(plain: Record) -> None:
    assert forest_table(plain) is None
    assert list(forest_pictures(plain)) == []


def test_faster_scans_stand_in_the_order_of_their_acceleration(run: Path, record: Record) -> None:
    table = acceleration_table(record)
    found = cells(table)
    assert list(found) == ["2", "10"]  # as numbers, not as words
    assert (table.corner, table.title) == ("acceleration", "per slice, i2m2")
    for times, row in found.items():
        rows = written(run, unit="slice", metric="auroc", subgroup=f"acceleration={times}").set_index("target")
        assert all(shows(cell, rows.loc[target]) for target, cell in row.items())
        assert all(0 <= mark <= 100 for cell in row.values() for mark in cell.marks)
    assert found["2"]["acl"] != found["10"]["acl"]


def test_faster_scans_are_drawn_with_their_acceleration_and_their_targets(record: Record) -> None:
    picture = acceleration_picture(record)
    said = words(picture.svg)
    assert picture.name == "acceleration"
    assert [one for one in said if one in ("2", "10")] == ["2", "10"]
    assert {*TARGETS, "acceleration of the scan", "AUROC"} <= set(said)


def test_without_faster_scans_there_is_neither_table_nor_figure(plain: Record) -> None:
    assert acceleration_table(plain) is None
    assert acceleration_picture(plain) is None
