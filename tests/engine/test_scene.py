"""Strokes that change while a network learns: what is held out stays held out."""

from __future__ import annotations

import numpy as np
import pytest

from napari_papernets.core.annotation import Patch
from napari_papernets.core.errors import InputError
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import class_infos
from napari_papernets.engine.prediction_job import check_planes
from napari_papernets.engine.scene import Scene
from napari_papernets.networks.build import unet_spec, with_hypercolumns

SPEC = with_hypercolumns(
    unet_spec("toy", 1, class_infos(["ground", "cell"]), 2, 1, "same", "batch", 0.0)
)
IMAGE = ImageBlock(np.random.default_rng(0).random((60, 80)).astype(np.float32), "YX", name="toy")
STACK = ImageBlock(np.random.default_rng(1).random((3, 40, 40)).astype(np.float32), "ZYX", name="stack")


def stroke(row: int, c: int, number: int = 1) -> Patch:
    return Patch(0, (), row, 5, np.full((2, 30), c, np.uint8), number)


def scene(held_out: float = 0.0) -> Scene:
    return Scene([IMAGE], [np.zeros((60, 80), np.uint8)], SPEC, held_out)


def test_patches_paint_and_erase() -> None:
    found = scene()
    assert found.planes == []
    found.take([stroke(10, 1), stroke(20, 2, 2)])
    assert found.classes == [0, 1]
    (plane,) = found.planes
    assert (plane.annotation[10:12, 5:35] == 0).all()
    assert (plane.annotation[20:22, 5:35] == 1).all()
    assert (plane.annotation >= 0).sum() == 120
    found.take([stroke(20, 0, 3)])
    assert found.classes == [0]
    found.take([stroke(10, 0, 4)])
    assert found.planes == []


@pytest.mark.parametrize("image", [IMAGE, STACK])
def test_a_plane_that_there_is_not_is_refused_in_the_words_of_predict(image) -> None:
    told = []
    wrong = Patch(0, (7, 7), 1, 1, np.ones((2, 9), np.uint8), 1)
    shape = (*image.stack_shape, *image.plane_shape)
    for attempt in (
        lambda: Scene([image], [np.zeros(shape, np.uint8)], SPEC).take([wrong]),
        lambda: check_planes(image, [(7, 7)]),
    ):
        with pytest.raises(InputError) as refused:
            attempt()
        told.append(refused.value.mend)
    assert told[0] == told[1]


def test_only_painted_planes_of_a_stack_are_read() -> None:
    strokes = np.zeros((3, 40, 40), np.uint8)
    strokes[2, 3:6, 3:30] = 1
    found = Scene([STACK], [strokes], SPEC)
    found.take([Patch(0, (0,), 1, 1, np.full((2, 9), 2, np.uint8), 1)])
    assert [p.index for p in found.planes] == [(0,), (2,)]
    assert strokes[0].max() == 0  # the caller's array is left alone


def test_what_was_learnt_is_never_held_out_and_what_is_held_out_stays() -> None:
    found = scene(held_out=0.25)
    rows = list(range(2, 58, 5))
    learnt, held = np.zeros((60, 80), bool), np.zeros((60, 80), bool)
    for number, row in enumerate(rows, 1):
        found.take([stroke(row, 1, number)])
        (plane,) = found.planes
        seen = (plane.annotation >= 0) & ~plane.held
        assert not (learnt & plane.held).any()
        assert (plane.held[held]).all()
        learnt, held = learnt | seen, held | plane.held
        pieces = sum(bool(plane.held[r, 10]) for r in rows)
        assert pieces == int(0.25 * number)
        assert all(plane.held[r, 5:35].all() == plane.held[r, 5:35].any() for r in rows)


def test_the_held_out_strokes_of_a_class_are_learnt_when_all_others_are_erased() -> None:
    found = scene(held_out=0.25)
    rows = list(range(2, 58, 5))
    found.take([stroke(row, 1, number) for number, row in enumerate(rows, 1)])
    (plane,) = found.planes
    held = [r for r in rows if plane.held[r, 10]]
    assert len(held) == 3
    found.take([stroke(row, 0, 20 + row) for row in rows if row not in held])
    (plane,) = found.planes
    assert not plane.held.any()
    assert (plane.annotation >= 0).any()


def test_a_held_out_stroke_that_grows_into_a_learnt_one_is_learnt() -> None:
    found = scene(held_out=0.5)
    found.take([stroke(10, 1)])
    found.take([stroke(30, 1, 2)])
    (plane,) = found.planes
    assert plane.held[30, 10]
    bridge = Patch(0, (), 10, 5, np.ones((22, 2), np.uint8), 3)
    found.take([bridge])
    (plane,) = found.planes
    assert not plane.held.any()


@pytest.mark.parametrize(
    ("patch", "word"),
    [
        (Patch(1, (), 0, 0, np.ones((2, 2), np.uint8), 1), "image 1"),
        (Patch(0, (0,), 0, 0, np.ones((2, 2), np.uint8), 1), "plane"),
        (Patch(0, (), 59, 0, np.ones((2, 2), np.uint8), 1), "stay within"),
        (Patch(0, (), 0, 0, np.full((2, 2), 3, np.uint8), 1), "class 3"),
    ],
)
def test_patches_that_do_not_fit_are_refused(patch: Patch, word: str) -> None:
    with pytest.raises(InputError, match=word):
        scene().take([patch])
