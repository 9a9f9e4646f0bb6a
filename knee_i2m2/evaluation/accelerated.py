"""Predictions of the same test samples from faster scans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from knee_i2m2 import predictions
from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.draws import MEAN
from knee_i2m2.evaluation.split_answers import SplitAnswers, answers_from_table, disagreement

__all__ = ["read_accelerated"]


def read_accelerated(folders: Sequence[Path], test: SplitAnswers) -> Iterator[tuple[str, SplitAnswers]]:
    """Yields the acceleration and the answers of each folder that `predict --split test --acceleration` wrote.

    The truth is that of test; the answers, averaged over seeds, are those of seed `mean`.

    Raises:
        DataError: A folder holds no predictions, those of other samples or targets, or one acceleration comes twice.
    """
    seen: dict[str, Path] = {}
    for folder in folders:
        path = folder / "predictions.parquet"
        frame = predictions.read(path)
        rival, acceleration = _made_by(frame, path)
        if acceleration in seen:
            raise DataError(path, f"is {acceleration}-fold accelerated, as {seen[acceleration]} is", "name it once")
        seen[acceleration] = path
        said = answers_from_table(_told(frame, test), (rival, MEAN), test.targets)
        if reason := disagreement(test, said, "test", "the faster scan"):
            raise DataError(path, reason, "predict the folder that the run was prepared from with --split test")
        yield acceleration, replace(said, unit=test.unit, index=test.index)


def _told(frame: pd.DataFrame, test: SplitAnswers) -> pd.DataFrame:
    """Returns the table with the truth of test: a prediction of new volumes need not know it."""
    asked = pd.MultiIndex.from_product([test.index["sample"], test.targets])
    truth = pd.Series(test.truth.ravel(), asked).reindex(pd.MultiIndex.from_frame(frame[["sample", "target"]]))
    return frame.assign(truth=truth.fillna(-1).to_numpy(dtype=np.int64))


def _made_by(frame: pd.DataFrame, path: Path) -> tuple[str, str]:
    """Returns the rival that answered, and the one acceleration of all volumes."""
    found = sorted(set(frame["acceleration"])) if "acceleration" in frame else []
    if len(found) != 1 or "rival" not in frame.attrs:
        reason = "does not tell its rival and its one acceleration"
        raise DataError(path, reason, "write it with `predict RUN FASTMRI --split test --acceleration N`")
    return str(frame.attrs["rival"]), f"{found[0]:g}"
