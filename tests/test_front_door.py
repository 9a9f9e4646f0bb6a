"""The front door: what a notebook needs, by one import, and nothing loaded before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import knee_i2m2 as ki
from knee_i2m2.evaluation.statistics import delong
from knee_i2m2.modalities.kspace import reconstruct


def test_every_name_leads_somewhere_and_is_declared_for_type_checkers() -> None:
    tree = ast.parse(Path(ki.__file__).read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    declared = {alias.asname or alias.name: (node.module, alias.name) for node in block.body for alias in node.names}
    assert set(declared) == set(ki.__all__) <= set(dir(ki))
    for name, (module, there) in declared.items():
        assert callable(getattr(ki, name))
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
    assert test == delong.paired_test(delong.components(truth, a), delong.components(truth, b), patients)
    assert test.difference == pytest.approx(ki.auroc(truth, a) - ki.auroc(truth, b))
