"""A phantom archive: fastMRI volumes and fastMRI+ labels with a known answer.

::

    OUT/singlecoil_train/*.h5, OUT/singlecoil_val/*.h5    volumes, two series (PD, PDFS) a patient
    OUT/knee.csv, OUT/knee_file_list.csv                  annotations and reviewed volumes, as fastMRI+ has them
    OUT/ideal.parquet                                     the ideal observer's log-likelihood ratios
    OUT/phantom.json                                      the settings
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from knee_i2m2.data.parallel import in_parallel
from knee_i2m2.errors import ConfigError, check_seed
from knee_i2m2.files import refuse_occupied, whole, whole_folder, write_text
from knee_i2m2.sources.fastmri.annotations import TARGETS
from knee_i2m2.sources.phantom.anatomy import CONTRASTS, Anatomy, draw_anatomy, render, site
from knee_i2m2.sources.phantom.lesions import Changes, Lesions, Strengths, draw_lesions, slice_position
from knee_i2m2.sources.phantom.lesions import changes as lesion_changes
from knee_i2m2.sources.phantom.observer import log_likelihood_ratios
from knee_i2m2.sources.phantom.scanner import Protocol, draw_coil, draw_protocol, scan, write_volume
from knee_i2m2.types import Progress, silent

__all__ = ["Phantom", "make_phantom"]

_STRINGS = {
    "abnormal": ("Bone- Subchondral edema", "Bone-Fracture/Contusion/dislocation", "Periarticular cysts"),
    "meniscus": ("Meniscus Tear",),
    "acl": ("Ligament - ACL Low Grade sprain", "Ligament - ACL High Grade Sprain"),
    "cartilage": ("Cartilage - Partial Thickness loss/defect", "Cartilage - Full Thickness loss/defect"),
}
_COLUMNS = ("file", "slice", "study_level", "x", "y", "width", "height", "label")


@dataclass(frozen=True)
class Phantom:
    """What is made.

    Attributes:
        volumes: Number of volumes; two a patient.
        slices: Slices of each volume.
        matrix: Rows and columns of the reconstruction; k-space is 2 `matrix` by fastMRI's widths in proportion.
        seed: Makes everything.
        noise: Standard deviation of k-space noise per real component; tissue has a signal of about 0.7.
        prevalence: Probability that a patient has a target's lesion, which then spans some of the slices.
        position_confound: Whether lesions prefer the middle slices.
        strengths: How much lesions change the object.
    """

    volumes: int = 60
    slices: int = 36
    matrix: int = 320
    seed: int = 0
    noise: float = 0.12
    prevalence: float = 0.75
    position_confound: bool = False
    strengths: Strengths = field(default_factory=Strengths)

    def __post_init__(self) -> None:
        if self.volumes < 2 or self.slices < 1 or self.matrix < 16 or self.matrix % 2:
            raise ConfigError("a phantom needs at least 2 volumes, 1 slice and an even matrix of at least 16")
        check_seed(self.seed)
        if self.noise <= 0 or not 0 < self.prevalence <= 1:
            raise ConfigError("a phantom needs noise above 0 and a prevalence in (0, 1]")


def make_phantom(settings: Phantom, out: Path, progress: Progress = silent, jobs: int = 1) -> None:
    """Writes a phantom archive to the folder `out`, whole or not at all; the same settings give the same bytes.

    Args:
        settings: What is made.
        out: A folder that is not there yet or is empty.
        progress: Called as volumes are finished.
        jobs: Processes; they do not change the bytes.

    Raises:
        ConfigError: The folder holds something.
    """
    refuse_occupied(out)
    made = []
    with whole_folder(out) as folder:
        for patient in in_parallel(partial(_make_patient, settings, folder), range((settings.volumes + 1) // 2), jobs):
            made += patient
            progress("phantom volumes", len(made), settings.volumes)
        _write_tables(pd.concat([rows for rows, _ in made]), pd.concat([ideal for _, ideal in made]), settings, folder)


def _make_patient(settings: Phantom, out: Path, patient: int) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """Writes a patient's series and returns their annotations and ideal scores."""
    generator = np.random.default_rng([settings.seed, patient])
    anatomy = draw_anatomy(generator)
    lesions = draw_lesions(generator, settings.slices, settings.prevalence, settings.position_confound)
    made = []
    for series, sequence in zip(range(2 * patient, settings.volumes), CONTRASTS, strict=False):
        name, own = volume_name(series), np.random.default_rng([settings.seed, patient, series + 1])
        protocol = draw_protocol(own, settings.matrix, sequence, settings.noise)
        scores = _make_series(settings, volume_path(out, patient, name), patient, anatomy, lesions, protocol, own)
        made.append((_annotations(settings, name, anatomy, lesions, own), _ideal_rows(name, scores)))
    return made


