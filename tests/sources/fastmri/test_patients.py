"""Patients of an archive: spellings of one are joined, placeholders are refused or kept apart, and all is listed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knee_i2m2.data.splits import read_split
from knee_i2m2.errors import DataError
from knee_i2m2.sources.fastmri.audit import audit, describe
from knee_i2m2.sources.fastmri.prepare import PrepareKnee, prepare_knee

_HEAD = "file,slice,study_level,x,y,width,height,label\n"


def archive(folder: Path, fastmri_file, patients: list[object], acquisitions: list[object] | None = None) -> Path:
    """Writes one volume per patient attribute, all reviewed."""
    names = [f"file{n:02d}" for n in range(len(patients))]
    for name, patient, sequence in zip(names, patients, acquisitions or ["CORPD_FBK"] * len(names), strict=True):
        path = folder / "volumes" / f"{name}.h5"
        fastmri_file.write(path, "bare", patient=patient, acquisition=sequence)
    (folder / "knee.csv").write_text(f"{_HEAD}file00,0,No,1,2,3,4,Meniscus Tear\n")
    (folder / "knee_file_list.csv").write_text("\n".join(names))
    return folder / "volumes"


def prepared(volumes: Path, **changed) -> tuple[dict, pd.DataFrame, pd.DataFrame]:
    out = volumes.parent / "out"
    data = prepare_knee(volumes, PrepareKnee(annotations=volumes.parent / "knee.csv", out=out, **changed))
    return data, pd.read_parquet(out / "index.parquet"), read_split(out / "split.csv")


@pytest.mark.parametrize(
    "spellings",
    [
        ["7", "07", "7.0"],
        [7, 7.0, "0007"],
        ["P-7", "p-7 ", "P\u20117"],
        [b"p7", "P7", "b'p7'"],
        ["Doe  J", "doe j", "DOE\u00a0J"],
        [np.int32(12), np.float64(12), "\uff11\uff12"],
    ],
)
def test_a_patient_spelt_in_several_ways_is_in_one_split_and_told(tmp_path, fastmri_file, spellings) -> None:
    volumes = archive(tmp_path, fastmri_file, [*spellings, "a1", "a2", "a3"])
    data, index, split = prepared(volumes)
    mine = index["series"].isin(["file00", "file01", "file02"])
    assert index.loc[mine, "cluster"].nunique() == index.loc[mine, "split"].nunique() == 1
    assert split["patient"].nunique() == 4
    audited = audit(volumes, annotations=tmp_path / "knee.csv")
    assert audited["patients"] == 4
    for notes in (data["notes"], audited["notes"], json.loads((tmp_path / "out" / "data.json").read_text())["notes"]):
        assert any("joined" in note for note in notes)
    assert "joined" in describe(audited)


@pytest.mark.parametrize("placeholder", [None, "", "unknown", "N/A", "None", "Anonymous", float("nan"), "XXXX", "--"])
def test_a_placeholder_is_refused_or_separate_and_listed(tmp_path, fastmri_file, placeholder) -> None:
    volumes = archive(tmp_path, fastmri_file, [placeholder, placeholder, "a1", "a2", "a3"])
    for kind in ("patient", "volume"):
        with pytest.raises(DataError, match=r"2 of 5 volumes have no known patient_id: .*file00, file01.*separate"):
            prepared(volumes, split=kind)
    data, index, split = prepared(volumes, unknown_patients="separate")
    assert index.groupby("series")["cluster"].first().nunique() == 5
    assert split["patient"].isna().sum() == 2
    audited = audit(volumes, annotations=tmp_path / "knee.csv", unknown_patients="separate")
    assert "volumes" in audited["split"]["train"] and audited["volumes_without_patient"] == 2
    for notes in (data["notes"], audited["notes"]):
        assert any("2 volumes of no known patient" in note and "file00, file01" in note for note in notes)


def test_a_zero_that_half_of_the_archive_shares_is_no_patient(tmp_path, fastmri_file) -> None:
    volumes = archive(tmp_path, fastmri_file, [0, "0000", "0", 0.0, "a1", "a2", "a3", 1])
    with pytest.raises(DataError, match="4 of 8 volumes have no known patient_id"):
        prepared(volumes)
    _, index, _ = prepared(volumes, unknown_patients="separate")
    assert index["cluster"].nunique() == 8


def test_acquisitions_that_differ_in_case_or_blanks_are_one_subgroup(tmp_path, fastmri_file) -> None:
    acquisitions = ["CORPD_FBK", "corpd_fbk", " CORPD_FBK ", "CORPD_FBK", "N/A", None]
    volumes = archive(tmp_path, fastmri_file, [f"a{n}" for n in range(6)], acquisitions)
    _, index, _ = prepared(volumes)
    assert set(index["sequence"]) == {"CORPD_FBK", "unknown"}
    audited = audit(volumes, annotations=tmp_path / "knee.csv")
    assert audited["sequences"] == {"CORPD_FBK": 4, "unknown": 2}
    assert any(note.startswith("acquisition corpd_fbk: spelt") for note in audited["notes"])


def test_names_that_do_not_match_stop_prepare_and_are_named_by_audit(tmp_path, fastmri_file) -> None:
    volumes = archive(tmp_path, fastmri_file, [f"a{n}" for n in range(6)])
    (tmp_path / "knee.csv").write_text(f"{_HEAD}knee_file00,0,No,1,2,3,4,Meniscus Tear\n")
    with pytest.raises(DataError, match="1 of 1 annotated names are not in the file list: knee_file00; file00 may be"):
        prepared(volumes)
    page = describe(audit(volumes, annotations=tmp_path / "knee.csv"))
    assert "prepare stops here" in page and "annotated names that the file list lacks: 1 (knee_file00)" in page
