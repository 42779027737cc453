"""How convex objects are, which tells two lobes of a clump from one object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull


class Outlines:
    """Areas and convex hulls of numbered regions, which may be joined.

    The solidity of a region is its area over that of its convex hull, pixels taken as squares: 1 for a
    rectangle, about 0.95 for a disc of 20 pixels across, less for what has bays.

    Parameters
    ----------
    regions : ndarray of int, shape (Y, X)
        0 is outside, 1…n the regions.
    """

    def __init__(self, regions: NDArray[Any]) -> None:
        self._regions = regions
        self._boxes = ndimage.find_objects(regions)
        self._areas = np.bincount(regions.ravel())
        # Of each region: those whose hulls its own is to be made of, or the hull that was made.
        self._parts: dict[int, list[int | Hull]] = {}

    def join(self, number: int, other: int) -> None:
        """From now on `number` means both."""
        fewer, more = self._parts.pop(number, [number]), self._parts.pop(other, [other])
        if len(fewer) > len(more):
            fewer, more = more, fewer
        more.extend(fewer)
        self._parts[number] = more
        self._areas[number] += self._areas[other]

    def solidity(self, number: int) -> float:
        """That of a region."""
        return float(self._areas[number] / self._hull(number).area)

    def compare(self, one: int, other: int) -> tuple[float, float]:
        """Solidity of two regions taken together, and the mean of theirs, weighted by area."""
        areas = [self._areas[one], self._areas[other]]
        together = sum(areas) / hull_of([self._hull(one).corners, self._hull(other).corners]).area
        apart = np.average([self.solidity(one), self.solidity(other)], weights=areas)
        return float(together), float(apart)

    def _hull(self, number: int) -> Hull:
        parts = self._parts.get(number, [number])
        if len(parts) > 1 or not isinstance(parts[0], Hull):
            hulls = [self._outline(part) if isinstance(part, int) else part.corners for part in parts]
            parts = self._parts[number] = [hull_of(hulls)]
        hull = parts[0]
        assert isinstance(hull, Hull)
        return hull

    def _outline(self, region: int) -> NDArray[np.float64]:
        """The corners (y, x) of the first and the last pixel of each row of a region as it was."""
        box = self._boxes[region - 1]
        mask = self._regions[box] == region
        rows = np.flatnonzero(mask.any(axis=1))
        left = mask[rows].argmax(axis=1)
        right = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
        ends = [(rows + down, side) for down in (0, 1) for side in (left, right)]
        points = np.concatenate([np.stack(end, axis=1) for end in ends]).astype(float)
        return points + np.array([box[0].start, box[1].start])


class Hull(NamedTuple):
    """A convex polygon: its corners (N, 2) and its area in pixels."""

    corners: NDArray[np.float64]
    area: float


def hull_of(points: Sequence[NDArray[np.float64]]) -> Hull:
    """The convex hull of all points (N, 2), which must not lie on one line."""
    every = np.concatenate(points)
    found = ConvexHull(every)
    return Hull(every[found.vertices], float(found.volume))


def object_solidities(labels: NDArray[Any]) -> list[float]:
    """The solidity of every object (number above 0) of a plane (Y, X)."""
    numbers, regions = np.unique(np.maximum(labels, 0), return_inverse=True)
    first = int(numbers[0] > 0)  # 1 where no pixel is outside
    outlines = Outlines(regions.reshape(labels.shape) + first)
    return [outlines.solidity(n) for n in range(1, len(numbers) + first)]
