"""The volumes of a folder: which are prepared, which are left out and why, and which have changed since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from knee_i2m2.data.left_out import check_limit, refuse_many, write_table
from knee_i2m2.data.parallel import counted, in_parallel
from knee_i2m2.data.prepared import read_data
from knee_i2m2.data.splits import SPLITS, SPLITTERS, SplitKind, unknown_patient
from knee_i2m2.errors import ConfigError, DataError
from knee_i2m2.files import sha256
from knee_i2m2.identity import Identities, identities, own_cluster, subgroup_spellings
from knee_i2m2.sources.fastmri.matching import Matching
from knee_i2m2.sources.fastmri.modalities import read_volumes
from knee_i2m2.sources.fastmri.volumes import Volume, volume_or_error, volume_table
from knee_i2m2.types import Progress

__all__ = [
    "Archive",
    "OnError",
    "Quarantine",
    "UnknownPatients",
    "killed",
    "known_before",
    "known_hashes",
    "recognised",
    "split_units",
    "survey",
    "warning_counts",
    "without_quarantined",
    "without_refused",
    "write_left_out",
    "write_warnings",
]

OnError = Literal["stop", "quarantine"]
"""At a volume that cannot be used: raise its error, or go on without it and list it."""

UnknownPatients = Literal["refuse", "separate"]
"""At volumes whose patient is unknown: raise an error that lists them, or take each for a patient of its own."""


@dataclass
class Quarantine:
    """The volumes that are set aside.

    Attributes:
        folder: Where the volumes are from.
        on_error: `stop` raises the first error; `quarantine` goes on while there are few.
        limit: The largest share of the volumes that may be set aside.
        volumes: How many there are in all.
        errors: Volume -> why it is set aside.
    """

    folder: Path
    on_error: OnError
    limit: float
    volumes: int
    errors: dict[str, DataError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_limit(self.limit)

    def add(self, name: str, error: DataError) -> None:
        """Sets a volume aside.

        Raises:
            DataError: The error itself, or that there are too many.
        """
        if self.on_error == "stop":
            raise error
        self.errors[name] = error
        first = next(f"{volume}: {error.reason}" for volume, error in self.errors.items())
        refuse_many(self.folder, len(self.errors), self.volumes, "volumes cannot be used", self.limit, first)

    def rows(self) -> list[tuple[str, str, str]]:
        """Returns name, `unusable` and reason of every volume that is set aside."""
        return [(name, "unusable", error.reason) for name, error in self.errors.items()]


@dataclass(frozen=True)
class Archive:
    """The volumes of a folder.

    Attributes:
        volumes: Those that can be prepared, in the order of their paths.
        split: Name -> split, of these and of some that are left out: a volume that is left out moves no other one.
        left_out: Name, why in a word, and the reason, of those that are not.
        notes: What was joined, may have to be, or does not match, in sentences.
    """

    volumes: list[Volume]
    split: Mapping[str, str]
    left_out: list[tuple[str, str, str]]
    notes: Sequence[str] = ()

    def without(self, rows: list[tuple[str, str, str]]) -> Archive:
        """Returns the archive with some more volumes left out."""
        gone = {name for name, _, _ in rows}
        more = [row for row in rows if row not in self.left_out]
        return replace(self, volumes=[v for v in self.volumes if v.name not in gone], left_out=[*self.left_out, *more])

    @property
    def places(self) -> dict[str, str]:
        """Name -> split, of those that can be prepared."""
        return {volume.name: self.split[volume.name] for volume in self.volumes}

    def refuse_empty(self, folder: Path) -> None:
        """Raises DataError where a split has no volume left."""
        for split in set(SPLITS) - set(self.places.values()):
            raise DataError(folder, f"of split {split} no volume can be used", "mend some, or choose another --seed")


def survey(
    paths: list[Path],
    matching: Matching,
    quarantine: Quarantine,
    unknown_patients: UnknownPatients,
    split: SplitKind,
    seed: int,
    columns: int | None,
    jobs: int,
    progress: Progress,
) -> Archive:
    """Returns the usable volumes and their split, from their headers alone.

    Args:
        paths: The files; headers of those that were not reviewed are not read.
        matching: Which volumes were reviewed.
        quarantine: Takes those that cannot be used.
        unknown_patients: What to do with volumes whose patient is unknown.
        split: The division; what is in none of its parts is left out.
        seed: Of the division.
        columns: Wider volumes are left out; None keeps all.
        jobs: Processes.
        progress: Called after every header.

    Raises:
        ConfigError: `columns` is less than the image has.
        DataError: No volume is left, a volume cannot be used, or the division cannot be made.
    """
    annotations = matching.annotations
    reviewed = [path for path in paths if annotations.knows(path.stem)]
    if not reviewed:
        raise DataError(quarantine.folder, "no volume here is in the annotations or their file list", "check them")
    left_out = [(p.stem, "unlabelled", annotations.why_unknown(p.stem)) for p in paths if p not in set(reviewed)]
    volumes, patients, notes = recognised(_read_headers(reviewed, quarantine, jobs, progress))
    if unknown_patients == "refuse":
        volumes = _of_patients(volumes, patients, quarantine)
    if not volumes:
        raise DataError(quarantine.folder, "none of its volumes can be used", "mend them, or give another folder")
    places = SPLITTERS[split](split_units(volumes), seed=seed)
    archive = Archive(volumes, places, left_out, [*matching.sentences, *notes]).without(quarantine.rows())
    outside = [v.name for v in volumes if v.name not in archive.split]
    archive = archive.without([(name, "in no split", f"belongs to no part of --split {split}") for name in outside])
    archive = _alike(archive, quarantine)
    archive = archive.without(_wider(archive.volumes, columns))
    archive.refuse_empty(quarantine.folder)
    return archive


def _read_headers(paths: list[Path], quarantine: Quarantine, jobs: int, progress: Progress) -> list[Volume]:
    volumes: list[Volume] = []
    headers = counted("headers", in_parallel(volume_or_error, paths, jobs, lost=killed), len(paths), progress)
    for path, header in zip(paths, headers, strict=True):
        if isinstance(header, Volume):
            volumes.append(header)
        else:
            quarantine.add(path.stem, header)
    return volumes


def recognised(volumes: Sequence[Volume]) -> tuple[list[Volume], Identities, list[str]]:
    """Returns volumes with patients and sequences as all of them show, whose they are, and what there is to say."""
    patients = identities({volume.name: volume.patient_id for volume in volumes})
    acquisitions = replace(identities({volume.name: volume.sequence for volume in volumes}), crowded={})
    sequences = subgroup_spellings(volume.sequence for volume in volumes)
    known = [replace(v, patient=patients.of[v.name], sequence=sequences[v.sequence]) for v in volumes]
    return known, patients, [*patients.sentences(), *acquisitions.sentences("acquisition")]


def split_units(volumes: Sequence[Volume]) -> pd.DataFrame:
    """Returns the table of volumes where each that is of an unknown patient is of one of its own."""
    table = volume_table(volumes)
    return table.assign(patient=table["patient"].where(table["patient"].notna(), table["name"].map(own_cluster)))


def _of_patients(volumes: list[Volume], patients: Identities, quarantine: Quarantine) -> list[Volume]:
    """Returns the volumes whose patient is known; of others nobody knows whether they are in two splits."""
    if patients.unknown and quarantine.on_error == "stop":
        reason = f"{len(patients.unknown)} of {len(volumes)} volumes have no known patient_id: {patients.reasons}"
        hint = "--unknown-patients separate takes each of them for a patient of its own"
        raise DataError(quarantine.folder, reason, f"write the ids of their patients into the files; {hint}")
    for volume in volumes:
        if volume.patient is None:
            quarantine.add(volume.name, unknown_patient(volume.path, volume.patient_id))
    return [volume for volume in volumes if volume.patient is not None]


def _alike(archive: Archive, quarantine: Quarantine) -> Archive:
    """Returns the archive without volumes whose image is of another size than most."""
    (usual, _), *others = Counter(volume.matrix for volume in archive.volumes).most_common()
    for volume in archive.volumes if others else ():
        if volume.matrix != usual:
            reason = f"its image has a matrix of {volume.matrix} while most have {usual}"
            quarantine.add(volume.name, DataError(volume.path, reason, "prepare them in separate folders"))
    return archive.without(quarantine.rows())


def without_refused(archive: Archive, refuse: Callable[[Volume], None], quarantine: Quarantine) -> Archive:
    """Returns the archive without the volumes for which `refuse` raises a DataError."""
    for volume in archive.volumes:
        try:
            refuse(volume)
        except DataError as error:
            quarantine.add(volume.name, error)
    return archive.without(quarantine.rows())


def killed(path: Path) -> DataError:
    """Returns the error of a file whose reading killed the process."""
    return DataError(path, "reading it killed the process", "it is damaged, or memory ran out: use fewer --jobs")


def _wider(volumes: list[Volume], columns: int | None) -> list[tuple[str, str, str]]:
    """Returns the volumes that are wider than what k-space is filled up to."""
    if columns is None:
        return []
    if columns < volumes[0].matrix[1]:
        raise ConfigError(f"--columns {columns}: the image has {volumes[0].matrix[1]}; give at least as many")
    wide = [volume for volume in volumes if volume.columns > columns]
    return [(v.name, "too wide", f"k-space has {v.columns} columns, more than {columns}") for v in wide]


def known_before(out: Path) -> dict[str, dict[str, Any]]:
    """Returns what `volumes.json` of a finished preparation says; nothing where there is none that can be read."""
    try:
        return read_volumes(out) if (out / "data.json").is_file() else {"volumes": {}, "quarantined": {}}
    except DataError:
        return {"volumes": {}, "quarantined": {}}


def without_quarantined(
    archive: Archive, quarantined: Mapping[str, Mapping[str, Any]], quarantine: Quarantine, out: Path
) -> Archive:
    """Returns the archive without what was set aside when `out` was prepared and has not changed since.

    Raises:
        ConfigError: A volume has changed since.
        DataError: What was set aside then is too much now.
    """
    for volume in archive.volumes:
        about = quarantined.get(volume.name)
        if about and tuple(about["stamp"]) != volume.stamp:
            hint = "choose another --out, or remove that folder to prepare it with this volume"
            raise ConfigError(f"{out}: was prepared without {volume.name}, which has changed since; {hint}")
        if about:
            quarantine.add(volume.name, DataError(volume.path, about["reason"], about["hint"]))
    return archive.without(quarantine.rows())


def known_hashes(
    out: Path, volumes: list[Volume], earlier: Mapping[str, Volume], jobs: int, progress: Progress
) -> dict[str, str]:
    """Returns the SHA-256 of a finished folder's volumes: the known one where neither size nor time has changed."""
    if not (out / "data.json").is_file() or (out / "config.yaml").exists():
        return {}
    known = read_data(out).get("sources", {})
    same = {v.name for v in volumes if v.name in known and v.name in earlier and earlier[v.name].stamp == v.stamp}
    changed = {volume.name: volume.path for volume in volumes if volume.name not in same}
    digests = in_parallel(sha256, changed.values(), jobs)
    digests = counted("hashes of changed files", digests, len(changed), progress) if changed else ()
    return {**{name: known[name] for name in same}, **dict(zip(changed, digests, strict=True))}


def write_left_out(path: Path, rows: list[tuple[str, str, str]]) -> None:
    """Writes `volume,why,reason`, one volume or other file a line, sorted."""
    write_table(path, pd.DataFrame(sorted(rows), columns=["volume", "why", "reason"]))


def warning_counts(warnings: Mapping[str, Mapping[str, str]]) -> dict[str, int]:
    """Returns how many volumes have a warning of each kind."""
    return dict(sorted(Counter(kind for kinds in warnings.values() for kind in kinds).items()))


def write_warnings(path: Path, warnings: Mapping[str, Mapping[str, str]]) -> None:
    """Writes `volume,what,reason`, one warning of a volume a line, sorted."""
    rows = [(name, kind, reason) for name, kinds in sorted(warnings.items()) for kind, reason in sorted(kinds.items())]
    write_table(path, pd.DataFrame(rows, columns=["volume", "what", "reason"]))
