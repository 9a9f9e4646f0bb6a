"""The ISMRMRD header of a raw MR file (Inati et al., 2017, doi:10.1002/mrm.26089), as far as the reader needs it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from knee_i2m2.errors import DataError

__all__ = ["MOST_BYTES", "PHANTOM", "Header", "header_warnings", "parse_header"]

MOST_BYTES = 1 << 20
"""No scanner's header is longer."""
_MOST_DEPTH = 64
"""Levels; the schema has seven."""
PHANTOM = "Phantom"
"""The vendor of simulated volumes."""

_NAMESPACE = {"mrd": "http://www.ismrm.org/ISMRMRD"}
_LIMITS = "encoding/encodingLimits/kspace_encoding_step_1"
_ROUNDING = 0.02
"""Relative difference of pixel sizes that rounded fields of view leave."""
_HINT = "export it again in fastMRI's single-coil format"


@dataclass(frozen=True)
class Header:
    """What the header says.

    Attributes:
        matrix: Rows and columns of the reconstructed image: reconSpace x (readout) and y (phase encoding).
        center: The phase-encoding step in the centre of k-space.
        maximum: The last phase-encoding step.
        field_strength: In tesla; None where the header does not say.
        vendor: Of the scanner; `PHANTOM` where the data are simulated, None where the header does not say.
        view: Field of view of the image in mm, along x and y; None where the header does not say.
        encoded: Rows and columns of k-space: encodedSpace x and y; None where the header does not say.
        encoded_view: Field of view of k-space in mm.
    """

    matrix: tuple[int, int]
    center: int
    maximum: int
    field_strength: float | None
    vendor: str | None
    view: tuple[float | None, float | None]
    encoded: tuple[int | None, int | None]
    encoded_view: tuple[float | None, float | None]

    def acquired(self, columns: int) -> tuple[int, int]:
        """Returns the half-open range of the measured columns of stored k-space, as fastMRI's `mri_data.py` does."""
        left, right = self.limits(columns)
        return max(left, 0), min(right, columns)

    def limits(self, columns: int) -> tuple[int, int]:
        """Returns that range as the header has it; it leaves stored k-space where the header is that of another."""
        left = columns // 2 - self.center
        return left, left + self.maximum + 1


def parse_header(text: bytes, path: Path) -> Header:
    """Returns what the XML text of a file's header says.

    Raises:
        DataError: The text is no UTF-8, no XML or has entities, or a number is missing, none or out of all proportion.
    """
    root = _root(text, path)
    return Header(
        matrix=(
            _count(root, path, "encoding/reconSpace/matrixSize/x", 1),
            _count(root, path, "encoding/reconSpace/matrixSize/y", 1),
        ),
        center=_count(root, path, f"{_LIMITS}/center", 0),
        maximum=_count(root, path, f"{_LIMITS}/maximum", 0),
        field_strength=_number(root, path, "acquisitionSystemInformation/systemFieldStrength_T", float, 0),
        vendor=_text(root, "acquisitionSystemInformation/systemVendor"),
        view=_pair(root, path, "encoding/reconSpace/fieldOfView_mm", float),
        encoded=_pair(root, path, "encoding/encodedSpace/matrixSize", int),
        encoded_view=_pair(root, path, "encoding/encodedSpace/fieldOfView_mm", float),
    )


def header_warnings(header: Header, rows: int, columns: int, path: Path) -> dict[str, str]:
    """Returns what of a header does not fit k-space of a size, by kind; what the header does not have is not checked.

    Raises:
        DataError: The axes of k-space are exchanged, or the image's matrix is its field of view: no image can be made.
    """
    stored, (left, right) = f"k-space of {rows} x {columns}", header.limits(columns)
    warnings = {}
    if header.encoded == (columns, rows) and rows != columns:
        reason = f"the axes of its {stored} are exchanged: its header has an encodedSpace of {columns} x {rows}"
        raise DataError(path, reason, "store slices, readout and phase encoding in this order")
    if None not in header.encoded and header.encoded != (rows, columns):
        x, y = header.encoded
        warnings["encoded matrix"] = f"its header has an encodedSpace of {x} x {y}, its {stored} is another"
    if left < 0 or right > columns:
        warnings["acquired columns"] = (
            f"its header says that columns {left} to {right - 1} of its {stored} were acquired"
        )
    if reason := _pixels(header, (rows, columns)):
        if all(round(mm) == n for mm, n in zip(header.view, header.matrix, strict=True)):
            raise DataError(path, f"the matrix of reconSpace is its field of view in mm: {reason}", _HINT)
        warnings["field of view"] = reason
    return warnings


def _pixels(header: Header, shape: tuple[int, int]) -> str:
    """Returns how the pixels of the image differ from those that the k-space has; nothing where they are the same."""
    views = (*header.view, *header.encoded_view)
    if None in views or 0 in views:
        return ""
    image = [mm / n for mm, n in zip(header.view, header.matrix, strict=True)]
    kspace = [mm / n for mm, n in zip(header.encoded_view, shape, strict=True)]
    if all(abs(a / b - 1) <= _ROUNDING for a, b in zip(image, kspace, strict=True)):
        return ""
    sizes = [" x ".join(f"{size:.3g}" for size in pair) for pair in (image, kspace)]
    return f"by its fields of view the image has pixels of {sizes[0]} mm, its k-space of {sizes[1]} mm"


class _Builder(ElementTree.TreeBuilder):
    """Builds the tree of a text in which nothing stands deeper than in any scanner's."""

    depth = 0

    def start(self, tag: str, attributes: dict[str, str]) -> ElementTree.Element:
        self.depth += 1
        if self.depth > _MOST_DEPTH:
            raise ElementTree.ParseError(f"nested deeper than {_MOST_DEPTH}")
        return super().start(tag, attributes)

    def end(self, tag: str) -> ElementTree.Element:
        self.depth -= 1
        return super().end(tag)


def _root(text: bytes, path: Path) -> ElementTree.Element:
    """Decodes before it looks for entities, which UTF-16 would hide."""
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(path, f"ismrmrd_header is no UTF-8 ({error.reason} at byte {error.start})", _HINT) from error
    if "<!DOCTYPE" in decoded:
        raise DataError(path, "ismrmrd_header declares a document type or entities, which no scanner does", _HINT)
    try:
        return ElementTree.fromstring(decoded, ElementTree.XMLParser(target=_Builder()))
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise DataError(path, f"ismrmrd_header is no XML ({str(error)[:100]})", _HINT) from error


def _text(root: ElementTree.Element, name: str) -> str | None:
    """Returns the text of an element; None where the header does not have it."""
    return root.findtext("/".join(f"mrd:{step}" for step in name.split("/")), namespaces=_NAMESPACE)


def _number(root: ElementTree.Element, path: Path, name: str, kind: type, least: int) -> int | float | None:
    """Returns a number of the header, of at least `least`; None where the header does not have it."""
    text = _text(root, name)
    try:
        number = None if text is None else kind(text)
    except ValueError:
        number = float("nan")
    if number is not None and not least <= number < 1e6:
        raise DataError(path, f"ismrmrd_header has {text[:40]!r} as {name}", _HINT)
    return number


def _pair(root: ElementTree.Element, path: Path, name: str, kind: type) -> tuple[int | float | None, ...]:
    """Returns the numbers along x and y."""
    return tuple(_number(root, path, f"{name}/{axis}", kind, 0) for axis in "xy")


def _count(root: ElementTree.Element, path: Path, name: str, least: int) -> int:
    number = _number(root, path, name, int, least)
    if number is None:
        raise DataError(path, f"ismrmrd_header has no {name}", _HINT)
    return number
