"""The MoCo panel: what it asks the engine for, what it shows while one learns, and the dictionary."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QApplication
from safetensors.numpy import save_file

from napari_papernets.core.errors import InputError
from napari_papernets.core.events import Checkpoint, LookUps, Progress, Started, Step, StrokeProbe
from napari_papernets.core.moco_settings import MoCoSettings
from napari_papernets.core.model import ModelRef, ModelSpec, class_infos
from napari_papernets.core.patches import PatchMap
from napari_papernets.core.results import Tuned
from napari_papernets.core.tiles import SizeRule
from napari_papernets.model_files import TRAINING_KEY
from napari_papernets.widgets import pretrain_checkpoint, pretrain_form
from napari_papernets.widgets.annotation_layer import ANNOTATION
from napari_papernets.widgets.job_adapter import JobAdapter
from napari_papernets.widgets.moco_panel import MoCoPanel
from napari_papernets.widgets.moco_plots import verdict

pytestmark = pytest.mark.gui


def encoder(name: str = "moco") -> ModelRef:
    spec = ModelSpec(
        name, "encoder", {"encoder": "contracting", "width": 4, "depth": 2}, 1, class_infos(["a", "b"]),
        SizeRule("same", 4, 48, 4), task="features", provenance={"steps_done": 7},
    )  # fmt: skip
    return ModelRef(spec, Path(f"/models/{name}.safetensors"))


def patch_map(images: int = 1, rows: int = 4) -> PatchMap:
    """Patches on a grid 8 pixels apart; the key of each is its angle on a circle."""
    grid = [
        (i, 0, 8 * r + 4, 8 * c + 4) for i in range(images) for r in range(rows) for c in range(rows)
    ]
    n = len(grid)
    angle = np.linspace(0, np.pi, n)
    keys = np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    pictures = np.random.default_rng(0).integers(0, 255, (n, 40, 40, 3)).astype(np.uint8)
    places = np.array(grid, np.int64)
    return PatchMap(keys, keys, places, pictures, pictures, keys * 3, (0.7, 0.2), 8, {})


@pytest.fixture
def viewer(qapp):
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(0).random((40, 40)), name="frame", scale=(0.5, 0.5))
    viewer.add_image(np.random.default_rng(1).random((6, 40, 40)), name="stack")
    return viewer


@pytest.fixture
def known(monkeypatch) -> list[ModelRef]:
    refs: list[ModelRef] = []
    monkeypatch.setattr(pretrain_form, "list_models", lambda: tuple(refs))
    return refs


@pytest.fixture
def folder(monkeypatch, tmp_path) -> Path:
    """Where checkpoints are looked for."""
    monkeypatch.setattr(pretrain_checkpoint, "user_folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def panel(viewer, engine, known, folder, qtbot):
    made = MoCoPanel(viewer, engine=engine)
    qtbot.addWidget(made)
    return made


def start(panel, engine) -> Any:
    panel.bar.start.click()
    job = engine.jobs[-1]
    job.sent = []
    job.send = job.sent.append
    return job


def test_a_training_is_what_is_chosen(panel, engine, viewer):
    panel.form.settings.setValue(MoCoSettings(encoder="resnet18", K=100, m=0.9, T=0.07, crop=64))
    panel.form.minutes.setValue(2.5)
    panel.form.name.setText("mine")
    panel.sources.tick("stack")
    job = start(panel, engine)
    given = job.arguments
    assert job.verb == "pretrain"
    assert [(i.name, i.axes) for i in given["images"]] == [("stack", "ZYX")]
    expected = MoCoSettings(encoder="resnet18", K=100, m=0.9, T=0.07, crop=64, seconds=150)
    assert given["settings"] == expected
    assert (given["name"], given["model"], given["strokes"]) == ("mine", "scratch", None)
    assert given["folder_of_images"] is None
    assert given["resume"] is False
    assert not panel.bar.start.isEnabled()
    panel.bar.start.click()
    assert len(engine.jobs) == 1


def test_a_short_stack_that_was_taken_for_channels_can_be_corrected(panel, engine, viewer):
    viewer.add_image(np.random.default_rng(0).random((4, 40, 40)), name="short")
    panel.sources.tick("short")
    panel.sources.list.setCurrentRow(2)
    assert (panel.sources.axes.text(), panel.sources.shape.text()) == ("CYX", "4 × 40 × 40")
    panel.sources.axes.editingFinished.emit()  # nothing was typed
    assert "axes" not in viewer.layers["short"].metadata
    for typed, taken in (("zyx", "ZYX"), ("YX", "CYX"), ("tyx", "TYX")):
        panel.sources.axes.setText(typed)
        panel.sources.axes.editingFinished.emit()
        assert panel.sources.axes.text() == taken
    assert [i.axes for i in start(panel, engine).arguments["images"]] == ["TYX"]


def test_new_layers_are_offered_and_our_own_are_not(panel, viewer):
    viewer.add_image(np.zeros((5, 5)), name="result", metadata={"papernets_output": {}})
    viewer.add_image(np.zeros((9, 9)), name="new")
    names = [panel.sources.list.item(i).text() for i in range(panel.sources.list.count())]
    assert names == ["frame", "stack", "new"]
    panel.sources.tick("frame")
    viewer.layers.remove("new")
    assert [i.name for i in panel.sources.value().images] == ["frame"]


def test_nothing_chosen_is_said_in_red(panel, engine, tmp_path):
    panel.sources.tick()
    panel.bar.start.click()
    assert not engine.jobs
    assert panel.message.is_error
    assert "tick a layer" in panel.message.text()
    panel.sources.folder.setText(str(tmp_path))
    assert start(panel, engine).arguments["folder_of_images"] == str(tmp_path)


def test_buttons_say_what_they_lack(engine, known, folder, viewer, qtbot):
    panel = MoCoPanel(ViewerModel(), engine=engine)
    qtbot.addWidget(panel)
    learn, make, paint = panel.bar.start, panel.dictionary.make, panel.dictionary.paint
    assert not any(button.isEnabled() for button in (learn, make, paint))
    assert all("Open an image first" in button.toolTip() for button in (learn, make))
    assert "Make the dictionary first" in paint.toolTip()
    panel.sources.folder.setText(str(folder))
    assert learn.isEnabled()
    assert not make.isEnabled()
    panel.sources.folder.setText(str(folder / "lost"))
    assert not learn.isEnabled()
    assert "There is no folder" in learn.toolTip()


def test_a_missing_folder_is_in_the_way_of_learning_also_after_a_training(panel, engine, qtbot):
    panel.sources.folder.setText("/no/such/folder")
    panel.control.cancelled.emit()
    assert not panel.bar.start.isEnabled()
    panel.sources.folder.setText("")
    assert panel.bar.start.isEnabled()


def test_names_are_followed_long_ones_are_cut_and_an_error_goes(panel, viewer):
    sources = panel.sources
    sources.tick()
    panel.bar.start.click()
    assert panel.message.is_error
    labels = viewer.add_labels(np.zeros((40, 40), int), name="strokes")
    sources.strokes.setCurrentIndex(1)
    labels.name = "mine"
    viewer.layers["frame"].name = long = "a frame <of> that day " * 5
    assert sources.strokes.currentText() == "mine"
    assert sources.list.item(0).text() == long
    assert "a frame &lt;of&gt;" in sources.list.item(0).toolTip()
    assert sources.list.horizontalScrollBarPolicy() == Qt.ScrollBarPolicy.ScrollBarAlwaysOff
    sources.tick(long)
    assert not panel.message.text()


def test_strokes_go_with_the_image_that_they_fit(panel, engine, viewer):
    strokes = np.zeros((40, 40), np.uint8)
    strokes[3, 3] = 1
    viewer.add_labels(strokes, name="strokes")
    panel.sources.strokes.setCurrentText("strokes")
    given = start(panel, engine).arguments["strokes"]
    np.testing.assert_array_equal(given[0], strokes)
    assert given[1] is None
    panel.sources.tick("stack")
    with pytest.raises(InputError, match="tick “frame”"):
        panel.sources.value()
    viewer.layers["strokes"].data = np.zeros((7, 7), np.uint8)
    with pytest.raises(InputError, match="painted on"):
        panel.sources.value()


def owner(panel, *ticked: str) -> str:
    """Name of the image that the chosen strokes go with."""
    panel.sources.tick(*ticked)
    sources = panel.sources.value()
    (found,) = [
        la for la, given in zip(sources.layers, sources.strokes, strict=True) if given is not None
    ]
    return str(found.name)


FRAMES = ("frame 1", "frame 10", "frame 10 [1]")


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("mine", {"metadata": {ANNOTATION: "frame 10 [1]"}}, "frame 10 [1]"),
        ("frame 1 strokes", {"metadata": {ANNOTATION: "frame 10"}}, "frame 10"),  # a link tells more
        ("mine", {"metadata": {"sample": "frame 10", "kind": "strokes"}}, "frame 10"),
        ("frame 1 strokes", {}, "frame 1"),
        ("frame 10 strokes", {}, "frame 10"),
        ("frame 10 [1] strokes", {}, "frame 10 [1]"),
        ("frame 10 strokes [1]", {}, "frame 10 [1]"),
        ("mine", {"translate": (0, 50)}, "frame 10"),
        ("mine", {"scale": (2, 2)}, "frame 10 [1]"),
    ],
)
def test_of_frames_of_one_size_the_painted_one_is_judged_by(panel, viewer, name, options, expected):
    for frame, place in zip(FRAMES, ({}, {"translate": (0, 50)}, {"scale": (2, 2)}), strict=True):
        about = {"sample": frame, "kind": "image"}
        viewer.add_image(np.zeros((30, 30)), name=frame, metadata=about, **place)
    options = {k: dict(v) if k == "metadata" else v for k, v in options.items()}
    about = options.get("metadata", {})
    if ANNOTATION in about:
        about[ANNOTATION] = str(viewer.layers[about[ANNOTATION]].unique_id)
    viewer.add_labels(np.ones((30, 30), np.uint8), name=name, **options)
    panel.sources.strokes.setCurrentText(name)
    assert owner(panel, *FRAMES) == expected
    others = [frame for frame in FRAMES if frame != expected]
    with pytest.raises(InputError, match=re.escape(f"tick “{expected}”")):
        owner(panel, *others)


def test_strokes_that_may_belong_to_several_images_are_refused(panel, engine, viewer):
    for number in range(3):
        viewer.add_image(np.full((30, 30), number), name=f"frame {number}")
    viewer.add_labels(np.ones((30, 30), np.uint8), name="mine")
    panel.sources.strokes.setCurrentText("mine")
    panel.bar.start.click()
    assert not engine.jobs
    assert "“frame 0” and “frame 1” and “frame 2” have its size" in panel.message.text()
    assert owner(panel, "stack", "frame 2") == "frame 2"


def test_events_are_drawn(panel, engine, qtbot):
    panel.show()
    job = start(panel, engine)
    for step in range(1, 6):
        job.tell(Step(step, 7.0 - step, 1e-3, step * 1.0))
    positives, negatives = np.zeros(64, np.int64), np.zeros(64, np.int64)
    positives[60], negatives[32] = 4, 900
    job.tell(LookUps(5, 0.25, positives, negatives, 12.0, 1.0))
    job.tell(StrokeProbe(50, 0.62, 0.5, 0.5))
    curves = panel.plots._curves
    qtbot.waitUntil(lambda: curves["score"].getData()[0] is not None)
    assert curves["loss"].getData()[1].tolist() == [6, 5, 4, 3, 2]
    assert curves["positives"].getData()[0][np.argmax(curves["positives"].getData()[1])] > 0.8
    assert panel.plots.numbers.text() == "looks up 25% correctly · oldest key 12 steps old"
    assert panel.plots.helps.text().startswith("It helps: 0.62")
    assert "step 5" in panel.bar.status.text()


@pytest.mark.parametrize(
    ("step", "score", "spread", "words"),
    [
        (90, 0.7, 0.1, "It helps"),
        (90, 0.4, 0.05, "It makes things worse"),
        (90, 0.515, 0.0, "No difference that could be told yet"),
        (90, 0.485, 0.0, "No difference that could be told yet"),
        (2, 0.7, 0.1, "No difference that could be told yet"),  # it has hardly begun
        (90, 0.7, 0.25, "No difference that could be told yet"),  # half of the strokes say the opposite
        (90, 0.4, 0.1, "No difference that could be told yet"),
    ],
)
def test_the_verdict_is_plain_and_waits_until_it_can_be_told(step, score, spread, words):
    told = verdict(StrokeProbe(step, score, 0.5, 0.5, spread))
    assert told.startswith(f"{words}: ")
    assert "the start 0.50, random weights 0.50" in told
    assert "the start 0.60" in verdict(StrokeProbe(step, score, 0.6, 0.5, spread))


def test_axes_and_curves_are_named(panel):
    panel.show()
    plots = panel.plots
    below = [plot.getAxis("bottom").labelText for plot in (plots.accuracy, plots.similar, plots.probe)]
    assert below == ["step", "cosine", "step"]
    key = plots.probe.titleLabel.text
    for name, curve in (("encoder", "score"), ("start", "start")):
        colour = plots._curves[curve].opts["pen"].color().name()
        assert re.search(rf"{colour}[^<]*{name}", key)
        assert plots._curves[curve].opts["symbol"] == "o"  # the first probe is seen
    assert "random" in key
    assert "positive key" in plots.similar.titleLabel.text


def test_keys_fit_the_panel_at_its_narrowest(panel, qtbot):
    panel.show()
    panel.resize(panel.minimumSizeHint().width(), 900)
    view = panel.plots.view
    for plot in (panel.plots.similar, panel.plots.probe):
        title = plot.titleLabel
        qtbot.waitUntil(lambda title=title: title.sceneBoundingRect().right() <= view.width())
        assert title.item.boundingRect().width() <= title.sceneBoundingRect().width()


def test_the_panel_does_not_ask_for_half_of_the_window(panel):
    assert panel.sizeHint().width() < 450


def test_the_wheel_over_the_minutes_scrolls_the_panel(panel):
    panel.show()
    minutes = panel.form.minutes
    minutes.clearFocus()
    before = minutes.value()
    middle = QPointF(minutes.rect().center())
    turned = QWheelEvent(
        middle, QPointF(minutes.mapToGlobal(minutes.rect().center())), QPoint(), QPoint(0, 120),
        Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(minutes, turned)
    assert minutes.value() == before
    assert minutes.focusPolicy() == Qt.FocusPolicy.StrongFocus  # the wheel does not take it


def test_stop_keeps(panel, engine, known, qtbot):
    job = start(panel, engine)
    assert not panel.bar.stop.isEnabled()  # nothing was learnt, there is nothing to keep
    job.tell(Step(7, 4.0, 1e-3, 9.0))
    qtbot.waitUntil(panel.bar.stop.isEnabled)
    panel.bar.stop.click()
    job.tell(Step(8, 4.0, 1e-3, 9.5))
    assert job.sent == ["stop"]
    known.append(encoder())
    with qtbot.waitSignal(panel.trained):
        job.give(Tuned(encoder(), (), {"steps_done": 7}))
    assert "Kept as “moco” after 7 steps" in panel.message.text()
    assert not panel.bar.stop.isEnabled()
    assert panel.bar.start.isEnabled()
    assert panel.form.start_from.findText("moco") == 1
    assert panel.form.encoder().name == "moco"


def test_an_encoder_of_that_name_stays(panel, engine, folder, qtbot):
    panel.form.name.setText("frames")
    (folder / "frames.safetensors").touch()
    job = start(panel, engine)
    assert job.arguments["name"] == panel.form.name.text() == "frames-2"
    assert "“frames” stays" in panel.message.text()
    panel.bar.cancel.click()
    job.end()
    qtbot.waitUntil(panel.bar.start.isEnabled)
    (folder / "frames-2.checkpoint").touch()  # neither is what could go on
    assert start(panel, engine).arguments["name"] == "frames-3"


def test_cancel_and_failure_leave_the_panel_ready(panel, engine, qtbot):
    job = start(panel, engine)
    panel.bar.cancel.click()
    assert job.cancelled
    job.end()
    qtbot.waitUntil(panel.bar.start.isEnabled)
    assert "nothing was kept" in panel.message.text()
    job = start(panel, engine)
    job.fail(InputError("batch", 3, "give a multiple of 2"))
    qtbot.waitUntil(panel.bar.start.isEnabled)
    assert "multiple of 2" in panel.message.text()
    qtbot.waitUntil(lambda: not panel.control.findChildren(JobAdapter))


def leave(folder: Path, settings: MoCoSettings, name: str = "moco", base: str = "scratch") -> None:
    """What a training that was cut short at step 2, after 90 seconds, leaves behind."""
    history = [dict(step=n, loss=7.0 - n, accuracy=n / 10) for n in (1, 2)]
    facts = dict(settings=settings.to_dict(), step=2, seconds=90.0, history=history, base=base)
    metadata = {TRAINING_KEY: json.dumps({"version": 1, **facts})}
    save_file({"model.queue": np.zeros(3, np.float32)}, folder / f"{name}.checkpoint", metadata)


def test_a_training_goes_on_from_its_checkpoint(panel, engine, folder, qtbot):
    panel.show()
    assert panel.bar.go_on.isHidden()
    begun = MoCoSettings(K=77, learning_rate=0.002, seconds=600, checkpoint_every=200)
    leave(folder, begun)
    panel.form.settings.setValue(MoCoSettings(K=77, checkpoint_every=50))
    assert panel.bar.go_on.isEnabled()
    assert "step 2, after 1.5 minutes" in panel.bar.go_on.toolTip()
    panel.form.minutes.setValue(20)
    panel.bar.go_on.click()
    given = engine.jobs[-1].arguments
    assert given["resume"] is True
    assert given["settings"] == begun.replace(seconds=1200, checkpoint_every=50)
    assert not panel.bar.go_on.isEnabled()
    assert panel.plots._curves["loss"].getData()[1].tolist() == [6, 5]
    engine.jobs[-1].tell(Step(3, 4.0, 1e-3, 95.0))
    qtbot.waitUntil(lambda: len(panel.plots._losses) == 3)
    panel.bar.cancel.click()
    engine.jobs[-1].end()
    qtbot.waitUntil(panel.bar.go_on.isEnabled)
    assert "“Go on” takes it up at step 2" in panel.message.text()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda form: form.settings.setValue(MoCoSettings(K=100)), "begun with Queue K 77, not 100"),
        (lambda form: form.minutes.setValue(1.5), "learnt for 1.5 minutes: give more"),
        (lambda form: form.start_from.setCurrentIndex(1), "started from 'scratch', not from 'taught'"),
    ],
)
def test_another_training_is_not_gone_on_with(panel, engine, folder, known, change, why):
    leave(folder, MoCoSettings(K=77))
    known.append(encoder("taught"))
    panel.form.refresh_models()
    panel.form.settings.setValue(MoCoSettings(K=77))
    assert panel.bar.go_on.isEnabled()
    change(panel.form)
    assert not panel.bar.go_on.isHidden()
    assert not panel.bar.go_on.isEnabled()
    assert why in panel.bar.go_on.toolTip()
    panel.bar.goOnRequested.emit()
    assert not engine.jobs
    assert why in panel.message.text()
    assert start(panel, engine).arguments["resume"] is False


def test_the_model_that_is_started_from_settles_the_encoder(panel, folder, known):
    known.append(encoder("taught"))
    panel.form.refresh_models()
    leave(folder, MoCoSettings(encoder="contracting", width=4, depth=2), base="taught")
    panel.form.start_from.setCurrentIndex(1)
    assert panel.bar.go_on.isEnabled()


def test_the_checkpoint_is_that_of_the_name(panel, folder):
    leave(folder, MoCoSettings(), "mine")
    (folder / "other.checkpoint").write_bytes(b"damaged")
    for name, offered in (("mine", True), ("theirs", False), ("other", False), ("", False)):
        panel.form.name.setText(name)
        assert panel.bar.go_on.isEnabled() == offered
        assert panel.bar.go_on.isHidden() == (not offered)


def test_other_images_are_told_apart_in_the_panels_words(panel, engine, folder, qtbot):
    leave(folder, MoCoSettings())
    panel.form.minutes.setValue(20)
    panel.bar.go_on.click()
    engine.jobs[-1].fail(InputError("resume", "other data", "start anew with resume=False"))
    qtbot.waitUntil(panel.bar.start.isEnabled)
    assert panel.message.is_error
    assert "press Learn to start anew" in panel.message.text()


def test_cancel_tells_what_was_saved(panel, engine, qtbot):
    job = start(panel, engine)
    job.tell(Checkpoint(200, "moco.checkpoint"))
    qtbot.waitUntil(lambda: panel._saved == 200)
    job.end()
    qtbot.waitUntil(panel.bar.start.isEnabled)
    assert "no encoder was kept. “Go on” takes it up at step 200." in panel.message.text()


def make_dictionary(panel, engine, qtbot, found: PatchMap) -> None:
    panel.dictionary.make.click()
    job = engine.jobs[-1]
    assert job.verb == "patches"
    job.give(found)
    qtbot.waitUntil(lambda: panel.dictionary.patch_map is not None)


def known_dictionary(panel, engine, known, qtbot) -> None:
    """An encoder is there, and the dictionary of one image."""
    known.append(encoder())
    panel.form.refresh_models()
    panel.sources.tick("frame")
    make_dictionary(panel, engine, qtbot, patch_map())


def test_what_the_model_that_is_started_from_determines_is_greyed(panel, engine, known):
    form = panel.form.settings
    for name, value in (("encoder", "vgg16"), ("width", 16)):
        form.editor(name).setValue(value)
    known.append(encoder("begun"))
    panel.form.refresh_models()
    panel.form.start_from.setCurrentText("begun")
    for name, value in (("encoder", "contracting"), ("width", "4"), ("depth", "2")):
        editor = form.editor(name)
        assert not editor.isEnabled()
        assert f"Taken from the model to start from: {value}." in editor.toolTip()
    asked = start(panel, engine).arguments["settings"]
    assert (asked.encoder, asked.width, asked.depth) == ("contracting", 4, 2)
    panel.form.start_from.setCurrentText("scratch")
    assert form.editor("encoder").isEnabled()
    assert "Taken from" not in form.editor("encoder").toolTip()
    assert panel.form.value()["settings"].width == 16


def test_the_dictionary_needs_an_encoder(panel, engine):
    panel.dictionary.make.click()
    assert not engine.jobs
    assert "learn one first" in panel.message.text()


def test_the_dictionary_shows_how_far_it_is_and_can_be_cancelled(panel, engine, known, qtbot):
    known_dictionary(panel, engine, known, qtbot)
    view, shown = panel.dictionary, panel.dictionary.patch_map
    assert view.progress.isHidden()
    view.make.click()
    job = engine.jobs[-1]
    assert not view.progress.isHidden()
    job.tell(Started(40, "window"))
    job.tell(Progress(10, 40))
    qtbot.waitUntil(lambda: (view.progress.bar.value(), view.progress.bar.maximum()) == (10, 40))
    view.progress.cancel.click()
    assert job.cancelled
    assert view.make.isEnabled()
    assert view.progress.isHidden()
    assert (view.patch_map, panel.message.text()) == (shown, "Cancelled.")


def test_a_patch_is_looked_up_in_pictures_dots_and_points(panel, engine, known, viewer, qtbot):
    known_dictionary(panel, engine, known, qtbot)
    assert engine.jobs[-1].arguments["model"].name == "moco"
    view, points = panel.dictionary, viewer.layers["dictionary"]
    np.testing.assert_array_equal(points.data[1], [4, 12])
    np.testing.assert_array_equal(points.scale, (0.5, 0.5))
    view.scatter.picked.emit(5)
    assert view.nearest.count() == 8
    assert view.nearest._numbers[:2] in ([4, 6], [6, 4])
    assert view.nearest.item(0).text() == "0.98"
    assert view.positive.item(1).text() == "1.00"
    colours = [tuple(np.round(c[:3], 2)) for c in points.face_color]
    assert colours[5] == (0.84, 0.37, 0.0)
    assert colours[4] == colours[6] == (0.9, 0.62, 0.0)
    assert colours[15] == (0.34, 0.71, 0.91)
    expected = view.hardest._numbers[0]
    view.hardest.itemClicked.emit(view.hardest.item(0))
    assert view._query == expected


def test_the_map_and_the_image_choose_for_each_other(panel, engine, known, viewer, qtbot):
    known_dictionary(panel, engine, known, qtbot)
    view, points = panel.dictionary, viewer.layers["dictionary"]
    inside = view.scatter.inside([(2.5, -1), (4, -1), (4, 2), (2.5, 2)])
    assert len(inside)
    assert (view.patch_map.plane_map[inside, 0] > 2.5).all()
    view.scatter._on_lasso([(2.5, -1), (4, -1), (4, 2), (2.5, 2)])
    assert set(points.selected_data) == set(inside.tolist())
    points.selected_data = {7}
    assert view._query == 7
    assert np.allclose(view.scatter.chosen.getData()[0][0], view.patch_map.plane_map[7, 0])


def test_chosen_patches_become_labels(panel, engine, known, viewer, qtbot):
    known_dictionary(panel, engine, known, qtbot)
    view, points = panel.dictionary, viewer.layers["dictionary"]
    view.paint.click()
    assert "patches" not in viewer.layers  # nothing was selected
    for numbers, label in (({0, 5}, 1), ({15}, 2)):
        points.selected_data = numbers
        view.paint.click()
        labels = viewer.layers["patches"]
        for number in numbers:
            y, x = view.patch_map.places[number, 2:]
            assert labels.data[y, x] == label
    np.testing.assert_array_equal(labels.scale, points.scale)
    assert set(np.unique(labels.data)) == {0, 1, 2}
    assert viewer.layers.index(labels) == viewer.layers.index(points) - 1


def test_all_thumbnails_are_in_sight(panel, engine, known, qtbot):
    known_dictionary(panel, engine, known, qtbot)
    panel.resize(330, 900)
    panel.show()
    for strip in (panel.dictionary.positive, panel.dictionary.nearest, panel.dictionary.hardest):
        assert strip.count()
        qtbot.waitUntil(lambda strip=strip: strip.horizontalScrollBar().maximum() == 0)


def test_patches_that_are_drawn_around_are_marked_in_the_image(panel, engine, known, viewer, qtbot):
    known_dictionary(panel, engine, known, qtbot)
    view, points = panel.dictionary, viewer.layers["dictionary"]
    view.points.mark(0, np.arange(3))
    view.scatter._on_lasso([(2.5, -1), (4, -1), (4, 2), (2.5, 2)])
    assert points.selected_data
    marked = set(np.flatnonzero((points.face_color != points.face_color[0]).any(1)).tolist())
    others = set(range(len(points.data))) - marked
    assert set(points.selected_data) in (marked, others)
    assert len(np.unique(points.face_color, axis=0)) == 2


@pytest.mark.parametrize("deleted", ["dictionary", "frame"])
def test_what_was_deleted_is_neither_selected_nor_painted(panel, engine, known, viewer, qtbot, deleted):
    known_dictionary(panel, engine, known, qtbot)
    view, points = panel.dictionary, viewer.layers["dictionary"]
    points.selected_data = {7}
    viewer.layers.remove(deleted)
    for ask in (
        lambda: view.scatter._on_lasso([(2.5, -1), (4, -1), (4, 2), (2.5, 2)]),
        view.paint.click,
    ):
        panel.message.tell("")
        ask()
        assert "make the dictionary again" in panel.message.text()
    assert "patches" not in viewer.layers


def test_the_dictionary_is_that_of_what_was_learnt_last(panel, engine, known, qtbot):
    """Not of what the training started from, unless that is chosen again; it says whose it is."""
    known.append(encoder("begun"))
    panel.form.refresh_models()
    panel.form.start_from.setCurrentText("begun")
    job = start(panel, engine)
    known.append(encoder())
    with qtbot.waitSignal(panel.trained):
        job.give(Tuned(encoder(), (), {"steps_done": 7}))
    panel.sources.tick("frame")
    make_dictionary(panel, engine, qtbot, patch_map())
    assert engine.jobs[-1].arguments["model"].name == "moco"
    assert "Encoder “moco”" in panel.dictionary.about.text()
    panel.form.start_from.activated.emit(panel.form.start_from.currentIndex())
    make_dictionary(panel, engine, qtbot, patch_map())
    assert engine.jobs[-1].arguments["model"].name == "begun"
    qtbot.waitUntil(lambda: "Encoder “begun”" in panel.dictionary.about.text())


def test_what_was_told_goes_with_the_last_image(panel, engine, known, viewer, qtbot):
    known_dictionary(panel, engine, known, qtbot)
    panel.plots.add(StrokeProbe(9, 0.9, 0.5, 0.5))
    assert panel.plots.helps.text()
    viewer.layers.remove("stack")
    qtbot.wait(10)
    assert panel.dictionary.nearest.count()
    viewer.layers.remove("frame")
    qtbot.waitUntil(lambda: not len(viewer.layers))
    view = panel.dictionary
    assert not panel.plots.helps.text()
    assert view.patch_map is None
    assert not any(strip.count() for strip in (view.positive, view.nearest, view.hardest))
    assert not view.about.text()
    assert not view.paint.isEnabled()


def test_the_dictionary_of_another_encoder_goes_when_one_was_learnt(panel, engine, known, viewer, qtbot):
    known_dictionary(panel, engine, known, qtbot)
    job = start(panel, engine)
    with qtbot.waitSignal(panel.trained):
        job.give(Tuned(encoder("next"), (), {"steps_done": 7}))
    assert panel.dictionary.patch_map is None
    assert "dictionary" not in viewer.layers


def test_points_that_were_renamed_stay(panel, engine, known, viewer, qtbot):
    viewer.add_points([[1, 1]], name="dictionary")  # ours gets a number
    known_dictionary(panel, engine, known, qtbot)
    made = [layer.name for layer in viewer.layers]
    viewer.layers["dictionary [1]"].name = "mine"
    panel.dictionary.clear()
    assert "mine" in viewer.layers
    make_dictionary(panel, engine, qtbot, patch_map())
    assert [layer.name for layer in viewer.layers] == [*made[:-1], "mine", "dictionary [1]"]
    panel.dictionary.clear()
    assert [layer.name for layer in viewer.layers] == [*made[:-1], "mine"]


@pytest.mark.parametrize(("rows", "told"), [(1, "1 patch of"), (2, "4 patches of")])
def test_patches_are_counted(panel, engine, known, qtbot, rows, told):
    known_dictionary(panel, engine, known, qtbot)
    panel.dictionary._on_map(patch_map(rows=rows), panel.sources.value(), "x")
    assert f"“x”: {told}" in panel.dictionary.about.text()


def test_the_map_may_be_umap(panel, engine, known, viewer, qtbot):
    known.append(encoder())
    panel.form.refresh_models()
    panel.sources.tick("frame")
    view = panel.dictionary
    assert view.layouts.model().item(1).isEnabled() == (find_spec("umap") is not None)
    view.layouts.setCurrentIndex(1)
    make_dictionary(panel, engine, qtbot, replace(patch_map(), explained=()))
    assert engine.jobs[-1].arguments["layout"] == "umap"
    assert view.scatter.plot.getAxis("bottom").labelText == "UMAP 1"


class Press:
    """What napari tells of a mouse button: pixel (13, 21) of a frame of scale 0.5, in a 3-D viewer."""

    position = (0, 13 * 0.5, 21 * 0.5)
    type = "mouse_press"


def click(points, viewer, moved: bool = False) -> None:
    press = Press()
    way = points._on_press(viewer, press)
    if next(way, "over") is None:
        press.type = "mouse_move" if moved else "mouse_release"
        next(way, None)


def test_a_click_looks_up_the_place(panel, engine, known, viewer, qtbot):
    known_dictionary(panel, engine, known, qtbot)
    view, points = panel.dictionary, panel.dictionary.points
    click(points, viewer)  # at once: its layer is selected
    assert view._query == 1 * 4 + 2
    view.look_up(0)
    viewer.layers.selection.active = viewer.layers["stack"]
    click(points, viewer)
    assert view._query == 0  # another layer is worked on
    viewer.layers.selection.active = viewer.layers["frame"]
    click(points, viewer, moved=True)
    assert view._query == 0  # the view was moved
    click(points, viewer)
    assert view._query == 1 * 4 + 2


def test_the_panel_leaves_nothing_behind(panel, engine, viewer, known, qtbot):
    before = len(viewer.mouse_drag_callbacks)
    known.append(encoder())
    panel.form.refresh_models()
    make_dictionary(panel, engine, qtbot, patch_map(images=2))
    job = start(panel, engine)
    panel.shut_down()
    assert job.cancelled
    assert len(viewer.mouse_drag_callbacks) == before
    assert not engine.closed  # it was given to the panel


def test_a_closed_panel_lets_go_of_the_viewer(viewer, engine, known, qtbot):
    before = len(viewer.layers.events.inserted.callbacks)
    panel = MoCoPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    assert len(viewer.layers.events.inserted.callbacks) > before
    panel.shut_down()
    assert len(viewer.layers.events.inserted.callbacks) == before
    qtbot.wait(400)
    assert not engine.started


def test_a_destroyed_panel_lets_go_of_the_viewer_and_drops_what_runs(viewer, engine, known, qtbot):
    known.append(encoder())
    before = len(viewer.layers.events.inserted.callbacks)
    panel = MoCoPanel(viewer, engine=engine)
    training = start(panel, engine)
    panel.dictionary.make.click()
    with qtbot.waitSignal(panel.destroyed):
        panel.deleteLater()
    assert len(viewer.layers.events.inserted.callbacks) == before
    assert training.cancelled
    assert engine.jobs[-1].verb == "patches"
    assert engine.jobs[-1].cancelled


def test_what_was_set_is_remembered(panel, viewer, engine, known, qtbot):
    panel.form.settings.setValue(MoCoSettings(K=77))
    panel.form.minutes.setValue(3)
    panel.shut_down()
    again = MoCoPanel(viewer, engine=engine)
    qtbot.addWidget(again)
    assert again.form.settings.value() == MoCoSettings(K=77)
    assert again.form.value()["settings"].seconds == 180


def test_the_keyboard_reaches_every_button(panel):
    for button in (panel.bar.start, panel.dictionary.make, panel.sources.browse):
        assert button.focusPolicy() & Qt.FocusPolicy.TabFocus


def test_the_panel_needs_no_torch():
    code = "import sys, napari_papernets.widgets.moco_panel; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
