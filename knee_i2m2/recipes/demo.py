"""A phantom archive, and the main job on it: k-space to AUROC table.

Command::

    knee-i2m2 demo            (or: make demo)
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from knee_i2m2.recipes.evaluate import EvaluateOptions, evaluate, report
from knee_i2m2.recipes.knee import Knee, PrepareKnee, prepare, train
from knee_i2m2.recipes.progress import progress
from knee_i2m2.sources.phantom import Phantom, make_likeness, make_phantom

__all__ = ["demo", "phantom"]


SMALL = {
    "network": "small",
    "epochs": 6,
    "fine_tune_epochs": 2,
    "lr": 3e-3,
    "fine_tune_lr": 3e-4,
    "weight_decay": 0.5,
    "threads": 1,
}
"""Options of the knee recipe for 4,500 noisy slices of 64 x 64: few epochs, strong decay.

One thread: convolutions this small lose more by waiting for a second one than they gain."""


CASES = 24
"""Single cases in the report."""


def demo(*, out: Path = Path("demo"), seed: int = 0) -> dict[str, Any]:
    """Run the main job on a phantom: volumes, all rivals, report; minutes on two CPU cores.

    Run again, it resumes.

    Args:
        out: Run folder; the volumes go to OUT/phantom, the prepared data to OUT/data.
        seed: Makes the phantom; the training always has seed 0.

    Returns:
        Run folder, report, notes about the evaluation, and the tables of results.
    """
    settings = Phantom(volumes=540, slices=12, matrix=64, seed=seed, jobs=min(2, os.cpu_count() or 1))
    if not _is_made(settings, out / "phantom"):
        phantom(out / "phantom", settings)
    prepare(out / "phantom", PrepareKnee(annotations=out / "phantom" / "knee.csv", out=out / "data"))
    train(Knee(data=out / "data", out=out, **SMALL, resume=True))
    results = evaluate(out, EvaluateOptions(cases=CASES))
    kept = ("notes", "evaluation", "effects")
    return {"run": str(out), **report(out), **{name: results[name] for name in kept}}


def phantom(out: Path, /, config: Phantom) -> dict[str, Any]:
    """Writes a phantom archive to a new folder, or one like a real fastMRI+ file.

    Raises:
        ConfigError: The options do not fit, or the folder holds something.
        DataError: The annotations are not usable.
    """
    make = make_phantom if config.like is None else make_likeness
    with progress() as bars:
        return {"folder": str(out), "volumes": make(config, out, bars)}


def _is_made(settings: Phantom, folder: Path) -> bool:
    """Returns whether the folder holds this very phantom; an unfinished or another one is refused when it is made."""
    made = folder / "phantom.json"
    return made.is_file() and json.loads(made.read_text()) == json.loads(json.dumps(settings.written()))
