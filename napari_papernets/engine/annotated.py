"""Images with annotation, plane by plane, and which part of it is held out to judge the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import InputError
from ..core.image import ImageBlock, Range, reflect_indices, take_window
from ..core.model import ModelSpec
from ..files import as_labels
from .augment import keyed_generator
from .far_greys import near_zero
from .normalise import Ranges, normalisation_range, normalise, shared_range
from .targets import classes_from_zero, closeness, encode_instances, number_objects

MAX_CLASSES = 64
CENTRES = 2048  # remembered for each class of a plane
MARGIN = 5  # pixels around a held-out object that training does not see either
PURPOSE_CENTRES, PURPOSE_HOLD_OUT = 1, 2


@dataclass(frozen=True, eq=False)
class Plane:
    """One plane with annotation.

    Attributes
    ----------
    image : int
        Number of the image that it belongs to.
    index : tuple of int
        Along the stack axes of that image.
    pixels : ndarray, shape (c, Y, X)
        Distinct channels in the image's own type.
    order : tuple of int
        For each channel of the network, its place in `pixels` (grey may be repeated).
    low, high : ndarray, shape (c,)
        Grey values that become 0 and 1.
    annotation : ndarray, shape (Y, X), int32 or int64
        Object numbers ("instances"), otherwise classes from 0 with -1 where it is unknown.
    kind : str
        "strokes", "classes" or "instances".
    held : ndarray of bool, shape (Y, X)
        What is kept from training to judge the model.
    shared : (ndarray, ndarray), each of shape (c,), optional
        Grey values that become 0 and 1 on the scale that all images share.
    """

    image: int
    index: tuple[int, ...]
    pixels: NDArray[Any]
    order: tuple[int, ...]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    annotation: NDArray[Any]
    kind: str
    held: NDArray[np.bool_]
    shared: Ranges | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.annotation.shape[0], self.annotation.shape[1]

    def classes(self, encoding: str) -> NDArray[np.int64]:
        """Class of every pixel, -1 where it is unknown."""
        return (
            encode_instances(self.annotation, encoding) if self.kind == "instances" else self.annotation
        )

    def on_scale(self, shared: Sequence[tuple[float, float]]) -> Plane:
        """The same plane with the scale of all images, one pair for each channel of the network."""
        if not shared:
            return self
        distinct = [shared[self.order.index(c)] for c in range(len(self.low))]
        return replace(self, shared=shared_range((self.low, self.high), distinct))

    def read(self, y: Range, x: Range) -> NDArray[np.float32]:
        """Normalised grey values of a window, mirrored outside the plane, shape (c, y, x)."""
        return normalise(self.mirror(self.pixels, y, x), self.low, self.high)

    def window(self, y: Range, x: Range) -> NDArray[np.float32]:
        """What prediction feeds: all channels of the network, then those on the shared scale, if any."""
        scales = [(self.low, self.high), *([self.shared] if self.shared is not None else [])]
        raw = self.mirror(self.pixels, y, x)
        return np.concatenate([normalise(raw, *scale)[list(self.order)] for scale in scales])

    def mirror(self, array: NDArray[Any], y: Range, x: Range) -> NDArray[Any]:
        """A window of any array on this plane, mirrored outside."""
        rows, columns = (reflect_indices(*r, n) for r, n in zip((y, x), self.shape, strict=True))
        return take_window(array, rows, columns)

    def close(self, sigma: float) -> NDArray[np.float32]:
        """The weight map's exponential (see `targets.closeness`); computed once."""
        if sigma not in self._close:
            self._close[sigma] = closeness(self.annotation, sigma)
        return self._close[sigma]

    @cached_property
    def _close(self) -> dict[float, NDArray[np.float32]]:
        return {}

    def centres(self, seed: int) -> list[NDArray[np.intp]]:
        """For each class that training sees here, some of its pixels, each of shape (n, 2)."""
        if seed not in self._centres:
            rng = keyed_generator(seed, PURPOSE_CENTRES, self.image, sum(self.index))
            self._centres[seed] = [_some(rng, m & ~self.held) for m in self._masks()]
        return [c for c in self._centres[seed] if len(c)]

    @cached_property
    def _centres(self) -> dict[int, list[NDArray[np.intp]]]:
        return {}

    def _masks(self) -> list[NDArray[np.bool_]]:
        if self.kind == "instances":
            return [self.annotation == 0, self.annotation > 0]
        return [self.annotation == c for c in np.unique(self.annotation[self.annotation >= 0])]

    @property
    def components(self) -> list[NDArray[np.int32]]:
        """For each class, its objects or strokes: connected components numbered 1…n (0 elsewhere)."""
        if self.kind == "instances":
            return [self.annotation]
        return [ndimage.label(m, np.ones((3, 3)))[0].astype(np.int32) for m in self._masks()]


