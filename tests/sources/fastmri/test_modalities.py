"""A volume's modalities are the same however they are computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from knee_i2m2.errors import DataError
from knee_i2m2.modalities.undersampling import Undersampling
from knee_i2m2.sources.fastmri import modalities as knee_modalities
from knee_i2m2.sources.fastmri.modalities import (
    Transform,
    kspace_modalities,
    read_volumes,
    volume_modalities,
    volumes_text,
)
from knee_i2m2.sources.fastmri.volumes import read_volume, volume_in_memory

TRANSFORMS = [Transform(), Transform(columns=15), Transform(undersampling=Undersampling("random", 2, 0.2))]


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_all_slices_at_once_as_on_a_gpu_are_those_one_by_one(tmp_path, fastmri_file, transform: Transform) -> None:
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5", slices=5, columns=13))
    one_by_one = knee_modalities._one_by_one(volume, transform)
    torch.testing.assert_close(knee_modalities._all_at_once(volume, transform, "cpu"), one_by_one)
    assert one_by_one.shape == (2, 5, 8, 8)


@pytest.mark.parametrize("transform", [Transform(), Transform(columns=15)])
def test_k_space_in_memory_gives_what_its_file_gives(tmp_path, fastmri_file, transform: Transform) -> None:
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5", slices=3, columns=13))
    (there, unit), (here, same) = (
        volume_modalities(volume, transform),
        kspace_modalities(volume.kspace, volume_in_memory(volume.kspace, (8, 8)), transform),
    )
    assert unit == pytest.approx(same, rel=1e-6)
    torch.testing.assert_close(here, there, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda k: k.real, r"kspace: is of type float32 and shape .*; give complex numbers"),
        (lambda k: k[0], r"give complex numbers of shape \(slices, rows, columns\)"),
        (lambda k: k * np.nan, "slice 0 of kspace holds NaN"),
        (lambda k: 0 * k, "slice 0 of kspace is constant"),
        (lambda k: k[:, :7], "the reconstructed matrix of 8 x 8 is larger than the k-space of 7 x 12"),
    ],
)
def test_k_space_in_memory_that_cannot_be_used_is_refused(fastmri_file, change, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        volume_in_memory(change(fastmri_file.kspace()), (8, 8))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_gpu_gives_what_the_cpu_gives(tmp_path, fastmri_file, transform: Transform) -> None:
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5", slices=5, columns=13))
    there, unit = volume_modalities(volume, transform, "cuda")
    here, same = volume_modalities(volume, transform)
    assert unit == pytest.approx(same, rel=1e-5)
    torch.testing.assert_close(there.cpu()[:, 0], here[:, 0], rtol=2e-3, atol=1e-4)
    turned = torch.polar(torch.ones(()), (there.cpu()[:, 1] - here[:, 1]).float())
    assert (turned - 1).abs().max() < 5e-3


def test_float16_keeps_magnitudes_to_a_thousandth_whatever_their_unit(tmp_path, fastmri_file) -> None:
    values = fastmri_file.kspace()
    found = []
    for name, factor in (("a", 1.0), ("b", 1e-5), ("c", 1e9)):
        path = fastmri_file.write(tmp_path / f"{name}.h5", values=(factor * values).astype(np.complex64))
        stored, unit = volume_modalities(read_volume(path), Transform())
        found.append(stored)
        assert stored[:, 0].float().square().mean() == pytest.approx(1, abs=1e-3)
        assert unit == pytest.approx(factor * 1.4e-4, rel=0.2)
    assert (found[0].float() - found[1].float()).abs().max() < 5e-3
    assert (found[0].float() - found[2].float()).abs().max() < 5e-3


def test_a_volume_wider_than_what_it_is_filled_to_is_refused(tmp_path, fastmri_file) -> None:
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5", columns=13))
    with pytest.raises(DataError, match="13 columns, more than the 12"):
        volume_modalities(volume, Transform(columns=12))


def test_volumes_come_back_from_their_file_as_they_were(tmp_path, fastmri_file) -> None:
    volumes = [read_volume(fastmri_file.write(tmp_path / f"{n}.h5", patient=p)) for n, p in (("a", "p"), ("b", None))]
    aside = {"c": {"stamp": [1, 2, 3], "reason": "is bad", "hint": ""}}
    (tmp_path / "volumes.json").write_text(volumes_text(volumes, aside))
    assert read_volumes(tmp_path) == {"volumes": {v.name: v for v in volumes}, "quarantined": aside}


@pytest.mark.parametrize("text", ["", "[]", '{"volumes": {}}', '{"volumes": {"a": {}}, "quarantined": {}}'])
def test_a_damaged_list_of_volumes_is_said(tmp_path, text: str) -> None:
    (tmp_path / "volumes.json").write_text(text)
    with pytest.raises(DataError, match=r"volumes\.json: cannot be read"):
        read_volumes(tmp_path)
