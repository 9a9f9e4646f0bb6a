"""Scenes: drawn picture pairs and sentences with a known answer, in NLVR2's very files.

::

    OUT/data/{train,dev,test1}.json            one example a line
    OUT/images/train/<directory>/*.png         <split>-<set>-<pair>-img0.png, left, and -img1.png, right
    OUT/images/{dev,test1}/*.png
    OUT/scenes.json                            settings, and what one modality alone can reach

An image set is two sentences and two pairs of pictures, each sentence true of one pair and false of the other. So a
sentence is true as often as it is false, and so is the claim about a pair: neither predicts the label alone, exactly
and in every split. A leak plants evidence of a known strength in one of them (`leak`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from knee_i2m2.errors import ConfigError, check_seed, suggestion
from knee_i2m2.files import refuse_occupied, whole_folder, writing
from knee_i2m2.sources.nlvr2.files import NAMES
from knee_i2m2.sources.scenes.groups import Group, World, draw_groups
from knee_i2m2.sources.scenes.leak import Cue, Into, ceilings, plant
from knee_i2m2.sources.scenes.pictures import COLOURS, SHAPES, mark, render, structure
from knee_i2m2.sources.scenes.sentences import KINDS
from knee_i2m2.types import Progress, silent

__all__ = ["Scenes", "draw_scenes", "make_scenes"]

_DIRECTORIES = 100


@dataclass(frozen=True)
class Scenes:
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

    train: int = 12000
    val: int = 1000
    test: int = 2000
    side: int = 48
    seed: int = 0
    kinds: list[str] = field(default_factory=lambda: ["existence", "both"])
    most: int = 3
    colours: list[str] = field(default_factory=lambda: ["red", "green", "blue"])
    shapes: list[str] = field(default_factory=lambda: list(SHAPES))
    leak: float = 0.0
    leak_into: Into = "both"
    leak_truth: float = 1.0

    def __post_init__(self) -> None:
        check_seed(self.seed)
        for split in NAMES:
            if (size := getattr(self, split)) < 4 or size % 4:
                raise ConfigError(f"--{split} {size}: give a multiple of 4, which an image set has")
        if self.side < 48 or self.side % 48 or self.side > 960:
            raise ConfigError(f"--side {self.side}: give a multiple of 48, up to 960")
        if not 1 <= self.most <= 9:
            raise ConfigError(f"--most {self.most}: give 1 to 9 things")
        for name, known in (("kinds", KINDS), ("colours", COLOURS), ("shapes", SHAPES)):
            _check_names(name, getattr(self, name), tuple(known))
        if not (0 <= self.leak <= 1 and 0.5 <= self.leak_truth <= 1):
            leak = f"--leak {self.leak:g} --leak-truth {self.leak_truth:g}"
            raise ConfigError(f"{leak}: give a share from 0 to 1, and one from 0.5 to 1")


def make_scenes(settings: Scenes, out: Path, progress: Progress = silent) -> dict[str, Any]:
    """Writes the scenes to the folder `out`, whole or not at all; the same settings give the same bytes.

    Args:
        settings: What is drawn.
        out: A folder that is not there yet or is empty.
        progress: Called after every image set.

    Returns:
        What stands in `scenes.json`.

    Raises:
        ConfigError: The folder holds something, or no pictures can be distinguished by the sentences of these settings.
        DataError: The folder cannot be written.
    """
    refuse_occupied(out)
    total, done = sum(getattr(settings, split) for split in NAMES) // 4, 0
    content: dict[str, Any] = {"settings": asdict(settings), "ceilings": {}}
    with whole_folder(out) as folder, writing(out):
        (folder / "data").mkdir()
        for split, sets in draw_scenes(settings):
            lines: list[str] = []
            for group, cues in sets:
                lines += _write_group(folder, NAMES[split], group, cues, settings.side)
                done += 1
                progress("image sets", done, total)
            (folder / "data" / f"{NAMES[split]}.json").write_text("".join(lines), encoding="utf-8")
            content["ceilings"][split] = ceilings([cue for _, cues in sets for cue in cues])
        (folder / "scenes.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return json.loads(json.dumps(content))


def draw_scenes(settings: Scenes) -> Iterator[tuple[str, list[tuple[Group, tuple[Cue, ...]]]]]:
    """Yields each split with its image sets and the cues of their examples; no pair of pictures is drawn twice."""
    world, seen = World(settings.side, settings.most, settings.kinds, settings.colours, settings.shapes), set()
    for number, split in enumerate(NAMES):
        seed = [settings.seed, number]
        groups = list(draw_groups(world, getattr(settings, split) // 4, seed, seen))
        cues = plant(groups, settings.leak, settings.leak_into, settings.leak_truth, seed)
        yield split, list(zip(groups, cues, strict=True))


def _check_names(option: str, names: Sequence[str], known: Sequence[str]) -> None:
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"--{option} {' '.join(names)}: name each once, and at least one of {', '.join(known)}")
    for name in names:
        if name not in known:
            raise ConfigError(f"--{option} {name}: there is no such thing; {suggestion(name, known)}")


def _write_group(folder: Path, name: str, group: Group, cues: Sequence[Cue], side: int) -> Iterator[str]:
    """Writes the pictures of an image set and yields the lines of its examples."""
    directory = str(group.number % _DIRECTORIES) if name == "train" else ""
    place = folder / "images" / name / directory
    place.mkdir(parents=True, exist_ok=True)
    for example, cue in zip(group.examples, cues, strict=True):
        pair = f"{name}-{group.number}-{cue.pair(example)}"
        scene = group.scenes[example.pair]
        for i, things in enumerate(scene):
            picture = render(things, side)
            picture = mark(picture, cue.claim, side) if cue.into == "pictures" else picture
            (place / f"{pair}-img{i}.png").write_bytes(_png(picture))
        line = {"identifier": f"{pair}-{example.sentence}", "sentence": cue.text(group.sentences[example.sentence])}
        line |= {"label": str(example.label), **({"directory": int(directory)} if directory else {})}
        line |= {"cue": cue.into, "structured_rep": [structure(things, side) for things in scene]}
        yield json.dumps(line) + "\n"


def _png(picture: UInt8[np.ndarray, "side side 3"]) -> bytes:
    content = BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    return content.getvalue()
