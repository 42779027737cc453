"""What a person does while a training runs, as values that can be sent into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from .model import ClassInfo
from .tiles import Region

LARGEST_VIEW = 1024  # pixels along a side of a view that are answered; of more, the middle


@dataclass(frozen=True, eq=False)
class Patch:
    """The annotation as it is now in a rectangle of one plane; what was there before is replaced.

    Attributes
    ----------
    image : int
        Number of the image in the job or session, from 0.
    plane : tuple of int
        Index along the stack axes of that image.
    y, x : int
        Upper left pixel.
    labels : ndarray of unsigned integers, shape (h, w)
        0 is not annotated (or erased), 1…K the class.
    number : int
        Running number in its session, from 1: events name the newest one that they know of.
    """

    image: int
    plane: tuple[int, ...]
    y: int
    x: int
    labels: NDArray[Any]
    number: int


@dataclass(frozen=True)
class View:
    """What the person looks at: `region` (y0, y1, x0, x1) of one plane of the image of that number."""

    image: int
    plane: tuple[int, ...]
    region: Region


def middle_of(region: Region) -> Region:
    """The region (y0, y1, x0, x1), or of one that is larger than `LARGEST_VIEW` its middle."""
    y0, y1, x0, x1 = region
    return *_middle(y0, y1), *_middle(x0, x1)


def _middle(start: int, stop: int) -> tuple[int, int]:
    if stop - start <= LARGEST_VIEW:
        return start, stop
    first = (start + stop - LARGEST_VIEW) // 2
    return first, first + LARGEST_VIEW


@dataclass(frozen=True)
class Naming:
    """The classes 1…K of a training under other names or colours; the same ones otherwise."""

    classes: tuple[ClassInfo, ...]


Wish = Literal["train", "follow", "rest", "keep", "stop"]
"""What can be asked of a live training: "train" now, whatever can be known of it, "follow" (from now on
train whenever there is something new), "rest" until asked again, "keep" a version now, "stop" (keep a
version and end)."""
