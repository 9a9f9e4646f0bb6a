"""The first screen answers: what the run is, its question, a verdict per target, whom it rests on, and the words."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.report.elements.inputs import Record, read_record
from knee_i2m2.report.figures import flow
from knee_i2m2.report.first_screen import first_screen
from knee_i2m2.report.page import write_report
from tests.evaluation.runs import EXPERTS, TARGETS, make_run, make_ten_classes
from tests.report.page_parts import NASTY, Tags, finished, with_cases
from tests.report.shown import cells, text, words

RIVALS = {
    **{"magnitude": ("magnitude",), "phase": ("phase",), "intra": ("magnitude", "phase")},
    **{"i2m2": EXPERTS["i2m2"]},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with effects and cases."""
    run = finished(with_cases(make_run(tmp_path_factory.mktemp("first") / "run", RIVALS, seeds=1)))
    (run / "events.log").write_text("2026-11-27 10:00:00 begun\n2026-11-28 01:00:00 i2m2 seed 0 finished\nno date\n")
    evaluate(run, replicates=100)
    return run


@pytest.fixture(scope="module")
def known(whole: Path) -> Record:
    return read_record(whole)


def test_it_has_its_parts_in_the_order_in_which_they_are_read(whole: Path) -> None:
    html = write_report(whole, "Knees of <Leiden>").read_text()
    parts = ["<h1>Knees of &lt;Leiden&gt;</h1>", 'class="headline"', 'class="points"', "<figure", 'class="example"']
    parts += ['aria-label="patients of the test split"', 'class="glossary"', '<nav aria-label="Contents">']
    places = [html.index(part) for part in parts]
    assert places == sorted(places)
    assert "# Knees of &lt;Leiden>" in (whole / "report.md").read_text()
    assert "2026-11-28" in html[: places[1]]


def test_every_target_has_one_line_with_the_effects_and_intervals_of_the_evaluation(known: Record) -> None:
    lines = {answer.term: answer for answer in first_screen(known).answers}
    assert tuple(lines) == TARGETS
    effects = known.effects[known.effects["unit"] == "slice"].set_index(["target", "effect"])
    for target, line in lines.items():
        assert line.details
        for detail in line.details:
            row = effects.loc[target, detail.split()[0]]
            assert f"{text(row['value'])} [{text(row['holm_low'])}, {text(row['holm_high'])}]" in detail


def test_without_effects_the_result_is_the_answer_and_no_modality_is_asked_about(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"magnitude": ("magnitude",)}, seeds=1)
    evaluate(run, replicates=20)
    first = first_screen(read_record(run))
    assert len(first.answers) == 1 and first.answers[0].text
    assert "phase" not in first.question


def test_every_target_is_drawn_with_every_rival_on_one_scale(known: Record) -> None:
    pictures = first_screen(known).pictures
    assert len(pictures) == len(TARGETS)
    scales = [[word for word in words(picture.svg) if re.fullmatch(r"[\d.]+", word)] for picture in pictures]
    assert scales[0] and all(scale == scales[0] for scale in scales)
    for target, picture in zip(TARGETS, pictures, strict=True):
        assert {target, *RIVALS} <= set(words(picture.svg))


@pytest.mark.parametrize("bare", [(), ("acl",), ("meniscus",), TARGETS])
def test_an_estimate_without_an_interval_is_drawn_and_explained(known: Record, bare: tuple[str, ...]) -> None:
    rows = known.evaluation
    without = rows["target"].isin(bare) & (rows["metric"] == "auroc")
    few = replace(known, evaluation=rows.assign(low=rows["low"].mask(without), high=rows["high"].mask(without)))
    first = first_screen(few)
    for target, picture in zip(TARGETS, first.pictures, strict=True):
        assert not {"nan", "not estimable"} & set(words(picture.svg))
        crossed = picture.svg != first_screen(known).pictures[TARGETS.index(target)].svg
        assert crossed if target in bare else bare or not crossed  # all panels share a scale, which may shrink
    assert ("with 95 % intervals" in first.caption) == (len(bare) < len(TARGETS))
    assert ("no interval: too few patients" in first.caption) == bool(bare) == ("cross" in first.caption.lower())


@pytest.mark.parametrize("title", [None, "A study", NASTY, "# no | *heading*", "=cmd", "x" * 300])
def test_any_title_is_shown_as_text(whole: Path, title: str | None) -> None:
    html = write_report(whole, title).read_text()
    shown = re.search("<h1>(.*?)</h1>", html)[1]
    assert shown and "<" not in shown
    assert [tag for tag, _ in Tags(html).tags].count("script") == 1  # that of the cases
    assert (title or "run")[:20].replace("<", "&lt;").replace('"', "&#34;").replace(">", "&gt;") in shown


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({"simulated": 24, "volumes": 24}, True),
        ({"simulated": 1, "volumes": 24}, True),
        ({"simulated": 1400}, True),
        ({"simulated": True}, True),
        ({"simulated": 0, "volumes": 24}, False),
        ({}, False),
    ],
)
def test_simulated_data_are_called_so_at_the_head_and_in_colour(
    whole: Path, known: Record, data: dict[str, Any], shown: bool
) -> None:
    first = first_screen(replace(known, data=data))
    assert bool(first.simulated) == shown
    assert ("1 of 24" in first.simulated) == (data.get("simulated") == 1 and data["simulated"] is not True)


