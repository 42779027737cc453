"""What an Image layer of napari says about itself: its array, its axes, and what of it is in view."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import InputError
from ..core.image import AXES, ImageBlock, Range, guess_axes, is_size
from ..core.tiles import Region
from ..units import is_length, is_time
from .camera import camera_of

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

SMALLEST_VIEW = 2  # pixels; less is a view beside the image


def full_data(layer: napari.layers.Image) -> Any:
    """The array of a layer at full resolution (level 0 of a multiscale image)."""
    return layer.data[0] if layer.multiscale else layer.data


def guess_layer_axes(layer: napari.layers.Image) -> str:
    """Axes of the layer's array: from its metadata (``axes``) or its axis labels where these are letters
    of TZCYX, else from its shape and the units of its axes.

    Raises
    ------
    InputError
        If the array has fewer than 2 or more than 5 axes.
    """
    shape = full_data(layer).shape
    labelled = "".join(str(label).upper() for label in layer.axis_labels) + ("C" if layer.rgb else "")
    for named in (str(layer.metadata.get("axes", "")).upper(), labelled):
        fits = len(named) == len(shape) == len(set(named)) and set("YX") <= set(named) <= set(AXES)
        if fits and (not layer.rgb or named.endswith("C")):
            return named
    return _suit_units(guess_axes(shape, rgb=bool(layer.rgb)), [str(unit) for unit in layer.units])


def _suit_units(guess: str, units: Sequence[str]) -> str:
    """What axes before Y are by their units: T in time, Z in length; any other stays what it is, where
    no unit says that another axis is that. One unit for all axes says nothing of any.

    >>> _suit_units("CYX", ["second", "micrometer", "micrometer"])
    'TYX'
    >>> _suit_units("TZYX", ["micrometer", "minute", "micrometer", "micrometer"])
    'ZTYX'
    """
    before, rest = guess[: guess.index("Y")], guess[guess.index("Y") :]
    if len(set(units)) == 1 or any(is_time(unit) for unit in units[len(before) :]):
        return guess
    told = {n: axis for n, unit in enumerate(units[: len(before)]) if (axis := _axis_of(unit))}
    if len(set(told.values())) < len(told):
        return guess
    free = [axis for axis in "TZC" if axis not in (*told.values(), *rest)]
    for n, axis in enumerate(before):
        if n not in told:
            told[n] = axis if axis in free else free[0]
            free.remove(told[n])
    return "".join(told[n] for n in range(len(before))) + rest


def _axis_of(unit: str) -> str:
    if is_time(unit):
        return "T"
    return "Z" if is_length(unit) else ""


def layer_axes(layer: napari.layers.Image, axes: str) -> str:
    """The axes that the layer shows: all of `axes`, without the colours of an RGB layer."""
    return axes[:-1] if layer.rgb else axes


def block_of(layer: napari.layers.Image, axes: str) -> ImageBlock:
    """The layer as the engine takes it.

    Parameters
    ----------
    layer : napari.layers.Image
        Any image: RGB, multiscale (level 0 is taken), lazy. Of a flip, the size of a pixel is taken; a
        scale that is not finite tells none.
    axes : str
        One letter of TZCYX for each axis of its array.

    Raises
    ------
    InputError
        If the axes do not fit, or the array cannot be an image.
    """
    if layer.rgb and axes[-1:] != "C":
        mend = "the colours of an RGB layer are its last axis: end with C"
        raise InputError("axes", repr(axes), mend)
    sizes = [abs(float(s)) for s in layer.scale] + [1.0] * bool(layer.rgb)  # negative: a flip
    told = len(sizes) == len(axes) and all(map(is_size, sizes))
    return ImageBlock(
        data=full_data(layer),
        axes=axes,
        scale=tuple(sizes) if told else (),
        name=str(layer.name),
        alpha=bool(layer.rgb) and full_data(layer).shape[-1] == 4,
        unit=str(layer.units[-1]) if told else "pixel",
        source=source_of(layer),
    )


def source_of(layer: napari.layers.Image) -> str:
    """The file that a layer came from; empty where it is not a file that still exists."""
    path = layer.source.path
    return str(path) if path and Path(str(path)).exists() else ""


def current_plane(
    viewer: napari.viewer.Viewer, layer: napari.layers.Image, axes: str
) -> tuple[int, ...]:
    """Index of the plane in view along the stack axes of the image, whatever scale its layer has."""
    shown = layer_axes(layer, axes)
    point = np.asarray(viewer.dims.point, dtype=float)[-layer.ndim :]
    position = np.asarray(layer.world_to_data(point))
    sizes = full_data(layer).shape
    return tuple(
        int(np.clip(round(float(position[i])), 0, sizes[i] - 1))
        for i, axis in enumerate(shown)
        if axis in "TZ"
    )


def shows_plane(viewer: napari.viewer.Viewer, layer: napari.layers.Image, axes: str) -> bool:
    """Whether the canvas shows Y and X of the image, flat."""
    shown = layer_axes(layer, axes)
    offset = viewer.dims.ndim - layer.ndim
    on_canvas = {d - offset for d in viewer.dims.displayed}
    return viewer.dims.ndisplay == 2 and on_canvas == {shown.index("Y"), shown.index("X")}


def visible_region(viewer: napari.viewer.Viewer, layer: napari.layers.Image, axes: str) -> Region | None:
    """The part of the plane that is on the canvas.

    Returns
    -------
    (y0, y1, x0, x1) in pixels of the full resolution, or None
        None where the canvas does not show Y and X, as in 3-D.

    Raises
    ------
    InputError
        If the image lies outside of the canvas.
    """
    if not shows_plane(viewer, layer, axes):
        return None
    shown = layer_axes(layer, axes)
    data = full_data(layer)
    dims = [shown.index(a) for a in "YX"]
    sizes = [data.shape[dim] for dim in dims]
    ranges = [_in_view(layer, dim, size) for dim, size in zip(dims, sizes, strict=True)]
    # Not drawn yet; an image below and right of the canvas has the same corners.
    if not layer.corner_pixels[:, dims].any() and _is_looked_at(viewer, layer, dims, sizes):
        return 0, sizes[0], 0, sizes[1]
    for (start, stop), size in zip(ranges, sizes, strict=True):
        if stop - start < min(SMALLEST_VIEW, size):
            mend = "move the image into view (Home) or predict the whole image"
            raise InputError("region", f"nothing of {layer.name} in view", mend)
    return *ranges[0], *ranges[1]


def _is_looked_at(
    viewer: napari.viewer.Viewer, layer: napari.layers.Image, dims: list[int], sizes: list[int]
) -> bool:
    """Whether the middle of the canvas lies on the image."""
    point = np.asarray(viewer.dims.point, dtype=float)
    point[list(viewer.dims.displayed)] = camera_of(viewer).center[-2:]
    middle = np.asarray(layer.world_to_data(point[-layer.ndim :]))[dims]
    return all(-0.5 <= at < size - 0.5 for at, size in zip(middle, sizes, strict=True))


def _in_view(layer: napari.layers.Image, dim: int, size: int) -> Range:
    factor = float(layer.downsample_factors[layer.data_level][dim]) if layer.multiscale else 1.0
    low, high = (int(c) for c in layer.corner_pixels[:, dim])
    return max(0, int(low * factor)), min(size, int(np.ceil((high + 1) * factor)))
