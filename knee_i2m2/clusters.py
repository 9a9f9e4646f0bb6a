"""Which clusters (patients, recordings, image sets) are in which split, by hash.

`prepare` writes `clusters.json`; `train` holds it against what it reads and copies it into the run, where `evaluate`
and `predict` look up who was trained on. Hashes name nobody; a list of candidates can still be tried against them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from knee_i2m2.errors import DataError
from knee_i2m2.files import reading, write_text
from knee_i2m2.identity import canonical_text, named
from knee_i2m2.types import SPLITS

__all__ = ["CLUSTERS", "LEAST_CLUSTERS", "ClusterRecord", "cluster_hash"]

CLUSTERS = "clusters.json"
"""The record, in a prepared folder and in a run."""

LEAST_CLUSTERS = 10
"""Clusters of either class that an interval needs."""

_AGAIN = "prepare the data again, and train again in a new folder"


def cluster_hash(cluster: object) -> str:
    """Returns 16 hexadecimal digits of SHA-256 of a cluster, however it is spelt."""
    return hashlib.sha256(canonical_text(cluster).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ClusterRecord:
    """Split -> hashes of its clusters."""

    splits: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, index: pd.DataFrame) -> ClusterRecord:
        """Returns the record of an index with the columns `split` and `cluster`."""
        of_split = index.groupby("split")["cluster"]
        return cls({str(split): frozenset(map(cluster_hash, clusters.unique())) for split, clusters in of_split})

    @classmethod
    def read(cls, folder: Path) -> ClusterRecord | None:
        """Returns the record of a folder; None where there is none.

        Raises:
            DataError: It is damaged.
        """
        path = folder / CLUSTERS
        if not path.is_file():
            return None
        with reading(path, _AGAIN):
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls({split: frozenset(map(str, hashes)) for split, hashes in content.items()})

    def write(self, folder: Path) -> None:
        """Writes the record into a folder, whole or not at all."""
        content = {split: sorted(hashes) for split, hashes in self.splits.items()}
        write_text(folder / CLUSTERS, json.dumps(content, indent=0) + "\n")

    def split_of(self, cluster: object) -> str | None:
        """Returns the first of train, val and test that holds a cluster; None where it is new."""
        code = cluster_hash(cluster)
        return next((split for split in SPLITS if code in self.splits.get(split, ())), None)

    def strangers(self, split: str, clusters: Iterable[object]) -> list[str]:
        """Returns the clusters that are not in a split, as text."""
        return sorted(str(c) for c in set(clusters) if cluster_hash(c) not in self.splits.get(split, ()))

    def leaks(self, split: str, clusters: Iterable[object]) -> list[str]:
        """Returns which clusters of a split are in another one as well, as text."""
        others = frozenset[str]().union(*(hashes for name, hashes in self.splits.items() if name != split))
        return sorted(str(c) for c in set(clusters) if cluster_hash(c) in others)

    def refuse_other(self, split: str, clusters: Iterable[object], where: Path) -> None:
        """Raises DataError where a split's clusters are not those that were recorded."""
        clusters = set(clusters)
        strangers, missing = self.strangers(split, clusters), len(self.splits.get(split, ())) - len(clusters)
        if strangers:
            reason = f"{split} holds clusters that `prepare` did not put there: {named(strangers)}"
            raise DataError(where, reason, _AGAIN)
        if missing > 0:
            raise DataError(where, f"{split} lacks {missing} clusters that `prepare` put there", _AGAIN)
