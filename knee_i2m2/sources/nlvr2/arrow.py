"""NLVR2 in the arrow files of ViLT, METER and FIBER: `nlvr2_{train,dev,test1}.arrow`.

A row is a pair of pictures with all its sentences. The files do not keep the sentences' numbers, so an example is
named after its pair and its place in the row.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from knee_i2m2.errors import DataError
from knee_i2m2.files import reading, sha256
from knee_i2m2.sources.nlvr2.examples import Example, Examples, examples
from knee_i2m2.sources.nlvr2.files import LABELS, NAMES
from knee_i2m2.sources.nlvr2.folder import SourceFolder
from knee_i2m2.sources.nlvr2.pictures import opening

__all__ = ["ArrowPicture", "read_arrow"]

_PICTURES = ("image_0", "image_1")
_AGAIN = "make it again with ViLT's, METER's or FIBER's own script"
_reading = partial(reading, hint=_AGAIN, fault="is no readable arrow file", more=(pa.ArrowException,))
_PLACES = "sentences are numbered by their place in an arrow row, which need not be NLVR2's number"


@dataclass(frozen=True)
class ArrowPicture:
    """A picture within an arrow file, memory-mapped.

    Attributes:
        file: The arrow file.
        batch: Which record batch.
        row: Which of its rows.
        column: `image_0` or `image_1`.
        pair: Name of the row, for errors.
    """

    file: Path
    batch: int
    row: int
    column: str
    pair: str

    @property
    def path(self) -> Path:
        """The file, then the picture in it."""
        return self.file / f"{self.pair}-img{self.column[-1]}"

    def size(self) -> int | None:
        """Returns the bytes it has, None where the cell is empty."""
        value = self.value()
        return value.as_buffer().size if value.is_valid else None

    def content(self) -> bytes:
        """Returns these bytes; raises FileNotFoundError where the cell is empty."""
        value = self.value()
        if not value.is_valid:
            raise FileNotFoundError(self.path)
        return value.as_py()

    def value(self) -> pa.Scalar:
        """Returns what stands in the cell."""
        return _batch(self.file, self.batch, opening(self.file)).column(self.column)[self.row]


def read_arrow(source: Path, splits: Sequence[str], out: Path | None = None, labelled: bool = True) -> Examples:
    """Returns the examples of a folder of arrow files; pictures are not decoded.

    Args:
        source: The folder.
        splits: Which of train, val (`dev`) and test (`test1`).
        out: What is written, whose files do not count where it lies in the source.
        labelled: Whether every sentence must have an answer; of others the label is -1.

    Raises:
        DataError: A file is missing, no arrow file, lacks a column, or has a row that does not make sense.
    """
    rows, pictures, sources = [], {}, {}
    files = {split: _existing(source / f"nlvr2_{NAMES[split]}.arrow") for split in splits}
    for split, path in files.items():
        rows_of_file = [row for batch in range(_batches(path)) for row in _rows(path, batch, NAMES[split], labelled)]
        if not rows_of_file:
            raise DataError(path, "holds no example", _AGAIN)
        for row in rows_of_file:
            _refuse_other(row, pictures.setdefault(row.pair, row.pictures))
            cluster = row.pair.rpartition("-")[0]
            rows += [Example(name, cluster, split, label, text, row.pair) for name, text, label in row.sentences]
        sources[path.name] = sha256(path)
    _refuse_twice(source, rows)
    numbered = any(row.sample.startswith(f"{row.pair}-at") for row in rows)
    unused = SourceFolder.of(source, out).unused(files.values(), {})
    return examples(rows, pictures, sources, {"identifiers": _PLACES} if numbered else {}, unused)


class _Row(NamedTuple):
    pair: str
    pictures: tuple[ArrowPicture, ArrowPicture]
    sentences: list[tuple[str, str, int]]


def _existing(path: Path) -> Path:
    if path.is_file():
        return path
    hint = "point at the folder of arrow files, leave the split out with --splits, or give the --layout it has"
    raise DataError(path, "is not there", hint)


def _rows(path: Path, batch: int, name: str, labelled: bool) -> Iterator[_Row]:
    """Yields the rows of a record batch; those of texts are read, those of pictures are not."""
    table = _batch(path, batch, opening(path))
    _check_pictures(path, table)
    asked = _column(path, table, "question")
    without = not labelled and not {"answer", "answers"} & set(table.schema.names)
    answered = pa.nulls(table.num_rows) if without else _column(path, table, "answer")
    for row, identifier in enumerate(_column(path, table, "identifier").to_pylist()):
        answers = _answers(answered[row].as_py(), asked[row].as_py(), labelled)
        sentences = _sentences(path, identifier, asked[row].as_py(), answers, name)
        pair = "-".join(identifier.split("-")[:3])
        first, second = (ArrowPicture(path, batch, row, column, pair) for column in _PICTURES)
        yield _Row(pair, (first, second), sentences)


def _answers(answered: Any, asked: Any, labelled: bool) -> list:
    """Returns the answers of a row; None for each of its sentences where nobody gave one and none is needed."""
    if not labelled and answered in (None, []):
        return [None] * len(_listed(asked))
    answers = [str(_single(answer)) for answer in _listed(answered)]
    return answers if labelled else [None if answer == "None" else answer for answer in answers]


def _sentences(path: Path, identifier: Any, asked: Any, answers: list, name: str) -> list[tuple[str, str, int]]:
    """Returns sample, sentence and label of each sentence of a row.

    An identifier of a sentence is the sample's name; one of a pair is followed by `-at` and the place.
    """
    if not isinstance(identifier, str) or not re.fullmatch(rf"{name}-\d+-\d+(-\d+)?", identifier, re.ASCII):
        form = f"{name}-SET-PAIR or {name}-SET-PAIR-SENTENCE"
        raise DataError(path, f"has the identifier {identifier!r}, which is not of the form {form}", _AGAIN)
    sentences = _listed(asked)
    whole = identifier.count("-") == 3
    if not sentences or len(sentences) != len(answers) or (whole and len(sentences) > 1):
        counts = f"{len(sentences)} sentences with {len(answers)} answers"
        raise DataError(path, f"{identifier} has {counts}", _AGAIN)
    for sentence, answer in zip(sentences, answers, strict=True):
        if not isinstance(sentence, str) or not sentence.strip():
            raise DataError(path, f"{identifier} has {sentence!r} for a sentence", _AGAIN)
        if answer is not None and answer not in LABELS:
            raise DataError(path, f"{identifier} has the answer {answer!r}, not {' or '.join(LABELS)}", _AGAIN)
    names = [identifier] if whole else [f"{identifier}-at{place}" for place in range(len(sentences))]
    return list(zip(names, sentences, (LABELS.get(answer, -1) for answer in answers), strict=True))


def _listed(value: Any) -> list:
    return list(value) if isinstance(value, list) else [] if value is None else [value]


def _single(answer: Any) -> Any:
    """Returns the one answer of a list, as VQA's tables have them."""
    return answer[0] if isinstance(answer, list) and len(answer) == 1 else str(answer)


