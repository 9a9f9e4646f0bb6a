"""A picture is read as a browser shows it, and one that looks like a placeholder is named."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import ExifTags, Image, ImageOps

from knee_i2m2.cli import main
from knee_i2m2.errors import DataError
from knee_i2m2.sources.nlvr2 import PrepareNLVR2, prepare_nlvr2
from knee_i2m2.sources.nlvr2.pictures import decode, upright
from tests.sources.nlvr2.test_prepare import photograph, write_official

WHERE = Path("picture")


def scene(mode: str = "RGB", size: tuple[int, int] = (24, 13)) -> Image.Image:
    """Returns a picture that none of the eight orientations maps to itself."""
    pixels = np.random.default_rng(0).integers(256, size=(size[1], size[0], 4), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def turned(orientation: object, kind: str, mode: str = "RGB") -> bytes:
    exif, content = Image.Exif(), io.BytesIO()
    exif[ExifTags.Base.Orientation] = orientation
    scene(mode).save(content, kind, exif=exif)
    return content.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_shown_as_a_browser_shows_it(orientation: int, kind: str) -> None:
    content = turned(orientation, kind)
    with Image.open(io.BytesIO(content)) as image:
        wanted = ImageOps.exif_transpose(image)
    assert wanted.size == ((13, 24) if orientation > 4 else (24, 13))
    np.testing.assert_array_equal(np.asarray(upright(content, WHERE)), np.asarray(wanted))


def test_the_eight_orientations_are_eight_pictures() -> None:
    shown = [upright(turned(orientation, "PNG"), WHERE) for orientation in range(1, 9)]
    assert len({(image.size, image.tobytes()) for image in shown}) == 8


def with_exif(exif: bytes) -> bytes:
    content = io.BytesIO()
    scene().save(content, "PNG", exif=exif)
    return content.getvalue()


def with_xmp() -> bytes:
    content = io.BytesIO()
    scene().save(content, "JPEG", quality=100, xmp=b'<x tiff:Orientation="6"/>')
    return content.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        turned(0, "PNG"),
        turned(9, "PNG"),
        turned(65535, "JPEG"),
        with_exif(b"Exif\0\0II*\0"),
        with_exif(b"Exif\0\0not a header"),
        with_exif(b"Exif\0\0MM\0*\xff\xff\xff\xff"),
        with_xmp(),
    ],
    ids=["0", "9", "65535", "cut", "no header", "beyond its end", "XMP alone"],
)
def test_an_orientation_that_no_browser_follows_turns_nothing(content: bytes) -> None:
    with Image.open(io.BytesIO(content)) as image:
        np.testing.assert_array_equal(np.asarray(upright(content, WHERE)), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK"])
def test_colours_do_not_matter_to_the_orientation(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    flat, high = (decode(turned(orientation, kind, mode), 16, WHERE) for orientation in (1, 8))
    plain = upright(turned(1, kind, mode), WHERE).transpose(Image.Transpose.ROTATE_90)
    np.testing.assert_array_equal(high, np.asarray(plain.resize((16, 16), Image.Resampling.BICUBIC)).transpose(2, 0, 1))
    assert not np.array_equal(flat, high)


def of_colour(colour: object, size: tuple[int, int] = (30, 20), mode: str = "RGB", kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.new(mode, size, colour).save(content, kind)
    return content.getvalue()


def one(content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / "images/dev/dev-0-0-img1.png").write_bytes(content)


def everywhere(content: Callable[[int], bytes]) -> Callable[[Path], object]:
    """Returns what writes a picture into each of four image sets of train."""

    def spoil(folder: Path) -> None:
        for number in range(4):
            path = folder / f"images/train/{number % 3}/train-{number}-0-img0.png"
            path.write_bytes(content(number))

    return spoil


PLACEHOLDERS = {
    "white": (one(of_colour("white")), {"one colour": 1}),
    "black JPEG": (one(of_colour(0, kind="JPEG", mode="L")), {"one colour": 1}),
    "transparent": (one(of_colour((9, 9, 9, 0), mode="RGBA")), {"one colour": 1}),
    "one pixel": (one(of_colour("red", (1, 1))), {"tiny": 1}),
    "a line": (one(of_colour("red", (600, 2))), {"tiny": 1}),
    "grey everywhere": (everywhere(lambda _: of_colour("grey")), {"one colour": 4}),
    "the same everywhere": (everywhere(lambda _: photograph(7)), {"identical": 4}),
    "both pictures of two pairs of one set": (
        lambda folder: [path.write_bytes(photograph(7)) for path in folder.glob("images/dev/dev-1-*.png")],
        {"identical": 4},
    ),
    "the same, stored anew": (
        everywhere(lambda number: photograph(7, mode="RGBA" if number % 2 else "RGB")),
        {"identical": 4},
    ),
}


@pytest.mark.parametrize(("spoil", "counts"), PLACEHOLDERS.values(), ids=PLACEHOLDERS.keys())
def test_a_picture_that_looks_like_a_placeholder_is_kept_counted_and_named(
    tmp_path: Path, spoil: Callable[[Path], object], counts: dict[str, int]
) -> None:
    source = write_official(tmp_path / "nlvr2")
    spoil(source)
    config = PrepareNLVR2(tmp_path / "out", side=16, quarantine_limit=0.2)
    data = prepare_nlvr2(source, config)
    rows = pd.read_csv(tmp_path / "out/placeholders.csv")
    assert data["placeholders"] == rows["why"].value_counts().to_dict() == counts
    assert all((source / name).is_file() for name in rows["picture"]) and rows["reason"].str.len().min() > 10
    assert data["left_out"] == {} and data["counts"]["val"]["samples"] == 8
    with pytest.raises(DataError, match=r"of 36 pictures look like placeholders .* --quarantine-limit 0\.01 allows"):
        prepare_nlvr2(source, replace(config, out=tmp_path / "other", quarantine_limit=0.01))


def test_a_photograph_that_stands_three_times_is_none(tmp_path: Path) -> None:
    source = write_official(tmp_path / "nlvr2")
    for number in range(3):
        (source / f"images/train/{number}/train-{number}-0-img0.png").write_bytes(photograph(7))
    assert prepare_nlvr2(source, PrepareNLVR2(tmp_path / "out", side=16))["placeholders"] == {}


def test_the_closing_lines_count_placeholders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_official(tmp_path / "nlvr2")
    one(of_colour("white"))(source)
    options = ["--side", "16", "--quarantine-limit", "0.1", "--out", str(tmp_path / "out")]
    assert main(["prepare", "nlvr2", str(source), *options]) == 0
    assert "like placeholders, but kept: 1 one colour" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/data.json").read_text())["beside"] == ["left_out.csv", "placeholders.csv"]


def test_equal_drawings_are_no_placeholders(tmp_path: Path) -> None:
    sizes = ["--train", "80", "--val", "20", "--test", "20", "--kinds", "existence", "--most", "1"]
    assert main(["scenes", str(tmp_path / "scenes"), *sizes]) == 0
    data = prepare_nlvr2(tmp_path / "scenes", PrepareNLVR2(tmp_path / "out", side=16))
    rows = np.load(tmp_path / "out/image.npy").reshape(-1, 3 * 16 * 16)
    assert len(np.unique(rows, axis=0)) < len(rows) and data["placeholders"] == {}
