import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knee_i2m2.evaluation.evaluate import Evaluation
from knee_i2m2.evaluation.tidy import EFFECT_COLUMNS, EVALUATION_COLUMNS
from knee_i2m2.report.console import bench_table, headline_table, verdict_lines
from knee_i2m2.report.elements.verdicts import sentences
from tests.evaluation.runs import TARGETS
from tests.report.shown import text, written

CELL = re.compile(r"not estimable|−?\d\.\d{3}(?: \[−?\d\.\d{3}, −?\d\.\d{3}\])?")


def blocks(told: str) -> dict[str, dict[str, list[str]]]:
    """Returns the cells of every rival, by the title of their block."""
    read = {}
    for block in told.split("\n\n"):
        head, *lines = block.splitlines()
        title = re.split(r"(?<=, test)", head)[0]
        read[title] = {line.split()[0]: CELL.findall(line) for line in lines}
    return read


def shown(row: pd.Series) -> str:
    return (
        f"{text(row['value'])} [{text(row['low'])}, {text(row['high'])}]"
        if row["low"] == row["low"]
        else text(row["value"])
    )


def test_every_unit_has_a_block_of_the_numbers_of_the_evaluation(evaluated_run: Path, results: Evaluation) -> None:
    read = blocks(headline_table(results.results))
    titles = ("AUROC per slice", "efficiency per slice", "AUROC per volume", "AUROC per patient")
    assert list(read) == [f"{title}, test" for title in titles]
    for title, rivals in read.items():
        metric, unit = re.fullmatch(r"(\w+) per (\w+), test", title).groups()
        rows = written(evaluated_run, metric=metric.lower(), unit=unit).set_index(["rival", "target"])
        assert set(rivals) == set(rows.index.get_level_values(0))
        for rival, cells in rivals.items():
            assert cells == [shown(rows.loc[rival, target]) for target in (*TARGETS, "macro")]


def test_rivals_stand_from_best_to_worst(evaluated_run: Path, results: Evaluation) -> None:
    read = blocks(headline_table(results.results))["AUROC per slice, test"]
    means = written(evaluated_run, metric="auroc", unit="slice", target="macro").set_index("rival")["value"]
    assert list(read) == means.sort_values(ascending=False).index.tolist()


def evaluated(*rows: tuple[str, str, float, float, float], metric: str = "auroc", **more: str) -> pd.DataFrame:
    here = {"seed": "mean", "split": "test", "unit": "slice", "subgroup": "all", "metric": metric, "note": ""} | more
    named = [dict(zip(("rival", "target", "value", "low", "high"), row, strict=True)) | here for row in rows]
    return pd.DataFrame(named, columns=EVALUATION_COLUMNS)


@pytest.mark.parametrize(
    ("bare", "heading"),
    [(0, "macro"), (1, "macro (1 of 2 targets)"), (2, "macro (2 of 2 targets, none with an interval)")],
)
def test_a_mean_over_some_targets_says_over_how_many_and_orders_nobody(bare: int, heading: str) -> None:
    nan, notes = np.nan, ("", "1 of 2 targets", "2 of 2 targets, none with an interval")
    order = [
        evaluated(*[(rival, t, value, 0.1, 1) for t in ("acl", "mcl", "macro")])
        for rival, value in (("a", 0.8), ("b", 0.9))
    ]
    ends = [(0.1, 1)] * (2 - bare) + [(nan, nan)] * bare + [(0.1, 1) if bare < 2 else (nan, nan)]
    few = [
        evaluated(
            *[(rival, t, value, *end) for t, end in zip(("acl", "mcl", "macro"), ends, strict=True)], unit="patient"
        )
        for rival, value in (("a", 0.9), ("b", 0.8))
    ]
    few = [table.assign(note=np.where(table["target"] == "macro", notes[bare], "")) for table in few]
    slices, patients = headline_table(pd.concat([*order, *few])).split("\n\n")
    assert re.split(r"  +| (?=macro)", patients.splitlines()[0])[-1] == heading
    assert (
        [line.split()[0] for line in patients.splitlines()[1:]]
        == ["b", "a"]
        == [line.split()[0] for line in slices.splitlines()[1:]]
    )


