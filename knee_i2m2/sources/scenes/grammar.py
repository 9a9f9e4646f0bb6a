"""Sentences on two drawn pictures: a small compositional grammar, and what makes each of them true.

::

    counted     WHERE contain(s) QUANTITY PHRASE     Both images contain exactly two red circles.
    compared    AMOUNT of PHRASE in both images      The left image contains more red circles than the right image.
    related     PHRASE RELATION PHRASE in an image   In the left image, a red circle is above a blue square.

A phrase is a colour and a shape (`red circle`), a shape (`circle`), or a colour (`red object`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from operator import eq, ge, gt, lt, ne

__all__ = ["RELATIONS", "Compared", "Counted", "Phrase", "Related", "Scene", "Sentence", "Thing"]


@dataclass(frozen=True)
class Thing:
    """One drawn thing.

    Attributes:
        shape: Its shape.
        colour: Its colour.
        row: Row of the 3 x 3 grid, 0 at the top.
        column: Column of the grid, 0 at the left.
        x: Centre from the left, in 48ths of the picture's side.
        y: Centre from the top, in 48ths of the side.
        size: Width and height, in 48ths of the side.
    """

    shape: str
    colour: str
    row: int
    column: int
    x: float
    y: float
    size: float


Scene = tuple[tuple[Thing, ...], tuple[Thing, ...]]
"""What stands in the left picture, and in the right one."""


@dataclass(frozen=True)
class Phrase:
    """A noun phrase.

    Attributes:
        colour: None for any.
        shape: None for any.
    """

    colour: str | None
    shape: str | None

    def fits(self, thing: Thing) -> bool:
        """Returns whether a thing is one."""
        return self.colour in (None, thing.colour) and self.shape in (None, thing.shape)

    def count(self, picture: Sequence[Thing]) -> int:
        """Returns how many of a picture's things are one."""
        return sum(map(self.fits, picture))

    def __str__(self) -> str:
        return " ".join(word for word in (self.colour, self.shape or "object") if word)


class Sentence(ABC):
    """A sentence that a scene makes true or false."""

    @property
    @abstractmethod
    def text(self) -> str:
        """The sentence as it is written."""

    @property
    def phrases(self) -> tuple[Phrase, ...]:
        """The noun phrases in it."""
        return tuple(part for part in vars(self).values() if isinstance(part, Phrase))

    @abstractmethod
    def holds(self, scene: Scene) -> bool:
        """Returns whether it is true of a scene."""


_WHERE: dict[str, tuple[str, Callable[[tuple[bool, bool]], bool]]] = {
    "left": ("The left image contains", lambda holds: holds[0]),
    "right": ("The right image contains", lambda holds: holds[1]),
    "both": ("Both images contain", all),
    "some": ("At least one image contains", any),
}
"""Place -> its words, and the condition on the left and the right picture."""

_NUMBERS = ("no", "one", "two", "three")

_QUANTITIES = {"exactly": eq, "at least": ge}


@dataclass(frozen=True)
class Counted(Sentence):
    """So many of a kind in an image, in both, or in at least one.

    Attributes:
        where: `left`, `right`, `both` or `some`.
        quantity: `exactly` or `at least`.
        number: How many, 0 to 3.
        phrase: Of what.
    """

    where: str
    quantity: str
    number: int
    phrase: Phrase

    @property
    def text(self) -> str:
        """The sentence as it is written."""
        return f"{_WHERE[self.where][0]} {self._amount} {self.phrase}{'s' * (self.number > 1)}."

    def holds(self, scene: Scene) -> bool:
        """Returns whether it is true of a scene."""
        left, right = (_QUANTITIES[self.quantity](self.phrase.count(picture), self.number) for picture in scene)
        return _WHERE[self.where][1]((left, right))

    @property
    def _amount(self) -> str:
        if self.number == 0:
            return "no"
        bare = self.quantity == "at least" and self.number == 1
        return "a" if bare else f"{self.quantity} {_NUMBERS[self.number]}"


_AMOUNTS = {
    "more": (gt, "The left image contains more {}s than the right image."),
    "fewer": (lt, "The left image contains fewer {}s than the right image."),
    "same": (eq, "Both images contain the same number of {}s."),
    "different": (ne, "The images contain different numbers of {}s."),
}


@dataclass(frozen=True)
class Compared(Sentence):
    """The left image against the right one.

    Attributes:
        amount: `more`, `fewer`, `same` or `different`.
        phrase: Of what.
    """

    amount: str
    phrase: Phrase

    @property
    def text(self) -> str:
        """The sentence as it is written."""
        return _AMOUNTS[self.amount][1].format(self.phrase)

    def holds(self, scene: Scene) -> bool:
        """Returns whether it is true of a scene."""
        return _AMOUNTS[self.amount][0](*map(self.phrase.count, scene))


RELATIONS: dict[str, Callable[[Thing, Thing], bool]] = {
    "above": lambda one, other: one.row < other.row,
    "below": lambda one, other: one.row > other.row,
    "left of": lambda one, other: one.column < other.column,
    "right of": lambda one, other: one.column > other.column,
}
"""Words -> whether one thing stands in this relation to another."""


@dataclass(frozen=True)
class Related(Sentence):
    """Where one thing stands from another, in rows and columns of the grid.

    Attributes:
        where: `left` or `right`, the image.
        relation: `above`, `below`, `left of` or `right of`.
        phrase: What stands there.
        other: From what.
    """

    where: str
    relation: str
    phrase: Phrase
    other: Phrase

    @property
    def text(self) -> str:
        """The sentence as it is written."""
        return f"In the {self.where} image, a {self.phrase} is {self.relation} a {self.other}."

    def holds(self, scene: Scene) -> bool:
        """Returns whether it is true of a scene."""
        pairs = permutations(scene[("left", "right").index(self.where)], 2)
        stands = RELATIONS[self.relation]
        return any(self.phrase.fits(a) and self.other.fits(b) and stands(a, b) for a, b in pairs)
