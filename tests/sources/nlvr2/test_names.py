"""Every file of a source of pictures and sentences is used or listed, however it is spelt."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knee_i2m2.cli import main
from knee_i2m2.errors import DataError
from knee_i2m2.sources.nlvr2 import PrepareNLVR2, prepare_nlvr2
from tests.sources.changes import Change, add, rename
from tests.sources.nlvr2.test_prepare import photograph, write_official

SMALL = PrepareNLVR2(Path("out"), side=16)


def prepared(tmp_path: Path, change: Change, config: PrepareNLVR2 = SMALL) -> Path:
    source = write_official(tmp_path / "nlvr2")
    change(source)
    prepare_nlvr2(source, replace(config, out=tmp_path / "out"))
    return tmp_path / "out"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared(tmp_path_factory.mktemp("plain"), lambda source: None)


SPELT = {
    "suffix in upper case": rename("images/dev/dev-0-0-img0.png", "images/dev/dev-0-0-img0.PNG"),
    "a JPEG's suffix": rename("images/dev/dev-0-1-img1.png", "images/dev/dev-0-1-img1.jpg"),
    "name in upper case": rename("images/test1/test1-2-1-img0.png", "images/test1/TEST1-2-1-IMG0.png"),
    "another directory": rename("images/train/0/train-0-0-img0.png", "images/train/99/train-0-0-img0.png"),
    "another root": rename("images/dev", "dev"),
    "deeper": rename("images/dev", "downloads/2024/dev"),
    "JSON in upper case": rename("data/dev.json", "data/DEV.JSON"),
    "folder in upper case": rename("data", "Data"),
}


@pytest.mark.parametrize("change", SPELT.values(), ids=SPELT.keys())
def test_another_spelling_is_the_same_file(plain: Path, tmp_path: Path, change: Change) -> None:
    out = prepared(tmp_path, change)
    for name in ("image.npy", "index.parquet", "left_out.csv"):
        assert (out / name).read_bytes() == (plain / name).read_bytes()


LISTED = {
    "a picture of no sentence": (add("images/dev/dev-7-0-img0.png", photograph(1)), "picture without a sentence"),
    "a third picture": (add("images/dev/dev-0-0-img2.png", photograph(1)), "picture without a sentence"),
    "a copy": (add("images/dev/copy/dev-0-0-img0.png", photograph(1)), "picture without a sentence"),
    "a blank": (add("images/dev/dev-0-0-img0 (1).png", photograph(1)), "picture without a sentence"),
    "unfinished": (add("images/dev/dev-0-0-img0.png.part"), "unfinished"),
    "hidden": (add("images/dev/._dev-0-0-img0.png"), "hidden"),
    "hidden folder": (add(".git"), "hidden"),
    "hidden test": (add("data/test2.json"), "no split's examples"),
    "subsets": (add("data/balanced/balanced_dev.json"), "no split's examples"),
    "lines": (add("data/dev.jsonl"), "no split's examples"),
    "text": (add("README.md"), "other file"),
    "zip": (add("images.zip"), "other file"),
}


@pytest.mark.parametrize(("change", "why"), LISTED.values(), ids=LISTED.keys())
def test_a_file_that_is_not_used_is_listed_with_its_reason(
    plain: Path, tmp_path: Path, change: Change, why: str
) -> None:
    before = {path for path in write_official(tmp_path / "before").rglob("*") if path.is_file()}
    out = prepared(tmp_path, change)
    rows = pd.read_csv(out / "left_out.csv")
    added = {path.relative_to(tmp_path / "nlvr2") for path in (tmp_path / "nlvr2").rglob("*") if path.is_file()}
    wanted = added - {path.relative_to(tmp_path / "before") for path in before}
    assert {*rows["picture"]} == {path.as_posix() for path in wanted} and {*rows["why"]} == {why}
    assert json.loads((out / "data.json").read_text())["passed_over"] == {why: 1}
    np.testing.assert_array_equal(np.load(out / "image.npy"), np.load(plain / "image.npy"))


def test_a_split_that_is_not_asked_for_is_listed(tmp_path: Path) -> None:
    out = prepared(tmp_path, lambda source: None, replace(SMALL, splits=["val"]))
    counts = pd.read_csv(out / "left_out.csv")["why"].value_counts().to_dict()
    assert counts == {"picture without a sentence": 28, "no split's examples": 2}


def test_files_of_examples_that_are_named_alike_and_differ_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dev\.json: differs from data/dev\.json, which is named alike; keep"):
        prepared(tmp_path, add("dev.json", b"{}"))


def test_what_is_written_into_the_source_is_not_listed(tmp_path: Path) -> None:
    source = write_official(tmp_path / "nlvr2")
    prepare_nlvr2(source, replace(SMALL, out=source / "prepared"))
    (source / "prepared/data.json").unlink()
    prepare_nlvr2(source, replace(SMALL, out=source / "prepared"))
    assert pd.read_csv(source / "prepared/left_out.csv").empty


def test_the_zip_of_nlvr_holds_pictures_that_no_sentence_is_about(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--layout", "nlvr", "--side", "8", "--out", str(tmp_path / "out")]
    assert main(["prepare", "nlvr2", str(shared_data / "nlvr"), *options]) == 0
    assert "passed over: 985 picture without a sentence" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "out/left_out.csv")["picture"].str.startswith("images_perm0.zip/hidden/").all()


LACK = {
    "one of a thousand": (1, 0.01, True),
    "none": (0, 0.0, True),
    "one, none allowed": (1, 0.0, False),
    "one, more allowed": (1, 0.2, True),
    "three": (3, 0.01, False),
    "all of a split": (4, 1.0, False),
}


@pytest.mark.parametrize(("pairs", "limit", "goes_on"), LACK.values(), ids=LACK.keys())
def test_more_examples_without_pictures_than_the_limit_are_an_error(
    tmp_path: Path, pairs: int, limit: float, goes_on: bool
) -> None:
    source = write_official(tmp_path / "nlvr2")
    if limit == 0.01 and goes_on:  # one example of 1 in 200
        lines = (source / "data/train.json").read_text().splitlines()
        more = [lines[-1].replace("train-3-1-1", f"train-3-1-{n}") for n in range(2, 300)]
        (source / "data/train.json").write_text("\n".join([*lines, *more]))
    for path in sorted((source / "images/dev").iterdir())[: 2 * pairs : 2]:
        path.unlink()
    config = replace(SMALL, out=tmp_path / "out", quarantine_limit=limit)
    if goes_on:
        assert prepare_nlvr2(source, config)["left_out"] == ({"missing": 2 * pairs} if pairs else {})
        return
    with pytest.raises(
        DataError, match=r"than --quarantine-limit .* allows; the first is|none of the 8 examples of val"
    ):
        prepare_nlvr2(source, config)
    assert not (tmp_path / "out").exists()


def test_half_of_nlvr_without_pictures_is_an_error(shared_data: Path, tmp_path: Path, capsys) -> None:
    source = tmp_path / "in"
    (source / "images_perm0").mkdir(parents=True)
    (source / "dev.json").write_bytes((shared_data / "nlvr/dev.json").read_bytes())
    identifiers = [json.loads(line)["identifier"] for line in (source / "dev.json").read_text().splitlines()]
    (source / "images_perm0/dev").mkdir()
    for number, identifier in enumerate(identifiers[::2]):
        (source / f"images_perm0/dev/dev-{identifier}-0.png").write_bytes(photograph(number))
    options = ["--layout", "nlvr", "--side", "8", "--out", str(tmp_path / "out")]
    assert main(["prepare", "nlvr2", str(source), *options]) == 3
    told = capsys.readouterr().err
    assert "494 of 989 examples lack a picture that can be used, more than --quarantine-limit 0.01 allows" in told