def read_planes(
    images: Sequence[ImageBlock], annotations: Sequence[Any], kind: str, spec: ModelSpec
) -> list[Plane]:
    """Every plane that is annotated; in single images without an object all is background.

    Raises
    ------
    InputError
        If images and annotations do not match, or nothing is annotated.
    """
    if not images:
        raise InputError("images", "none", "give at least one image with its annotation")
    if len(images) != len(annotations):
        mend = f"give one for each of the {len(images)} images"
        raise InputError("annotations", len(annotations), mend)
    planes: list[Plane] = []
    for number, (image, annotation) in enumerate(zip(images, annotations, strict=True)):
        planes += _planes_of(number, image, check_annotation(image, annotation), kind, spec)
    if not any((p.annotation > 0).any() or p.kind != "instances" for p in planes):
        raise InputError("annotations", "no annotated pixel", "paint some first, or check the kind")
    return planes


def check_annotation(image: ImageBlock, annotation: Any) -> Any:
    """The annotation, if it can be one for `image`; as integers where it is of a floating type.

    Raises
    ------
    InputError
        If it does not hold whole numbers or has not the stack, Y and X axes of the image.
    """
    field = f"annotation of {image.name}"
    if not hasattr(annotation, "shape") or np.dtype(annotation.dtype).kind not in "buif":
        received = getattr(annotation, "dtype", type(annotation).__name__)
        raise InputError(field, received, "give an array of whole numbers, as a Labels layer has")
    if tuple(annotation.shape) != (wanted := (*image.stack_shape, *image.plane_shape)):
        mend = f"the image needs {wanted} (axes {image.stack_axes}YX)"
        raise InputError(field, f"shape {tuple(annotation.shape)}", mend)
    floating = np.dtype(annotation.dtype).kind == "f"
    return as_labels(np.asarray(annotation), field) if floating else annotation


def annotated_classes(planes: Sequence[Plane]) -> list[int]:
    """The classes that are annotated, from 0, in order.

    Raises
    ------
    InputError
        If only one class is annotated, or the numbers cannot be classes.
    """
    seen = np.unique(np.concatenate([np.unique(p.annotation) for p in planes]))
    seen = seen[seen >= 0]
    strokes = planes[0].kind == "strokes"
    if seen[-1] >= MAX_CLASSES:
        mend = f"number at most {MAX_CLASSES} classes, or choose kind=instances for objects"
        raise InputError("annotations", f"class {seen[-1] + strokes}", mend)
    if len(seen) < 2:
        mend = "annotate at least two classes, background too"
        raise InputError("annotations", f"only class {seen[0] + strokes}", mend)
    return [int(c) for c in seen]


def hold_out(planes: Sequence[Plane], share: float, seed: int) -> list[Plane]:
    """Keep a share of the annotation from training: whole images, else whole objects or strokes.

    Images are held out where the share makes at least one of them; otherwise connected components,
    the share of those of each class, rounded down.
    """
    images = sorted({p.image for p in planes})
    rng = keyed_generator(seed, PURPOSE_HOLD_OUT)
    count = round(share * len(images))
    if 1 <= count < len(images):
        kept_back = set(rng.permutation(images)[:count].tolist())
        held = [replace(p, held=np.full(p.shape, p.image in kept_back)) for p in planes]
        if _trainable(held) == _trainable(planes):
            return held
    return _hold_out_components(planes, share, rng)


