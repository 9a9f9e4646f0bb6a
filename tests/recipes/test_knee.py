"""The knee recipe, whole and small: phantom, prepared data, rivals, predictions, evaluation, report, prediction."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from knee_i2m2 import predictions
from knee_i2m2.cli import VERBS, main
from knee_i2m2.data.prepared import Prepared
from knee_i2m2.errors import CheckpointError, ConfigError, DataError
from knee_i2m2.evaluation.evaluate import evaluate
from knee_i2m2.options import parse
from knee_i2m2.recipes import knee as recipe_of_knee
from knee_i2m2.recipes.knee import RIVALS, SCHEDULES, STANDARD, Knee, PrepareKnee, budget, mean_auroc, prepare, train
from knee_i2m2.recipes.knee_predict import PredictOptions
from knee_i2m2.recipes.knee_predict import predict as predict_volumes
from knee_i2m2.report.page import write_report
from knee_i2m2.sources.fastmri.annotations import TARGETS
from knee_i2m2.sources.phantom import Phantom, make_phantom
from knee_i2m2.training import checkpoint
from knee_i2m2.training.folder import RunFolder
from knee_i2m2.training.rivals import method_rivals
from knee_i2m2.types import Rival

DEFAULT = Knee(Path("D"), Path("O")).rivals


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("knee") / "phantom"
    make_phantom(Phantom(volumes=40, slices=4, matrix=32, seed=1), out)
    return out


@pytest.fixture(scope="module")
def data(phantom: Path) -> Path:
    out = phantom.parent / "data"
    prepare(phantom, PrepareKnee(annotations=phantom / "knee.csv", out=out))
    return out


@pytest.fixture(scope="module")
def few_slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data of 32 x 32 pixels and so few slices that a batch of one takes a second."""
    folder = tmp_path_factory.mktemp("few")
    make_phantom(Phantom(volumes=60, slices=1, matrix=32, seed=1), folder / "phantom")
    annotations = folder / "phantom" / "knee.csv"
    prepare(folder / "phantom", PrepareKnee(annotations=annotations, out=folder / "data"))
    return folder / "data"


@pytest.fixture(scope="module")
def config(data: Path) -> Knee:
    return Knee(
        data=data, out=data.parent / "run", network="small", epochs=2, fine_tune_epochs=1, seeds=[0, 1], threads=1
    )


@pytest.fixture(scope="module")
def run(config: Knee) -> Path:
    train(config)
    evaluate(config.out, replicates=50)
    write_report(config.out)
    return config.out


def predict(run: Path, inputs: list[Path], out: Path, **options) -> None:
    predict_volumes(run, inputs, PredictOptions(out, device="cpu", **options))


def read(run: Path, rival: str, seed: int = 0, split: str = "test") -> pd.DataFrame:
    return predictions.read(run / "predictions" / rival / str(seed) / f"{split}.parquet")


def test_prepared_data_count_what_the_annotations_say(phantom: Path, data: Path) -> None:
    table = pd.read_csv(phantom / "knee.csv")
    index = pd.read_parquet(data / "index.parquet")
    assert len(index) == 160 and set(index["split"]) == {"train", "val", "test"}
    meniscus = table[table["label"] == "Meniscus Tear"]
    assert index["meniscus"].sum() == len(meniscus[["file", "slice"]].drop_duplicates())
    assert index.groupby("cluster")["split"].nunique().max() == 1  # no patient in two splits
    counts = json.loads((data / "data.json").read_text())["counts"]
    assert sum(part["positives"]["meniscus"] for part in counts.values()) == index["meniscus"].sum()


def test_prepared_magnitudes_are_normalised_per_volume_and_phases_are_angles(data: Path) -> None:
    samples = Prepared.open(data, "train")
    batch = samples[list(range(len(samples)))]
    for _, rows in samples.index.groupby("series"):
        assert batch.x["magnitude"][rows.index.tolist()].float().square().mean() == pytest.approx(1, abs=5e-3)
    assert batch.x["phase"].abs().max() <= np.float16(np.pi)
    assert batch.x["position"].min() == 0 and batch.x["position"].max() == 1


