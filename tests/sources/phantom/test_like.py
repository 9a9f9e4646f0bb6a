"""Phantom volumes under the names and labels of the real fastMRI+ file."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from knee_i2m2.cli import main
from knee_i2m2.errors import ConfigError
from knee_i2m2.recipes.knee import PrepareKnee, prepare
from knee_i2m2.sources.fastmri.annotations import TARGETS
from knee_i2m2.sources.fastmri.audit import audit
from knee_i2m2.sources.phantom import Phantom, make_likeness

VOLUMES = 24


@pytest.fixture(scope="module")
def archive(fastmri_plus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("like") / "archive"
    assert make_likeness(Phantom(VOLUMES, matrix=32, like=fastmri_plus / "knee.csv"), out) == VOLUMES
    return out


@pytest.fixture(scope="module")
def wanted(fastmri_plus: Path) -> dict[str, dict[str, int]]:
    """What the real file says of its first volumes, counted without the package."""
    names = sorted((fastmri_plus / "knee_file_list.csv").read_text().split("\n"))
    names = [name.strip() for name in names if name.startswith("file")][:VOLUMES]
    rows = pd.read_csv(fastmri_plus / "knee.csv").query("file in @names and label != 'artifact'")
    rows["target"] = [
        "acl"
        if "ACL" in label
        else "meniscus"
        if "Meniscus Tear" in label
        else "cartilage"
        if "cartilage" in label.lower()
        else "abnormal"
        for label in rows["label"]
    ]
    patients = {name: i // 2 for i, name in enumerate(names)}
    counted = {}
    for target in TARGETS:
        of = rows[rows["target"] == target]
        volumes = set(of["file"])
        slices = len(of[["file", "slice"]].drop_duplicates())
        counted[target] = {
            "slices": slices,
            "volumes": len(volumes),
            "patients": len({patients[name] for name in volumes}),
        }
    return counted


def test_the_audit_counts_what_the_real_file_says_of_these_volumes(archive: Path, wanted: dict) -> None:
    found = audit(archive, annotations=archive / "knee.csv")
    assert found["labels"] == wanted
    assert found["volumes"] == VOLUMES and found["patients"] == VOLUMES // 2
    assert found["absent"]["volumes"] == 0


def test_the_real_file_over_these_volumes_gives_the_same_and_lists_those_that_are_absent(
    archive: Path, fastmri_plus: Path, wanted: dict, capsys: pytest.CaptureFixture
) -> None:
    assert main(["audit", str(archive), "--annotations", str(fastmri_plus / "knee.csv"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["labels"] == wanted
    assert found["absent"]["volumes"] == 974 - len(set(pd.read_csv(archive / "knee.csv")["file"]))


def test_the_prepared_index_counts_the_same(archive: Path, wanted: dict, tmp_path: Path) -> None:
    prepare(archive, PrepareKnee(annotations=archive / "knee.csv", out=tmp_path / "data"))
    index = pd.read_parquet(tmp_path / "data" / "index.parquet")
    for target in TARGETS:
        positive = index[index[target] == 1]
        assert len(positive) == wanted[target]["slices"]
        assert positive["series"].nunique() == wanted[target]["volumes"]
        assert positive["cluster"].nunique() == wanted[target]["patients"]
    assert not (tmp_path / "data" / "ideal.parquet").exists()


def test_volumes_have_as_many_slices_as_fastmris_or_as_are_annotated(archive: Path) -> None:
    rows = pd.read_csv(archive / "knee.csv")
    for path in archive.rglob("*.h5"):
        last = rows.loc[rows["file"] == path.stem, "slice"].max()
        with h5py.File(path) as file:
            assert len(file["kspace"]) == max(36, 0 if np.isnan(last) else int(last) + 1)


def test_boxes_are_scaled_to_the_matrix(archive: Path, fastmri_plus: Path) -> None:
    ours, real = (pd.read_csv(folder / "knee.csv") for folder in (archive, fastmri_plus))
    real = real[real["file"].isin(ours["file"])].reset_index(drop=True)
    np.testing.assert_allclose(ours[["x", "y", "width", "height"]], real[["x", "y", "width", "height"]] / 10, atol=0.5)
    assert (ours["label"] == real["label"]).all()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"volumes": 0}, "--volumes 0: give 1 to 1172"), ({"volumes": -1}, "--volumes -1"), ({"volumes": 2000}, "1172")]
    + [({option: value}, "a phantom needs") for option, value in (("slices", 0), ("matrix", 15), ("noise", 0.0))]
    + [({"seed": -1}, "--seed -1: give a whole number")],
)
def test_what_makes_no_phantom_is_refused(fastmri_plus: Path, tmp_path: Path, wrong: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make_likeness(Phantom(like=fastmri_plus / "knee.csv", **wrong), tmp_path / "out")
    assert not (tmp_path / "out").exists()
