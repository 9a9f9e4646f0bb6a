"""fastMRI folder and fastMRI+ labels -> prepared magnitude and phase.

Command::

    knee-i2m2 prepare knee FASTMRI --annotations knee.csv --out DATA --jobs 8

::

    DATA/magnitude+phase.npy    float16 (slices, 2, rows, columns), memory-mapped when read; none with --no-cache
    DATA/index.parquet          one row a slice: who, where, how acquired, split, labels, boxes, row, scale
    DATA/data.json              settings, counts, SHA-256 of every source; written last
    DATA/split.csv              volume, patient, split, SHA-256
    DATA/left_out.csv           volumes, and other files of the archive, that are not in it, and why
    DATA/warnings.csv           volumes that are in it although something about their files is odd, and what
    DATA/volumes.json           where the volumes lie, and their size and time, by which a change is noticed

Interrupted at any point it goes on; run again it does nothing.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from knee_i2m2.data.classes import class_clusters
from knee_i2m2.data.parallel import in_parallel
from knee_i2m2.data.splits import SplitKind, sizes, write_split
from knee_i2m2.data.writing import Filling, finish_prepared, finished, forget
from knee_i2m2.errors import DataError
from knee_i2m2.files import locked, reading, sha256, whole, write_text, writing
from knee_i2m2.identity import own_cluster
from knee_i2m2.modalities.undersampling import MaskKind
from knee_i2m2.sources.fastmri.annotations import (
    TARGETS,
    Abnormal,
    Annotations,
    array_box,
    read_annotations,
    slice_labels,
)
from knee_i2m2.sources.fastmri.archive import (
    Archive,
    OnError,
    Quarantine,
    UnknownPatients,
    killed,
    known_before,
    known_hashes,
    survey,
    warning_counts,
    without_quarantined,
    without_refused,
    write_left_out,
    write_warnings,
)
from knee_i2m2.sources.fastmri.folder import unused_files
from knee_i2m2.sources.fastmri.matching import LIMIT, Matching
from knee_i2m2.sources.fastmri.modalities import MODALITIES, Computed, Transform, fill_rows, volumes_text
from knee_i2m2.sources.fastmri.volumes import Volume, find_volumes
from knee_i2m2.types import Progress, silent

__all__ = ["ARRAY", "IDEAL", "PrepareKnee", "boxes", "prepare_knee", "volume_index"]

_LOG = logging.getLogger(__name__)

ARRAY = "+".join(MODALITIES)
"""The array that both modalities share."""

IDEAL = "ideal.parquet"
"""The table of the ideal observer's log-likelihood ratios, beside a phantom's volumes and in prepared folders."""

BOXES = pa.list_(pa.struct([("label", pa.string()), *((side, pa.float32()) for side in ("x", "y", "width", "height"))]))
"""A slice's findings: label, and the box in pixels of the prepared array, x along its columns, y down its rows."""


@dataclass
class PrepareKnee:
    """Turns k-space into magnitude and phase, labels them and splits the patients.

    Attributes:
        annotations: fastMRI+'s knee.csv, the findings that radiologists marked, from
            github.com/microsoft/fastmri-plus (Annotations/knee.csv, beside it knee_file_list.csv).
        out: Folder to write.
        file_list: Reviewed volumes, without which a volume without a row is unknown; beside the CSV by default.
        unmatched_limit: The largest share of volumes, or of annotated names, that may find no match by name.
        unknown_patients: At volumes whose patient is unknown: refuse, or take each for one of its own (separate).
        split: By patient, fastMRI's own (official), or by volume as the original did (which leaks patients).
        abnormal: reference: any finding that is none of the other targets; any: any finding at all.
        seed: Of the split.
        normalise: Magnitudes in units of their volume's root mean square (volume), or as they are in the file (none).
        columns: Zero-fill k-space to so many columns, which changes the pixel size; wider volumes are left out.
        acceleration: Keep one column in so many, such as 4 or 8, as a faster scan would; 1 keeps all.
        mask: Which columns are kept: fastMRI's random (the default), equispaced or equispaced_fraction mask.
        center_fraction: Share of the columns, in the centre, that are all kept; .32 / acceleration by default.
        no_cache: Store no arrays; magnitude and phase are computed from k-space whenever they are needed.
        jobs: Processes; they do not change a byte.
        on_error: At a volume that cannot be used, stop, or quarantine it: go on without it and list it.
        quarantine_limit: The largest share of the volumes that may be quarantined.
    """

    annotations: Path
    out: Path
    file_list: Path | None = None
    unmatched_limit: float = LIMIT
    unknown_patients: UnknownPatients = "refuse"
    split: SplitKind = "patient"
    abnormal: Abnormal = "reference"
    seed: int = 0
    normalise: Literal["volume", "none"] = "volume"
    columns: int | None = None
    acceleration: int = 1
    mask: MaskKind | None = None
    center_fraction: float | None = None
    no_cache: bool = False
    jobs: int = 1
    on_error: OnError = "stop"
    quarantine_limit: float = 0.01


