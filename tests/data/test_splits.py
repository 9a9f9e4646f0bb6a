"""Divisions of the volumes, and their files."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from knee_i2m2.data.splits import (
    SPLITS,
    SPLITTERS,
    divided,
    leaked_share,
    leaks,
    read_split,
    sizes,
    split_by_patient,
    split_by_volume,
    split_official,
    write_split,
)
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.sources.fastmri.annotations import TARGETS, read_annotations, slice_labels

_HASH = "0" * 64


def _volumes(patients: int, each: int = 2, part: str = "train") -> pd.DataFrame:
    rows = [(f"{part}{p:04}_{v}", f"{part}{p:04}", part) for p in range(patients) for v in range(each)]
    return pd.DataFrame(rows, columns=["name", "patient", "part"], dtype=object)


def _official(train: int = 20, val: int = 5) -> pd.DataFrame:
    return pd.concat([_volumes(train), _volumes(val, part="val"), _volumes(3, part="test")], ignore_index=True)


def _patients(volumes: pd.DataFrame) -> dict[str, str]:
    return dict(zip(volumes["name"], volumes["patient"], strict=True))


@pytest.mark.parametrize("patients", [3, 4, 7, 20, 556])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_patient_is_in_two_splits_and_no_split_is_empty(patients: int, seed: int) -> None:
    volumes = _volumes(patients)
    split = split_by_patient(volumes, seed)
    assert leaks(split, _patients(volumes)) == []
    assert leaked_share(split, _patients(volumes)) == 0
    assert set(split.values()) == set(SPLITS)
    assert list(sorted(split)) == sorted(volumes["name"])


def test_the_sizes_for_fastmris_patients_are_the_published_ones() -> None:
    assert Counter(split_by_patient(_volumes(556, each=1)).values()) == {"train": 389, "val": 84, "test": 83}
    assert Counter(split_by_volume(_volumes(1172, each=1)).values()) == {"train": 820, "val": 176, "test": 176}


@pytest.mark.parametrize("kind", sorted(SPLITTERS))
def test_a_split_depends_on_names_and_seed_only(kind: str) -> None:
    volumes = _official()
    shuffled = volumes.sample(frac=1, random_state=3)
    assert SPLITTERS[kind](volumes, seed=0) == SPLITTERS[kind](shuffled, seed=0)
    assert SPLITTERS[kind](volumes, seed=0) != SPLITTERS[kind](volumes, seed=1)


def test_the_originals_split_of_the_real_volumes_has_its_published_prevalence(fastmri_plus) -> None:
    annotations = read_annotations(fastmri_plus / "knee.csv")
    split = split_by_volume(pd.DataFrame({"name": list(annotations.reviewed)}))
    test = [name for name, place in split.items() if place == "test"]
    labels = np.stack([slice_labels(annotations, name, 50).max(axis=0) for name in test])
    prevalence = dict(zip(TARGETS, labels.mean(axis=0).round(3).tolist(), strict=True))
    assert {name: prevalence[name] for name in ("acl", "meniscus", "cartilage")} == {
        "acl": 0.182,
        "meniscus": 0.557,
        "cartilage": 0.585,
    }


def test_a_split_by_volume_leaks_about_as_much_as_published() -> None:
    volumes = _volumes(586)
    split = split_by_volume(volumes)
    assert len(leaks(split, _patients(volumes))) > 100
    assert leaked_share(split, _patients(volumes)) == pytest.approx(0.73, abs=0.1)


def test_the_fractions_may_be_chosen() -> None:
    assert Counter(divided([f"{i:02d}" for i in range(100)], "volumes", 0, (0.5, 0.3, 0.2)).values()) == {
        "train": 50,
        "val": 30,
        "test": 20,
    }


def test_fastmris_val_is_the_official_test_and_its_test_is_left_out() -> None:
    volumes = _official()
    split = split_official(volumes)
    places = volumes.assign(split=volumes["name"].map(split)).groupby("part")["split"].agg(set)
    assert places["val"] == {"test"}
    assert places["train"] == {"train", "val"}
    assert places["test"] == {np.nan}
    assert Counter(split.values()) == {"train": 34, "val": 6, "test": 10}
    assert leaks(split, _patients(volumes)) == []


@pytest.mark.parametrize("split", [split_by_patient, split_official])
def test_an_unknown_patient_is_refused_and_never_guessed(split) -> None:
    volumes = _official()
    volumes.loc[4, "patient"] = None
    with pytest.raises(DataError, match=r"train0002_0: has no attribute patient_id.*--unknown-patients separate"):
        split(volumes)
    assert len(split_by_volume(volumes)) == len(volumes)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: split_by_patient(_volumes(2)), "2 patients are too few"),
        (lambda: split_by_volume(_volumes(2, each=1)), "2 volumes are too few"),
        (lambda: split_official(_official(train=1)), "1 patients in singlecoil_train"),
        (lambda: split_official(_volumes(9, part="")), "in none of fastMRI's folders"),
    ],
)
def test_too_few_or_homeless_volumes_are_refused(call, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        call()


@pytest.mark.parametrize("fractions", [(0.7, 0.3, 0.0), (0.7, 0.2, 0.2), (1.2, -0.1, -0.1)])
def test_fractions_that_are_none_are_refused(fractions) -> None:
    with pytest.raises(ConfigError, match="three positive shares"):
        divided(["a", "b", "c"], "volumes", 0, fractions)


def test_a_patient_in_two_splits_is_found() -> None:
    split = {"a": "train", "b": "test", "c": "test", "d": "test", "e": "train"}
    patients = {"a": "p", "b": "p", "c": "q", "d": None, "e": None}
    assert leaks(split, patients) == ["p"]
    assert leaked_share(split, patients) == pytest.approx(1 / 3)


def test_a_split_file_comes_back_as_it_was(tmp_path) -> None:
    volumes = _volumes(4, each=1)
    split = split_by_patient(volumes)
    patients = {**_patients(volumes), "train0002_0": None}
    write_split(tmp_path / "split.csv", split, patients, dict.fromkeys(split, _HASH))
    read = read_split(tmp_path / "split.csv")
    assert read.columns.tolist() == ["volume", "patient", "split", "sha256"]
    assert dict(zip(read["volume"], read["split"], strict=True)) == split
    assert dict(zip(read["volume"], read["patient"], strict=True)) == patients
    assert read["volume"].tolist() == sorted(split)


def test_a_split_without_a_hash_leaves_no_file(tmp_path) -> None:
    with pytest.raises(KeyError):
        write_split(tmp_path / "split.csv", {"a": "train"}, {}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no readable CSV"),
        ("volume,patient,split\na,p,train\n", "no column sha256"),
        (f"volume,patient,split,sha256\na,p,dev,{_HASH}\n", "puts a into 'dev'"),
        ("volume,patient,split,sha256\na,p,train,12\n", "no SHA-256 for a"),
        (f"volume,patient,split,sha256\na,p,train,{_HASH}\nb,p\n", "puts b into"),
        ("volume,patient,split,sha256\na,p\0,train,1\n", "no SHA-256 for a"),
    ],
)
def test_a_damaged_split_file_is_refused(tmp_path, text: str, sentence: str) -> None:
    path = tmp_path / "split.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=sentence):
        read_split(path)


def test_a_missing_split_file_is_said(tmp_path) -> None:
    with pytest.raises(DataError, match="there is no split file"):
        read_split(tmp_path / "split.csv")


def test_sizes_count_units_and_positives_of_each_split() -> None:
    columns = {"split": ["val", "train", "train"], "sample": list("abc"), "cluster": ["p", "q", "q"], "acl": [1, -1, 0]}
    counts = sizes(pd.DataFrame(columns), {"samples": "sample", "clusters": "cluster"}, ["acl"])
    assert list(counts) == list(SPLITS)
    assert counts["train"] == {"samples": 2, "clusters": 1, "positives": {"acl": 0}}
    assert counts["val"] == {"samples": 1, "clusters": 1, "positives": {"acl": 1}}
    assert counts["test"] == {"samples": 0, "clusters": 0, "positives": {"acl": 0}}
    assert "positives" not in sizes(pd.DataFrame(columns), {"samples": "sample"})["train"]
