"""Coverage: how often nominal 95 % intervals contain the true AUROC of simulated clustered samples.

Command::

    make study-coverage         (two minutes on one core; writes pipelines/results/coverage.csv)

A row is a design: AUROC, intraclass correlation, simulated data sets, bootstrap replicates. A share of 1,000 data sets
has a standard error of .007. The row of 200 data sets is the one that the tests recompute.
"""

from __future__ import annotations

from itertools import product

import pandas as pd

from knee_i2m2.evaluation.statistics.simulation import Binormal, coverage
from pipelines.studies.study import write

__all__ = ["row"]


def row(auroc: float, correlation: float, datasets: int = 1000, replicates: int = 1000) -> dict[str, float]:
    """Returns the design, and the share of data sets that each kind of interval covers."""
    shares = coverage(Binormal(auroc, correlation), datasets, replicates)
    design = {"auroc": auroc, "correlation": correlation, "datasets": datasets, "replicates": replicates}
    return design | shares._asdict()


if __name__ == "__main__":
    full = [row(*design) for design in product((0.75, 0.9), (0.0, 0.2, 0.5))]
    write("coverage", pd.DataFrame([row(0.75, 0.5, 200, 200), *full]))
