"""The case browser shows what each expert said, at the right place, and escapes every name."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from knee_i2m2.evaluation.split_answers import read_split_answers
from knee_i2m2.report.elements.cases import Cases, Rectangle, read_cases
from knee_i2m2.report.single.browser import browser_section
from knee_i2m2.report.single.saliency import fails, saliency_section
from tests.evaluation.runs import make_run
from tests.report.page_parts import NASTY, Tags, with_cases

PLENTY = 10**7


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Cases:
    run = with_cases(make_run(tmp_path_factory.mktemp("browser"), seeds=1))
    return read_cases(run, read_split_answers(run, "test"))


def test_every_case_has_its_pictures_maps_and_bars(cases: Cases) -> None:
    html = browser_section(cases, PLENTY).html
    assert html.count('<article class="case"') == 4
    assert html.count("<img ") == 4 * 6
    assert re.findall(r'<th scope="row">(.*?)</th>', html)[:6] == [
        *("magnitude", "phase", "magnitude+\u200bphase"),
        *("combiner", "together", "threshold"),
    ]


def test_bars_are_as_long_as_what_they_show_and_begin_at_even_odds(cases: Cases) -> None:
    case = cases.cases[0]
    one = replace(case, experts={"a": 2.0, "b": -4.0}, bias=0.0, log_odds=-2.0, threshold=1.0)
    html = browser_section(replace(cases, cases=(one,)), PLENTY).html
    bars = [(float(x), float(width)) for x, width in re.findall(r'x="([\d.]+)" y="2" width="([\d.]+)"', html)]
    assert bars == [(50, 25), (0, 50), (25, 25), (50, 12.5)]
    assert [("against" in bar) for bar in re.findall(r"<rect[^>]*y=\"2\"", html)] == [False, True, True, False]


def test_a_combiner_that_adds_nothing_has_no_bar(cases: Cases) -> None:
    html = browser_section(replace(cases, cases=(replace(cases.cases[0], bias=0.0),)), PLENTY).html
    assert "combiner" not in html


def test_boxes_have_the_coordinates_of_the_image_and_those_of_other_targets_differ(cases: Cases) -> None:
    boxes = (Rectangle(2, 3, 5, 6, "Tear", cases.cases[0].target), Rectangle(0, 1, 4, 2, "Cyst", "elsewhere"))
    html = browser_section(replace(cases, cases=(replace(cases.cases[0], boxes=boxes),)), PLENTY).html
    overlays = re.findall(r'<svg class="boxes" viewBox="([^"]*)"[^>]*>(.*?)</svg>', html, flags=re.DOTALL)
    assert len(overlays) == 5  # all but k-space
    for view, drawn in overlays:
        assert view == "0 0 16 16"
        assert '<rect x="2" y="3" width="5" height="6"><title>Tear</title>' in drawn
        assert '<rect x="0" y="1" width="4" height="2" class="other"><title>Cyst</title>' in drawn


def test_a_map_that_fails_is_marked_where_it_is_shown(cases: Cases) -> None:
    html = browser_section(cases, PLENTY).html
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", html)
    marked = {caption for caption in captions if "fails the randomisation test" in caption}
    assert marked == {"map of phase <strong>fails the randomisation test</strong>"}


def test_names_are_escaped(cases: Cases) -> None:
    boxes = (Rectangle(0, 0, 1, 1, NASTY, NASTY),)
    case = replace(cases.cases[0], sample=NASTY, target=NASTY, kind=NASTY, experts={NASTY: 1.0}, boxes=boxes)
    html = browser_section(replace(cases, cases=(replace(case, saliency={NASTY: "data:,"}),)), PLENTY).html
    assert NASTY not in html
    assert [tag for tag, _ in Tags(html).tags].count("script") == 1  # its own


def test_cases_without_room_are_counted_and_stay_in_the_table(cases: Cases) -> None:
    size = sum(map(len, (*cases.cases[0].pictures.values(), *cases.cases[0].saliency.values())))
    section = browser_section(cases, int(2.5 * size))
    assert section.html.count('<article class="case"') == 2
    assert "2 of 4 cases are shown" in section.text[1]
    assert len(section.folded[0].rows) == 4
    assert browser_section(cases, 0).html == ""


def test_stale_cases_are_not_shown_and_no_cases_are_no_section(cases: Cases) -> None:
    section = browser_section(replace(cases, stale=True), PLENTY)
    assert "were made from other predictions. Run `evaluate --cases` again" in section.warning
    assert not section.html
    assert browser_section(None, PLENTY).empty
    assert saliency_section(replace(cases, stale=True)).empty
    assert saliency_section(None).empty


def test_saliency_names_what_fails_and_shows_both_tests(cases: Cases) -> None:
    section = saliency_section(cases)
    assert fails(cases) == {("phase", "acl"), ("phase", "meniscus")}
    assert "phase for acl and phase for meniscus" in section.warning
    likeness, pointing = section.tables
    rows = dict(likeness.rows)
    assert [cell.note for cell in rows["magnitude"]] == ["passes", "passes"]
    assert [cell.note for cell in rows["phase"]] == ["FAILS", "FAILS"]
    assert dict(pointing.rows)["phase"][0].note == "chance 0.050, centre 0.400"


def test_maps_that_all_pass_are_no_warning(cases: Cases) -> None:
    passing = replace(cases, scores=tuple(score._replace(passes=True) for score in cases.scores))
    assert saliency_section(passing).warning == ""


@pytest.mark.parametrize("centre", [0.0, 0.4, 0.999, 1.0, float("nan")])
def test_the_pointing_game_shows_nothing_where_the_mean_centre_always_hits(cases: Cases, centre: float) -> None:
    scores = tuple(s._replace(centre=centre) if s.target == "acl" else s for s in cases.scores)
    section = saliency_section(replace(cases, scores=scores))
    marked = [[cell.note.endswith("shows nothing") for cell in row] for _, row in section.tables[1].rows]
    assert all(row == [centre == 1, False] for row in marked)
    assert (len(section.text) > len(saliency_section(cases).text)) == (centre == 1)
