"""Examples of NLVR and NLVR2: a sentence, its pictures, and whether it is true."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from knee_i2m2.sources.nlvr2.pictures import Picture

__all__ = ["COLUMNS", "Example", "Examples", "examples", "is_sided", "json_file"]

COLUMNS = ("sample", "series", "cluster", "balance", "split", "label", "sentence", "pair", "sided")
"""Of the index: a series is a sentence with all its pictures; a balanced pair has a true and a false sentence."""

_SIDED = re.compile(r"left|right|clockwise|\b(east|west)", re.IGNORECASE)


@dataclass(frozen=True)
class Example:
    """One sentence with its pictures.

    Attributes:
        sample: Its name.
        cluster: What may not stand in two splits, and what intervals resample: the image set, or the sentence.
        split: `train`, `val` or `test`.
        label: 1 if the sentence is true, else 0.
        sentence: What is said.
        pair: Name of the pictures, which several sentences may share.
    """

    sample: str
    cluster: str
    split: str
    label: int
    sentence: str
    pair: str


@dataclass(frozen=True)
class Examples:
    """All examples of a source.

    Attributes:
        index: One row an example, with the columns `COLUMNS`.
        pictures: Pair -> its pictures, the left one first.
        sources: File name -> SHA-256.
        notes: What else `data.json` should say.
    """

    index: pd.DataFrame
    pictures: Mapping[str, tuple[Picture, ...]]
    sources: Mapping[str, str]
    notes: Mapping[str, str]


def examples(
    rows: Iterable[Example],
    pictures: Mapping[str, tuple[Picture, ...]],
    sources: Mapping[str, str],
    notes: Mapping[str, str] | None = None,
) -> Examples:
    """Returns the examples with their table."""
    table = pd.DataFrame([vars(row) for row in rows])
    table = table.assign(series=_series(table), balance=_balance(table))
    table = table.assign(sided=table["sentence"].map(is_sided).astype(bool))
    return Examples(table[list(COLUMNS)], pictures, sources, notes or {})


def _series(table: pd.DataFrame) -> pd.Series:
    """Returns the cluster and the number of its sentence, for NLVR2's consistency."""
    number = table.groupby("cluster")["sentence"].transform(lambda said: pd.factorize(said)[0])
    return table["cluster"] + "#" + number.astype(str)


def _balance(table: pd.DataFrame) -> pd.Series:
    """Returns whether what stands under the same pictures is both true and false, as in NLVR2's balanced subsets."""
    both = table.groupby(["split", "pair"])["label"].transform("nunique") == 2
    return both.map({True: "balanced", False: "unbalanced"})


def is_sided(sentence: str) -> bool:
    """Returns whether a mirrored picture may change what is true: the sentence speaks of left or right."""
    return _SIDED.search(sentence) is not None


def json_file(source: Path, name: str, folder: str) -> Path | None:
    """Returns `FOLDER/NAME.json` or `NAME.json` of a source, the first that is there."""
    places = (source / folder / f"{name}.json", source / f"{name}.json")
    return next((path for path in places if path.is_file()), None)
