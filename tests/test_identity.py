"""One spelling of an id and of a file's name: what is joined, what is listed, and what names nobody."""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from knee_i2m2.identity import (
    canonical_id,
    canonical_name,
    canonical_text,
    identities,
    own_cluster,
    subgroup_spellings,
)

CORES = st.from_regex(r"[a-z][a-z0-9]{0,3}([-_ .][a-z0-9]{1,4}){0,2}[0-9a-f]{3}q", fullmatch=True)
"""Ids in their one spelling; the last letter keeps them from being a number or a word of a placeholder."""
NUMBERS = st.integers(0, 10**12)
BLANKS = st.text(" \t\r\n\u00a0\u2003\u200b\ufeff", max_size=3)


@st.composite
def disguised(draw: st.DrawFn, core: str) -> object:
    """Returns another spelling of the same id."""
    text = "".join(draw(st.sampled_from([str.lower, str.upper]))(letter) for letter in core)
    text = draw(st.sampled_from([text, text.replace("-", "\u2011"), text.replace(" ", " \u00a0"), _wide(text)]))
    text = draw(st.sampled_from(["", "'", '"', "\u201c"])) + draw(BLANKS) + text + draw(BLANKS)
    return draw(st.sampled_from([text, text.encode(), str(text.encode()) if text.isascii() else text, np.str_(text)]))


def _wide(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in text)


@st.composite
def typed(draw: st.DrawFn, number: int) -> object:
    """Returns a number as another type, or as text with zeros in front or a point behind."""
    text = "0" * draw(st.integers(0, 6)) + str(number) + draw(st.sampled_from(["", ".0", ".000", "."]))
    other = [number, float(number), np.int64(number), np.float64(number), np.array(number)[()], str(float(number))]
    return draw(st.sampled_from([text, f" {text}\n", text.encode(), _wide(text), f"'{text}", *other]))


@given(st.text())
def test_the_one_spelling_of_a_spelling_is_itself(text: str) -> None:
    assert canonical_text(canonical_text(text)) == canonical_text(text)
    assert canonical_name(canonical_name(text)) == canonical_name(text)
    assert canonical_id(text) in (None, canonical_text(text))


@given(CORES.flatmap(lambda core: st.tuples(st.just(core), disguised(core))))
def test_an_id_has_one_spelling_however_it_is_written(pair: tuple[str, object]) -> None:
    assert canonical_id(pair[1]) == pair[0]


@given(NUMBERS.flatmap(lambda number: st.tuples(st.just(number), typed(number))))
def test_a_number_has_one_spelling_whatever_its_type_and_zeros(pair: tuple[int, object]) -> None:
    assert canonical_id(pair[1]) == str(pair[0])


@given(CORES, CORES)
def test_ids_that_differ_in_a_letter_or_digit_stay_apart(one: str, other: str) -> None:
    assert (canonical_id(one) == canonical_id(other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("1", "10"), ("1.5", "15"), ("-1", "1"), ("p1", "p2"), ("1.2.840", "1.2.84"), ("a1e5", "a100000"), ("0x1", "1")],
)
def test_what_is_not_certainly_one_is_not_joined(one: str, other: str) -> None:
    assert canonical_id(one) != canonical_id(other)


@pytest.mark.parametrize(
    "value",
    [
        *(
            None,
            float("nan"),
            np.nan,
            pd.NA,
            pd.NaT,
            np.datetime64("NaT"),
            "",
            " \t",
            "\ufeff",
            "None",
            "NaN",
            "N/A",
            "n.a.",
        ),
        *(
            "#N/A",
            "<NA>",
            "null",
            "Unknown",
            "UNKNOWN PATIENT",
            "anonymous",
            "Anonymized",
            "de-identified",
            "No Patient ID",
        ),
        *("--", "?", "___", "xxx", "REDACTED", b"unknown", "b'None'", "not available", "'unknown'", "\uff35nknown"),
    ],
)
def test_a_placeholder_names_nobody(value: object) -> None:
    assert canonical_id(value) is None


@given(
    st.lists(
        st.sampled_from(["unknown", "anonymous", "patient", "id", "none", "no", "missing"]), min_size=1, max_size=4
    ),
    st.sampled_from([" ", "_", "-", ", ", "/", "\u00a0"]),
    st.sampled_from([str.lower, str.upper, str.title]),
    BLANKS,
)
def test_words_that_name_nobody_name_nobody_together(words: list[str], between: str, case, blanks: str) -> None:
    assert canonical_id(blanks + case(between.join(words)) + blanks) is None


