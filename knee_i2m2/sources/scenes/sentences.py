"""Sentences drawn from the grammar of scenes, by what they are about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from knee_i2m2.sources.scenes.grammar import RELATIONS, Compared, Counted, Phrase, Related, Sentence

__all__ = ["KINDS", "draw_sentence", "one_of"]

T = TypeVar("T")


def draw_sentence(
    random: np.random.Generator, kinds: Sequence[str], colours: Sequence[str], shapes: Sequence[str]
) -> Sentence:
    """Returns a sentence of a kind drawn from `kinds`, its words drawn uniformly.

    Args:
        random: What draws.
        kinds: Some of `KINDS`.
        colours: That phrases speak of.
        shapes: That phrases speak of.
    """
    phrase, other = (_draw_phrase(random, colours, shapes) for _ in range(2))
    return KINDS[one_of(random, kinds)](random, phrase, other)


def one_of(random: np.random.Generator, choices: Sequence[T]) -> T:
    """Returns one of them, drawn uniformly."""
    return choices[int(random.integers(len(choices)))]


def _draw_phrase(random: np.random.Generator, colours: Sequence[str], shapes: Sequence[str]) -> Phrase:
    """Returns colour and shape in every second phrase, or only one of them."""
    form, colour, shape = int(random.integers(4)), one_of(random, colours), one_of(random, shapes)
    return Phrase(None if form == 2 else colour, None if form == 3 else shape)


def _existence(random: np.random.Generator, phrase: Phrase, other: Phrase) -> Sentence:
    if one_of(random, (True, False)):
        return Counted(one_of(random, ("left", "right", "some")), "at least", 1, phrase)
    return Counted(one_of(random, ("left", "right", "some")), "exactly", 0, phrase)


def _counting(random: np.random.Generator, phrase: Phrase, other: Phrase) -> Sentence:
    quantity, number = one_of(random, (("exactly", 1), ("exactly", 2), ("exactly", 3), ("at least", 2)))
    return Counted(one_of(random, ("left", "right", "some")), quantity, number, phrase)


def _both(random: np.random.Generator, phrase: Phrase, other: Phrase) -> Sentence:
    return Counted("both", *one_of(random, (("at least", 1), ("exactly", 1), ("exactly", 2), ("exactly", 0))), phrase)


def _comparison(random: np.random.Generator, phrase: Phrase, other: Phrase) -> Sentence:
    return Compared(one_of(random, ("more", "fewer")), phrase)


def _same(random: np.random.Generator, phrase: Phrase, other: Phrase) -> Sentence:
    return Compared(one_of(random, ("same", "different")), phrase)


def _spatial(random: np.random.Generator, phrase: Phrase, other: Phrase) -> Sentence:
    return Related(one_of(random, ("left", "right")), one_of(random, tuple(RELATIONS)), phrase, other)


KINDS: dict[str, Callable[[np.random.Generator, Phrase, Phrase], Sentence]] = {
    "existence": _existence,
    "counting": _counting,
    "both": _both,
    "comparison": _comparison,
    "same": _same,
    "spatial": _spatial,
}
"""Kind -> what draws the rest of a sentence."""