SETTINGS = [
    *("split", "abnormal", "seed", "normalise", "columns", "acceleration", "mask", "center_fraction", "no_cache"),
    "unknown_patients",
]
"""The options that the content depends on."""


def prepare_knee(fastmri: Path, /, config: PrepareKnee, progress: Progress = silent) -> dict[str, Any]:
    """Writes the prepared folder and returns its `data.json`; what is finished is not made again.

    Raises:
        ConfigError: An option does not fit, the folder was prepared otherwise, or another process is writing it.
        DataError: A volume, the annotations or the split are not usable.
    """
    settings = {name: getattr(config, name) for name in SETTINGS}
    transform, annotations = Transform.of(settings), read_annotations(config.annotations, config.file_list)
    paths = [path.absolute() for path in find_volumes(fastmri)]
    passed = unused_files(fastmri, (annotations.path, annotations.file_list, config.out))
    quarantine = Quarantine(fastmri, config.on_error, config.quarantine_limit, len(paths))
    matching = Matching.of(annotations, paths)
    matching.refuse(config.unmatched_limit)
    how = (config.unknown_patients, config.split, config.seed, config.columns, config.jobs)
    archive = survey(paths, matching, quarantine, *how, progress)
    archive = without_refused(archive, transform.refuse, quarantine)
    archive.refuse_empty(fastmri)
    transform.check(archive.volumes)
    earlier = known_before(config.out)
    known = without_quarantined(archive, earlier["quarantined"], quarantine, config.out)
    sources = known_hashes(config.out, known.volumes, earlier["volumes"], config.jobs, progress)
    labels = {path.name: sha256(path) for path in (annotations.path, annotations.file_list) if path is not None}
    data = {"task": "knee", "targets": list(TARGETS), "classes": 2, "settings": settings, "sources": sources | labels}
    if existing := finished(config.out, data, Computed.open):
        _refresh(config.out, known.volumes, earlier)
        return existing
    index = _index(archive.volumes, annotations, config)
    ideal = _ideal(fastmri / IDEAL, index)  # faults of labels or observer are reported before hours of work
    damaged = (config.out / "data.json").is_file()
    with locked(config.out):
        if damaged or not (config.out / "data.json").is_file():
            filling = _fill(archive, transform, config, quarantine, progress)
            archive = archive.without(quarantine.rows())
            archive.refuse_empty(fastmri)
            return _finish(filling, archive, passed, index, {**data, "sources": labels}, config, ideal)
    return prepare_knee(fastmri, config, progress)  # another process has finished it meanwhile


def volume_index(volume: Volume, annotations: Annotations | None, abnormal: Abnormal) -> pd.DataFrame:
    """Returns one row a slice: who, where, how acquired, and its labels (-1 where unknown)."""
    slices = np.arange(volume.slices)
    index = pd.DataFrame(
        {
            "sample": [f"{volume.name}:{i:03d}" for i in slices],
            "series": volume.name,
            "cluster": volume.patient or own_cluster(volume.name),
            "position": slices / max(volume.slices - 1, 1),
            "sequence": volume.sequence,
            "field_strength": "unknown" if volume.field_strength is None else f"{volume.field_strength:g}",
            "width": str(volume.columns),
            "slice": slices,
        }
    )
    unknown = np.full((volume.slices, len(TARGETS)), -1)
    labels = unknown if annotations is None else slice_labels(annotations, volume.name, volume.slices, abnormal)
    return index.assign(**dict(zip(TARGETS, labels.T, strict=True)))


