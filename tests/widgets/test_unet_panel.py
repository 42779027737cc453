"""The panel: what its buttons do, what it says, and that nothing of it stays behind."""

from __future__ import annotations

import gc
import subprocess
import sys

import numpy as np
import pytest
from fakes import FakeEngine, prediction, ref
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLabel

from napari_papernets.core.errors import EngineError, InputError
from napari_papernets.core.events import Notice, Started, TileDone
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.core.results import LevelMaps
from napari_papernets.widgets.calm_collector import NEVER
from napari_papernets.widgets.camera import camera_of, look_of
from napari_papernets.widgets.level_maps import Level
from napari_papernets.widgets.outputs import PROVENANCE

pytestmark = pytest.mark.gui


@pytest.fixture
def viewer(qapp):
    """A viewer without a window, which takes seconds to make; some tests below have a whole one."""
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random((40, 50)), name="image", scale=(0.5, 0.5))
    return viewer


@pytest.fixture
def panel(viewer, make_panel):
    return make_panel(viewer)


def labels(shape=(40, 50)):
    values = np.zeros(shape, np.uint8)
    values[..., 5:9, 5:9], values[..., 20:30, 20:30] = 1, 2
    return values


def run(panel, engine, qtbot, kind="plane", result=None):
    """Press the button of `kind` and let the engine answer."""
    panel.bar.buttons[kind].click()
    job = engine.jobs[-1]
    with qtbot.waitSignal(panel.runFinished) as finished:
        job.give(prediction(labels()) if result is None else result)
    return job, finished.args[0]


def test_a_run_asks_for_what_is_shown_and_shows_what_comes(
    make_napari_viewer_proxy, make_panel, engine, qtbot
):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.random.default_rng(0).random((40, 50)), name="image", scale=(0.5, 0.5))
    panel = make_panel(viewer)
    panel.form.setValue(PredictSettings(zoom=0.5, threshold=0.3))
    panel.device.setCurrentText("cpu")
    job, layer = run(panel, engine, qtbot)
    assert job.verb == "predict"
    assert job.arguments["image"].axes == "YX"
    assert job.arguments["image"].scale == (0.5, 0.5)
    assert job.arguments["settings"] == PredictSettings(zoom=0.5, threshold=0.3)
    assert job.arguments["device"] == "cpu"
    assert job.arguments["region"] is None
    assert job.arguments["planes"] is None
    assert job.arguments["probabilities"] is False
    assert layer.name == "image toy"
    np.testing.assert_array_equal(layer.data, labels())
    np.testing.assert_array_equal(layer.scale, (0.5, 0.5))
    assert panel.message.text().startswith("2 objects · 1 s · cpu")


def test_the_tab_key_follows_the_rows(panel):
    def place(widget):
        order, here = [], panel.nextInFocusChain()
        while here is not panel:
            order.append(here)
            here = here.nextInFocusChain()
        return order.index(widget)

    form = panel.form
    above, below = form.editor("min_size").focusProxy(), form.advanced.toggleButton()
    assert place(above) < place(panel.probabilities) < place(below) < place(panel.device)


def test_an_error_goes_when_the_image_that_lacked_is_there(make_panel, qapp):
    viewer = ViewerModel()
    panel = make_panel(viewer)
    panel.start_run("plane")
    assert panel.message.is_error
    viewer.add_image(np.zeros((40, 50)))
    assert not panel.message.text()
    panel.message.tell("a result")
    viewer.add_image(np.zeros((40, 50)))
    assert panel.message.text() == "a result"


def test_axes_and_shape_follow_an_array_that_is_replaced(panel, viewer):
    layer = viewer.layers["image"]
    panel.image.axes.setText("XY")
    panel.image.axes.textEdited.emit("XY")
    layer.data = np.zeros((50, 40))
    assert panel.image.axes_text() == "YX"
    panel.image.axes.setText("XY")
    panel.image.axes.textEdited.emit("XY")
    layer.data = np.ones((50, 40))  # only other pixels: what was corrected stays
    assert panel.image.axes_text() == "XY"
    layer.data = np.zeros((7, 30, 40))
    assert panel.image.axes_text() == "ZYX"
    assert panel.image.shape.text() == "7 × 30 × 40"
    assert not panel.bar.buttons["stack"].isHidden()


def test_a_threshold_that_the_model_brought_is_told(panel, engine, qtbot):
    job, _ = run(panel, engine, qtbot, result=prediction(labels(), threshold=0.35))
    assert job.arguments["settings"].threshold is None
    assert "threshold 0.35" in panel.message.text()
    run(panel, engine, qtbot, result=prediction(labels(), threshold=0.5))
    assert "threshold" not in panel.message.text()


def test_a_zoom_is_told_once(panel, engine, qtbot):
    chosen = prediction(labels())
    notice = "Zoom 2.77 chosen: objects look 0.36× those of the training"
    chosen.provenance.update(zoom=2.77, notices=[notice])
    run(panel, engine, qtbot, result=chosen)
    assert panel.message.text().lower().count("zoom") == 1
    panel.form.setValue(PredictSettings(zoom=0.5))
    asked = prediction(labels())
    asked.provenance.update(zoom=0.5)
    run(panel, engine, qtbot, result=asked)
    assert "zoom 0.5" in panel.message.text()


def test_the_zoom_that_automatic_came_to_is_shown_for_this_image_and_model_alone(
    panel, viewer, engine, qtbot
):
    box = panel.form.editor("zoom").inner.spin.lineEdit()
    assert box.text() == "auto"
    account = dict(model="toy", image=dict(name="image", axes="YX"), settings=dict(zoom=None))
    result = prediction(labels(), **account)
    result.provenance.update(zoom=2.77)
    run(panel, engine, qtbot, result=result)
    assert box.text() == "2.77"
    assert panel.form.value().zoom is None
    viewer.add_image(np.zeros((40, 50)), name="other")
    assert box.text() == "auto"
    panel.image.choose(viewer.layers["image"])
    assert box.text() == "2.77"
    panel.model.choose("classy")
    assert box.text() == "auto"


@pytest.mark.parametrize(
    ("pixels", "told"),
    [(1, "one pixel each"), (1 / 2.77, "0.36 image"), (5.776173, "5.8 image"), (161.3, "161 image")],
)
def test_the_size_of_a_map_pixel_is_told_in_few_digits(pixels, told):
    level = Level("bottom", np.zeros((3, 10, 10)), (0, 10 * pixels, 0, 10 * pixels), (0, 1), 2)
    assert told in level.account


