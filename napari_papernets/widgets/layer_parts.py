"""A layer that lies over an image: which planes of the image it has, and how they are read later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.image import ImageBlock
from ..core.tiles import Region
from .image_layers import full_data, layer_axes
from .outputs import is_output
from .placement import placement_of

if TYPE_CHECKING:
    import napari.layers

Index = tuple[int | slice, ...]
SAME = 0.01  # pixels by which the grids of image and result may differ


class NothingToRefine(InputError):
    """Nothing can be done as things are now: no reason to complain while nobody asked for it."""


@dataclass(frozen=True, eq=False)
class Target:
    """The image that others must fit: its layer, and as the engine takes it."""

    layer: napari.layers.Image
    block: ImageBlock

    @property
    def like(self) -> str:
        """Axes that the layer shows."""
        return layer_axes(self.layer, self.block.axes)


@dataclass(frozen=True)
class Fit:
    """How a layer lies over an image.

    Attributes
    ----------
    axes : str
        Of its array, without leading ones that the image does not have.
    first : tuple of int
        Plane of the image at which it begins, along each stack axis.
    count : tuple of int
        How many planes it has along each.
    window : (y0, y1, x0, x1)
        The pixels of each plane that it covers.
    """

    axes: str
    first: tuple[int, ...]
    count: tuple[int, ...]
    window: Region


def fit_layer(layer: napari.layers.Layer, target: Target, lead: int = 0) -> Fit | None:
    """How a layer lies over an image; None where it does not fit.

    It has the shape (*stack, Y, X) of the image, or that of one of our results: channels repeated, and
    perhaps but some planes, or a window of them, which its place tells.

    Parameters
    ----------
    layer : napari.layers.Layer
        Image or labels.
    target : Target
        The image.
    lead : int
        Axes in front that the image does not have.
    """
    block, data = target.block, full_data(layer)
    shape, stack = tuple(data.shape)[lead:], block.stack_axes
    height, width = block.plane_shape
    if shape == (*block.stack_shape, height, width):
        return Fit(f"{stack}YX", (0,) * len(stack), block.stack_shape, (0, height, 0, width))
    axes = target.like[max(0, len(target.like) - len(shape)) :]
    if lead or len(shape) != len(axes) or not set(f"{stack}YX") <= set(axes):
        return None
    ours = is_output(layer)
    if "C" in axes and not (ours or _is_repeated(data, axes.index("C"))):
        return None
    lacking = {axis for axis, size in zip(axes, shape, strict=True) if size != block.size(axis)}
    count = {axis: shape[axes.index(axis)] for axis in f"{stack}YX"}
    first = dict.fromkeys(count, 0)
    if lacking:
        start = first_pixel(layer, target, axes) if ours and lacking <= set(count) else None
        if start is None:
            return None
        first = {axis: start[axes.index(axis)] for axis in count}
    if not all(0 <= first[axis] <= block.size(axis) - count[axis] for axis in count):
        return None
    window = first["Y"], first["Y"] + count["Y"], first["X"], first["X"] + count["X"]
    return Fit(axes, tuple(first[a] for a in stack), tuple(count[a] for a in stack), window)


def overlap(one: Region, other: Region) -> Region | None:
    """The pixels that two regions share."""
    y0, x0 = max(one[0], other[0]), max(one[2], other[2])
    y1, x1 = min(one[1], other[1]), min(one[3], other[3])
    return (y0, y1, x0, x1) if y0 < y1 and x0 < x1 else None


def first_pixel(layer: napari.layers.Layer, target: Target, axes: str) -> tuple[int, ...] | None:
    """Pixel of the image at which a layer of these axes begins; None where it has another grid."""
    grid = placement_of(target.layer).keep([target.like.index(axis) for axis in axes])
    own = placement_of(layer)
    moved = np.linalg.solve(grid.rotate @ grid.shear, own.translate - grid.translate) / grid.scale
    first = np.round(moved)
    if not np.allclose(own.scale, grid.scale) or np.abs(moved - first).max() > SAME:
        return None
    return tuple(int(n) for n in first)


@dataclass(frozen=True, eq=False)
class LayerPart:
    """A part of a layer's array, of which nothing is read before `read`.

    Attributes
    ----------
    data : array
        numpy, dask, zarr.
    index : tuple of int and slice
        Of the part, for each axis of `data`; slices have a start and a stop.
    order : tuple of int
        Axes of `data` that are slices, in the order of the part.
    """

    data: Any
    index: Index
    order: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(len(self._range(axis)) for axis in self.order)

    def read(self, wanted: Index = ()) -> NDArray[Any]:
        """A block, by integers and slices along the axes of the part; all of those that are left out."""
        full = list(self.index)
        for axis, pick in zip(self.order, wanted, strict=False):
            picked = self._range(axis)[pick]
            full[axis] = slice(picked.start, picked.stop) if isinstance(picked, range) else picked
        block = np.asarray(self.data[tuple(full)])
        left = [axis for axis, pick in enumerate(full) if isinstance(pick, slice)]
        return block.transpose([left.index(axis) for axis in self.order if axis in left])

    def _range(self, axis: int) -> range:
        window = self.index[axis]
        assert isinstance(window, slice)
        return range(window.start, window.stop)


def part_of(
    layer: napari.layers.Layer,
    target: Target,
    plane: tuple[int, ...] | None,
    region: Region | None = None,
    lead: int = 0,
) -> LayerPart:
    """What a layer says of (a region of) a plane of the image, or of all of it where that is None.

    Returns
    -------
    LayerPart
        Of shape (*lead, Y, X), or (*lead, *stack, Y, X) where `plane` is None.

    Raises
    ------
    NothingToRefine
        If the layer does not have that plane.
    InputError
        If all planes, or the whole of one, are wanted and it has but some, or it fits no more.
    """
    fit = fit_layer(layer, target, lead)
    if fit is None:
        raise NothingToRefine("layer", f"{layer.name}, which no longer fits the image", "choose again")
    data, stack = full_data(layer), target.block.stack_axes
    index: list[int | slice] = [slice(0, int(n)) for n in data.shape]
    at = {axis: lead + n for n, axis in enumerate(fit.axes)}
    if "C" in at:
        index[at["C"]] = 0
    for axis, number in zip(stack, _planes(layer, target, fit, plane), strict=False):
        index[at[axis]] = number
    y0, y1, x0, x1 = region or (0, target.block.plane_shape[0], 0, target.block.plane_shape[1])
    if overlap((y0, y1, x0, x1), fit.window) != (y0, y1, x0, x1):
        mend = "predict the whole image, or the whole stack"
        raise InputError("layer", f"{layer.name}, of a part of the image alone", mend)
    top, left = fit.window[0], fit.window[2]
    index[at["Y"]], index[at["X"]] = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
    kept = (*range(lead), *(at[axis] for axis in f"{stack if plane is None else ''}YX"))
    return LayerPart(data, tuple(index), kept)


def _planes(
    layer: napari.layers.Layer, target: Target, fit: Fit, plane: tuple[int, ...] | None
) -> tuple[int, ...]:
    """Index of a plane of the image in a layer; empty for all of them."""
    block = target.block
    where = ", ".join(
        f"{axis} {first}" + (f" to {first + n - 1}" if n > 1 else "")
        for axis, first, n in zip(block.stack_axes, fit.first, fit.count, strict=True)
    )
    if plane is None:
        if fit.count != block.stack_shape:
            mend = "predict the whole stack, or refine the plane with “Whole image”"
            raise InputError("layer", f"{layer.name}, of {where} alone", mend)
        return ()
    found = tuple(p - first for p, first in zip(plane, fit.first, strict=True))
    if not all(0 <= p < n for p, n in zip(found, fit.count, strict=True)):
        mend = "move there, or predict this plane too"
        raise NothingToRefine("layer", f"{layer.name}, of {where} and not the plane in view", mend)
    return found


class LaterArray:
    """An array that is read by slicing, when its values are needed and on the thread that needs them.

    The engine asks for the blocks that it wants, as it does of dask and zarr arrays.

    Parameters
    ----------
    shape : tuple of int
        Its shape.
    dtype : dtype
        Its type.
    read : callable
        Takes an integer or slice for each axis and returns that block.
    keep : bool
        Keep what was read where that is all of it, so that it stays what it was.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: Any,
        read: Callable[[Index], NDArray[Any]],
        keep: bool = False,
    ) -> None:
        self.shape, self.dtype = tuple(int(n) for n in shape), np.dtype(dtype)
        self._read, self._keeps = read, keep
        self._kept: NDArray[Any] | None = None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        given = index if isinstance(index, tuple) else (index,)
        full = (*given, *(slice(None),) * (self.ndim - len(given)))
        if self._kept is not None:
            return self._kept[full]
        block = np.asarray(self._read(full), self.dtype)
        if self._keeps and block.shape == self.shape:
            self._kept = block
        return block

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[()], dtype)


def _is_repeated(data: Any, axis: int) -> bool:
    """Whether an axis holds the same values throughout, without memory."""
    return data.shape[axis] == 1 or (isinstance(data, np.ndarray) and data.strides[axis] == 0)
