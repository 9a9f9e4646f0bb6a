"""Which lines of k-space were measured, as its values show: a faster scan does not always come with a mask.

Zeros beside the columns that the header says were acquired pad k-space and mean nothing. Columns or rows of zeros among
those that were acquired were left out: to save time, by partial Fourier sampling, or because data were lost.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Complex, Shaped

from knee_i2m2.errors import DataError
from knee_i2m2.sources.fastmri.hdf5 import EXPORT

__all__ = ["alike", "columns_measured", "refuse_uneven", "sampling"]

_MARGIN = 0.01
"""Share of an axis that may be empty at either end: limits in headers are rounded."""
_CENTRE = 8
"""Rows about the centre of k-space; a column that was measured is zero in none of them."""
_NOMINAL = 1.5
"""A stated acceleration counts the padding, the measured one does not: they agree to this factor."""


def sampling(
    values: Complex[np.ndarray, "rows columns"],
    acquired: tuple[int, int],
    mask: Shaped[np.ndarray, " columns"] | None = None,
    stated: float | None = None,
) -> tuple[float, dict[str, str]]:
    """Returns the acceleration of a slice, 1 where nothing was left out, and what is odd about it, by kind.

    Args:
        values: K-space.
        acquired: Half-open range of the columns that were acquired according to the header.
        mask: The file's own mask, not 0 where a column was sampled.
        stated: The acceleration that the file states; it is returned where k-space agrees with it.
    """
    columns, rows = (np.flatnonzero(values.any(axis=axis)) for axis in (0, 1))
    if not len(columns):
        return 1.0, {}  # a constant slice is refused when it is read
    first, last = int(columns[0]), int(columns[-1])
    warnings, (left, right) = {}, acquired
    if first < left or last >= right:
        extent = f"k-space holds data in columns {first} to {last}, its header says {left} to {right - 1}"
        warnings["acquired columns"] = extent
        left, right = first, last + 1
    wide, high = _span(columns, left, right), _span(rows, 0, len(values))
    ratio = wide / len(columns) * high / len(rows)
    if ratio > 1:
        partial = "partial Fourier: " if last - first + 1 == len(columns) else ""
        lines = f"{len(columns)} of {wide} acquired columns and {len(rows)} of {high} rows"
        warnings["undersampled"] = f"{partial}its k-space holds data in {lines}"
    masked = ratio if mask is None else (right - left) / max(np.count_nonzero(mask[left:right]), 1)
    if masked > ratio * (1 + 2 * _MARGIN):
        kept = f"its mask keeps one column in {masked:.3g}"
        warnings |= {"undersampled": kept, "mask": f"{kept}, its k-space holds one in {ratio:.3g}"}
    return _nominal(round(float(max(ratio, masked)), 3), stated, warnings), warnings


def alike(one: int | float, other: int | float) -> bool:
    """Returns whether two accelerations may be one, stated with and without what pads k-space."""
    return 1 / _NOMINAL < one / other < _NOMINAL


def columns_measured(kspace: Complex[np.ndarray, "slices rows columns"]) -> list[int]:
    """Returns how many columns of each slice hold data."""
    middle = max(kspace.shape[1] // 2 - _CENTRE // 2, 0)
    return np.count_nonzero(kspace[:, middle : middle + _CENTRE].any(axis=1), axis=-1).tolist()


def refuse_uneven(measured: list[int], path: Path) -> None:
    """Raises DataError where one slice of a volume has fewer columns than another."""
    fewest, most = min(measured), max(measured)
    if most - fewest > _MARGIN * most:
        few, many = measured.index(fewest), measured.index(most)
        reason = f"slice {few} of kspace holds data in {fewest} columns, slice {many} in {most}"
        raise DataError(path, reason, EXPORT)


def _span(lines: np.ndarray, first: int, end: int) -> int:
    """Returns how many lines were acquired, but for a narrow margin that may be empty."""
    margin = int(_MARGIN * (end - first))
    before, after = int(lines[0]) - first, end - 1 - int(lines[-1])
    return end - first - sum(empty for empty in (before, after) if empty <= margin)


def _nominal(ratio: float, stated: float | None, warnings: dict[str, str]) -> float:
    """Returns the stated acceleration where the measured one is near it; otherwise the latter, with a warning."""
    if stated is None or stated == ratio:
        return ratio
    if ratio > 1 and alike(stated, ratio):
        return stated
    warnings["acceleration"] = f"its attribute acceleration is {stated:g}, its k-space has {ratio:.3g}"
    return ratio
