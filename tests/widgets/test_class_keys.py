"""Number keys on annotation layers only, and undo that goes where it undoes."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels
from napari.utils.key_bindings import KeymapHandler
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_papernets.core.model import class_infos
from napari_papernets.widgets.annotated_images import AnnotatedImages
from napari_papernets.widgets.annotation_layer import arm, new_annotation
from napari_papernets.widgets.class_keys import STATUS, ClassKeys
from napari_papernets.widgets.stroke_watcher import StrokeWatcher

pytestmark = pytest.mark.gui


class Session:
    """An annotated stack with the keys of three classes."""

    def __init__(self, viewer):
        self.viewer = viewer
        image = viewer.add_image(np.zeros((6, 40, 50), np.uint8))
        self.images = AnnotatedImages(viewer)
        self.labels = new_annotation(viewer, image, "ZYX", class_infos("abc"))
        self.images.add(image, self.labels, "ZYX")
        self.watcher = StrokeWatcher(self.images)
        self.watcher.watch(0)
        self.keys = ClassKeys(viewer, self.images, self.watcher, lambda: 3)
        self.keys.bind(self.labels)
        arm(viewer, self.labels, 1)
        self.chosen, self.followed = [], []
        self.keys.chosen.connect(self.chosen.append)
        self.keys.followed.connect(self.followed.append)

    def press(self, key, layer=None):
        handler = KeymapHandler()
        handler.keymap_providers = [self.labels if layer is None else layer]
        handler.press_key(key)

    def plane(self):
        return self.images.view().plane[0]

    def close(self):
        self.keys.close_events()
        self.watcher.close()
        self.images.close_events()


@pytest.fixture
def session(qapp):
    session = Session(ViewerModel())
    yield session
    session.close()


def test_number_keys_choose_classes_that_exist(session):
    for key in "1230":
        session.press(key)
    session.press("4")
    assert session.chosen == [1, 2, 3, 0]
    assert session.labels.mode == "paint"


def test_other_labels_layers_keep_their_keys(session):
    other = Labels(np.zeros((4, 5), np.uint8))
    session.press("1", other)
    assert not session.chosen
    session.keys.unbind(session.labels)
    session.press("2")
    assert not session.chosen
    assert not session.labels.keymap


def test_a_label_chosen_in_the_layer_is_followed_and_none_beyond_the_classes(session):
    session.labels.selected_label = 2
    assert session.followed == [2]
    session.labels.selected_label = 9
    assert session.labels.selected_label == 3
    assert session.followed == [2, 3]


def test_the_status_bar_tells_of_the_keys_as_they_are_here(session):
    session.labels.mode = "erase"
    for mode in ("pan_zoom", "paint", "fill", "erase"):
        session.viewer.help = ""
        session.labels.mode = mode
        assert session.labels.help == session.viewer.help == STATUS
    session.keys.unbind(session.labels)
    session.labels.help = "other"
    assert session.labels.help == "other"


def test_brush_and_eraser_that_are_taken_by_napari_s_buttons_are_followed(session):
    session.labels.mode = "erase"
    session.labels.selected_label = 2  # still the eraser
    session.labels.mode = "pan_zoom"  # Space
    session.labels.mode = "erase"
    assert session.followed == [0, 0]
    session.labels.mode = "paint"
    assert session.followed == [0, 0, 2]
    session.keys.unbind(session.labels)
    session.labels.mode = "erase"
    assert session.followed == [0, 0, 2]


def test_undo_and_redo_go_to_the_plane_of_their_stroke(session, qtbot):
    for z in (1, 4):
        session.viewer.dims.set_point(0, z)
        session.labels.paint((z, 20, 20), 2)
    session.watcher.flush()
    session.viewer.dims.set_point(0, 0)
    session.press("Control-Z")
    qtbot.waitUntil(lambda: session.plane() == 4)
    assert not session.labels.data[4].any()
    assert session.labels.data[1].any()
    session.press("Control-Z")
    qtbot.waitUntil(lambda: session.plane() == 1)
    session.viewer.dims.set_point(0, 5)
    session.press("Control-Shift-Z")
    qtbot.waitUntil(lambda: session.plane() == 1)
    assert session.labels.data[1].any()


def test_undo_in_view_and_undo_of_nothing_stay(session, qtbot):
    session.viewer.dims.set_point(0, 2)
    session.labels.paint((2, 20, 20), 2)
    session.watcher.flush()
    with qtbot.waitSignal(session.watcher.painted):
        session.press("Control-Z")
    session.press("Control-Z")
    session.watcher.flush()
    assert session.plane() == 2


def test_keys_pressed_in_a_real_window(make_napari_viewer_proxy, qtbot):
    viewer = make_napari_viewer_proxy(show=True)
    session = Session(viewer)
    (canvas,) = (w for w in QApplication.allWidgets() if type(w).__name__ == "CanvasBackendDesktop")
    canvas.setFocus()
    for key in (Qt.Key.Key_3, Qt.Key.Key_0):
        qtbot.keyClick(canvas, key)
    assert session.chosen == [3, 0]
    assert session.labels.mode == "paint"
    session.close()
