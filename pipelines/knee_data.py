"""fastMRI folder and fastMRI+ labels -> prepared magnitude and phase.

Command::

    knee-i2m2 prepare knee FASTMRI --annotations knee.csv --out DATA
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from knee_i2m2.errors import DataError
from knee_i2m2.files import sha256, whole
from knee_i2m2.modalities.kspace import reconstruct
from knee_i2m2.modalities.magnitude_phase import magnitude, phase
from knee_i2m2.pipelines.recipe import SPLITS, progress
from knee_i2m2.sources.annotations import TARGETS, Abnormal, Annotations, read_annotations, slice_labels
from knee_i2m2.sources.fastmri import Volume, find_volumes, read_kspace, read_volume, volume_table
from knee_i2m2.sources.prepared import finished, write_prepared
from knee_i2m2.sources.splits import SPLITTERS, SplitKind, leaks, write_split

__all__ = ["IDEAL", "PrepareKnee", "modalities_of_volume", "prepare", "volume_index"]


IDEAL = "ideal.parquet"
"""The table of the ideal observer's log-likelihood ratios, beside a phantom's volumes and in prepared folders."""


@dataclass
class PrepareKnee:
    """Turns k-space into magnitude and phase, labels them and splits the patients.

    Attributes:
        annotations: fastMRI+'s knee.csv.
        out: Folder to write.
        file_list: Reviewed volumes, without which a volume without a row is unknown; beside the CSV by default.
        split: By patient, fastMRI's own (official), or by volume as the original did (which leaks patients).
        abnormal: reference: any finding that is none of the other targets; any: any finding at all.
        seed: Of the split.
    """

    annotations: Path
    out: Path
    file_list: Path | None = None
    split: SplitKind = "patient"
    abnormal: Abnormal = "reference"
    seed: int = 0


def prepare(fastmri: Path, /, config: PrepareKnee) -> dict[str, Any]:
    """Writes the prepared folder and returns its `data.json`; what is finished is not made again.

    Raises:
        ConfigError: The folder was prepared otherwise.
        DataError: A volume, the annotations or the split are not usable.
    """
    annotations = read_annotations(config.annotations, config.file_list)
    volumes = [read_volume(path) for path in find_volumes(fastmri)]
    known = [volume for volume in volumes if annotations.knows(volume.name)]
    _refuse_unlike(known, fastmri)
    hashes = {volume.name: sha256(volume.path) for volume in known}
    split = SPLITTERS[config.split](volume_table(known), seed=config.seed)
    kept = [volume for volume in known if volume.name in split]
    data = _describe(config, annotations, volumes, kept, split, hashes)
    if found := finished(config.out, data):
        return found
    index = pd.concat([volume_index(v, annotations, config.abnormal, split[v.name]) for v in kept], ignore_index=True)
    data["counts"] = counts(index)
    ideal = _ideal(fastmri / IDEAL, index)
    data["beside"] = ["split.csv"] + [IDEAL] * (ideal is not None)

    def beside() -> None:
        write_split(config.out / "split.csv", split, {v.name: v.patient for v in kept}, hashes)
        if ideal is not None:
            with whole(config.out / IDEAL) as temporary:
                ideal.to_parquet(temporary, index=False)

    write_prepared(config.out, index, _parts(kept), data, beside)
    return data


def modalities_of_volume(volume: Volume) -> dict[str, torch.Tensor]:
    """Returns magnitude (units of the volume's RMS) and phase (rad), each of shape (slices, 1, rows, columns)."""
    image = reconstruct(torch.from_numpy(read_kspace(volume)), volume.matrix)
    return {"magnitude": magnitude(image), "phase": phase(image)}


def volume_index(volume: Volume, annotations: Annotations | None, abnormal: Abnormal, split: str) -> pd.DataFrame:
    """Returns one row a slice: who, where, how acquired, and its labels (-1 where unknown)."""
    slices = np.arange(volume.slices)
    index = pd.DataFrame(
        {
            "sample": [f"{volume.name}:{i:03d}" for i in slices],
            "series": volume.name,
            "cluster": volume.patient or volume.name,
            "position": slices / max(volume.slices - 1, 1),
            "sequence": volume.sequence,
            "field_strength": "unknown" if volume.field_strength is None else f"{volume.field_strength:g}",
            "width": str(volume.columns),
            "slice": slices,
            "split": split,
        }
    )
    unknown = np.full((volume.slices, len(TARGETS)), -1)
    labels = unknown if annotations is None else slice_labels(annotations, volume.name, volume.slices, abnormal)
    return index.assign(**dict(zip(TARGETS, labels.T, strict=True)))


def counts(index: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Returns per split the samples, series, clusters and positive slices of each target."""
    return {
        split: {
            "samples": len(rows),
            "series": int(rows["series"].nunique()),
            "clusters": int(rows["cluster"].nunique()),
            "positives": {target: int((rows[target] == 1).sum()) for target in TARGETS},
        }
        for split in SPLITS
        for rows in [index[index["split"] == split]]
    }


def _modalities(matrix: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """Returns how each modality is stored."""
    units = {"magnitude": "RMS of the volume", "phase": "rad"}
    return {name: {"shape": [1, *matrix], "dtype": "float16", "scale": 1.0, "unit": u} for name, u in units.items()}


def _parts(volumes: Sequence[Volume]) -> Iterator[dict[str, np.ndarray]]:
    """Yields the modalities of one volume after the other: memory does not grow with their number."""
    with progress() as bar:
        for volume in bar.track(volumes, description="k-space to magnitude and phase"):
            yield {name: values.numpy() for name, values in modalities_of_volume(volume).items()}


def _describe(config: PrepareKnee, annotations: Annotations, volumes, kept, split, hashes) -> dict[str, Any]:
    """Returns `data.json` but for its counts."""
    settings = {"split": config.split, "abnormal": config.abnormal, "seed": config.seed}
    crossing = leaks(split, {volume.name: volume.patient for volume in kept})
    return {
        "task": "knee",
        "targets": list(TARGETS),
        "classes": 2,
        "settings": settings,
        "matrix": list(kept[0].matrix),
        "modalities": _modalities(kept[0].matrix),
        "volumes": len(kept),
        "volumes_without_labels": len(volumes) - len(kept),
        "annotated_volumes_absent": len(set(annotations.annotated) - {volume.name for volume in volumes}),
        "patients_in_more_than_one_split": len(crossing),
        "sources": {**hashes, config.annotations.name: sha256(annotations.path)},
    }


def _refuse_unlike(volumes: Sequence[Volume], folder: Path) -> None:
    """Raises DataError where there is no labelled volume, or two have images of different sizes."""
    if not volumes:
        raise DataError(folder, "no volume here is in the annotations or their file list", "check --annotations")
    for volume in volumes:
        if volume.matrix != volumes[0].matrix:
            sizes = f"{volume.matrix} while {volumes[0].path.name} has {volumes[0].matrix}"
            raise DataError(volume.path, f"its image has a matrix of {sizes}", "prepare them in separate folders")


def _ideal(path: Path, index: pd.DataFrame) -> pd.DataFrame | None:
    """Returns the phantom's ideal observer, where there is one: one row a sample, one column a target."""
    if not path.is_file():
        return None
    try:
        rows = pd.read_parquet(path, columns=["volume", "slice", "target", "log_likelihood_ratio"])
    except (OSError, ValueError) as error:
        raise DataError(path, f"cannot be read ({error})", "make the phantom again, or remove this file") from error
    rows["sample"] = rows["volume"] + rows["slice"].map(":{:03d}".format)
    wide = rows.pivot(index="sample", columns="target", values="log_likelihood_ratio")
    for sample in index.loc[~index["sample"].isin(wide.index), "sample"]:
        raise DataError(path, f"knows nothing of {sample}", "remove it, or keep other volumes out of the phantom")
    return wide.loc[index["sample"], list(TARGETS)].reset_index()
