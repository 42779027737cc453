"""An annotated image, kept in its session or read again from its own file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .core.errors import InputError
from .core.image import ImageBlock
from .files import read_image, read_indices
from .session_info import ImageInfo, check_image


def storable(array: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers of 64 bits in 32, which TIFF can hold, where they fit."""
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8:
        return array
    for kind in (np.uint32, np.int32):
        limits = np.iinfo(kind)
        if array.min(initial=0) >= limits.min and array.max(initial=0) <= limits.max:
            return array.astype(kind)
    return array


def read_again(info: ImageInfo, kept: Path | None) -> ImageBlock:
    """The image as it was annotated: the same axes in the same order.

    Parameters
    ----------
    info : ImageInfo
        What the session knows of it.
    kept : Path or None
        A file in the session, which goes before the image's own.

    Raises
    ------
    InputError
        If there is no such file, this program cannot read it, or it is another image now.
    """
    if kept is None and not info.source:
        mend = "open the image as a layer first: it has no file, and the session does not hold it"
        raise InputError("image", info.name, mend)
    path = kept or info.source
    try:
        return _as_annotated(read_image(path), info)
    except InputError as error:  # the viewer shows the indices of a colour table in a TIFF
        try:
            return _as_annotated(read_indices(path), info)
        except InputError:
            raise error from None


def _as_annotated(block: ImageBlock, info: ImageInfo) -> ImageBlock:
    image = replace(
        block, data=_arrange(block, info), axes=info.axes, scale=info.scale, name=info.name,
        unit=info.unit, source=info.source, alpha=block.alpha and "C" in info.axes,
        sized=block.sized if block.axes == info.axes else "",
    )  # fmt: skip
    check_image(info, image)
    return image


def _arrange(block: ImageBlock, info: ImageInfo) -> Any:
    """The data of `block` along the axes of `info`; large ones stay on disk."""
    if block.shape == info.shape and sorted(block.axes) != sorted(info.axes):
        return block.data  # the user named the axes
    lengths = dict(zip(info.axes, info.shape, strict=True))
    if any(block.size(axis) != lengths.get(axis, 1) for axis in set(block.axes + info.axes)):
        found = f"{block.name}, {'×'.join(map(str, block.shape))} ({block.axes})"
        expected = f"{'×'.join(map(str, info.shape))} ({info.axes})"
        raise InputError("image", found, f"the strokes were painted on {expected}; choose that file")
    data = block.data
    if not isinstance(data, np.ndarray):
        import dask.array

        data = dask.array.asarray(data)
    data = data[tuple(slice(None) if axis in info.axes else 0 for axis in block.axes)]
    there = [axis for axis in block.axes if axis in info.axes]
    data = data.transpose([there.index(axis) for axis in info.axes if axis in there])
    return data.reshape(info.shape)
