"""Chosen patches of a dictionary as labels: squares in a layer beside their image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..core.errors import InputError
from .image_layers import full_data, guess_layer_axes, layer_axes
from .outputs import find_output, output_key, put_output
from .placement import placement_of

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

PATCHES = "patches"  # name of the layer
MOST = 2**28  # pixels of an image that labels are painted on


def painted(viewer: napari.viewer.Viewer, image: napari.layers.Image) -> napari.layers.Labels | None:
    """The layer of painted patches of an image, if there is one."""
    return find_output(viewer, output_key(PATCHES, image))


def paint_patches(
    viewer: napari.viewer.Viewer,
    image: napari.layers.Image,
    centres: NDArray[np.float64],
    side: int,
    label: int,
) -> None:
    """Paint squares.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layer is, or is made.
    image : napari.layers.Image
        Whose patches they are.
    centres : ndarray, shape (N, n)
        In pixels along the image's axes without its channels.
    side : int
        Of a square.
    label : int
        What they are painted with.

    Raises
    ------
    InputError
        If the image is too large to hold labels of it in memory.
    """
    shown = layer_axes(image, guess_layer_axes(image))
    keep = [i for i, axis in enumerate(shown) if axis in "TZYX"]
    shape = tuple(int(full_data(image).shape[i]) for i in keep)
    if np.prod(shape, dtype=np.float64) > MOST:
        raise InputError("image", f"{shape} pixels", "paint on a smaller part of it")
    layer = painted(viewer, image)
    labels: NDArray[Any] = np.zeros(shape, np.uint16) if layer is None else np.array(layer.data)
    plane = [shown[i] in "YX" for i in keep]
    for centre in centres:
        low = np.round(centre - side // 2).astype(int)
        place = tuple(
            slice(max(0, a), max(0, a + side)) if spatial else round(float(c))
            for a, c, spatial in zip(low, centre, plane, strict=True)
        )
        labels[place] = label
    where = placement_of(image).keep(keep)
    put_output(viewer, "labels", output_key(PATCHES, image), PATCHES, labels, where)