def test_preparing_again_does_nothing_and_preparing_otherwise_is_refused(phantom: Path, data: Path) -> None:
    (array,) = list(data.glob("magnitude*.npy"))
    before = array.stat().st_mtime_ns
    again = PrepareKnee(annotations=phantom / "knee.csv", out=data)
    assert prepare(phantom, again)["task"] == "knee"
    assert array.stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="split patient, not volume"):
        prepare(phantom, replace(again, split="volume"))


@pytest.mark.parametrize("name", ["magnitude*.npy", "index.parquet", "ideal.parquet", "split.csv"])
def test_a_damaged_prepared_folder_is_mended_by_preparing_again(
    phantom: Path, data: Path, tmp_path: Path, name: str
) -> None:
    copy = tmp_path / "data"
    shutil.copytree(data, copy)
    (damaged,) = list(copy.glob(name))
    damaged.unlink() if name in ("ideal.parquet", "split.csv") else damaged.write_bytes(b"")
    prepare(phantom, PrepareKnee(annotations=phantom / "knee.csv", out=copy))
    assert damaged.read_bytes() == (data / damaged.name).read_bytes()


def test_only_a_folder_of_its_own_is_prepared(phantom: Path, run: Path) -> None:
    before = (phantom / "ideal.parquet").read_bytes()
    with pytest.raises(ConfigError, match="is no prepared folder"):
        prepare(phantom, PrepareKnee(annotations=phantom / "knee.csv", out=phantom))
    with pytest.raises(ConfigError, match="is a run folder"):
        prepare(phantom, PrepareKnee(annotations=phantom / "knee.csv", out=run))
    assert (phantom / "ideal.parquet").read_bytes() == before and not (run / "magnitude+phase.npy").exists()


@pytest.mark.parametrize("wrong", [{"seeds": [-1]}, {"seeds": []}, {"rivals": []}])
def test_without_a_usable_seed_or_rival_nothing_is_made(config: Knee, tmp_path: Path, wrong: dict) -> None:
    with pytest.raises(ConfigError, match=r"give a whole number|at least one"):
        train(replace(config, out=tmp_path / "run", **wrong))
    assert not (tmp_path / "run").exists()


def test_predictions_of_an_earlier_training_do_not_outlive_it(config: Knee, tmp_path: Path) -> None:
    once = replace(config, out=tmp_path / "run", rivals=["position"], seeds=[0])
    train(once)
    path = once.out / "predictions" / "position" / "0" / "test.parquet"
    shutil.rmtree(once.out / "experts" / "position" / "0")
    path.write_bytes(b"of another training")
    train(once)
    assert len(predictions.read(path))


def test_unfinished_seeds_are_not_averaged(config: Knee, phantom: Path, tmp_path: Path) -> None:
    two = replace(config, out=tmp_path / "run", rivals=["position"], seeds=[0, 1])
    train(two)
    lines = (two.out / "metrics.jsonl").read_text().splitlines(keepends=True)
    (two.out / "metrics.jsonl").write_text("".join(lines[:-1]))  # the closing record of seed 1
    options = PredictOptions(tmp_path / "out", rival="position", device="cpu")
    assert predict_volumes(two.out, sorted(phantom.rglob("*.h5"))[:1], options)["seeds"] == 1


def test_a_volume_that_the_ideal_observer_does_not_know_is_named(phantom: Path, tmp_path: Path) -> None:
    copy = tmp_path / "phantom"
    shutil.copytree(phantom, copy)
    ideal = pd.read_parquet(copy / "ideal.parquet")
    ideal[ideal["volume"] != "file1000003"].to_parquet(copy / "ideal.parquet")
    with pytest.raises(DataError, match="knows nothing of file1000003:000"):
        prepare(copy, PrepareKnee(annotations=copy / "knee.csv", out=tmp_path / "data"))
    assert not (tmp_path / "data" / "data.json").exists()


