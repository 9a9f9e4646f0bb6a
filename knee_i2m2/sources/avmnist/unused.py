"""Which files of AV-MNIST's three inputs are not used, and why."""

from __future__ import annotations

from pathlib import Path

from knee_i2m2.data.left_out import PassedOver, files_in, passed_over, refuse_many
from knee_i2m2.sources.avmnist.digits import is_digits, mnist_files
from knee_i2m2.sources.avmnist.sounds import is_recording, noise_files, zip_entries

__all__ = ["unused_files"]

_NO_RECORDING = "no recording"
_SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aif", ".aiff")


def unused_files(mnist: Path, fsdd: Path, noise: Path, limit: float) -> list[PassedOver]:
    """Returns every file of the inputs that none of them uses; inputs may lie in one another.

    Args:
        mnist: Folder of IDX files.
        fsdd: Folder or zip of recordings.
        noise: Folder of sounds.
        limit: The largest share of the sounds in `fsdd` that may be named as no recording.

    Raises:
        DataError: More of them are.
    """
    spoken = files_in(fsdd) if fsdd.is_dir() else []
    recordings = [path for path in spoken if is_recording(path.name)]
    used = {path.resolve() for path in (*mnist_files(mnist).values(), *noise_files(noise), *recordings)}
    rows: dict[Path, PassedOver] = {}
    for folder, reason in ((fsdd, _no_recording), (noise, _no_sound), (mnist, _no_digits)):
        unused = [path for path in files_in(folder) if path.resolve() not in used] if folder.is_dir() else []
        named = passed_over([f"{folder.name}/{path.relative_to(folder).as_posix()}" for path in unused], reason)
        rows = {**dict(zip((path.resolve() for path in unused), named, strict=True)), **rows}
    zipped = [] if fsdd.is_dir() else zip_entries(fsdd)
    entries = passed_over([f"{fsdd.name}/{name}" for name in zipped if not is_recording(name)], _no_recording)
    listed = [*rows.values(), *entries]
    strange = [row.file for row in listed if row.why == _NO_RECORDING]
    total = len(strange) + len(recordings) + sum(map(is_recording, zipped))
    fault = "sounds are named as no recording, digit_speaker_index.wav"
    refuse_many(fsdd, len(strange), total, fault, limit, strange[0] if strange else "")
    return listed


def _no_recording(name: str) -> tuple[str, str]:
    if name.lower().endswith(_SOUNDS):
        return _NO_RECORDING, "its name is not of the form digit_speaker_index.wav"
    return "no sound", "it is no WAV file"


def _no_sound(name: str) -> tuple[str, str]:
    return "no sound", "it is no WAV file"


def _no_digits(name: str) -> tuple[str, str]:
    if is_digits(name):
        return "copy", "it holds the same as a file of this name that is used"
    return "no IDX file", "its name is that of none of MNIST's four IDX files"
