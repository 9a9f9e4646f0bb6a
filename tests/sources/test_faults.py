"""Bad input ends in one sentence: it crashes, hangs and fills nothing, and no other file is opened for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest

from tests.sources.canary import watched, write_canary
from tests.sources.faults import HEADERS, STRUCTURE, VALUES, Case, canary_of
from tests.sources.sandbox import Sandbox

_MOST_GROWN = 300_000_000


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
