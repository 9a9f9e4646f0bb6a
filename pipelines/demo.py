"""A phantom archive, and the main job on it: k-space to AUROC table.

Command::

    knee-i2m2 demo            (or: make demo)
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from knee_i2m2.errors import ConfigError
from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.pipelines.knee import Knee, train
from knee_i2m2.pipelines.knee_data import PrepareKnee, prepare
from knee_i2m2.pipelines.recipe import progress
from knee_i2m2.report.page import write_report
from knee_i2m2.sources.annotations import read_annotations
from knee_i2m2.sources.phantom import Phantom, make_phantom
from knee_i2m2.sources.phantom_like import Likeness, make_likeness

__all__ = ["demo", "phantom"]


SMALL = {
    "network": "small",
    "epochs": 8,
    "fine_tune_epochs": 3,
    "lr": 3e-3,
    "fine_tune_lr": 1e-3,
    "weight_decay": 0.5,
}
"""Options of the knee recipe for 3,000 noisy slices of 64 x 64: few epochs, strong decay of the weights."""


def demo(out: Path, seed: int = 0) -> tuple[pd.DataFrame, Path]:
    """Makes a phantom of seed `seed`, trains all rivals, evaluates; run again, it goes on.

    Returns:
        The table of results, and the report.
    """
    settings = Phantom(volumes=540, slices=8, matrix=64, seed=seed)
    if not _is_made(settings, out / "phantom"):
        _make(settings, out / "phantom", min(2, os.cpu_count() or 1))
    prepare(out / "phantom", PrepareKnee(annotations=out / "phantom" / "knee.csv", out=out / "data"))
    train(Knee(data=out / "data", out=out, **SMALL, resume=True))
    evaluated, _ = evaluate(out)
    return evaluated, write_report(out)


def phantom(
    out: Path,
    volumes: int | None,
    slices: int,
    matrix: int,
    seed: int,
    noise: float,
    position_confound: bool,
    like: Path | None,
    file_list: Path | None,
    jobs: int,
) -> dict[str, Any]:
    """Writes a phantom archive, or one like a real fastMRI+ file."""
    if like is None:
        settings = Phantom(volumes or 60, slices, matrix, seed, noise, position_confound=position_confound)
        _make(settings, out, jobs)
        return {"folder": str(out), "volumes": settings.volumes}
    if position_confound:
        raise ConfigError("--position-confound does not go with --like: real labels have their own positions")
    likeness = Likeness(read_annotations(like, file_list), volumes, slices, matrix, seed, noise)
    with progress() as bar:
        task = bar.add_task("volumes", total=len(likeness.names))
        make_likeness(likeness, out, lambda done: bar.update(task, completed=done), jobs)
    return {"folder": str(out), "volumes": len(likeness.names)}


def _make(settings: Phantom, out: Path, jobs: int) -> None:
    with progress() as bar:
        task = bar.add_task("phantom volumes", total=settings.volumes)
        make_phantom(settings, out, lambda done: bar.update(task, completed=done), jobs)


def _is_made(settings: Phantom, folder: Path) -> bool:
    """Returns whether the folder holds this very phantom; an unfinished or another one is refused when it is made."""
    made = folder / "phantom.json"
    return made.is_file() and json.loads(made.read_text()) == json.loads(json.dumps(asdict(settings)))
