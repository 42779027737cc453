"""What of a prediction is there already: an array that fills up, tile by tile."""

from __future__ import annotations

from math import ceil

import numpy as np

from ..core.events import Event, PlaneDone, TileDone
from .run_plan import RunPlan

# Pixels to a side of what is sent to the screen with every update. Up to here the array has the shape of
# the result, which makes the hand-over cheap; beyond, every update would be too dear.
LARGEST_LOOK = 4096


class FirstLook:
    """Free of Qt and napari: the door's thread writes while the window shows what is there. (The first
    writing into fresh memory takes 40 ms for a large tile, too long for the thread of the window.)

    Parameters
    ----------
    plan : RunPlan
        The run.

    Attributes
    ----------
    step : int
        Every step-th pixel along Y and X is kept: enough for a first look; the result has them all.
    array : ndarray of the plan's label type
        Along the plan's axes, zeros at first.
    """

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        self._single = plan.shape[:-2].count(1) == len(plan.shape) - 2
        self.step = ceil(max(plan.shape[-2:]) / LARGEST_LOOK)
        shape = (*plan.shape[:-2], *(ceil(n / self.step) for n in plan.shape[-2:]))
        self.array = np.zeros(shape, plan.label_type)

    def takes(self, event: Event) -> bool:
        """Whether an event changes the array. The only plane of a run does not: it is the result."""
        return isinstance(event, TileDone) or (isinstance(event, PlaneDone) and not self._single)

    def write(self, event: Event) -> None:
        """Take up a tile or plane; other events change nothing."""
        if not isinstance(event, TileDone | PlaneDone) or not self.takes(event):
            return
        plan = self._plan
        index = tuple(i - o for i, o in zip(event.plane, plan.origin[:-2], strict=True))
        plane = self.array[index]
        # Numbers too large for the type wrap around until the result comes: this is a first look.
        labels = event.labels.astype(plan.label_type, copy=False)
        if isinstance(event, PlaneDone):
            plane[...] = labels[:: self.step, :: self.step]
            return
        rows, columns = self._overlap(event)
        plane[rows[0], columns[0]] = labels[rows[1], columns[1]]

    def box(self, event: Event) -> tuple[slice, slice] | None:
        """Rows and columns of the array that a tile changes; None is everything."""
        if not isinstance(event, TileDone):
            return None
        rows, columns = self._overlap(event)
        return rows[0], columns[0]

    def _overlap(self, tile: TileDone) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Of the rows and of the columns, where they land in the array, and which these are."""
        starts = tile.y[0] - self._plan.origin[-2], tile.x[0] - self._plan.origin[-1]
        sizes = self._plan.shape[-2:]
        rows, columns = (
            overlap(start, length, size, self.step)
            for start, length, size in zip(starts, tile.labels.shape, sizes, strict=True)
        )
        return rows, columns


def overlap(start: int, length: int, size: int, step: int) -> tuple[slice, slice]:
    """Where a part lands on a grid of every `step`-th pixel, along one axis.

    Parameters
    ----------
    start, length : int
        The part, in pixels of the array; it may reach beyond both ends.
    size : int
        Pixels of the array.
    step : int
        The grid has the pixels 0, step, 2 · step …

    Returns
    -------
    slice, slice
        Into the grid, and into the part.
    """
    low, high = max(start, 0), max(min(start + length, size), 0)
    first, end = ceil(low / step), ceil(high / step)
    if end <= first:
        return slice(0, 0), slice(0, 0)
    source = first * step - start
    return slice(first, end), slice(source, source + (end - first - 1) * step + 1, step)
