"""What lies in an archive folder: the places where volumes are looked for, and everything that is passed over there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from knee_i2m2.sources.fastmri.hdf5 import os_errors

__all__ = ["PART", "part", "passed_over", "places"]

PART = re.compile(r"(train|val|test|challenge)|singlecoil_(train|val|test|challenge).*")

_PHANTOMS = {"ideal.parquet", "phantom.json"}
"""What a phantom's generator writes beside its volumes."""
_PACKED = {".gz", ".xz", ".bz2", ".zst", ".zip", ".7z", ".rar", ".tar", ".tgz"}
_HDF5 = {".h5", ".hdf5", ".hdf", ".he5"}
_MOST_ENTRIES = 100_000
"""A folder that is not searched may be a whole disk; nobody waits for its last file to be counted."""


def places(folder: Path) -> list[Path]:
    """Returns the folder and fastMRI's subfolders in it (`singlecoil_train`, `val`, ...), where volumes are looked for.

    Raises:
        DataError: The folder may not be read.
    """
    with os_errors(folder):
        return [folder, *(place for place in folder.iterdir() if place.is_dir() and PART.fullmatch(place.name))]


def part(path: Path) -> str:
    """Returns fastMRI's own part by the folder's name: `train`, `val`, `test` (also challenge), or nothing."""
    match = PART.fullmatch(path.parent.name)
    name = (match[1] or match[2]) if match else ""
    return "test" if name == "challenge" else name


def passed_over(folder: Path, used: Iterable[Path | None] = ()) -> list[tuple[str, str, str]]:
    """Returns what lies in the places of a folder and is no volume: its name in the folder, why in a word, the reason.

    Args:
        folder: The archive.
        used: Files and folders in it that serve another purpose, such as the annotations.

    Raises:
        DataError: A folder may not be read.
    """
    known = {_located(path) for path in used if path is not None}
    searched = places(folder)
    rows = []
    for place in searched:
        with os_errors(place):
            entries = [path for path in place.iterdir() if path not in searched and _located(path) not in known]
        rows += [(path.relative_to(folder).as_posix(), *words) for path in entries for words in _reason(path)]
    return sorted(rows)


def _located(path: Path) -> Path:
    """Returns where a file lies, whatever it links to."""
    return path.parent.resolve() / path.name


def _reason(path: Path) -> Iterator[tuple[str, str]]:
    """Yields why a file or folder is passed over, in a word and in a sentence; nothing for a volume."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    last = suffixes[-1] if suffixes else ""
    if path.name.startswith("."):
        yield "hidden", "its name begins with a dot; rename it if it is a volume"
    elif path.suffix == ".h5":
        return
    elif path.is_dir():
        yield _of_folder(path)
    elif last in _HDF5:
        yield "other suffix", f"ends in {path.suffix}; rename it to end in .h5 if it is a volume"
    elif last in _PACKED:
        yield "packed", f"is a {last} archive; unpack it if it holds volumes"
    elif any(suffix.rstrip("~") in _HDF5 for suffix in suffixes):
        yield "unfinished or a copy", f"ends in {path.suffix} after .h5; finish the download, or rename it"
    elif path.name not in _PHANTOMS:
        yield "no volume", "does not end in .h5"


def _of_folder(path: Path) -> tuple[str, str]:
    inside = (file for file in islice(path.rglob("*"), _MOST_ENTRIES) if file.suffix.lower() in _HDF5)
    files = sum(1 for _ in inside)
    if "multicoil" in path.name.lower():
        return "multi-coil", f"holds multi-coil volumes ({files} files); this software reads single-coil ones"
    return "sub-folder", f"is not searched; {files} HDF5 files lie in it: give that folder, or move them"
