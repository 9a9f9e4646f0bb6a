"""NLVR2 prepared: two pictures and a sentence, true or false (Suhr et al., 2019), or NLVR with one picture.

::

    OUT/index.parquet    one row an example: sample, cluster, split, label, sentence, pair, sided, row
    OUT/image.npy        uint8 (pairs, 3 pictures, side, side): red, green, blue of the left picture, then the right
    OUT/left_out.csv     examples whose pictures are missing or broken, files that no example needs, and why
    OUT/placeholders.csv pictures that decode but look like the placeholder of one that is gone; they are kept
    OUT/data.json        settings, counts, SHA-256 of every source; written last

A pair is stored once, however many sentences speak of it. All of NLVR2 at 384 pixels takes about 50 GB. Sentences are
tokenised where the tokenisers are, in the experts.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple

import numpy as np
import pandas as pd

from knee_i2m2.data.left_out import check_limit, files_in, refuse_many, write_table
from knee_i2m2.data.parallel import in_parallel
from knee_i2m2.data.splits import SPLITS, sizes
from knee_i2m2.data.writing import finish_prepared, finished, npy_header
from knee_i2m2.errors import ConfigError, DataError, check_seed, suggestion
from knee_i2m2.files import whole, writing
from knee_i2m2.sources.nlvr2.arrow import read_arrow
from knee_i2m2.sources.nlvr2.examples import Examples
from knee_i2m2.sources.nlvr2.files import NAMES, read_files
from knee_i2m2.sources.nlvr2.nlvr import read_nlvr
from knee_i2m2.sources.nlvr2.pictures import Decoded, Fault, Look, Picture, missing, read_pictures
from knee_i2m2.types import Progress, silent

__all__ = ["Layout", "PrepareNLVR2", "left_out", "prepare_nlvr2", "read_examples", "splits_in"]

Layout = Literal["files", "arrow", "nlvr"]
"""NLVR2's own files, the arrow files of ViLT, METER and FIBER, or NLVR's own files."""

_SIDES = (8, 1024)
_MANY = 4
"""A photograph of the benchmark stands in one pair, seldom in two: one that stands so often is none of it."""
_FLAWS = {"tiny": "is smaller than 8 pixels", "one colour": "is of one colour"}
_AT_ONCE = 512
"""Pairs under way: what several processes have finished waits in memory."""


@dataclass
class PrepareNLVR2:
    """Reads picture pairs with their sentences; an example without its pictures is left out and listed.

    Attributes:
        out: Folder to write.
        layout: files: NLVR2's own folder; arrow: the files of ViLT, METER and FIBER; nlvr: version 1, one picture.
        side: Rows and columns of a picture in pixels, resized without a crop.
        splits: Which are prepared: train val test.
        split: Of NLVR: by sentence (the default), or official, whose test and hidden files stay the test; NLVR2's
            splits are its authors'.
        seed: Of a split by sentence.
        jobs: Processes; they do not change a byte.
        unlabelled: Examples may lack a label, as new data do; with `--splits test`, all of NLVR's are the test.
        quarantine_limit: The largest share of the examples that may lack a picture, and of the pictures that may look
            like placeholders.
    """

    out: Path
    layout: Layout = "files"
    side: int = 384
    splits: list[str] = field(default_factory=lambda: list(SPLITS))
    split: Literal["sentence", "official"] | None = None
    seed: int = 0
    jobs: int = 1
    unlabelled: bool = False
    quarantine_limit: float = 0.01


SETTINGS = ("layout", "side", "splits", "split", "seed")
"""The options that the content depends on."""


def prepare_nlvr2(source: Path, /, config: PrepareNLVR2, progress: Progress = silent) -> dict[str, Any]:
    """Writes `image.npy`, `left_out.csv`, `index.parquet` and, last, `data.json`; what is finished is not made again.

    Args:
        source: The folder.
        config: How the examples are prepared, and where to.
        progress: Called after every pair.

    Returns:
        What stands in `data.json`.

    Raises:
        ConfigError: An option is out of range, or `out` was prepared otherwise.
        DataError: The source is missing or damaged, no example of a split has its pictures, or `out` cannot be
            written.
    """
    out, examples = config.out, read_examples(source, config)
    about = {"task": "nlvr2", "targets": ["label"], "classes": 2, **examples.notes}
    settings = {name: getattr(config, name) for name in SETTINGS}
    wanted = json.loads(json.dumps({**about, "settings": settings, "sources": dict(examples.sources)}))
    if existing := finished(out, wanted):
        return existing
    with writing(out):
        (out / "data.json").unlink(missing_ok=True)
    gone = _missing(examples.pictures)
    _check_left_out(source, examples, gone, config)  # before hours of work
    pictures = len(next(iter(examples.pictures.values())))
    shape = (3 * pictures, config.side, config.side)
    with whole(out / "image.npy") as path:
        with path.open("wb") as opened:
            filled = _fill(opened, examples.pictures, gone, shape, progress, config.jobs)
        index = _index(examples.index, filled.rows)
        table = _check_left_out(source, examples, filled.faults, config)
        doubtful = _doubtful(filled.looks, examples, source, config)
    unused = pd.DataFrame(examples.unused, columns=["picture", "why", "reason"])
    write_table(out / "left_out.csv", pd.concat([table, unused])[list(table)])
    write_table(out / "placeholders.csv", doubtful)
    image = {"shape": list(shape), "dtype": "uint8", "scale": 1 / 255, "pictures": pictures}
    counts = sizes(index, {"samples": "sample", "pairs": "pair", "clusters": "cluster"}, ["label"], config.splits)
    data = {**wanted, "modalities": {"image": image}, "counts": counts, "beside": ["left_out.csv", "placeholders.csv"]}
    data["left_out"] = dict(sorted(Counter(table["why"]).items()))
    data["passed_over"] = dict(sorted(Counter(unused["why"]).items()))
    data["placeholders"] = dict(sorted(Counter(doubtful["why"]).items()))
    finish_prepared(out, index, data)
    return data


def read_examples(source: Path, config: PrepareNLVR2) -> Examples:
    """Returns the examples of a source, whose pictures have not been opened.

    Raises:
        ConfigError: An option is out of range.
        DataError: The source is missing or damaged.
    """
    _check(config)
    if config.layout == "nlvr":
        split = "test" if config.splits == ["test"] else config.split or "sentence"
        return read_nlvr(source, config.seed, config.out, split, not config.unlabelled)
    if config.layout == "arrow":
        return read_arrow(source, config.splits, config.out, not config.unlabelled)
    return read_files(source, config.splits, config.out, not config.unlabelled)


def splits_in(source: Path, layout: Layout) -> list[str]:
    """Returns the splits of new data of which there are files; `test` where there are none, or of NLVR."""
    files = {path.name.lower() for path in files_in(source)} if source.is_dir() else set()
    named = {"files": "{}.json", "arrow": "nlvr2_{}.arrow", "nlvr": ""}[layout]
    return [split for split, name in NAMES.items() if named.format(name) in files] or ["test"]


def left_out(index: pd.DataFrame, faults: Mapping[str, Fault], source: Path) -> pd.DataFrame:
    """Returns `sample,split,picture,why,reason`, one row an example that is left out.

    Args:
        index: All examples.
        faults: Pair -> its fault.
        source: What the paths of pictures are relative to.
    """
    rows = index.loc[index["pair"].isin(list(faults)), ["sample", "split", "pair"]]
    reasons = [faults[pair] for pair in rows["pair"]]
    columns = {"picture": [_relative(source, fault.picture) for fault in reasons]}
    columns |= {"why": [fault.why for fault in reasons], "reason": [fault.reason for fault in reasons]}
    return rows[["sample", "split"]].reset_index(drop=True).assign(**columns)


def _check(config: PrepareNLVR2) -> None:
    check_seed(config.seed)
    check_limit(config.quarantine_limit)
    low, high = _SIDES
    if not low <= config.side <= high:
        raise ConfigError(f"--side {config.side}: give {low} to {high} pixels, such as 384")
    for split in config.splits:
        if split not in SPLITS:
            raise ConfigError(f"--splits {split}: there is no such split; {suggestion(split, SPLITS)}")
    if not config.splits or len(set(config.splits)) < len(config.splits):
        raise ConfigError(f"--splits {' '.join(config.splits)}: name each split once, and at least one")
    if config.layout != "nlvr" and config.split == "sentence":
        raise ConfigError("--split sentence goes with --layout nlvr: NLVR2's splits are its authors'; leave it out")
    new = config.unlabelled and config.splits == ["test"]
    if config.layout == "nlvr" and set(config.splits) != set(SPLITS) and not new:
        raise ConfigError("--splits does not go with --layout nlvr: its sentences are divided into all three")


class _Filled(NamedTuple):
    """What became of the pairs: their rows in the array, their faults, and how their pictures look."""

    rows: dict[str, int]
    faults: dict[str, Fault]
    looks: dict[str, tuple[Look, ...]]


def _missing(pictures: Mapping[str, tuple[Picture, ...]]) -> dict[str, Fault]:
    """Returns pair -> fault, where a picture is not there."""
    absent = ((pair, next((one for one in both if one.size() is None), None)) for pair, both in pictures.items())
    return {pair: missing(picture) for pair, picture in absent if picture is not None}


def _fill(
    opened: BinaryIO,
    pictures: Mapping[str, tuple[Picture, ...]],
    gone: Mapping[str, Fault],
    shape: tuple[int, ...],
    progress: Progress,
    jobs: int,
) -> _Filled:
    """Writes the array of the pairs that are not known to be gone."""
    opened.write(npy_header((len(pictures), *shape), "uint8"))
    filled = _Filled({}, dict(gone), {})
    there = {pair: both for pair, both in pictures.items() if pair not in gone}
    for done, (pair, values) in enumerate(_read(there, shape[-1], jobs), 1):
        if isinstance(values, Fault):
            filled.faults[pair] = values
        else:
            filled.rows[pair], filled.looks[pair] = len(filled.rows), values.looks
            opened.write(values.pixels.tobytes())
        progress("pictures", done, len(there))
    opened.seek(0)  # numpy's header has room for any number of rows
    opened.write(npy_header((len(filled.rows), *shape), "uint8"))
    return filled


def _read(pictures: Mapping[str, tuple[Picture, ...]], side: int, jobs: int) -> Iterator[tuple[str, Decoded | Fault]]:
    """Yields every pair with its pictures or its fault."""
    pairs = iter(pictures.items())
    while some := list(islice(pairs, _AT_ONCE)):
        worked = in_parallel(partial(read_pictures, side), [pair for _, pair in some], jobs)
        yield from zip((name for name, _ in some), worked, strict=True)


def _doubtful(
    looks: Mapping[str, tuple[Look, ...]], examples: Examples, source: Path, config: PrepareNLVR2
) -> pd.DataFrame:
    """Returns `picture,why,reason` of every picture that looks like the placeholder of one that is gone.

    Raises:
        DataError: They are too many.
    """
    every = [look for both in looks.values() for look in both]
    copies, rows = Counter(look.digest for look in every), []
    for look in every:
        same = 0 if examples.drawn else copies[look.digest]
        if look.flaw or same >= _MANY:
            reason = _FLAWS.get(look.flaw) or f"the same picture stands {same} times"
            rows.append((_relative(source, look.picture), look.flaw or "identical", reason))
    fault = "pictures look like placeholders of pictures that are gone"
    first = ", ".join(rows[0][::2]) if rows else ""
    refuse_many(source, len(rows), len(every), fault, config.quarantine_limit, first)
    return pd.DataFrame(rows, columns=["picture", "why", "reason"])


def _index(index: pd.DataFrame, rows: Mapping[str, int]) -> pd.DataFrame:
    """Returns the examples whose pictures are there, with their row in the array."""
    kept = index[index["pair"].isin(list(rows))].reset_index(drop=True)
    return kept.assign(row=kept["pair"].map(rows).astype(np.int64))


def _check_left_out(
    source: Path, examples: Examples, faults: Mapping[str, Fault], config: PrepareNLVR2
) -> pd.DataFrame:
    """Returns the table of the examples that are left out.

    Raises:
        DataError: They are too many, or all of a split.
    """
    table, index = left_out(examples.index, faults, source), examples.index
    first = ", ".join(table[["picture", "reason"]].iloc[0]) if len(table) else ""
    for split in config.splits:
        lost = int((table["split"] == split).sum())
        if lost and lost == (index["split"] == split).sum():
            reason = f"none of the {lost} examples of {split} has its pictures (the first, {first})"
            hint = "" if config.layout == "nlvr" else ", or leave the split out with --splits"
            raise DataError(source, reason, f"put them where they belong{hint}")
    fault = "examples lack a picture that can be used"
    refuse_many(source, len(table), len(index), fault, config.quarantine_limit, first)
    return table


def _relative(source: Path, picture: str) -> str:
    path = Path(picture)
    return str(path.relative_to(source)) if path.is_relative_to(source) else str(path)
