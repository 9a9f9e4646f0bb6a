"""Cases are read as they were written, and nothing from outside their folder gets into a page."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.split_answers import read_split_answers
from knee_i2m2.report.elements.cases import Cases, read_cases
from tests.evaluation.runs import make_run
from tests.report.page_parts import with_cases


def read(run: Path) -> Cases | None:
    return read_cases(run, read_split_answers(run, "test"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return with_cases(make_run(tmp_path, seeds=1))


def rewrite(run: Path, change: Callable[[dict], None]) -> None:
    path = run / "cases" / "cases.json"
    found = json.loads(path.read_text())
    change(found)
    path.write_text(json.dumps(found))


def test_a_run_without_cases_has_none(tmp_path: Path) -> None:
    assert read(make_run(tmp_path, seeds=1)) is None


def test_pictures_are_carried_whole(run: Path) -> None:
    cases = read(run)
    assert not cases.stale
    assert len(cases.cases) == 4
    told = json.loads((run / "cases" / "cases.json").read_text())["cases"]
    for case, said in zip(cases.cases, told, strict=True):
        for what, uri in case.pictures.items():
            held = (run / "cases" / said["pictures"][what]).read_bytes()
            assert base64.b64decode(uri.removeprefix("data:image/png;base64,")) == held
        assert sum(case.experts.values()) + case.bias == pytest.approx(case.log_odds)


def test_what_is_not_estimable_is_not_a_number(run: Path) -> None:
    rewrite(run, lambda found: found["scores"][0].update(pointing=None, similarity=None, passes=None))
    score = read(run).scores[0]
    assert score.passes is None
    assert score.pointing[0] != score.pointing[0]


def test_cases_of_other_predictions_are_stale(run: Path) -> None:
    rewrite(run, lambda found: found["cases"][0].update(log_odds=found["cases"][0]["log_odds"] + 0.01))
    assert read(run).stale


@pytest.mark.parametrize("change", [{"sample": "elsewhere"}, {"target": "elsewhere"}])
def test_cases_of_other_questions_are_stale(run: Path, change: dict) -> None:
    rewrite(run, lambda found: found["cases"][1].update(change))
    assert read(run).stale


def test_cases_of_a_rival_that_is_gone_are_stale(run: Path) -> None:
    rewrite(run, lambda found: found.update(rival="elsewhere"))
    assert read(run).stale


@pytest.mark.parametrize("name", ["../cases/0_phase.png", "/etc/hostname", "gone.png", "sub/0_phase.png"])
def test_a_picture_outside_the_folder_is_refused(run: Path, name: str) -> None:
    rewrite(run, lambda found: found["cases"][0]["pictures"].update(phase=name))
    with pytest.raises(DataError, match=r"is no picture of this folder; run `evaluate --cases` again"):
        read(run)


def test_a_link_out_of_the_folder_is_refused(run: Path, tmp_path: Path) -> None:
    (run / "cases" / "link.png").symlink_to(tmp_path / "cases" / "0_phase.png")
    rewrite(run, lambda found: found["cases"][0]["pictures"].update(phase="link.png"))
    with pytest.raises(DataError, match="is no picture"):
        read(run)


def test_what_is_no_png_is_refused(run: Path) -> None:
    (run / "cases" / "0_phase.png").write_text("<svg onload='alert(1)'>")
    with pytest.raises(DataError, match="is no PNG"):
        read(run)


@pytest.mark.parametrize("key", ["rival", "seeds", "matrix", "cases", "scores"])
def test_a_missing_word_is_named(run: Path, key: str) -> None:
    rewrite(run, lambda found: found.pop(key))
    with pytest.raises(DataError, match=f"cases.json: is damaged .*{key}"):
        read(run)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"rival": 1}', "\udcff"])
def test_a_damaged_file_is_a_sentence(run: Path, text: str) -> None:
    (run / "cases" / "cases.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match="is damaged"):
        read(run)
