"""The flow diagram tells whom the numbers are about, as far as that is known."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import compress
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from knee_i2m2 import predictions
from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.report.elements.inputs import Record, read_record
from knee_i2m2.report.figures import flow
from tests.evaluation.runs import EXPERTS, make_run

COUNTS = {split: {"samples": 60, "series": 20, "clusters": 10} for split in ("train", "val", "test")}


def lines(record: Record) -> list[str]:
    """Returns every line of text of the diagram."""
    found = ElementTree.fromstring(flow.flow_picture(record).svg).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(text.itertext()).strip() for text in found]


def test_volumes_found_are_those_kept_and_those_left_out(record: Record) -> None:
    data = {"volumes": 60, "left_out": {"nobody reviewed it": 3, "too wide": 1}, "counts": COUNTS}
    told = lines(replace(record, data=data))
    assert {"64 volumes found", "4 left out", "3 nobody reviewed it", "1 too wide"} <= set(told)
    assert [told.count(word) for word in ("10 patients", "20 volumes", "60 slices")] == [3, 3, 3]
    assert "test: 12 patients, answered by 3 rivals, 2 seeds" in told


def test_what_is_not_known_is_left_out(record: Record) -> None:
    told = lines(replace(record, data={}))
    assert told[0] == "test: 12 patients, answered by 3 rivals, 2 seeds"
    assert len(told) == 3


def test_patients_are_counted_once_and_those_with_too_few_positives_are_marked(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"magnitude": ("magnitude",)}, seeds=1)
    for path in run.glob("predictions/*/*/test.parquet"):
        frame = pd.read_parquet(path)
        patient = frame["cluster"].str[-3:].astype(int)
        positive = (frame["target"] == "acl") & (patient < 4) & (frame["position"] == 0)
        truth = np.where(positive, 1, np.where((frame["target"] == "acl") & (patient == 11), -1, 0))
        predictions.write(frame.assign(truth=np.where(frame["target"] == "acl", truth, frame["truth"])), path)
    evaluate(run, replicates=5)
    record = read_record(run)
    assert flow.tested_clusters(record)["acl"] == (4, 7, 1)
    assert sum(flow.tested_clusters(record)["meniscus"]) == 12
    assert "acl: 4 with, 7 without, 1 unknown (not estimable)" in lines(record)


@pytest.mark.parametrize("data", [{"counts": 3}, {"volumes": "many", "left_out": {}}, {"counts": {"test": 5}}])
def test_odd_data_are_no_traceback(record: Record, data: dict) -> None:
    assert lines(replace(record, data=data))[0].startswith("test: 12 patients")


def drawn(svg: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns the corners of every box, and the points of every arrow without its head."""
    paths = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}path")
    lines = [
        path.get("d", "")
        for path in paths
        if {"fill: none", "stroke: currentColor"} <= {*path.get("style", "").split("; ")}
    ]
    points = [
        np.array([pair.split() for pair in re.findall(r"-?[\d.]+ -?[\d.]+", line)], dtype=float) for line in lines
    ]
    closed = ["z" in line for line in lines]
    return [*compress(points, closed)], [*compress(points, np.logical_not(closed))]


def on_edge(point: np.ndarray, box: np.ndarray, line: float = 1.0) -> bool:
    """Returns whether a point is on the edge of a box, as far as the width of a line and its head hide it."""
    beyond = np.maximum(box.min(axis=0) - point, point - box.max(axis=0))
    return bool(abs(beyond.max()) <= line)


def check_arrows(record: Record, boxes: int) -> None:
    """Checks that every arrow joins the edges of two boxes, that each box is reached, and that none covers another."""
    found, arrows = drawn(flow.flow_picture(record).svg)
    assert (len(found), len(arrows)) == (boxes, boxes - 1)
    reached = set()
    for arrow in arrows:
        start, end = ([n for n, box in enumerate(found) if on_edge(point, box)] for point in (arrow[0], arrow[-1]))
        assert len(start) == len(end) == 1 and start != end
        reached |= {*end}
    assert len(reached) == boxes - 1  # all but the first
    for n, one in enumerate(found):
        for other in found[:n]:
            assert np.maximum(one.min(axis=0) - other.max(axis=0), other.min(axis=0) - one.max(axis=0)).max() > 0


@pytest.mark.parametrize(
    "left_out",
    [
        {},
        {"nobody reviewed it": 3},
        {"a reason that is much longer than the box": 12, "too wide": 1},
        {f"reason {n}": n for n in range(9)},
    ],
)
@pytest.mark.parametrize("splits", [("test",), ("train", "val", "test"), ("test", "train"), tuple(map(str, range(6)))])
def test_every_arrow_joins_the_edges_of_two_boxes(record: Record, left_out: dict[str, int], splits: tuple) -> None:
    counts = {split: {"samples": 123_456, "series": 20, "clusters": 10} for split in splits}
    data = {"volumes": 60, "left_out": left_out, "counts": counts}
    check_arrows(replace(record, data=data), 3 + len(splits))


@pytest.mark.parametrize(
    "experts", [("magnitude",), ("magnitude", "phase"), EXPERTS["i2m2"], (*EXPERTS["i2m2"], "ideal")]
)
def test_arrows_do_not_depend_on_rivals_and_experts(tmp_path: Path, experts: tuple[str, ...]) -> None:
    run = make_run(tmp_path, {"i2m2": experts, **{name: (name,) for name in experts}}, seeds=1)
    evaluate(run, replicates=5)
    data = {"volumes": 60, "left_out": {"too wide": 1}, "counts": COUNTS}
    check_arrows(replace(read_record(run), data=data), 6)


def test_the_test_split_leads_to_its_truth_wherever_it_stands(record: Record) -> None:
    counts = {split: COUNTS[split] for split in ("test", "train", "val")}
    boxes, arrows = drawn(flow.flow_picture(replace(record, data={"counts": counts})).svg)
    first = min(boxes[:3], key=lambda box: box[:, 0].min())
    assert on_edge(arrows[-1][0], first)