def volume_name(series: int) -> str:
    """Returns a name as fastMRI gives them."""
    return f"file{1000000 + series}"


def volume_path(out: Path, patient: int, name: str) -> Path:
    """Returns the file of a volume: every sixth patient is in the official validation part, as in fastMRI."""
    return out / ("singlecoil_val" if patient % 6 == 5 else "singlecoil_train") / f"{name}.h5"


def _make_series(settings, path, patient, anatomy, lesions: Lesions, protocol: Protocol, generator) -> np.ndarray:
    """Writes a volume and returns its ideal scores, of shape (slices, targets)."""
    changes = unlabelled(anatomy, lesions, protocol, settings.strengths, generator)
    kspace = write_series(path, changes, lesions, protocol, patient_name(patient), generator)
    scores = [log_likelihood_ratios(kspace[i], c, lesions.labels[i], protocol) for i, c in enumerate(changes)]
    return np.stack(scores)


def unlabelled(
    anatomy: Anatomy, lesions: Lesions, protocol: Protocol, strengths: Strengths, generator: np.random.Generator
) -> list[Changes]:
    """Returns a series' slices as functions of their labels, under a coil drawn from the generator."""
    pixels, slices = protocol.pixels, len(lesions.labels)
    sensitivity, angle = draw_coil(generator, pixels)
    coil = sensitivity * np.exp(1j * angle)
    signals = [render(anatomy, protocol.sequence, slice_position(i, slices), pixels) for i in range(slices)]
    return [lesion_changes(s * coil, pixels, anatomy, lesions, i, strengths) for i, s in enumerate(signals)]


def write_series(
    path: Path, changes: list[Changes], lesions: Lesions, protocol: Protocol, patient: str, generator
) -> torch.Tensor:
    """Scans and writes a volume; returns its k-space, complex128, of shape (slices, rows, columns)."""
    images = np.stack([c.image(lesions.labels[i], int(lesions.signs[i])) for i, c in enumerate(changes)])
    kspace = scan(images, protocol, generator)
    write_volume(path, images, kspace, protocol, patient, generator)
    return kspace


def patient_name(patient: int) -> str:
    """Returns the attribute `patient_id`."""
    return f"phantom{patient:05d}"


def _annotations(settings: Phantom, name: str, anatomy, lesions: Lesions, generator) -> pd.DataFrame:
    """Returns a volume's rows of fastMRI+'s table: boxes two standard deviations wide, flipped up-down."""
    strings = {target: str(generator.choice(names)) for target, names in _STRINGS.items()}
    rows = []
    for index, j in zip(*np.nonzero(lesions.labels), strict=True):
        z = slice_position(int(index), settings.slices)
        box = _box(site(anatomy, TARGETS[j], z) + lesions.offsets[j], settings)
        rows.append((name, int(index), "No", *box, strings[TARGETS[j]]))
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _box(centre: np.ndarray, settings: Phantom) -> tuple[int, int, int, int]:
    """Returns x, y, width and height in pixels, y counted from the bottom of the reconstruction."""
    side = max(2, round(2 * settings.strengths.radius * settings.matrix))
    x, y = (round((c + 1) * settings.matrix / 2 - side / 2) for c in centre)
    return x, settings.matrix - y - side, side, side


def _ideal_rows(name: str, scores: np.ndarray) -> pd.DataFrame:
    """Returns one row per (slice, target)."""
    slices, targets = np.indices(scores.shape)
    return pd.DataFrame(
        {
            "volume": name,
            "slice": slices.ravel(),
            "target": np.array(TARGETS, dtype=object)[targets.ravel()],
            "log_likelihood_ratio": scores.ravel(),
        }
    )


def _write_tables(annotations: pd.DataFrame, ideal: pd.DataFrame, settings: Phantom, out: Path) -> None:
    write_text(out / "knee.csv", annotations.to_csv(index=False))
    write_file_list([volume_name(i) for i in range(settings.volumes)], out)
    with whole(out / "ideal.parquet") as temporary:
        ideal.to_parquet(temporary, index=False)
    write_text(out / "phantom.json", json.dumps(asdict(settings), indent=2) + "\n")


def write_file_list(names: list[str], out: Path) -> None:
    """Writes the reviewed volumes as fastMRI+ does, its last line a text and no file."""
    write_text(out / "knee_file_list.csv", "\n".join([*names, "Knee data", ""]))
