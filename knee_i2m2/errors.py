"""What can go wrong through no fault of ours: one tree, each error a sentence that says what, where and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

__all__ = ["CheckpointError", "ConfigError", "DataError", "KneeError", "check_seed", "suggestion"]


class KneeError(Exception):
    """The root of the tree; the command line prints the sentence and leaves with `exit_code`, without a traceback."""

    exit_code = 1


class ConfigError(KneeError):
    """An option, a configuration file or a run folder does not fit."""

    exit_code = 2


class DataError(KneeError):
    """A file does not hold what it should.

    Args:
        path: The file or folder.
        reason: What is wrong with it.
        hint: What to do about it; may be empty.
    """

    exit_code = 3

    def __init__(self, path: str | Path, reason: str, hint: str = "") -> None:
        super().__init__(path, reason, hint)
        self.path, self.reason, self.hint = Path(path), reason, hint

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" + (f"; {self.hint}" if self.hint else "")


class CheckpointError(DataError):
    """A checkpoint is damaged or belongs to another model."""

    exit_code = 4


def check_seed(seed: int) -> None:
    """Raises ConfigError for a seed that numpy's generators do not take."""
    if not 0 <= seed < 2**32:
        raise ConfigError(f"--seed {seed}: give a whole number from 0 to {2**32 - 1}")


def suggestion(given: str, known: Iterable[str]) -> str:
    """Returns `did you mean knee?`, or all that is known where nothing is close."""
    names = list(known)
    close = difflib.get_close_matches(given, names, n=1)
    return f"did you mean {close[0]}?" if close else f"choose from {', '.join(names)}"