def test_the_greyed_threshold_is_that_of_the_chosen_model(panel, models):
    editor = panel.form.editor("threshold")
    assert editor.inner.value() == 0.5
    models.append(ref(name="other", threshold=0.35))
    panel.model.refresh()
    panel.model.combo.setCurrentText("other")
    assert (editor.inner.value(), editor.value()) == (0.35, None)


def test_events_move_the_bars(panel, engine, qtbot):
    panel.bar.buttons["plane"].click()
    assert panel.bar.cancel.isEnabled()
    job = engine.jobs[-1]
    job.tell(Started(2, "tile"))
    job.tell(TileDone(1, 2, (), (0, 20), (0, 50), np.ones((20, 50), np.uint8)))
    job.tell(Notice("Zoom 0.5 chosen"))
    qtbot.waitUntil(lambda: panel.message.text() == "Zoom 0.5 chosen")
    assert (panel.bar.bar.value(), panel.bar.bar.maximum()) == (1, 2)
    job.give(prediction(labels()))
    qtbot.waitUntil(lambda: not panel.control.is_running)
    assert not panel.bar.cancel.isEnabled()


def test_the_activity_dock_shows_the_run_and_can_cancel_it(panel, engine, qtbot):
    from napari.utils.progress import progress

    panel.bar.buttons["plane"].click()
    job = engine.jobs[-1]
    job.tell(Started(3, "tile"))
    qtbot.waitUntil(lambda: bool(progress._all_instances))
    (shown,) = progress._all_instances
    qtbot.waitUntil(lambda: shown.total == 3)
    job.tell(TileDone(1, 3, (), (0, 20), (0, 50), np.ones((20, 50), np.uint8)))
    qtbot.waitUntil(lambda: shown.n == 1)
    shown.cancel()
    qtbot.waitUntil(lambda: job.cancelled)
    assert not progress._all_instances
    assert not panel.control.is_running


def test_the_press_returns_before_napari_makes_the_layer(panel, viewer, engine, qtbot):
    usual = gc.get_threshold()
    panel.bar.buttons["plane"].click()
    job = engine.jobs[-1]
    assert len(viewer.layers) == 1
    job.tell(TileDone(1, 2, (), (0, 20), (0, 50), np.ones((20, 50), np.uint8)))
    qtbot.waitUntil(lambda: len(viewer.layers) == 2)
    qtbot.waitUntil(lambda: viewer.layers["image toy"].data[:20].all())
    assert gc.get_threshold()[2] == NEVER
    panel.control.leave()
    assert len(viewer.layers) == 1
    assert gc.get_threshold() == usual


def test_a_result_may_come_before_the_layer(panel, viewer, engine, qtbot):
    from napari.utils.progress import progress

    panel.bar.buttons["plane"].click()
    with qtbot.waitSignal(panel.runFinished):
        engine.jobs[-1].give(prediction(labels()))
    qtbot.wait(20)
    assert [layer.name for layer in viewer.layers] == ["image", "image toy"]
    np.testing.assert_array_equal(viewer.layers["image toy"].data, labels())
    assert not progress._all_instances


def test_cancel_puts_things_back(panel, viewer, engine, qtbot):
    panel.bar.buttons["plane"].click()
    panel.bar.cancel.click()
    job = engine.jobs[-1]
    assert job.cancelled
    assert not panel.control.is_running
    job.give(prediction(labels()))
    assert "Cancelled" in panel.message.text()
    assert len(viewer.layers) == 1
    run(panel, engine, qtbot)


def test_what_a_cancel_takes_away_from_another_plane_is_drawn_first(panel, viewer, qtbot):
    """napari does not live through the next move of the slider otherwise, where GL is software."""
    viewer.add_image(np.random.default_rng(0).random((5, 40, 50)), name="movie", scale=(2, 1, 1))
    panel.image.choose(viewer.layers["movie"])
    viewer.dims.set_current_step(0, 1)
    panel.bar.buttons["plane"].click()
    qtbot.waitUntil(
        lambda: "movie toy plane" in viewer.layers and viewer.layers["movie toy plane"].visible
    )
    viewer.dims.set_current_step(0, 2)
    qtbot.wait(50)
    layer = viewer.layers["movie toy plane"]
    panel.bar.cancel.click()
    assert layer in viewer.layers
    assert (layer.opacity, layer.translate[0]) == (0, 4)
    qtbot.waitUntil(lambda: "movie toy plane" not in viewer.layers, timeout=2000)


@pytest.mark.parametrize("how", ["remove", "clear"])
def test_a_run_ends_when_its_image_is_removed(panel, viewer, engine, qtbot, how):
    run(panel, engine, qtbot)
    before = len(viewer.layers.events.removed.callbacks)
    panel.bar.buttons["plane"].click()
    job, layer = engine.jobs[-1], viewer.layers["image toy"]
    qtbot.waitUntil(lambda: not layer.data.any())
    job.tell(TileDone(1, 2, (), (0, 20), (0, 50), np.ones((20, 50), np.uint8)))
    qtbot.waitUntil(lambda: layer.data.any())
    drawn = []
    layer.events.labels_update.connect(drawn.append)
    job.tell(TileDone(2, 2, (), (20, 40), (0, 50), np.ones((20, 50), np.uint8)))
    viewer.layers.remove("image") if how == "remove" else viewer.layers.clear()
    assert job.cancelled
    qtbot.waitUntil(lambda: not panel.control.is_running)
    assert panel.message.text() == (
        "Cancelled, since the image image was removed; the layers are as they were."
    )
    qtbot.wait(300)
    assert not drawn
    if how == "remove":
        np.testing.assert_array_equal(layer.data, labels())  # as before the run
    assert len(viewer.layers.events.removed.callbacks) == before


def test_a_run_goes_on_when_another_image_is_removed(panel, viewer, engine, qtbot):
    other = viewer.add_image(np.zeros((40, 50)), name="other")
    panel.image.combo.setCurrentIndex(0)
    panel.bar.buttons["plane"].click()
    viewer.layers.remove(other)
    qtbot.wait(20)
    assert panel.control.is_running
    panel.control.leave()


def test_a_dead_engine_gives_one_clear_line_and_the_next_run_works(panel, viewer, engine, qtbot):
    panel.bar.buttons["plane"].click()
    with qtbot.waitSignal(panel.runFailed):
        engine.jobs[-1].fail(EngineError("The engine process ended"))
    assert panel.message.is_error
    assert panel.message.text() == "The engine process ended"
    assert [layer.name for layer in viewer.layers] == ["image"]
    run(panel, engine, qtbot)
    assert not panel.message.is_error


