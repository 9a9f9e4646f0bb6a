"""Simulated answers of exchangeable rivals about clustered samples, whose AUROC is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from knee_i2m2.evaluation.statistics.detectability import detectability

__all__ = ["Design", "Simulated", "simulate"]

VOLUMES, SLICES, LONGEST = 2, 30, 12
SHARED = 0.5


@dataclass(frozen=True)
class Design:
    r"""Patients with two volumes of 30 slices, and rivals that differ by chance only.

    .. math::
        s_r = d_r\, y + \sqrt{.5}\, g + \sqrt{.5}\, g_r, \quad
        g = \sqrt{.3}\, u_\text{patient} + \sqrt{.1}\, v_\text{volume} + \sqrt{.6}\, e_\text{slice}

    All noises are standard normal: half of the variance is common to the rivals (:math:`g`), half their own
    (:math:`g_r`). With :math:`d = \sqrt2\, \Phi^{-1}(\mathrm{AUROC})` slices of two different patients have exactly
    this AUROC; those of one patient are told apart more easily, but they are one pair in `patients`, which moves the
    AUROC by less than .001. Of each volume of a positive patient 1 to 12 slices are positive.

    Attributes:
        auroc: Of the first rival, the reference.
        patients: Number of clusters.
        positive: Share of the patients that is positive.
        gap: By how much the AUROC of the other rivals is smaller.
        rivals: Number of rivals.
        targets: Number of findings, independent of each other.
    """

    auroc: float
    patients: int
    positive: float
    gap: float = 0.0
    rivals: int = 3
    targets: int = 4

    @property
    def areas(self) -> Float[np.ndarray, " rivals"]:
        """The true AUROC of every rival."""
        return self.auroc - self.gap * (np.arange(self.rivals) > 0)


class Simulated(NamedTuple):
    """A data set of slices."""

    truth: Int[np.ndarray, "targets samples"]
    scores: Float[np.ndarray, "targets rivals samples"]
    patient: Int[np.ndarray, " samples"]


def simulate(design: Design, generator: np.random.Generator) -> Simulated:
    """Returns one data set, drawn from the generator."""
    truth = np.stack([_truth(design, generator) for _ in range(design.targets)])
    strength = detectability(design.areas)[:, None]
    noise = [_noise(design, generator) for _ in range(design.targets)]
    patient = np.repeat(np.arange(design.patients), VOLUMES * SLICES)
    return Simulated(truth, np.stack([strength * y + g for y, g in zip(truth, noise, strict=True)]), patient)


def _truth(design: Design, generator: np.random.Generator) -> Int[np.ndarray, " samples"]:
    ill = generator.permutation(design.patients) < round(design.positive * design.patients)
    longest = generator.integers(1, LONGEST + 1, size=(design.patients, VOLUMES)) * ill[:, None]
    return (np.arange(SLICES) < longest[..., None]).astype(np.int64).ravel()


def _noise(design: Design, generator: np.random.Generator) -> Float[np.ndarray, "rivals samples"]:
    """Returns the noise of every rival: the common one, and its own."""
    shape = (design.rivals + 1, design.patients)
    patient, volume = (generator.standard_normal((*shape, *more, 1)) for more in ((1,), (VOLUMES,)))
    own = generator.standard_normal((*shape, VOLUMES, SLICES))
    common, *others = (np.sqrt(0.3) * patient + np.sqrt(0.1) * volume + np.sqrt(0.6) * own).reshape(shape[0], -1)
    return np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * np.stack(others)
