"""Every stroke on disk as soon as it is painted: an append-only file of patches.

After a head each record is a length, a checksum and a body; what was appended is in the system's hands
when `append` returns, so that killing this program loses nothing of it, and on the disk within
`SYNC_SECONDS`. A record that was cut off by a crash is cut away when the file is opened again. Nothing
is ever overwritten: versions of a session refer to numbers of patches.
"""

from __future__ import annotations

import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .core.annotation import Patch
from .core.errors import InputError

MAGIC, VERSION = b"PNJL", 1
HEAD = struct.Struct("<4sH")
FRAME = struct.Struct("<II")  # length and CRC-32 of the body
FIXED = struct.Struct("<QdIIIIIBB")  # number, time, image, y, x, h, w, stack axes, bytes of a label
MAX_BODY = 2**30
SYNC_SECONDS = 2.0

Place = tuple[int, tuple[int, ...]]
"""Number of the image, and index along its stack axes."""


class Journal:
    """The patches of a session, on disk.

    Parameters
    ----------
    path : Path
        Made where there is none; a torn end is cut away.

    Attributes
    ----------
    newest : int
        Number of the last patch; 0 where there is none.

    Raises
    ------
    InputError
        If the file is no journal, or of a newer format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.newest = 0
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        end = self._check()
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        if end == 0:
            os.ftruncate(self._file, 0)
            os.write(self._file, HEAD.pack(MAGIC, VERSION))
        else:
            os.ftruncate(self._file, end)
            os.lseek(self._file, end, os.SEEK_SET)
        self._stale = threading.Event()
        self._closed = False
        threading.Thread(target=self._sync_now_and_then, name="papernets-journal", daemon=True).start()

    def append(self, patch: Patch) -> None:
        """Add a patch; any thread may.

        Raises
        ------
        OSError
            If the disk is full or gone; the file then ends with the last whole record.
        """
        body = _pack(patch, time.time())
        record = FRAME.pack(len(body), zlib.crc32(body)) + body
        with self._lock:
            end = os.lseek(self._file, 0, os.SEEK_CUR)
            try:
                written = os.write(self._file, record)
                if written != len(record):
                    raise OSError(f"only {written} of {len(record)} bytes of a stroke could be written")
            except OSError:
                os.ftruncate(self._file, end)
                os.lseek(self._file, end, os.SEEK_SET)
                raise
            self.newest = max(self.newest, patch.number)
        self._stale.set()

    def close(self) -> None:
        """Bring everything to the disk; may be called again."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.fsync(self._file)
                os.close(self._file)
        self._stale.set()

    def patches(self, upto: int | None = None) -> Iterator[Patch]:
        """The patches in their order, those above the number `upto` left out."""
        for patch, _ in read_journal(self.path):
            if upto is None or patch.number <= upto:
                yield patch

    def replay(
        self, shapes: Mapping[int, tuple[int, int]], upto: int | None = None
    ) -> dict[Place, NDArray[Any]]:
        """The annotation as of a patch.

        Parameters
        ----------
        shapes : mapping of int to (Y, X)
            Plane of each image, by its number; other images are left out.
        upto : int, optional
            Number of the last patch that counts; all by default.

        Returns
        -------
        dict
            Labels (Y, X) of every plane that was ever painted on.
        """
        planes: dict[Place, NDArray[Any]] = {}
        for patch in self.patches(upto):
            if patch.image not in shapes:
                continue
            place = patch.image, patch.plane
            if place not in planes:
                planes[place] = np.zeros(shapes[patch.image], patch.labels.dtype)
            height, width = patch.labels.shape
            planes[place][patch.y : patch.y + height, patch.x : patch.x + width] = patch.labels
        return planes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self) -> int:
        """Where the last whole record ends; 0 for a new file."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return 0
        end = HEAD.size
        for patch, end in read_journal(self.path):  # noqa: B007 - the last end is what counts
            self.newest = max(self.newest, patch.number)
        return end

    def _sync_now_and_then(self) -> None:
        while True:
            self._stale.wait()
            if self._closed:
                return
            self._stale.clear()
            time.sleep(SYNC_SECONDS / 2)
            with self._lock:
                if not self._closed:
                    os.fsync(self._file)


def read_journal(path: Path) -> Iterator[tuple[Patch, int]]:
    """Each whole record of a journal, and where it ends.

    Raises
    ------
    InputError
        If the file is no journal, or of a newer format.
    """
    with path.open("rb") as file:
        head = file.read(HEAD.size)
        if len(head) < HEAD.size and (MAGIC + b"\x01\x00").startswith(head):
            return  # cut off within its head
        if len(head) < HEAD.size or HEAD.unpack(head)[0] != MAGIC:
            raise InputError("journal", path.name, "it is no journal of strokes; choose another session")
        if HEAD.unpack(head)[1] > VERSION:
            raise InputError("journal", f"format {HEAD.unpack(head)[1]}", "update napari-papernets")
        end = HEAD.size
        while len(frame := file.read(FRAME.size)) == FRAME.size:
            length, checksum = FRAME.unpack(frame)
            body = file.read(length) if FIXED.size <= length <= MAX_BODY else b""
            if len(body) != length or zlib.crc32(body) != checksum:
                return
            end += FRAME.size + length
            yield _unpack(body), end


def _pack(patch: Patch, when: float) -> bytes:
    labels = np.ascontiguousarray(patch.labels)
    if labels.dtype.kind != "u" or labels.dtype.itemsize > 4:
        labels = labels.astype(np.uint16)
    little = labels.astype(labels.dtype.newbyteorder("<"), copy=False)
    fixed = FIXED.pack(
        patch.number, when, patch.image, patch.y, patch.x,
        *labels.shape, len(patch.plane), labels.itemsize,
    )  # fmt: skip
    return fixed + struct.pack(f"<{len(patch.plane)}I", *patch.plane) + zlib.compress(little.data, 1)


def _unpack(body: bytes) -> Patch:
    number, _, image, y, x, height, width, axes, size = FIXED.unpack_from(body)
    plane = struct.unpack_from(f"<{axes}I", body, FIXED.size)
    raw = zlib.decompress(body[FIXED.size + 4 * axes :])
    labels = np.frombuffer(raw, np.dtype(f"<u{size}")).reshape(height, width)
    return Patch(image, plane, y, x, labels.astype(labels.dtype.newbyteorder("="), copy=False), number)
