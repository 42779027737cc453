"""The format of a journal: a head, then records of a mark, a length, a checksum and a body.

The body is a patch: numbers, then its labels, little-endian and compressed by zlib. The mark is where
reading goes on behind a record that is damaged.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .core.annotation import Patch
from .core.errors import InputError

MAGIC, VERSION = b"PNJL", 1
HEAD = struct.Struct("<4sH")
MARK = b"\xf6PN\n"
FRAME = struct.Struct("<4sII")  # mark, and length and CRC-32 of the body
FIXED = struct.Struct("<QdIIIIIBB")  # number, time, image, y, x, h, w, stack axes, bytes of a label


def read_journal(path: Path) -> Iterator[tuple[Patch, int]]:
    """Each whole record of a journal, and where it ends.

    Raises
    ------
    InputError
        If the file is no journal, or of a newer format.
    """
    content = path.read_bytes()
    if check_head(content, path.name):
        for start, stop in whole_records(content):
            yield unpack(content[start + FRAME.size : stop]), stop


def check_head(content: bytes, name: str) -> bool:
    """Whether there is a whole head: a part of one is none.

    Raises
    ------
    InputError
        If it is the head of something else, or of a newer format.
    """
    if len(content) < HEAD.size and HEAD.pack(MAGIC, VERSION).startswith(content):
        return False
    if not content.startswith(MAGIC) or len(content) < HEAD.size:
        raise InputError("journal", name, "it is not a journal of strokes; choose another session")
    version = HEAD.unpack_from(content)[1]
    if version > VERSION:
        mend = f"this program reads format {VERSION}; update napari-papernets"
        raise InputError("journal", f"format {version}", mend)
    return True


def whole_records(content: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of each whole record."""
    start = HEAD.size
    while (start := content.find(MARK, start)) >= 0:
        stop = _end_of_record(content, start)
        if stop:
            yield start, stop
        start = stop or start + 1


def _end_of_record(content: bytes, start: int) -> int:
    """Where the record ends that begins at `start`; 0 where it is not whole."""
    body = start + FRAME.size
    if body > len(content):
        return 0
    _, length, checksum = FRAME.unpack_from(content, start)
    stop = body + length
    if length < FIXED.size or stop > len(content):
        return 0
    return stop if zlib.crc32(memoryview(content)[body:stop]) == checksum else 0


def pack(patch: Patch, when: float) -> bytes:
    """The record of a patch that was painted at a time (seconds since 1970).

    Raises
    ------
    InputError
        If its labels are no whole numbers from 0 up.
    """
    labels = np.ascontiguousarray(patch.labels)
    if labels.dtype.kind not in "bui" or labels.min(initial=0) < 0 or labels.max(initial=0) >= 2**32:
        raise InputError("labels", f"values of type {labels.dtype}", "paint with 0 and the classes 1…K")
    if labels.dtype.kind != "u" or labels.dtype.itemsize > 4:
        labels = labels.astype(np.min_scalar_type(int(labels.max(initial=0))))
    little = labels.astype(labels.dtype.newbyteorder("<"), copy=False)
    fixed = FIXED.pack(
        patch.number, when, patch.image, patch.y, patch.x,
        *labels.shape, len(patch.plane), labels.itemsize,
    )  # fmt: skip
    plane = struct.pack(f"<{len(patch.plane)}I", *patch.plane)
    body = fixed + plane + zlib.compress(little.data, 1)
    return FRAME.pack(MARK, len(body), zlib.crc32(body)) + body


def unpack(body: bytes) -> Patch:
    """The patch of a record, without its frame."""
    number, _, image, y, x, height, width, axes, size = FIXED.unpack_from(body)
    plane = struct.unpack_from(f"<{axes}I", body, FIXED.size)
    raw = zlib.decompress(body[FIXED.size + 4 * axes :])
    labels = np.frombuffer(raw, f"<u{size}").reshape(height, width).astype(f"u{size}")
    return Patch(image, plane, y, x, labels, number)


def number_of(content: bytes, start: int) -> int:
    """Number of the patch whose record begins at `start`."""
    return int(FIXED.unpack_from(content, start + FRAME.size)[0])
