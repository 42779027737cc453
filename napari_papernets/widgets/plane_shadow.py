"""What has been delivered of an annotation, what differs from it now, and how many strokes there are.

Nothing here knows Qt or napari. The loops are numpy's and scipy's, which let go of Python's lock: a
thread can compare while the window paints.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.image import Range
from ..core.tiles import Region

BLOCK = 64  # pixels: changes in touching blocks go into one rectangle
BAND = 1 << 20  # bytes compared at a time; they stay in the cache
UNIT = 1 << 22  # bytes of a part of a sweep

Plane = tuple[int, ...]
Change = tuple[Plane, int, int, NDArray[np.uint8]]
Counts = dict[int, tuple[int, int]]


class Shadow:
    """A copy of an annotation as it was delivered, kept for planes with strokes only.

    Parameters
    ----------
    live : ndarray of integers, shape (*stack, Y, X)
        The annotation, which others change at any time. Values above 255 count as 255.
    delivered : bool
        Take what it holds now as delivered.

    Attributes
    ----------
    live : ndarray
        May be replaced by another array of the same shape.
    """

    def __init__(self, live: NDArray[Any], delivered: bool = False) -> None:
        self.live = live
        self._known: dict[Plane, NDArray[np.uint8]] = {}
        self._counts: dict[Plane, Counts] = {}
        self._uncounted: set[Plane] = set()
        if delivered:
            for plane in np.ndindex(self.stack_shape):
                if live[plane].any():
                    self._known[plane] = _narrow(live[plane]).copy()
                    self._uncounted.add(plane)

    @property
    def stack_shape(self) -> tuple[int, ...]:
        return self.live.shape[:-2]

    def known_planes(self) -> tuple[Plane, ...]:
        """The planes that have, or had, strokes."""
        return tuple(self._known)

    @property
    def units(self) -> int:
        """Number of parts of a sweep over everything."""
        return math.prod(self.stack_shape) * math.ceil(self.live.shape[-2] / self._unit_rows)

    def unit(self, index: int) -> tuple[Plane, Range]:
        """Plane and rows of a part of a sweep."""
        bands = math.ceil(self.live.shape[-2] / self._unit_rows)
        plane = np.unravel_index(index // bands, self.stack_shape) if self.stack_shape else ()
        start = index % bands * self._unit_rows
        return tuple(int(i) for i in plane), (start, start + self._unit_rows)

    @property
    def _unit_rows(self) -> int:
        return _rows_of(UNIT, self.live.shape[-1])

    def changes(self, plane: Plane, rows: Range | None = None) -> Iterator[Change]:
        """What differs from what was delivered; it counts as delivered as it is yielded.

        Parameters
        ----------
        plane : tuple of int
            Index along the stack axes.
        rows : (start, stop), optional
            Look at these rows only; they may leave the image.

        Yields
        ------
        plane, y, x, labels
            Upper left pixel of a rectangle and a copy of what is in it, uint8.
        """
        now, known = self.live[plane], self._known.get(plane)
        start, stop = (0, len(now)) if rows is None else (max(rows[0], 0), min(rows[1], len(now)))
        before = None if known is None else known[start:stop]
        for y0, y1, x0, x1 in changed_boxes(now[start:stop], before):
            if known is None:
                known = self._known[plane] = np.zeros(now.shape, np.uint8)
            box = slice(start + y0, start + y1), slice(x0, x1)
            labels = _narrow(now[box]).copy()
            known[box] = labels
            self._uncounted.add(plane)
            yield plane, start + y0, x0, labels

    @property
    def is_counted(self) -> bool:
        return not self._uncounted

    def count_next(self) -> None:
        """Count the strokes of one plane that changed since it was counted."""
        plane = self._uncounted.pop()
        self._counts[plane] = count_strokes(self._known[plane])

    def counts(self) -> Counts:
        """(strokes, pixels) of each class, as far as they are counted."""
        return add_counts(self._counts.values())


def changed_boxes(now: NDArray[Any], before: NDArray[np.uint8] | None) -> list[Region]:
    """Rectangles (y0, y1, x0, x1) around what differs, one for each group of touching blocks.

    Parameters
    ----------
    now : ndarray of integers, shape (Y, X)
        May change meanwhile.
    before : ndarray of uint8, shape (Y, X), or None
        None is all zeros.
    """
    blocks = _block_grid(now, before)
    boxes = []
    for rows, columns in _groups(blocks)[1]:
        differs = _differs(now[rows, columns], None if before is None else before[rows, columns])
        box = _tight(differs)
        if box is not None:
            y, x = rows.start, columns.start
            boxes.append((y + box[0], y + box[1], x + box[2], x + box[3]))
    return boxes


def count_strokes(labels: NDArray[np.uint8]) -> Counts:
    """Strokes (8-connected components) and pixels of each class in a plane, shape (Y, X)."""
    from scipy import ndimage

    numbers, groups = _groups(_block_grid(labels, None))
    found = []
    for number, (rows, columns) in enumerate(groups, 1):
        # Blocks of another group may lie in the rectangle of this one.
        at = tuple(slice(s.start // BLOCK, s.stop // BLOCK) for s in (rows, columns))
        own, part = numbers[at] == number, labels[rows, columns]
        mask = own.repeat(BLOCK, 0).repeat(BLOCK, 1)[: part.shape[0], : part.shape[1]]
        part = part * mask
        for value in range(1, int(part.max(initial=0)) + 1):
            of_class = part == value
            pixels = int(np.count_nonzero(of_class))
            if pixels:
                found.append({value: (ndimage.label(of_class, np.ones((3, 3)))[1], pixels)})
    return add_counts(found)


def add_counts(counts: Iterable[Counts]) -> Counts:
    """The sum of counts."""
    total: Counts = {}
    for one in counts:
        for value, (strokes, pixels) in one.items():
            before = total.get(value, (0, 0))
            total[value] = before[0] + strokes, before[1] + pixels
    return dict(sorted(total.items()))


def _groups(blocks: NDArray[np.bool_]) -> tuple[NDArray[np.int32], list[tuple[slice, slice]]]:
    """Numbered groups of touching blocks, and the pixels that each spans (maybe beyond the border)."""
    from scipy import ndimage

    if not blocks.any():
        return np.zeros(blocks.shape, np.int32), []
    numbers, _ = ndimage.label(blocks, np.ones((3, 3)))
    spans = [
        tuple(slice(s.start * BLOCK, s.stop * BLOCK) for s in found)
        for found in ndimage.find_objects(numbers)
    ]
    return numbers, spans  # type: ignore[return-value]


def _block_grid(now: NDArray[Any], before: NDArray[np.uint8] | None) -> NDArray[np.bool_]:
    """Which blocks differ, shape (ceil(Y / BLOCK), ceil(X / BLOCK))."""
    height, width = now.shape
    grid = np.zeros((math.ceil(height / BLOCK), math.ceil(width / BLOCK)), bool)
    step = _rows_of(BAND, width)
    for start in range(0, height, step):
        band = slice(start, start + step)
        differs = _differs(now[band], None if before is None else before[band])
        if differs.any():
            by_row = np.logical_or.reduceat(differs, np.arange(0, len(differs), BLOCK), axis=0)
            part = np.logical_or.reduceat(by_row, np.arange(0, width, BLOCK), axis=1)
            grid[start // BLOCK : start // BLOCK + len(part)] = part
    return grid


def _differs(now: NDArray[Any], before: NDArray[np.uint8] | None) -> NDArray[np.bool_]:
    return now != 0 if before is None else _narrow(now) != before


def _tight(mask: NDArray[np.bool_]) -> Region | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows) or not len(columns):
        return None
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _narrow(labels: NDArray[Any]) -> NDArray[np.uint8]:
    """As uint8; itself where it is."""
    return labels if labels.dtype == np.uint8 else labels.clip(0, 255).astype(np.uint8)


def _rows_of(size: int, width: int) -> int:
    """Rows of about `size` pixels, a multiple of `BLOCK`."""
    return max(1, size // width // BLOCK) * BLOCK
