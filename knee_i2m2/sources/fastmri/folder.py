"""What lies in an archive folder: the places where volumes are looked for, and everything that is passed over there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from knee_i2m2.data.left_out import PassedOver, files_in, passed_over

__all__ = ["PART", "entries", "is_volume", "part", "unused_files"]

PART = re.compile(r"(train|val|test|challenge)|singlecoil_(train|val|test|challenge).*")

_PHANTOMS = {"ideal.parquet", "phantom.json"}
"""What a phantom's generator writes beside its volumes."""
_PACKED = {".gz", ".xz", ".bz2", ".zst", ".zip", ".7z", ".rar", ".tar", ".tgz"}
_HDF5 = {".h5", ".hdf5", ".hdf", ".he5"}
_MOST_ENTRIES = 100_000
"""A folder that is not searched may be a whole disk; nobody waits for its last file to be counted."""


def entries(folder: Path) -> list[Path]:
    """Returns what lies in a folder and in fastMRI's subfolders in it (`singlecoil_train`, `val`, ...), sorted.

    Raises:
        DataError: A folder may not be read.
    """
    return files_in(folder, opens=lambda place: place.parent == folder and PART.fullmatch(place.name) is not None)


def is_volume(path: Path) -> bool:
    """Returns whether a file has the name of a volume."""
    return path.suffix == ".h5" and not path.name.startswith(".")


def part(path: Path) -> str:
    """Returns fastMRI's own part by the folder's name: `train`, `val`, `test` (also challenge), or nothing."""
    match = PART.fullmatch(path.parent.name)
    name = (match[1] or match[2]) if match else ""
    return "test" if name == "challenge" else name


def unused_files(folder: Path, used: Iterable[Path | None] = ()) -> list[PassedOver]:
    """Returns what lies in an archive, where volumes are looked for, and is no volume.

    Args:
        folder: The archive.
        used: Files and folders in it that serve another purpose, such as the annotations.

    Raises:
        DataError: A folder may not be read.
    """
    known = {_located(path) for path in used if path is not None}
    unused = [path for path in entries(folder) if not is_volume(path) and _located(path) not in known]
    names = [path.relative_to(folder).as_posix() for path in unused if path.name not in _PHANTOMS]
    return passed_over(names, lambda name: _reason(folder / name))


def _located(path: Path) -> Path:
    """Returns where a file lies, whatever it links to."""
    return path.parent.resolve() / path.name


def _reason(path: Path) -> tuple[str, str]:
    """Returns why a file or folder is no volume, in a word or two and in a sentence."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    last = suffixes[-1] if suffixes else ""
    if path.is_dir():
        return _of_folder(path)
    if last in _HDF5:
        return "other suffix", f"ends in {path.suffix}; rename it to end in .h5 if it is a volume"
    if last in _PACKED:
        return "packed", f"is a {last} archive; unpack it if it holds volumes"
    if any(suffix.rstrip("~") in _HDF5 for suffix in suffixes):
        return "copy or unfinished", f"ends in {path.suffix} after .h5; finish the download, or rename it"
    return "no volume", "does not end in .h5"


def _of_folder(path: Path) -> tuple[str, str]:
    inside = (file for file in islice(path.rglob("*"), _MOST_ENTRIES) if file.suffix.lower() in _HDF5)
    files = sum(1 for _ in inside)
    if "multicoil" in path.name.lower():
        return "multi-coil", f"holds multi-coil volumes ({files} files); this software reads single-coil ones"
    return "sub-folder", f"is not searched; {files} HDF5 files lie in it: give that folder, or move them"
