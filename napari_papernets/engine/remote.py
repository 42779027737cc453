"""Arrays that stay in the viewer's process: the engine asks for the blocks that it needs."""

from __future__ import annotations

import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# An array in memory that is larger is read block by block too: a copy would double the memory.
SNAPSHOT_LIMIT = 2**30

Index: TypeAlias = tuple[int | slice, ...]
Key: TypeAlias = tuple[int, int]  # the job, and the number of an array among those that it left behind


def stays_behind(value: Any) -> bool:
    """Whether an array is read block by block instead of being copied when a job starts.

    That is: everything that can be sliced and has a shape and a type but is no numpy array (dask,
    zarr, a reader's own class); arrays mapped from a file; and arrays of more than 1 GiB.
    """
    if isinstance(value, np.ndarray):
        return isinstance(value, np.memmap) or value.nbytes > SNAPSHOT_LIMIT
    if isinstance(value, type | np.generic | RemoteArray):
        return False
    return all(hasattr(value, name) for name in ("shape", "dtype", "__getitem__"))


def where_stored(value: Any) -> tuple[str, str] | None:
    """Folder and key of a zarr array on disk, which the engine reads itself; None for all others."""
    store: Any = getattr(value, "store", None)
    is_zarr = type(value).__module__.partition(".")[0] == "zarr"
    if not is_zarr or type(store).__name__ != "LocalStore":
        return None
    return str(Path(store.root).absolute()), str(value.path)


def open_stored(folder: str, key: str) -> Any:
    """The zarr array that lies there, for reading."""
    import zarr

    return zarr.open_array(folder, path=key, mode="r")


class RemoteArray:
    """An array of the other process, read by slicing.

    Parameters
    ----------
    shape : tuple of int
        Its shape.
    dtype : dtype
        Its type.
    fetch : callable
        Takes an index of integers and slices, one for each axis, and returns that block.
    """

    def __init__(
        self, shape: tuple[int, ...], dtype: Any, fetch: Callable[[Index], NDArray[Any]]
    ) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.dtype = np.dtype(dtype)
        self._fetch = fetch

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """A block, as numpy would index it.

        Raises
        ------
        IndexError
            For more indices than axes, or anything but integers, slices and one ``...``.
        """
        return self._fetch(full_index(index, self.ndim))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[...], dtype)

    def __repr__(self) -> str:
        return f"RemoteArray(shape={self.shape}, dtype={self.dtype})"


def full_index(index: Any, ndim: int) -> Index:
    """An index with one integer or slice for each axis.

    >>> full_index((0, ...), 3)
    (0, slice(None, None, None), slice(None, None, None))
    """
    given = index if isinstance(index, tuple) else (index,)
    if sum(i is Ellipsis for i in given) > 1 or len([i for i in given if i is not Ellipsis]) > ndim:
        raise IndexError(f"{index!r} does not fit an array of {ndim} axes")
    if not any(i is Ellipsis for i in given):
        given = (*given, Ellipsis)
    at = next(n for n, i in enumerate(given) if i is Ellipsis)
    missing = ndim - len(given) + 1
    parts = (*given[:at], *(slice(None),) * missing, *given[at + 1 :])
    return tuple(_plain(part) for part in parts)


def _plain(part: Any) -> int | slice:
    if isinstance(part, slice):
        ends = (part.start, part.stop, part.step)
        return slice(*(None if end is None else operator.index(end) for end in ends))
    try:
        return operator.index(part)
    except TypeError as error:
        raise IndexError(f"index with integers and slices, not with {part!r}") from error
