import numpy as np
import pandas as pd
import pytest

from knee_i2m2.data.classes import class_clusters, class_sentences

INDEX = pd.DataFrame(
    {
        "split": ["train", "train", "val", "test", "test", "test", "test"],
        "cluster": ["a", "a", "b", "c", "c", "d", "e"],
        "acl": [0, 1, 1, 0, 0, -1, 0],
        "meniscus": [0, 0, -1, -1, 1, 1, -1],
    }
)


def test_a_cluster_is_positive_where_one_sample_is_and_negative_where_all_known_ones_are() -> None:
    counted = class_clusters(INDEX, ["acl", "meniscus"])
    assert counted["train"] == {"acl": [1, 0], "meniscus": [0, 1]}
    assert counted["val"] == {"acl": [1, 0], "meniscus": [0, 0]}
    assert counted["test"] == {"acl": [0, 2], "meniscus": [2, 0]}


def test_counts_are_those_of_brute_force() -> None:
    random = np.random.default_rng(0)
    index = pd.DataFrame({"cluster": random.integers(40, size=300), "acl": random.integers(-1, 2, size=300)})
    index["split"] = np.array(["train", "val", "test"])[index["cluster"] % 3]
    for split, targets in class_clusters(index, ["acl"]).items():
        groups = [set(rows["acl"]) - {-1} for _, rows in index[index["split"] == split].groupby("cluster")]
        assert targets["acl"] == [sum(1 in labels for labels in groups), sum(labels == {0} for labels in groups)]


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        ([4, 50], ["4 patients with acl, 10 are needed"]),
        ([50, 9], ["9 patients without acl, 10 are needed"]),
        ([0, 3], ["0 patients with acl and 3 patients without acl, 10 are needed"]),
        ([9, 10], ["9 patients with acl, 10 are needed"]),
        ([1, 10], ["1 patient with acl, 10 are needed"]),
        ([10, 10], []),
        ([65, 35], []),
    ],
)
@pytest.mark.parametrize("split", ["val", "test"])
def test_both_sides_need_ten(sides: list[int], said: list[str], split: str) -> None:
    lines = [line for line in class_sentences({split: {"acl": sides}}) if "needed" in line]
    assert len(lines) == len(said) and all(
        want in line and split in line for want, line in zip(said, lines, strict=True)
    )


def test_what_is_learned_from_needs_no_interval() -> None:
    (line,) = class_sentences({"train": {"acl": [3, 4]}}, "recordings")
    assert line == "train, recordings with / without: acl 3 / 4"