def boxes(volume: Volume, annotations: Annotations, columns: int | None = None) -> list[list[dict[str, Any]]]:
    """Returns the findings of each slice, with boxes in pixels of the prepared array.

    Args:
        volume: The volume.
        annotations: The findings; their boxes lie in the image turned upside down.
        columns: What k-space was zero-filled to, which widens the image about its centre.
    """
    findings: list[list[dict[str, Any]]] = [[] for _ in range(volume.slices)]
    rows, centre = volume.matrix[0], volume.matrix[1] // 2
    wider = 1 if columns is None else columns / volume.columns
    for row in annotations.of(volume.name).itertuples():
        x, y = centre + wider * (row.x - centre), array_box(row.y, row.height, rows)
        box = {"label": row.label, "x": x, "y": y, "width": wider * row.width, "height": row.height}
        findings[row.slice].append({k: v if k == "label" else float(v) for k, v in box.items()})
    return findings


def _index(volumes: list[Volume], annotations: Annotations, config: PrepareKnee) -> pd.DataFrame:
    """Returns one row a slice of all volumes, with its boxes and its row in the array."""
    index = pd.concat([volume_index(v, annotations, config.abnormal) for v in volumes], ignore_index=True)
    findings = [slice_boxes for v in volumes for slice_boxes in boxes(v, annotations, config.columns)]
    return index.assign(row=np.arange(len(index)), boxes=findings)


def _schema(index: pd.DataFrame) -> pa.Schema:
    """Returns the types of the index's columns; those of boxes do not follow from slices without any."""
    plain = pa.Schema.from_pandas(index.drop(columns="boxes"), preserve_index=False)
    return plain.insert(index.columns.get_loc("boxes"), pa.field("boxes", BOXES))


def _refresh(out: Path, volumes: list[Volume], earlier: Mapping[str, Any]) -> None:
    """Notes where unchanged volumes lie now, and removes what a kill after the last step left."""
    with suppress(DataError):  # a folder that may only be read is finished all the same
        if {volume.name: volume for volume in volumes} != earlier["volumes"]:
            write_text(out / "volumes.json", volumes_text(volumes, earlier["quarantined"]))
        forget(out)


def _fill(
    archive: Archive, transform: Transform, config: PrepareKnee, quarantine: Quarantine, progress: Progress
) -> Filling:
    """Computes what is not yet finished of an archive, several volumes at a time; memory does not grow with them."""
    slices = [(volume.name, volume.slices) for volume in archive.volumes]
    shape = (sum(n for _, n in slices), len(MODALITIES), *archive.volumes[0].matrix)
    with writing(config.out):
        (config.out / "data.json").unlink(missing_ok=True)
        if config.no_cache:  # what a killed run with a cache had finished
            (config.out / f"{ARRAY}.npy").unlink(missing_ok=True)
    filling = Filling.open(config.out, [slices, asdict(transform)], None if config.no_cache else ARRAY, shape)
    if filling.discarded:
        _LOG.warning("volumes or options have changed since the interrupted run: starting anew")
    pending = []
    for volume, first in zip(archive.volumes, np.cumsum([0, *(n for _, n in slices)]).tolist(), strict=False):
        note = filling.done.get(volume.name, {})
        if note.get("stamp") != list(volume.stamp):
            pending.append((volume, first))
        elif "reason" in note:
            quarantine.add(volume.name, DataError(volume.path, note["reason"], note["hint"]))
    notes = in_parallel(partial(fill_rows, transform, filling.array), pending, config.jobs, lost=_lost)
    for done, ((volume, _), note) in enumerate(zip(pending, notes, strict=True), 1 + len(slices) - len(pending)):
        if "reason" in note:
            quarantine.add(volume.name, DataError(volume.path, note["reason"], note["hint"]))
        if note == _lost((volume, 0)):  # it may have been the machine's fault: a resumed run tries again
            filling.done[volume.name] = {"stamp": volume.stamp, **note}
        else:
            filling.note(volume.name, stamp=volume.stamp, **note)
        progress("k-space to magnitude and phase", done, len(slices))
    return filling