def test_an_answer_that_cannot_be_shown_is_an_error_not_a_crash(panel, engine, qtbot):
    panel.bar.buttons["plane"].click()
    with qtbot.waitSignal(panel.runFailed):
        engine.jobs[-1].give(prediction(np.zeros((3, 3), np.uint8)))
    assert panel.message.is_error


def test_without_an_image_the_mend_is_named(make_panel, engine):
    viewer = ViewerModel()
    panel = make_panel(viewer)
    buttons = (*panel.bar.buttons.values(), panel.closer.tiles, panel.closer.inside.button)
    for _ in range(2):
        assert not any(button.isEnabled() for button in buttons)
        assert all(button.toolTip().startswith("<p>Open an image first") for button in buttons)
        layer = viewer.add_image(np.zeros((40, 50)))
        assert all(button.isEnabled() for button in buttons)
        assert not any("Open an image first" in button.toolTip() for button in buttons)
        viewer.layers.remove(layer)
    panel.start_run("plane")
    assert "open an image" in panel.message.text()
    assert not engine.jobs


def test_an_error_pops_up_only_where_the_panel_is_out_of_sight(
    make_napari_viewer_proxy, make_panel, monkeypatch
):
    from napari.utils import notifications

    popped = []
    monkeypatch.setattr(notifications, "show_error", popped.append)
    viewer = make_napari_viewer_proxy(show=True)
    panel = make_panel(viewer)
    QApplication.processEvents()
    panel.message.complain("in sight")
    assert not popped
    other = viewer.window.add_dock_widget(QLabel("other"), name="other", area="right", tabify=True)
    QApplication.processEvents()
    panel.message.complain("behind another tab")
    assert popped == ["behind another tab"]
    other.close()
    panel.parentWidget().hide()
    panel.message.complain("hidden")
    assert popped[1:] == ["hidden"]


def test_what_was_told_of_an_image_goes_with_it(panel, viewer, engine, qtbot):
    run(panel, engine, qtbot)
    other = viewer.add_image(np.zeros((40, 50)), name="other")
    assert panel.message.text().startswith("2 objects")
    panel.image.combo.setCurrentIndex(0)
    viewer.layers.remove(other)
    assert panel.message.text().startswith("2 objects")
    viewer.layers.clear()
    assert not panel.message.text()
    assert panel.message.isHidden()


def test_a_model_that_does_not_fit_names_the_channels(viewer, make_panel, models, engine):
    models[0] = ref(in_channels=3, grey_to_colour=False)
    panel = make_panel(viewer)
    panel.bar.buttons["plane"].click()
    assert "model 'toy' takes 3" in panel.message.text()
    assert not engine.jobs


def test_channels_that_there_are_and_how_to_choose_them(viewer, make_panel, models, engine):
    models[0] = ref(in_channels=3, grey_to_colour=True)
    viewer.add_image(np.zeros((2, 40, 50)), name="two")
    panel = make_panel(viewer)
    channels = panel.image.channels
    assert (channels.inner.value(), channels.value()) == ((0, 1), None)
    panel.bar.buttons["plane"].click()
    text = panel.message.text()
    assert "2 channels (axes CYX)" in text
    assert "takes 1 or 3. Under Channels, untick auto and type which, such as 1" in text
    channels.setValue((1, 0))
    panel.bar.buttons["plane"].click()
    assert "Under Channels, type which, such as 1" in panel.message.text()
    channels.setValue((1,))
    viewer.add_image(np.zeros((2, 30, 50)), name="two more")
    panel.bar.buttons["plane"].click()
    assert engine.jobs[-1].arguments["settings"].channels == (1,)  # chosen by hand: it stays
    panel.control.leave()
    viewer.add_image(np.zeros((3, 40, 50)), name="three")
    channels.auto.setChecked(True)
    assert channels.inner.value() == (0, 1, 2)


def test_what_cannot_be_read_is_shown_in_red_and_stops_nothing(viewer, panel):
    colours = viewer.add_image(np.zeros((30, 40, 3), np.uint8), name="colours", rgb=True)
    panel.image.choose(colours)
    told = []
    panel.image.changed.connect(lambda: told.append(1))
    panel.image.axes.setText("CYX")  # of an array whose last axis are colours
    panel.image.axes.textEdited.emit("CYX")
    assert told
    assert panel.image.axes.styleSheet()
    panel.image.axes.setText("YXC")
    panel.image.axes.textEdited.emit("YXC")
    assert not panel.image.axes.styleSheet()
    masked = np.ma.masked_array(np.zeros((30, 40)), mask=np.eye(30, 40, dtype=bool))
    viewer.add_image(masked, name="masked")
    assert viewer.layers[-1].name == "masked"


def test_wrong_axes_are_shown_at_once_and_refused(panel, engine, qtbot):
    panel.image.axes.clear()
    qtbot.keyClicks(panel.image.axes, "ZYX")
    assert "name all 2 axes" in panel.image.axes.toolTip()
    panel.bar.buttons["plane"].click()
    assert "axes: got 'ZYX'" in panel.message.text()
    panel.image.axes.clear()
    qtbot.keyClicks(panel.image.axes, "yx")
    panel.bar.buttons["plane"].click()
    assert engine.jobs[-1].arguments["image"].axes == "YX"
    panel.control.leave()


def test_corrected_axes_stay_with_their_layer(panel, viewer, qtbot):
    viewer.add_image(np.zeros((3, 20, 30)), name="stack")
    assert panel.image.axes_text() == "CYX"
    assert panel.bar.buttons["stack"].isHidden()
    panel.image.axes.clear()
    qtbot.keyClicks(panel.image.axes, "ZYX")
    assert not panel.bar.buttons["stack"].isHidden()
    panel.image.combo.setCurrentIndex(0)
    assert panel.image.axes_text() == "YX"
    panel.image.combo.setCurrentIndex(1)
    assert panel.image.axes_text() == "ZYX"


def test_the_list_of_images_follows_the_viewer(panel, viewer, engine, qtbot):
    other = viewer.add_image(np.zeros((20, 30, 3), np.uint8), name="colours", rgb=True)
    viewer.add_labels(np.zeros((20, 30), np.uint8))
    texts = [panel.image.combo.itemText(i) for i in range(panel.image.combo.count())]
    assert texts == ["image", "colours"]
    other.name = "H&E"
    assert panel.image.combo.currentText() == "H&E"
    assert not panel.image.channels.isHidden()
    viewer.layers.remove(other)
    assert panel.image.combo.currentText() == "image"
    panel.probabilities.setChecked(True)
    run(panel, engine, qtbot, result=prediction(labels(), np.zeros((3, 40, 50), np.float32)))
    qtbot.waitUntil(lambda: len(viewer.layers) == 6)
    assert panel.image.combo.count() == 1


