"""The list of annotated images follows the layers."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_papernets.core.annotation import Patch, View
from napari_papernets.core.errors import InputError
from napari_papernets.core.model import class_infos
from napari_papernets.widgets.annotated_images import AnnotatedImages
from napari_papernets.widgets.annotation_layer import arm, new_annotation

pytestmark = pytest.mark.gui

TWO = class_infos(("background", "cell"))


@pytest.fixture
def viewer(qapp):
    return ViewerModel()


@pytest.fixture
def images(viewer):
    images = AnnotatedImages(viewer)
    yield images
    images.close_events()


@pytest.fixture
def add(viewer, images):
    def add(shape=(20, 30), axes="YX", **options):
        image = viewer.add_image(np.zeros(shape, np.uint8), **options)
        return images.add(image, new_annotation(viewer, image, axes, TWO), axes)

    return add


def test_blocks_and_annotations_come_in_order(add, images):
    add(name="a", scale=(0.5, 0.5))
    add((7, 20, 30), "ZYX", name="b")
    add((20, 30, 3), "YXC", rgb=True, name="c")
    assert [b.name for b in images.blocks()] == ["a", "b", "c"]
    assert [b.axes for b in images.blocks()] == ["YX", "ZYX", "YXC"]
    assert [a.shape for a in images.annotations()] == [(20, 30), (7, 20, 30), (20, 30)]
    assert images.numbers() == (0, 1, 2)


def test_axes_are_guessed(viewer, images):
    image = viewer.add_image(np.zeros((7, 20, 30)))
    assert images.add(image, new_annotation(viewer, image, "ZYX", TWO)).axes == "ZYX"


def test_numbers_are_never_given_again(add, images, qtbot):
    add(), add()
    with qtbot.waitSignal(images.removed) as told:
        images.remove(1)
    assert told.args == [1]
    assert add().number == 2
    assert images.numbers() == (0, 2)


def test_a_session_may_bring_its_numbers(viewer, images):
    layers = [viewer.add_image(np.zeros((20, 30))) for _ in range(2)]
    for layer, number in zip(layers, (0, 4), strict=True):
        images.add(layer, new_annotation(viewer, layer, "YX", TWO), "YX", number)
    assert images.numbers() == (0, 4)
    third = viewer.add_image(np.zeros((20, 30)))
    with pytest.raises(InputError, match="numbers from 5"):
        images.add(third, new_annotation(viewer, third, "YX", TWO), "YX", 3)


def test_a_layer_serves_once(add, images, viewer):
    pair = add()
    with pytest.raises(InputError, match="in use already"):
        images.add(pair.image, new_annotation(viewer, pair.image, "YX", TWO), "YX")


@pytest.mark.parametrize("which", ["image", "labels"])
def test_a_deleted_layer_takes_its_pair_along(add, images, viewer, qtbot, which):
    pair, other = add(), add()
    with qtbot.waitSignals([images.removed, images.changed]):
        viewer.layers.remove(getattr(pair, which))
    assert images.pairs() == (other,)
    assert len(viewer.layers) == 3


def test_renaming_is_told_and_changes_nothing(add, images, qtbot):
    pair = add()
    with qtbot.waitSignal(images.changed):
        pair.image.name = "another"
    pair.labels.name = "mine"
    assert images.pairs() == (pair,)
    assert images.blocks()[0].name == "another"


def test_an_image_that_was_moved_is_told_once_it_lies_still(add, images, qtbot):
    pair, told = add(), []
    images.changed.connect(lambda: told.append(tuple(pair.image.translate)))
    for x in range(5):
        pair.image.translate = (0, x)
    pair.image.scale = (2, 2)
    assert not told
    qtbot.waitUntil(lambda: bool(told))
    assert told == [(0, 4)]
    images.remove(pair.number)
    told.clear()
    pair.image.translate = (9, 9)
    qtbot.wait(400)
    assert not told


def test_replaced_labels_that_fit_stay_and_others_go(add, images, qtbot):
    pair = add()
    with qtbot.waitSignal(images.rewritten) as told:
        pair.labels.data = np.ones((20, 30), np.uint8)
    assert told.args == [0, None]
    assert images.annotations()[0].all()
    with qtbot.waitSignals([images.removed, images.problem]):
        pair.labels.data = np.ones((10, 30), np.uint8)
    assert not images.pairs()
    assert images.current() is None


def test_a_replaced_image_of_another_size_goes(add, images, qtbot):
    pair = add()
    pair.image.data = np.ones((20, 30))
    assert images.pairs() == (pair,)
    with qtbot.waitSignals([images.removed, images.problem]):
        pair.image.data = np.ones((21, 30))


def test_undo_does_not_write_old_strokes_into_replaced_labels(add):
    pair = add()
    pair.labels.paint((5, 5), 1)
    pair.labels.data = np.full((20, 30), 2, np.uint8)
    pair.labels.undo()
    assert (pair.labels.data == 2).all()


def test_the_current_pair_is_that_of_the_active_layer(add, images, viewer, qtbot):
    first, second = add(), add()
    assert images.current() is second
    with qtbot.waitSignal(images.currentChanged):
        viewer.layers.selection.active = first.labels
    assert images.current() is first
    viewer.layers.selection.active = second.image
    assert images.current() is second
    viewer.layers.selection.active = viewer.add_points([(1, 1)])
    assert images.current() is second
    images.remove(second.number)
    assert images.current() is first


def test_the_view_is_of_the_plane_shown(add, images, viewer):
    assert images.view() is None
    pair = add((7, 20, 30), "ZYX", scale=(2, 1, 1))
    viewer.dims.set_point(0, 6)
    assert images.view() == View(pair.number, (3,), (0, 20, 0, 30))
    viewer.dims.ndisplay = 3
    assert images.view() is None
    assert images.views() == [View(pair.number, (3,), (0, 20, 0, 30))]


@pytest.mark.parametrize("scale", [(1, 1, 1, 1), (3, 2, 0.5, 0.5)])
def test_going_to_a_plane(add, images, viewer, scale):
    pair = add((4, 7, 20, 30), "TZYX", scale=scale, translate=(5, 0, 0, 0))
    images.show_plane(pair.number, (2, 5))
    assert images.view().plane == (2, 5)


def test_written_patches_are_told_and_not_in_the_history(add, images, viewer, qtbot):
    pair = add((3, 20, 30), "ZYX")
    arm(viewer, pair.labels, 1)
    pair.labels.paint((0, 3, 3), 1)
    patch = Patch(0, (2,), 4, 5, np.full((2, 3), 2, np.uint8), 9)
    with qtbot.waitSignal(images.rewritten) as told:
        images.write([patch])
    assert told.args == [0, {(2,)}]
    after = pair.labels.data.copy()
    assert (after[2, 4:6, 5:8] == 2).all()
    pair.labels.undo()
    np.testing.assert_array_equal(pair.labels.data, after)
    assert pair.labels.mode == "paint"


@pytest.mark.parametrize(("shape", "axes"), [((3, 8, 9), "ZYX"), ((3, 2, 8, 9), "TCYX")])
def test_removing_a_class_moves_the_higher_ones_down(viewer, images, qtbot, shape, axes):
    image = viewer.add_image(np.zeros(shape))
    pair = images.add(image, new_annotation(viewer, image, axes, class_infos("abc")), axes)
    pair.array()[1, 0, :3] = 1, 2, 3
    told = []
    images.rewritten.connect(lambda number, planes: told.append((number, planes)))
    images.remove_class(2)
    assert pair.array()[1, 0, :3].tolist() == [1, 0, 2]
    assert told == [(0, {(1,)})]
