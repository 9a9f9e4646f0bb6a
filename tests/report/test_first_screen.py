"""The first screen answers: what the run is, its question, a verdict per target, whom it rests on, and the words."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.evaluation.split_answers import CHOICE, SplitAnswers
from knee_i2m2.report.elements.cases import Rectangle
from knee_i2m2.report.elements.inputs import Record, read_record
from knee_i2m2.report.figures import flow
from knee_i2m2.report.figures.overview import limits
from knee_i2m2.report.first_screen import first_screen
from knee_i2m2.report.page import write_report
from knee_i2m2.report.paper.summary import dependence_sentences, dependence_title
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
        assert [detail.split()[0] for detail in line.details] == list(effects.loc[target].index)
        for detail in line.details:
            row = effects.loc[target, detail.split()[0]]
            assert f"{text(row['value'])} [{text(row['holm_low'])}, {text(row['holm_high'])}]" in plain(detail)
    assert "gain in AUROC per slice" in first_screen(known).measure


def plain(line: str) -> str:
    """Returns a line with all its blanks the same."""
    return line.replace("\u00a0", " ")


def judged(record: Record, effects: dict[str, tuple[float, float, float, str]]) -> Record:
    """Returns the record with these values, Holm's intervals and verdicts of the effects on acl."""
    rows = record.effects.copy()
    for effect, row in effects.items():
        here = (rows["effect"] == effect) & (rows["target"] == "acl")
        rows.loc[here, ["value", "holm_low", "holm_high", "verdict"]] = row
    return replace(record, effects=rows)


NAN = float("nan")


@pytest.mark.parametrize(
    ("effects", "details"),
    [
        ({"phase": (0.0, 0.0, 0.0, "not detectable")}, ("phase: i2m2 and magnitude score exactly alike",)),
        ({"magnitude": (0.0, 0.0, 0.0, "not detectable")}, ("magnitude: i2m2 and phase score exactly alike",)),
        ({"phase": (0.0, -0.01, 0.01, "not detectable")}, ("phase 0.000 [−0.010, 0.010]",)),
        ({"phase": (0.2, NAN, NAN, "not estimable")}, ("phase not estimable",)),
        ({"phase": (-0.2, -0.3, -0.1, "costs")}, ("phase −0.200 [−0.300, −0.100]",)),
        ({"phase": (0.2, 0.1, 0.3, "adds")}, ("phase +0.200 [0.100, 0.300]",)),
    ],
)
def test_an_effect_is_a_number_only_where_it_can_be_interpreted(
    known: Record, effects: dict[str, tuple[float, float, float, str]], details: tuple[str, ...]
) -> None:
    line = first_screen(judged(known, effects)).answers[TARGETS.index("acl")]
    assert len(line.details) == 3 and set(details) <= set(map(plain, line.details))


def test_too_few_patients_are_said_with_how_many_are_needed_and_without_numbers(known: Record) -> None:
    bare = dict.fromkeys(known.effects["effect"].unique(), (0.2, NAN, NAN, "not estimable"))
    line = first_screen(judged(known, bare)).answers[TARGETS.index("acl")]
    assert (line.text, line.details) == ("too few patients for a verdict: 10 with and 10 without are needed", ())
    everywhere = known.effects.assign(holm_low=NAN, holm_high=NAN, verdict="not estimable")
    assert not first_screen(replace(known, effects=everywhere)).measure


GUESSING = "cannot be judged: no rival compared does better than guessing"
NOTHING = dict.fromkeys(("magnitude", "phase", "interaction"), (0.01, -0.02, 0.03, "not detectable"))


@pytest.mark.parametrize(
    ("lows", "effects", "guessing"),
    [
        ({}, NOTHING, True),
        ({"i2m2": 0.51}, NOTHING, False),
        ({"magnitude": 0.51}, NOTHING, False),
        ({"intra": 0.501, "phase": 0.6}, NOTHING, False),
        ({"i2m2": 0.5}, NOTHING, True),  # an interval that ends at chance holds it
        ({"ideal": 0.9, "position": 0.6}, NOTHING, True),  # no effect compares them
        ({}, NOTHING | {"phase": (0.2, 0.1, 0.3, "adds")}, False),
    ],
)
def test_where_all_rivals_guess_there_is_no_verdict(
    known: Record, lows: dict[str, float], effects: dict[str, tuple[float, float, float, str]], guessing: bool
) -> None:
    rows = known.evaluation[known.evaluation["target"] != "acl"]
    acl = known.evaluation[(known.evaluation["target"] == "acl")]
    others = [acl[acl["rival"] == "i2m2"].assign(rival=name) for name in ("ideal", "position")]
    acl = pd.concat([acl, *others])
    evaluation = pd.concat([rows, acl.assign(low=acl["rival"].map(lows).fillna(0.4))])
    record = judged(replace(known, evaluation=evaluation), effects)
    assert first_screen(record).answers[TARGETS.index("acl")].text.startswith(GUESSING) == guessing
    (sentence,) = [sentence for sentence in dependence_sentences(record) if sentence.startswith("acl")]
    assert sentence.startswith(f"acl {GUESSING}") == guessing


