"""Preparing knees: the values, what is left out, and what survives being killed."""

from __future__ import annotations

import errno
import json
import os
import pkgutil
import shutil
import signal
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch

import fastmri
import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from fastmri.data.subsample import create_mask_for_mask_type
from fastmri.data.transforms import apply_mask, center_crop

from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.files import locked, sha256
from knee_i2m2.recipes.knee import PrepareKnee, prepare
from knee_i2m2.sources.fastmri import open_knee
from knee_i2m2.sources.fastmri.modalities import fill_rows, volume_modalities
from knee_i2m2.sources.fastmri.volumes import read_kspace, read_volume
from knee_i2m2.sources.phantom import Phantom, make_phantom
from knee_i2m2.training.batches import InOrder, loader, on_device

ARRAY = "magnitude+phase.npy"


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve volumes of six patients, three slices each."""
    out = tmp_path_factory.mktemp("data") / "phantom"
    make_phantom(Phantom(volumes=12, slices=3, matrix=32, seed=3), out)
    return out


@pytest.fixture(scope="module")
def data(phantom: Path) -> Path:
    prepare(phantom, options(phantom, phantom.parent / "data"))
    return phantom.parent / "data"


@pytest.fixture
def archive(phantom: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged; the ideal observer, who knows every volume, is not in it."""
    shutil.copytree(phantom, tmp_path / "phantom")
    (tmp_path / "phantom" / "ideal.parquet").unlink()
    return tmp_path / "phantom"


def options(archive: Path, out: Path, **changed) -> PrepareKnee:
    return PrepareKnee(annotations=archive / "knee.csv", out=out, **changed)


def volumes(archive: Path) -> list[Path]:
    return sorted(archive.rglob("*.h5"))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def everything(folder: Path) -> tuple[pd.DataFrame, dict[str, torch.Tensor]]:
    """Returns the index of all splits and their modalities, in one order."""
    parts = [open_knee(folder, split) for split in ("train", "val", "test")]
    batches = [part[list(range(len(part)))].x for part in parts]
    index = pd.concat([part.index for part in parts], ignore_index=True)
    return index, {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}


def spoil(path: Path, index: int = 1, value: complex = np.nan) -> None:
    with h5py.File(path, "a") as file:
        file["kspace"][index, 3, 4] = value


def test_the_array_holds_what_fastmri_reconstructs(phantom: Path, data: Path) -> None:
    index, x = everything(data)
    for path in volumes(phantom)[:4]:
        rows = index.index[index["series"] == path.stem].tolist()
        k = torch.from_numpy(read_kspace(read_volume(path)).astype(np.complex128))
        image = torch.view_as_complex(
            center_crop(fastmri.ifft2c(torch.view_as_real(k)).movedim(-1, 0), (32, 32)).movedim(0, -1).contiguous()
        )
        unit = image.abs().square().mean().sqrt()
        assert index["scale"][rows].tolist() == pytest.approx([float(unit)] * 3, rel=1e-6)
        torch.testing.assert_close(x["magnitude"][rows, 0].double(), image.abs() / unit, rtol=1e-3, atol=1e-6)
        turned = torch.exp(1j * (x["phase"][rows, 0].double() - image.angle()))
        assert (turned - 1).abs().max() < 2e-3


def test_the_index_says_where_a_slice_is_from_and_what_was_found(phantom: Path, data: Path) -> None:
    index, found = everything(data)[0], pd.read_csv(phantom / "knee.csv")
    assert sorted(index["row"]) == list(range(36))
    for slice_, rows in found.groupby(["file", "slice"]):
        mine = index[(index["series"] == slice_[0]) & (index["slice"] == slice_[1])].iloc[0]
        boxes = sorted((b["label"], b["x"], 32 - b["y"] - b["height"], b["width"], b["height"]) for b in mine["boxes"])
        assert boxes == sorted(rows[["label", "x", "y", "width", "height"]].itertuples(index=False, name=None))
    assert index["boxes"].map(len).sum() == len(found)


@pytest.mark.parametrize("changed", [{}, {"normalise": "none"}, {"acceleration": 4, "columns": 48}])
def test_without_a_cache_the_same_bits_are_computed_when_asked_for(phantom: Path, tmp_path: Path, changed) -> None:
    prepare(phantom, options(phantom, tmp_path / "cached", **changed))
    prepare(phantom, options(phantom, tmp_path / "computed", no_cache=True, **changed))
    assert not (tmp_path / "computed" / ARRAY).exists()
    index, x = everything(tmp_path / "computed")
    expected_index, expected = everything(tmp_path / "cached")
    pd.testing.assert_frame_equal(index, expected_index)
    assert all(torch.equal(x[name], expected[name]) for name in expected)


