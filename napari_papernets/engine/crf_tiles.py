"""The CRF on tiles, for images too large for one lattice. Approximate, and it says by how much."""

from __future__ import annotations

from collections.abc import Callable, Generator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.events import TileDone
from .answer import classes_of

HALO = 2.0  # of the largest σ: beyond, a Gaussian has 5 % of its mass
SEAM = 2  # pixels on the other side of a seam where neighbours are compared

Solve = Callable[[NDArray[np.float32], NDArray[Any]], NDArray[np.float32]]


def solve_tiled(
    solve: Solve,
    beliefs: NDArray[np.float32],
    grey: NDArray[Any],
    tile: int,
    sigma: float,
    plane: tuple[int, ...] = (),
) -> Generator[TileDone, None, tuple[NDArray[np.float32], float]]:
    """Refine a plane tile by tile, each with a margin that is thrown away.

    Parameters
    ----------
    solve : callable
        Beliefs (K, y, x) and grey values (y, x, C) of a window to refined beliefs.
    beliefs : ndarray of float32, shape (K, Y, X)
        Probabilities.
    grey : ndarray, shape (Y, X, C)
        The image.
    tile : int
        Side of what each tile answers for, in pixels.
    sigma : float
        The largest σ in pixels; the margin is twice that, and at most a tile.
    plane : tuple of int
        For the events.

    Yields
    ------
    TileDone
        With the labels of the tile.

    Returns
    -------
    (ndarray of float32, shape (K, Y, X), float)
        Refined beliefs, and the largest difference between the answers of neighbouring tiles for
        pixels at their seams: an estimate of how far they are from one lattice.
    """
    height, width = beliefs.shape[1:]
    halo = min(round(HALO * sigma), tile)
    out, largest = np.empty_like(beliefs), 0.0
    corners = list(product(range(0, height, tile), range(0, width, tile)))
    for done, (top, left) in enumerate(corners, start=1):
        bottom, right = min(top + tile, height), min(left + tile, width)
        y0, x0 = max(top - halo, 0), max(left - halo, 0)
        window = slice(y0, min(bottom + halo, height)), slice(x0, min(right + halo, width))
        found = solve(
            np.ascontiguousarray(beliefs[:, window[0], window[1]]),
            np.ascontiguousarray(grey[window]),
        )
        for before in (
            (slice(max(top - SEAM, 0), top), slice(left, right)),
            (slice(top, bottom), slice(max(left - SEAM, 0), left)),
        ):
            mine = found[:, _from(before[0], y0), _from(before[1], x0)]
            difference = np.abs(mine - out[:, before[0], before[1]])
            largest = max(largest, float(difference.max(initial=0.0)))
        inner = slice(top, bottom), slice(left, right)
        part = found[:, _from(inner[0], y0), _from(inner[1], x0)]
        out[:, inner[0], inner[1]] = part
        yield TileDone(done, len(corners), plane, (top, bottom), (left, right), classes_of(part))
    return out, largest


def tile_count(shape: tuple[int, ...], tile: int) -> int:
    """How many tiles cover a plane (Y, X)."""
    return -(-shape[0] // tile) * -(-shape[1] // tile)


def _from(span: slice, origin: int) -> slice:
    return slice(span.start - origin, span.stop - origin)
