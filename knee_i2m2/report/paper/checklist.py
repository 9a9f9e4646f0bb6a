"""Items of a checklist: what is known from a run, and what the authors must add."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from knee_i2m2.report.elements.cells import Table

__all__ = ["Chapter", "Item", "known"]


class Item(NamedTuple):
    """An item of a checklist.

    Attributes:
        number: Its number in the checklist.
        title: A short title.
        todo: What the authors must write; empty if the sentences suffice.
        sentences: What is known from the run.
        tables: Numbers of the run.
    """

    number: int
    title: str
    todo: str = ""
    sentences: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()

    @property
    def partial(self) -> bool:
        """Whether it is filled in partly, and the authors must write the rest."""
        return bool(self.todo and (self.sentences or self.tables))


class Chapter(NamedTuple):
    """The items under one heading."""

    title: str
    items: tuple[Item, ...]


def known(number: int, title: str, sentences: Iterable[str], todo: str, tables: Iterable[Table] = ()) -> Item:
    """Returns an item that is filled in, or one marked as to do if nothing is known from the run."""
    lines, numbers = tuple(sentences), tuple(tables)
    return Item(number, title, "" if lines or numbers else todo, lines, numbers)
