"""What can be probabilities of an image: a map for each class."""

from __future__ import annotations

from typing import Any

from .errors import InputError
from .image import ImageBlock, kind_of
from .tiles import Region

MOST_CLASSES = 255


def check_shape(probabilities: Any, image: ImageBlock, region: Region | None) -> None:
    """Refuse probabilities that are not (K, *stack, Y, X) of the image, or of the region."""
    expected = (*image.stack_shape, *image.plane_shape)
    fitting = {expected}
    if region is not None:
        fitting.add((*image.stack_shape, region[1] - region[0], region[3] - region[2]))
    shape = tuple(getattr(probabilities, "shape", ()))
    if shape[1:] not in fitting:
        wanted = ", ".join(["K", *map(str, expected)])
        mend = f"give one map for each class, classes first: shape ({wanted}) for {image.name}"
        raise InputError("probabilities", f"shape {shape}", mend)
    if not 1 <= shape[0] <= MOST_CLASSES:
        mend = f"give 1 to {MOST_CLASSES} classes along the first axis"
        raise InputError("probabilities", f"shape {shape}", mend)
    if kind_of(probabilities.dtype) not in "fiub":
        raise InputError("probabilities", f"type {probabilities.dtype}", "give real numbers from 0 to 1")
