from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knee_i2m2.clusters import ClusterRecord, cluster_hash
from knee_i2m2.errors import DataError

INDEX = pd.DataFrame({"cluster": ["a", "b", "b", "7", "d"], "split": ["train", "train", "val", "test", "test"]})


@pytest.mark.parametrize("spelling", ["7", 7, 7.0, "07", " 7 ", "7.0", "７"])
def test_a_cluster_is_the_same_however_it_is_spelt(spelling: object) -> None:
    assert cluster_hash(spelling) == cluster_hash("7")


def test_a_record_comes_back_and_names_nobody(tmp_path: Path) -> None:
    record = ClusterRecord.of(INDEX.assign(cluster=INDEX["cluster"].replace("a", "Jane Doe")))
    record.write(tmp_path)
    assert ClusterRecord.read(tmp_path) == record
    assert "doe" not in (tmp_path / "clusters.json").read_text().lower()


def test_leaks_are_those_of_any_other_split() -> None:
    record = ClusterRecord.of(INDEX)
    assert record.leaks("val", ["b", "b"]) == ["b"] and record.leaks("test", ["7", "d"]) == []
    assert record.strangers("test", ["a", "d", "new"]) == ["a", "new"]


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.sets(st.sampled_from(["train", "val", "test"]))))
def test_a_cluster_is_of_the_first_split_that_holds_it(places: dict[str, set[str]]) -> None:
    rows = [(cluster, split) for cluster, splits in places.items() for split in splits]
    record = ClusterRecord.of(pd.DataFrame(rows, columns=["cluster", "split"]))
    for cluster, splits in places.items():
        assert record.split_of(cluster) == next((s for s in ("train", "val", "test") if s in splits), None)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"train": 3}', "null", '"x"'])
def test_a_damaged_record_is_a_sentence(tmp_path: Path, content: str) -> None:
    (tmp_path / "clusters.json").write_text(content)
    with pytest.raises(DataError, match=r"clusters\.json.*prepare the data again"):
        ClusterRecord.read(tmp_path)


def test_without_a_file_there_is_no_record(tmp_path: Path) -> None:
    assert ClusterRecord.read(tmp_path) is None


@pytest.mark.parametrize(("clusters", "fault"), [(["a", "b", "d"], "did not put there: d"), (["a"], "lacks 1 cluster")])
def test_clusters_that_were_not_recorded_and_recorded_ones_that_are_gone_are_refused(clusters, fault, tmp_path) -> None:
    record = ClusterRecord.of(INDEX)
    record.refuse_other("train", ["a", "b", "b"], tmp_path)
    with pytest.raises(DataError, match=fault):
        record.refuse_other("train", clusters, tmp_path)
