"""Samples of which a modality is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from knee_i2m2.types import Batch, Task

__all__ = ["Without"]


@dataclass(frozen=True)
class Without:
    """Samples without one of their modalities.

    Attributes:
        samples: What knows its index and its task.
        modality: What is left out of every batch.
    """

    samples: Any
    modality: str

    @property
    def index(self) -> pd.DataFrame:
        """One row a sample."""
        return self.samples.index

    @property
    def task(self) -> Task:
        """What is asked."""
        return self.samples.task

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, positions: list[int]) -> Batch:
        batch = self.samples[positions]
        return batch._replace(x={name: values for name, values in batch.x.items() if name != self.modality})
