"""Pictures of scenes: coloured shapes on the cells of a 3 x 3 grid, drawn four times finer than they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from knee_i2m2.sources.scenes.grammar import Phrase, Thing
from knee_i2m2.sources.scenes.sentences import one_of

__all__ = ["BACKGROUND", "COLOURS", "MARKS", "SHAPES", "draw_picture", "mark", "render", "structure"]

COLOURS = {"red": (214, 48, 39), "green": (46, 160, 67), "blue": (45, 90, 214), "yellow": (230, 190, 30)}
"""Colour -> red, green, blue."""

SHAPES = ("circle", "square", "triangle")

BACKGROUND = (240, 240, 240)

MARKS = {True: (0, 0, 0), False: (128, 128, 128)}
"""What the line along the edge claims -> its colour."""

_UNITS = 48
"""Things are placed in 48ths of the side."""
_CENTRES = (8.0, 24.0, 40.0)
_SIZES = (10.0, 14.0)
_FINER = 4


def draw_picture(
    random: np.random.Generator,
    phrases: Sequence[Phrase],
    most: int,
    colours: Sequence[str],
    shapes: Sequence[str],
) -> tuple[Thing, ...]:
    """Returns 1 to `most` things on different cells; every second one fits one of the phrases, so that they matter.

    Args:
        random: What draws.
        phrases: What the sentences speak of.
        most: Things, at most 9.
        colours: Of things.
        shapes: Of things.
    """
    things = []
    for cell in random.permutation(9)[: int(random.integers(1, most + 1))].tolist():
        wish = one_of(random, phrases) if one_of(random, (True, False)) else Phrase(None, None)
        colour, shape = wish.colour or one_of(random, colours), wish.shape or one_of(random, shapes)
        row, column = divmod(cell, 3)
        things.append(Thing(shape, colour, row, column, _CENTRES[column], _CENTRES[row], one_of(random, _SIZES)))
    return tuple(things)


def render(things: Sequence[Thing], side: int) -> UInt8[np.ndarray, "side side 3"]:
    """Returns a picture's red, green and blue."""
    image = Image.new("RGB", (_FINER * side, _FINER * side), BACKGROUND)
    pen = ImageDraw.Draw(image)
    for thing in things:
        left, top, right, bottom = (round(_FINER * side * edge / _UNITS) for edge in _box(thing))
        box, colour = (left, top, right - 1, bottom - 1), COLOURS[thing.colour]
        if thing.shape == "circle":
            pen.ellipse(box, fill=colour)
        elif thing.shape == "square":
            pen.rectangle(box, fill=colour)
        else:
            pen.polygon([(left, bottom - 1), ((left + right) // 2, top), (right - 1, bottom - 1)], fill=colour)
    return np.array(image.reduce(_FINER))


def mark(picture: UInt8[np.ndarray, "side side 3"], claim: bool, side: int) -> UInt8[np.ndarray, "side side 3"]:
    """Returns a copy with a line along the upper edge, which no thing reaches."""
    marked = picture.copy()
    marked[: side // _UNITS] = MARKS[claim]
    return marked


def structure(things: Sequence[Thing], side: int) -> list[dict[str, Any]]:
    """Returns a picture's things in the keys of NLVR: left, top and size in pixels, `type` and `color`."""
    scale = side / _UNITS
    return [
        {
            "type": thing.shape,
            "color": thing.colour,
            "x_loc": scale * _box(thing)[0],
            "y_loc": scale * _box(thing)[1],
            "size": scale * thing.size,
        }
        for thing in things
    ]


def _box(thing: Thing) -> tuple[float, float, float, float]:
    """Returns left, top, right and bottom edge, in 48ths of the side."""
    half = thing.size / 2
    return thing.x - half, thing.y - half, thing.x + half, thing.y + half
