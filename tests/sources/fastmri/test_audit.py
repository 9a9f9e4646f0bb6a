"""What a folder holds."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from knee_i2m2.errors import DataError
from knee_i2m2.sources.fastmri.annotations import TARGETS, target_of
from knee_i2m2.sources.fastmri.audit import audit, describe

_HEAD = "file,slice,study_level,x,y,width,height,label\n"


def _findings(folder: Path, *rows: tuple[str, int, str], names: str = "") -> Path:
    path = folder / "findings.csv"
    lines = (f"{file},{index},No,1,2,3,4,{label}\n" for file, index, label in rows)
    path.write_text(_HEAD + "".join(lines))
    if names:
        (folder / "findings_file_list.csv").write_text("\n".join(names.split()))
    return path


@pytest.fixture
def folder(tmp_path, fastmri_file) -> Path:
    """Four patients: two with two volumes, one with one, one unknown; then a test file and a broken one."""
    volumes = tmp_path / "knee"
    for name, patient, columns in [("a", "p", 12), ("b", "p", 13), ("c", "q", 12), ("d", "q", 12), ("e", "r", 12)]:
        fastmri_file.write(volumes / "singlecoil_train" / f"{name}.h5", patient=patient, columns=columns)
    fastmri_file.write(volumes / "singlecoil_val" / "f.h5", patient="s", acquisition="CORPDFS_FBK", slices=5)
    fastmri_file.write(volumes / "singlecoil_test" / "g.h5", "test", patient="t", acquisition=None)
    (volumes / "singlecoil_val" / "broken.h5").write_bytes(b"no HDF5")
    return volumes


@pytest.fixture
def findings(tmp_path) -> Path:
    rows = [("a", 0, "Meniscus Tear"), ("a", 1, "Meniscus Tear"), ("b", 1, "Meniscus Tear"), ("c", 2, "Joint Bodies")]
    return _findings(tmp_path, *rows, ("absent", 1, "Joint Bodies"), names="a b c d e f absent")


def test_an_audit_counts_what_is_there(folder, findings) -> None:
    found = audit(folder, annotations=findings)
    assert (found["volumes"], found["patients"], found["slices"], found["undersampled"]) == (7, 5, 23, 1)
    assert found["slices_per_volume"] == {"min": 3, "median": 3, "max": 5}
    assert found["widths"] == {"12": 6, "13": 1}
    assert found["matrices"] == {"8x8": 7}
    assert found["sequences"] == {"CORPDFS_FBK": 1, "CORPD_FBK": 5, "unknown": 1}
    assert found["field_strengths"] == {"2.8936": 7}
    assert found["parts"] == {"test": 1, "train": 5, "val": 1}


def test_an_audit_counts_labels_by_slice_volume_and_patient(folder, findings) -> None:
    labels = audit(folder, annotations=findings)["labels"]
    assert labels["meniscus"] == {"slices": 3, "volumes": 2, "patients": 1}
    assert labels["abnormal"] == {"slices": 1, "volumes": 1, "patients": 1}
    assert labels["acl"] == {"slices": 0, "volumes": 0, "patients": 0}
    assert audit(folder, annotations=findings, abnormal="any")["labels"]["abnormal"] == {
        "slices": 4,
        "volumes": 3,
        "patients": 2,
    }


def test_an_audit_lists_what_does_not_fit_and_goes_on(folder, findings) -> None:
    found = audit(folder, annotations=findings)
    assert found["absent"] == {"volumes": 1, "first": ["absent"]}
    assert found["unknown"] == {"volumes": 1, "first": ["g"]}
    assert found["unreadable"] == [{"file": "broken.h5", "reason": "this is no HDF5 file"}]


def test_a_finding_beyond_the_last_slice_is_listed_with_its_volume(folder, tmp_path) -> None:
    found = audit(folder, annotations=_findings(tmp_path, ("a", 3, "Joint Bodies")))
    assert found["volumes"] == 6
    assert {"file": "a.h5", "reason": "line 2 is about slice 3 of a, which has 3"} in found["unreadable"]


def test_an_audit_says_which_patients_cross(folder, findings) -> None:
    found = audit(folder, annotations=findings)
    crossing = found["patients_crossing"]
    assert crossing["patient"] == {"patients": 0, "test_volumes_percent": 0}
    assert crossing["official"] == {"patients": 0, "test_volumes_percent": 0}
    assert set(crossing["volume"]) == {"patients", "test_volumes_percent"}
    assert sum(found["split"][part]["volumes"] for part in ("train", "val", "test")) == 6
    assert sum(found["split"][part]["patients"] for part in ("train", "val", "test")) == 4


def test_an_audit_counts_patients_with_and_without_each_finding_in_every_split(folder, findings) -> None:
    found = audit(folder, annotations=findings)
    split = found["split"]
    for target in TARGETS:
        counted = {part: split["class_clusters"][part][target] for part in ("train", "val", "test")}
        assert all(sum(sides) == split[part]["patients"] for part, sides in counted.items())  # all were reviewed
        assert sum(with_finding for with_finding, _ in counted.values()) == found["labels"][target]["patients"]
    assert "10 are needed" in describe(found)


def test_a_split_that_cannot_be_made_is_said_and_not_fatal(folder, findings, fastmri_file) -> None:
    fastmri_file.write(folder / "singlecoil_train" / "e.h5", patient=None)
    found = audit(folder, annotations=findings)
    assert found["volumes_without_patient"] == 1
    assert "e: has no attribute patient_id" in found["split"]["reason"]
    assert "e: has no attribute patient_id" in found["patients_crossing"]["patient"]["reason"]
    assert "patients" in audit(folder, annotations=findings, split="volume")["split"]["train"]
    assert "e: has no attribute patient_id" in describe(found)


def test_a_folder_of_broken_files_is_audited(tmp_path, findings) -> None:
    (tmp_path / "a.h5").write_bytes(b"")
    found = audit(tmp_path, annotations=findings)
    assert (found["volumes"], found["slices"], len(found["unreadable"])) == (0, 0, 1)
    assert "a.h5: this is no HDF5 file" in describe(found)


def test_an_audit_is_json_and_reads_as_a_page(folder, findings) -> None:
    found = audit(folder, annotations=findings)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    page = describe(found)
    assert "7 volumes of 5 patients" in page
    assert "broken.h5: this is no HDF5 file" in page
    assert "annotated volumes that are not there: 1 (absent)" in page


def test_an_empty_folder_or_a_bad_csv_is_one_sentence(tmp_path, folder, findings) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no \.h5 file"):
        audit(tmp_path / "empty", annotations=findings)
    with pytest.raises(DataError, match="no such file"):
        audit(folder, annotations=tmp_path / "nowhere.csv")


def test_the_counts_of_real_volumes_are_those_of_the_real_csv(tmp_path, fastmri_file, fastmri_plus) -> None:
    table = pd.read_csv(fastmri_plus / "knee.csv")
    listed = (fastmri_plus / "knee_file_list.csv").read_text().split("\n")
    names = [name for name in listed if name.startswith("file")][::39]
    for position, name in enumerate(names):
        fastmri_file.write(tmp_path / f"{name}.h5", patient=f"p{position // 2}", slices=46, rows=8, columns=12)
    table = table[table["file"].isin(names)].assign(target=lambda rows: rows["label"].map(target_of))
    table = table.assign(patient=table["file"].map({name: n // 2 for n, name in enumerate(names)}))
    found = audit(tmp_path, annotations=fastmri_plus / "knee.csv")
    assert found["volumes"] == len(names)
    for target, counts in found["labels"].items():
        rows = table[table["target"] == target]
        slices = len(rows[["file", "slice"]].drop_duplicates())
        assert counts == {"slices": slices, "volumes": rows["file"].nunique(), "patients": rows["patient"].nunique()}
    assert found["absent"]["volumes"] == 974 - table["file"].nunique()
    assert found["unknown"]["volumes"] == 0