def test_means_of_rivals_over_other_targets_are_marked_one_by_one() -> None:
    table = evaluated(*[(rival, t, 0.8, 0.7, 0.9) for rival in ("a", "b") for t in ("acl", "mcl", "macro")])
    table.loc[(table["rival"] == "a") & (table["target"] == "macro"), "note"] = "1 of 2 targets"
    head, *lines = headline_table(table).splitlines()
    assert [line.endswith("(1 of 2 targets)") for line in (head, *lines)] == [False, True, False]


def test_of_one_target_the_mean_is_not_repeated() -> None:
    table = evaluated(*[("i2m2", t, 0.9, 0.8, 0.95) for t in ("acl", "macro")])
    assert headline_table(table).splitlines() == [
        "AUROC per slice, test                   acl",
        "i2m2                   0.900 [0.800, 0.950]",
    ]


def test_what_is_not_estimable_is_said_in_words_and_stands_last() -> None:
    table = evaluated(
        *[("none", t, np.nan, np.nan, np.nan) for t in ("acl", "mcl", "macro")],
        *[("some", t, 0.4, np.nan, np.nan) for t in ("acl", "mcl", "macro")],
    )
    (read,) = blocks(headline_table(table)).values()
    assert read == {"some": ["0.400"] * 3, "none": ["not estimable"] * 3}
    assert "nan" not in headline_table(table).lower()


def test_only_the_headline_of_everybody_on_test_is_told() -> None:
    told = evaluated(("i2m2", "acl", 0.9, 0.8, 0.95))
    others = [
        evaluated(("other", "acl", 0.1, 0.0, 0.2), **more)
        for more in ({"split": "val"}, {"subgroup": "sex=F"}, {"seed": "0"}, {"metric": "auprc"})
    ]
    assert headline_table(pd.concat([told, *others])) == headline_table(told)
    assert headline_table(pd.concat(others)) == ""


def test_accuracies_are_told_per_sample() -> None:
    told = headline_table(evaluated(("image", "label", 0.7, 0.6, 0.8), metric="accuracy", unit="sample"))
    assert told.startswith("accuracy per sample, test")
    assert "0.700 [0.600, 0.800]" in told


def test_long_names_are_not_cut() -> None:
    rival, target = "r" * 90, "t" * 90
    told = headline_table(evaluated((rival, target, 0.7, 0.6, 0.8)))
    assert rival in told and target in told and "..." not in told


def test_verdicts_are_those_of_the_smallest_unit(results: Evaluation) -> None:
    lines = verdict_lines(results.effects, 0.03).splitlines()
    assert set(results.effects["unit"]) == {"slice", "volume", "patient"}
    assert lines == list(sentences(results.effects, "slice", 0.03).values())
    assert [line.split()[0] for line in lines] == list(TARGETS)


def test_without_effects_there_is_no_verdict() -> None:
    assert verdict_lines(pd.DataFrame(columns=EFFECT_COLUMNS)) == ""


def test_a_run_without_effects_is_told_without_a_verdict() -> None:
    assert verdict_lines(pd.DataFrame([])) == ""  # as it comes through JSON, without columns


def test_every_way_has_its_time_beside_the_peers_and_the_limits() -> None:
    rows = [
        {"what": "read", "unit": "volume", "ms": 12.3456, "times_peer": 2.5, "times_limit": 0.75},
        {"what": "write", "unit": "volume", "ms": 1234.5, "times_peer": None, "times_limit": 1.0},
    ]
    head, *lines = bench_table(rows).splitlines()
    assert re.split(r" {2,}", head.strip()) == ["ms per volume", "x as fast as peer", "x the limit"]
    assert [line.split() for line in lines] == [["read", "12.346", "2.50", "0.75"], ["write", "1234.500", "1.00"]]
    assert len({len(line) for line in (head, *lines)}) == 1  # columns stand below each other
