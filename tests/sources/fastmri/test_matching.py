"""Volumes and annotations whose names do not match are counted and named, and are an error beyond a few percent."""

from __future__ import annotations

from pathlib import Path

import pytest

from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.sources.fastmri.annotations import read_annotations
from knee_i2m2.sources.fastmri.matching import LIMIT, Matching, of_split

_HEAD = "file,slice,study_level,x,y,width,height,label\n"
NAMES = [f"file{n:03d}" for n in range(40)]


def matching(folder: Path, paths: list[str], annotated: list[str], listed: list[str] | None) -> Matching:
    rows = "".join(f"{name},0,No,1,2,3,4,Meniscus Tear\n" for name in annotated)
    (folder / "knee.csv").write_text(_HEAD + rows)
    if listed is not None:
        (folder / "knee_file_list.csv").write_text("\n".join(listed))
    return Matching.of(read_annotations(folder / "knee.csv"), [folder / path for path in paths])


@pytest.mark.parametrize(
    ("paths", "annotated", "listed"),
    [
        (NAMES, NAMES[:20], NAMES),
        ([f"{name}.h5" for name in NAMES], [f"{name}.H5" for name in NAMES[:20]], NAMES),
        ([f"{name.upper()}.h5" for name in NAMES], NAMES, None),
        (
            [f"singlecoil_val/{name}.h5" for name in NAMES],
            [f"val/{name}.h5" for name in NAMES],
            [f" {n} " for n in NAMES],
        ),
        (NAMES[:3], NAMES, NAMES),
        ([*NAMES, "singlecoil_test/test1.h5", "singlecoil_challenge/test2.h5"], NAMES[:5], NAMES),
    ],
)
def test_names_that_are_the_same_but_for_spelling_match(tmp_path, paths, annotated, listed) -> None:
    found = matching(tmp_path, paths, annotated, listed)
    assert found.sentences == []
    found.refuse(0.0)


@pytest.mark.parametrize(
    ("paths", "annotated", "listed", "sentence"),
    [
        (
            [f"{name}_v2" for name in NAMES],
            NAMES,
            NAMES,
            "40 of 40 volumes are not named here or in the file list: file000_v2",
        ),
        (NAMES, [f"knee_{name}" for name in NAMES[:20]], NAMES, "20 of 20 annotated names are not in the file list"),
        (NAMES, NAMES[:20], [f"knee_{name}" for name in NAMES], "40 of 40 volumes|20 of 20 annotated|20 of 40 volumes"),
        (NAMES, NAMES[:30], None, "10 of 40 volumes are not named here: file030"),
        (NAMES, ["flie000", "flie001", "flie002", *NAMES[3:20]], NAMES, "3 of 20 annotated|3 of 40 volumes"),
        (NAMES, NAMES[:20], NAMES[:37], "3 of 40 volumes are not named here or in the file list: file037, file038"),
    ],
)
def test_more_than_a_few_percent_without_a_match_are_an_error(tmp_path, paths, annotated, listed, sentence) -> None:
    found = matching(tmp_path, paths, annotated, listed)
    with pytest.raises(DataError, match=sentence):
        found.refuse(LIMIT)
    found.refuse(1.0)


def test_a_single_slip_is_named_and_passes(tmp_path) -> None:
    found = matching(tmp_path, NAMES, ["flie000", *NAMES[1:30]], NAMES)
    assert found.sentences[1].startswith(
        "1 of 40 volumes are not named here or in the file list: file000; names without"
    )
    assert "1 of 30 annotated names are not in the file list: flie000; file000 may be meant" in found.sentences[0]
    found.refuse(LIMIT)


def test_a_limit_that_is_no_share_is_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="--unmatched-limit 5: give a share"):
        matching(tmp_path, NAMES, NAMES, None).refuse(5.0)


def split_file(folder: Path) -> Path:
    """Returns a file that puts the first half of all names into train, the other into test."""
    rows = [f"{name},p{n},{'train' if n < 20 else 'test'},{'0' * 64}" for n, name in enumerate(NAMES)]
    (folder / "split.csv").write_text("\n".join(["volume,patient,split,sha256", *rows]) + "\n")
    return folder / "split.csv"


@pytest.mark.parametrize(
    ("paths", "chosen", "sentences"),
    [
        (NAMES, 20, []),
        ([f"{name.upper()}.h5" for name in NAMES], 20, []),
        ([f"singlecoil_val/{name} .h5" for name in NAMES], 20, []),
        ([*NAMES, "a", "b"], 20, ["2 of 42 volumes given are in no split: a, b"]),
        (NAMES[:-1], 19, ["1 of 20 volumes of split test are not among those given: file039"]),
        ([*NAMES[:-1], "file39"], 19, ["1 of 20 volumes of split test", "1 of 40 volumes given are in no split"]),
    ],
)
def test_a_split_takes_the_volumes_that_it_names_and_names_the_others(tmp_path, paths, chosen, sentences) -> None:
    volumes, rest, notes = of_split([Path(path) for path in paths], split_file(tmp_path), "test", LIMIT)
    assert len(volumes) == chosen and {NAMES.index(path.stem.strip().lower()) >= 20 for path in volumes} == {True}
    assert len(notes) == len(sentences) and all(map(str.startswith, notes, sentences))
    assert {row.file for row in rest} == set(paths) & {"a", "b", "file39"}


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        (NAMES[:38], "2 of 20 volumes of split test are not among those given: file038, file039;"),
        (NAMES[:21], "19 of 20 volumes of split test are not among those given: file021"),
        (
            [*NAMES[:30], *(f"{name}_v2" for name in NAMES[30:])],
            "10 of 20 volumes of split test .* --unmatched-limit 0.50",
        ),
        ([*NAMES[:21], *(f"knee_{name}" for name in NAMES[21:])], "19 of 20 volumes of split test .* 0.95 goes on"),
        ([name.replace("file0", "file") for name in NAMES[:-1]] + NAMES[-1:], "19 of 20 volumes of split test"),
        (NAMES[:20], "none of the volumes is in split test"),
    ],
)
def test_a_split_whose_names_fit_too_few_volumes_is_refused(tmp_path, paths, sentence) -> None:
    with pytest.raises(DataError, match=sentence):
        of_split([Path(path) for path in paths], split_file(tmp_path), "test", LIMIT)
