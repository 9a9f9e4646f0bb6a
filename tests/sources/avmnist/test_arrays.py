"""AV-MNIST's arrays, in the layouts that people have, give what our own build of the same pairs gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from knee_i2m2.cli import main
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.sources.avmnist import PrepareAVMNIST, prepare_avmnist

SIZES = {"train": 220, "val": 20, "test": 30}
COLUMNS = ["sample", "series", "cluster", "split", "label"]
Arrays = dict[str, dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def own(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our build of 270 pairs of real digits, speech and noise."""
    out = tmp_path_factory.mktemp("own") / "data"
    inputs = (shared_data / "mnist", shared_data / "fsdd/recordings.zip", shared_data / "noise")
    prepare_avmnist(PrepareAVMNIST(out, *inputs, **SIZES))
    return out


def pairs_of(own: Path) -> Arrays:
    """Returns the pairs as the circulating copy has them: values of 0 to 255, val at the end of train."""
    index = pd.read_parquet(own / "index.parquet")
    images, sounds = np.load(own / "image.npy").astype(np.float32) * 255, np.load(own / "audio.npy")
    rows = {"train": index["split"] != "test", "test": index["split"] == "test"}
    return {
        part: {
            "image": images[mine].reshape(-1, 784),
            "audio": sounds[mine][:, 0],
            "label": index.loc[mine, "label"].to_numpy(),
            "cluster": index.loc[mine, "cluster"].to_numpy(str),
        }
        for part, mine in rows.items()
    }


def official(folder: Path, arrays: Arrays) -> Path:
    names = {"image": "image/{}_data.npy", "audio": "audio/{}_data.npy", "label": "{}_labels.npy"}
    for part, values in arrays.items():
        for noun, array in values.items():
            path = folder / names.get(noun, "{}_clusters.npy").format(part)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, array)
    return folder


def changed(arrays: Arrays, **change: Callable[[np.ndarray], np.ndarray]) -> Arrays:
    same = lambda array: array  # noqa: E731
    return {part: {n: change.get(n, same)(a) for n, a in values.items()} for part, values in arrays.items()}


def npz_of_parts(folder: Path, arrays: Arrays) -> Path:
    folder.mkdir()
    for part, values in arrays.items():
        np.savez(folder / f"{part}.npz", **values)
    return folder


def together(arrays: Arrays) -> dict[str, np.ndarray]:
    return {noun: np.concatenate([values[noun] for values in arrays.values()]) for noun in arrays["train"]}


def one_npz(folder: Path, arrays: Arrays) -> Path:
    split = np.repeat(["train", "valid", "test"], list(SIZES.values()))
    np.savez_compressed(folder.with_suffix(".npz"), **together(arrays), split=split)
    return folder.with_suffix(".npz")


def with_val(folder: Path, arrays: Arrays) -> Path:
    border = SIZES["train"]
    train, val = ({n: a[rows] for n, a in arrays["train"].items()} for rows in (slice(border), slice(border, None)))
    return official(folder, {"train": train, "val": val, "test": arrays["test"]})


def below(folder: Path, arrays: Arrays) -> Path:
    official(folder / "avmnist" / "AVMNIST", arrays)
    (folder / "avmnist/AVMNIST/image").rename(folder / "avmnist/AVMNIST/Image")
    return folder


LAYOUTS: dict[str, Callable[[Path, Arrays], Path]] = {
    "official": official,
    "pictures of 28 x 28": lambda f, a: official(f, changed(a, image=lambda v: v.reshape(-1, 28, 28))),
    "double precision": lambda f, a: official(f, changed(a, image=np.float64, audio=np.float64)),
    "a channel": lambda f, a: official(f, changed(a, audio=lambda v: v[:, None].astype(np.int16))),
    "labels in a column": lambda f, a: official(f, changed(a, label=lambda v: v[:, None].astype(np.float32))),
    "val beside train": with_val,
    "in folders below": below,
    "npz of each part": npz_of_parts,
    "npz with plurals": lambda f, a: npz_of_parts(f, {p: {f"{n}s": v for n, v in x.items()} for p, x in a.items()}),
    "one npz": one_npz,
}


