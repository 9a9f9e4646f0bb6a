"""An item of a checklist: what a run knows of it, and what is left to the authors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from knee_i2m2.report.elements.cells import Table

__all__ = ["Chapter", "Item", "known"]


class Item(NamedTuple):
    """What a checklist asks for.

    Attributes:
        number: Its place in the checklist.
        title: What it asks for, in short words.
        todo: What the authors must write; nothing where what is told is enough.
        told: What the run knows, in sentences.
        tables: What the run knows, in numbers.
    """

    number: int
    title: str
    todo: str = ""
    told: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()

    @property
    def begun(self) -> bool:
        """Whether the run knows something of it, and the authors must write the rest."""
        return bool(self.todo and (self.told or self.tables))


class Chapter(NamedTuple):
    """The items under one heading."""

    title: str
    items: tuple[Item, ...]


def known(number: int, title: str, told: Iterable[str], todo: str, tables: Iterable[Table] = ()) -> Item:
    """Returns an item that is filled in, or one that is to do where the run knows nothing of it."""
    sentences, numbers = tuple(told), tuple(tables)
    return Item(number, title, "" if sentences or numbers else todo, sentences, numbers)
