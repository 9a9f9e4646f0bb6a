"""The ISMRMRD header of a raw MR file (Inati et al., 2017, doi:10.1002/mrm.26089), as far as the reader needs it."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from knee_i2m2.errors import DataError

__all__ = ["MOST_BYTES", "PHANTOM", "Header", "parse_header"]

MOST_BYTES = 1 << 20
"""No scanner's header is longer."""
_MOST_DEPTH = 64
"""Levels; the schema has seven."""
PHANTOM = "Phantom"
"""The vendor of simulated volumes."""

_NAMESPACE = {"mrd": "http://www.ismrm.org/ISMRMRD"}
_LIMITS = "encoding/encodingLimits/kspace_encoding_step_1"
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
    """

    matrix: tuple[int, int]
    center: int
    maximum: int
    field_strength: float | None
    vendor: str | None

    def acquired(self, columns: int) -> tuple[int, int]:
        """Returns the half-open range of the measured columns of stored k-space, as fastMRI's `mri_data.py` does."""
        left = columns // 2 - self.center
        return max(left, 0), min(left + self.maximum + 1, columns)


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
    )


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


def _count(root: ElementTree.Element, path: Path, name: str, least: int) -> int:
    number = _number(root, path, name, int, least)
    if number is None:
        raise DataError(path, f"ismrmrd_header has no {name}", _HINT)
    return number
