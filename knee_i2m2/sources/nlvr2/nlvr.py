"""NLVR, the first version (Suhr et al., 2017): one drawn picture of three boxes, one sentence, true or false.

::

    SOURCE/{train,dev,test}.json         one example a line; also in a folder of the split's name
    SOURCE/hidden_final.json             the test that was hidden; also hidden.json or hidden2.json
    SOURCE/images_perm0.zip              {train,dev,...}/<split>-<identifier>-0.png; or the same as folders

The authors' splits share their directories and 23 sentences. Here all examples of a sentence are in one split: all are
divided by sentence, or the authors' test and hidden files are the test, and what they share with train is left out of
train.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from knee_i2m2.data.left_out import PassedOver
from knee_i2m2.data.splits import SPLITS, split_by_patient
from knee_i2m2.errors import DataError
from knee_i2m2.files import sha256
from knee_i2m2.identity import canonical_text, joined_sentences
from knee_i2m2.sources.nlvr2.examples import Example, Examples, Line, examples, read_lines
from knee_i2m2.sources.nlvr2.folder import SourceFolder
from knee_i2m2.sources.nlvr2.pictures import Picture, listing

__all__ = ["read_nlvr", "sentence_key", "split_by_sentence", "split_officially"]

_FILES = {"train": ("train",), "dev": ("dev",), "test": ("test",), "hidden": ("hidden", "hidden_final", "hidden2")}
"""Part -> names of its file of examples, of which the first that is there is read."""
_TESTS = ("test", "hidden")
_LABELS = {"true": 1, "false": 0}
_ZIP = "images_perm0.zip"


def read_nlvr(
    source: Path, seed: int, out: Path | None = None, split: str = "sentence", labelled: bool = True
) -> Examples:
    """Returns the examples of all parts that are there; pictures are not opened.

    Args:
        source: The folder.
        seed: Of the split.
        out: What is written, whose files do not count where it lies in the source.
        split: By `sentence`; `official`, whose test and hidden files are the test; or `test`, which all examples are.
        labelled: Whether every example must have a label.

    Raises:
        DataError: There is no JSON file, one is damaged, or there are too few sentences.
    """
    folder = SourceFolder.of(source, out, _ZIP)
    named_files = {
        part: [path for name in names if (path := folder.json(name, part))] for part, names in _FILES.items()
    }
    files = {part: paths[0] for part, paths in named_files.items() if paths}
    if not files:
        hint = "point at NLVR's folder, or give the --layout it has"
        raise DataError(source, f"has none of {', '.join(f'{part}.json' for part in _FILES)}", hint)
    lines = {part: read_lines(path, r"\d+-\d+", _LABELS, labelled) for part, path in files.items()}
    named = {f"{part}-{line.identifier}": (part, line) for part in lines for line in lines[part]}
    pictures = {name: (_picture(folder, part, line),) for name, (part, line) in named.items()}
    unused = folder.unused(files.values(), pictures)
    sentences = {name: line.sentence for name, (_, line) in named.items()}
    joined = {"notes": joined_sentences(sentences.values(), "sentence", sentence_key)}
    notes: dict[str, str] = {}
    if split == "official":
        place, notes = split_officially({name: part for name, (part, _) in named.items()}, sentences, seed, source)
        shared = [name for name in named if name not in place]
        unused += [PassedOver(name, "sentence of test", "its sentence also stands in test") for name in shared]
    else:
        place = dict.fromkeys(named, "test") if split == "test" else split_by_sentence(sentences, seed, source)
    rows = [_example(name, line, place[name]) for name, (_, line) in named.items() if name in place]
    pictures = {name: pictures[name] for name in place}
    listed = listing([picture for one in pictures.values() for picture in one])
    hashes = {path.name: sha256(path) for path in (*files.values(), *folder.zips)}
    sources = hashes if folder.zips else {**hashes, "images/": listed}
    found = examples(rows, pictures, sources, notes | joined, unused, drawn=True)
    return _with_parts(found, {name: part for name, (part, _) in named.items()}) if split == "official" else found


def _with_parts(found: Examples, parts: Mapping[str, str]) -> Examples:
    """Returns examples with the column `part`, a subgroup, where several of the authors' files are the test."""
    part = found.index["sample"].map(parts)
    several = part[found.index["split"] == "test"].nunique() > 1
    return replace(found, index=found.index.assign(part=part)) if several else found


def split_officially(
    parts: Mapping[str, str], sentences: Mapping[str, str], seed: int, where: Path
) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the split of each example that is used, and what was done to get it.

    Test and hidden are the test. Where train or dev is missing, the other is divided: 15 % of its sentences are for
    validation. Examples of train and dev whose sentence also stands in the test are left out.

    Args:
        parts: Example -> the authors' part.
        sentences: Example -> its sentence.
        seed: Of a division.
        where: What an error names.

    Raises:
        DataError: There is no test, or nothing to train on.
    """
    keys = {name: sentence_key(sentence) for name, sentence in sentences.items()}
    tested = {keys[name] for name, part in parts.items() if part in _TESTS}
    kept = {name: part for name, part in parts.items() if part in _TESTS or keys[name] not in tested}
    learned = {part for part in kept.values() if part not in _TESTS}
    if not tested or not learned:
        missing = "test.json or hidden.json" if not tested else "train.json or dev.json with other sentences than test"
        raise DataError(where, f"has no {missing}, which --split official needs", "add it, or use --split sentence")
    names = {"train": "train", "dev": "val", **dict.fromkeys(_TESTS, "test")}
    split, notes = {name: names[part] for name, part in kept.items()}, {}
    if len(learned) == 1:
        split |= _train_and_val({name: keys[name] for name, part in kept.items() if part not in _TESTS}, seed, where)
        notes["division"] = f"{learned.pop()} is divided by sentence into train (85 %) and val, seed {seed}"
    lost = [name for name in parts if name not in kept]
    of_test = f"{len({keys[name] for name in lost})} of test also stand in train or dev"
    of_val = f"{_common(split, keys)} of val also stand in train"
    notes["shared sentences"] = f"{of_test}, whose {len(lost)} examples are left out; {of_val}"
    return split, notes


def _common(split: Mapping[str, str], keys: Mapping[str, str]) -> int:
    """Returns how many sentences train and val share."""
    return len(set.intersection(*({keys[name] for name, s in split.items() if s == which} for which in SPLITS[:2])))


def _train_and_val(keys: Mapping[str, str], seed: int, where: Path) -> dict[str, str]:
    """Returns train or val for each example, by its sentence."""
    if len(set(keys.values())) < 3:
        raise DataError(where, "has fewer than 3 sentences to train and validate on", "add more")
    table = pd.DataFrame(keys.items(), columns=["name", "patient"])
    return {name: "val" if split == "val" else "train" for name, split in split_by_patient(table, seed).items()}


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
    return canonical_text(sentence).rstrip(" .")


def _example(name: str, line: Line, split: str) -> Example:
    return Example(name, sentence_key(line.sentence), split, line.label, line.sentence, name)


def _picture(folder: SourceFolder, part: str, line: Line) -> Picture:
    root = folder.zips[0] if folder.zips else folder.root
    official = [root / part / "images" / line.directory] if line.directory else []
    return folder.picture(
        f"{part}-{line.identifier}-0", [root / part, root / _ZIP.removesuffix(".zip") / part, *official]
    )
