"""Scenes: NLVR2-format picture pairs and sentences with a known answer.

Command::

    knee-i2m2 scenes OUT
    knee-i2m2 prepare nlvr2 OUT --side 48 --out DATA
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from knee_i2m2.recipes.progress import progress
from knee_i2m2.sources.scenes.leak import Into
from knee_i2m2.sources.scenes.scenes import ScenesSettings, make_scenes

__all__ = ["ScenesOptions", "scenes"]

DEFAULT = ScenesSettings()


@dataclass
class ScenesOptions:
    """Writes NLVR2-format picture pairs and sentences with a known answer.

    Attributes:
        train: Examples for training; four make an image set.
        val: Examples for validation.
        test: Examples for the test.
        side: Rows and columns of a picture, a multiple of 48 pixels.
        seed: Makes everything.
        kinds: What sentences are about: existence counting both comparison same spatial.
        most: Things in a picture, at most 9.
        colours: Of things: red green blue yellow.
        shapes: Of things: circle square triangle.
        leak: Share of the image sets that carry a cue for one modality alone, 0 to 1.
        leak_into: A word in the sentence, a mark in both pictures, or both: each in half of these sets.
        leak_truth: Share of the cues that agree with the label, .5 to 1.
    """

    train: int = DEFAULT.train
    val: int = DEFAULT.val
    test: int = DEFAULT.test
    side: int = DEFAULT.side
    seed: int = DEFAULT.seed
    kinds: list[str] = field(default_factory=lambda: list(DEFAULT.kinds))
    most: int = DEFAULT.most
    colours: list[str] = field(default_factory=lambda: list(DEFAULT.colours))
    shapes: list[str] = field(default_factory=lambda: list(DEFAULT.shapes))
    leak: float = DEFAULT.leak
    leak_into: Into = DEFAULT.leak_into
    leak_truth: float = DEFAULT.leak_truth


def scenes(out: Path, /, config: ScenesOptions) -> dict[str, Any]:
    """Writes scenes to a new folder.

    Returns:
        The folder, the examples, and the accuracy on the test that one modality alone can reach.

    Raises:
        ConfigError: The options do not fit, or the folder holds something.
        DataError: The folder cannot be written.
    """
    lists = {name: tuple(getattr(config, name)) for name in ("kinds", "colours", "shapes")}
    settings = ScenesSettings(**{**asdict(config), **lists})
    with progress() as bars:
        told = make_scenes(settings, out, bars)
    alone = {f"ceiling of {name}": value for name, value in told["ceilings"]["test"].items()}
    return {"folder": str(out), "examples": settings.train + settings.val + settings.test, **alone}
