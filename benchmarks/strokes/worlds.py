"""Drawn worlds: images of no particular kind, with the class of every pixel.

A network that shall learn anything from few strokes must have seen many kinds of images. No collection
of real ones is varied enough, so most of them are drawn: cells, blobs, rods, fibres and mosaics, told
apart by brightness, by texture, by their outlines, or by shading as in interference contrast and phase
contrast; blurred, noisy, unevenly lit, sometimes in colour.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

SIDE = 288

Array = NDArray[np.float32]
Rng = np.random.Generator


@dataclass(frozen=True, eq=False)
class World:
    """A drawn image.

    Attributes
    ----------
    image : ndarray of uint8, shape (1 or 3, SIDE, SIDE)
        Grey or colour.
    classes : ndarray of uint8, shape (SIDE, SIDE)
        0…K−1.
    """

    image: NDArray[np.uint8]
    classes: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Layout:
    """Where things are.

    Attributes
    ----------
    classes : ndarray of uint8
        Class of every pixel.
    objects : ndarray of int, or None
        Number of the object or region at every pixel.
    height : ndarray, or None
        How thick the objects are, 0…1.
    outlined : bool
        Whether objects may have an outline in the image.
    """

    classes: NDArray[np.uint8]
    objects: NDArray[np.int32] | None = None
    height: Array | None = None
    outlined: bool = True


def draw_world(seed: int) -> World:
    """The world of that number."""
    rng = np.random.default_rng(seed)
    layout = LAYOUTS[rng.integers(len(LAYOUTS))](rng)
    k = int(layout.classes.max()) + 1
    shares = np.stack(
        [ndimage.gaussian_filter((layout.classes == c).astype(np.float32), rng.uniform(0.3, 1.5))
         for c in range(k)]
    )  # fmt: skip
    shares /= shares.sum(0)
    image = _fill(rng, shares)
    image = _shade(rng, image, layout)
    image = _outline(rng, image, layout)
    image = _disturb(rng, image)
    low, high = np.percentile(image, (1, 99.8))
    image = np.clip((image - low) / (high - low + 1e-6), 0, 1.2)
    return World(_colour(rng, image, shares), layout.classes)


def field(rng: Rng, sigma: float | tuple[float, float]) -> Array:
    """Gaussian random field, zero mean and unit variance."""
    values = ndimage.gaussian_filter(
        rng.standard_normal((SIDE, SIDE)).astype(np.float32), sigma, mode="wrap"
    )
    return (values - values.mean()) / (values.std() + 1e-6)


def texture(rng: Rng) -> Array:
    """One of several kinds of texture, about unit variance."""
    kind = rng.integers(6)
    if kind == 0:
        return field(rng, rng.uniform(0.6, 2))
    if kind == 1:
        return field(rng, rng.uniform(2, 8))
    if kind == 2:  # streaks
        width = rng.uniform(0.5, 1.5)
        streaks = np.pad(field(rng, (width, width * rng.uniform(3, 8))), 60, mode="wrap")
        return ndimage.rotate(streaks, rng.uniform(0, 180), reshape=False, order=1)[60:-60, 60:-60]
    if kind == 3:  # granules
        spots = (rng.random((SIDE, SIDE)) < rng.uniform(0.002, 0.03)).astype(np.float32)
        spots = ndimage.gaussian_filter(spots, rng.uniform(0.7, 2.5))
        return spots / (spots.std() + 1e-6) * rng.choice([-1, 1])
    if kind == 4:
        return np.abs(field(rng, rng.uniform(1.5, 5)))
    return np.zeros((SIDE, SIDE), np.float32)


def partition(rng: Rng, count: int) -> NDArray[np.int32]:
    """Regions around random points, with wavy borders."""
    points = rng.uniform(0, SIDE, (count, 2))
    y, x = np.mgrid[:SIDE, :SIDE]
    dy, dx = (field(rng, rng.uniform(6, 25)) * rng.uniform(0, 8) for _ in range(2))
    _, nearest = cKDTree(points).query(np.stack([(y + dy).ravel(), (x + dx).ravel()], 1))
    return nearest.reshape(SIDE, SIDE).astype(np.int32)


def borders(regions: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Where the region changes to the next pixel."""
    found = np.zeros(regions.shape, bool)
    found[:-1] |= regions[:-1] != regions[1:]
    found[:, :-1] |= regions[:, :-1] != regions[:, 1:]
    return found


