"""Probabilities and what their classes are: values that outlive what the viewer does meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.model import ClassInfo
from .label_numbers import OBJECTS, Numbers
from .layer_parts import LaterArray


@dataclass(frozen=True, eq=False)
class Beliefs:
    """Probabilities, and what their classes are called.

    Attributes
    ----------
    probabilities : LaterArray of float32, shape (K, *stack, Y, X)
        As they are; the engine checks them.
    values : tuple of int
        The number of each class in a labels layer.
    classes : tuple of ClassInfo
        Name and colour of each class.
    step : int
        Every so many pixels along Y and X there is a score, from pixel 0 of the image on; what lies
        between was interpolated.
    gaps : bool
        Whether there may be pixels of no class, where all classes are alike.
    """

    probabilities: LaterArray
    values: tuple[int, ...]
    classes: tuple[ClassInfo, ...]
    step: int = 1
    gaps: bool = False

    def labels(self, classes: NDArray[Any]) -> NDArray[np.uint8]:
        """Numbers of a labels layer for classes 1…K."""
        return np.array((0, *self.values), np.uint8)[classes]

    def labels_given(self, classes: NDArray[Any]) -> NDArray[np.uint8]:
        """Numbers of a labels layer for the most probable classes, 1…K; 0 where there is none such.

        Reads all probabilities where there may be gaps.
        """
        labels = self.labels(classes)
        if self.gaps:
            chances = np.asarray(self.probabilities)
            labels[(chances == chances[0]).all(0)] = 0
        return labels

    def changed_share(self, classes: NDArray[Any]) -> float:
        """Share of the pixels whose most probable class is not that of `classes`, 1…K, (*stack, Y, X).

        Reads all probabilities, a plane at a time.
        """
        changed = 0
        for plane in np.ndindex(*classes.shape[:-2]):
            before = self.probabilities[(slice(None), *plane)].argmax(0) + 1
            changed += int(np.count_nonzero(before != classes[plane]))
        return changed / classes.size


def soften(labels: NDArray[Any], numbers: Numbers, confidence: float) -> NDArray[np.float32]:
    """Probabilities of labels that are right with a probability of `confidence`.

    Parameters
    ----------
    labels : ndarray of integers
        Of any shape.
    numbers : tuple of int
        That are classes; `OBJECTS` for background and foreground.
    confidence : float
        The rest is shared by the other classes.

    Returns
    -------
    ndarray of float32, shape (K, *labels.shape)
        Alike for all classes where a label is none of `numbers`.
    """
    if numbers == OBJECTS:
        labels, numbers = labels > 0, (0, 1)
    count = len(numbers)
    maps = np.full((count, *labels.shape), (1 - confidence) / (count - 1), np.float32)
    known = np.zeros(labels.shape, bool)
    for chances, number in zip(maps, numbers, strict=True):
        here = labels == number
        chances[here] = confidence
        known |= here
    if not known.all():
        maps[:, ~known] = 1 / count
    return maps