def test_probabilities_become_layers_in_the_colours_of_their_classes(panel, viewer, engine, qtbot):
    chances = np.random.default_rng(1).random((3, 40, 50), dtype=np.float32)
    panel.probabilities.setChecked(True)
    for _ in range(2):
        job, _ = run(panel, engine, qtbot, result=prediction(labels(), chances))
        assert job.arguments["probabilities"] is True
        qtbot.waitUntil(lambda: len(viewer.layers) == 5)
    shown = viewer.layers["image toy p(inside)"]
    np.testing.assert_array_equal(shown.data, chances[1])
    assert list(shown.contrast_limits) == [0, 1]


def test_probabilities_of_an_earlier_run_are_not_taken_for_those_of_newer_labels(
    panel, viewer, engine, qtbot
):
    chances = np.random.default_rng(1).random((3, 40, 50), dtype=np.float32)
    panel.probabilities.setChecked(True)
    run(panel, engine, qtbot, result=prediction(labels(), chances))
    qtbot.waitUntil(lambda: len(viewer.layers) == 5)
    inside, border = (viewer.layers[f"image toy p({name})"] for name in ("inside", "border"))
    inside.visible = border.visible = True
    border.name = "mine"
    panel.probabilities.setChecked(False)
    run(panel, engine, qtbot)
    assert (inside.name, inside.visible) == ("image toy (earlier) p(inside)", False)
    assert (border.name, border.visible) == ("mine", True)
    panel.probabilities.setChecked(True)
    run(panel, engine, qtbot, result=prediction(labels(), chances / 2))
    qtbot.waitUntil(lambda: len(viewer.layers) == 6)  # a border beside the one that is the person's
    assert inside.name == "image toy p(inside)"
    np.testing.assert_array_equal(inside.data, chances[1] / 2)


def test_probabilities_of_another_model_are_hidden_with_its_labels_until_a_run_is_cancelled(
    panel, viewer, engine, qtbot
):
    panel.probabilities.setChecked(True)
    run(panel, engine, qtbot, result=prediction(labels(), np.zeros((3, 40, 50), np.float32)))
    qtbot.waitUntil(lambda: len(viewer.layers) == 5)
    inside = viewer.layers["image toy p(inside)"]
    inside.visible = True
    panel.model.choose("classy")
    panel.bar.buttons["plane"].click()
    qtbot.waitUntil(lambda: not inside.visible)
    panel.bar.cancel.click()
    qtbot.waitUntil(lambda: inside.visible)
    run(panel, engine, qtbot, result=prediction(labels(), np.zeros((2, 40, 50), np.float32)))
    assert (inside.name, inside.visible) == ("image toy p(inside)", False)


def test_the_preview_does_what_is_in_view(viewer, make_panel, engine, qtbot):
    panel = make_panel(viewer)
    viewer.layers["image"].corner_pixels = np.array([[10, 12], [19, 31]])
    panel.bar.buttons["view"].click()
    arguments = engine.jobs[-1].arguments
    assert arguments["region"] == (10, 20, 12, 32)
    assert arguments["focus"] == (15, 22)
    with qtbot.waitSignal(panel.runFinished) as finished:
        engine.jobs[-1].give(prediction(np.ones((10, 20), np.uint8)))
    layer = finished.args[0]
    assert layer.name == "image toy preview"
    assert layer.data_to_world((0, 0)) == viewer.layers["image"].data_to_world((10, 12))
    run(panel, engine, qtbot)
    assert not layer.visible


@pytest.mark.parametrize("kind", ["view", "plane"])
@pytest.mark.parametrize("view", ["3-D", "transposed"])
def test_where_the_view_is_not_flat_a_run_tells_which_plane_it_takes(
    make_panel, engine, qtbot, view, kind
):
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5, 20, 30)), name="stack", scale=(2, 1, 1))
    viewer.dims.set_point(0, 6)  # plane 3
    panel = make_panel(viewer)
    if view == "3-D":
        viewer.dims.ndisplay = 3
    else:
        viewer.dims.order = (1, 0, 2)
    panel.bar.buttons[kind].click()
    told = "The view is not a flat Y-X plane: the whole plane Z 3 is taken."
    assert engine.jobs[-1].arguments["planes"] == ((3,),)
    assert panel.message.text() == told
    with qtbot.waitSignal(panel.runFinished):
        engine.jobs[-1].give(prediction(np.ones((1, 20, 30), np.uint8)))
    assert panel.message.text().endswith(told)
    panel.bar.buttons["stack"].click()
    assert not panel.message.text()
    panel.control.leave()


def test_in_3d_the_preview_takes_the_plane_and_says_so(make_napari_viewer_proxy, make_panel, engine):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.random.default_rng(0).random((5, 20, 30)), name="stack")
    viewer.dims.ndisplay = 3
    panel = make_panel(viewer)
    panel.bar.buttons["view"].click()
    assert engine.jobs[-1].arguments["region"] is None
    assert len(engine.jobs[-1].arguments["planes"]) == 1
    assert "whole plane" in panel.message.text()
    panel.control.leave()


def test_a_multiscale_image_is_previewed_in_full_resolution(make_panel, engine):
    viewer = ViewerModel()
    full = np.random.default_rng(0).random((256, 512))
    layer = viewer.add_image([full, full[::2, ::2], full[::4, ::4]], multiscale=True, name="pyramid")
    panel = make_panel(viewer)
    layer.data_level = 1
    layer.corner_pixels = np.array([[10, 20], [29, 59]])
    panel.bar.buttons["view"].click()
    assert engine.jobs[-1].arguments["image"].shape == (256, 512)
    assert engine.jobs[-1].arguments["region"] == (20, 60, 40, 120)
    panel.control.leave()


def test_stack_plane_and_channels_reach_the_engine(make_panel, engine, qtbot):
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random((6, 2, 20, 30)), name="image")
    panel = make_panel(viewer)
    assert panel.image.axes_text() == "ZCYX"
    panel.image.channels.setValue((1,))
    viewer.dims.set_point(0, 3)
    panel.bar.buttons["plane"].click()
    assert engine.jobs[-1].arguments["planes"] == ((3,),)
    assert engine.jobs[-1].arguments["settings"].channels == (1,)
    panel.control.leave()
    panel.bar.buttons["stack"].click()
    assert engine.jobs[-1].arguments["planes"] is None
    qtbot.waitUntil(lambda: "image toy" in viewer.layers)
    assert viewer.layers["image toy"].data.shape == (6, 2, 20, 30)
    panel.control.leave()


