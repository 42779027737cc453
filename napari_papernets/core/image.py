"""An image with named axes, read plane by plane and window by window."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .picked import PickedChannels

AXES = "TZCYX"
STACK_AXES = "TZ"

Range = tuple[int, int]


@dataclass(frozen=True, eq=False)
class ImageBlock:
    """An image or stack with one letter for each axis.

    Parameters
    ----------
    data : array
        numpy, dask or zarr array, of boolean, integer or floating type. It is only ever sliced, so
        it may be larger than memory.
    axes : str
        One letter of ``"TZCYX"`` for each axis of `data`, in the order of `data`; Y and X are needed.
    scale : tuple of float, optional
        Size of a pixel along each axis, in `unit`: positive and finite. Ones where nothing is given.
    name : str
        What to call the image in messages, tables and files.
    unit : str
        Unit of `scale`.
    source : str
        File that the image came from, as the user would type it; empty where there is none.
    alpha : bool
        Whether the last channel is known to be opacity, which is no signal.
    sized : str, optional
        Axes along which the size of a pixel is known. Where nothing is given, all but T of size 1, which
        stands for an interval that nobody told.

    Raises
    ------
    InputError
        If the axes or sizes do not fit the array, the array is empty or its type cannot be an image.
    """

    data: Any
    axes: str
    scale: tuple[float, ...] = ()
    name: str = "image"
    unit: str = "pixel"
    source: str = ""
    alpha: bool = False
    sized: str = ""

    def __post_init__(self) -> None:
        check_array(self.data, self.name)
        check_axes(self.axes, self.data.shape, self.name)
        if not self.scale:
            object.__setattr__(self, "scale", (1.0,) * len(self.axes))
        check_scale(self.scale, self.axes)
        if not self.sized:
            sizes = zip(self.axes, self.scale, strict=True)
            object.__setattr__(self, "sized", "".join(a for a, s in sizes if a != "T" or s != 1.0))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(n) for n in self.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.data.dtype)

    def size(self, axis: str) -> int:
        """Length along `axis`; 1 for an axis that the image does not have."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    @property
    def channels(self) -> int:
        return self.size("C")

    @property
    def plane_shape(self) -> tuple[int, int]:
        """(Y, X) of one plane."""
        return self.size("Y"), self.size("X")

    @property
    def stack_axes(self) -> str:
        """The axes that are iterated, in the order of the array: "", "T", "Z", "TZ" or "ZT"."""
        return "".join(a for a in self.axes if a in STACK_AXES)

    @property
    def stack_shape(self) -> tuple[int, ...]:
        return tuple(self.size(a) for a in self.stack_axes)

    @property
    def plane_scale(self) -> tuple[float, float]:
        """Pixel size along (Y, X)."""
        return self.scale[self.axes.index("Y")], self.scale[self.axes.index("X")]

    @property
    def known_scale(self) -> tuple[float | None, ...]:
        """Pixel size along each axis; None where none is known."""
        return tuple(s if a in self.sized else None for a, s in zip(self.axes, self.scale, strict=True))

    def named_plane(self, plane: Sequence[int]) -> str:
        """What messages call a plane: "plane T=0, Z=3", or "a plane" where there is only one."""
        names = [f"{axis}={n}" for axis, n in zip(self.stack_axes, plane, strict=True)]
        return f"plane {', '.join(names)}" if names else "a plane"

    @property
    def planes_there(self) -> str:
        """The mend where a plane was given that the image does not have."""
        if not self.stack_axes:
            return "the image is one plane only: give none"
        return f"give indices along {self.stack_axes} within {self.stack_shape}"

    def at(self, plane: Sequence[int]) -> ImageBlock:
        """One plane as an image of its own; of an array that is not in memory it is read."""
        at = dict(zip(self.stack_axes, plane, strict=True))
        axes = "".join(a for a in self.axes if a not in at)
        data = self.data[tuple(at.get(a, slice(None)) for a in self.axes)]
        scale = tuple(s for s, a in zip(self.scale, self.axes, strict=True) if a not in at)
        return replace(self, data=data, axes=axes, scale=scale)

    def pick(self, channels: Sequence[int] | None) -> ImageBlock:
        """The image of some channels, counted from 0, in this order; all where None. Nothing is read.
        Of one without channels there is nothing to choose.

        Raises
        ------
        InputError
            If there is no such channel.
        """
        if not channels or "C" not in self.axes:
            return self
        if tuple(channels) == tuple(range(self.channels)):
            return replace(self, alpha=False) if self.alpha else self
        for channel in channels:
            if not 0 <= channel < self.channels:
                mend = f"{self.name} has channels 0 to {self.channels - 1}"
                raise InputError("channels", channel, mend)
        data = PickedChannels(self.data, self.axes.index("C"), tuple(channels))
        return replace(self, data=data, alpha=False)

    def planes(self) -> Iterator[tuple[int, ...]]:
        """Index of every plane along `stack_axes`, in order; one empty index for a single plane."""
        yield from np.ndindex(*self.stack_shape)

    def read(
        self,
        plane: Sequence[int] = (),
        y: Range | None = None,
        x: Range | None = None,
        channels: Sequence[int] | None = None,
    ) -> NDArray[Any]:
        """Read a window of one plane; what lies outside the image is mirrored.

        Parameters
        ----------
        plane : sequence of int
            Index along each of `stack_axes`.
        y, x : (start, stop), optional
            Window in pixels, which may leave the image on any side; the whole axis where None.
        channels : sequence of int, optional
            Channels to keep, in this order; all where None.

        Returns
        -------
        ndarray, shape (C, Y, X)
            A copy or view in the type of the image. Outside, values are mirrored about the border
            pixel as ``numpy.pad(mode="reflect")`` does, repeatedly where the window is larger.
        """
        rows = reflect_indices(*(y or (0, self.size("Y"))), self.size("Y"))
        columns = reflect_indices(*(x or (0, self.size("X"))), self.size("X"))
        index: list[int | slice] = []
        at = dict(zip(self.stack_axes, plane, strict=True))
        for axis in self.axes:
            if axis == "Y":
                index.append(slice(int(rows.min()), int(rows.max()) + 1))
            elif axis == "X":
                index.append(slice(int(columns.min()), int(columns.max()) + 1))
            else:
                index.append(at[axis] if axis in at else slice(None))
        block = np.asarray(self.data[tuple(index)])
        order = [a for a in self.axes if a not in at]
        if "C" not in order:
            block, order = block[np.newaxis], ["C", *order]
        block = block.transpose([order.index(a) for a in "CYX"])
        if channels is not None and list(channels) != list(range(len(block))):
            block = block[list(channels)]
        return take_window(block, rows - rows.min(), columns - columns.min())


