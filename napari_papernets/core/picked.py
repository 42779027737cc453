"""Some channels of an array that may be larger than memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class PickedChannels:
    """Some channels of an array, which is read no sooner than this is sliced.

    Parameters
    ----------
    data : array
        With an integer or a slice for each axis it gives that part.
    axis : int
        Of the channels.
    channels : tuple of int
        Which, in this order.
    """

    def __init__(self, data: Any, axis: int, channels: tuple[int, ...]) -> None:
        self._data, self._axis, self._channels = data, axis, channels
        self.shape = tuple(len(channels) if i == axis else int(n) for i, n in enumerate(data.shape))
        self.dtype = np.dtype(data.dtype)

    def __getitem__(self, index: tuple[int | slice, ...]) -> NDArray[Any]:
        wanted = self._channels[index[self._axis]]
        if isinstance(wanted, int):
            return np.asarray(self._data[(*index[: self._axis], wanted, *index[self._axis + 1 :])])
        first, last = min(wanted, default=0), max(wanted, default=-1)
        span = slice(first, last + 1)
        found = np.asarray(self._data[(*index[: self._axis], span, *index[self._axis + 1 :])])
        before = sum(isinstance(one, slice) for one in index[: self._axis])
        return found.take([channel - first for channel in wanted], axis=before)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[(slice(None),) * len(self.shape)], dtype=dtype)