def test_tiles_are_drawn_with_their_halo_and_taken_away(panel, viewer):
    panel.form.setValue(PredictSettings(zoom=1.0, tile=1))
    panel.closer.tiles.click()
    layer = viewer.layers["image tiles"]
    assert panel.message.text().startswith("Plan for these settings: 1 tile of 48×64")
    assert list(layer.features["part"]) == ["read", "write"]
    np.testing.assert_array_equal(layer.data[1].min(axis=0), (-0.5, -0.5))
    np.testing.assert_array_equal(layer.data[1].max(axis=0), (39.5, 49.5))
    np.testing.assert_array_equal(layer.scale, (0.5, 0.5))
    panel.closer.tiles.click()
    assert "image tiles" not in viewer.layers
    panel.form.setValue(PredictSettings(zoom=1.0))
    panel.closer.tiles.click()
    assert panel.message.text().startswith("Plan for these settings on the processor: ")


def test_tiles_of_a_large_image_cover_it_once(make_panel):
    viewer = ViewerModel()
    viewer.add_image(np.zeros((600, 400), np.uint8), name="image")
    panel = make_panel(viewer)
    panel.form.setValue(PredictSettings(zoom=0.5, tile=128))
    panel.closer.tiles.click()
    layer = viewer.layers["image tiles"]
    write = [s for s, part in zip(layer.data, layer.features["part"], strict=True) if part == "write"]
    areas = [np.prod(s.max(axis=0) - s.min(axis=0)) for s in write]
    assert sum(areas) == 600 * 400


def test_looking_inside_leaves_the_view_where_it_is(panel, viewer, engine, qtbot):
    camera = camera_of(viewer)
    camera.center, camera.zoom = (0.0, 12.0, 9.0), 3.5
    panel.closer.inside.button.click()
    maps = {"bottom": np.random.default_rng(0).random((8, 2, 4))}
    engine.jobs[-1].give(LevelMaps(maps, {"bottom": (0, 40, 0, 50)}, {"verb": "inspect"}))
    qtbot.waitUntil(lambda: "image inside" in viewer.layers)
    assert viewer.dims.ndim == 3
    assert look_of(viewer) == ((0.0, 12.0, 9.0), 3.5)
    viewer.layers.remove("image inside")
    assert viewer.dims.ndim == 2
    assert look_of(viewer) == ((0.0, 12.0, 9.0), 3.5)


def test_looking_inside_lays_maps_over_the_image(panel, viewer, engine, qtbot):
    viewer.layers["image"].corner_pixels = np.array([[8, 16], [23, 47]])
    panel.closer.inside.button.click()
    job = engine.jobs[-1]
    assert job.verb == "inspect"
    assert job.arguments["region"] == (8, 24, 16, 48)
    rng = np.random.default_rng(0)
    maps = {"contract 0": rng.random((4, 16, 32)), "bottom": rng.random((8, 2, 4))}
    maps = {"contract 0": maps["contract 0"], "bottom": maps["bottom"], "logits": maps["contract 0"][:3]}
    maps["bottom"][5] *= 10
    boxes = {"contract 0": (8, 24, 16, 48), "bottom": (8, 24, 16, 48), "logits": (8, 24, 16, 48)}
    job.give(LevelMaps(maps, boxes, {"verb": "inspect"}))
    combo = panel.closer.inside.combo
    qtbot.waitUntil(combo.isEnabled)
    assert [combo.itemText(i) for i in range(3)] == [
        "contract 0 (4)", "bottom (8)", "logits (3)"
    ]  # fmt: skip
    assert combo.currentIndex() == 1
    layer, image = viewer.layers["image inside"], viewer.layers["image"]
    assert layer.data.shape == (8, 2, 4)
    np.testing.assert_allclose(
        layer.data_to_world((0, -0.5, -0.5))[1:], image.data_to_world((7.5, 15.5))
    )
    np.testing.assert_allclose(layer.data_to_world((0, 1.5, 3.5))[1:], image.data_to_world((23.5, 47.5)))
    assert viewer.dims.current_step[0] == 5
    combo.setCurrentIndex(0)
    combo.activated.emit(0)
    assert viewer.layers["image inside"].data.shape == (4, 16, 32)
    assert len(viewer.layers) == 2
    assert panel.image.combo.count() == 1


def looked(panel, engine, qtbot, random=False):
    """Let the engine answer to a look."""
    maps = np.random.default_rng(0).random((4, 40, 50)).astype(np.float32)
    levels, box = {"contract 0": maps, "bottom": maps, "logits": maps[:3]}, (0, 40, 0, 50)
    account = {"verb": "inspect", "random_weights": random}
    engine.jobs[-1].give(LevelMaps(levels, dict.fromkeys(levels, box), account))
    qtbot.waitUntil(lambda: not panel.bar.is_running)
    return engine.jobs[-1]


def test_random_weights_are_shown_as_soon_as_they_are_ticked(panel, viewer, engine, qtbot):
    inside = panel.closer.inside
    assert not inside.control.isEnabled()  # nothing was looked at
    inside.button.click()
    first = looked(panel, engine, qtbot)
    panel.form.setValue(PredictSettings(zoom=2.0))
    inside.combo.setCurrentIndex(0)
    inside.control.click()
    again = engine.jobs[-1]
    assert again.arguments == {**first.arguments, "random_weights": True}
    looked(panel, engine, qtbot, random=True)
    assert panel.message.text().startswith("Random weights, contract 0")
    inside.control.click()
    panel.bar.cancel.click()
    assert inside.control.isChecked()  # these are the maps that are there
    inside.control.click()
    engine.jobs[-1].fail(EngineError("The engine process ended"))
    qtbot.waitUntil(lambda: not panel.bar.is_running)
    assert inside.control.isChecked()
    inside.control.click()
    assert engine.jobs[-1].arguments["random_weights"] is False
    looked(panel, engine, qtbot)
    assert len(engine.jobs) == 5
    assert not inside.control.isChecked()


