"""The verdicts on phantoms name what was planted in them."""

from __future__ import annotations

import pandas as pd

from knee_i2m2.report.elements.verdicts import verdicts
from pipelines.studies.study import RESULTS

PLANTED = {
    "abnormal": "depends on magnitude and on phase",
    "meniscus": "depends on phase",
    "acl": "depends on magnitude",
    "cartilage": "depends on the interaction of magnitude and phase",
}


def told(effects: pd.DataFrame) -> dict[str, str]:
    """Returns what every target depends on, per slice; how far an interaction is excluded depends on the sample."""
    ends = (", each by itself", "; an interaction is not detectable")
    found = {verdict.target: verdict.text for verdict in verdicts(effects, "slice")}
    return {target: said.removesuffix(ends[0]).removesuffix(ends[1]) for target, said in found.items()}


def test_the_published_verdicts_name_what_is_planted() -> None:
    effects = pd.read_csv(RESULTS / "demo_effects.csv").query("seed == 0").assign(unit="slice")
    assert told(effects) == PLANTED
