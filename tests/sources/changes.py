"""Changes to a folder of inputs, for the tests of what is found there under other names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Change = Callable[[Path], object]


def rename(before: str, after: str) -> Change:
    def change(folder: Path) -> None:
        (folder / after).parent.mkdir(parents=True, exist_ok=True)
        (folder / before).rename(folder / after)

    return change


def add(name: str, content: bytes = b"text") -> Change:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    return change
