"""From probabilities to objects and back, and the scores that compare them."""

from __future__ import annotations

import numpy as np
import pytest
from discs import random_discs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from napari_papernets.core.errors import InputError
from napari_papernets.engine.instances import (
    fill_holes,
    from_border,
    join_shallow,
    necks,
    split,
    to_instances,
)
from napari_papernets.engine.metrics import (
    average_precision,
    estimate_diameter,
    foreground_iou,
    match_objects,
    mean_iou,
)
from napari_papernets.engine.targets import encode_instances


def certain(ids: np.ndarray, encoding: str) -> np.ndarray:
    """Probabilities of a network that has learnt the target by heart."""
    k = 3 if encoding == "border" else 2
    target = encode_instances(ids, encoding)
    return np.stack([np.where(target == c, 0.9, 0.1 / (k - 1)) for c in range(k)]).astype(np.float32)


def test_touching_objects_come_back_apart() -> None:
    ids = np.zeros((40, 60), np.int32)
    ids[10:30, 10:30], ids[10:30, 30:50] = 1, 2
    for encoding in ("border", "ridge"):
        labels = to_instances(certain(ids, encoding), encoding)
        assert labels.dtype == np.uint32
        assert labels.max() == 2
        assert average_precision(ids, labels, iou=0.9) == 1


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_labels_are_numbered_without_gaps_and_stay_in_the_foreground(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet([1, 1, 1], size=(30, 40)).transpose(2, 0, 1)
    assert (from_border(p, 0.5) > 0)[1 - p[0] > 0.5].all()
    labels = to_instances(p, "border", threshold=0.5)
    assert np.array_equal(np.unique(labels[labels > 0]), np.arange(1, labels.max() + 1))
    foreground = ndimage.binary_fill_holes(1 - p[0] > 0.5)
    assert foreground[labels > 0].all()


def test_objects_that_are_hardly_above_the_threshold_are_dropped() -> None:
    p = np.zeros((3, 30, 60))
    p[0] = 1
    p[:, 5:20, 5:20] = np.array([0.35, 0.6, 0.05])[:, None, None]
    p[:, 5:20, 35:50] = np.array([0.15, 0.8, 0.05])[:, None, None]
    assert to_instances(p, "border", threshold=0.5).max() == 1
    assert to_instances(p, "border", threshold=0.4).max() == 2


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_splitting_numbers_the_whole_foreground_and_joins_nothing_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.normal(size=(40, 50)), 2.0) > 0.05
    labels = split(mask, np.ones(mask.shape))
    assert np.array_equal(labels > 0, mask)
    for number in np.unique(labels[mask]):
        assert ndimage.label(labels == number, np.ones((3, 3)))[1] == 1


def test_a_narrow_neck_is_cut_and_a_wide_one_is_not() -> None:
    y, x = np.ogrid[:60, :80]

    def two_discs(distance: int) -> np.ndarray:
        left, right = 40 - distance / 2, 40 + distance / 2
        return np.minimum(np.hypot(y - 30, x - left), np.hypot(y - 30, x - right)) <= 12

    whole = np.ones((60, 80))
    assert len(np.unique(split(two_discs(22), whole))) == 3  # neck of about 10 pixels
    assert len(np.unique(split(two_discs(10), whole))) == 2  # of about 22


def test_lobes_are_cut_where_objects_are_known_to_be_convex_and_long_objects_are_not() -> None:
    y, x = np.ogrid[:60, :90]
    clump = np.minimum(np.hypot(y - 30, x - 36), np.hypot(y - 30, x - 54)) <= 12  # neck of 2/3
    ellipse = np.hypot((y - 30) / 11, (x - 45) / 25) <= 1
    whole = np.ones((60, 90))
    for mask, count in ((clump, 2), (ellipse, 1)):
        assert len(np.unique(split(mask, whole))) == 2
        assert len(np.unique(split(mask, whole, solidity=0.94))) == 1 + count
        p = certain(mask.astype(int), "ridge")
        assert to_instances(p, "ridge").max() == 1
        assert to_instances(p, "ridge", solidity=0.94).max() == count
    assert len(np.unique(split(clump, whole, solidity=0.7))) == 2  # objects are not that solid here


def test_a_narrow_neck_is_cut_and_a_wide_one_never() -> None:
    basins = np.repeat([[1, 2]], 12, axis=0).repeat(12, axis=1).astype(np.int32)
    for neck, joined in ((0.45, False), (0.9, True)):
        depth = np.ones(basins.shape, np.float32) * 10
        depth[:, 11:13] = 10 * neck
        assert (join_shallow(basins, depth, solidity=0.94)[2] == 1) == joined


def test_a_likely_border_cuts_where_the_outline_does_not() -> None:
    mask = np.zeros((40, 80), bool)
    mask[10:30, 10:70] = True
    solid = np.ones(mask.shape)
    assert split(mask, solid).max() == 1
    solid[:, 38:42] = 0.2
    labels = split(mask, solid)
    assert len(np.unique(labels)) == 3
    assert labels[20, 20] != labels[20, 60]


def test_a_plane_that_is_all_foreground_is_one_object() -> None:
    p = np.zeros((3, 16, 20))
    p[1] = 1
    assert (to_instances(p, "border") == 1).all()


