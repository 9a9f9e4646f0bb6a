"""Radiologists' findings in fastMRI+'s CSV format, and the labels they give to slices.

The columns are `file,slice,study_level,x,y,width,height,label`; a list of the reviewed files lies beside them, and
only it separates volumes without finding from volumes that were not reviewed (Zhao et al., 2022, PMC8983757).
"""

from __future__ import annotations

from collections.abc import Iterator
from csv import DictReader
from csv import Error as CsvError
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from io import StringIO
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Int64

from knee_i2m2.errors import DataError
from knee_i2m2.identity import canonical_id, canonical_name, canonical_text

__all__ = [
    "TARGETS",
    "VOCABULARY",
    "Abnormal",
    "Annotations",
    "array_box",
    "read_annotations",
    "slice_labels",
    "target_of",
]

TARGETS = ("abnormal", "meniscus", "acl", "cartilage")
"""The questions, in the order of every label array."""

Abnormal = Literal["reference", "any"]
"""What `abnormal` means: some finding of none of the other targets, or any finding at all."""

VOCABULARY = (
    "Bone - Lesion",
    "Bone- Subchondral edema",
    "Bone-Fracture/Contusion/dislocation",
    "Cartilage - Full Thickness loss/defect",
    "Cartilage - Partial Thickness loss/defect",
    "Displaced Meniscal Tissue",
    "Joint Bodies",
    "Joint Effusion ",
    "LCL Complex - Low-Mod Grade Sprain",
    "LCL Complex- High Grade Sprain",
    "Ligament - ACL High Grade Sprain",
    "Ligament - ACL Low Grade sprain",
    "Ligament - MCL High Grade sprain",
    "Ligament - MCL Low-Mod Grade Sprain",
    "Ligament - PCL High Grade",
    "Ligament - PCL Low-Mod grade sprain",
    "Meniscus Tear",
    "Muscle Strain",
    "Patellar Retinaculum - High grade sprain",
    "Periarticular cysts",
    "Soft Tissue Lesion",
    "artifact",
)
"""The label strings of fastMRI+ knee, to the letter: one ends in a space."""

_COLUMNS = ["file", "slice", "study_level", "x", "y", "width", "height", "label"]
_BOX = ["x", "y", "width", "height"]
_NAME = "give the volume's name"
_NO_FILE = "knee data"


@dataclass(frozen=True, eq=False)
class Annotations:
    """Findings, and which volumes were reviewed.

    Attributes:
        path: The CSV file.
        rows: One finding a row: its columns, typed, and `target`; the index is the line in the file. Exact duplicates
            and artifact rows are gone.
        annotated: Names of the volumes with a row of any kind, in their one spelling.
        reviewed: Names in the file list, in their one spelling; None where there is no list.
        quirks: How often each oddity occurs: `duplicates`, `artifact_rows`, `flat_boxes` (height 0), `negative_y`.
        file_list: The file list; None where there is none.
    """

    path: Path
    rows: pd.DataFrame
    annotated: frozenset[str]
    reviewed: frozenset[str] | None
    quirks: dict[str, int]
    file_list: Path | None = None

    def knows(self, name: str) -> bool:
        """Returns whether the volume was reviewed; if not, its labels are unknown."""
        known = canonical_name(name)
        return known in self.annotated or (known in (self.reviewed or ()) and known not in self.doubtful)

    def of(self, name: str) -> pd.DataFrame:
        """Returns the findings of one volume."""
        return self.rows.iloc[self._positions.get(canonical_name(name), [])]

    @cached_property
    def unlisted(self) -> list[str]:
        """Annotated names that the file list lacks: whosever findings they are, that volume looks negative."""
        return [] if self.reviewed is None else sorted(self.annotated - self.reviewed)

    @cached_property
    def doubtful(self) -> dict[str, str]:
        """Listed volumes without a row, whose findings may be those of an unlisted name -> that name."""
        bare = sorted((self.reviewed or frozenset()) - self.annotated)
        return {near: name for name in self.unlisted for near in get_close_matches(name, bare, n=1)}

    def why_unknown(self, name: str) -> str:
        """Returns why the labels of a volume are unknown."""
        theirs = self.doubtful.get(canonical_name(name))
        return f"its findings may be those of {theirs}, which the file list lacks" if theirs else "nobody reviewed it"

    @cached_property
    def _positions(self) -> dict[str, np.ndarray]:
        return dict(self.rows.groupby("file").indices)


