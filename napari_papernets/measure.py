"""Size, shape and brightness of every object, as columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .core.errors import InputError
from .core.image import ImageBlock
from .core.part import Part
from .core.tiles import Region
from .units import MICRO, in_micrometres

Columns = dict[str, NDArray[Any]]

_SHAPES = ("label", "num_pixels", "centroid", "bbox")
_RATIOS = ("eccentricity", "solidity")


def measure(
    labels: NDArray[Any],
    image: ImageBlock | None = None,
    *,
    region: Region | None = None,
    planes: Sequence[tuple[int, ...]] | None = None,
) -> Columns:
    """Measure every object, plane by plane.

    Parameters
    ----------
    labels : ndarray of integers, shape (*stack, Y, X)
        0 is background, every other number one object.
    image : ImageBlock, optional
        Gives pixel size, unit, stack axes and brightness; of the same stack and plane shape, but for
        `region` and `planes`.
    region : (y0, y1, x0, x1), optional
        Pixels of the image that the labels cover, as it was given to ``predict``.
    planes : sequence of tuple of int, optional
        Planes of the image that they cover, as they were given to ``predict``.

    Returns
    -------
    dict of str to ndarray
        One row for each object and plane: ``label``; the index ``t``, ``z`` in a stack; ``area_px``;
        ``y``, ``x`` the centroid and ``y0``, ``x0``, ``y1``, ``x1`` the box (its end exclusive) in
        pixels; ``diameter_px`` of the circle of equal area; ``eccentricity`` and ``solidity``
        (0…1), of the shape in space where pixels are not square. Places and indices count in the
        whole image. With a pixel size in a known unit also ``area_um2``, ``diameter_um``, ``y_um``
        and ``x_um``; in any other, the same names with ``scaled``. With an image, ``intensity_mean``,
        ``_min`` and ``_max`` of its finite pixels (NaN where there is none), of several channels with
        their number behind (``intensity_mean_0``).

    Raises
    ------
    InputError
        If the shapes do not fit, or a number is negative.
    """
    part = None if image is None else Part(image, region, planes)
    stack = _check_fit(labels, part)
    scale = image.plane_scale if image is not None else (1.0, 1.0)
    places = list(np.ndindex(*labels.shape[:-2]))
    tables = [
        _measure_plane(labels[at], _greys(part, plane), dict(zip(stack, plane, strict=True)), scale)
        for at, plane in zip(places, part.indices if part is not None else places, strict=True)
    ]
    table = {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
    if part is None:
        return table
    y0, _, x0, _ = part.box
    table |= {name: table[name] + y0 for name in ("y", "y0", "y1")}
    table |= {name: table[name] + x0 for name in ("x", "x0", "x1")}
    return _with_units(table, scale, part.image.unit)


def _measure_plane(
    labels: NDArray[Any],
    greys: NDArray[Any] | None,
    index: dict[str, int],
    scale: tuple[float, float],
) -> Columns:
    from skimage.measure import regionprops_table

    # The shape in space, not on the grid: pixels need not be square.
    spacing = (scale[0] / scale[1], 1.0)
    dense, numbers = _numbered_densely(labels)
    found = regionprops_table(dense, properties=(*_SHAPES, *_RATIOS), spacing=spacing, separator="_")
    rows = len(found["label"])
    table = {"label": found["label"] if numbers is None else numbers[found["label"]]}
    table |= {axis.lower(): np.full(rows, at) for axis, at in index.items()}
    table |= _in_pixels(found, spacing)
    table |= {name: found[name] for name in _RATIOS}
    return table if greys is None else table | _brightness(dense, greys, found["label"])


def _brightness(dense: NDArray[np.int64], greys: NDArray[Any], rows: NDArray[np.int64]) -> Columns:
    """Mean, least and largest value of every channel, shape (Y, X, C), in the objects of `rows`."""
    channels = [_of_objects(dense, grey)[:, rows] for grey in np.moveaxis(greys, -1, 0)]
    names = [""] if len(channels) == 1 else [f"_{number}" for number in range(len(channels))]
    return {
        f"intensity_{kind}{name}": channel[at]
        for at, kind in enumerate(("mean", "min", "max"))
        for name, channel in zip(names, channels, strict=True)
    }


def _of_objects(dense: NDArray[np.int64], grey: NDArray[Any]) -> NDArray[np.float64]:
    """Mean, least and largest of the finite values of object 0, 1, …, shape (3, objects)."""
    values, count = grey.astype(np.float64), int(dense.max(initial=0)) + 1
    good = np.isfinite(values) & (dense > 0)
    places, values = dense[good], values[good]
    found = np.full((3, count), np.nan)
    pixels = np.bincount(places, minlength=count)
    np.divide(np.bincount(places, values, count), pixels, out=found[0], where=pixels > 0)
    np.fmin.at(found[1], places, values)
    np.fmax.at(found[2], places, values)
    return found


def _numbered_densely(labels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any] | None]:
    """Labels for what keeps a place for every number up to the highest, and the numbers that they
    stand for; None where these are small enough to be kept."""
    if labels.dtype != np.uint64 and labels.max(initial=0) <= labels.size:
        return labels.astype(np.int64), None
    kind = np.uint64 if labels.dtype == np.uint64 else np.int64
    numbers, places = np.unique(np.append(labels.ravel(), labels.dtype.type(0)), return_inverse=True)
    return places[:-1].reshape(labels.shape), numbers.astype(kind)


def _in_pixels(found: Columns, spacing: tuple[float, float]) -> Columns:
    columns = {"area_px": found["num_pixels"]}
    columns |= {"y": found["centroid_0"] / spacing[0], "x": found["centroid_1"]}
    columns |= {name: found[f"bbox_{i}"] for i, name in enumerate(("y0", "x0", "y1", "x1"))}
    columns["diameter_px"] = np.sqrt(4 * found["num_pixels"] / np.pi)
    return columns


def _with_units(table: Columns, scale: tuple[float, float], unit: str) -> Columns:
    factor, known = in_micrometres(1.0, unit)
    if known != MICRO and scale == (1.0, 1.0):
        return table
    name, power = ("um", "um2") if known == MICRO else ("scaled", "scaled")
    sy, sx = scale[0] * factor, scale[1] * factor
    area = table["area_px"] * (sy * sx)
    table |= {f"area_{power}": area, f"diameter_{name}": np.sqrt(4 * area / np.pi)}
    return table | {f"y_{name}": table["y"] * sy, f"x_{name}": table["x"] * sx}


def _greys(part: Part | None, index: tuple[int, ...]) -> NDArray[Any] | None:
    """One plane, shape (Y, X, C)."""
    if part is None:
        return None
    y0, y1, x0, x1 = part.box
    return np.moveaxis(part.image.read(index, (y0, y1), (x0, x1)), 0, -1)


def _check_fit(labels: NDArray[Any], part: Part | None) -> str:
    """Stack axes of the indices of planes."""
    if labels.ndim < 2 or labels.dtype.kind not in "ui":
        mend = "give whole numbers with the axes (*stack, Y, X)"
        raise InputError("labels", f"{labels.dtype} of shape {labels.shape}", mend)
    if labels.size and labels.min() < 0:
        raise InputError(
            "labels", f"the number {labels.min()}", "number objects from 1; 0 is background"
        )
    if part is None and labels.ndim > 4:
        raise InputError("labels", f"{labels.ndim} axes", "give at most T and Z before Y and X")
    if part is None:
        return "TZ"[-(labels.ndim - 2) :] if labels.ndim > 2 else ""
    if labels.shape != part.shape:
        mend = f"{part.image.name} needs labels of shape {part.shape}"
        raise InputError("labels", f"shape {labels.shape}", mend)
    return part.image.stack_axes