def test_a_look_shows_its_progress_and_can_be_cancelled(panel, viewer, engine, qtbot):
    inside = panel.closer.inside
    inside.button.click()
    assert (panel.bar.bar.maximum(), panel.bar.cancel.isEnabled()) == (0, True)
    assert not inside.button.isEnabled()
    engine.jobs[-1].tell(Started(1, "tile"))
    qtbot.wait(20)
    assert (panel.bar.bar.maximum(), panel.bar.status.text()) == (0, "Looking inside…")
    panel.start_run("plane")  # nothing else of the panel runs meanwhile
    assert len(engine.jobs) == 1
    panel.bar.cancel.click()
    assert engine.jobs[-1].cancelled
    assert panel.message.text() == "Cancelled; the layers are as they were."
    looked(panel, engine, qtbot)
    assert [layer.name for layer in viewer.layers] == ["image"]
    panel.bar.buttons["plane"].click()
    assert not inside.button.isEnabled()
    panel.control.leave()
    assert inside.button.isEnabled()


def test_a_look_that_no_engine_takes_is_over(panel, engine):
    engine.closed = True
    panel.closer.inside.button.click()
    assert panel.message.text() == "the engine was closed"
    assert panel.closer.inside.button.isEnabled()
    assert not panel.bar.is_running


@pytest.mark.parametrize("how", ["gone", "another"])
def test_levels_go_with_the_image_that_was_looked_at(panel, viewer, engine, qtbot, how):
    inside = panel.closer.inside

    def leave_image():
        if how == "gone":
            viewer.layers.remove(viewer.layers["image"])
        else:
            viewer.add_image(np.zeros((40, 50)), name="other")

    inside.button.click()
    looked(panel, engine, qtbot, random=True)
    assert inside.combo.isEnabled()
    assert inside.control.isEnabled()
    assert inside.control.isChecked()
    leave_image()
    assert inside.combo.count() == 0
    assert not inside.combo.isEnabled()
    assert not inside.control.isEnabled()
    assert not inside.control.isChecked()
    if how == "gone":
        viewer.add_image(np.zeros((40, 50)), name="image")
    inside.button.click()
    leave_image()
    assert engine.jobs[-1].cancelled
    assert not panel.bar.is_running
    why = "the image was removed" if how == "gone" else "another image was chosen"
    assert panel.message.text() == f"Cancelled, since {why}."


def test_while_maps_are_seen_the_results_of_their_image_are_hidden(panel, viewer, engine, qtbot):
    panel.closer.inside.button.click()
    looked(panel, engine, qtbot)
    run(panel, engine, qtbot)
    result, inside = viewer.layers["image toy"], viewer.layers["image inside"]
    assert (inside.visible, result.visible) == (False, True)
    viewer.add_labels(labels(), name="strokes")
    panel.closer.inside.combo.activated.emit(0)
    assert (inside.visible, result.visible) == (True, False)
    assert viewer.layers["strokes"].visible
    for eye in (False, True):  # by the person
        inside.visible = eye
        assert result.visible is not eye
    panel.bar.buttons["plane"].click()
    qtbot.waitUntil(lambda: result.visible and not inside.visible)
    panel.bar.cancel.click()
    qtbot.waitUntil(lambda: inside.visible)
    assert not result.visible
    viewer.layers.remove(inside)
    assert result.visible


def test_a_failed_look_says_why(panel, engine, qtbot):
    panel.closer.inside.button.click()
    engine.jobs[-1].fail(InputError("region", "9 GB", "zoom in"))
    qtbot.waitUntil(lambda: panel.message.is_error)
    assert panel.closer.inside.button.isEnabled()


def test_objects_are_measured_in_physical_units(panel, viewer, engine, qtbot):
    viewer.layers["image"].units = ("um", "um")
    run(panel, engine, qtbot)
    panel.results.measure.click()
    qtbot.waitUntil(lambda: len(panel.results.windows) == 1)
    window = panel.results.windows[0]
    model = window.view.model()
    names = [model.headerData(c, Qt.Orientation.Horizontal)
             for c in range(model.columnCount())]  # fmt: skip
    assert model.rowCount() == 2
    assert model.index(0, names.index("area_um2")).data() == "4"
    assert "intensity_mean" in names
    window.view.selectRow(1)
    assert viewer.layers["image toy"].selected_label == 2
    window.close()
    qtbot.waitUntil(lambda: not panel.results.windows)


def table_of(panel, viewer, layer, qtbot):
    """The window of its measurements, and the labels of the rows that are selected."""
    viewer.layers.selection.active = layer
    panel.results.measure.click()
    qtbot.waitUntil(lambda: len(panel.results.windows) == 1, timeout=20_000)
    window = panel.results.windows[0]

    def selected():
        return [i.data() for i in window.view.selectionModel().selectedRows()]

    return window, selected


def test_a_label_that_is_chosen_in_the_layer_shows_its_row(panel, viewer, qtbot):
    values = np.repeat(np.arange(1, 401, dtype=np.uint16), 5).reshape(40, 50)
    layer = viewer.add_labels(values, name="many")
    window, selected = table_of(panel, viewer, layer, qtbot)
    camera = getattr(viewer, "scene", viewer).camera
    centre = camera.center
    layer.selected_label = 300
    assert selected() == ["300"]
    assert window.view.visualRect(window.view.currentIndex()).intersects(window.view.viewport().rect())
    assert camera.center == centre
    window.view.selectRow(2)
    assert (layer.selected_label, selected()) == (3, ["3"])
    assert camera.center != centre
    layer.selected_label = 3000
    assert selected() == []


def test_a_label_of_several_planes_keeps_the_row_that_was_chosen(panel, viewer, qtbot):
    layer = viewer.add_labels(np.stack([labels(), labels(), labels()]), scale=(3, 1, 1), name="stack")
    window, _ = table_of(panel, viewer, layer, qtbot)
    viewer.dims.set_current_step(0, 1)
    layer.selected_label = 2
    assert window.view.currentIndex().row() == 4  # rows by label: 1 in three planes, then 2
    window.view.selectRow(2)
    assert window.view.currentIndex().row() == 2
    assert (layer.selected_label, viewer.dims.current_step[0]) == (1, 2)