def ellipses(
    rng: Rng, count: int, radii: tuple[float, float], stretch: float
) -> tuple[NDArray[np.int32], Array]:
    """Dented ellipses that may overlap: their numbers, and their height 0…1."""
    numbers, height = np.zeros((SIDE, SIDE), np.int32), np.zeros((SIDE, SIDE), np.float32)
    grid_y, grid_x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    for number in range(1, count + 1):
        radius, long = np.exp(rng.uniform(*np.log(radii))), np.exp(rng.uniform(0, np.log(stretch)))
        angle, (cy, cx) = rng.uniform(0, np.pi), rng.uniform(0, SIDE, 2)
        reach = int(radius * long * 1.5) + 3
        box = tuple(slice(max(0, int(c) - reach), min(SIDE, int(c) + reach)) for c in (cy, cx))
        y, x = grid_y[box] - cy, grid_x[box] - cx
        u = (y * np.sin(angle) + x * np.cos(angle)) / (radius * long**0.5)
        v = (y * np.cos(angle) - x * np.sin(angle)) / (radius / long**0.5)
        dents = 1 + rng.uniform(0, 0.25) * np.sin(
            rng.integers(2, 5) * np.arctan2(v, u) + rng.uniform(0, 6)
        )
        r = np.hypot(u, v) / dents
        numbers[box][r < 1] = number
        height[box] = np.maximum(height[box], np.sqrt(np.clip(1 - r**2, 0, 1)))
    return numbers, height


def _cells(rng: Rng) -> Layout:
    """Cells that fill the image: their walls are a class, or some of the cells are."""
    regions = partition(rng, int(np.exp(rng.uniform(np.log(8), np.log(250)))))
    distance = ndimage.distance_transform_edt(~borders(regions)).astype(np.float32)
    wall = distance < rng.uniform(1, 5)
    height = np.clip(distance / rng.uniform(4, 20), 0, 1)
    if rng.random() < 0.35:
        chosen = rng.random(regions.max() + 1) < rng.uniform(0.2, 0.7)
        return Layout((chosen[regions] & ~wall).astype(np.uint8), regions, height)
    return Layout(wall.astype(np.uint8), regions, height)


def _objects(rng: Rng) -> Layout:
    """Single objects on a ground, sometimes of two kinds."""
    least = rng.uniform(4, 14)
    count = int(rng.uniform(0.25, 1.1) * SIDE**2 / (np.pi * (least * 1.5) ** 2) / 1.5) + 3
    numbers, height = ellipses(rng, count, (least, least * rng.uniform(1.2, 3)), rng.uniform(1.05, 4))
    classes = (numbers > 0).astype(np.uint8)
    if rng.random() < 0.15:
        kinds = rng.integers(1, 3, count + 1).astype(np.uint8)
        classes = np.where(numbers > 0, kinds[numbers], 0).astype(np.uint8)
    return Layout(_gapless(classes), numbers, height)


def _blobs(rng: Rng) -> Layout:
    values = field(rng, np.exp(rng.uniform(np.log(3), np.log(25))))
    classes = (values > rng.uniform(-0.5, 1)).astype(np.uint8)
    distance = ndimage.distance_transform_edt(classes).astype(np.float32)
    return Layout(classes, None, np.clip(distance / (distance.max() * 0.5 + 1), 0, 1))


def _fibres(rng: Rng) -> Layout:
    values = field(rng, np.exp(rng.uniform(np.log(4), np.log(20))))
    away = np.abs(values) / (np.hypot(*np.gradient(values)) + 1e-3)
    return Layout((away < rng.uniform(1, 4)).astype(np.uint8))


def _mosaic(rng: Rng) -> Layout:
    """Large regions of two to four classes."""
    regions = partition(rng, int(rng.integers(4, 30)))
    kinds = rng.integers(0, rng.integers(2, 5), regions.max() + 1).astype(np.uint8)
    return Layout(_gapless(kinds[regions]), regions, outlined=False)


