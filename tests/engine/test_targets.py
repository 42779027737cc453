"""Targets against their definitions: the paper's weight map, ridges one pixel wide, thin borders."""

from __future__ import annotations

import numpy as np
import pytest
from discs import random_discs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_papernets.core.errors import InputError
from napari_papernets.engine.targets import (
    IGNORE,
    balanced_weights,
    classes_from_zero,
    closeness,
    encode_instances,
    number_objects,
    touching_ridge,
    weight_map,
)


def closeness_exact(ids: np.ndarray, sigma: float) -> np.ndarray:
    """By its definition: every object's distance at every pixel."""
    numbers = [n for n in np.unique(ids) if n]
    if len(numbers) < 2:
        return np.zeros(ids.shape)
    distances = np.sort([ndimage.distance_transform_edt(ids != n) for n in numbers], axis=0)
    return np.exp(-((distances[0] + distances[1]) ** 2) / (2 * sigma**2))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), sigma=st.sampled_from([1.5, 3.0, 5.0]))
def test_closeness_equals_its_definition_up_to_the_stated_bound(seed: int, sigma: float) -> None:
    ids = random_discs(seed)
    error = np.abs(closeness(ids, sigma) - closeness_exact(ids, sigma))
    assert error.max() <= np.exp(-8) + 1e-6


def test_weight_map_is_the_papers_formula() -> None:
    ids = np.zeros((40, 60), np.int32)
    ids[10:30, 10:25], ids[10:30, 31:50] = 1, 2
    classes = encode_instances(ids, "ridge")
    w_c = np.array([0.5, 2.0], np.float32)
    found = weight_map(classes, closeness(ids, 5.0), w_c, w0=10.0, object_class=1)
    # pixel (20, 27): 3 to the right of object 1 (ends at 24), 4 to the left of object 2 (from 31)
    assert found[20, 27] == pytest.approx(0.5 + 10 * np.exp(-((3 + 4) ** 2) / 50), rel=1e-5)
    assert found[20, 15] == 2.0  # objects get no extra weight
    assert found[0, 0] == pytest.approx(0.5 + 10 * closeness_exact(ids, 5.0)[0, 0], abs=4e-3)


def test_weight_is_zero_where_nothing_is_annotated() -> None:
    classes = np.array([[IGNORE, 0], [1, IGNORE]])
    weights = weight_map(classes, None, np.array([1.0, 3.0], np.float32), w0=10.0)
    assert weights.tolist() == [[0, 1], [3, 0]]
    assert weights.dtype == np.float32


def test_ridge_between_touching_objects_is_one_pixel_wide() -> None:
    ids = np.zeros((20, 30), np.int32)
    ids[5:15, 5:14], ids[5:15, 14:25] = 1, 2
    target = encode_instances(ids, "ridge")
    removed = (ids > 0) & (target == 0)
    assert removed.sum(axis=1)[5:15].tolist() == [1] * 10
    assert ndimage.label(target)[1] == 2


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_ridge_separates_every_pair_of_objects(seed: int) -> None:
    ids = random_discs(seed)
    left = ids * ~touching_ridge(ids)
    parts, n = ndimage.label(left)
    owners = [np.unique(left[parts == i]) for i in range(1, n + 1)]
    assert all(len(o) == 1 for o in owners)
    assert ((left == ids) | (left == 0)).all()


def test_border_is_one_pixel_inside_and_fills_narrow_gaps() -> None:
    ids = np.zeros((14, 24), np.uint16)
    ids[3:11, 3:10], ids[3:11, 11:18] = 1, 2
    target = encode_instances(ids, "border")
    assert target[6, 2:12].tolist() == [0, 2, 1, 1, 1, 1, 1, 2, 2, 2]  # column 10 is the gap
    assert target[6, 17:20].tolist() == [2, 0, 0]
    assert set(np.unique(target)) == {0, 1, 2}


def test_border_is_two_pixels_wide_on_each_side_where_objects_touch() -> None:
    ids = np.zeros((14, 24), np.uint16)
    ids[3:11, 3:11], ids[3:11, 11:19] = 1, 2
    row = encode_instances(ids, "border")[6, 2:20].tolist()
    assert row == [0, 2, 1, 1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 1, 1, 1, 2, 0]


def test_border_follows_an_object_to_the_edge_of_the_image() -> None:
    ids = np.zeros((10, 10), np.int32)
    ids[:5, :5] = 1
    target = encode_instances(ids, "border")
    assert target[0, 0] == 1
    assert target[0, 4] == 2


def test_an_unknown_encoding_is_refused() -> None:
    with pytest.raises(InputError, match="encoding"):
        encode_instances(np.zeros((3, 3), int), "distance")


def test_balance_gives_every_class_the_same_total() -> None:
    counts = np.array([800, 150, 50])
    weights = balanced_weights(counts)
    assert np.allclose(weights * counts, 1000 / 3)
    assert (weights * counts).sum() == pytest.approx(counts.sum())


def test_balance_is_bounded_and_ignores_absent_classes() -> None:
    weights = balanced_weights([10**6, 1, 0])
    assert weights[1] == 10
    assert weights[2] == 1


def test_objects_are_numbered_without_gaps_and_keep_their_background() -> None:
    ids = np.array([[0, 7, 60000], [7, 0, 60000]], np.uint16)
    assert number_objects(ids).tolist() == [[0, 1, 2], [1, 0, 2]]
    full = np.array([[5, 9]], np.uint8)
    assert number_objects(full).tolist() == [[1, 2]]


def test_strokes_leave_zero_open_and_classes_count_it() -> None:
    painted = np.array([[0, 1, 2]], np.uint8)
    assert classes_from_zero(painted, "strokes").tolist() == [[IGNORE, 0, 1]]
    assert classes_from_zero(painted, "classes").tolist() == [[0, 1, 2]]
