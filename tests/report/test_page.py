import base64
import hashlib
import re
import shutil
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from knee_i2m2 import predictions
from knee_i2m2.errors import DataError
from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.report.elements.inputs import read_record
from knee_i2m2.report.page import write_report
from tests.evaluation.runs import EXPERTS, make_run, make_ten_classes
from tests.report.page_parts import NASTY, Tags, finished, with_cases


@pytest.fixture(scope="module")
def run(evaluated_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = shutil.copytree(evaluated_run, tmp_path_factory.mktemp("page") / "first_run")
    assert write_report(run) == run / "report.html"
    return run


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    return (run / "report.html").read_text()


def test_the_page_needs_no_network_and_no_script(html: str) -> None:
    tags = Tags(html).tags
    assert not {"script", "iframe", "object", "embed", "img"} & {tag for tag, _ in tags}
    links = [value for _, attributes in tags for name, value in attributes.items() if name in ("src", "href")]
    anchors = {f"#{attributes['id']}" for _, attributes in tags if attributes.get("id")}
    assert all(link.startswith("data:") or link in anchors for link in links)
    references = [value for _, attributes in tags for name, value in attributes.items() if name == "xlink:href"]
    assert all(reference.startswith("#") for reference in references)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_every_section_is_there(html: str) -> None:
    headings = re.findall(r"<h2>(.*?)</h2>", html)
    assert headings == [
        "AUROC by rival and target",
        "What every target depends on",
        "Differences to i2m2",
        "What slice position explains",
        "ROC and precision-recall curves",
        "At the threshold of the validation set",
        "Calibration",
        "Decision curves",
        "Subgroups",
        "What each expert contributes to i2m2",
        "Efficiency against the ideal observer",
        "Three intervals side by side",
        "What is not estimable, and why",
        "Patients, and whether any of them leaks",
        "Training",
        "Budget",
        "Data",
        "Environment",
    ]
    told = ("knee-i2m2 train knee", "phase (warm start only)", "Per slice", "none of them is in another split")
    for text in (*told, "torch 2.13.0, monai 1.6.1"):
        assert text in html
    linked = re.findall(r'<a href="#([^"]*)">', html)
    assert linked == re.findall(r'<section id="([^"]*)">', html)


def test_the_tables_show_the_numbers_of_the_evaluation(run: Path, html: str) -> None:
    evaluation = pd.read_csv(run / "evaluation.csv", dtype={"seed": str})
    rows = evaluation.query(
        "rival == 'i2m2' and seed == 'mean' and split == 'test' and unit == 'volume' and subgroup == 'all'"
        " and metric == 'auroc'"
    ).set_index("target")
    row, macro = rows.loc["acl"], rows.loc["macro"]
    table = pd.read_csv(run / "tables/auroc_volume.csv", index_col="rival")
    assert table.loc["i2m2", f"acl ({row['note']})"] == pytest.approx(row["value"], abs=5e-4)  # without an interval
    assert f"macro ({macro['note']})" in table.columns
    assert table.loc["i2m2", "SD over seeds"] == f"{macro['seed_sd']:.3f}"
    assert table.loc["ideal", "SD over seeds"] == "one seed"
    assert row["note"] in (run / "report.md").read_text()
    assert f'<span class="value">{row["value"]:.3f}</span>' in html
    assert table.index.tolist() == ["i2m2", "magnitude", "ideal"]


def test_figures_are_files_with_text_that_repeat_to_the_byte(run: Path, html: str) -> None:
    figures = {path.name: path.read_text() for path in (run / "figures").iterdir()}
    kinds = ("roc", "pr", "reliability", "decision", "forest", "adjusted")
    assert {f"{kind}_{target}.svg" for kind in kinds for target in ("1_acl", "2_meniscus")} <= set(figures)
    assert {"efficiency.svg", "shapley.svg", "leave_one_out.svg", "flow.svg", "training_loss.svg"} <= set(figures)
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
    rivals = {"i2m2": EXPERTS["i2m2"], "=cmd<b>": ("phase",)}
    run = finished(make_run(tmp_path, rivals, 1, targets=(NASTY, "../up|$x$")))
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
    run = make_run(tmp_path, {"i2m2": ("magnitude", "phase")}, seeds=1)
    for path in run.glob("predictions/*/*/*.parquet"):
        frame = pd.read_parquet(path)
        predictions.write(frame.assign(truth=frame["truth"].where(frame["target"] != "acl", 0)), path)
    evaluate(run, replicates=20)
    html = write_report(run).read_text()
    assert '<td class="none"><span class="value">not estimable</span></td>' in html
    assert not (run / "figures/roc_1_acl.svg").exists()
    assert "nan" not in (run / "report.md").read_text()


def test_ten_classes_have_accuracies_and_no_curves(tmp_path: Path) -> None:
    make_ten_classes(tmp_path)
    evaluate(tmp_path, replicates=20)
    html = write_report(tmp_path).read_text()
    assert "<h2>Accuracy by rival and target</h2>" in html
    assert "For i2m2 the accuracy per sample is" in html
    assert "Entropy, per sample" in html and "Consistency, per" not in html
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {"flow.svg", "rivals_1_answer.svg"}
    assert pd.read_csv(tmp_path / "tables/accuracy_sample.csv").columns.tolist() == ["rival", "answer"]


def test_predictions_alone_make_a_report(tmp_path: Path) -> None:
    run = make_run(tmp_path, rivals={"magnitude": ("magnitude",)}, seeds=1)
    evaluate(run, replicates=20)
    html = write_report(run).read_text()
    assert "There is no i2m2 in this run" in html
    for absent in ("Differences", "Efficiency", "Training", "Budget", "Data", "Cases"):
        assert f"<h2>{absent}" not in html


def test_patients_in_both_val_and_test_are_named_loudly(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"magnitude": ("magnitude",)}, seeds=1, targets=("acl",))
    for path in run.glob("predictions/*/*/*.parquet"):
        frame = pd.read_parquet(path)
        predictions.write(frame.assign(cluster=frame["cluster"].replace({"valp003": "p", "testp005": "p"})), path)
    evaluate(run, replicates=20, allow_leaks=True)
    html = write_report(run).read_text()
    assert html.count('role="alert"') == 2
    assert "p is in more than one split" in html
    assert "THE SPLIT LEAKS" in (run / "report.md").read_text().split("##")[0]


