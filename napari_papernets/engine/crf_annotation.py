"""Annotation on which a CRF is tuned: read, halved by stroke or field, and the windows around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..core.errors import InputError
from ..core.image import ImageBlock
from ..core.tiles import Region

DENSE = 0.5  # share of annotated pixels from which it is truth rather than strokes
SQUARE = 64  # pixels: side of the fields of the checkerboard
WINDOW = 512  # pixels: largest side that is refined at once
WINDOWS = 3


def read_truth(
    annotation: Any,
    image: ImageBlock,
    plane: tuple[int, ...],
    classes: int,
    region: Region | None = None,
) -> NDArray[np.int64]:
    """Classes of a plane, 0 where not annotated.

    Raises
    ------
    InputError
        If the shape differs from that of the image or region, or classes are unknown or fewer than two.
    """
    y0, y1, x0, x1 = region or (0, image.plane_shape[0], 0, image.plane_shape[1])
    expected = (*image.stack_shape, y1 - y0, x1 - x0)
    if tuple(annotation.shape) != expected:
        mend = f"give labels of the shape of {image.name} without channels, {expected}"
        raise InputError("annotation", f"shape {tuple(annotation.shape)}", mend)
    truth = np.asarray(annotation[plane] if plane else annotation).astype(np.int64)
    present = [int(c) for c in np.unique(truth) if c != 0]
    if present and (present[0] < 0 or present[-1] > classes):
        mend = f"use 0 for not annotated and 1 to {classes} for the classes of the probabilities"
        raise InputError("annotation", f"classes {present}", mend)
    if len(present) < 2:
        raise InputError(
            "annotation", f"classes {present}", "annotate at least two classes in this plane"
        )
    return truth


def split_annotation(truth: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Pixels to choose on, and pixels to judge on: every other stroke of a class, or checkerboard field.

    Where a class has but one stroke, it is cut in two.
    """
    known = truth > 0
    y, x = np.indices(truth.shape)
    board = ((y // SQUARE) + (x // SQUARE)) % 2 == 0
    if known.mean() > DENSE:
        return known & board, known & ~board
    chooses = np.zeros(truth.shape, bool)
    for number in np.unique(truth[known]):
        strokes, count = ndimage.label(truth == number, np.ones((3, 3), int))
        if count > 1:
            chooses |= (strokes > 0) & (strokes % 2 == 1)
        else:
            rows, columns = np.nonzero(strokes)
            order = np.lexsort((columns, rows) if np.ptp(rows) > np.ptp(columns) else (rows, columns))
            first = order[: len(order) // 2]
            chooses[rows[first], columns[first]] = True
    return known & chooses, known & ~chooses


def windows_of(where: NDArray[np.bool_]) -> Iterator[tuple[slice, slice]]:
    """A few windows that hold most of a mask, none of them larger than `WINDOW`; they do not overlap."""
    height, width = where.shape
    counts = {
        (top, left): int(where[top : top + WINDOW, left : left + WINDOW].sum())
        for top in range(0, height, WINDOW)
        for left in range(0, width, WINDOW)
    }
    fullest = sorted(counts, key=lambda corner: -counts[corner])[:WINDOWS]
    for top, left in fullest:
        if counts[top, left]:
            yield slice(top, min(top + WINDOW, height)), slice(left, min(left + WINDOW, width))
