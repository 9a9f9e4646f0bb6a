"""Examples of NLVR and NLVR2: a sentence, its pictures, and whether it is true; JSON lines hold one each."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from knee_i2m2.data.left_out import PassedOver
from knee_i2m2.errors import DataError
from knee_i2m2.sources.nlvr2.pictures import Picture

__all__ = ["COLUMNS", "Example", "Examples", "Line", "examples", "is_sided", "read_lines"]

COLUMNS = ("sample", "series", "cluster", "balance", "split", "label", "sentence", "pair", "sided")
"""Of the index: a series is a sentence with all its pictures; a balanced pair has a true and a false sentence."""

_SIDED = re.compile(r"left|right|clockwise|\b(east|west)", re.IGNORECASE)
_AGAIN = "use the file as it was published"


@dataclass(frozen=True)
class Example:
    """One sentence with its pictures.

    Attributes:
        sample: Its name.
        cluster: What may not stand in two splits, and what intervals resample: the image set, or the sentence.
        split: `train`, `val` or `test`.
        label: 1 if the sentence is true, 0 if not, -1 if nobody says so.
        sentence: The claim about the pictures.
        pair: Name of the pictures, which several sentences may share.
    """

    sample: str
    cluster: str
    split: str
    label: int
    sentence: str
    pair: str


@dataclass(frozen=True)
class Examples:
    """All examples of a source.

    Attributes:
        index: One row an example, with the columns `COLUMNS`.
        pictures: Pair -> its pictures, the left one first.
        sources: File name -> SHA-256.
        notes: What else `data.json` should say.
        unused: Files of the source that no example needs.
        drawn: Whether the pictures are drawings, of which the same may stand in several image sets.
    """

    index: pd.DataFrame
    pictures: Mapping[str, tuple[Picture, ...]]
    sources: Mapping[str, str]
    notes: Mapping[str, Any]
    unused: Sequence[PassedOver]
    drawn: bool


def examples(
    rows: Iterable[Example],
    pictures: Mapping[str, tuple[Picture, ...]],
    sources: Mapping[str, str],
    notes: Mapping[str, Any] | None = None,
    unused: Sequence[PassedOver] = (),
    drawn: bool = False,
) -> Examples:
    """Returns the examples with their table."""
    table = pd.DataFrame([vars(row) for row in rows])
    table = table.assign(series=_series(table), balance=_balance(table))
    table = table.assign(sided=table["sentence"].map(is_sided).astype(bool))
    return Examples(table[list(COLUMNS)], pictures, sources, notes or {}, unused, drawn)


def _series(table: pd.DataFrame) -> pd.Series:
    """Returns the cluster and the number of its sentence, for NLVR2's consistency."""
    number = table.groupby("cluster")["sentence"].transform(lambda sentences: pd.factorize(sentences)[0])
    return table["cluster"] + "#" + number.astype(str)


def _balance(table: pd.DataFrame) -> pd.Series:
    """Returns whether what stands under the same pictures is both true and false, as in NLVR2's balanced subsets."""
    both = table.groupby(["split", "pair"])["label"].transform("nunique") == 2
    return both.map({True: "balanced", False: "unbalanced"})


def is_sided(sentence: str) -> bool:
    """Returns whether a mirrored picture may change what is true: the sentence speaks of left or right."""
    return _SIDED.search(sentence) is not None


class Line(NamedTuple):
    """One line; other keys than these are passed over.

    Attributes:
        identifier: The example's name.
        sentence: The claim about the pictures.
        label: 1 if it is true, 0 if not, -1 if nobody says so.
        directory: Folder of its pictures, where one is named.
    """

    identifier: str
    sentence: str
    label: int
    directory: str | None


def read_lines(path: Path, identifier: str, labels: Mapping[str, int], labelled: bool = True) -> list[Line]:
    """Returns the examples of a file in its order; a byte order mark and Windows' line ends do not matter.

    Args:
        path: The file.
        identifier: A regular expression for identifiers.
        labels: How true and false are written.
        labelled: Whether every line must have a label; one without is -1 otherwise.

    Raises:
        DataError: The file cannot be read, is empty, or a line is no JSON object, lacks a key, has another label or
            form of identifier, or an identifier that has been there; the line is named.
    """
    seen: dict[str, int] = {}
    lines = []
    for number, text in _texts(path):
        line = _line(path, number, text, re.compile(identifier, re.ASCII), labels, labelled)
        if line.identifier in seen:
            _refuse(path, number, f"{line.identifier} stood in line {seen[line.identifier]} already")
        seen[line.identifier] = number
        lines.append(line)
    if not lines:
        raise DataError(path, "holds no example", _AGAIN)
    return lines


def _texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yields the lines that hold something, with their numbers from 1."""
    try:
        content = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})", "check the path and who may read it") from error
    except UnicodeDecodeError as error:
        raise DataError(path, f"is no UTF-8 text ({error})", _AGAIN) from error
    yield from ((number, text) for number, text in enumerate(content.split("\n"), 1) if text.strip())


def _line(
    path: Path, number: int, text: str, pattern: re.Pattern[str], labels: Mapping[str, int], labelled: bool
) -> Line:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(path, f"line {number} is no JSON ({error})", _AGAIN) from error
    if not isinstance(fields, dict):
        _refuse(path, number, "is no JSON object, one of which each line should be")
    identifier, sentence = (_text(path, number, fields, key) for key in ("identifier", "sentence"))
    if not pattern.fullmatch(identifier):
        _refuse(path, number, f"has the identifier {identifier!r}, which is not of the form {_form(pattern)}")
    unknown = not labelled and fields.get("label") is None
    label = None if unknown else _text(path, number, fields, "label")
    if not unknown and label not in labels:
        _refuse(path, number, f"has the label {label!r}, not {' or '.join(labels)}")
    return Line(identifier, sentence, labels.get(label, -1), _directory(path, number, fields.get("directory")))


def _text(path: Path, number: int, fields: Mapping[str, Any], key: str) -> str:
    if key not in fields:
        _refuse(path, number, f"has no {key}")
    if not isinstance(fields[key], str) or not fields[key].strip():
        _refuse(path, number, f"has no text as {key} but {fields[key]!r}")
    if any("\ud800" <= letter <= "\udfff" for letter in fields[key]):  # cannot be written again
        _refuse(path, number, f"has half a character in its {key}")
    return fields[key]


def _directory(path: Path, number: int, given: Any) -> str | None:
    """Returns a folder's name, which must not lead out of the pictures' folder."""
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, str | int) or not re.fullmatch(r"[\w-]+", str(given)):
        _refuse(path, number, f"has the directory {given!r}, which is no name of a folder")
    return str(given)


def _form(pattern: re.Pattern[str]) -> str:
    return pattern.pattern.replace(r"\d+", "N")


def _refuse(path: Path, number: int, reason: str) -> None:
    raise DataError(path, f"line {number} {reason}", _AGAIN)