def test_the_table_of_a_part_tells_places_in_the_image_and_looks_at_them_in_the_layer(
    make_panel, engine, qtbot
):
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random((5, 40, 50)), name="stack", scale=(2, 1, 1))
    viewer.dims.set_point(0, 6)  # plane 3
    viewer.layers["stack"].corner_pixels = np.array([[3, 10, 12], [3, 19, 31]])
    panel = make_panel(viewer)
    found = np.zeros((1, 10, 20), np.uint8)
    found[0, 2:4, 6:10] = 1
    _, layer = run(panel, engine, qtbot, "view", prediction(found))
    window, _ = table_of(panel, viewer, layer, qtbot)
    model = window.view.model()
    row = {model.headerData(c, Qt.Orientation.Horizontal): model.index(0, c).data()
           for c in range(model.columnCount())}  # fmt: skip
    assert [row[name] for name in ("z", "y0", "x0", "y1", "x1")] == ["3", "12", "18", "14", "22"]
    viewer.dims.set_point(0, 0)
    window.view.selectRow(0)
    assert viewer.dims.point[0] == 6
    assert list(getattr(viewer, "scene", viewer).camera.center)[1:] == [12.5, 19.5]
    window.view.clearSelection()
    layer.selected_label = 5
    layer.selected_label = 1
    assert window.view.currentIndex().row() == 0


@pytest.mark.parametrize("axes", ["TCZYX", "ZTYX"])
def test_a_row_and_its_object_find_each_other_whatever_the_order_of_the_axes(
    axes, make_panel, engine, qtbot
):
    sizes = dict(zip("TCZYX", (3, 2, 4, 20, 30), strict=True))
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random([sizes[a] for a in axes]), name="stack")
    panel = make_panel(viewer)
    panel.image.axes.setText(axes)
    panel.image.axes.textEdited.emit(axes)
    if "C" in axes:
        panel.image.channels.setValue((0,))
    found = np.ones([sizes[a] for a in axes if a != "C"], np.uint8)
    _, layer = run(panel, engine, qtbot, "stack", prediction(found))
    window, _ = table_of(panel, viewer, layer, qtbot)
    columns = window._columns
    step = [{"T": 1, "C": 1, "Z": 2}.get(axis, 0) for axis in axes]
    viewer.dims.current_step = step
    layer.selected_label = 5
    layer.selected_label = 1
    row = window.view.currentIndex().row()
    assert (columns["t"][row], columns["z"][row]) == (1, 2)
    for there in (0, row):
        window.view.selectRow(there)
    assert list(viewer.dims.current_step)[:-2] == step[:-2]
    assert list(getattr(viewer, "scene", viewer).camera.center)[1:] == [9.5, 14.5]


@pytest.mark.parametrize(
    ("size", "before", "after"),
    [
        (10, 4.0, 4.0),  # 20 pixels of the screen with a scale of 0.5: seen well
        (10, 0.5, 16.0),  # 2.5 pixels: a dot that grows to 80
        (1, 1.0, 24.0),  # a pixel is shown with what is around it
        (30, 80.0, 36.0),  # 15 world units: more than the 600 pixels of the canvas
    ],
)
def test_a_row_shows_its_object_neither_as_a_dot_nor_in_part(panel, viewer, qtbot, size, before, after):
    values = np.zeros((40, 50), np.uint8)
    values[5 : 5 + size, 5 : 5 + size] = 7
    layer = viewer.add_labels(values, scale=(0.5, 0.5), name="mine")
    window, _ = table_of(panel, viewer, layer, qtbot)
    camera = camera_of(viewer)
    camera.zoom, layer.visible = before, False
    window.view.selectRow(0)
    assert camera.zoom == pytest.approx(after)
    assert (layer.selected_label, layer.visible) == (7, True)


@pytest.mark.parametrize("gone", ["window", "layer", "window of Qt"])
def test_the_link_ends_with_either_end(panel, viewer, gone, qtbot):
    layer = viewer.add_labels(labels(), name="mine")
    linked = len(layer.events.selected_label.callbacks)
    removed = len(viewer.layers.events.removed.callbacks)
    window, selected = table_of(panel, viewer, layer, qtbot)
    assert len(layer.events.selected_label.callbacks) == linked + 1
    if gone == "window":
        window.close()
    elif gone == "layer":
        viewer.layers.remove(layer)
        layer.selected_label = 2
        assert selected() == []
        window.view.selectRow(1)
    else:
        window.deleteLater()
        qtbot.waitUntil(lambda: len(layer.events.selected_label.callbacks) == linked)
    assert len(viewer.layers.events.removed.callbacks) == removed
    layer.selected_label = 1
    assert len(layer.events.selected_label.callbacks) <= linked


@pytest.mark.parametrize("shape", [(40, 50), (3, 40, 50)])
def test_a_table_of_labels_that_were_replaced_says_so_and_shows_nothing(panel, viewer, qtbot, shape):
    layer = viewer.add_labels(labels(), name="mine")
    window, selected = table_of(panel, viewer, layer, qtbot)
    layer.data = np.ones(shape, np.uint8)
    centre = camera_of(viewer).center
    window.view.selectRow(1)
    assert "Measure again" in window.about.text()
    assert (layer.selected_label, camera_of(viewer).center) == (1, centre)
    layer.selected_label = 1
    assert selected() == ["2"]


def test_the_table_of_a_result_says_when_another_run_has_replaced_it(panel, viewer, engine, qtbot):
    _, layer = run(panel, engine, qtbot)
    window, _ = table_of(panel, viewer, layer, qtbot)
    assert "2 objects" in window.about.text()
    _, again = run(panel, engine, qtbot)
    assert again == layer
    assert "Measure again" in window.about.text()


def test_a_table_stays_linked_while_labels_are_corrected(panel, viewer, qtbot):
    layer = viewer.add_labels(labels(), name="mine")
    window, _ = table_of(panel, viewer, layer, qtbot)
    layer.paint((30, 30), 2)
    layer.undo()
    layer.fill((30, 30), 2)
    window.view.selectRow(1)
    assert "2 objects" in window.about.text()
    assert layer.selected_label == 2


def test_labels_of_the_user_are_measured_with_the_chosen_image(panel, viewer, qtbot):
    viewer.layers["image"].units = ("um", "um")
    layer = viewer.add_labels(labels(), name="mine", scale=(0.5, 0.5))
    viewer.layers.selection.active = layer
    panel.results.measure.click()
    qtbot.waitUntil(lambda: len(panel.results.windows) == 1)
    assert "intensity_mean" in panel.results.windows[0].text().splitlines()[0]


