"""A part of a page, whatever it is about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from knee_i2m2.report.elements.cells import Table

__all__ = ["Picture", "Point", "Section", "without_none"]

Item = TypeVar("Item")


class Point(NamedTuple):
    """A term, such as a target, what is said of it, and the particulars."""

    term: str
    told: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """An SVG element; `name` is that of its file, `title` says what it shows to who cannot see it."""

    name: str
    title: str
    svg: str


@dataclass(frozen=True)
class Section:
    """Words, tables and figures under one heading; the templates show them in this order.

    Attributes:
        anchor: Where links lead.
        title: The heading.
        text: Paragraphs.
        warning: A paragraph that must not be overlooked.
        points: What is said of terms, such as targets.
        pictures: Figures.
        tables: Tables that stand open.
        folded: Tables that are opened by a click; printed, they are open.
        command: A command to repeat.
        facts: Names and values.
        notes: Sentences in a list.
        html: Further HTML that is safe; Markdown leaves it out.
    """

    anchor: str
    title: str
    text: tuple[str, ...] = ()
    warning: str = ""
    points: tuple[Point, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    folded: tuple[Table, ...] = ()
    command: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    html: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing but a heading and explanations."""
        held = (self.points, self.pictures, self.tables, self.folded, self.facts, self.notes)
        return not (any(held) or self.warning or self.command or self.html)


def without_none(parts: Iterable[Item | None]) -> tuple[Item, ...]:
    """Returns those parts that there are."""
    return tuple(part for part in parts if part is not None)
