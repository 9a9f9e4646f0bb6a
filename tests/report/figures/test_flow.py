"""The flow diagram tells whom the numbers are about, as far as that is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from knee_i2m2 import predictions
from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.report.elements.inputs import Record, read_record
from knee_i2m2.report.figures import flow
from tests.evaluation.runs import make_run

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