def test_necks_are_the_deepest_crossings() -> None:
    basins = np.array([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 0, 2]], np.int32)
    depth = np.array([[1, 5, 4, 1], [1, 2, 6, 1], [3, 1, 9, 1]], np.float32)
    assert necks(basins, depth) == [(1, 2, 4.0), (1, 3, 1.0)]
    assert join_shallow(basins, depth).tolist() == [0, 1, 1, 3]  # 4 of 5 is no neck, 1 of 3 is


def test_threshold_moves_the_outline() -> None:
    y, x = np.ogrid[:60, :60]
    falling = np.clip((25 - np.hypot(y - 30, x - 30)) / 10, 0, 1)  # blurred outline
    p = np.stack([1 - falling, falling * 0.9, falling * 0.1])
    areas = [int((to_instances(p, "border", t) > 0).sum()) for t in (0.2, 0.5, 0.8)]
    assert areas[0] > areas[1] > areas[2] > 0


def test_small_objects_are_dropped() -> None:
    ids = np.zeros((40, 40), np.int32)
    ids[5:8, 5:8], ids[15:30, 15:30] = 1, 2
    p = certain(ids, "border")
    assert to_instances(p, "border", min_size=0).max() == 2
    assert to_instances(p, "border", min_size=20).max() == 1


def test_thin_objects_without_an_inside_are_not_lost() -> None:
    p = np.zeros((3, 20, 20))
    p[0], p[:, 8:10, 4:16] = 1, np.array([0.1, 0.1, 0.8])[:, None, None]
    labels = to_instances(p, "border")
    assert labels.max() == 1
    assert (labels > 0).sum() == 24


def test_nothing_gives_no_objects() -> None:
    p = np.zeros((3, 12, 12))
    p[0] = 1
    assert to_instances(p, "border").max() == 0


def test_holes_are_filled_unless_two_objects_share_them() -> None:
    ring = np.zeros((11, 11), int)
    ring[1:10, 1:10], ring[4:7, 4:7] = 3, 0
    assert (fill_holes(ring)[1:10, 1:10] == 3).all()
    shared = ring.copy()
    shared[1:10, 5:10][shared[1:10, 5:10] > 0] = 4
    assert (fill_holes(shared)[4:7, 4:7] == 0).all()


def test_a_bay_at_the_edge_of_the_image_is_no_hole() -> None:
    bay = np.ones((8, 8), int)
    bay[3:5, :4] = 0
    assert np.array_equal(fill_holes(bay), bay)


@pytest.mark.parametrize(("encoding", "classes"), [("border", 2), ("ridge", 3), ("stars", 3)])
def test_encodings_that_do_not_fit_are_refused(encoding: str, classes: int) -> None:
    with pytest.raises(InputError):
        to_instances(np.ones((classes, 4, 4)) / classes, encoding)


def test_average_precision_counts_found_invented_and_missed() -> None:
    truth, found = np.zeros((2, 30, 30), np.int32)
    truth[0:10, 0:10], truth[0:10, 20:30], truth[20:30, 0:10] = 1, 2, 3
    found[0:10, 0:10], found[0:10, 20:24], found[20:30, 20:30] = 9, 8, 7
    matches = match_objects(truth, found)
    counted = (matches.true_positives, matches.false_positives, matches.false_negatives)
    assert counted == (1, 2, 2)
    assert average_precision(truth, found) == pytest.approx(1 / 5)
    assert average_precision(truth, found, iou=0.35) == pytest.approx(2 / 4)


def test_average_precision_of_nothing() -> None:
    empty, one = np.zeros((5, 5), int), np.ones((5, 5), int)
    assert average_precision(empty, empty) == 1
    assert average_precision(empty, one) == 0
    assert average_precision(one, empty) == 0


def test_objects_are_paired_one_to_one() -> None:
    truth = np.ones((10, 10), int)
    halves = np.repeat([[1, 2]], 10, axis=0).repeat(5, axis=1)
    matches = match_objects(truth, halves)
    assert (matches.true_positives, matches.false_positives) == (1, 1)


def test_a_truth_of_another_shape_is_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        average_precision(np.zeros((4, 4), int), np.zeros((4, 5), int))


def test_numbers_of_objects_do_not_matter() -> None:
    ids = random_discs(3)
    other = np.where(ids > 0, ids * 977 + 40000, 0)
    assert average_precision(ids, other, iou=1.0) == 1
    assert foreground_iou(ids, other) == 1


def test_diameter_is_that_of_the_median_disc() -> None:
    y, x = np.ogrid[:100, :100]
    labels = np.zeros((100, 100), int)
    for n, (cy, cx, r) in enumerate([(20, 20, 5), (50, 50, 10), (80, 80, 15)], 1):
        labels[(y - cy) ** 2 + (x - cx) ** 2 <= r**2] = n
    assert estimate_diameter(labels) == pytest.approx(20, rel=0.03)
    assert estimate_diameter(np.zeros((4, 4), int)) is None


def test_mean_iou_is_over_the_classes_that_are_there() -> None:
    assert mean_iou(np.array([[8, 2, 0], [0, 10, 0], [0, 0, 0]])) == pytest.approx((0.8 + 10 / 12) / 2)
    assert mean_iou(np.zeros((2, 2), int)) == 0
