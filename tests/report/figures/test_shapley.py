from pathlib import Path

import pandas as pd
import pytest

from knee_i2m2 import predictions
from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.report.elements.inputs import Record, read_record
from knee_i2m2.report.figures.shapley import KINDS, contribution_pictures, contribution_tables
from tests.evaluation.runs import EXPERTS, TARGETS, make_run
from tests.report.shown import cells, shows, words, written


def test_every_expert_and_target_has_its_credit_of_the_contributions(evaluated_run: Path, record: Record) -> None:
    tables = {table.name: table for table in contribution_tables(record)}
    assert set(tables) == {"leave_one_out", "shapley", "share"}
    for kind, table in tables.items():
        found = cells(table)
        assert (tuple(found), table.columns, table.corner) == (EXPERTS["i2m2"], TARGETS, "expert")
        rows = written(evaluated_run, "contributions", metric=kind).set_index(["expert", "target"])
        assert all(shows(found[expert][target], rows.loc[expert, target]) for expert, target in rows.index)


def test_what_experts_take_is_drawn_from_nothing_in_the_middle(evaluated_run: Path, record: Record) -> None:
    for table in contribution_tables(record):
        rows = written(evaluated_run, "contributions", metric=table.name).set_index(["expert", "target"])
        reach = rows[["low", "high"]].abs().to_numpy().max()
        assert table.zero == 50
        for (expert, target), row in rows.iterrows():
            places = [50 + 50 * row[end] / reach for end in ("low", "value", "high")]
            assert cells(table)[expert][target].marks == pytest.approx(places, abs=1e-6)


def test_shapley_values_share_out_the_auroc_above_one_half_and_shares_sum_to_one(
    evaluated_run: Path, record: Record
) -> None:
    tables = {table.name: cells(table) for table in contribution_tables(record)}
    auroc = written(evaluated_run, rival="i2m2", unit="slice", metric="auroc").set_index("target")["value"]
    for target in TARGETS:
        shapley, share = (
            sum(float(row[target].value.replace("−", "-")) for row in tables[kind].values())
            for kind in ("shapley", "share")
        )
        assert shapley == pytest.approx(auroc[target] - 0.5, abs=0.002)  # three rounded numbers
        assert share == pytest.approx(1, abs=0.002)


def test_every_kind_of_credit_is_drawn_with_its_experts_and_targets(record: Record) -> None:
    legend, *pictures = contribution_pictures(record)
    assert legend.key and set(words(legend.svg)) == set(EXPERTS["i2m2"])
    assert [(picture.name, picture.title) for picture in pictures] == list(KINDS.items())
    for picture in pictures:
        assert {*TARGETS, picture.title} <= set(words(picture.svg))


def test_a_target_that_is_not_estimable_says_so_in_table_and_figure(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"i2m2": EXPERTS["i2m2"]}, seeds=1)
    for path in run.glob("predictions/*/*/*.parquet"):
        frame = pd.read_parquet(path)
        predictions.write(frame.assign(truth=frame["truth"].where(frame["target"] != "acl", 0)), path)
    evaluate(run, replicates=5)
    record = read_record(run)
    shown = [{row["acl"].value for row in cells(table).values()} for table in contribution_tables(record)]
    assert shown.count({"not estimable"}) == 2 and len(shown) == 3  # shares of the log-odds need no truth
    for table in contribution_tables(record):
        assert not any(row["meniscus"].missing for row in cells(table).values())
    pictures = [picture for picture in contribution_pictures(record) if not picture.key]
    assert len(pictures) == 3
    assert [words(picture.svg).count("not estimable") for picture in pictures].count(1) == 2


def test_without_the_reference_nobody_shares_credit(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"intra": ("magnitude", "phase")}, seeds=1, targets=("acl",))
    evaluate(run, replicates=5)
    record = read_record(run)
    assert list(contribution_tables(record)) == []
    assert list(contribution_pictures(record)) == []
