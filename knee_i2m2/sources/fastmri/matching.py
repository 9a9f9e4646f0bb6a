"""Which volumes find their annotations and their split by name, and which do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from knee_i2m2.data.left_out import PassedOver
from knee_i2m2.data.splits import read_split
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.identity import canonical_name, named
from knee_i2m2.sources.fastmri.annotations import Annotations
from knee_i2m2.sources.fastmri.folder import part

__all__ = ["LIMIT", "Matching", "of_split"]

LIMIT = 0.05
"""The largest share of names without a match that is taken for single slips."""


@dataclass(frozen=True)
class Matching:
    """How the names of volumes fit those of the annotations.

    Attributes:
        annotations: Findings and reviewed volumes.
        volumes: Names of the volumes that should have been reviewed: all but those of fastMRI's test and challenge.
        unreviewed: Those of them that are neither in the CSV nor in the file list.
        absent: Annotated or listed names of which there is no volume, as where only some of the volumes are used.
    """

    annotations: Annotations
    volumes: list[str]
    unreviewed: list[str]
    absent: list[str]

    @classmethod
    def of(cls, annotations: Annotations, paths: Sequence[Path]) -> Matching:
        """Returns how the names of some files fit."""
        volumes = [path.stem for path in paths if part(path) != "test"]
        there = {canonical_name(path.name) for path in paths}
        absent = sorted((annotations.annotated | (annotations.reviewed or frozenset())) - there)
        return cls(annotations, volumes, [name for name in volumes if not annotations.knows(name)], absent)

    @property
    def sentences(self) -> list[str]:
        """What does not match."""
        return [sentence for sentence, _ in self._faults()]

    def refuse(self, limit: float) -> None:
        """Raises DataError where more than a share of the names does not match; one volume alone is no pattern."""
        hint = "correct the names, or give the --file-list of all reviewed volumes"
        _refuse(self._faults(), limit, self.annotations.path, hint)

    def _faults(self) -> list[tuple[str, float]]:
        """Returns what does not match, and its share."""
        annotated, unlisted = self.annotations.annotated, self.annotations.unlisted
        faults = []
        if unlisted:
            sentence = (
                f"{len(unlisted)} of {len(annotated)} annotated names are not in the file list: {named(unlisted)}"
            )
            theirs = f"; {named(self.annotations.doubtful)} may be meant" if self.annotations.doubtful else ""
            faults.append((sentence + theirs, len(unlisted) / len(annotated)))
        if self.unreviewed:
            where = "here" if self.annotations.reviewed is None else "here or in the file list"
            sentence = f"{len(self.unreviewed)} of {len(self.volumes)} volumes are not named {where}"
            names = f"; names without a volume are {named(self.absent)}" if self.absent else ""
            faults.append((f"{sentence}: {named(self.unreviewed)}{names}", _share(self.unreviewed, self.volumes)))
        return faults


def of_split(
    paths: Sequence[Path], split_file: Path, split: str, limit: float
) -> tuple[list[Path], list[PassedOver], list[str]]:
    """Returns the volumes of a split, those that are in none, and in sentences which names do not match.

    Args:
        paths: The volumes.
        split_file: Says which volume is in which split.
        split: The one that is asked for.
        limit: The largest share of its names that may fit no volume; one alone is no pattern.

    Raises:
        DataError: None of the volumes is in this split, or more of its names fit none.
    """
    rows = read_split(split_file)
    rows.index = rows["volume"].map(canonical_name)
    there = {canonical_name(path.name): path for path in paths}
    wanted = rows.loc[rows["split"] == split, "volume"]
    chosen, missing = [there[name] for name in there if name in wanted.index], [*wanted[~wanted.index.isin(there)]]
    if not chosen:
        raise DataError(split_file, f"none of the volumes is in split {split}", "give the folder it was prepared from")
    strange = [path.stem for name, path in there.items() if name not in rows.index]
    absent = f"{len(missing)} of {len(wanted)} volumes of split {split} are not among those given: {named(missing)}"
    outside = f"{len(strange)} of {len(there)} volumes given are in no split: {named(strange)}"
    faults = [(absent, _share(missing, wanted))] * bool(missing) + [(outside, 0.0)] * bool(strange)
    _refuse(faults, limit, split_file, "give all of them, under the names that they had when they were prepared")
    rest = [PassedOver(name, "in no split", f"{split_file.name} of the run's data lacks it") for name in strange]
    return chosen, rest, [sentence for sentence, _ in faults]


def _share(names: Sequence[str], everyone: Sized) -> float:
    return len(names) / len(everyone) if len(names) > 1 else 0.0


def _refuse(faults: Iterable[tuple[str, float]], limit: float, where: Path, hint: str) -> None:
    if not 0 <= limit <= 1:
        raise ConfigError(f"--unmatched-limit {limit:g}: give a share from 0 to 1, such as 0.05")
    for sentence, share in faults:
        if share > limit:
            accepted = f"--unmatched-limit {ceil(100 * share) / 100:.2f} goes on without them"
            raise DataError(where, sentence, f"{hint}; {accepted}")
