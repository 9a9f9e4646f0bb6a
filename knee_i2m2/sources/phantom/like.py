"""Phantom volumes under real names: the labels and boxes of a fastMRI+ file, where k-space may not be shipped."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from knee_i2m2.data.parallel import in_parallel
from knee_i2m2.errors import ConfigError, check_seed
from knee_i2m2.files import refuse_occupied, whole_folder, write_text
from knee_i2m2.sources.fastmri.annotations import TARGETS, Annotations, array_box, slice_labels
from knee_i2m2.sources.phantom.anatomy import CONTRASTS, draw_anatomy
from knee_i2m2.sources.phantom.lesions import Changes, Patch, Strengths, draw_lesions, patch
from knee_i2m2.sources.phantom.phantom import (
    patient_name,
    unlabelled,
    volume_path,
    write_file_list,
    write_series,
)
from knee_i2m2.sources.phantom.scanner import Protocol, draw_protocol
from knee_i2m2.types import Progress, silent

__all__ = ["Likeness", "make_likeness"]

_FRAME = 320


@dataclass(frozen=True)
class Likeness:
    """What is made.

    Attributes:
        annotations: A real fastMRI+ file, read.
        volumes: How many volumes of its list, in order; all if None. Consecutive ones are a patient.
        slices: Least number of slices; more where a finding lies further back.
        matrix: Rows and columns of the reconstruction; boxes are scaled from fastMRI's 320.
        seed: Of anatomy, acquisition and noise.
        noise: Standard deviation of k-space noise per real component.
        strengths: How much lesions change the object.
    """

    annotations: Annotations
    volumes: int | None = None
    slices: int = 36
    matrix: int = 320
    seed: int = 0
    noise: float = 0.12
    strengths: Strengths = field(default_factory=Strengths)

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.slices < 1 or self.matrix < 16 or self.matrix % 2 or self.noise <= 0:
            raise ConfigError("a phantom needs at least 1 slice, an even matrix of at least 16 and noise above 0")
        if self.volumes is not None and not 1 <= self.volumes <= len(self._listed):
            raise ConfigError(f"--volumes {self.volumes}: give 1 to {len(self._listed)}, as many as are annotated")

    @property
    def _listed(self) -> frozenset[str]:
        return frozenset(self.annotations.annotated if self.annotations.reviewed is None else self.annotations.reviewed)

    @property
    def names(self) -> list[str]:
        """Names of the volumes."""
        return sorted(self._listed)[: self.volumes]


def make_likeness(settings: Likeness, out: Path, progress: Progress = silent, jobs: int = 1) -> None:
    """Writes the volumes, their rows of the annotations and their file list to a new folder.

    There is no ideal observer: what real labels mean is not known.

    Raises:
        ConfigError: The folder holds something.
    """
    refuse_occupied(out)
    patients = range((len(settings.names) + 1) // 2)
    about = {name: getattr(settings, name) for name in ("volumes", "slices", "matrix", "seed", "noise")}
    about |= {"strengths": asdict(settings.strengths), "like": settings.annotations.path.name}
    with whole_folder(out) as folder:
        for done, made in enumerate(in_parallel(partial(_make_patient, settings, folder), patients, jobs)):
            progress("volumes", 2 * done + made, len(settings.names))
        write_text(folder / "knee.csv", _rows(settings).to_csv(index=False))
        write_file_list(settings.names, folder)
        write_text(folder / "phantom.json", json.dumps(about, indent=2) + "\n")


def _make_patient(settings: Likeness, out: Path, patient: int) -> int:
    """Writes a patient's series and returns their number."""
    anatomy = draw_anatomy(np.random.default_rng([settings.seed, patient]))
    names = settings.names[2 * patient : 2 * patient + 2]
    for series, (name, sequence) in enumerate(zip(names, CONTRASTS, strict=False)):
        generator = np.random.default_rng([settings.seed, patient, series + 1])
        labels = _labels(settings, name)
        lesions = replace(draw_lesions(generator, len(labels)), labels=labels)
        protocol = draw_protocol(generator, settings.matrix, sequence, settings.noise)
        changes = unlabelled(anatomy, lesions, protocol, settings.strengths, generator)
        changes = [_at_boxes(c, settings, name, i, protocol) for i, c in enumerate(changes)]
        path = volume_path(out, patient, name)
        write_series(path, changes, lesions, protocol, patient_name(patient), generator)
    return len(names)


def _labels(settings: Likeness, name: str) -> np.ndarray:
    """Returns labels of shape (slices, targets) for at least as many slices as are annotated."""
    last = settings.annotations.of(name)["slice"].max() if len(settings.annotations.of(name)) else -1
    return slice_labels(settings.annotations, name, max(settings.slices, int(last) + 1))


def _at_boxes(changes: Changes, settings: Likeness, name: str, index: int, protocol: Protocol) -> Changes:
    """Returns the slice with its lesions moved from their sites to their boxes."""
    rows = settings.annotations.of(name)
    rows = rows[(rows["slice"] == index) & rows["x"].notna()]
    patches = list(changes.patches)
    for j, target in enumerate(TARGETS):
        boxes = rows[rows["target"] == target]
        if len(boxes):
            strengths = settings.strengths.of(target)
            patches[j] = tuple(_patch(box, *strengths, protocol) for box in boxes.itertuples())
    return replace(changes, patches=tuple(patches))


def _patch(box, relative: float, radians: float, protocol: Protocol) -> Patch:
    """Returns a lesion that fills a box."""
    top = array_box(box.y, box.height, _FRAME)
    centre = ((box.x + box.width / 2) * 2 / _FRAME - 1, (top + box.height / 2) * 2 / _FRAME - 1)
    radius = max(min(box.width, box.height) / _FRAME, 0.03)
    return patch(protocol.pixels, centre, radius, relative, radians)


def _rows(settings: Likeness) -> pd.DataFrame:
    """Returns the volumes' own rows of the CSV, their boxes scaled to the matrix."""
    table = pd.read_csv(settings.annotations.path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    table = table[table["file"].isin(settings.names)]
    if settings.matrix != _FRAME:
        for column in ("x", "y", "width", "height"):
            boxed = table[column] != ""
            scaled = (pd.to_numeric(table.loc[boxed, column]) * settings.matrix / _FRAME).round().astype(int)
            table.loc[boxed, column] = scaled.astype(str)
    return table
