"""The arrays of an answer: the class of each pixel; planes that become a stack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.image import ImageBlock


class Answer:
    """Arrays that grow plane by plane; object numbers go on from plane to plane.

    Parameters
    ----------
    image : ImageBlock
        What is answered for.
    planes : sequence of tuple of int, optional
        The planes that will come, which become one stack axis; all of the image by default.
    probabilities : bool
        Whether they are kept beside the labels.
    """

    def __init__(
        self,
        image: ImageBlock,
        planes: Sequence[tuple[int, ...]] | None,
        probabilities: bool,
    ) -> None:
        self._order = {p: i for i, p in enumerate(planes or image.planes())}
        flat = planes is not None and bool(image.stack_axes)
        self._stack = (len(planes),) if flat and planes else image.stack_shape
        self._labels: dict[int, NDArray[Any]] = {}
        self._blocks: dict[int, NDArray[np.float32]] | None = {} if probabilities else None
        self._highest = 0

    def add(self, plane: tuple[int, ...], labels: NDArray[Any], block: NDArray[np.float32]) -> None:
        """Keep a plane; objects (not classes) are renumbered to be unique in the stack."""
        if labels.dtype != np.uint8:
            highest = self._highest + int(labels.max(initial=0))
            labels = labels.astype(np.min_scalar_type(highest), copy=False)
            labels[labels > 0] += labels.dtype.type(self._highest)
            self._highest = highest
        self._labels[self._order[plane]] = labels
        if self._blocks is not None:
            self._blocks[self._order[plane]] = block

    def labels_of(self, plane: tuple[int, ...]) -> NDArray[Any]:
        return self._labels[self._order[plane]]

    @property
    def labels(self) -> NDArray[Any]:
        """Of all planes, shape (*stack, Y, X), unsigned."""
        parts = [self._labels[i] for i in range(len(self._labels))]
        kind = np.result_type(*(p.dtype for p in parts))
        return np.stack(parts).astype(kind, copy=False).reshape(*self._stack, *parts[0].shape)

    @property
    def probabilities(self) -> NDArray[np.float32] | None:
        """Of all planes, shape (K, *stack, Y, X); None where they are not kept."""
        if self._blocks is None:
            return None
        parts = [self._blocks[i] for i in range(len(self._blocks))]
        shape = (parts[0].shape[0], *self._stack, *parts[0].shape[1:])
        return parts[0].reshape(shape) if len(parts) == 1 else np.stack(parts, 1).reshape(shape)


def classes_of(probabilities: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Most probable class of each pixel, 1…K, the first of equals; argmax made cheap for few classes.

    Parameters
    ----------
    probabilities : ndarray of float32, shape (K, Y, X)
        K is at most 255.

    Returns
    -------
    ndarray of uint8, shape (Y, X)
    """
    labels = np.ones(probabilities.shape[1:], np.uint8)
    highest = probabilities[0]
    for number, values in enumerate(probabilities[1:], start=2):
        wins = (values > highest).view(np.uint8)
        np.maximum(labels, wins * np.uint8(number), out=labels)  # a later one has the larger number
        if number < len(probabilities):
            highest = np.maximum(highest, values)
    return labels
