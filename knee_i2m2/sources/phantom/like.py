"""Phantom volumes under real names: the labels and boxes of a fastMRI+ file, where k-space may not be shipped."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from knee_i2m2.data.parallel import in_parallel
from knee_i2m2.errors import ConfigError
from knee_i2m2.files import refuse_occupied, whole_folder, write_text
from knee_i2m2.sources.fastmri.annotations import TARGETS, Annotations, array_box, read_annotations, slice_labels
from knee_i2m2.sources.phantom.anatomy import CONTRASTS, draw_anatomy
from knee_i2m2.sources.phantom.lesions import Changes, Patch, Strengths, draw_lesions, patch
from knee_i2m2.sources.phantom.phantom import (
    Phantom,
    patient_name,
    unlabelled,
    volume_path,
    write_file_list,
    write_series,
)
from knee_i2m2.sources.phantom.scanner import Protocol, draw_protocol
from knee_i2m2.types import Progress, silent

__all__ = ["make_likeness"]

_FRAME = 320


def make_likeness(settings: Phantom, out: Path, progress: Progress = silent) -> int:
    """Writes the volumes of `settings.like`, their rows of the annotations and their file list to a new folder.

    There is no ideal observer: what real labels mean is not known.

    Returns:
        The number of volumes.

    Raises:
        ConfigError: The folder holds something, or more volumes are asked for than are listed.
        DataError: The annotations are not usable.
    """
    refuse_occupied(out)
    annotations = read_annotations(settings.like, settings.file_list)
    names = _names(settings, annotations)
    patients = range((len(names) + 1) // 2)
    with whole_folder(out) as folder:
        task = partial(_make_patient, settings, annotations, names, folder)
        for done, made in enumerate(in_parallel(task, patients, settings.jobs)):
            progress("volumes", 2 * done + made, len(names))
        write_text(folder / "knee.csv", _rows(settings, names).to_csv(index=False))
        write_file_list(names, folder)
        write_text(folder / "phantom.json", json.dumps(settings.written(), indent=2) + "\n")
    return len(names)


def _names(settings: Phantom, annotations: Annotations) -> list[str]:
    """Returns the first volumes of the file list, in order; consecutive ones are a patient."""
    listed = sorted(annotations.annotated if annotations.reviewed is None else annotations.reviewed)
    if settings.volumes is not None and not 1 <= settings.volumes <= len(listed):
        raise ConfigError(f"--volumes {settings.volumes}: give 1 to {len(listed)}, as many as are annotated")
    return listed[: settings.volumes]


def _make_patient(settings: Phantom, annotations: Annotations, names: list[str], out: Path, patient: int) -> int:
    """Writes a patient's series and returns their number."""
    anatomy = draw_anatomy(np.random.default_rng([settings.seed, patient]))
    own = names[2 * patient : 2 * patient + 2]
    for series, (name, sequence) in enumerate(zip(own, CONTRASTS, strict=False)):
        generator = np.random.default_rng([settings.seed, patient, series + 1])
        labels = _labels(annotations, name, settings.slices)
        lesions = replace(draw_lesions(generator, len(labels)), labels=labels)
        protocol = draw_protocol(generator, settings.matrix, sequence, settings.noise)
        changes = unlabelled(anatomy, lesions, protocol, settings.strengths, generator)
        rows = annotations.of(name)
        changes = [_at_boxes(c, rows[rows["slice"] == i], settings.strengths, protocol) for i, c in enumerate(changes)]
        path = volume_path(out, patient, name)
        write_series(path, changes, lesions, protocol, patient_name(patient), generator)
    return len(own)


def _labels(annotations: Annotations, name: str, slices: int) -> np.ndarray:
    """Returns labels of shape (slices, targets) for at least as many slices as are annotated."""
    last = annotations.of(name)["slice"].max() if len(annotations.of(name)) else -1
    return slice_labels(annotations, name, max(slices, int(last) + 1))


def _at_boxes(changes: Changes, rows: pd.DataFrame, strengths: Strengths, protocol: Protocol) -> Changes:
    """Returns a slice with its lesions moved from their sites to their boxes."""
    rows = rows[rows["x"].notna()]
    patches = list(changes.patches)
    for j, target in enumerate(TARGETS):
        boxes = rows[rows["target"] == target]
        if len(boxes):
            patches[j] = tuple(_patch(box, *strengths.of(target), protocol) for box in boxes.itertuples())
    return replace(changes, patches=tuple(patches))


def _patch(box, relative: float, radians: float, protocol: Protocol) -> Patch:
    """Returns a lesion that fills a box."""
    top = array_box(box.y, box.height, _FRAME)
    centre = ((box.x + box.width / 2) * 2 / _FRAME - 1, (top + box.height / 2) * 2 / _FRAME - 1)
    radius = max(min(box.width, box.height) / _FRAME, 0.03)
    return patch(protocol.pixels, centre, radius, relative, radians)


def _rows(settings: Phantom, names: list[str]) -> pd.DataFrame:
    """Returns the volumes' own rows of the CSV, their boxes scaled to the matrix."""
    table = pd.read_csv(settings.like, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    table = table[table["file"].isin(names)]
    if settings.matrix != _FRAME:
        for column in ("x", "y", "width", "height"):
            boxed = table[column] != ""
            scaled = (pd.to_numeric(table.loc[boxed, column]) * settings.matrix / _FRAME).round().astype(int)
            table.loc[boxed, column] = scaled.astype(str)
    return table
