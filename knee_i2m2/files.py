"""Files that are whole or absent, their fingerprints, and JSON that is read in words."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from knee_i2m2.errors import ConfigError, DataError

__all__ = [
    "locked",
    "read_mapping",
    "read_objects",
    "reading",
    "refuse_occupied",
    "sha256",
    "sweep",
    "whole",
    "whole_folder",
    "write_text",
    "writing",
]

_UNFINISHED = ".unfinished-"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Says in words that `path` cannot be written.

    Raises:
        DataError: It cannot.
    """
    try:
        yield
    except OSError as error:
        raise DataError(path, f"cannot be written ({error.strerror})", "choose another place or make room") from error


@contextmanager
def reading(
    path: Path, hint: str, fault: str = "cannot be read", more: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Says in words that what a block reads is not what `path` should hold; nothing else belongs in the block.

    Args:
        path: The file.
        hint: What to do about it.
        fault: What is wrong with it.
        more: What else its reader raises.

    Raises:
        DataError: It is not.
    """
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, *more) as error:
        raise DataError(path, f"{fault} ({' '.join(str(error).split())})", hint) from error


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` that takes its place only when the block, which writes it, ends well.

    Raises:
        DataError: The place cannot be written or is full.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}{_UNFINISHED}", suffix=path.suffix)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o644)
            with temporary.open("rb+") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yields a temporary folder beside `path` that takes its place only when the block ends without an error.

    What an earlier attempt left behind is removed first. `path` must be absent or an empty folder.

    Raises:
        DataError: The place cannot be written.
    """
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.part")
    with writing(path):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
    try:
        yield temporary
        with writing(path):
            if path.is_dir():
                path.rmdir()
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Removes the temporary files that a killed writer left in a folder."""
    with writing(folder):
        for path in folder.glob(f".*{_UNFINISHED}*"):
            path.unlink()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Makes the folder and keeps others out of it who ask like this, until the block or the process ends.

    Where the file system knows no locks, no process is kept out.

    Raises:
        ConfigError: Somebody else is in it.
        DataError: The folder cannot be written.
    """
    import fcntl  # only where there is POSIX

    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"{folder}: another process is writing here; wait for it, or stop it first") from error
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Writes `text` as a whole file or not at all."""
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def sha256(path: Path) -> str:
    """Returns the hexadecimal SHA-256 of a file's bytes.

    Raises:
        DataError: The file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as opened:
            while block := opened.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})", "check the path and who may read it") from error
    return digest.hexdigest()


def refuse_occupied(out: Path) -> None:
    """Raises ConfigError if `out` is a file or holds anything."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is not empty; name a new folder or empty it first")


def read_objects(path: Path) -> list[dict[str, Any]]:
    """Returns the objects of a file that holds one a line; a last line cut off by a crash is left out.

    Raises:
        DataError: A line holds something else.
    """
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]
    return [_object(line, path) for line in whole if line.strip()]


def read_mapping(path: Path) -> dict[str, Any]:
    """Returns the named values of a JSON file; none if it is not there.

    Raises:
        DataError: It holds something else.
    """
    return _object(path.read_text(encoding="utf-8"), path) if path.is_file() else {}


def _object(text: str, path: Path) -> dict[str, Any]:
    with reading(path, "delete it, or train again", "is no readable JSON"):
        value = json.loads(text)
    if not isinstance(value, dict):
        raise DataError(path, "does not hold named values", "delete it, or train again")
    return value
