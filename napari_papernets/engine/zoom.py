"""Zoom: planes resized before the network sees them, answers resized back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from ..core.image import Range
from ..core.tiles import Region

ZOOMS = (1.0, 0.5, 2.0, 0.25, 4.0)
CONVINCING = 0.6  # score at which the pixels as they are need no comparison
CREDIBLE = 0.01  # score below which it is specks that were found: 0.004 in noise, from 0.03 on in cells
ALIKE = 4 / 3  # diameters, as they are in the image, of which one is at most this times the other
PROBE = 512  # side in pixels, after zooming, of the window on which zooms are compared


def resize(plane: NDArray[Any], zoom: float) -> NDArray[np.float32]:
    """Resize a plane bilinearly, antialiased where it shrinks.

    Parameters
    ----------
    plane : ndarray, shape (C, Y, X)
        Any numeric type.
    zoom : float
        Factor; each side becomes at least 1 pixel.

    Returns
    -------
    ndarray of float32, shape (C, Y', X')
    """
    size = [max(1, round(n * zoom)) for n in plane.shape[-2:]]
    x = torch.from_numpy(np.ascontiguousarray(plane, dtype=np.float32))[None]
    return F.interpolate(x, size=size, mode="bilinear", antialias=True)[0].numpy()


def zoom_region(region: Region, shape: tuple[int, int], zoomed: tuple[int, int]) -> Region:
    """Pixels of the zoomed plane that `region` of the plane needs, a pixel to spare on each side."""
    y = _zoom_range(region[:2], shape[0], zoomed[0])
    x = _zoom_range(region[2:], shape[1], zoomed[1])
    return (*y, *x)


def resample(
    block: NDArray[np.float32],
    origin: tuple[int, int],
    zoomed: tuple[int, int],
    shape: tuple[int, int],
    region: Region,
) -> NDArray[np.float32]:
    """Bring answers on the zoomed plane back to pixels of the plane, bilinearly.

    Parameters
    ----------
    block : ndarray of float32, shape (K, y, x)
        Part of the zoomed plane that starts at `origin`.
    origin : (y, x)
        First pixel of `block` in the zoomed plane.
    zoomed, shape : (Y, X)
        Sizes of the zoomed plane and of the plane.
    region : (y0, y1, x0, x1)
        Pixels of the plane to answer for.

    Returns
    -------
    ndarray of float32, shape (K, y1 − y0, x1 − x0)
        Every pixel is what it is in the whole plane, whatever the region.
    """
    rows = _positions(region[:2], shape[0], zoomed[0], origin[0], block.shape[-2])
    columns = _positions(region[2:], shape[1], zoomed[1], origin[1], block.shape[-1])
    return _lerp(_lerp(block, rows, axis=-2), columns, axis=-1)


def choose_zoom(
    diameter_at: Callable[[float], tuple[float, float]], trained_diameter: float
) -> tuple[float, list[dict[str, float]]]:
    """Find the zoom at which objects look as large as those of the training.

    Parameters
    ----------
    diameter_at : callable
        zoom -> (median diameter of the objects found, in zoomed pixels; how convincing they are, in
        0…1: foreground mass inside confident objects).
    trained_diameter : float
        Median diameter of the training objects in pixels.

    Returns
    -------
    zoom : float
        The best of those tried, moved towards the trained size; 1 if no zoom shows more than specks, or
        if the same objects are found as surely in the pixels as they are: they show most of the
        outlines.
    tried : list of dict
        zoom, diameter and confidence of each try.
    """
    tried = []
    for zoom in ZOOMS:
        diameter, confidence = diameter_at(zoom)
        fit = np.exp(-0.5 * (np.log2(max(diameter, 1e-6) / trained_diameter) / 1.5) ** 2)
        score = float(confidence * fit) if diameter else 0.0
        tried.append(dict(zoom=zoom, diameter=diameter, confidence=confidence, score=score))
        if zoom == 1.0 and score > CONVINCING:
            return 1.0, tried
    best = max(tried, key=lambda t: t["score"])
    if best["score"] < CREDIBLE:
        return 1.0, tried
    there, here = best["diameter"] / best["zoom"], tried[0]["diameter"]
    if max(there, here) <= ALIKE * min(there, here) and tried[0]["confidence"] >= best["confidence"]:
        return 1.0, tried
    ideal = best["zoom"] * trained_diameter / best["diameter"]
    # Within a factor of two of the trained size the network needs no help: keep the pixels.
    if 0.5 <= ideal <= 2.0:
        return 1.0, tried
    return float(np.clip(round(ideal, 2), 0.1, 8.0)), tried


def _zoom_range(wanted: Range, length: int, zoomed: int) -> Range:
    factor = zoomed / length
    low = int(np.floor((wanted[0] + 0.5) * factor - 0.5))
    high = int(np.ceil((wanted[1] - 0.5) * factor - 0.5)) + 1
    return max(0, low), min(zoomed, max(high, low + 2))


def _positions(
    wanted: Range, length: int, zoomed: int, origin: int, available: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Two neighbours and the weight of the second, for each wanted pixel centre."""
    at = (np.arange(*wanted) + 0.5) * (zoomed / length) - 0.5
    at = np.clip(at, 0, zoomed - 1)
    first = np.floor(at).astype(np.intp)
    second = np.minimum(first + 1, zoomed - 1)
    weight = (at - first).astype(np.float32)
    last = available - 1
    return np.clip(first - origin, 0, last), np.clip(second - origin, 0, last), weight


def _lerp(
    block: NDArray[np.float32],
    positions: tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]],
    axis: int,
) -> NDArray[np.float32]:
    first, second, weight = positions
    shaped = weight[:, None] if axis == -2 else weight
    low, high = np.take(block, first, axis=axis), np.take(block, second, axis=axis)
    return low + (high - low) * shaped
