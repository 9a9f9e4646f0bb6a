import csv as stdlib
import io
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knee_i2m2.report.elements import cells as tables
from knee_i2m2.report.elements.cells import Cell, Row, Table, cell, csv, grid_rows, safe

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1")
NAMES = st.text(st.sampled_from("=+-@\t\r\n,;\"'a1 "), max_size=6)


def read(text: str) -> list[list[str]]:
    """Returns what a spreadsheet finds in CSV."""
    return list(stdlib.reader(io.StringIO(text, newline=""), strict=True))


def table(*names: str, columns: tuple[str, ...] = ("a",)) -> Table:
    return Table("t", "a table", columns, tuple((name, tuple(Cell("1") for _ in columns)) for name in names))


@pytest.mark.parametrize("name", FORMULAS)
def test_what_a_spreadsheet_takes_for_a_formula_is_quoted_wherever_it_stands(name: str) -> None:
    assert safe(name).startswith("'")
    written = Table("t", "", (name,), ((name, (Cell(name),)),))
    (_, column), (row, value) = read(csv(written))
    assert {column[0], row[0], value[0]} == {"'"}


@pytest.mark.parametrize("name", ["", "acl", "a=b", "'=1", " =1", "−0.05", "[0.1, 0.2]"])
def test_what_is_no_formula_stays_as_it_is(name: str) -> None:
    assert safe(name) == name


@given(st.lists(NAMES, min_size=2, max_size=2), st.lists(NAMES, min_size=1, max_size=3))
def test_no_name_begins_a_formula_or_breaks_a_row(columns: list[str], names: list[str]) -> None:
    head, *rows = read(csv(table(*names, columns=tuple(columns))))
    assert head[0] == "rival"
    assert [len(row) for row in (head, *rows)] == [3] * (1 + len(names))
    for name, found in zip((*columns, *names), (*head[1:], *(row[0] for row in rows)), strict=True):
        assert not found.startswith(("=", "+", "-", "@", "\t", "\r"))
        assert found.replace("\r", " ").removeprefix("'") == name.replace("\r", " ").removeprefix("'")


def test_a_cell_is_written_with_its_interval_and_its_note() -> None:
    held = (Cell("0.9", "[0.8, 1.0]", (80.0, 90.0, 100.0), "p = 0.2"), Cell("not estimable"), Cell(""))
    written = csv(Table("t", "", ("acl", "mcl", "macro"), (("i2m2", held),), corner="who"))
    assert read(written) == [
        ["who", "acl", "mcl", "macro"],
        ["i2m2", "0.9 [0.8, 1.0] p = 0.2", "not estimable", ""],
    ]


def test_a_table_without_rows_has_a_head() -> None:
    assert read(csv(table())) == [["rival", "a"]]


RESULTS = pd.DataFrame(
    [("inter", "acl", 0.8), ("i2m2", "mcl", 0.9), ("i2m2", "acl", 0.7), ("phase", "bone", 0.6)],
    columns=["rival", "target", "value"],
)


def shown(row: Row) -> Cell:
    return Cell(f"{row['rival']} {row['target']} {row['value']}")


def test_rows_and_columns_stand_in_the_order_asked_for_and_what_is_absent_is_empty() -> None:
    assert grid_rows(RESULTS, ("rival", ["i2m2", "inter"]), ("target", ["acl", "mcl"]), shown) == (
        ("i2m2", (Cell("i2m2 acl 0.7"), Cell("i2m2 mcl 0.9"))),
        ("inter", (Cell("inter acl 0.8"), Cell(""))),
    )


def test_empty_rows_are_left_out() -> None:
    rows = grid_rows(RESULTS, ("rival", ["absent", "phase", "inter"]), ("target", ["acl", "mcl"]), shown)
    assert [name for name, _ in rows] == ["inter"]  # of phase nothing is asked for
    assert grid_rows(RESULTS[:0], ("rival", ["i2m2"]), ("target", ["acl"]), shown) == ()


