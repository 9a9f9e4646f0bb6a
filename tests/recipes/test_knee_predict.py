"""Predicting volumes sees what the training saw, or what a faster scan would show, and says how well."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from knee_i2m2 import predictions
from knee_i2m2.cli import main
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.recipes.knee import Knee, PrepareKnee, prepare, train
from knee_i2m2.recipes.knee_predict import PredictOptions, aurocs, predict
from knee_i2m2.sources.phantom import Phantom, make_phantom
from knee_i2m2.training.folder import read_config
from tests.evaluation.runs import index, prediction_table


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("predict") / "phantom"
    make_phantom(Phantom(volumes=24, slices=4, matrix=32, seed=5), out)
    return out


def trained(phantom: Path, name: str, **changed) -> Path:
    """Returns a run of one expert on data that were prepared in some way."""
    data, run = phantom.parent / f"data {name}", phantom.parent / f"run {name}"
    prepare(phantom, PrepareKnee(annotations=phantom / "knee.csv", out=data, **changed))
    train(Knee(data=data, out=run, network="small", rivals=["inter"], epochs=1, threads=1))
    return run


@pytest.fixture(scope="module")
def run(phantom: Path) -> Path:
    return trained(phantom, "plain")


def held_out(phantom: Path, run: Path) -> list[Path]:
    """Returns the volumes of the run's test split."""
    names = set(predictions.read(run / "predictions/inter/0/test.parquet")["series"])
    return sorted(path for path in phantom.rglob("*.h5") if path.stem in names)


def answers(run: Path, volumes: list[Path], out: Path, **changed) -> pd.DataFrame:
    predict(run, volumes, PredictOptions(out, rival="inter", device="cpu", **changed))
    return predictions.read(out / "predictions.parquet").set_index(["sample", "target"])["logp_1"].sort_index()


@pytest.mark.parametrize(
    "changed",
    [{}, {"normalise": "none"}, {"columns": 72}, {"acceleration": 4, "mask": "equispaced", "center_fraction": 0.1}],
)
def test_new_volumes_are_seen_as_the_training_saw_its_own(phantom: Path, tmp_path: Path, changed: dict) -> None:
    run = trained(phantom, "-".join(changed) or "as it is", **changed)
    own = predictions.read(run / "predictions/inter/0/test.parquet").set_index(["sample", "target"])["logp_1"]
    new = answers(run, held_out(phantom, run), tmp_path / "out")
    np.testing.assert_allclose(new, own.sort_index(), rtol=1e-5, atol=1e-6)


def test_a_faster_scan_is_what_a_training_on_faster_scans_sees(phantom: Path, run: Path, tmp_path: Path) -> None:
    other = trained(phantom, "faster", acceleration=4)
    faster = answers(other, held_out(phantom, other), tmp_path / "as trained")
    volumes = held_out(phantom, other)
    np.testing.assert_array_equal(answers(other, volumes, tmp_path / "4", acceleration=4), faster)
    assert not np.allclose(answers(other, volumes, tmp_path / "1", acceleration=1), faster, atol=1e-3)
    plain = answers(run, volumes, tmp_path / "plain")
    np.testing.assert_array_equal(answers(run, volumes, tmp_path / "plain 1", acceleration=1), plain)
    assert not np.allclose(answers(run, volumes, tmp_path / "plain 8", acceleration=8), plain, atol=1e-3)


