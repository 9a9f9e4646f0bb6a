"""NLVR, the first version (Suhr et al., 2017): one drawn picture of three boxes, one sentence, true or false.

::

    SOURCE/{train,dev,test}.json         one example a line; also in a folder of the split's name
    SOURCE/images_perm0.zip              {train,dev,test}/<split>-<identifier>-0.png; or the same as folders

The authors' splits share their directories and 23 sentences. Here all examples of a sentence are in one split.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from knee_i2m2.data.splits import split_by_patient
from knee_i2m2.errors import DataError
from knee_i2m2.files import sha256
from knee_i2m2.sources.nlvr2.examples import Example, Examples, Line, examples, read_lines
from knee_i2m2.sources.nlvr2.folder import SourceFolder
from knee_i2m2.sources.nlvr2.pictures import Picture, listing

__all__ = ["read_nlvr", "sentence_key", "split_by_sentence"]

_PARTS = ("train", "dev", "test")
_LABELS = {"true": 1, "false": 0}
_ZIP = "images_perm0.zip"


def read_nlvr(source: Path, seed: int, out: Path | None = None) -> Examples:
    """Returns the examples of all parts that are there, split by sentence; pictures are not opened.

    Args:
        source: The folder.
        seed: Of the split.
        out: What is written, whose files do not count where it lies in the source.

    Raises:
        DataError: There is no JSON file, one is damaged, or there are fewer than three sentences.
    """
    folder = SourceFolder.of(source, out, _ZIP)
    files = {part: path for part in _PARTS if (path := folder.json(part, part))}
    if not files:
        hint = "point at NLVR's folder, or give the --layout it has"
        raise DataError(source, f"has none of {', '.join(f'{part}.json' for part in _PARTS)}", hint)
    lines = {part: read_lines(path, r"\d+-\d+", _LABELS) for part, path in files.items()}
    named = {f"{part}-{line.identifier}": (part, line) for part in lines for line in lines[part]}
    split = split_by_sentence({name: line.sentence for name, (_, line) in named.items()}, seed, source)
    pictures = {name: (_picture(folder, part, line),) for name, (part, line) in named.items()}
    rows = [_example(name, line, split[name]) for name, (_, line) in named.items()]
    listed = listing([picture for one in pictures.values() for picture in one])
    hashes = {path.name: sha256(path) for path in (*files.values(), *folder.zips)}
    sources = hashes if folder.zips else {**hashes, "images/": listed}
    return examples(rows, pictures, sources, unused=folder.unused(files.values(), pictures), drawn=True)


def split_by_sentence(sentences: Mapping[str, str], seed: int, where: Path) -> dict[str, str]:
    """Returns each example's split: 70 % of the sentences are for training, 15 % for validation, 15 % for the test.

    A division depends on nothing but the sentences, the names and the seed.

    Args:
        sentences: Example -> its sentence.
        seed: Of the random order.
        where: What an error names.

    Raises:
        DataError: There are fewer than three sentences.
    """
    keys = {name: sentence_key(sentence) for name, sentence in sentences.items()}
    if len(set(keys.values())) < 3:
        reason = f"has {len(set(keys.values()))} different sentences, too few for train, val and test"
        raise DataError(where, reason, "give at least 3")
    return split_by_patient(pd.DataFrame(keys.items(), columns=["name", "patient"]), seed)


def sentence_key(sentence: str) -> str:
    """Returns what two writings of a sentence share: neither case, spaces nor a full stop at the end matter."""
    return " ".join(sentence.casefold().split()).rstrip(" .")


def _example(name: str, line: Line, split: str) -> Example:
    return Example(name, sentence_key(line.sentence), split, line.label, line.sentence, name)


def _picture(folder: SourceFolder, part: str, line: Line) -> Picture:
    root = folder.zips[0] if folder.zips else folder.root
    official = [root / part / "images" / line.directory] if line.directory else []
    return folder.picture(
        f"{part}-{line.identifier}-0", [root / part, root / _ZIP.removesuffix(".zip") / part, *official]
    )
