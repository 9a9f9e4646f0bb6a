"""Reading findings in fastMRI+'s format, and the labels they give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knee_i2m2.errors import DataError
from knee_i2m2.sources.fastmri.annotations import (
    TARGETS,
    VOCABULARY,
    Annotations,
    array_box,
    read_annotations,
    slice_labels,
    target_of,
)

_HEAD = "file,slice,study_level,x,y,width,height,label\n"
_ROW = "a,3,No,10,20,30,40,Meniscus Tear\n"


def _written(folder: Path, rows: str = _ROW, names: str | None = None, head: str = _HEAD) -> Path:
    path = folder / "knee.csv"
    path.write_bytes((head + rows).encode())
    if names is not None:
        (folder / "knee_file_list.csv").write_text(names)
    return path


@pytest.fixture(scope="session")
def real(fastmri_plus) -> Annotations:
    return read_annotations(fastmri_plus / "knee.csv")


@pytest.fixture(scope="session")
def real_labels(real) -> dict[str, np.ndarray]:
    return {name: slice_labels(real, name, 50) for name in sorted(real.reviewed)}


def _totals(labels: dict[str, np.ndarray]) -> tuple[dict[str, int], dict[str, int]]:
    """Returns positive slices and volumes of every target, and of any."""
    stacked = np.stack(list(labels.values()))
    stacked = np.concatenate([stacked, stacked.max(axis=2, keepdims=True)], axis=2)
    names = (*TARGETS, "any")
    slices, volumes = stacked.sum(axis=(0, 1)), stacked.max(axis=1).sum(axis=0)
    return dict(zip(names, slices.tolist(), strict=True)), dict(zip(names, volumes.tolist(), strict=True))


def test_the_real_file_has_its_known_size_and_oddities(real, fastmri_plus) -> None:
    assert len(pd.read_csv(fastmri_plus / "knee.csv")) == 16167 == len(real.rows) + 5 + 13
    assert real.quirks == {"duplicates": 5, "artifact_rows": 13, "flat_boxes": 1, "negative_y": 6}
    assert len(real.reviewed) == 1172
    assert len(real.annotated) == 974
    assert real.rows["file"].nunique() == 969
    assert real.annotated - set(real.rows["file"]) == {
        f"file{n}" for n in (1001022, 1001029, 1001715, 1002251, 1002516)
    }
    assert real.rows["slice"].between(2, 45).all()
    assert (real.rows.loc[real.rows["y"] < 0, "label"] == "Joint Effusion ").all()
    flat = real.rows[real.rows["height"] == 0]
    assert flat[["file", "slice"]].to_numpy().tolist() == [["file1002097", 27]]


def test_the_real_labels_are_the_vocabulary(real, fastmri_plus) -> None:
    labels = set(pd.read_csv(fastmri_plus / "knee.csv")["label"])
    assert labels == set(VOCABULARY)
    assert len(VOCABULARY) == 22


@pytest.mark.parametrize(
    ("label", "rows", "volumes", "slices"),
    [
        ("Meniscus Tear", 5658, 663, 4858),
        ("Cartilage - Partial Thickness loss/defect", 2985, 588, 2659),
        ("Joint Effusion ", 1311, 142, 1003),
        ("Bone-Fracture/Contusion/dislocation", 1060, 119, 914),
        ("Bone- Subchondral edema", 986, 196, 883),
        ("Periarticular cysts", 864, 161, 849),
        ("Ligament - ACL Low Grade sprain", 765, 153, 765),
        ("Ligament - ACL High Grade Sprain", 678, 101, 674),
        ("Cartilage - Full Thickness loss/defect", 615, 122, 559),
        ("Ligament - MCL Low-Mod Grade Sprain", 285, 121, 285),
        ("Displaced Meniscal Tissue", 232, 56, 225),
        ("Bone - Lesion", 183, 29, 173),
        ("Ligament - PCL Low-Mod grade sprain", 142, 40, 140),
        ("LCL Complex - Low-Mod Grade Sprain", 130, 48, 129),
        ("Soft Tissue Lesion", 90, 10, 90),
        ("Muscle Strain", 65, 11, 60),
        ("Joint Bodies", 38, 11, 38),
        ("Patellar Retinaculum - High grade sprain", 24, 4, 24),
        ("Ligament - PCL High Grade", 18, 3, 17),
        ("LCL Complex- High Grade Sprain", 14, 3, 13),
        ("Ligament - MCL High Grade sprain", 11, 4, 11),
    ],
)
def test_every_real_label_is_as_frequent_as_published(real, label: str, rows: int, volumes: int, slices: int) -> None:
    found = real.rows[real.rows["label"] == label]
    duplicates = 5 if label == "Meniscus Tear" else 0
    assert len(found) == rows - duplicates
    assert found["file"].nunique() == volumes
    assert len(found[["file", "slice"]].drop_duplicates()) == slices


def test_the_real_targets_are_as_frequent_as_published(real_labels) -> None:
    slices, volumes = _totals(real_labels)
    assert slices == {"acl": 1439, "meniscus": 4858, "cartilage": 2986, "abnormal": 4484, "any": 9581}
    assert volumes == {"acl": 254, "meniscus": 663, "cartilage": 594, "abnormal": 577, "any": 969}


def test_any_finding_is_abnormal_on_request(real) -> None:
    labels = {name: slice_labels(real, name, 50, abnormal="any") for name in sorted(real.reviewed)}
    slices, volumes = _totals(labels)
    assert slices["abnormal"] == slices["any"] == 9581
    assert volumes["abnormal"] == volumes["any"] == 969


def test_artifacts_are_what_the_reference_adds_to_abnormal(real, fastmri_plus) -> None:
    table = pd.read_csv(fastmri_plus / "knee.csv")
    other = table[[target_of(label) in (None, "abnormal") for label in table["label"]]]
    assert len(other[["file", "slice"]].drop_duplicates()) == 4497
    assert other["file"].nunique() == 585
    assert other["label"].nunique() == 17


def test_many_real_slices_have_several_boxes_of_a_label(real) -> None:
    assert (real.rows.groupby(["file", "slice", "label"]).size() > 1).sum() == pytest.approx(1706, abs=5)


def test_the_rules_apply_in_their_order() -> None:
    assert target_of("ACL Meniscus Tear cartilage") == "acl"
    assert target_of("Meniscus Tear cartilage") == "meniscus"
    assert target_of("CARTILAGE") == "cartilage"
    assert target_of("Displaced Meniscal Tissue") == "abnormal"
    assert target_of("artifact") is None


def test_a_finding_marks_its_slice_and_target_only(tmp_path) -> None:
    annotations = read_annotations(_written(tmp_path))
    labels = slice_labels(annotations, "a", 5)
    assert labels.dtype == np.int64
    assert np.argwhere(labels).tolist() == [[3, TARGETS.index("meniscus")]]


def test_a_volume_without_row_is_negative_only_if_it_was_reviewed(tmp_path) -> None:
    unlisted = read_annotations(_written(tmp_path))
    assert unlisted.reviewed is None
    assert (slice_labels(unlisted, "b", 2) == -1).all()
    listed = read_annotations(_written(tmp_path, names="a\nb\nKnee data\n"))
    assert listed.reviewed == {"a", "b"}
    assert (slice_labels(listed, "b", 2) == 0).all()
    assert (slice_labels(listed, "c", 2) == -1).all()


def test_a_volume_with_an_artifact_alone_was_reviewed(tmp_path) -> None:
    annotations = read_annotations(_written(tmp_path, "a,0,Yes,,,,,artifact\n"))
    assert (slice_labels(annotations, "a", 2) == 0).all()
    assert annotations.quirks["artifact_rows"] == 1


def test_a_file_list_may_lie_elsewhere(tmp_path) -> None:
    (tmp_path / "names.txt").write_bytes("\ufeffa\r\nc\r\n\r\n".encode())
    annotations = read_annotations(_written(tmp_path), tmp_path / "names.txt")
    assert annotations.reviewed == {"a", "c"}


def test_exact_duplicates_are_dropped_and_second_boxes_kept(tmp_path) -> None:
    annotations = read_annotations(_written(tmp_path, _ROW + _ROW + _ROW.replace("10", "11")))
    assert annotations.quirks["duplicates"] == 1
    assert annotations.of("a")["x"].tolist() == [10, 11]


def test_extra_columns_are_no_harm(tmp_path) -> None:
    annotations = read_annotations(_written(tmp_path, "me," + _ROW, head="reader," + _HEAD))
    assert annotations.rows["slice"].tolist() == [3]


@pytest.mark.parametrize(
    ("names", "sentence"), [("", "lists no volume"), ("Knee data\n", "lists no volume"), ("a\n" + _ROW, "line 2 is no")]
)
def test_a_file_list_that_is_none_is_said(tmp_path, names: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_annotations(_written(tmp_path, names=names))


def test_a_finding_beyond_the_last_slice_is_refused(tmp_path) -> None:
    annotations = read_annotations(_written(tmp_path))
    assert slice_labels(annotations, "a", 4)[3].any()
    with pytest.raises(DataError, match="line 2 is about slice 3 of a, which has 3"):
        slice_labels(annotations, "a", 3)


def test_a_box_is_flipped_into_the_array() -> None:
    image = np.zeros((320, 320))
    image[173 : 173 + 10, 90 : 90 + 35] = 1
    top = array_box(173, 10)
    assert np.flipud(image)[top : top + 10, 90 : 90 + 35].all()
    assert np.flipud(image).sum() == np.flipud(image)[top : top + 10].sum()
    assert array_box(array_box(5, 7, matrix=64), 7, matrix=64) == 5


def _changed(text: str, how: str, first: str = "") -> str:
    """Returns a CSV or a list with its names in the first column spelt in another way; `first` is its head."""
    spelt = {
        "with suffix": lambda name: f"{name}.h5",
        "with another suffix": lambda name: f"{name}.H5",
        "with blanks": lambda name: f"  {name}\t",
        "in upper case": str.upper,
        "with a folder": lambda name: f"singlecoil_train/{name}.h5",
        "with a folder of Windows": lambda name: f"C:\\knee\\{name.title()}.h5",
        "in quotes": lambda name: f'"{name}"',
    }
    if how in ("with CRLF", "with BOM"):
        return text.replace("\n", "\r\n") if how == "with CRLF" else "\ufeff" + text
    lines = [line.partition(",") for line in text.removeprefix(first).splitlines()]
    return first + "".join(f"{spelt[how](name)}{comma}{rest}\n" for name, comma, rest in lines)


SPELLINGS = (
    *(
        "with suffix",
        "with another suffix",
        "with blanks",
        "in upper case",
        "with a folder",
        "with a folder of Windows",
    ),
    *("in quotes", "with CRLF", "with BOM"),
)


@pytest.mark.parametrize("how", SPELLINGS)
@pytest.mark.parametrize("where", ["csv", "list", "both"])
def test_the_real_counts_are_the_same_however_names_are_spelt(
    real, real_labels, fastmri_plus, tmp_path, how: str, where: str
) -> None:
    names = ("knee.csv", "knee_file_list.csv")
    texts = {n: _changed((fastmri_plus / n).read_text(), how, _HEAD * (n == names[0])) for n in names}
    kept = {"csv": names[1:], "list": names[:1], "both": ()}[where]
    for name, text in (texts | {name: (fastmri_plus / name).read_text() for name in kept}).items():
        (tmp_path / name).write_bytes(text.encode())
    spelt = read_annotations(tmp_path / "knee.csv")
    assert (spelt.quirks, spelt.reviewed, spelt.annotated) == (real.quirks, real.reviewed, real.annotated)
    assert spelt.unlisted == [] and spelt.doubtful == {}
    volumes = sorted(real_labels)[::7]
    for volume in volumes:
        np.testing.assert_array_equal(slice_labels(spelt, f"{volume.upper()}.h5", 50), real_labels[volume])


def test_one_name_in_two_folders_is_refused(tmp_path) -> None:
    rows = _ROW.replace("a,", "train/a,") + _ROW.replace("a,", "val/a.h5,")
    with pytest.raises(DataError, match=r"line 3 names 'val/a\.h5', while other lines name it in another folder"):
        read_annotations(_written(tmp_path, rows))
    with pytest.raises(DataError, match="lists val/a, and the same name in another folder"):
        read_annotations(_written(tmp_path, names="train/a\nval/a\n"))


def test_findings_under_a_name_that_the_list_lacks_make_no_volume_negative(tmp_path) -> None:
    listed = "".join(f"file{n}\n" for n in range(30))
    rows = "".join(_ROW.replace("a,", f"file{n},") for n in range(29)) + _ROW.replace("a,", "fil29,")
    annotations = read_annotations(_written(tmp_path, rows, names=listed))
    assert annotations.unlisted == ["fil29"] and annotations.doubtful == {"file29": "fil29"}
    assert (slice_labels(annotations, "file29", 4) == -1).all()
    assert "may be those of fil29" in annotations.why_unknown("file29")
