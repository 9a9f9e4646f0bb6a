"""NLVR2 is read as it is published, what cannot be used is listed, and nothing is replaced."""

from __future__ import annotations

import io
import json
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from knee_i2m2.data.prepared import Prepared
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.recipes.nlvr2_data import prepare
from knee_i2m2.sources.nlvr2 import PrepareNLVR2, prepare_nlvr2, read_examples
from knee_i2m2.sources.nlvr2.examples import is_sided
from knee_i2m2.sources.nlvr2.pictures import decode, read_pictures

SMALL = PrepareNLVR2(Path("out"), side=16)
LISTING = replace(SMALL, quarantine_limit=1.0)
NAMES = {"train": "train", "val": "dev", "test": "test1"}
SETS = {"train": 4, "val": 2, "test": 3}
COLUMNS = ["sample", "series", "cluster", "balance", "split", "label", "sentence", "pair", "sided", "row"]


def photograph(seed: int, kind: str = "PNG", mode: str = "RGB") -> bytes:
    random, content = np.random.default_rng(seed), io.BytesIO()
    pixels = random.integers(256, size=(int(random.integers(9, 40)), int(random.integers(9, 40)), 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(content, kind)
    return content.getvalue()


def told(split: str) -> list[dict[str, Any]]:
    """Two sentences on each of two pairs of every set, in the keys of NLVR2."""
    lines = []
    for number in range(SETS[split]):
        for pair, sentence in np.ndindex(2, 2):
            line = {
                "sentence": f"Sentence {sentence} of set {number} says left — “öl”.",
                "left_url": "http://x",
                "label": str(pair == sentence),
            }
            line["identifier"] = f"{NAMES[split]}-{number}-{pair}-{sentence}"
            lines.append(line | ({"directory": number % 3} if split == "train" else {}))
    return lines


def write_official(folder: Path, data: str = "data", images: str = "images") -> Path:
    for seed, split in enumerate(NAMES):
        lines = told(split)
        (folder / data).mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (folder / data / f"{NAMES[split]}.json").write_text(text, encoding="utf-8")
        for line in lines:
            place = folder / images / NAMES[split] / str(line.get("directory", ""))
            place.mkdir(parents=True, exist_ok=True)
            stem = line["identifier"].rpartition("-")[0]
            for i in (0, 1):
                number = 1000 * seed + 10 * int(stem.split("-")[1]) + 2 * int(stem.split("-")[2]) + i
                (place / f"{stem}-img{i}.png").write_bytes(photograph(number))
    return folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_official(tmp_path_factory.mktemp("official"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_official(tmp_path / "nlvr2")


@pytest.fixture(scope="module")
def made(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "data"
    prepare_nlvr2(sound, replace(SMALL, out=out))
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def resized(path: Path, side: int) -> np.ndarray:
    image = Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(image).transpose(2, 0, 1)


def files(folder: Path, stem: str) -> list[Path]:
    return [next(folder.rglob(f"{stem}-img{i}.png")) for i in (0, 1)]


def test_every_example_is_read_as_it_is_written(made: Path) -> None:
    index = pd.read_parquet(made / "index.parquet")
    lines = [(split, line) for split in NAMES for line in told(split)]
    assert list(index.columns) == COLUMNS
    assert list(index["sample"]) == [line["identifier"] for _, line in lines]
    assert list(index["sentence"]) == [line["sentence"] for _, line in lines]
    assert list(index["label"]) == [int(line["label"] == "True") for _, line in lines]
    assert list(index["split"]) == [split for split, _ in lines]
    assert list(index["cluster"]) == ["-".join(line["identifier"].split("-")[:2]) for _, line in lines]
    sentence = ["-".join(np.array(line["identifier"].split("-"))[[0, 1, 3]]) for _, line in lines]
    assert len(set(zip(sentence, index["series"], strict=True))) == len(set(sentence)) == index["series"].nunique()
    true_and_false = index.groupby("pair")["label"].nunique()[index["pair"]].to_numpy() == 2
    assert ((index["balance"] == "balanced") == true_and_false).all() and index["sided"].all()


def test_a_batch_holds_the_pictures_of_its_sentences(sound: Path, made: Path) -> None:
    for split in NAMES:
        samples = Prepared.open(made, split)
        batch = samples[list(range(len(samples)))]
        for place, stem in enumerate(samples.index["pair"]):
            wanted = np.concatenate([resized(path, 16) for path in files(sound, stem)])
            np.testing.assert_allclose(batch.x["image"][place].numpy() * 255, wanted, atol=1e-3)
        assert batch.y.tolist() == samples.index["label"].tolist()
        assert (samples.task.name, samples.task.targets, samples.task.classes) == ("nlvr2", ("label",), 2)


def test_a_pair_is_stored_once_however_many_sentences_speak_of_it(made: Path) -> None:
    index, array = pd.read_parquet(made / "index.parquet"), np.load(made / "image.npy", mmap_mode="r")
    assert array.shape == (2 * 9, 6, 16, 16) and array.dtype == np.uint8
    assert (index.groupby("pair")["row"].nunique() == 1).all() and index["row"].nunique() == len(array)
    data = json.loads((made / "data.json").read_text())
    assert data["counts"]["train"] == {"samples": 16, "pairs": 8, "clusters": 4, "positives": {"label": 8}}
    assert data["modalities"]["image"]["pictures"] == 2 and data["left_out"] == {}


@pytest.mark.parametrize(("data", "images"), [("data", ""), ("", "images"), ("", "")])
def test_folders_may_be_left_out(sound: Path, made: Path, tmp_path: Path, data: str, images: str) -> None:
    prepare_nlvr2(write_official(tmp_path / "in", data, images), replace(SMALL, out=tmp_path / "out"))
    assert contents(tmp_path / "out") == contents(made)


def test_train_pictures_may_stand_in_one_folder(source: Path, made: Path, tmp_path: Path) -> None:
    for path in list((source / "images/train").rglob("*.png")):
        path.rename(source / "images/train" / path.name)
    prepare_nlvr2(source, replace(SMALL, out=tmp_path / "out"))
    assert (tmp_path / "out/image.npy").read_bytes() == (made / "image.npy").read_bytes()


def test_a_byte_order_mark_and_windows_line_ends_do_not_matter(source: Path, made: Path, tmp_path: Path) -> None:
    path = source / "data/dev.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    prepare_nlvr2(source, replace(SMALL, out=tmp_path / "out"))
    assert (tmp_path / "out/index.parquet").read_bytes() == (made / "index.parquet").read_bytes()


def test_several_processes_change_no_byte(sound: Path, made: Path, tmp_path: Path) -> None:
    prepare(sound, PrepareNLVR2(out=tmp_path / "out", side=16, jobs=2))
    assert contents(tmp_path / "out") == contents(made)


def test_what_is_finished_is_not_made_again_and_other_options_are_refused(sound: Path, made: Path) -> None:
    before, news = {path: path.stat().st_mtime_ns for path in made.iterdir()}, []
    assert prepare_nlvr2(sound, replace(SMALL, out=made), lambda *n: news.append(n)) == json.loads(
        (made / "data.json").read_text()
    )
    assert (before, news) == ({path: path.stat().st_mtime_ns for path in made.iterdir()}, [])
    with pytest.raises(ConfigError, match="was prepared with side 16, not 24"):
        prepare_nlvr2(sound, replace(SMALL, out=made, side=24))


def test_added_pictures_are_noticed(source: Path, tmp_path: Path) -> None:
    path = source / "images/dev/dev-0-0-img1.png"
    path.rename(tmp_path / "kept.png")
    prepare_nlvr2(source, replace(LISTING, out=tmp_path / "out"))
    (tmp_path / "kept.png").rename(path)
    with pytest.raises(ConfigError, match="was prepared with another images/"):
        prepare_nlvr2(source, replace(LISTING, out=tmp_path / "out"))


def test_an_interrupted_run_does_not_look_finished_and_the_next_ends_it(
    sound: Path, made: Path, tmp_path: Path
) -> None:
    def interrupt(work: str, done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare_nlvr2(sound, replace(SMALL, out=tmp_path / "out"), interrupt)
    assert list((tmp_path / "out").iterdir()) == []
    prepare_nlvr2(sound, replace(SMALL, out=tmp_path / "out"))
    assert contents(tmp_path / "out") == contents(made)


def bomb() -> bytes:
    """A PNG that announces 30,000 x 30,000 pixels in a few bytes."""
    header = b"IHDR" + (30_000).to_bytes(4, "big") * 2 + bytes((8, 2, 0, 0, 0))
    chunks = (header, b"IDAT" + zlib.compress(bytes(1000)))
    sizes = ((len(chunk) - 4).to_bytes(4, "big") for chunk in chunks)
    sums = (zlib.crc32(chunk).to_bytes(4, "big") for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        size + chunk + crc for size, chunk, crc in zip(sizes, chunks, sums, strict=True)
    )


def wide(side: int) -> bytes:
    content = io.BytesIO()
    Image.new("1", (side, side)).save(content, "PNG")
    return content.getvalue()


def sixteen_bits() -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(content, "PNG")
    return content.getvalue()


BROKEN: dict[str, tuple[bytes | None, str, str]] = {
    "missing": (None, "missing", "is not there"),
    "empty": (b"", "unreadable", "is neither PNG nor JPEG"),
    "a web page": (b"<html>404</html>", "unreadable", "is neither PNG nor JPEG"),
    "another format": (photograph(0, "BMP"), "unreadable", "is neither PNG nor JPEG"),
    "cut in its header": (photograph(0)[:20], "unreadable", "is damaged ("),
    "truncated": (photograph(0)[:200], "unreadable", "is damaged ("),
    "truncated JPEG": (photograph(0, "JPEG")[:-40], "unreadable", "is damaged ("),
    "bits flipped": (photograph(0)[:60] + b"????" + photograph(0)[64:], "unreadable", "is damaged ("),
    "bomb": (bomb(), "unreadable", "is too large (Image size (900000000 pixels)"),
    "large": (wide(7100), "unreadable", "has 7100 x 7100 pixels, more than the 50 million"),
    "16 bits": (sixteen_bits(), "unreadable", "has pixels of mode I;16, not 8 bits a channel"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_missing_or_broken_picture_is_listed_and_its_examples_left_out(
    source: Path, made: Path, tmp_path: Path, fault: str
) -> None:
    content, why, reason = BROKEN[fault]
    path = source / "images/train/1/train-1-1-img1.png"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    data = prepare_nlvr2(source, replace(LISTING, out=tmp_path / "out"))
    table = pd.read_csv(tmp_path / "out/left_out.csv")
    assert list(table.columns) == ["sample", "split", "picture", "why", "reason"]
    assert list(table["sample"]) == ["train-1-1-0", "train-1-1-1"] and set(table["split"]) == {"train"}
    assert set(table["picture"]) == {"images/train/1/train-1-1-img1.png"} and set(table["why"]) == {why}
    assert all(told.startswith(reason) for told in table["reason"])
    assert data["left_out"] == {why: 2}
    index, whole = (pd.read_parquet(folder / "index.parquet") for folder in (tmp_path / "out", made))
    kept = whole[~whole["sample"].isin(table["sample"])]
    assert list(index["sample"]) == list(kept["sample"])
    found, wanted = np.load(tmp_path / "out/image.npy"), np.load(made / "image.npy")
    assert len(found) == len(wanted) - 1
    np.testing.assert_array_equal(found[index["row"]], wanted[kept["row"]])


def test_a_split_without_any_picture_is_refused_and_leaves_nothing(source: Path, tmp_path: Path) -> None:
    for path in (source / "images/test1").iterdir():
        path.unlink()
    with pytest.raises(DataError) as caught:
        prepare_nlvr2(source, replace(SMALL, out=tmp_path / "out"))
    reason = (
        "none of the 12 examples of test has its pictures (the first, images/test1/test1-0-0-img0.png, is not there)"
    )
    assert reason in str(caught.value) and not (tmp_path / "out").exists()
    assert set(prepare_nlvr2(source, replace(SMALL, out=tmp_path / "out", splits=["train", "val"]))["counts"]) == {
        "train",
        "val",
    }


def test_pictures_are_what_a_browser_shows() -> None:
    clear = io.BytesIO()
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(clear, "PNG")
    assert (decode(clear.getvalue(), 8, Path("x")) == 255).all()  # transparent red is white
    for mode, kind in (("L", "PNG"), ("P", "PNG"), ("1", "PNG"), ("CMYK", "JPEG"), ("L", "JPEG")):
        assert decode(photograph(1, kind, mode), 8, Path("x")).shape == (3, 8, 8)


def test_the_left_picture_comes_first(sound: Path) -> None:
    found = read_examples(sound, SMALL).pictures["dev-1-0"]
    left, right = files(sound, "dev-1-0")
    assert [picture.path for picture in found] == [left, right]
    np.testing.assert_array_equal(read_pictures(16, found).pixels[:3], resized(left, 16))


@pytest.mark.parametrize(
    ("sentence", "sided"),
    [
        ("The left image shows a dog.", True),
        ("A dog faces Right.", True),
        ("The leftmost dog sleeps.", True),
        ("The dogs look westward.", True),
        ("There is an empty glass.", False),
        ("Two dogs rest at least twice.", False),
    ],
)
def test_a_sentence_of_left_and_right_forbids_a_mirror(sentence: str, sided: bool) -> None:
    assert is_sided(sentence) is sided


def test_the_real_files_without_pictures_have_nothing_to_prepare(shared_data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        prepare_nlvr2(shared_data / "nlvr2", replace(SMALL, out=tmp_path / "out", splits=["val"]))
    reason = (
        "none of the 6982 examples of val has its pictures (the first, images/dev/dev-850-0-img0.png, is not there)"
    )
    assert reason in str(caught.value) and not (tmp_path / "out").exists()


def test_the_real_files_hold_what_was_counted_without_the_package(shared_data: Path) -> None:
    index = read_examples(shared_data / "nlvr2", replace(SMALL, splits=["val", "test"])).index
    for split, rows in index.groupby("split"):
        lines = [json.loads(line) for line in (shared_data / "nlvr2" / f"{NAMES[split]}.json").open(encoding="utf-8")]
        assert Counter(rows["label"]) == Counter(int(line["label"] == "True") for line in lines)
        assert Counter(rows["sentence"]) == Counter(line["sentence"] for line in lines)
    val = index[index["split"] == "val"]
    counts = (len(val), val["label"].sum(), val["sentence"].nunique(), val["pair"].nunique(), val["cluster"].nunique())
    assert counts == (6982, 3551, 2004, 4051, 1054)
    assert (val.groupby("sentence")["label"].nunique() == 2).sum() == 1854  # facts/i2m2.md, section 5
    assert (val.groupby("pair")["label"].nunique() == 2).sum() == 1150


def test_of_the_real_examples_all_without_pictures_are_listed(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "in/dev").mkdir(parents=True)
    (tmp_path / "in/dev.json").write_bytes((shared_data / "nlvr2/dev.json").read_bytes())
    for i in (0, 1):
        (tmp_path / f"in/dev/dev-850-0-img{i}.png").write_bytes(photograph(i))
    data = prepare_nlvr2(tmp_path / "in", replace(LISTING, out=tmp_path / "out", splits=["val"]))
    assert data["counts"] == {"val": {"samples": 2, "pairs": 1, "clusters": 1, "positives": {"label": 0}}}
    listed = pd.read_csv(tmp_path / "out/left_out.csv")
    names = [json.loads(line)["identifier"] for line in (tmp_path / "in/dev.json").open(encoding="utf-8")]
    assert list(listed["sample"]) == [name for name in names if not name.startswith("dev-850-0-")]
    assert set(listed["why"]) == {"missing"} and data["left_out"] == {"missing": 6980}


def row(line: int, **change: Any) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        path = folder / "data/dev.json"
        lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
        lines[line - 1] = {k: v for k, v in {**lines[line - 1], **change}.items() if v is not ...}
        path.write_text("".join(json.dumps(text) + "\n" for text in lines))

    return edit


def content(written: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "data/dev.json").write_bytes(written)


BAD = {
    "missing": (
        lambda folder: (folder / "data/dev.json").unlink(),
        "nlvr2: has neither data/dev.json nor dev.json; point",
    ),
    "empty": (content(b""), "dev.json: holds no example; use"),
    "blank": (content(b"\n \r\n"), "dev.json: holds no example"),
    "latin": (content(b'{"sentence": "\xe4"}'), "dev.json: is no UTF-8 text"),
    "one list": (content(b'[{"identifier": "dev-0-0-0"}]'), "line 1 is no JSON object, one of which each line"),
    "no JSON": (content(b"identifier,sentence\n"), "line 1 is no JSON (Expecting value"),
    "deep": (content(b"[" * 100_000), "line 1 is no JSON ("),
    "no label": (row(3, label=...), "line 3 has no label"),
    "no sentence": (row(2, sentence=...), "line 2 has no sentence"),
    "empty sentence": (row(2, sentence="  "), "line 2 has no text as sentence but '  '"),
    "a number": (row(2, sentence=7), "line 2 has no text as sentence but 7"),
    "another label": (row(5, label="true"), "line 5 has the label 'true', not True or False"),
    "a Boolean": (row(5, label=True), "line 5 has no text as label but True"),
    "another split": (
        row(1, identifier="train-0-0-0"),
        "the identifier 'train-0-0-0', which is not of the form dev-N-N-N;",
    ),
    "a path": (row(1, identifier="dev-0-0-../../x"), "which is not of the form dev-N-N-N"),
    "half a character": (row(1, sentence="\ud83d"), "line 1 has half a character in its sentence"),
    "twice": (row(4, identifier="dev-0-0-0"), "line 4 dev-0-0-0 stood in line 1 already"),
    "a way out": (row(1, directory="../.."), "line 1 has the directory '../..', which is no name of a folder"),
    "two directories": (row(2, directory=7), "puts the pictures of dev-0-0 into directory None and 7; use"),
}


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_file_is_a_sentence(source: Path, tmp_path: Path, fault: str) -> None:
    spoil, sentence = BAD[fault]
    spoil(source)
    with pytest.raises(DataError) as caught:
        prepare_nlvr2(source, replace(SMALL, out=tmp_path / "out"))
    assert sentence in str(caught.value) and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"side": 4}, "--side 4: give 8 to 1024 pixels"),
        ({"side": 5000}, "--side 5000: give 8 to 1024"),
        ({"splits": ["dev"]}, "--splits dev: there is no such split; choose from train, val, test"),
        ({"splits": []}, "--splits : name each split once"),
        ({"splits": ["val", "val"]}, "--splits val val: name each split once"),
        ({"layout": "nlvr", "splits": ["val"]}, "--splits does not go with --layout nlvr"),
        ({"seed": -1}, "--seed -1: give a whole number"),
    ],
)
def test_a_bad_setting_is_a_sentence(sound: Path, tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare_nlvr2(sound, replace(SMALL, out=tmp_path, **change))
    assert sentence in str(caught.value)


def test_a_source_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no folder; point at NLVR2's folder"):
        prepare_nlvr2(tmp_path / "nowhere", replace(SMALL, out=tmp_path / "out"))
