"""Scores of segmentations, on cases small enough to count by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_papernets.core.errors import InputError
from napari_papernets.engine.metrics import (
    f_score,
    rand_score,
    segmentation_accuracy,
    shared_pixels,
    thin_borders,
)


def picture(*rows: str) -> np.ndarray:
    """An array of digits."""
    return np.array([[int(c) for c in row] for row in rows])


def test_seg_is_the_iou_of_what_covers_more_than_half() -> None:
    truth = picture("1111000", "2222000", "3333000", "4444000")
    found = picture("5556660", "7788000", "9990000", "0000011")
    # 1: three of four pixels, |union| 4. 2: two halves, neither is more than half. 3: as 1. 4: missed.
    assert segmentation_accuracy(truth, found) == pytest.approx([3 / 4, 0, 3 / 4, 0])


def test_seg_of_a_found_object_that_covers_two_true_ones() -> None:
    truth = picture("111222", "111222")
    assert segmentation_accuracy(truth, np.ones_like(truth)) == pytest.approx([0.5, 0.5])


def test_seg_does_not_punish_what_is_found_where_nothing_is_annotated() -> None:
    truth = picture("110000", "110000")
    found = picture("330044", "330044")
    assert segmentation_accuracy(truth, found) == [1.0]


def test_seg_without_objects() -> None:
    nothing = np.zeros((2, 3), int)
    assert segmentation_accuracy(nothing, nothing + 1) == []
    assert segmentation_accuracy(nothing + 1, nothing) == [0.0]


def test_rand_score_counted_by_hand() -> None:
    truth = picture("1111", "2222")
    # all in one: Σ p² − n = 16 + 16 − 8 = 24 pairs of both, truth 24, found 64 − 8 = 56
    assert rand_score(truth, np.ones_like(truth)) == pytest.approx(24 / (0.5 * 24 + 0.5 * 56))
    # each row in halves: 4·2² − 8 = 8 pairs of both and of found, truth 24
    halves = picture("1122", "3344")
    assert rand_score(truth, halves) == pytest.approx(8 / (0.5 * 24 + 0.5 * 8))
    assert rand_score(truth, truth * 7) == 1


def test_rand_score_ignores_true_membranes_and_takes_found_ones_for_single_pixels() -> None:
    truth = picture("1110222")
    assert rand_score(truth, picture("5559777")) == 1
    # 0 in the found segments is nobody's: 1 keeps one pair of its three
    assert rand_score(truth, picture("5500777")) == pytest.approx(8 / (0.5 * 12 + 0.5 * 8))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_rand_score_is_that_of_all_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, found = rng.integers(0, 4, (2, 4, 5))
    truth[0, :2] = 1
    t, f = truth[truth > 0], found[truth > 0].copy()
    f[f == 0] = 100 + np.arange((f == 0).sum())
    pairs = ~np.eye(len(t), dtype=bool)
    true_pairs, found_pairs = ((x[:, None] == x) & pairs for x in (t, f))
    both = (true_pairs & found_pairs).sum()
    assert rand_score(truth, found) == pytest.approx(both / (true_pairs.sum() + found_pairs.sum()) * 2)


def test_rand_score_of_single_pixels_and_of_nothing() -> None:
    assert rand_score(picture("12"), picture("34")) == 1
    with pytest.raises(InputError, match="at least two"):
        rand_score(picture("00"), picture("11"))
    with pytest.raises(InputError, match="shape"):
        rand_score(picture("11"), picture("111"))


def test_thinning_makes_the_width_of_a_membrane_count_nothing() -> None:
    inside = np.ones((20, 40), bool)
    truth = np.repeat([[1] * 19 + [0] * 2 + [2] * 19], 20, axis=0)
    for width in (1, 5, 12):
        inside[:] = True
        inside[:, 20 - (width + 1) // 2 : 20 + width // 2] = False
        grown = thin_borders(inside)
        assert grown.min() > 0
        assert rand_score(truth, grown) > 0.99
    inside[9, :] = True  # a gap joins the two
    assert rand_score(truth, thin_borders(inside)) == pytest.approx(2 / 3, abs=0.01)


def test_thinning_where_there_is_no_segment() -> None:
    assert not thin_borders(np.zeros((4, 5), bool)).any()


def test_f_score_of_pixels() -> None:
    truth = picture("1111", "0000") > 0
    assert f_score(truth, picture("1110", "1000") > 0) == pytest.approx(6 / 8)
    assert f_score(truth, picture("1111", "1000") > 0) == pytest.approx(8 / 9)
    assert f_score(truth, ~truth) == 0
    assert f_score(truth & False, truth & False) == 1


def test_shared_pixels_are_counted() -> None:
    counts, true_ids, found_ids = shared_pixels(picture("001", "011"), picture("022", "022"))
    assert true_ids.tolist() == [0, 1]
    assert found_ids.tolist() == [0, 2]
    assert counts.tolist() == [[2, 1], [0, 3]]
