"""Each fault of an input or an option is one sentence that says what, where and what to do."""

from __future__ import annotations

import gzip
import io
import shutil
import struct
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.sources.avmnist import PrepareAVMNIST, prepare_avmnist
from knee_i2m2.sources.avmnist.sounds import Noise, seconds

SMALL = {"train": 20, "val": 2, "test": 10}


class Inputs(NamedTuple):
    mnist: Path
    fsdd: Path
    noise: Path


def idx(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def wav(samples: np.ndarray, rate: int = 8000, width: int = 2, channels: int = 1) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as opened:
        opened.setparams((channels, width, rate, 0, "NONE", ""))
        opened.writeframes(samples.astype({1: "u1", 2: "<i2"}[width]).tobytes())
    return content.getvalue()


def hiss(samples: int, **kind: int) -> bytes:
    return wav(np.random.default_rng(samples).normal(scale=50, size=samples), **kind)


def write_inputs(folder: Path) -> Inputs:
    made = Inputs(folder / "mnist", folder / "fsdd", folder / "noise")
    for place in made:
        place.mkdir()
    for part, count in (("train", 36), ("t10k", 10)):
        pictures = np.random.default_rng(count).integers(256, size=(count, 28, 28), dtype=np.uint8)
        (made.mnist / f"{part}-images-idx3-ubyte").write_bytes(idx(pictures))
        (made.mnist / f"{part}-labels-idx1-ubyte").write_bytes(idx((np.arange(count) % 10).astype(np.uint8)))
    for digit, index in np.ndindex(10, 3):
        (made.fsdd / f"{digit}_anna_{5 * index}.wav").write_bytes(hiss(1000 + 10 * digit + index))
    (made.noise / "rain.wav").write_bytes(hiss(40_000))
    return made


@pytest.fixture(scope="module")
def sound_inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def inputs(sound_inputs: Inputs, tmp_path: Path) -> Inputs:
    return Inputs(*(Path(shutil.copytree(place, tmp_path / place.name)) for place in sound_inputs))


def overwrite(path: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / path).write_bytes(content)


def shorten(path: str, size: int) -> Callable[[Path], object]:
    return lambda folder: (folder / path).write_bytes((folder / path).read_bytes()[:size])


def delete(path: str) -> Callable[[Path], object]:
    return lambda folder: shutil.rmtree(folder / path) if (folder / path).is_dir() else (folder / path).unlink()


def twice(folder: Path) -> None:
    (folder / "fsdd/copy").mkdir()
    shutil.copy(folder / "fsdd/3_anna_0.wav", folder / "fsdd/copy")


PICTURES, LABELS = "mnist/train-images-idx3-ubyte", "mnist/train-labels-idx1-ubyte"
SMALLER = np.zeros((36, 8, 8), dtype=np.uint8)
TEN = np.full(36, 10, dtype=np.uint8)
FAULTS = {
    "no mnist": (delete("mnist"), "mnist: is no folder; point --mnist"),
    "no labels": (
        delete(LABELS),
        "mnist: has neither train-labels-idx1-ubyte nor train-labels-idx1-ubyte.gz; download",
    ),
    "wrong magic": (
        overwrite(PICTURES, b"P5 28 28 255"),
        "is no IDX file of 3 axes of bytes (it begins with 50 35 20 32",
    ),
    "empty": (overwrite(PICTURES, b""), "is no IDX file of 3 axes of bytes (it begins with nothing"),
    "labels for pictures": (overwrite(PICTURES, idx(TEN)), "(it begins with 00 00 08 01, not 00 00 08 03); download"),
    "short header": (shorten(PICTURES, 10), "train-images-idx3-ubyte: is truncated within its header; download"),
    "truncated": (shorten(PICTURES, 20_000), "is truncated: 8240 bytes less than announced; download"),
    "too long": (overwrite(LABELS, idx(TEN) + b"more"), "is too long: 4 bytes more than announced; download"),
    "truncated gzip": (overwrite(PICTURES, gzip.compress(bytes(range(256)))[:60]), "is truncated or damaged ("),
    "damaged gzip": (overwrite(PICTURES, b"\x1f\x8b damaged"), "is truncated or damaged ("),
    "small pictures": (overwrite(PICTURES, idx(SMALLER)), "holds pictures of 8 x 8, not 28 x 28; use"),
    "fewer labels": (overwrite(LABELS, idx(TEN[:30])), "holds 30 labels for 36 pictures; use"),
    "letters": (overwrite(LABELS, idx(TEN)), "holds the label 10, digits end at 9; use"),
    "no speech": (delete("fsdd"), "fsdd: is not there; point --fsdd"),
    "no digit": (delete("fsdd/7_anna_5.wav"), "fsdd: has no recording of digit 7 for val (index 5 to 9); point --fsdd"),
    "wrong rate": (
        overwrite("fsdd/1_anna_0.wav", hiss(900, rate=16_000)),
        "1_anna_0.wav: has 16000 samples a second, not",
    ),
    "wrong width": (overwrite("fsdd/1_anna_0.wav", hiss(900, width=1)), "1_anna_0.wav: has 8 bits, not 16; convert it"),
    "stereo": (overwrite("noise/rain.wav", hiss(80_000, channels=2)), "rain.wav: has 2 channels, not 1; convert it"),
    "no wav": (overwrite("fsdd/1_anna_0.wav", b"ID3 an mp3, renamed"), "1_anna_0.wav: is no PCM WAV file ("),
    "empty wav": (
        overwrite("fsdd/1_anna_0.wav", b""),
        "1_anna_0.wav: is no PCM WAV file (it ends too early); convert it",
    ),
    "cut wav": (shorten("fsdd/1_anna_0.wav", 844), "1_anna_0.wav: is truncated: 400 of 1010 samples; download"),
    "silence": (overwrite("fsdd/1_anna_0.wav", wav(np.zeros(900))), "1_anna_0.wav: holds only silence in its first"),
    "twice": (twice, "fsdd: holds 3_anna_0.wav twice; keep one"),
    "no noise": (delete("noise"), "noise: is no folder; point --noise"),
    "empty noise": (delete("noise/rain.wav"), "noise: has no WAV file; point --noise"),
    "short noise": (overwrite("noise/rain.wav", hiss(39_000)), "rain.wav: lasts 4.88 s, and a fifth of it"),
    "silent end": (
        overwrite("noise/rain.wav", wav(np.repeat([9, 0], [32_000, 8_000]))),
        "noise: has only silence in the part of its files that is for test; point --noise",
    ),
}


@pytest.mark.parametrize(("damage", "sentence"), FAULTS.values(), ids=FAULTS.keys())
def test_a_bad_input_is_refused_in_a_sentence_and_nothing_is_written(
    inputs: Inputs, damage: Callable[[Path], object], sentence: str
) -> None:
    folder = inputs.mnist.parent
    damage(folder)
    with pytest.raises(DataError) as caught:
        prepare_avmnist(PrepareAVMNIST(folder / "out", *inputs, **SMALL))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (folder / "out").exists()


def test_a_file_that_is_no_zip_is_refused(inputs: Inputs, tmp_path: Path) -> None:
    (tmp_path / "speech.zip").write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match=r"speech\.zip: is neither a folder nor a readable zip \(.*\); point --fsdd"):
        prepare_avmnist(PrepareAVMNIST(tmp_path / "out", inputs.mnist, tmp_path / "speech.zip", inputs.noise, **SMALL))


