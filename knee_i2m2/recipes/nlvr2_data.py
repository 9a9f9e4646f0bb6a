"""NLVR2, scenes or NLVR -> prepared pictures and sentences.

Command::

    knee-i2m2 prepare nlvr2 NLVR2 --out DATA --jobs 8                       (official folder, scenes)
    knee-i2m2 prepare nlvr2 ARROWS --layout arrow --out DATA --jobs 8       (nlvr2_{train,dev,test1}.arrow)
    knee-i2m2 prepare nlvr2 NLVR --layout nlvr --side 64 --out DATA         (version 1: one picture)
    knee-i2m2 prepare nlvr2 NLVR --layout nlvr --split official --side 64 --out DATA       (its own test stays the test)

Cost: all of NLVR2 at 384 pixels takes about 50 GB; scenes (15,000 examples of 48 pixels) 12 s and 104 MB.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from knee_i2m2.recipes.progress import progress
from knee_i2m2.sources.nlvr2 import PrepareNLVR2, prepare_nlvr2

__all__ = ["PrepareNLVR2", "prepare"]


def prepare(source: Path, /, config: PrepareNLVR2) -> dict[str, Any]:
    """Writes the prepared folder and returns its `data.json`; what is finished is not made again.

    Raises:
        ConfigError: An option is out of range, or the folder was prepared otherwise.
        DataError: An input is missing or damaged, or the folder cannot be written.
    """
    with progress() as bars:
        return prepare_nlvr2(source, config, bars)
