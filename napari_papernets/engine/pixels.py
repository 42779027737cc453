"""Values of single annotated pixels, read tile by tile and remembered."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.tiles import SizeRule, Tile, plan_tiles
from .annotated import Plane

MAX_PIXELS = 6000  # of a class in one plane; more say little new
WINDOW = 768**2  # pixels of one pass

Places = NDArray[np.int64]
Read = Callable[[NDArray[np.float32], Places], Tensor]
"""Takes a window (`Plane.window`) and points (N, 2) in it; gives values (N, F)."""
Lookup = Callable[[Plane, Places], tuple[NDArray[np.bool_], Tensor]]
"""Tells which flat places of a plane have values at hand, and those (N, F)."""


class PixelMemory:
    """Values of the annotated pixels of planes; only those that are new are read.

    Parameters
    ----------
    read : callable
        Gives the values of points of a window.
    rule : SizeRule
        Of the windows that it takes.
    width : int
        F, values of a pixel.
    at_hand : callable, optional
        Gives values that need not be read.
    most : int
        Pixels of a class in one plane.
    """

    def __init__(
        self,
        read: Read,
        rule: SizeRule,
        width: int,
        at_hand: Lookup | None = None,
        most: int = MAX_PIXELS,
    ) -> None:
        self._most = most
        self._read, self._rule, self._width, self._at_hand = read, rule, width, at_hand
        self._known: dict[tuple[int, tuple[int, ...]], tuple[Places, Tensor]] = {}

    def forget(self) -> None:
        """What would be read now is different."""
        self._known.clear()

    def of(self, planes: Sequence[Plane]) -> tuple[Tensor, Tensor]:
        """Values and classes of the pixels that training sees.

        Returns
        -------
        values : Tensor, shape (N, F), float32, on the CPU
        classes : Tensor, shape (N,), int64
        """
        parts = [self._of(plane) for plane in planes]
        values, classes = (torch.cat(both) for both in zip(*parts, strict=True))
        return values, classes

    def _of(self, plane: Plane) -> tuple[Tensor, Tensor]:
        place, wanted = (plane.image, plane.index), choose_pixels(plane, self._most)
        values = torch.empty(len(wanted), self._width)
        known, before = self._known.get(place, (wanted[:0], values[:0]))
        there = np.isin(wanted, known, assume_unique=True)
        values[there] = before[np.searchsorted(known, wanted[there])]
        values[~there] = self._new(plane, wanted[~there])
        self._known[place] = wanted, values
        return values, torch.from_numpy(plane.annotation.ravel()[wanted].astype(np.int64))

    @torch.no_grad()
    def _new(self, plane: Plane, places: Places) -> Tensor:
        found, values = np.zeros(len(places), bool), torch.empty(len(places), self._width)
        if self._at_hand is not None:
            found, values = self._at_hand(plane, places)
        if found.all():
            return values
        points = np.stack(np.unravel_index(places, plane.shape), axis=-1)
        for tile in plan_tiles(plane.shape, self._rule, max_pixels=WINDOW):
            here = np.flatnonzero(inside(points, tile) & ~found)
            if len(here):
                window = plane.window(tile.y.read, tile.x.read)
                values[here] = self._read(window, points[here] - (tile.y.read[0], tile.x.read[0]))
        return values


def choose_pixels(plane: Plane, most: int = MAX_PIXELS) -> Places:
    """Flat places of annotated pixels that training sees, at most `most` of a class, sorted.

    Those with the smallest hash are chosen, so that most of them stay when there are more.
    """
    known = np.flatnonzero((plane.annotation >= 0) & ~plane.held)
    classes = plane.annotation.ravel()[known]
    chosen = [_some(known[classes == c], most) for c in np.unique(classes)]
    return np.sort(np.concatenate(chosen)) if chosen else known


def _some(places: Places, most: int) -> Places:
    if len(places) <= most:
        return places
    hashes = places.astype(np.uint64) * np.uint64(2654435761) % np.uint64(2**32)
    return places[np.argpartition(hashes, most)[:most]]


def inside(points: Places, tile: Tile) -> NDArray[np.bool_]:
    """Which points (N, 2) a tile answers for."""
    (y0, y1), (x0, x1) = tile.y.write, tile.x.write
    y, x = points.T
    return (y >= y0) & (y < y1) & (x >= x0) & (x < x1)
