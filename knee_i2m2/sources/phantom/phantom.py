"""A phantom archive: fastMRI volumes and fastMRI+ labels with a known answer.

::

    OUT/singlecoil_train/*.h5, OUT/singlecoil_val/*.h5    volumes, two series (PD, PDFS) a patient
    OUT/knee.csv, OUT/knee_file_list.csv                  annotations and reviewed volumes, as fastMRI+ has them
    OUT/ideal.parquet                                     the ideal observer's log-likelihood ratios
    OUT/phantom.json                                      the settings
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

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
    """Writes fastMRI-format knee volumes with a known answer, and their annotations.

    Attributes:
        volumes: How many, two a patient; 60 by default, or with --like all of the file list.
        slices: Slices of each volume; with --like at least as many as are annotated.
        matrix: Rows and columns of the image; k-space has twice as many rows.
        seed: Makes everything.
        noise: Standard deviation of k-space noise; tissue has a signal of about 0.7.
        position_confound: Let lesions prefer the middle slices, as in fastMRI+.
        strengths: How much lesions change the object.
        like: A real fastMRI+ CSV, whose names, labels and boxes the volumes take.
        file_list: Its file list; beside the CSV by default.
        jobs: Processes; they do not change a byte.
    """

    volumes: int | None = None
    slices: int = 36
    matrix: int = 320
    seed: int = 0
    noise: float = 0.12
    position_confound: bool = False
    strengths: Strengths = field(default_factory=Strengths)
    like: Path | None = None
    file_list: Path | None = None
    jobs: int = 1

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.like is None and self.file_list is not None:
            raise ConfigError("--file-list goes with --like; leave it out or name the annotations")
        if self.like is not None and self.position_confound:
            raise ConfigError("--position-confound does not go with --like: real labels have their own positions")
        if self.like is None and self.volumes is not None and self.volumes < 2:
            raise ConfigError(f"--volumes {self.volumes}: a phantom needs at least 2, one for each series of a patient")
        if self.slices < 1 or self.matrix < 16 or self.matrix % 2 or self.noise <= 0:
            raise ConfigError("a phantom needs at least 1 slice, an even matrix of at least 16 and noise above 0")

    def written(self) -> dict[str, Any]:
        """Returns the settings that the content depends on, as `phantom.json` holds them; a CSV by its name."""
        settings = {k: v for k, v in asdict(self).items() if k not in ("like", "file_list", "jobs")}
        return settings if self.like is None else settings | {"like": self.like.name}


def make_phantom(settings: Phantom, out: Path, progress: Progress = silent) -> int:
    """Writes a phantom archive to the folder `out`, whole or not at all; the same settings give the same bytes.

    Returns:
        The number of volumes.

    Args:
        settings: What is made.
        out: A folder that is not there yet or is empty.
        progress: Called as volumes are finished.

    Raises:
        ConfigError: The folder holds something.
    """
    refuse_occupied(out)
    settings = replace(settings, volumes=60 if settings.volumes is None else settings.volumes)
    patients, made = range((settings.volumes + 1) // 2), []
    with whole_folder(out) as folder:
        for patient in in_parallel(partial(_make_patient, settings, folder), patients, settings.jobs):
            made += patient
            progress("phantom volumes", len(made), settings.volumes)
        _write_tables(pd.concat([rows for rows, _ in made]), pd.concat([ideal for _, ideal in made]), settings, folder)
    return settings.volumes


def _make_patient(settings: Phantom, out: Path, patient: int) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """Writes a patient's series and returns their annotations and ideal scores."""
    generator = np.random.default_rng([settings.seed, patient])
    anatomy = draw_anatomy(generator)
    lesions = draw_lesions(generator, settings.slices, settings.position_confound)
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
    write_text(out / "phantom.json", json.dumps(settings.written(), indent=2) + "\n")


def write_file_list(names: list[str], out: Path) -> None:
    """Writes the reviewed volumes as fastMRI+ does, its last line a text and no file."""
    write_text(out / "knee_file_list.csv", "\n".join([*names, "Knee data", ""]))
