"""Which volumes and annotations find each other by name, and which do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.identity import canonical_name, named
from knee_i2m2.sources.fastmri.annotations import Annotations
from knee_i2m2.sources.fastmri.folder import part

__all__ = ["LIMIT", "Matching"]

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
        if not 0 <= limit <= 1:
            raise ConfigError(f"--unmatched-limit {limit:g}: give a share from 0 to 1, such as 0.05")
        for sentence, share in self._faults():
            if share > limit:
                hint = "correct the names, or give the --file-list of all reviewed volumes"
                accepted = f"--unmatched-limit {share + 0.005:.2f} goes on without them"
                raise DataError(self.annotations.path, sentence, f"{hint}; {accepted}")

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
            share = len(self.unreviewed) / len(self.volumes) if len(self.unreviewed) > 1 else 0.0
            faults.append((f"{sentence}: {named(self.unreviewed)}{names}", share))
        return faults