def test_every_rival_answers_every_sample_of_val_and_test(run: Path, data: Path) -> None:
    for split in ("val", "test"):
        samples = list(Prepared.open(data, split).index["sample"])
        for rival in DEFAULT:
            for seed in (0, 1):
                frame = read(run, rival, seed, split)
                assert list(dict.fromkeys(frame["sample"])) == samples
                assert predictions.experts(frame) == STANDARD[rival].experts
    assert sorted(path.name for path in (run / "predictions").iterdir()) == sorted([*DEFAULT, "ideal"])


def test_the_ideal_observer_is_a_rival_with_the_phantoms_ratios(run: Path, phantom: Path) -> None:
    frame = read(run, "ideal")
    ideal = pd.read_parquet(phantom / "ideal.parquet").set_index(["volume", "slice", "target"])
    row = frame.iloc[5]
    volume, index = row["sample"].split(":")
    wanted = ideal.loc[(volume, int(index), row["target"]), "log_likelihood_ratio"]
    assert row["logp_1"] - row["logp_0"] == pytest.approx(wanted)


def test_frozen_is_the_product_of_the_experts_as_they_were_fitted_alone(run: Path) -> None:
    frozen = read(run, "frozen")
    for rival, expert in (("magnitude", "magnitude"), ("phase", "phase"), ("inter", "magnitude+phase")):
        alone = read(run, rival)
        np.testing.assert_allclose(predictions.logits(frozen, expert), predictions.logits(alone, expert), atol=1e-5)
    thrice = 3 * predictions.logits(read(run, "magnitude"), "bias")
    np.testing.assert_allclose(predictions.logits(frozen, "bias"), thrice, atol=1e-6)


def test_fine_tuning_starts_from_the_experts_and_moves_them(run: Path) -> None:
    tuned, alone = (predictions.logits(read(run, r), "phase") for r in ("i2m2", "phase"))
    assert not np.allclose(tuned, alone) and np.corrcoef(tuned.ravel(), alone.ravel())[0, 1] > 0.5


