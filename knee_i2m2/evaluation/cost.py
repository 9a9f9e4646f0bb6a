"""What training has cost, and the best rival of those that cost no more than the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from knee_i2m2.evaluation.tidy import MACRO
from knee_i2m2.files import read_objects
from knee_i2m2.types import Rival

__all__ = ["before", "equal_cost", "training_flops"]

_ROOM = 1.05
"""A training of at most so many times the reference's cost counts as equal."""


def before(spent: pd.DataFrame, identities: Mapping[str, Rival], rival: str, seed: int) -> pd.Series:
    """Returns what the experts that a rival started from had cost; not a number where that is not recorded.

    Args:
        spent: Amounts by (rival, seed).
        identities: Rival -> its identity.
        rival: Its name.
        seed: Of the training.
    """
    identity = identities.get(rival)
    alone = {one.experts: name for name, one in identities.items() if one == Rival(one.experts[:1])}
    experts = [(alone.get((e,), e), seed) for e in identity.experts] if identity and identity.warm else []
    return spent.reindex(experts).sum(skipna=False)


def training_flops(run: Path, identities: Mapping[str, Rival]) -> pd.Series:
    """Returns the floating-point operations of every rival's training, its experts' included: mean over seeds.

    A rival is left out where they are not recorded.

    Raises:
        DataError: A line of `metrics.jsonl` is damaged.
    """
    records = [line for line in read_objects(run / "metrics.jsonl") if "training_flops" in line]
    if not records:
        return pd.Series(dtype=float)
    columns = ["rival", "seed", "training_flops"]
    spent = pd.DataFrame(records)[columns].groupby(columns[:2]).last().astype(float)
    total = {
        key: spent.loc[key, "training_flops"] + before(spent, identities, *key).sum(skipna=False) for key in spent.index
    }
    return pd.Series(total).groupby(level=0).mean().dropna()


def equal_cost(results: pd.DataFrame, compared: pd.DataFrame, cost: pd.Series, reference: str) -> Iterator[str]:
    """Yields which rival is best of those whose training cost no more than the reference's; nothing without costs.

    Args:
        results: Table of results.
        compared: Table of differences to the reference.
        cost: Of every rival, such as `training_flops`.
        reference: Its name.
    """
    chosen = _headline(results)
    affordable = cost[cost <= _ROOM * cost.get(reference, float("nan"))].index
    values = chosen[chosen["rival"].isin(affordable) & (chosen["rival"] != reference)].set_index("rival")["value"]
    if values.dropna().empty:
        return
    best = values.idxmax()
    row = _headline(compared).set_index("rival").loc[best]
    size = f"{row['value']:+.3f}" + (f" [{row['low']:.3f}, {row['high']:.3f}]" if pd.notna(row["low"]) else "")
    share = cost[best] / cost[reference]
    yield f"best at no more training FLOPs than {reference}: {best}, {share:.2f} times them, {size} to {reference}"


def _headline(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the test rows over all targets of the smallest unit."""
    here = table.query("split == 'test' and seed == 'mean' and subgroup == 'all' and metric in ['auroc', 'accuracy']")
    here = here[here["target"] == MACRO]
    return here[here["unit"] == here["unit"].iloc[0]] if len(here) else here
