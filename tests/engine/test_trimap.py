"""The band around boundaries, and scores in it."""

from __future__ import annotations

import numpy as np
import pytest

from napari_papernets.engine.trimap import band, boundaries, score_on

HALVES = np.repeat([[1] * 20 + [2] * 20], 30, 0)


def test_the_band_is_so_wide_on_each_side() -> None:
    for width in (1, 3, 5):
        assert band(HALVES, width)[0].sum() == 2 * width
    assert not band(np.ones((9, 9), int), 5).any()


def test_what_is_not_known_makes_no_boundary() -> None:
    unknown = HALVES.copy()
    unknown[:, 19:21] = 0
    assert not boundaries(unknown).any()


def test_a_shifted_boundary_is_seen_in_the_band_only() -> None:
    shifted = np.roll(HALVES, 2, 1)
    shifted[:, :2] = 1
    found = score_on(band(HALVES, 4), HALVES, shifted)
    # of 4 pixels on each side, 2 of class 2 are called 1
    assert found.accuracy == pytest.approx(6 / 8)
    assert found.iou == pytest.approx((4 / 6 + 2 / 4) / 2)
    assert found.pixels == 30 * 8
    wider = [score_on(band(HALVES, width), HALVES, shifted).accuracy for width in (2, 4, 20)]
    assert wider == pytest.approx([0.5, 0.75, 0.95])


def test_strokes_are_judged_near_other_labels() -> None:
    strokes = np.zeros_like(HALVES)
    strokes[5, 16:24] = HALVES[5, 16:24]
    assert score_on(band(HALVES, 3), strokes, HALVES).pixels == 6
    assert score_on(band(HALVES, 3), strokes * 0, HALVES).pixels == 0
