"""Leaks of scenes: evidence of a known strength that one modality gives without the other.

A cue claims true or false: a word before the sentence, or a mark in the corner of both pictures. All four examples of
an image set have one, or none of them; of all true and of all false examples with a cue, the same share carries the
truth. So a reader of one modality is right about that share where it has cues, about half elsewhere, and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from knee_i2m2.sources.scenes.grammar import Sentence
from knee_i2m2.sources.scenes.groups import Example, Group

__all__ = ["WORDS", "Cue", "Into", "ceilings", "plant"]

Into = Literal["sentence", "pictures", "both"]
"""Where cues are planted; `both`: in the sentences of half of the image sets, in the pictures of the others."""

WORDS = {True: "Indeed", False: "Supposedly"}
"""What the word before a sentence claims -> the word."""

_PLACES = {"sentence": ("sentence",), "pictures": ("pictures",), "both": ("sentence", "pictures")}
_OWN = 2**31
"""Keeps the random numbers of cues apart from those of image sets, which are numbered from 0."""


@dataclass(frozen=True)
class Cue:
    """What one example gives away.

    Attributes:
        into: `sentence` or `pictures`, None without a cue.
        claim: What it claims.
        honest: Whether that is so.
    """

    into: str | None = None
    claim: bool = False
    honest: bool = False

    def pair(self, example: Example) -> int:
        """Returns the number of the example's pair; marked pictures belong to one example alone."""
        return example.pair + 2 * example.sentence if self.into == "pictures" else example.pair

    def text(self, sentence: Sentence) -> str:
        """Returns the sentence as the example has it."""
        if self.into != "sentence":
            return sentence.text
        return f"{WORDS[self.claim]}, {sentence.text[0].lower()}{sentence.text[1:]}"


def plant(groups: Sequence[Group], leak: float, into: Into, truth: float, seed: Sequence[int]) -> list[tuple[Cue, ...]]:
    """Returns the cues of each image set's examples.

    Args:
        groups: The image sets.
        leak: Share of them that have cues.
        into: Where.
        truth: Share of the cues that agree with the label.
        seed: Of all of it.
    """
    random = np.random.default_rng([*seed, _OWN])
    leaking = random.permutation(len(groups))[: round(leak * len(groups))].tolist()
    cues = [[Cue()] * len(group.examples) for group in groups]
    places = _PLACES[into]
    for first, place in enumerate(places):
        for label in (True, False):
            slots = [(g, i) for g in leaking[first :: len(places)] for i in _labelled(groups[g], label)]
            lies = set(random.permutation(len(slots))[: round((1 - truth) * len(slots))].tolist())
            for number, (g, i) in enumerate(slots):
                honest = number not in lies
                cues[g][i] = Cue(place, label if honest else not label, honest)
    return [tuple(some) for some in cues]


def ceilings(cues: Sequence[Cue]) -> dict[str, float]:
    """Returns the accuracy of a reader who trusts every cue and tosses a coin elsewhere.

    It is what `sentence` alone, `pictures` alone, and both without their interaction (`intra`) can reach.
    """
    readers = {"sentence": {"sentence"}, "pictures": {"pictures"}, "intra": {"sentence", "pictures"}}
    return {
        name: sum(cue.honest if cue.into in read else 0.5 for cue in cues) / len(cues) for name, read in readers.items()
    }


def _labelled(group: Group, label: bool) -> list[int]:
    return [i for i, example in enumerate(group.examples) if example.label == label]