def test_the_selected_labels_are_measured_though_there_is_a_result(panel, viewer, engine, qtbot):
    _, result = run(panel, engine, qtbot)
    ours = np.zeros((40, 50), np.int32)
    ours[5:9, 5:9] = 70_000
    mine = viewer.add_labels(ours, name="mine")
    window, _ = table_of(panel, viewer, mine, qtbot)
    assert window._columns["label"].tolist() == [70_000]
    assert "intensity_mean" in window._columns
    assert panel.message.text() == "Measured “mine”: 1 object, on “image”."
    assert panel.results.command_text() == result.metadata[PROVENANCE]["command"]
    window.close()
    strokes = viewer.add_labels(ours, name="strokes", metadata={"class_names": ("a", "b")})
    window, _ = table_of(panel, viewer, strokes, qtbot)
    assert len(window._columns["label"]) == 2
    assert f"“{result.name}”: 2 objects" in panel.message.text()
    window.close()
    other = viewer.add_labels(ours[:20], name="other")
    table_of(panel, viewer, other, qtbot)
    assert "“other”: 1 object, without brightness: choose the image" in panel.message.text()


def test_an_engine_that_takes_no_job_leaves_no_layer(panel, viewer, engine):
    engine.closed = True
    panel.bar.buttons["plane"].click()
    assert panel.message.text() == "the engine was closed"
    assert [layer.name for layer in viewer.layers] == ["image"]
    assert not panel.control.is_running


def test_what_was_on_its_way_when_a_run_was_cancelled_is_dropped(panel, viewer, engine, qtbot):
    panel.bar.buttons["plane"].click()
    job = engine.jobs[-1]
    job.tell(TileDone(1, 2, (), (0, 20), (0, 50), np.ones((20, 50), np.uint8)))
    job.give(prediction(labels()))  # queued: this thread has not looked yet
    panel.bar.cancel.click()
    qtbot.wait(50)
    assert "Cancelled" in panel.message.text()
    assert [layer.name for layer in viewer.layers] == ["image"]


def test_what_can_be_done_with_a_result_waits_for_one(panel, viewer, engine, qtbot):
    measure, command = panel.results.measure, panel.results.command
    assert not measure.isEnabled()
    assert not command.isEnabled()
    assert "No result yet: run a prediction" in measure.toolTip()
    mine = viewer.add_labels(labels(), name="mine")  # is selected now: it can be measured
    assert measure.isEnabled()
    assert not command.isEnabled()
    viewer.layers.selection.active = viewer.layers["image"]
    assert not measure.isEnabled()
    viewer.layers.remove(mine)
    _, layer = run(panel, engine, qtbot)
    assert measure.isEnabled()
    assert command.isEnabled()
    assert "No result yet" not in command.toolTip()
    viewer.layers.remove(layer)
    assert not measure.isEnabled()
    assert not command.isEnabled()


def test_the_command_and_the_diagnostics_are_copied(panel, viewer, engine, qtbot):
    run(panel, engine, qtbot)
    viewer.layers.selection.active = viewer.layers["image"]
    panel.results.command.click()
    assert QApplication.clipboard().text() == "papernets predict image.tif --model toy"
    panel.results.diagnostics.click()
    assert QApplication.clipboard().text() == "fake engine: fine"


def test_settings_are_remembered(viewer, make_panel):
    first = make_panel(viewer)
    first.form.setValue(PredictSettings(min_size=99, tile=256))
    first.model.choose("classy")
    first.device.setCurrentText("cpu")
    first.shut_down()
    second = make_panel(viewer)
    assert second.form.value() == PredictSettings(min_size=99, tile=256)
    assert second.model.ref().name == "classy"
    assert second.device.currentText() == "cpu"


def test_a_memory_of_another_version_is_forgotten(viewer, make_panel, home):
    (home / "config").mkdir()
    (home / "config" / "unet_panel.json").write_text(
        '{"settings": {"gone": 1}, "model": 7, "device": []}'
    )
    assert make_panel(viewer).form.value() == PredictSettings()


def test_every_control_explains_itself_and_nothing_is_wider_than_a_dock(panel, qtbot):
    panel.show()
    for part in (*panel.bar.buttons.values(), panel.bar.cancel, panel.device, panel.probabilities,
                 panel.closer.tiles, panel.closer.inside.button, panel.closer.inside.combo,
                 panel.image.combo, panel.image.axes, panel.image.channels, panel.model.combo,
                 panel.model.open, panel.results.measure, panel.results.command):  # fmt: skip
        assert part.toolTip(), part
    assert panel.minimumSizeHint().width() < 400


def test_two_viewers_share_one_engine(make_napari_viewer_proxy, make_panel, engine, qtbot):
    panels = []
    for name in ("one", "two"):
        viewer = make_napari_viewer_proxy()
        viewer.add_image(np.random.default_rng(0).random((40, 50)), name=name)
        panels.append((make_panel(viewer), viewer))
        panels[-1][0].bar.buttons["plane"].click()
    first, second = engine.jobs
    second.give(prediction(labels()))
    first.give(prediction(labels()))
    qtbot.waitUntil(lambda: not any(panel.control.is_running for panel, _ in panels))
    assert [v.layers[-1].name for _, v in panels] == ["one toy", "two toy"]


def test_taking_the_panel_away_cancels_its_run(make_napari_viewer_proxy, make_panel, engine):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.random.default_rng(0).random((40, 50)), name="image")
    panel = make_panel(viewer)
    panel.bar.buttons["plane"].click()
    viewer.window.remove_dock_widget(panel)
    assert engine.jobs[-1].cancelled
    assert not panel.control.is_running
    assert [layer.name for layer in viewer.layers] == ["image"]
    engine.jobs[-1].give(prediction(labels()))


def test_closing_the_window_cancels_the_run(make_napari_viewer_proxy, make_panel, engine, qtbot):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.random.default_rng(0).random((40, 50)), name="image")
    panel = make_panel(viewer)
    panel.bar.buttons["plane"].click()
    viewer.close()
    qtbot.waitUntil(lambda: engine.jobs[-1].cancelled)
    engine.jobs[-1].give(prediction(labels()))


def test_a_closed_panel_lets_go_of_the_viewer(viewer, make_panel, engine, qtbot):
    def followed():
        events = viewer.layers.events
        return len(events.inserted.callbacks), len(viewer.layers.selection.events.active.callbacks)

    before = followed()
    panel = make_panel(viewer)
    assert followed() > before
    panel.shut_down()
    assert followed() == before
    qtbot.wait(400)
    assert not engine.started


def test_the_panel_warms_the_engine_up(panel, engine, qtbot):
    qtbot.waitUntil(lambda: engine.started)


def test_the_panel_never_imports_torch():
    code = "import napari_papernets.widgets.unet_panel, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert "torch" not in sys.modules


def test_provenance_is_kept_with_the_layer(panel, engine, qtbot):
    _, layer = run(panel, engine, qtbot)
    assert layer.metadata[PROVENANCE]["device"] == "cpu"
    assert isinstance(engine, FakeEngine)
