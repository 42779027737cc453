"""What callers of the verbs give, in the types that the engine takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from .core.errors import InputError
from .core.image import ImageBlock, check_array, is_opaque


def as_block(image: Any, axes: str) -> ImageBlock:
    """An ImageBlock of an array, or the block itself."""
    if isinstance(image, ImageBlock):
        return image
    check_array(image, "image")
    return ImageBlock(image, axes, alpha=isinstance(axes, str) and is_opaque(image, axes))


def as_blocks(images: Any, axes: str) -> list[ImageBlock]:
    """ImageBlocks of an array, a block, or a sequence of either."""
    if not is_single(images) and not isinstance(images, Iterable):
        raise InputError("images", type(images).__name__, "give an array, or several in a list")
    return [as_block(image, axes) for image in ([images] if is_single(images) else images)]


def is_single(images: Any) -> bool:
    """Whether it is one image rather than a sequence of images."""
    return isinstance(images, ImageBlock) or hasattr(images, "dtype")


def as_annotations(annotations: Any, single: bool) -> list[Any]:
    """One annotation for each image; `single` where an image was given that is in no list."""
    if hasattr(annotations, "dtype"):
        return [annotations] if single else list(annotations)
    if not isinstance(annotations, Iterable):
        mend = "give an array of whole numbers, or one for each of several images"
        raise InputError("annotations", type(annotations).__name__, mend)
    return list(annotations)


def as_shares(shares: Any) -> Any:
    """Shares as they are given, if they are numbers or None."""
    try:
        if isinstance(shares, str):
            raise ValueError("a text")
        np.asarray([] if shares is None else shares, np.float64)
    except (TypeError, ValueError) as error:
        mend = "give a number for each image, as in (1, 2)"
        raise InputError("shares", repr(shares), mend) from error
    return shares


def as_maps(probabilities: Any) -> Any:
    """Probabilities as an array, which they may be already."""
    if hasattr(probabilities, "dtype"):
        return probabilities
    try:
        return np.asarray(probabilities)
    except ValueError as error:
        mend = "give an array (K, *stack, Y, X)"
        raise InputError("probabilities", f"a {type(probabilities).__name__}", mend) from error
