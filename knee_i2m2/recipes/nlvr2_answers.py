"""What is written of NLVR2 beside the rivals' answers: those of who knows only the majority, and the authors' files.

The files are what the authors' `metrics.py` reads (Suhr et al., 2019): a line `identifier,True` or `identifier,False`
an example, without a head; they are named as NLVR2 names its splits.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from knee_i2m2 import predictions
from knee_i2m2.data.splits import SPLITS
from knee_i2m2.files import write_text
from knee_i2m2.sources.nlvr2.files import NAMES
from knee_i2m2.training.fit import Answers
from knee_i2m2.training.folder import RunFolder
from knee_i2m2.training.session import Asked, prediction_table
from knee_i2m2.types import Rival

__all__ = ["MAJORITY", "official_lines", "write_majority", "write_official"]

MAJORITY = "majority"
"""The rival that sees nothing and knows how often each answer is true in training."""


def write_majority(samples: Mapping[str, Asked], run: RunFolder, seeds: Collection[int]) -> None:
    """Writes, once a seed, the answers of a rival without experts: log frequencies of the training classes.

    A class that training lacks counts as seen once too often, like every other one (Laplace's rule of succession).
    """
    truth = _truth(samples["train"])
    seen = 1 + np.bincount(truth[truth >= 0], minlength=samples["train"].task.classes)
    bias = np.log(seen / seen.sum())
    for split in SPLITS[1:]:
        part = samples[split]
        answers = Answers(np.tile(bias, (len(part), 1)), {}, bias, _truth(part), np.arange(len(part)))
        for seed in seeds:
            predictions.write(
                prediction_table(answers, part, Rival((MAJORITY,), MAJORITY, MAJORITY)),
                run.predictions(MAJORITY, seed, split),
            )


def _truth(samples: Asked) -> np.ndarray:
    """Returns the classes of all samples."""
    return samples.index["label"].to_numpy()


def write_official(run: RunFolder, rivals: Collection[str], seeds: Collection[int]) -> None:
    """Writes every rival's answers to `official/<rival>/<seed>/{dev,test1}.csv` in the run folder."""
    for rival in rivals:
        for seed in seeds:
            for split in SPLITS[1:]:
                lines = official_lines(predictions.read(run.predictions(rival, seed, split)))
                write_text(official_path(run.path, rival, seed, split), "".join(lines))


def official_path(run: Path, rival: str, seed: int, split: str) -> Path:
    """Returns where the authors' file of a rival's answers lies."""
    return run / "official" / rival / str(seed) / f"{NAMES[split]}.csv"


def official_lines(frame: pd.DataFrame) -> list[str]:
    """Returns a line an example: whether true is likelier than false."""
    said = frame["logp_1"] > frame["logp_0"]
    return [f"{sample},{answer}\n" for sample, answer in zip(frame["sample"], said, strict=True)]