def test_the_page_of_an_ideal_observer_says_simulated_before_any_number(evaluated_run: Path, tmp_path: Path) -> None:
    first = first_screen(read_record(evaluated_run))
    assert first.simulated and dict(first.glossary)["ideal"]
    html = write_report(shutil.copytree(evaluated_run, tmp_path / "run")).read_text()
    assert html.index("SIMULATED DATA") < html.index("[0.")


def test_the_patients_of_each_class_are_those_of_the_test_split(known: Record) -> None:
    found = {name: [cell.value for cell in row.values()] for name, row in cells(first_screen(known).counts).items()}
    assert found == {target: [str(n) for n in counted] for target, counted in flow.tested_clusters(known).items()}


def test_classes_of_an_answer_are_counted_by_cluster_and_by_sample(tmp_path: Path) -> None:
    evaluate(make_ten_classes(tmp_path), replicates=20)
    record = read_record(tmp_path)
    counts = cells(first_screen(record).counts)
    truth = pd.Series(record.answers.truth[:, 0])
    for number, clusters in truth.groupby(truth).groups.items():
        assert counts["samples"][str(number)].value == str(len(clusters))
        assert counts["clusters"][str(number)].value == str(record.answers.index["cluster"].iloc[clusters].nunique())


@pytest.mark.parametrize(
    "rivals",
    [
        ("magnitude",),
        ("i2m2",),
        ("i2m2", "intra"),
        ("inter", "i2m2"),
        ("i2m2", "inter3", "frozen"),
        ("odd", "i2m2"),
        ("i2m2", "intra2", "inter_tuned"),
    ],
)
def test_only_the_rivals_of_the_run_are_explained(known: Record, rivals: tuple[str, ...]) -> None:
    logp = {(rival, "0"): next(iter(known.answers.logp.values())) for rival in rivals}
    record = replace(known, answers=replace(known.answers, logp=logp, opinions={}))
    explained = {"I2M2": "i2m2"}
    names = [explained.get(name, name) for name, _ in first_screen(record).glossary]
    assert set(names) == set(rivals) - {"magnitude", "odd"} and len(names) <= 6


def test_the_case_is_a_right_positive_if_there_is_one_and_none_if_it_is_stale(known: Record) -> None:
    first, *_, last = known.cases.cases
    cases = replace(known.cases, cases=(first, replace(last, kind="true positive", sample="the one")))
    assert "the one" in first_screen(replace(known, cases=cases)).example
    other = replace(last, kind="true positive", target=TARGETS[1], sample="another")
    both = replace(cases, cases=(other, replace(other, target=TARGETS[0], sample="the first target's")))
    assert "the first target" in first_screen(replace(known, cases=both)).example
    error = first_screen(replace(known, cases=replace(cases, cases=(first,)))).example
    assert first.sample in error and first.kind in error and "No case in this report is a true positive" in error
    assert not first_screen(replace(known, cases=replace(cases, stale=True))).example
    assert not first_screen(replace(known, cases=None)).example


def test_sentences_of_another_task_are_not_on_the_page(tmp_path: Path) -> None:
    evaluate(make_ten_classes(tmp_path), replicates=20)
    html = re.sub('="#?patients"', "", write_report(tmp_path).read_text())  # an anchor, which nobody reads
    assert not re.search("DeLong|sentence with|[Cc]onsistency|patient|AUROC|Student|finding", html)


@pytest.mark.parametrize(
    ("task", "noun"),
    [
        ("avmnist", "digit"),
        ("nlvr2", "truth of the sentence"),
        ("another", "answer"),
        (None, "answer"),
        (3, "answer"),
        ("", "answer"),
    ],
)
def test_the_one_target_of_a_choice_has_the_noun_of_its_task(tmp_path: Path, task: object, noun: str) -> None:
    evaluate(make_ten_classes(tmp_path), replicates=5)
    counts = {"test": {"samples": 60, "positives": {"label": 30}}}
    (tmp_path / "data.json").write_text(json.dumps({"task": task, "counts": counts}))
    html, markdown = write_report(tmp_path).read_text(), (tmp_path / "report.md").read_text()
    sheet = (tmp_path / "reporting_sheet.md").read_text()
    assert noun in first_screen(read_record(tmp_path)).question
    texts = [re.sub(r"<style>.*?</style>|<script>.*?</script>|<[^>]*>", " ", html, flags=re.DOTALL), markdown]
    assert all(noun in text and not re.search(r"\blabel\b", text) for text in texts)
    assert not re.search(r"\blabel (depends|shows|is)\b", sheet)
