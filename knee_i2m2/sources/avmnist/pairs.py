"""The pairs of AV-MNIST: which digit is drawn with which recording and which second of noise.

Everything random is drawn here, once, into a table; what follows is a function of the table.

With an interaction, the label of some pairs is in neither modality alone. Of the five digit pairs {2k, 2k + 1} a share
rho are XOR pairs: the label y = 2k + s is drawn uniformly, the picture shows 2k + z and the sound says 2k + (z xor s),
with a fair z. Of ordinary pairs both are y. With perfect reading the Bayes accuracy is 1 and that of any additive model
1 - rho / 2, and the picture tells rho ln 2 nats that the sound does not.
"""

from __future__ import annotations

import math
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
    interaction: float = 0.0,
) -> pd.DataFrame:
    """Returns one row per pair, `train`, `val` and `test` one after the other.

    A digit is used once, or with an interaction at most twice; the recordings of its class take turns, so that each is
    used equally often (or once more). A noise file is drawn first, then one of its seconds. Each part has its own
    random numbers, so the size of one does not change another.

    Args:
        digits: The digits of each split.
        recordings: All recordings.
        noises: All sounds.
        sizes: Pairs of each split.
        snr: Lowest and highest signal-to-noise ratio (dB), drawn uniformly.
        seed: What makes all of it.
        interaction: rho; above 0 the columns `image_digit` and `audio_digit` tell what is shown and said.

    Raises:
        ConfigError: A split asks for more pairs than it has digits, or rho is no share of five.
    """
    xor, tables = _xor_pairs(interaction), []
    for number, split in enumerate(SPLITS):
        random = np.random.default_rng([seed, number])
        drawn = (digits[split], sizes[split], split, random)
        rows = _planted(xor, *drawn) if xor else _draw_digits(*drawn)
        said = rows["audio_digit" if xor else "label"].to_numpy()
        spoken = _draw_recordings(said, [r for r in recordings if r.split == split], random)
        noise = _draw_noise([(n.name, seconds(n, split)) for n in noises], len(rows), random)
        rows = pd.concat([rows, spoken, noise], axis=1).assign(snr_db=random.uniform(*snr, len(rows)))
        who = {"sample": [f"{split}:{i:05d}" for i in range(len(rows))], "series": "-", "cluster": rows["recording"]}
        tables.append(pd.concat([pd.DataFrame({**who, "split": split}), rows], axis=1))
    return pd.concat(tables, ignore_index=True)


def _xor_pairs(interaction: float) -> int:
    """Returns how many of the five digit pairs are XOR pairs."""
    pairs = [count for count in range(6) if math.isclose(count, 5 * interaction, abs_tol=1e-9)]
    if not pairs:
        raise ConfigError(
            f"--interaction {interaction:g} is no share of the five digit pairs; give 0, .2, .4, .6, .8 or 1"
        )
    return pairs[0]


def _planted(xor: int, digits: Digits, size: int, split: str, random: np.random.Generator) -> pd.DataFrame:
    """Returns labels, the digits that are shown and said, and a picture of each one that is shown.

    Classes are drawn evenly, which those of MNIST are not, so that a picture may have to be used twice in its split.
    """
    y, z = random.integers(10, size=size), random.integers(2, size=size)
    shown, said = (np.where(y // 2 < xor, y - y % 2 + bit, y) for bit in (z, z ^ (y % 2)))
    rows = np.empty(size, dtype=digits.rows.dtype)
    for digit in range(10):
        places, pictures = np.flatnonzero(shown == digit), digits.rows[digits.labels == digit]
        if len(places) > 2 * len(pictures):
            wish = f"--{split} {size} asks for {len(places)} pictures of a {digit}, of which {digits.file} has"
            raise ConfigError(f"{wish} {len(pictures)} for it; ask for fewer pairs, a digit is used twice at most")
        rows[places] = np.concatenate([random.permutation(pictures) for _ in range(2)])[: len(places)]
    return pd.DataFrame(
        {"label": y, "digit_file": digits.file, "digit_row": rows, "image_digit": shown, "audio_digit": said}
    )


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
