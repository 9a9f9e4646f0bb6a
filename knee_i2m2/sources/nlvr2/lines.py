"""JSON lines of NLVR and NLVR2: identifier, sentence, label."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from knee_i2m2.errors import DataError

__all__ = ["Line", "read_lines"]

_AGAIN = "use the file as it was published"


class Line(NamedTuple):
    """One line; other keys than these are passed over.

    Attributes:
        identifier: The example's name.
        sentence: What is said of the pictures.
        label: 1 if it is true, else 0.
        directory: Folder of its pictures, where one is named.
    """

    identifier: str
    sentence: str
    label: int
    directory: str | None


def read_lines(path: Path, identifier: str, labels: Mapping[str, int]) -> list[Line]:
    """Returns the examples of a file in its order; a byte order mark and Windows' line ends do not matter.

    Args:
        path: The file.
        identifier: A regular expression for identifiers.
        labels: How true and false are written.

    Raises:
        DataError: The file cannot be read, is empty, or a line is no JSON object, lacks a key, has another label or
            form of identifier, or an identifier that has been there; the line is named.
    """
    seen: dict[str, int] = {}
    lines = []
    for number, text in _texts(path):
        line = _line(path, number, text, re.compile(identifier, re.ASCII), labels)
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


def _line(path: Path, number: int, text: str, pattern: re.Pattern[str], labels: Mapping[str, int]) -> Line:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(path, f"line {number} is no JSON ({error})", _AGAIN) from error
    if not isinstance(found, dict):
        _refuse(path, number, "is no JSON object, one of which each line should be")
    identifier, sentence, label = (_text(path, number, found, key) for key in ("identifier", "sentence", "label"))
    if not pattern.fullmatch(identifier):
        _refuse(path, number, f"has the identifier {identifier!r}, which is not of the form {_form(pattern)}")
    if label not in labels:
        _refuse(path, number, f"has the label {label!r}, not {' or '.join(labels)}")
    return Line(identifier, sentence, labels[label], _directory(path, number, found.get("directory")))


def _text(path: Path, number: int, found: Mapping[str, Any], key: str) -> str:
    if key not in found:
        _refuse(path, number, f"has no {key}")
    if not isinstance(found[key], str) or not found[key].strip():
        _refuse(path, number, f"has no text as {key} but {found[key]!r}")
    if any("\ud800" <= letter <= "\udfff" for letter in found[key]):  # cannot be written again
        _refuse(path, number, f"has half a character in its {key}")
    return found[key]


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
