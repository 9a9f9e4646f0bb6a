"""Answers of every rival about the units of one split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from knee_i2m2 import predictions
from knee_i2m2.errors import DataError
from knee_i2m2.types import Rival

__all__ = [
    "CHOICE",
    "Key",
    "SplitAnswers",
    "answers_from_table",
    "disagreement",
    "prediction_files",
    "read_split_answers",
]

Logp = Float[np.ndarray, "units targets classes"]

Key = tuple[str, str]
"""Rival and seed."""


@dataclass(frozen=True)
class SplitAnswers:
    """Units of a split, their truth, and the answers of every rival.

    Attributes:
        unit: What a row is: `sample`, `slice`, `volume`.
        index: One row per unit: `sample, series, cluster`, `position` if it is known, and the subgroup columns.
        targets: Names of the targets.
        truth: Classes of shape (units, targets); -1 is unknown.
        logp: Log-probabilities by (rival, seed).
        opinions: Raw logits of every expert by (rival, seed); none where units are groups of samples.
        identities: What every rival is.
        spellings: Clusters and subgroups as they were written, by column.
        choice: Whether the one target is a class to choose, not a finding that is present or absent.
    """

    unit: str
    index: pd.DataFrame
    targets: tuple[str, ...]
    truth: Int[np.ndarray, "units targets"]
    logp: Mapping[Key, Logp]
    opinions: Mapping[Key, Mapping[str, Logp]] = field(default_factory=dict)
    identities: Mapping[str, Rival] = field(default_factory=dict)
    spellings: Mapping[str, frozenset[str]] = field(default_factory=dict)
    choice: bool = False

    @property
    def classes(self) -> int:
        """Number of classes."""
        return next(iter(self.logp.values())).shape[-1]

    @property
    def detection(self) -> bool:
        """Whether targets are findings, present or absent; else the one target is a class to choose."""
        return self.classes == 2 and not self.choice

    @property
    def metric(self) -> str:
        """The headline metric: `auroc` of findings, else `accuracy`."""
        return "auroc" if self.detection else "accuracy"

    @property
    def rivals(self) -> dict[str, list[str]]:
        """Seeds of every rival."""
        return {name: [seed for rival, seed in self.logp if rival == name] for name, _ in self.logp}

    @property
    def experts(self) -> dict[str, tuple[str, ...]]:
        """Experts of every rival whose logits are known."""
        return {rival: tuple(logits) for (rival, _), logits in self.opinions.items()}

    @property
    def subgroups(self) -> tuple[str, ...]:
        """Columns of `index` that divide the units into subgroups."""
        return tuple(column for column in self.index.columns if column not in _NO_SUBGROUP)

    def log_odds(self, key: Key) -> Float[np.ndarray, "units targets"]:
        """Returns a rival's log-odds of class 1 of two."""
        return self.logp[key][..., 1] - self.logp[key][..., 0]

    def by(self, rival: str) -> SplitAnswers:
        """Returns the answers of one rival."""
        logp, opinions = ({k: v for k, v in values.items() if k[0] == rival} for values in (self.logp, self.opinions))
        return replace(self, logp=logp, opinions=opinions)

    def only(self, chosen: Bool[np.ndarray, " units"]) -> SplitAnswers:
        """Returns the answers about some of the units."""
        index = self.index[chosen].reset_index(drop=True)
        logp = {key: p[chosen] for key, p in self.logp.items()}
        opinions = {key: {e: z[chosen] for e, z in logits.items()} for key, logits in self.opinions.items()}
        return replace(self, index=index, truth=self.truth[chosen], logp=logp, opinions=opinions)


CHOICE = "label"
"""The target of a task with several classes."""

_NO_SUBGROUP = ("sample", "series", "cluster", "position")


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


def read_split_answers(run: Path, split: str) -> SplitAnswers:
    """Returns the answers of all rivals of a run about a split, ordered by sample.

    Raises:
        DataError: A prediction file is missing or damaged, or two rivals differ in samples, targets or truth.
    """
    paths = prediction_files(run, split)
    by_key: dict[Key, SplitAnswers] = {}
    for key, path in paths.items():
        by_key[key] = one = answers_from_table(
            predictions.read(path), key, next(iter(by_key.values())).targets if by_key else ()
        )
        first = next(iter(by_key))
        if reason := disagreement(by_key[first], one, first[0], key[0]):
            raise DataError(path, reason, "predict both again on the same split")
    logp, opinions = ({key: getattr(one, what)[key] for key, one in by_key.items()} for what in ("logp", "opinions"))
    identities = {name: one.identities[name] for (name, _), one in by_key.items()}
    every = list(by_key.values())
    spellings = {c: frozenset().union(*(one.spellings.get(c, ()) for one in every)) for c in every[0].spellings}
    return replace(every[0], logp=logp, opinions=opinions, identities=identities, spellings=spellings)


def answers_from_table(frame: pd.DataFrame, key: Key, order: tuple[str, ...] = ()) -> SplitAnswers:
    """Returns the answers in a prediction table, ordered by sample.

    Args:
        frame: A validated table.
        key: Rival and seed.
        order: The order of the targets, where they are those of the table.
    """
    named = tuple(str(target) for target in frame["target"].unique())
    targets = order if set(order) == set(named) else named
    place = frame["target"].map({target: i for i, target in enumerate(targets)})
    rows = frame.assign(sample=frame["sample"].astype(str), _place=place)
    rows = rows.sort_values(["sample", "_place"], ignore_index=True)
    shape = (-1, len(targets), predictions.classes(frame))
    known = [column for column in _NO_SUBGROUP if column in frame]
    return SplitAnswers(
        unit="sample",
        index=rows[[*known, *predictions.subgroups(frame)]].iloc[:: len(targets)].reset_index(drop=True),
        targets=targets,
        truth=rows["truth"].to_numpy(dtype=np.int64).reshape(shape[:2]),
        logp={key: _columns(rows, "logp").reshape(shape)},
        opinions={key: _opinions(rows, shape)},
        identities={key[0]: predictions.rival(frame)},
        spellings={column: frozenset(texts) for column, texts in frame.attrs.get("spellings", {}).items()},
        choice=targets == (CHOICE,),
    )


def disagreement(first: SplitAnswers, second: SplitAnswers, one: str, other: str) -> str | None:
    """Returns why two sets of answers cannot be paired, or None if they can.

    Args:
        first: Answers ordered by sample.
        second: Others.
        one: Name of the first, for the message.
        other: Name of the second.
    """
    samples = first.index["sample"]
    if alone := sorted({*samples} ^ {*second.index["sample"]}):
        return f"{other} and {one} do not hold the same samples: only one holds {alone[0]}"
    if first.targets != second.targets or first.classes != second.classes:
        return f"{other} and {one} answer different questions"
    differ = {
        "truth": (first.truth != second.truth).any(axis=1),
        "cluster": (first.index["cluster"] != second.index["cluster"]).to_numpy(),
    }
    for column, rows in differ.items():
        if rows.any():
            return f"{other} and {one} hold another {column} for {samples[rows].iloc[0]}"
    return None


def _opinions(frame: pd.DataFrame, shape: tuple[int, int, int]) -> dict[str, Logp]:
    return {name: _columns(frame, f"logit_{name}").reshape(shape) for name in predictions.experts(frame)}


def _columns(frame: pd.DataFrame, name: str) -> Float[np.ndarray, "rows classes"]:
    return frame[[f"{name}_{c}" for c in range(predictions.classes(frame))]].to_numpy(dtype=float)
