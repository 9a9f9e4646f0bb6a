"""Retrospective undersampling of k-space with fastMRI's own masks (Zbontar et al., 2018, arXiv:1811.08839)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Complex
from torch import Tensor

from knee_i2m2.errors import ConfigError

__all__ = ["GET_FASTMRI", "MaskKind", "Undersampling", "undersample", "undersampling"]

GET_FASTMRI = "install it with `pip install --no-deps fastmri runstats requests tqdm`"
"""What to do where the package `fastmri` is missing."""

MaskKind = Literal["random", "equispaced", "equispaced_fraction"]
"""fastMRI's names. `equispaced` keeps every n-th column *and* the centre; `equispaced_fraction` keeps 1/n in all."""


@dataclass(frozen=True)
class Undersampling:
    """Which columns a faster scan would have measured.

    Attributes:
        mask: A kind of mask of the `fastmri` package.
        acceleration: One column in so many is kept.
        center_fraction: Share of the columns, in the centre, that are all kept.
    """

    mask: MaskKind
    acceleration: int
    center_fraction: float

    def columns(self, name: str, columns: int, acquired: tuple[int, int]) -> Bool[Tensor, " columns"]:
        """Returns which columns are kept, none outside of those that were `acquired`.

        The mask depends on nothing but the file's name, with `.h5`, as in fastMRI's own pipelines, and is the same for
        all of its slices.

        Raises:
            ConfigError: The centre fills the acceleration's share, no column is left, or `fastmri` is not installed.
        """
        centre = round(columns * self.center_fraction)
        if centre * self.acceleration >= columns:
            fills = f"of {columns} columns the {centre} of the centre are all that {self.acceleration}-fold keeps"
            raise ConfigError(f"--center-fraction {self.center_fraction:g}: {fills}; give less")
        chosen = _mask_function(self)((1, columns, 1), seed=tuple(map(ord, name)))[0].flatten().bool()
        chosen[: acquired[0]] = chosen[acquired[1] :] = False
        if not chosen.any():
            raise ConfigError(f"--acceleration {self.acceleration} keeps none of {columns} columns; give less")
        return chosen


def undersampling(mask: MaskKind | None, acceleration: int, center_fraction: float | None) -> Undersampling | None:
    """Returns the undersampling of an acceleration; None for 1.

    By default the mask is random and the centre .32 / acceleration: fastMRI's public masks have .08 for 4, .04 for 8.

    Raises:
        ConfigError: The acceleration is below 1, or the centre alone would be all that may be kept.
    """
    if acceleration < 1:
        raise ConfigError(f"--acceleration {acceleration}: give 1 (all columns) or more, such as 4 or 8")
    if acceleration == 1 and (mask is not None or center_fraction is not None):
        raise ConfigError("--mask and --center-fraction go with an --acceleration of more than 1; give that too")
    if acceleration == 1:
        return None
    fraction = 0.32 / acceleration if center_fraction is None else center_fraction
    if not 0 < fraction < 1 / acceleration:
        raise ConfigError(f"--center-fraction {fraction:g}: give more than 0 and less than 1/{acceleration}")
    return Undersampling(mask or "random", acceleration, fraction)


def undersample(
    kspace: Complex[Tensor, "*batch rows columns"], chosen: Bool[Tensor, " columns"]
) -> Complex[Tensor, "*batch rows columns"]:
    """Returns k-space with +0 where a column was not chosen: a product would leave the sign of what it hides."""
    return torch.where(chosen, kspace, torch.zeros((), dtype=kspace.dtype, device=kspace.device))


def _mask_function(wanted: Undersampling):
    try:
        from fastmri.data.subsample import create_mask_for_mask_type
    except ImportError as error:
        raise ConfigError(f"undersampling needs the package fastmri, which is not here; {GET_FASTMRI}") from error
    return create_mask_for_mask_type(wanted.mask, [wanted.center_fraction], [wanted.acceleration])
