"""How convex objects are, which tells two lobes of a clump from one object."""

from __future__ import annotations

from typing import Any

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
        self._parts: dict[int, tuple[int, ...]] = {}
        self._corners: dict[int, NDArray[np.float64]] = {}

    def join(self, number: int, other: int) -> None:
        """From now on `number` means both."""
        self._parts[number] = self._parts.get(number, (number,)) + self._parts.get(other, (other,))
        self._areas[number] += self._areas[other]

    def solidity(self, *numbers: int) -> float:
        """That of the regions taken together."""
        area = sum(int(self._areas[n]) for n in numbers)
        return area / float(ConvexHull(np.concatenate([self._hull(n) for n in numbers])).volume)

    def gain(self, one: int, other: int) -> float:
        """How much more solid two regions are apart, their mean weighted by area, than together."""
        areas = [self._areas[one], self._areas[other]]
        apart = np.average([self.solidity(one), self.solidity(other)], weights=areas)
        return float(apart - self.solidity(one, other))

    def _hull(self, number: int) -> NDArray[np.float64]:
        """Corners whose hull is that of a region and of all that was joined to it."""
        return np.concatenate([self._corners_of(part) for part in self._parts.get(number, (number,))])

    def _corners_of(self, region: int) -> NDArray[np.float64]:
        """The corners (y, x) of the convex hull of one of the regions as they were at first."""
        if region not in self._corners:
            box = self._boxes[region - 1]
            mask = self._regions[box] == region
            rows = np.flatnonzero(mask.any(axis=1))
            left = mask[rows].argmax(axis=1)
            right = mask.shape[1] - mask[rows, ::-1].argmax(axis=1)
            ends = [(rows + down, side) for down in (0, 1) for side in (left, right)]
            points = np.concatenate([np.stack(end, axis=1) for end in ends]).astype(float)
            points += [box[0].start, box[1].start]
            self._corners[region] = points[ConvexHull(points).vertices]
        return self._corners[region]


def object_solidities(labels: NDArray[Any]) -> list[float]:
    """The solidity of every object (number above 0) of a plane (Y, X)."""
    numbers, regions = np.unique(np.maximum(labels, 0), return_inverse=True)
    first = int(numbers[0] > 0)  # 1 where no pixel is outside
    outlines = Outlines(regions.reshape(labels.shape) + first)
    return [outlines.solidity(n) for n in range(1, len(numbers) + first)]