def test_a_number_that_is_not_estimable_is_no_empty_row() -> None:
    row = pd.DataFrame([{"rival": "i2m2", "target": "acl", "value": np.nan, "low": np.nan, "high": np.nan}])
    ((name, (found,)),) = grid_rows(row, ("rival", ["i2m2"]), ("target", ["acl"]), cell)
    assert (name, found) == ("i2m2", Cell("not estimable"))
    assert found.missing


def estimate(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


def test_marks_lie_on_the_scale_in_percent() -> None:
    found = cell(estimate(0.75, 0.5, 1.0), (0.0, 1.0), "p = 0.1")
    assert (found.value, found.interval, found.note) == ("0.750", "[0.500, 1.000]", "p = 0.1")
    assert found.marks == (50.0, 75.0, 100.0)
    assert cell(estimate(0.0, -0.1, 0.05), (-0.2, 0.2)).marks == pytest.approx((25, 50, 62.5))
    assert not found.missing


@pytest.mark.parametrize(
    ("row", "marks"),
    [
        (estimate(0.6, 0.3, 0.7), (0, 20, 40)),
        (estimate(0.9, 0.8, 1.4), (60, 80, 100)),
        (estimate(0.2, 0.1, 0.3), (0, 0, 0)),
        (estimate(2.0, 1.5, 3.0), (100, 100, 100)),
    ],
)
def test_marks_beyond_the_scale_are_clipped_to_its_ends(row: dict[str, float], marks: tuple[float, ...]) -> None:
    found = cell(row, (0.5, 1.0))
    assert found.marks == pytest.approx(marks)
    assert found.value == f"{row['value']:.3f}"  # the number is told as it is


@given(st.tuples(*[st.floats(-2, 2)] * 3), st.floats(-1, 0), st.floats(0.1, 1))
def test_marks_keep_their_order_and_stay_on_the_scale(ends: tuple[float, ...], bottom: float, top: float) -> None:
    low, value, high = sorted(ends)
    marks = cell(estimate(value, low, high), (bottom, top)).marks
    assert all(0 <= one <= other <= 100 for one, other in itertools.pairwise(marks))


@pytest.mark.parametrize("row", [estimate(np.nan, np.nan, np.nan), estimate(0.5, np.nan, np.nan)])
def test_without_an_interval_or_a_scale_nothing_is_drawn(row: dict[str, float]) -> None:
    assert cell(row, (0.0, 1.0)).marks is None
    assert cell(row).interval == ""
    assert cell(estimate(0.5, 0.4, 0.6)).marks is None


COLUMNS = ["split", "seed", "subgroup", "unit", "rival"]
TIDY = pd.DataFrame(
    list(itertools.product(("val", "test"), ("0", "mean"), ("all", "sex=F"), ("slice", "volume"), ("i2m2", "inter"))),
    columns=COLUMNS,
)


def test_rows_about_test_are_the_mean_over_seeds_of_everybody() -> None:
    found = tables.test_rows(TIDY)
    assert len(found) == 4
    assert (found[["split", "seed", "subgroup"]] == ["test", "mean", "all"]).all(axis=None)


def test_rows_are_chosen_by_the_columns_named() -> None:
    assert tables.test_rows(TIDY, unit="slice", rival="inter")[COLUMNS].to_numpy().tolist() == [
        ["test", "mean", "all", "slice", "inter"]
    ]
    assert tables.test_rows(TIDY, unit="patient").empty
    assert set(tables.test_rows(TIDY, split="val", seed="0")["split"]) == {"val"}


def test_subgroups_are_one_or_every_one() -> None:
    assert set(tables.test_rows(TIDY, "sex=F")["subgroup"]) == {"sex=F"}
    assert set(tables.test_rows(TIDY, None)["subgroup"]) == {"all", "sex=F"}


def test_a_table_without_seeds_or_subgroups_is_chosen_by_its_split() -> None:
    plain = TIDY[["split", "unit"]]
    assert len(tables.test_rows(plain, unit="slice")) == 8
    assert tables.test_rows(TIDY[:0]).empty
