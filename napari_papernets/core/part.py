"""A region and some planes of an image: the axes of results on them, and where these lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .image import ImageBlock
from .tiles import Region


@dataclass(frozen=True)
class Grid:
    """What a file tells of the places of its pixels.

    Attributes
    ----------
    axes : str
        One letter of "TZCYX" for each axis of the array.
    scale : tuple of float or None
        Pixel size along each; None where there is no one such size, or none is known.
    unit : str
        Of `scale`.
    positions : mapping of str to sequence of float
        As `Part.positions`.
    """

    axes: str
    scale: tuple[float | None, ...]
    unit: str
    positions: Mapping[str, Sequence[float]]

    @property
    def sizes(self) -> dict[str, float]:
        """Pixel size by axis, where there is one."""
        return {a: float(s) for a, s in zip(self.axes, self.scale, strict=True) if s is not None}


@dataclass(frozen=True, eq=False)
class Part:
    """The part of an image that a result covers.

    Parameters
    ----------
    image : ImageBlock
        The whole image.
    region : (y0, y1, x0, x1), optional
        In pixels; whole planes where None.
    planes : sequence of tuple of int, optional
        Indices along the stack axes of the image, each plane once; all where None. Results on chosen
        planes have one stack axis: that along which the planes differ, else the last of the image.
    """

    image: ImageBlock
    region: Region | None = None
    planes: Sequence[tuple[int, ...]] | None = None

    @property
    def box(self) -> Region:
        """(y0, y1, x0, x1) in pixels of the image."""
        height, width = self.image.plane_shape
        return self.region or (0, height, 0, width)

    @property
    def indices(self) -> tuple[tuple[int, ...], ...]:
        """The planes along the stack axes of the image, in the order of the result."""
        return tuple(self.image.planes()) if self.planes is None else tuple(map(tuple, self.planes))

    @property
    def shape(self) -> tuple[int, ...]:
        """(*stack, Y, X) of the result."""
        y0, y1, x0, x1 = self.box
        stack = (len(self.indices),) if self._are_chosen else self.image.stack_shape
        return *stack, y1 - y0, x1 - x0

    @property
    def axes(self) -> str:
        """Letters of `shape`."""
        stack = self.image.stack_axes
        return f"{stack[self._axis] if self._are_chosen else stack}YX"

    @property
    def scale(self) -> tuple[float | None, ...]:
        """Pixel size along `axes` in the unit of the image; None where none is known, and between planes
        that are not in order, or not equally far apart."""
        sizes = dict(zip(self.image.axes, self.image.known_scale, strict=True))
        *stack, y, x = (sizes[axis] for axis in self.axes)
        if self._are_chosen:
            return stack[0] and self._step and stack[0] * self._step, y, x
        return *stack, y, x

    def positions(self) -> dict[str, list[float]]:
        """Where each plane of the result lies in the image.

        Returns
        -------
        dict of str to list of float
            By axis of the image, one number for each plane: of Y and X, where its first pixel begins, of
            Z and T, where it lies; in the unit of the image, of T in seconds. Nothing where the result
            covers the image, nor of Z and T where the image tells no distance or interval.
        """
        if self.region is None and not self._are_chosen:
            return {}
        sizes = dict(zip(self.image.axes, self.image.scale, strict=True))
        y0, _, x0, _ = self.box
        at = {"Y": [y0 * sizes["Y"]] * len(self.indices), "X": [x0 * sizes["X"]] * len(self.indices)}
        for number, axis in enumerate(self.image.stack_axes):
            if axis in self.image.sized:
                at[axis] = [plane[number] * sizes[axis] for plane in self.indices]
        return at

    @property
    def _are_chosen(self) -> bool:
        return self.planes is not None and bool(self.image.stack_axes)

    @property
    def _axis(self) -> int:
        """Number of the stack axis along which chosen planes differ, or of the last."""
        differing = [i for i, at in enumerate(zip(*self.indices, strict=True)) if len(set(at)) > 1]
        return differing[0] if len(differing) == 1 else len(self.image.stack_axes) - 1

    @property
    def _step(self) -> int | None:
        """From each chosen plane to the next along that axis; None where there is no one such number."""
        if len(self.indices) == 1:
            return 1
        steps = {tuple(step) for step in np.diff(self.indices, axis=0).tolist()}
        first: tuple[int, ...] = steps.pop()
        along = first[self._axis]
        return int(along) if not steps and along > 0 and sum(map(abs, first)) == along else None
