"""AV-MNIST rebuilt from real digits, real speech and real noise (Vielzeuf et al., 2018).

The circulating copy cannot be traced to its inputs, so the pairs are made anew: digits with three quarters of their
energy removed, speech drowned in noise. Digits, recordings and seconds of noise are disjoint between the splits.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from knee_i2m2.data.left_out import PassedOver, check_limit, write_table
from knee_i2m2.data.splits import SPLITS, sizes
from knee_i2m2.data.writing import finished, write_prepared
from knee_i2m2.errors import ConfigError, check_seed
from knee_i2m2.files import sha256
from knee_i2m2.sources.avmnist.arrays import read_arrays
from knee_i2m2.sources.avmnist.digits import mnist_files, read_digits
from knee_i2m2.sources.avmnist.modalities import audio, fit_components, images
from knee_i2m2.sources.avmnist.pairs import draw_pairs
from knee_i2m2.sources.avmnist.sounds import noise_files, read_noises, read_recordings, speech_fingerprint
from knee_i2m2.sources.avmnist.unused import unused_files
from knee_i2m2.types import Progress, silent

__all__ = ["PrepareAVMNIST", "prepare_avmnist"]


@dataclass
class PrepareAVMNIST:
    """Pairs digits with spoken digits in noise; no digit, recording or second of noise is in two splits.

    Attributes:
        out: Folder to write.
        mnist: Folder with MNIST's four IDX files, plain or gzipped.
        fsdd: Free Spoken Digit Dataset, a folder or a zip.
        noise: Folder of noise, 8 kHz mono WAV.
        arrays: Pairs that are made already, instead: AV-MNIST's folder of npy files, or npz of image, audio, label.
        components: Principal components kept of each digit, 1 to 784; 4 hold 28 % of the energy.
        snr: Lowest and highest ratio of speech to noise in dB, drawn uniformly.
        train: Pairs for training.
        val: Pairs for validation.
        test: Pairs for the test.
        interaction: Share of the five digit pairs whose label is the XOR of what is shown and said: 0, .2, ... 1.
        seed: Of everything random.
        unlabelled: Labels and splits of `--arrays` may be missing, as of new data.
        quarantine_limit: The largest share of the sounds in `--fsdd` that may be named as no recording.
    """

    out: Path
    mnist: Path | None = None
    fsdd: Path | None = None
    noise: Path | None = None
    arrays: Path | None = None
    components: int = 4
    snr: tuple[float, float] = (-18.0, -1.0)
    train: int = 20000
    val: int = 2500
    test: int = 3000
    interaction: float = 0.0
    seed: int = 0
    unlabelled: bool = False
    quarantine_limit: float = 0.01


SETTINGS = ("components", "snr", "train", "val", "test", "seed")
"""The options that the content depends on."""

_OF_ARRAYS = ("out", "arrays", "seed", "unlabelled", "quarantine_limit")


def prepare_avmnist(config: PrepareAVMNIST, progress: Progress = silent) -> dict[str, Any]:
    """Writes arrays, `index.parquet`, `left_out.csv` and, last, `data.json`; what is finished is not made again.

    Args:
        config: The inputs, the folder to write, and how the pairs are made.
        progress: Called after every few hundred pairs.

    Returns:
        What stands in `data.json`.

    Raises:
        ConfigError: An option is out of range, or `out` was prepared otherwise.
        DataError: An input is missing or damaged, or `out` cannot be written.
    """
    check_seed(config.seed)
    check_limit(config.quarantine_limit)
    if config.arrays:
        return _prepare_arrays(config, progress)
    _check(config)
    mnist, fsdd, noise, out = config.mnist, config.fsdd, config.noise, config.out
    settings = {name: getattr(config, name) for name in SETTINGS}
    settings |= {"interaction": config.interaction} if config.interaction else {}
    wanted = _wanted(settings, _fingerprints(mnist, fsdd, noise))
    if existing := finished(out, wanted):
        return existing
    unused = unused_files(mnist, fsdd, noise, config.quarantine_limit)
    digits, recordings, noises = read_digits(mnist_files(mnist)), read_recordings(fsdd), read_noises(noise)
    pairs_of = {split: getattr(config, split) for split in SPLITS}
    pairs = draw_pairs(digits, recordings, noises, pairs_of, config.snr, config.seed, config.interaction)
    components = fit_components(digits["train"].images, config.components)
    made = {"image": images(pairs, digits, components), "audio": audio(pairs, recordings, noises)}
    data = {**wanted, "modalities": _modalities(components.explained_variance_ratio_)}
    if notes := list(_repeated(pairs)):
        data["notes"] = notes
    return _write(out, pairs, made, data, unused, progress)


def _prepare_arrays(config: PrepareAVMNIST, progress: Progress) -> dict[str, Any]:
    """Writes pairs that are made already."""
    _refuse_idle(config)
    pairs = read_arrays(config.arrays, config.seed, not config.unlabelled)
    wanted = _wanted({"seed": config.seed}, pairs.sources)
    if existing := finished(config.out, wanted):
        return existing
    made = {name: pairs.values(name) for name in pairs.storage}
    data = {**wanted, "modalities": {name: one.described for name, one in pairs.storage.items()}, **pairs.notes}
    return _write(config.out, pairs.index, made, data, pairs.unused, progress)


def _wanted(settings: Mapping[str, Any], sources: Mapping[str, str]) -> dict[str, Any]:
    about = {"task": "avmnist", "targets": ["label"], "classes": 10, "settings": settings, "sources": sources}
    return json.loads(json.dumps(about))


def _write(
    out: Path,
    pairs: pd.DataFrame,
    made: Mapping[str, Iterator[np.ndarray]],
    data: Mapping[str, Any],
    unused: Sequence[PassedOver],
    progress: Progress,
) -> dict[str, Any]:
    """Writes the prepared folder and returns its `data.json`."""
    table = pd.DataFrame(unused, columns=PassedOver._fields)
    splits = [split for split in SPLITS if (pairs["split"] == split).any()]
    counts = sizes(pairs, {"samples": "sample", "series": "series", "clusters": "cluster"}, splits=splits)
    data = {**data, "counts": counts, "beside": ["left_out.csv"], "passed_over": dict(Counter(table["why"]))}
    parts = ({name: part} for name in made for part in _counted(name, made[name], len(pairs), progress))
    write_prepared(out, pairs, parts, data, lambda: write_table(out / "left_out.csv", table))
    return data


def _refuse_idle(config: PrepareAVMNIST) -> None:
    """Raises ConfigError for an option of how pairs are made, where they are made already."""
    for option in fields(config):
        if option.name not in _OF_ARRAYS and getattr(config, option.name) != option.default:
            raise ConfigError(f"--{option.name} does not go with --arrays: its pairs are made already; leave it out")


def _check(config: PrepareAVMNIST) -> None:
    if config.unlabelled:
        raise ConfigError("--unlabelled goes with --arrays: pairs that are made here have labels; leave it out")
    for name in ("mnist", "fsdd", "noise"):
        if getattr(config, name) is None:
            raise ConfigError(f"--{name}: give --mnist, --fsdd and --noise, or --arrays with pairs that are made")
    low, high = config.snr
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ConfigError(f"--snr {low} {high} is no range in dB; give the lower end first, as in --snr -18 -1")
    for split in SPLITS:
        if getattr(config, split) < 1:
            raise ConfigError(f"--{split} {getattr(config, split)} leaves no pair for {split}; give 1 or more")


def _fingerprints(mnist: Path, fsdd: Path, noise: Path) -> dict[str, str]:
    """Returns the SHA-256 of every input by file name; a folder of speech counts as one."""
    sounds = {path.relative_to(noise).as_posix(): path for path in noise_files(noise)}
    single = {path.name: path for path in mnist_files(mnist).values()} | sounds
    return {**{name: sha256(path) for name, path in single.items()}, **speech_fingerprint(fsdd)}


def _repeated(pairs: pd.DataFrame) -> Iterator[str]:
    """Yields a sentence per split in which pictures are used twice."""
    twice = pairs[pairs.duplicated(["digit_file", "digit_row"])]["split"].value_counts()
    for split, count in twice.items():
        yield f"{split}: {count} pairs show a picture that another pair shows too, since classes are drawn evenly"


def _counted(name: str, parts: Iterable[np.ndarray], total: int, progress: Progress) -> Iterator[np.ndarray]:
    done = 0
    for part in parts:
        yield part
        done += len(part)
        progress(f"pairs, {name}", done, total)


def _modalities(energies: np.ndarray) -> dict[str, dict]:
    """Returns shape, type, the factor that gives [0, 1], and the share of the digits' energy that is kept."""
    image = {"shape": [1, 28, 28], "dtype": "float16", "scale": 1.0, "energy": float(energies.sum())}
    return {"image": image, "audio": {"shape": [1, 112, 112], "dtype": "uint8", "scale": 1 / 255}}
