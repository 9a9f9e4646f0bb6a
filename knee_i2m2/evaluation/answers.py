"""Answers of every rival to the same questions about the same units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from knee_i2m2 import predictions
from knee_i2m2.errors import DataError

__all__ = ["SPLITS", "Answers", "prediction_files", "read_answers"]

SPLITS = ("val", "test")

Logp = Float[np.ndarray, "units targets classes"]


@dataclass(frozen=True)
class Answers:
    """Who was asked what, what is true, and what every rival said.

    Attributes:
        unit: What a row is: `sample`, `slice`, `volume`.
        who: One row per unit: `sample, series, cluster` and the subgroup columns.
        targets: The questions.
        truth: Classes of shape (units, targets); -1 is unknown.
        logp: Log-probabilities by (rival, seed).
    """

    unit: str
    who: pd.DataFrame
    targets: tuple[str, ...]
    truth: Int[np.ndarray, "units targets"]
    logp: Mapping[tuple[str, str], Logp]

    @property
    def classes(self) -> int:
        """Number of classes."""
        return next(iter(self.logp.values())).shape[-1]

    @property
    def rivals(self) -> dict[str, list[str]]:
        """Seeds of every rival."""
        return {name: [seed for rival, seed in self.logp if rival == name] for name, _ in self.logp}

    def only(self, chosen: Bool[np.ndarray, " units"]) -> Answers:
        """Returns the answers about some of the units."""
        who = self.who[chosen].reset_index(drop=True)
        return replace(self, who=who, truth=self.truth[chosen], logp={k: p[chosen] for k, p in self.logp.items()})


def prediction_files(run: Path, split: str) -> dict[tuple[str, str], Path]:
    """Returns the prediction file of every (rival, seed) of a run, in the order of names and seeds.

    Raises:
        DataError: The run holds no predictions.
    """
    folder = run / "predictions"
    seeds = [seed for seed in folder.glob("*/*") if seed.is_dir() and seed.name.isdecimal()]
    if not seeds:
        raise DataError(folder, "holds no predictions", "train a rival first, or name another run folder")
    ordered = sorted(seeds, key=lambda seed: (seed.parent.name, int(seed.name)))
    return {(seed.parent.name, seed.name): seed / f"{split}.parquet" for seed in ordered}


def read_answers(run: Path, split: str) -> Answers:
    """Returns what all rivals of a run said about the samples of a split, ordered by sample.

    Raises:
        DataError: A prediction file is missing or damaged, or two rivals answered different questions.
    """
    paths = prediction_files(run, split)
    frames = {key: predictions.read(path) for key, path in paths.items()}
    first = next(iter(frames))
    targets = tuple(frames[first]["target"].unique())
    asked = {key: _ordered(frame, targets) for key, frame in frames.items()}
    for key, frame in asked.items():
        _check_same(asked[first], frame, first[0], key[0], paths[key])
    shape = (-1, len(targets), predictions.classes(asked[first]))
    return Answers(
        unit="sample",
        who=_who(asked[first], len(targets)),
        targets=targets,
        truth=asked[first]["truth"].to_numpy(dtype=np.int64).reshape(shape[:2]),
        logp={key: _logp(frame).reshape(shape) for key, frame in asked.items()},
    )


def _ordered(frame: pd.DataFrame, targets: tuple[str, ...]) -> pd.DataFrame:
    """Returns the rows ordered by sample, and by target within a sample; unknown targets come last."""
    place = frame["target"].map({target: i for i, target in enumerate(targets)})
    names = frame["sample"].astype(str)
    return frame.assign(sample=names, _place=place).sort_values(["sample", "_place"], ignore_index=True)


def _check_same(reference: pd.DataFrame, frame: pd.DataFrame, against: str, rival: str, path: Path) -> None:
    """Raises a DataError unless both tables put the same questions about the same samples."""
    alone = sorted(set(reference["sample"]) ^ set(frame["sample"]))
    if alone:
        raise DataError(path, f"{rival} and {against} do not hold the same samples: only one holds {alone[0]}", _AGAIN)
    columns = [c for c in frame.columns if c.startswith("logp_")] + ["target"]
    same_questions = len(frame) == len(reference) and (frame["target"] == reference["target"]).all()
    if not same_questions or not set(columns) <= set(reference.columns):
        raise DataError(path, f"{rival} and {against} answer different questions", _AGAIN)
    for column in ("truth", "cluster"):
        differs = (frame[column] != reference[column]).to_numpy()
        if differs.any():
            sample = frame["sample"][differs].iloc[0]
            raise DataError(path, f"{rival} and {against} hold another {column} for {sample}", _AGAIN)


_AGAIN = "predict both again on the same split"


def _who(frame: pd.DataFrame, targets: int) -> pd.DataFrame:
    columns = ["sample", "series", "cluster", *predictions.subgroups(frame)]
    return frame[columns].iloc[::targets].reset_index(drop=True)


def _logp(frame: pd.DataFrame) -> Float[np.ndarray, "rows classes"]:
    return frame[[f"logp_{c}" for c in range(predictions.classes(frame))]].to_numpy(dtype=float)