def _column(path: Path, table: pa.RecordBatch, noun: str) -> pa.Array:
    """Returns the column of that name or of its plural."""
    for name in (noun, f"{noun}s"):
        if name in table.schema.names:
            return table.column(name)
    has = ", ".join(table.schema.names)
    raise DataError(path, f"has no column {noun} or {noun}s but {has}", _AGAIN)


def _check_pictures(path: Path, table: pa.RecordBatch) -> None:
    for column in _PICTURES:
        if column not in table.schema.names:
            raise DataError(path, f"has no column {column} but {', '.join(table.schema.names)}", _AGAIN)
        kind = table.schema.field(column).type
        if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
            raise DataError(path, f"has {column} of type {kind}, not the bytes of pictures", _AGAIN)


def _batches(path: Path) -> int:
    return _reader(path, opening(path)).num_record_batches


@lru_cache(maxsize=4)
def _reader(path: Path, key: tuple[int, ...]) -> pa.RecordBatchFileReader:
    """Returns an arrow file that is open under a key."""
    with _reading(path):
        return pa.ipc.open_file(pa.memory_map(str(path)))


@lru_cache(maxsize=4)
def _batch(path: Path, batch: int, key: tuple[int, ...]) -> pa.RecordBatch:
    """Returns a record batch whose offsets and texts are valid."""
    with _reading(path):
        table = _reader(path, key).get_batch(batch)
        table.validate(full=True)
        return table


def _refuse_other(row: _Row, known: tuple[ArrowPicture, ArrowPicture]) -> None:
    """Raises DataError where a pair that stood before has other pictures now."""
    for one, other in zip(row.pictures, known, strict=True):
        if one != other and one.value() != other.value():
            raise DataError(one.path, "has other bytes in another row of the same pair", _AGAIN)


def _refuse_twice(source: Path, rows: Sequence[Example]) -> None:
    for name, count in Counter(row.sample for row in rows).items():
        if count > 1:
            raise DataError(source, f"holds the example {name} {count} times", _AGAIN)
