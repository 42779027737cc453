"""Images, labels and tables in and out: TIFF, OME-TIFF, PNG, JPEG, NumPy and OME-Zarr.

Whatever is written appears whole or not at all: it is made beside its place under another name, then
renamed. Nothing is ever unpickled. Libraries are imported when a file of their kind is opened.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .atomic import replacing, write_atomically
from .core.errors import InputError
from .core.image import ImageBlock, check_array, check_axes, check_scale
from .core.part import Grid
from .image_folders import JPEG, READABLE, TIFF, is_zarr, names_of
from .picture_files import read_index_png, read_jpeg, read_numpy, read_png, write_numpy, write_png
from .tiff_files import read_index_tiff, read_tiff, write_tiff
from .units import in_micrometres_all
from .zarr_files import read_zarr, write_zarr

WRITABLE = (*TIFF, ".png", ".npy", ".zarr")

Reader = Callable[[Path, str | None, int], ImageBlock]
Writer = Callable[[Path, NDArray[Any], Grid], None]


def read_image(
    path: str | Path, axes: str | None = None, level: int = 0, field: str = "image"
) -> ImageBlock:
    """Read an image or stack, with its axes and pixel size where the file tells them.

    Parameters
    ----------
    path : str or Path
        TIFF, OME-TIFF, PNG, JPEG or ``.npy`` file, or a zarr or OME-Zarr folder. Of a colour table, the
        colours are read.
    axes : str, optional
        One letter of "TZCYX" for each axis of the stored array. Where None, what the file says, or
        else a guess from the shape.
    level : int
        Resolution of a pyramid, 0 being the full one.
    field : str
        What errors call the file.

    Returns
    -------
    ImageBlock
        Large TIFF and zarr images are not loaded: they are mapped, or read chunk by chunk. Pixel sizes
        that are not positive and finite count as not told; where a file tells only one of Y and X, its
        pixels are taken for squares.

    Raises
    ------
    InputError
        If there is no such file, its kind is unknown, it is damaged or cut off, it would have to be
        unpickled, or the axes do not fit.
    """
    path = Path(path)
    reader = _pick_reader(path, field)
    if axes is not None:
        axes = axes.upper().replace("S", "C")
    return _guarded(lambda: reader(path, axes, level), path, field)


def read_indices(path: str | Path, field: str = "image") -> ImageBlock:
    """Read an image as `read_image` does, but of a PNG or TIFF with a colour table the indices.

    Raises
    ------
    InputError
        As `read_image`.
    """
    path = Path(path)
    reader = _pick_reader(path, field)
    reader = _INDEX_READERS.get(reader, reader)
    return _guarded(lambda: reader(path, None, 0), path, field)


def read_labels(path: str | Path) -> NDArray[Any]:
    """Read a label image: whole numbers, 0 meaning background or not annotated.

    Parameters
    ----------
    path : str or Path
        Any file that `read_image` takes but JPEG. Of a PNG or TIFF with a colour table, the indices are
        read.

    Returns
    -------
    ndarray of integers
        In the stored order of axes; a boolean mask becomes 0 and 1.

    Raises
    ------
    InputError
        As `read_image`; and for colours, negative numbers and numbers that are not whole.
    """
    path = Path(path)
    if path.suffix.lower() in JPEG and path.is_file():
        received = f"{path.name}, a JPEG, which does not keep numbers as they are"
        raise InputError("labels", received, "save labels as TIFF or PNG")
    block = read_indices(path, "labels")
    stored = _drop_equal_colours(np.asarray(block.data), block.axes, path)
    return as_labels(stored, path.name)


def write_image(
    path: str | Path,
    array: ArrayLike,
    axes: str,
    scale: Sequence[float | None] = (),
    unit: str = "pixel",
    positions: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Write an image, whole or not at all.

    Parameters
    ----------
    path : str or Path
        Its suffix decides: ``.tif`` (OME-TIFF, zlib), ``.zarr`` (OME-Zarr 0.5), ``.png`` or ``.npy``.
        PNG and NumPy files keep neither axes nor pixel size. A file that is there is replaced.
    array : array
        Boolean, integer or real.
    axes : str
        One letter of "TZCYX" for each axis. TIFF stores Y and X last, OME-Zarr the order TCZYX.
    scale : sequence of float or None, optional
        Pixel size along each axis, in `unit`, positive and finite; of T, the interval in seconds; None
        where there is no one such size, or none is known.
    unit : str
        "µm" and the like, or "pixel".
    positions : mapping of str to sequence of float, optional
        Of a part of an image: where each plane lies in it, as `core.part.Part.positions` tells. TIFF
        keeps all of it; OME-Zarr the place of the first plane, along the axes of the array.

    Raises
    ------
    InputError
        If the kind of file is unknown, or cannot hold such an array.
    """
    path, data = Path(path), np.asarray(array)
    check_array(data, "image")
    check_axes(axes, data.shape, "image")
    sizes = tuple(scale) or tuple(None if axis == "T" else 1.0 for axis in axes)
    check_scale([1.0 if size is None else size for size in sizes], axes)
    grid = in_micrometres_all(Grid(axes, sizes, unit, positions or {}))
    writer = _pick_writer(path)
    with replacing(path) as temporary:
        writer(temporary, data, grid)


