"""Reading volumes in fastMRI's format."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from knee_i2m2.errors import DataError
from knee_i2m2.sources import fastmri
from knee_i2m2.sources.fastmri import find_volumes, part, read_kspace, read_reconstruction, read_volume, volume_table


def test_a_volume_says_what_it_is(tmp_path, fastmri_file) -> None:
    volume = read_volume(fastmri_file.write(tmp_path / "file1.h5", matrix=(8, 6), patient="abc"))
    assert (volume.name, volume.patient, volume.sequence) == ("file1", "abc", "CORPD_FBK")
    assert (volume.slices, volume.rows, volume.columns) == (3, 16, 12)
    assert volume.field_strength == pytest.approx(2.8936)
    assert not volume.undersampled


def test_the_rows_of_the_image_are_the_headers_x(tmp_path, fastmri_file) -> None:
    assert read_volume(fastmri_file.write(tmp_path / "a.h5", matrix=(8, 6))).matrix == (8, 6)


@pytest.mark.parametrize(
    ("columns", "center", "maximum", "acquired"),
    [(12, 5, 9, (1, 11)), (13, 5, 9, (1, 11)), (372, 168, 331, (18, 350)), (12, 9, 20, (0, 12)), (9, 4, 8, (0, 9))],
)
def test_the_measured_columns_follow_from_the_header(
    tmp_path, fastmri_file, columns: int, center: int, maximum: int, acquired: tuple[int, int]
) -> None:
    path = fastmri_file.write(tmp_path / "a.h5", columns=columns, center=center, maximum=maximum)
    assert read_volume(path).acquired == acquired


@pytest.mark.parametrize("columns", [9, 12, 15, 644])
@pytest.mark.parametrize("layout", ["train", "test", "bare"])
def test_kspace_of_any_width_and_layout_comes_back_to_the_bit(tmp_path, fastmri_file, columns, layout) -> None:
    path = fastmri_file.write(tmp_path / "a.h5", layout, columns=columns)
    kspace = read_kspace(read_volume(path))
    with h5py.File(path) as file:
        np.testing.assert_array_equal(kspace, file["kspace"][()])
    assert kspace.dtype == np.complex64


def test_some_slices_are_those_of_all(tmp_path, fastmri_file) -> None:
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5", slices=5))
    np.testing.assert_array_equal(read_kspace(volume, slice(1, 4, 2)), read_kspace(volume)[1:4:2])


def test_only_train_and_val_files_have_a_reconstruction(tmp_path, fastmri_file) -> None:
    train = read_volume(fastmri_file.write(tmp_path / "a.h5", "train"))
    test = read_volume(fastmri_file.write(tmp_path / "b.h5", "test"))
    np.testing.assert_array_equal(read_reconstruction(train), fastmri_file.reconstruction(read_kspace(train)))
    assert read_reconstruction(test) is None
    assert test.undersampled


def test_what_the_attributes_do_not_say_is_not_guessed(tmp_path, fastmri_file) -> None:
    text = fastmri_file.header().replace("systemFieldStrength_T", "other")
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5", patient=None, acquisition=None, text=text))
    assert (volume.patient, volume.sequence, volume.field_strength) == (None, "unknown", None)


@pytest.mark.parametrize(("patient", "read"), [(b"abc", "abc"), (17, "17"), (" abc ", "abc"), ("", None)])
def test_a_patient_is_text_whatever_wrote_it(tmp_path, fastmri_file, patient, read) -> None:
    assert read_volume(fastmri_file.write(tmp_path / "a.h5", patient=patient)).patient == read


def test_the_table_keeps_what_is_unknown(tmp_path, fastmri_file) -> None:
    known = read_volume(fastmri_file.write(tmp_path / "singlecoil_val" / "a.h5"))
    unknown = read_volume(fastmri_file.write(tmp_path / "b.h5", patient=None))
    table = volume_table([known, unknown])
    assert table["patient"].tolist() == ["p1", None]
    assert table["part"].tolist() == ["val", ""]


def test_volumes_are_found_in_fastmris_folders_and_sorted(tmp_path, fastmri_file) -> None:
    names = ["b.h5", "singlecoil_val/c.h5", "singlecoil_test_v2/e.h5", "singlecoil_train/d.h5", "train/f.h5"]
    for name in [*names, "other/g.h5", ".hidden.h5"]:
        fastmri_file.write(tmp_path / name)
    found = find_volumes(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in found] == sorted(names)
    assert [part(path) for path in found] == ["", "test", "train", "val", "train"]


@pytest.mark.parametrize("folder", ["singlecoil_challenge", "test", "challenge", "singlecoil_test_full"])
def test_challenge_is_test(tmp_path, folder: str) -> None:
    assert part(tmp_path / folder / "a.h5") == "test"


def test_a_missing_or_empty_folder_is_said(tmp_path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        find_volumes(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"holds no \.h5 file"):
        find_volumes(tmp_path)


def test_one_name_in_two_folders_is_refused(tmp_path, fastmri_file) -> None:
    for folder in ("singlecoil_train", "singlecoil_val"):
        fastmri_file.write(tmp_path / folder / "a.h5")
    with pytest.raises(DataError, match=r"a\.h5 in 2 of its subfolders"):
        find_volumes(tmp_path)


def _damaged(fastmri_file, path, fault: str):
    write, header = fastmri_file.write, fastmri_file.header()
    values = fastmri_file.kspace()
    faults = {
        "missing": lambda: path,
        "empty": lambda: path.write_bytes(b""),
        "garbage": lambda: path.write_bytes(b"no HDF5" * 100),
        "folder": lambda: path.mkdir(),
        "cut to a quarter": lambda: fastmri_file.cut(write(path), 0.25),
        "cut at the end": lambda: fastmri_file.cut(write(path), 0.99),
        "no kspace": lambda: fastmri_file.without(write(path), "kspace"),
        "kspace a group": lambda: h5py.File(fastmri_file.without(write(path), "kspace"), "a").create_group("kspace/a"),
        "two axes": lambda: write(path, "bare", values=values[0]),
        "four axes": lambda: write(path, "bare", values=values[None]),
        "no axis": lambda: write(path, "bare", values=np.complex64(1)),
        "real": lambda: write(path, "bare", values=values.real),
        "integers": lambda: write(path, "bare", values=np.ones((3, 16, 12), np.int16)),
        "no slice": lambda: write(path, "bare", values=values[:0]),
        "no header": lambda: fastmri_file.without(write(path), "ismrmrd_header"),
        "header a number": lambda: write(path, text=1.0),
        "header a list": lambda: write(path, text=[header, header]),
        "header no XML": lambda: write(path, text="<ismrmrdHeader"),
        "header empty": lambda: write(path, text=""),
        "header of bytes": lambda: write(path, text=np.bytes_(b"\xff\xfe<a/>")),
        "header of entities": lambda: write(path, text='<!DOCTYPE a [<!ENTITY b "c">]>' + header),
        "header too long": lambda: write(path, text=header + " " * (1 << 20)),
        "foreign namespace": lambda: write(path, text=header.replace("ISMRMRD", "OTHER")),
        "no matrix": lambda: write(path, text=header.replace("reconSpace", "space")),
        "no limits": lambda: write(path, text=header.replace("kspace_encoding_step_1", "step")),
        "matrix zero": lambda: write(path, "bare", matrix=(0, 8)),
        "matrix negative": lambda: write(path, "bare", matrix=(8, -8)),
        "matrix huge": lambda: write(path, "bare", matrix=(8, 10**9)),
        "matrix no number": lambda: write(path, "bare", matrix=("eight", 8)),
        "matrix too high": lambda: write(path, "bare", matrix=(17, 8)),
        "matrix too wide": lambda: write(path, "bare", matrix=(8, 13)),
        "nothing measured": lambda: write(path, center=900),
        "field strength no number": lambda: write(path, field_strength="nan"),
        "patient a list": lambda: write(path, patient=["a", "b"]),
    }
    made = faults[fault]()
    if isinstance(made, h5py.Group):
        made.file.close()
    return path


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("missing", "no such file"),
        ("empty", "no HDF5 file"),
        ("garbage", "no HDF5 file"),
        ("folder", "a folder, not a file"),
        ("cut to a quarter", "cut short"),
        ("cut at the end", "cut short"),
        ("no kspace", "holds no kspace"),
        ("kspace a group", "holds no kspace"),
        ("two axes", "has 2 axes, not 3"),
        ("four axes", "has 4 axes, not 3"),
        ("no axis", "has 0 axes, not 3"),
        ("real", "float32, not complex"),
        ("integers", "int16, not complex"),
        ("no slice", "kspace is empty"),
        ("no header", "holds no ismrmrd_header"),
        ("header a number", "no text"),
        ("header a list", "no text"),
        ("header no XML", "no XML"),
        ("header empty", "no XML"),
        ("header of bytes", "no XML"),
        ("header of entities", "declares entities"),
        ("header too long", "over 1 MB"),
        ("foreign namespace", "has no encoding/reconSpace/matrixSize/x"),
        ("no matrix", "has no encoding/reconSpace/matrixSize/x"),
        ("no limits", "has no encoding/encodingLimits"),
        ("matrix zero", "has '0' as"),
        ("matrix negative", "has '-8' as"),
        ("matrix huge", "has '1000000000' as"),
        ("matrix no number", "has 'eight' as"),
        ("matrix too high", "17 x 8 is larger than the k-space of 16 x 12"),
        ("matrix too wide", "8 x 13 is larger than the k-space of 16 x 12"),
        ("nothing measured", "no column was measured"),
        ("field strength no number", "has 'nan' as"),
        ("patient a list", "patient_id is a list"),
    ],
)
def test_a_damaged_file_ends_in_one_sentence(tmp_path, fastmri_file, fault: str, sentence: str) -> None:
    path = _damaged(fastmri_file, tmp_path / "a.h5", fault)
    with pytest.raises(DataError, match=sentence) as raised:
        read_volume(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 3


@pytest.mark.parametrize(("value", "sentence"), [(np.nan, "NaN or Inf"), (np.inf, "NaN or Inf")])
def test_a_slice_that_is_no_number_is_named(tmp_path, fastmri_file, value: float, sentence: str) -> None:
    values = fastmri_file.kspace()
    values[1, 4, 5] = value
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5", "bare", values=values))
    with pytest.raises(DataError, match=rf"a\.h5: slice 1 of kspace holds {sentence}"):
        read_kspace(volume)
    assert read_kspace(volume, slice(2, 3)).shape == (1, 16, 12)


@pytest.mark.parametrize("value", [0, 1 + 1j])
def test_a_constant_slice_is_named(tmp_path, fastmri_file, value: complex) -> None:
    values = fastmri_file.kspace(slices=4)
    values[3] = value
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5", "bare", values=values))
    with pytest.raises(DataError, match="slice 3 of kspace is constant"):
        read_kspace(volume, slice(2, None))


def test_double_precision_that_does_not_fit_is_refused(tmp_path, fastmri_file) -> None:
    values = fastmri_file.kspace().astype(np.complex128)
    values[2, 0, 0] = 1e300
    with pytest.raises(DataError, match="slice 2 of kspace holds NaN or Inf"):
        read_kspace(read_volume(fastmri_file.write(tmp_path / "a.h5", "bare", values=values)))


def test_a_file_cut_short_or_replaced_since_is_noticed(tmp_path, fastmri_file) -> None:
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5"))
    fastmri_file.write(tmp_path / "a.h5", columns=14)
    with pytest.raises(DataError, match="changed since"):
        read_kspace(volume)
    fastmri_file.cut(tmp_path / "a.h5", 0.5)
    with pytest.raises(DataError, match="cut short"):
        read_kspace(volume)


def test_a_file_replaced_by_one_with_fewer_slices_is_noticed(tmp_path, fastmri_file) -> None:
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5", slices=4))
    fastmri_file.write(tmp_path / "a.h5", slices=3)
    with pytest.raises(DataError, match="changed since"):
        read_kspace(volume)


def test_a_bug_of_ours_stays_a_bug(tmp_path, fastmri_file, monkeypatch) -> None:
    path = fastmri_file.write(tmp_path / "a.h5")

    def bug(*_):
        raise TypeError("ours")

    monkeypatch.setattr(fastmri, "parse_header", bug)
    with pytest.raises(TypeError, match="ours"):
        read_volume(path)


@pytest.mark.parametrize("error", [KeyError, RuntimeError, OSError])
def test_even_a_bug_that_looks_like_h5pys_stays_a_bug(tmp_path, fastmri_file, monkeypatch, error) -> None:
    path = fastmri_file.write(tmp_path / "a.h5")

    def bug(*_):
        raise error("ours")

    monkeypatch.setattr(fastmri, "parse_header", bug)
    with pytest.raises(error, match="ours"):
        read_volume(path)
