"""Every file of AV-MNIST's inputs is used or listed, however it is spelt."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knee_i2m2.cli import main
from knee_i2m2.data.left_out import files_in
from knee_i2m2.errors import DataError
from knee_i2m2.sources.avmnist import PrepareAVMNIST, prepare_avmnist
from knee_i2m2.sources.avmnist.sounds import is_recording
from tests.sources.avmnist.test_inputs import SMALL, hiss, write_inputs
from tests.sources.changes import Change, add, rename


def zipped(*more: str) -> Change:
    """Returns what puts the recordings into a zip, with some more entries."""

    def change(folder: Path) -> None:
        with zipfile.ZipFile(folder / "speech.zip", "w") as opened:
            for path in sorted((folder / "fsdd").iterdir()):
                opened.write(path, f"recordings/{path.name}")
            for name in more:
                opened.writestr(name, b"text")
        shutil.rmtree(folder / "fsdd")
        (folder / "speech.zip").rename(folder / "fsdd")

    return change


def prepared(tmp_path: Path, change: Change, **options: float) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    inputs = write_inputs(folder)
    change(folder)
    prepare_avmnist(PrepareAVMNIST(tmp_path / "out", *inputs, **SMALL, **options))
    return tmp_path / "out"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("plain"), lambda folder: None)


SPELT = {
    "dotted": rename("mnist/train-images-idx3-ubyte", "mnist/train-images.idx3-ubyte"),
    "dotted labels": rename("mnist/t10k-labels-idx1-ubyte", "mnist/t10k-labels.idx1-ubyte"),
    "upper case": rename("mnist/train-labels-idx1-ubyte", "mnist/TRAIN-LABELS-IDX1-UBYTE"),
    "below": rename("mnist/t10k-images-idx3-ubyte", "mnist/MNIST/raw/t10k-images-idx3-ubyte"),
    "folder of its name": rename("mnist/t10k-images-idx3-ubyte", "mnist/t10k-images-idx3/t10k-images-idx3-ubyte"),
    "WAV": rename("fsdd/3_anna_0.wav", "fsdd/3_anna_0.WAV"),
    "Wav below": rename("fsdd/3_anna_5.wav", "fsdd/recordings/3_anna_5.Wav"),
    "speaker with a number": rename("fsdd/3_anna_5.wav", "fsdd/3_anna2_5.wav"),
    "speaker of two words": rename("fsdd/3_anna_5.wav", "fsdd/3_anna_maria_5.wav"),
    "speaker with an umlaut": rename("fsdd/3_anna_5.wav", "fsdd/3_änna-b._5.wav"),
    "index with zeros": rename("fsdd/3_anna_5.wav", "fsdd/3_anna_005.wav"),
    "noise in upper case": rename("noise/rain.wav", "noise/RAIN.WAV"),
    "noise below": rename("noise/rain.wav", "noise/audio/rain.wav"),
    "zip": zipped(),
}


@pytest.mark.parametrize("change", SPELT.values(), ids=SPELT.keys())
def test_another_spelling_is_the_same_file(plain: Path, tmp_path: Path, change: Change) -> None:
    out = prepared(tmp_path, change)
    for name in ("image", "audio"):
        np.testing.assert_array_equal(np.load(out / f"{name}.npy"), np.load(plain / f"{name}.npy"))
    assert pd.read_csv(out / "left_out.csv").empty and json.loads((out / "data.json").read_text())["passed_over"] == {}


LISTED = {
    "text": (add("fsdd/README.md"), "fsdd/README.md", "no sound"),
    "below": (add("fsdd/spectrograms/0_anna_0.png"), "fsdd/spectrograms/0_anna_0.png", "no sound"),
    "no index": (add("fsdd/3_anna.wav"), "fsdd/3_anna.wav", "no recording"),
    "two digits": (add("fsdd/13_anna_4.wav"), "fsdd/13_anna_4.wav", "no recording"),
    "blank": (add("fsdd/3_anna_4 .wav"), "fsdd/3_anna_4 .wav", "no recording"),
    "other sound": (add("fsdd/3_anna_4.flac"), "fsdd/3_anna_4.flac", "no recording"),
    "unfinished": (add("fsdd/3_anna_4.wav.part"), "fsdd/3_anna_4.wav.part", "unfinished"),
    "resource fork": (add("fsdd/._3_anna_0.wav"), "fsdd/._3_anna_0.wav", "hidden"),
    "hidden folder": (add("noise/.git/config"), "noise/.git", "hidden"),
    "mp3": (add("noise/rain.mp3"), "noise/rain.mp3", "no sound"),
    "hidden noise": (add("noise/._rain.wav"), "noise/._rain.wav", "hidden"),
    "other digits": (
        add("mnist/emnist-train-images-idx3-ubyte"),
        "mnist/emnist-train-images-idx3-ubyte",
        "no IDX file",
    ),
    "a copy": (
        lambda folder: shutil.copy(folder / "mnist/t10k-labels-idx1-ubyte", folder / "mnist/t10k-labels.idx1-ubyte"),
        "mnist/t10k-labels.idx1-ubyte",
        "copy",
    ),
    "in a zip": (zipped("recordings/3_anna.wav"), "fsdd/recordings/3_anna.wav", "no recording"),
    "a zip of macOS": (
        zipped("__MACOSX/recordings/._3_anna_0.wav"),
        "fsdd/__MACOSX/recordings/._3_anna_0.wav",
        "hidden",
    ),
}


@pytest.mark.parametrize(("change", "name", "why"), LISTED.values(), ids=LISTED.keys())
def test_a_file_that_is_not_used_is_listed_with_its_reason(
    plain: Path, tmp_path: Path, change: Change, name: str, why: str
) -> None:
    out = prepared(tmp_path, change, quarantine_limit=0.1)
    rows = pd.read_csv(out / "left_out.csv")
    assert rows[["file", "why"]].to_numpy().tolist() == [[name, why]] and rows["reason"].str.len().min() > 10
    assert json.loads((out / "data.json").read_text())["passed_over"] == {why: 1}
    np.testing.assert_array_equal(np.load(out / "audio.npy"), np.load(plain / "audio.npy"))


def test_many_sounds_that_are_named_as_no_recording_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 of 31 sounds are named as no recording, .* than --quarantine-limit 0\.01"):
        prepared(tmp_path, add("fsdd/3_anna.wav"))


def test_files_that_are_named_alike_and_differ_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t10k-labels\.idx1-ubyte: differs from t10k-labels-idx1-ubyte"):
        prepared(tmp_path, add("mnist/t10k-labels.idx1-ubyte"))


@pytest.mark.parametrize("other", ["3_anna_0.WAV", "3_ANNA_0.wav", "3_anna_00.wav", "copy/3_Anna_0.wav"])
def test_two_spellings_of_a_recording_are_an_error(tmp_path: Path, other: str) -> None:
    with pytest.raises(DataError, match=r"holds 3_.*_0+\.(wav|WAV) (twice|and .*, which are one recording); keep one"):
        prepared(tmp_path, add(f"fsdd/{other}", hiss(1030)))


def test_inputs_may_lie_in_one_another_and_a_file_that_one_uses_is_not_listed(tmp_path: Path) -> None:
    inputs = write_inputs(tmp_path)
    (tmp_path / "notes.txt").write_text("text")
    out = tmp_path.with_name(f"{tmp_path.name}-out")
    prepare_avmnist(PrepareAVMNIST(out, tmp_path, inputs.fsdd, inputs.noise, **SMALL))
    assert pd.read_csv(out / "left_out.csv")["file"].tolist() == [f"{tmp_path.name}/notes.txt"]


def test_the_closing_lines_count_what_is_not_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = write_inputs(tmp_path)
    for name in ("a.txt", "b.txt"):
        (inputs.noise / name).write_text("text")
    places = [f"--{name}={place}" for name, place in inputs._asdict().items()]
    sizes = [f"--{split}={count}" for split, count in SMALL.items()]
    assert main(["prepare", "avmnist", *places, *sizes, "--out", str(tmp_path / "out")]) == 0
    assert "passed over: 2 no sound" in capsys.readouterr().out


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12)


@settings(deadline=None, max_examples=60)
@given(digit=st.integers(0, 9), speaker=NAMES, index=st.integers(0, 999), suffix=st.sampled_from([".wav", ".WAV"]))
def test_any_speaker_has_recordings(digit: int, speaker: str, index: int, suffix: str) -> None:
    if "\n" not in speaker:
        assert is_recording(f"folder/{digit}_{speaker}_{index}{suffix}")
    assert not is_recording(f"folder/{speaker}{digit}_{index}{suffix}") or "_" in speaker


@settings(deadline=None, max_examples=40)
@given(names=st.sets(st.text("ab.", min_size=1, max_size=4).filter(lambda name: name.strip(".")), max_size=6))
def test_every_file_below_a_folder_is_seen_once(tmp_path_factory: pytest.TempPathFactory, names: set[str]) -> None:
    folder = tmp_path_factory.mktemp("files")
    for name in names:
        (folder / f"{name}x").mkdir()
        (folder / f"{name}x" / "file").write_text("")
    (folder / "loop").symlink_to(folder)
    seen = [path.relative_to(folder).as_posix() for path in files_in(folder)]
    hidden = {name for name in names if name.startswith(".")}
    assert sorted(seen) == sorted([*(f"{name}x" for name in hidden), *(f"{name}x/file" for name in names - hidden)])