def test_targets_and_subgroups_of_other_names_are_shown_by_these_names(tmp_path: Path) -> None:
    rivals = {"i2m2": ("magnitude", "phase"), "magnitude": ("magnitude",)}
    run = make_run(tmp_path, rivals, seeds=1, targets=("Baker cyst", "effusion"), patients=20)
    for path in run.glob("predictions/*/*/*.parquet"):
        frame = pd.read_parquet(path)
        frame.insert(5, "site", np.where(frame["cluster"].str[-1].astype(int) % 2, "Leiden", "Utrecht"))
        predictions.write(frame, path)
    evaluation = evaluate(run, replicates=20).results
    inside = evaluation.query("subgroup == 'site=Leiden' and split == 'test' and unit == 'slice' and metric == 'auroc'")
    assert set(inside["target"]) == {"Baker cyst", "effusion", "macro"}
    assert (inside["n"] == 60).all()
    html = write_report(run).read_text()
    assert "site: Leiden" in html and "site: Utrecht" in html
    assert "site: Leiden" in (run / "tables/subgroups.csv").read_text()
    assert all(html.count(name) > 10 for name in ("Baker cyst", "effusion"))
    assert not re.search(r"\b(acl|meniscus|cartilage)\b", html)


def test_single_cases_come_with_their_script_and_no_other(tmp_path: Path) -> None:
    run = with_cases(make_run(tmp_path, {"i2m2": EXPERTS["i2m2"]}, seeds=1, targets=("acl",)))
    evaluate(run, replicates=20)
    html = write_report(run).read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in unescape(html)
    assert html.count('<article class="case"') == 4
    assert "Can the saliency maps be believed?" in html


def test_the_page_stays_below_ten_megabytes_and_says_which_cases_it_leaves_out(tmp_path: Path) -> None:
    run = with_cases(make_run(tmp_path, {"i2m2": EXPERTS["i2m2"]}, seeds=1, targets=("acl",)), number=6, side=800)
    evaluate(run, replicates=20)
    html = write_report(run).read_text()
    shown = html.count('<article class="case"')
    assert 0 < shown < 6
    assert f"{shown} of 6 cases are shown" in html
    assert len(html.encode()) < 10_000_000


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    run = finished(make_run(tmp_path, {"i2m2": ("magnitude",)}, seeds=1, targets=("acl",)))
    with (run / "metrics.jsonl").open("a") as opened:
        opened.write('{"rival": "i2m2", "se')
    evaluate(run, replicates=20)
    assert set(read_record(run).budget["rival"]) == {"magnitude", "phase", "i2m2"}


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


def test_a_table_of_other_predictions_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path, seeds=1)
    evaluate(run, replicates=5)
    for path in run.glob("predictions/i2m2/0/test.parquet"):
        frame = pd.read_parquet(path)
        swapped = {c: c[:-1] + str(1 - int(c[-1])) for c in frame if c.startswith(("logp", "logit"))}
        predictions.write(frame.rename(columns=swapped)[frame.columns], path)
    with pytest.raises(DataError, match="was made from other predictions; run `evaluate` again"):
        write_report(run)
