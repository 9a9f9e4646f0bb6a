"""Detectability, and how much of the ideal observer's a rival reaches."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

__all__ = ["CEILING", "detectability", "efficiency"]

CEILING = 0.999
"""Above this AUROC a detectability rests on a handful of pairs and is not estimable."""


def detectability(auroc: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    r"""Returns :math:`d_A = \sqrt2\, \Phi^{-1}(\mathrm{AUROC})`, in standard deviations.

    References:
        Foundations of Image Science, chapter 13 (Barrett and Myers, 2004)
    """
    return np.sqrt(2) * ndtri(auroc)


def efficiency(
    rival: Float[np.ndarray, "*shape"],
    ideal: Float[np.ndarray, "*shape"],
) -> Float[np.ndarray, "*shape"]:
    r"""Returns :math:`(d_A^\text{rival} / d_A^\text{ideal})^2`, given both AUROCs.

    A rival at or below .5 detects nothing: 0. Where either passes `CEILING`, or the ideal does not pass .5, the ratio
    is not estimable: NaN.

    References:
        The efficiency of a human observer (Tanner and Birdsall, 1958)

    Example:
        >>> efficiency(np.array([0.76, 0.4, 0.9]), np.array([0.9, 0.9, 0.9999])).round(2)
        array([0.3, 0. ,  nan])
    """
    estimable = (ideal > 0.5) & (ideal <= CEILING) & (rival <= CEILING)
    ceiling = detectability(np.where(estimable, ideal, 0.75))
    reached = detectability(np.where(estimable, rival, 0.5).clip(min=0.5))
    return np.where(estimable, (reached / ceiling) ** 2, np.nan)