def write_labels(
    path: str | Path,
    labels: ArrayLike,
    axes: str | None = None,
    scale: Sequence[float | None] = (),
    unit: str = "pixel",
    positions: Mapping[str, Sequence[float]] | None = None,
) -> None:
    """Write a label image in the smallest unsigned type that holds its numbers, whole or not at all.

    Parameters
    ----------
    path, scale, unit, positions
        As in `write_image`.
    labels : array of whole numbers, shape (*stack, Y, X)
        0 is background or not annotated.
    axes : str, optional
        As in `write_image`; where None, "YX", "ZYX" or "TZYX" by the number of axes.

    Raises
    ------
    InputError
        As `write_image`; and for numbers that are negative, not whole or above 4294967295.
    """
    data = as_labels(np.asarray(labels), "labels")
    check_array(data, "labels")
    if axes is None:
        axes = "TZYX"[-data.ndim :] if data.ndim <= 4 else "TZCYX"
    kind = np.min_scalar_type(int(data.max()))
    if kind.itemsize > 4:
        raise InputError("labels", f"the number {data.max()}", "number the objects anew, from 1")
    write_image(path, data.astype(kind), axes, scale, unit, positions)


def write_table(path: str | Path, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
    """Write a table as CSV, whole or not at all.

    Parameters
    ----------
    path : str or Path
        File to write or replace.
    columns : mapping of str to sequence
        Columns of equal length, by name.

    Raises
    ------
    InputError
        If the columns differ in length.
    """
    lengths = {len(c) for c in columns.values()}
    if len(lengths) > 1:
        raise InputError("columns", f"lengths {sorted(lengths)}", "give columns of equal length")
    with replacing(Path(path)) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def write_json(path: str | Path, values: Mapping[str, Any], wait: bool = False) -> None:
    """Write a mapping as indented JSON, whole or not at all; `wait` until it is on the disk."""
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    write_atomically(Path(path), text.encode(), wait)


def check_readable(path: str | Path, field: str = "image") -> None:
    """Refuse what is not there, or is no file or folder of images by its name; it is not opened.

    Raises
    ------
    InputError
        Naming the file, as `field`.
    """
    _pick_reader(Path(path), field)


def as_labels(array: NDArray[Any], field: str) -> NDArray[Any]:
    """`array` as integers, if its values are whole numbers from 0 up.

    Raises
    ------
    InputError
        If they are not.
    """
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    mend = "labels are whole numbers: 0 for background or not annotated, 1 and up for the rest"
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and (array == np.floor(array)).all()):
            raise InputError(field, f"numbers that are not whole ({array.dtype})", mend)
        if array.size and array.max() >= 2.0**63:
            raise InputError(field, f"the number {array.max():g}", "number the objects anew, from 1")
        if array.size and array.min() < 0:
            raise InputError(field, f"the number {array.min():g}", mend)
        array = array.astype(np.int64)
    if array.dtype.kind not in "ui":
        raise InputError(field, f"values of type {array.dtype}", mend)
    if array.size and array.min() < 0:
        raise InputError(field, f"the number {array.min()}", mend)
    return array


def _pick_reader(path: Path, field: str = "image") -> Reader:
    _check_exists(path, field)
    reader = _READERS.get("folder" if path.is_dir() else path.suffix.lower())
    if reader is None:
        mend = f"give {names_of(READABLE)}, or save the image as TIFF first"
        raise InputError(field, path.name, mend)
    return reader


def _pick_writer(path: Path) -> Writer:
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise InputError("path", path.name, f"choose a name that ends in {names_of(WRITABLE)}")
    return writer


def _read_zarr(path: Path, axes: str | None, level: int) -> ImageBlock:
    if not is_zarr(path):
        received = f"{path}, a folder that is not a Zarr image"
        raise InputError("image", received, "give an image file or a Zarr folder")
    return read_zarr(path, axes, level)


_READERS: Mapping[str, Reader] = {
    **dict.fromkeys(TIFF, read_tiff),
    **dict.fromkeys(JPEG, read_jpeg),
    ".png": read_png,
    ".npy": read_numpy,
    "folder": _read_zarr,
}
_INDEX_READERS: Mapping[Reader, Reader] = {read_tiff: read_index_tiff, read_png: read_index_png}
_WRITERS: Mapping[str, Writer] = {
    **dict.fromkeys(TIFF, write_tiff),
    ".png": write_png,
    ".npy": write_numpy,
    ".zarr": write_zarr,
}


def _check_exists(path: Path, field: str = "image") -> None:
    if not os.path.exists(path):  # of a name that is too long too
        raise InputError(field, str(path), "there is no such file; check its name and folder")
    if not (path.is_file() or path.is_dir()):  # a pipe would be waited for
        raise InputError(field, f"{path}, which is no file", "save what it gives to a file first")


def _guarded(read: Callable[[], ImageBlock], path: Path, field: str) -> ImageBlock:
    """Turn what a library raises on a damaged file into one line that names the file, as `field`."""
    try:
        return read()
    except InputError as error:
        if field == "image" or error.field != "image":
            raise
        raise InputError(field, error.received, error.mend) from error
    except MemoryError:
        raise
    except PermissionError as error:
        mend = "it may not be read: change its permissions, or copy it to a folder of yours"
        raise InputError(field, str(path), mend) from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        mend = f"it is damaged or cut off ({reason}): copy or save it again"
        raise InputError(field, path.name, mend) from error


def _drop_equal_colours(array: NDArray[Any], axes: str, path: Path) -> NDArray[Any]:
    """One channel of a grey picture that was stored as RGB(A)."""
    if axes[-1] != "C" or array.ndim != 3:
        return array
    if (array[..., :3] == array[..., :1]).all():
        return array[..., 0]
    mend = "save labels as one number for each pixel, not as colours"
    raise InputError("labels", f"{path.name}, a colour picture", mend)