LAYOUTS: tuple[Callable[[Rng], Layout], ...] = (_cells, _objects, _objects, _blobs, _fibres, _mosaic)


def _gapless(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.unique(classes, return_inverse=True)[1].reshape(classes.shape).astype(np.uint8)


def _fill(rng: Rng, shares: Array) -> Array:
    """Brightness and texture of every class; both may be alike in all of them."""
    contrast = rng.choice([0, 0.15, 0.5, 1, 2], p=[0.2, 0.15, 0.2, 0.25, 0.2])
    means = rng.standard_normal(len(shares)) * contrast
    common = texture(rng) if rng.random() < 0.3 else None
    image = np.zeros((SIDE, SIDE), np.float32)
    for share, mean in zip(shares, means, strict=True):
        own = texture(rng) if common is None else common
        image += share * (mean + own * rng.uniform(0.1, 0.7))
    return image


def _shade(rng: Rng, image: Array, layout: Layout) -> Array:
    """Brightness of single objects; interference contrast, halos of phase contrast, or thickness."""
    if layout.objects is not None and rng.random() < 0.6:
        each = rng.standard_normal(layout.objects.max() + 1) * rng.uniform(0, 0.5)
        own = each[layout.objects].astype(np.float32) * (layout.classes > 0)
        image = image + ndimage.gaussian_filter(own, 0.7)
    kind = rng.random()
    if layout.height is None or kind > 0.75:
        return image
    if kind < 0.3:
        dy, dx = np.gradient(ndimage.gaussian_filter(layout.height, rng.uniform(0.7, 2.5)))
        angle = rng.uniform(0, 2 * np.pi)
        slope = dy * np.sin(angle) + dx * np.cos(angle)
        return image * rng.uniform(0.2, 1) + slope / (slope.std() + 1e-6) * rng.uniform(0.4, 1.2)
    if kind < 0.55:
        near = ndimage.gaussian_filter(layout.height, 1)
        halo = near - ndimage.gaussian_filter(layout.height, rng.uniform(3, 9))
        strength = rng.choice([-1, 1]) * rng.uniform(0.3, 1)
        return image * rng.uniform(0.3, 1) + strength * halo / (halo.std() + 1e-6)
    return image + rng.choice([-1, 1]) * layout.height * rng.uniform(0.3, 1.5)


def _outline(rng: Rng, image: Array, layout: Layout) -> Array:
    if layout.objects is None or not layout.outlined or rng.random() > 0.4:
        return image
    line = ndimage.gaussian_filter(borders(layout.objects).astype(np.float32), rng.uniform(0.6, 1.8))
    return image + rng.choice([-1, 1]) * line / (line.max() + 1e-6) * rng.uniform(0.3, 2)


def _disturb(rng: Rng, image: Array) -> Array:
    """Dirt, uneven light, blur and noise."""
    if rng.random() < 0.4:
        _, dirt = ellipses(rng, int(rng.integers(3, 60)), (1.5, rng.uniform(3, 10)), 2)
        strength = rng.standard_normal() * rng.choice([0.5, 1.5])
        image = image + strength * ndimage.gaussian_filter(dirt, 0.7)
    image = image + field(rng, rng.uniform(40, 90)) * rng.uniform(0, 0.5)
    image = ndimage.gaussian_filter(image, rng.uniform(0, 1.3))
    noise = rng.standard_normal((SIDE, SIDE)).astype(np.float32)
    return image + noise * image.std() * rng.choice([0.02, 0.1, 0.3, 0.6])


def _colour(rng: Rng, image: Array, shares: Array) -> NDArray[np.uint8]:
    """Grey as it is, or in three channels of which each sees the classes differently."""
    if rng.random() < 0.75:
        return (np.clip(image, 0, 1) * 255).astype(np.uint8)[None]
    channels = []
    for _ in range(3):
        stain = rng.standard_normal(len(shares)) * rng.uniform(0.05, 0.4)
        channels.append(image * rng.uniform(0.3, 1.2) + np.tensordot(stain, shares, 1))
    colour = np.stack(channels)
    colour = (colour - colour.min()) / (np.ptp(colour) + 1e-6)
    return (np.clip(colour, 0, 1) * 255).astype(np.uint8)
