"""A file that must not be opened: what it holds is somebody else's, and the system tells who touches it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import h5py
import numpy as np

from tests.sources.fastmri.sandbox import SECRET

_ACCESS_OR_OPEN = 0x1 | 0x20


def write_canary(path: Path, shape=(3, 16, 12)) -> Path:
    """Writes an HDF5 file whose k-space, mask and header are made of the secret, and would be read as any other."""
    values = np.frombuffer((SECRET * 1000)[: int(np.prod(shape)) * 8], np.complex64).reshape(shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["kspace"], file["mask"] = values, values.real
        file["reconstruction_esc"], file["ismrmrd_header"] = values.real, SECRET.decode()
    return path


@contextmanager
def watched(path: Path) -> Iterator[list[int]]:
    """Yields a list that afterwards holds how many bytes of events of opening or reading there were, if any."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(descriptor, os.fsencode(path), _ACCESS_OR_OPEN) >= 0, os.strerror(ctypes.get_errno())
    events: list[int] = []
    try:
        yield events
        with suppress(BlockingIOError):
            events.append(len(os.read(descriptor, 4096)))
    finally:
        os.close(descriptor)
