"""A phantom archive, and the main job on it: k-space to AUROC table.

Command::

    knee-i2m2 demo            (or: make demo)
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from knee_i2m2.errors import ConfigError
from knee_i2m2.evaluation.evaluate import Evaluation, evaluate
from knee_i2m2.recipes.knee import Knee, PrepareKnee, prepare, train
from knee_i2m2.recipes.knee_cases import write_cases
from knee_i2m2.recipes.progress import progress
from knee_i2m2.report.page import write_report
from knee_i2m2.sources.fastmri.annotations import read_annotations
from knee_i2m2.sources.phantom.lesions import Strengths
from knee_i2m2.sources.phantom.like import Likeness, make_likeness
from knee_i2m2.sources.phantom.phantom import Phantom, make_phantom

__all__ = ["PhantomOptions", "demo", "phantom"]


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


def demo(out: Path, seed: int = 0) -> tuple[Evaluation, Path]:
    """Makes a phantom of seed `seed`, trains all rivals, evaluates; run again, it goes on.

    Returns:
        The tables of results, and the report.
    """
    settings = Phantom(volumes=540, slices=12, matrix=64, seed=seed)
    if not _is_made(settings, out / "phantom"):
        _make(settings, out / "phantom", min(2, os.cpu_count() or 1))
    prepare(out / "phantom", PrepareKnee(annotations=out / "phantom" / "knee.csv", out=out / "data"))
    train(Knee(data=out / "data", out=out, **SMALL, resume=True))
    found = evaluate(out)
    write_cases(out, CASES)
    return found, write_report(out)


@dataclass
class PhantomOptions:
    """Writes fastMRI-format knee volumes with a known answer, and their annotations.

    Attributes:
        volumes: How many, two a patient; 60 by default, or with --like all of the file list.
        slices: Slices of each volume; with --like at least as many as are annotated.
        matrix: Rows and columns of the image; k-space has twice as many rows.
        seed: Makes everything.
        noise: Standard deviation of k-space noise; tissue has a signal of about 0.7.
        position_confound: Let lesions prefer the middle slices, as in fastMRI+.
        strengths: How much lesions change the object.
        like: A real fastMRI+ CSV, whose names, labels and boxes the volumes take.
        file_list: Its file list; beside the CSV by default.
        jobs: Processes; they do not change a byte.
    """

    volumes: int | None = None
    slices: int = 36
    matrix: int = 320
    seed: int = 0
    noise: float = 0.12
    position_confound: bool = False
    strengths: Strengths = field(default_factory=Strengths)
    like: Path | None = None
    file_list: Path | None = None
    jobs: int = 1


def phantom(out: Path, /, config: PhantomOptions) -> dict[str, Any]:
    """Writes a phantom archive to a new folder, or one like a real fastMRI+ file.

    Raises:
        ConfigError: The options do not fit, or the folder holds something.
        DataError: The annotations are not usable.
    """
    common = {name: getattr(config, name) for name in ("slices", "matrix", "seed", "noise", "strengths")}
    if config.like is None and config.file_list is not None:
        raise ConfigError("--file-list goes with --like; leave it out or name the annotations")
    if config.like is None:
        volumes = 60 if config.volumes is None else config.volumes
        settings = Phantom(volumes, position_confound=config.position_confound, **common)
        _make(settings, out, config.jobs)
        return {"folder": str(out), "volumes": volumes}
    if config.position_confound:
        raise ConfigError("--position-confound does not go with --like: real labels have their own positions")
    likeness = Likeness(read_annotations(config.like, config.file_list), config.volumes, **common)
    with progress() as bars:
        make_likeness(likeness, out, bars, config.jobs)
    return {"folder": str(out), "volumes": len(likeness.names)}


def _make(settings: Phantom, out: Path, jobs: int) -> None:
    with progress() as bars:
        make_phantom(settings, out, bars, jobs)


def _is_made(settings: Phantom, folder: Path) -> bool:
    """Returns whether the folder holds this very phantom; an unfinished or another one is refused when it is made."""
    made = folder / "phantom.json"
    return made.is_file() and json.loads(made.read_text()) == json.loads(json.dumps(asdict(settings)))
