"""Weights that a network can compute with: every number is finite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from knee_i2m2.errors import CheckpointError

__all__ = ["refuse_not_finite"]


def refuse_not_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Raises CheckpointError for tensors with NaN or infinite values: a network's every answer would be NaN.

    Args:
        state: Name -> values, in the precision in which they are computed with.
        path: Where they come from.
    """
    counts = {name: int((~values.isfinite()).sum()) for name, values in state.items()}
    faulty = {name: count for name, count in counts.items() if count}
    if faulty:
        name, count = next(iter(faulty.items()))
        more = f" and {len(faulty) - 1} more tensors" if len(faulty) > 1 else ""
        reason = f"holds weights that are NaN or infinite: {count} of {state[name].numel()} values of {name}{more}"
        raise CheckpointError(path, reason, "use a file from before the training diverged, or copy it anew")
