"""Augmentation: one field, keyed randomness, image and target that stay together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_papernets.core.image import reflect_indices
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.engine.augment import (
    Field,
    change_greys,
    draw_elastic,
    draw_field,
    draw_matrix,
    keyed_generator,
    plain_field,
    sample_image,
    sample_nearest,
)

STILL = TuneSettings(elastic=0.0, rotate=False, zoom_range=1.0, grey=0.0)


def window_of(plane: np.ndarray, field: Field) -> np.ndarray:
    """The field's window of a plane of shape (Y, X), mirrored outside."""
    rows, columns = (reflect_indices(*r, n) for r, n in zip(field.window, plane.shape, strict=True))
    return plane[np.ix_(rows, columns)]


def test_numbers_depend_on_the_key_alone() -> None:
    first = keyed_generator(7, 1, 30, 2).random(5)
    keyed_generator(7, 1, 30, 1).random(1000)
    assert np.array_equal(keyed_generator(7, 1, 30, 2).random(5), first)
    for other in ((8, 1, 30, 2), (7, 2, 30, 2), (7, 1, 31, 2), (7, 1, 30, 3)):
        assert not np.array_equal(keyed_generator(*other).random(5), first)


def test_a_plain_field_copies_pixels() -> None:
    plane = np.arange(400, dtype=np.float32).reshape(20, 20)
    field = plain_field((10, 9), 8)
    window = window_of(plane, field)
    assert np.array_equal(sample_nearest(window, field), plane[6:14, 5:13])
    assert np.allclose(sample_image(window[None], field)[0], plane[6:14, 5:13], atol=1e-4)


def test_outside_the_plane_the_image_is_mirrored() -> None:
    plane = np.random.default_rng(0).random((12, 15)).astype(np.float32)
    field = plain_field((0, 14), 10)
    expected = np.pad(plane, 5, mode="reflect")[0:10, 14:24]
    assert np.array_equal(sample_nearest(window_of(plane, field), field), expected)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_image_and_target_are_deformed_alike(seed: int) -> None:
    """An image that is its own label map: bilinear and nearest agree away from the outlines."""
    plane = np.zeros((80, 80), np.float32)
    plane[20:60, 30:70] = 1
    field = draw_field(
        np.random.default_rng(seed), (40, 45), 48, TuneSettings(zoom_range=2.0, undeformed=0.0)
    )
    window = window_of(plane, field)
    grey, label = sample_image(window[None], field)[0].numpy(), sample_nearest(window, field)
    assert np.array_equal((grey > 0.5)[abs(grey - 0.5) > 0.45], (label > 0.5)[abs(grey - 0.5) > 0.45])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_matrix_is_a_rotation_with_zoom_and_perhaps_a_mirror(seed: int) -> None:
    matrix = draw_matrix(np.random.default_rng(seed), TuneSettings(zoom_range=2.0))
    zoom = 1 / np.sqrt(abs(np.linalg.det(matrix)))
    assert 0.5 - 1e-5 <= zoom <= 2 + 1e-5
    assert np.allclose(matrix @ matrix.T * zoom**2, np.eye(2), atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), side=st.integers(2, 17))
def test_an_undeformed_crop_holds_the_planes_own_pixels(seed: int, side: int) -> None:
    plane = np.random.default_rng(1).random((60, 50)).astype(np.float32)
    own = TuneSettings(undeformed=1.0)
    field = draw_field(np.random.default_rng(seed), (30.4, 20.7), side, own)
    window, upright = window_of(plane, field), plain_field((30.4, 20.7), side)
    shown = sample_nearest(window, field)
    expected = sample_nearest(window_of(plane, upright), upright)
    turned = [np.rot90(e, k) for e in (expected, expected[:, ::-1]) for k in range(4)]
    assert any(np.array_equal(shown, t) for t in turned)
    assert np.allclose(sample_image(window[None], field)[0], shown, atol=1e-4)


def test_all_eight_turns_of_an_undeformed_crop_occur_and_none_where_turning_is_off() -> None:
    plane = np.arange(400, dtype=np.float32).reshape(20, 20)

    def corners(own: TuneSettings) -> set[tuple[float, ...]]:
        fields = [draw_field(keyed_generator(0, 3, i), (10, 9), 4, own) for i in range(100)]
        shown = [sample_nearest(window_of(plane, f), f) for f in fields]
        return {(s[0, 0], s[0, -1]) for s in shown}

    assert len(corners(TuneSettings(undeformed=1.0))) == 8
    assert corners(TuneSettings(undeformed=1.0, rotate=False)) == {(plane[8, 7], plane[8, 10])}


def test_crops_are_undeformed_as_often_as_asked() -> None:
    own = TuneSettings(undeformed=0.3)
    fields = [draw_field(keyed_generator(0, 3, i), (40, 45), 8, own) for i in range(400)]
    whole = [bool((f.y == np.rint(f.y)).all() and (f.x == np.rint(f.x)).all()) for f in fields]
    assert np.mean(whole) == pytest.approx(0.3, abs=0.06)


def test_both_mirror_images_occur() -> None:
    rng = np.random.default_rng(0)
    signs = {np.sign(np.linalg.det(draw_matrix(rng, TuneSettings()))) for _ in range(50)}
    assert signs == {1.0, -1.0}


def test_elastic_displacements_have_the_papers_deviation_at_the_nodes() -> None:
    rng = np.random.default_rng(1)
    fields = np.stack([draw_elastic(rng, 65, 10.0) for _ in range(300)])
    nodes = fields[:, :, ::32, ::32]
    assert nodes.std() == pytest.approx(10, rel=0.05)
    assert abs(nodes.mean()) < 0.5
    steps = np.abs(np.diff(fields, axis=-1))
    assert steps.max() < 3  # smooth: no jumps between neighbours


def test_nothing_drawn_is_nothing_changed() -> None:
    rng = np.random.default_rng(0)
    field = draw_field(rng, (20.0, 30.0), 9, STILL)
    assert np.allclose(field.y[:, 0], np.arange(16, 25))
    assert np.allclose(field.x[0], np.arange(26, 35))
    image = torch.rand(3, 9, 9)
    assert torch.equal(change_greys(rng, image, STILL), image)


def test_inversion_is_drawn_as_often_as_asked() -> None:
    often = STILL.replace(invert=0.3)
    image = torch.full((1, 2, 2), 0.2)
    results = [change_greys(keyed_generator(0, 3, i), image, often)[0, 0, 0].item() for i in range(500)]
    assert np.mean(np.isclose(results, 0.8)) == pytest.approx(0.3, abs=0.06)


def test_greys_change_and_stay_finite() -> None:
    image = torch.linspace(-1, 1000, 3 * 32 * 32).reshape(3, 32, 32)
    strong = TuneSettings(grey=2.0)
    for i in range(20):
        changed = change_greys(keyed_generator(0, 3, i), image, strong)
        assert torch.isfinite(changed).all()
        assert not torch.equal(changed, image)
