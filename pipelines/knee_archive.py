"""The volumes of a folder: which are prepared, which are left out and why, and which have changed since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.files import sha256
from knee_i2m2.pipelines.progress import progress
from knee_i2m2.pipelines.quarantine import Quarantine
from knee_i2m2.sources.annotations import Annotations
from knee_i2m2.sources.fastmri import Volume, volume_or_error, volume_table
from knee_i2m2.sources.knee_modalities import read_volumes
from knee_i2m2.sources.parallel import in_parallel
from knee_i2m2.sources.prepared import read_data
from knee_i2m2.sources.splits import SPLITTERS, SplitKind

__all__ = ["Archive", "killed", "known_before", "known_hashes", "quarantined_before", "survey"]


@dataclass(frozen=True)
class Archive:
    """The volumes of a folder.

    Attributes:
        volumes: Those that can be prepared, in the order of their names.
        left_out: Name, why in a word, and the reason, of those that are not.
    """

    volumes: list[Volume]
    left_out: list[tuple[str, str, str]]

    def without(self, rows: list[tuple[str, str, str]]) -> Archive:
        """Returns the archive with some more volumes left out."""
        gone = {name for name, _, _ in rows}
        more = [row for row in rows if row not in self.left_out]
        return Archive([v for v in self.volumes if v.name not in gone], [*self.left_out, *more])


def survey(
    paths: list[Path],
    annotations: Annotations,
    quarantine: Quarantine,
    split: SplitKind,
    seed: int,
    columns: int | None,
    jobs: int,
) -> Archive:
    """Returns which volumes there are, from their headers alone; it is made sure that they can be split.

    Args:
        paths: The files; of those that nobody reviewed not even the header is read.
        annotations: Which volumes somebody reviewed.
        quarantine: Takes those that cannot be used.
        split: The division; what is in none of its parts is left out.
        seed: Of the division.
        columns: Wider volumes are left out; None keeps all.
        jobs: Processes.

    Raises:
        ConfigError: `columns` is less than the image has.
        DataError: No volume is left, a volume cannot be used, or the division cannot be made.
    """
    reviewed = [path for path in paths if annotations.knows(path.stem)]
    left_out = [(p.stem, "unlabelled", "nobody reviewed it") for p in paths if not annotations.knows(p.stem)]
    volumes = _look_at(reviewed, quarantine, jobs)
    if not volumes:
        raise DataError(quarantine.folder, "no volume here is in the annotations or their file list", "check them")
    archive = Archive(volumes, left_out).without(quarantine.rows()).without(_wider(volumes, columns))
    if not archive.volumes:
        raise DataError(quarantine.folder, f"every volume is wider than --columns {columns}", "give more")
    inside = SPLITTERS[split](volume_table(archive.volumes), seed=seed)
    outside = [v.name for v in archive.volumes if v.name not in inside]
    return archive.without([(name, "in no split", f"belongs to no part of --split {split}") for name in outside])


def _look_at(paths: list[Path], quarantine: Quarantine, jobs: int) -> list[Volume]:
    volumes: list[Volume] = []
    with progress() as bar:
        looks = in_parallel(volume_or_error, paths, jobs, lost=killed)
        for found in bar.track(looks, len(paths), description="headers"):
            if isinstance(found, Volume) and volumes and found.matrix != volumes[0].matrix:
                found = _unlike(found, volumes[0])
            if isinstance(found, Volume):
                volumes.append(found)
            else:
                quarantine.add(found)
    return volumes


def killed(path: Path) -> DataError:
    """Returns what is said of a file whose reading killed the process."""
    return DataError(path, "reading it killed the process", "it is damaged, or memory ran out: use fewer --jobs")


def _unlike(volume: Volume, first: Volume) -> DataError:
    sizes = f"{volume.matrix} while {first.path.name} has {first.matrix}"
    return DataError(volume.path, f"its image has a matrix of {sizes}", "prepare them in separate folders")


def _wider(volumes: list[Volume], columns: int | None) -> list[tuple[str, str, str]]:
    """Returns the volumes that are wider than what k-space is filled up to."""
    if columns is None:
        return []
    if columns < volumes[0].matrix[1]:
        raise ConfigError(f"--columns {columns}: the image has {volumes[0].matrix[1]}; give at least as many")
    wide = [volume for volume in volumes if volume.columns > columns]
    return [(v.name, "too wide", f"k-space has {v.columns} columns, more than {columns}") for v in wide]


def known_before(out: Path) -> dict[str, dict[str, Any]]:
    """Returns what `volumes.json` of an earlier preparation says; nothing where there is none that can be read."""
    try:
        return read_volumes(out)
    except DataError:
        return {"volumes": {}, "quarantined": {}}


def quarantined_before(archive: Archive, quarantined: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Returns the volumes that were set aside and have not changed since."""
    stamps = {name: tuple(about["stamp"]) for name, about in quarantined.items()}
    same = [v.name for v in archive.volumes if stamps.get(v.name) == v.stamp]
    return [(name, "unreadable", quarantined[name]["reason"]) for name in same]


def known_hashes(out: Path, volumes: list[Volume], earlier: Mapping[str, Volume]) -> dict[str, str]:
    """Returns the SHA-256 of a finished folder's volumes: the known one where neither size nor time has changed."""
    if not (out / "data.json").is_file() or (out / "config.yaml").exists():
        return {}
    known = read_data(out).get("sources", {})
    same = {v.name for v in volumes if v.name in known and v.name in earlier and earlier[v.name].stamp == v.stamp}
    return {v.name: known[v.name] if v.name in same else sha256(v.path) for v in volumes}
