"""Progress bars."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from knee_i2m2.types import Progress

__all__ = ["progress"]


@contextmanager
def progress() -> Iterator[Progress]:
    """Yields what draws a bar with the time left for each work, on standard error, so that `--json` stays clean."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        tasks = {}

        def show(work: str, done: int, total: int | None, note: str = "") -> None:
            if work not in tasks:
                tasks[work] = bars.add_task(work, total=total)
            bars.update(tasks[work], completed=done, total=total, description=f"{work}{note}")

        yield show
