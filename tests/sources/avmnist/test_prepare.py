"""AV-MNIST is made of what it says, the same every time, and nothing of it stands in two splits."""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import wave
import zipfile
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from knee_i2m2.sources.avmnist import PrepareAVMNIST, prepare_avmnist
from knee_i2m2.sources.avmnist.digits import mnist_files, read_digits
from knee_i2m2.sources.avmnist.modalities import audio, fit_components, images
from knee_i2m2.sources.avmnist.sounds import read_noises, read_recordings

SHARED = Path(os.environ.get("KNEE_I2M2_DATA", Path(__file__).parents[3] / "../shared/data")).resolve()
SMALL = {"train": 200, "val": 20, "test": 60}
WRITTEN = ("index.parquet", "image.npy", "audio.npy", "clusters.json", "data.json", "left_out.csv")
real = pytest.mark.skipif(not (SHARED / "mnist").is_dir(), reason=f"there is no shared data at {SHARED}")


class Inputs(NamedTuple):
    mnist: Path
    fsdd: Path
    noise: Path


REAL = Inputs(SHARED / "mnist", SHARED / "fsdd/recordings.zip", SHARED / "noise")


def write_idx(path: Path, array: np.ndarray) -> None:
    content = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def sound(random: np.random.Generator, samples: int) -> bytes:
    content = io.BytesIO()
    with wave.open(content, "wb") as opened:
        opened.setparams((1, 2, 8000, 0, "NONE", ""))
        opened.writeframes(random.normal(scale=1000, size=samples).astype("<i2").tobytes())
    return content.getvalue()


def write_inputs(folder: Path) -> Inputs:
    """Writes 240 + 60 digits, 130 recordings (ten longer than a second) and 3 noises, all of them random."""
    random = np.random.default_rng(0)
    made = Inputs(folder / "mnist", folder / "fsdd", folder / "noise")
    for place in made:
        place.mkdir()
    for part, count, ending in (("train", 240, ".gz"), ("t10k", 60, "")):
        pictures = random.integers(256, size=(count, 28, 28), dtype=np.uint8)
        write_idx(made.mnist / f"{part}-images-idx3-ubyte{ending}", pictures)
        write_idx(made.mnist / f"{part}-labels-idx1-ubyte{ending}", (np.arange(count) % 10).astype(np.uint8))
    for digit, index in np.ndindex(10, 13):
        samples = 9000 if index == 12 else random.integers(1500, 4000)
        (made.fsdd / f"{digit}_anna_{index}.wav").write_bytes(sound(random, samples))
    for name, samples in (("rain", 48_000), ("sea", 50_001), ("wind", 40_000)):
        (made.noise / f"{name}.wav").write_bytes(sound(random, samples))
    return made


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def made(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "data"
    prepare_avmnist(PrepareAVMNIST(out, *inputs, **SMALL))
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in WRITTEN}


def assert_disjoint(index: pd.DataFrame, inputs: Inputs) -> None:
    splits = {split: rows for split, rows in index.groupby("split")}
    for one, other in combinations(splits.values(), 2):
        assert not set(zip(one["digit_file"], one["digit_row"])) & set(zip(other["digit_file"], other["digit_row"]))  # noqa: B905
        assert not set(one["recording"]) & set(other["recording"])
        for name in set(one["noise_file"]) & set(other["noise_file"]):
            heard = [rows.loc[rows["noise_file"] == name, "noise_start"].to_numpy() for rows in (one, other)]
            assert np.abs(heard[0][:, None] - heard[1][None, :]).min() >= 8000
    assert not index.duplicated(["digit_file", "digit_row"]).any()
    for noise in read_noises(inputs.noise):
        starts = index.loc[index["noise_file"] == noise.name, "noise_start"]
        assert starts.between(0, len(noise.samples) - 8000).all()


