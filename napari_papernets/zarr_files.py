"""OME-Zarr (0.1 to 0.5) and plain zarr arrays, formats 2 and 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .core.errors import InputError
from .core.image import ImageBlock, guess_axes, is_size
from .core.part import Grid
from .file_names import base_name
from .tiff_files import LOADED_BYTES, known_axes
from .units import MICRO, PIXEL, in_one_unit, in_seconds, sized_axes

ORDER = "TCZYX"  # which the specification asks for
CHUNK = 512  # pixels along Y and X
TYPES = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}


def read_zarr(path: Path, axes: str | None = None, level: int = 0) -> ImageBlock:
    """Read an image of an OME-Zarr group, or a zarr array.

    Parameters
    ----------
    path : Path
        Folder of an array, of a group with OME metadata, or of a group with one array only.
    axes : str, optional
        Where None, those of the metadata, or else a guess.
    level : int
        Resolution, 0 being the full one.

    Returns
    -------
    ImageBlock
        An array in memory where it is small, else a zarr array that reads chunk by chunk.

    Raises
    ------
    InputError
        If there is no image in the group, or no such level, or the axes do not fit.
    """
    import zarr

    node = zarr.open(path, mode="r")
    told: Mapping[str, Any] = {}
    if isinstance(node, zarr.Group):
        node, told = _find_image(node, path)
    array, unit = node, PIXEL
    sizes: dict[str, float] = {}
    if told:
        array, sizes, unit = _open_level(node, told, level, path, axes)
    elif level:
        raise InputError("level", level, f"{path.name} has level 0 only")
    data = np.asarray(array[...]) if array.nbytes <= LOADED_BYTES else array
    axes = axes or _told_axes(array, told) or guess_axes(data.shape)
    scale = tuple(sizes.get(a, 1.0) for a in axes)
    scale = scale if len(axes) == data.ndim else ()
    sized = sized_axes(sizes, unit)
    return ImageBlock(data, axes, scale, base_name(path), unit, str(path), sized=sized)


def write_zarr(path: Path, array: NDArray[Any], grid: Grid) -> None:
    """Write an OME-Zarr 0.5 group with one resolution, in the order TCZYX."""
    import zarr

    order = [a for a in ORDER if a in grid.axes]
    array = array.transpose([grid.axes.index(a) for a in order])
    group = zarr.create_group(path, zarr_format=3)
    group.attrs["ome"] = _ome(order, grid)
    stored = group.create_array(
        "0",
        shape=array.shape,
        dtype=array.dtype,
        chunks=tuple(min(n, CHUNK) if a in "YX" else 1 for a, n in zip(order, array.shape, strict=True)),
        dimension_names=[a.lower() for a in order],
    )
    stored[...] = array


def _ome(order: Sequence[str], grid: Grid) -> dict[str, Any]:
    known, sizes = grid.unit == MICRO, grid.sizes
    axes = []
    for axis in order:
        entry = {"name": axis.lower(), "type": TYPES[axis]}
        if known and TYPES[axis] == "space" and axis in sizes:
            entry["unit"] = "micrometer"
        elif axis == "T" and axis in sizes:
            entry["unit"] = "second"
        axes.append(entry)
    scale = [sizes.get(a, 1.0) for a in order]
    changes: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    if grid.positions:
        # One translation tells the place of all planes only where they are equally far apart.
        moved = [grid.positions[a][0] if a in grid.positions and a in sizes else 0.0 for a in order]
        changes.append({"type": "translation", "translation": moved})
    level = {"path": "0", "coordinateTransformations": changes}
    return {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [level]}]}


def _find_image(group: Any, path: Path) -> tuple[Any, Mapping[str, Any]]:
    """The group with OME metadata and these, or the only array and nothing."""
    for candidate in (group, group.get("0")):  # "0" is where bioformats2raw puts the first image
        attributes = dict(getattr(candidate, "attrs", {}))
        images = attributes.get("ome", attributes).get("multiscales")
        if images:
            return candidate, images[0]
    arrays = sorted(name for name, _ in group.arrays())
    if len(arrays) == 1:
        return group[arrays[0]], {}
    mend = f"give one of its arrays: {', '.join(arrays)}" if arrays else "there is no image in it"
    raise InputError("image", f"{path.name}, a zarr group without OME metadata", mend)


def _open_level(
    group: Any, told: Mapping[str, Any], level: int, path: Path, axes: str | None
) -> tuple[Any, dict[str, float], str]:
    """The array of a level, and the sizes of its pixels with their unit, as `in_one_unit` gives them;
    of T, the interval in seconds."""
    datasets = told["datasets"]
    if not 0 <= level < len(datasets):
        raise InputError("level", level, f"{path.name} has levels 0 to {len(datasets) - 1}")
    array = group[datasets[level]["path"]]
    scale = _scale(datasets[level], array.ndim) * _scale(told, array.ndim)
    axes = _told_axes(array, told) or axes or ""
    if len(axes) != array.ndim:  # nobody knows which size is of which axis
        return array, {}, PIXEL
    entries = told.get("axes", [{}] * array.ndim)
    units = [str(e.get("unit") or "") if isinstance(e, Mapping) else "" for e in entries]
    found = {a: (float(size), unit) for a, size, unit in zip(axes, scale, units, strict=True)}
    sizes, unit = in_one_unit({a: size for a, size in found.items() if a in "ZYX"})
    interval, name = found.get("T", (0.0, ""))
    if is_size(interval) and (name or interval != 1.0):  # every axis has some number
        sizes["T"] = in_seconds(interval, name)
    return array, sizes, unit


def _scale(entry: Mapping[str, Any], ndim: int) -> NDArray[np.float64]:
    for change in entry.get("coordinateTransformations", ()):
        if change.get("type") == "scale":
            return np.asarray(change["scale"], float)
    return np.ones(ndim)


def _told_axes(array: Any, told: Mapping[str, Any]) -> str | None:
    if "axes" in told:
        names = [a["name"] if isinstance(a, Mapping) else a for a in told["axes"]]
    elif told and array.ndim == 5:
        names = list("tczyx")  # fixed before version 0.3
    else:
        names = getattr(array.metadata, "dimension_names", None) or []
    if not all(isinstance(n, str) and len(n) == 1 for n in names):
        return None
    axes = known_axes("".join(names).upper())
    return axes if axes and len(axes) == array.ndim else None
