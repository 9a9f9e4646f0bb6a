"""Samples in memory: arrays of modalities, their labels, and whose they are."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int64
from numpy.typing import ArrayLike
from torch import Tensor

from knee_i2m2.data.prepared import Labelled
from knee_i2m2.data.splits import SPLITS, divided
from knee_i2m2.errors import DataError
from knee_i2m2.identity import identities, subgroup_spellings
from knee_i2m2.types import Batch, Task

__all__ = ["Samples"]

_SAMPLES = "the samples"
_LOG = logging.getLogger(__name__)


class Samples(Labelled):
    """Samples of any modalities.

    Args:
        x: Modality -> values of shape (samples, ...): vectors (samples, values) or images (samples, channels, rows,
            columns). A name without `+` and `.`, which join and number experts.
        y: Classes 0, 1, ..., or -1 where unknown, of shape (samples,), or (samples, targets).
        clusters: Whose sample each is (patient, recording): a cluster is never in two splits, and is resampled as one.
            Spellings of one (7, 7.0, "007") are joined; by default every sample is a cluster of its own.
        targets: Names of the questions; the only target `label` may have more than two classes.
        position: Place of each sample in its series, in [0, 1]: the modality `position`.
        subgroups: Name -> value of each sample, such as its site.
        classes: How many; by default as many as `y` shows, at least 2.

    Attributes:
        x: The modalities as tensors.
        y: Truth of shape (samples, *targets).
        index: One row a sample: `sample, series, cluster`, position, subgroups, and one column a target.
        task: What is asked.

    Raises:
        DataError: Lengths differ, a value is not finite, or a class is not a whole number from -1 on.

    Example:
        >>> x = {"blood": np.zeros((6, 3)), "image": np.zeros((6, 1, 8, 8))}
        >>> samples = Samples(x, y=[0, 1, 0, 1, 0, 1], clusters=[1, 1, 2, 2, 3, 4])
        >>> [len(part) for part in samples.split(seed=0)]
        [4, 1, 1]
    """

    def __init__(
        self,
        x: Mapping[str, Any],
        y: Any,
        clusters: ArrayLike | None = None,
        targets: Sequence[str] = ("label",),
        position: ArrayLike | None = None,
        subgroups: Mapping[str, ArrayLike] | None = None,
        classes: int | None = None,
    ) -> None:
        truth = _classes(y, targets)
        extra = {} if position is None else {"position": np.asarray(position, np.float32).reshape(-1, 1)}
        self.x = {name: _values(name, values, len(truth)) for name, values in {**x, **extra}.items()}
        if not self.x:
            raise DataError(_SAMPLES, "have no modality", "give x as {name: array}")
        if subgroups and (taken := subgroups.keys() & {"sample", "series", "cluster", "position", *targets}):
            raise DataError(_SAMPLES, f"have a subgroup named {min(taken)}, as another column is", "rename it")
        who = {"cluster": np.arange(len(truth)) if clusters is None else clusters, **(subgroups or {})}
        columns = {name: _column(name, values, len(truth)) for name, values in who.items()}
        names = [f"{i:0{len(str(len(truth)))}d}" for i in range(len(truth))]
        place = {} if position is None else {"position": self.x["position"][:, 0].numpy()}
        labels = dict(zip(targets, truth.reshape(len(truth), -1).T, strict=True))
        cluster = _clusters(names, columns.pop("cluster"))
        columns = {name: list(map(subgroup_spellings(c.tolist()).get, c.tolist())) for name, c in columns.items()}
        self.index = pd.DataFrame(
            {"sample": names, "series": "-", "cluster": cluster, **place, **columns, **labels},
        )
        shown = int(truth.max(initial=1)) + 1
        if classes is not None and classes < shown:
            raise DataError(_SAMPLES, f"show class {shown - 1}, but there are {classes} classes", "count them from 0")
        self.task = Task("samples", tuple(targets), classes or shown)
        self.y = torch.from_numpy(truth)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, positions: list[int]) -> Batch:
        x = {name: values[positions].float() for name, values in self.x.items()}
        return Batch(x, self.y[positions], torch.as_tensor(positions))

    def take(self, positions: Sequence[int] | np.ndarray) -> Samples:
        """Returns the samples at some positions, in their order."""
        part, chosen = copy.copy(self), torch.as_tensor(positions, dtype=torch.int64)
        part.x = {name: values[chosen] for name, values in self.x.items()}
        part.y, part.index = self.y[chosen], self.index.iloc[chosen.numpy()].reset_index(drop=True)
        return part

    def split(
        self, seed: int = 0, fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)
    ) -> tuple[Samples, Samples, Samples]:
        """Returns train, val and test, to which all samples of a cluster go together.

        Args:
            seed: Of the random order.
            fractions: Shares of the clusters in train, val and test.

        Raises:
            DataError: There are fewer than three clusters.
            ConfigError: The fractions are no three positive shares.
        """
        order = sorted({*self.clusters}, key=lambda name: (not name.isdigit(), len(name) * name.isdigit(), name))
        codes = np.array(list(map({name: code for code, name in enumerate(order)}.get, self.clusters)))
        units = [f"{code:09d}" for code in range(len(order))]
        places = np.array(list(map(divided(units, "clusters", seed, fractions).get, units)))[codes]
        train, val, test = (self.take(np.flatnonzero(places == split)) for split in SPLITS)
        return train, val, test


def _values(name: str, values: Any, samples: int) -> Tensor:
    """Returns a modality as a tensor, once it is known to be usable."""
    tensor = torch.as_tensor(values)
    if not name or set(name) & set("+."):
        raise DataError(_SAMPLES, f"have a modality named {name!r}", "give it a name without + and .")
    if tensor.ndim < 2 or len(tensor) != samples:
        raise DataError(
            _SAMPLES, f"have {name} of shape {tuple(tensor.shape)}, and {samples} labels", "give (samples, values, ...)"
        )
    if tensor.is_complex():
        raise DataError(_SAMPLES, f"have complex {name}", "give its magnitude and phase; ki.modalities makes both")
    if not torch.isfinite(tensor).all():
        raise DataError(_SAMPLES, f"have {name} with values that are not finite", "mend or leave out these samples")
    return tensor.float() if tensor.dtype == torch.float64 else tensor


def _classes(y: Any, targets: Sequence[str]) -> Int64[np.ndarray, "samples *targets"]:
    """Returns the truth with an axis of targets, but for the only target `label`."""
    given = np.asarray(y)
    wanted = given.shape[:1] if tuple(targets) == ("label",) else (*given.shape[:1], len(targets))
    if not given.size or given.ndim not in (1, 2) or given.size != np.prod(wanted):
        raise DataError(_SAMPLES, f"have y of shape {given.shape} for {', '.join(targets)}", "give (samples, targets)")
    truth = given.reshape(wanted).astype(np.int64) if given.dtype.kind in "biuf" and np.isfinite(given).all() else None
    if truth is None or (truth != given.reshape(wanted)).any() or truth.min() < -1:
        raise DataError(_SAMPLES, "have labels that are no classes", "give whole numbers: 0, 1, ..., or -1 for unknown")
    return truth


def _column(name: str, values: ArrayLike, samples: int) -> np.ndarray:
    """Returns a column of the index."""
    column = np.asarray(values)
    if column.shape != (samples,):
        raise DataError(_SAMPLES, f"have {name} of shape {column.shape}, and {samples} labels", "give one per sample")
    return column


def _clusters(samples: list[str], given: np.ndarray) -> list[str]:
    """Returns whose each sample is, in one spelling."""
    whose = identities(dict(zip(samples, given.tolist(), strict=True)))
    if whose.unknown:
        reason = f"have unknown clusters: {whose.reasons}"
        raise DataError(_SAMPLES, reason, "say whose each sample is: it decides its split")
    for sentence in whose.sentences("cluster", "samples"):
        _LOG.warning(sentence)
    return list(whose.of.values())
