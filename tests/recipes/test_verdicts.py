"""The verdicts on phantoms name what was planted in them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from knee_i2m2.evaluation.tidy import EFFECTS, read_results
from knee_i2m2.recipes.demo import demo
from knee_i2m2.report.elements.verdicts import verdicts

PLANTED = {
    "abnormal": "depends on magnitude and on phase",
    "meniscus": "depends on phase",
    "acl": "depends on magnitude",
    "cartilage": "depends on the interaction of magnitude and phase",
}


def told(effects: pd.DataFrame) -> dict[str, str]:
    """Returns what every target depends on, per slice; how far an interaction is excluded depends on the sample."""
    ends = (", each by itself", "; an interaction is not detectable")
    found = {verdict.target: verdict.told for verdict in verdicts(effects, "slice")}
    return {target: said.removesuffix(ends[0]).removesuffix(ends[1]) for target, said in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_verdicts_name_what_is_planted(tmp_path: Path, seed: int) -> None:
    demo(out=tmp_path / "run", seed=seed)
    assert told(read_results(tmp_path / "run" / "effects.csv", EFFECTS)) == PLANTED
