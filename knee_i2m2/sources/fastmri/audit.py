"""Audit of a folder of volumes and its annotations, before anything is trained on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from knee_i2m2.data.classes import class_clusters, class_sentences
from knee_i2m2.data.splits import SPLITS, SPLITTERS, SplitKind, leaked_share, leaks
from knee_i2m2.errors import DataError
from knee_i2m2.sources.fastmri.annotations import TARGETS, Abnormal, Annotations, read_annotations, slice_labels
from knee_i2m2.sources.fastmri.archive import UnknownPatients, recognised, split_units, warning_counts
from knee_i2m2.sources.fastmri.folder import unused_files
from knee_i2m2.sources.fastmri.matching import LIMIT, Matching
from knee_i2m2.sources.fastmri.stored_images import with_image_warnings
from knee_i2m2.sources.fastmri.volumes import Volume, find_volumes, read_volume, volume_table

__all__ = ["audit", "describe"]

_FIRST = 10


def audit(
    fastmri: Path,
    /,
    *,
    annotations: Path,
    file_list: Path | None = None,
    unknown_patients: UnknownPatients = "refuse",
    abnormal: Abnormal = "reference",
    split: SplitKind = "patient",
    seed: int = 0,
    deep: bool = False,
) -> dict[str, Any]:
    """Say what a fastMRI folder holds: volumes, patients, widths, labels, leaks, unreadable files.

    Labels are counted over the volumes that are there, and divisions made of those that were reviewed. A file that
    cannot be read, or that a finding does not fit, is listed with the reason and counted nowhere else.

    Args:
        fastmri: Folder with .h5 files, or with singlecoil_train and singlecoil_val.
        annotations: fastMRI+'s knee.csv.
        file_list: Reviewed volumes; beside the CSV by default.
        unknown_patients: Volumes whose patient is unknown refuse to be divided, or are of one each (separate).
        abnormal: reference: any finding that is none of the other targets; any: any finding at all.
        split: The division whose leaks are looked for first.
        seed: Of the split.
        deep: Compare a slice of every volume with its stored images too, and these with the attributes max and norm.

    Returns:
        Counts and oddities, ready for JSON.

    Raises:
        DataError: There are no volumes at all, or the annotations cannot be read.
    """
    paths = find_volumes(fastmri)
    findings = read_annotations(annotations, file_list)
    passed = unused_files(fastmri, (findings.path, findings.file_list))
    matching = Matching.of(findings, paths)
    read, labels, unreadable = _read(paths, findings, abnormal, deep)
    volumes, patients, notes = recognised(read)
    table = volume_table(volumes)
    divided = split_units(volumes) if unknown_patients == "separate" else table
    highest = {volume.name: labels[volume.name].max(axis=0, initial=-1) for volume in volumes}
    divided = divided.assign(**{t: [highest[name][i] for name in divided["name"]] for i, t in enumerate(TARGETS)})
    known = divided[divided["name"].map(findings.knows).astype(bool)]
    return {
        "folder": str(fastmri),
        "annotations": str(annotations),
        "abnormal": abnormal,
        **_sizes(volumes, table),
        "labels": _label_counts(labels, table),
        **_oddities(matching, table),
        "split": _division(split, known, seed),
        "patients_crossing": {kind: _crossing(kind, known, seed) for kind in SPLITTERS},
        "notes": [*matching.sentences, *_refusals(matching), *notes],
        "patient_ids": patients.written(),
        "unreadable": unreadable,
        "warnings": _warnings(volumes),
        "passed_over": [row._asdict() for row in passed],
    }


def describe(audit: Mapping[str, Any]) -> str:
    """Returns an audit as a page of plain text."""
    blocks = [_describe_volumes(audit), _describe_labels(audit), _describe_splits(audit), _describe_oddities(audit)]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _read(
    paths: Sequence[Path], annotations: Annotations, abnormal: Abnormal, deep: bool
) -> tuple[list[Volume], dict[str, np.ndarray], list[dict[str, str]]]:
    """Returns the volumes, their labels by name, and the files that cannot be used, with reasons."""
    volumes, labels, unreadable = [], {}, []
    for path in paths:
        try:
            volume = with_image_warnings(read_volume(path)) if deep else read_volume(path)
            labels[volume.name] = slice_labels(annotations, volume.name, volume.slices, abnormal)
            volumes.append(volume)
        except DataError as error:
            unreadable.append({"file": path.name, "reason": error.reason})
    return volumes, labels, unreadable


def _sizes(volumes: Sequence[Volume], table: pd.DataFrame) -> dict[str, Any]:
    slices = [volume.slices for volume in volumes]
    return {
        "volumes": len(volumes),
        "patients": int(table["patient"].nunique()),
        "volumes_without_patient": int(table["patient"].isna().sum()),
        "slices": sum(slices),
        "slices_per_volume": {
            "min": min(slices, default=0),
            "median": float(np.median(slices)) if slices else 0.0,
            "max": max(slices, default=0),
        },
        "parts": _counted(table["part"].replace("", "none")),
        "widths": _counted(volume.columns for volume in volumes),
        "matrices": _counted(f"{volume.matrix[0]}x{volume.matrix[1]}" for volume in volumes),
        "sequences": _counted(volume.sequence for volume in volumes),
        "field_strengths": _counted(volume.field_strength or "unknown" for volume in volumes),
        "undersampled": sum(volume.undersampled for volume in volumes),
        "accelerations": _counted(f"{volume.acceleration:g}" for volume in volumes),
    }


def _warnings(volumes: Sequence[Volume]) -> dict[str, dict[str, Any]]:
    """Returns, for each kind of warning, how many volumes have it, and the sentences of the first of them."""
    warnings = {volume.name: volume.warnings for volume in volumes}
    return {
        kind: _listed(f"{name}: {kinds[kind]}" for name, kinds in warnings.items() if kind in kinds)
        for kind in warning_counts(warnings)
    }


def _oddities(matching: Matching, table: pd.DataFrame) -> dict[str, Any]:
    annotations = matching.annotations
    return {
        "unknown": _listed(name for name in table["name"] if not annotations.knows(name)),
        "absent": _listed(annotations.annotated & set(matching.absent)),
        "unlisted": _listed(annotations.unlisted),
        "quirks": annotations.quirks,
    }


def _refusals(matching: Matching) -> list[str]:
    try:
        matching.refuse(LIMIT)
    except DataError as error:
        return [f"prepare stops here: {error}"]
    return []


def _counted(values: Iterable[Any]) -> dict[str, int]:
    return {str(value): times for value, times in sorted(Counter(values).items(), key=lambda item: str(item[0]))}


def _listed(names: Iterable[str]) -> dict[str, Any]:
    names = sorted(names)
    return {"volumes": len(names), "first": names[:_FIRST]}


def _label_counts(labels: Mapping[str, np.ndarray], table: pd.DataFrame) -> dict[str, dict[str, int]]:
    patients = dict(zip(table["name"], table["patient"], strict=True))
    counts = {}
    for column, target in enumerate(TARGETS):
        positives = {name: int((values[:, column] == 1).sum()) for name, values in labels.items()}
        names = [name for name, slices in positives.items() if slices]
        known = {patients[name] for name in names if not pd.isna(patients[name])}
        counts[target] = {"slices": sum(positives.values()), "volumes": len(names), "patients": len(known)}
    return counts


def _division(kind: str, table: pd.DataFrame, seed: int) -> dict[str, Any]:
    """Returns the sizes of a division, or why it cannot be made."""
    try:
        places = table["name"].map(SPLITTERS[kind](table, seed=seed))
    except DataError as error:
        return {"kind": kind, "seed": seed, "reason": str(error)}
    sizes = {
        place: {
            "volumes": int((places == place).sum()),
            "patients": int(table.loc[places == place, "patient"].nunique()),
        }
        for place in SPLITS
    }
    placed = table.assign(split=places, cluster=table["patient"].fillna(table["name"]))
    return {"kind": kind, "seed": seed, **sizes, "class_clusters": class_clusters(placed, TARGETS)}


def _crossing(kind: str, table: pd.DataFrame, seed: int) -> dict[str, Any]:
    """Returns how many patients a division puts into several parts, or why it cannot be made."""
    try:
        split = SPLITTERS[kind](table, seed=seed)
    except DataError as error:
        return {"reason": str(error)}
    patients = {name: patient for name, patient in zip(table["name"], table["patient"], strict=True) if patient}
    return {"patients": len(leaks(split, patients)), "test_volumes_percent": 100 * leaked_share(split, patients)}


def _describe_volumes(audit: Mapping[str, Any]) -> list[str]:
    each = audit["slices_per_volume"]
    kinds = {"k-space columns": "widths", "image matrix": "matrices", "sequence": "sequences"}
    kinds |= {"field strength (T)": "field_strengths", "fastMRI's part": "parts"}
    return [
        f"{audit['volumes']} volumes of {audit['patients']} patients in {audit['folder']}",
        f"{audit['slices']} slices, {each['min']} to {each['max']} a volume, median {each['median']:g}",
        *(f"{title}: " + ", ".join(f"{k} ({n})" for k, n in audit[key].items()) for title, key in kinds.items()),
        f"undersampled: {audit['undersampled']} volumes; acceleration (volumes): "
        + ", ".join(f"{k} ({n})" for k, n in audit["accelerations"].items()),
    ]


def _describe_labels(audit: Mapping[str, Any]) -> list[str]:
    meaning = {"reference": "a finding of none of the other targets", "any": "any finding"}[audit["abnormal"]]
    rows = [f"{t:<12}{c['slices']:>10}{c['volumes']:>10}{c['patients']:>10}" for t, c in audit["labels"].items()]
    return [f"{'positive':<12}{'slices':>10}{'volumes':>10}{'patients':>10}", *rows, f"abnormal means {meaning}"]


def _describe_splits(audit: Mapping[str, Any]) -> list[str]:
    split = audit["split"]
    sizes = ", ".join(
        f"{part} {split[part]['volumes']} ({split[part]['patients']})" for part in SPLITS if part in split
    )
    lines = [f"split by {split['kind']}, volumes (patients): " + (sizes or f"cannot be made: {split['reason']}")]
    lines += class_sentences(split.get("class_clusters", {}))
    for kind, crossing in audit["patients_crossing"].items():
        text = f"{crossing['patients']} patients" if "patients" in crossing else f"cannot be made: {crossing['reason']}"
        if crossing.get("patients"):
            text += f"; {crossing['test_volumes_percent']:.0f} % of test volumes have their patient in train"
        lines.append(f"patients in several parts, split by {kind}: {text}")
    return lines


def _describe_oddities(audit: Mapping[str, Any]) -> list[str]:
    listed = {"volumes that were not reviewed": "unknown", "annotated volumes that are not there": "absent"}
    listed |= {"annotated names that the file list lacks": "unlisted"}
    lines = [f"{title}: {audit[key]['volumes']}{_some(audit[key])}" for title, key in listed.items()]
    lines.append(f"volumes without patient_id: {audit['volumes_without_patient']}")
    lines.append("oddities of the CSV: " + ", ".join(f"{k.replace('_', ' ')} {n}" for k, n in audit["quirks"].items()))
    lines += audit["notes"]
    lines.append(f"files that cannot be used: {len(audit['unreadable'])}")
    lines += [f"  {entry['file']}: {entry['reason']}" for entry in audit["unreadable"]]
    for kind, listed in audit["warnings"].items():
        lines += [f"warning: {kind}: {listed['volumes']} volumes", *(f"  {sentence}" for sentence in listed["first"])]
    lines.append(f"other files and folders, which are passed over: {len(audit['passed_over'])}")
    return lines + [f"  {entry['file']} ({entry['why']}): {entry['reason']}" for entry in audit["passed_over"]]


def _some(listed: Mapping[str, Any]) -> str:
    names = ", ".join(listed["first"])
    more = ", ..." if listed["volumes"] > len(listed["first"]) else ""
    return f" ({names}{more})" if names else ""
