"""NLVR2 as its authors publish it (Suhr et al., 2019): JSON lines, and photographs as files.

::

    SOURCE/data/{train,dev,test1}.json           one example a line; also without data/
    SOURCE/images/train/<directory>/*.png        <split>-<set>-<pair>-img0.png and -img1.png; also without images/
    SOURCE/images/{dev,test1}/*.png
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from knee_i2m2.errors import DataError
from knee_i2m2.files import sha256
from knee_i2m2.sources.nlvr2.examples import Example, Examples, Line, examples, read_lines
from knee_i2m2.sources.nlvr2.folder import SourceFolder
from knee_i2m2.sources.nlvr2.pictures import Picture, listing

__all__ = ["LABELS", "NAMES", "official_file", "read_files"]

NAMES = {"train": "train", "val": "dev", "test": "test1"}
"""Split -> what NLVR2 calls it."""

LABELS = {"True": 1, "False": 0}


def read_files(source: Path, splits: Sequence[str], out: Path | None = None, labelled: bool = True) -> Examples:
    """Returns the examples of a folder in the official layout; pictures are not opened.

    Args:
        source: The folder.
        splits: Which of train, val (`dev`) and test (`test1`).
        out: What is written, whose files do not count where it lies in the source.
        labelled: Whether every example must have a label.

    Raises:
        DataError: A JSON file is missing or damaged, or a pair of pictures has two directories.
    """
    if not source.is_dir():
        raise DataError(source, "is no folder", "point at NLVR2's folder, with data/ and images/")
    folder = SourceFolder.of(source, out)
    files = {split: official_file(folder, NAMES[split]) for split in splits}
    rows, pictures = [], {}
    for split, path in files.items():
        lines = read_lines(path, rf"{NAMES[split]}-\d+-\d+-\d+", LABELS, labelled)
        rows += [_example(line, split) for line in lines]
        folders = [source / "images" / NAMES[split], source / NAMES[split]]
        directories = _directories(path, lines).items()
        pictures |= {pair: _pair(folder, folders, pair, directory) for pair, directory in directories}
    listed = listing([picture for pair in pictures.values() for picture in pair])
    sources = {**{path.name: sha256(path) for path in files.values()}, "images/": listed}
    simulated = {"simulated": len(rows)} if (source / "scenes.json").is_file() else {}
    unused = folder.unused(files.values(), pictures)
    return examples(rows, pictures, sources, simulated, unused, drawn=bool(simulated))


def official_file(folder: SourceFolder, name: str) -> Path:
    """Returns the JSON file of `train`, `dev` or `test1`.

    Raises:
        DataError: It is missing, or there are two that differ.
    """
    if path := folder.json(name, "data"):
        return path
    hint = "point at NLVR2's folder, leave the split out with --splits, or give the --layout it has"
    raise DataError(folder.root, f"has neither data/{name}.json nor {name}.json", hint)


def _example(line: Line, split: str) -> Example:
    pair = line.identifier.rpartition("-")[0]
    return Example(line.identifier, pair.rpartition("-")[0], split, line.label, line.sentence, pair)


def _directories(path: Path, lines: Sequence[Line]) -> Mapping[str, str | None]:
    """Returns pair -> directory, in the order of the file."""
    directories: dict[str, str | None] = {}
    for line in lines:
        pair = line.identifier.rpartition("-")[0]
        if directories.setdefault(pair, line.directory) != line.directory:
            reason = f"puts the pictures of {pair} into directory {directories[pair]} and {line.directory}"
            raise DataError(path, reason, "use the file as it was published")
    return directories


def _pair(folder: SourceFolder, folders: Sequence[Path], pair: str, directory: str | None) -> tuple[Picture, Picture]:
    """Returns both pictures; with a directory they stand in it, or all in one folder."""
    places = [*(place / directory for place in folders if directory), *folders]
    first, second = (folder.picture(f"{pair}-img{i}", places) for i in (0, 1))
    return first, second
