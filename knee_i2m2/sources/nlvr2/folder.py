"""The files of a source of pictures and sentences, by canonical name; what no example needs is listed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from knee_i2m2.data.left_out import PassedOver, files_in, passed_over
from knee_i2m2.errors import DataError
from knee_i2m2.sources.nlvr2.pictures import FilePicture, Picture, ZipPicture, zip_entries

__all__ = ["SourceFolder"]

_PICTURES = (".png", ".jpg", ".jpeg", ".jpe", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic")
_PERMUTED = re.compile(r"(train|dev|test|hidden)-\d+-\d+-[1-5]\.png", re.IGNORECASE)
"""NLVR has six pictures of an example."""
_OURS = ("scenes.json",)
"""What `scenes` writes beside its pictures."""


@dataclass(frozen=True)
class SourceFolder:
    """A folder of examples and pictures.

    Attributes:
        root: The folder.
        files: All files below it.
        zips: Zips of pictures in it.
    """

    root: Path
    files: Sequence[Path]
    zips: Sequence[Path] = field(default=())

    @classmethod
    def of(cls, root: Path, out: Path | None, zipped: str = "") -> SourceFolder:
        """Returns a folder with all files but those of `out`, and the zip of pictures of a name where there is one."""
        files = files_in(root, out)
        return cls(root, files, [path for path in files if path.parent == root and path.name.lower() == zipped])

    def json(self, name: str, folder: str) -> Path | None:
        """Returns `FOLDER/NAME.json` or `NAME.json`, in any case.

        Raises:
            DataError: There are two that differ.
        """
        wanted = [(folder.lower(), f"{name}.json".lower()), (f"{name}.json".lower(),)]
        by_place = {tuple(part.lower() for part in path.relative_to(self.root).parts): path for path in self.files}
        paths = [by_place[place] for place in wanted if place in by_place]
        for path in paths[1:]:
            if path.read_bytes() != paths[0].read_bytes():
                reason = f"differs from {paths[0].relative_to(self.root)}, which is named alike"
                raise DataError(path, reason, "keep the one that is meant")
        return paths[0] if paths else None

    def picture(self, stem: str, places: Sequence[Path]) -> Picture:
        """Returns the picture of a name, whatever its case, suffix and folder.

        Args:
            stem: Name without suffix.
            places: Folders where it may stand: of several of this name the first of these is meant; where there is
                none, a fault names the first.
        """
        if entry := self._zipped.get(stem.lower()):
            return entry
        paths = self._pictures.get(stem.lower(), ())
        rank = {place: number for number, place in enumerate(places)}
        return FilePicture(
            min(paths, key=lambda path: (rank.get(path.parent, len(rank)), path), default=places[0] / f"{stem}.png")
        )

    def unused(self, jsons: Iterable[Path], pictures: Mapping[str, tuple[Picture, ...]]) -> list[PassedOver]:
        """Returns every file and entry of a zip that is none of these, and why."""
        used = {*jsons, *self.zips, *(picture.path for pair in pictures.values() for picture in pair)}
        entries = [path / name for path in self.zips for name in zip_entries(path)]
        strange = [path for path in (*self.files, *entries) if path not in used and path.name not in _OURS]
        return passed_over([path.relative_to(self.root).as_posix() for path in strange], _reason)

    @cached_property
    def _pictures(self) -> dict[str, list[Path]]:
        """Stem in lower case -> files."""
        named = defaultdict(list)
        for path in self.files:
            if path.suffix.lower() in _PICTURES:
                named[path.stem.lower()].append(path)
        return named

    @cached_property
    def _zipped(self) -> dict[str, ZipPicture]:
        """Stem in lower case -> entry of a zip."""
        entries = [(path, name) for path in self.zips for name in zip_entries(path)]
        pictures = [(path, name) for path, name in entries if Path(name).suffix.lower() in _PICTURES]
        return {Path(name).stem.lower(): ZipPicture(path, name) for path, name in reversed(pictures)}


def _reason(name: str) -> tuple[str, str]:
    if _PERMUTED.fullmatch(Path(name).name):
        return "other permutation", "it shows the boxes in another order; the first order is read"
    if name.lower().endswith(_PICTURES):
        return "picture without a sentence", "no sentence that is read is about a picture of this name"
    if name.lower().endswith((".json", ".jsonl", ".arrow")):
        return "no split's examples", "its name is that of no file of examples that is read"
    return "other file", "it is neither a picture nor a file of examples"
