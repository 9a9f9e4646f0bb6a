"""Fault family E: the CSV of the labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.sources.fastmri.faults import Case

__all__ = ["LABELS"]

_COLUMNS = "file,slice,study_level,x,y,width,height,label"
_ROW = "a,3,No,10,20,30,40,Meniscus Tear\n"
_TEAR = {"labels": {"a": [[3, "meniscus"]]}, "quirks": {}}


def _csv(rows: str, head: str = _COLUMNS + "\n", encoding: str = "utf-8") -> Callable[[Path], int]:
    return lambda path: path.write_bytes((head + rows).encode(encoding))


def _row(**cells: str) -> Callable[[Path], int]:
    """Writes a good row and one with other cells."""
    sound = dict(zip(_COLUMNS.split(","), _ROW.strip().split(","), strict=True))
    return _csv(_ROW + ",".join((sound | cells).values()) + "\n")


def _without(column: str) -> Callable[[Path], int]:
    return _csv("a,1,1,1,1,1,1\n", ",".join(name for name in _COLUMNS.split(",") if name != column) + "\n")


LABELS: dict[str, Case] = {
    **{f"no column {name}": (_without(name), f"has no column {name};") for name in _COLUMNS.split(",")},
    "slice negative": (_row(slice="-1"), "line 3 has '-1' as slice"),
    "slice between two": (_row(slice="1.5"), "line 3 has '1.5' as slice"),
    "slice empty": (_row(slice=""), "line 3 has '' as slice"),
    "slice that no volume has": (_row(slice="7"), "line 3 is about slice 7 of a, which has 5"),
    "box above the image": (_row(y="-1"), {**_TEAR, "quirks": {"negative_y": 1}}),
    "box beside the image": (_row(x="9999"), _TEAR),
    "box of no height": (_row(height="0"), {**_TEAR, "quirks": {"flat_boxes": 1}}),
    "box of negative width": (_row(width="-3"), "line 3 has a box of negative width or height"),
    "box of negative height": (_row(height="-3"), "line 3 has a box of negative width or height"),
    "box without a number": (_row(width=""), "line 3 has a box that is no four numbers"),
    "box without end": (_row(width="inf"), "line 3 has a box that is no four numbers"),
    "duplicates": (_csv(_ROW + _ROW), {**_TEAR, "quirks": {"duplicates": 1}}),
    "unknown label": (_row(label="Meniscus tear"), "line 3 has the unknown label 'Meniscus tear'; .* 'Meniscus Tear'"),
    "label without its last blank": (_row(label="Joint Effusion"), "did you mean 'Joint Effusion '"),
    "byte-order mark": (_csv(_ROW, encoding="utf-8-sig"), _TEAR),
    "lines of Windows": (_csv(_ROW.replace("\n", "\r\n"), _COLUMNS + "\r\n"), _TEAR),
    "empty": (_csv("", ""), "has no column file, slice"),
    "no row": (_csv(""), "holds no annotation"),
    "absent": (lambda path: None, "there is no such file"),
    "folder": (lambda path: path.mkdir(), "cannot be read as text"),
    "no text": (lambda path: path.write_bytes(b"\xff\xfe\0f"), "cannot be read as text"),
    "a study's artifact": (
        _csv("a,0,Yes,,,,,artifact\n"),
        {"labels": {"a": []}, "quirks": {"artifact_rows": 1}},
    ),
    "a study's finding": (_row(study_level="Yes"), "line 3 gives 'Meniscus Tear' to a whole study"),
    "study level unsaid": (_row(study_level="Maybe"), "line 3 has 'Maybe' as study_level"),
    "formula as label": (_row(label="=1+1"), "line 3 has the unknown label"),
    "formula as box": (_row(x="=A1"), "line 3 has a box that is no four numbers"),
    "formula as file": (_csv(_ROW.replace("a", "=A1", 1)), {"labels": {"=a1": [[3, "meniscus"]]}}),
    "file empty": (_row(file=""), "line 3 leaves the file empty"),
    "NUL": (_row(label="Meniscus\0Tear"), "holds NUL bytes"),
    "cells too few": (_csv("a,1,No,1,2,3,4\n"), "line 2 has the unknown label ''"),
    "cells too many": (_csv("\n" + _ROW + _ROW.replace("\n", ",more\n")), "line 4 has more cells"),
    "quotes that do not end": (_csv('a,1,No,1,2,3,4,"Meniscus Tear\n'), "no CSV"),
    "cell too long": (_row(file="a" * 200_000), "no CSV"),
}
