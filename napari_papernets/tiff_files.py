"""TIFF and OME-TIFF: axes, pixel sizes and pyramids from what OME and ImageJ write."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .core.errors import InputError
from .core.image import AXES, ImageBlock, guess_axes, is_size
from .core.part import Grid
from .file_names import base_name
from .units import MICRO, in_one_unit, in_seconds, sized_axes

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

LOADED_BYTES = 2**28  # larger images stay on disk

# What the library only logs, though planes are lost: it would return fewer of them, or zeros.
LOSSES = ("invalid page offset", "failed to reshape", "corrupted", "missing data", "missing pages")

# OME-XML knows no other types.
OME_TYPES = ("int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64")


def read_tiff(path: Path, axes: str | None = None, level: int = 0) -> ImageBlock:
    """Read the first series of a TIFF file; of one with a colour table, the colours.

    Tables of ImageJ and OME files are not applied: there they only tell how grey values are shown.

    Parameters
    ----------
    path : Path
        TIFF, BigTIFF, OME-TIFF or ImageJ hyperstack.
    axes : str, optional
        Where None, those of the file, or else a guess.
    level : int
        Resolution of a pyramid, 0 being the full one.

    Returns
    -------
    ImageBlock
        An array in memory, a memory map, or a zarr array that reads tile by tile. Colours of a table
        are uint8 in memory, C last; without C where red, green and blue are equal throughout the table.

    Raises
    ------
    InputError
        If planes are missing, there is no such level or the axes do not fit.
    """
    return _read(path, axes, level, colours=True)


def read_index_tiff(path: Path, axes: str | None = None, level: int = 0) -> ImageBlock:
    """A TIFF as `read_tiff` gives it, but with the indices of a colour table as they are stored."""
    return _read(path, axes, level, colours=False)


def _read(path: Path, axes: str | None, level: int, colours: bool) -> ImageBlock:
    from tifffile import TiffFile

    with _watching(path), TiffFile(path) as tif:
        if not tif.series:
            raise InputError("image", path.name, "there is no image in this TIFF file")
        series = _pick_level(tif.series[0], level, path)
        if any(page is None for page in series.pages):
            mend = "planes are missing: copy or save it again"
            raise InputError("image", f"{path.name}, which is incomplete", mend)
        sizes, unit = pixel_sizes(tif)
        zoom = (
            tif.series[0].shape[series.axes.index("X")] / series.sizes.get("width", 1) if level else 1.0
        )
        told = known_axes(series.axes)
        table = _colour_table(tif) if colours else None
        if table is not None and table.ndim == 2 and axes is not None and len(axes) == len(series.shape):
            table = None  # axes of the indices, as a viewer shows them
        alpha = _has_alpha(tif.series[0])
        data = _load(path, series, level) if table is None else table[series.asarray()]
    if told and data.ndim > len(told):
        told += "C"
    rgb = series.axes[-1] == "S" or (table is not None and table.ndim == 2)
    axes = axes or told or guess_axes(data.shape, rgb=rgb)
    scale = tuple(sizes.get(a, 1.0) * (zoom if a in "YX" else 1.0) for a in axes)
    alpha = alpha and axes.endswith("C")
    scale = scale if len(axes) == data.ndim else ()
    sized = sized_axes(sizes, unit)
    return ImageBlock(data, axes, scale, base_name(path), unit, str(path), alpha, sized)


def write_tiff(path: Path, array: NDArray[Any], grid: Grid) -> None:
    """Write an OME-TIFF compressed with zlib, Y and X (and RGB samples) last.

    Raises
    ------
    InputError
        If OME-TIFF knows no such type of number.
    """
    import tifffile

    array, axes = _storable(array), grid.axes
    rgb = axes.endswith("YXC") and array.shape[-1] in (3, 4) and array.dtype.itemsize <= 2
    leading = [a for a in axes if a not in "YX" and not (rgb and a == "C")]
    order = [*leading, "Y", "X"] + ["C"] * rgb
    array = np.ascontiguousarray(array.transpose([axes.index(a) for a in order]))
    tifffile.imwrite(
        path,
        array,
        ome=True,
        bigtiff=array.nbytes > 2**32 - 2**25,
        photometric="rgb" if rgb else "minisblack",
        compression="zlib",
        # Fiji's own reader undoes differences of 8 and 16 bits only.
        predictor=array.dtype.kind == "u" and array.dtype.itemsize <= 2,
        metadata={
            "axes": "".join(order[:-1]) + "S" if rgb else "".join(order),
            **_ome_sizes(grid.sizes, grid.unit),
            **_ome_planes(grid, leading, array.shape),
        },
        **_resolution(grid.sizes, grid.unit),
    )


def known_axes(letters: str) -> str | None:
    """Axes of "TZCYX" from the library's letters ("S" are colour samples); None if it does not know."""
    axes = letters.replace("S", "C")
    known = set(axes) <= set(AXES) and len(set(axes)) == len(axes) and {"Y", "X"} <= set(axes)
    return axes if known else None


def pixel_sizes(tif: TiffFile) -> tuple[dict[str, float], str]:
    """Pixel sizes as `in_one_unit` gives them, with their unit; of T, the interval in seconds."""
    if tif.is_ome and tif.ome_metadata:
        return _sizes_of_ome(tif.ome_metadata)
    if tif.is_imagej and tif.imagej_metadata:
        return _sizes_of_imagej(tif)
    return {}, "pixel"


