"""Layers to paint on: where they lie, what is refused, and what they cost."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels

from napari_papernets.core.errors import InputError
from napari_papernets.core.model import ClassInfo, class_infos
from napari_papernets.samples import open_nuclei, open_tissue
from napari_papernets.widgets import annotation_layer
from napari_papernets.widgets.annotation_layer import (
    adopt_annotation,
    annotated_id,
    annotation_array,
    arm,
    classes_of,
    empty_labels,
    forget_history,
    new_annotation,
    show_classes,
)
from napari_papernets.widgets.outputs import EDITED, OUTPUT

pytestmark = pytest.mark.gui

TWO = class_infos(("background", "cell"))


@pytest.fixture
def viewer(qapp):
    return ViewerModel()


@pytest.mark.parametrize(
    ("shape", "axes", "options", "painted", "shown"),
    [
        ((20, 30), "YX", {}, (20, 30), (20, 30)),
        ((20, 30, 3), "YXC", {"rgb": True}, (20, 30), (20, 30)),
        ((2, 20, 30), "CYX", {}, (20, 30), (20, 30)),
        ((7, 20, 30), "ZYX", {}, (7, 20, 30), (7, 20, 30)),
        ((5, 2, 20, 30), "TCYX", {}, (5, 20, 30), (5, 2, 20, 30)),
        ((20, 30, 7), "YXZ", {}, (7, 20, 30), (20, 30, 7)),
    ],
)
def test_a_new_layer_lies_over_its_image(viewer, shape, axes, options, painted, shown):
    n = len(shape) - bool(options)
    scale, translate = np.arange(2, 2 + n) / 2, np.arange(n) * 10
    image = viewer.add_image(
        np.zeros(shape, np.uint8), scale=scale, translate=translate, units=("um",) * n, **options
    )
    layer = new_annotation(viewer, image, axes, TWO)
    assert layer.data.dtype == np.uint8
    assert layer.data.shape == shown
    first = n - len(shown)
    np.testing.assert_array_equal(layer.scale, scale[first:])
    np.testing.assert_array_equal(layer.translate, translate[first:])
    assert layer.units == image.units[first:]
    array = annotation_array(layer, image, axes)
    assert array.shape == painted
    assert annotated_id(layer) == str(image.unique_id)
    assert viewer.layers.selection.active is image
    layer.paint((1,) * layer.ndim, 2)
    assert (array == 2).sum() == (layer.data == 2).sum() / (2 if "TC" in axes else 1) > 0


def test_a_rotated_image_and_a_multiscale_one(viewer):
    image = viewer.add_image([np.zeros((40, 60)), np.zeros((20, 30))], multiscale=True, rotate=30)
    layer = new_annotation(viewer, image, "YX", TWO)
    assert layer.data.shape == (40, 60)
    np.testing.assert_allclose(layer.rotate, image.rotate)
    assert layer.editable


def test_strokes_of_an_earlier_session_are_shown(viewer):
    image = viewer.add_image(np.zeros((7, 20, 30)))
    labels = np.zeros((7, 20, 30), np.uint8)
    labels[3, 4, 5] = 2
    layer = new_annotation(viewer, image, "ZYX", TWO, labels)
    np.testing.assert_array_equal(layer.data, labels)
    with pytest.raises(InputError, match="labels"):
        new_annotation(viewer, image, "ZYX", TWO, labels[0])


def test_colours_names_and_what_is_not_annotated(viewer):
    image = viewer.add_image(np.zeros((20, 30)))
    layer = new_annotation(viewer, image, "YX", TWO)
    assert layer.opacity == pytest.approx(0.7)
    assert layer.colormap.map(0)[3] == 0
    assert layer.colormap.map(7)[3] == 0
    np.testing.assert_allclose(layer.get_color(1)[:3] * 255, (0x56, 0xB4, 0xE9), atol=1)
    others = ClassInfo("a", "#FF0000"), ClassInfo("b", "#00FF00")
    show_classes(layer, others)
    np.testing.assert_allclose(layer.get_color(2), (0, 1, 0, 1))
    assert classes_of(layer) == others


@pytest.mark.parametrize(("zoom", "size"), [(4.0, 5), (1.0, 6), (0.25, 24), (0.01, 40)])
def test_the_brush_is_seen_at_any_zoom(viewer, zoom, size):
    getattr(viewer, "scene", viewer).camera.zoom = zoom / 0.5
    image = viewer.add_image(np.zeros((20, 30)), scale=(0.5, 0.5))
    getattr(viewer, "scene", viewer).camera.zoom = zoom / 0.5
    assert new_annotation(viewer, image, "YX", TWO).brush_size == size


def test_arming(viewer):
    image = viewer.add_image(np.zeros((20, 30)))
    layer = new_annotation(viewer, image, "YX", TWO)
    layer.visible = False
    arm(viewer, layer, 2)
    assert (layer.mode, layer.selected_label, layer.visible) == ("paint", 2, True)
    assert viewer.layers.selection.active is layer
    arm(viewer, layer, 0)
    assert (layer.mode, layer.selected_label) == ("erase", 2)


@pytest.mark.parametrize("open_sample", [open_nuclei, open_tissue])
def test_samples_are_adopted_with_their_class_names(viewer, open_sample):
    for data, options, kind in open_sample():
        getattr(viewer, f"add_{kind}")(data, **options)
    image, strokes = viewer.layers[0], viewer.layers[2]
    names = [one.name for one in classes_of(strokes)]
    assert len(names) in (2, 3)
    axes = image.metadata["axes"]
    before = strokes.data.copy()
    adopt_annotation(strokes, image, axes, class_infos(names))
    np.testing.assert_array_equal(annotation_array(strokes, image, axes), before)
    assert annotated_id(strokes) == str(image.unique_id)


def test_adopted_labels_become_uint8_and_undo_cannot_write_old_values(viewer):
    image = viewer.add_image(np.zeros((20, 30)))
    layer = viewer.add_labels(np.zeros((20, 30), np.int64))
    layer.mode = "paint"
    layer.paint((5, 5), 2)
    adopt_annotation(layer, image, "YX", TWO)
    assert layer.data.dtype == np.uint8
    painted = layer.data.copy()
    layer.undo()
    np.testing.assert_array_equal(layer.data, painted)
    assert layer.mode == "paint"


def test_an_adopted_result_is_not_overwritten_by_the_next(viewer):
    image = viewer.add_image(np.zeros((20, 30)))
    layer = viewer.add_labels(np.zeros((20, 30), np.uint8), metadata={OUTPUT: {"key": "k", "name": "n"}})
    adopt_annotation(layer, image, "YX", TWO)
    assert layer.metadata[EDITED]


def read_only():
    data = np.zeros((20, 30), np.uint8)
    data.flags.writeable = False
    return data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (np.zeros((20, 31), np.uint8), r"\(20, 30\)"),
        (np.zeros((2, 20, 30), np.uint8), r"\(20, 30\)"),
        (np.full((20, 30), 3, np.uint8), "labels 3 to 3; add classes"),
        (np.full((20, 30), -1), "labels -1 to -1"),
        (read_only(), "Duplicate layer"),
    ],
)
def test_what_does_not_fit_is_refused(viewer, data, reason):
    image = viewer.add_image(np.zeros((20, 30)))
    layer = viewer.add_labels(data)
    with pytest.raises(InputError, match=reason):
        adopt_annotation(layer, image, "YX", TWO)
    assert not annotated_id(layer)


def test_multiscale_and_lazy_labels_are_refused(viewer):
    import dask.array as da

    image = viewer.add_image(np.zeros((20, 30)))
    levels = [np.zeros((20, 30), np.uint8), np.zeros((10, 15), np.uint8)]
    with pytest.raises(InputError, match="cannot edit multiscale"):
        adopt_annotation(Labels(levels, multiscale=True), image, "YX", TWO)
    with pytest.raises(InputError, match="piece by piece"):
        adopt_annotation(Labels(da.zeros((20, 30), dtype=np.uint8)), image, "YX", TWO)


def test_labels_for_each_channel_are_refused(viewer):
    image = viewer.add_image(np.zeros((5, 2, 20, 30)))
    layer = viewer.add_labels(np.zeros((5, 2, 20, 30), np.uint8))
    with pytest.raises(InputError, match="channels share"):
        adopt_annotation(layer, image, "TCYX", TWO)
    adopt_annotation(new_annotation(viewer, image, "TCYX", TWO), image, "TCYX", TWO)


def test_axes_that_do_not_fit_are_refused(viewer):
    rgb = viewer.add_image(np.zeros((20, 30, 3), np.uint8), rgb=True)
    for axes in ("YX", "CYX"):
        with pytest.raises(InputError, match="axes"):
            new_annotation(viewer, rgb, axes, TWO)
    assert len(viewer.layers) == 1


def test_a_large_stack_takes_memory_where_it_is_painted_only(viewer, monkeypatch):
    import dask.array as da
    import psutil

    monkeypatch.setattr(annotation_layer, "IN_MEMORY", 10_000)
    image = viewer.add_image(da.zeros((3000, 1000, 1000), dtype=np.uint8), contrast_limits=(0, 1))
    before = psutil.Process().memory_info().rss
    layer = new_annotation(viewer, image, "ZYX", TWO)
    arm(viewer, layer, 2)
    layer.paint((1500, 500, 500), 2)
    assert (layer.data[1500] == 2).sum() == (layer.data[1500:1502] == 2).sum() > 0
    layer.undo()
    assert not layer.data[1500].any()
    layer.redo()
    assert layer.data[1500, 500, 500] == 2
    assert psutil.Process().memory_info().rss - before < 200e6


def test_empty_labels_in_a_file_can_be_written():
    small = empty_labels((4, 5))
    assert type(small) is np.ndarray
    large = empty_labels((3, 1 << 20, 1 << 10))
    assert isinstance(large, np.memmap)
    large[2, -1, -1] = 7
    assert large[2, -1].sum() == 7


def test_the_history_is_forgotten_and_the_tool_stays(viewer):
    image = viewer.add_image(np.zeros((20, 30)))
    layer = new_annotation(viewer, image, "YX", TWO)
    arm(viewer, layer, 2)
    layer.paint((5, 5), 2)
    forget_history(layer)
    layer.undo()
    assert layer.data[5, 5] == 2
    assert layer.mode == "paint"
    layer.editable = False
    forget_history(layer)
    assert not layer.editable
