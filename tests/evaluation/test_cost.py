"""Costs hold those of the experts that a product started from, and the best affordable rival is named."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.cost import equal_cost, training_flops
from knee_i2m2.types import Rival

IDENTITIES = {
    "a": Rival(("a",)),
    "inter": Rival(("a+b",)),
    "i2m2": Rival(("a", "b", "a+b"), warm=True),
    "shared_trunk": Rival(("a", "b", "a+b"), "shared_trunk"),
}
SPENT = {"a": 1e9, "b": 2e9, "inter": 10e9, "i2m2": 5e9, "shared_trunk": 12e9}


def log(run: Path, amounts: dict[str, float], seeds: tuple[int, ...] = (0, 1)) -> None:
    lines = [
        {"rival": name, "seed": seed, "finished": True, "training_flops": amount * (1 + seed)}
        for name, amount in amounts.items()
        for seed in seeds
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_product_s_cost_holds_its_experts(tmp_path: Path) -> None:
    log(tmp_path, SPENT)
    cost = training_flops(tmp_path, IDENTITIES)
    assert cost.to_dict() == pytest.approx({"a": 1.5e9, "b": 3e9, "inter": 15e9, "i2m2": 27e9, "shared_trunk": 18e9})


def test_a_rival_whose_experts_cost_is_not_recorded_and_a_run_without_costs_have_none(tmp_path: Path) -> None:
    log(tmp_path, {name: amount for name, amount in SPENT.items() if name != "b"})
    assert set(training_flops(tmp_path, IDENTITIES).index) == {"a", "inter", "shared_trunk"}
    assert training_flops(tmp_path / "elsewhere", IDENTITIES).empty


def tables(values: dict[str, float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    common = {"split": "test", "seed": "mean", "subgroup": "all", "target": "macro", "metric": "auroc", "unit": "slice"}
    results = pd.DataFrame([{**common, "rival": name, "value": value} for name, value in values.items()])
    apart = [
        {**common, "rival": name, "value": value - values["i2m2"], "low": -0.01, "high": 0.02}
        for name, value in values.items()
        if name != "i2m2"
    ]
    return results, pd.DataFrame(apart)


@pytest.mark.parametrize(
    ("cost", "best"),
    [
        ({"i2m2": 18.0, "inter": 10.0, "inter3": 30.0, "a": 1.0}, "inter"),
        ({"i2m2": 18.0, "inter": 10.0, "inter3": 18.5, "a": 1.0}, "inter3"),
        ({"i2m2": 18.0, "inter": 19.0, "inter3": 30.0, "a": 1.0}, "a"),
        ({"i2m2": 18.0, "inter": 19.0, "inter3": 30.0}, None),
        ({"inter": 19.0}, None),
        ({}, None),
    ],
)
def test_the_best_rival_is_looked_for_among_those_that_cost_no_more(cost: dict[str, float], best: str | None) -> None:
    values = {"i2m2": 0.9, "inter": 0.88, "inter3": 0.91, "a": 0.6, "ideal": 1.0}
    found = list(equal_cost(*tables(values), pd.Series(cost, dtype=float), "i2m2"))
    assert len(found) == (best is not None)
    if best:
        share = cost[best] / 18
        assert found[0].startswith(f"best at no more training FLOPs than i2m2: {best}, {share:.2f} times them")


@pytest.mark.parametrize(
    "line", ['{"training_flops": 1', '["training_flops"]', '"training_flops"}', "\x00 training_flops }"]
)
def test_a_damaged_line_is_a_sentence_and_one_that_was_cut_off_is_none(tmp_path: Path, line: str) -> None:
    log(tmp_path, SPENT)
    path = tmp_path / "metrics.jsonl"
    whole = path.read_text()
    path.write_text(whole + line)
    assert len(training_flops(tmp_path, IDENTITIES)) == 5
    path.write_text(whole + line + "\n")
    with pytest.raises(DataError, match=r"metrics\.jsonl"):
        training_flops(tmp_path, IDENTITIES)