def _lost(item: tuple[Volume, int]) -> dict[str, Any]:
    error = killed(item[0].path)
    return {"reason": error.reason, "hint": error.hint}


def _finish(
    filling: Filling,
    archive: Archive,
    passed: list[tuple[str, str, str]],
    index: pd.DataFrame,
    data: Mapping[str, Any],
    config: PrepareKnee,
    ideal: pd.DataFrame | None,
) -> dict[str, Any]:
    """Writes everything but the array, gives that its name, and returns `data.json`."""
    split = archive.places
    notes = {volume.name: filling.done[volume.name] for volume in archive.volumes}
    index = index[index["series"].isin(notes)].reset_index(drop=True)
    index["split"] = index["series"].map(split)
    index["scale"] = index["series"].map({name: note["scale"] for name, note in notes.items()})
    hashes = {name: note["sha256"] for name, note in notes.items()}
    data = {**data, **_described(config, archive, index), "sources": {**hashes, **data["sources"]}}
    warnings = {name: note["warnings"] for name, note in notes.items()}
    data |= {"passed_over": dict(Counter(why for _, why, _ in passed)), "warnings": warning_counts(warnings)}
    data["beside"] += [IDEAL] * (ideal is not None)

    def last() -> None:
        write_split(config.out / "split.csv", split, {v.name: v.patient for v in archive.volumes}, hashes)
        write_left_out(config.out / "left_out.csv", [*archive.left_out, *passed])
        write_warnings(config.out / "warnings.csv", warnings)
        if ideal is not None:
            with whole(config.out / IDEAL) as temporary:
                ideal[ideal["sample"].isin(index["sample"])].to_parquet(temporary, index=False)
        set_aside = {name: note for name, note in filling.done.items() if "reason" in note}
        write_text(config.out / "volumes.json", volumes_text(archive.volumes, set_aside))
        filling.publish()

    finish_prepared(config.out, index, data, _schema(index), last)
    forget(config.out)
    return data


def _described(config: PrepareKnee, archive: Archive, index: pd.DataFrame) -> dict[str, Any]:
    """Returns what `data.json` says of the volumes and arrays."""
    matrix = list(archive.volumes[0].matrix)
    return {
        "matrix": matrix,
        "modalities": _modalities(matrix, config.normalise),
        "computed": ARRAY if config.no_cache else None,
        "volumes": len(archive.volumes),
        "simulated": sum(volume.simulated for volume in archive.volumes),
        "left_out": dict(Counter(why for _, why, _ in archive.left_out)),
        "class_clusters": class_clusters(index, TARGETS),
        "notes": list(archive.notes),
        "counts": sizes(index, {"samples": "sample", "series": "series", "clusters": "cluster"}, TARGETS),
        "beside": ["split.csv", "left_out.csv", "warnings.csv", "volumes.json"],
    }


def _modalities(matrix: list[int], normalise: str) -> dict[str, dict[str, Any]]:
    """Returns how each modality is stored."""
    unit = {"volume": "RMS of the volume", "none": "that of the file"}[normalise]
    stored = {"shape": [1, *matrix], "dtype": "float16", "array": ARRAY}
    return {
        "magnitude": {**stored, "channel": 0, "unit": unit, "scaled_by": None if normalise == "volume" else "scale"},
        "phase": {**stored, "channel": 1, "unit": "rad"},
    }


def _ideal(path: Path, index: pd.DataFrame) -> pd.DataFrame | None:
    """Returns the phantom's ideal observer, where there is one: one row a sample, one column a target."""
    if not path.is_file():
        return None
    with reading(path, "make the phantom again, or remove this file"):
        rows = pd.read_parquet(path, columns=["volume", "slice", "target", "log_likelihood_ratio"])
    rows["sample"] = rows["volume"] + rows["slice"].map(":{:03d}".format)
    wide = rows.pivot(index="sample", columns="target", values="log_likelihood_ratio")
    for sample in index.loc[~index["sample"].isin(wide.index), "sample"]:
        raise DataError(path, f"knows nothing of {sample}", "remove it, or keep other volumes out of the phantom")
    return wide.loc[index["sample"], list(TARGETS)].reset_index()
