"""fastMRI single-coil knee volumes and fastMRI+ labels."""

from __future__ import annotations

from pathlib import Path

from knee_i2m2.data.prepared import Prepared
from knee_i2m2.sources.fastmri.modalities import Computed
from knee_i2m2.sources.fastmri.prepare import PrepareKnee, prepare_knee

__all__ = ["PrepareKnee", "open_knee", "prepare_knee"]


def open_knee(folder: Path, split: str) -> Prepared:
    """Returns the samples of a split of a folder that `prepare knee` wrote, with or without a cache.

    Raises:
        DataError: The folder is unfinished or damaged, or the split is empty.
    """
    return Prepared.open(folder, split, Computed.open)
