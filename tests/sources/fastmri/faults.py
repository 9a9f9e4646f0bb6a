"""Bad files as data: name -> how to make one, and the sentence that refuses it or what is read all the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.sources.fastmri.fastmri_file import write

__all__ = ["SHAPE", "Case", "canary_of", "digest", "replaced"]

Case = tuple[Callable[[Path], Any], str | dict[str, Any]]
"""What a maker returns is closed after the reading."""

SHAPE = (3, 16, 12)


def canary_of(path: Path) -> Path:
    """Returns where the canary lies that goes with a file."""
    return path.parent.parent / "elsewhere" / "canary.h5"


def digest(values: np.ndarray) -> dict[str, str]:
    """Returns what is reported of k-space that was read."""
    return {"kspace": hashlib.sha256(values.astype(np.complex64).tobytes()).hexdigest()}


def replaced(path: Path, name: str, put: Callable[[h5py.File], Any]) -> None:
    """Puts something else at the place of a dataset."""
    with h5py.File(write(path), "a") as file:
        if name in file:
            del file[name]
        put(file)