def assert_of_one_class(index: pd.DataFrame, inputs: Inputs) -> None:
    spoken = index["recording"].str.extract(r"^(\d)_[a-z]+_(\d+)\.wav$").astype(int)
    assert (spoken[0] == index["label"]).all()
    part = pd.cut(spoken[1], [-1, 4, 9, np.inf], labels=["test", "val", "train"])
    assert (part.astype(str) == index["split"]).all()
    for split, digits in read_digits(mnist_files(inputs.mnist)).items():
        rows = index[index["split"] == split]
        labels = dict(zip(digits.rows, digits.labels, strict=True))
        assert [labels[row] for row in rows["digit_row"]] == list(rows["label"])


def test_no_digit_recording_or_second_of_noise_stands_in_two_splits(inputs: Inputs, made: Path) -> None:
    index = pd.read_parquet(made / "index.parquet")
    assert_disjoint(index, inputs)
    assert_of_one_class(index, inputs)


@real
def test_no_real_digit_recording_or_second_of_noise_stands_in_two_splits(tmp_path: Path) -> None:
    data = prepare_avmnist(PrepareAVMNIST(tmp_path, *REAL, train=900, val=300, test=300))
    index = pd.read_parquet(tmp_path / "index.parquet")
    assert_disjoint(index, REAL)
    assert_of_one_class(index, REAL)
    assert data["modalities"]["image"]["energy"] == pytest.approx(0.284, abs=1e-3)
    assert data["counts"]["test"]["clusters"] >= 240


@real
@pytest.mark.parametrize(("components", "percent"), [(3, 23.0), (4, 28.4), (5, 33.2)])
def test_the_components_hold_the_energy_that_was_measured(components: int, percent: float) -> None:
    digits = read_digits(mnist_files(REAL.mnist))
    pictures = np.concatenate([digits["train"].images, digits["val"].images])
    assert len(pictures) == 60_000
    assert round(100 * fit_components(pictures, components).explained_variance_ratio_.sum(), 1) == percent


def test_the_components_are_those_of_a_singular_value_decomposition(inputs: Inputs) -> None:
    digits = read_digits(mnist_files(inputs.mnist))
    flat = digits["train"].images.reshape(-1, 784) / 255
    mean = flat.mean(axis=0)
    _, _, axes = np.linalg.svd(flat - mean, full_matrices=False)
    pairs = pd.DataFrame({"split": "val", "digit_row": digits["val"].rows})
    shown = digits["val"].images.reshape(-1, 784) / 255
    oracle = mean + (shown - mean) @ axes[:4].T @ axes[:4]
    found = np.concatenate(list(images(pairs, digits, fit_components(digits["train"].images, 4))))
    np.testing.assert_allclose(found.reshape(-1, 784), oracle, atol=1e-3)


def test_validation_takes_the_last_twelfth_of_the_training_file(inputs: Inputs) -> None:
    digits = read_digits(mnist_files(inputs.mnist))
    assert {split: (part.rows[0], part.rows[-1]) for split, part in digits.items()} == {
        "train": (0, 219),
        "val": (220, 239),
        "test": (0, 59),
    }


def test_the_files_are_what_data_json_says(made: Path) -> None:
    index, data = pd.read_parquet(made / "index.parquet"), json.loads((made / "data.json").read_text())
    assert sorted(path.name for path in made.iterdir()) == sorted(WRITTEN)
    assert {split: counts["samples"] for split, counts in data["counts"].items()} == {
        "train": 200,
        "val": 20,
        "test": 60,
    }
    assert list(index.columns[:5]) == ["sample", "series", "cluster", "split", "label"]
    assert index["sample"].is_unique and index["sample"][12] == "train:00012"
    for name, about in data["modalities"].items():
        array = np.load(made / f"{name}.npy", mmap_mode="r")
        assert array.shape == (len(index), *about["shape"]) and array.dtype == about["dtype"]
    assert data["settings"] == {"components": 4, "snr": [-18.0, -1.0], "train": 200, "val": 20, "test": 60, "seed": 0}


def test_a_row_of_the_table_makes_its_spectrogram_again(inputs: Inputs, made: Path) -> None:
    rows = pd.read_parquet(made / "index.parquet").iloc[[250]]
    again = next(audio(rows, read_recordings(inputs.fsdd), read_noises(inputs.noise)))
    np.testing.assert_array_equal(again[0], np.load(made / "audio.npy", mmap_mode="r")[250])


