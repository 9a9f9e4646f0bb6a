"""Bad input ends in one sentence: it crashes, hangs and fills nothing, and no other file is opened for it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knee_i2m2.cli import main
from knee_i2m2.data.splits import (
    read_split,
    refuse_leaks,
    refuse_one_sided,
    split_by_patient,
    split_official,
)
from knee_i2m2.errors import DataError
from tests.sources.fastmri.canary import watched, write_canary
from tests.sources.fastmri.fastmri_file import write
from tests.sources.fastmri.faults import Case, canary_of
from tests.sources.fastmri.faults_of_content import HEADERS, VALUES
from tests.sources.fastmri.faults_of_labels import LABELS
from tests.sources.fastmri.faults_of_structure import STRUCTURE
from tests.sources.fastmri.sandbox import Sandbox

_MOST_GROWN = 300_000_000

_USABLE = "may not be read|reconstruction_esc|in a program that writes"
"""Faults that do not keep `prepare` from the k-space: root reads all, no image is needed, and this program writes."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as made:
        yield made


def _face(sandbox: Sandbox, path: Path, case: Case, how: str = "volume") -> None:
    """Makes a bad file, has it read, and compares what became of it with what should."""
    make, wanted = case
    canary = write_canary(canary_of(path))
    path.parent.mkdir()
    held = make(path)
    try:
        with watched(canary) as touched:
            outcome = sandbox.read(path, how)
    finally:
        if hasattr(held, "close"):
            held.close()
    assert touched == []
    assert outcome.grown < _MOST_GROWN
    if isinstance(wanted, dict):
        assert outcome.what == "read", outcome.sentence
        assert wanted.items() <= outcome.result.items()
    else:
        assert (outcome.what, outcome.error) == ("refused", "DataError"), outcome.sentence
        assert re.fullmatch(f"{path.name}: .*({wanted}).*", outcome.sentence), outcome.sentence
    assert not outcome.result.get("secret")


@pytest.mark.parametrize("case", STRUCTURE)
def test_a_file_of_a_bad_structure_ends_in_one_sentence(sandbox: Sandbox, tmp_path: Path, case: str) -> None:
    _face(sandbox, tmp_path / "data" / "a.h5", STRUCTURE[case])


@pytest.mark.parametrize("case", VALUES)
def test_values_are_refused_in_one_sentence_or_cast(sandbox: Sandbox, tmp_path: Path, case: str) -> None:
    _face(sandbox, tmp_path / "data" / "a.h5", VALUES[case])


@pytest.mark.parametrize("case", HEADERS)
def test_a_bad_header_or_attribute_ends_in_one_sentence_or_a_default(
    sandbox: Sandbox, tmp_path: Path, case: str
) -> None:
    _face(sandbox, tmp_path / "data" / "a.h5", HEADERS[case])


@pytest.mark.parametrize("case", LABELS)
def test_bad_labels_end_in_one_sentence_or_follow_a_rule(sandbox: Sandbox, tmp_path: Path, case: str) -> None:
    _face(sandbox, tmp_path / "data" / "knee.csv", LABELS[case], "labels")


@pytest.mark.parametrize("case", ["external link", "external storage", "virtual", "link out"])
def test_the_canary_sings_for_who_reads_without_looking(tmp_path: Path, case: str) -> None:
    path = tmp_path / "data" / "a.h5"
    canary = write_canary(canary_of(path))
    path.parent.mkdir()
    STRUCTURE[case][0](path)
    with h5py.File(canary) as file:
        secret = file["kspace"][()].tobytes()
    with watched(canary) as touched, h5py.File(path) as file:
        assert file["kspace"][()].tobytes() == secret
    assert touched


LAYOUTS = {
    "contiguous": {},
    "gzip": {"compression": "gzip", "chunks": (1, 5, 8), "shuffle": True},
    "lzf": {"compression": "lzf", "chunks": (1, 8, 8), "fletcher32": True},
    "chunks": {"chunks": (2, 3, 3), "maxshape": (None, 8, 8)},
}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Small sound files, in which most of the bytes are HDF5's."""
    folder = tmp_path_factory.mktemp("originals")
    source = write(folder / "source.h5", slices=2, rows=8, columns=8, maximum=7, center=4)
    for name, options in LAYOUTS.items():
        with h5py.File(source) as old, h5py.File(folder / name, "w") as new:
            new.create_dataset("kspace", data=old["kspace"][()], **options)
            for other in ("ismrmrd_header", "reconstruction_esc"):
                old.copy(other, new)
            new.attrs.update(old.attrs)
    return {name: (folder / name).read_bytes() for name in LAYOUTS}


@settings(max_examples=500, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    layout=st.sampled_from(sorted(LAYOUTS)),
    flips=st.lists(st.tuples(st.integers(0, (1 << 16) - 1), st.integers(0, 7)), min_size=1, max_size=6),
)
def test_flipped_bits_are_refused_or_read_and_nothing_worse(
    sandbox: Sandbox, originals: dict[str, bytes], tmp_path_factory, layout: str, flips: list[tuple[int, int]]
) -> None:
    content = bytearray(originals[layout])
    for place, bit in flips:
        content[place % len(content)] ^= 1 << bit
    path = tmp_path_factory.getbasetemp() / "flipped.h5"
    path.write_bytes(content)
    outcome = sandbox.read(path)
    assert (outcome.what, outcome.error) in [("read", ""), ("refused", "DataError")], outcome.sentence
    assert "\n" not in outcome.sentence
    assert outcome.grown < _MOST_GROWN


