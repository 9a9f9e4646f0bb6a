"""The front door: what a notebook needs, by one import, and nothing loaded before it is used."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import knee_i2m2 as ki
from knee_i2m2.data.prepared import Prepared
from knee_i2m2.evaluation.statistics import student
from knee_i2m2.modalities.kspace import reconstruct
from knee_i2m2.recipes.avmnist import PrepareAVMNIST, prepare


def test_every_name_leads_somewhere_and_is_declared_for_type_checkers() -> None:
    tree = ast.parse(Path(ki.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    declared = {alias.asname or alias.name: (node.module, alias.name) for node in block.body for alias in node.names}
    assert set(declared) == set(ki.__all__) <= set(dir(ki))
    for name, (module, there) in declared.items():
        wanted = getattr(__import__(module, fromlist=[there]), there)
        assert getattr(ki, name) is wanted or name in ("modalities", "report")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = ki.nothing


@pytest.mark.parametrize("name", ["modalities", "report"])
def test_a_package_with_the_name_of_a_function_can_be_called(name: str) -> None:
    code = f"import knee_i2m2 as ki, knee_i2m2.{name} as package; assert ki.{name} is package and callable(package)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_door_itself_loads_nothing_heavy() -> None:
    code = "import sys, knee_i2m2 as ki; dir(ki); print([m for m in ('torch', 'numpy', 'pandas') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_modalities_of_an_array_and_of_a_file_are_those_of_its_image(tmp_path: Path, fastmri_file) -> None:
    path = fastmri_file.write(tmp_path / "file1.h5")
    volume = ki.read_volume(str(path))
    image = reconstruct(torch.from_numpy(volume.kspace), volume.matrix)
    for x in (ki.modalities(volume), ki.modalities(volume.kspace, volume.matrix)):
        torch.testing.assert_close(x["phase"][:, 0], image.angle())
        torch.testing.assert_close(x["magnitude"][:, 0] * image.abs().square().mean().sqrt(), image.abs())
    rows, columns = volume.kspace.shape[1:]
    assert ki.modalities(volume.kspace)["phase"].shape[2:] == (rows // 2, min(rows // 2, columns))


def test_statistics_take_plain_scores() -> None:
    random = np.random.default_rng(0)
    truth, patients = np.repeat(random.integers(0, 2, 60), 2), np.repeat(np.arange(60), 2)
    a, b = truth + random.normal(size=120), random.normal(size=120)
    estimate = ki.clustered_interval(ki.auroc, truth, a, patients, replicates=200)
    assert estimate.value == ki.auroc(truth, a) and estimate.low < estimate.value < estimate.high
    test = ki.paired_test(truth, a, b, patients)
    assert test == student.paired_test(truth, a, b, patients)
    assert test.difference == pytest.approx(ki.auroc(truth, a) - ki.auroc(truth, b))


def test_the_cell_of_the_design_runs_as_it_stands() -> None:
    random = np.random.default_rng(0)
    patients = np.repeat(np.arange(100), 3)
    labels = random.integers(0, 2, (300, 2))
    pictures = random.normal(size=(2, 300, 1, 16, 16)) + labels.T[:, :, None, None, None]
    arrays = {"magnitude": pictures[0], "phase": pictures[1]}

    samples = ki.Samples(x=arrays, y=labels, clusters=patients, targets=("acl", "meniscus"))
    train, val, test = samples.split(seed=0)
    i2m2, intra = (ki.fit(ki.rival(name, samples), train, val, epochs=2) for name in ("i2m2", "intra"))
    a, b = (ki.predict(model, test).log_odds("acl") for model in (i2m2, intra))
    interval = ki.clustered_interval(ki.auroc, test.truth("acl"), a, test.clusters)
    difference = ki.paired_test(test.truth("acl"), a, b, test.clusters)

    assert 0.8 < interval.low <= interval.value <= interval.high <= 1
    assert difference.low <= difference.difference <= difference.high and 0 <= difference.p <= 1


@pytest.fixture(scope="module")
def pairs(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """600 real AV-MNIST pairs."""
    out = tmp_path_factory.mktemp("avmnist") / "data"
    inputs = (shared_data / "mnist", shared_data / "fsdd/recordings.zip", shared_data / "noise")
    prepare(PrepareAVMNIST(out, *inputs, train=600, val=1, test=1, components=40, snr=(0.0, 10.0)))
    return Prepared.open(out, "train")


def test_the_cell_runs_on_real_digits_and_sounds(pairs: Prepared) -> None:
    x, digits, _ = pairs[list(range(len(pairs)))]
    arrays = {"image": x["image"].numpy(), "audio": x["audio"][..., ::4, ::4].numpy()}
    labels, recordings = np.stack([digits % 2, digits // 5], axis=-1), pairs.index["cluster"].to_numpy()

    samples = ki.Samples(x=arrays, y=labels, clusters=recordings, targets=("odd", "large"))
    train, val, test = samples.split(seed=0)
    i2m2, intra = (ki.fit(ki.rival(name, samples), train, val, epochs=3) for name in ("i2m2", "intra"))
    a, b = (ki.predict(model, test).log_odds("odd") for model in (i2m2, intra))
    interval = ki.clustered_interval(ki.auroc, test.truth("odd"), a, test.clusters)
    difference = ki.paired_test(test.truth("odd"), a, b, test.clusters)

    assert 0.6 < interval.low < interval.value < interval.high < 1
    assert abs(difference.difference) < 0.2 and 0 <= difference.p <= 1


def test_many_classes_go_through_the_same_cell(pairs: Prepared) -> None:
    x, digits, _ = pairs[list(range(len(pairs)))]
    train, val, test = ki.Samples({"image": x["image"]}, digits, pairs.index["cluster"]).split(seed=0)
    answers = ki.predict(ki.fit(ki.rival("image", train), train, val, epochs=4), test)
    interval = ki.clustered_interval(ki.accuracy, test.truth("label"), answers.logp, test.clusters)
    assert 0.3 < interval.low < interval.value == ki.accuracy(test.truth("label"), answers.logp)


@pytest.mark.parametrize(("before", "after"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_idle_threads_sleep_unless_the_user_wants_otherwise(before: str | None, after: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    code = "import os, sys, knee_i2m2; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    environment |= {} if before is None else {"OMP_WAIT_POLICY": before}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [after, "False"]
