r"""Identity: one spelling of whose a sample is (patient, recording, image set), of a file's name and of a subgroup.

What is certainly the same is joined: types of numbers, zeros in front of a number, blanks, letter case, quotes, and
Unicode's compatible forms. What only may be the same is listed. A placeholder such as "unknown" or "N/A" names nobody.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

__all__ = [
    "NO_SUBGROUP",
    "Identities",
    "canonical_id",
    "canonical_name",
    "canonical_text",
    "identities",
    "joined_sentences",
    "named",
    "own_cluster",
    "subgroup_spellings",
]

NO_SUBGROUP = "unknown"
"""The subgroup of samples about which nothing is known."""

_WORDS = """
none nan nat null nil na unknown unkown unk anonymous anonymized anonymised anonym anon missing undefined unspecified
unnamed unidentified deidentified redacted removed deleted withheld tbd default dummy empty blank not available
applicable recorded given set unbekannt inconnu desconocido sconosciuto
no name id mrn identifier patient subject participant person case value
"""
_NOBODY = frozenset(_WORDS.split())
"""Words that name nobody, nor do several of them together: `No Patient ID`."""

_SENTINEL = re.compile(r"0|-1|([0-9])\1+|0?123456?7?8?9?0?")
"""Numbers that are typed where none is known: 0, -1, 999, 12345. They may be real ids as well."""

_FILE = re.compile(r"(\.(h5|hdf5|hdf|he5|gz|zip|npy|npz|mat|nii|dcm|png))+$")
_QUOTES = " '\"`´‘’‚“”„«»"
_NAMED = 5


def canonical_id(value: object) -> str | None:
    """Returns the one spelling of an id; None where it is missing or a placeholder, which names nobody.

    Example:
        >>> [canonical_id(value) for value in (7, 7.0, "007", " P 7\\n", "N/A", float("nan"))]
        ['7', '7', '7', 'p 7', None, None]
    """
    text = canonical_text(value)
    words = re.findall(r"[^\W_]+", text)
    nobody = "".join(words) in _NOBODY or all(word in _NOBODY or re.fullmatch("x{2,}", word) for word in words)
    return None if nobody else text


def canonical_name(name: object) -> str:
    r"""Returns the one spelling of a file's name: folder, suffix, blanks and letter case do not matter.

    Example:
        >>> [canonical_name(name) for name in ("file1", "train/File1.h5", r"D:\knee\FILE1.H5 ")]
        ['file1', 'file1', 'file1']
    """
    return _file_name(canonical_text(name))


@lru_cache(maxsize=1 << 16)
def _file_name(path: str) -> str:
    return canonical_text(_FILE.sub("", re.split(r"[\\/]", path)[-1]))


def canonical_text(value: object) -> str:
    """Returns the one spelling of a value, and nothing for None, NaN and blanks; applied again it changes nothing."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if value is None or value is pd.NaT or value is pd.NA or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _spelling(str(value))


@lru_cache(maxsize=1 << 16)
def _spelling(text: str) -> str:
    while (once := _simpler(text)) != text:
        text = once
    return text


def _simpler(text: str) -> str:
    text = "".join(map(_character, unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())))
    if written := re.fullmatch(r"b(['\"])(.*)\1", text.strip()):  # bytes that were written as text
        text = re.sub(r"\\[rnt]", " ", written[2])
    text = " ".join(text.split()).strip(_QUOTES)
    if number := re.fullmatch(r"([+-]?)0*([0-9]+)(\.0*)?", text):
        return "-" * (number[1] == "-" and number[2] != "0") + number[2]
    if re.fullmatch(r"[1-9](\.[0-9]+)?e\+[0-9]{1,2}", text) and (value := Decimal(text)) == value.to_integral_value():
        return f"{value:f}"
    return text


def _character(character: str) -> str:
    """Returns a character as it is typed: dashes and digits of any kind are one, what is not seen is nothing."""
    kind = unicodedata.category(character)
    if kind == "Pd" or character == "\N{MINUS SIGN}":
        return "-"
    if kind == "Nd":
        return str(unicodedata.decimal(character))
    return "" if kind == "Cf" else " " if kind in ("Cc", "Zs", "Zl", "Zp") else character


def own_cluster(name: str) -> str:
    """Returns the cluster of a series whose patient is unknown, if it is to be one of its own."""
    return canonical_text(f"unknown patient of {name}")


