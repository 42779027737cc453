"""Grey values to 0…1 by percentiles of a plane, for every type and with NaN among the values."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.image import ImageBlock
from ..core.model import Normalisation

SAMPLE_PIXELS = 2**20
LIMIT = 1000.0  # |normalised value|: a single hot pixel must not overflow a network
LARGEST = 1e300  # grey value, whose distance to the smallest is a number, too
BLOCK = 2**17  # pixels normalised at a time, so that what is between stays in the processor's cache
OTHER_SCALE = 10.0  # times wider or narrower: another camera, or another number of bits

Ranges = tuple[NDArray[np.float64], NDArray[np.float64]]


def normalisation_range(
    image: ImageBlock,
    plane: Sequence[int] = (),
    channels: Sequence[int] | None = None,
    normalisation: Normalisation | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Grey values that become 0 and 1.

    Percentiles are taken over every s-th row and column, s such that about 2**20 pixels of the plane
    are looked at. Where they coincide although the plane is not constant (a few bright spots on an
    even ground), the extremes are taken instead.

    Parameters
    ----------
    image : ImageBlock
        Any image.
    plane : sequence of int
        Index along the stack axes.
    channels : sequence of int, optional
        Channels to keep, in this order (one may come twice); all where None.
    normalisation : Normalisation, optional
        Percentiles, and whether the channels share them.

    Returns
    -------
    low, high : ndarray, shape (C,), float64
        Grey values; equal for a constant plane.

    Raises
    ------
    InputError
        If a channel of the plane holds no finite value.
    """
    how = normalisation or Normalisation()
    wanted = list(channels) if channels is not None else list(range(image.channels))
    distinct = sorted(set(wanted))
    block = read_sample(image, plane)[distinct]
    groups = [block] if how.joint else list(block)
    what = image.named_plane(plane)
    ranges = [percentile_range(values, how, image.name, what) for values in groups]
    if how.joint:
        ranges = ranges * len(distinct)
    found = np.array([ranges[distinct.index(c)] for c in wanted], np.float64)
    return found[:, 0], found[:, 1]


def shared_range(own: Ranges, shared: Sequence[tuple[float, float]]) -> Ranges:
    """The scale of all images, as it holds for one plane.

    Parameters
    ----------
    own : (low, high), each of shape (C,)
        The range of the plane, from `normalisation_range`.
    shared : sequence of (float, float)
        For each of these channels what becomes 0 and 1 in every image.

    Returns
    -------
    low, high : ndarray, shape (C,), float64
        `shared`; of a plane that is on another scale altogether (its range is more than ten times wider
        or narrower, or so far away) its own range, since its grey values cannot be compared.
    """
    low, high = np.array(shared, np.float64).T
    span, own_span = high - low, own[1] - own[0]
    alike = (own_span <= OTHER_SCALE * span) & (span <= OTHER_SCALE * own_span)
    near = np.abs(own[0] - low) <= OTHER_SCALE * span
    return (low, high) if (alike & near).all() else own


def normalise(
    array: NDArray[Any], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Map `low` to 0 and `high` to 1.

    Parameters
    ----------
    array : ndarray, shape (C, Y, X), boolean, integer or real
        Grey values.
    low, high : ndarray, shape (C,)
        From `normalisation_range`. Where they are equal the channel becomes 0.

    Returns
    -------
    ndarray, shape (C, Y, X), float32
        Finite; values that are no finite number become 0, and ±1000 is never left.
    """
    zero, factor = (v[:, None, None] for v in zero_and_factor(low, high, array.dtype))
    result = np.empty(array.shape, np.float32)
    rows = max(1, BLOCK // max(1, array.shape[2]))
    for top in range(0, array.shape[1], rows):
        block = array[:, top : top + rows]
        with np.errstate(over="ignore", invalid="ignore"):
            values = block.astype(zero.dtype)
            values -= zero
            values *= factor
        if array.dtype.kind == "f":
            values[~np.isfinite(block)] = 0
        result[:, top : top + rows] = np.clip(values, -LIMIT, LIMIT, out=values)
    return result


def zero_and_factor(
    low: NDArray[np.float64], high: NDArray[np.float64], dtype: np.dtype[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """What `normalise` takes from grey values of that type, and multiplies what is left by, each (C,).

    Of a type of 8 or 16 bits float32 holds all integers: they are float32. Of others the difference is
    what counts: they are float64.
    """
    kind = np.dtype(np.float32 if is_small(dtype) else np.float64)
    span = np.asarray(high, np.float64) - np.asarray(low, np.float64)
    factor = np.divide(1.0, span, out=np.zeros_like(span), where=span > 0)
    return np.asarray(low, kind), factor.astype(kind)


def is_small(dtype: np.dtype[Any]) -> bool:
    """Whether float32 holds every value of a boolean or integer type of 8 or 16 bits."""
    return dtype.kind in "bui" and dtype.itemsize <= 2


def read_sample(image: ImageBlock, plane: Sequence[int] = ()) -> NDArray[Any]:
    """Evenly spaced pixels of a plane, about 2**20 of them at most, shape (C, y, x)."""
    stride = max(1, ceil(sqrt(np.prod(image.plane_shape) / SAMPLE_PIXELS)))
    at = dict(zip(image.stack_axes, plane, strict=True))
    index = tuple(slice(None, None, stride) if a in "YX" else at.get(a, slice(None)) for a in image.axes)
    block = np.asarray(image.data[index])
    left = [a for a in image.axes if a not in at]
    if "C" not in left:
        block, left = block[np.newaxis], ["C", *left]
    return block.transpose([left.index(a) for a in "CYX"])


def percentile_range(
    values: NDArray[Any], normalisation: Normalisation, name: str = "image", what: str = "a plane"
) -> tuple[float, float]:
    """Low and high percentile of the finite `values`; their extremes where those coincide.

    Raises
    ------
    InputError
        If no value is finite, naming the image and what of it `values` are.
    """
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values.ravel()
    if not finite.size:
        mend = "give it finite values, or leave it out"
        raise InputError(name, f"{what} without any finite value", mend)
    finite = np.clip(finite.astype(np.float64), -LARGEST, LARGEST)
    low, high = np.percentile(finite, [normalisation.low, normalisation.high])
    if not low < high:
        low, high = finite.min(), finite.max()
    return float(low), float(high)
