"""The prediction files: the contract between training and evaluation.

One row per (sample, target), in this order of columns::

    sample, series, cluster          who: knee slice, volume, patient; AV-MNIST pair, -, recording
    position, ...                    optional: place in the series in [0, 1], and subgroup columns
    target, truth                    the question, and its class; -1 is unknown
    logp_<class>                     the answer, natural logarithm of a probability
    logit_<expert>_<class>           what each expert said, raw
    logit_bias_<class>               what the combiner adds
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import log_softmax, logsumexp

from knee_i2m2.errors import DataError
from knee_i2m2.files import reading, whole
from knee_i2m2.identity import canonical_id, subgroup_spellings
from knee_i2m2.types import Rival

__all__ = ["PRODUCT", "UNKNOWN", "classes", "experts", "logits", "read", "rival", "subgroups", "table", "write"]

PRODUCT = "product"
"""The combiner whose log p must be the log-softmax of the sum of logits and bias."""

UNKNOWN = "unknown"
"""Method and combiner of a file that does not say how its answers were made."""

_WHO = ("sample", "series", "cluster")
_ASKED = ("target", "truth")
_TOLERANCE = 1e-4


def table(
    index: pd.DataFrame,
    targets: tuple[str, ...],
    truth: np.ndarray,
    logp: np.ndarray,
    opinions: Mapping[str, np.ndarray],
    bias: np.ndarray,
    identity: Rival,
) -> pd.DataFrame:
    """Returns the prediction table.

    Args:
        index: One row per sample: `sample, series, cluster`, then optional `position` and subgroup columns.
        targets: Names of the questions.
        truth: Classes, of shape (samples, *targets); -1 is unknown.
        logp: Log-probabilities, of shape (samples, *targets, classes).
        opinions: Raw logits by expert, each of the shape of `logp`.
        bias: What the combiner adds, broadcastable to the shape of `logp`.
        identity: The rival: its experts, method, combiner and start are kept in the file.
    """
    rows = (len(index) * len(targets), logp.shape[-1])
    frame = index.loc[index.index.repeat(len(targets))].reset_index(drop=True)
    frame["target"] = np.tile(np.array(targets, dtype=object), len(index))
    frame["truth"] = truth.reshape(-1).astype(np.int64)
    said = {"logp": logp, **{f"logit_{name}": z for name, z in opinions.items()}}
    said["logit_bias"] = np.broadcast_to(bias, logp.shape)
    columns = {f"{name}_{c}": z.reshape(rows)[:, c] for name, z in said.items() for c in range(rows[1])}
    frame = pd.concat([frame, pd.DataFrame(columns).astype(np.float64)], axis=1)
    frame.attrs["identity"] = asdict(identity)
    return frame


def classes(frame: pd.DataFrame) -> int:
    """Returns the number of classes."""
    return sum(bool(re.fullmatch(r"logp_\d+", column)) for column in frame.columns)


def experts(frame: pd.DataFrame) -> tuple[str, ...]:
    """Returns the names of the experts that answered, in the file's order."""
    names = (re.fullmatch(r"logit_(.+)_0", column) for column in frame.columns)
    return tuple(name[1] for name in names if name and name[1] != "bias")


def rival(frame: pd.DataFrame) -> Rival:
    """Returns the identity of the rival whose answers these are; of a file without one, method and combiner `unknown`.

    Raises:
        DataError: The file's identity is damaged.
    """
    stored = frame.attrs.get("identity")
    try:
        if stored is None:
            return Rival(experts(frame) or (UNKNOWN,), UNKNOWN, UNKNOWN)
        return Rival(**{**stored, "experts": tuple(stored["experts"])})
    except (TypeError, ValueError, KeyError) as error:
        raise DataError("a prediction file", f"names no rival ({error})", "write it again with `train`") from error


def logits(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Returns an expert's logits (or those of `bias`), of shape (rows, classes)."""
    return frame[[f"logit_{name}_{c}" for c in range(classes(frame))]].to_numpy()


def subgroups(frame: pd.DataFrame) -> tuple[str, ...]:
    """Returns the names of the subgroup columns: those between the sample's and the question's."""
    before = list(frame.columns[: frame.columns.get_loc("target")])
    return tuple(column for column in before if column not in (*_WHO, "position"))


def write(frame: pd.DataFrame, path: Path) -> None:
    """Validates the table and writes it as Parquet, whole or not at all."""
    _validate(frame, path)
    with whole(path) as temporary:
        frame.to_parquet(temporary, index=False)


def read(path: Path) -> pd.DataFrame:
    """Returns a validated prediction table; its attribute `spellings` has clusters and subgroups as they were written.

    Raises:
        DataError: The file is missing or unreadable, or a row breaks the contract.
    """
    if not path.is_file():
        raise DataError(path, "there is no prediction file", "run `knee-i2m2 train` first")
    with reading(path, "write it again with `train`", "is no readable Parquet file"):
        frame = pd.read_parquet(path)
    written = frame
    if "cluster" in frame.columns:
        frame = frame.assign(
            cluster=frame["cluster"].map({name: canonical_id(name) for name in frame["cluster"].unique()})
        )
    _validate(frame, path)
    named = [column for column in subgroups(frame) if not pd.api.types.is_numeric_dtype(frame[column])]
    frame = frame.assign(**{column: frame[column].map(subgroup_spellings(frame[column].tolist())) for column in named})
    frame.attrs["spellings"] = {c: written[c].astype(str).unique().tolist() for c in ("cluster", *named)}
    return frame


def _validate(frame: pd.DataFrame, path: Path) -> None:
    for problem in _problems(frame):
        raise DataError(path, problem, "write it again with `train` or `predict`")


def _problems(frame: pd.DataFrame):
    """Yields what breaks the contract, the first cause first."""
    missing = [c for c in (*_WHO, *_ASKED, "logp_0", "logp_1", "logit_bias_0") if c not in frame.columns]
    if missing:
        yield f"has no column {', '.join(missing)}"
        return
    if frame.empty:
        yield "holds no prediction"
        return
    n = classes(frame)
    names = [f"{name}_{c}" for name in ("logp", *(f"logit_{e}" for e in (*experts(frame), "bias"))) for c in range(n)]
    absent = [name for name in names if name not in frame.columns]
    if absent:
        yield f"has no column {', '.join(absent)}"
        return
    if frame[list((*_WHO, "target"))].isna().any(axis=None):
        yield "has rows without sample, series, cluster or target, or whose cluster is a placeholder"
    if not np.isfinite(frame[names].to_numpy(dtype=float)).all():
        yield "has scores that are no finite numbers"
    twice = frame[frame.duplicated(["sample", "target"])]
    if len(twice):
        yield f"asks {twice['sample'].iloc[0]} about {twice['target'].iloc[0]} twice"
    if len(frame) != frame["sample"].nunique() * frame["target"].nunique():
        yield "does not ask every sample about every target"
    if not frame["truth"].isin(range(-1, n)).all():
        yield f"has truths outside -1 to {n - 1}"
    logp = frame[[f"logp_{c}" for c in range(n)]].to_numpy()
    if np.abs(logsumexp(logp, axis=1)).max() > _TOLERANCE:
        yield "has probabilities that do not sum to 1"
    if rival(frame).combiner == PRODUCT and experts(frame):
        product = log_softmax(sum(logits(frame, e) for e in (*experts(frame), "bias")), axis=1)
        if np.abs(product - logp).max() > _TOLERANCE:
            yield "has log p that is not the product of its experts"
