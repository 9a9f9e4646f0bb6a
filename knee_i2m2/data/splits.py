"""Divisions of the volumes into train, val and test, and the files that keep them.

Both volumes of a patient show the same findings, so the units to divide are patients. A division depends on nothing but
the sorted names and the seed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from knee_i2m2.data.left_out import write_table
from knee_i2m2.errors import ConfigError, DataError, check_seed
from knee_i2m2.files import reading
from knee_i2m2.identity import canonical_id, canonical_name
from knee_i2m2.types import SPLITS

__all__ = [
    "SPLITS",
    "SPLITTERS",
    "SplitKind",
    "divided",
    "leaked_share",
    "leaks",
    "read_split",
    "refuse_leaks",
    "refuse_one_sided",
    "sizes",
    "split_by_patient",
    "split_by_volume",
    "split_official",
    "unknown_patient",
    "write_split",
]

_FRACTIONS = (0.7, 0.15, 0.15)
_COLUMNS = ["volume", "patient", "split", "sha256"]
_AGAIN = "make it again with `knee-i2m2 prepare`"


def split_by_patient(volumes: pd.DataFrame, seed: int = 0) -> dict[str, str]:
    """Returns each volume's split; all volumes of a patient are in the same.

    Of n patients, `ceil(0.3 n)` are held out for val and test, and the larger half of them is val; no split is empty.

    Args:
        volumes: Columns `name` and `patient`.
        seed: Of the random order.

    Raises:
        DataError: A volume's patient is unknown, or there are fewer than three patients.
    """
    patients = _patients(volumes)
    places = divided(sorted(set(patients.values())), "patients", seed)
    return {name: places[patient] for name, patient in patients.items()}


def split_by_volume(volumes: pd.DataFrame, seed: int = 0) -> dict[str, str]:
    """Returns each volume's split, as the original does: other volumes of a test patient are in train.

    Raises:
        DataError: There are fewer than three volumes.
    """
    return divided(sorted(volumes["name"]), "volumes", seed)


def split_official(volumes: pd.DataFrame, seed: int = 0, fraction: float = 0.15) -> dict[str, str]:
    """Returns fastMRI's own division: its val is test, and of its train this fraction of the patients is val.

    Volumes of fastMRI's test and challenge have no labels and are left out.

    Args:
        volumes: Columns `name`, `patient` and `part` (`train`, `val`, `test`).
        seed: Of the random order.
        fraction: Share of the train patients that is held out for validation.

    Raises:
        DataError: A volume is in none of fastMRI's folders, its patient is unknown or in both folders, or a split
            would be empty.
    """
    for name in volumes.loc[~volumes["part"].isin(SPLITS), "name"]:
        raise DataError(
            name, "is in none of fastMRI's folders singlecoil_train and singlecoil_val", "use --split patient"
        )
    train, val = (volumes[volumes["part"] == part] for part in ("train", "val"))
    patients = _patients(train)
    known = sorted(set(patients.values()))
    if len(known) < 2 or val.empty:
        reason = f"{len(known)} patients in singlecoil_train and {len(val)} volumes in singlecoil_val are too few"
        raise DataError("the volumes", reason, "use --split patient")
    _, held_out = _held_out(known, fraction, 1, seed)
    split = {name: "val" if patient in held_out else "train" for name, patient in patients.items()}
    split |= dict.fromkeys(val["name"], "test")
    refuse_leaks(split, patients | dict(zip(val["name"], val["patient"], strict=True)), "the volumes")
    return split


def divided(
    units: Sequence[str], noun: str, seed: int = 0, fractions: tuple[float, float, float] = _FRACTIONS
) -> dict[str, str]:
    """Returns each unit's split; see `split_by_patient`.

    Args:
        units: Sorted names.
        noun: What they are, in the plural.
        seed: Of the random order.
        fractions: Shares of train, val and test.

    Raises:
        ConfigError: The fractions are no three positive shares.
        DataError: There are fewer than three units.
    """
    if min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ConfigError(f"split fractions {fractions} must be three positive shares that sum to 1")
    if len(units) < 3:
        raise DataError("the split", f"{len(units)} {noun} are too few for train, val and test", "give at least 3")
    train, rest = _held_out(units, fractions[1] + fractions[2], 2, seed)
    test, val = _held_out(rest, fractions[1] / (fractions[1] + fractions[2]), 1, seed)
    return {**dict.fromkeys(train, "train"), **dict.fromkeys(val, "val"), **dict.fromkeys(test, "test")}


def leaks(split: Mapping[str, str], patients: Mapping[str, str | None]) -> list[str]:
    """Returns the patients who are in more than one split, sorted.

    Args:
        split: Volume name -> split.
        patients: Volume name -> patient; volumes of unknown patients are passed over.
    """
    places_of = defaultdict(set)
    for name, place in split.items():
        places_of[patients.get(name)].add(place)
    return sorted(patient for patient, places in places_of.items() if patient is not None and len(places) > 1)


def leaked_share(split: Mapping[str, str], patients: Mapping[str, str | None]) -> float:
    """Returns the share of the test volumes whose patient has another volume in train."""
    trained = {patients.get(name) for name, place in split.items() if place == "train"} - {None}
    tested = [patients.get(name) in trained for name, place in split.items() if place == "test"]
    return sum(tested) / len(tested) if tested else 0.0


def sizes(
    index: pd.DataFrame, units: Mapping[str, str], targets: Sequence[str] = (), splits: Sequence[str] = SPLITS
) -> dict[str, dict[str, Any]]:
    """Returns per split the number of samples and other units, and of the positive samples of each target.

    Args:
        index: One row a sample, with its `split`.
        units: Noun, such as `clusters` -> the column that names them.
        targets: The questions.
        splits: Those that are counted.
    """
    parts = {split: index[index["split"] == split] for split in splits}
    numbers = {s: {noun: int(rows[of].nunique()) for noun, of in units.items()} for s, rows in parts.items()}
    positives = {s: {"positives": {t: int((rows[t] == 1).sum()) for t in targets}} for s, rows in parts.items()}
    return {split: numbers[split] | (positives[split] if targets else {}) for split in splits}


def refuse_leaks(split: Mapping[str, str], patients: Mapping[str, str | None], where: str | Path) -> None:
    """Raises DataError where a patient is in more than one split; two volumes are named, never the patient."""
    for patient in leaks(split, patients):
        names = sorted(name for name in split if patients.get(name) == patient)
        other = next(name for name in names if split[name] != split[names[0]])
        reason = f"{names[0]} in {split[names[0]]} and {other} in {split[other]} are of one patient"
        raise DataError(where, reason, "divide them with --split patient")


def refuse_one_sided(index: pd.DataFrame, targets: Sequence[str], where: str | Path) -> None:
    """Raises DataError where a target cannot be learned: in train, fewer than two slices show it, or do not.

    Args:
        index: One row a slice: its `split`, and for every target 1, 0 or -1 (unknown).
        targets: The questions.
        where: The folder or file to name.
    """
    for target in targets:
        labels = index.loc[index["split"] == "train", target]
        positive, negative = int((labels == 1).sum()), int((labels == 0).sum())
        if min(positive, negative) < 2:
            reason = f"of {positive + negative} labelled slices in train {positive} show {target}, {negative} do not"
            hint = "at least 2 of both are needed: add volumes, or choose another --seed or --split"
            raise DataError(where, reason, hint)


def unknown_patient(volume: str | Path, patient_id: str | None = None) -> DataError:
    """Returns the error of a volume of which nobody knows whether its patient is in another split, too."""
    what = f"has {patient_id!r} as patient_id, which names nobody" if patient_id else "has no attribute patient_id"
    hint = "add the id, or give --unknown-patients separate, which takes the volume for one of a patient of its own"
    return DataError(volume, f"{what}, so its patient is unknown", hint)


def write_split(
    path: Path, split: Mapping[str, str], patients: Mapping[str, str | None], sha256: Mapping[str, str]
) -> None:
    """Writes `volume,patient,split,sha256`, one volume a line, sorted, whole or not at all.

    Args:
        path: The CSV file.
        split: Volume name -> split.
        patients: Volume name -> patient.
        sha256: Volume name -> SHA-256 of its file.
    """
    rows = [(name, patients.get(name), split[name], sha256[name]) for name in sorted(split)]
    write_table(path, pd.DataFrame(rows, columns=_COLUMNS))


def read_split(path: Path) -> pd.DataFrame:
    """Returns the rows `volume, patient, split, sha256` of a split file as text; an unknown patient is None.

    Raises:
        DataError: The file is missing or no CSV, or a row is not valid.
    """
    if not path.is_file():
        raise DataError(path, "there is no split file", "make one with `knee-i2m2 prepare`")
    with reading(path, _AGAIN, "is no readable CSV"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    for problem in _problems(table):
        raise DataError(path, problem, _AGAIN)
    table = table[_COLUMNS].astype(object)
    return table.assign(patient=pd.Series(map(canonical_id, table["patient"]), table.index, object))


SplitKind = Literal["patient", "official", "volume"]

SPLITTERS = {"patient": split_by_patient, "official": split_official, "volume": split_by_volume}
"""The divisions by their name on the command line; each takes the volumes' table and a seed."""


