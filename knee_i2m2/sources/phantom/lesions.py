r"""Lesions with a known dependency on magnitude and phase.

The object is :math:`x = m\, e^{i\varphi}`. A lesion of strength :math:`A` at a target's site changes it by a smooth
bump :math:`g` or dipole :math:`h`:

============  ==========================================  =======================================
target        magnitude                                   phase
============  ==========================================  =======================================
acl           :math:`m (1 + a A h)`                       unchanged
meniscus      unchanged                                   :math:`\varphi + b A g`
abnormal      :math:`m (1 + c A h)`                       :math:`\varphi + d A g`
cartilage     :math:`m (1 + e A t h)` in *every* slice    :math:`\varphi + f A u g` in *every* slice
============  ==========================================  =======================================

where the signs :math:`t, u` of cartilage agree in positives and disagree in negatives: each alone is a fair coin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from knee_i2m2.errors import ConfigError
from knee_i2m2.sources.fastmri.annotations import TARGETS
from knee_i2m2.sources.phantom.anatomy import Anatomy, Grid, bump, dipole, site

__all__ = ["Changes", "Lesions", "Patch", "Strengths", "changes", "draw_lesions", "patch", "slice_position"]

_PREVALENCE = 0.75
"""Probability that a patient has a target's lesion, which then spans some of the slices."""


@dataclass(frozen=True)
class Strengths:
    """How much a lesion of unit strength changes the object.

    Attributes:
        acl: Relative change of the magnitude.
        meniscus: Change of the phase in rad.
        abnormal: Both changes: relative, and rad.
        cartilage: Both changes: relative, and rad.
        radius: Standard deviation of a bump, in half fields of view.
    """

    acl: float = 0.13
    meniscus: float = 0.18
    abnormal: tuple[float, float] = (0.1, 0.12)
    cartilage: tuple[float, float] = (0.18, 0.18)
    radius: float = 0.07

    def __post_init__(self) -> None:
        if self.radius <= 0:
            raise ConfigError(f"--strengths.radius {self.radius}: lesions need a radius above 0")

    def of(self, target: str) -> tuple[float, float]:
        """Returns the change of magnitude (relative) and phase (rad) of a target's lesion."""
        return {
            "abnormal": self.abnormal,
            "meniscus": (0.0, self.meniscus),
            "acl": (self.acl, 0.0),
            "cartilage": self.cartilage,
        }[target]


@dataclass(frozen=True)
class Lesions:
    """A patient's lesions, the same in both series.

    Attributes:
        labels: 0 or 1, of shape (slices, targets).
        amplitudes: Strengths :math:`A`, of shape (slices, targets).
        signs: The magnitude's sign :math:`t` of the cartilage site, of shape (slices,).
        offsets: Displacement of each lesion from its site, of shape (targets, 2).
    """

    labels: np.ndarray
    amplitudes: np.ndarray
    signs: np.ndarray
    offsets: np.ndarray


def draw_lesions(generator: np.random.Generator, slices: int, position_confound: bool = False) -> Lesions:
    """Draws a patient's lesions; each target has some with probability .75, in a run of slices.

    Without `position_confound` every slice is equally likely to be hit: the centre of the run is uniform over all
    places at which the run touches the volume, inside it or not. With it, runs keep to the middle of the knee.
    """
    labels = np.stack([_run(generator, slices, position_confound) for _ in TARGETS], axis=1)
    return Lesions(
        labels=labels,
        amplitudes=generator.uniform(0.8, 1.2, size=labels.shape),
        signs=generator.choice([-1, 1], size=slices),
        offsets=generator.uniform(-0.015, 0.015, size=(len(TARGETS), 2)),
    )


def _run(generator: np.random.Generator, slices: int, confound: bool) -> np.ndarray:
    """Returns 0 or 1 per slice."""
    present, place = generator.random() < _PREVALENCE, generator.random()
    length = slices * generator.uniform(*((0.3, 0.5) if confound else (0.4, 0.8)))
    middle = (slices - 1) / 2
    spread = generator.normal() * 0.06 * slices if confound else (place - 0.5) * (slices - 1 + length)
    hit = np.abs(np.arange(slices) - middle - spread) <= length / 2
    return (hit & present).astype(np.int64)


class Patch(NamedTuple):
    """A lesion's change of unit sign, within the window where it is not negligible."""

    rows: slice
    columns: slice
    relative: np.ndarray
    radians: np.ndarray


def patch(pixels: Grid, centre: tuple[float, float], radius: float, relative: float, radians: float) -> Patch:
    """Returns a lesion at `centre`; six standard deviations away, where the window ends, a bump is 2e-8."""
    rows, columns = _window(pixels.y[:, 0], centre[1], 6 * radius), _window(pixels.x[0], centre[0], 6 * radius)
    near = Grid(pixels.x[:, columns], pixels.y[rows])
    return Patch(rows, columns, relative * dipole(near, centre, radius), radians * bump(near, centre, radius))


def _window(axis: np.ndarray, centre: float, reach: float) -> slice:
    return slice(*np.searchsorted(axis, (centre - reach, centre + reach)))


@dataclass(frozen=True)
class Changes:
    """A slice before its labels are known.

    Attributes:
        bare: The complex object without any change, of shape (rows, columns).
        patches: The lesions of each target.
    """

    bare: np.ndarray
    patches: tuple[tuple[Patch, ...], ...]

    def image(self, labels: np.ndarray, sign: int) -> np.ndarray:
        """Returns the complex object, of shape (rows, columns), for labels of shape (targets,)."""
        image = self.bare.copy()
        for target, label, patches in zip(TARGETS, labels, self.patches, strict=True):
            t, u = (sign, sign * (2 * label - 1)) if target == "cartilage" else (label, label)
            for rows, columns, relative, radians in patches:
                image[rows, columns] *= (1 + t * relative) * np.exp(1j * u * radians)
        return image


def changes(
    bare: np.ndarray, pixels: Grid, anatomy: Anatomy, lesions: Lesions, index: int, strengths: Strengths
) -> Changes:
    """Returns slice `index` of a bare object as a function of its labels and of the cartilage's sign."""
    z = slice_position(index, len(lesions.labels))
    patches = []
    for i, target in enumerate(TARGETS):
        x, y = site(anatomy, target, z) + lesions.offsets[i]
        relative, radians = lesions.amplitudes[index, i] * np.array(strengths.of(target))
        patches.append((patch(pixels, (x, y), strengths.radius, relative, radians),))
    return Changes(bare, tuple(patches))


def slice_position(index: int, slices: int) -> float:
    """Returns the position of a slice in [-1, 1]."""
    return 0.0 if slices == 1 else 2 * index / (slices - 1) - 1
