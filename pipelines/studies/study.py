"""Where the tables of the studies lie."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

__all__ = ["RESULTS", "write"]

RESULTS = Path(__file__).parents[1] / "results"


def write(name: str, table: pd.DataFrame) -> None:
    """Writes a published table, floats with four decimals, and prints it."""
    table.to_csv(RESULTS / f"{name}.csv", index=False, float_format="%.4f")
    print(table.to_string(index=False))
