"""The search: finds what helps, says when nothing does, and judges on what it did not choose with."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from discs import random_discs
from scipy.ndimage import gaussian_filter

import napari_papernets as pn
from napari_papernets.api import drain
from napari_papernets.core.crf_settings import CRFSettings
from napari_papernets.core.errors import InputError
from napari_papernets.core.events import CRFTrial, Started
from napari_papernets.core.image import ImageBlock
from napari_papernets.engine import crf_annotation
from napari_papernets.engine.crf_annotation import windows_of
from napari_papernets.engine.tune_crf import coarse_grid, fine_grid, tune_crf

DISCS = random_discs(3, (160, 190), 40) > 0
TRUTH = DISCS.astype(int) + 1
FEW_ITERATIONS = CRFSettings(iterations=4)


def coarse_scores() -> np.ndarray:
    """Probabilities (2, Y, X) as an 8 times coarser network would give them."""
    soft = gaussian_filter(DISCS.astype(np.float32), 5) * 0.9 + 0.05
    return np.stack([1 - soft, soft]).astype(np.float32)


def edges() -> ImageBlock:
    rng = np.random.default_rng(0)
    return ImageBlock((DISCS * 120 + 60 + rng.normal(0, 3, DISCS.shape)).astype(np.uint8), "YX")


def run(*args: Any, **more: Any) -> tuple[list[Any], Any]:
    events: list[Any] = []
    return events, drain(tune_crf(*args, **more), events.append)


def test_it_finds_settings_that_help() -> None:
    events, tuned = run(coarse_scores(), edges(), TRUTH, FEW_ITERATIONS)
    assert tuned.helps
    assert tuned.after > tuned.before + 0.03
    assert "helps" in tuned.message
    trials = [e for e in events if isinstance(e, CRFTrial)]
    assert isinstance(events[0], Started)
    assert len(trials) == len(tuned.trials) == trials[-1].done == trials[-1].total
    best = max(tuned.trials, key=lambda t: t["score"])
    assert {name: getattr(tuned.settings, name) for name in best if name != "score"} == {
        name: value for name, value in best.items() if name != "score"
    }
    assert tuned.settings.iterations == 4


def test_it_says_when_the_crf_makes_things_worse() -> None:
    """Right probabilities, and an image whose edges are elsewhere."""
    share = np.stack([TRUTH == 1, TRUTH == 2]) * 0.4 + 0.3
    wrong = ImageBlock((np.roll(DISCS, 9, 1) * 150).astype(np.uint8), "YX")
    _, tuned = run(share.astype(np.float32), wrong, TRUTH, FEW_ITERATIONS)
    assert not tuned.helps
    assert tuned.after < tuned.before == 1.0
    assert "leave it off" in tuned.message


def test_strokes_are_enough() -> None:
    strokes = np.zeros_like(TRUTH)
    for row in range(6, 160, 12):
        strokes[row, 4:180] = TRUTH[row, 4:180]
    _, tuned = run(coarse_scores(), edges(), strokes, FEW_ITERATIONS)
    assert tuned.helps
    assert 0 < tuned.pixels < (strokes > 0).sum()


def test_of_a_large_plane_the_annotated_windows_are_refined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crf_annotation, "WINDOW", 64)
    where = np.zeros((160, 190), bool)
    where[70:80, 70:80], where[150, 150:189] = True, True
    found = list(windows_of(where))
    assert found == [(slice(64, 128), slice(64, 128)), (slice(128, 160), slice(128, 190))]
    _, tuned = run(coarse_scores(), edges(), TRUTH, CRFSettings(iterations=1))
    assert tuned.pixels > 0


def test_every_point_of_the_coarse_grid_has_neighbours_that_are_allowed() -> None:
    coarse = coarse_grid(CRFSettings(w2=7.0))
    assert len(set(coarse)) == len(coarse) == 54
    for centre in coarse:
        fine = fine_grid(centre)
        assert len(set(fine)) == len(fine) == (21 if centre.denoise else 15)
        assert all(s.w2 == 7.0 for s in fine)


def test_an_image_with_grain_is_smoothed() -> None:
    grain = np.random.default_rng(1).normal(0, 40, DISCS.shape)
    image = ImageBlock((DISCS * 60 + 100 + grain).clip(0, 255).astype(np.uint8), "YX")
    _, tuned = run(coarse_scores(), image, TRUTH, FEW_ITERATIONS)
    assert tuned.settings.denoise > 0
    assert tuned.helps
    sharp = [t["score"] for t in tuned.trials if not t["denoise"]]
    assert max(t["score"] for t in tuned.trials) > max(sharp) + 0.02


@pytest.mark.parametrize(
    ("annotation", "words"),
    [(TRUTH[:-1], "shape"), (TRUTH + 1, "1 to 2"), (TRUTH * 0, "two classes"), (TRUTH * 0 + 1, "two")],
)
def test_annotation_that_does_not_do_is_refused(annotation: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        run(coarse_scores(), edges(), annotation)


def test_a_region_of_a_plane() -> None:
    y, x = slice(8, 120), slice(20, 170)
    image, region = edges(), (8, 120, 20, 170)
    shares, truth = coarse_scores()[:, y, x], TRUTH[y, x]
    cut = ImageBlock(np.asarray(image.data)[y, x], "YX")
    one = CRFSettings(iterations=1)
    _, tuned = run(shares, image, truth, one, region=region)
    _, alone = run(shares, cut, truth, one)
    assert tuned.after == pytest.approx(alone.after, abs=1e-2)
    with pytest.raises(InputError, match=r"\(112, 150\)"):
        run(shares, image, TRUTH, one, region=region)


def test_pixels_that_are_not_square_are_tuned_as_they_are_refined() -> None:
    tall = dataclasses.replace(edges(), scale=(5.0, 1.0), unit="µm")
    _, tuned = run(coarse_scores(), tall, TRUTH, FEW_ITERATIONS)
    _, square = run(coarse_scores(), edges(), TRUTH, FEW_ITERATIONS)
    assert [t["score"] for t in tuned.trials] != [t["score"] for t in square.trials]
    beliefs = pn.refine(coarse_scores(), tall, settings=tuned.settings)
    _, again = run(beliefs, tall, TRUTH, tuned.settings.replace(iterations=0))
    assert again.before == pytest.approx(tuned.after)


def test_a_plane_of_a_stack() -> None:
    stack = ImageBlock(np.stack([edges().data] * 2), "ZYX")
    shares, truths = np.stack([coarse_scores()] * 2, 1), np.stack([TRUTH * 0, TRUTH])
    _, tuned = run(shares, stack, truths, CRFSettings(iterations=1), plane=(1,))
    _, alone = run(coarse_scores(), edges(), TRUTH, CRFSettings(iterations=1))
    assert tuned.after == pytest.approx(alone.after, abs=1e-3)
