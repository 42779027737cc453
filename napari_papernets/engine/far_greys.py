"""Grey values of 64 bits far from zero, where float64 would blur them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from ..core.image import ImageBlock
from .normalise import read_sample

EXACT = 2**53  # up to here float64 holds every integer
STEP = 2**32  # offsets are multiples, so that images of one camera get the same


class Shifted:
    """An array of integers of 64 bits less an offset, as float64; it is only ever sliced."""

    def __init__(self, data: Any, offset: int) -> None:
        self.shape, self.dtype = data.shape, np.dtype(np.float64)
        self._data, self._offset = data, offset

    def __getitem__(self, index: Any) -> NDArray[np.float64]:
        block = np.asarray(self._data[index])
        # Differences may need 65 bits: their size is unsigned, and wraps around as it should.
        above = block.astype(np.uint64) - np.uint64(self._offset % 2**64)
        higher = block >= self._offset
        return np.where(higher, above.astype(np.float64), -((~above + np.uint64(1)).astype(np.float64)))


_OFFSETS: WeakKeyDictionary[ImageBlock, int | None] = WeakKeyDictionary()


def near_zero(image: ImageBlock) -> ImageBlock:
    """The image with its grey values moved towards zero, where float64 would not tell them apart.

    That is asked of its first plane. Nothing is moved in other types, nor where the values are more than
    2**53 apart: only their differences count, and float64 holds those as well as it can.
    """
    if image.dtype.kind not in "iu" or image.dtype.itemsize < 8:
        return image
    if image not in _OFFSETS:
        _OFFSETS[image] = _offset_of(image)
    offset = _OFFSETS[image]
    return image if offset is None else replace(image, data=Shifted(image.data, offset))


def _offset_of(image: ImageBlock) -> int | None:
    sample = read_sample(image, next(image.planes()))
    low, high = int(sample.min()), int(sample.max())
    far = max(abs(low), abs(high)) >= EXACT and high - low < EXACT
    return (low + STEP // 2) // STEP * STEP if far else None
