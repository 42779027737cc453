"""From class probabilities to numbered objects: seeds, then watershed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import relabel_sequential, watershed

from ..core.errors import InputError

SEED_PIXELS = 4  # smaller specks of "inside" are noise, not objects
SURENESS = 0.4  # how far from the threshold to 1 an object's mean probability must be
FOUR = ndimage.generate_binary_structure(2, 1)
EIGHT = ndimage.generate_binary_structure(2, 2)


def to_instances(
    probabilities: NDArray[Any], encoding: str, threshold: float = 0.5, min_size: int = 0
) -> NDArray[np.uint32]:
    """Number the objects of one plane.

    Parameters
    ----------
    probabilities : ndarray, shape (K, Y, X), floating
        Softmax over background, inside, border ("border", K = 3) or background, foreground
        ("ridge", K = 2).
    encoding : {"border", "ridge"}
        How objects were turned into classes for training.
    threshold : float
        Foreground probability from which a pixel belongs to an object. Objects whose mean is not
        well above it (0.7 for a threshold of 0.5) are dropped: most of them are none.
    min_size : int
        Objects of fewer pixels are dropped.

    Returns
    -------
    ndarray, shape (Y, X), uint32
        0 is background, 1…n the objects, without gaps, in reading order of their seeds.

    Raises
    ------
    InputError
        If the encoding is unknown or does not fit the number of classes.
    """
    classes = {"border": 3, "ridge": 2}
    if encoding not in classes:
        raise InputError("encoding", repr(encoding), "use a model with border or ridge encoding")
    if len(probabilities) != classes[encoding]:
        mend = f"encoding {encoding!r} needs {classes[encoding]}"
        raise InputError("probabilities", f"{len(probabilities)} classes", mend)
    find = from_border if encoding == "border" else from_ridge
    labels = fill_holes(find(probabilities, threshold))
    labels = drop_unsure(labels, 1 - probabilities[0], threshold + SURENESS * (1 - threshold))
    return drop_small(labels, min_size)


def from_border(probabilities: NDArray[Any], threshold: float) -> NDArray[np.int32]:
    """Objects from classes background, inside, border: seeds are inside, borders go to the nearest."""
    background, inside, border = probabilities
    foreground = 1 - background > threshold
    core = (inside > border) & foreground
    return grow(core, border - inside, foreground)


def from_ridge(probabilities: NDArray[Any], threshold: float) -> NDArray[np.int32]:
    """Objects from classes background and foreground, kept apart by a ridge of background.

    Seeds are surer than the threshold asks; at last objects grow by the half ridge, one pixel, that
    training took from them, but only into pixels that are nearly foreground.
    """
    sure = probabilities[1]
    foreground = sure > threshold
    labels = grow(sure > (1 + threshold) / 2, -sure, foreground)
    return watershed(-sure, labels, mask=foreground | ndimage.binary_closing(foreground, EIGHT))


def grow(core: NDArray[np.bool_], height: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Number the components of `core` and flood `mask` from them, low `height` first.

    Components of `mask` that hold no seed become objects of their own. Only those that hold several
    need the watershed, which is the slow part: the others are their seed's as a whole.

    Parameters
    ----------
    core : ndarray of bool, shape (Y, X)
        Seeds, one for each component; all of it lies in `mask`.
    height : ndarray, shape (Y, X), floating
        What the flood climbs.
    mask : ndarray of bool, shape (Y, X)
        What is to be numbered.

    Returns
    -------
    ndarray, shape (Y, X), int32
        0 outside `mask`, other numbers inside.
    """
    seeds, n = ndimage.label(core, FOUR)
    small = np.bincount(seeds.ravel(), minlength=n + 1) < SEED_PIXELS
    seeds[small[seeds]] = 0
    parts, n_parts = ndimage.label(mask, FOUR)
    owner = np.zeros(n + 1, np.intp)  # the part that each seed lies in
    owner[seeds[seeds > 0]] = parts[seeds > 0]
    seeds_in = np.bincount(owner[owner > 0], minlength=n_parts + 1)
    number = n + np.arange(n_parts + 1)  # for parts without a seed
    number[owner[owner > 0]] = np.flatnonzero(owner)
    number[(seeds_in > 1) | (np.arange(n_parts + 1) == 0)] = 0
    labels = number.astype(np.int32)[parts]
    contested = (seeds_in > 1)[parts]
    if contested.any():
        labels += watershed(height, seeds * contested, mask=contested)
    return labels


def fill_holes(labels: NDArray[Any]) -> NDArray[Any]:
    """Give background that one object encloses to that object."""
    holes, n = ndimage.label(labels == 0, FOUR)
    if not n:
        return labels
    filled = labels.copy()
    for number, box in enumerate(ndimage.find_objects(holes), 1):
        around = tuple(slice(s.start - 1, s.stop + 1) for s in box)
        if min(s.start for s in around) < 0 or any(
            s.stop > side for s, side in zip(around, labels.shape, strict=True)
        ):
            continue  # open to the edge of the image
        hole = holes[around] == number
        rim = labels[around][ndimage.binary_dilation(hole, FOUR) & ~hole]
        if rim.min() == rim.max():
            filled[around][hole] = rim[0]
    return filled


def drop_unsure(labels: NDArray[Any], sure: NDArray[Any], least: float) -> NDArray[Any]:
    """Remove objects whose mean foreground probability `sure` is below `least`."""
    sizes = np.bincount(labels.ravel())
    sums = np.bincount(labels.ravel(), weights=sure.ravel())
    unsure = sums < least * sizes
    return np.where(unsure[labels], 0, labels)


def drop_small(labels: NDArray[Any], min_size: int) -> NDArray[np.uint32]:
    """Remove objects of fewer than `min_size` pixels and number the others 1…n."""
    sizes = np.bincount(labels.ravel())
    small = sizes < min_size
    small[0] = False
    kept = np.where(small[labels], 0, labels)
    return relabel_sequential(kept)[0].astype(np.uint32)
