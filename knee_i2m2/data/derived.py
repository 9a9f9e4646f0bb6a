"""Samples that are made of others: the same ones, otherwise shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from knee_i2m2.types import Batch, Task

__all__ = ["Derived", "Without"]


@dataclass(frozen=True)
class Derived:
    """Samples with the index and the task of others.

    Attributes:
        samples: The others, which know both.
    """

    samples: Any

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


@dataclass(frozen=True)
class Without(Derived):
    """Samples without one of their modalities.

    Attributes:
        modality: What is left out of every batch.
    """

    modality: str

    def __getitem__(self, positions: list[int]) -> Batch:
        batch = self.samples[positions]
        return batch._replace(x={name: values for name, values in batch.x.items() if name != self.modality})
