"""Single cases and the scores of their saliency maps, as `evaluate --cases` wrote them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.split_answers import SplitAnswers

__all__ = ["Case", "Cases", "Rectangle", "Score", "read_cases"]

_AGAIN = "run `evaluate --cases` again"
_PNG = b"\x89PNG\r\n\x1a\n"
_CLOSE = 1e-6


class Rectangle(NamedTuple):
    """A finding's box in pixels of the image, and the target that it belongs to."""

    x: float
    y: float
    width: float
    height: float
    label: str
    target: str


class Score(NamedTuple):
    """How the maps of an expert for a target did; NaN is "not estimable".

    Attributes:
        expert: Whose maps.
        target: Of which question.
        slices: How many maps.
        pointing: Share of maps whose maximum lies in a box, with its interval.
        chance: What pointing at random reaches.
        centre: What pointing at the mean centre of the training boxes reaches.
        similarity: Rank correlation with maps of random weights, with its interval.
        passes: Whether it is low enough; None if not estimable.
    """

    expert: str
    target: str
    slices: int
    pointing: tuple[float, float, float]
    chance: float
    centre: float
    similarity: tuple[float, float, float]
    passes: bool | None


@dataclass(frozen=True)
class Case:
    """A slice, a question, and what was answered.

    Attributes:
        id: Number, from the one to look at first.
        sample: The slice.
        target: The question.
        truth: 0 or 1.
        kind: `false negative`, ...
        threshold: From which log-odds on the answer is positive.
        log_odds: Of the product, mean over seeds.
        experts: What each expert adds to them.
        bias: What the combiner adds.
        pictures: `magnitude`, `phase`, `kspace` -> PNG as a data URI.
        saliency: Expert -> PNG as a data URI.
        boxes: Of the slice.
    """

    id: str
    sample: str
    target: str
    truth: int
    kind: str
    threshold: float
    log_odds: float
    experts: Mapping[str, float]
    bias: float
    pictures: Mapping[str, str]
    saliency: Mapping[str, str]
    boxes: tuple[Rectangle, ...]


@dataclass(frozen=True)
class Cases:
    """All cases.

    Attributes:
        rival: Who answered.
        seeds: Whose experts the maps are of.
        method: How the maps were computed.
        matrix: Rows and columns of the images.
        cases: The one to look at first comes first.
        scores: Of the maps.
        stale: Whether they are of other predictions than those of the run.
    """

    rival: str
    seeds: tuple[int, ...]
    method: str
    matrix: tuple[int, int]
    cases: tuple[Case, ...]
    scores: tuple[Score, ...]
    stale: bool = False


def read_cases(run: Path, answers: SplitAnswers) -> Cases | None:
    """Reads RUN/cases; None where there is none.

    Args:
        run: The run folder.
        answers: What the run said about test, as trained: that is what cases are of.

    Raises:
        DataError: It is damaged.
    """
    path = run / "cases" / "cases.json"
    if not path.is_file():
        return None
    try:
        cases = _cases(json.loads(path.read_text(encoding="utf-8")), path.parent)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise DataError(path, f"is damaged ({type(error).__name__}: {error})", _AGAIN) from error
    return replace(cases, stale=_stale(cases, answers))


def _cases(found: Mapping[str, Any], folder: Path) -> Cases:
    return Cases(
        rival=str(found["rival"]),
        seeds=tuple(int(seed) for seed in found["seeds"]),
        method=str(found["method"]),
        matrix=(int(found["matrix"][0]), int(found["matrix"][1])),
        cases=tuple(_case(one, folder) for one in found["cases"]),
        scores=tuple(_score(one) for one in found["scores"]),
    )


def _stale(cases: Cases, answers: SplitAnswers) -> bool:
    keys = [key for key in answers.logp if key[0] == cases.rival]
    place = {str(sample): row for row, sample in enumerate(answers.index["sample"])}
    if not keys or any(one.sample not in place or one.target not in answers.targets for one in cases.cases):
        return True
    said = np.mean([answers.log_odds(key) for key in keys], axis=0)
    found = [said[place[one.sample], answers.targets.index(one.target)] for one in cases.cases]
    return not np.allclose(found, [one.log_odds for one in cases.cases], rtol=_CLOSE, atol=_CLOSE)


def _case(said: Mapping[str, Any], folder: Path) -> Case:
    return Case(
        **{name: str(said[name]) for name in ("id", "sample", "target", "kind")},
        truth=int(said["truth"]),
        **{name: float(said[name]) for name in ("threshold", "log_odds", "bias")},
        experts={str(expert): float(z) for expert, z in said["experts"].items()},
        pictures={str(what): _picture(folder, name) for what, name in said["pictures"].items()},
        saliency={str(expert): _picture(folder, name) for expert, name in said["saliency"].items()},
        boxes=tuple(_rectangle(box) for box in said["boxes"]),
    )


def _rectangle(box: Mapping[str, Any]) -> Rectangle:
    x, y, width, height = (float(box[side]) for side in ("x", "y", "width", "height"))
    return Rectangle(x, y, width, height, str(box["label"]), str(box["target"]))


def _picture(folder: Path, name: str) -> str:
    """Returns a picture of the folder as a data URI.

    Raises:
        DataError: It is missing or no PNG, or its name leads out of the folder.
    """
    path = folder / name
    if path.parent != folder or not path.is_file() or path.is_symlink():
        raise DataError(path, "is no picture of this folder", _AGAIN)
    held = path.read_bytes()
    if not held.startswith(_PNG):
        raise DataError(path, "is no PNG", _AGAIN)
    return f"data:image/png;base64,{base64.b64encode(held).decode('ascii')}"


def _score(said: Mapping[str, Any]) -> Score:
    passes = said["passes"]
    return Score(
        expert=str(said["expert"]),
        target=str(said["target"]),
        slices=int(said["slices"]),
        pointing=_estimate(said, "pointing"),
        chance=_number(said["chance"]),
        centre=_number(said["centre"]),
        similarity=_estimate(said, "similarity"),
        passes=None if passes is None else bool(passes),
    )


def _estimate(said: Mapping[str, Any], name: str) -> tuple[float, float, float]:
    return _number(said[name]), _number(said[f"{name}_low"]), _number(said[f"{name}_high"])


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
