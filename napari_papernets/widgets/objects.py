"""From classes to objects: the connected parts of one class."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_objects(classes: NDArray[Any], number: int, min_size: int = 0) -> NDArray[Any]:
    """Number the connected parts of a class, plane by plane.

    Parameters
    ----------
    classes : ndarray of integers, shape (*stack, Y, X)
        The class of each pixel, 1…K.
    number : int
        The class whose parts are objects.
    min_size : int
        Parts with fewer pixels are dropped.

    Returns
    -------
    ndarray of unsigned integers, of the same shape
        0 where there is no object; numbers are unique over the stack.
    """
    from scipy import ndimage

    objects = np.zeros(classes.shape, np.uint32)
    count = 0
    for plane in np.ndindex(classes.shape[:-2]):
        found, parts = ndimage.label(classes[plane] == number)
        keep = np.bincount(found.ravel(), minlength=parts + 1) >= max(min_size, 1)
        keep[0] = False
        new = np.cumsum(keep) * keep
        objects[plane] = np.where(keep[found], new[found] + count, 0)
        count += int(keep.sum())
    return objects.astype(np.min_scalar_type(max(count, 256)))
