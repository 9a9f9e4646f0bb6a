"""Where lesions prefer the middle slices, position alone looks like skill, and adjusting for it takes that away."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipelines.studies import position
from pipelines.studies.study import RESULTS


@pytest.mark.slow
def test_the_first_phantom_gives_its_published_rows_again(tmp_path: Path) -> None:
    auroc = position.aurocs(position.run_of(0, tmp_path)).set_index(["rival", "target"])
    published = pd.read_csv(RESULTS / "position.csv").query("seed == 0").set_index(["rival", "target"])
    assert abs(auroc - published.drop(columns="seed")).max(axis=None) <= 0.01
