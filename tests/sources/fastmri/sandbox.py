"""Reads bad files in processes of their own, which may crash, hang or fill the memory without harm.

One process imports the package once and forks for every file; what it answers is a line of JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

SECRET = b"patients of another study; "
NOBODY = 65534


class Outcome(NamedTuple):
    """What became of a file: `read`, `refused`, `failed` (a traceback), `crashed` or `hung`."""

    what: str
    seconds: float
    grown: int
    """Bytes of memory above those of a process that reads nothing."""
    error: str = ""
    sentence: str = ""
    result: dict[str, Any] = {}  # noqa: RUF012


class Sandbox:
    """The process that forks."""

    def __enter__(self) -> Sandbox:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HDF5_USE_FILE_LOCKING": "TRUE"}
        command = [sys.executable, __file__]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, text=True, env=environment, **pipes)
        self._idle = 0
        self._idle = self.read(Path(__file__), "nothing").grown
        return self

    def __exit__(self, *_) -> None:
        self._process.communicate()

    def read(self, path: Path, how: str = "volume", seconds: float = 20) -> Outcome:
        """Returns what became of a file within a time that no sound reading needs."""
        request = {"folder": str(path.parent), "name": path.name, "how": how, "seconds": seconds}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        outcome = Outcome(**json.loads(self._process.stdout.readline()))
        return outcome._replace(grown=outcome.grown - self._idle)


def read_volume_whole(path: Path) -> dict[str, Any]:
    from knee_i2m2.sources.fastmri import volumes as fastmri

    volume = fastmri.read_volume(path)
    kspace, image = fastmri.read_kspace(volume), fastmri.read_reconstruction(volume)
    seen = [repr(volume).encode(), kspace.tobytes(), b"" if image is None else image.tobytes()]
    about = {"patient": volume.patient, "sequence": volume.sequence, "direct": volume.offset is not None}
    return {**about, "kspace": hashlib.sha256(seen[1]).hexdigest(), "secret": any(SECRET in part for part in seen)}


def read_labels(path: Path) -> dict[str, Any]:
    from knee_i2m2.sources.fastmri.annotations import TARGETS, read_annotations, slice_labels

    found = read_annotations(path)
    marked = {name: (slice_labels(found, name, 5) == 1).nonzero() for name in sorted(found.annotated)}
    labels = {name: [[int(s), TARGETS[t]] for s, t in zip(*places, strict=True)] for name, places in marked.items()}
    return {"labels": labels, "quirks": {name: times for name, times in found.quirks.items() if times}}


READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "nothing": lambda path: {},
    "volume": read_volume_whole,
    "labels": read_labels,
}


def _attempt(request: dict[str, Any]) -> dict[str, Any]:
    """Reads from within the folder; a file that nobody may read, without root's rights."""
    from knee_i2m2.errors import KneeError

    try:
        os.chdir(request["folder"])
        if os.geteuid() == 0 and os.path.exists(request["name"]) and not os.stat(request["name"]).st_mode & 0o777:
            os.seteuid(NOBODY)
        return {"what": "read", "result": READERS[request["how"]](Path(request["name"]))}
    except KneeError as error:
        return {"what": "refused", "error": type(error).__name__, "sentence": str(error)}
    except BaseException as error:
        return {"what": "failed", "error": type(error).__name__, "sentence": traceback.format_exc()}


def _forked(request: dict[str, Any]) -> dict[str, Any]:
    """Returns the outcome of a forked process, which is killed when its time is over."""
    begun = time.monotonic()
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.write(theirs, json.dumps(_attempt(request)).encode())
        os._exit(0)
    os.close(theirs)
    ready = select.select([ours], [], [], request["seconds"])[0]
    answer = b"".join(iter(lambda: os.read(ours, 1 << 16), b"")) if ready else b""
    if not ready:
        os.kill(child, signal.SIGKILL)
    os.close(ours)
    _, status, usage = os.wait4(child, 0)
    ended = {"what": "hung"} if not ready else {"what": "crashed", "error": f"signal {os.WTERMSIG(status)}"}
    measured = {"seconds": time.monotonic() - begun, "grown": usage.ru_maxrss * 1024}
    return {**(json.loads(answer) if answer else ended), **measured}


def main() -> None:
    import knee_i2m2.sources.fastmri.annotations
    import knee_i2m2.sources.fastmri.volumes  # noqa: F401

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_forked(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
