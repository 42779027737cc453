"""How well labels agree with the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from skimage.metrics import adapted_rand_error

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
    counts, true_ids, found_ids = shared_pixels(truth, labels)
    unions = counts.sum(1, keepdims=True) + counts.sum(0, keepdims=True) - counts
    return (counts / unions)[true_ids != 0][:, found_ids != 0]


def shared_pixels(
    truth: NDArray[Any], labels: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[Any]]:
    """How many pixels each number of `truth` shares with each of `labels`, and those numbers in order.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    if truth.shape != labels.shape:
        raise InputError("labels", f"shape {labels.shape}", f"the truth has shape {truth.shape}")
    true_ids, true_index = np.unique(truth, return_inverse=True)
    found_ids, found_index = np.unique(labels, return_inverse=True)
    pairs = true_index.ravel() * len(found_ids) + found_index.ravel()
    counts = np.bincount(pairs, minlength=len(true_ids) * len(found_ids))
    return counts.reshape(len(true_ids), len(found_ids)), true_ids, found_ids


def foreground_iou(truth: NDArray[Any], labels: NDArray[Any]) -> float:
    """Intersection over union of all that is not 0; 1 where both are empty."""
    union = int(((truth > 0) | (labels > 0)).sum())
    return int(((truth > 0) & (labels > 0)).sum()) / union if union else 1.0


def f_score(truth: NDArray[np.bool_], found: NDArray[np.bool_]) -> float:
    """2 TP / (2 TP + FP + FN) over pixels; 1 where both are empty."""
    total = int(truth.sum()) + int(found.sum())
    return 2 * int((truth & found).sum()) / total if total else 1.0


def segmentation_accuracy(truth: NDArray[Any], labels: NDArray[Any]) -> list[float]:
    """SEG of the Cell Tracking Challenge, object by object; the measure is their mean over all frames.

    A found object belongs to the true one of which it covers more than half (at most one does); that
    one scores their intersection over union, or 0 where no object covers it so. What is found where
    nothing is annotated costs nothing, so that frames annotated in part can be judged (Maška et al.,
    Bioinformatics 30:1609, 2014).

    Parameters
    ----------
    truth, labels : ndarray of integers, shape (Y, X)
        0 is background, every other number one object.

    Returns
    -------
    list of float
        0…1 for each true object, in the order of their numbers.

    Raises
    ------
    InputError
        If the shapes differ.
    """
    counts, true_ids, found_ids = shared_pixels(truth, labels)
    covered = counts > counts.sum(1, keepdims=True) / 2
    unions = counts.sum(1, keepdims=True) + counts.sum(0, keepdims=True) - counts
    scores = np.where(covered, counts / unions, 0.0)[true_ids != 0][:, found_ids != 0]
    return scores.max(1, initial=0.0).tolist()


def rand_score(truth: NDArray[Any], labels: NDArray[Any]) -> float:
    """V_rand, the foreground-restricted Rand score of the ISBI 2012 challenge, with α = 1/2.

    With p_ij the pixels of true segment i in found segment j, s_j and t_i their sums over i and j:
    Σ p_ij² / (½ Σ s_j² + ½ Σ t_i²), counted over pairs of different pixels (Arganda-Carreras et al.,
    Front. Neuroanat. 9:142, 2015, eq. 3). It is the F-score of the Rand index: 1 − it is the Rand error
    of the U-Net paper.

    Parameters
    ----------
    truth, labels : ndarray of integers, shape (Y, X)
        Segments; where `truth` is 0 (a membrane) nothing is counted. Every pixel that is 0 in `labels`
        is a segment of its own: see `thin_borders`.

    Raises
    ------
    InputError
        If the shapes differ, or there are no two pixels to compare.
    """
    if truth.shape != labels.shape:
        raise InputError("labels", f"shape {labels.shape}", f"the truth has shape {truth.shape}")
    if np.count_nonzero(truth) < 2:
        raise InputError("truth", f"{np.count_nonzero(truth)} pixels of a segment", "give at least two")
    alone = labels == 0
    found = labels.astype(np.int64)
    found[alone] = found.max() + 1 + np.arange(np.count_nonzero(alone))
    with np.errstate(invalid="ignore"):
        score = 1.0 - float(adapted_rand_error(truth, found, ignore_labels=(0,))[0])
    return 1.0 if np.isnan(score) else score  # no pair shares a segment in either: they agree


def thin_borders(inside: NDArray[Any]) -> NDArray[np.int32]:
    """Segments that membranes separate, grown until they touch, so that their width does not count.

    Each pixel of a membrane goes to the nearest segment.

    Parameters
    ----------
    inside : ndarray of bool, shape (Y, X)
        False on membranes.

    Returns
    -------
    ndarray, shape (Y, X), int32
        Numbers of the segments (components that share sides); 0 nowhere, unless there is no segment.
    """
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return ndimage.label(inside)[0][tuple(nearest)].astype(np.int32)


def class_ious(confusion: NDArray[Any]) -> NDArray[np.float64]:
    """Intersection over union of each class, (K,); NaN for those that no pixel is of.

    Parameters
    ----------
    confusion : ndarray, shape (K, ≥ K)
        Pixels by true class (rows) and predicted class; columns beyond K are answers that are none.
    """
    hits = np.diag(confusion).astype(float)
    union = confusion[:, : len(hits)].sum(0) + confusion.sum(1) - hits
    return np.divide(hits, union, out=np.full_like(hits, np.nan), where=confusion.sum(1) > 0)


def mean_iou(confusion: NDArray[Any]) -> float:
    """Mean of `class_ious` over the classes that pixels are of; 0 without any."""
    ious = class_ious(confusion)
    return float(np.nanmean(ious)) if np.isfinite(ious).any() else 0.0


def estimate_diameter(labels: NDArray[Any]) -> float | None:
    """Median diameter in pixels of discs as large as the objects; None without objects."""
    _, sizes = np.unique(labels[labels != 0], return_counts=True)
    return float(np.median(2 * np.sqrt(sizes / np.pi))) if sizes.size else None