def test_the_closing_records_count_the_warm_starts_updates(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    spent = {(r["rival"], r["seed"]): r for r in lines if r.get("finished")}
    assert {name for name, _ in spent} == {*DEFAULT, "magnitude+phase.2", "magnitude+phase.3"}
    experts = sum(spent[name, 0]["updates"] for name in ("magnitude", "phase", "inter"))
    steps = spent["magnitude", 0]["updates"] // spent["magnitude", 0]["epochs"]
    assert spent["frozen", 0]["updates"] == experts
    assert spent["i2m2", 0]["updates"] == experts + steps
    assert spent["i2m2", 0]["flops"] > spent["inter", 0]["flops"] > 0


def test_training_again_finishes_at_once_and_leaves_everything_as_it_is(run: Path, config: Knee) -> None:
    before = {path: path.stat().st_mtime_ns for path in (run / "predictions").rglob("*.parquet")}
    lines = (run / "metrics.jsonl").read_text()
    train(config)
    assert before == {path: path.stat().st_mtime_ns for path in (run / "predictions").rglob("*.parquet")}
    assert (run / "metrics.jsonl").read_text() == lines


def test_the_same_seed_gives_the_same_prediction_columns_to_the_bit(run: Path, config: Knee) -> None:
    again = replace(config, out=run.parent / "again", rivals=["i2m2"], seeds=[0])
    train(again)
    pd.testing.assert_frame_equal(read(run, "i2m2"), read(again.out, "i2m2"), check_exact=True)
    assert sorted(path.name for path in (again.out / "predictions").iterdir()) == ["i2m2", "ideal"]


def test_another_configuration_in_the_same_folder_is_refused(run: Path, config: Knee) -> None:
    with pytest.raises(ConfigError, match=r"lr 0.0003 -> 0.5"):
        train(replace(config, lr=0.5))


def test_an_unfinished_training_is_not_started_over_unasked(run: Path, config: Knee) -> None:
    half = replace(config, out=run.parent / "half", rivals=["phase"], seeds=[0])
    train(half)
    for part in ("metrics.jsonl", "predictions/phase/0/test.parquet"):
        (half.out / part).unlink()
    with pytest.raises(ConfigError, match="--resume"):
        train(half)
    train(replace(half, resume=True))
    pd.testing.assert_frame_equal(read(run, "phase"), read(half.out, "phase"), check_exact=True)


def test_lost_predictions_are_written_again_from_the_best_weights(run: Path, config: Knee) -> None:
    path = run / "predictions" / "intra" / "1" / "val.parquet"
    before = predictions.read(path)
    path.unlink()
    train(config)
    pd.testing.assert_frame_equal(before, predictions.read(path), check_exact=True)


def test_predicting_the_test_volumes_repeats_the_predictions(run: Path, phantom: Path, tmp_path: Path) -> None:
    trained = read(run, "i2m2", 1)
    names = sorted(set(trained["series"]))
    paths = [next(phantom.rglob(f"{name}.h5")) for name in names]
    predict(run, paths, tmp_path / "out", seed=[1])
    new = predictions.read(tmp_path / "out" / "predictions.parquet")
    both = trained.merge(new, on=["sample", "target"], suffixes=("", "_new"))
    assert len(both) == len(trained) == len(new)
    np.testing.assert_allclose(both["logp_1_new"], both["logp_1"], atol=1e-4)
    assert (new["truth"] == -1).all() and set(new["cluster"]) == set(trained["cluster"])


def test_seeds_are_averaged_in_log_probability(run: Path, phantom: Path, tmp_path: Path) -> None:
    path = sorted(phantom.rglob("*.h5"))[0]
    single = []
    for seed in (0, 1):
        predict(run, [path], tmp_path / str(seed), seed=[seed])
        single.append(predictions.read(tmp_path / str(seed) / "predictions.parquet"))
    predict(run, [path], tmp_path / "both")
    both = predictions.read(tmp_path / "both" / "predictions.parquet")
    odds = [frame["logp_1"] - frame["logp_0"] for frame in (*single, both)]
    np.testing.assert_allclose(odds[2], (odds[0] + odds[1]) / 2, atol=1e-6)


def test_a_missing_modality_silences_its_experts_and_the_rest_answer(run: Path, phantom: Path, tmp_path: Path) -> None:
    path = sorted(phantom.rglob("*.h5"))[0]
    predict(run, [path], tmp_path / "m", modalities=["magnitude"])
    assert predictions.experts(predictions.read(tmp_path / "m" / "predictions.parquet")) == ("magnitude",)
    with pytest.raises(ConfigError, match="no expert of inter can answer from magnitude"):
        predict(run, [path], tmp_path / "none", rival="inter", modalities=["magnitude"])
    assert not (tmp_path / "none").exists()


def test_predictions_that_are_there_are_not_overwritten(run: Path, phantom: Path, tmp_path: Path) -> None:
    path = sorted(phantom.rglob("*.h5"))[0]
    predict(run, [path], tmp_path)
    with pytest.raises(ConfigError, match="choose another --out"):
        predict(run, [path], tmp_path)


def test_a_volume_of_another_size_is_refused_in_words(run: Path, tmp_path: Path) -> None:
    make_phantom(Phantom(volumes=2, slices=1, matrix=48), tmp_path / "large")
    with pytest.raises(DataError, match=r"matrix of \(48, 48\), the run was trained on \(32, 32\)"):
        predict(run, [tmp_path / "large"], tmp_path / "out")


def test_a_configuration_of_another_version_is_refused_in_words(run: Path, phantom: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    other.mkdir()
    (other / "data.json").write_text((run / "data.json").read_text())
    (other / "config.yaml").write_text((run / "config.yaml").read_text() + "momentum: 0.9\n")
    with pytest.raises(ConfigError, match="does not fit this version: momentum"):
        predict(other, [phantom], tmp_path / "out")


def test_a_damaged_checkpoint_is_refused(run: Path, phantom: Path, config: Knee, tmp_path: Path) -> None:
    damaged = replace(config, out=run.parent / "damaged", rivals=["position"], seeds=[0])
    train(damaged)
    weights = damaged.out / "experts" / "position" / "0" / "best" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum"):
        predict(damaged.out, [phantom], tmp_path / "out", rival="position")


def test_unknown_labels_are_ignored_and_do_not_break_anything(data: Path, config: Knee, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    copy.mkdir()
    for path in data.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    index = pd.read_parquet(copy / "index.parquet")
    index.loc[index.index % 3 == 0, "acl"] = -1
    index.to_parquet(copy / "index.parquet")
    train(replace(config, data=copy, out=tmp_path / "run", rivals=["phase"], seeds=[0], epochs=1))
    frame = read(tmp_path / "run", "phase")
    assert (frame[frame["target"] == "acl"]["truth"] == -1).any()
    evaluated = evaluate(tmp_path / "run", replicates=20).results
    rows = evaluated[(evaluated["split"] == "test") & (evaluated["unit"] == "slice") & (evaluated["seed"] == "0")]
    n = rows[(rows["metric"] == "auroc") & (rows["rival"] == "phase")].set_index("target")["n"]
    assert n["acl"] < n["meniscus"]


def test_the_report_stands_alone(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert all(target in page for target in TARGETS) and "i2m2" in page
    assert "http://" not in page.replace("http://www.w3.org", "") and "https://" not in page and "<script" not in page


def test_the_validation_score_is_the_mean_over_targets_that_have_both_classes() -> None:
    truth = np.array([[0, 1], [1, 1], [1, -1], [0, 1]])
    logp = np.zeros((4, 2, 2))
    logp[:, 0, 1] = [0.1, 0.2, 0.05, 0.0]
    assert mean_auroc(logp, truth) == pytest.approx(0.75)
    assert np.isnan(mean_auroc(logp[:, 1:], truth[:, 1:]))


def test_a_yaml_file_gives_the_options_and_the_command_line_wins(data: Path, tmp_path: Path) -> None:
    options = {"network": "small", "epochs": 1, "rivals": ["position"], "seeds": [7], "lr": 0.01}
    (tmp_path / "options.yaml").write_text(yaml.safe_dump(options))
    arguments = ["--config", str(tmp_path / "options.yaml"), "--data", str(data), "--out", str(tmp_path / "run")]
    assert main(["train", "knee", *arguments, "--lr", "0.02"]) == 0
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (written["lr"], written["seeds"], written["network"]) == (0.02, [7], "small")
    assert (tmp_path / "run" / "predictions" / "position" / "7" / "test.parquet").is_file()


# Rates and schedules --------------------------------------------------------------------------------------------------


def group(name: str, config: Knee) -> tuple[int, float, float]:
    """Returns epochs, learning rate and weight decay of a rival."""
    planned = budget(name, STANDARD.get(name, Rival((name,))), config)
    (options,) = planned.optimiser([torch.nn.Parameter(torch.zeros(1))]).param_groups
    return planned.stage.epochs, options["lr"], options["weight_decay"]


def test_the_further_controls_are_known_but_not_trained_by_default() -> None:
    assert set(RIVALS) - set(DEFAULT) >= {"intra2", "inter_tuned"} == set(STANDARD) - set(DEFAULT)
    config = Knee(Path("D"), Path("O"))
    assert group("inter_tuned", config) == group("intra2", config) == group("i2m2", config)  # as long as i2m2


def test_without_rates_of_their_own_rivals_have_the_common_ones() -> None:
    config = Knee(Path("D"), Path("O"))
    assert {name: group(name, config) for name in ("phase", "magnitude+phase.2")} == {
        "phase": (40, 3e-4, 0.01),
        "magnitude+phase.2": (40, 3e-4, 0.01),
    }
    assert {group(name, config) for name in ("intra", "i2m2", "inter3")} == {(10, 3e-5, 0.01)}


def test_a_rival_has_its_own_rates_and_so_have_the_copies_of_its_expert() -> None:
    rates, decays = {"phase": 1e-2, "inter": 2e-2, "i2m2": 3e-2}, {"inter": 0.0, "inter3": 0.5}
    config = Knee(Path("D"), Path("O"), rival_lr=rates, rival_weight_decay=decays)
    assert group("phase", config) == (40, 1e-2, 0.01)
    assert group("magnitude", config) == (40, 3e-4, 0.01)
    assert group("inter", config) == group("magnitude+phase.2", config) == (40, 2e-2, 0.0)
    assert group("i2m2", config) == (10, 3e-2, 0.01)
    assert group("inter3", config) == (10, 3e-5, 0.5)


def test_the_schedule_is_the_one_asked_for() -> None:
    for name, rate in SCHEDULES.items():
        planned = budget("phase", STANDARD["phase"], Knee(Path("D"), Path("O"), schedule=name))
        assert planned.stage.rate is rate
    assert {SCHEDULES["constant"](passed) for passed in (0.0, 0.3, 1.0)} == {1.0}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"rival_lr": {"phas": 1e-3}}, "--rival-lr phas is unknown; did you mean phase?"),
        ({"rival_lr": {"frozen": 1e-3}}, "--rival-lr frozen: frozen is not trained itself"),
        ({"rival_lr": {"phase": 0.0}}, "--rival-lr phase: 0.0 trains nothing"),
        ({"rival_lr": {"phase": float("nan")}}, "--rival-lr phase: nan trains nothing"),
        ({"rival_weight_decay": {"position": -0.1}}, "--rival-weight-decay position: -0.1 is negative"),
        ({"rival_weight_decay": {"magnitude+phase.2": 0.1}}, "magnitude+phase.2 is unknown"),
    ],
)
def test_rates_that_do_not_fit_are_a_sentence_and_nothing_is_made(config, tmp_path, wrong: dict, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        train(replace(config, out=tmp_path / "run", **wrong))
    assert sentence in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_rates_are_typed_as_a_mapping_and_reach_the_run(data: Path, tmp_path: Path) -> None:
    rates = ["--rival-lr", "{position: 2e-2, phase: 1e-5}", "--rival-weight-decay", "{position: 0}"]
    small = ["--network", "small", "--epochs", "1", "--rivals", "position", "--schedule", "constant", "--threads", "1"]
    assert main(["train", "knee", "--data", str(data), "--out", str(tmp_path / "run"), *small, *rates]) == 0
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert written["rival_lr"] == {"position": 2e-2, "phase": 1e-5}
    assert (written["rival_weight_decay"], written["schedule"]) == ({"position": 0.0}, "constant")
    state = checkpoint.load_state(tmp_path / "run" / "experts" / "position" / "0" / "last")
    (trained,) = state["optimiser"]["param_groups"]
    assert (trained["lr"], trained["weight_decay"]) == (2e-2, 0.0)


def test_a_run_made_before_an_option_existed_goes_on_at_its_default(run: Path, config: Knee, tmp_path: Path) -> None:
    old = tmp_path / "run"
    shutil.copytree(run, old)
    written = yaml.safe_load((old / "config.yaml").read_text())
    for name in ("rival_lr", "rival_weight_decay", "schedule", "augment"):
        del written[name]
    (old / "config.yaml").write_text(yaml.safe_dump(written))
    before = (old / "metrics.jsonl").read_text()
    train(replace(config, out=old))
    assert (old / "metrics.jsonl").read_text() == before
    with pytest.raises(ConfigError, match="augment False -> True"):
        train(replace(config, out=old, augment=True))


# Augmentation ---------------------------------------------------------------------------------------------------------


def test_an_augmented_training_differs_repeats_itself_and_resumes_to_the_bit(
    run: Path, config: Knee, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    augmented = replace(config, rivals=["phase"], seeds=[0], augment=True)
    train(replace(augmented, out=tmp_path / "whole"))
    assert not read(run, "phase").equals(read(tmp_path / "whole", "phase"))

    def kill(self, **record) -> None:
        if record.get("epoch") == 0:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(RunFolder, "log", kill)
        train(replace(augmented, out=tmp_path / "cut"))
    train(replace(augmented, out=tmp_path / "cut", resume=True))
    pd.testing.assert_frame_equal(read(tmp_path / "whole", "phase"), read(tmp_path / "cut", "phase"), check_exact=True)


def test_augmentation_of_half_an_image_is_refused_before_anything_is_made(
    config: Knee, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gather = Prepared.__getitem__

    def magnitudes(self, positions):
        batch = gather(self, positions)
        return batch._replace(x={name: values for name, values in batch.x.items() if name != "phase"})

    monkeypatch.setattr(Prepared, "__getitem__", magnitudes)
    with pytest.raises(
        ConfigError, match="phase is not here; prepare both magnitude and phase, or leave out --augment"
    ):
        train(replace(config, out=tmp_path / "run", rivals=["magnitude"], augment=True))
    assert not (tmp_path / "run").exists()


# Small batches --------------------------------------------------------------------------------------------------------


SLOW_NETWORK = pytest.param("preact_resnet18", marks=pytest.mark.slow)
ALONE = [("small", [name]) for name in ("position", "magnitude", "inter", "ogm_ge", "gblend", "mmpareto")]
LARGE = [("resnet18", ["magnitude"]), ("resnet18", ["inter"]), ("resnet18", ["ogm_ge"])]
SLOW = [
    pytest.param(*one, marks=pytest.mark.slow) for one in (("resnet18", ["gblend"]), ("preact_resnet18", ["inter"]))
]


@pytest.mark.parametrize(("network", "rivals"), [*ALONE, *LARGE, *SLOW])
def test_a_batch_of_one_slice_works_or_is_refused_before_anything_is_written(
    few_slices: Path, tmp_path: Path, network: str, rivals: list[str]
) -> None:
    options = {"epochs": 1, "threads": 1, "device": "cpu", "batch_size": 1, "network": network}
    config = Knee(data=few_slices, out=tmp_path / "run", rivals=rivals, **options)
    if network == "small" and rivals != ["position"]:
        with pytest.raises(ConfigError, match="a training batch would hold one sample"):
            train(config)
        assert not config.out.exists()
    else:
        train(config)
        assert np.isfinite(read(config.out, *rivals)["logp_1"]).all()


@pytest.mark.parametrize("network", ["small", "resnet18", SLOW_NETWORK])
def test_a_last_slice_alone_is_trained_with_the_batch_before_it(few_slices: Path, tmp_path: Path, network: str) -> None:
    count = len(Prepared.open(few_slices, "train"))
    options = {"epochs": 1, "fine_tune_epochs": 1, "threads": 1, "device": "cpu", "batch_size": count - 1}
    train(Knee(data=few_slices, out=tmp_path / "run", rivals=["i2m2"], network=network, **options))
    assert np.isfinite(read(tmp_path / "run", "i2m2")["logp_1"]).all()


# The original's protocol ----------------------------------------------------------------------------------------------

ORIGINAL = Path(recipe_of_knee.__file__).with_name("knee_original.yaml")


def test_the_original_s_protocol_is_read_into_these_options() -> None:
    arguments = ["--data", "D", "--out", "O", "--config", str(ORIGINAL)]
    _, chosen, _ = parse("knee-i2m2 train knee", train, arguments, VERBS)
    assert chosen["config"] == Knee(
        data=Path("D"),
        out=Path("O"),
        rivals=["magnitude", "phase", "intra", "inter", "i2m2"],
        seeds=[1, 2, 3, 4, 5],
        network="preact_resnet18",
        phase="angle",
        epochs=200,
        fine_tune_epochs=200,
        patience=5,
        batch_size=16,
        fine_tune_lr=1e-6,
        weight_decay=1e-2,
        rival_lr={"magnitude": 1e-5, "phase": 1e-4, "inter": 1e-4, "i2m2": 1e-6},
        rival_weight_decay={"magnitude": 1e-3, "phase": 1e-1, "inter": 1e-2, "i2m2": 1e-2},
        schedule="constant",
        target_loss="sum",
    )


def test_the_original_s_preparation_is_named() -> None:
    assert yaml.safe_load(ORIGINAL.read_text())["prepare"] == {"split": "volume", "columns": 400, "normalise": "none"}


def test_a_training_takes_its_section_of_a_file_and_what_is_typed_before_it_wins(data: Path, tmp_path: Path) -> None:
    typed = ["--network", "small", "--epochs", "1", "--fine-tune-epochs", "1", "--seeds", "1", "--threads", "1"]
    arguments = ["--data", str(data), "--out", str(tmp_path / "run"), *typed, "--config", str(ORIGINAL)]
    assert main(["train", "knee", *arguments]) == 0
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (written["network"], written["epochs"], written["seeds"]) == ("small", 1, [1])
    assert (written["batch_size"], written["phase"], written["rival_lr"]["i2m2"]) == (16, "angle", 1e-6)
    first = next(map(json.loads, (tmp_path / "run" / "metrics.jsonl").open()))
    assert first["losses"]["train"]["likelihood"] == pytest.approx(4 * np.log(2), abs=1)  # one for each target
    for rival in ("magnitude", "phase", "intra", "inter", "i2m2"):
        assert predictions.experts(read(tmp_path / "run", rival, 1)) == STANDARD[rival].experts


def test_methods_are_trained_as_rivals_of_their_names_and_say_what_they_are(data: Path, tmp_path: Path) -> None:
    names = ["ogm_ge", "gblend", "mmpareto", "shallow_fusion"]
    training = {"epochs": 1, "fine_tune_epochs": 1, "threads": 1, "device": "cpu", "network": "small"}
    config = Knee(data=data, out=tmp_path / "run", rivals=["inter"], method=names, **training)
    assert train(config)["rivals"] == ["inter", *names]
    for name in names:
        frame = predictions.read(tmp_path / "run" / "predictions" / name / "0" / "test.parquet")
        assert predictions.rival(frame) == method_rivals(("magnitude", "phase"))[name]
    train(replace(config, method=[]))  # the folder has the methods among its rivals and goes on


def test_an_unknown_method_is_a_sentence(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--method ogmge is unknown; did you mean ogm_ge"):
        train(Knee(data=data, out=tmp_path / "run", method=["ogmge"]))


def test_every_column_of_the_data_that_divides_patients_reaches_the_predictions(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    index = pd.read_parquet(tmp_path / "data" / "index.parquet")
    sites = np.where(pd.factorize(index["cluster"])[0] % 2, "north", "south")
    index.assign(site=sites).to_parquet(tmp_path / "data" / "index.parquet", index=False)
    training = {"epochs": 1, "threads": 1, "device": "cpu", "network": "small"}
    train(Knee(data=tmp_path / "data", out=tmp_path / "run", rivals=["position"], **training))
    frame = predictions.read(tmp_path / "run" / "predictions" / "position" / "0" / "test.parquet")
    assert predictions.subgroups(frame) == ("sequence", "field_strength", "width", "site")
    rows = evaluate(tmp_path / "run", replicates=20).results
    assert {f"site={site}" for site in frame["site"]} <= set(rows["subgroup"])


def test_a_product_says_what_it_also_trains(data: Path, tmp_path: Path, caplog) -> None:
    training = {"epochs": 1, "fine_tune_epochs": 1, "threads": 1, "device": "cpu", "network": "small"}
    train(Knee(data=data, out=tmp_path / "run", rivals=["magnitude", "phase", "i2m2"], **training))
    assert "also trained, because a product starts from it: inter" in caplog.text
