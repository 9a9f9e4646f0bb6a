"""Undersampling is seen in k-space, with or without a mask, and nobody undersamples twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from knee_i2m2.errors import DataError
from knee_i2m2.modalities.undersampling import Undersampling
from knee_i2m2.recipes.knee import PrepareKnee, prepare
from knee_i2m2.sources.fastmri.audit import audit, describe
from knee_i2m2.sources.fastmri.modalities import Transform, kspace_modalities, volume_modalities
from knee_i2m2.sources.fastmri.sampling import sampling
from knee_i2m2.sources.fastmri.volumes import read_volume, volume_in_memory
from knee_i2m2.sources.phantom import Phantom, make_phantom

SHAPE, ACQUIRED = (640, 368), (18, 350)


def _kept(columns=lambda c: c >= 0, rows=lambda r: r >= 0) -> np.ndarray:
    """Returns noise on the acquired columns that are kept, and zeros elsewhere."""
    noise = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
    c, r = np.arange(SHAPE[1]), np.arange(SHAPE[0])
    measured = (c >= ACQUIRED[0]) & (c < ACQUIRED[1]) & columns(c)
    return np.where(rows(r)[:, None] & measured, noise[0] + 1j * noise[1], 0).astype(np.complex64)


CENTRE = range(170, 198)
LEFT_OUT: dict[str, tuple[np.ndarray, float]] = {
    "every second column": (_kept(lambda c: c % 2 == 0), 2),
    "every fourth column": (_kept(lambda c: c % 4 == 0), 4),
    "every fourth column beside a centre": (_kept(lambda c: (c % 4 == 0) | np.isin(c, CENTRE)), 332 / 104),
    "columns at random": (_kept(lambda c: np.random.default_rng(1).random(len(c)) < 0.25), 4),
    "one column": (_kept(lambda c: c != 100), 332 / 331),
    "partial Fourier of the low columns": (_kept(lambda c: c >= 101), 332 / 249),
    "partial Fourier of the high columns": (_kept(lambda c: c < 226), 332 / 208),
    "partial Fourier of rows": (_kept(rows=lambda r: r >= 160), 4 / 3),
    "every second row": (_kept(rows=lambda r: r % 2 == 0), 2),
    "a block in the middle": (_kept(lambda c: (c < 180) | (c >= 190)), 332 / 322),
    "only the centre": (_kept(lambda c: np.isin(c, CENTRE)), 332 / 28),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_was_left_out_is_seen_in_the_data(case: str) -> None:
    values, wanted = LEFT_OUT[case]
    acceleration, warnings = sampling(values, ACQUIRED)
    assert acceleration == pytest.approx(wanted, rel=0.12 if "random" in case else 0.01) and acceleration > 1
    assert list(warnings) == ["undersampled"]
    contiguous = "partial" in case or case == "only the centre"
    assert warnings["undersampled"].startswith("partial Fourier") == contiguous or "row" in case


WHOLE = {
    "zeros beside the acquired columns": _kept(),
    "a column less on either side, as headers round": _kept(lambda c: (c > 18) & (c < 349)),
    "zeros among the values": np.where(np.arange(SHAPE[0])[:, None] % 5, _kept(), 0)
    + np.where((np.arange(SHAPE[0])[:, None] + np.arange(SHAPE[1])) % 3, _kept(), 0),
    "very small values": _kept() * np.float32(1e-30),
    "denormal values": (_kept() * np.float32(1e-38)).astype(np.complex64),
    "imaginary values alone": (1j * _kept().imag).astype(np.complex64),
}


@pytest.mark.parametrize("case", WHOLE)
def test_what_is_normal_is_not_called_undersampled(case: str) -> None:
    assert sampling(WHOLE[case], ACQUIRED) == (1.0, {})


@pytest.mark.parametrize(
    ("values", "mask", "stated", "wanted", "kinds"),
    [
        (_kept(lambda c: c % 4 == 0), np.arange(368) % 4 == 0, 4.0, 4, {"undersampled"}),
        (LEFT_OUT["every fourth column beside a centre"][0], None, 4.0, 4, {"undersampled"}),
        (_kept(lambda c: c % 8 == 0), None, 4.0, 8, {"undersampled", "acceleration"}),
        (_kept(), None, 4.0, 1, {"acceleration"}),
        (_kept(), None, 1.0, 1, set()),
        (_kept(), np.ones(368, np.uint8), None, 1, set()),
        (_kept(), np.arange(368) % 2 == 0, None, 2, {"undersampled", "mask"}),
        (_kept(), np.zeros(368), None, 332, {"undersampled", "mask"}),
    ],
)
def test_mask_and_attribute_are_checked_against_the_data(values, mask, stated, wanted, kinds) -> None:
    acceleration, warnings = sampling(values, ACQUIRED, mask, stated)
    assert acceleration == pytest.approx(wanted, rel=0.02) and set(warnings) == kinds


def test_data_outside_of_the_header_s_columns_are_reported_and_not_cut(tmp_path: Path, fastmri_file) -> None:
    acceleration, warnings = sampling(_kept(), (30, 340))
    assert acceleration == 1
    assert warnings == {"acquired columns": "k-space holds data in columns 18 to 349, its header says 30 to 339"}
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5", maximum=6))
    with pytest.raises(DataError, match="holds data in columns 1 to 10, its header says 1 to 7"):
        volume_modalities(volume, Transform(undersampling=Undersampling("random", 2, 0.2)))


SLICES: dict[str, Callable[[np.ndarray], None]] = {
    "the first lost half": lambda k: k[0].__setitem__((..., slice(0, 6)), 0),
    "the last lost half": lambda k: k[-1].__setitem__((..., slice(6, 12)), 0),
    "one lost a column": lambda k: k[1].__setitem__((..., 5), 0),
    "one is undersampled": lambda k: k[3].__setitem__((..., slice(1, None, 2)), 0),
    "the middle is undersampled": lambda k: k[2].__setitem__((..., slice(1, None, 2)), 0),
    "all but one are undersampled": lambda k: k[1:].__setitem__((..., slice(1, None, 2)), 0),
}


@pytest.mark.parametrize("case", SLICES)
def test_slices_that_were_sampled_otherwise_than_the_others_are_refused(tmp_path, fastmri_file, case: str) -> None:
    values = fastmri_file.kspace(slices=5)
    SLICES[case](values)
    volume = read_volume(fastmri_file.write(tmp_path / "a.h5", "bare", values=values))
    with pytest.raises(DataError, match=r"slice \d of kspace holds data in \d+ columns, slice \d in 10"):
        volume_modalities(volume, Transform())


@pytest.mark.parametrize("kind", [bool, np.uint8, np.int64, np.float32, np.float64, np.int16])
def test_a_mask_of_any_type_is_read_and_one_of_another_length_refused(tmp_path, fastmri_file, kind: type) -> None:
    path = fastmri_file.write(tmp_path / "a.h5", "bare")
    with h5py.File(path, "a") as file:
        file["mask"] = (np.arange(12) % 2 == 0).astype(kind)
    assert read_volume(path).acceleration == 2
    with h5py.File(path, "a") as file:
        del file["mask"]
        file["mask"] = np.ones(9, kind)
    with pytest.raises(DataError, match="mask has 9 values, but k-space 12 columns"):
        read_volume(path)


def test_k_space_in_memory_is_not_undersampled_twice(fastmri_file) -> None:
    kspace = fastmri_file.kspace()
    kspace[..., 2:10:2] = 0
    with pytest.raises(DataError, match="is undersampled already"):
        kspace_modalities(
            kspace, volume_in_memory(kspace, (8, 8)), Transform(undersampling=Undersampling("random", 2, 0.2))
        )


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom of which two volumes were undersampled by somebody who left no mask."""
    out = tmp_path_factory.mktemp("sampled") / "phantom"
    make_phantom(Phantom(volumes=12, slices=3, matrix=32, seed=3), out)
    for path in sorted(out.rglob("*.h5"))[:2]:
        with h5py.File(path, "a") as file:
            file["kspace"][...] = file["kspace"][...] * (np.arange(file["kspace"].shape[-1]) % 2 > 0)
    return out