VOLUMES = pd.DataFrame(
    [(f"file{n}", f"secret{n // 2}", "train" if n < 12 else "val") for n in range(16)],
    columns=["name", "patient", "part"],
)
_SPLIT = split_by_patient(VOLUMES)
_PATIENTS = dict(zip(VOLUMES["name"], VOLUMES["patient"], strict=True))
_HEAD, _LINE = "volume,patient,split,sha256\n", f"file1,p,train,{'0' * 64}\n"


def _index(*labels: int, split: str = "train") -> pd.DataFrame:
    """Returns slices of which `acl` is learnable and `meniscus` is as given."""
    other = pd.DataFrame({"split": "test", "acl": [0, 1], "meniscus": [0, 1]})
    return pd.concat([other, pd.DataFrame({"split": split, "acl": [0, 1] * (len(labels) // 2), "meniscus": labels})])


def _learn(index: pd.DataFrame) -> None:
    refuse_one_sided(index, ["acl", "meniscus"], "data")


def _split_file(text: str) -> Callable[[Path], object]:
    def read(folder: Path) -> None:
        (folder / "split.csv").write_text(text)
        read_split(folder / "split.csv")

    return read


_BOTH_FOLDERS = VOLUMES.assign(patient=[f"secret{n // 2 if n != 13 else 0}" for n in range(16)])

SPLIT_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "patient leak": (
        lambda _: refuse_leaks({**_SPLIT, "file0": "train", "file1": "test"}, _PATIENTS, "split.csv"),
        "split.csv: file0 in train and file1 in test are of one patient",
    ),
    "patient leak over fastMRI's own parts": (lambda _: split_official(_BOTH_FOLDERS), "file13 in test are of one"),
    "patients of no name": (
        lambda _: split_by_patient(VOLUMES.assign(patient=None)),
        "file0: has no attribute patient",
    ),
    "empty": (lambda _: split_by_patient(VOLUMES[:0]), "0 patients are too few"),
    "empty part": (lambda _: split_official(VOLUMES[:12]), "0 volumes in singlecoil_val are too few"),
    "empty file": (_split_file(_HEAD), "holds no volume"),
    "no finding": (
        lambda _: _learn(_index(0, 0, 0, 0)),
        "data: of 4 labelled slices in train 0 show meniscus, 4 do not",
    ),
    "nothing but findings": (lambda _: _learn(_index(1, 1, 1, 1)), "4 show meniscus, 0 do not"),
    "nothing known": (lambda _: _learn(_index(-1, -1, -1, -1)), "of 0 labelled slices in train 0 show meniscus"),
    "one finding": (lambda _: _learn(_index(0, 0, 1, -1)), "of 3 labelled slices in train 1 show meniscus, 2 do not"),
    "nothing to learn from": (lambda _: _learn(_index(0, 0, 1, 1, split="val")), "of 0 labelled slices in train"),
    "duplicate volume": (_split_file(_HEAD + _LINE + _LINE.replace("train", "test")), "names file1 twice"),
}


@pytest.mark.parametrize("case", SPLIT_FAULTS)
def test_a_bad_split_is_refused_in_one_sentence_that_names_no_patient(tmp_path: Path, case: str) -> None:
    attempt, sentence = SPLIT_FAULTS[case]
    with pytest.raises(DataError, match=sentence) as raised:
        attempt(tmp_path)
    assert "\n" not in str(raised.value) and "secret" not in str(raised.value)


def test_a_good_split_is_not_refused() -> None:
    refuse_leaks(_SPLIT, _PATIENTS, "split.csv")
    refuse_one_sided(_index(0, 0, 1, 1), ["acl", "meniscus"], "data")


@pytest.mark.parametrize("family", [STRUCTURE, VALUES, HEADERS], ids=["structure", "values", "headers"])
def test_the_command_line_prepares_none_of_them_and_lists_all(tmp_path: Path, family: dict[str, Case], capsys) -> None:
    folder, held = tmp_path / "data", []
    folder.mkdir()
    write_canary(canary_of(folder / "a.h5"))
    cases = {f"bad{i:02d}": case for i, case in enumerate(family.values()) if isinstance(case[1], str)}
    for name, (make, _) in cases.items():
        held.append(make(folder / f"{name}.h5"))
    good = [write(folder / f"good{i}.h5", patient=f"p{i}").stem for i in range(3)]
    there = [name for name in cases if os.path.lexists(folder / f"{name}.h5")]
    (tmp_path / "knee.csv").write_text(
        "file,slice,study_level,x,y,width,height,label\ngood0,0,No,1,1,2,2,Meniscus Tear\n"
    )
    (tmp_path / "knee_file_list.csv").write_text("\n".join([*there, *good]))
    options = ["--annotations", str(tmp_path / "knee.csv"), "--json"]
    setting_aside = ["--out", str(tmp_path / "out"), "--on-error", "quarantine", "--quarantine-limit", "1"]
    assert main(["prepare", "knee", str(folder), *options, *setting_aside]) == 0
    out, errors = capsys.readouterr()
    assert "Traceback" not in errors
    usable = {n for n in there if re.search(_USABLE, cases[n][1])}
    left_out = set(pd.read_csv(tmp_path / "out" / "left_out.csv")["volume"])
    assert set(there) - left_out <= usable
    assert json.loads(out)["volumes"] == 3 + len(set(there) - left_out)
    for handle in held:
        if hasattr(handle, "close"):
            handle.close()