@pytest.mark.parametrize("value", ["anonymous1", "patient 7", "unknown-3", "x1", "nadia", "0", 0, "noname12", "idris"])
def test_what_holds_more_than_a_placeholder_is_an_id(value: object) -> None:
    assert canonical_id(value) is not None


@given(
    CORES,
    st.sampled_from(["", ".h5", ".H5", ".hdf5", ".h5.gz", " .h5", ".H5 "]),
    st.sampled_from(["", "train/", "/data/knee/", "D:\\knee\\", "./"]),
    st.sampled_from([str.lower, str.upper, str.title]),
    BLANKS,
)
def test_a_name_is_one_with_and_without_folder_suffix_blanks_and_case(core, suffix, folder, case, blanks) -> None:
    assert canonical_name(blanks + case(folder + core) + suffix + blanks) == core


@pytest.mark.parametrize(
    ("given_", "sentence"),
    [
        ({"a": "01", "b": "1"}, "patient 1: spelt '01', '1', joined"),
        ({"a": "P7", "b": "p7 "}, "patient p7: spelt 'P7', 'p7 ', joined"),
        ({"a": 7.0, "b": 7, "c": "q"}, "patient 7: spelt '7', '7.0', joined"),
        ({"a": "p-07", "b": "P7"}, "p-07, p7: may be one patient, kept apart"),
        ({"a": "Mu\u0308ller", "b": "Muller"}, "muller, m\u00fcller: may be one patient, kept apart"),
        ({"a": "patient 7", "b": "7"}, "7, patient 7: may be one patient, kept apart"),
        ({"a": "N/A", "b": "p", "c": None}, "2 volumes of no known patient: missing in 1 (c), 'N/A' in 1 (a)"),
        (
            {"a": 0, "b": "0000", "c": 0.0, "d": 1, "e": 2},
            "3 volumes of no known patient: '0' in 1 (a), '0.0' in 1 (c)",
        ),
        ({**dict.fromkeys("abcdef", "999"), "g": 1, "h": 2}, "6 volumes of no known patient: '999' in 6"),
        ({**dict.fromkeys("abcdef", "dr who"), "g": 1}, "patient dr who: has 6 of 7 volumes; is it a placeholder?"),
    ],
)
def test_what_was_joined_may_be_one_or_names_nobody_is_listed(given_: dict[str, object], sentence: str) -> None:
    assert any(line.startswith(sentence) for line in identities(given_).sentences())


@pytest.mark.parametrize("given_", [{"a": 0, "b": 0, "c": 1, "d": 1}, {"a": "0", "b": "1"}, {"a": "999"}])
def test_a_number_that_is_as_frequent_as_others_is_a_patient(given_: dict[str, object]) -> None:
    assert identities(given_).unknown == [] and identities(given_).sentences() == []


@given(st.lists(st.one_of(CORES, NUMBERS, st.none()), min_size=1, max_size=9))
def test_every_item_has_an_id_or_is_listed_as_unknown(values: list[object]) -> None:
    whose = identities({str(place): value for place, value in enumerate(values)})
    listed = [item for items in whose.placeholders.values() for item in items]
    assert sorted(listed) == sorted(whose.unknown) and len(whose.of) == len(values)


def test_volumes_of_unknown_patients_have_clusters_that_are_ids_of_no_other() -> None:
    own = [own_cluster(name) for name in ("File1", "file2")]
    assert own == [canonical_id(name) for name in own] and len(set(own)) == 2


@pytest.mark.parametrize(
    ("values", "groups"),
    [
        (["CORPD_FBK", "corpd_fbk", "CORPD_FBK "], ["CORPD_FBK"]),
        (["Site A", "site  a", "Site A", "B"], ["B", "Site A"]),
        ([1, 1.0, "1", "2"], ["1", "2"]),
        ([None, "N/A", "nan", "unknown", "A"], ["A", "unknown"]),
        ([1.5, "1.5", np.float64(1.5)], ["1.5"]),
        (["\uff21", "A", "A"], ["A"]),
    ],
)
def test_subgroups_are_spelt_as_most_are_and_placeholders_are_unknown(values: list, groups: list[str]) -> None:
    assert sorted(set(subgroup_spellings(values).values())) == groups
    assert all(unicodedata.is_normalized("NFKC", group) for group in groups)
