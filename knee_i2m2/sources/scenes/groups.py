"""Image sets of scenes: two sentences, two pairs of pictures, each sentence true of one pair and false of the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np

from knee_i2m2.errors import ConfigError
from knee_i2m2.sources.scenes.grammar import Scene, Sentence
from knee_i2m2.sources.scenes.pictures import draw_picture, render
from knee_i2m2.sources.scenes.sentences import draw_sentence

__all__ = ["Example", "Group", "World", "draw_groups"]

_SENTENCES, _SCENES = 100, 40
"""How often sentences, and pictures for them, are drawn before giving up."""


@dataclass(frozen=True)
class World:
    """What things and sentences are drawn from.

    Attributes:
        side: Rows and columns of a picture (pixels).
        most: Things in a picture.
        kinds: Of sentences.
        colours: Of things.
        shapes: Of things.
    """

    side: int
    most: int
    kinds: Sequence[str]
    colours: Sequence[str]
    shapes: Sequence[str]


@dataclass(frozen=True)
class Example:
    """A sentence with a pair of pictures.

    Attributes:
        pair: 0 or 1.
        sentence: 0 or 1.
        label: Whether it is true.
    """

    pair: int
    sentence: int
    label: bool


@dataclass(frozen=True)
class Group:
    """An image set.

    Attributes:
        number: Within its split.
        sentences: Both.
        scenes: Both pairs of pictures.
        examples: All four, in random order.
    """

    number: int
    sentences: tuple[Sentence, Sentence]
    scenes: tuple[Scene, Scene]
    examples: tuple[Example, ...]


def draw_groups(world: World, sets: int, seed: Sequence[int], seen: set[bytes]) -> Iterator[Group]:
    """Yields image sets, each with random numbers of its own.

    Args:
        world: What they are drawn from.
        sets: How many.
        seed: Of all of them.
        seen: Fingerprints of the pairs that have been drawn, which are not drawn again; new ones are added.

    Raises:
        ConfigError: No two sentences can be distinguished.
    """
    for number in range(sets):
        yield _draw_group(np.random.default_rng([*seed, number]), world, number, seen)


def _draw_group(random: np.random.Generator, world: World, number: int, seen: set[bytes]) -> Group:
    for _ in range(_SENTENCES):
        one, other = (draw_sentence(random, world.kinds, world.colours, world.shapes) for _ in range(2))
        first = one != other and _search(random, world, one, other, seen)
        second = first and _search(random, world, other, one, seen)
        if first and second and _add(seen, first, second, world.side):
            return _numbered(random, number, (one, other), (first, second))
    what = f"--kinds {' '.join(world.kinds)} with {world.most} things at most"
    raise ConfigError(f"{what}: new pictures that make one sentence true and another false were not found; allow more")


def _search(
    random: np.random.Generator, world: World, true: Sentence, false: Sentence, seen: set[bytes]
) -> Scene | None:
    """Returns a new scene that makes one sentence true and the other false."""
    phrases = true.phrases + false.phrases
    for _ in range(_SCENES):
        left, right = (draw_picture(random, phrases, world.most, world.colours, world.shapes) for _ in range(2))
        if true.holds((left, right)) and not false.holds((left, right)):
            return None if _fingerprint((left, right), world.side) in seen else (left, right)
    return None


def _add(seen: set[bytes], first: Scene, second: Scene, side: int) -> bool:
    """Notes two scenes, and returns whether they look different."""
    prints = {_fingerprint(first, side), _fingerprint(second, side)}
    if len(prints) == 2:
        seen |= prints
    return len(prints) == 2


def _fingerprint(scene: Scene, side: int) -> bytes:
    return sha256(b"".join(render(things, side).tobytes() for things in scene)).digest()


def _numbered(
    random: np.random.Generator, number: int, sentences: tuple[Sentence, Sentence], scenes: tuple[Scene, Scene]
) -> Group:
    """Returns the image set with pairs and examples in random order, so that no number tells what is true."""
    swapped = int(random.integers(2))
    scenes = scenes[::-1] if swapped else scenes
    examples = [Example(pair, sentence, (pair == sentence) != swapped) for pair, sentence in np.ndindex(2, 2)]
    return Group(number, sentences, scenes, tuple(examples[i] for i in random.permutation(4).tolist()))
