from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError
from markdown_it import MarkdownIt  # which rich, that the package needs, reads Markdown with

from knee_i2m2.report.elements.cells import Cell, Table
from knee_i2m2.report.elements.rendering import plain, render, svg_document
from knee_i2m2.report.elements.section import Point, Section

MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
NASTY = (
    '<script>alert("1")</script>',
    "a|b",
    "*a*",
    "__a__",
    "`a`",
    "[a](b)",
    "![a](b)",
    "[a]: b",
    "<b>",
    "&lt;",
    "a\\",
)
TEXT = {"text", "text_special"}


def texts(markdown: str, others: frozenset[str] = frozenset()) -> list[str]:
    """Returns the text of every block; anything that is no text must be named."""
    inline = [token for token in MARKDOWN.parse(markdown) if token.type == "inline"]
    kinds = {child.type for token in inline for child in token.children}
    assert kinds <= TEXT | others, kinds
    return ["".join(child.content for child in token.children) for token in inline]


def blocks(markdown: str) -> list[str]:
    """Returns the kinds of block that Markdown finds."""
    return [token.tag for token in MARKDOWN.parse(markdown) if token.nesting >= 0 and token.type != "inline"]


NAMES = st.text(st.sampled_from("ab1 `*_|<>&;#![](){}:\\\"'.-+=/@$\n\r"), min_size=1, max_size=12).map(
    lambda name: f"a{name}b"
)


def one_line(name: str) -> str:
    return " ".join(name.splitlines())


@given(NAMES)
def test_markdown_takes_a_name_for_text_wherever_it_stands(name: str) -> None:
    table = f"| x | {plain(name)} |\n|---|---|\n| {plain(name)} | y |\n"
    assert texts(table) == ["x", one_line(name), one_line(name), "y"]
    assert texts(f"## {plain(name)}\n") == [one_line(name)]
    assert texts(f"{plain(name)} and {plain(name)}\n") == [f"{one_line(name)} and {one_line(name)}"]
    assert texts(f"- **{plain(name)}** told\n", frozenset({"strong_open", "strong_close"})) == [
        f"{one_line(name)} told"
    ]


@pytest.mark.parametrize("name", NASTY)
def test_what_markdown_has_a_meaning_for_is_text(name: str) -> None:
    assert texts(plain(name)) == [name]
    assert texts(f"x {plain(name)} y") == [f"x {name} y"]


def test_a_name_does_not_strike_through() -> None:
    assert texts(f"x {plain('~~a~~')} y") == ["x ~~a~~ y"]


@pytest.mark.parametrize("name", ["# a", "- a", "+ a", "1. a", "12) a", "> a", "---", "    a"])
def test_a_name_at_the_start_of_a_line_begins_no_other_block(name: str) -> None:
    assert blocks(plain(name)) == ["p"]
    assert texts(plain(name)) == [name.strip()]
    assert blocks(f"- {plain(name)}: told") == ["ul", "li", "p"]


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\n\n"])
def test_a_name_of_several_lines_is_one_line(end: str) -> None:
    assert len(plain(f"a{end}# b").splitlines()) == 1
    assert texts(plain(f"a{end}# b")) == [one_line(f"a{end}# b")]


def test_what_is_no_text_is_written_as_text() -> None:
    assert plain(3) == "3"
    assert plain("i2m2 0.900 [0.800, 0.950]") == "i2m2 0.900 [0.800, 0.950]"


class Words(HTMLParser):
    """Collects the text of a page, and its tags."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(html)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)


def page(name: str) -> dict[str, object]:
    """Returns the values of a page that says one name wherever a name can stand."""
    table = Table("t", f"about {name}", (name,), ((name, (Cell("1", "[0, 2]", (0.0, 1.0, 2.0), name),)),), zero=50.0)
    facts, points = ((name, name),), (Point(name, name, (name,)),)
    section = Section("one", name, (name,), name, points, (), (table,), (table,), name, facts, (f"about {name}",))
    return {
        "title": name,
        "simulated": name,
        "runs": [name, name],
        "reference": "i2m2",
        "headline": name,
        "sections": [section],
    }


@pytest.mark.parametrize("name", NASTY)
def test_names_are_escaped_on_a_page(name: str) -> None:
    found = Words(render("compare.html.jinja", page(name)))
    assert set(found.tags) == set(Words(render("compare.html.jinja", page("harmless"))).tags)
    assert sum(name in words for words in found.words) == sum(
        "harmless" in words for words in Words(render("compare.html.jinja", page("harmless"))).words
    )


@pytest.mark.parametrize("name", NASTY)
def test_names_are_text_in_markdown(name: str) -> None:
    told, harmless = (render("compare.md.jinja", page(one)) for one in (name, "harmless"))
    assert blocks(told) == blocks(harmless)
    allowed = frozenset({"strong_open", "strong_close"})
    assert texts(told, allowed) == [text.replace("harmless", name) for text in texts(harmless, allowed)]


def test_svg_is_taken_for_markup_and_so_is_html_that_is_safe() -> None:
    values = page("name")
    values["sections"] = [Section("one", "title", html='<video id="made"></video>')]
    assert '<video id="made"></video>' in render("compare.html.jinja", values)
    assert "video" not in render("compare.md.jinja", values)


@pytest.mark.parametrize("absent", ["title", "headline", "sections"])
@pytest.mark.parametrize("template", ["compare.html.jinja", "compare.md.jinja"])
def test_a_value_that_is_missing_is_an_error_and_not_an_empty_place(template: str, absent: str) -> None:
    values = {name: value for name, value in page("a").items() if name != absent}
    with pytest.raises(UndefinedError, match=absent):
        render(template, values)


def test_a_figure_is_a_file_of_its_own() -> None:
    element = ElementTree.fromstring(
        svg_document('<svg xmlns="http://www.w3.org/2000/svg"><text>é</text></svg>').encode()
    )
    assert element[0].text == "é"
