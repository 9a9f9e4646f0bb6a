"""What lies in an input and is not used: every file is used or listed, and too many samples left out are an error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.files import whole

__all__ = ["PassedOver", "check_limit", "files_in", "passed_over", "refuse_many", "write_table"]

_UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".tmp")
_FOREIGN = ("__macosx", "thumbs.db", "desktop.ini")


class PassedOver(NamedTuple):
    """A file that is not used.

    Attributes:
        file: Its path, relative to the input's parent.
        why: In a word or two, for counts.
        reason: In a sentence.
    """

    file: str
    why: str
    reason: str


def files_in(folder: Path, without: Path | None = None, opens: Callable[[Path], bool] = lambda _: True) -> list[Path]:
    """Returns all files below a folder, sorted; links are followed, a folder that is not searched counts as one file.

    Args:
        folder: The folder.
        without: A folder below it whose files do not count, such as what is being written.
        opens: Whether a folder below it is searched; a hidden one never is.

    Raises:
        DataError: A folder cannot be read.
    """
    return sorted(_walk(folder, {os.path.realpath(place) for place in (folder, without) if place}, opens))


def _walk(folder: Path, seen: set[str], opens: Callable[[Path], bool]) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        closed = [name for name in folders if _is_foreign(name) or not opens(Path(place, name))]
        below = {name: os.path.realpath(Path(place, name)) for name in sorted(folders) if name not in closed}
        folders[:] = [name for name, path in below.items() if path not in seen]
        seen.update(below.values())
        yield from (Path(place, name) for name in [*names, *closed])


def _refuse(error: OSError) -> None:
    denied = isinstance(error, PermissionError)
    reason = "may not be read by you" if denied else f"cannot be read ({error.strerror})"
    raise DataError(error.filename, reason, "check the path and who may read it")


def _is_foreign(name: str) -> bool:
    return name.startswith(".") or name.lower() in _FOREIGN


def passed_over(files: Iterable[str], reason: Callable[[str], tuple[str, str]]) -> list[PassedOver]:
    """Returns files that are not used, each with its reason.

    Args:
        files: Paths, with slashes.
        reason: Path -> why in a word or two, and in a sentence, where the name itself does not say so.
    """
    return [PassedOver(name, *(_by_name(name) or reason(name))) for name in files]


def _by_name(name: str) -> tuple[str, str] | None:
    """Returns why a file of this name belongs to no data set, None where it might."""
    if any(map(_is_foreign, name.split("/"))):
        return "hidden", "its name is that of a hidden file or folder; rename it if it belongs to the data"
    if name.lower().endswith(_UNFINISHED):
        return "unfinished", "its name is that of an unfinished download; finish it, or rename it"
    return None


def check_limit(limit: float) -> None:
    """Raises ConfigError for a limit that is no share."""
    if not 0 <= limit <= 1:
        raise ConfigError(f"--quarantine-limit {limit:g}: give a share from 0 to 1, such as 0.01")


def refuse_many(where: Path, left_out: int, total: int, fault: str, limit: float, first: str) -> None:
    """Raises DataError where more than a share of the samples is lost.

    Args:
        where: The folder to name.
        left_out: How many are lost.
        total: Of how many.
        fault: What is wrong with them, such as `examples lack their pictures`.
        limit: The share that may be lost.
        first: One of them, and its reason.
    """
    if left_out > limit * total:
        many = f"{left_out} of {total} {fault}, more than --quarantine-limit {limit:g} allows"
        raise DataError(where, f"{many}; the first is {first}", "mend them, or raise the limit")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a table such as that of what is left out, one row a line, whole or not at all."""
    with whole(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