def test_a_damaged_entry_of_a_zip_is_named(inputs: Inputs, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "speech.zip", "w") as zipped:
        zipped.writestr("recordings/4_anna_0.wav", hiss(900, rate=44_100))
    with pytest.raises(DataError, match=r"speech\.zip/4_anna_0\.wav: has 44100 samples a second, not 8000"):
        prepare_avmnist(PrepareAVMNIST(tmp_path / "out", inputs.mnist, tmp_path / "speech.zip", inputs.noise, **SMALL))


OPTIONS = {
    "--components 0 is out of range; give 1 to 33": {"components": 0},
    "--components 785 is out of range; give 1 to 33": {"components": 785},
    "--snr -1.0 -18.0 is no range in dB; give": {"snr": (-1.0, -18.0)},
    "--snr nan 0.0 is no range in dB; give": {"snr": (float("nan"), 0.0)},
    "--val 0 leaves no pair for val; give": {"val": 0},
    "--test 11 asks for more pairs than the 10 digits that t10k-images-idx3-ubyte has for it; ask": {"test": 11},
    "--seed -1: give a whole number from 0": {"seed": -1},
}


@pytest.mark.parametrize(("sentence", "options"), OPTIONS.items(), ids=OPTIONS.keys())
def test_a_bad_option_is_refused_in_a_sentence(
    sound_inputs: Inputs, tmp_path: Path, sentence: str, options: dict
) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare_avmnist(PrepareAVMNIST(tmp_path / "out", *sound_inputs, **SMALL | options))
    assert str(caught.value).startswith(sentence)
    assert not (tmp_path / "out").exists()


def test_a_folder_prepared_otherwise_is_left_as_it_is(inputs: Inputs, tmp_path: Path) -> None:
    prepare_avmnist(PrepareAVMNIST(tmp_path / "out", *inputs, **SMALL))
    with pytest.raises(ConfigError, match="out: was prepared with components 4, not 3; choose another --out"):
        prepare_avmnist(PrepareAVMNIST(tmp_path / "out", *inputs, **SMALL | {"components": 3}))
    (inputs.noise / "rain.wav").write_bytes(hiss(50_000))
    with pytest.raises(ConfigError, match=r"out: was prepared with another rain\.wav; choose another --out"):
        prepare_avmnist(PrepareAVMNIST(tmp_path / "out", *inputs, **SMALL))


@pytest.mark.parametrize(
    ("content", "error", "sentence"),
    [
        ('{"task": "knee"}', ConfigError, "out: holds the data of task knee; choose another --out"),
        ('{"task": ', DataError, r"data\.json: cannot be read \(.*\); remove the folder"),
    ],
)
def test_another_task_s_folder_and_a_broken_one_are_left_as_they_are(
    sound_inputs: Inputs, tmp_path: Path, content: str, error: type[Exception], sentence: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/data.json").write_text(content)
    with pytest.raises(error, match=sentence):
        prepare_avmnist(PrepareAVMNIST(tmp_path / "out", *sound_inputs, **SMALL))


def test_an_out_that_cannot_be_written_is_told(sound_inputs: Inputs, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file: is a file; give --out a folder"):
        prepare_avmnist(PrepareAVMNIST(tmp_path / "file", *sound_inputs, **SMALL))
    with pytest.raises(DataError, match=r"out: cannot be written \(Not a directory\); choose another place"):
        prepare_avmnist(PrepareAVMNIST(tmp_path / "file/out", *sound_inputs, **SMALL))


def test_a_second_of_silence_is_never_drawn() -> None:
    noise = Noise("gap.wav", np.repeat([5, 0, 5], [10_000, 30_000, 60_000]).astype(np.int16))
    heard = [
        noise.samples[start : start + 8000].any()
        for split in ("train", "val", "test")
        for start in seconds(noise, split)
    ]
    assert len(heard) > 100 and all(heard)
