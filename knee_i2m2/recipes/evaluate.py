"""Evaluation of a run, with pictures of single cases where they are asked for.

Command::

    knee-i2m2 evaluate RUN
    knee-i2m2 evaluate RUN --cases 24                                  (pictures for the report's case browser)
    knee-i2m2 evaluate RUN --calibration temperature                   (fitted on val, applied to test)
    knee-i2m2 evaluate RUN --accelerated at_1 at_2 at_4                (folders of `predict --acceleration`)
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from knee_i2m2.errors import ConfigError
from knee_i2m2.evaluation.effects import MARGIN
from knee_i2m2.evaluation.evaluate import REFERENCE
from knee_i2m2.evaluation.evaluate import evaluate as evaluate_run
from knee_i2m2.evaluation.recalibration import Recalibration
from knee_i2m2.files import read_mapping

__all__ = ["EvaluateOptions", "evaluate", "report"]


@dataclass
class EvaluateOptions:
    """Computes AUROC or accuracy, everything beside it, and clustered intervals, from a run's prediction files.

    Attributes:
        replicates: Bootstrap replicates.
        seed: Of the bootstrap.
        calibration: Recalibrate on val, apply to test: temperature (with an intercept), or weights (of experts).
        prior_correction: Rivals of separately trained experts (such as frozen), whose product counts the class prior
            once per expert; it is taken out.
        reference: The rival that all others are compared with, and whose effects are measured.
        margin: From which difference of AUROC on an effect is named.
        accelerated: Folders of `predict --split test --acceleration N`, for AUROC against acceleration.
        cases: How many single cases of test to show in the report: false answers first, but a true
            positive is among them.
        saliency: gradient or smooth_gradient (MONAI's), for the maps of the cases.
        device: Where these are computed: auto, cpu, cuda or one card such as cuda:0.
        allow_leaks: Go on although a patient is in more than one split; the report says so loudly.
    """

    replicates: int = 1000
    seed: int = 0
    calibration: Literal["none", "temperature", "weights"] = "none"
    prior_correction: list[str] = field(default_factory=list)
    reference: str = REFERENCE
    margin: float = MARGIN
    accelerated: list[Path] = field(default_factory=list)
    cases: int | None = None
    saliency: Literal["gradient", "smooth_gradient"] = "gradient"
    device: str = "auto"
    allow_leaks: bool = False


def evaluate(run: Path, /, config: EvaluateOptions) -> dict[str, Any]:
    """Writes the tables of a run, and its cases if they are asked for.

    Args:
        run: Run folder.
        config: The options.

    Raises:
        ConfigError: An option does not fit the run.
        DataError: Predictions are missing, damaged or leak; or pictures are asked for and the data are gone.
    """
    if config.cases is not None and config.cases < 1:
        raise ConfigError(f"--cases {config.cases}: give how many to show, such as 24, or leave it out")
    recalibration = Recalibration(config.calibration, tuple(config.prior_correction))
    options = (config.replicates, config.seed, recalibration, config.margin, config.accelerated, config.allow_leaks)
    options = (*options, config.reference)
    results = evaluate_run(run, *options)
    cases = {} if config.cases is None else {"cases": str(_cases(run, config))}
    tables = {"evaluation": results.results, "comparisons": results.comparisons, "effects": results.effects}
    task = read_mapping(run / "data.json").get("task")
    summary = {"task": task, "written": str(run / "evaluation.csv"), **cases, "notes": results.notes}
    return summary | {name: json.loads(table.to_json(orient="records")) for name, table in tables.items()}


def _cases(run: Path, config: EvaluateOptions) -> Path:
    """Writes pictures of single cases; torch and MONAI are loaded for them only."""
    from knee_i2m2.recipes.knee_cases import write_cases

    return write_cases(run, config.cases, config.saliency, config.device, config.reference)


def report(run: Path, /, *, title: str | None = None) -> dict[str, Any]:
    """Write report.html, report.md, tables and figures of an evaluated run.

    Args:
        run: Run folder.
        title: Of the report; the name of the run folder by default.
    """
    from knee_i2m2.report.page import write_report

    return {"report": str(write_report(run, title))}
