"""How many clusters, such as patients, show each target in each split, and which targets will get no interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from knee_i2m2.clusters import LEAST_CLUSTERS
from knee_i2m2.types import SPLITS

__all__ = ["ClassClusters", "class_clusters", "class_sentences"]

ClassClusters = Mapping[str, Mapping[str, Sequence[int]]]
"""Split -> target -> clusters with it, clusters without it."""


def class_clusters(index: pd.DataFrame, targets: Sequence[str]) -> dict[str, dict[str, list[int]]]:
    """Returns for each split and target how many clusters are positive, and how many negative.

    A cluster is positive where one of its samples is, negative where samples are known and none is positive.

    Args:
        index: One row a sample: `split`, `cluster`, and for every target 1, 0 or -1 (unknown).
        targets: The questions.
    """
    highest = index.groupby(["split", "cluster"], sort=False)[list(targets)].max()
    present = [split for split in SPLITS if split in highest.index.get_level_values("split")]
    return {
        split: {t: [int((highest.loc[split][t] == side).sum()) for side in (1, 0)] for t in targets}
        for split in present
    }


def class_sentences(counted: ClassClusters, noun: str = "patients") -> Iterator[str]:
    """Yields a line of counts for every split, then a sentence for every target that will get no interval.

    Args:
        counted: What `class_clusters` returns.
        noun: What a cluster is, in the plural.
    """
    for split, targets in counted.items():
        yield f"{split}, {noun} with / without: " + ", ".join(f"{t} {yes} / {no}" for t, (yes, no) in targets.items())
    for split in SPLITS[1:]:
        for target, sides in counted.get(split, {}).items():
            few = [
                f"{n} {noun.removesuffix('s') if n == 1 else noun} {side} {target}"
                for n, side in zip(sides, ("with", "without"), strict=True)
                if n < LEAST_CLUSTERS
            ]
            if few:
                unit = " per patient" if sides[0] >= LEAST_CLUSTERS else ""  # a positive patient has negative slices
                yield f"{split} has {' and '.join(few)}, {LEAST_CLUSTERS} are needed: no interval{unit} can be given"
