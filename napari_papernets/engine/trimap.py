"""The trimap score: how right labels are in a narrow band around boundaries (Chen et al. 2015, fig. 5).

After P. Kohli, L. Ladický, P. H. S. Torr. *Robust Higher Order Potentials for Enforcing Label
Consistency.* IJCV 2009: far from boundaries everything is right anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from .metrics import mean_iou


@dataclass(frozen=True)
class TrimapScore:
    """How right labels are on the known pixels of a band.

    Attributes
    ----------
    iou : float
        Mean over the classes that are there.
    accuracy : float
        Share of pixels that are right.
    pixels : int
        How many were judged; with none, the scores are 0.
    """

    iou: float
    accuracy: float
    pixels: int


def boundaries(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Pixels with a neighbour (of four) of another class, where both are known (not 0)."""
    edge = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        one, two = (np.moveaxis(labels, axis, 0)[s] for s in (slice(1, None), slice(None, -1)))
        differ = (one != two) & (one != 0) & (two != 0)
        along = np.moveaxis(edge, axis, 0)
        along[1:] |= differ
        along[:-1] |= differ
    return edge


def band(labels: NDArray[Any], width: float) -> NDArray[np.bool_]:
    """Pixels at most `width` pixels from a boundary; nothing where there is none.

    Parameters
    ----------
    labels : ndarray of integers, shape (Y, X)
        0 is not known, 1…K are classes.
    width : float
        On each side of the boundary, in pixels: 1 is the pixels that touch it.
    """
    edge = boundaries(labels)
    if not edge.any():
        return edge
    return distance_transform_edt(~edge) < width


def score_on(where: NDArray[np.bool_], truth: NDArray[Any], labels: NDArray[Any]) -> TrimapScore:
    """Score labels on the known pixels of a mask, such as a `band`.

    Parameters
    ----------
    where : ndarray of bool, shape (Y, X)
        The mask.
    truth : ndarray of integers, shape (Y, X)
        0 is not known, 1…K are classes.
    labels : ndarray of integers, shape (Y, X)
        To be judged, 1…K.
    """
    judged = where & (truth > 0)
    true, found = truth[judged].astype(np.int64), labels[judged].astype(np.int64)
    if not true.size:
        return TrimapScore(0.0, 0.0, 0)
    classes = int(max(true.max(), found.max())) + 1
    confusion = np.bincount(true * classes + found, minlength=classes**2).reshape(classes, classes)
    right = float(np.trace(confusion) / true.size)
    return TrimapScore(mean_iou(confusion), right, int(true.size))
