"""The phantom: its format, its dependencies, its ideal observer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import logsumexp

from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.files import sha256
from knee_i2m2.sources.fastmri.annotations import TARGETS, array_box
from knee_i2m2.sources.fastmri.volumes import find_volumes, read_kspace, read_volume
from knee_i2m2.sources.phantom import Phantom, make_phantom
from knee_i2m2.sources.phantom.anatomy import bump, dipole, draw_anatomy, grid, site
from knee_i2m2.sources.phantom.lesions import Changes, Lesions, Strengths, changes, draw_lesions
from knee_i2m2.sources.phantom.observer import log_likelihood_ratios
from knee_i2m2.sources.phantom.scanner import Protocol, draw_coil, observe, scan

SMALL = Phantom(volumes=6, slices=3, matrix=32, seed=3)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("phantom") / "archive"
    make_phantom(SMALL, out)
    return out


def tiny(strengths: Strengths, noise: float = 0.5) -> tuple[Changes, Protocol, np.random.Generator]:
    """A slice of 16 x 16 with lesions, and how it is acquired."""
    generator = np.random.default_rng(0)
    protocol = Protocol(16, 18, (1, 17), "CORPD_FBK", 2.894, noise)
    lesions = Lesions(np.zeros((1, 4), dtype=int), np.ones((1, 4)), np.ones(1, dtype=int), np.zeros((4, 2)))
    sensitivity, angle = draw_coil(generator, protocol.pixels)
    bare = 0.7 * sensitivity * np.exp(1j * angle)
    slice_ = changes(bare, protocol.pixels, draw_anatomy(generator), lesions, 0, strengths)
    return slice_, protocol, generator


def test_a_known_additive_lesion_is_judged_by_the_matched_filter() -> None:
    slice_, protocol, generator = tiny(Strengths(meniscus=0.8, cartilage=(0.0, 0.0)))
    absent, present = np.zeros(4, dtype=int), np.array([0, 1, 0, 0])
    means = [observe(slice_.image(y, 1), protocol) for y in (absent, present)]
    separation = float((means[1] - means[0]).abs().square().sum()) / protocol.noise**2
    scores = [
        [
            log_likelihood_ratios(scan(slice_.image(y, 1)[None], protocol, generator)[0], slice_, y, protocol)[1]
            for _ in range(400)
        ]
        for y in (absent, present)
    ]
    error = np.sqrt(2 * separation / 400)
    assert np.mean(scores[1]) - np.mean(scores[0]) == pytest.approx(separation, abs=4 * error)
    assert np.var(scores[0]) == pytest.approx(separation, rel=0.3)  # the variance is the separation, too
    exact = log_likelihood_ratios(means[1], slice_, present, protocol)[1]
    assert exact == pytest.approx(separation / 2, rel=1e-9)


def test_the_observer_agrees_with_brute_force_over_the_hidden_sign() -> None:
    slice_, protocol, generator = tiny(Strengths())
    labels = np.array([1, 0, 1, 1])
    kspace = scan(slice_.image(labels, -1)[None], protocol, generator)[0]
    ours = log_likelihood_ratios(kspace, slice_, labels, protocol)
    for j in range(4):
        logs = [[brute(kspace, slice_, with_label(labels, j, y), sign, protocol) for sign in (-1, 1)] for y in (0, 1)]
        assert ours[j] == pytest.approx(logsumexp(logs[1]) - logsumexp(logs[0]), abs=1e-8)


def with_label(labels: np.ndarray, j: int, y: int) -> np.ndarray:
    changed = labels.copy()
    changed[j] = y
    return changed


def brute(kspace: torch.Tensor, slice_: Changes, labels: np.ndarray, sign: int, protocol: Protocol) -> float:
    """The log-likelihood by sums over pixels: no FFT, one acquired sample after the other."""
    image = slice_.image(labels, sign)
    rows, columns = image.shape
    left, right = protocol.acquired
    total = 0.0
    for u in range(rows):
        across = np.exp(-2j * np.pi * (u - rows // 2) * (np.arange(rows) - rows // 2) / rows) @ image
        for v in range(left, right):
            along = np.exp(-2j * np.pi * (v - columns // 2) * (np.arange(columns) - columns // 2) / columns)
            error = complex(kspace[u, v]) - (across @ along) / np.sqrt(rows * columns)
            total -= abs(error) ** 2 / (2 * protocol.noise**2)
    return total


def test_each_target_changes_what_it_should() -> None:
    slice_, _, _ = tiny(Strengths())
    bare = slice_.image(np.zeros(4, dtype=int), 1)
    acl, meniscus, abnormal = (slice_.image(np.eye(4, dtype=int)[j], 1) for j in (2, 1, 0))
    assert np.allclose(np.angle(acl), np.angle(bare)) and not np.allclose(abs(acl), abs(bare))
    assert np.allclose(abs(meniscus), abs(bare)) and not np.allclose(np.angle(meniscus), np.angle(bare))
    assert not np.allclose(abs(abnormal), abs(bare)) and not np.allclose(np.angle(abnormal), np.angle(bare))


def test_cartilage_shows_only_in_whether_the_two_signs_agree() -> None:
    slice_, _, _ = tiny(Strengths())
    negative, positive = np.zeros(4, dtype=int), np.array([0, 0, 0, 1])
    for sign in (-1, 1):  # the same magnitudes in both classes, and the same phases: each sign is a fair coin
        assert np.allclose(abs(slice_.image(negative, sign)), abs(slice_.image(positive, sign)))
        assert np.allclose(np.angle(slice_.image(negative, sign)), np.angle(slice_.image(positive, -sign)))


def test_a_dipole_raises_as_much_as_it_lowers_and_both_shapes_peak_at_one() -> None:
    pixels = grid(400, 400, 400)
    assert dipole(pixels, (0.0, 0.0), 0.1).sum() == pytest.approx(0, abs=1e-9)
    assert dipole(pixels, (0.0, 0.0), 0.1).max() == pytest.approx(1, abs=1e-3)
    assert bump(pixels, (0.0, 0.0), 0.1).max() == 1


def test_a_smooth_phase_bump_leaves_the_band_limited_magnitude_alone() -> None:
    protocol = Protocol(64, 74, (4, 70), "CORPD_FBK", 2.894, 1.0)
    angle = 0.3 * bump(protocol.pixels, (0.1, 0.1), Strengths().radius)
    sharp = 0.3 * (abs(angle) > 0.15)
    leaked = [energy_in_magnitude(np.exp(1j * phase), protocol) for phase in (angle, sharp)]
    assert leaked[0] < 0.005 and leaked[0] < leaked[1] / 2


def energy_in_magnitude(image: np.ndarray, protocol: Protocol) -> float:
    """The share of a phase change's energy that the acquisition turns into magnitude."""
    from knee_i2m2.modalities.fourier import kspace_to_image

    seen = [kspace_to_image(observe(x.astype(complex), protocol)) for x in (np.ones_like(image), image)]
    change = seen[1] - seen[0]
    return float((seen[1].abs() - seen[0].abs()).square().sum() / change.abs().square().sum())


