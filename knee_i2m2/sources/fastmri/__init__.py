"""fastMRI single-coil knee volumes and fastMRI+ labels."""

from __future__ import annotations

from pathlib import Path

from knee_i2m2.data.prepared import Prepared
from knee_i2m2.sources.fastmri.annotations import read_annotations
from knee_i2m2.sources.fastmri.modalities import Computed
from knee_i2m2.sources.fastmri.prepare import PrepareKnee, prepare_knee
from knee_i2m2.sources.fastmri.volumes import find_volumes, read_kspace, read_reconstruction, read_volume

__all__ = [
    "PrepareKnee",
    "find_volumes",
    "open_knee",
    "prepare_knee",
    "read_annotations",
    "read_kspace",
    "read_reconstruction",
    "read_volume",
]


def open_knee(folder: Path, split: str) -> Prepared:
    """Returns the samples of a split of a folder that `prepare knee` wrote, with or without a cache.

    Raises:
        DataError: The folder is unfinished or damaged, or the split is empty.
    """
    return Prepared.open(folder, split, Computed.open)
