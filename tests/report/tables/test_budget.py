from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.report.elements.inputs import Record, read_record
from knee_i2m2.report.tables.budget import budget_table, counts_table
from knee_i2m2.types import Rival
from tests.evaluation.runs import make_run
from tests.report.shown import cells

RIVALS = {name: ("magnitude",) for name in ("i2m2", "inter")}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    run = make_run(tmp_path_factory.mktemp("amounts"), RIVALS, seeds=1, targets=("acl",))
    evaluate(run, replicates=5)
    return read_record(run)


def spent(rival: str, seed: int, **amounts: object) -> dict[str, object]:
    return {"rival": rival, "seed": seed, "finished": True, "best_epoch": 1, **amounts}


def values(table) -> dict[str, dict[str, str]]:
    return {
        name: {column: cell.value.replace("\u00a0", " ") for column, cell in row.items()}
        for name, row in cells(table).items()
    }


def test_the_budget_is_the_mean_over_seeds_the_reference_first_and_what_only_warms_up_last(record: Record) -> None:
    lines = [
        spent("phase", 0, epochs=4, updates=40, parameters=90_000, flops=1e9, seconds=60.0),
        spent("inter", 0, epochs=3, updates=30, parameters=97_000, flops=1.0e12, seconds=4.2),
        spent("i2m2", 0, epochs=10, updates=100, parameters=12_345_678, flops=2.5e15, seconds=100.0),
        spent("i2m2", 1, epochs=10, updates=100, parameters=12_345_678, flops=2.5e15, seconds=100.0),
        spent("i2m2", 2, epochs=13, updates=103, parameters=12_345_678, flops=4.0e15, seconds=103.0),
    ]
    table = budget_table(replace(record, budget=pd.DataFrame(lines)))
    assert (table.name, table.title) == ("budget", "means over seeds")
    assert values(table) == {
        "i2m2": dict(
            **{"seeds": "3", "epochs": "11", "updates": "101", "parameters": "12.3 M"},
            **{"FLOPs": "3 P", "seconds": "101"},
        ),
        "inter": dict(
            **{"seeds": "1", "epochs": "3", "updates": "30", "parameters": "97 k", "FLOPs": "1 T", "seconds": "4.2"}
        ),
        "phase (warm start only)": dict(
            **{"seeds": "1", "epochs": "4", "updates": "40", "parameters": "90 k", "FLOPs": "1 G", "seconds": "60"}
        ),
    }


def test_amounts_that_no_rival_tells_have_no_column_and_one_that_is_missing_is_empty(record: Record) -> None:
    lines = [spent("i2m2", 0, epochs=3, seconds=None), spent("inter", 0, epochs=5, seconds=2.0)]
    assert values(budget_table(replace(record, budget=pd.DataFrame(lines)))) == {
        "i2m2": {"seeds": "1", "epochs": "3", "seconds": ""},
        "inter": {"seeds": "1", "epochs": "5", "seconds": "2"},
    }


def test_a_rival_that_has_not_finished_has_no_budget(record: Record) -> None:
    table = budget_table(replace(record, budget=pd.DataFrame([spent("inter", 0, epochs=5)])))
    assert list(cells(table)) == ["inter"]
    assert budget_table(replace(record, budget=pd.DataFrame())) is None
    assert budget_table(record) is None


def test_every_split_counts_what_it_holds_and_the_positives_of_each_target(record: Record) -> None:
    counts = {
        "train": {"samples": 12_345, "series": 640, "clusters": 320, "positives": {"acl": 1_234, "bone | x": 0}},
        "test": {"samples": 72, "series": 24, "clusters": 12, "positives": {"acl": 30, "bone | x": 7}},
    }
    table = counts_table(replace(record, data={"counts": counts}))
    assert (table.name, table.corner) == ("counts", "split")
    assert table.columns == ("samples", "series", "clusters", "acl +", "bone | x +")
    assert values(table) == {
        "train": {"samples": "12 345", "series": "640", "clusters": "320", "acl +": "1 234", "bone | x +": "0"},
        "test": {"samples": "72", "series": "24", "clusters": "12", "acl +": "30", "bone | x +": "7"},
    }


def test_what_a_split_does_not_count_is_empty_and_not_nothing(record: Record) -> None:
    counts = {"train": {"samples": 60}, "test": {"samples": 30, "clusters": 3, "positives": {"acl": 2}}}
    assert values(counts_table(replace(record, data={"counts": counts}))) == {
        "train": {"samples": "60", "clusters": "", "acl +": ""},
        "test": {"samples": "30", "clusters": "3", "acl +": "2"},
    }


@pytest.mark.parametrize("data", [{}, {"counts": None}, {"counts": {}}, {"counts": [1, 2]}])
def test_without_counts_there_is_no_table(record: Record, data: dict[str, object]) -> None:
    assert counts_table(replace(record, data=data)) is None


@pytest.mark.parametrize(
    ("before", "own", "in_all"),
    [
        ({"magnitude": (6, 600, 60.0), "phase": (4, 400, 30.0)}, ("2", "200", "20"), ("12", "1200", "110")),
        ({"magnitude": (0, 0, 0.0), "phase": (0, 0, 0.0)}, ("2", "1200", "20"), ("2", "1200", "20")),
        ({"magnitude": (6, 600, 60.0)}, ("2", "", "20"), ("", "1200", "")),
        ({}, ("2", "", "20"), ("", "1200", "")),
    ],
)
def test_what_a_product_started_from_is_counted_in_all_and_not_as_its_own(
    tmp_path: Path, before: dict[str, tuple], own: tuple[str, ...], in_all: tuple[str, ...]
) -> None:
    names = ("epochs", "updates", "seconds")
    run = make_run(tmp_path, {"intra": ("magnitude", "phase")}, seeds=1, targets=("acl",))
    evaluate(run, replicates=5)
    lines = [spent(name, 0, **dict(zip(names, amounts, strict=True))) for name, amounts in before.items()]
    lines.append(spent("intra", 0, epochs=2, updates=1200, seconds=20.0))
    found = cells(budget_table(replace(read_record(run), budget=pd.DataFrame(lines))))
    assert tuple(found["intra"][name].value for name in names) == own
    assert tuple(found["intra"][name].note.removeprefix("in all ") for name in names) == in_all
    for name, amounts in before.items():
        row = found[f"{name} (warm start only)"]
        assert all(row[n].note == f"in all {amount:g}" for n, amount in zip(names, amounts, strict=True))


def test_an_expert_trained_further_adds_what_it_had_cost_alone_and_takes_the_place_of_no_warm_start(record) -> None:
    joint = ("magnitude+phase",)
    identities = {
        "inter": Rival(joint),
        "inter_tuned": Rival(joint, warm=True),
        "low_rank": Rival(joint, "low_rank", "joint"),
        "inter3": Rival((*joint, "magnitude+phase.2"), warm=True),
    }
    seconds = {"inter": 100.0, "inter_tuned": 20.0, "low_rank": 7.0, "magnitude+phase.2": 90.0, "inter3": 30.0}
    budget = pd.DataFrame([spent(name, 0, seconds=amount) for name, amount in seconds.items()])
    logp = {(name, "0"): next(iter(record.answers.logp.values())) for name in identities}
    answers = replace(record.answers, identities=identities, logp=logp)
    rows = cells(budget_table(replace(record, answers=answers, budget=budget)))
    in_all = {name: rows[name]["seconds"].note.removeprefix("in all ") for name in identities}
    assert in_all == {"inter": "100", "inter_tuned": "120", "low_rank": "7", "inter3": "220"}
