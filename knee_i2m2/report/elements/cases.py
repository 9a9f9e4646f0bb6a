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
    """Scores of an expert's maps for a target; NaN is "not estimable".

    Attributes:
        expert: The expert.
        target: The target.
        slices: Number of maps.
        pointing: Share of maps whose maximum lies in a box, with its interval.
        chance: The share for a random point.
        centre: The share for the mean centre of the training boxes.
        similarity: Rank correlation with maps of random weights, with its interval.
        passes: Whether the similarity is low enough; None if not estimable.
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
    """A slice, a target, and the answer.

    Attributes:
        id: Number, in the order of display.
        sample: The slice.
        target: The target.
        truth: 0 or 1.
        kind: `false negative`, ...
        threshold: Log-odds above which the answer is positive.
        log_odds: Of the product, mean over seeds.
        experts: Log-odds of each expert.
        bias: Log-odds that the combiner adds.
        pictures: `magnitude`, `phase`, `kspace` -> PNG as a data URI.
        saliency: Expert -> PNG as a data URI.
        boxes: Boxes of the slice.
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
        rival: The rival.
        seeds: Seeds whose experts gave the maps.
        method: How the maps were computed.
        matrix: Rows and columns of the images.
        cases: Cases in the order of display.
        scores: Scores of the maps.
        stale: Whether they were made from other predictions than the run's.
    """

    rival: str
    seeds: tuple[int, ...]
    method: str
    matrix: tuple[int, int]
    cases: tuple[Case, ...]
    scores: tuple[Score, ...]
    stale: bool = False


def read_cases(run: Path, answers: SplitAnswers) -> Cases | None:
    """Reads RUN/cases; None if it does not exist.

    Args:
        run: The run folder.
        answers: The run's answers about test, as trained, from which cases are made.

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


def _cases(content: Mapping[str, Any], folder: Path) -> Cases:
    return Cases(
        rival=str(content["rival"]),
        seeds=tuple(int(seed) for seed in content["seeds"]),
        method=str(content["method"]),
        matrix=(int(content["matrix"][0]), int(content["matrix"][1])),
        cases=tuple(_case(one, folder) for one in content["cases"]),
        scores=tuple(_score(one) for one in content["scores"]),
    )


def _stale(cases: Cases, answers: SplitAnswers) -> bool:
    keys = [key for key in answers.logp if key[0] == cases.rival]
    place = {str(sample): row for row, sample in enumerate(answers.index["sample"])}
    if not keys or any(one.sample not in place or one.target not in answers.targets for one in cases.cases):
        return True
    log_odds = np.mean([answers.log_odds(key) for key in keys], axis=0)
    current = [log_odds[place[one.sample], answers.targets.index(one.target)] for one in cases.cases]
    return not np.allclose(current, [one.log_odds for one in cases.cases], rtol=_CLOSE, atol=_CLOSE)


def _case(entry: Mapping[str, Any], folder: Path) -> Case:
    return Case(
        **{name: str(entry[name]) for name in ("id", "sample", "target", "kind")},
        truth=int(entry["truth"]),
        **{name: float(entry[name]) for name in ("threshold", "log_odds", "bias")},
        experts={str(expert): float(z) for expert, z in entry["experts"].items()},
        pictures={str(what): _picture(folder, name) for what, name in entry["pictures"].items()},
        saliency={str(expert): _picture(folder, name) for expert, name in entry["saliency"].items()},
        boxes=tuple(_rectangle(box) for box in entry["boxes"]),
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
    content = path.read_bytes()
    if not content.startswith(_PNG):
        raise DataError(path, "is no PNG", _AGAIN)
    return f"data:image/png;base64,{base64.b64encode(content).decode('ascii')}"


def _score(entry: Mapping[str, Any]) -> Score:
    passes = entry["passes"]
    return Score(
        expert=str(entry["expert"]),
        target=str(entry["target"]),
        slices=int(entry["slices"]),
        pointing=_estimate(entry, "pointing"),
        chance=_number(entry["chance"]),
        centre=_number(entry["centre"]),
        similarity=_estimate(entry, "similarity"),
        passes=None if passes is None else bool(passes),
    )


def _estimate(entry: Mapping[str, Any], name: str) -> tuple[float, float, float]:
    return _number(entry[name]), _number(entry[f"{name}_low"]), _number(entry[f"{name}_high"])


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)
