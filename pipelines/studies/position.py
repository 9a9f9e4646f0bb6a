"""Slice position alone: where lesions prefer the middle slices it looks like skill, until it is adjusted for.

Command::

    make study-position         (three minutes a phantom on two idle cores)

It writes to pipelines/results, per slice on the test split:

===================  ===================================================================================
position.csv         AUROC and AUROC within strata of position, of `position` and of the ideal observer
position_scores.csv  ACL on the first phantom: the log-odds of `position` and the labels, a row per slice position
===================  ===================================================================================

From the scores the tests recompute one row; the slow tests run the first phantom again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import mkdtemp

import pandas as pd

from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.recipes.knee import Knee, PrepareKnee, prepare, train
from knee_i2m2.sources.phantom import Phantom, make_phantom
from pipelines.studies.study import write

__all__ = ["aurocs", "run_of", "scores"]


def run_of(seed: int, folder: Path) -> Path:
    """Makes a phantom of 300 volumes with 36 slices, trains `position` on it and returns the evaluated run."""
    archive, run = folder / "phantom", folder / "run"
    make_phantom(Phantom(volumes=300, slices=36, matrix=32, seed=seed, position_confound=True, jobs=2), archive)
    prepare(archive, PrepareKnee(annotations=archive / "knee.csv", out=folder / "data"))
    train(Knee(data=folder / "data", out=run, rivals=["position"], epochs=6, lr=3e-3, threads=1, device="cpu"))
    evaluate(run, replicates=200)
    return run


def aurocs(run: Path) -> pd.DataFrame:
    """Returns rival, target, auroc and auroc_adjusted."""
    rows = pd.read_csv(run / "evaluation.csv").query(
        "split == 'test' and seed == 'mean' and subgroup == 'all' and unit == 'slice' and target != 'macro'"
    )
    table = rows.pivot(index=["rival", "target"], columns="metric", values="value")
    return table[["auroc", "auroc_adjusted"]].reset_index()


def scores(run: Path, target: str = "acl") -> pd.DataFrame:
    """Returns position, log-odds, and how many test slices there are negative and positive."""
    table = pd.read_parquet(run / "predictions/position/0/test.parquet").query("target == @target")
    table = table.assign(log_odds=table["logp_1"] - table["logp_0"], negatives=table["truth"] == 0)
    by_position = table.assign(positives=table["truth"] == 1).groupby("position")
    return by_position.agg({"log_odds": "first", "negatives": "sum", "positives": "sum"}).reset_index()


def study(folder: Path, seeds: tuple[int, ...] = (0, 1, 2)) -> None:
    """Runs one phantom a seed in an empty folder, which keeps the runs."""
    runs = {seed: run_of(seed, folder / str(seed)) for seed in seeds}
    write("position", pd.concat({s: aurocs(run) for s, run in runs.items()}, names=["seed"]).reset_index("seed"))
    write("position_scores", scores(runs[seeds[0]]))


if __name__ == "__main__":
    study(Path(sys.argv[1] if len(sys.argv) > 1 else mkdtemp(prefix="study-position-")))
