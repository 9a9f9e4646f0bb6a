"""A section of a page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from knee_i2m2.report.elements.cells import Table

__all__ = ["Picture", "Point", "Section", "without_none"]

Item = TypeVar("Item")


class Point(NamedTuple):
    """A term, such as a target, a sentence about it, and details."""

    term: str
    text: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """An SVG element.

    Attributes:
        name: That of its file.
        title: Describes it for readers who cannot see it.
        svg: The element.
        key: Whether it is the legend of the pictures that follow.
    """

    name: str
    title: str
    svg: str
    key: bool = False


@dataclass(frozen=True)
class Section:
    """Words, tables and figures under one heading; the templates show them in this order.

    Attributes:
        anchor: Target of links.
        title: The heading.
        text: Paragraphs.
        warning: A highlighted paragraph.
        points: Sentences about terms, such as targets.
        pictures: Figures.
        tables: Tables that are shown.
        folded: Tables that are shown after a click, and in print.
        command: A command that repeats the run.
        facts: Names and values.
        notes: Sentences in a list.
        html: Further safe HTML, for the page only.
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
        """Whether it holds a heading and explanations only."""
        contents = (self.points, self.pictures, self.tables, self.folded, self.facts, self.notes)
        return not (any(contents) or self.warning or self.command or self.html)


def without_none(parts: Iterable[Item | None]) -> tuple[Item, ...]:
    """Returns the parts that are not None."""
    return tuple(part for part in parts if part is not None)
