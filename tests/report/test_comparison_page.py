import json
import re
import shutil
from collections.abc import Sequence
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knee_i2m2 import predictions
from knee_i2m2.evaluation.comparison import compare
from knee_i2m2.report.comparison_page import write_comparison
from tests.evaluation.runs import EXPERTS, TARGETS, make_run, make_ten_classes
from tests.report.page_parts import NASTY, Tags
from tests.report.shown import bare, text

STRONG, WEAK = EXPERTS["i2m2"], ("magnitude",)


def page(runs: Sequence[Path], out: Path, replicates: int = 50) -> tuple[pd.DataFrame, str, str]:
    """Returns the table, compare.html and compare.md of a comparison."""
    table, notes = compare(runs, replicates=replicates)
    assert write_comparison(table, out, [str(run) for run in runs], notes) == out / "compare.html"
    return table, (out / "compare.html").read_text(), (out / "compare.md").read_text()


def plain(html: str) -> str:
    """Returns the words of a page, a space between its parts."""
    body = html[html.index("<body>") :]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def rows_of(markdown: str, title: str) -> dict[str, list[str]]:
    """Returns the rows of a table in Markdown by their names."""
    lines = markdown[markdown.index(f"{title}:\n") :].split("\n\n")[1].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    cells[0] = [*map(bare, cells[0])]
    return {name: rest for name, *rest in (cells[0], *cells[2:])}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs on the same samples: in the second, i2m2 sees more, magnitude sees less, and phase is new."""
    folder = tmp_path_factory.mktemp("runs")
    first = make_run(folder / "first", {"i2m2": WEAK, "magnitude": STRONG, "ideal": ("ideal",)})
    second = make_run(folder / "second", {"i2m2": STRONG, "magnitude": WEAK, "phase": ("phase",), "ideal": ("ideal",)})
    return [first, second]


@pytest.fixture(scope="module")
def comparison(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, str, str]:
    return page(runs, tmp_path_factory.mktemp("comparison"))


def picked(table: pd.DataFrame, **wanted: str) -> pd.Series:
    return table[np.logical_and.reduce([table[name] == value for name, value in wanted.items()])].squeeze()


def test_the_headline_is_the_mean_difference_of_the_reference(
    runs: list[Path], comparison: tuple[pd.DataFrame, str, str]
) -> None:
    table, html, markdown = comparison
    row = picked(table, rival="i2m2", unit="slice", target="macro")
    told = (
        f"For i2m2 the mean AUROC per slice is {text(row['second'])} in {runs[1]}, {text(row['value'])} above that in "
        f"{runs[0]} (95 % interval of the paired difference {text(row['low'])} to {text(row['high'])})."
    )
    assert row["value"] > 0
    assert told in plain(html)
    assert told.replace("_", r"\_") in markdown.replace("\u00a0", " ")


def test_what_is_worse_is_told_as_below(runs: list[Path], tmp_path: Path) -> None:
    table, html, _ = page(runs[::-1], tmp_path)
    row = picked(table, rival="i2m2", unit="slice", target="macro")
    assert row["value"] < 0
    assert f"is {text(row['second'])} in {runs[0]}, {text(-row['value'])} below that in {runs[1]}" in plain(html)
    assert "i2m2: worse" in plain(html)


def test_every_target_is_called_better_or_worse_with_its_corrected_interval_and_p(
    comparison: tuple[pd.DataFrame, str, str],
) -> None:
    table, html, markdown = comparison
    for target in TARGETS:
        row = picked(table, rival="i2m2", unit="slice", target=target)
        assert row["verdict"] == "adds"  # or this test shows nothing
        p = "p < 0.001" if row["p_holm"] < 0.001 else f"p = {row['p_holm']:.3f}"
        interval = f"[{text(row['holm_low'])}, {text(row['holm_high'])}]"
        assert f"- **{target}** i2m2: better: {text(row['value'])} {interval}; {p}\n" in unescape(markdown)
        assert f"{target} i2m2: better {text(row['value'])} {interval}" in plain(html)


def test_differences_are_those_of_the_table_with_verdicts_in_words(comparison: tuple[pd.DataFrame, str, str]) -> None:
    table, _, markdown = comparison
    words = {"adds": "better · ", "costs": "worse · "}
    found = rows_of(markdown, "Differences per slice")
    assert found["rival"] == [*TARGETS, "macro"]
    assert list(found) == ["rival", "i2m2", "magnitude", "ideal"]  # the reference first, the ceiling last
    seen = set()
    for rival, cells in list(found.items())[1:]:
        for target, cell in zip(found["rival"], cells, strict=True):
            row = picked(table, rival=rival, unit="slice", target=target)
            assert cell.startswith(f"{text(row['value'])} [{text(row['low'])}, {text(row['high'])}]")
            if target != "macro":
                assert f"({words.get(row['verdict'], row['verdict'] + ' · ')}p " in cell
                seen.add(row["verdict"])
            else:
                assert "(" not in cell  # the mean over targets is no comparison of its own
    assert seen == {"adds", "costs", "not detectable"}


def test_values_stand_as_first_and_second(comparison: tuple[pd.DataFrame, str, str], runs: list[Path]) -> None:
    table, html, markdown = comparison
    found = rows_of(markdown, f"AUROC per volume: {runs[0]} → {runs[1]}".replace("_", r"\_"))
    for rival in ("i2m2", "magnitude"):
        for target, cell in zip(found["rival"], found[rival], strict=True):
            row = picked(table, rival=rival, unit="volume", target=target)
            assert cell == f"{text(row['first'])} → {text(row['second'])}"
            assert cell in plain(html)


def test_a_run_is_level_with_its_copy(runs: list[Path], tmp_path: Path) -> None:
    copy = shutil.copytree(runs[0], tmp_path / "copy")
    _, html, markdown = page([runs[0], copy], tmp_path / "out", 10)
    found = rows_of(markdown, "Differences per slice")
    for rival in ("i2m2", "magnitude", "ideal"):
        acl, meniscus, macro = found[rival]
        assert acl == meniscus == "0.000 [0.000, 0.000] (not detectable · p = 1.000)"
        assert macro == "0.000 [0.000, 0.000]"
    assert "acl i2m2: not detectable" in plain(html)
    assert "What is not compared" not in html


def test_what_is_in_one_run_only_is_named_and_not_compared(comparison: tuple[pd.DataFrame, str, str]) -> None:
    table, html, markdown = comparison
    assert "phase" not in set(table["rival"])
    assert "What is not compared" in plain(html)
    assert re.search(r"^- phase is in .* only, and is not compared\.$", markdown, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("simulated", "ideal", "shown"),
    [
        ((0, 0), (False, False), False),
        ((None, None), (False, False), False),
        ((24, 24), (False, False), True),
        ((0, 1), (False, False), True),
        ((True, None), (False, False), True),
        ((0, 0), (True, True), True),
        ((None, 0), (False, True), True),
    ],
)
def test_simulated_data_of_any_run_are_called_so_before_any_number(
    tmp_path: Path, simulated: tuple, ideal: tuple, shown: bool
) -> None:
    runs = []
    for name, count, knows in zip("ab", simulated, ideal, strict=True):
        runs.append(make_run(tmp_path / name, {"i2m2": WEAK} | ({"ideal": ("ideal",)} if knows else {}), seeds=1))
        if count is not None:
            (runs[-1] / "data.json").write_text(json.dumps({"simulated": count}))
    _, html, markdown = page(runs, tmp_path / "out", 10)
    for written in (html, markdown):
        assert ("SIMULATED DATA" in written) == shown
        assert not shown or written.index("SIMULATED DATA") < written.index("For i2m2")
    assert f"<title>{runs[1]} against {runs[0]}</title>" in html


def test_three_runs_have_a_section_each_and_contents(runs: list[Path], tmp_path: Path) -> None:
    third = make_run(tmp_path / "third", {"i2m2": WEAK, "magnitude": STRONG, "ideal": ("ideal",)}, seeds=1)
    _, html, markdown = page([*runs, third], tmp_path / "out", 10)
    headings = [unescape(heading) for heading in re.findall(r"<h2>(.*?)</h2>", html)]
    assert headings == [f"{runs[1]} against {runs[0]}", f"{third} against {runs[0]}", "What is not compared"]
    links = [attributes["href"] for tag, attributes in Tags(html).tags if tag == "a"]
    assert links == ["#run-1", "#run-2", "#limits"]
    assert {f"#{attributes.get('id')}" for _, attributes in Tags(html).tags} >= set(links)
    assert plain(html).count("For i2m2 the mean AUROC per slice") == 2
    assert markdown.startswith(f"# {runs[1]}, {third} against {runs[0]}".replace("_", r"\_"))


def test_without_the_reference_the_page_is_about_the_first_rival_they_share(tmp_path: Path) -> None:
    first, second = (make_run(tmp_path / str(n), {"phase": ("phase",)}, seeds=n, targets=("acl",)) for n in (1, 2))
    table, html, markdown = page([first, second], tmp_path / "out", 10)
    row = picked(table, rival="phase", unit="slice", target="acl")
    assert f"For phase the AUROC per slice is {text(row['second'])} in" in plain(html)  # of one target is no mean
    assert rows_of(markdown, "Differences per slice")["rival"] == ["acl"]
    assert "What is not compared" not in html


def test_names_are_escaped(tmp_path: Path) -> None:
    rivals = {"i2m2": WEAK, "=cmd<b>|x": WEAK}
    runs = [make_run(tmp_path / name, rivals, 1, targets=(NASTY, "<i>*a*")) for name in ("<u>a_b", "[a](b)")]
    _, html, markdown = page(runs, tmp_path / "out", 10)
    assert not {"script", "b", "i", "u"} & {tag for tag, _ in Tags(html).tags}
    for name in (NASTY, "<i>*a*", "=cmd<b>|x", "<u>a_b", "[a](b)"):
        assert " ".join(name.split()) in unescape(html)
        assert name not in markdown
    assert r"=cmd&lt;b>\|x" in markdown
    assert r"&lt;u>a\_b" in markdown
    assert r"[a]\(b)" in markdown


def test_what_cannot_be_compared_is_said_in_words(tmp_path: Path) -> None:
    runs = [make_run(tmp_path / name, {"i2m2": WEAK}, seeds=1) for name in ("a", "b")]
    for path in tmp_path.glob("*/predictions/*/*/*.parquet"):
        predictions.write(pd.read_parquet(path).assign(truth=0), path)
    _, html, markdown = page(runs, tmp_path / "out", 10)
    assert f"For i2m2 the mean AUROC per slice of {runs[1]} and {runs[0]} cannot be compared." in plain(html)
    assert "- **acl** i2m2: not estimable\n" in markdown
    assert rows_of(markdown, "Differences per slice")["i2m2"] == ["not estimable"] * 3
    assert "nan" not in plain(html.replace(str(tmp_path), "")).lower().split()


def test_ten_classes_are_compared_by_accuracy_and_have_no_p(tmp_path: Path) -> None:
    for name in ("a", "b"):
        make_ten_classes(tmp_path / name, ["i2m2"])
    _, html, markdown = page([tmp_path / "a", tmp_path / "b"], tmp_path / "out", 10)
    assert "For i2m2 the accuracy per sample is" in plain(html)
    assert "accuracy per sample:" in markdown.lower()
    assert "DeLong" not in html and "AUROC" not in plain(html)
