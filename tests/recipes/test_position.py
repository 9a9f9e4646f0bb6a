"""Where lesions prefer the middle slices, position alone looks like skill, and adjusting for it takes that away."""

from __future__ import annotations

from pathlib import Path

import pytest

from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.recipes.knee import Knee, PrepareKnee, prepare, train
from knee_i2m2.sources.fastmri.annotations import TARGETS
from knee_i2m2.sources.phantom import Phantom, make_phantom

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_position_alone_is_skill_until_it_is_adjusted_for(tmp_path: Path, seed: int) -> None:
    archive = tmp_path / "phantom"
    make_phantom(Phantom(volumes=300, slices=36, matrix=32, seed=seed, position_confound=True, jobs=2), archive)
    prepare(archive, PrepareKnee(annotations=archive / "knee.csv", out=tmp_path / "data"))
    run = tmp_path / "run"
    train(Knee(data=tmp_path / "data", out=run, rivals=["position"], epochs=6, lr=3e-3, threads=1, device="cpu"))
    found = evaluate(run, replicates=200).results
    rows = found.query("split == 'test' and seed == 'mean' and subgroup == 'all' and unit == 'slice'")
    auroc = rows.pivot(index=["rival", "metric"], columns="target", values="value")[list(TARGETS)]
    assert (auroc.loc["position", "auroc"] > 0.8).all()
    assert (abs(auroc.loc["position", "auroc_adjusted"] - 0.5) <= 0.05).all()
    assert (abs(auroc.loc["ideal", "auroc_adjusted"] - auroc.loc["ideal", "auroc"]) <= 0.02).all()