def test_audit_and_prepare_count_them_and_prepare_does_not_undersample_twice(archive: Path, tmp_path: Path) -> None:
    findings = audit(archive, annotations=archive / "knee.csv")
    assert findings["undersampled"] == 2 and findings["accelerations"] == {"1": 10, "2": 2}
    assert findings["warnings"]["undersampled"]["volumes"] == 2
    assert "undersampled: 2 volumes; acceleration (volumes): 1 (10), 2 (2)" in describe(findings)
    options = {"annotations": archive / "knee.csv", "out": tmp_path / "out"}
    (archive / "ideal.parquet").unlink(missing_ok=True)
    with pytest.raises(DataError, match=r"is undersampled already: its k-space holds data in \d+ of \d+ acquired"):
        prepare(archive, PrepareKnee(**options, acceleration=4))
    assert not (tmp_path / "out").exists()
    setting_aside = {"on_error": "quarantine", "quarantine_limit": 0.2}
    made = prepare(archive, PrepareKnee(**options, acceleration=4, **setting_aside))
    assert made["volumes"] == 10 and made["left_out"] == {"unusable": 2} and made["warnings"] == {}
    made = prepare(archive, PrepareKnee(**options | {"out": tmp_path / "as it is"}))
    assert made["volumes"] == 12 and made["warnings"] == {"undersampled": 2}
    listed = pd.read_csv(tmp_path / "as it is" / "warnings.csv")
    assert listed["volume"].tolist() == [path.stem for path in sorted(archive.rglob("*.h5"))[:2]]
