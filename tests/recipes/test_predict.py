"""New pairs are answered as the run's own test pairs were, labels or not, and nothing of it happens in silence."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from knee_i2m2 import predictions
from knee_i2m2.cli import main
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.recipes.predict import PredictOptions, predict
from tests.sources.nlvr2.test_arrow import write as write_arrow

KEYS = ["sample", "target"]


def own(run: Path, rival: str, split: str = "test") -> pd.DataFrame:
    return predictions.read(run / f"predictions/{rival}/0/{split}.parquet").set_index(KEYS)


def new(run: Path, place: Path, out: Path, rival: str, **options) -> pd.DataFrame:
    predict(run, [place], PredictOptions(out, rival=rival, device="cpu", **options))
    return predictions.read(out / "predictions.parquet").set_index(KEYS)


def assert_same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    assert list(found.index) == list(wanted.index)
    columns = [name for name in wanted if name.startswith("log")]
    np.testing.assert_allclose(found[columns], wanted[columns], rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def avmnist(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on 290 pairs; `arrays` beside it holds them as the circulating copy does, with their recordings."""
    folder = tmp_path_factory.mktemp("avmnist")
    inputs = ["--mnist", shared_data / "mnist", "--fsdd", shared_data / "fsdd/recordings.zip"]
    inputs += ["--noise", shared_data / "noise", "--train", 220, "--val", 20, "--test", 50]
    assert main(["prepare", "avmnist", *map(str, inputs), "--out", str(folder / "data")]) == 0
    options = ["--rivals", "i2m2", "--epochs", "1", "--fine-tune-epochs", "1", "--threads", "1"]
    assert main(["train", "avmnist", "--data", str(folder / "data"), "--out", str(folder / "run"), *options]) == 0
    write_arrays(folder / "data", folder / "arrays")
    return folder / "run"


def write_arrays(data: Path, out: Path) -> None:
    index = pd.read_parquet(data / "index.parquet")
    for place in (out / "image", out / "audio"):
        place.mkdir(parents=True)
    for part, mine in (("train", index["split"] != "test"), ("test", index["split"] == "test")):
        np.save(out / f"image/{part}_data.npy", np.load(data / "image.npy")[mine].astype(np.float32) * 255)
        np.save(out / f"audio/{part}_data.npy", np.load(data / "audio.npy")[mine])
        np.save(out / f"{part}_labels.npy", index.loc[mine, "label"].to_numpy())
        np.save(out / f"{part}_clusters.npy", index.loc[mine, "cluster"].to_numpy(str))


def arrays_of_test(run: Path, folder: Path) -> Path:
    shutil.copytree(run.with_name("arrays"), folder)
    for path in folder.rglob("train_*.npy"):
        path.unlink()
    return folder


def test_arrays_are_answered_as_the_runs_own_pairs(avmnist: Path, tmp_path: Path) -> None:
    found = new(avmnist, arrays_of_test(avmnist, tmp_path / "in"), tmp_path / "out", "i2m2")
    assert_same(found, own(avmnist, "i2m2"))
    assert found["truth"].tolist() == own(avmnist, "i2m2")["truth"].tolist() and set(found["cluster_of"]) == {"test"}


@pytest.mark.parametrize("kind", ["folder", "npz", "npz of test", "prepared"])
def test_every_layout_of_new_pairs_is_read(avmnist: Path, tmp_path: Path, kind: str) -> None:
    arrays = arrays_of_test(avmnist, tmp_path / "in")
    values = {"image": np.load(arrays / "image/test_data.npy"), "audio": np.load(arrays / "audio/test_data.npy")}
    (tmp_path / "npz").mkdir()
    np.savez(tmp_path / "pairs.npz", **values)
    np.savez(tmp_path / "npz/test.npz", **values)
    (arrays / "test_labels.npy").unlink()
    places = {"folder": arrays, "npz": tmp_path / "pairs.npz", "npz of test": tmp_path / "npz"}
    place = places.get(kind, avmnist.with_name("data"))
    found = new(avmnist, place, tmp_path / "out", "i2m2", split="test")
    assert_same(found, own(avmnist, "i2m2"))
    assert set(found["truth"]) == {-1} or kind == "prepared"


def test_whose_sounds_the_run_has_seen_is_said_and_not_pooled(avmnist: Path, tmp_path: Path, capsys) -> None:
    arguments = [avmnist, avmnist.with_name("arrays"), "--out", tmp_path / "out", "--device", "cpu"]
    assert main(["predict", *map(str, arguments)]) == 0
    said = capsys.readouterr().out
    assert "clusters of the run's test split: accuracy of label" in said
    assert "clusters that the run was trained on: no evaluation: accuracy of label" in said
    table = predictions.read(tmp_path / "out/predictions.parquet")
    assert table.groupby("cluster_of").size().to_dict() == {"train": 220, "val": 20, "test": 50}
    right = table[[f"logp_{c}" for c in range(10)]].to_numpy().argmax(1) == table["truth"]
    assert f"accuracy of label {right[table['cluster_of'] == 'test'].mean():.3f}" in said


