"""Areas and hulls of regions, alone and joined."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.draw import disk

from napari_papernets.engine.convexity import Outlines, object_solidities


def test_rectangles_are_solid_and_an_angle_is_not() -> None:
    labels = np.zeros((20, 30), int)
    labels[2:8, 3:12] = 1
    labels[10, 20] = 2
    labels[10:20, 0:2] = labels[18:20, 0:10] = 3  # 10×10 with a bay of 8×8
    assert object_solidities(labels) == pytest.approx([1, 1, 36 / (100 - 8 * 8 / 2)])


def test_a_disc_is_nearly_solid() -> None:
    labels = np.zeros((50, 50), int)
    labels[disk((25, 25), 10)] = 1
    assert 0.93 < object_solidities(labels)[0] < 0.98


def test_what_is_not_annotated_is_no_object_and_numbers_do_not_matter() -> None:
    labels = np.full((6, 6), -1)
    assert object_solidities(labels) == []
    labels[:3, :3] = 10**9
    labels[4:, :] = 7
    assert object_solidities(labels) == pytest.approx([1, 1])
    assert object_solidities(np.ones((4, 4), np.uint8)) == pytest.approx([1])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_joined_regions_are_what_they_would_be_as_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    regions = ndimage.zoom(rng.integers(0, 5, (6, 7)), 3, order=0)
    regions[:3, :12] = np.repeat([1, 2, 3, 4], 3)
    outlines = Outlines(regions)
    outlines.join(1, 3)
    outlines.join(1, 4)
    merged = np.where(np.isin(regions, (3, 4)), 1, regions)
    parts, areas = object_solidities(merged), np.bincount(merged.ravel())[1:3]
    together, apart = outlines.compare(1, 2)
    assert together == pytest.approx(object_solidities(merged > 0)[0])
    assert apart == pytest.approx(np.average(parts, weights=areas))
    outlines.join(1, 2)  # hulls that are known are joined, too
    assert outlines.solidity(1) == pytest.approx(together)
