"""Two or more runs on the same test samples, compared on one page.

Command::

    knee-i2m2 compare RUN RUN --out comparison
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knee_i2m2.errors import ConfigError
from knee_i2m2.evaluation.comparison import compare as compared
from knee_i2m2.evaluation.effects import MARGIN
from knee_i2m2.files import write_text
from knee_i2m2.report.comparison_page import write_comparison

__all__ = ["CompareOptions", "compare"]


@dataclass
class CompareOptions:
    """Compares runs on the same test samples: every further run minus the first, rival by rival.

    Attributes:
        out: Folder for comparison.csv, compare.html and compare.md.
        replicates: Bootstrap replicates.
        seed: Of the bootstrap.
        margin: From which difference of AUROC on a run is called better.
        allow_leaks: Go on although a patient is in more than one split.
    """

    out: Path = Path("comparison")
    replicates: int = 1000
    seed: int = 0
    margin: float = MARGIN
    allow_leaks: bool = False


def compare(runs: list[Path], /, config: CompareOptions) -> dict[str, Any]:
    """Writes the paired comparison of runs.

    Args:
        runs: Run folders, the one to compare with first.
        config: The options.

    Raises:
        ConfigError: There are fewer than two runs, they share no rival, or the folder holds something else.
        DataError: The runs did not answer the same questions about the same samples.
    """
    if (config.out / "predictions").exists() or config.out.is_file():
        raise ConfigError(f"--out {config.out} is a run folder or a file; choose another place for the comparison")
    table, notes = compared(runs, config.replicates, config.seed, config.margin, config.allow_leaks)
    write_text(config.out / "comparison.csv", table.to_csv(index=False, lineterminator="\n"))
    page = write_comparison(table, config.out, [str(run) for run in runs], notes)
    return {"page": str(page), "notes": notes, "comparison": json.loads(table.to_json(orient="records"))}