@pytest.mark.parametrize(("confound", "spread"), [(False, 0.05), (True, 0.3)])
def test_slices_are_hit_alike_unless_position_confounds(confound: bool, spread: float) -> None:
    generator = np.random.default_rng(1)
    labels = np.mean([draw_lesions(generator, 8, confound).labels for _ in range(2500)], axis=0)
    assert (np.ptp(labels, axis=0) < 0.06).all() if not confound else (np.ptp(labels, axis=0) > spread).all()


def test_files_have_exactly_fastmris_layout(archive: Path) -> None:
    volume = read_volume(find_volumes(archive)[0])
    with h5py.File(volume.path) as file:
        assert set(file) == {"kspace", "reconstruction_esc", "reconstruction_rss", "ismrmrd_header"}
        assert set(file.attrs) == {"acquisition", "patient_id", "max", "norm"}
        assert file["kspace"].dtype == np.complex64 and file["kspace"].shape == (3, 64, volume.columns)
        assert file["reconstruction_esc"].dtype == np.float32 and file["reconstruction_rss"].shape == (3, 32, 32)
        assert file.attrs["max"] == pytest.approx(file["reconstruction_esc"][()].max())
        assert file.attrs["norm"] == pytest.approx(np.linalg.norm(file["reconstruction_esc"][()]), rel=1e-6)
    assert volume.matrix == (32, 32) and volume.sequence == "CORPD_FBK"


def test_signal_and_noise_fill_the_acquired_columns_and_nothing_else(archive: Path) -> None:
    for path in find_volumes(archive):
        volume = read_volume(path)
        kspace, (left, right) = read_kspace(volume), volume.acquired
        assert 0 < left < right < volume.columns
        assert (kspace[..., :left] == 0).all() and (kspace[..., right:] == 0).all()
        assert (kspace[..., left:right] != 0).all()