def test_computed_slices_come_through_a_loader_with_processes(phantom: Path, data: Path, tmp_path: Path) -> None:
    prepare(phantom, options(phantom, tmp_path / "computed", no_cache=True))
    samples = open_knee(tmp_path / "computed", "train")
    batches = [batch.x["phase"] for batch in loader(samples, InOrder(len(samples), 4), workers=2)]
    assert torch.equal(torch.cat(batches), open_knee(data, "train")[list(range(len(samples)))].x["phase"])


def test_a_file_that_changes_after_no_cache_is_noticed_when_it_is_read(archive: Path, tmp_path: Path) -> None:
    prepare(archive, options(archive, tmp_path / "computed", no_cache=True))
    samples = open_knee(tmp_path / "computed", "train")
    for path in volumes(archive):
        os.utime(path, ns=(0, 0))
    for workers in (0, 1):
        with pytest.raises(DataError, match="has changed since its header was read"):
            list(on_device("cpu", loader(samples, InOrder(len(samples), 4), workers)))


def test_unnormalised_magnitudes_are_those_of_the_file(phantom: Path, data: Path, tmp_path: Path) -> None:
    prepare(phantom, options(phantom, tmp_path / "raw", normalise="none"))
    index, x = everything(tmp_path / "raw")
    scale = torch.from_numpy(index["scale"].to_numpy(np.float32))[:, None, None, None]
    assert torch.equal(x["magnitude"], everything(data)[1]["magnitude"] * scale)
    assert 1e-6 < float(scale.min()) < 1e-3  # where float16 would have lost half of its digits
    assert (tmp_path / "raw" / ARRAY).read_bytes() == (data / ARRAY).read_bytes()


@pytest.mark.parametrize("mask", ["random", "equispaced", "equispaced_fraction"])
def test_undersampling_is_that_of_fastmri(phantom: Path, tmp_path: Path, mask: str) -> None:
    prepare(phantom, options(phantom, tmp_path / "out", acceleration=4, mask=mask, center_fraction=0.1))
    index, x = everything(tmp_path / "out")
    volume = read_volume(volumes(phantom)[0])
    k = torch.view_as_real(torch.from_numpy(read_kspace(volume)))
    function = create_mask_for_mask_type(mask, [0.1], [4])
    seed = tuple(map(ord, volume.path.name))
    image = fastmri.complex_abs(fastmri.ifft2c(apply_mask(k, function, seed=seed, padding=volume.acquired)[0]))
    rows = index.index[index["series"] == volume.name].tolist()
    expected = center_crop(image, (32, 32))
    torch.testing.assert_close(
        x["magnitude"][rows, 0].float(), expected / expected.square().mean().sqrt(), rtol=1e-3, atol=1e-5
    )


def test_zero_filling_leaves_wider_volumes_out_with_a_list_and_moves_the_boxes(archive: Path, tmp_path: Path) -> None:
    widths = {read_volume(path).name: read_volume(path).columns for path in volumes(archive)}
    limit = sorted(set(widths.values()))[-2]
    made = prepare(archive, options(archive, tmp_path / "out", columns=limit))
    wide = sorted(name for name, columns in widths.items() if columns > limit)
    listed = pd.read_csv(tmp_path / "out" / "left_out.csv")
    assert wide and listed["volume"].tolist() == wide and set(listed["why"]) == {"too wide"}
    assert made["left_out"] == {"too wide": len(wide)} and made["volumes"] == 12 - len(wide)
    index, plain = everything(tmp_path / "out")[0], pd.read_csv(archive / "knee.csv").set_index(["file", "slice"])
    narrow = index[(index["boxes"].map(len) == 1) & (index["width"].astype(int) < limit)].iloc[0]
    box, stretch = narrow["boxes"][0], limit / int(narrow["width"])
    assert box["width"] == pytest.approx(stretch * plain.loc[(narrow["series"], narrow["slice"]), "width"])


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"columns": 20}, "--columns 20: the image has 32"),
        ({"columns": -3}, "--columns -3"),
        ({"acceleration": 0}, "--acceleration 0"),
        ({"center_fraction": 0.1}, "go with an --acceleration"),
        ({"mask": "equispaced"}, "go with an --acceleration"),
        ({"acceleration": 4, "center_fraction": 0.249}, "are all that 4-fold keeps"),
        ({"jobs": 0}, "--jobs 0"),
        ({"quarantine_limit": 2.0}, "--quarantine-limit 2"),
        ({"seed": -1}, "--seed -1"),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_anything_is_written(phantom, tmp_path, changed, sentence) -> None:
    with pytest.raises(ConfigError, match=sentence):
        prepare(phantom, options(phantom, tmp_path / "out", **changed))
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_undersampled_already_is_read_as_it_is_but_not_undersampled_again(archive, tmp_path) -> None:
    with h5py.File(volumes(archive)[0], "a") as file:
        file["mask"] = np.arange(file["kspace"].shape[-1]) % 2 == 0
    assert prepare(archive, options(archive, tmp_path / "as it is"))["volumes"] == 12
    with pytest.raises(DataError, match="is undersampled already"):
        prepare(archive, options(archive, tmp_path / "again", acceleration=4))


