"""The arrow files of ViLT, METER and FIBER give the examples and the pictures of the official folder."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from knee_i2m2.errors import DataError
from knee_i2m2.sources.nlvr2 import PrepareNLVR2, prepare_nlvr2, read_examples

ARROW = PrepareNLVR2(Path("out"), layout="arrow", side=16)
NAMES = {"train": "train", "val": "dev", "test": "test1"}


def photograph(seed: int, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(256, size=(20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


def table(name: str, rows: int = 3) -> dict[str, list]:
    """What ViLT's script writes: one row a pair, with lists of its sentences and answers."""
    return {
        "image_0": [photograph(i) for i in range(rows)],
        "image_1": [photograph(100 + i, "JPEG") for i in range(rows)],
        "questions": [[f"Sentence {j} of {i}." for j in range(i + 1)] for i in range(rows)],
        "answers": [[str((i + j) % 2 == 0) for j in range(i + 1)] for i in range(rows)],
        "identifier": [f"{name}-{i}-0" for i in range(rows)],
    }


def write(path: Path, columns: dict[str, list], batch: int | None = None) -> None:
    written = pa.Table.from_pandas(pd.DataFrame(columns))
    with pa.OSFile(str(path), "wb") as sink, pa.RecordBatchFileWriter(sink, written.schema) as writer:
        writer.write_table(written, max_chunksize=batch)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "arrow").mkdir()
    for name in NAMES.values():
        write(tmp_path / "arrow" / f"nlvr2_{name}.arrow", table(name))
    return tmp_path / "arrow"


def test_rows_become_examples_and_their_bytes_pictures(source: Path, tmp_path: Path) -> None:
    data = prepare_nlvr2(source, replace(ARROW, out=tmp_path / "out"))
    index, array = pd.read_parquet(tmp_path / "out/index.parquet"), np.load(tmp_path / "out/image.npy")
    val = index[index["split"] == "val"]
    assert list(val["sample"]) == [f"dev-{i}-0-at{j}" for i in range(3) for j in range(i + 1)]
    assert list(val["sentence"]) == [f"Sentence {j} of {i}." for i in range(3) for j in range(i + 1)]
    assert list(val["label"]) == [int((i + j) % 2 == 0) for i in range(3) for j in range(i + 1)]
    assert list(val["pair"]) == [f"dev-{i}-0" for i in range(3) for _ in range(i + 1)]
    assert list(val["cluster"]) == [f"dev-{i}" for i in range(3) for _ in range(i + 1)]
    assert array.shape == (9, 6, 16, 16) and "place in an arrow row" in data["identifiers"]
    for i, row in zip([0, 1, 1, 2, 2, 2], val["row"], strict=True):
        pictures = [Image.open(io.BytesIO(found)) for found in (photograph(i), photograph(100 + i, "JPEG"))]
        wanted = [np.asarray(p.resize((16, 16), Image.Resampling.BICUBIC)).transpose(2, 0, 1) for p in pictures]
        np.testing.assert_array_equal(array[row], np.concatenate(wanted))


