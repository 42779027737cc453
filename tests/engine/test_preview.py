"""The preview shows the very crops that a training sees."""

from __future__ import annotations

import numpy as np
import pytest
from discs import random_discs

from napari_papernets.core.errors import InputError
from napari_papernets.core.events import Started
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.engine.augment import plain_field
from napari_papernets.engine.preview import deformed_grid, preview_augmentation
from napari_papernets.engine.verbs import find_verb
from napari_papernets.engine.wire import may_cross

IDS = random_discs(0)
IMAGE = ImageBlock((IDS > 0).astype(np.float32) * 100, "YX")
INSTANCES = TuneSettings(kind="instances", crop=64)


def test_image_target_weights_and_grid_of_one_crop() -> None:
    shown = preview_augmentation(IMAGE, IDS, INSTANCES)
    assert shown.image.shape == (1, 64, 64)
    assert shown.grid.shape == shown.classes.shape == shown.weights.shape == (64, 64)
    assert shown.class_names == ("background", "inside", "border")
    assert set(np.unique(shown.classes)) == {0, 1, 2}
    assert (shown.weights > 0).all()


def test_the_same_number_gives_the_same_crop() -> None:
    one, again, other = (preview_augmentation(IMAGE, IDS, INSTANCES, n) for n in (3, 3, 4))
    assert np.array_equal(one.image, again.image)
    assert not np.array_equal(one.image, other.image)


def test_target_and_image_belong_together() -> None:
    plain = INSTANCES.replace(grey=0.0)
    shown = preview_augmentation(IMAGE, IDS, plain, 1)
    inside = shown.image[0][shown.classes == 1].mean()
    outside = shown.image[0][shown.classes == 0].mean()
    assert inside > 0.9
    assert outside < 0.1


def test_strokes_leave_most_without_weight() -> None:
    painted = np.zeros(IDS.shape, np.uint8)
    painted[10, 10:40], painted[60, 10:40] = 1, 2
    shown = preview_augmentation(IMAGE, painted, TuneSettings(crop=64))
    assert 0 < (shown.weights > 0).mean() < 0.2
    assert ((shown.weights > 0) == (shown.classes >= 0)).all()


def test_an_unpadded_network_has_a_smaller_target() -> None:
    shown = preview_augmentation(IMAGE, IDS, INSTANCES.replace(padding="valid", depth=2))
    assert shown.image.shape[-1] - shown.classes.shape[-1] == 2 * (6 * 2**2 - 4)


def test_nothing_annotated_is_refused() -> None:
    with pytest.raises(InputError, match="annotat"):
        preview_augmentation(IMAGE, IDS * 0, INSTANCES)


def test_an_undeformed_grid_has_straight_lines() -> None:
    grid = deformed_grid(plain_field((32, 32), 64))
    assert grid[0].all()
    assert grid[:, 16].all()
    assert grid.sum() == 4 * 64 * 2 - 16


def test_the_weights_of_a_crop_are_those_of_its_classes_and_the_border_term() -> None:
    shown = preview_augmentation(IMAGE, IDS, INSTANCES)
    plain = preview_augmentation(IMAGE, IDS, INSTANCES.replace(w0=0.0))
    assert shown.class_weights.shape == (3,)
    assert np.array_equal(plain.weights, shown.class_weights[plain.classes])
    more = shown.weights - plain.weights
    assert 0 < more.max() <= INSTANCES.w0
    assert (more[shown.classes == 1] == 0).all()


def test_strokes_know_no_border_term() -> None:
    painted = np.zeros(IDS.shape, np.uint8)
    painted[10, 10:40], painted[60, 10:40] = 1, 2
    settings = TuneSettings(crop=64)
    one, other = (
        preview_augmentation(IMAGE, painted, settings.replace(w0=w0, sigma=s))
        for w0, s in ((0.0, 5.0), (50.0, 1.0))
    )
    assert np.array_equal(one.weights, other.weights)


def test_the_verb_gives_the_crop_of_the_plain_function() -> None:
    job = find_verb("preview")(image=IMAGE, annotation=IDS, settings=INSTANCES, number=2)
    assert isinstance(next(job), Started)
    with pytest.raises(StopIteration) as end:
        next(job)
    crop, plain = end.value.value, preview_augmentation(IMAGE, IDS, INSTANCES, 2)
    assert np.array_equal(crop.image, plain.image)
    assert np.array_equal(crop.weights, plain.weights)
    assert may_cross(type(crop).__module__, type(crop).__qualname__)
