"""Samples in memory give what they were given, split by cluster, and refuse in words what cannot be used."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from knee_i2m2 import Samples
from knee_i2m2.data.splits import split_by_patient
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.training.batches import Samples as Gathered
from knee_i2m2.training.session import Asked
from knee_i2m2.types import Task

RANDOM = np.random.default_rng(0)
IMAGE, BLOOD = RANDOM.normal(size=(40, 1, 6, 5)), RANDOM.normal(size=(40, 3)).astype(np.float32)
Y = RANDOM.integers(-1, 2, size=(40, 2))
PATIENTS = np.repeat(np.arange(20), 2)


def samples(**changed) -> Samples:
    given = {"x": {"image": IMAGE, "blood": BLOOD}, "y": Y, "clusters": PATIENTS, "targets": ("acl", "meniscus")}
    return Samples(**{**given, **changed})


def test_a_batch_holds_the_samples_asked_for() -> None:
    x, y, key = samples(position=np.linspace(0, 1, 40))[[3, 1]]
    torch.testing.assert_close(x["image"], torch.from_numpy(IMAGE[[3, 1]]).float())
    torch.testing.assert_close(x["blood"], torch.from_numpy(BLOOD[[3, 1]]))
    torch.testing.assert_close(x["position"], torch.tensor([[3 / 39], [1 / 39]]))
    assert y.tolist() == Y[[3, 1]].tolist() and key.tolist() == [3, 1]


def test_samples_are_what_the_training_asks_for() -> None:
    assert isinstance(samples(), Asked) and isinstance(samples(), Gathered)
    assert samples().task == Task("samples", ("acl", "meniscus"), 2)
    assert list(samples(subgroups={"site": ["a"] * 40}).index)[:4] == ["sample", "series", "cluster", "site"]


def test_one_label_may_have_many_classes_and_one_finding_keeps_its_axis() -> None:
    digits = samples(y=np.arange(40) % 10, targets=("label",))
    assert digits.task.answers == (10,) and digits.y.shape == (40,) and digits.truth("label")[13] == 3
    assert samples(y=Y[:, 0], targets=("acl",)).y.shape == (40, 1)


def test_a_split_is_by_cluster_and_that_of_a_prepared_folder() -> None:
    import pandas as pd

    parts = samples().split(seed=3)
    groups = [set(part.clusters.tolist()) for part in parts]
    assert set.union(*groups) == {*map(str, range(20))} and sum(map(len, groups)) == 20
    table = pd.DataFrame({"name": [*map(str, range(20))], "patient": [f"{i:02d}" for i in range(20)]})
    places = split_by_patient(table, seed=3)
    assert groups == [{name for name, place in places.items() if place == split} for split in ("train", "val", "test")]


def test_a_part_keeps_names_truth_and_classes() -> None:
    whole = samples(y=np.arange(40) % 4, targets=("label",))
    part = whole.take([5, 2])
    assert part.task == whole.task and part.truth("label").tolist() == [1, 2]
    assert part.index["sample"].tolist() == ["05", "02"] and len(part) == 2
    torch.testing.assert_close(part[[1]].x["image"], whole[[2]].x["image"])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"x": {}}, "have no modality; give x as"),
        ({"x": {"image": IMAGE[:39]}}, r"have image of shape \(39, 1, 6, 5\), and 40 labels"),
        ({"x": {"a+b": BLOOD}}, r"have a modality named 'a\+b'; give it a name without"),
        ({"x": {"blood": BLOOD * 1j}}, "have complex blood; give its magnitude and phase"),
        ({"x": {"blood": np.where(BLOOD > 2, np.nan, np.inf)}}, "blood with values that are not finite"),
        ({"y": Y[:, :1]}, r"have y of shape \(40, 1\) for acl, meniscus"),
        ({"y": Y - 1}, "labels that are no classes; give whole numbers"),
        ({"y": Y + 0.5}, "labels that are no classes"),
        ({"y": np.full((40, 2), np.nan)}, "labels that are no classes"),
        ({"y": Y.astype(str)}, "labels that are no classes"),
        ({"clusters": PATIENTS[:9]}, r"have cluster of shape \(9,\), and 40 labels"),
        ({"clusters": np.where(PATIENTS > 3, np.nan, 1)}, "have unknown clusters"),
        ({"subgroups": {"acl": Y[:, 0]}}, "have a subgroup named acl"),
        ({"classes": 1}, "show class 1, but there are 1 classes"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(changed: dict, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        samples(**changed)


def test_too_few_clusters_and_unknown_targets_are_refused() -> None:
    with pytest.raises(DataError, match="2 clusters are too few"):
        samples(clusters=PATIENTS % 2).split()
    with pytest.raises(ConfigError, match="three positive shares"):
        samples().split(fractions=(0.9, 0.1, 0.0))
    with pytest.raises(ConfigError, match="there is no target alc; did you mean acl"):
        samples().truth("alc")


@pytest.mark.parametrize(
    "clusters",
    [
        ["1", "01", "1.0", "2", "3", "4"],
        ["P1", "p1", " P1 ", "p2", "p3", "p4"],
        [1, 1.0, "1", "2", "3", "4"],
        [b"p1", "b'p1'", "P1", "p2", "p3", "p4"],
        ["\uff11", "1", "'1", 2, 3, 4],
        ["a b", "A  B", "a\u00a0b", "c", "d", "e"],
    ],
)
def test_a_cluster_spelt_in_several_ways_is_one_and_in_one_split(clusters: list, caplog) -> None:
    given = np.array(clusters, dtype=object)
    some = samples(x={"blood": BLOOD[:6]}, y=Y[:6], clusters=given)
    assert some.index["cluster"].nunique() == 4
    assert "joined" in caplog.text
    parts = [set(part.clusters) for part in some.split(seed=1)]
    assert sum(map(len, parts)) == 4


@pytest.mark.parametrize("missing", [None, "", "N/A", "unknown", float("nan"), "ANONYMOUS"])
def test_a_placeholder_is_no_cluster(missing: object) -> None:
    given = np.array([missing, *range(39)], dtype=object)
    with pytest.raises(DataError, match=r"have unknown clusters: .* in 1 "):
        samples(clusters=given)


def test_subgroups_that_differ_in_case_or_blanks_are_one() -> None:
    sites = np.array(["Site A", "site a ", "SITE A", None] * 10, dtype=object)
    assert set(samples(subgroups={"site": sites}).index["site"]) == {"SITE A", "unknown"}
