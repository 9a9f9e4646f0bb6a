"""Reading volumes in fastMRI's format."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from unittest.mock import Mock

import h5py
import numpy as np
import pytest

from knee_i2m2.errors import DataError
from knee_i2m2.sources.fastmri import hdf5_array
from knee_i2m2.sources.fastmri import volumes as fastmri
from knee_i2m2.sources.fastmri.volumes import (
    find_volumes,
    part,
    read_kspace,
    read_reconstruction,
    read_volume,
    volume_table,
)


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


def test_a_folder_that_may_not_be_read_is_said(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(os, "scandir", Mock(side_effect=PermissionError(13, "Permission denied", str(tmp_path))))
    with pytest.raises(DataError, match="may not be read by you"):
        find_volumes(tmp_path)


def test_one_name_in_two_folders_is_refused(tmp_path, fastmri_file) -> None:
    for folder in ("singlecoil_train", "singlecoil_val"):
        fastmri_file.write(tmp_path / folder / "a.h5")
    with pytest.raises(DataError, match=r"a\.h5 in 2 of its subfolders"):
        find_volumes(tmp_path)


def test_a_useless_slice_is_named_and_the_others_are_read(tmp_path, fastmri_file) -> None:
    values = fastmri_file.kspace()
    values[1, 4, 5] = np.nan
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5", "bare", values=values))
    with pytest.raises(DataError, match=r"a\.h5: slice 1 of kspace holds NaN or Inf"):
        read_kspace(volume, slice(1, None))
    assert read_kspace(volume, slice(2, 3)).shape == (1, 16, 12)


STORED = {
    "contiguous": {},
    "chunks of slices": {"chunks": (1, 16, 12)},
    "chunks that fit nowhere": {"chunks": (2, 5, 7)},
    "gzip": {"compression": "gzip"},
    "gzip in chunks that fit nowhere": {"compression": "gzip", "chunks": (3, 9, 5)},
    "gzip that gains nothing": {"compression": "gzip", "compression_opts": 0, "chunks": (1, 4, 4)},
    "shuffle and gzip": {"compression": "gzip", "shuffle": True},
    "shuffle, gzip and checksum": {"compression": "gzip", "shuffle": True, "fletcher32": True},
    "checksum": {"fletcher32": True, "chunks": (2, 16, 12)},
    "lzf": {"compression": "lzf", "chunks": (1, 16, 12)},
    "shuffle, lzf and checksum": {"compression": "lzf", "shuffle": True, "fletcher32": True, "chunks": (2, 7, 12)},
    "big-endian": {"dtype": ">c8"},
    "double precision": {"dtype": "c16"},
    "big-endian in gzip": {"dtype": ">c8", "compression": "gzip"},
}


def _stored(fastmri_file, path, how: str, **options):
    """Writes the same k-space in another way, behind a block that is not HDF5's."""
    values = fastmri_file.kspace(slices=5)
    values[2] = values[2].round(4)  # compresses
    source = fastmri_file.write(path.with_name("source.h5"), values=values)
    with h5py.File(source) as old, h5py.File(path, "w", userblock_size=512, **options) as new:
        new.create_dataset("kspace", data=values, **STORED[how])
        old.copy("ismrmrd_header", new)
    return values


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("how", STORED)
def test_however_it_is_stored_kspace_is_the_same_to_the_bit(tmp_path, fastmri_file, how: str, libver: str) -> None:
    values = _stored(fastmri_file, tmp_path / "a.h5", how, libver=libver)
    volume = read_volume(tmp_path / "a.h5")
    assert (volume.offset is not None) == (how == "contiguous")
    for wanted in (slice(None), slice(1, 4), slice(3, 4), slice(0, 5, 2), slice(None, None, -2), slice(2, 2)):
        np.testing.assert_array_equal(read_kspace(volume, wanted).view("u8"), values[wanted].view("u8"))


def test_what_lies_in_the_file_as_in_memory_is_read_without_hdf5(tmp_path, fastmri_file, monkeypatch) -> None:
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5"))
    wanted = read_kspace(replace(volume, offset=None))
    monkeypatch.setattr(h5py, "File", None)
    np.testing.assert_array_equal(read_kspace(volume), wanted)
    with pytest.raises(DataError):
        read_kspace(replace(volume, offset=None))


def test_what_the_system_gives_in_pieces_is_put_together(tmp_path, fastmri_file, monkeypatch) -> None:
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5"))
    wanted, whole = read_kspace(volume), os.preadv
    monkeypatch.setattr(os, "preadv", lambda file, buffers, offset: whole(file, [buffers[0][:1000]], offset))
    np.testing.assert_array_equal(read_kspace(volume), wanted)


def test_a_volume_travels_to_other_processes_for_a_few_bytes(tmp_path, fastmri_file) -> None:
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5"))
    assert pickle.loads(pickle.dumps(volume)) == volume
    assert len(pickle.dumps(volume)) < 1000


@pytest.mark.parametrize("how", ["contiguous", "gzip"])
def test_a_file_that_changes_after_it_was_looked_at_is_noticed(tmp_path, fastmri_file, how: str) -> None:
    path = tmp_path / "a.h5"
    _stored(fastmri_file, path, how)
    volume, content = read_volume(path), path.read_bytes()
    os.utime(path, ns=(0, volume.stamp[1] + 1))
    with pytest.raises(DataError, match="has changed since its header was read; start again"):
        read_kspace(volume)
    path.write_bytes(content + b"more")
    with pytest.raises(DataError, match="has changed"):
        read_kspace(volume)
    path.unlink()
    with pytest.raises(DataError, match="there is no such file"):
        read_kspace(volume)


def test_a_file_that_ends_early_under_the_same_stamp_is_noticed(tmp_path, fastmri_file) -> None:
    path = fastmri_file.cut(fastmri_file.write(tmp_path / "a.h5"), 1)
    volume = read_volume(path)
    fastmri_file.cut(path, 0.3)
    with pytest.raises(DataError, match="cut short"):
        read_kspace(replace(volume, stamp=(path.stat().st_size, path.stat().st_mtime_ns, 0)))


def test_a_changed_file_has_no_reconstruction_either(tmp_path, fastmri_file) -> None:
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5"))
    fastmri_file.write(tmp_path / "a.h5", columns=14)
    with pytest.raises(DataError, match="changed since"):
        read_reconstruction(volume)


@pytest.mark.parametrize("error", [TypeError, ValueError, KeyError, RuntimeError, OSError, FileNotFoundError])
@pytest.mark.parametrize(
    ("module", "name"),
    [(fastmri, "parse_header"), (fastmri, "_refuse_misfit"), (fastmri, "find_array"), (hdf5_array, "_claimed")],
)
def test_a_bug_of_ours_stays_a_bug_even_if_it_looks_like_h5pys(
    tmp_path, fastmri_file, monkeypatch, module, name: str, error: type[Exception]
) -> None:
    path = fastmri_file.write(tmp_path / "a.h5")

    def bug(*_):
        raise error("ours")

    monkeypatch.setattr(module, name, bug)
    with pytest.raises(error, match="ours"):
        read_volume(path)


@pytest.mark.parametrize("name", ["_fill", "_refuse_changed", "_refuse_useless"])
def test_a_bug_in_reading_stays_a_bug(tmp_path, fastmri_file, monkeypatch, name: str) -> None:
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5"))

    def bug(*_):
        raise OSError("ours")

    monkeypatch.setattr(fastmri, name, bug)
    with pytest.raises(OSError, match="ours"):
        read_kspace(volume)
