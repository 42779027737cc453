"""What a CRF is asked: probabilities and grey values of each plane or volume, checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from ..core.crf_settings import CRFSettings
from ..core.errors import InputError
from ..core.image import ImageBlock
from ..core.probabilities import check_shape
from ..core.tiles import Region, check_region
from ..networks.lattice_cpu import run_blocks
from .crf_greys import Greys, Plane, open_greys
from .prediction_job import check_planes

TOLERANCE = 1e-3  # of the sum of probabilities


@dataclass(frozen=True)
class Unit:
    """What has one CRF: a plane, or all planes of a volume; `plane` names it in events."""

    plane: Plane
    planes: tuple[Plane, ...]


@dataclass(frozen=True, eq=False)
class CRFProblem:
    """Probabilities and image, read unit by unit.

    Attributes
    ----------
    probabilities : array, shape (K, *stack, Y, X)
        Of the whole image or of the region alone; it is only sliced.
    image : ImageBlock
        The image.
    greys : Greys
        What of it is compared.
    region : (y0, y1, x0, x1)
        Pixels of each plane.
    units : tuple of Unit
        In order.
    spacing : tuple of float
        Of the axes of a unit, in pixels of X.
    """

    probabilities: Any
    image: ImageBlock
    greys: Greys
    region: Region
    units: tuple[Unit, ...]
    spacing: tuple[float, ...]

    @property
    def classes(self) -> int:
        return int(self.probabilities.shape[0])

    @property
    def space(self) -> tuple[int, ...]:
        """Shape of a unit."""
        y0, y1, x0, x1 = self.region
        plane = (y1 - y0, x1 - x0)
        return (len(self.units[0].planes), *plane) if len(self.spacing) == 3 else plane

    def beliefs(self, unit: Unit) -> NDArray[np.float32]:
        """Probabilities of a unit, (K, *space), checked.

        Raises
        ------
        InputError
            If they are not finite, negative, or do not sum to 1.
        """
        y0, y1, x0, x1 = self.region
        window = slice(y0, y1), slice(x0, x1)
        if tuple(self.probabilities.shape[-2:]) == (y1 - y0, x1 - x0):
            window = slice(None), slice(None)
        parts = [np.asarray(self.probabilities[(slice(None), *p, *window)]) for p in unit.planes]
        found = np.stack(parts, 1) if len(self.spacing) == 3 else parts[0]
        found = np.ascontiguousarray(found, np.float32)
        check_probabilities(found)
        return found

    def grey(self, unit: Unit) -> NDArray[Any]:
        """Grey values of a unit, (*space, C); what is not finite is the darkest.

        Raises
        ------
        InputError
            If none is finite, or raw ones are too large for the lattice.
        """
        found = self.greys.read(unit.planes, self.region)
        return found if len(self.spacing) == 3 else found[0]


def open_problem(
    probabilities: Any,
    image: ImageBlock,
    settings: CRFSettings,
    region: Region | None = None,
    planes: Sequence[Plane] | None = None,
) -> CRFProblem:
    """Check that probabilities, image and settings fit.

    Raises
    ------
    InputError
        Naming what does not.
    """
    check_region(region, image.plane_shape)
    chosen = check_planes(image, planes)
    check_shape(probabilities, image, region)
    greys = open_greys(image, settings, chosen)
    units = _units(image, chosen, settings.volume, planes is not None)
    height, width = image.plane_shape
    y, x = image.plane_scale
    spacing: tuple[float, ...] = (y / x, 1.0)
    if settings.volume:
        spacing = (image.scale[image.axes.index("Z")] / x, *spacing)
    where = region or (0, height, 0, width)
    return CRFProblem(probabilities, image, greys, where, units, spacing)


def check_memory(problem: CRFProblem) -> None:
    """Refuse a lattice that will not fit what memory is free.

    Raises
    ------
    InputError
        Which tells of tiles.
    """
    needed = lattice_bytes(problem)
    free = psutil.virtual_memory().available
    if needed > free:
        mend = "set tile, such as 2048: approximate, and the result says by how much"
        raise InputError(
            "image", f"{needed / 1e9:.1f} GB to refine at once, {free / 1e9:.1f} GB free", mend
        )


def lattice_bytes(problem: CRFProblem) -> int:
    """About how much memory a unit takes: vertices and weights of both lattices, unaries and beliefs."""
    space = len(problem.space)
    corners = (space + 1) + (space + len(problem.greys.channels) + 1)
    return math.prod(problem.space) * (8 * corners + 4 * (3 * problem.classes - 1))


def check_probabilities(found: NDArray[np.float32]) -> None:
    """Refuse values (K, ...) that are no probabilities."""
    values = found.reshape(len(found), -1)

    def part(block: slice) -> tuple[float, float, float]:
        with np.errstate(invalid="ignore", over="ignore"):  # told below
            total = values[:, block].sum(0)
        return values[:, block].min(), total.min(), total.max()

    parts = run_blocks(part, values.shape[1], torch.get_num_threads())
    lowest, least, most = np.transpose(parts)
    if not np.isfinite([lowest, least, most]).all():
        mend = "replace NaN and infinity, for instance by 1/K in every class"
        raise InputError("probabilities", "values that are not finite", mend)
    if lowest.min() < -TOLERANCE:
        mend = "give probabilities from 0 to 1; the softmax of scores is one"
        raise InputError("probabilities", f"values from {lowest.min():.3g}", mend)
    if least.min() < 1 - TOLERANCE or most.max() > 1 + TOLERANCE:
        mend = "let the classes of every pixel (axis 0) sum to 1; the softmax of scores does"
        raise InputError("probabilities", f"sums from {least.min():.6g} to {most.max():.6g}", mend)


def _units(image: ImageBlock, chosen: tuple[Plane, ...], volume: bool, some: bool) -> tuple[Unit, ...]:
    if not volume:
        return tuple(Unit(p, (p,)) for p in chosen)
    if "Z" not in image.stack_axes or some:
        mend = "join planes along Z only for all planes of an image with a Z axis"
        raise InputError("volume", f"axes {image.axes}, {len(chosen)} planes", mend)
    z = image.stack_axes.index("Z")
    groups: dict[Plane, list[Plane]] = {}
    for plane in chosen:
        groups.setdefault(plane[:z] + plane[z + 1 :], []).append(plane)
    return tuple(Unit(rest, tuple(planes)) for rest, planes in groups.items())
