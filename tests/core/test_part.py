"""Results on a part of an image: their axes, how far apart they are and where they lie."""

from __future__ import annotations

import numpy as np
import pytest

from napari_papernets.core.image import ImageBlock
from napari_papernets.core.part import Part

STACK = ImageBlock(np.zeros((3, 5, 20, 30)), "TZYX", (7.0, 2.0, 0.5, 0.25), unit="µm")


@pytest.mark.parametrize(
    ("planes", "axes", "step"),
    [
        ([(0, 1), (0, 2)], "ZYX", 2.0),
        ([(0, 0), (0, 2), (0, 4)], "ZYX", 4.0),
        ([(0, 0), (0, 1), (0, 4)], "ZYX", None),
        ([(0, 2), (0, 0)], "ZYX", None),
        ([(0, 1), (1, 1)], "TYX", 7.0),
        ([(0, 1), (1, 2)], "ZYX", None),
        ([(2, 3)], "ZYX", 2.0),
    ],
)
def test_chosen_planes_lie_along_the_axis_on_which_they_differ(planes, axes, step):
    part = Part(STACK, None, planes)
    assert (part.axes, part.scale) == (axes, (step, 0.5, 0.25))
    assert part.shape == (len(planes), 20, 30)
    assert part.positions()["Z"] == [2.0 * z for _, z in planes]
    assert part.positions()["T"] == [7.0 * t for t, _ in planes]
    assert part.positions()["Y"] == [0.0] * len(planes)


def test_a_region_of_a_whole_stack_keeps_its_axes():
    part = Part(STACK, (4, 9, 8, 20))
    assert (part.axes, part.shape, part.scale) == ("TZYX", (3, 5, 5, 12), STACK.scale)
    assert part.positions()["Y"] == [2.0] * 15
    assert part.positions()["X"] == [2.0] * 15
    assert part.positions()["Z"][:6] == [0, 2, 4, 6, 8, 0]


def test_the_whole_image_tells_no_place():
    assert Part(STACK).positions() == {}
    assert Part(STACK).axes == "TZYX"
