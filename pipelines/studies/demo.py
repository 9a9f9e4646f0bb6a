"""The demo on three phantoms: what was planted is what the verdicts name.

Command::

    make study-demo             (five minutes a phantom on two idle cores)

It writes to pipelines/results, per slice on the test split:

==================  ====================================================================================
demo.csv            AUROC of every rival and target, with its interval over patients
demo_effects.csv    paired differences with Holm's intervals, and the verdicts
demo_scores.csv     cartilage on the first phantom: the log-odds of `i2m2` and `intra`, a row per slice
==================  ====================================================================================

From the scores the tests recompute one row of each table; the slow tests run the first phantom again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import mkdtemp

import pandas as pd

from knee_i2m2.recipes.demo import demo
from pipelines.studies.study import write

__all__ = ["aurocs", "effects", "scores"]


def aurocs(run: Path) -> pd.DataFrame:
    """Returns rival, target, value, low and high."""
    rows = pd.read_csv(run / "evaluation.csv").query(
        "metric == 'auroc' and split == 'test' and seed == 'mean' and subgroup == 'all' and unit == 'slice'"
    )
    return rows[["rival", "target", "value", "low", "high"]]


def effects(run: Path) -> pd.DataFrame:
    """Returns effect, target, value, Holm's interval and verdict."""
    rows = pd.read_csv(run / "effects.csv").query("unit == 'slice'")
    return rows[["effect", "target", "value", "holm_low", "holm_high", "verdict"]]


def scores(run: Path, target: str = "cartilage") -> pd.DataFrame:
    """Returns cluster, truth and the log-odds of `i2m2` and `intra`, a row per test slice."""
    tables = [pd.read_parquet(run / f"predictions/{name}/0/test.parquet") for name in ("i2m2", "intra")]
    first, second = (table[table["target"] == target] for table in tables)
    log_odds = {"i2m2": first["logp_1"] - first["logp_0"], "intra": second["logp_1"] - second["logp_0"]}
    return first[["cluster", "truth"]].assign(**log_odds)


def study(folder: Path, seeds: tuple[int, ...] = (0, 1, 2)) -> None:
    """Runs the demo on one phantom a seed in `folder`, which keeps the runs; an interrupted study resumes."""
    runs = {seed: folder / str(seed) for seed in seeds}
    for seed, run in runs.items():
        demo(out=run, seed=seed)
    for name, read in (("demo", aurocs), ("demo_effects", effects)):
        write(name, pd.concat({seed: read(run) for seed, run in runs.items()}, names=["seed"]).reset_index("seed"))
    write("demo_scores", scores(runs[seeds[0]]))


if __name__ == "__main__":
    study(Path(sys.argv[1] if len(sys.argv) > 1 else mkdtemp(prefix="study-demo-")))