def target_of(label: str) -> str | None:
    """Returns the target that a label belongs to, None for an artifact.

    The rules and their order are those of the reference (`divyam3897/mri-robustness`), where artifacts are abnormal.
    """
    if "ACL" in label:
        return "acl"
    if "Meniscus Tear" in label:
        return "meniscus"
    if "cartilage" in label.lower():
        return "cartilage"
    return None if label == "artifact" else "abnormal"


def read_annotations(csv: Path, file_list: Path | None = None) -> Annotations:
    """Returns the findings of a CSV file and the names of its file list.

    Args:
        csv: A file in fastMRI+'s format; its boxes are kept as drawn, also those that leave the image.
        file_list: One reviewed volume a line; by default `<csv stem>_file_list.csv` beside the CSV, where it exists.

    Raises:
        DataError: A file is missing or no text, a column is missing, or a row breaks the format; the row is named.
    """
    beside = csv.with_name(f"{csv.stem}_file_list.csv")
    listed = file_list or (beside if beside.is_file() else None)
    table = _table(csv)
    for line, reason, hint in _problems(table):
        raise DataError(csv, f"line {line} {reason}", hint)
    names = table["file"].map(canonical_name)
    typed = table.astype({"slice": int}).assign(file=names, **{c: pd.to_numeric(table[c]) for c in _BOX})
    single = typed.drop_duplicates()
    rows = single[single["label"] != "artifact"]
    quirks = {
        "duplicates": len(typed) - len(single),
        "artifact_rows": len(single) - len(rows),
        "flat_boxes": int((rows["height"] == 0).sum()),
        "negative_y": int((rows["y"] < 0).sum()),
    }
    rows = rows.assign(target=rows["label"].map(target_of))
    return Annotations(csv, rows, frozenset(names), _names(listed) if listed else None, quirks, listed)


def slice_labels(
    annotations: Annotations, volume_name: str, slices: int, abnormal: Abnormal = "reference"
) -> Int64[np.ndarray, "slices targets"]:
    """Returns 1 where a slice has a finding of a target, 0 where it has none, -1 where the volume was not reviewed.

    Args:
        annotations: The findings.
        volume_name: The volume's file name, with or without `.h5`.
        slices: How many slices the volume has.
        abnormal: `reference`: a finding of none of the other targets; `any`: any finding. Artifacts count in neither.

    Raises:
        DataError: A finding lies on a slice that the volume does not have.
    """
    if not annotations.knows(volume_name):
        return np.full((slices, len(TARGETS)), -1, dtype=np.int64)
    rows = annotations.of(volume_name)
    beyond = rows[rows["slice"] >= slices]
    if len(beyond):
        reason = f"line {beyond.index[0]} is about slice {beyond['slice'].iloc[0]} of {volume_name}, which has {slices}"
        raise DataError(annotations.path, reason, "slices are counted from 0; correct the line")
    labels = np.zeros((slices, len(TARGETS)), dtype=np.int64)
    labels[rows["slice"].to_numpy(), [TARGETS.index(target) for target in rows["target"]]] = 1
    if abnormal == "any":
        labels[:, 0] = labels.max(axis=1)
    return labels


def array_box(y: int | float, height: int | float, matrix: int = 320) -> int | float:
    """Returns a box's first row in the image array: fastMRI+ draws its boxes on the image flipped upside down.

    Args:
        y: The box's first row in the CSV.
        height: Its rows.
        matrix: Rows of the reconstructed image.
    """
    return matrix - y - height


