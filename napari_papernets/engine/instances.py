"""From class probabilities to numbered objects: peaks, their watershed, and what belongs together."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import relabel_sequential, watershed

from ..core.errors import InputError
from .convexity import Outlines

SMOOTHING = 1.0  # σ in pixels of the depth whose peaks are objects
NECK = 0.6  # two peaks are one object if the neck between them has this share of the lower one's depth
NARROW, WIDE = 0.5, 0.85  # the same, where in between the convexity of both decides
BAY = 0.02  # by how much two objects are more solid than the one that they seem to be
SHALLOW = 0.5  # pixels: depths below this do not tell objects apart
SURENESS = 0.4  # how far from the threshold to 1 an object's mean probability must be
FOUR = ndimage.generate_binary_structure(2, 1)
EIGHT = ndimage.generate_binary_structure(2, 2)


def to_instances(
    probabilities: NDArray[Any],
    encoding: str,
    threshold: float = 0.5,
    min_size: int = 0,
    solidity: float | None = None,
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
    solidity : float, optional
        How solid objects usually are (area over that of the convex hull): what has two lobes and is less
        solid than this is taken for two objects. None looks at necks only.

    Returns
    -------
    ndarray, shape (Y, X), uint32
        0 is background, 1…n the objects, without gaps.

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
    labels = fill_holes(find(probabilities, threshold, solidity))
    labels = drop_unsure(labels, 1 - probabilities[0], threshold + SURENESS * (1 - threshold))
    return drop_small(labels, min_size)


def from_border(
    probabilities: NDArray[Any], threshold: float, solidity: float | None = None
) -> NDArray[np.int32]:
    """Objects from background, inside and border: cut where narrow, or where a border is likely."""
    background, _, border = probabilities
    return split(1 - background > threshold, 1 - border, solidity)


def from_ridge(
    probabilities: NDArray[Any], threshold: float, solidity: float | None = None
) -> NDArray[np.int32]:
    """Objects from background and foreground, kept apart by a ridge of background.

    They grow by the pixel that training took from them, where it has foreground on both sides.
    """
    sure = probabilities[1]
    foreground = sure > threshold
    labels = split(foreground, sure, solidity)
    return watershed(-sure, labels, mask=foreground | ndimage.binary_closing(foreground, EIGHT))


def split(
    mask: NDArray[np.bool_], inner: NDArray[Any], solidity: float | None = None
) -> NDArray[np.int32]:
    """Cut a foreground into objects.

    The depth of a pixel is its distance to the background times how far it is `inner`. Every peak of the
    depth gets the pixels that lead up to it; then peaks are joined whose neck is nearly as deep as
    they are.

    Parameters
    ----------
    mask : ndarray of bool, shape (Y, X)
        Foreground.
    inner : ndarray, shape (Y, X), floating
        0…1; low where something separates objects.
    solidity : float, optional
        As in `to_instances`.

    Returns
    -------
    ndarray, shape (Y, X), int32
        0 outside `mask`, positive inside; not all numbers are used.
    """
    distance = np.ones(mask.shape) if mask.all() else ndimage.distance_transform_edt(mask)
    depth = ndimage.gaussian_filter((distance * inner).astype(np.float32), SMOOTHING) * mask
    # four neighbours throughout: then every component of the foreground has a peak of its own
    peaks = (depth == ndimage.maximum_filter(depth, footprint=FOUR)) & mask
    basins = watershed(-depth, ndimage.label(peaks, FOUR)[0], mask=mask)
    return join_shallow(basins, depth, solidity)[basins]


def join_shallow(
    basins: NDArray[np.int32], depth: NDArray[np.float32], solidity: float | None = None
) -> NDArray[np.int32]:
    """The new number of each basin, those joined that a neck of at least `NECK` of their depth connects.

    Where it is known how solid objects usually are, a neck of `NARROW` to `WIDE` connects unless the two
    are less solid together, and more so apart.

    Parameters
    ----------
    basins : ndarray of int32, shape (Y, X)
        0 is outside, 1…n a basin around each peak.
    depth : ndarray of float32, shape (Y, X)
        At least 0.
    solidity : float, optional
        As in `to_instances`.

    Returns
    -------
    ndarray, shape (n + 1,), int32
        0 for 0.
    """
    outlines = None if solidity is None else Outlines(basins)
    number = np.arange(int(basins.max()) + 1, dtype=np.int32)
    peak = np.zeros(len(number), np.float32)
    np.maximum.at(peak, basins.ravel(), depth.ravel())
    peak = np.maximum(peak, SHALLOW)

    def root(n: int) -> int:
        while number[n] != n:
            number[n] = number[number[n]]
            n = int(number[n])
        return n

    def belong(a: int, b: int, neck: float) -> bool:
        if outlines is None or solidity is None:
            return neck >= NECK
        if not NARROW <= neck < WIDE:
            return neck >= WIDE
        together, apart = outlines.compare(a, b)
        return together >= solidity or apart - together < BAY

    for one, other, saddle in necks(basins, depth):
        a, b = sorted((root(one), root(other)))
        if a != b and belong(a, b, max(saddle, SHALLOW) / min(peak[a], peak[b])):
            number[b], peak[a] = a, max(peak[a], peak[b])
            if outlines is not None:
                outlines.join(a, b)
    return np.array([root(n) for n in range(len(number))], np.int32)


def necks(basins: NDArray[np.int32], depth: NDArray[np.float32]) -> list[tuple[int, int, float]]:
    """Every pair of basins that touch, with the depth of the neck between them, deepest first."""
    keys, saddles = [], []
    count = int(basins.max()) + 1
    for ahead, behind in (
        ((slice(None), slice(1, None)), (slice(None), slice(-1))),
        ((slice(1, None), slice(None)), (slice(-1), slice(None))),
    ):
        a, b = basins[ahead], basins[behind]
        touch = (a != b) & (a > 0) & (b > 0)
        low, high = np.minimum(a, b)[touch], np.maximum(a, b)[touch]
        keys.append(low.astype(np.int64) * count + high)
        saddles.append(np.minimum(depth[ahead], depth[behind])[touch])
    pairs, index = np.unique(np.concatenate(keys), return_inverse=True)
    deepest = np.zeros(len(pairs), np.float32)
    np.maximum.at(deepest, index, np.concatenate(saddles))
    order = np.argsort(-deepest, kind="stable")
    return [(int(pairs[i] // count), int(pairs[i] % count), float(deepest[i])) for i in order]


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
