"""AV-MNIST rebuilt from real digits, real speech and real noise (Vielzeuf et al., 2018).

The circulating copy cannot be traced to its inputs, so the pairs are made anew: digits with three quarters of their
energy removed, speech drowned in noise. Digits, recordings and seconds of noise are disjoint between the splits.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from knee_i2m2.data.writing import finished, write_prepared
from knee_i2m2.errors import ConfigError
from knee_i2m2.files import sha256
from knee_i2m2.sources.avmnist.digits import mnist_files, read_digits
from knee_i2m2.sources.avmnist.modalities import audio, fit_components, images
from knee_i2m2.sources.avmnist.pairs import SPLITS, draw_pairs
from knee_i2m2.sources.avmnist.sounds import noise_files, read_noises, read_recordings, speech_fingerprint
from knee_i2m2.types import Progress, silent

__all__ = ["AVMNISTSettings", "prepare_avmnist"]

"""Told the modality, how many pairs are done, and of how many."""


@dataclass(frozen=True)
class AVMNISTSettings:
    """How the pairs are made.

    Attributes:
        components: Principal components kept of each digit, 1 to 784; 4 hold 28 % of the energy.
        snr: Lowest and highest ratio of speech to noise (dB).
        train: Pairs for training.
        val: Pairs for validation.
        test: Pairs for the test.
        seed: What makes everything that is random.
    """

    components: int = 4
    snr: tuple[float, float] = (-18.0, -1.0)
    train: int = 20000
    val: int = 2500
    test: int = 3000
    seed: int = 0


def prepare_avmnist(
    mnist: Path, fsdd: Path, noise: Path, out: Path, settings: AVMNISTSettings, progress: Progress = silent
) -> dict:
    """Writes `index.parquet`, `image.npy`, `audio.npy` and, last, `data.json`; what is finished is not made again.

    Args:
        mnist: The folder with MNIST's four IDX files, plain or gzipped.
        fsdd: The Free Spoken Digit Dataset, a folder or a zip.
        noise: A folder of noise, 8 kHz mono WAV.
        out: The folder to write.
        settings: How the pairs are made.
        progress: Told after every few hundred pairs.

    Returns:
        What stands in `data.json`.

    Raises:
        ConfigError: A setting is out of range, or `out` was prepared otherwise.
        DataError: An input is missing or damaged, or `out` cannot be written.
    """
    _check(settings)
    about = {"task": "avmnist", "targets": ["label"], "classes": 10}
    wanted = {**about, "settings": asdict(settings), "sources": _fingerprints(mnist, fsdd, noise)}
    wanted = json.loads(json.dumps(wanted))
    if found := finished(out, wanted):
        return found
    digits, recordings, noises = read_digits(mnist_files(mnist)), read_recordings(fsdd), read_noises(noise)
    sizes = {split: getattr(settings, split) for split in SPLITS}
    pairs = draw_pairs(digits, recordings, noises, sizes, settings.snr, settings.seed)
    components = fit_components(digits["train"].images, settings.components)
    made = {"image": images(pairs, digits, components), "audio": audio(pairs, recordings, noises)}
    data = {**wanted, "modalities": _modalities(components.explained_variance_ratio_), "counts": _counts(pairs)}
    parts = ({name: part} for name in made for part in _counted(name, made[name], len(pairs), progress))
    write_prepared(out, pairs, parts, data)
    return data


def _check(settings: AVMNISTSettings) -> None:
    low, high = settings.snr
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ConfigError(f"--snr {low} {high} is no range in dB; give the lower end first, as in --snr -18 -1")
    if settings.seed < 0:
        raise ConfigError(f"--seed {settings.seed} is negative; give 0 or more")
    for split in SPLITS:
        if getattr(settings, split) < 1:
            raise ConfigError(f"--{split} {getattr(settings, split)} leaves no pair for {split}; give 1 or more")


def _fingerprints(mnist: Path, fsdd: Path, noise: Path) -> dict[str, str]:
    """Returns the SHA-256 of every input by file name; a folder of speech counts as one."""
    single = [*mnist_files(mnist).values(), *noise_files(noise)]
    return {**{path.name: sha256(path) for path in single}, **speech_fingerprint(fsdd)}


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


def _counts(pairs: pd.DataFrame) -> dict[str, dict[str, int]]:
    columns = {"samples": "sample", "series": "series", "clusters": "cluster"}
    parts = pairs.groupby("split", sort=False)
    return {split: {name: int(rows[of].nunique()) for name, of in columns.items()} for split, rows in parts}
