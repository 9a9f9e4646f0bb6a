"""The report, opened in headless Chromium: it is whole, asks for nothing, and its cases can be stepped through."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from knee_i2m2.data.prepared import Prepared
from knee_i2m2.recipes.evaluate import EvaluateOptions, evaluate
from knee_i2m2.report.page import write_report

try:
    from playwright.sync_api import Browser, Page, sync_playwright
except ImportError:
    sync_playwright = None

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    sync_playwright is None or CHROMIUM is None, reason="there is no Chromium, or no playwright: see `make browser`"
)
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
CASES = 12


@pytest.fixture(scope="module")
def run(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = shutil.copytree(small_run, tmp_path_factory.mktemp("browser") / "run")
    evaluate(folder, EvaluateOptions(replicates=20, cases=CASES, device="cpu"))
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield opened
        opened.close()


@pytest.fixture(params=[390, 1280], ids=["phone", "desktop"])
def page(browser: Browser, run: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The open report; what it says and asks for is kept in `page.said` and `page.asked`."""
    opened = browser.new_page(viewport={"width": request.param, "height": 800})
    opened.said, opened.asked = [], []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on("request", lambda asked: opened.asked.append(asked.url))
    opened.goto((run / "report.html").as_uri())
    yield opened
    opened.close()


def visible(page: Page) -> list[str]:
    return [one.locator(".where").first.inner_text() for one in page.locator(".case:visible").all()]


def test_nothing_is_wrong_and_nothing_is_asked_for(page: Page, run: Path) -> None:
    assert page.said == []
    assert {url for url in page.asked if not url.startswith("data:")} == {(run / "report.html").as_uri()}


def test_a_script_that_is_not_the_report_s_own_is_stopped(browser: Browser, run: Path, tmp_path: Path) -> None:
    html = (run / "report.html").read_text()
    (tmp_path / "report.html").write_text(html.replace("</body>", "<script>document.title = 'seized'</script></body>"))
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    assert page.title() == "run"
    page.close()


def test_the_page_is_no_wider_than_the_screen(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_one_case_is_shown_at_a_time_and_all_are_stepped_through(page: Page) -> None:
    seen = []
    for _ in range(CASES):
        (shown,) = visible(page)
        seen.append(shown)
        page.get_by_label("Next case").click()
    assert len(set(seen)) == CASES
    assert visible(page) == seen[:1]
    page.get_by_label("Previous case").click()
    assert visible(page) == seen[-1:]
    page.locator(".browser").focus()
    page.keyboard.press("ArrowRight")
    assert visible(page) == seen[:1]
    assert page.locator(".controls output").inner_text() == f"1 of {CASES}"


def test_the_false_answers_come_first(page: Page) -> None:
    kinds = [one.get_attribute("data-kind") for one in page.locator(".case").all()]
    false = [kind.startswith("false") for kind in kinds]
    assert kinds[0] == "false negative" or "false negative" not in kinds
    per_target: dict[str, list[bool]] = {}
    for one, is_false in zip(page.locator(".case").all(), false, strict=True):
        per_target.setdefault(str(one.get_attribute("data-target")), []).append(is_false)
    assert all(order == sorted(order, reverse=True) for order in per_target.values())


def test_cases_are_filtered_by_target(page: Page) -> None:
    page.locator("select[name=target]").select_option("acl")
    wanted = page.locator('.case[data-target="acl"]').count()
    assert page.locator(".controls output").inner_text() == f"1 of {wanted}"
    assert page.locator(".case:visible").get_attribute("data-target") == "acl"
    page.locator("select[name=target]").select_option("")
    assert page.locator(".controls output").inner_text() == f"1 of {CASES}"


def test_boxes_can_be_hidden(page: Page) -> None:
    page.evaluate("document.querySelectorAll('.case').forEach(one => { one.hidden = false; })")
    assert page.locator(".browser .boxes").first.is_visible()
    page.get_by_label("boxes", exact=True).uncheck()
    assert not page.locator(".browser .boxes").first.is_visible()
    page.get_by_label("boxes", exact=True).check()
    assert page.locator(".browser .boxes").first.is_visible()


@pytest.fixture(scope="module")
def change(small_run: Path, without_ligaments: Path) -> dict[str, np.ndarray]:
    """Test sample -> what the planted ligament lesions change in its magnitude."""
    there, gone = (Prepared.open(data, "test") for data in (small_run.parent / "data", without_ligaments))
    rows = list(range(len(there)))
    changed = (there[rows].x["magnitude"] - gone[rows].x["magnitude"])[:, 0].abs().numpy()
    return dict(zip(there.index["sample"], changed, strict=True))


def test_boxes_lie_on_the_lesion_where_they_are_drawn(page: Page, change: dict[str, np.ndarray]) -> None:
    page.evaluate("document.querySelectorAll('.case').forEach(one => { one.hidden = false; })")
    checked = 0
    for case in page.locator('.case[data-target="acl"]').all():
        if "truth: finding" not in case.locator(".where").first.inner_text():
            continue
        sample = case.locator(".where").first.inner_text().split(" · ")[1]
        row, column = np.unravel_index(change[sample].argmax(), change[sample].shape)
        rows, columns = change[sample].shape
        for frame in case.locator(".frame").filter(has=page.locator("svg")).all():
            picture, box = frame.locator("img").bounding_box(), frame.locator("rect:not(.other)").first.bounding_box()
            x = picture["x"] + (column + 0.5) / columns * picture["width"]
            y = picture["y"] + (row + 0.5) / rows * picture["height"]
            assert box["x"] <= x <= box["x"] + box["width"]
            assert box["y"] <= y <= box["y"] + box["height"]
            checked += 1
    assert checked >= 5


def test_printed_all_cases_and_folded_tables_are_open(page: Page) -> None:
    page.emulate_media(media="print")
    assert page.locator(".case:visible").count() == CASES
    assert not page.locator(".controls").is_visible()
    assert all(table.is_visible() for table in page.locator("details table").all())