@dataclass(frozen=True)
class Identities:
    """Whose some items are.

    Attributes:
        of: Item -> id; None where it is unknown.
        joined: Id -> its spellings, where there are several.
        alike: Ids that may be one, being the same but for punctuation, accents and zeros: groups of them.
        placeholders: What stands in place of an id -> the items; a missing one is `""`.
        crowded: Id -> its number of items, where that is so large that it may be a placeholder.
    """

    of: Mapping[str, str | None]
    joined: Mapping[str, list[str]]
    alike: list[list[str]]
    placeholders: Mapping[str, list[str]]
    crowded: Mapping[str, int]

    @property
    def unknown(self) -> list[str]:
        """Items whose id is unknown."""
        return [item for item, who in self.of.items() if who is None]

    @property
    def reasons(self) -> str:
        """Which placeholders there are, and where: `missing in 1 (c), 'N/A' in 2 (a, b)`."""
        texts = {text: repr(text) if text else "missing" for text in self.placeholders}
        return ", ".join(f"{texts[text]} in {len(items)} ({named(items)})" for text, items in self.placeholders.items())

    def sentences(self, noun: str = "patient", items: str = "volumes") -> list[str]:
        """Returns what was joined, what may have to be, and what names nobody, in sentences."""
        alike = [f"{', '.join(group)}: may be one {noun}, kept apart; spell them alike if so" for group in self.alike]
        crowd = [
            f"{noun} {who}: has {n} of {len(self.of)} {items}; is it a placeholder?" for who, n in self.crowded.items()
        ]
        unknown = [f"{len(self.unknown)} {items} of no known {noun}: {self.reasons}"] if self.unknown else []
        return [*_joined(self.joined, noun), *alike, *crowd, *unknown]

    def written(self) -> dict[str, Any]:
        """Returns what there is to tell, as JSON."""
        return {"joined": self.joined, "alike": self.alike, "placeholders": self.placeholders, "crowded": self.crowded}


def identities(given: Mapping[str, object]) -> Identities:
    """Returns whose some items are, by item -> id as it was given.

    A number such as 0 or 999 is a placeholder where far more items bear it than any other id.
    """
    of = {item: canonical_id(value) for item, value in given.items()}
    crowded = _crowded(Counter(who for who in of.values() if who is not None))
    of = {item: None if who in crowded and _SENTINEL.fullmatch(who) else who for item, who in of.items()}
    spellings, placeholders = defaultdict(set), defaultdict(list)
    for item, who in of.items():
        text = "" if not canonical_text(given[item]) else str(given[item])
        placeholders[text].append(item) if who is None else spellings[who].add(text)
    loose = defaultdict(list)
    for who in sorted(spellings):
        loose[_loosely(who)].append(who)
    return Identities(
        of,
        {who: sorted(texts) for who, texts in sorted(spellings.items()) if len(texts) > 1},
        [group for group in loose.values() if len(group) > 1],
        dict(sorted(placeholders.items())),
        {who: n for who, n in crowded.items() if not _SENTINEL.fullmatch(who)},
    )


def joined_sentences(
    values: Iterable[object], noun: str, spelling: Callable[[str], str | None] = canonical_id
) -> list[str]:
    """Returns which values were joined because they have one spelling, in at most six sentences.

    Args:
        values: Ids, sentences or the like as they were given; those without a spelling are passed over.
        noun: What they are, in the singular.
        spelling: Returns the one spelling of a value.
    """
    spellings = defaultdict(set)
    for text in {str(value) for value in values}:
        spellings[spelling(text)].add(text)
    joined = {who: sorted(texts) for who, texts in spellings.items() if who is not None and len(texts) > 1}
    sentences = _joined(dict(sorted(joined.items())), noun)
    more = [f"{len(sentences) - _NAMED} more spelt in several ways, joined"] if len(sentences) > _NAMED else []
    return sentences[:_NAMED] + more


def _joined(joined: Mapping[str, Sequence[str]], noun: str) -> list[str]:
    return [f"{noun} {who}: spelt {', '.join(map(repr, texts))}, joined" for who, texts in joined.items()]


def _crowded(counts: Counter[str]) -> dict[str, int]:
    """Returns the id that has at least three items and far more than any other."""
    (who, most), (_, next_most) = [*counts.most_common(2), ("", 0), ("", 0)][:2]
    many = most >= 2 * next_most and most >= 0.2 * counts.total()
    return {who: most} if most >= 3 and (many or most >= 10 * next_most) else {}


def _loosely(who: str) -> str:
    """Returns what ids share that may be one: `P-07`, `patient 7`, `p007`."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", who) if not unicodedata.combining(c))
    bare = re.sub(r"(?<![0-9])0+(?=[0-9])", "", re.sub(r"[\W_]+", "", plain))
    return re.sub(r"^(patient|participant|subject|subj|sub|case|pat|id|p|s)(?=[0-9])", "", bare)


def subgroup_spellings(values: Iterable[object]) -> dict[object, str]:
    """Returns value -> its subgroup: the commonest spelling of those that differ in case or blanks; else `unknown`."""
    counts = Counter(values)
    spellings: dict[str, str] = {}
    for value, _ in sorted(counts.items(), key=lambda item: (-item[1], str(item[0]))):
        if who := canonical_id(value):
            spellings.setdefault(who, " ".join(str(value).split()) if isinstance(value, str) else who)
    return {value: spellings.get(canonical_id(value) or "", NO_SUBGROUP) for value in counts}


def named(names: Iterable[str]) -> str:
    """Returns the first names of a list, and how many more there are."""
    listed = sorted(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more