def _planes_of(
    number: int, image: ImageBlock, annotation: Any, kind: str, spec: ModelSpec
) -> list[Plane]:
    found = []
    for index in image.planes():
        values = np.asarray(annotation[index])
        if values.dtype.kind == "i" and values.min() < 0:
            mend = "annotations start at 0"
            raise InputError(f"annotation of {image.name}", int(values.min()), mend)
        if kind != "instances" and values.dtype.kind == "u" and values.max() > np.iinfo(np.int64).max:
            mend = f"number at most {MAX_CLASSES} classes, or choose kind=instances for objects"
            raise InputError("annotations", f"class {values.max()}", mend)
        if not values.any() and (kind == "strokes" or (kind == "instances" and index)):
            continue
        found.append(make_plane(number, image, index, values, kind, spec))
    return found


def make_plane(
    number: int,
    image: ImageBlock,
    index: tuple[int, ...],
    values: NDArray[Any],
    kind: str,
    spec: ModelSpec,
) -> Plane:
    """One plane with its annotation, nothing of it held out; the pixels are read and copied."""
    image, channels = near_zero(image), spec.pick_channels(image)
    distinct = sorted(set(channels))
    order = tuple(distinct.index(c) for c in channels)
    low, high = normalisation_range(image, index, distinct, spec.normalisation)
    meant = number_objects(values) if kind == "instances" else classes_from_zero(values, kind)
    pixels = np.array(image.read(index, channels=distinct))
    unheld = np.zeros(image.plane_shape, bool)
    plane = Plane(number, index, pixels, order, low, high, meant, kind, unheld)
    return plane.on_scale(spec.normalisation.shared)


def _some(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    flat = np.flatnonzero(mask)
    if len(flat) > CENTRES:
        flat = rng.choice(flat, CENTRES, replace=False)
    return np.stack(np.unravel_index(flat, mask.shape), axis=-1)


def _trainable(planes: Sequence[Plane]) -> set[int]:
    """Classes (for instances: whether there are objects) that training sees."""
    seen: set[int] = set()
    for plane in planes:
        if not plane.held.all():
            values = np.unique(plane.annotation[~plane.held])
            seen |= set((values > 0).tolist() if plane.kind == "instances" else values.tolist())
    return seen - {-1}


def _hold_out_components(planes: Sequence[Plane], share: float, rng: np.random.Generator) -> list[Plane]:
    dense = planes[0].kind != "strokes"
    parts = [plane.components for plane in planes]
    boxes = [[ndimage.find_objects(numbered) for numbered in groups] for groups in parts]
    held = [np.zeros(plane.shape, bool) for plane in planes]
    for pieces in _pieces_by_class(planes, parts).values():
        count = int(share * len(pieces))  # of few none: each is worth more to training
        for chosen in rng.permutation(len(pieces))[:count]:
            plane, group, number = pieces[chosen]
            box = boxes[plane][group][number - 1]
            around = tuple(slice(max(0, side.start - MARGIN), side.stop + MARGIN) for side in box)
            held[plane][around] |= _piece(parts[plane][group][around], number, dense)
    return [replace(plane, held=mask) for plane, mask in zip(planes, held, strict=True)]


def _pieces_by_class(
    planes: Sequence[Plane], parts: Sequence[list[NDArray[np.int32]]]
) -> dict[int, list[tuple[int, int, int]]]:
    """For each class its components as (plane, group, number)."""
    found: dict[int, list[tuple[int, int, int]]] = {}
    for p, groups in enumerate(parts):
        for g, numbered in enumerate(groups):
            inside = numbered > 0
            if not inside.any():
                continue
            instances = planes[p].kind == "instances"
            key = 0 if instances else int(planes[p].annotation[inside][0])
            numbers = range(1, int(numbered.max()) + 1)
            found.setdefault(key, []).extend((p, g, n) for n in numbers)
    return found


def _piece(numbered: NDArray[np.int32], number: int, dense: bool) -> NDArray[np.bool_]:
    """One component of a window; of a dense annotation with a margin of what is no other component."""
    piece = numbered == number
    if dense:
        grown = ndimage.binary_dilation(piece, np.ones((3, 3)), MARGIN)
        piece = grown & ((numbered == 0) | piece)
    return piece
