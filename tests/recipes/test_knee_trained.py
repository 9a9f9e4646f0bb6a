"""A loaded run answers for k-space in memory as `predict` answers for its file."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import knee_i2m2 as ki
from knee_i2m2.errors import CheckpointError, ConfigError, DataError
from knee_i2m2.recipes.knee_predict import PredictOptions, predict


@pytest.fixture(scope="module")
def volume(small_run: Path):
    return ki.read_volume(ki.find_volumes(small_run.parent / "phantom")[0])


@pytest.mark.parametrize("rival", ["i2m2", "magnitude"])
def test_it_answers_what_predict_writes(small_run: Path, volume, tmp_path: Path, rival: str) -> None:
    predict(small_run, [volume.path], PredictOptions(tmp_path, rival=rival, device="cpu"))
    table = ki.read_predictions(tmp_path / "predictions.parquet")
    written = table[["logp_0", "logp_1"]].to_numpy().reshape(volume.slices, -1, 2)
    model = ki.load(small_run, rival, device="cpu")
    np.testing.assert_allclose(model.logits(volume.kspace), written, atol=2e-3)
    assert model.targets == tuple(table["target"][: written.shape[1]])
    assert (
        list(model.experts(volume.kspace))
        == [c[6:-2] for c in table if c.startswith("logit_") and c.endswith("_0")][:-1]
    )


def test_the_unit_and_the_width_of_k_space_do_not_matter(small_run: Path, volume) -> None:
    model, kspace = ki.load(str(small_run), seed=0, device="cpu"), volume.kspace
    answers = model.logits(kspace)
    np.testing.assert_allclose(model.logits(1e6 * kspace.astype(np.complex128)), answers, atol=2e-3)
    wider = model.logits(np.pad(kspace, ((0, 0), (0, 0), (4, 5))))
    assert wider.shape == answers.shape and model.logits(kspace[:1]).shape == (1, *answers.shape[1:])


KEPT = {
    "one column in two": (lambda n: np.arange(n) % 2 == 0, 1, True),
    "and the centre": (lambda n: (np.arange(n) % 4 == 0) | (abs(np.arange(n) - n // 2) < 2), 1, True),
    "a column is lost": (lambda n: np.arange(n) != n // 3, 1, True),
    "all columns": (lambda n: np.full(n, True), 1, False),
    "all columns, of a run of faster scans": (lambda n: np.full(n, True), 4, False),
    "one column in four, as the run was trained": (lambda n: np.arange(n) % 4 == 0, 4, False),
    "one column in two, of a run of faster scans": (lambda n: np.arange(n) % 2 == 0, 8, True),
}


@pytest.mark.parametrize("kept", KEPT)
def test_undersampled_k_space_is_answered_with_a_warning(small_run: Path, volume, kept: str) -> None:
    columns, trained, warned = KEPT[kept]
    model = ki.load(small_run, "magnitude", seed=0, device="cpu")
    faster = {**model.data["settings"], "acceleration": trained, "mask": "equispaced" if trained > 1 else None}
    model = replace(model, data={**model.data, "settings": faster})
    kspace = np.where(columns(volume.columns), volume.kspace, 0)
    sentence = "its k-space holds data in .*; the run was trained on"
    with pytest.warns(UserWarning, match=sentence) if warned else nullcontext():
        answers = model.logits(kspace)
    if not columns(volume.columns).all():  # it is not undersampled again
        plain = replace(model, data={**model.data, "settings": {**faster, "acceleration": 1, "mask": None}})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.testing.assert_array_equal(answers, plain.logits(kspace))


def test_what_cannot_answer_says_so(small_run: Path, volume) -> None:
    with pytest.raises(ConfigError, match="did you mean i2m2"):
        ki.load(small_run, "i2m3")
    with pytest.raises(CheckpointError):
        ki.load(small_run, seed=7)
    with pytest.raises(CheckpointError, match="train this rival first"):
        ki.load(small_run, "intra")
    with pytest.raises(DataError, match="matrix of 32 x 32 is larger than the k-space of 20 x"):
        ki.load(small_run).logits(volume.kspace[:, :20])
