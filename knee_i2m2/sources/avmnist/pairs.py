"""The pairs of AV-MNIST: which digit is drawn with which recording and which second of noise.

Everything random is drawn here, once, into a table; what follows is a function of the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from knee_i2m2.data.splits import SPLITS
from knee_i2m2.errors import ConfigError
from knee_i2m2.sources.avmnist.digits import Digits
from knee_i2m2.sources.avmnist.sounds import RATE, Noise, Recording, seconds

__all__ = ["draw_pairs"]


def draw_pairs(
    digits: Mapping[str, Digits],
    recordings: Sequence[Recording],
    noises: Sequence[Noise],
    sizes: Mapping[str, int],
    snr: tuple[float, float],
    seed: int,
) -> pd.DataFrame:
    """Returns one row per pair, `train`, `val` and `test` one after the other.

    A digit is used at most once; the recordings of its class take turns, so that each is used equally often (or once
    more). A noise file is drawn first, then one of its seconds. Each part has its own random numbers, so the size of
    one does not change another.

    Args:
        digits: The digits of each split.
        recordings: All recordings.
        noises: All sounds.
        sizes: Pairs of each split.
        snr: Lowest and highest signal-to-noise ratio (dB), drawn uniformly.
        seed: What makes all of it.

    Raises:
        ConfigError: A split asks for more pairs than it has digits.
    """
    tables = []
    for number, split in enumerate(SPLITS):
        random = np.random.default_rng([seed, number])
        rows = _draw_digits(digits[split], sizes[split], split, random)
        spoken = _draw_recordings(rows["label"].to_numpy(), [r for r in recordings if r.split == split], random)
        noise = _draw_noise([(n.name, seconds(n, split)) for n in noises], len(rows), random)
        rows = pd.concat([rows, spoken, noise], axis=1).assign(snr_db=random.uniform(*snr, len(rows)))
        who = {"sample": [f"{split}:{i:05d}" for i in range(len(rows))], "series": "-", "cluster": rows["recording"]}
        tables.append(pd.concat([pd.DataFrame({**who, "split": split}), rows], axis=1))
    return pd.concat(tables, ignore_index=True)


def _draw_digits(digits: Digits, size: int, split: str, random: np.random.Generator) -> pd.DataFrame:
    if size > len(digits.rows):
        wish = f"--{split} {size} asks for more pairs than the {len(digits.rows)} digits that {digits.file} has for it"
        raise ConfigError(f"{wish}; ask for fewer, each digit is used once")
    drawn = random.permutation(len(digits.rows))[:size]
    labels = digits.labels[drawn].astype(np.int64)
    return pd.DataFrame({"label": labels, "digit_file": digits.file, "digit_row": digits.rows[drawn]})


def _draw_recordings(labels: np.ndarray, recordings: Sequence[Recording], random: np.random.Generator) -> pd.DataFrame:
    turns = np.empty(len(labels), dtype=object)
    for digit in np.unique(labels):
        spoken = [recording for recording in recordings if recording.digit == digit]
        places = np.flatnonzero(labels == digit)
        order = [random.permutation(len(spoken)) for _ in range(-(-len(places) // len(spoken)))]
        turns[places] = [spoken[i] for i in np.concatenate(order)[: len(places)]]
    starts = [random.integers(RATE - len(recording.speech), endpoint=True) for recording in turns]
    return pd.DataFrame({"recording": [recording.name for recording in turns], "speech_start": starts})


def _draw_noise(noises: Sequence[tuple[str, np.ndarray]], size: int, random: np.random.Generator) -> pd.DataFrame:
    sounding = [(name, starts) for name, starts in noises if len(starts)]
    drawn = [sounding[i] for i in random.integers(len(sounding), size=size)]
    starts = [random.choice(starts) for _, starts in drawn]
    return pd.DataFrame({"noise_file": [name for name, _ in drawn], "noise_start": starts})
