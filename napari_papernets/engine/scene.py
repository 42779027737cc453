"""The strokes of a live training: images with annotation that changes while the network learns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.annotation import Patch
from ..core.errors import InputError
from ..core.image import ImageBlock
from ..core.model import ModelSpec
from .annotated import Plane, check_annotation, make_plane
from .course import strokes_of
from .targets import classes_from_zero

Place = tuple[int, tuple[int, ...]]  # number of the image, index along its stack axes


class Scene:
    """Images and their strokes.

    Parameters
    ----------
    images : sequence of ImageBlock
        With the channels that `spec` takes.
    annotations : sequence of array of unsigned integers, shape (*stack, Y, X)
        0 is not annotated, 1…K the class. They are copied where something is painted.
    spec : ModelSpec
        How images are fed; its classes are the highest that may be painted.
    held_out : float
        Share of the strokes of each class, rounded down, that are kept to judge the model. A stroke
        that was ever learnt from is never held out.
    planes : sequence of Plane, optional
        The annotation as it was read and divided before, in place of `annotations`.
    """

    def __init__(
        self,
        images: Sequence[ImageBlock],
        annotations: Sequence[Any],
        spec: ModelSpec,
        held_out: float = 0.0,
        planes: Sequence[Plane] = (),
    ) -> None:
        if len(images) != len(annotations):
            mend = f"give one for each of the {len(images)} images"
            raise InputError("annotations", len(annotations), mend)
        self.images, self._spec, self._share = tuple(images), spec, held_out
        self._planes: dict[Place, Plane] = {}
        self._learnt: dict[Place, NDArray[np.bool_]] = {}
        self._seen: dict[Place, set[int]] = {}  # classes with strokes
        for plane in planes:
            place = plane.image, plane.index
            self._put(place, plane)
            self._learnt[place] = (plane.annotation >= 0) & ~plane.held
        for number, (image, annotation) in enumerate(zip(images, annotations, strict=True)):
            if planes:
                break
            strokes = check_annotation(image, annotation)
            for index in image.planes():
                values = np.asarray(strokes[index])
                if values.any():
                    self._set((number, index), values)
        self._divide()

    @property
    def planes(self) -> list[Plane]:
        """The planes with strokes, in order."""
        return [self._planes[place] for place in sorted(self._planes) if self._seen[place]]

    @property
    def classes(self) -> list[int]:
        """The classes with strokes, from 0."""
        return sorted(set().union(*self._seen.values()))

    def patches(self) -> list[Patch]:
        """All that is annotated."""
        places = [(place, self._planes[place]) for place in sorted(self._planes) if self._seen[place]]
        return [strokes_of(*place, plane.annotation + 1) for place, plane in places]

    def take(self, patches: Sequence[Patch]) -> None:
        """Put patches into the annotation.

        Raises
        ------
        InputError
            If one lies outside its image, or paints a class that there is not.
        """
        for patch in patches:
            self._check(patch)
            place = patch.image, patch.plane
            if place not in self._planes:
                self._set(place, np.zeros(self.images[patch.image].plane_shape, np.uint8))
            plane = self._planes[place]
            annotation = plane.annotation.copy()
            height, width = patch.labels.shape
            rows, columns = slice(patch.y, patch.y + height), slice(patch.x, patch.x + width)
            annotation[rows, columns] = classes_from_zero(patch.labels, "strokes")
            self._put(place, replace(plane, annotation=annotation))
        if patches:
            self._divide()

    def _check(self, patch: Patch) -> None:
        field = f"patch {patch.number}"
        if not 0 <= patch.image < len(self.images):
            raise InputError(field, f"image {patch.image}", f"there are {len(self.images)} images")
        image = self.images[patch.image]
        if patch.plane not in set(image.planes()):
            raise InputError(field, f"plane {patch.plane}", image.planes_there)
        (height, width), (y, x) = image.plane_shape, patch.labels.shape
        if patch.y < 0 or patch.x < 0 or patch.y + y > height or patch.x + x > width:
            received = f"{y}×{x} pixels at {patch.y}, {patch.x}"
            raise InputError(field, received, f"stay within {height}×{width}")
        highest, known = int(patch.labels.max(initial=0)), len(self._spec.classes)
        if highest > known:
            raise InputError(field, f"class {highest}", f"there are {known} classes; add one first")

    def _set(self, place: Place, values: NDArray[Any]) -> None:
        number, index = place
        image = self.images[number]
        self._put(place, make_plane(number, image, index, values, "strokes", self._spec))

    def _put(self, place: Place, plane: Plane) -> None:
        self._planes[place] = plane
        counts = np.bincount((plane.annotation + 1).ravel())  # not annotated is -1
        self._seen[place] = {int(c) for c in np.flatnonzero(counts[1:])}

    def _divide(self) -> None:
        """Decide which strokes are held out: those that were stay so, unless all others of their class
        were erased; those learnt from never are."""
        if not self._share:
            return
        groups = [g for place in sorted(self._planes) for g in self._strokes(place)]
        held = {place: np.zeros(plane.shape, bool) for place, plane in self._planes.items()}
        for c in {group.c for group in groups}:
            alike = [group for group in groups if group.c == c]
            if all((group.held & ~group.learnt).all() for group in alike):
                continue  # nothing would be left to learn from
            wanted = int(self._share * sum(len(group.learnt) for group in alike))
            wanted -= sum(int((group.held & ~group.learnt).sum()) for group in alike)
            for group in alike:
                new = np.flatnonzero(~group.held & ~group.learnt)[: max(wanted, 0)]
                wanted -= len(new)
                chosen = group.held & ~group.learnt
                chosen[new] = True
                held[group.place][group.box] |= np.isin(group.numbered, np.flatnonzero(chosen) + 1)
        for place, mask in held.items():
            plane = self._planes[place]
            self._planes[place] = replace(plane, held=mask)
            self._learnt[place] = self._learnt_of(place) | ((plane.annotation >= 0) & ~mask)

    def _learnt_of(self, place: Place) -> NDArray[np.bool_]:
        if place not in self._learnt:
            self._learnt[place] = np.zeros(self._planes[place].shape, bool)
        return self._learnt[place]

    def _strokes(self, place: Place) -> Iterator[StrokesOfClass]:
        """The strokes of each class of a plane."""
        plane = self._planes[place]
        known = plane.annotation >= 0
        if not known.any():
            return
        box = ndimage.find_objects(known.astype(np.int8))[0]
        values = plane.annotation[box]
        for c in np.unique(values[values >= 0]):
            numbered, count = ndimage.label(values == c, np.ones((3, 3)))
            numbers = np.arange(1, count + 1)
            was_held, was_learnt = (
                np.asarray(ndimage.maximum(mask[box], numbered, numbers), bool)
                for mask in (plane.held, self._learnt_of(place))
            )
            yield StrokesOfClass(place, box, int(c), numbered, was_held, was_learnt)


@dataclass(frozen=True, eq=False)
class StrokesOfClass:
    """Strokes (connected components) of one class in one plane.

    Attributes
    ----------
    place : (int, tuple of int)
        Image and plane.
    box : tuple of slice
        Where `numbered` lies in the plane.
    c : int
        The class, from 0.
    numbered : ndarray of int, shape (h, w)
        1…n in each stroke.
    held, learnt : ndarray of bool, shape (n,)
        Whether any pixel of it was held out, or learnt from, before.
    """

    place: Place
    box: tuple[slice, ...]
    c: int
    numbered: NDArray[Any]
    held: NDArray[np.bool_]
    learnt: NDArray[np.bool_]