def test_of_one_modality_the_experts_that_need_another_are_silent(avmnist: Path, tmp_path: Path) -> None:
    place = arrays_of_test(avmnist, tmp_path / "in")
    found = new(avmnist, place, tmp_path / "out", "i2m2", modalities=["image"])
    assert predictions.experts(found.reset_index()) == ("image",)
    names = [f"logit_image_{c}" for c in range(10)]
    np.testing.assert_allclose(found[names], own(avmnist, "i2m2")[names], rtol=1e-5, atol=1e-5)


BAD = {
    "acceleration": ({"acceleration": 4}, ConfigError, "--acceleration goes with a run of knee"),
    "annotations": ({"annotations": Path("knee.csv")}, ConfigError, "--annotations goes with a run of knee"),
    "center": ({"center_fraction": 0.1}, ConfigError, "--center-fraction goes with a run of knee"),
    "layout": ({"layout": "nlvr"}, ConfigError, "--layout goes with a run of nlvr2"),
    "rival": ({"rival": "magnitude"}, ConfigError, "--rival magnitude is unknown"),
    "modality": ({"modalities": ["phase"]}, ConfigError, "--modalities phase is unknown"),
    "nothing": ({"modalities": ["audio"], "rival": "image"}, ConfigError, "no expert of image can answer from audio"),
    "split": ({"split": "val"}, DataError, "holds no sample of split val; choose from test"),
}


@pytest.mark.parametrize(("options", "error", "sentence"), BAD.values(), ids=BAD.keys())
def test_what_does_not_go_with_pairs_is_a_sentence(avmnist, tmp_path, options, error, sentence) -> None:
    place = arrays_of_test(avmnist, tmp_path / "in")
    with pytest.raises(error, match=sentence):
        new(avmnist, place, tmp_path / "out", options.pop("rival", "i2m2"), **options)
    assert not (tmp_path / "out/predictions.parquet").exists()


def test_two_folders_and_written_predictions_are_refused(avmnist: Path, tmp_path: Path) -> None:
    place = arrays_of_test(avmnist, tmp_path / "in")
    with pytest.raises(ConfigError, match="predict reads one folder or file of pairs, not 2"):
        predict(avmnist, [place, place], PredictOptions(tmp_path / "out", device="cpu"))
    new(avmnist, place, tmp_path / "out", "i2m2")
    with pytest.raises(ConfigError, match="holds predictions already"):
        new(avmnist, place, tmp_path / "out", "i2m2")


