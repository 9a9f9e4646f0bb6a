"""What enters a backbone of pictures and text: normalised pictures, token ids."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from knee_i2m2.errors import CheckpointError
from knee_i2m2.experts.fiber.attention import PADDING
from knee_i2m2.experts.local import transformers

__all__ = [
    "IMAGENET",
    "Colours",
    "Tokeniser",
    "Vocabulary",
    "local_colours",
    "local_tokeniser",
    "normalised",
    "vocabulary_of",
]

_START, _END, _UNKNOWN = 0, 2, 3
_FIRST = 4
"""Below are special tokens, with RoBERTa's ids."""


class Colours(NamedTuple):
    """Mean and standard deviation of red, green and blue in [0, 1] that a backbone was trained with."""

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]


IMAGENET = Colours((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def local_colours(folder: Path, otherwise: Colours) -> Colours:
    """Returns what `preprocessor_config.json` in a folder says, or `otherwise` where it is missing or says nothing.

    Raises:
        CheckpointError: The file is damaged.
    """
    path = folder / "preprocessor_config.json"
    if not path.is_file():
        return otherwise
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        mean, deviation = (tuple(map(float, config[key])) for key in ("image_mean", "image_std"))
    except KeyError:
        return otherwise
    except (ValueError, TypeError) as error:
        raise CheckpointError(path, f"is damaged ({error})", "copy it again, or remove it") from error
    return Colours(mean, deviation)


def normalised(
    pictures: Float[Tensor, "*batch 3 rows columns"], colours: Colours = IMAGENET
) -> Float[Tensor, "*batch 3 rows columns"]:
    """Returns pictures with values in [0, 1] as a backbone was trained on: mean 0, deviation 1."""
    mean, deviation = (torch.tensor(values).reshape(3, 1, 1) for values in colours)
    return (pictures - mean) / deviation


@dataclass(frozen=True)
class Vocabulary:
    """Words with their ids, for text encoders that are trained from scratch.

    Attributes:
        words: In the order of their ids, which begin behind the special tokens.
    """

    words: tuple[str, ...]

    def __len__(self) -> int:
        return _FIRST + len(self.words)

    def __call__(self, sentences: Sequence[str], longest: int) -> Int64[Tensor, "sentences tokens"]:
        """Returns token ids `<s> ... </s>`, cut to `longest` and padded to the longest of these."""
        place = {word: _FIRST + n for n, word in enumerate(self.words)}
        ids = [[place.get(word, _UNKNOWN) for word in _split(sentence)][: longest - 2] for sentence in sentences]
        tokens = torch.full((len(ids), 2 + max(map(len, ids), default=0)), PADDING)
        for row, words in zip(tokens, ids, strict=True):
            row[: len(words) + 2] = torch.tensor([_START, *words, _END])
        return tokens

    def strange(self, sentences: Sequence[str]) -> Bool[np.ndarray, " sentences"]:
        """Returns whether each sentence has a word that is unknown."""
        known = set(self.words)
        return np.array([not known.issuperset(_split(sentence)) for sentence in sentences], dtype=bool)

    def lengths(self, sentences: Sequence[str]) -> Int64[np.ndarray, " sentences"]:
        """Returns how many tokens each sentence has where nothing is cut."""
        return np.array([len(_split(sentence)) + 2 for sentence in sentences], dtype=np.int64)


def vocabulary_of(sentences: Iterable[str], least: int = 1) -> Vocabulary:
    """Returns the words that occur at least so often, the most frequent first, those that tie by the alphabet."""
    counts = Counter(word for sentence in sentences for word in _split(sentence))
    kept = [word for word, count in counts.items() if count >= least]
    return Vocabulary(tuple(sorted(kept, key=lambda word: (-counts[word], word))))


def _split(sentence: str) -> list[str]:
    """Returns words and marks in lower case."""
    return re.findall(r"\w+|[^\w\s]", sentence.lower())


@dataclass(frozen=True)
class Tokeniser:
    """A tokeniser of `transformers`, read from a folder.

    Attributes:
        tokeniser: That of `transformers`.
    """

    tokeniser: Any

    def __len__(self) -> int:
        return len(self.tokeniser)

    def __call__(self, sentences: Sequence[str], longest: int) -> Int64[Tensor, "sentences tokens"]:
        """Returns token ids, cut to `longest` and padded to the longest of these."""
        options = {"truncation": True, "max_length": longest, "padding": "longest", "return_tensors": "pt"}
        return self.tokeniser(list(sentences), **options)["input_ids"]

    def lengths(self, sentences: Sequence[str]) -> Int64[np.ndarray, " sentences"]:
        """Returns how many tokens each sentence has where nothing is cut."""
        ids = self.tokeniser(list(sentences), truncation=False, verbose=False)["input_ids"]
        return np.array(list(map(len, ids)), dtype=np.int64)


def local_tokeniser(folder: Path, padding: int = PADDING) -> Tokeniser:
    """Returns the tokeniser of a folder in the format of `transformers`; nothing is ever downloaded.

    Args:
        folder: The folder.
        padding: Id of what fills a short sentence, for the network that reads it: 1 in RoBERTa, 0 in BERT.

    Raises:
        ConfigError: `transformers` is not installed.
        CheckpointError: There is none that can be read, or its padding has another id.
    """
    where = "put what `save_pretrained` of the network's own tokeniser writes there"
    if not folder.is_dir():
        raise CheckpointError(folder, "there is no folder of a tokeniser", where)
    try:
        tokeniser = transformers().AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(folder, f"holds no tokeniser that can be read ({error})", where) from error
    if tokeniser.pad_token_id != padding:
        reason = f"is another network's tokeniser: its padding is {tokeniser.pad_token_id}, not {padding}"
        raise CheckpointError(folder, reason, where)
    return Tokeniser(tokeniser)
