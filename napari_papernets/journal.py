"""Every stroke on disk as soon as it is painted: an append-only file of patches.

What was appended is in the system's hands when `append` returns, so that killing this program loses
nothing of it; a thread brings it to the disk at once, but at most every `SYNC_SECONDS`. A record that
was cut off by a crash is cut away when the file is opened again, and one that is damaged is stepped
over. Nothing is ever overwritten: versions of a session refer to numbers of patches. Replay is fast
enough to need no key frames: 10,000 patches of 60×60 pixels take a fraction of a second.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from .core.annotation import Patch
from .core.errors import InputError
from .journal_records import (
    HEAD,
    MAGIC,
    VERSION,
    check_head,
    number_of,
    pack,
    read_journal,
    whole_records,
)

SYNC_SECONDS = 2.0

Place = tuple[int, tuple[int, ...]]
"""Number of the image, and index along its stack axes."""


class Journal:
    """The patches of a session, on disk. All methods may be called from any thread.

    Parameters
    ----------
    path : Path
        Made where there is none; a torn end is cut away.

    Attributes
    ----------
    newest : int
        Number of the last patch; 0 where there is none.
    damaged : int
        Places within the file that could not be read when it was opened; what is behind them could.

    Raises
    ------
    InputError
        If the file is no journal, or of a newer format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.newest = self.damaged = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._end = self._check()
        # Without buffer: what is written is in the system's hands.
        self._file = open(path, "r+b" if path.exists() else "x+b", buffering=0)  # noqa: SIM115
        self._waiting = b""
        self._torn = False  # part of a record may lie behind the last whole one
        self._truncate()
        if not self._end:
            self._waiting = HEAD.pack(MAGIC, VERSION)
            self._write_waiting()
        self._lock, self._syncing = threading.Lock(), threading.Lock()
        self._stale, self._closed = threading.Event(), threading.Event()
        threading.Thread(target=self._sync_now_and_then, name="papernets-journal", daemon=True).start()

    def append(self, patch: Patch) -> None:
        """Add a patch.

        Raises
        ------
        InputError
            If its number is not above `newest`, its labels cannot be stored or the journal is closed.
            If the disk is full or gone: the file then ends with the last whole record, and the patch
            is kept in memory and written as soon as that is possible.
        """
        record = pack(patch, time.time())
        with self._lock:
            if self._closed.is_set():
                raise InputError("journal", "a stroke after it was closed", "open the session again")
            if patch.number <= self.newest:
                mend = f"numbers go on from {self.newest + 1}"
                raise InputError("patch", f"number {patch.number}", mend)
            self._waiting += record
            self.newest = patch.number
            self._stale.set()
            self._write_waiting()

    def sync(self) -> None:
        """Bring everything to the disk.

        Raises
        ------
        InputError
            If the disk is full or gone.
        """
        with self._syncing:
            if self._closed.is_set():
                return
            with self._lock:
                self._write_waiting()
            self._fsync()

    def close(self) -> None:
        """Bring everything to the disk; may be called again.

        Raises
        ------
        InputError
            If the disk is full or gone; it stays open then.
        """
        with self._syncing, self._lock:
            if not self._closed.is_set():
                self._write_waiting()
                self._fsync()
                self._file.close()
                self._closed.set()
                self._stale.set()

    def patches(self, upto: int | None = None, after: int = 0) -> Iterator[Patch]:
        """The patches in their order, with numbers above `after` and not above `upto`."""
        for patch, _ in read_journal(self.path):
            if patch.number > after and (upto is None or patch.number <= upto):
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
        dict of place to ndarray of unsigned integers, shape (Y, X)
            Labels of every plane that was ever painted on; all 0 where that was after `upto`.

        Raises
        ------
        InputError
            If a patch does not lie in its image.
        """
        planes: dict[Place, NDArray[Any]] = {}
        for patch in self.patches():
            if patch.image not in shapes:
                continue
            place = patch.image, patch.plane
            if place not in planes:
                planes[place] = np.zeros(shapes[patch.image], np.uint8)
            if upto is None or patch.number <= upto:
                planes[place] = _paint(planes[place], patch)
        return planes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self) -> int:
        """Where the last whole record ends; 0 for a new file, or one cut off within its head."""
        content = self.path.read_bytes() if self.path.exists() else b""
        if not check_head(content, self.path.name):
            return 0
        end = HEAD.size
        for start, stop in whole_records(content):
            self.damaged += start > end
            self.newest = max(self.newest, number_of(content, start))
            end = stop
        return end

    def _write_waiting(self) -> None:
        """Write what was appended and is not in the file; the lock is held."""
        try:
            if self._waiting:
                if self._torn:
                    self._truncate()
                written = self._file.write(self._waiting) or 0
                if written < len(self._waiting):
                    raise OSError(f"only {written} of {len(self._waiting)} bytes could be written")
                self._end, self._waiting = self._end + written, b""
        except OSError as error:
            self._torn = True
            with suppress(OSError):  # before the next record, then
                self._truncate()
            raise _disk_error(error) from error

    def _fsync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _disk_error(error) from error

    def _truncate(self) -> None:
        """To the last whole record."""
        self._file.truncate(self._end)
        self._file.seek(self._end)
        self._torn = False

    def _sync_now_and_then(self) -> None:
        last = -SYNC_SECONDS
        while True:
            self._stale.wait()
            if self._closed.wait(max(0.0, last + SYNC_SECONDS - time.monotonic())):
                return
            last = time.monotonic()
            self._stale.clear()
            try:
                self.sync()
            except InputError:  # `append` tells of it
                self._stale.set()


def are_equal(one: Mapping[Place, NDArray[Any]], other: Mapping[Place, NDArray[Any]]) -> bool:
    """Whether the same is painted; planes on which nothing is may be left out."""

    def same(place: Place) -> bool:
        if place in one and place in other:
            return np.array_equal(one[place], other[place])
        return not (one[place] if place in one else other[place]).any()

    return all(same(place) for place in {*one, *other})


def _paint(plane: NDArray[Any], patch: Patch) -> NDArray[Any]:
    """`plane` with the patch in it, in a wider type where the patch has one."""
    (height, width), (y, x) = patch.labels.shape, (patch.y, patch.x)
    if y + height > plane.shape[0] or x + width > plane.shape[1]:
        mend = f"it was painted on a larger image than {plane.shape}; choose that one"
        raise InputError("image", f"{height}×{width} labels at ({y}, {x}) of image {patch.image}", mend)
    plane = plane.astype(np.promote_types(plane.dtype, patch.labels.dtype), copy=False)
    plane[y : y + height, x : x + width] = patch.labels
    return plane


def _disk_error(error: OSError) -> InputError:
    mend = "make room on the disk, or look whether it is there; strokes are kept in memory until then"
    return InputError("journal", error.strerror or str(error), mend)
