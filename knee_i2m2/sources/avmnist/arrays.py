"""AV-MNIST as arrays: the folder that circulates, or npz files of image, audio and label.

::

    FOLDER/image/{train,test}_data.npy       (pairs, 784) or (pairs, 28, 28)
    FOLDER/audio/{train,test}_data.npy       (pairs, 112, 112)
    FOLDER/{train,test}_labels.npy           (pairs,)
    FOLDER/{train,test}_clusters.npy         whose sound it is, where that is known
    FOLDER/{train,test}.npz                  or all four in one: image, audio, label, perhaps cluster
    PAIRS.npz                                or one file, perhaps with `split`: train, val or test of each pair

There may be a `val` beside `train` and `test`. Where there is none, it is the last twelfth of train, as in the
reference (5,000 of 60,000). A file without `split` is divided at random.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64, Shaped

from knee_i2m2.data.left_out import PassedOver, files_in, passed_over
from knee_i2m2.data.splits import SPLITS, split_by_patient
from knee_i2m2.errors import DataError
from knee_i2m2.files import reading, sha256
from knee_i2m2.identity import canonical_id, joined_sentences

__all__ = ["ArrayPairs", "read_arrays"]

_SIDES = {"image": (28, 28), "audio": (112, 112)}
_OFFICIAL = {"image": "image/{}_data.npy", "audio": "audio/{}_data.npy", "label": "{}_labels.npy"}
_CLUSTERS = "{}_clusters.npy"
_VAL = 12
_TOGETHER = 1024
_HIGHEST = 2.0
"""Digits without most of their components leave [0, 1] by less than this."""
_UNUSED = ("no array of pairs", "its name is that of no array that is read")
_NPZ = "give it the arrays image, audio and label"


class _Range(NamedTuple):
    """Of the values of a modality: least and greatest, and whether all are whole numbers."""

    low: float
    high: float
    whole: bool


@dataclass(frozen=True)
class _Part:
    """Pairs of one split.

    Attributes:
        where: What an error names.
        values: `image` and `audio`, each of shape (pairs, rows, columns), of any type of numbers.
        labels: Classes, -1 where unknown.
        clusters: Whose sound each is; None where it is not known.
    """

    where: Path
    values: Mapping[str, np.ndarray]
    labels: Int64[np.ndarray, " pairs"]
    clusters: np.ndarray | None

    def rows(self, rows: slice | np.ndarray) -> _Part:
        """Returns some of the pairs."""
        clusters = None if self.clusters is None else self.clusters[rows]
        return replace(
            self, values={n: v[rows] for n, v in self.values.items()}, labels=self.labels[rows], clusters=clusters
        )


@dataclass(frozen=True)
class ArrayPairs:
    """Pairs as they are stored in arrays.

    Attributes:
        index: One row a pair: sample, series, cluster, split, label.
        sources: File -> SHA-256.
        unused: Files that hold none of the pairs.
        notes: What was assumed: in which range the values are, how the pairs are divided, what a cluster is, what was
            joined.
        parts: Split -> its pairs.
        storage: Modality -> its shape, type and the factor that gives [0, 1], and what its values are divided by.
    """

    index: pd.DataFrame
    sources: Mapping[str, str]
    unused: Sequence[PassedOver]
    notes: Mapping[str, str | list[str]]
    parts: Mapping[str, _Part]
    storage: Mapping[str, _Storage]

    def values(self, name: str) -> Iterator[Shaped[np.ndarray, "pairs 1 rows columns"]]:
        """Yields a modality as it is prepared: in [0, 1], or in 256 steps where it is stored so."""
        for part in self.parts.values():
            for block in _blocks(part.values[name]):
                yield (block / self.storage[name].divisor).astype(self.storage[name].described["dtype"])[:, None]


def read_arrays(place: Path, seed: int = 0, labelled: bool = True) -> ArrayPairs:
    """Returns the pairs of a folder or file; `val` is made where there is none.

    Args:
        place: Folder in the layout that circulates or with npz files, or one npz file.
        seed: Of the division of a file that has none.
        labelled: Whether all splits and labels are needed; otherwise whatever is there is read, as it is divided.

    Raises:
        DataError: A file is missing, damaged or of another shape, or values are neither in 0 to 1 nor in 0 to 255.
    """
    files, parts = _read(place, labelled)
    parts, notes = _divided(place, parts, seed) if labelled else ({"test": parts.get(""), **parts}, {})
    parts = {split: parts[split] for split in SPLITS if parts.get(split)}
    storage = {name: _stored(name, list(parts.values())) for name in _SIDES}
    notes |= {f"{name} values": about.note for name, about in storage.items()}
    known = all(part.clusters is not None for part in parts.values())
    if known:
        names = [name for part in parts.values() for name in part.clusters.tolist()]
        notes["notes"] = joined_sentences(names, "cluster")
        if nobody := sum(canonical_id(name) is None for name in names):
            notes["notes"].append(f"{nobody} pairs of no known cluster: pairs of the same sound are one")
    else:
        notes["clusters"] = "not named by the arrays: pairs of the same sound are one cluster, every other is its own"
    index = pd.concat([_index(split, part, known) for split, part in parts.items()], ignore_index=True)
    folder = place if place.is_dir() else place.parent
    unused = [path for path in files_in(place) if path not in files] if place.is_dir() else []
    listed = passed_over([path.relative_to(place).as_posix() for path in unused], lambda _: _UNUSED)
    sources = {path.relative_to(folder).as_posix(): sha256(path) for path in files}
    return ArrayPairs(index, sources, listed, notes, parts, storage)


def _read(place: Path, labelled: bool) -> tuple[list[Path], dict[str, _Part]]:
    """Returns the files, and the pairs by split; those of a file without splits stand under ``""``."""
    if place.is_file():
        part, split = _npz(place, labelled)
        if split is None:
            return [place], {"": part}
        return [place], {name: part.rows(np.flatnonzero(split == name)) for name in SPLITS if (split == name).any()}
    if not place.is_dir():
        raise DataError(place, "is not there", "point --arrays at a folder of AV-MNIST's arrays, or at an npz file")
    named = {path.relative_to(place).as_posix().lower(): path for path in reversed(files_in(place))}
    files: list[Path] = []
    parts = {}
    for split in SPLITS:
        paths = {noun: _named(named, name.format(split)) for noun, name in {**_OFFICIAL, "cluster": _CLUSTERS}.items()}
        if paths["image"] or paths["audio"]:
            parts[split] = _official(place, split, paths, labelled)
            files += [path for path in paths.values() if path]
        elif path := _named(named, f"{split}.npz"):
            parts[split], files = _npz(path, labelled)[0], [*files, path]
    if not parts:
        hint = "point --arrays at the folder with image/, audio/ and the labels, or at an npz file"
        raise DataError(place, "has neither image/train_data.npy nor train.npz", hint)
    return files, parts


def _named(named: Mapping[str, Path], name: str) -> Path | None:
    """Returns the file of a name, in the folder or in one below, in any case."""
    paths = [path for key, path in named.items() if f"/{key}".endswith(f"/{name}")]
    return min(paths, key=lambda path: len(path.parts), default=None)


def _official(place: Path, split: str, paths: Mapping[str, Path | None], labelled: bool) -> _Part:
    for noun, name in _OFFICIAL.items():
        if paths[noun] is None and (labelled or noun != "label"):
            raise DataError(place, f"has no {name.format(split)}", "bring image, audio and labels of one download")
    arrays = {noun: None if path is None else _loaded(path) for noun, path in paths.items()}
    return _part(paths["image"], arrays)


def _loaded(path: Path) -> np.ndarray:
    with reading(path, "download it again", "is no readable array"):
        return np.load(path, mmap_mode="r", allow_pickle=False)


def _npz(path: Path, labelled: bool) -> tuple[_Part, np.ndarray | None]:
    """Returns the pairs of an npz file, and the split of each where it says so."""
    faults = (zipfile.BadZipFile, zlib.error)
    with reading(path, _NPZ, "is no readable npz file", faults), np.load(path, allow_pickle=False) as opened:
        arrays = {name.lower().removesuffix("s"): opened[name] for name in opened.files}
    for noun in _OFFICIAL:
        if noun not in arrays and (labelled or noun != "label"):
            raise DataError(path, f"has no array {noun} but {', '.join(arrays) or 'none'}", _NPZ)
    split = arrays.get("split")
    part = _part(path, {noun: arrays.get(noun) for noun in (*_OFFICIAL, "cluster")})
    if split is None:
        return part, None
    split = np.array([{"valid": "val", "dev": "val"}.get(str(name), str(name)) for name in split.ravel()])
    if len(split) != len(part.labels) or not set(split) <= set(SPLITS):
        raise DataError(path, "has a split that is not train, val or test for each pair", "mend the array split")
    return part, split


def _part(where: Path, arrays: Mapping[str, np.ndarray | None]) -> _Part:
    values = {name: _shaped(where, name, arrays[name], sides) for name, sides in _SIDES.items()}
    pairs = len(values["image"])
    labels = np.full(pairs, -1) if arrays["label"] is None else _labels(where, arrays["label"])
    clusters = None if arrays["cluster"] is None else np.asarray(arrays["cluster"]).ravel()
    lengths = {"image": pairs, "audio": len(values["audio"]), "label": len(labels)}
    lengths |= {} if clusters is None else {"cluster": len(clusters)}
    if len(set(lengths.values())) > 1 or not pairs:
        counts = ", ".join(f"{noun} {count}" for noun, count in lengths.items())
        raise DataError(where, f"has different numbers of pairs, or none: {counts}", "use arrays of one download")
    return _Part(where, values, labels, clusters)


def _shaped(where: Path, name: str, array: np.ndarray, sides: tuple[int, int]) -> np.ndarray:
    """Returns an array of shape (pairs, rows, columns)."""
    rows, columns = sides
    if array.shape[1:] not in (sides, (1, *sides), (*sides, 1), (rows * columns,)):
        wanted = f"pairs of {rows} x {columns}"
        raise DataError(where, f"has {name} of shape {array.shape}, not {wanted}", "use AV-MNIST's own arrays")
    if array.dtype.kind not in "buif":
        raise DataError(where, f"has {name} of type {array.dtype}, which are no numbers", "store numbers")
    return array.reshape(len(array), rows, columns)


def _labels(where: Path, array: np.ndarray) -> Int64[np.ndarray, " pairs"]:
    if array.ndim > 1 and array.size != len(array):
        raise DataError(where, f"has labels of shape {array.shape}, not one a pair", "store one digit a pair")
    labels = np.asarray(array).ravel()
    if labels.dtype.kind not in "uif" or not np.isin(labels, range(10)).all():
        strange = next((label for label in labels.tolist() if label not in range(10)), labels.dtype)
        raise DataError(where, f"has the label {strange!r}, which is no digit from 0 to 9", "store one digit a pair")
    return labels.astype(np.int64)


def _divided(place: Path, parts: dict[str, _Part], seed: int) -> tuple[dict[str, _Part], dict[str, str]]:
    """Returns train, val and test, and how they were made where the arrays do not say so."""
    if "" in parts:
        names = _clusters(parts[""], parts[""].clusters is not None)
        table = pd.DataFrame({"name": [f"{i:08d}" for i in range(len(names))], "patient": names})
        split = np.array(list(split_by_patient(table, seed).values()))
        note = {"division": f"none in {place.name}: 70, 15 and 15 % of the clusters at random, seed {seed}"}
        return {name: parts[""].rows(np.flatnonzero(split == name)) for name in SPLITS}, note
    for split in ("train", "test"):
        if split not in parts:
            raise DataError(place, f"has no pairs of {split}", "add its image, audio and labels")
    if "val" in parts:
        return parts, {}
    train, pairs = parts["train"], len(parts["train"].labels)
    border = pairs - max(pairs // _VAL, 1)
    note = {"division": f"val is the last {pairs - border} of the {pairs} pairs of train"}
    return {**parts, "train": train.rows(slice(border)), "val": train.rows(slice(border, None))}, note


class _Storage(NamedTuple):
    """How a modality is stored, what its values are divided by, and that in words."""

    described: dict[str, Any]
    divisor: float
    note: str


def _stored(name: str, parts: Sequence[_Part]) -> _Storage:
    """Returns how a modality is stored.

    Raises:
        DataError: Its values are neither in 0 to 1 nor in 0 to 255, give or take what a projection adds.
    """
    ranges = [_range(part.where, name, part.values[name]) for part in parts]
    low, high, whole = min(r.low for r in ranges), max(r.high for r in ranges), all(r.whole for r in ranges)
    scale = 1.0 if high <= _HIGHEST else 255.0
    for part, values in zip(parts, ranges, strict=True):
        if values.low < -_HIGHEST / 2 * scale or not scale / 16 <= values.high <= _HIGHEST * scale:
            reason = f"has {name} of values from {values.low:g} to {values.high:g}"
            others = f"which are neither 0 to 1 nor 0 to 255, or not so in all files ({low:g} to {high:g} in all)"
            raise DataError(part.where, f"{reason}, {others}", "scale them alike")
    about = {"shape": [1, *_SIDES[name]], "dtype": "float16", "scale": 1.0}
    note = f"from {low:g} to {high:g}: taken as 0 to {scale:g}"
    if name == "audio" and whole and scale > 1 and low >= 0 and high <= scale:
        return _Storage({**about, "dtype": "uint8", "scale": 1 / 255}, 1.0, note)
    return _Storage(about, scale, note)


def _range(where: Path, name: str, array: np.ndarray) -> _Range:
    ranges = []
    for number, block in enumerate(_blocks(array)):
        if not np.isfinite(block).all():
            row = number * _TOGETHER + int(np.flatnonzero(~np.isfinite(block).all(axis=(1, 2)))[0])
            raise DataError(where, f"has {name} that are not finite, first in pair {row}", "download it again")
        ranges.append(_Range(float(block.min()), float(block.max()), bool((block == np.rint(block)).all())))
    return _Range(min(r.low for r in ranges), max(r.high for r in ranges), all(r.whole for r in ranges))


def _blocks(array: np.ndarray) -> Iterator[Float64[np.ndarray, "pairs rows columns"]]:
    """Yields some pairs at a time."""
    for begin in range(0, len(array), _TOGETHER):
        yield np.asarray(array[begin : begin + _TOGETHER], np.float64)


def _index(split: str, part: _Part, known: bool) -> pd.DataFrame:
    samples = [f"{split}:{i:05d}" for i in range(len(part.labels))]
    who = {"sample": samples, "series": "-", "cluster": _clusters(part, known)}
    return pd.DataFrame({**who, "split": split, "label": part.labels})


def _clusters(part: _Part, known: bool) -> list[str]:
    """Returns whose sound each pair has: as it is named, or else by the sound itself."""
    sounds = [
        f"sound {blake2b(np.ascontiguousarray(sound, np.float32).tobytes(), digest_size=8).hexdigest()}"
        for sound in part.values["audio"]
    ]
    if not known:
        return sounds
    return [canonical_id(name) or sound for name, sound in zip(part.clusters, sounds, strict=True)]