@pytest.mark.parametrize("counts", [(36, 36), (24, 48), (12, 12, 48), (71, 1), (12,) * 6, (24, 0, 0, 48)])
def test_chance_of_a_choice_is_the_share_of_the_most_frequent_class(known: Record, counts: tuple[int, ...]) -> None:
    truth, logp = np.repeat(np.arange(len(counts)), counts)[:, None], np.zeros((sum(counts), 1, len(counts)))
    answers = SplitAnswers("sample", known.answers.index, (CHOICE,), truth, {("i2m2", "0"): logp}, choice=True)
    assert replace(known, answers=answers).chance == max(counts) / sum(counts)
    assert known.chance == 0.5


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
        assert {target, "chance", *RIVALS} <= set(words(picture.svg))
        assert max(map(float, scales[0])) - min(map(float, scales[0])) >= 0.1


@pytest.mark.parametrize("seed", range(6))
def test_rivals_have_one_order_whatever_their_results(known: Record, seed: int) -> None:
    rows = known.evaluation
    values = rows["value"].sample(frac=1, random_state=seed).to_numpy()
    pictures = first_screen(replace(known, evaluation=rows.assign(value=values, low=values, high=values))).pictures
    for picture in pictures:
        assert [word for word in words(picture.svg) if word in RIVALS] == ["i2m2", "magnitude", "phase", "intra"]
        bold = re.findall(r"<text[^>]*font-weight: 700[^>]*>([^<]*)</text>", picture.svg)
        assert bold == ["i2m2"]


@pytest.mark.parametrize("ends", [(0.5, 0.5), (0.495, 0.51), (0.9, 1.0), (0.0, 0.05), (0.4, 0.6), (0.1, 0.9)])
def test_an_axis_holds_its_estimates_and_is_never_short(ends: tuple[float, float]) -> None:
    low, high = limits(pd.DataFrame({"value": ends, "low": ends, "high": ends}))
    assert low < ends[0] <= ends[1] < high and high - low >= 0.2 - 1e-12


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


@pytest.mark.parametrize("title", [None, NASTY, "# no | *heading*" + "x" * 300])
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


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"sources": {"mnist.gz": "a", "fsdd.zip": "b"}}, "data: mnist.gz, fsdd.zip"),
        ({"sources": {str(n): "" for n in range(1100)}}, "data: 1\u00a0100\u00a0source\u00a0files, named in data.json"),
        ({"sources": {"a.h5": ""}, "simulated": 0}, "data: a.h5"),
        ({"sources": {"a.h5": ""}, "simulated": 1}, ""),
        ({"sources": {}}, ""),
        ({"sources": 3}, ""),
        ({}, ""),
    ],
)
def test_sources_of_data_that_are_not_simulated_are_named(known: Record, data: dict[str, Any], line: str) -> None:
    facts = [fact for fact in first_screen(replace(known, data=data)).facts if fact.startswith("data")]
    assert len(facts) == bool(line) and all(fact.startswith(line) for fact in facts)


def test_a_number_stays_with_its_noun_and_the_independent_units_are_named(known: Record) -> None:
    (line,) = [fact for fact in first_screen(known).facts if fact.startswith("test split")]
    index = known.answers.index
    patients, slices = f"{index['cluster'].nunique()}\u00a0patients", f"{len(index)}\u00a0slices"
    assert line == f"test split: {patients}, independent of each other; {slices}"


@pytest.mark.parametrize(
    ("targets", "title"),
    [(("acl",), "What acl depends on"), ((CHOICE,), "What the label depends on"), (TARGETS, "What every target ")],
)
def test_one_target_is_called_by_its_name_in_the_titles(known: Record, targets: tuple[str, ...], title: str) -> None:
    answers = replace(known.answers, targets=targets, choice=targets == (CHOICE,))
    assert dependence_title(replace(known, answers=answers)).startswith(title)


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
        assert counts[str(number)]["samples"].value == str(len(clusters))
        assert counts[str(number)]["clusters"].value == str(record.answers.index["cluster"].iloc[clusters].nunique())


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


@pytest.mark.parametrize(
    ("owners", "log_odds", "shown", "hidden"),
    [
        (("acl",), 15.0, ("Solid: annotated boxes of acl", "(&gt;\u00a00.999)", "±π rad"), ("Dashed",)),
        (("elsewhere",), 0.0, ("Dashed: annotated boxes of other", "(0.500)"), ("Solid",)),
        (("acl", "elsewhere"), -15.0, ("Solid", "Dashed", "(&lt;\u00a00.001)"), ()),
        ((), 1.0, ("(0.731)", "±π rad"), ("Solid", "Dashed")),
    ],
)
def test_a_case_says_what_its_boxes_colours_and_numbers_are(
    known: Record, owners: tuple[str, ...], log_odds: float, shown: tuple[str, ...], hidden: tuple[str, ...]
) -> None:
    boxes = tuple(Rectangle(1, 1, 2, 2, "Tear", owner) for owner in owners)
    case = replace(known.cases.cases[0], target="acl", boxes=boxes, log_odds=log_odds)
    html = first_screen(replace(known, cases=replace(known.cases, cases=(case,)))).example
    assert all(part in html for part in shown) and not any(part in html for part in hidden)


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
