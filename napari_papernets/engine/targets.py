"""Annotations to training targets: classes, and the paper's weight map.

w(x) = w_c(x) + w0·exp(−(d1(x) + d2(x))² / (2σ²)), with d1 and d2 the distances to the nearest and the
second nearest object (Ronneberger et al. 2015, eq. 2). Objects become classes in one of two ways:

- "border": 0 background, 1 inside, 2 border: the outermost pixels of an object, two pixels wide where
  it touches another, and background pixels squeezed between two objects;
- "ridge": 0 background, 1 object, with a ridge of background, one pixel wide, where objects touch
  (the paper's).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import InputError

IGNORE = -1
BORDER_CLASSES = ("background", "inside", "border")
RIDGE_CLASSES = ("background", "object")
REACH = 4.0  # of the weight map, in σ
LARGEST_BALANCE = 10.0


def encode_instances(ids: NDArray[Any], encoding: str) -> NDArray[np.int64]:
    """Classes of numbered objects.

    Parameters
    ----------
    ids : ndarray of integers, shape (Y, X)
        0 is background, every other number one object.
    encoding : {"border", "ridge"}
        See the head of this module.

    Returns
    -------
    ndarray, shape (Y, X), int64

    Raises
    ------
    InputError
        If the encoding is unknown.
    """
    if encoding == "border":
        return encode_border(ids)
    if encoding == "ridge":
        return (ids * ~touching_ridge(ids) > 0).astype(np.int64)
    raise InputError("encoding", repr(encoding), "choose border or ridge")


def encode_border(ids: NDArray[Any]) -> NDArray[np.int64]:
    """0 background, 1 inside, 2 border.

    Border is the outermost pixel of an object, a second one where another object is at most two pixels
    away (so that a line between touching objects is wide enough to be found), and background of up to
    two pixels between two objects.
    """
    inside = ids > 0
    highest = ndimage.maximum_filter(ids, 3, mode="nearest")
    lowest = ndimage.minimum_filter(ids, 3, mode="nearest")
    edge = inside & (highest != lowest)
    # the smallest number of an object around: background does not count
    ceiling = np.where(inside, ids, np.iinfo(ids.dtype).max)
    gap = ~inside & (highest > 0) & (ndimage.minimum_filter(ceiling, 3, mode="nearest") != highest)
    near = ndimage.maximum_filter(ids, 5, mode="nearest") != ids
    near |= ndimage.minimum_filter(ceiling, 5, mode="nearest") != ids
    border = edge | (inside & near) | gap
    return inside.astype(np.int64) * ~border + 2 * border


def touching_ridge(ids: NDArray[Any]) -> NDArray[np.bool_]:
    """Object pixels with another object to the right or below: one side only, so one pixel wide.

    What is left of two objects may meet at corners, but shares no side (4-connectivity).
    """
    ridge = np.zeros(ids.shape, bool)
    ridge[:, :-1] |= (ids[:, 1:] != ids[:, :-1]) & (ids[:, 1:] > 0)
    ridge[:-1] |= (ids[1:] != ids[:-1]) & (ids[1:] > 0)
    return ridge & (ids > 0)


def closeness(ids: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    """The paper's exp(−(d1 + d2)² / (2σ²)), computed within 4σ of each object only.

    Parameters
    ----------
    ids : ndarray of integers, shape (Y, X)
        Objects; inside one, d1 is 0.
    sigma : float
        σ in pixels.

    Returns
    -------
    ndarray, shape (Y, X), float32
        In 0…1. Where either distance exceeds 4σ it is 0 instead of a value below exp(−8) = 3.4e-4,
        the largest error there is.
    """
    reach = int(np.ceil(REACH * sigma))
    nearest = np.full(ids.shape, np.inf, np.float32)
    second = np.full(ids.shape, np.inf, np.float32)
    for number, box in enumerate(ndimage.find_objects(ids), 1):
        if box is None:
            continue
        window = tuple(slice(max(0, s.start - reach), s.stop + reach) for s in box)
        distance = ndimage.distance_transform_edt(ids[window] != number).astype(np.float32)
        near, next_near = nearest[window], second[window]
        np.minimum(next_near, np.maximum(near, distance), out=next_near)
        np.minimum(near, distance, out=near)
    return np.exp(-((nearest + second) ** 2) / (2 * sigma**2))


def weight_map(
    classes: NDArray[Any],
    close: NDArray[Any] | None,
    class_weights: NDArray[np.float32],
    w0: float,
    object_class: int | None = None,
) -> NDArray[np.float32]:
    """The paper's w(x); 0 where nothing is annotated.

    Parameters
    ----------
    classes : ndarray of int64, shape (Y, X)
        Class of each pixel; `IGNORE` where it is unknown.
    close : ndarray, shape (Y, X), or None
        From `closeness`; None without objects.
    class_weights : ndarray, shape (K,)
        w_c of each class.
    w0 : float
        Largest extra weight.
    object_class : int, optional
        Class that the extra weight spares: it belongs to what separates objects.

    Returns
    -------
    ndarray, shape (Y, X), float32
    """
    weights = class_weights[np.maximum(classes, 0)]
    if close is not None and w0:
        weights = weights + w0 * close * (classes != object_class)
    return (weights * (classes != IGNORE)).astype(np.float32)


def balanced_weights(counts: Sequence[int] | NDArray[Any]) -> NDArray[np.float32]:
    """w_c by inverse frequency: 1 on average over pixels, at most 10; 1 for a class never seen."""
    counts = np.asarray(counts, np.float64)
    seen = counts > 0
    share = counts / max(counts.sum(), 1)
    weights = np.ones(len(counts))
    weights[seen] = np.minimum(1 / (seen.sum() * share[seen]), LARGEST_BALANCE)
    return weights.astype(np.float32)


def number_objects(annotation: NDArray[Any]) -> NDArray[np.int32]:
    """Objects numbered 1…n whatever their ids were, so that tables of objects stay small."""
    _, index = np.unique(annotation, return_inverse=True)
    numbered = index.reshape(annotation.shape).astype(np.int32)
    return numbered + 1 if (annotation != 0).all() else numbered


def classes_from_zero(annotation: NDArray[Any], kind: str) -> NDArray[np.int64]:
    """Classes 0…K−1 of "strokes" (0 is not annotated: `IGNORE`) or "classes" (0 is a class)."""
    classes = annotation.astype(np.int64)
    return classes - 1 if kind == "strokes" else classes
