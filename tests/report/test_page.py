import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from knee_i2m2 import predictions
from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.report.page import write_report
from tests.evaluation.runs import EXPERTS, index, make_run, prediction_table

NASTY = '<script>alert("1")</script>'


class Tags(HTMLParser):
    """Collects every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def finished(run: Path) -> Path:
    """Adds what training leaves beside the predictions."""
    lines = []
    for rival in ("magnitude", "phase", "i2m2"):
        for epoch in range(3):
            losses = {part: {"nll": 1 / (epoch + 1)} for part in ("train", "valid")}
            lines.append({"rival": rival, "seed": 0, "epoch": epoch, "losses": losses, "score": 0.5 + epoch / 10})
        amounts = {"epochs": 3, "best_epoch": 2, "updates": 30, "parameters": 97_000, "flops": 1e12, "seconds": 4.2}
        lines.append({"rival": rival, "seed": 0, "finished": True, **amounts})
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    split = {"samples": 72, "series": 24, "clusters": 12, "positives": {"acl": 30}}
    (run / "data.json").write_text(json.dumps({"task": "knee", "counts": {"test": split}, "kind": "patient"}))
    (run / "environment.json").write_text(json.dumps({"command": "knee-i2m2 train knee", "torch": "2.13.0"}))
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = finished(make_run(tmp_path_factory.mktemp("first_run")))
    evaluate(run, replicates=50)
    assert write_report(run) == run / "report.html"
    return run


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    return (run / "report.html").read_text()


def test_the_page_needs_no_network_and_no_script(html: str) -> None:
    tags = Tags(html).tags
    assert not {"script", "iframe", "object", "embed", "img"} & {tag for tag, _ in tags}
    links = [value for _, attributes in tags for name, value in attributes.items() if name in ("src", "href")]
    assert all(link.startswith("data:") for link in links)
    references = [value for _, attributes in tags for name, value in attributes.items() if name == "xlink:href"]
    assert all(reference.startswith("#") for reference in references)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_every_section_is_there(html: str) -> None:
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings == [
        "AUROC by rival and target",
        "Differences to i2m2",
        "ROC curves",
        "Efficiency against the ideal observer",
        "What each expert contributes to i2m2",
        "Training",
        "Budget",
        "Data",
        "Environment",
    ]
    for text in ("knee-i2m2 train knee", "phase (warm start only)", "per slice", "none of them also stands in val"):
        assert text in html


def test_the_tables_show_the_numbers_of_the_evaluation(run: Path, html: str) -> None:
    evaluation = pd.read_csv(run / "evaluation.csv", dtype={"seed": str})
    row = evaluation.query(
        "rival == 'i2m2' and seed == 'mean' and split == 'test' and unit == 'volume' and target == 'acl'"
        " and subgroup == 'all'"
    ).squeeze()
    shown = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    table = pd.read_csv(run / "tables/auroc_volume.csv", index_col="rival")
    assert table.loc["i2m2", "acl"] == shown
    assert shown in (run / "report.md").read_text()
    assert f'<span class="value">{row["value"]:.3f}</span>' in html
    assert table.index.tolist() == ["i2m2", "magnitude", "ideal"]


def test_figures_are_files_with_text_that_repeat_to_the_byte(run: Path, html: str) -> None:
    figures = {path.name: path.read_text() for path in (run / "figures").iterdir()}
    assert {"roc_1_acl.svg", "roc_2_meniscus.svg", "efficiency.svg", "shares.svg", "training_loss.svg"} <= set(figures)
    for figure in figures.values():
        assert "text" in {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(figure).iter()}
        assert "<metadata" not in figure
    write_report(run)
    assert {path.name: path.read_text() for path in (run / "figures").iterdir()} == figures
    assert (run / "report.html").read_text() == html


def test_ids_of_different_figures_do_not_collide(html: str) -> None:
    figures = re.findall(r"<figure.*?</figure>", html, flags=re.DOTALL)
    ids = [set(re.findall(r'\bid="([^"]*)"', figure)) for figure in figures]
    assert sum(map(len, ids)) == len(set().union(*ids))


def test_names_are_escaped_and_make_no_paths(tmp_path: Path) -> None:
    run = finished(make_run(tmp_path, targets=(NASTY, "../up|$x$"), rivals={**EXPERTS, "=cmd<b>": ("phase",)}))
    evaluate(run, replicates=20)
    html = write_report(run).read_text()
    assert NASTY not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html
    assert not {"script", "b"} & {tag for tag, _ in Tags(html).tags}
    assert all(re.fullmatch(r"[\w.-]+\.svg", path.name) for path in (run / "figures").iterdir())
    assert "'=cmd<b>" in (run / "tables/auroc_slice.csv").read_text()
    assert "<script>" not in (run / "report.md").read_text()
    assert r"../up\|$x$" in (run / "report.md").read_text()


def test_a_single_class_is_not_estimable_in_words(tmp_path: Path) -> None:
    run = make_run(tmp_path, seeds=1)
    for path in run.glob("predictions/*/*/*.parquet"):
        frame = pd.read_parquet(path)
        predictions.write(frame.assign(truth=frame["truth"].where(frame["target"] != "acl", 0)), path)
    evaluate(run, replicates=20)
    html = write_report(run).read_text()
    assert '<td class="none"><span class="value">not estimable</span></td>' in html
    assert not (run / "figures/roc_1_acl.svg").exists()
    assert "nan" not in (run / "report.md").read_text()


def test_ten_classes_have_accuracies_and_no_curves(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for split in ("val", "test"):
        asked = index(split)[["sample", "series", "cluster"]].assign(series="-")
        truth = random.integers(10, size=(len(asked), 1))
        for rival in ("i2m2", "magnitude"):
            table = prediction_table(asked, truth, EXPERTS[rival], random, targets=("label",), classes=10)
            predictions.write(table, tmp_path / "predictions" / rival / "0" / f"{split}.parquet")
    evaluate(tmp_path, replicates=20)
    html = write_report(tmp_path).read_text()
    assert "<h2>Accuracy by rival and target</h2>" in html
    assert "For i2m2 the accuracy per sample is" in html
    assert not (tmp_path / "figures").exists()
    assert pd.read_csv(tmp_path / "tables/accuracy_sample.csv").columns.tolist() == ["rival", "label"]


def test_predictions_alone_make_a_report(tmp_path: Path) -> None:
    run = make_run(tmp_path, rivals={"magnitude": ("magnitude",)}, seeds=1)
    evaluate(run, replicates=20)
    html = write_report(run).read_text()
    assert "There is no i2m2 in this run" in html
    for absent in ("Differences", "Efficiency", "Training", "Budget", "Environment"):
        assert f"<h2>{absent}" not in html


def test_patients_in_both_val_and_test_are_counted(tmp_path: Path) -> None:
    run = make_run(tmp_path, seeds=1)
    for path in run.glob("predictions/*/*/*.parquet"):
        frame = pd.read_parquet(path)
        predictions.write(frame.assign(cluster=frame["cluster"].replace({"valp003": "p", "testp005": "p"})), path)
    evaluate(run, replicates=20)
    assert "1 of them also stands in val: numbers on test may be too good" in write_report(run).read_text()
    assert "clusters in both val and test: 1" in (run / "report.md").read_text()


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    run = finished(make_run(tmp_path, seeds=1))
    with (run / "metrics.jsonl").open("a") as opened:
        opened.write('{"rival": "i2m2", "se')
    evaluate(run, replicates=20)
    assert "Budget" in write_report(run).read_text()


def test_a_run_that_is_not_evaluated_or_damaged_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path, seeds=1)
    with pytest.raises(DataError, match=r"evaluation.csv: there is no such table; run `evaluate` first"):
        write_report(run)
    evaluate(run, replicates=20)
    (run / "data.json").write_text("{")
    with pytest.raises(DataError, match=r"data.json: is no readable JSON"):
        write_report(run)
    (run / "data.json").unlink()
    make_run(tmp_path, rivals={"phase": ("phase",)}, seeds=1)
    with pytest.raises(DataError, match="does not belong to the run's predictions"):
        write_report(run)
    assert not (run / "report.html").exists()