def test_with_annotations_the_truth_stands_beside_the_answers_and_auroc_is_told(phantom, run, tmp_path, capsys) -> None:
    volumes = held_out(phantom, run)
    arguments = [str(path) for path in (run, *volumes)]
    more = ["--out", str(tmp_path / "out"), "--rival", "inter", "--annotations", str(phantom / "knee.csv")]
    assert main(["predict", *arguments, *more, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["auroc"]
    table = predictions.read(tmp_path / "out" / "predictions.parquet")
    own = predictions.read(run / "predictions/inter/0/test.parquet")
    keys = ["sample", "target"]
    pd.testing.assert_series_equal(
        table.set_index(keys)["truth"].sort_index(), own.set_index(keys)["truth"].sort_index()
    )
    assert set(found) == {"test"} and set(found["test"]) == set(table["target"])


def with_patient(volume: Path, folder: Path, patient: str | None, name: str) -> Path:
    """Returns a copy of a volume under another name, of another patient or of none."""
    copied = Path(shutil.copy(volume, folder / f"{name}.h5"))
    with h5py.File(copied, "a") as file:
        del file.attrs["patient_id"]
        file.attrs.update({} if patient is None else {"patient_id": patient})
    return copied


@pytest.mark.parametrize("spelling", ["{}", " {}", "{} ", "\t{}\n"])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_another_volume_of_a_patient_counts_as_the_split_that_holds_the_patient(
    phantom: Path, run: Path, tmp_path: Path, split: str, spelling: str
) -> None:
    rows = pd.read_csv(Path(read_config(run)["data"]) / "split.csv", dtype=str)
    patient = rows.loc[rows["split"] == split, "patient"].iloc[0]
    volume = with_patient(held_out(phantom, run)[0], tmp_path, spelling.format(patient.upper()), "another")
    answers(run, [volume], tmp_path / "out")
    assert set(predictions.read(tmp_path / "out" / "predictions.parquet")["patient_of"]) == {split}


def test_new_and_unknown_patients_and_those_of_the_run_are_never_pooled(phantom, run, tmp_path) -> None:
    volumes = held_out(phantom, run)
    more = [with_patient(volumes[0], tmp_path, "somebody", "new"), with_patient(volumes[0], tmp_path, None, "nobody")]
    config = PredictOptions(tmp_path / "out", rival="inter", device="cpu", annotations=phantom / "knee.csv")
    patients = predictions.read(run / "predictions/inter/0/test.parquet")["cluster"].nunique()
    with pytest.raises(DataError, match="2 of 6 volumes are not named here or in the file list: new, nobody"):
        predict(run, [*volumes, *more], config)
    config = replace(config, unmatched_limit=0.4)
    result = predict(run, [*volumes, *more], config)
    assert any(note.startswith("2 of 6 volumes are not named") for note in result["notes"])
    assert any("1 volumes of no known patient: missing in 1 (nobody)" in note for note in result["notes"])
    assert result["patients"] == {"new": 1, "test": patients, "unknown": 1}
    assert set(result["auroc"]) == {"new", "test", "unknown"}


@pytest.mark.parametrize("placeholder", [None, "", "N/A", "Unknown ", "ANONYMOUS", "No Patient ID", "xxx", "nan"])
def test_volumes_of_unknown_patients_are_no_new_patients(phantom, run, tmp_path, capsys, placeholder) -> None:
    volumes = held_out(phantom, run)
    for number, volume in enumerate(volumes):
        with_patient(volume, tmp_path, placeholder if number else "somebody", f"v{number}")
    shutil.copy(phantom / "knee.csv", tmp_path)
    options = ["--rival", "inter", "--annotations", str(phantom / "knee.csv"), "--unmatched-limit", "1"]
    assert main(["predict", str(run), str(tmp_path), "--out", str(tmp_path / "out"), *options]) == 0
    said, few = capsys.readouterr().out, len(volumes) - 1
    assert f"{few} volumes of no known patient: " in said
    assert f"\n{few} volumes of unknown patients, on whom the run may have been trained: AUROC of acl" in said
    assert "\n1 new patients: AUROC of acl" in said
    assert pd.read_csv(tmp_path / "out" / "predictions.csv").groupby("patient_of")["series"].nunique().to_dict() == {
        "new": 1,
        "unknown": few,
    }


def test_of_unknown_patients_there_is_no_interval_and_of_an_older_run_another_group(phantom, run, tmp_path) -> None:
    older = shutil.copytree(run, tmp_path / "older")
    (older / "clusters.json").unlink()
    config = PredictOptions(tmp_path / "out", rival="inter", device="cpu", annotations=phantom / "knee.csv")
    volumes = sorted(phantom.rglob("*.h5"))[:23]
    nobody = [with_patient(path, tmp_path, None, path.stem) for path in volumes]
    areas = {
        name: predict(run, paths, replace(config, out=tmp_path / name))["auroc"]
        for run, name, paths in ((run, "unknown", nobody), (older, "unrecorded", volumes))
    }
    assert all(list(found) == [name] for name, found in areas.items())
    assert areas["unknown"]["unknown"]["meniscus"].value == areas["unrecorded"]["unrecorded"]["meniscus"].value
    assert all(np.isnan(one[1:]).all() for one in areas["unknown"]["unknown"].values())
    assert np.isfinite(areas["unrecorded"]["unrecorded"]["meniscus"][1:]).all()


def test_auroc_is_that_of_sklearn_where_ten_patients_are_positive() -> None:
    asked = index("new", patients=20)
    truth = np.random.default_rng(0).integers(2, size=(len(asked), 2))
    few = np.isin(asked["cluster"], asked["cluster"].unique()[:9])
    truth[:, 1] &= few
    table = prediction_table(asked, truth, ("magnitude+phase",), np.random.default_rng(1))
    found = aurocs(table, "inter")
    rows = table.query("target == 'acl'")
    assert found["acl"].value == pytest.approx(roc_auc_score(rows["truth"], rows["logp_1"] - rows["logp_0"]))
    assert found["acl"].low < found["acl"].value < found["acl"].high
    few = table.query("target == 'meniscus'")
    assert found["meniscus"].value == pytest.approx(roc_auc_score(few["truth"], few["logp_1"] - few["logp_0"]))
    assert np.isnan(found["meniscus"][1:]).all()  # of nine patients there is no interval


def test_a_split_of_the_runs_own_data_can_be_asked_for(phantom: Path, run: Path, tmp_path: Path) -> None:
    of_folder = answers(run, [phantom], tmp_path / "folder", split="test")
    pd.testing.assert_series_equal(of_folder, answers(run, held_out(phantom, run), tmp_path / "files"))
    with pytest.raises(DataError, match="none of the volumes is in split val"):
        answers(run, held_out(phantom, run), tmp_path / "none", split="val")


def test_findings_beyond_a_volumes_slices_are_the_annotations_fault_and_no_volume_is_dropped(phantom, run, tmp_path):
    volume = held_out(phantom, run)[0]
    bad = tmp_path / "bad.csv"
    bad.write_text((phantom / "knee.csv").read_text() + f"{volume.stem},9,No,1,1,2,2,Meniscus Tear\n")
    setting_aside = {"on_error": "quarantine", "quarantine_limit": 1.0, "annotations": bad}
    with pytest.raises(DataError, match=r"bad\.csv: line \d+ is about slice 9"):
        answers(run, [volume], tmp_path / "out", **setting_aside)


def test_without_annotations_there_is_no_truth_and_no_auroc(phantom, run, tmp_path) -> None:
    result = predict(run, held_out(phantom, run)[:1], PredictOptions(tmp_path / "out", rival="inter", device="cpu"))
    assert "auroc" not in result
    assert set(predictions.read(tmp_path / "out" / "predictions.parquet")["truth"]) == {-1}


def test_a_volume_that_cannot_be_used_stops_or_is_listed(phantom: Path, run: Path, tmp_path: Path) -> None:
    good, bad = held_out(phantom, run)[0], tmp_path / "bad.h5"
    bad.write_bytes(good.read_bytes())
    with h5py.File(bad, "a") as file:
        file["kspace"][0] = np.nan
    with pytest.raises(DataError, match=r"bad\.h5: slice 0 of kspace holds NaN"):
        answers(run, [good, bad], tmp_path / "stopped")
    assert not (tmp_path / "stopped").exists()
    with pytest.raises(DataError, match="more than --quarantine-limit"):
        answers(run, [good, bad], tmp_path / "too many", on_error="quarantine")
    setting_aside = {"on_error": "quarantine", "quarantine_limit": 0.5}
    kept = answers(run, [good, bad], tmp_path / "out", **setting_aside)
    np.testing.assert_array_equal(kept, answers(run, [good], tmp_path / "good"))
    assert pd.read_csv(tmp_path / "out" / "left_out.csv")["volume"].tolist() == ["bad"]
    with pytest.raises(DataError, match="more than --quarantine-limit"):
        answers(run, [good, bad], tmp_path / "too many", on_error="quarantine")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"mask": "equispaced"}, "go with --acceleration"),
        ({"center_fraction": 0.1}, "go with --acceleration"),
        ({"acceleration": 1, "mask": "random"}, "go with an --acceleration of more than 1"),
        ({"file_list": Path("list.csv")}, "--file-list goes with --annotations"),
        ({"acceleration": 0}, "--acceleration 0"),
        ({"acceleration": 4, "center_fraction": 0.5}, "less than 1/4"),
    ],
)
def test_a_mask_that_cannot_be_is_refused_before_anything_is_read(phantom, run, tmp_path, changed, sentence) -> None:
    with pytest.raises(ConfigError, match=sentence):
        answers(run, [tmp_path / "nowhere.h5"], tmp_path / "out", **changed)