def test_several_processes_write_the_same_bytes(phantom: Path, data: Path, tmp_path: Path) -> None:
    prepare(phantom, options(phantom, tmp_path / "out", jobs=2))
    assert content(tmp_path / "out") == content(data)


POINTS = {
    "while the first volume is written": ("knee_i2m2.sources.fastmri.modalities.write_rows", 1),
    "after the fifth volume": ("knee_i2m2.data.writing.Filling.note", 5),
    "before the index": ("knee_i2m2.sources.fastmri.prepare.finish_prepared", 1),
    "before the array has its name": ("knee_i2m2.data.writing.Filling.publish", 1),
    "after the array has its name": ("knee_i2m2.data.writing.sweep", 1),
    "after everything but the notes": ("knee_i2m2.sources.fastmri.prepare.forget", 1),
}


@pytest.mark.parametrize("point", POINTS)
def test_killed_and_started_again_it_writes_the_same_bytes(phantom: Path, data: Path, tmp_path: Path, point) -> None:
    out = tmp_path / "out"
    killed_at(point, phantom, out)
    assert (out / "data.json").exists() == (point == "after everything but the notes")
    with patch("knee_i2m2.sources.fastmri.modalities.volume_modalities", side_effect=volume_modalities) as computed:
        prepare(phantom, options(phantom, out))
    assert content(out) == content(data)
    done = {"while the first volume is written": 0, "after the fifth volume": 4}.get(point, 12)
    assert computed.call_count == 12 - done  # what was finished is not computed again


