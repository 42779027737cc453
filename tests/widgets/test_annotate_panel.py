"""The panel “Annotate & fine-tune”: what a person does, what is asked of the engine, what is kept."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
from fakes import ref
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLineEdit, QMessageBox, QPushButton
from safetensors.numpy import save_file
from test_live_control import TUNED, LiveEngine

from napari_papernets import session
from napari_papernets.core.annotation import Naming, Patch, View
from napari_papernets.core.errors import EngineError, InputError
from napari_papernets.core.events import (
    ClassScore,
    Compared,
    Preview,
    Resting,
    Started,
    Step,
    Version,
)
from napari_papernets.core.model import ClassInfo, ModelRef
from napari_papernets.model_files import HEADER_KEY
from napari_papernets.samples import sample_layers
from napari_papernets.session import open_session, read_info
from napari_papernets.widgets import annotate_panel, remembered, start_picker
from napari_papernets.widgets.annotate_panel import AnnotatePanel
from napari_papernets.widgets.annotation_layer import SESSION
from napari_papernets.widgets.class_rows import NAME
from napari_papernets.widgets.live_layers import LiveLayers, live_layers_of

pytestmark = pytest.mark.gui

SHAPE = (40, 50)


@pytest.fixture
def engine():
    return LiveEngine()


@pytest.fixture
def sessions(monkeypatch, tmp_path):
    folder = tmp_path / "sessions"
    monkeypatch.setattr(session, "sessions_folder", lambda: folder)
    return folder


@pytest.fixture
def viewer(qapp):
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random(SHAPE), name="image", scale=(0.5, 0.5))
    return viewer


@pytest.fixture
def make(qtbot, monkeypatch, engine, sessions):
    monkeypatch.setattr(start_picker, "list_models", lambda: (ref("semantic", name="classy"),))
    panels = []

    def make(viewer):
        panel = AnnotatePanel(viewer, engine=engine)
        if hasattr(viewer, "window"):
            viewer.window.add_dock_widget(panel, name="Annotate", area="right")
        else:
            qtbot.addWidget(panel)
        panels.append(panel)
        return panel

    yield make
    for panel in panels:
        with contextlib.suppress(RuntimeError):  # its window was closed, and it was shut down by that
            panel.shut_down()


@pytest.fixture
def panel(make, viewer):
    return make(viewer)


def annotate(panel, qtbot, engine):
    """Begin on a new layer; the job that this starts, once the layers of what is learnt are there."""
    panel.parts.image.annotate.click()
    pair = panel.parts.painting.images.current()
    qtbot.waitUntil(lambda: len(engine.jobs) > 0)
    qtbot.waitUntil(lambda: len(live_layers_of(panel.parts.viewer, pair.image)) == 2)
    return engine.jobs[-1]


def stroke(panel, qtbot, y=10, k=1):
    """Paint, and wait until it is a patch."""
    labels = panel.parts.painting.images.current().labels
    before = panel.parts.painting.watcher.newest
    labels.data[y : y + 3, 5:30] = k
    labels.refresh()
    panel.parts.painting.watcher.flush()
    qtbot.waitUntil(lambda: panel.parts.painting.watcher.newest > before, timeout=5000)


def preview(labels, region=(0, 40, 0, 50), doubt=None, image=0, plane=()):
    maps = np.broadcast_to(np.asarray(labels, np.uint8), (region[1] - region[0], region[3] - region[2]))
    doubt = maps if doubt is None else doubt
    return Preview(View(image, plane, region), maps.copy(), np.array(doubt, np.uint8), "quick", 1, 1)


def model_file(folder, name="live 1", classes=("background", "object")):
    """A model file without weights worth the name."""
    import json
    from dataclasses import replace

    path = folder / f"{name}.safetensors"
    about = replace(
        ref("semantic", name=name).spec, classes=tuple(ClassInfo(c, "#56B4E9") for c in classes)
    )
    save_file({"w": np.zeros(3, np.float32)}, str(path), {HEADER_KEY: json.dumps(about.to_dict())})
    return ModelRef(about, path)


def keep_version(panel, engine, qtbot, folder, patch=None, name="live 1"):
    """Let the job end a round."""
    count = len(panel.parts.keeper.records())
    newest = panel.parts.painting.watcher.newest if patch is None else patch
    made = model_file(folder, name)
    engine.jobs[-1].tell(Version(made, newest, 7, 0.8, 0.7, "trained", "nothing improved any more"))
    qtbot.waitUntil(lambda: len(panel.parts.keeper.records()) == count + 1, timeout=5000)
    return panel.parts.keeper.records()[-1]


def wishes(job):
    """What was sent beside patches and views, which come whenever somebody looks elsewhere."""
    return [sent for sent in job.sent if isinstance(sent, str)]


def test_annotating_makes_a_layer_takes_the_brush_and_starts_to_learn(panel, viewer, engine, qtbot):
    job = annotate(panel, qtbot, engine)
    layer = viewer.layers["image strokes"]
    assert viewer.layers.selection.active is layer
    assert (layer.mode, layer.selected_label) == ("paint", 1)
    assert (layer.data.shape, tuple(layer.scale)) == (SHAPE, (0.5, 0.5))
    assert job.verb == "live"
    assert job.arguments["model"] == "scratch"
    assert [c.name for c in job.arguments["classes"]] == ["background", "object"]
    assert job.arguments["auto"]
    assert not panel.parts.image.annotate.isEnabled()


def test_strokes_go_to_the_engine_and_to_the_session(panel, engine, qtbot, sessions):
    job = annotate(panel, qtbot, engine)
    assert not sessions.exists()
    stroke(panel, qtbot)
    assert [patch.number for patch in job.sent if hasattr(patch, "labels")] == [1]
    (folder,) = sessions.iterdir()
    qtbot.waitUntil(lambda: panel.parts.row.name.text() == folder.name)
    panel.shut_down()
    again = open_session(folder)
    assert (again.annotation()[0, ()] == 1).sum() == 75
    assert again.info.images[0].name == "image"
    assert [c.name for c in again.info.classes] == ["background", "object"]
    assert (folder / "images" / "0.tif").exists()
    again.close()


def test_with_live_off_one_can_train_when_one_likes(panel, viewer, engine, qtbot):
    panel.parts.bar.live.setChecked(False)
    panel.parts.image.annotate.click()
    assert panel.parts.bar.train.isEnabled()
    assert "Train now" in panel.parts.bar.line.text()
    assert not engine.jobs
    panel.parts.bar.train.click()
    qtbot.waitUntil(lambda: len(engine.jobs) == 1)


def test_previews_fill_two_layers_below_the_strokes(panel, viewer, engine, qtbot):
    job = annotate(panel, qtbot, engine)
    names = [layer.name for layer in viewer.layers]
    assert names == ["image", "image prediction", "image uncertainty", "image strokes"]
    assert viewer.layers.selection.active.name == "image strokes"
    layer, doubt = viewer.layers["image prediction"], viewer.layers["image uncertainty"]
    job.tell(preview(2, (5, 20, 5, 25)))
    qtbot.waitUntil(lambda: (layer.data == 2).sum() == 15 * 20)
    assert not doubt.visible
    assert tuple(layer.colormap.color_dict[1])[3] == 0  # the background lets the image through
    data = layer.data
    layer.opacity, doubt.visible = 0.2, True
    job.tell(preview(1))
    qtbot.waitUntil(lambda: bool((layer.data == 1).all()))
    assert layer.data is data
    assert layer.opacity == 0.2
    assert not layer._undo_history


def test_a_deleted_prediction_comes_again_with_the_next_start_only(viewer, panel, engine, qtbot):
    job = annotate(panel, qtbot, engine)
    job.tell(preview(2))
    qtbot.waitUntil(lambda: "image prediction" in viewer.layers)
    viewer.layers.remove("image prediction")
    job.tell(preview(1))
    qtbot.wait(300)
    assert "image prediction" not in viewer.layers
    job.tell(Started(0, "step"))
    job.tell(preview(1))
    qtbot.waitUntil(lambda: "image prediction" in viewer.layers)


def test_layers_of_a_deleted_image_go_after_it(viewer, panel, engine, qtbot):
    """Whoever listens hears of the image first, as it happened."""
    job = annotate(panel, qtbot, engine)
    job.tell(preview(2))
    qtbot.waitUntil(lambda: viewer.layers["image prediction"].data.any())
    told = []
    viewer.layers.events.removed.connect(lambda event: told.append(event.value.name), position="last")
    viewer.layers.remove("image")
    qtbot.waitUntil(lambda: "image prediction" not in viewer.layers)
    assert told == ["image", "image prediction", "image uncertainty"]


def test_previews_are_shown_together(viewer, panel, qtbot, engine):
    annotate(panel, qtbot, engine)
    layers = LiveLayers(viewer, lambda n: panel.parts.painting.images.pair(n), interval=50)
    layers.begin(panel.parts.painting.classes())
    layers.show(preview(1))
    assert (viewer.layers["image prediction"].data == 1).all()
    refreshed = []
    viewer.layers["image prediction"].events.labels_update.connect(lambda _: refreshed.append(1))
    for _ in range(5):
        layers.show(preview(2))
    qtbot.waitUntil(lambda: bool(refreshed))
    qtbot.wait(120)
    assert len(refreshed) == 1


def test_three_planes_at_the_end_are_no_colours(make, engine, qtbot):
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random((*SHAPE, 3)), rgb=False, name="last")
    panel = make(viewer)
    annotate(panel, qtbot, engine)
    engine.jobs[-1].tell(preview(1))
    qtbot.waitUntil(lambda: viewer.layers["last prediction"].data.any(), timeout=5000)
    assert not viewer.layers["last uncertainty"].rgb


def test_an_image_out_of_view_is_brought_into_it(make, make_napari_viewer_proxy, engine, qtbot):
    viewer = make_napari_viewer_proxy()
    pixels = np.random.default_rng(0).random(SHAPE)
    viewer.add_image(pixels, name="here")
    viewer.add_image(pixels, name="far", translate=(0, 5000))
    panel = make(viewer)
    panel.parts.image.picker.choose(viewer.layers["far"])
    viewer.scene.camera.center = (0, 20, 25)
    viewer.scene.camera.zoom = 4
    qtbot.waitUntil(lambda: viewer.layers["far"].corner_pixels[1, 1] == 0, timeout=3000)
    panel.parts.image.annotate.click()
    assert viewer.scene.camera.center[1:] == (20, 5025)


def test_closing_and_opening_again_goes_on_with_the_session(make, viewer, engine, qtbot, tmp_path):
    first = make(viewer)
    annotate(first, qtbot, engine)
    stroke(first, qtbot)
    kept = keep_version(first, engine, qtbot, tmp_path)
    folder = first.parts.store.session.folder
    first.shut_down()
    viewer.layers["image strokes"].data[30:33, 5:30] = 2  # painted while no panel was there
    again = make(viewer)
    again.parts.image.adopt_evident()
    qtbot.waitUntil(lambda: again.parts.store.session is not None, timeout=5000)
    assert again.parts.store.session.folder == folder
    assert [r.model for r in again.parts.keeper.records()] == [kept.model]
    assert [la.name for la in viewer.layers].count("image strokes") == 1
    assert len(viewer.layers) == len({la.name for la in viewer.layers})
    again.parts.painting.watcher.flush()
    strokes = again.parts.store.session.annotation()[0, ()]
    np.testing.assert_array_equal(strokes, viewer.layers["image strokes"].data)


def test_what_a_version_knows_is_not_learnt_anew_when_its_session_is_opened(
    make, viewer, engine, qtbot, tmp_path
):
    first = make(viewer)
    annotate(first, qtbot, engine)
    stroke(first, qtbot)
    keep_version(first, engine, qtbot, tmp_path)
    first.shut_down()
    again = make(viewer)
    again.parts.image.adopt_evident()
    qtbot.waitUntil(lambda: engine.jobs[-1].arguments["model"] != "scratch", timeout=5000)
    job = engine.jobs[-1]
    assert not job.arguments["auto"]
    assert wishes(job) == []
    stroke(again, qtbot, y=20)
    qtbot.waitUntil(lambda: wishes(job) == ["follow"], timeout=5000)


def test_other_settings_are_learnt_by_without_a_new_stroke(make, viewer, engine, qtbot, tmp_path):
    panel = make(viewer)
    job = annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    keep_version(panel, engine, qtbot, tmp_path)
    panel.parts.form.setValue(panel.parts.form.value().replace(train="head"))
    qtbot.waitUntil(lambda: "stop" in wishes(job), timeout=5000)
    job.give(None)
    qtbot.waitUntil(lambda: engine.jobs[-1] is not job, timeout=5000)
    assert engine.jobs[-1].arguments["auto"]


def test_another_image_alone_is_nothing_new(make, viewer, engine, qtbot, tmp_path):
    panel = make(viewer)
    viewer.add_image(np.random.default_rng(1).random(SHAPE), name="second")
    panel.parts.image.picker.choose(viewer.layers["image"])
    job = annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    keep_version(panel, engine, qtbot, tmp_path)
    panel.parts.image.picker.choose(viewer.layers["second"])
    panel.parts.image.annotate.click()
    assert "stop" in wishes(job)
    job.give(None)
    qtbot.waitUntil(lambda: engine.jobs[-1] is not job, timeout=5000)
    assert len(engine.jobs[-1].arguments["images"]) == 2
    assert not engine.jobs[-1].arguments["auto"]
    stroke(panel, qtbot, y=20)
    qtbot.waitUntil(lambda: wishes(engine.jobs[-1]) == ["follow"], timeout=5000)


def test_a_session_is_opened_with_its_own_strokes_whatever_lies_on_the_image(
    make, viewer, engine, qtbot, tmp_path
):
    first = make(viewer)
    annotate(first, qtbot, engine)
    stroke(first, qtbot, y=10, k=1)
    folder = first.parts.store.session.folder
    first.shut_down()
    viewer.layers.remove("image strokes")
    second = make(viewer)
    annotate(second, qtbot, engine)
    stroke(second, qtbot, y=20, k=2)
    other = second.parts.painting.images.current().labels
    second.flow.sessions.open_session(folder)
    qtbot.waitUntil(lambda: second.parts.store.session.folder == folder, timeout=5000)
    (pair,) = second.parts.painting.images.pairs()
    assert pair.labels.unique_id != other.unique_id
    assert set(np.unique(pair.array())) == {0, 1}
    second.parts.painting.watcher.flush()
    assert set(np.unique(second.parts.store.session.annotation()[0, ()])) == {0, 1}
    assert (other.data == 2).any()
    assert other.metadata[SESSION][0] != str(folder)


def test_what_was_annotated_anew_is_what_one_goes_on_with(make, engine, qtbot):
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random((4, *SHAPE)), name="planes")
    first = make(viewer)
    annotate(first, qtbot, engine)
    stroke(first, qtbot)
    group = first.parts.image
    group.picker.axes.setText("ZYX")
    group.picker.axes.textEdited.emit("ZYX")
    group.annotate.click()
    labels = first.parts.painting.images.current().labels
    labels.data[2, 5:8, 5:30] = 2
    first.parts.painting.watcher.flush()
    folder = first.parts.store.session.folder
    first.shut_down()
    again = make(viewer)
    again.flow.sessions.open_session(folder)
    qtbot.waitUntil(lambda: again.parts.store.session is not None, timeout=5000)
    (pair,) = again.parts.painting.images.pairs()
    assert (pair.axes, pair.labels.unique_id) == ("ZYX", labels.unique_id)
    assert "Not found" not in again.parts.message.text()


def test_a_version_that_was_passed_over_is_not_in_use_when_the_panel_is_opened_again(
    make, viewer, engine, qtbot, tmp_path
):
    first = make(viewer)
    annotate(first, qtbot, engine)
    stroke(first, qtbot)
    kept = keep_version(first, engine, qtbot, tmp_path)
    judged(first, engine, qtbot, tmp_path, "live 2", (0.8, 0.6))
    folder = first.parts.store.session.folder
    first.shut_down()
    assert read_info(folder).in_use == 1
    again = make(viewer)
    again.parts.image.adopt_evident()
    qtbot.waitUntil(lambda: again.parts.store.session is not None, timeout=5000)
    assert again.parts.keeper.in_use == 1
    assert [row.number for row in again.parts.versions.model.versions] == [2, 1]
    qtbot.waitUntil(lambda: engine.jobs[-1].arguments["model"] != "auto", timeout=5000)
    assert engine.jobs[-1].arguments["model"].path == kept.model


def test_closing_and_opening_again_keeps_the_colours(make, viewer, engine, qtbot):
    first = make(viewer)
    annotate(first, qtbot, engine)
    first.parts.painting.table.recolour(1, "#112233")
    first.shut_down()
    again = make(viewer)
    again.parts.image.annotate.click()
    assert again.parts.painting.classes()[0].colour == "#112233"


def test_the_most_uncertain_place_is_away_from_strokes(make, engine, qtbot):
    viewer = ViewerModel()
    viewer.add_image(np.zeros((400, 500)), name="image", scale=(0.5, 0.5))
    panel = make(viewer)
    job = annotate(panel, qtbot, engine)
    assert not panel.parts.bar.place.isEnabled()
    stroke(panel, qtbot, y=3)
    doubt = np.zeros((400, 500))
    doubt[0:16, 5:30], doubt[300:332, 400:440] = 255, 200
    job.tell(preview(1, (0, 400, 0, 500), doubt=doubt))
    qtbot.waitUntil(panel.parts.bar.place.isEnabled)
    qtbot.waitUntil(lambda: "image prediction" in viewer.layers)
    panel.parts.bar.place.click()
    y, x = np.array(getattr(viewer, "scene", viewer).camera.center[1:]) / 0.5
    assert 300 <= y <= 332
    assert 400 <= x <= 440


def test_another_class_starts_anew_with_what_was_learnt(panel, engine, qtbot, tmp_path):
    job = annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    record = keep_version(panel, engine, qtbot, tmp_path)
    panel.parts.painting.table.add_class()
    assert wishes(job)[-1] == "stop"
    job.give(TUNED)
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    arguments = engine.jobs[1].arguments
    assert len(arguments["classes"]) == 3
    assert arguments["model"].name == record.name


def test_names_and_colours_of_classes_change_without_learning_anew(panel, engine, qtbot):
    job = annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    table = panel.parts.painting.table
    table.recolour(1, "#112233")
    table.table.item(1, NAME).setText("nucleus")
    assert "stop" not in wishes(job)
    names = [v.classes for v in job.sent if isinstance(v, Naming)]
    assert [c.name for c in names[-1]] == ["background", "nucleus"]
    assert names[0][0].colour == "#112233"


def test_a_version_tells_the_strokes_that_were_there_and_not_the_number_of_patches(
    panel, engine, qtbot, tmp_path
):
    annotate(panel, qtbot, engine)
    for y, k in ((2, 1), (10, 2), (11, 2), (20, 1), (20, 0)):  # one made longer, one erased
        stroke(panel, qtbot, y, k)
    record = keep_version(panel, engine, qtbot, tmp_path)
    assert (record.patch, record.strokes) == (5, 2)
    stroke(panel, qtbot, 30)
    assert panel.parts.keeper.records()[0].strokes == 2
    assert panel.parts.versions.model.index(0, 3).data() == "2"


def test_live_off_and_train_now(panel, engine, qtbot):
    job = annotate(panel, qtbot, engine)
    panel.parts.bar.live.click()
    assert wishes(job)[-1] == "stop"
    job.give(TUNED)
    assert panel.parts.control.state.kind == "off"
    stroke(panel, qtbot)
    assert len(engine.jobs) == 1
    panel.parts.bar.train.click()
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert not engine.jobs[1].arguments["auto"]
    assert wishes(engine.jobs[1]) == ["train"]


def test_a_crash_keeps_the_layers_and_the_next_stroke_goes_on(panel, viewer, engine, qtbot):
    job = annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    job.fail(EngineError("The engine was killed. Nothing in the viewer was lost."))
    qtbot.waitUntil(lambda: panel.parts.message.is_error)
    assert "Nothing in the viewer was lost" in panel.parts.message.text()
    assert viewer.layers["image strokes"].data.any()
    assert len(engine.jobs) == 1
    stroke(panel, qtbot, y=20, k=2)
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert engine.jobs[1].arguments["resume"]
    assert engine.jobs[1].arguments["annotations"][0].max() == 2


def test_a_version_is_kept_listed_and_repeatable(panel, engine, qtbot, tmp_path):
    annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    stroke(panel, qtbot, y=20, k=2)
    record = keep_version(panel, engine, qtbot, tmp_path)
    (row,) = panel.parts.versions.model.versions
    assert (row.number, row.strokes, row.current, row.score) == (1, 2, True, 0.8)
    words = row.command.split("' '") if "'" in row.command else row.command.split()
    assert "finetune" in words[0] + words[1]
    assert "--classes background,object" in row.command
    assert "--steps 7" in row.command
    from napari_papernets.files import read_labels

    strokes = panel.parts.store.session.folder / "rounds" / "0001" / "annotations" / "image.tif"
    assert str(strokes) in row.command
    assert sorted(np.unique(read_labels(strokes))) == [0, 1, 2]
    assert record.model.exists()
    qtbot.waitUntil(lambda: panel.parts.apply.form.buttons["image"].isEnabled())


def test_going_back_restores_strokes_and_model(panel, engine, qtbot, tmp_path, viewer):
    job = annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    first = keep_version(panel, engine, qtbot, tmp_path)
    stroke(panel, qtbot, y=20, k=2)
    keep_version(panel, engine, qtbot, tmp_path, name="live 2")
    assert (viewer.layers["image strokes"].data == 2).any()
    job.tell(Step(8, 0.5, 1e-3, 1.0))
    qtbot.waitUntil(lambda: panel.parts.control.state.kind == "learning")
    panel.parts.versions.goBack.emit(1)
    qtbot.waitUntil(lambda: wishes(job)[-1:] == ["stop"], timeout=5000)
    data = viewer.layers["image strokes"].data
    assert (data == 2).any()  # the job keeps what it knows with the strokes that it knows
    keep_version(panel, engine, qtbot, tmp_path, name="live 3")
    patches = len([sent for sent in job.sent if isinstance(sent, Patch)])
    job.give(TUNED)
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert (data == 1).sum() == 75
    assert not (data == 2).any()
    assert len([sent for sent in job.sent if isinstance(sent, Patch)]) == patches
    assert len(panel.parts.keeper.records()) == 3
    assert engine.jobs[1].arguments["model"].path == first.model
    assert not engine.jobs[1].arguments["auto"]  # as it was, until the next stroke
    assert "train" not in engine.jobs[1].sent
    assert panel.parts.versions.current().number == 1
    stroke(panel, qtbot, y=30, k=2)
    qtbot.waitUntil(lambda: "follow" in engine.jobs[1].sent)
    assert panel.parts.store.session.journal.newest == 4  # two strokes, the way back, a stroke


def judged(panel, engine, qtbot, folder, name, means):
    """Let the job end a round and compare its version with the one before."""
    count = len(panel.parts.keeper.records())
    old = panel.parts.keeper.base
    made = model_file(folder, name)
    told = Version(made, panel.parts.painting.watcher.newest, 7, 0.8, 0.7, "trained", "plateau", True)
    engine.jobs[-1].tell(told)
    qtbot.waitUntil(lambda: len(panel.parts.keeper.records()) == count + 1, timeout=5000)
    in_use = panel.parts.keeper.in_use
    scores = tuple(ClassScore(n, *means, 75) for n in (1, 2))
    engine.jobs[-1].tell(Compared(old, made, scores))
    qtbot.waitUntil(lambda: not panel.parts.versions.scores.isHidden())
    return in_use


def test_a_version_takes_the_place_of_another_when_both_were_compared(panel, engine, qtbot, tmp_path):
    annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    keep_version(panel, engine, qtbot, tmp_path)
    assert panel.parts.keeper.in_use == 1  # there is nothing to compare it with
    assert panel.parts.versions.scores.isHidden()
    assert judged(panel, engine, qtbot, tmp_path, "live 2", (0.7, 0.8)) == 1
    assert panel.parts.keeper.in_use == 2
    assert panel.parts.versions.current().number == 2
    assert "(2)" in panel.parts.apply.form.version.currentText()
    text = panel.parts.versions.scores.text()
    for part in ("version 1 → 2", "background", "object", "0.700 → 0.800", "+0.100"):
        assert part in text


def test_a_version_that_is_worse_is_passed_over_and_not_gone_on_from(panel, engine, qtbot, tmp_path):
    annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    first = keep_version(panel, engine, qtbot, tmp_path)
    judged(panel, engine, qtbot, tmp_path, "live 2", (0.8, 0.6))
    assert panel.parts.keeper.in_use == 1
    assert panel.parts.versions.current().number == 1
    assert "version 1 stays in use" in panel.parts.message.text()
    assert wishes(engine.jobs[0])[-1] == "stop"
    engine.jobs[0].give(TUNED)
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert engine.jobs[1].arguments["model"].path == first.model
    assert not engine.jobs[1].arguments["auto"]  # until the next stroke
    assert len(panel.parts.keeper.records()) == 2  # it is in the list all the same


def test_a_version_whose_comparison_never_came_is_in_use_when_its_training_ends(
    panel, engine, qtbot, tmp_path
):
    annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    keep_version(panel, engine, qtbot, tmp_path)
    made = model_file(tmp_path, "live 2")
    newest = panel.parts.painting.watcher.newest
    engine.jobs[-1].tell(Version(made, newest, 7, 0.8, 0.7, "trained", "plateau", True))
    qtbot.waitUntil(lambda: len(panel.parts.keeper.records()) == 2, timeout=5000)
    assert panel.parts.keeper.in_use == 1
    panel.parts.bar.live.setChecked(False)
    engine.jobs[-1].give(TUNED)
    qtbot.waitUntil(lambda: panel.parts.keeper.in_use == 2)


def test_strokes_that_no_version_has_are_kept_before_going_back(panel, engine, qtbot, tmp_path, viewer):
    annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    first = keep_version(panel, engine, qtbot, tmp_path)
    panel.parts.bar.live.setChecked(False)
    engine.jobs[-1].give(TUNED)
    qtbot.waitUntil(lambda: not panel.parts.control.is_running)
    stroke(panel, qtbot, y=20, k=2)
    now = viewer.layers["image strokes"].data.copy()
    panel.parts.versions.goBack.emit(1)
    qtbot.waitUntil(lambda: not (viewer.layers["image strokes"].data == 2).any(), timeout=5000)
    kept = panel.parts.keeper.records()[-1]
    assert (kept.number, kept.strokes, kept.parent, kept.step) == (2, 2, 1, first.step)
    assert "going back to version 1" in kept.reason
    assert "kept as version 2" in panel.parts.message.text()
    assert panel.parts.versions.current().number == 1
    assert panel.parts.control.state.kind == "off"
    panel.parts.versions.goBack.emit(2)
    qtbot.waitUntil(lambda: (viewer.layers["image strokes"].data == 2).any(), timeout=5000)
    np.testing.assert_array_equal(viewer.layers["image strokes"].data, now)
    assert len(panel.parts.keeper.records()) == 2  # nothing new was painted


def test_a_stroke_that_comes_while_one_goes_back_is_kept_too(panel, engine, qtbot, tmp_path, viewer):
    annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    keep_version(panel, engine, qtbot, tmp_path)
    panel.parts.bar.live.setChecked(False)
    engine.jobs[-1].give(TUNED)
    qtbot.waitUntil(lambda: not panel.parts.control.is_running)
    stroke(panel, qtbot, y=20, k=2)
    layer = viewer.layers["image strokes"]
    panel.parts.versions.goBack.emit(1)
    layer.data[30:33, 5:30] = 2  # before the journal has been read
    layer.refresh()
    late = layer.data.copy()
    qtbot.waitUntil(lambda: not (layer.data == 2).any(), timeout=5000)
    session = panel.parts.store.session
    kept = [session.annotation(record.patch).get((0, ())) for record in panel.parts.keeper.records()]
    assert any(np.array_equal(strokes, late) for strokes in kept)


def test_nothing_else_begins_while_one_goes_back(panel, engine, qtbot, tmp_path):
    job = annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    keep_version(panel, engine, qtbot, tmp_path)
    panel.parts.versions.goBack.emit(1)
    panel.parts.bar.trainRequested.emit()
    panel.parts.device.setCurrentText("cpu")
    job.give(TUNED)
    qtbot.waitUntil(lambda: "Back at version 1" in panel.parts.message.text(), timeout=5000)
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert not engine.jobs[1].arguments["auto"]
    assert engine.jobs[1].arguments["device"] == "cpu"


@pytest.mark.parametrize("live", [True, False])
def test_being_back_is_told_until_the_next_stroke(panel, engine, qtbot, tmp_path, live):
    job = annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    keep_version(panel, engine, qtbot, tmp_path)
    panel.parts.bar.live.setChecked(live)
    panel.parts.versions.goBack.emit(1)
    job.give(TUNED)
    message = panel.parts.message
    qtbot.waitUntil(lambda: "Back at version 1" in message.text(), timeout=5000)
    stroke(panel, qtbot, y=20)
    qtbot.waitUntil(lambda: not message.text(), timeout=5000)


def test_being_back_is_told_until_learning_goes_on(panel, engine, qtbot, tmp_path):
    job = annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    keep_version(panel, engine, qtbot, tmp_path)
    panel.parts.versions.goBack.emit(1)
    job.give(TUNED)
    qtbot.waitUntil(lambda: len(engine.jobs) == 2, timeout=5000)
    assert "Back at version 1" in panel.parts.message.text()
    engine.jobs[1].tell(Step(8, 0.5, 1e-3, 1.0))
    qtbot.waitUntil(lambda: not panel.parts.message.text(), timeout=5000)


def test_a_class_is_removed_after_the_training_that_knew_it_was_told_to_end(
    panel, engine, qtbot, tmp_path
):
    job = annotate(panel, qtbot, engine)
    panel.parts.painting.table.add_class()
    job.give(TUNED)
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    job = engine.jobs[1]
    stroke(panel, qtbot, k=3)
    sent = len([s for s in job.sent if isinstance(s, Patch)])
    panel.parts.painting.table._ask_to_remove = lambda number: True
    panel.parts.painting.table.remove_class(1)
    panel.parts.painting.watcher.flush()
    assert wishes(job)[-1] == "stop"
    assert len([s for s in job.sent if isinstance(s, Patch)]) == sent


def test_another_start_begins_anew_whatever_the_old_job_still_keeps(panel, engine, qtbot, tmp_path):
    job = annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    keep_version(panel, engine, qtbot, tmp_path)
    panel.parts.start.combo.setCurrentIndex(0)
    panel.parts.start.combo.activated.emit(0)
    keep_version(panel, engine, qtbot, tmp_path, name="live 2")
    job.give(TUNED)
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert engine.jobs[1].arguments["model"].name == "classy"


def test_a_model_is_saved_under_the_name_of_its_file(panel, engine, qtbot, tmp_path):
    from napari_papernets.model_files import read_spec

    annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    record = keep_version(panel, engine, qtbot, tmp_path)
    target = tmp_path / "mine.safetensors"
    panel.parts.versions.exported.emit(1, str(target))
    qtbot.waitUntil(lambda: target.exists() and panel.parts.message.text().startswith("Saved"))
    assert read_spec(target).name == "mine"
    assert target.read_bytes()[-12:] == record.model.read_bytes()[-12:]


def leave_unfinished(panel, sessions):
    """As a program that was killed leaves its session."""
    written = threading.Event()
    panel.parts.store.later(written.set)
    assert written.wait(10)
    folder = panel.parts.store.session.folder
    shutil.copytree(folder, sessions / "lost", ignore=shutil.ignore_patterns("open"))
    (sessions / "lost" / "open").write_text("{}")
    panel.shut_down()


def test_what_was_not_closed_is_offered_and_restored(make, viewer, engine, qtbot, sessions, tmp_path):
    viewer.layers["image"].translate = (3, -4)
    viewer.layers["image"].rotate = 30
    panel = make(viewer)
    annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    keep_version(panel, engine, qtbot, tmp_path)
    stroke(panel, qtbot, y=20, k=2)
    leave_unfinished(panel, sessions)
    fresh = ViewerModel()
    fresh.add_image(np.zeros((20, 30)), name="another")
    again = make(fresh)
    again.show()
    before = annotate(again, qtbot, engine)
    qtbot.waitUntil(again.parts.restore.isVisible)
    assert "image" in again.parts.restore.text.text()
    again.parts.restore.restore.click()
    qtbot.waitUntil(lambda: "image strokes" in fresh.layers, timeout=10_000)
    assert fresh.layers["image"].data.shape == SHAPE
    for name in ("image", "image strokes"):
        layer = fresh.layers[name]
        assert (tuple(layer.scale), tuple(layer.translate)) == ((0.5, 0.5), (3, -4))
        np.testing.assert_allclose(layer.rotate, viewer.layers["image"].rotate)
    assert sorted(np.unique(fresh.layers["image strokes"].data)) == [0, 1, 2]
    assert not again.parts.restore.isVisible()
    before.tell(Version(model_file(tmp_path), 0, 7, None, None, "trained", "stopped"))
    before.give(TUNED)
    qtbot.waitUntil(lambda: engine.jobs[-1] is not before)
    assert [i.name for i in engine.jobs[-1].arguments["images"]] == ["image"]
    assert engine.jobs[-1].arguments["model"].path == sessions / "lost/versions/0001/model.safetensors"
    assert [version.number for version in again.parts.versions.model.versions] == [1]
    stroke(again, qtbot, y=30, k=1)
    assert again.parts.store.session.journal.newest == 3


@pytest.mark.parametrize("yes", [True, False])
def test_a_session_is_discarded_once_that_is_confirmed(
    make, viewer, engine, qtbot, sessions, tmp_path, monkeypatch, yes
):
    asked = []

    def question(parent, title, text, defaultButton):
        assert defaultButton == QMessageBox.StandardButton.No
        asked.append(text)
        return QMessageBox.StandardButton.Yes if yes else QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", question)
    panel = make(viewer)
    annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    keep_version(panel, engine, qtbot, tmp_path)
    leave_unfinished(panel, sessions)
    again = make(ViewerModel())
    again.show()
    qtbot.waitUntil(again.parts.restore.isVisible)
    again.parts.restore.discard.click()
    assert "strokes on image" in asked[0]
    assert "1 version?" in asked[0]
    qtbot.waitUntil(lambda: (sessions / "lost").exists() is not yes)
    assert again.parts.restore.isVisible() is not yes


def test_an_image_is_restored_under_the_name_that_it_has_got(make, viewer, engine, qtbot, sessions):
    panel = make(viewer)
    annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    viewer.layers["image"].name = "embryo 3"
    session = panel.parts.store.session
    qtbot.waitUntil(lambda: [i.name for i in session.info.images] == ["embryo 3"], timeout=5000)
    folder = session.folder
    panel.shut_down()
    fresh = ViewerModel()
    again = make(fresh)
    again.flow.sessions.open_session(folder)
    qtbot.waitUntil(lambda: "embryo 3 strokes" in fresh.layers, timeout=10_000)
    assert fresh.layers["embryo 3"].data.shape == SHAPE


def test_images_of_the_same_pixels_get_their_own_strokes_back(make, viewer, engine, qtbot, sessions):
    pixels = viewer.layers["image"].data
    panel = make(viewer)
    annotate(panel, qtbot, engine)
    stroke(panel, qtbot, k=1)
    viewer.add_image(pixels.copy(), name="twin", scale=(0.5, 0.5))
    panel.parts.image.annotate.click()
    assert "twin strokes" in viewer.layers
    stroke(panel, qtbot, k=2)
    leave_unfinished(panel, sessions)
    fresh = ViewerModel()
    for name in ("twin", "image"):  # the other way round
        fresh.add_image(pixels.copy(), name=name, scale=(0.5, 0.5))
    again = make(fresh)
    again.show()
    qtbot.waitUntil(again.parts.restore.isVisible)
    again.parts.restore.restore.click()
    qtbot.waitUntil(lambda: "twin strokes" in fresh.layers, timeout=10_000)
    assert fresh.layers["image strokes"].data.max() == 1
    assert fresh.layers["twin strokes"].data.max() == 2
    assert not again.parts.painting.signalsBlocked()


def test_what_was_put_off_is_not_offered_again_when_a_layer_comes(make, viewer, engine, qtbot, sessions):
    panel = make(viewer)
    annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    leave_unfinished(panel, sessions)
    fresh = ViewerModel()
    again = make(fresh)
    again.show()
    qtbot.waitUntil(again.parts.restore.isVisible)
    again.parts.restore.later.click()
    assert not again.parts.restore.isVisible()
    taken = []
    again._evident.timeout.connect(lambda: taken.append(1))
    fresh.add_image(np.zeros((20, 30)), name="another")
    qtbot.waitUntil(lambda: bool(taken))
    assert not again.parts.restore.isVisible()


def test_a_sample_that_is_opened_is_taken_up_with_its_strokes(make, engine, qtbot):
    viewer = ViewerModel()
    panel = make(viewer)
    qtbot.waitUntil(lambda: engine.started)
    for data, options, kind in sample_layers("tissue"):
        getattr(viewer, f"add_{kind}")(data, **options)
    qtbot.waitUntil(lambda: len(engine.jobs) == 1, timeout=5000)
    assert [c.name for c in engine.jobs[0].arguments["classes"]] == ["tissue", "nucleus", "lumen"]
    assert panel.parts.apply.form.labels.count() == 4
    qtbot.waitUntil(lambda: panel.parts.painting.watcher.newest > 0)


def test_the_brush_is_on_the_image_that_was_chosen_last(panel, viewer, engine, qtbot):
    group = panel.parts.image
    other = viewer.add_image(np.zeros((20, 30)), name="other")
    group.picker.combo.setCurrentIndex(0)
    annotate(panel, qtbot, engine)
    first = viewer.layers.selection.active
    assert group.list.currentRow() == 0
    group.picker.combo.setCurrentIndex(1)  # the strokes of the first one are still selected
    group.annotate.click()
    second = viewer.layers.selection.active
    assert second is not first
    assert panel.parts.painting.images.find(second).image is other
    assert second.mode == "paint"
    assert group.list.currentRow() == 1
    viewer.layers.selection.active = first
    assert group.list.currentRow() == 0


def test_a_layer_of_another_type_is_taken_and_the_panel_tells_that_it_has_changed(panel, viewer):
    layer = viewer.add_labels(np.ones(SHAPE, np.int32), name="mine")
    group = panel.parts.image
    group.paint.setCurrentIndex(1)
    group.paint.activated.emit(1)
    group.annotate.click()
    assert layer.data.dtype == np.uint8
    told = "mine is now of type uint8, no longer int32: 255 classes at most."
    assert panel.parts.message.text() == told


def test_what_to_paint_on_stays_chosen_when_layers_come_and_follows_their_names(panel, viewer):
    group = panel.parts.image
    mine = viewer.add_labels(np.zeros(SHAPE, int), name="mine")
    group.paint.setCurrentIndex(1)
    group.paint.activated.emit(1)  # as a hand does it
    viewer.add_points(np.zeros((1, 2)))
    assert group.paint.currentText() == "mine"
    mine.name = "yours"
    assert group.paint.currentText() == "yours"
    mine.data = np.zeros((3, 3), int)  # no longer of the image's shape
    assert [group.paint.itemText(i) for i in range(group.paint.count())] == ["New layer"]


def test_long_names_do_not_hide_the_list_of_images(make, make_napari_viewer_proxy, engine, qtbot):
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(np.zeros(SHAPE), name="a name that a microscope made " * 4)
    panel = make(viewer)
    annotate(panel, qtbot, engine)
    shown = panel.parts.image.list
    qtbot.waitUntil(lambda: shown.isVisible() and shown.viewport().height() >= shown.sizeHintForRow(0))
    assert not shown.horizontalScrollBar().isVisible()
    assert "a name that a microscope made" in shown.item(0).toolTip()


def test_several_images_are_one_session(panel, viewer, engine, qtbot):
    job = annotate(panel, qtbot, engine)
    viewer.add_image(np.zeros((20, 30)), name="other")
    panel.parts.image.annotate.click()
    assert wishes(job)[-1] == "stop"
    job.give(TUNED)
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert [i.name for i in engine.jobs[1].arguments["images"]] == ["image", "other"]
    assert panel.parts.image.list.count() == 2
    viewer.layers.remove("image")
    assert wishes(engine.jobs[1])[-1] == "stop"
    engine.jobs[1].give(TUNED)
    qtbot.waitUntil(lambda: len(engine.jobs) == 3)
    assert [i.name for i in engine.jobs[2].arguments["images"]] == ["other"]
    engine.jobs[2].tell(preview(2, (0, 20, 0, 30)))
    qtbot.waitUntil(lambda: "other prediction" in viewer.layers)


def test_the_augmentation_preview_runs_beside_live(panel, engine, qtbot):
    job = annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    panel.show()
    panel.tabs.setCurrentIndex(list(annotate_panel.TABS).index("Augment"))
    assert engine.jobs[-1].verb == "preview"
    assert engine.jobs[-1].arguments["annotation"].shape == SHAPE
    assert "stop" not in wishes(job)


def test_border_weights_are_previewed_on_a_layer_of_objects(panel, viewer, engine, qtbot):
    annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    objects = np.zeros(SHAPE, np.uint16)
    objects[3:9, 3:9], objects[3:9, 10:16] = 7, 300
    viewer.add_labels(objects, name="truth")
    viewer.add_labels(np.zeros((3, 4), int), name="of another size")
    panel.show()
    panel.tabs.setCurrentIndex(list(annotate_panel.TABS).index("Augment"))
    view = panel.parts.augmentation
    assert [view.source.itemText(i) for i in range(view.source.count())] == [
        "strokes",
        "objects of truth",
    ]
    assert not view.sliders.sliders["w0"].isEnabled()
    drawn = engine.jobs[-1]
    view.source.setCurrentIndex(1)
    drawn.fail(EngineError("nothing to see"))
    qtbot.waitUntil(lambda: engine.jobs[-1] is not drawn)
    assert engine.jobs[-1].arguments["settings"].kind == "instances"
    np.testing.assert_array_equal(engine.jobs[-1].arguments["annotation"], objects)
    assert view.sliders.sliders["w0"].isEnabled()


def test_other_settings_are_taken_up_once_they_settle(panel, engine, qtbot):
    job = annotate(panel, qtbot, engine)
    panel.parts.form.setValue(panel.parts.form.value().replace(train="head"))
    panel.parts.form.setValue(panel.parts.form.value().replace(batch=2))
    assert "stop" not in job.sent
    qtbot.waitUntil(lambda: "stop" in job.sent)
    assert job.sent.count("stop") == 1
    job.give(TUNED)
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert engine.jobs[1].arguments["settings"].train == "head"


def test_of_two_channels_the_first_is_learnt_from_until_another_is_chosen(make, engine, qtbot):
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random((2, *SHAPE)), name="two")
    panel = make(viewer)
    start = panel.parts.start.combo
    start.setCurrentIndex(start.findText("classy"))  # it takes one channel
    start.activated.emit(start.currentIndex())
    job = annotate(panel, qtbot, engine)
    assert job.arguments["settings"].channels == (0,)
    assert "the first is learnt from" in panel.parts.message.text()
    panel.parts.image.picker.channels.setValue((1,))
    qtbot.waitUntil(lambda: wishes(job)[-1:] == ["stop"], timeout=5000)
    job.give(TUNED)
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert engine.jobs[1].arguments["settings"].channels == (1,)


def test_a_channel_that_nobody_chose_goes_with_the_image_that_needed_it(make, engine, qtbot):
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random(SHAPE), name="one")
    viewer.add_image(np.random.default_rng(0).random((2, *SHAPE)), name="two")
    panel = make(viewer)
    start, picker = panel.parts.start.combo, panel.parts.image.picker
    start.setCurrentIndex(start.findText("classy"))
    start.activated.emit(start.currentIndex())
    annotate(panel, qtbot, engine)  # "two"
    assert picker.wanted_channels() == (0,)
    picker.choose(viewer.layers["one"])
    panel.parts.image.annotate.click()
    assert picker.wanted_channels() == (0,)
    panel.parts.painting.images.remove(0)
    assert picker.wanted_channels() is None
    picker.channels.setValue((0,))  # the person's choice stays
    panel.parts.painting.images.remove(1)
    assert picker.wanted_channels() == (0,)


def test_what_could_not_be_started_is_tried_again_with_another_start(panel, engine, qtbot):
    job = annotate(panel, qtbot, engine)
    job.fail(InputError("image", "2 channels", "choose another start"))
    qtbot.waitUntil(lambda: panel.parts.control.state.kind == "failed")
    assert panel.parts.message.is_error
    panel.parts.start.combo.setCurrentIndex(0)
    panel.parts.start.combo.activated.emit(0)
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert not panel.parts.message.text()


def test_other_axes_are_annotated_anew(make, engine, qtbot):
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random((4, *SHAPE)), name="planes")
    panel = make(viewer)
    group = panel.parts.image
    assert group.picker.axes_text() == "CYX"
    annotate(panel, qtbot, engine)
    assert not group.annotate.isEnabled()
    assert "annotated already" in group.annotate.toolTip()
    group.picker.axes.setText("ZYX")
    group.picker.axes.textEdited.emit("ZYX")
    assert group.annotate.isEnabled()
    group.annotate.click()
    (pair,) = panel.parts.painting.images.pairs()
    assert (pair.axes, pair.array().shape) == ("ZYX", (4, *SHAPE))
    assert not group.annotate.isEnabled()


def test_what_was_set_is_remembered(make, viewer):
    panel = make(viewer)
    panel.parts.form.setValue(panel.parts.form.value().replace(batch=2))
    panel.parts.bar.live.setChecked(False)
    panel.parts.device.setCurrentText("cpu")
    panel.shut_down()
    again = make(viewer)
    assert again.parts.form.value().batch == 2
    assert not again.parts.bar.live.isChecked()
    assert again.parts.device.currentText() == "cpu"
    assert remembered.recall("annotate_panel")["start"] == "scratch"


def test_every_control_explains_itself_and_nothing_is_wider_than_a_dock(panel, qtbot, engine):
    annotate(panel, qtbot, engine)
    panel.show()
    for index in range(panel.tabs.count()):
        panel.tabs.setCurrentIndex(index)
        for kind in (QPushButton, QLineEdit):
            for part in panel.tabs.widget(index).findChildren(kind):
                own = part.isVisible() and part.objectName() != "qt_spinbox_lineedit"
                folded = "▸" in getattr(part, "text", str)() or "▾" in getattr(part, "text", str)()
                assert part.toolTip() or part.parent().toolTip() or folded or not own, part.text()
    for part in (
        panel.parts.bar.live,
        panel.parts.bar.train,
        panel.parts.bar.stop,
        panel.parts.bar.place,
    ):
        assert part.toolTip()
    assert panel.minimumSizeHint().width() <= 360
    assert panel.minimumSizeHint().height() <= 800


def test_closing_the_window_keeps_the_last_stroke(
    make_napari_viewer_proxy, make, engine, qtbot, sessions
):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.random.default_rng(0).random(SHAPE), name="image")
    panel = make(viewer)
    job = annotate(panel, qtbot, engine)
    viewer.layers["image strokes"].paint((20, 20), 2)
    viewer.close()
    qtbot.waitUntil(lambda: job.cancelled)
    (folder,) = sessions.iterdir()
    again = open_session(folder)
    assert again.annotation()[0, ()].max() == 2
    again.close()


def test_taking_the_panel_away_leaves_the_layers(make_napari_viewer_proxy, make, engine, qtbot):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.random.default_rng(0).random(SHAPE), name="image")
    panel = make(viewer)
    job = annotate(panel, qtbot, engine)
    viewer.window.remove_dock_widget(panel)
    assert job.cancelled
    assert "image strokes" in viewer.layers
    job.tell(Resting("late"))
    viewer.add_image(np.zeros(SHAPE), name="later")
    viewer.dims.set_point(0, 0)


def test_keys_choose_classes_on_the_layer(panel, viewer, engine, qtbot):
    from napari.utils.key_bindings import KeymapHandler

    annotate(panel, qtbot, engine)
    layer = viewer.layers["image strokes"]
    handler = KeymapHandler()
    handler.keymap_providers = [layer]
    handler.press_key("2")
    assert layer.selected_label == 2
    assert panel.parts.painting.table.current() == 2
    handler.press_key("0")
    assert layer.mode == "erase"


def test_the_panel_never_imports_torch():
    code = "import napari_papernets.widgets.annotate_panel, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_command_of_a_version_can_be_copied(panel, engine, qtbot, tmp_path):
    annotate(panel, qtbot, engine)
    stroke(panel, qtbot)
    keep_version(panel, engine, qtbot, tmp_path)
    panel.parts.versions.view.selectRow(0)
    qtbot.mouseClick(panel.parts.versions.command, Qt.MouseButton.LeftButton)
    assert QApplication.clipboard().text().startswith("papernets finetune")


def test_messages_go_with_what_they_were_about(make, viewer, engine, qtbot):
    panel = make(viewer)
    annotate(panel, qtbot, engine)
    panel.parts.message.tell("image: 7 objects.")
    panel.parts.message.complain("name: got nothing")
    panel.parts.painting.table.recolour(1, "#123456")
    assert not panel.parts.message.is_error
    panel.parts.message.tell("image: 7 objects.")
    del viewer.layers["image"]
    qtbot.waitUntil(lambda: panel.parts.message.text() != "image: 7 objects.")
