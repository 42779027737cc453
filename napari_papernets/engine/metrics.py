"""How well labels agree with the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ..core.errors import InputError


@dataclass(frozen=True)
class Matches:
    """Objects found (`true_positives`), invented (`false_positives`) and missed (`false_negatives`)."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def average_precision(self) -> float:
        """TP / (TP + FP + FN); 1 where there was nothing to find and nothing was found."""
        total = self.true_positives + self.false_positives + self.false_negatives
        return self.true_positives / total if total else 1.0

    def __add__(self, other: Matches) -> Matches:
        return Matches(
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
        )


def average_precision(truth: NDArray[Any], labels: NDArray[Any], iou: float = 0.5) -> float:
    """TP / (TP + FP + FN) over objects, as the 2018 Data Science Bowl and StarDist define it.

    Parameters
    ----------
    truth, labels : ndarray of integers, shape (Y, X)
        0 is background, every other number one object.
    iou : float
        Overlap from which an object counts as found.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    return match_objects(truth, labels, iou).average_precision


def match_objects(truth: NDArray[Any], labels: NDArray[Any], iou: float = 0.5) -> Matches:
    """Pair objects one to one, as many as possible with an overlap of at least `iou`."""
    overlaps = object_ious(truth, labels)
    good = overlaps >= iou
    # of two pairings with equally many good pairs, the one with more overlap
    rows, columns = linear_sum_assignment(-(good + overlaps / (2 * max(1, min(overlaps.shape)))))
    found = int(good[rows, columns].sum())
    return Matches(found, overlaps.shape[1] - found, overlaps.shape[0] - found)


def object_ious(truth: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union of every true object with every found one, shape (n_true, n_found)."""
    if truth.shape != labels.shape:
        raise InputError("labels", f"shape {labels.shape}", f"the truth has shape {truth.shape}")
    true_ids, true_index = np.unique(truth, return_inverse=True)
    found_ids, found_index = np.unique(labels, return_inverse=True)
    pairs = true_index.ravel() * len(found_ids) + found_index.ravel()
    counts = np.bincount(pairs, minlength=len(true_ids) * len(found_ids))
    counts = counts.reshape(len(true_ids), len(found_ids)).astype(np.float64)
    unions = counts.sum(1, keepdims=True) + counts.sum(0, keepdims=True) - counts
    return (counts / unions)[true_ids != 0][:, found_ids != 0]


def foreground_iou(truth: NDArray[Any], labels: NDArray[Any]) -> float:
    """Intersection over union of all that is not 0; 1 where both are empty."""
    union = int(((truth > 0) | (labels > 0)).sum())
    return int(((truth > 0) & (labels > 0)).sum()) / union if union else 1.0


def mean_iou(confusion: NDArray[Any]) -> float:
    """Mean over the true classes of intersection over union.

    Parameters
    ----------
    confusion : ndarray, shape (K, K)
        Pixels by true class (rows) and predicted class.
    """
    hits = np.diag(confusion).astype(float)
    union = confusion.sum(0) + confusion.sum(1) - hits
    present = confusion.sum(1) > 0
    return float((hits[present] / union[present]).mean()) if present.any() else 0.0


def estimate_diameter(labels: NDArray[Any]) -> float | None:
    """Median diameter in pixels of discs as large as the objects; None without objects."""
    _, sizes = np.unique(labels[labels != 0], return_counts=True)
    return float(np.median(2 * np.sqrt(sizes / np.pi))) if sizes.size else None
