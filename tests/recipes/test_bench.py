"""The benchmarks run and divide the right times; how fast they are is no test."""

from __future__ import annotations

import json

import pytest
import torch

from knee_i2m2.cli import main
from knee_i2m2.errors import ConfigError
from knee_i2m2.recipes import bench
from knee_i2m2.recipes.bench import BenchData, BenchStatistics, BenchStep

SMALL = {
    "data": [
        "--volumes",
        "3",
        "--slices",
        "2",
        "--columns",
        "40",
        "--matrix",
        "32",
        "--workers",
        "0",
        "--repeats",
        "1",
    ],
    "step": ["--network", "small", "--matrix", "32", "--batch-size", "2", "--repeats", "1"],
    "statistics": ["--samples", "100", "--patients", "20", "--replicates", "10", "--repeats", "1"],
}


@pytest.mark.parametrize("subject", SMALL)
def test_every_benchmark_gives_its_rows_as_json_and_as_a_table(subject: str, capsys) -> None:
    assert main(["bench", subject, *SMALL[subject], "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["rows"][-1]["times_limit"] == 1  # the last is the limit, the first the peer
    assert found["rows"][0]["times_peer"] in (1, None)
    for row in found["rows"]:
        assert row["ms"] == pytest.approx(row["times_limit"] * found["rows"][-1]["ms"])
        if row["times_peer"]:
            assert row["ms"] == pytest.approx(found["rows"][0]["ms"] / row["times_peer"])
    assert main(["bench", subject, *SMALL[subject]]) == 0
    table = capsys.readouterr().out
    assert all(row["what"] in table for row in found["rows"])


def test_the_ways_take_turns_after_each_was_warmed_and_the_median_counts(monkeypatch) -> None:
    called, clock = [], iter([3.0, 5.0, 2.0, 8.0, 40.0, 6.0])
    monkeypatch.setattr(bench, "_seconds", lambda run: (run(), next(clock))[1])
    ways = {"peer": (lambda: called.append("peer"), 2), "limit": (lambda: called.append("limit"), 4)}
    peer, limit = bench._rows(ways, 3, "slice")
    assert called == ["peer", "limit"] * 4
    assert (peer["ms"], limit["ms"]) == (1500, 1500)  # medians of 3, 2, 40 over 2 units and of 5, 8, 6 over 4
    assert (peer["times_peer"], peer["times_limit"]) == (1, 1)


def test_a_multiplication_counts_for_as_many_slices_as_it_has_operations() -> None:
    run, slices = bench._multiplying(3 * 2 * 2048**3 + 1000, 8, torch.device("cpu"))
    assert run.args[0] == 3
    assert slices == pytest.approx(8 * 3 * 2 * 2048**3 / (3 * 2 * 2048**3 + 1000))


@pytest.mark.parametrize(
    ("run", "config", "sentence"),
    [
        (bench.data, BenchData(volumes=2), "--volumes 2: give at least 3"),
        (bench.data, BenchData(columns=300), "--columns 300: give at least as many as --matrix 320"),
        (bench.data, BenchData(repeats=0), "--repeats 0"),
        (bench.step, BenchStep(network="resnet81"), "resnet81 is unknown; did you mean resnet18"),
        (bench.step, BenchStep(batch_size=1), "--batch-size 1: give at least 2"),
        (bench.statistics, BenchStatistics(samples=3), "--samples 3: give at least 100"),
    ],
)
def test_a_benchmark_of_nothing_is_refused_in_words(run, config, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        run(config)