def test_the_reconstruction_is_what_fastmri_makes_of_the_kspace(archive: Path) -> None:
    import fastmri
    from fastmri.data.transforms import complex_center_crop, to_tensor

    volume = read_volume(find_volumes(archive)[1])
    image = fastmri.complex_abs(complex_center_crop(fastmri.ifft2c(to_tensor(read_kspace(volume))), (32, 32)))
    with h5py.File(volume.path) as file:
        torch.testing.assert_close(torch.from_numpy(file["reconstruction_esc"][()]), image, rtol=1e-5, atol=1e-10)


def test_two_series_of_a_patient_share_lesions_but_not_their_noise(archive: Path) -> None:
    table = pd.read_csv(archive / "knee.csv")
    first, second = (
        table[table["file"] == f"file100000{i}"][["slice", "x", "y"]].reset_index(drop=True) for i in (0, 1)
    )
    pd.testing.assert_frame_equal(first, second)
    volumes = [read_volume(path) for path in find_volumes(archive)[:2]]
    assert volumes[0].patient == volumes[1].patient and volumes[0].sequence != volumes[1].sequence


def test_boxes_lie_on_the_lesions_once_flipped_back(archive: Path) -> None:
    table = pd.read_csv(archive / "knee.csv")
    row = table[(table["file"] == "file1000000") & (table["label"] == "Meniscus Tear")].iloc[0]
    generator = np.random.default_rng([SMALL.seed, 0])
    anatomy = draw_anatomy(generator)
    lesions = draw_lesions(generator, SMALL.slices)
    z = 2 * row["slice"] / (SMALL.slices - 1) - 1
    x, y = (np.array(site(anatomy, "meniscus", z)) + lesions.offsets[1] + 1) * SMALL.matrix / 2
    top = array_box(int(row["y"]), int(row["height"]), SMALL.matrix)
    assert row["x"] <= x <= row["x"] + row["width"] and top <= y <= top + row["height"]


def test_the_same_seed_gives_the_same_bytes_whatever_the_processes(archive: Path, tmp_path: Path) -> None:
    make_phantom(replace(SMALL, jobs=2), tmp_path / "again")
    files = sorted(path.relative_to(archive) for path in archive.rglob("*") if path.is_file())
    assert len(files) == 6 + 4
    assert [sha256(archive / f) for f in files] == [sha256(tmp_path / "again" / f) for f in files]


def test_another_seed_gives_other_knees(archive: Path, tmp_path: Path) -> None:
    make_phantom(replace(SMALL, volumes=2, seed=4), tmp_path / "other")
    assert sha256(archive / "singlecoil_train/file1000000.h5") != sha256(
        tmp_path / "other/singlecoil_train/file1000000.h5"
    )


def test_the_ideal_observer_has_a_row_for_every_slice_and_target(archive: Path) -> None:
    ideal = pd.read_parquet(archive / "ideal.parquet")
    assert len(ideal) == 6 * 3 * 4 and set(ideal["target"]) == set(TARGETS)
    assert np.isfinite(ideal["log_likelihood_ratio"]).all()
    assert json.loads((archive / "phantom.json").read_text())["seed"] == 3


@pytest.mark.parametrize("wrong", [{"volumes": 1}, {"matrix": 33}, {"noise": 0.0}, {"slices": 0}])
def test_settings_that_make_no_phantom_are_refused(wrong: dict) -> None:
    with pytest.raises(ConfigError, match="a phantom needs"):
        replace(SMALL, **wrong)


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        make_phantom(SMALL, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_place_that_cannot_be_written_is_a_sentence_and_a_link_to_an_empty_folder_is_followed(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="cannot be written"):
        make_phantom(replace(SMALL, volumes=2, slices=1), tmp_path / "file" / "out")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    make_phantom(replace(SMALL, volumes=2, slices=1), tmp_path / "link")
    assert (tmp_path / "empty" / "phantom.json").is_file()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda out: make_phantom(replace(SMALL, jobs=0), out), "--jobs 0"),
        (lambda out: replace(SMALL, seed=-1), "--seed -1"),
        (lambda out: Strengths(radius=0.0), "--strengths.radius"),
    ],
)
def test_options_out_of_range_are_named(tmp_path: Path, make, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make(tmp_path / "out")
    assert not (tmp_path / "out").exists()