def test_what_is_passed_over_in_a_folder_is_listed_and_counted(
    phantom: Path, run: Path, tmp_path: Path, capsys
) -> None:
    for path in held_out(phantom, run):
        shutil.copy(path, tmp_path)
    (tmp_path / "file7.h5.part").touch()
    arguments = ["predict", str(run), str(tmp_path), "--out", str(tmp_path / "out"), "--rival", "inter"]
    assert main(arguments) == 0
    assert "passed over: 1 unfinished" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "out" / "left_out.csv")["volume"].tolist() == ["file7.h5.part"]


def test_the_acceleration_that_a_file_has_is_recorded_and_not_multiplied(
    phantom: Path, run: Path, tmp_path: Path
) -> None:
    for path in held_out(phantom, run):
        shutil.copy(path, tmp_path)
        with h5py.File(tmp_path / path.name, "a") as file:
            file["kspace"][...] = file["kspace"][...] * (np.arange(file["kspace"].shape[-1]) % 2 > 0)
    answers(run, [tmp_path], tmp_path / "out", acceleration=1)
    table = predictions.read(tmp_path / "out" / "predictions.parquet")
    assert table["acceleration"].between(1.9, 2.1).all()
    warnings = pd.read_csv(tmp_path / "out" / "warnings.csv")
    assert set(warnings["what"]) == {"undersampled"} and set(warnings["volume"]) == set(table["series"])
    with pytest.raises(DataError, match="is undersampled already"):
        answers(run, [tmp_path], tmp_path / "again", acceleration=4)