TINY = ["--size", "tiny", "--epochs", "1", "--batch-size", "20", "--lr", "0.001", "--threads", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on scenes, whose prepared data are gone; `scenes` beside it holds them, `others` new ones."""
    folder = tmp_path_factory.mktemp("scenes")
    sizes = ["--train", "80", "--val", "20", "--test", "40", "--kinds", "existence", "--most", "2"]
    assert main(["scenes", str(folder / "scenes"), *sizes]) == 0
    assert main(["scenes", str(folder / "others"), *sizes, "--seed", "7"]) == 0
    assert main(["prepare", "nlvr2", str(folder / "scenes"), "--side", "48", "--out", str(folder / "data")]) == 0
    options = ["--rivals", "i2m2", "--longest", "6", *TINY]
    assert main(["train", "nlvr2", "--data", str(folder / "data"), "--out", str(folder / "run"), *options]) == 0
    shutil.rmtree(folder / "data")
    return folder / "run"


def test_new_pictures_and_sentences_are_answered_as_the_runs_own(scenes: Path, tmp_path: Path) -> None:
    found = new(scenes, scenes.with_name("scenes"), tmp_path / "out", "i2m2", split="test")
    assert_same(found, own(scenes, "i2m2"))
    assert found["truth"].tolist() == own(scenes, "i2m2")["truth"].tolist() and set(found["cluster_of"]) == {"test"}


def test_arrow_files_without_answers_are_answered_as_the_folder(scenes: Path, tmp_path: Path) -> None:
    source = scenes.with_name("scenes")
    lines = [json.loads(line) for line in (source / "data/test1.json").read_text().splitlines()]
    rows = {"identifier": [line["identifier"] for line in lines], "questions": [[line["sentence"]] for line in lines]}
    for i in (0, 1):
        names = [f"{name.rpartition('-')[0]}-img{i}.png" for name in rows["identifier"]]
        rows[f"image_{i}"] = [next(source.rglob(name)).read_bytes() for name in names]
    (tmp_path / "in").mkdir()
    write_arrow(tmp_path / "in" / "nlvr2_test1.arrow", rows)
    options = PredictOptions(tmp_path / "out", device="cpu", layout="arrow")
    assert "accuracy" not in predict(scenes, [tmp_path / "in"], options)
    found = predictions.read(tmp_path / "out/predictions.parquet").set_index(KEYS)
    assert_same(found, own(scenes, "i2m2"))


def test_what_is_cut_and_unknown_words_are_counted(scenes: Path, tmp_path: Path, capsys) -> None:
    source = shutil.copytree(scenes.with_name("others"), tmp_path / "in")
    lines = [json.loads(line) for line in (source / "data/test1.json").read_text().splitlines()]
    lines[0]["sentence"], lines[1]["sentence"] = "There is an axolotl.", "Yes"
    (source / "data/test1.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    arguments = [scenes, source, "--out", tmp_path / "out", "--split", "test", "--device", "cpu"]
    assert main(["predict", *map(str, arguments)]) == 0
    said = capsys.readouterr().out
    tokens = [2 + len(pd.Series([line["sentence"]]).str.findall(r"\w+|[^\w\s]")[0]) for line in lines]
    assert f"sentences cut at --longest: {sum(n > 6 for n in tokens)} test" in said
    assert "sentences with words that the run never saw: 2" in said and "passed over" not in said


@pytest.mark.parametrize("label", [..., None])
def test_new_examples_need_no_label(scenes: Path, tmp_path: Path, label: object) -> None:
    source = shutil.copytree(scenes.with_name("scenes"), tmp_path / "in")
    for name in ("train", "dev"):
        (source / f"data/{name}.json").unlink()
    lines = [json.loads(line) for line in (source / "data/test1.json").read_text().splitlines()]
    lines = [{k: v for k, v in (line | {"label": label}).items() if v is not ...} for line in lines]
    (source / "data/test1.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = predict(scenes, [source], PredictOptions(tmp_path / "out", device="cpu"))
    found = predictions.read(tmp_path / "out/predictions.parquet").set_index(KEYS)
    assert_same(found, own(scenes, "i2m2"))
    assert set(found["truth"]) == {-1} and "accuracy" not in result
    assert result["passed_over"] == {"picture without a sentence": 100}


def test_data_of_another_size_or_task_are_refused(scenes: Path, avmnist: Path, tmp_path: Path) -> None:
    prepare = ["prepare", "nlvr2", str(scenes.with_name("others")), "--side", "32", "--out", str(tmp_path / "data")]
    assert main(prepare) == 0
    with pytest.raises(ConfigError, match="and the run was trained on nlvr2 of shape"):
        new(scenes, tmp_path / "data", tmp_path / "out", "i2m2")
    with pytest.raises(ConfigError, match="holds avmnist of shape"):
        new(scenes, avmnist.with_name("data"), tmp_path / "out", "i2m2")
    with pytest.raises(ConfigError, match="is no run folder"):
        new(tmp_path, tmp_path / "data", tmp_path / "out", "i2m2")


def test_pictures_that_are_gone_are_counted_up_to_the_limit(scenes: Path, tmp_path: Path) -> None:
    source = shutil.copytree(scenes.with_name("scenes"), tmp_path / "in")
    next((source / "images/test1").iterdir()).unlink()
    with pytest.raises(DataError, match="2 of 140 examples lack a picture that can be used"):
        new(scenes, source, tmp_path / "stopped", "i2m2")
    result = predict(scenes, [source], PredictOptions(tmp_path / "out", device="cpu", quarantine_limit=0.1))
    assert result["left_out"] == {"missing": 2} and result["samples"] == 138


def test_nlvrs_own_test_is_a_test_set_from_the_command_line(shared_data: Path, tmp_path: Path, capsys) -> None:
    """One picture instead of two: prepared with its official split, trained, and its test answered anew."""
    source, real = tmp_path / "nlvr", shared_data / "nlvr"
    source.mkdir()
    for part, rows in (("dev", 40), ("test", 24)):
        lines = (real / f"{part}.json").read_text(encoding="utf-8").splitlines()[:rows]
        (source / f"{part}.json").write_text("\n".join(lines), encoding="utf-8")
    (source / "images_perm0.zip").symlink_to(real / "images_perm0.zip")
    data, run = tmp_path / "data", tmp_path / "run"
    assert (
        main(["prepare", "nlvr2", str(source), "--layout=nlvr", "--split=official", "--side=48", f"--out={data}"]) == 0
    )
    assert "of test also stand in train or dev, whose" in capsys.readouterr().out
    assert main(["train", "nlvr2", f"--data={data}", f"--out={run}", "--rivals", "inter", *TINY]) == 0
    (source / "dev.json").unlink()
    found = new(run, source, tmp_path / "out", "inter")
    assert_same(found, own(run, "inter")) and len(found) == 24
