"""What each expert puts into the product."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float

from knee_i2m2 import predictions

__all__ = ["covariance_shares", "expert_shares"]


def covariance_shares(log_odds: Mapping[str, Float[np.ndarray, " samples"]]) -> dict[str, float]:
    r"""Returns :math:`\operatorname{Cov}(l_k, \sum_j l_j) / \operatorname{Var}(\sum_j l_j)` per expert :math:`k`.

    A product of experts adds log-odds, so the shares sum to 1. An expert that pulls against the others has a negative
    share; if the product never moves, every share is NaN.

    Args:
        log_odds: Log-odds of class 1 by expert, natural logarithm.
    """
    centred = {expert: l - l.mean() for expert, l in log_odds.items()}
    product = np.sum(list(centred.values()), axis=0)
    spread = float(product @ product)
    return {expert: float(l @ product) / spread if spread > 0 else float("nan") for expert, l in centred.items()}


def expert_shares(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns one row per (target, expert) of a two-class prediction table: `target, expert, share`.

    Raises:
        ValueError: The table has more than two classes, for which one log-odds does not tell the answer.
    """
    if predictions.classes(frame) != 2:
        raise ValueError("shares of experts are defined for two classes")
    rows = []
    for target, asked in frame.groupby("target", sort=False):
        log_odds = {name: np.diff(predictions.logits(asked, name))[:, 0] for name in predictions.experts(asked)}
        rows += [(target, expert, share) for expert, share in covariance_shares(log_odds).items()]
    return pd.DataFrame(rows, columns=["target", "expert", "share"])
