"""IDX files, the format of MNIST, plain or gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from knee_i2m2.errors import DataError

__all__ = ["read_idx"]

_GZIP = b"\x1f\x8b"
_UNSIGNED_BYTE = 8
_AGAIN = "download it again"


def read_idx(path: Path, rank: int) -> UInt8[np.ndarray, "*axes"]:
    """Returns the array of an IDX file of unsigned bytes, read-only.

    Args:
        path: The file; gzip is recognised by its first bytes, not by its name.
        rank: The number of axes wanted: 1 for labels, 3 for pictures.

    Raises:
        DataError: The file cannot be read, is no IDX file of this rank, or is shorter or longer than its header says.

    References:
        The MNIST database of handwritten digits (LeCun, Cortes, Burges, 1998), section "file formats"
    """
    content = _content(path)
    if content[:4] != bytes((0, 0, _UNSIGNED_BYTE, rank)):
        wanted = f"it begins with {content[:4].hex(' ') or 'nothing'}, not 00 00 08 {rank:02x}"
        raise DataError(path, f"is no IDX file of {rank} axes of bytes ({wanted})", _AGAIN)
    start = 4 + 4 * rank
    if len(content) < start:
        raise DataError(path, "is truncated within its header", _AGAIN)
    shape = struct.unpack(f">{rank}I", content[4:start])
    surplus = len(content) - start - math.prod(shape)
    if surplus:
        fault = "is truncated" if surplus < 0 else "is too long"
        raise DataError(
            path, f"{fault}: {abs(surplus)} bytes {'less' if surplus < 0 else 'more'} than announced", _AGAIN
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(_GZIP) else content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(path, f"is truncated or damaged ({error})", _AGAIN) from error
    except OSError as error:
        raise DataError(path, f"cannot be read ({error.strerror})", "check the path and its permissions") from error
