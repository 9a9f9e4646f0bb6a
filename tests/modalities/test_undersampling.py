"""The masks are fastMRI's, inside what was measured, and hide without a trace."""

from __future__ import annotations

import math

import pytest
import torch
from fastmri.data.subsample import create_mask_for_mask_type
from fastmri.data.transforms import apply_mask

from knee_i2m2.errors import ConfigError
from knee_i2m2.modalities.undersampling import Undersampling, undersample, undersampling

KINDS = ["random", "equispaced", "equispaced_fraction"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("acceleration", "fraction"), [(4, 0.08), (8, 0.04), (4, 0.02), (3, 0.3)])
@pytest.mark.parametrize(("columns", "acquired"), [(368, (18, 350)), (335, (20, 310)), (644, (0, 644))])
def test_masked_kspace_is_that_of_fastmri(kind, acceleration, fraction, columns, acquired) -> None:
    k = torch.randn(2, 5, columns, dtype=torch.complex128)
    chosen = Undersampling(kind, acceleration, fraction).columns("file1000001.h5", columns, acquired)
    function = create_mask_for_mask_type(kind, [fraction], [acceleration])
    seed = tuple(map(ord, "file1000001.h5"))
    oracle, _, _ = apply_mask(torch.view_as_real(k), function, seed=seed, padding=acquired)
    torch.testing.assert_close(torch.view_as_real(undersample(k, chosen)), oracle, rtol=0, atol=0)


def test_what_is_hidden_keeps_no_sign() -> None:
    hidden = undersample(torch.full((1, 1, 4), -1 - 1j, dtype=torch.complex64), torch.zeros(4, dtype=torch.bool))
    assert all(math.copysign(1, part) == 1 for part in torch.view_as_real(hidden).flatten().tolist())


def test_each_volume_has_a_mask_of_its_own_and_always_the_same() -> None:
    mask = Undersampling("random", 4, 0.08)
    first, again, other = (mask.columns(name, 368, (0, 368)) for name in ("a.h5", "a.h5", "b.h5"))
    assert first.equal(again) and not first.equal(other)


@pytest.mark.parametrize("kind", ["random", "equispaced_fraction"])
@pytest.mark.parametrize("acceleration", [4, 8])
def test_one_column_in_so_many_is_kept(kind, acceleration: int) -> None:
    mask = undersampling(kind, acceleration, None)
    kept = torch.stack([mask.columns(f"file{i}.h5", 368, (0, 368)).double().mean() for i in range(200)])
    assert kept.mean() == pytest.approx(1 / acceleration, rel=0.03)


def test_the_default_centre_is_fastmris() -> None:
    assert [undersampling("random", a, None).center_fraction for a in (4, 8)] == [0.08, 0.04]
    assert undersampling(None, 4, None).mask == "random"
    assert undersampling(None, 1, None) is None


@pytest.mark.parametrize(
    ("acceleration", "fraction", "sentence"),
    [
        (0, None, "--acceleration 0"),
        (4, 0.25, "less than 1/4"),
        (4, 0.0, "more than 0"),
        (1, 0.1, "go with an --acceleration"),
    ],
)
def test_a_mask_that_cannot_be_is_refused_in_words(acceleration, fraction, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        undersampling("random", acceleration, fraction)


@pytest.mark.parametrize("kind", KINDS)
def test_a_centre_that_rounds_up_to_everything_is_refused_in_words(kind) -> None:
    with pytest.raises(ConfigError, match="the 80 of the centre are all"):
        Undersampling(kind, 4, 0.2499).columns("a.h5", 320, (0, 320))
