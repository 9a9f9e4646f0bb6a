"""NLVR2's recipe, small: scenes are drawn, prepared, trained on and judged; every rival starts from one backbone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from knee_i2m2.cli import main
from knee_i2m2.errors import CheckpointError, ConfigError
from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.evaluation.statistics.accuracy import accuracy
from knee_i2m2.predictions import experts
from knee_i2m2.recipes.nlvr2 import NLVR2, RIVALS, experts_of, layer_wise, tokenised, train
from knee_i2m2.recipes.nlvr2_backbones import backbone_of
from knee_i2m2.report.page import write_report
from knee_i2m2.training import checkpoint
from knee_i2m2.training.rivals import learning
from knee_i2m2.training.session import open_samples
from tests.experts.pairs import tiny_transformers as tiny

RIVALS_OF_RUN = ("images", "sentence", "intra", "inter", "i2m2")
SMALL = {
    "size": "tiny",
    "epochs": 1,
    "batch_size": 20,
    "lr": 1e-3,
    "threads": 1,
    "device": "cpu",
    "gates": 0.5,
    "sets_together": True,
}


def options_with(backbone: str) -> dict[str, object]:
    """Returns the options that a backbone has a use for."""
    idle = {"vilt": ("gates", "size"), "flava": ("gates", "size"), "sentences": ("gates",)}.get(backbone, ())
    return {name: value for name, value in SMALL.items() if name not in idle}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nlvr2")
    sizes = ["--train", "80", "--val", "40", "--test", "80", "--kinds", "existence", "--most", "2"]
    assert main(["scenes", str(folder / "scenes"), *sizes]) == 0
    assert main(["prepare", "nlvr2", str(folder / "scenes"), "--side", "48", "--out", str(folder / "data")]) == 0
    return folder / "data"


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "run"
    train(NLVR2(data, out, accumulate=2, **SMALL))
    return out


def test_every_rival_answers_and_is_judged_by_accuracy(run: Path) -> None:
    found = evaluate(run, replicates=20)
    rows = found.results.query("split == 'test' and seed == 'mean' and target == 'label'")
    assert set(rows["rival"]) == {*RIVALS_OF_RUN, "majority"}
    assert set(rows["metric"]) == {"accuracy", "consistency", "entropy"}
    assert set(rows["subgroup"]) == {"all", "balance=balanced"}
    assert (rows.query("metric == 'accuracy' and subgroup == 'all'")["clusters"] == 20).all()
    assert set(found.effects["effect"]) == {"images", "sentence", "interaction"}
    page = write_report(run).read_text()
    assert "Accuracy by rival and target" in page and "Clusters, and whether any of them leaks" in page


def test_a_product_has_the_opinions_of_its_experts(run: Path) -> None:
    frame = pd.read_parquet(run / "predictions/i2m2/0/test.parquet")
    assert {c[6:-2] for c in frame if c.startswith("logit_") and "bias" not in c} == set(RIVALS["i2m2"].experts)
    assert (frame["cluster"].str.count("-") == 1).all()


def test_all_rivals_of_a_seed_start_from_the_same_backbone_and_share_it(data: Path, tmp_path: Path) -> None:
    config = NLVR2(data, tmp_path, **SMALL)
    backbone = backbone_of(config, open_samples(data, "nlvr2")["train"])
    made = {name: experts_of(config, backbone, rival, 0) for name, rival in RIVALS.items()}
    backbones = {name: dict(one.encoders.named_parameters()) for name, one in made.items()}
    for name, parameters in backbones.items():
        assert all(torch.equal(parameters[p], v) for p, v in backbones["inter"].items()), name
    sizes = {name: sum(p.numel() for p in parameters.values()) for name, parameters in backbones.items()}
    assert len(set(sizes.values())) == 1  # not three copies
    other = dict(experts_of(config, backbone, RIVALS["inter"], 1).encoders.named_parameters())
    assert not all(torch.equal(other[p], v) for p, v in backbones["inter"].items())


def test_heads_and_what_lies_between_the_towers_learn_faster(data: Path, tmp_path: Path) -> None:
    config = NLVR2(data, tmp_path, head_rate=50.0, cross_rate=5.0, **SMALL)
    backbone = backbone_of(config, open_samples(data, "nlvr2")["train"])
    method = learning(RIVALS["i2m2"], experts_of(config, backbone, RIVALS["i2m2"], 0), torch.ones(2))
    rate = {id(p): group["lr"] for group in layer_wise(config, method) for p in group["params"]}
    named = {name: p for name, p in method.named_parameters() if p.requires_grad}
    assert len(rate) == len(named)
    for name, parameter in named.items():
        between = any(part in name for part in ("cross_modal", "i2t", "t2i"))
        factor = 50 if ".heads." in name else 5 if between else 1
        assert rate[id(parameter)] == pytest.approx(factor * config.lr), name


def test_the_same_seed_gives_the_same_answers(data: Path, run: Path, tmp_path: Path) -> None:
    train(NLVR2(data, tmp_path / "run", rivals=["inter"], accumulate=2, **SMALL))
    paths = [folder / "predictions/inter/0/test.parquet" for folder in (run, tmp_path / "run")]
    pd.testing.assert_frame_equal(*map(pd.read_parquet, paths))


@pytest.mark.parametrize("option", ["fiber", "swin", "roberta", "vilt", "flava", "sentences"])
def test_weights_that_are_not_there_are_a_sentence(data: Path, tmp_path: Path, option: str) -> None:
    with pytest.raises(CheckpointError, match="gone"):
        train(NLVR2(data, tmp_path / "run", ["inter"], **options_with(option), **{option: tmp_path / "gone"}))
    assert not (tmp_path / "run").exists()


def test_options_that_exclude_each_other_are_a_sentence(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--fiber and --swin name several backbones"):
        train(NLVR2(data, tmp_path / "run", fiber=tmp_path, swin=tmp_path, **SMALL))
    with pytest.raises(ConfigError, match="--flava has no use for --gates; leave it out"):
        train(NLVR2(data, tmp_path / "run", flava=tmp_path, **{**SMALL, "size": "base"}))
    with pytest.raises(ConfigError, match="a text has a start, an end and a word"):
        train(NLVR2(data, tmp_path / "run", longest=2, **SMALL))
    with pytest.raises(ConfigError, match="did you mean i2m2"):
        train(NLVR2(data, tmp_path / "run", rivals=["i2m"], **SMALL))


def test_who_knows_only_the_majority_says_what_training_says_most(run: Path, data: Path) -> None:
    index = pd.read_parquet(data / "index.parquet")
    frame = pd.read_parquet(run / "predictions/majority/0/test.parquet")
    share = index.query("split == 'train'")["label"].mean()  # balanced, so that Laplace's rule changes nothing
    assert np.exp(frame[["logp_0", "logp_1"]].to_numpy()) == pytest.approx(np.full((80, 2), [1 - share, share]))
    rows = evaluate(run, replicates=20).results.query("rival == 'majority' and metric == 'accuracy'")
    assert rows.query("split == 'test' and seed == 'mean' and subgroup == 'all'")["value"].eq(0.5).all()


def test_answers_are_written_as_the_authors_read_them(run: Path, data: Path) -> None:
    index = pd.read_parquet(data / "index.parquet").query("split == 'test'")
    for rival in (*RIVALS_OF_RUN, "majority"):
        lines = (run / f"official/{rival}/0/test1.csv").read_text().splitlines()
        told = dict(line.split(",") for line in lines)  # as metrics.py does
        assert list(told) == index["sample"].tolist() and set(told.values()) <= {"True", "False"}
        right = np.mean([(told[s] == "True") == bool(y) for s, y in zip(index["sample"], index["label"], strict=True)])
        frame = pd.read_parquet(run / f"predictions/{rival}/0/test.parquet")
        assert right == pytest.approx(accuracy(frame["truth"].to_numpy(), frame[["logp_0", "logp_1"]].to_numpy()))


def test_a_frozen_backbone_stays_as_it_was_and_only_heads_learn(data: Path, tmp_path: Path) -> None:
    config = NLVR2(data, tmp_path / "run", rivals=["i2m2", "inter3"], frozen=True, **SMALL)
    train(config)
    backbone = backbone_of(config, open_samples(data, "nlvr2")["train"])
    for name in config.rivals:
        fresh = experts_of(config, backbone, RIVALS[name], 0)
        before = {f"experts.{key}": value.clone() for key, value in fresh.state_dict().items()}
        method = learning(RIVALS[name], fresh, torch.ones(2))
        checkpoint.load_weights(tmp_path / f"run/experts/{name}/0/best", method)
        same = {key: torch.equal(value, before[key]) for key, value in method.state_dict().items() if key in before}
        assert all(kept for key, kept in same.items() if ".encoders." in key)
        assert not any(kept for key, kept in same.items() if ".heads." in key and key.endswith("3.weight"))


def test_augmentation_reaches_the_training_only_and_knows_which_sentences_are_sided(data: Path, tmp_path: Path) -> None:
    config = NLVR2(data, tmp_path / "run", rivals=["images"], augment=True, **SMALL)
    prepared = open_samples(data, "nlvr2")
    samples = tokenised(prepared, config, backbone_of(config, prepared["train"]))
    sided = samples["train"][list(range(80))].x["sided"].tolist()
    assert sided == [bool({"left", "right"} & set(s.lower().split())) for s in samples["train"].index["sentence"]]
    assert set(samples["val"][[0]].x) == set(samples["test"][[0]].x) == {"images", "sentence"}
    train(config)
    assert (tmp_path / "run/predictions/images/0/test.parquet").is_file()


@pytest.mark.parametrize(("option", "rivals"), [("vilt", ["inter"]), ("flava", ["i2m2"]), ("sentences", ["i2m2"])])
def test_other_backbones_are_trained_from_their_folders(
    data: Path, tmp_path: Path, option: str, rivals: list[str]
) -> None:
    {"vilt": tiny.vilt, "flava": tiny.flava, "sentences": tiny.bert}[option](tmp_path / option)
    lone = {**options_with(option), "batch_size": 79}  # the last of 80 examples stands alone in its batch
    train(NLVR2(data, tmp_path / "run", rivals, longest=40, **lone, **{option: tmp_path / option}))
    frame = pd.read_parquet(tmp_path / f"run/predictions/{rivals[0]}/0/test.parquet")
    assert set(experts(frame)) == set(RIVALS[rivals[0]].experts)


def test_vilt_alone_with_one_modality_is_refused_before_a_folder_is_made(data: Path, tmp_path: Path) -> None:
    tiny.vilt(tmp_path / "vilt")
    with pytest.raises(ConfigError, match="--longest 50: this ViLT reads 40 tokens; give --longest 40"):
        train(NLVR2(data, tmp_path / "run", rivals=["inter"], vilt=tmp_path / "vilt", device="cpu"))
    with pytest.raises(ConfigError, match="ViLT reads pictures and sentence together only"):
        train(NLVR2(data, tmp_path / "run", rivals=["inter", "i2m2"], vilt=tmp_path / "vilt", longest=40, device="cpu"))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("longest", [3, 6, 7, 8, 9, 50])
def test_sentences_that_are_cut_are_counted_by_train_and_listed_in_the_run(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], longest: int
) -> None:
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    arguments = ["--data", str(data), "--out", str(tmp_path / "run"), "--rivals", "sentence", "--longest", str(longest)]
    assert main(["train", "nlvr2", *arguments, *options]) == 0
    index = pd.read_parquet(data / "index.parquet")
    tokens = 2 + index["sentence"].str.count(r"\w+|[^\w\s]")
    wanted = index.assign(tokens=tokens)[tokens > longest][["split", "sample", "tokens"]]
    assert pd.read_csv(tmp_path / "run/cut_sentences.csv").to_numpy().tolist() == wanted.to_numpy().tolist()
    said = capsys.readouterr().out
    for split in ("train", "val", "test"):
        assert f"sentences cut at --longest: {(wanted['split'] == split).sum()} {split}" in said
    assert f"cuts {len(wanted)} sentences" in (tmp_path / "run/events.log").read_text()


@pytest.mark.parametrize("batch_size", [1, 79])
@pytest.mark.parametrize("rivals", [["i2m2"], ["gblend"], ["images"]])
def test_a_batch_of_one_and_a_last_example_alone_are_learned_from(
    data: Path, tmp_path: Path, batch_size: int, rivals: list[str]
) -> None:
    train(NLVR2(data, tmp_path / "run", rivals=rivals, **{**SMALL, "batch_size": batch_size}))
    said = pd.read_parquet(tmp_path / "run" / "predictions" / rivals[0] / "0" / "test.parquet")
    assert np.isfinite(said["logp_1"]).all()