def test_record_batches_lists_of_lists_and_processes_change_nothing(source: Path, tmp_path: Path) -> None:
    prepare_nlvr2(source, replace(ARROW, out=tmp_path / "one"))
    columns = table("dev")
    write(source / "nlvr2_dev.arrow", columns | {"answers": [[[a] for a in some] for some in columns["answers"]]}, 1)
    prepare_nlvr2(source, replace(ARROW, out=tmp_path / "two", jobs=2))
    for name in ("index.parquet", "image.npy"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_row_may_be_one_sentence_with_its_identifier(source: Path, tmp_path: Path) -> None:
    columns = {
        "image_0": [photograph(0)] * 2,
        "image_1": [photograph(1)] * 2,
        "question": ["There is a dog.", "There is no dog."],
        "answer": ["True", "False"],
        "identifier": ["dev-5-0-3", "dev-5-0-4"],
    }
    write(source / "nlvr2_dev.arrow", columns)
    found = read_examples(source, replace(ARROW, splits=["val"]))
    assert list(found.index["sample"]) == ["dev-5-0-3", "dev-5-0-4"] and set(found.index["pair"]) == {"dev-5-0"}
    assert list(found.index["label"]) == [1, 0] and found.notes == {}


def test_broken_and_missing_bytes_are_listed(source: Path, tmp_path: Path) -> None:
    columns = table("test1")
    columns["image_1"][1], columns["image_0"][2] = None, b"no picture"
    write(source / "nlvr2_test1.arrow", columns)
    data = prepare_nlvr2(source, replace(ARROW, out=tmp_path / "out", quarantine_limit=1.0))
    rows = pd.read_csv(tmp_path / "out/left_out.csv")
    assert data["left_out"] == {"missing": 2, "unreadable": 3}
    assert list(rows["picture"].unique()) == ["nlvr2_test1.arrow/test1-1-0-img1", "nlvr2_test1.arrow/test1-2-0-img0"]


def columns(**change: Any) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        found = {name: values for name, values in (table("dev") | change).items() if values is not ...}
        write(path, found)

    return spoil


OTHER = table("dev") | {
    "identifier": ["dev-1-0-0", "dev-1-0-1", "dev-2-0-0"],
    "questions": [["a"]] * 3,
    "answers": [["True"]] * 3,
}
BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.unlink(), "nlvr2_dev.arrow: is not there; point"),
    "no arrow": (lambda path: path.write_bytes(b"PAR1 not arrow"), "nlvr2_dev.arrow: is no readable arrow file ("),
    "empty": (lambda path: path.write_bytes(b""), "nlvr2_dev.arrow: is no readable arrow file ("),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:2000]), "is no readable arrow file ("),
    "no rows": (lambda path: write(path, table("dev", 1), 1) or _none(path), "holds no example"),
    "no questions": (columns(questions=...), "has no column question or questions but image_0"),
    "no picture": (columns(image_1=...), "has no column image_1 but image_0"),
    "paths": (columns(image_0=["a", "b", "c"]), "string, not the bytes of pictures"),
    "another split": (
        columns(identifier=["test1-0-0"] * 3),
        "has the identifier 'test1-0-0', which is not of the form dev-SET",
    ),
    "answers": (columns(answers=[["True"], ["True"], ["True"]]), "dev-1-0 has 2 sentences with 1 answers"),
    "numbers": (columns(answers=[["1"], ["0", "1"], ["0", "0", "0"]]), "dev-0-0 has the answer '1', not True or False"),
    "several answers": (
        columns(answers=[[["True", "False"]], [["True"]] * 2, [["True"]] * 3]),
        "dev-0-0 has the answer",
    ),
    "empty sentence": (columns(questions=[[""], ["a", "b"], ["a", "b", "c"]]), "dev-0-0 has '' for a sentence"),
    "twice": (columns(identifier=["dev-0-0", "dev-1-0", "dev-1-0"]), "has other bytes in another row of the same pair"),
    "one sentence": (columns(identifier=["dev-0-0-0", "dev-1-0-0", "dev-2-0-0"]), "dev-1-0-0 has 2 sentences with 2"),
    "other pictures": (lambda path: write(path, OTHER), "dev-1-0-img0: has other bytes in another row"),
}


def _none(path: Path) -> None:
    with pa.ipc.open_file(str(path)) as opened:
        schema = opened.schema
    with pa.OSFile(str(path), "wb") as sink, pa.RecordBatchFileWriter(sink, schema):
        pass


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_arrow_file_is_a_sentence(source: Path, tmp_path: Path, fault: str) -> None:
    spoil, sentence = BAD[fault]
    spoil(source / "nlvr2_dev.arrow")
    with pytest.raises(DataError) as caught:
        prepare_nlvr2(source, replace(ARROW, out=tmp_path / "out"))
    assert sentence in str(caught.value) and not (tmp_path / "out").exists()


def test_an_example_that_stands_twice_is_refused(source: Path) -> None:
    same = {name: values[:1] * 2 for name, values in table("dev").items()}
    write(source / "nlvr2_dev.arrow", same)
    with pytest.raises(DataError, match="holds the example dev-0-0-at0 2 times"):
        read_examples(source, replace(ARROW, splits=["val"]))


UNLABELLED = {
    "no column": ...,
    "nulls": [None, None, None],
    "empty lists": [[], [], []],
    "lists of nulls": [[None], [None, None], [None, None, None]],
    "lists of lists of nulls": [[[None]], [[None], [None]], [[None]] * 3],
    "some answers": [["True"], [None, "False"], None],
}


@pytest.mark.parametrize("answers", UNLABELLED)
def test_new_rows_need_no_answers_and_others_do(source: Path, tmp_path: Path, answers: str) -> None:
    columns(answers=UNLABELLED[answers])(source / "nlvr2_dev.arrow")
    with pytest.raises(DataError, match=r"has no column answer|dev-\d-0 has (\d sentences with|the answer 'None')"):
        prepare_nlvr2(source, replace(ARROW, out=tmp_path / "out"))
    new = replace(ARROW, out=tmp_path / "out", unlabelled=True, splits=["val"])
    labels = read_examples(source, new).index["label"].tolist()
    assert labels == ([1, -1, 0, -1, -1, -1] if answers == "some answers" else [-1] * 6)
