"""The ViT panel: what it asks for, and that what comes lies where it belongs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fakes import FakeEngine
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QImage, QWheelEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QGraphicsView,
    QLineEdit,
    QSlider,
)

from napari_papernets.core.checkpoints import CHECKPOINTS
from napari_papernets.core.errors import InputError
from napari_papernets.core.events import Progress, Started
from napari_papernets.core.feature_maps import FeatureMaps, WindowAttention
from napari_papernets.core.model import ModelRef, ModelSpec, class_infos
from napari_papernets.core.results import EmbeddingView, Prediction, ProbeScore, Tuned
from napari_papernets.core.tiles import SizeRule
from napari_papernets.widgets import vit_actions, vit_extras, vit_picker, vit_reader
from napari_papernets.widgets.job_adapter import JobAdapter
from napari_papernets.widgets.outputs import PROVENANCE
from napari_papernets.widgets.theme_colours import theme_colours
from napari_papernets.widgets.vit_clicks import pixel_at
from napari_papernets.widgets.vit_panel import ViTPanel

pytestmark = pytest.mark.gui

PATCH = 8


def vit_ref(name: str = "toy-vit") -> ModelRef:
    options = dict(depth=4, heads=2, dim=16, patch_size=PATCH, image_size=32)
    spec = ModelSpec(name, "vit", options, 3, (), SizeRule("same", PATCH, 32, PATCH), task="features")
    return ModelRef(spec, Path(f"/models/{name}.safetensors"))


def maps(grid=(5, 6), density=1, origin=(0, 0), stack=(), attention=False, summaries=False):
    """Tokens that point elsewhere in every quarter of the image."""
    rng = np.random.default_rng(0)
    fine = grid[0] * density, grid[1] * density
    y, x = np.mgrid[: fine[0], : fine[1]]
    quarter = (y >= fine[0] // 2) * 2 + (x >= fine[1] // 2)
    tokens = np.eye(16, dtype=np.float32)[quarter] + rng.normal(0, 0.01, (*fine, 16))
    count = 1 + grid[0] * grid[1]
    q, k = (rng.normal(size=(2, count, 8)).astype(np.float32) for _ in range(2))
    window = WindowAttention(q, k, (0, grid[0]), (0, grid[1]), ((0, grid[0]), (0, grid[1])), 1)
    return FeatureMaps(
        tokens.astype(np.float32).reshape(*stack, -1, 16), np.zeros((*stack, 16), np.float32), fine,
        PATCH, density, origin, 4, 4, 2, ((window,),) if attention else (),
        np.full((*stack, *grid), 0.1, np.float32) if summaries else None,
        np.arange(8, dtype=np.float32).reshape(4, 2) if summaries else None, {"verb": "features"},
    )  # fmt: skip


@pytest.fixture
def refs(monkeypatch) -> list[ModelRef]:
    found = [vit_ref()]
    monkeypatch.setattr(vit_picker, "list_models", lambda: tuple(found))
    monkeypatch.setattr(vit_reader, "PAUSE", 0)
    return found


@pytest.fixture
def viewer(qapp):
    viewer = ViewerModel()
    image = np.random.default_rng(0).random((40, 48))
    viewer.add_image(image, name="image", scale=(0.5, 0.5), translate=(3, 4))
    return viewer


@pytest.fixture
def panel(viewer, refs, engine, qtbot):
    panel = ViTPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    yield panel
    panel.shut_down()


def read(panel, engine, qtbot, given, extent="plane", follow_up=None):
    """Press the button and let the engine answer; `follow_up` is what it answers for random weights."""
    before = len(engine.jobs)
    panel.bar.buttons[extent].click()
    qtbot.waitUntil(lambda: len(engine.jobs) > before)
    job = engine.jobs[-1]
    with qtbot.waitSignal(panel.shown):
        job.give(given)
        if follow_up is not None:
            qtbot.waitUntil(lambda: len(engine.jobs) > before + 1)
            engine.jobs[-1].give(follow_up)
    return job


def shown(viewer, role, image="image"):
    return viewer.layers[f"{role} of {image}"]


def beside(viewer, role):
    return viewer.layers[f"random {role} beside image"]


def test_a_reading_asks_for_what_is_chosen(panel, engine, qtbot):
    panel.controls.block.setValue(2)
    panel.controls.density.setCurrentIndex(1)
    panel.controls.attention.setChecked(True)
    panel.device.setCurrentText("cpu")
    job = read(panel, engine, qtbot, maps(density=2))
    assert job.verb == "features"
    settings = job.arguments["settings"]
    assert (settings.block, settings.density, settings.attention) == (2, 2, True)
    assert job.arguments["model"].name == "toy-vit"
    assert job.arguments["device"] == "cpu"
    assert job.arguments["region"] is None
    assert job.arguments["planes"] is None
    assert "10×12 tokens of 4 px" in panel.message.text()


@pytest.mark.parametrize(("density", "origin"), [(1, (0, 0)), (2, (0, 0)), (1, (16, 8))])
def test_tokens_overlay_their_pixels(panel, viewer, engine, qtbot, density, origin):
    """The upper left corner of token (i, j) is that of pixel origin + (i, j) · cell, in the world."""
    panel.controls.clusters.setChecked(True)
    given = maps(density=density, origin=origin)
    read(panel, engine, qtbot, given)
    image = viewer.layers["image"]
    for role in ("tokens as colour", "token clusters"):
        layer = shown(viewer, role)
        assert layer.data.shape[:2] == given.grid
        for token in ((0, 0), (3, 2)):
            corner = np.array(layer.data_to_world(np.array(token) - 0.5))
            pixel = np.array(origin) + np.array(token) * given.cell
            np.testing.assert_allclose(corner, image.data_to_world(pixel - 0.5), atol=1e-9)
        assert layer.metadata[PROVENANCE]["verb"] == "features"


def test_stacks_are_read_in_the_slice_in_view_and_followed(refs, engine, qtbot, qapp):
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random((7, 40, 48)), name="image", scale=(2, 0.5, 0.5))
    panel = ViTPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    viewer.dims.set_current_step(0, 4)
    job = read(panel, engine, qtbot, maps(stack=(1,)))
    assert job.arguments["planes"] == ((4,),)
    layer = shown(viewer, "tokens as colour")
    np.testing.assert_allclose(layer.data_to_world((0, -0.5, -0.5))[0], 4 * 2)
    viewer.dims.set_current_step(0, 5)
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert engine.jobs[-1].arguments["planes"] == ((5,),)
    panel.controls.follow.setChecked(False)
    engine.jobs[-1].give(maps(stack=(1,)))
    viewer.dims.set_current_step(0, 1)
    qtbot.wait(400)
    assert len(engine.jobs) == 2
    panel.shut_down()


def test_the_slice_in_view_is_what_was_asked_for_last(refs, engine, qtbot):
    """There and back during a reading: of the slice between, nothing is shown."""
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random((7, 40, 48)), name="image")
    panel = ViTPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    viewer.dims.set_current_step(0, 5)
    read(panel, engine, qtbot, maps(stack=(1,)))
    for count, z in ((2, 6), (3, 5)):
        viewer.dims.set_current_step(0, z)
        qtbot.waitUntil(lambda n=count: len(engine.jobs) == n)
        assert engine.jobs[-1].arguments["planes"] == ((z,),)
    assert engine.jobs[1].cancelled
    with qtbot.waitSignal(panel.shown):
        engine.jobs[2].give(maps(stack=(1,)))
    assert shown(viewer, "tokens as colour").translate[0] == 5
    panel.shut_down()


def test_another_image_is_read_and_the_pictures_of_the_first_come_back_with_it(
    panel, viewer, engine, qtbot
):
    panel.controls.similarity.setChecked(True)
    read(panel, engine, qtbot, maps())
    panel.clicks.clicked.emit((3.1, 4.1), False)
    qtbot.waitUntil(lambda: "clicks on image" in viewer.layers)
    shown(viewer, "similarity").visible = False  # by the person
    shown(viewer, "tokens as colour").visible = True
    viewer.add_image(np.zeros((16, 24)), name="other")
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert engine.jobs[1].arguments["image"].name == "other"
    assert not shown(viewer, "tokens as colour").visible
    assert "clicks on image" not in viewer.layers
    panel.clicks.clicked.emit((1, 1), False)  # it has no tokens yet
    assert "Read the plane first" in panel.message.text()
    with qtbot.waitSignal(panel.shown):
        engine.jobs[1].give(maps(grid=(2, 3)))
    assert shown(viewer, "tokens as colour", "other").visible
    panel.image.combo.setCurrentIndex(0)
    qtbot.waitUntil(lambda: len(engine.jobs) == 3)
    with qtbot.waitSignal(panel.shown):
        engine.jobs[2].give(maps())
    assert shown(viewer, "tokens as colour").visible
    assert not shown(viewer, "similarity").visible
    assert not shown(viewer, "tokens as colour", "other").visible


def test_controls_do_not_complain_after_a_reading_without_an_image(refs, engine, qtbot, qapp):
    viewer = ViewerModel()
    panel = ViTPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    of_strokes = panel.strokes.score, panel.strokes.learn
    needy = (*panel.bar.buttons.values(), *of_strokes, panel.threshold.button)
    for button in needy:
        assert not button.isEnabled()
        assert button.toolTip().startswith("<p>Open an image first")
    assert panel.extras.embedding.isEnabled()
    panel.read("plane")
    assert "image" in panel.message.text()
    complaints = []
    panel.failed.connect(complaints.append)
    panel.controls.attention.click()
    viewer.add_image(np.zeros((40, 48)))  # nobody asked to read this one
    assert all(button.isEnabled() for button in needy)
    qtbot.waitUntil(lambda: not panel.message.text())
    qtbot.wait(20)
    assert not complaints
    assert not engine.jobs
    panel.shut_down()


def test_what_a_reading_waits_for_is_said_until_it_begins(panel, engine, qtbot):
    panel.bar.buttons["plane"].click()
    qtbot.waitUntil(lambda: "Waiting for the engine" in panel.bar.status.text())
    qtbot.waitUntil(lambda: not panel.bar.status.isHidden())
    engine.jobs[-1].tell(Started(3, "block"))
    qtbot.waitUntil(panel.bar.status.isHidden)


def test_wrong_axes_put_the_pictures_away_and_read_nothing(panel, viewer, engine, qtbot):
    read(panel, engine, qtbot, maps())
    qtbot.keyClicks(panel.image.axes, "Q")
    qtbot.waitUntil(lambda: not shown(viewer, "tokens as colour").visible)
    qtbot.wait(50)
    assert len(engine.jobs) == 1
    qtbot.keyClick(panel.image.axes, Qt.Key.Key_Backspace)
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)


def test_other_channels_are_read_and_the_places_stay(refs, engine, qtbot):
    viewer = ViewerModel()
    image = np.random.default_rng(0).random((4, 40, 48))
    viewer.add_image(image, name="image", metadata=dict(axes="CYX"))
    panel = ViTPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    panel.image.channels.setValue((0, 1, 2))
    panel.controls.similarity.setChecked(True)
    read(panel, engine, qtbot, maps())
    panel.clicks.clicked.emit((20, 20), False)
    qtbot.waitUntil(lambda: "clicks on image" in viewer.layers)
    panel.image.channels.setValue((1, 2, 3))
    panel.image.channels.inner.line.editingFinished.emit()
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert engine.jobs[1].arguments["settings"].channels == (1, 2, 3)
    assert not shown(viewer, "similarity").visible
    with qtbot.waitSignal(panel.shown):
        engine.jobs[1].give(maps())
    assert shown(viewer, "similarity").visible
    assert "clicks on image" in viewer.layers
    panel.shut_down()


def test_clicks_show_similarity_and_attention(panel, viewer, engine, qtbot):
    panel.controls.similarity.setChecked(True)
    panel.controls.attention.setChecked(True)
    given = maps(attention=True)
    read(panel, engine, qtbot, given)
    np.testing.assert_allclose(  # before any click: of the class token
        shown(viewer, "attention").data, given.attention().mean(0), atol=1e-6
    )
    panel.clicks.clicked.emit((3 + 0.5 * 36, 4 + 0.5 * 43), False)  # the last quarter
    np.testing.assert_allclose(shown(viewer, "similarity").data, given.similarity(4, 5), atol=1e-6)
    expected = given.attention(4, 5).mean(0)
    np.testing.assert_allclose(shown(viewer, "attention").data, expected, atol=1e-6)
    panel.controls.head.setCurrentIndex(2)
    np.testing.assert_allclose(shown(viewer, "attention").data, given.attention(4, 5, head=1), atol=1e-6)
    panel.clicks.clicked.emit((3.1, 4.1), True)
    expected = given.similarity_to([(4, 5)], [(0, 0)])
    np.testing.assert_allclose(shown(viewer, "similarity").data, expected, atol=1e-6)
    qtbot.waitUntil(lambda: "clicks on image" in viewer.layers)
    assert len(viewer.layers["clicks on image"].data) == 2
    assert [str(s) for s in viewer.layers["clicks on image"].symbol] == ["cross", "hbar"]
    assert "heads" in panel.extras.pictures
    panel.controls.clear.click()
    qtbot.waitUntil(lambda: "clicks on image" not in viewer.layers)
    panel.clicks.clicked.emit((0.0, 0.0), False)  # beside the image
    assert "click on what was read" in panel.message.text()
    panel.clicks.clicked.emit((3.1, 4.1), False)
    assert not panel.message.is_error


def test_without_places_no_similarity_is_shown(panel, viewer, engine, qtbot):
    """It would be that to a place that was dropped."""
    panel.controls.similarity.setChecked(True)
    panel.controls.control.setChecked(True)
    read(panel, engine, qtbot, maps(), follow_up=maps())
    panel.clicks.clicked.emit((3.1, 4.1), False)
    pictures = [shown(viewer, "similarity"), beside(viewer, "similarity")]
    assert all(layer.visible for layer in pictures)
    panel.controls.clear.click()
    assert not any(layer.visible for layer in pictures)
    panel.clicks.clicked.emit((3.1, 4.1), False)
    assert all(layer.visible for layer in pictures)
    pictures[0].visible = False  # by the person
    panel.clicks.clicked.emit((10.1, 4.1), False)
    assert not pictures[0].visible


def test_pictures_say_whose_they_are(panel, viewer, refs, engine, qtbot):
    """Those of random weights by the names of their layers, those beside the image by their captions."""
    panel.controls.attention.setChecked(True)
    panel.controls.rollout.setChecked(True)
    read(panel, engine, qtbot, maps(attention=True, summaries=True))
    assert panel.extras.captions["heads"].text() == "toy-vit · image"
    assert panel.extras.captions["distances"].text() == "toy-vit · image"
    panel.model.combo.setCurrentIndex(panel.model.combo.count() - 1)
    assert panel.model.is_random
    read(panel, engine, qtbot, maps(attention=True, summaries=True))
    panel.clicks.clicked.emit((3.1, 4.1), False)
    panel.threshold.button.click()
    for role in ("tokens as colour", "attention", "attention rollout", "similar places"):
        assert f"{role} of image" not in viewer.layers
        assert f"random {role} of image" in viewer.layers
    assert panel.extras.captions["heads"].text() == "random weights · image"
    panel.model.combo.setCurrentIndex(0)
    read(panel, engine, qtbot, maps(attention=True, summaries=True))
    assert "tokens as colour of image" in viewer.layers
    assert "random tokens as colour of image" not in viewer.layers


def test_clicked_places_are_called_by_the_name_of_the_image(panel, viewer, engine, qtbot):
    read(panel, engine, qtbot, maps())
    panel.clicks.clicked.emit((3.1, 4.1), False)
    qtbot.waitUntil(lambda: "clicks on image" in viewer.layers)
    viewer.layers["image"].name = "renamed"
    read(panel, engine, qtbot, maps())
    qtbot.waitUntil(lambda: "clicks on renamed" in viewer.layers)
    assert "clicks on image" not in viewer.layers


def test_a_click_is_of_the_slice_that_was_read(refs, engine, qtbot, qapp):
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random((7, 40, 48)), name="image", scale=(2, 0.5, 0.5))
    panel = ViTPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    viewer.dims.set_current_step(0, 3)
    read(panel, engine, qtbot, maps(stack=(1,)))
    panel.controls.follow.setChecked(False)
    viewer.dims.set_current_step(0, 4)
    panel.clicks.clicked.emit((8.0, 3.1, 4.1), False)
    assert "a slice that was not read" in panel.message.text()
    viewer.dims.set_current_step(0, 3)
    viewer.dims.ndisplay = 3
    panel.clicks.clicked.emit((6.0, 3.1, 4.1), False)
    assert "switch to 2-D" in panel.message.text()
    viewer.dims.ndisplay = 2
    panel.clicks.clicked.emit((6.0, 3.1, 4.1), False)
    qtbot.waitUntil(lambda: "clicks on image" in viewer.layers)
    assert len(viewer.layers["clicks on image"].data) == 1
    viewer.dims.set_current_step(0, 5)
    before = len(engine.jobs)
    panel.controls.follow.setChecked(True)
    qtbot.waitUntil(lambda: len(engine.jobs) > before)
    assert engine.jobs[-1].arguments["planes"] == ((5,),)
    panel.shut_down()


def test_the_message_of_a_reading_goes_with_its_image(panel, viewer, engine, qtbot):
    read(panel, engine, qtbot, maps())
    assert "tokens of 8 px" in panel.message.text()
    viewer.layers.remove("image")
    qtbot.waitUntil(lambda: not panel.message.text())


def test_an_image_beside_the_view_is_not_read(panel, viewer, engine):
    viewer.layers["image"].corner_pixels = np.array([[0, 0], [39, 0]])  # it lies to the right
    panel.bar.buttons["view"].click()
    assert "nothing of image in view" in panel.message.text()
    assert not engine.jobs


def test_what_is_unticked_is_hidden_and_comes_back(panel, viewer, engine, qtbot):
    panel.controls.clusters.setChecked(True)
    read(panel, engine, qtbot, maps())
    panel.controls.control.setChecked(True)  # reads again, and the control after it
    for number in (1, 2):
        qtbot.waitUntil(lambda number=number: len(engine.jobs) > number)
        engine.jobs[number].give(maps())
    qtbot.waitUntil(lambda: "random token clusters beside image" in viewer.layers)
    learnt, random = (look(viewer, "token clusters") for look in (shown, beside))
    panel.controls.clusters.setChecked(False)
    assert not learnt.visible
    assert not random.visible
    assert shown(viewer, "tokens as colour").visible
    panel.controls.clusters.setChecked(True)
    assert learnt.visible
    assert random.visible
    panel.controls.control.setChecked(False)
    assert learnt.visible
    assert not random.visible


def seen(viewer):
    return {str(layer.name) for layer in viewer.layers if layer.visible and layer.name != "image"}


def test_of_all_pictures_that_which_was_ticked_last_is_seen(panel, viewer, engine, qtbot):
    controls = panel.controls
    controls.rollout.setChecked(True)
    controls.attention.setChecked(True)
    controls.clusters.setChecked(True)
    controls.rollout.setChecked(False)
    controls.rollout.setChecked(True)
    given = maps(attention=True, summaries=True)
    read(panel, engine, qtbot, given)
    assert {f"{role} of image" for role in ("tokens as colour", "token clusters", "attention")} < {
        str(layer.name) for layer in viewer.layers
    }
    assert seen(viewer) == {"attention rollout of image"}
    controls.similarity.setChecked(True)  # there is none yet
    assert seen(viewer) == {"attention rollout of image"}
    panel.clicks.clicked.emit((3.1, 4.1), False)
    qtbot.waitUntil(lambda: "clicks on image" in viewer.layers)
    assert seen(viewer) == {"similarity of image", "clicks on image"}
    panel.threshold.button.click()
    assert seen(viewer) == {"similar places of image", "clicks on image"}
    panel.clicks.clicked.emit((3.1, 5.1), False)  # these bring up to date alone
    read(panel, engine, qtbot, given)
    assert seen(viewer) == {"similar places of image", "clicks on image"}
    controls.colours.setChecked(False)
    controls.colours.setChecked(True)
    assert seen(viewer) == {"tokens as colour of image", "clicks on image"}
    controls.colours.setChecked(False)
    assert seen(viewer) == {"similarity of image", "clicks on image"}


def test_another_image_shows_the_picture_that_was_asked_for_last(panel, viewer, engine, qtbot):
    panel.controls.clusters.setChecked(True)
    read(panel, engine, qtbot, maps())
    viewer.add_image(np.zeros((16, 24)), name="other")
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    with qtbot.waitSignal(panel.shown):
        engine.jobs[1].give(maps(grid=(2, 3)))
    viewer.layers["other"].visible = False
    assert seen(viewer) == {"token clusters of other"}


def test_random_weights_stand_beside_the_picture_that_is_seen(panel, viewer, engine, qtbot):
    panel.controls.control.setChecked(True)
    panel.controls.clusters.setChecked(True)
    read(panel, engine, qtbot, maps(), follow_up=maps())
    assert seen(viewer) == {"token clusters of image", "random token clusters beside image"}
    panel.controls.clusters.setChecked(False)
    assert seen(viewer) == {"tokens as colour of image", "random tokens as colour beside image"}


def test_what_was_unticked_and_deleted_is_not_drawn_again(panel, viewer, engine, qtbot):
    for box in (panel.controls.rollout, panel.controls.attention):
        box.setChecked(True)
    read(panel, engine, qtbot, maps(attention=True, summaries=True))
    for role, box in (("attention rollout", panel.controls.rollout),
                      ("attention", panel.controls.attention)):  # fmt: skip
        box.setChecked(False)
        viewer.layers.remove(f"{role} of image")
    panel.controls.clusters.setChecked(True)  # draws all that is wanted
    assert {str(la.name) for la in viewer.layers} == {
        "image", "tokens as colour of image", "token clusters of image",
    }  # fmt: skip


def test_a_click_needs_tokens(panel, engine):
    panel.clicks.clicked.emit((3.1, 4.1), False)
    assert "Read the plane first" in panel.message.text()


def test_similarity_becomes_labels_of_pixels(panel, viewer, engine, qtbot):
    read(panel, engine, qtbot, maps(grid=(5, 6)))
    panel.threshold.button.click()
    assert panel.message.is_error  # nothing was clicked
    panel.clicks.clicked.emit((3.1, 4.1), False)
    panel.threshold.value.setValue(0.8)
    panel.threshold.button.click()
    assert not panel.message.is_error
    assert panel.message.text() == "Labelled in “similar places of image”: 20.0% of the plane."
    labels = shown(viewer, "similar places")
    expected = np.zeros((40, 48))
    expected[:16, :24] = 1  # two of five rows and three of six columns of 8 pixels
    np.testing.assert_array_equal(labels.data, expected)
    np.testing.assert_array_equal(labels.scale, (0.5, 0.5))
    assert labels.metadata[PROVENANCE]["threshold"] == 0.8
    panel.clicks.clicked.emit((20.1, 24.1), True)
    panel.threshold.value.setValue(1.0)
    panel.threshold.button.click()
    assert "nothing: lower the threshold" in panel.message.text()


def test_channels_that_do_not_fit_are_told_in_the_words_of_the_panel(refs, engine, qtbot):
    viewer = ViewerModel()
    viewer.add_image(np.zeros((7, 40, 48)), name="many")
    panel = ViTPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    panel.image.axes.setText("CYX")
    panel.image.axes.textEdited.emit("CYX")
    panel.bar.buttons["plane"].click()
    assert "Under Channels, untick auto and type which, such as 1" in panel.message.text()
    panel.shut_down()


def test_random_weights_are_shown_beside(panel, viewer, engine, qtbot):
    panel.controls.control.setChecked(True)
    panel.controls.rollout.setChecked(True)
    panel.bar.buttons["plane"].click()
    qtbot.waitUntil(lambda: len(engine.jobs) == 1)
    engine.jobs[0].give(maps(summaries=True))
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert [j.arguments["random_weights"] for j in engine.jobs] == [False, True]
    with qtbot.waitSignal(panel.shown):
        engine.jobs[1].give(maps(summaries=True))
    for role in ("tokens as colour", "attention rollout"):
        assert shown(viewer, role).data.shape[:2] == (5, 6)
        control = beside(viewer, role)
        assert control.data.shape[:2] == (5, 6)
        assert control.extent.world[0][1] > shown(viewer, role).extent.world[1][1]  # to the right of it
    assert panel.extras.distances is not None
    assert set(panel.extras.distances.points) == {True, False}
    key = panel.extras.distances.plot.titleLabel.text
    assert re.findall("color: (#[0-9a-fA-F]+).>([●×])", key) == [
        (theme_colours(panel).first, "●"), (theme_colours(panel).second, "×"),
    ]  # fmt: skip


def test_a_network_that_has_learnt_nothing_needs_no_random_weights_beside(panel, viewer, engine, qtbot):
    panel.controls.control.setChecked(True)
    read(panel, engine, qtbot, maps(), follow_up=maps())
    panel.model.combo.setCurrentIndex(panel.model.combo.count() - 1)
    assert not panel.controls.control.isEnabled()
    assert "own weights are random" in panel.controls.control.toolTip()
    qtbot.waitUntil(lambda: len(engine.jobs) == 3)
    with qtbot.waitSignal(panel.shown):
        engine.jobs[2].give(maps())
    assert shown(viewer, "random tokens as colour").visible
    assert not beside(viewer, "tokens as colour").visible
    panel.model.combo.setCurrentIndex(0)
    qtbot.waitUntil(lambda: len(engine.jobs) == 4)
    engine.jobs[3].give(maps())
    qtbot.waitUntil(lambda: len(engine.jobs) == 5)
    with qtbot.waitSignal(panel.shown):
        engine.jobs[4].give(maps())
    assert beside(viewer, "tokens as colour").visible


def test_the_command_of_clusters_makes_clusters(panel, viewer, engine, qtbot):
    given = replace(maps(), provenance=dict(command="papernets features image.tif --model toy-vit"))
    panel.controls.clusters.setChecked(True)
    panel.controls.count.setValue(3)
    for _ in range(2):
        read(panel, engine, qtbot, given)
    command = shown(viewer, "token clusters").metadata[PROVENANCE]["command"]
    assert command == "papernets features image.tif --model toy-vit --clusters 3"
    assert "--clusters" not in shown(viewer, "tokens as colour").metadata[PROVENANCE]["command"]


def test_a_shared_basis_keeps_the_meaning_of_colours(panel, viewer, engine, qtbot):
    panel.controls.shared.setChecked(True)
    first = maps()
    read(panel, engine, qtbot, first)
    basis = first.fit_basis()
    other = maps(grid=(3, 4))
    read(panel, engine, qtbot, other)
    expected = basis.colours(other.tokens).reshape(3, 4, 3)
    np.testing.assert_allclose(shown(viewer, "tokens as colour").data, expected, atol=1e-6)
    assert "shared basis" in panel.message.text()


def test_a_newer_wish_drops_the_older(panel, engine, qtbot):
    panel.bar.buttons["plane"].click()
    qtbot.waitUntil(lambda: len(engine.jobs) == 1)
    panel.controls.block.setValue(1)
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert engine.jobs[0].cancelled
    assert engine.jobs[1].arguments["settings"].block == 1


def test_progress_cancel_and_failure(panel, engine, qtbot):
    panel.show()
    panel.bar.buttons["plane"].click()
    qtbot.waitUntil(lambda: len(engine.jobs) == 1)
    engine.jobs[0].tell(Started(4, "tile"))
    engine.jobs[0].tell(Progress(1, 4))
    qtbot.waitUntil(lambda: panel.bar.bar.value() == 1)
    assert panel.bar.cancel.isVisible()
    panel.bar.cancel.click()
    assert engine.jobs[0].cancelled
    assert not panel.bar.cancel.isVisible()
    panel.bar.buttons["plane"].click()
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    with qtbot.waitSignal(panel.failed):
        engine.jobs[1].fail(InputError("block", 9, "there are fewer"))
    assert "there are fewer" in panel.message.text()
    qtbot.waitUntil(lambda: not panel.source.findChildren(JobAdapter))


def test_the_embedding_is_shown_and_saved(panel, engine, qtbot, tmp_path):
    panel.extras.embedding.click()
    assert engine.jobs[-1].verb == "embedding"
    rng = np.random.default_rng(0)
    filters = rng.normal(size=(9, 8, 8, 3)).astype(np.float32)
    positions = rng.uniform(-1, 1, (4, 4, 4, 4)).astype(np.float32)
    engine.jobs[-1].give(
        EmbeddingView(filters, np.full(9, 0.1, np.float32), positions, dict(random_weights=False))
    )
    qtbot.waitUntil(lambda: "positions" in panel.extras.pictures)
    assert "90%" in panel.message.text()
    assert panel.extras.captions["filters"].text() == "toy-vit"
    assert panel.extras.pictures["positions"].shape == (4 * 5 - 1, 4 * 5 - 1, 3)
    panel.extras.save("filters", tmp_path / "filters.png")
    assert (tmp_path / "filters.png").stat().st_size > 100
    width = panel.extras.pictures["positions"].shape[1]
    panel.controls.control.setChecked(True)
    panel.extras.embedding.click()
    for count, random in ((2, False), (3, True)):
        qtbot.waitUntil(lambda n=count: len(engine.jobs) == n)
        assert engine.jobs[-1].arguments.get("random_weights", False) is random
        engine.jobs[-1].give(
            EmbeddingView(filters, np.full(9, 0.1, np.float32), positions, dict(random_weights=random))
        )
    qtbot.waitUntil(lambda: panel.extras.pictures["positions"].shape[1] > 2 * width)
    assert panel.extras.captions["filters"].text() == "right: random weights, left: toy-vit"


def test_a_picture_that_cannot_be_written_leaves_the_one_that_was_there(panel, tmp_path, monkeypatch):
    class Half(QImage):
        def save(self, path):
            Path(path).write_bytes(b"half")
            return False

    monkeypatch.setattr(vit_extras, "to_image", lambda _: Half(1, 1, QImage.Format.Format_RGB888))
    panel.extras.show_picture("heads", np.zeros((4, 4, 3), np.uint8))
    kept = tmp_path / "heads.png"
    kept.write_bytes(b"before")
    panel.extras.save("heads", kept)
    assert kept.read_bytes() == b"before"
    assert list(tmp_path.glob("*heads*")) == [kept]
    assert "could not be written" in panel.message.text()


def test_a_score_stands_beside_that_of_random_weights(panel, viewer, engine, qtbot):
    panel.strokes.score.click()
    assert "no Labels layer" in panel.message.text()
    strokes = np.zeros((40, 48), np.uint8)
    strokes[:3, :9], strokes[9:12, :9] = 1, 2
    viewer.add_labels(strokes, name="strokes")
    panel.strokes.score.click()
    assert engine.jobs[-1].verb == "probe"
    np.testing.assert_array_equal(engine.jobs[-1].arguments["strokes"], strokes)
    engine.jobs[-1].give(ProbeScore(0.9, 0.8, (2, 2), 2, False))
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert engine.jobs[-1].arguments["random_weights"]
    engine.jobs[-1].give(ProbeScore(0.5, 0.4, (2, 2), 2, True))
    qtbot.waitUntil(lambda: "0.500" in panel.strokes.table.text())
    assert "0.900" in panel.strokes.table.text()
    assert "toy-vit · block 4 · strokes: mean IoU" in panel.strokes.table.text()


def test_random_weights_are_not_called_learnt(panel, viewer, engine, qtbot):
    panel.model.combo.setCurrentIndex(panel.model.combo.count() - 1)
    viewer.add_labels(np.ones((40, 48), np.uint8), name="strokes")
    panel.strokes.score.click()
    engine.jobs[-1].give(ProbeScore(0.9, 0.8, (2, 2), 2, False))
    qtbot.waitUntil(lambda: "0.900" in panel.strokes.table.text())
    assert "random weights" in panel.strokes.table.text()
    assert "learnt" not in panel.strokes.table.text()
    assert len(engine.jobs) == 1


@pytest.mark.parametrize("chosen", ["second", "Random weights (nothing learnt)"])
def test_the_network_is_remembered(viewer, refs, engine, qtbot, chosen):
    refs.append(vit_ref("second"))
    for wanted in (None, chosen):
        panel = ViTPanel(viewer, engine=engine)
        qtbot.addWidget(panel)
        if wanted is None:
            assert panel.model.combo.currentText() == "toy-vit"
            panel.model.combo.setCurrentText(chosen)
        assert panel.model.combo.currentText() == chosen
        panel.shut_down()


@pytest.mark.parametrize("change", ["network", "block", "resolution", "layer", "paint", "remove"])
def test_a_score_of_something_else_is_taken_away(panel, viewer, refs, engine, qtbot, change):
    other = viewer.add_labels(np.zeros((40, 48), int), name="other")
    strokes = viewer.add_labels(np.zeros((40, 48), int), name="strokes")
    assert panel.strokes.combo.currentText() == "other"
    panel.strokes.combo.setCurrentText("strokes")
    panel.strokes.score.click()
    engine.jobs[-1].give(ProbeScore(0.9, 0.8, (2, 2), 2, False))
    qtbot.waitUntil(lambda: "0.900" in panel.strokes.table.text())
    viewer.add_labels(np.zeros((40, 48), int), name="a third")
    other.name = "renamed"
    assert panel.strokes.table.text()  # nothing of it has changed
    {
        "network": lambda: panel.model.combo.setCurrentIndex(panel.model.combo.count() - 1),
        "block": lambda: panel.controls.block.setValue(2),
        "resolution": lambda: panel.controls.density.setCurrentIndex(1),
        "layer": lambda: panel.strokes.combo.setCurrentText("renamed"),
        "paint": lambda: strokes.paint((3, 3), 1),
        "remove": lambda: viewer.layers.remove(strokes),
    }[change]()
    assert not panel.strokes.table.text()


def test_the_name_of_the_strokes_is_followed(panel, viewer):
    labels = viewer.add_labels(np.zeros((40, 48), int), name="strokes")
    labels.name = "mine"
    assert panel.strokes.combo.currentText() == "mine"


def test_strokes_become_labels_through_training_and_prediction(panel, viewer, refs, engine, qtbot):
    viewer.add_labels(np.ones((40, 48), np.uint8), name="strokes")
    panel.strokes.learn.click()
    job = engine.jobs[-1]
    assert job.verb == "finetune"
    assert (job.arguments["settings"].steps, job.arguments["settings"].train) == (0, "head")
    spec = ModelSpec("x", "vit_segmenter", {}, 3, class_infos(["a", "b"]), refs[0].spec.size_rule)
    job.give(Tuned(ModelRef(spec, Path("/models/x.safetensors")), (), {}))
    qtbot.waitUntil(lambda: engine.jobs[-1].verb == "predict")
    engine.jobs[-1].give(Prediction(np.full((40, 48), 2, np.uint8), None, {"verb": "predict"}))
    qtbot.waitUntil(lambda: "labels from strokes of image" in viewer.layers)
    assert (shown(viewer, "labels from strokes").data == 2).all()


def test_labels_from_strokes_keep_the_models_of_the_times_before(
    panel, viewer, engine, monkeypatch, tmp_path, qtbot
):
    monkeypatch.setattr(vit_actions, "user_folder", lambda: tmp_path)
    viewer.add_labels(np.ones((40, 48), np.uint8), name="strokes")
    for name in ("ViT on strokes", "ViT on strokes-2"):
        panel.strokes.learn.click()
        assert engine.jobs[-1].arguments["name"] == name
        engine.jobs[-1].give(Tuned(vit_ref(name), (), {}))
        qtbot.waitUntil(lambda: engine.jobs[-1].verb == "predict")
        engine.jobs[-1].give(Prediction(np.ones((40, 48), np.uint8), None, {}))
        qtbot.waitUntil(lambda name=name: f"Kept as model {name!r}" in panel.message.text())
        (tmp_path / f"{name}.safetensors").touch()


def test_weights_are_downloaded_opened_and_chosen(panel, refs, engine, qtbot):
    panel.model.downloadRequested.emit("dinov2-small")
    assert (engine.jobs[-1].verb, engine.jobs[-1].arguments) == ("download", {"name": "dinov2-small"})
    panel.show()
    engine.jobs[-1].tell(Started(90_000_000, "byte"))
    engine.jobs[-1].tell(Progress(45_000_000, 90_000_000))
    qtbot.waitUntil(lambda: abs(panel.bar.bar.value() / (panel.bar.bar.maximum() or 1) - 0.5) < 0.01)
    refs.append(vit_ref("dinov2-small"))
    engine.jobs[-1].give(refs[-1])
    qtbot.waitUntil(lambda: panel.model.model() == refs[-1])
    panel.model.openRequested.emit(Path("/tmp/mine.pth"))
    assert engine.jobs[-1].arguments == {"path": Path("/tmp/mine.pth")}
    mine = vit_ref("mine")
    engine.jobs[-1].give(mine)
    qtbot.waitUntil(lambda: panel.model.model() == mine)


def test_a_download_is_not_dropped_by_another_button(panel, viewer, engine, qtbot):
    viewer.add_labels(np.ones((40, 48), np.uint8), name="strokes")
    starters = (
        panel.model.download, panel.model.open, panel.extras.embedding, panel.strokes.score,
        panel.strokes.learn,
    )  # fmt: skip
    panel.model.downloadRequested.emit("dinov2-small")
    assert not any(button.isEnabled() for button in starters)
    for button in starters[2:]:  # the others open a dialog
        button.click()
    assert [job.verb for job in engine.jobs] == ["download"]
    assert not engine.jobs[0].cancelled
    engine.jobs[0].fail(InputError("download", "no internet", "try again"))
    qtbot.waitUntil(lambda: all(button.isEnabled() for button in starters))
    panel.strokes.score.click()
    engine.jobs[1].give(ProbeScore(0.9, 0.8, (2, 2), 2, False))
    qtbot.waitUntil(lambda: len(engine.jobs) == 3)
    assert not panel.strokes.learn.isEnabled()  # the control is still to come


def test_every_public_checkpoint_is_offered_with_its_terms(panel, refs):
    refs.append(vit_ref(CHECKPOINTS[0].name))
    panel.model.refresh()
    panel.model._ask_which()
    actions = panel.model.menu.actions()
    panel.model.menu.hide()
    assert len(actions) == len(CHECKPOINTS)
    assert not actions[0].isEnabled()  # it is there already
    for action, checkpoint in zip(actions, CHECKPOINTS, strict=True):
        assert checkpoint.licence in action.toolTip()


def test_without_weights_the_panel_says_that_nothing_was_learnt(panel, refs, engine, qtbot):
    refs.clear()
    panel.model.refresh()
    assert panel.model.model() == "random-small"
    assert "learnt nothing" in panel.model.about.text()
    job = read(panel, engine, qtbot, maps())
    assert job.arguments["model"] == "random-small"
    assert "nothing learnt" in panel.message.text()
    panel._viewer.add_labels(np.ones((40, 48), np.uint8), name="strokes")
    panel.strokes.learn.click()
    assert "download or open weights" in panel.message.text()


def test_a_pixel_of_a_click_counts_from_its_edge(viewer):
    layer = viewer.layers["image"]
    world = layer.data_to_world((7, 9))  # the middle of a pixel
    assert pixel_at(layer, world, "YX") == (7.5, 9.5)
    assert pixel_at(layer, (99, *world), "YX") == (7.5, 9.5)


def test_while_places_are_clicked_no_layer_is_painted_on(panel, viewer):
    strokes, more = (viewer.add_labels(np.zeros((40, 48), int), name=n) for n in ("strokes", "more"))
    strokes.mode, more.mode = "paint", "fill"
    viewer.layers.selection.active = strokes
    panel.controls.click.setChecked(True)
    assert strokes.mode == "pan_zoom"
    viewer.layers.selection.active = more
    assert more.mode == "pan_zoom"
    more.mode = "erase"  # chosen meanwhile: this one stays
    panel.controls.click.setChecked(False)
    assert (strokes.mode, more.mode) == ("paint", "erase")
    viewer.layers.selection.active = strokes
    assert strokes.mode == "paint"


def test_a_click_is_either_a_place_or_a_dab(panel, viewer, engine, qtbot):
    read(panel, engine, qtbot, maps())
    strokes = viewer.add_labels(np.zeros((40, 48), int), name="strokes")
    panel.controls.click.setChecked(True)
    event = SimpleNamespace(pos=(5, 5), position=(3.1, 4.1), modifiers=(), type="mouse_release")
    places = []
    panel.clicks.clicked.connect(lambda *click: places.append(click))
    for tool, count in (("pan_zoom", 1), ("paint", 1)):
        strokes.mode = tool
        list(viewer.mouse_drag_callbacks[-1](viewer, event))
        assert len(places) == count


def test_the_panel_leaves_nothing_behind(viewer, refs, qtbot):
    engine = FakeEngine()
    panel = ViTPanel(viewer, engine=engine)
    before = list(viewer.mouse_drag_callbacks)
    panel.controls.click.setChecked(True)
    assert len(viewer.mouse_drag_callbacks) == len(before) + 1
    panel.shut_down()
    assert list(viewer.mouse_drag_callbacks) == before
    panel.deleteLater()


def test_a_closed_panel_sleeps(refs, engine, qtbot):
    """No slice and no layer wakes it, and the engine is not started again."""
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random((7, 40, 48)), name="image")
    before = len(viewer.layers.events.inserted.callbacks)
    panel = ViTPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    assert len(viewer.layers.events.inserted.callbacks) > before
    read(panel, engine, qtbot, maps(stack=(1,)))
    panel.shut_down()
    engine.started = False
    assert len(viewer.layers.events.inserted.callbacks) == before
    viewer.dims.set_current_step(0, 2)
    viewer.add_image(np.zeros((16, 24)), name="other")
    qtbot.wait(500)
    assert len(engine.jobs) == 1
    assert not engine.started
    panel.shut_down()  # the dock and the window may both ask for it


def test_a_destroyed_panel_lets_go_of_the_viewer_and_drops_what_runs(viewer, refs, engine, qtbot):
    events = viewer.layers.events.inserted, viewer.dims.events.current_step
    before = [len(event.callbacks) for event in events]
    panel = ViTPanel(viewer, engine=engine)
    panel.read("plane")
    panel.model.downloadRequested.emit("dinov2-small")
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    with qtbot.waitSignal(panel.destroyed):
        panel.deleteLater()
    assert [len(event.callbacks) for event in events] == before
    assert all(job.cancelled for job in engine.jobs)


def test_every_control_says_what_it_is_and_what_it_is_for(panel, qtbot):
    panel.extras.show_distances(maps(summaries=True), "toy-vit", False)
    kinds = QAbstractButton, QComboBox, QAbstractSpinBox, QSlider, QLineEdit, QGraphicsView
    found = [w for kind in kinds for w in panel.findChildren(kind)]
    for control in found:
        if isinstance(control.parent(), QAbstractSpinBox):
            continue  # the line of a spin box, which speaks for it
        name = control.accessibleName() or getattr(control, "text", str)()
        assert name, control
        assert any(w.toolTip() for w in with_parents(control, panel)), name
    saves = [b for b in found if getattr(b, "text", str)() == "Save…"]
    assert sorted(b.accessibleName() for b in saves) == [
        "Save All heads", "Save Distances", "Save Filters", "Save Positions",
    ]  # fmt: skip


def with_parents(widget, last):
    """What Qt asks for a tooltip, one after the other."""
    while widget is not last:
        yield widget
        widget = widget.parentWidget()


def test_scrolling_the_panel_over_the_blocks_reads_nothing(panel, engine, qtbot):
    read(panel, engine, qtbot, maps())
    block = panel.controls.block
    before = block.value()
    middle = QPointF(block.rect().center())
    wheel = QWheelEvent(
        middle, QPointF(block.mapToGlobal(middle.toPoint())),
        QPoint(0, -120), QPoint(0, -120), Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(block, wheel)
    assert block.value() == before
    assert block.focusPolicy() == Qt.FocusPolicy.StrongFocus