def _problems(table: pd.DataFrame) -> Iterator[str]:
    """Yields the faults of a split file, the first cause first."""
    missing = [column for column in _COLUMNS if column not in table.columns]
    if missing:
        yield f"has no column {', '.join(missing)}"
        return
    if table.empty:
        yield "holds no volume"
    for name in table.loc[table["volume"].map(canonical_name).duplicated(), "volume"]:
        yield f"names {name} twice"
    for name, place in table.loc[~table["split"].isin(SPLITS), ["volume", "split"]].itertuples(index=False):
        yield f"puts {name} into {place!r}, which is none of train, val and test"
    for name in table.loc[~table["sha256"].str.fullmatch("[0-9a-f]{64}"), "volume"]:
        yield f"has no SHA-256 for {name}"


def _patients(volumes: pd.DataFrame) -> dict[str, str]:
    for name in volumes.loc[volumes["patient"].isna(), "name"]:
        raise unknown_patient(name)
    return dict(zip(volumes["name"], volumes["patient"], strict=True))


def _held_out(units: Sequence[str], fraction: float, least: int, seed: int) -> tuple[list[str], list[str]]:
    """Returns who stays and who is held out: the latter are the first of a random order, as in scikit-learn.

    The original splits with scikit-learn; `RandomState` promises one order in every version of numpy.
    """
    check_seed(seed)
    order = [units[position] for position in np.random.RandomState(seed).permutation(len(units))]
    size = max(least, min(ceil(fraction * len(units)), len(units) - 1))
    return order[size:], order[:size]
