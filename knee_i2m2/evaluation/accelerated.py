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

_ROUNDING = 1.2
"""Ratio of the accelerations of two volumes that were scanned alike: it is a ratio of whole columns."""


def read_accelerated(folders: Sequence[Path], test: SplitAnswers) -> Iterator[tuple[str, SplitAnswers]]:
    """Yields the acceleration and the answers of each folder that `predict --split test --acceleration` wrote.

    The truth is that of test; answers are averaged over seeds and stored as seed `mean`.

    Raises:
        DataError: A folder holds no predictions, those of other samples or targets, or two have the same acceleration.
    """
    seen: dict[str, Path] = {}
    for folder in folders:
        path = folder / "predictions.parquet"
        frame = predictions.read(path)
        rival, acceleration = _rival_and_acceleration(frame, path)
        if acceleration in seen:
            reason = f"has the acceleration {acceleration} of {seen[acceleration]}"
            raise DataError(path, reason, "give one folder per acceleration")
        seen[acceleration] = path
        answers = answers_from_table(_with_truth(frame, test), (rival, MEAN), test.targets)
        if reason := disagreement(test, answers, "test", "the faster scan"):
            raise DataError(path, reason, "predict the folder that the run was prepared from with --split test")
        yield acceleration, replace(answers, unit=test.unit, index=test.index)


def _with_truth(frame: pd.DataFrame, test: SplitAnswers) -> pd.DataFrame:
    """Returns the table with the truth of test, which a prediction of new volumes need not hold."""
    questions = pd.MultiIndex.from_product([test.index["sample"], test.targets])
    truth = pd.Series(test.truth.ravel(), questions).reindex(pd.MultiIndex.from_frame(frame[["sample", "target"]]))
    return frame.assign(truth=truth.fillna(-1).to_numpy(dtype=np.int64))


def _rival_and_acceleration(frame: pd.DataFrame, path: Path) -> tuple[str, str]:
    """Returns the rival that answered, and the one acceleration of all volumes, to a rounding of their columns."""
    if "acceleration" not in frame or "rival" not in frame.attrs:
        reason = "does not state its rival and one acceleration for all volumes"
        raise DataError(path, reason, "write it with `predict RUN FASTMRI --split test --acceleration N`")
    least, most = frame["acceleration"].min(), frame["acceleration"].max()
    if most > _ROUNDING * least or least <= 1 < most:
        reason = f"holds volumes that are undersampled {least:g}-fold to {most:g}-fold"
        raise DataError(path, reason, "predict those of one acceleration, in a folder of their own")
    return str(frame.attrs["rival"]), f"{frame['acceleration'].median():g}"