def is_opaque(data: Any, axes: str) -> bool:
    """Whether the last of four channels is at its highest value everywhere, as of colours without
    transparency. Of an array that is not in memory it is not looked at."""
    if not isinstance(data, np.ndarray) or data.dtype.kind != "u" or axes[-1:] != "C":
        return False
    return data.shape[-1] == 4 and bool((data[..., 3] == np.iinfo(data.dtype).max).all())


def reflect_indices(start: int, stop: int, length: int) -> NDArray[np.intp]:
    """Indices ``start..stop-1`` folded back into ``0..length-1`` as mirroring does.

    >>> reflect_indices(-2, 5, 3).tolist()
    [2, 1, 0, 1, 2, 1, 0]
    """
    period = max(2 * (length - 1), 1)
    folded = np.arange(start, stop) % period
    return np.minimum(folded, period - folded) if length > 1 else np.zeros_like(folded)


def take_window(block: NDArray[Any], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[Any]:
    """Gather rows and columns of the last two axes, without a copy where they lie in a row."""
    for axis, wanted in ((-2, rows), (-1, columns)):
        first, end = int(wanted[0]), int(wanted[-1]) + 1
        if np.array_equal(wanted, np.arange(first, end)):  # nothing is mirrored
            block = block[..., first:end] if axis == -1 else block[..., first:end, :]
        else:
            block = np.take(block, wanted, axis=axis)
    return block


def check_array(data: Any, field: str) -> None:
    """Refuse what cannot be an image.

    Raises
    ------
    InputError
        For anything without shape and type, a shape that is not known, fewer than 2 or more than 5
        axes, an empty array, masked values, or values that are not boolean, integer or real.
    """
    if not hasattr(data, "shape") or not hasattr(data, "dtype"):
        raise InputError(field, type(data).__name__, "give a numpy, dask or zarr array")
    if not all(n == n for n in data.shape):  # dask: NaN where it has not counted
        mend = "let dask count its pixels first: image.compute_chunk_sizes()"
        raise InputError(field, f"unknown shape {tuple(data.shape)}", mend)
    if not 2 <= len(data.shape) <= len(AXES):
        mend = "give an image with 2 to 5 axes, named by letters of TZCYX"
        raise InputError(field, f"{len(data.shape)} axes, shape {tuple(data.shape)}", mend)
    if 0 in data.shape:
        raise InputError(field, f"shape {tuple(data.shape)}", "give an image with pixels in it")
    if kind_of(data.dtype) not in "buif":
        mend = "give a boolean, integer or real-valued image, as a numpy, dask or zarr array"
        raise InputError(field, f"values of type {data.dtype}", mend)
    if np.ma.is_masked(data):
        mend = "fill them, as in image.astype(float).filled(numpy.nan): NaN is no signal"
        raise InputError(field, "masked values", mend)


def kind_of(dtype: Any) -> str:
    """numpy's letter for what a type holds; that of objects for types that numpy does not know."""
    try:
        return np.dtype(dtype).kind
    except TypeError:
        return "O"


def check_axes(axes: str, shape: Sequence[int], field: str) -> None:
    """Refuse axes that are unknown, repeated, lack Y or X, or do not fit `shape`."""
    unknown = not isinstance(axes, str) or set(axes) - set(AXES)
    if unknown or len(set(axes)) != len(axes) or not {"Y", "X"} <= set(axes):
        mend = f"use letters of {AXES}, each once, Y and X among them, as in 'YX', 'CYX' or 'YXC'"
        raise InputError("axes", repr(axes), mend)
    if len(axes) != len(shape):
        mend = f"name all {len(shape)} axes of {field}, whose shape is {tuple(shape)}"
        raise InputError("axes", repr(axes), mend)


def is_size(size: float) -> bool:
    """Whether a pixel can be so large: positive and finite."""
    return isinstance(size, Real) and 0 < float(size) < math.inf


def check_scale(scale: Sequence[float], axes: str) -> None:
    """Refuse pixel sizes that do not fit `axes`, or are not positive and finite."""
    if len(scale) != len(axes) or not all(is_size(size) for size in scale):
        mend = f"give one positive number for each axis of {axes}"
        raise InputError("scale", f"({', '.join(map(str, scale))})", mend)


def guess_axes(shape: Sequence[int], rgb: bool = False) -> str:
    """Guess the axes of an array from its shape; the answer is shown to the user, who may correct it.

    An axis of at most 4 is taken for channels: the last one of 2 to 4, otherwise the one before Y and X.
    What remains is Z for one stack axis and TZ for two.

    Raises
    ------
    InputError
        If the array has fewer than 2 or more than 5 axes.
    """
    n = len(shape)
    if not 2 <= n <= len(AXES):
        raise InputError("axes", f"shape {tuple(shape)}", "an image has 2 to 5 axes")
    if rgb or (n >= 3 and shape[-1] in (2, 3, 4) and shape[-2] > 4 and shape[-3] > 4):
        return {2: "YX", 3: "YXC", 4: "ZYXC", 5: "TZYXC"}[n]
    has_channels = n == 5 or (n > 2 and shape[-3] <= 4)
    stack = n - 2 - has_channels
    return {0: "", 1: "Z", 2: "TZ"}[stack] + ("C" if has_channels else "") + "YX"
