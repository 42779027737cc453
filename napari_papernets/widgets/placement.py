"""Where a result lies in the world, so that it overlays its image exactly.

A layer of napari maps pixels to the world by ``affine · (translate + rotate · shear · scale · pixel)``,
and aligns layers of fewer axes with the last axes of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

if TYPE_CHECKING:
    import napari.layers

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Placement:
    """The transform of a layer of n axes.

    Attributes
    ----------
    scale, translate : ndarray, shape (n,)
        In world units.
    rotate, shear : ndarray, shape (n, n)
        As matrices.
    affine : ndarray, shape (n + 1, n + 1)
        Applied last, homogeneous.
    units : tuple of str
        One for each axis.
    """

    scale: Matrix
    translate: Matrix
    rotate: Matrix
    shear: Matrix
    affine: Matrix
    units: tuple[str, ...]

    @property
    def ndim(self) -> int:
        return len(self.scale)

    def keep(self, dims: Sequence[int]) -> Placement:
        """Only some of the axes."""
        dims = list(dims)
        return Placement(
            self.scale[dims],
            self.translate[dims],
            self.rotate[np.ix_(dims, dims)],
            self.shear[np.ix_(dims, dims)],
            self.affine[np.ix_([*dims, self.ndim], [*dims, self.ndim])],
            tuple(self.units[d] for d in dims),
        )

    def lead(self) -> Placement:
        """One more axis in front, of unit scale."""
        return Placement(
            np.insert(self.scale, 0, 1.0),
            np.insert(self.translate, 0, 0.0),
            _lead(self.rotate),
            _lead(self.shear),
            _lead(self.affine),
            ("pixel", *self.units),
        )

    def part(self, origin: Sequence[float], step: Sequence[float] | None = None) -> Placement:
        """A part of the array, on a coarser grid if `step` says so.

        Parameters
        ----------
        origin : sequence of float
            Edge where the part starts, in pixels along each axis: pixel i spans i to i + 1.
        step : sequence of float, optional
            Pixels of the array for each pixel of the part; ones by default.
        """
        steps = np.ones(self.ndim) if step is None else np.asarray(step, dtype=float)
        centre = np.asarray(origin, dtype=float) + (steps - 1) / 2
        moved = self.translate + self.rotate @ self.shear @ (self.scale * centre)
        return replace(self, translate=moved, scale=self.scale * steps)

    def written(self) -> dict[str, Any]:
        """The same as numbers and names that JSON holds; `options` of a new layer, too."""
        return {name: np.asarray(value).tolist() for name, value in self.options().items()}

    def options(self) -> dict[str, Any]:
        """Keyword arguments of a new layer, and attributes of one that exists."""
        return dict(
            scale=self.scale,
            translate=self.translate,
            rotate=self.rotate,
            shear=self.shear,
            affine=self.affine,
            units=self.units,
        )


def placement_of(layer: napari.layers.Layer) -> Placement:
    """The transform of a layer."""
    n = layer.ndim
    return Placement(
        np.array(layer.scale, dtype=float),
        np.array(layer.translate, dtype=float),
        np.array(layer.rotate, dtype=float),
        _shear_matrix(np.array(layer.shear, dtype=float), n),
        np.array(layer.affine.affine_matrix, dtype=float),
        tuple(str(u) for u in layer.units),
    )


def lay_out(
    array: NDArray[Any], axes: str, like: str, sizes: dict[str, int]
) -> tuple[NDArray[Any], tuple[int, ...]]:
    """Bring a result into the axes of the layer that it belongs to.

    Parameters
    ----------
    array : ndarray
        Result with `axes`.
    axes : str
        Its axes, a part of `like` in any order.
    like : str
        Axes of the layer (of an RGB layer without the colours).
    sizes : dict
        Length of the axes of `like` that `axes` lacks.

    Returns
    -------
    ndarray
        A view of `array`, writable where it is. Axes that it lacks are left out in front; elsewhere
        (the C of "TCYX") they are repeated without memory, so that one stroke paints all channels.
    tuple of int
        The axes of the layer that it has.
    """
    order = [a for a in like if a in axes]
    array = array.transpose([axes.index(a) for a in order])
    first = like.index(order[0])
    shape, strides = [], []
    for axis in like[first:]:
        there = axis in axes
        shape.append(array.shape[order.index(axis)] if there else sizes[axis])
        strides.append(array.strides[order.index(axis)] if there else 0)
    view = as_strided(array, tuple(shape), tuple(strides), writeable=array.flags.writeable)
    return view, tuple(range(first, len(like)))


def _lead(matrix: Matrix) -> Matrix:
    grown = np.eye(len(matrix) + 1)
    grown[1:, 1:] = matrix
    return grown


def _shear_matrix(shear: Matrix, n: int) -> Matrix:
    """Napari tells an upper triangular shear by its elements above the diagonal."""
    if shear.ndim == 2:
        return shear
    matrix = np.eye(n)
    matrix[np.triu_indices(n, 1)] = shear
    return matrix
