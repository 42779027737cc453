"""From classes to objects: the connected parts of one class, cut where they touch at a narrow neck."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .core.command import command_with
from .core.errors import InputError
from .core.model import ClassInfo

OBJECTS = "objects"  # in the provenance: how they were numbered from classes
SMOOTHING = 1.0  # σ in pixels of the depth whose peaks are objects
NECK = 0.8  # two peaks are one object if the neck between them has this share of the lower one's depth
PINHOLE = 9  # pixels: smaller holes do not count when depth is measured
OUTSIDE = -100.0  # below the logarithm of any depth


@dataclass(frozen=True)
class ObjectRule:
    """How objects are made of classes.

    Attributes
    ----------
    number : int
        The class whose parts are objects, 1…K.
    name : str
        Of that class.
    min_size : int
        Objects with fewer pixels are dropped.
    split : bool
        Cut objects that touch.
    """

    number: int
    name: str
    min_size: int
    split: bool

    @classmethod
    def of(
        cls, classes: Sequence[ClassInfo], wanted: int | str, min_size: int = 0, split: bool = False
    ) -> ObjectRule:
        """For a class of a model, by its number 1…K, its name, or its number as a text.

        Raises
        ------
        InputError
            If there is no such class.
        """
        names = [c.name for c in classes]
        if wanted in names:
            number = names.index(str(wanted)) + 1
        else:
            number = int(wanted) if str(wanted).isdecimal() else 0
        if not 1 <= number <= len(names):
            known = ", ".join(f"{n} {name}" for n, name in enumerate(names, 1))
            raise InputError("objects", repr(wanted), f"the classes of the model are {known}")
        return cls(number, names[number - 1], min_size, split)

    def find(self, classes: NDArray[Any]) -> NDArray[Any]:
        """The objects in a map of classes; see `to_objects`."""
        return to_objects(classes, self.number, self.min_size, self.split)

    def account(self, provenance: Mapping[str, Any]) -> dict[str, Any]:
        """Provenance of the objects in a prediction of which this is the provenance."""
        command = str(provenance.get("command", ""))
        known = "--min-size" in shlex.split(command)
        size = None if known else self.min_size
        told = {"objects": self.name, "min_size": size, "split": self.split or None}
        command = command_with(command, told)
        return {**provenance, OBJECTS: asdict(self), "command": command}


def to_objects(
    classes: NDArray[Any], number: int, min_size: int = 0, split: bool = False
) -> NDArray[Any]:
    """Number the connected parts of a class, plane by plane.

    Parameters
    ----------
    classes : ndarray of integers, shape (*stack, Y, X)
        The class of each pixel, 1…K.
    number : int
        The class whose parts are objects.
    min_size : int
        Objects with fewer pixels are dropped.
    split : bool
        Cut parts that are objects which touch, see `split_touching`.

    Returns
    -------
    ndarray of unsigned integers, of the same shape
        0 where there is no object; numbers are unique over the stack.
    """
    from scipy import ndimage

    objects = np.zeros(classes.shape, np.uint32)
    count = 0
    for plane in np.ndindex(classes.shape[:-2]):
        mask = classes[plane] == number
        found, parts = split_touching(mask) if split else ndimage.label(mask)
        keep = np.bincount(found.ravel(), minlength=parts + 1) >= max(min_size, 1)
        keep[0] = False
        new = np.cumsum(keep) * keep
        objects[plane] = np.where(keep[found], new[found] + count, 0)
        count += int(keep.sum())
    return objects.astype(np.min_scalar_type(max(count, 256)))


def split_touching(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Number the parts of a mask, cut where they are narrow.

    The depth of a pixel is its distance to the background, smoothed. A peak of the depth is an object
    of its own where the necks to deeper ones are narrow beside its own depth: what is large and what
    is small are cut alike, and a ragged or long shape of even width stays whole. The cuts are those of
    a watershed.

    Parameters
    ----------
    mask : ndarray of bool, shape (Y, X)

    Returns
    -------
    labels : ndarray of int32, shape (Y, X)
        0 outside the mask, 1…n inside.
    count : int
        n.
    """
    from scipy import ndimage
    from skimage.morphology import local_maxima, reconstruction
    from skimage.segmentation import watershed

    if mask.all() or not mask.any():
        return mask.astype(np.int32), int(mask.any())
    distance = ndimage.distance_transform_edt(_without_pinholes(mask))
    depth = np.log1p(ndimage.gaussian_filter(distance, SMOOTHING))
    depth[~mask] = OUTSIDE
    # four neighbours throughout, as parts have: every part then has a peak of its own
    cross = ndimage.generate_binary_structure(2, 1)
    smooth = reconstruction(depth + np.log(NECK), depth, footprint=cross)
    peaks, count = ndimage.label(local_maxima(smooth, connectivity=1) & mask, cross)
    return watershed(-depth, peaks, connectivity=1, mask=mask).astype(np.int32), count


def _without_pinholes(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy import ndimage

    holes, _ = ndimage.label(~mask)
    tiny = np.bincount(holes.ravel()) < PINHOLE
    tiny[0] = True
    return np.asarray(tiny[holes])
