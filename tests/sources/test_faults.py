"""Bad input ends in one sentence: it crashes, hangs and fills nothing, and no other file is opened for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sources.canary import watched, write_canary
from tests.sources.fastmri_file import write
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
