"""Tokens that were read before: the newest in memory, more of them on disk, both bounded."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ..atomic import replacing

Arrays = Mapping[str, NDArray[Any]]

MEMORY = 512 * 2**20  # bytes
DISK = 2 * 2**30  # bytes
SUFFIX = ".safetensors"


def cache_folder() -> Path:
    """Where tokens are kept (made when first written to)."""
    return Path(platformdirs.user_cache_dir("napari-papernets", appauthor=False)) / "tokens"


class TokenCache:
    """Arrays by key, read-only: callers get the very ones. What was not used for longest goes first.

    Parameters
    ----------
    folder : Path, optional
        On disk; the user's cache by default.
    memory, disk : int
        Bytes that are kept, at most; 0 keeps nothing.
    """

    def __init__(self, folder: Path | None = None, memory: int = MEMORY, disk: int = DISK) -> None:
        self._folder, self._memory, self._disk = folder, memory, disk
        self._kept: OrderedDict[str, Arrays] = OrderedDict()

    @property
    def folder(self) -> Path:
        return self._folder if self._folder is not None else cache_folder()

    @property
    def bytes_in_memory(self) -> int:
        return sum(map(size_of, self._kept.values()))

    @property
    def bytes_on_disk(self) -> int:
        return sum(size for _, size, _ in self._files())

    def get(self, key: str) -> Arrays | None:
        """The arrays of that key; None where there are none, or the file is damaged."""
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        path = self._path(key)
        if not path.is_file():
            return None
        try:
            arrays = load_file(path)
        except (SafetensorError, OSError):
            path.unlink(missing_ok=True)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        self._keep(key, arrays)
        return arrays

    def put(self, key: str, arrays: Arrays, on_disk: bool = True) -> None:
        """Keep arrays; larger ones than the bound are not kept. A full or read-only disk is no error."""
        self._keep(key, arrays)
        if not on_disk or size_of(arrays) > self._disk:
            return
        with contextlib.suppress(OSError, SafetensorError), replacing(self._path(key)) as temporary:
            save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, temporary)
        self._shrink()

    def clear(self) -> None:
        """Forget everything, on disk too."""
        self._kept.clear()
        for path, _, _ in self._files():
            path.unlink(missing_ok=True)

    def _keep(self, key: str, arrays: Arrays) -> None:
        if size_of(arrays) > self._memory:
            return
        for array in arrays.values():
            array.flags.writeable = False
        self._kept[key] = arrays
        self._kept.move_to_end(key)
        while self.bytes_in_memory > self._memory:
            self._kept.popitem(last=False)

    def _shrink(self) -> None:
        files = sorted(self._files(), key=lambda f: f[2])
        total = sum(size for _, size, _ in files)
        for path, size, _ in files:
            if total <= self._disk:
                return
            path.unlink(missing_ok=True)
            total -= size

    def _files(self) -> list[tuple[Path, int, int]]:
        """Path, bytes and time of last use (ns) of every file."""
        found = []
        for path in self.folder.glob(f"[0-9a-f]*{SUFFIX}"):
            with contextlib.suppress(OSError):  # another process took it away
                stat = path.stat()
                found.append((path, stat.st_size, stat.st_mtime_ns))
        return found

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{SUFFIX}"


def size_of(arrays: Arrays) -> int:
    """Bytes of the arrays."""
    return sum(a.nbytes for a in arrays.values())