def _text(path: Path) -> str:
    """Returns a file's text, without the byte-order mark that spreadsheets put in front."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(path, "there is no such file", "check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(path, f"cannot be read as text ({error})", "save it as CSV in UTF-8") from error
    if "\0" in text:
        raise DataError(path, "holds NUL bytes, so it is no text", "save it as CSV in UTF-8")
    return text


def _table(path: Path) -> pd.DataFrame:
    """Returns the columns as text, indexed by the line in the file."""
    reader = DictReader(StringIO(_text(path), newline=""), restkey="", restval="", strict=True)
    try:
        missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise DataError(path, f"has no column {', '.join(missing)}", f"its columns must be {','.join(_COLUMNS)}")
        rows = [(reader.line_num, row) for row in reader]
    except CsvError as error:
        raise DataError(path, f"line {reader.line_num} is no CSV ({error})", "save it as CSV in UTF-8") from error
    if not rows:
        raise DataError(path, "holds no annotation", "give the CSV of fastMRI+")
    for line, _ in (row for row in rows if "" in row[1]):
        raise DataError(path, f"line {line} has more cells than the first line", "put quotes around commas")
    lines, cells = zip(*rows, strict=True)
    return pd.DataFrame(cells, index=pd.Index(lines, name="line"), columns=_COLUMNS)


def _problems(table: pd.DataFrame) -> Iterator[tuple[int, str, str]]:
    """Yields the first line, the reason and the hint of every kind of error in a table of texts."""
    study = table["study_level"] == "Yes"
    numbers = table[_BOX].apply(pd.to_numeric, errors="coerce")
    boxes, negative = np.isfinite(numbers).all(axis=1), (numbers[["width", "height"]] < 0).any(axis=1)
    checks = [
        ("file", table["file"].map(canonical_name).map(canonical_id).isna(), "leaves the file empty", _NAME),
        ("file", _elsewhere(table["file"]), "names {!r}, while other lines name it in another folder", _NAME),
        ("label", ~table["label"].isin(VOCABULARY), "has the unknown label {!r}", ""),
        ("slice", ~table["slice"].str.fullmatch(r"\d{1,6}"), "has {!r} as slice", "slices are counted from 0"),
        ("study_level", ~table["study_level"].isin(["Yes", "No"]), "has {!r} as study_level", "write Yes or No"),
        ("x", ~study & ~boxes, "has a box that is no four numbers", "give x, y, width and height in pixels"),
        ("x", negative, "has a box of negative width or height", "give the box's upper left corner as x and y"),
        ("label", study & (table["label"] != "artifact"), "gives {!r} to a whole study", "give its slice and box"),
    ]
    for column, wrong, reason, hint in checks:
        for line, value in table.loc[wrong, column].head(1).items():
            yield line, reason.format(value), hint or f"did you mean {_nearest(value)!r}?"


def _elsewhere(files: pd.Series) -> pd.Series:
    """Returns where a name is given in another folder than before: it may be another volume's."""
    folders = files.map(lambda file: canonical_text(file).replace("\\", "/").rpartition("/")[0] or None)
    return folders.notna() & (folders.groupby(files.map(canonical_name)).transform("first") != folders)


def _nearest(label: str) -> str:
    return get_close_matches(label, VOCABULARY, n=1, cutoff=0)[0]


def _names(path: Path) -> frozenset[str]:
    """Returns the names of a file list; fastMRI+'s ends in a line that is none."""
    lines = [line.strip() for line in _text(path).splitlines()]
    for number, line in enumerate(lines, start=1):
        if "," in line:
            raise DataError(path, f"line {number} is no file name", "give a list of one name a line, or no list")
    for name in (name for name, twice in zip(lines, _elsewhere(pd.Series(lines, dtype=object)), strict=True) if twice):
        raise DataError(path, f"lists {name}, and the same name in another folder", "give each volume its own name")
    names = frozenset(map(canonical_name, lines)) - {"", _NO_FILE}
    if not names:
        raise DataError(path, "lists no volume", "give a list of one name a line, or no list")
    return names
