import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knee_i2m2.report.elements.cells import Cell, Table
from knee_i2m2.report.tables.latex import escape_latex, latex

SPECIAL = "\\&%$#_{}~^"
PRINTED = {
    **{f"\\{character}": character for character in "&%$#_{}"},
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\textquotedbl{}": '"',
    r"{\char34}": '"',
    "$-$": "\u2212",
    "~": "\u00a0",
}
"""What LaTeX prints for what is written."""


def printed(tex: str) -> str:
    """Returns what LaTeX prints, character by character; what it takes for a command of ours must be known."""
    known = "|".join(map(re.escape, sorted(PRINTED, key=len, reverse=True)))
    assert re.fullmatch(rf"(?:{known}|[^{re.escape(SPECIAL)}])*", tex), tex
    return re.sub(known, lambda match: PRINTED[match[0]], tex)


def columns(line: str) -> list[str]:
    """Returns what an alignment tab parts."""
    return re.split(r"(?<!\\)&", line.removesuffix(r"\\"))


@pytest.mark.parametrize("character", [*SPECIAL, *'<>|"', "\u2212", "\u00a0"])
def test_every_special_character_is_printed_as_itself(character: str) -> None:
    assert escape_latex(character) != character
    assert printed(escape_latex(f"a{character}b{character}{character}")) == f"a{character}b{character}{character}"


@given(st.text(st.sampled_from("ab 1.-'é" + SPECIAL + '<>|"\u2212\u00a0'), max_size=20))
def test_text_is_printed_as_it_is(text: str) -> None:
    assert printed(escape_latex(text)) == text


def test_a_line_break_is_a_space_and_words_stay_as_they_are() -> None:
    assert escape_latex("anterior\ncruciate") == "anterior cruciate"
    assert escape_latex("i2m2 0.900 [0.800, 0.950] (acl) + x=1") == "i2m2 0.900 [0.800, 0.950] (acl) + x=1"


HARD = Table(
    "auroc_slice",
    "per slice",
    ("acl & mcl", "meniscus_1", "50 %", "SD"),
    (
        ("i2m2", (Cell("0.900", "[0.800, 0.950]", (1.0, 2.0, 3.0), "raw & noted"), Cell("−0.1"), Cell(""), Cell("1"))),
        ("a & b_{c}", (Cell("not estimable"), Cell("x & y", "[%, #]"), Cell("1"), Cell("not estimable"))),
    ),
    corner="rival",
)


def test_a_table_has_as_many_columns_in_every_row_as_it_says() -> None:
    lines = latex(HARD, "A & B").splitlines()
    (spec,) = re.findall(r"\\begin\{tabular\}\{(.*)\}", "\n".join(lines))
    rows = [line for line in lines if line.endswith(r"\\")]
    assert spec == "lcccc"
    assert [len(columns(row)) for row in rows] == [5, 5, 5]
    names = [[printed(one.strip()) for one in columns(row)] for row in rows]
    assert names[0] == ["rival", "acl & mcl", "meniscus_1", "50 %", "SD"]
    assert names[1] == ["i2m2", "0.900 [0.800, 0.950]", "−0.1", "", "1"]
    assert names[2] == ["a & b_{c}", "--", "x & y [%, #]", "1", "--"]  # what is not estimable is a dash


def test_a_table_stands_between_its_rules_below_its_caption() -> None:
    text = latex(HARD, "AUROC: 95 % of #1")
    commands = re.findall(r"\\(?:begin|end)\{\w+\}|\\caption|\\(?:top|mid|bottom)rule", text)
    assert commands == [
        *(r"\begin{table}", r"\caption", r"\begin{tabular}", r"\toprule", r"\midrule", r"\bottomrule"),
        *(r"\end{tabular}", r"\end{table}"),
    ]
    (caption,) = re.findall(r"\\caption\{(.*)\}$", text, flags=re.MULTILINE)
    assert printed(caption) == "AUROC: 95 % of #1"
    assert text.endswith("\\end{table}\n")


@pytest.mark.parametrize("name", ["[x]", "*x", " [x]"])
def test_a_name_is_no_option_of_the_row_above(name: str) -> None:
    """A line break of LaTeX looks past spaces for `*` and `[`."""
    text = latex(Table("t", "", ("a",), (("first", (Cell("1"),)), (name, (Cell("2"),)))), "")
    assert not re.search(r"\\\\\s*[*\[]", text)


def test_what_is_written_needs_no_package_that_is_not_named() -> None:
    text = latex(Table("t", "", ('"a"',), (("i2m2", (Cell("1"),)),)), "")
    assert r"% \usepackage{booktabs}" in text
    assert "textquotedbl" not in text or "fontenc" in text  # the default encoding, OT1, has none


def test_a_table_without_rows_has_a_head() -> None:
    text = latex(Table("t", "", ("a", "b"), ()), "nothing")
    assert [columns(line) for line in text.splitlines() if line.endswith(r"\\")] == [["rival ", " a ", " b "]]