def test_every_recording_takes_its_turn(made: Path) -> None:
    index = pd.read_parquet(made / "index.parquet")
    uses = index.groupby(["split", "label", "recording"]).size().groupby(["split", "label"])
    assert ((uses.max() - uses.min()) <= 1).all()


def test_ratios_and_places_fill_their_ranges(made: Path) -> None:
    index = pd.read_parquet(made / "index.parquet")
    assert index["snr_db"].between(-18, -1).all() and np.ptp(index["snr_db"]) > 15
    assert index["speech_start"].between(0, 6500).all()
    assert (index.loc[index["recording"].str.endswith("_12.wav"), "speech_start"] == 0).all()


def test_one_seed_makes_the_same_bytes_and_another_seed_others(inputs: Inputs, made: Path, tmp_path: Path) -> None:
    prepare_avmnist(PrepareAVMNIST(tmp_path / "same", *inputs, **SMALL))
    prepare_avmnist(PrepareAVMNIST(tmp_path / "other", *inputs, **SMALL | {"seed": 1}))
    assert contents(tmp_path / "same") == contents(made)
    assert all(contents(tmp_path / "other")[name] != contents(made)[name] for name in WRITTEN[:4])


def test_the_number_of_threads_changes_no_bit(inputs: Inputs) -> None:
    pictures, found = read_digits(mnist_files(inputs.mnist))["train"].images, []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            found.append(fit_components(pictures, 4).components_)
    np.testing.assert_array_equal(*found)


def test_the_size_of_one_split_does_not_change_another(inputs: Inputs, made: Path, tmp_path: Path) -> None:
    prepare_avmnist(PrepareAVMNIST(tmp_path, *inputs, **SMALL | {"train": 50}))
    tails = [pd.read_parquet(folder / "index.parquet")[-80:].reset_index(drop=True) for folder in (tmp_path, made)]
    pd.testing.assert_frame_equal(*tails)


def test_a_zip_gives_the_pairs_of_the_folder(inputs: Inputs, made: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "speech.zip", "w") as zipped:
        zipped.writestr("README.md", "not a recording")
        for path in inputs.fsdd.iterdir():
            zipped.write(path, f"recordings/{path.name}")
    prepare_avmnist(PrepareAVMNIST(tmp_path / "out", inputs.mnist, tmp_path / "speech.zip", inputs.noise, **SMALL))
    same = [contents(tmp_path / "out")[name] == contents(made)[name] for name in WRITTEN]
    assert same == [True, True, True, True, False, False]  # data.json names the zip, left_out.csv its README


def test_what_is_finished_is_not_made_again(inputs: Inputs, made: Path) -> None:
    before, told = {path: path.stat().st_mtime_ns for path in made.iterdir()}, []
    data = prepare_avmnist(PrepareAVMNIST(made, *inputs, **SMALL), progress=lambda *news: told.append(news))
    assert data == json.loads((made / "data.json").read_text())
    assert (before, told) == ({path: path.stat().st_mtime_ns for path in made.iterdir()}, [])


def test_an_interrupted_run_does_not_look_finished_and_the_next_ends_it(
    inputs: Inputs, made: Path, tmp_path: Path
) -> None:
    def interrupt(modality: str, done: int, total: int) -> None:
        if modality == "pairs, audio":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_avmnist(PrepareAVMNIST(tmp_path, *inputs, **SMALL), progress=interrupt)
    assert list(tmp_path.iterdir()) == []
    prepare_avmnist(PrepareAVMNIST(tmp_path, *inputs, **SMALL))
    assert contents(tmp_path) == contents(made)


def test_progress_ends_at_all_pairs(inputs: Inputs, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    prepare_avmnist(PrepareAVMNIST(tmp_path, *inputs, **SMALL), progress=lambda *news: told.append(news))
    assert [news for news in told if news[1] == news[2]] == [("pairs, image", 280, 280), ("pairs, audio", 280, 280)]
