"""What the pictures share: random fields, warps, a camera, and a hand that paints strokes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float64]
Labels = NDArray[Any]
Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class Picture:
    """One drawn sample.

    Attributes
    ----------
    image : ndarray of uint8 or uint16
        The picture itself.
    truth : ndarray of uint8 or uint16
        Instances, or classes counted from 1.
    strokes : ndarray of uint8
        0 where nothing is painted, else the class, counted from 1.
    """

    image: NDArray[Any]
    truth: Labels
    strokes: Labels


def field(rng: Rng, shape: Sequence[int], sigma: float | Sequence[float]) -> Array:
    """Gaussian random field of zero mean and unit variance, smooth over `sigma` pixels."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="reflect")
    return (noise - noise.mean()) / noise.std()


def grid(shape: Sequence[int]) -> tuple[Array, Array]:
    """(y, x) of every pixel."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    return y, x


def smoothstep(values: Array, low: float, high: float) -> Array:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def vignette(shape: Sequence[int], strength: float, centre: tuple[float, float] = (0.47, 0.53)) -> Array:
    """Illumination that falls off to ``1 - strength`` in the farthest corner."""
    y, x = grid(shape)
    distance = np.hypot(y / shape[0] - centre[0], x / shape[1] - centre[1])
    return 1 - strength * (distance / distance.max()) ** 2


def expose(rng: Rng, photons: Array, gain: float, read_noise: float, offset: float) -> Array:
    """Camera counts of an expected number of photons: shot noise, read-out noise, offset.

    Shot noise is drawn as its normal limit, so that a rounding error cannot change all later draws.
    """
    shot = rng.standard_normal(photons.shape) * np.sqrt(np.maximum(photons, 0))
    return offset + gain * (photons + shot) + read_noise * rng.standard_normal(photons.shape)


def as_integers(values: Array, kind: str) -> NDArray[Any]:
    """Rounded and clipped to the range of an unsigned type."""
    return np.clip(np.rint(values), 0, np.iinfo(kind).max).astype(kind)


def interiors(labels: Labels) -> NDArray[np.bool_]:
    """Objects without the pixels at which they end or touch, where a careful hand does not paint."""
    alike = ndimage.grey_erosion(labels, 3) == ndimage.grey_dilation(labels, 3)
    return np.asarray(alike & (labels > 0))


def paint(
    rng: Rng, mask: NDArray[np.bool_], count: int, length: int, labels: Labels | None = None
) -> Labels:
    """Strokes 3 pixels wide inside a mask, as a hand paints them.

    Parameters
    ----------
    rng : Generator
        Source of chance.
    mask : ndarray of bool, shape (Y, X)
        Where to paint.
    count, length : int
        Number of strokes and their greatest length in pixels.
    labels : ndarray of integers, optional
        Objects; each gets one stroke at most.

    Returns
    -------
    ndarray of bool, shape (Y, X)
        The painted pixels, all of them in `mask`.
    """
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    painted = np.zeros(mask.shape, bool)
    peak = (
        depth.max()
        if labels is None
        else ndimage.maximum(depth, labels, np.arange(labels.max() + 1))[labels]
    )
    free = mask & (depth >= np.minimum(4.0, 0.6 * peak))
    for _ in range(count):
        candidates = np.argwhere(free)
        if not len(candidates):
            break
        start = candidates[rng.integers(len(candidates))]
        line = _walk(rng, depth, start, length)
        painted[line[:, 0], line[:, 1]] = True
        free &= ~_around(mask.shape, line, labels, start)
    return ndimage.binary_dilation(painted, np.ones((3, 3), bool)) & mask


def _walk(rng: Rng, depth: Array, start: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    """A path that bends gently, turns towards the middle of the mask and ends at its border."""
    at, heading = start.astype(float), rng.uniform(0, 2 * np.pi)
    turns = np.linspace(-0.7, 0.7, 7)
    points = [start]
    for _ in range(int(rng.uniform(0.5, 1) * length)):
        angles = heading + turns + 0.1 * rng.standard_normal()
        ahead = np.rint(at + 4 * np.column_stack([np.sin(angles), np.cos(angles)])).astype(int)
        inside = ((ahead >= 0) & (ahead < depth.shape)).all(axis=1)
        ahead = np.clip(ahead, 0, np.array(depth.shape) - 1)
        room = np.where(inside, np.minimum(depth[ahead[:, 0], ahead[:, 1]], 4), 0) - 0.4 * turns**2
        heading = angles[int(np.argmax(room))]
        at = at + np.array([np.sin(heading), np.cos(heading)])
        pixel = np.rint(at).astype(int)
        if (pixel < 0).any() or (pixel >= depth.shape).any() or depth[tuple(pixel)] < 1:
            break
        points.append(pixel)
    return np.array(points)


def _around(
    shape: Sequence[int], line: NDArray[np.intp], labels: Labels | None, start: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Where no further stroke shall begin: the same object, or near the stroke."""
    if labels is not None:
        return np.asarray(labels == labels[tuple(start)])
    away = np.ones(shape, bool)
    away[line[:, 0], line[:, 1]] = False
    return np.asarray(ndimage.distance_transform_edt(away) < 40)
