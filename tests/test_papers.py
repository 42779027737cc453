"""The recipes of the paper's table run from frames to the page, a few steps on a corner of the data."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from napari_papernets.benchmarks.papers import common, hela, isbi, u373
from skimage.io import imread, imsave

from napari_papernets.core.results import Prediction

RECIPES = [isbi.RECIPE, u373.RECIPE, hela.RECIPE]
TINY = dict(width=4, depth=2, crop=48, batch=1)


def corners(recipe: common.Recipe, shared: Path, folder: Path) -> Path:
    """Two frames to learn from and one to judge on, cut to where something is annotated."""
    source = shared / "data" / recipe.data
    names = sorted(p.name for p in (source / "labels").iterdir())
    later = next(n for n in names if n > recipe.last_learnt)
    for part in ("images", "labels"):
        (folder / part).mkdir()
    for name in [*names[:2], later]:
        labels = imread(source / "labels" / name)
        middle = np.argwhere(labels).mean(axis=0) - 64
        y, x = np.clip(middle, 0, np.subtract(labels.shape, 128)).astype(int)
        for part in ("images", "labels"):
            pixels = imread(source / part / name)[y : y + 128, x : x + 128]
            imsave(folder / part / name, pixels, check_contrast=False)
    return folder


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.key)
def test_a_recipe_runs_to_its_end(recipe: common.Recipe, shared: Path, tmp_path: Path) -> None:
    small = replace(recipe, settings=recipe.settings.replace(**TINY))
    (tmp_path / "data").mkdir()
    data, page = corners(recipe, shared, tmp_path / "data"), tmp_path / "page.md"
    where = ["--data", str(data), "--folder", str(tmp_path / "made"), "--device", "cpu"]
    more = ["--steps", "2", "--every", "1", "--turns", "2", "--write", str(page)]
    scores = common.run(small, [*where, *more])
    assert all(0 <= v <= 1 for v in scores.values())
    assert recipe.targets.keys() <= scores.keys()
    curve = json.loads((tmp_path / "made" / f"{recipe.key}-curve.json").read_text())
    assert [p["step"] for p in curve] == [1, 2]
    assert 0 < curve[0]["core_seconds"] < curve[1]["core_seconds"]
    model = tmp_path / "made" / f"{recipe.key}.safetensors"
    assert common.run(small, [*where, "--model", str(model), "--turns", "2"]) == scores
    text = page.read_text(encoding="utf-8")
    assert recipe.title in text
    assert "Learnt from 2 frames, judged on 1 others" in text


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.key)
def test_later_frames_are_judged_and_none_of_them_is_learnt(recipe: common.Recipe, shared: Path) -> None:
    frames = common.read_frames(shared / "data" / recipe.data)
    learnt, judged = recipe.split(frames)
    assert learnt
    assert judged
    assert max(f.name for f in learnt) < min(f.name for f in judged)
    assert len(learnt) + len(judged) == len(frames)


def test_zoomed_labels_lie_where_the_zoomed_image_has_them() -> None:
    truth = np.zeros((40, 60), np.uint8)
    truth[10:30, 20:50] = 7
    frame = common.Frame("a", truth * 30.0, truth)
    for zoom in (1.0, 0.5, 0.25):
        inside = common.zoomed_image(frame, zoom).data > 105
        labels = common.zoomed_labels(truth, zoom)
        assert np.array_equal(labels == 7, inside)
        assert labels.sum() == 7 * inside.sum()


def test_a_perfect_answer_reaches_every_target() -> None:
    truth = np.zeros((64, 64), np.uint8)
    truth[4:30, 4:60], truth[33:60, 4:60] = 1, 2
    frame = common.Frame("t099.png", truth, truth)
    inside = (truth > 0).astype(np.float32)
    perfect = Prediction(truth, np.stack([1 - inside, inside]), {})
    for recipe in RECIPES:
        scores = recipe.score([perfect], [frame])
        assert {common.verdict(recipe.targets.get(n), v)[1] for n, v in scores.items()} <= {"yes", ""}
        missed = Prediction(truth * 0, np.stack([inside, 1 - inside]), {})
        worse = recipe.score([missed], [frame])
        assert any(common.verdict(t, worse[n])[1] == "no" for n, t in recipe.targets.items())


def test_what_kept_a_run_from_being_repeated_is_told() -> None:
    plain = dict(plans=[[0, 500]], settings=dict(seconds=None))
    assert common.how_exactly(plain) == ""
    assert "500 steps from step 0 on, 300 steps from step 100 on" in common.how_exactly(
        dict(plain, plans=[[0, 500], [100, 300]])
    )
    assert "clock of 60 s" in common.how_exactly(dict(plain, settings=dict(seconds=60.0)))