@pytest.mark.parametrize("write", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_a_layout_gives_the_index_and_arrays_of_our_own_build(
    own: Path, tmp_path: Path, write: Callable[[Path, Arrays], Path]
) -> None:
    data = prepare_avmnist(PrepareAVMNIST(tmp_path / "out", arrays=write(tmp_path / "in", pairs_of(own))))
    index, wanted = (pd.read_parquet(folder / "index.parquet") for folder in (tmp_path / "out", own))
    pd.testing.assert_frame_equal(index, wanted[COLUMNS])
    for name in ("image", "audio"):
        assert (tmp_path / f"out/{name}.npy").read_bytes() == (own / f"{name}.npy").read_bytes()
    before = json.loads((own / "data.json").read_text())
    assert data["counts"] == before["counts"] and data["passed_over"] == {}
    for name, about in data["modalities"].items():
        assert about == {key: value for key, value in before["modalities"][name].items() if key != "energy"}


def test_the_verb_says_what_it_assumed(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = {part: {n: a for n, a in values.items() if n != "cluster"} for part, values in pairs_of(own).items()}
    official(tmp_path / "in", arrays)
    (tmp_path / "in/readme.txt").write_text("text")
    assert main(["prepare", "avmnist", "--arrays", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "division: val is the last 20 of the 240 pairs of train" in said
    assert "image values: from" in said and "taken as 0 to 255" in said
    assert "clusters: not named by the arrays" in said and "passed over: 1 no array of pairs" in said
    assert pd.read_parquet(tmp_path / "out/index.parquet")["cluster"].nunique() == 270


@pytest.mark.parametrize("spelling", [" {}", "{} ", "{}\t", "'{}'", "{}\n", "{}"])
def test_a_cluster_spelt_in_several_ways_is_one_and_is_named(own: Path, tmp_path: Path, capsys, spelling: str) -> None:
    arrays = {part: dict(values) for part, values in pairs_of(own).items()}
    named = ["anna", spelling.format("ANNA"), spelling.format("anna"), "N/A"]
    arrays["train"]["cluster"] = np.array([*named, *arrays["train"]["cluster"][4:]])
    source = official(tmp_path / "in", arrays)
    assert main(["prepare", "avmnist", "--arrays", str(source), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert f"cluster anna: spelt {', '.join(map(repr, sorted({*named[:3]})))}, joined" in said
    assert "1 pairs of no known cluster: pairs of the same sound are one" in said
    assert len(json.loads((tmp_path / "out" / "data.json").read_text())["notes"]) == 2
    assert pd.read_parquet(tmp_path / "out/index.parquet")["cluster"].eq("anna").sum() == 3


def test_values_of_zero_to_one_are_taken_as_they_are(own: Path, tmp_path: Path) -> None:
    unit = changed(pairs_of(own), image=lambda v: v / 255, audio=lambda v: v / np.float64(255))
    data = prepare_avmnist(PrepareAVMNIST(tmp_path / "out", arrays=official(tmp_path / "in", unit)))
    np.testing.assert_array_equal(np.load(tmp_path / "out/image.npy"), np.load(own / "image.npy"))
    np.testing.assert_allclose(np.load(tmp_path / "out/audio.npy"), np.load(own / "audio.npy") / 255, atol=5e-4)
    assert data["modalities"]["audio"]["scale"] == 1.0 and "taken as 0 to 1" in data["audio values"]


def test_a_file_without_a_split_is_divided_and_says_so(own: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "pairs.npz", **{n: a for n, a in together(pairs_of(own)).items() if n != "cluster"})
    data = prepare_avmnist(PrepareAVMNIST(tmp_path / "out", arrays=tmp_path / "pairs.npz", seed=3))
    assert {split: counts["samples"] for split, counts in data["counts"].items()} == {
        "train": 189,
        "val": 41,
        "test": 40,
    }
    assert data["division"] == "none in pairs.npz: 70, 15 and 15 % of the clusters at random, seed 3"


def test_pairs_of_one_sound_are_one_cluster(own: Path, tmp_path: Path) -> None:
    arrays = {part: {n: a.copy() for n, a in v.items() if n != "cluster"} for part, v in pairs_of(own).items()}
    arrays["test"]["audio"][4] = arrays["train"]["audio"][7]
    prepare_avmnist(PrepareAVMNIST(tmp_path / "out", arrays=official(tmp_path / "in", arrays)))
    cluster = pd.read_parquet(tmp_path / "out/index.parquet").set_index("sample")["cluster"]
    assert cluster["test:00004"] == cluster["train:00007"] and cluster.nunique() == 269


def spoilt(noun: str, row: int, value: Any) -> Callable[[Path, Arrays], Path]:
    def write(folder: Path, arrays: Arrays) -> Path:
        array = arrays["test"][noun].astype(np.float32)
        array[row] = value
        return official(folder, {**arrays, "test": {**arrays["test"], noun: array}})

    return write


def without(name: str) -> Callable[[Path, Arrays], Path]:
    def write(folder: Path, arrays: Arrays) -> Path:
        (official(folder, arrays) / name).unlink()
        return folder

    return write


def of_test(**change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path, Arrays], Path]:
    return lambda folder, arrays: official(folder, {**arrays, **changed({"test": arrays["test"]}, **change)})


def npz_without(noun: str) -> Callable[[Path, Arrays], Path]:
    return lambda f, a: npz_of_parts(f, {p: {n: v for n, v in x.items() if n != noun} for p, x in a.items()})


def objects(folder: Path, arrays: Arrays) -> Path:
    np.save(official(folder, arrays) / "test_labels.npy", np.array([None] * 30), allow_pickle=True)
    return folder


def cut(folder: Path, arrays: Arrays) -> Path:
    path = official(folder, arrays) / "audio/test_data.npy"
    path.write_bytes(path.read_bytes()[:5000])
    return folder


def no_split(folder: Path, arrays: Arrays) -> Path:
    np.savez(folder.with_suffix(".npz"), **together(arrays), split=np.repeat(["train", "holdout"], [240, 30]))
    return folder.with_suffix(".npz")


BAD = {
    "nothing": (lambda folder, _: folder, "in: is not there; point --arrays at"),
    "empty": (lambda folder, _: folder.mkdir() or folder, "has neither image/train_data.npy nor train.npz; point"),
    "no labels": (without("test_labels.npy"), "has no test_labels.npy; bring image, audio and labels of one"),
    "no audio": (without("audio/train_data.npy"), "has no audio/train_data.npy; bring"),
    "no test": (lambda f, a: official(f, {"train": a["train"]}), "has no pairs of test; add"),
    "npz without audio": (npz_without("audio"), "train.npz: has no array audio but image, label, cluster; give it"),
    "npz without label": (npz_without("label"), "train.npz: has no array label but"),
    "another split": (no_split, "has a split that is not train, val or test for each pair; mend"),
    "cut": (cut, "test_data.npy: is no readable array ("),
    "objects": (objects, "test_labels.npy: is no readable array ("),
    "fewer labels": (
        of_test(label=lambda v: v[:-1]),
        "or none: image 30, audio 30, label 29",
    ),
    "no pairs": (of_test(**dict.fromkeys(["image", "audio", "label", "cluster"], lambda v: v[:0])), "or none: image 0"),
    "one hot": (of_test(label=lambda v: np.eye(10)[v]), "has labels of shape (30, 10), not one a pair"),
    "label 10": (spoilt("label", 3, 10), "has the label 10.0, which is no digit from 0 to 9"),
    "label nan": (spoilt("label", 3, np.nan), "has the label nan, which is no digit"),
    "not a number": (spoilt("audio", 5, np.nan), "has audio that are not finite, first in pair 5"),
    "infinite": (spoilt("image", 6, np.inf), "has image that are not finite, first in pair 6"),
    "spectrogram of 64": (
        of_test(audio=lambda v: v[:, :64, :64]),
        "has audio of shape (30, 64, 64), not pairs of",
    ),
    "colours": (
        of_test(image=lambda v: np.repeat(v[:, None], 3, 1)),
        "has image of shape (30, 3, 784), not pairs",
    ),
    "text": (of_test(image=lambda v: v.astype(str)), "has image of type <U32, which are no numbers"),
    "decibels": (of_test(audio=lambda v: v / 4 - 80.0), "has audio of values from -80 to"),
    "16 bits": (of_test(image=lambda v: v * 257), "which are neither 0 to 1 nor 0 to 255"),
    "test in another unit": (
        of_test(image=lambda v: v / 255),
        "which are neither 0 to 1 nor 0 to 255, or not",
    ),
}


@pytest.mark.parametrize(("write", "sentence"), BAD.values(), ids=BAD.keys())
def test_arrays_that_cannot_be_used_are_a_sentence_and_nothing_is_written(
    own: Path, tmp_path: Path, write: Callable[[Path, Arrays], Path], sentence: str
) -> None:
    with pytest.raises(DataError) as caught:
        prepare_avmnist(PrepareAVMNIST(tmp_path / "out", arrays=write(tmp_path / "in", pairs_of(own))))
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"arrays": Path("x"), "mnist": Path("y")}, "--mnist does not go with --arrays"),
        ({"arrays": Path("x"), "snr": (0.0, 1.0)}, "--snr does not go with --arrays"),
        ({"arrays": Path("x"), "train": 5}, "--train does not go with --arrays"),
        ({"arrays": Path("x"), "components": 3}, "--components does not go with --arrays"),
        ({}, "--mnist: give --mnist, --fsdd and --noise, or --arrays"),
        ({"mnist": Path("x"), "fsdd": Path("x")}, "--noise: give --mnist, --fsdd and --noise, or --arrays"),
    ],
)
def test_options_of_pairs_that_are_made_go_with_no_arrays(tmp_path: Path, options: dict, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        prepare_avmnist(PrepareAVMNIST(tmp_path / "out", **options))


def test_what_is_finished_is_not_made_again_and_other_arrays_are_noticed(own: Path, tmp_path: Path) -> None:
    folder = official(tmp_path / "in", pairs_of(own))
    data = prepare_avmnist(PrepareAVMNIST(tmp_path / "out", arrays=folder))
    told: list[object] = []
    assert prepare_avmnist(PrepareAVMNIST(tmp_path / "out", arrays=folder), lambda *news: told.append(news)) == data
    assert told == []
    np.save(folder / "test_labels.npy", np.zeros(30, np.int64))
    with pytest.raises(ConfigError, match=r"was prepared with another test_labels\.npy"):
        prepare_avmnist(PrepareAVMNIST(tmp_path / "out", arrays=folder))
