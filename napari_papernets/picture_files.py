"""PNG, JPEG and NumPy files: pictures and plain arrays, which tell no pixel size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .core.errors import InputError
from .core.image import ImageBlock, check_array, guess_axes, is_opaque
from .core.part import Grid
from .file_names import base_name

MAGIC = b"\x93NUMPY"


def read_png(path: Path, axes: str | None = None, level: int = 0) -> ImageBlock:
    """Read a PNG: axes "YX", or "YXC" for colours; an alpha channel that is opaque is left out."""
    import imagecodecs  # 16-bit colours become 8-bit in most other readers

    return _picture(imagecodecs.png_decode(path.read_bytes()), path, axes)


def read_index_png(path: Path, axes: str | None = None, level: int = 0) -> ImageBlock:
    """A PNG as it is stored: the indices of a colour table, and 0 and 1 of a mask."""
    header = path.read_bytes()[:26]
    bits, colour = (header[24], header[25]) if len(header) == 26 else (8, 0)
    if bits == 1 or colour == 3:
        from PIL import Image

        with Image.open(path) as picture:
            return ImageBlock(np.asarray(picture).astype(np.uint8), "YX")
    return read_png(path, axes, level)


def read_jpeg(path: Path, axes: str | None = None, level: int = 0) -> ImageBlock:
    """Read a JPEG: axes "YX", or "YXC" for colours."""
    from PIL import Image  # refuses a file that is cut off

    with Image.open(path) as picture:
        grey = picture.mode == "L"
        return _picture(np.asarray(picture if grey else picture.convert("RGB")), path, axes)


def _picture(array: NDArray[Any], path: Path, axes: str | None) -> ImageBlock:
    """A picture without an alpha channel that says nothing: one that is opaque everywhere."""
    alpha = array.ndim == 3 and array.shape[-1] in (2, 4) and array.dtype.kind == "u"
    if alpha and (array[..., -1] == np.iinfo(array.dtype).max).all():
        array, alpha = array[..., :-1], False
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    axes = axes or ("YXC" if array.ndim == 3 else "YX")
    alpha = alpha and axes.endswith("C")
    return ImageBlock(array, axes, name=base_name(path), source=str(path), alpha=alpha)


def read_numpy(path: Path, axes: str | None = None, level: int = 0) -> ImageBlock:
    """Map a ``.npy`` file; its axes are guessed.

    Raises
    ------
    InputError
        If it would have to be unpickled, or cannot be an image.
    """
    with path.open("rb") as file:
        plain = file.read(len(MAGIC)) == MAGIC
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False) if plain else None
    except ValueError as error:
        if "Python objects" not in str(error):
            raise
        array = None
    if array is None:
        mend = "pickles are never opened: save a plain array with numpy.save(…, allow_pickle=False)"
        raise InputError("image", f"{path.name}, which holds no plain array", mend)
    check_array(array, path.name)
    axes = axes or guess_axes(array.shape)
    opaque = is_opaque(array, axes)
    return ImageBlock(array, axes, name=base_name(path), source=str(path), alpha=opaque)


def write_png(path: Path, array: NDArray[Any], grid: Grid) -> None:
    """Write 8- or 16-bit grey or colours.

    Raises
    ------
    InputError
        For other numbers, and for stacks.
    """
    import imagecodecs

    array = array.astype(np.uint8) if array.dtype == bool else array
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.dtype not in (np.uint8, np.uint16):
        raise InputError("path", f"PNG for {array.dtype}", "choose .tif, which holds such numbers")
    if grid.axes != "YX" and not (grid.axes == "YXC" and array.shape[-1] in (3, 4)):
        raise InputError("path", f"PNG for the axes {grid.axes}", "choose .tif, which holds stacks")
    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(array)))


def write_numpy(path: Path, array: NDArray[Any], grid: Grid) -> None:
    """Write a plain array; its axes and pixel size are lost."""
    np.save(path, array, allow_pickle=False)
