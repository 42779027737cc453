"""Halves of annotation that share nothing: one chooses the CRF's settings, the other judges them."""

from __future__ import annotations

import numpy as np
import pytest
from discs import random_discs

from napari_papernets.engine.crf_annotation import split_annotation

TRUTH = (random_discs(3, (160, 190), 40) > 0).astype(int) + 1


@pytest.mark.parametrize("dense", [True, False])
def test_halves_share_no_pixel_and_hold_all_classes(dense: bool) -> None:
    truth = TRUTH if dense else np.where(np.arange(160)[:, None] % 40 == 0, TRUTH, 0)
    chooses, judges = split_annotation(truth)
    assert not (chooses & judges).any()
    np.testing.assert_array_equal(chooses | judges, truth > 0)
    for half in (chooses, judges):
        assert set(np.unique(truth[half])) == {1, 2}


def test_a_single_stroke_is_cut_in_two() -> None:
    strokes = np.zeros((90, 90), int)
    strokes[10, 10:50], strokes[20:60, 70] = 1, 2
    chooses, judges = split_annotation(strokes)
    assert chooses[10].sum() == judges[10].sum() == 20
    assert chooses[:, 70].sum() == judges[:, 70].sum() == 20
