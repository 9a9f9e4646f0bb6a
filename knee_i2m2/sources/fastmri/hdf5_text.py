"""Texts of variable length in HDF5 files, read without HDF5: a damaged heap can make its reader loop for ever.

They lie in a global heap, and a reference to length, heap and object stands where a value would. Followed here is the
HDF5 File Format Specification 3.0 (III.E global heap, IV.A object headers, IV.A.2.m attributes); what else it allows
(attributes by the dozen in a fractal heap, addresses that have no 8 bytes) is refused in words by who calls.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

__all__ = ["attribute_values", "heap_text", "text_length"]

Read = Callable[[int, int], bytes]
"""Returns as many bytes as wanted from an address, or fewer at the end of the file."""

_ATTRIBUTE, _CONTINUATION = 0x0C, 0x10
_MOST_BLOCKS = 64
_MOST_BLOCK = 1 << 20
_MOST_OBJECTS = 1 << 16
"""An object's number has 16 bits."""


def text_length(reference: bytes) -> int:
    """Returns how many bytes the text has that a reference leads to."""
    return int.from_bytes(reference[:4], "little")


def heap_text(read: Read, reference: bytes) -> bytes | None:
    """Returns the text that a reference leads to, None where there is none."""
    if not text_length(reference):
        return b""
    length, heap, number = struct.unpack("<IQI", reference)
    head = read(16, heap)
    size = int.from_bytes(head[8:], "little") if head.startswith(b"GCOL\1") else 0
    place = 16
    for _ in range(_MOST_OBJECTS):
        entry = read(16, heap + place) if place + 16 <= size else b""
        if len(entry) < 16:
            return None
        each, _, _, stored = struct.unpack("<HHIQ", entry)
        if each == number:
            text = read(length, heap + place + 16) if length <= stored else b""
            return text.partition(b"\0")[0] if len(text) == length else None
        place += 16 + _padded(stored)
    return None


def attribute_values(read: Read, header: int) -> dict[bytes, bytes]:
    """Returns the values of the attributes in the object header at an address, as they are stored."""
    values = {}
    for message in _messages(read, header):
        if len(message) > 8 and message[0] in (1, 2, 3):
            name, value = _attribute(message)
            values[name] = value
    return values


def _attribute(message: bytes) -> tuple[bytes, bytes]:
    """Returns name and value of an attribute; its name, type and space stand before the value."""
    version, sizes = message[0], struct.unpack_from("<HHH", message, 2)
    begin = 9 if version == 3 else 8
    padded = [_padded(size) if version == 1 else size for size in sizes]
    return message[begin : begin + sizes[0]].partition(b"\0")[0], message[begin + sum(padded) :]


def _messages(read: Read, header: int) -> Iterator[bytes]:
    """Yields the attribute messages of an object header of either version, block by block."""
    start = read(64, header)
    if len(start) < 16:
        return
    modern = start.startswith(b"OHDR")
    blocks = [_first_block(start, header, modern)]
    each = 8 if not modern else 6 if start[5] & 4 else 4
    for address, size in blocks:
        block = read(size, address) if size <= _MOST_BLOCK else b""
        place = 0
        while place + each <= len(block):
            kind, length = struct.unpack_from("<BH" if modern else "<HH", block, place)
            message = block[place + each : place + each + length]
            if kind == _ATTRIBUTE:
                yield message
            elif kind == _CONTINUATION and len(message) >= 16 and len(blocks) < _MOST_BLOCKS:
                address_, size_ = struct.unpack_from("<QQ", message)
                blocks.append((address_ + 4, max(size_ - 8, 0)) if modern else (address_, size_))
            place += each + length


def _first_block(start: bytes, header: int, modern: bool) -> tuple[int, int]:
    """Returns where the messages begin and how many bytes they have."""
    if not modern:
        return header + 16, int.from_bytes(start[8:12], "little")
    flags = start[5]
    place, width = 6 + 16 * (flags >> 5 & 1) + 4 * (flags >> 4 & 1), 1 << (flags & 3)
    return header + place + width, int.from_bytes(start[place : place + width], "little")


def _padded(size: int) -> int:
    return (size + 7) // 8 * 8
