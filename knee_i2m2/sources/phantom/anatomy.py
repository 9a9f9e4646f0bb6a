r"""A coronal knee made of soft ellipses, with sites at which lesions grow.

Coordinates are in half fields of view: the reconstructed square is :math:`[-1, 1)^2`, rows run downwards (`y`),
columns to the right (`x`); twofold readout oversampling makes the rows of the grid reach from -2 to 2. The slice
position `z` runs from -1 to 1. Intensities are in arbitrary units, phases in rad.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = ["CONTRASTS", "SITES", "Anatomy", "Grid", "bump", "dipole", "draw_anatomy", "grid", "render", "site"]

CONTRASTS = {
    "CORPD_FBK": {"fat": 0.9, "muscle": 0.55, "marrow": 0.8, "cartilage": 0.7, "meniscus": 0.6, "ligament": 0.65},
    "CORPDFS_FBK": {"fat": 0.3, "muscle": 0.6, "marrow": 0.55, "cartilage": 0.8, "meniscus": 0.65, "ligament": 0.7},
}
"""Signal of each tissue in fastMRI's two knee sequences: proton density, and with fat suppression."""

SITES = {"abnormal": (-0.12, 0.56), "meniscus": (0.42, 0.12), "acl": (0.02, 0.06), "cartilage": (-0.36, 0.1)}
"""Where each target's lesions sit in a knee without pose, as (x, y)."""

_SOFTNESS = 0.03


class Grid(NamedTuple):
    """Pixel centres; the arrays broadcast to (rows, columns)."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class Anatomy:
    """What varies from knee to knee.

    Attributes:
        scale: Size relative to the average knee.
        angle: In-plane rotation in rad.
        shift: Displacement (x, y).
        widths: Relative sizes of leg, femur, tibia and menisci.
        gains: Relative signal of each tissue, in the order of `CONTRASTS`.
    """

    scale: float
    angle: float
    shift: tuple[float, float]
    widths: tuple[float, float, float, float]
    gains: tuple[float, ...]


def draw_anatomy(generator: np.random.Generator) -> Anatomy:
    """Draws a knee."""
    return Anatomy(
        scale=float(generator.uniform(0.96, 1.04)),
        angle=float(generator.uniform(-0.06, 0.06)),
        shift=(float(generator.uniform(-0.03, 0.03)), float(generator.uniform(-0.03, 0.03))),
        widths=tuple(float(w) for w in generator.uniform(0.95, 1.05, size=4)),
        gains=tuple(float(g) for g in generator.uniform(0.9, 1.1, size=6)),
    )


def grid(rows: int, columns: int, matrix: int) -> Grid:
    """Returns the grid of `rows` x `columns` pixels whose central `matrix` pixels span [-1, 1)."""
    y = (np.arange(rows) - rows // 2) * 2 / matrix
    x = (np.arange(columns) - columns // 2) * 2 / matrix
    return Grid(x[None, :], y[:, None])


def site(anatomy: Anatomy, target: str, z: float) -> tuple[float, float]:
    """Returns the (x, y) of a target's site in a knee's slice."""
    x, y = SITES[target]
    return _pose(anatomy, x * (1 - 0.08 * z * z), y + 0.03 * z)


def bump(pixels: Grid, centre: tuple[float, float], radius: float) -> np.ndarray:
    r"""Returns :math:`e^{-r^2/2s^2}`: smooth, so that a phase bump leaves the magnitude alone."""
    return np.exp(-((pixels.x - centre[0]) ** 2 + (pixels.y - centre[1]) ** 2) / (2 * radius**2))


def dipole(pixels: Grid, centre: tuple[float, float], radius: float) -> np.ndarray:
    r"""Returns :math:`\frac{y}{s} e^{(1 - r^2/s^2)/2}`: it raises as much as it lowers, so that the noise of the phase,
    which goes with the inverse of the magnitude, carries no information; its extremes are +-1.
    """
    return (pixels.y - centre[1]) / radius * np.exp(0.5) * bump(pixels, centre, radius)


def render(anatomy: Anatomy, sequence: str, z: float, pixels: Grid) -> np.ndarray:
    """Returns the signal of a slice without lesions, of shape (rows, columns)."""
    tissues = CONTRASTS[sequence]
    signal = dict(zip(tissues, (v * g for v, g in zip(tissues.values(), anatomy.gains, strict=True)), strict=True))
    straight = _unpose(anatomy, pixels)
    image = np.zeros(np.broadcast_shapes(pixels.x.shape, pixels.y.shape))
    for tissue, (x, y, a, b, tilt) in _ellipses(anatomy, z):
        inside = _ellipse(straight, x, y, a, b, tilt)
        image += inside * (signal[tissue] - image)
    return image


def _ellipses(anatomy: Anatomy, z: float):
    """Yields tissues with their ellipses (x, y, half axes, tilt), painted in this order."""
    leg, femur, tibia, meniscus = anatomy.widths
    depth = 1 - 0.15 * z * z
    condyle, plateau = 0.33 * femur * (1 - 0.1 * z * z), 0.62 * tibia * depth
    yield "fat", (0.0, 0.0, 0.86 * leg * depth, 1.6, 0.0)
    yield "muscle", (0.0, 0.0, 0.74 * leg * depth, 1.5, 0.0)
    yield "marrow", (0.0, -0.95, 0.3 * femur, 0.75, 0.0)
    for side in (-1, 1):
        yield "cartilage", (side * 0.31, -0.26, condyle + 0.05, condyle + 0.05, 0.0)
        yield "marrow", (side * 0.31, -0.28, condyle, condyle, 0.0)
    yield "cartilage", (0.0, 0.6, plateau + 0.04, 0.5, 0.0)
    yield "marrow", (0.0, 0.64, plateau, 0.46, 0.0)
    yield "marrow", (0.0, 1.15, 0.3 * tibia, 0.6, 0.0)
    for side in (-1, 1):
        yield "cartilage", (side * 0.36, 0.1, 0.22, 0.12, 0.0)
    yield "meniscus", (0.44, 0.12, 0.2 * meniscus, 0.12, 0.1)
    yield "ligament", (0.02, 0.06, 0.2, 0.28, 0.2 + 0.1 * z)


def _ellipse(pixels: Grid, x: float, y: float, a: float, b: float, tilt: float) -> np.ndarray:
    """Returns the soft indicator of an ellipse: 1 inside, 0 outside, a logistic edge between."""
    dx, dy = pixels.x - x, pixels.y - y
    u, v = np.cos(tilt) * dx + np.sin(tilt) * dy, np.cos(tilt) * dy - np.sin(tilt) * dx
    distance = (1 - np.sqrt((u / a) ** 2 + (v / b) ** 2)) * min(a, b)
    return 0.5 * (1 + np.tanh(distance / (2 * _SOFTNESS)))


def _pose(anatomy: Anatomy, x: float, y: float) -> tuple[float, float]:
    c, s = np.cos(anatomy.angle), np.sin(anatomy.angle)
    dx, dy = anatomy.shift
    return float(anatomy.scale * (c * x - s * y) + dx), float(anatomy.scale * (s * x + c * y) + dy)


def _unpose(anatomy: Anatomy, pixels: Grid) -> Grid:
    c, s = np.cos(anatomy.angle), np.sin(anatomy.angle)
    x, y = (pixels.x - anatomy.shift[0]) / anatomy.scale, (pixels.y - anatomy.shift[1]) / anatomy.scale
    return Grid(c * x + s * y, c * y - s * x)