def test_a_line_that_was_cut_by_the_kill_is_not_believed(phantom: Path, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed_at("after the fifth volume", phantom, out)
    notes = out / ".progress.jsonl"
    notes.write_bytes(notes.read_bytes()[:-9])
    prepare(phantom, options(phantom, out))
    assert content(out) == content(data)


def test_another_plan_does_not_take_over_what_an_interrupted_one_left(phantom: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed_at("after the fifth volume", phantom, out)
    prepare(phantom, options(phantom, out, acceleration=4))
    prepare(phantom, options(phantom, tmp_path / "anew", acceleration=4))
    assert content(out) == content(tmp_path / "anew")


def killed_at(point: str, archive: Path, out: Path, **changed) -> None:
    """Prepares in a process of its own, which is killed at a point."""
    killed = get_context("forkserver").Process(target=_prepare_and_die, args=(archive, out, *POINTS[point], changed))
    killed.start()
    killed.join(120)
    assert killed.exitcode == -signal.SIGKILL


def _prepare_and_die(archive: Path, out: Path, target: str, call: int, changed: dict) -> None:
    """Prepares, and is killed when `target` is called for the `call`-th time."""
    owner, _, name = target.rpartition(".")
    owner = pkgutil.resolve_name(owner)
    original, calls = getattr(owner, name), []

    def deadly(*arguments, **named):
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    setattr(owner, name, deadly)
    prepare(archive, options(archive, out, **changed))


def test_run_again_it_reads_nothing_but_headers(phantom: Path, data: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in data.iterdir()}
    with patch("knee_i2m2.sources.fastmri.archive.sha256") as hashed:
        prepare(phantom, options(phantom, data))
    assert not hashed.called
    assert {path: path.stat().st_mtime_ns for path in data.iterdir()} == before


@pytest.mark.parametrize("order", [(False, True), (True, False)])
def test_a_run_without_cache_does_not_vouch_for_rows_of_one_with_it(phantom, data, tmp_path, order) -> None:
    out = tmp_path / "out"
    for no_cache in (*order, order[0]):
        killed_at("after the fifth volume", phantom, out, no_cache=no_cache)
    prepare(phantom, options(phantom, out))
    assert content(out) == content(data)


def test_volumes_that_are_left_out_move_no_other_one(archive: Path, tmp_path: Path) -> None:
    prepare(archive, options(archive, tmp_path / "whole"))
    before = everything(tmp_path / "whole")[0].groupby("series")["split"].first()
    gone = next(n for n in before.index if (before == before[n]).sum() > 2)
    patient = read_volume(next(p for p in volumes(archive) if p.stem == gone)).patient
    lost = [path for path in volumes(archive) if read_volume(path).patient == patient]
    for path in lost:
        spoil(path)
    prepare(archive, options(archive, tmp_path / "out", on_error="quarantine", quarantine_limit=0.2))
    after = everything(tmp_path / "out")[0].groupby("series")["split"].first()
    pd.testing.assert_series_equal(after, before.drop([path.stem for path in lost]))


def test_a_finished_folder_is_held_to_a_stricter_limit(archive: Path, tmp_path: Path) -> None:
    spoil(volumes(archive)[4])
    prepare(archive, options(archive, tmp_path / "out", on_error="quarantine", quarantine_limit=0.1))
    with pytest.raises(DataError, match="slice 1 of kspace holds NaN"):
        prepare(archive, options(archive, tmp_path / "out"))
    with pytest.raises(DataError, match="more than --quarantine-limit"):
        prepare(archive, options(archive, tmp_path / "out", on_error="quarantine"))


def test_a_volume_that_killed_its_process_is_tried_again(archive: Path, tmp_path: Path) -> None:
    deadly = {"reason": "reading it killed the process", "hint": "it is damaged, or memory ran out: use fewer --jobs"}
    name = volumes(archive)[4].stem

    def work(transform, array, item):
        return deadly if item[0].name == name else fill_rows(transform, array, item)

    with (
        patch("knee_i2m2.sources.fastmri.prepare.fill_rows", work),
        pytest.raises(DataError, match="killed the process"),
    ):
        prepare(archive, options(archive, tmp_path / "out"))
    with patch("knee_i2m2.sources.fastmri.prepare.fill_rows", side_effect=fill_rows) as filled:
        prepare(archive, options(archive, tmp_path / "out"))
    assert filled.call_args_list[0].args[2][0].name == name and filled.call_count == 12 - 4


def test_the_size_of_most_images_is_the_usual_one(archive: Path, tmp_path: Path, fastmri_file) -> None:
    odd = fastmri_file.write(
        archive / "singlecoil_train" / "file0.h5", patient="odd", rows=64, columns=36, matrix=(20, 20)
    )
    (archive / "knee_file_list.csv").write_text("file0\n" + (archive / "knee_file_list.csv").read_text())
    made = prepare(archive, options(archive, tmp_path / "out", on_error="quarantine", quarantine_limit=0.1))
    listed = pd.read_csv(tmp_path / "out" / "left_out.csv")
    assert (made["volumes"], listed["volume"].tolist()) == (12, [odd.stem])
    assert "(20, 20) while most have (32, 32)" in listed["reason"][0]


def test_a_volume_without_patient_is_quarantined_too(archive: Path, tmp_path: Path) -> None:
    with h5py.File(volumes(archive)[0], "a") as file:
        del file.attrs["patient_id"]
    with pytest.raises(DataError, match="1 of 12 volumes have no known patient_id: missing in 1 "):
        prepare(archive, options(archive, tmp_path / "out"))
    made = prepare(archive, options(archive, tmp_path / "out", on_error="quarantine", quarantine_limit=0.1))
    assert made["left_out"] == {"unusable": 1}


def test_relative_paths_are_found_from_anywhere(phantom: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(phantom.parent)
    prepare(Path(phantom.name), options(phantom, tmp_path / "out", no_cache=True))
    monkeypatch.chdir(tmp_path)
    assert everything(tmp_path / "out")[1]["phase"].shape == (36, 1, 32, 32)


def test_a_full_disk_while_noting_is_a_sentence(phantom: Path, tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with patch("knee_i2m2.data.writing.os.fsync", side_effect=full), pytest.raises(DataError, match="No space left"):
        prepare(phantom, options(phantom, tmp_path / "out"))


def test_a_touched_or_moved_archive_is_hashed_and_known_again(archive: Path, tmp_path: Path) -> None:
    first = prepare(archive, options(archive, tmp_path / "out"))
    array = (tmp_path / "out" / ARRAY).stat().st_mtime_ns
    for path in volumes(archive):
        os.utime(path, ns=(0, 0))
    archive.rename(tmp_path / "elsewhere")
    with patch("knee_i2m2.sources.fastmri.archive.sha256", side_effect=sha256) as hashed:
        assert prepare(tmp_path / "elsewhere", options(tmp_path / "elsewhere", tmp_path / "out")) == first
        assert prepare(tmp_path / "elsewhere", options(tmp_path / "elsewhere", tmp_path / "out")) == first
    assert hashed.call_count == 12  # the second time size and time are known
    assert (tmp_path / "out" / ARRAY).stat().st_mtime_ns == array


def test_a_source_file_that_has_changed_is_noticed(archive: Path, tmp_path: Path) -> None:
    prepare(archive, options(archive, tmp_path / "out"))
    spoil(volumes(archive)[2], value=1e-3)
    with pytest.raises(ConfigError, match=f"was prepared with another {volumes(archive)[2].stem}"):
        prepare(archive, options(archive, tmp_path / "out"))


@pytest.mark.parametrize("name", ["knee.csv", "knee_file_list.csv"])
def test_annotations_and_file_list_are_sources_too(archive: Path, tmp_path: Path, name: str) -> None:
    made = prepare(archive, options(archive, tmp_path / "out"))
    assert made["sources"][name] == sha256(archive / name)
    with (archive / name).open("a") as file:
        file.write("\n")
    with pytest.raises(ConfigError, match=f"was prepared with another {name}"):
        prepare(archive, options(archive, tmp_path / "out"))


def test_a_change_that_hides_its_time_is_noticed(archive: Path, tmp_path: Path) -> None:
    prepare(archive, options(archive, tmp_path / "out"))
    path = volumes(archive)[2]
    content, before = bytearray(path.read_bytes()), path.stat().st_mtime_ns
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before, before))
    with pytest.raises(ConfigError, match=f"was prepared with another {path.stem}"):
        prepare(archive, options(archive, tmp_path / "out"))


def test_a_source_file_that_changes_between_kill_and_resumption_is_computed_again(archive, tmp_path) -> None:
    out = tmp_path / "out"
    killed_at("after the fifth volume", archive, out)
    spoil(volumes(archive)[0], value=1e-3)
    prepare(archive, options(archive, out))
    prepare(archive, options(archive, tmp_path / "anew"))
    assert content(out) == content(tmp_path / "anew")


def test_the_first_volume_that_cannot_be_used_stops_the_work_in_one_sentence(archive: Path, tmp_path: Path) -> None:
    spoil(volumes(archive)[4])
    with pytest.raises(DataError, match=rf"{volumes(archive)[4].name}: slice 1 of kspace holds NaN or Inf"):
        prepare(archive, options(archive, tmp_path / "out"))
    assert not (tmp_path / "out" / "data.json").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_quarantined_volumes_are_listed_and_the_rest_is_as_if_they_were_not_there(archive, tmp_path, jobs) -> None:
    nan, cut = volumes(archive)[4], volumes(archive)[7]
    spoil(nan)
    cut.write_bytes(cut.read_bytes()[:3000])
    setting_aside = options(archive, tmp_path / "out", on_error="quarantine", quarantine_limit=0.2, jobs=jobs)
    made = prepare(archive, setting_aside)
    listed = pd.read_csv(tmp_path / "out" / "left_out.csv")
    assert listed["volume"].tolist() == sorted([nan.stem, cut.stem]) and set(listed["why"]) == {"unusable"}
    assert listed.set_index("volume").loc[nan.stem, "reason"] == "slice 1 of kspace holds NaN or Inf"
    assert prepare(archive, setting_aside) == made  # and again it does nothing
    index, x = everything(tmp_path / "out")
    nan.unlink(), cut.unlink()
    prepare(archive, options(archive, tmp_path / "clean"))
    expected_index, expected = everything(tmp_path / "clean")
    pd.testing.assert_frame_equal(index.drop(columns="row"), expected_index.drop(columns="row"))
    assert all(torch.equal(x[name], expected[name]) for name in expected)


def test_a_quarantined_file_that_was_mended_is_noticed(archive: Path, tmp_path: Path) -> None:
    path, setting_aside = (
        volumes(archive)[4],
        options(archive, tmp_path / "out", on_error="quarantine", quarantine_limit=0.1),
    )
    whole = path.read_bytes()
    spoil(path)
    prepare(archive, setting_aside)
    path.write_bytes(whole)
    with pytest.raises(ConfigError, match=f"was prepared without {path.stem}, which has changed since"):
        prepare(archive, setting_aside)


def test_more_than_the_limit_is_not_quarantined(archive: Path, tmp_path: Path) -> None:
    spoil(volumes(archive)[4])
    with pytest.raises(DataError, match=r"1 of 12 volumes cannot be used, more than --quarantine-limit 0\.01 allows"):
        prepare(archive, options(archive, tmp_path / "out", on_error="quarantine"))


@pytest.mark.parametrize("value", [1e32, 1e38])
def test_values_that_no_float_can_square_are_refused(archive: Path, tmp_path: Path, value: float) -> None:
    with h5py.File(volumes(archive)[0], "a") as file:
        file["kspace"][...] = file["kspace"][...] / np.abs(file["kspace"]).max() * np.float32(value)
    with pytest.raises(DataError, match="root mean square of its image is"):
        prepare(archive, options(archive, tmp_path / "out"))


def test_denormal_values_are_refused(archive: Path, tmp_path: Path) -> None:
    with h5py.File(volumes(archive)[0], "a") as file:
        file["kspace"][...] = file["kspace"][...] * np.float32(1e-38)
    with pytest.raises(DataError, match=r"root mean square of its image is|constant"):
        prepare(archive, options(archive, tmp_path / "out"))


def test_of_a_volume_that_nobody_reviewed_not_even_the_header_is_read(archive: Path, tmp_path: Path) -> None:
    path = volumes(archive)[3]
    for name in ("knee.csv", "knee_file_list.csv"):
        lines = (archive / name).read_text().splitlines(keepends=True)
        (archive / name).write_text("".join(line for line in lines if path.stem not in line))
    path.write_bytes(b"not even a volume")
    made = prepare(archive, options(archive, tmp_path / "out"))
    assert made["left_out"] == {"unlabelled": 1}
    assert pd.read_csv(tmp_path / "out" / "left_out.csv")["volume"].tolist() == [path.stem]


def test_two_at_once_do_not_write_into_one_folder(phantom: Path, tmp_path: Path) -> None:
    with locked(tmp_path / "out"), pytest.raises(ConfigError, match="another process is writing here"):
        prepare(phantom, options(phantom, tmp_path / "out"))
    prepare(phantom, options(phantom, tmp_path / "out"))


def test_a_disk_without_room_is_noticed_before_the_work(phantom: Path, tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with patch("os.posix_fallocate", side_effect=full), pytest.raises(DataError, match="No space left"):
        prepare(phantom, options(phantom, tmp_path / "out"))
    assert not list((tmp_path / "out").glob("*"))


def test_data_of_a_damaged_list_of_volumes_are_prepared_again(phantom: Path, data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "out")
    (tmp_path / "out" / "volumes.json").write_text("{}")
    prepare(phantom, options(phantom, tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "volumes.json").read_text()) == json.loads(
        (data / "volumes.json").read_text()
    )


def test_options_that_do_not_change_the_content_may_change(phantom: Path, data: Path) -> None:
    changed = replace(options(phantom, data), jobs=2, on_error="quarantine", quarantine_limit=0.5)
    assert prepare(phantom, changed) == json.loads((data / "data.json").read_text())


@pytest.mark.parametrize(
    ("real", "vendor"),
    [
        (0, "<systemVendor>SIEMENS</systemVendor>"),
        (1, "<systemVendor>SIEMENS</systemVendor>"),
        (5, "<systemVendor>Phantom Medical</systemVendor>"),
        (6, "<systemVendor></systemVendor>"),
        (11, ""),
        (12, "<systemVendor>SIEMENS</systemVendor>"),
    ],
)
def test_simulated_volumes_are_counted_by_their_headers_whatever_lies_beside_them(
    archive: Path, tmp_path: Path, real: int, vendor: str
) -> None:
    (archive / "phantom.json").unlink()
    for path in sorted(archive.rglob("*.h5"))[:real]:
        with h5py.File(path, "a") as file:
            header = file["ismrmrd_header"][()].decode()
            del file["ismrmrd_header"]
            file["ismrmrd_header"] = header.replace("<systemVendor>Phantom</systemVendor>", vendor)
    assert prepare(archive, options(archive, tmp_path / "data"))["simulated"] == 12 - real