def _sizes_of_ome(xml: str) -> tuple[dict[str, float], str]:
    from tifffile import xml2dict

    image = xml2dict(xml).get("OME", {}).get("Image", {})
    pixels = (image[0] if isinstance(image, list) else image).get("Pixels", {})
    told = {
        axis: (float(pixels[f"PhysicalSize{axis}"]), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        for axis in "ZYX"
        if f"PhysicalSize{axis}" in pixels
    }
    sizes, unit = in_one_unit(told)
    interval = float(pixels.get("TimeIncrement", 0))
    if is_size(interval):
        sizes["T"] = in_seconds(interval, pixels.get("TimeIncrementUnit", "s"))
    return sizes, unit


def _sizes_of_imagej(tif: TiffFile) -> tuple[dict[str, float], str]:
    told = tif.imagej_metadata or {}
    name = str(told.get("unit", "pixel"))
    x, y = tif.pages.first.resolution  # pixels for each unit
    found = {"X": 1 / x if x else 0.0, "Y": 1 / y if y else 0.0, "Z": float(told.get("spacing", 1.0))}
    sizes, unit = in_one_unit({axis: (size, name) for axis, size in found.items()})
    interval = float(told.get("finterval", 0))
    if is_size(interval):
        sizes["T"] = in_seconds(interval, str(told.get("tunit", "s")))
    return sizes, unit


def _ome_sizes(sizes: dict[str, float], unit: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    if unit != "pixel" or any(sizes.get(a, 1.0) != 1.0 for a in "ZYX"):
        for axis in "ZYX":
            if axis in sizes:
                told |= {f"PhysicalSize{axis}": sizes[axis], f"PhysicalSize{axis}Unit": unit}
    if "T" in sizes:
        told |= {"TimeIncrement": sizes["T"], "TimeIncrementUnit": "s"}
    return told


def _ome_planes(grid: Grid, leading: Sequence[str], shape: Sequence[int]) -> dict[str, Any]:
    """Where each page of a file lies, pages being planes by channels along the `leading` axes."""
    if not grid.positions:
        return {}
    lengths = dict(zip(leading, shape, strict=False))
    stack = {a: n for a, n in lengths.items() if a != "C"}
    numbers = np.arange(prod(stack.values())).reshape([stack.get(a, 1) for a in leading])
    pages = np.broadcast_to(numbers, list(lengths.values())).ravel().tolist()
    told: dict[str, Any] = {}
    for axis, at in grid.positions.items():
        name, unit = ("DeltaT", "s") if axis == "T" else (f"Position{axis}", grid.unit)
        told |= {name: [at[page] for page in pages], f"{name}Unit": [unit] * len(pages)}
    return {"Plane": told}


def _resolution(sizes: dict[str, float], unit: str) -> dict[str, Any]:
    """TIFF's own resolution, for programs that do not read OME-XML."""
    if unit != MICRO or not {"Y", "X"} <= set(sizes):
        return {}
    return {"resolution": (1e4 / sizes["X"], 1e4 / sizes["Y"]), "resolutionunit": "CENTIMETER"}


def _pick_level(series: TiffPageSeries, level: int, path: Path) -> TiffPageSeries:
    if not 0 <= level < len(series.levels):
        mend = f"{path.name} has levels 0 to {len(series.levels) - 1}"
        raise InputError("level", level, mend)
    return series.levels[level]


def _load(path: Path, series: TiffPageSeries, level: int) -> Any:
    import tifffile

    if series.nbytes <= LOADED_BYTES:
        return series.asarray()
    if level == 0 and series.dataoffset is not None and series.keyframe.is_memmappable:
        return tifffile.memmap(path, series=0, mode="r")
    import zarr

    return zarr.open(tifffile.imread(path, aszarr=True, series=0, level=level), mode="r")


def _colour_table(tif: TiffFile) -> NDArray[np.uint8] | None:
    """Colours by index, shape (N, 3), or (N,) where all are grey; None where values are no indices."""
    from tifffile import PHOTOMETRIC

    page = tif.series[0].keyframe
    if page.photometric != PHOTOMETRIC.PALETTE or page.colormap is None or tif.is_imagej or tif.is_ome:
        return None
    stored = np.asarray(page.colormap).T  # (N, 3), of 16 bits
    table = (stored if stored.max() < 256 else stored >> 8).astype(np.uint8)
    return table[:, 0] if (table == table[:, :1]).all() else table


def _has_alpha(series: TiffPageSeries) -> bool:
    """Whether the last of several samples is told to be opacity."""
    from tifffile import EXTRASAMPLE

    last = series.keyframe.extrasamples[-1:]
    return series.axes.endswith("S") and last in ((EXTRASAMPLE.ASSOCALPHA,), (EXTRASAMPLE.UNASSALPHA,))


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype == bool:
        return array.astype(np.uint8)
    if array.dtype == np.float16:
        return array.astype(np.float32)
    if array.dtype.name not in OME_TYPES:
        mend = "convert it to uint8, uint16, uint32, float32 or float64"
        raise InputError("image", f"TIFF for {array.dtype}", mend)
    return array


@contextmanager
def _watching(path: Path) -> Iterator[None]:
    """Refuse the file if the library only logs that planes were lost."""
    heard = _Listener()
    log = logging.getLogger("tifffile")
    log.addHandler(heard)
    try:
        yield
    finally:
        log.removeHandler(heard)
    lost = [m for m in heard.messages if _tells_loss(m)]
    if lost:
        mend = f"it is damaged or cut off ({lost[0][:160]}): copy or save it again"
        raise InputError("image", path.name, mend)


def _tells_loss(message: str) -> bool:
    # A tag's value that begins in the file's head is some program's slip; any other lies past the end.
    beyond = re.search(r"invalid value offset (\d+)", message)
    return any(loss in message for loss in LOSSES) or (beyond is not None and int(beyond[1]) >= 8)


class _Listener(logging.Handler):
    """Hears what is logged on its own thread: others may be reading other files."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.messages.append(record.getMessage())
