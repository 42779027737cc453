"""Applying a version: to images, as objects, to a folder; comparing two versions."""

from __future__ import annotations

import csv
import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from fakes import prediction, ref
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication
from test_live_control import LiveEngine

from napari_papernets.core.errors import EngineError, ModelError
from napari_papernets.core.events import Started, TileDone
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import class_infos
from napari_papernets.files import read_labels, write_image
from napari_papernets.objects import ObjectRule
from napari_papernets.widgets.apply_actions import ApplyActions
from napari_papernets.widgets.folder_apply import ApplyWish
from napari_papernets.widgets.model_comparison import Judged, ModelComparison, class_ious
from napari_papernets.widgets.outputs import PROVENANCE
from napari_papernets.widgets.painting import Painting
from napari_papernets.widgets.uncertain_place import most_uncertain

pytestmark = pytest.mark.gui

SHAPE = (40, 50)


def classes():
    """Class 2 in two large parts and a speck, else class 1."""
    labels = np.ones(SHAPE, np.uint8)
    labels[2:10, 2:10] = labels[20:30, 20:30] = labels[35, 40] = 2
    return labels


@pytest.fixture
def engine():
    return LiveEngine()


@pytest.fixture
def apply(qtbot, engine):
    """A form with version 1, two images that are annotated, and what it told."""
    viewer = ViewerModel()
    painting = Painting(viewer)
    for name in ("one", "two"):
        painting.annotate(viewer.add_image(np.zeros(SHAPE), name=name), None, "YX")

    def model(number):
        if number not in (0, 1, 2):
            raise ModelError("version", number, "let it learn first")
        return replace(made, spec=replace(made.spec, classes=class_infos(names[number])))

    made = ref("semantic")
    names = {0: ["background", "cell"], 1: ["background", "cell"], 2: ["ground", "border", "cell"]}

    apply = ApplyActions(viewer, painting, lambda: engine, model, lambda: "auto")
    qtbot.addWidget(apply)
    apply.viewer, apply.told_, apply.errors = viewer, [], []
    apply.told.connect(apply.told_.append)
    apply.failed.connect(apply.errors.append)
    apply.offer([1], 1)
    yield apply
    apply.leave()
    painting.close()


def is_idle(apply) -> bool:
    return not apply.form.cancel.isEnabled()


def test_diagnostics_are_copied(apply, engine):
    apply.results.diagnostics.click()
    assert QApplication.clipboard().text() == engine.diagnostics()
    assert apply.told_[-1].startswith("Diagnostics copied")


def test_nothing_can_be_applied_before_there_is_a_version(apply):
    apply.offer([], 0)
    assert not any(button.isEnabled() for button in apply.form.buttons.values())
    assert "no version yet" in apply.form.status.text()


def test_a_version_that_comes_meanwhile_starts_no_second_run(apply, engine):
    apply.form.buttons["all"].click()
    apply.offer([1, 2], 2)
    assert not any(button.isEnabled() for button in apply.form.buttons.values())
    assert not is_idle(apply)


def test_objects_are_those_of_the_classes_that_the_chosen_version_knows(apply, engine):
    def offered():
        return [apply.form.labels.itemText(i) for i in range(apply.form.labels.count())]

    apply.offer([1, 2], 1)
    assert apply.form.version.itemText(0) == "Version in use (1)"
    assert offered() == ["Classes", "Objects: background", "Objects: cell"]
    apply.form.labels.setCurrentIndex(2)
    apply.form.version.setCurrentIndex(1)  # version 2
    assert offered()[3] == apply.form.labels.currentText() == "Objects: cell"
    apply.form.buttons["image"].click()
    assert (apply._wish.objects.number, apply._wish.objects.name) == (3, "cell")
    assert not apply.errors


def test_the_channels_that_a_version_has_learnt_from_are_taken_of_every_image():
    made = ref("semantic")
    model = replace(made, spec=replace(made.spec, channels=(1,), channels_of=2))
    wish = ApplyWish(model, None)
    for channels, wanted in ((2, (1,)), (5, (1,)), (1, None)):
        image = ImageBlock(np.zeros((channels, 8, 9)), "CYX")
        assert wish.settings(image).channels == wanted
    assert wish.settings(ImageBlock(np.zeros((8, 9)), "YX")).channels is None


def test_classes_of_all_images_one_after_the_other(apply, engine, qtbot):
    apply.form.buttons["all"].click()
    assert len(engine.jobs) == 1
    assert engine.jobs[0].arguments["settings"].zoom == 1.0
    engine.jobs[0].tell(Started(4, "tile"))
    engine.jobs[0].tell(TileDone(1, 4, (), (0, 8), (0, 8), np.ones((8, 8), np.uint8)))
    qtbot.waitUntil(lambda: apply.form.bar.value() == 1)
    engine.jobs[0].give(prediction(classes()))
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    engine.jobs[1].give(prediction(classes()))
    qtbot.waitUntil(lambda: is_idle(apply))
    assert {"one classes", "two classes"} <= {layer.name for layer in apply.viewer.layers}
    names = [layer.name for layer in apply.viewer.layers]
    assert names.index("one classes") < names.index("one strokes")


def test_objects_are_the_connected_parts_of_a_class(apply, engine, qtbot):
    apply.form.labels.setCurrentIndex(2)
    apply.form.buttons["image"].click()
    engine.jobs[0].give(prediction(classes()))
    qtbot.waitUntil(lambda: "two cell objects" in apply.viewer.layers, timeout=5000)
    layer = apply.viewer.layers["two cell objects"]
    assert sorted(np.unique(layer.data)) == [0, 1, 2]
    assert not apply.viewer.layers["two classes"].visible
    assert "2 objects" in apply.told_[-1]
    apply.results.measure.click()
    qtbot.waitUntil(lambda: len(apply.results.windows) == 1, timeout=10_000)
    assert list(apply.results.windows[0]._columns["area_px"]) == [64, 100]
    made = {"number": 2, "name": "cell", "min_size": 15, "split": True}
    assert layer.metadata[PROVENANCE]["objects"] == made


def test_cancel_puts_the_layers_back(apply, engine, qtbot):
    before = [layer.name for layer in apply.viewer.layers]
    apply.form.buttons["all"].click()
    apply.form.cancel.click()
    assert [layer.name for layer in apply.viewer.layers] == before
    assert is_idle(apply)
    assert len(engine.jobs) == 1


def test_a_failure_is_told_and_the_next_run_can_begin(apply, engine, qtbot):
    apply.form.buttons["image"].click()
    engine.jobs[0].fail(EngineError("killed"))
    qtbot.waitUntil(lambda: len(apply.errors) == 1)
    assert is_idle(apply)


def test_a_folder_gets_labels_and_tables(apply, engine, qtbot, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    for name in ("a", "b"):
        write_image(source / f"{name}.tif", np.zeros(SHAPE, np.uint8), "YX")
    write_image(source / "c_labels.tif", np.zeros(SHAPE, np.uint8), "YX")
    (source / "c_provenance.json").write_text("{}")
    apply.form.labels.setCurrentIndex(2)
    apply._wish = None
    apply._ask_for_folders = lambda: apply.start_folder(source, target)
    apply.form.buttons["folder"].click()
    for count in (1, 2):
        qtbot.waitUntil(lambda count=count: len(engine.jobs) == count, timeout=5000)
        engine.jobs[-1].give(prediction(classes()))
    qtbot.waitUntil(lambda: is_idle(apply), timeout=5000)
    assert read_labels(target / "b_labels.tif").max() == 2
    with (target / "a_objects.csv").open() as file:
        assert [row["area_px"] for row in csv.DictReader(file)] == ["64", "100"]
    assert apply.form.status.text().startswith("2 images written")
    assert apply.form.status.text().endswith("1 result of this program left out.")
    account = json.loads((target / "a_provenance.json").read_text())
    assert account["objects"] == {"number": 2, "name": "cell", "min_size": 15, "split": True}


def test_a_file_that_is_no_image_keeps_no_other_from_its_turn(apply, engine, qtbot, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    for name in ("a", "c"):
        write_image(source / f"{name}.tif", np.zeros(SHAPE, np.uint8), "YX")
    (source / "b.png").write_text("no image")
    apply._ask_for_folders = lambda: apply.start_folder(source, target)
    apply.form.buttons["folder"].click()
    for count in (1, 2):
        qtbot.waitUntil(lambda count=count: len(engine.jobs) == count, timeout=5000)
        engine.jobs[-1].give(prediction(classes()))
    qtbot.waitUntil(lambda: is_idle(apply), timeout=5000)
    assert (target / "c_labels.tif").exists()
    assert apply.form.status.text().startswith("2 images written")
    assert "1 file left out – b.png" in apply.form.status.text()
    assert not apply.errors


def test_what_lies_on_a_hidden_image_stays_hidden(apply, engine, qtbot):
    apply.viewer.layers["two"].visible = False
    apply.form.labels.setCurrentIndex(2)
    apply.form.buttons["all"].click()
    for count in (1, 2):
        qtbot.waitUntil(lambda count=count: len(engine.jobs) == count)
        engine.jobs[-1].give(prediction(classes()))
    qtbot.waitUntil(lambda: is_idle(apply), timeout=10_000)
    seen = {la.name: la.visible for la in apply.viewer.layers if "objects" in la.name}
    assert seen == {"one cell objects": True, "two cell objects": False}


def test_a_folder_of_ones_own_labels_is_left_alone(apply, engine, tmp_path):
    for name in ("a", "a_labels"):
        write_image(tmp_path / f"{name}.tif", np.zeros(SHAPE, np.uint8), "YX")
    apply._ask_for_folders = lambda: apply.start_folder(tmp_path, tmp_path)
    apply.form.buttons["folder"].click()
    assert "a_labels.tif, which is read in this run" in str(apply.errors[0])
    assert not engine.jobs
    assert is_idle(apply)


def test_a_folder_with_names_that_nearly_agree_keeps_all_results(apply, engine, qtbot, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    names = ("A1.t001.tif", "A1.t002.tif", "x.png", "x.tif")
    for name in names:
        write_image(source / name, np.zeros(SHAPE, np.uint8), "YX")
    apply._ask_for_folders = lambda: apply.start_folder(source, target)
    apply.form.buttons["folder"].click()
    for count in range(1, len(names) + 1):
        qtbot.waitUntil(lambda count=count: len(engine.jobs) == count, timeout=5000)
        engine.jobs[-1].give(prediction(np.full(SHAPE, count, np.uint8)))
    qtbot.waitUntil(lambda: is_idle(apply), timeout=5000)
    written = [
        read_labels(target / f"{n}_labels.tif").max() for n in ("A1.t001", "A1.t002", "x.png", "x.tif")
    ]
    assert written == [1, 2, 3, 4]


def test_an_empty_folder_is_told(apply, engine, tmp_path):
    apply._ask_for_folders = lambda: apply.start_folder(tmp_path, tmp_path / "out")
    apply.form.buttons["folder"].click()
    assert "without an image" in str(apply.errors[0])
    assert is_idle(apply)


def disc(y, x, radius):
    rows, columns = np.ogrid[:80, :120]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


@pytest.mark.parametrize(("split", "count"), [(True, 2), (False, 1)])
def test_splitting_is_a_choice_of_the_form(apply, engine, qtbot, split, count):
    assert apply.form.split.isChecked()
    assert not apply.form.split.isEnabled()
    apply.form.labels.setCurrentIndex(2)
    assert apply.form.split.isEnabled()
    apply.form.split.setChecked(split)
    apply.form.buttons["image"].click()
    touching = np.ones(SHAPE, np.uint8)
    touching[(disc(20, 15, 8) | disc(20, 29, 8))[: SHAPE[0], : SHAPE[1]]] = 2
    engine.jobs[0].give(prediction(touching))
    qtbot.waitUntil(lambda: "two cell objects" in apply.viewer.layers, timeout=10_000)
    assert apply.viewer.layers["two cell objects"].data.max() == count


def test_cancel_while_objects_are_made_leaves_the_classes_alone(apply, engine, qtbot, monkeypatch):
    may_end = threading.Event()
    made = []

    find = ObjectRule.find

    def slow(*given):
        may_end.wait(10)
        made.append(find(*given))
        return made[-1]

    monkeypatch.setattr(ObjectRule, "find", slow)
    apply.form.labels.setCurrentIndex(2)
    apply.form.buttons["image"].click()
    engine.jobs[0].give(prediction(classes()))
    qtbot.waitUntil(lambda: apply._splitting is not None)
    apply.form.cancel.click()
    assert "Cancelled" in apply.form.status.text()
    may_end.set()
    qtbot.waitUntil(lambda: bool(made))
    qtbot.wait(100)
    assert not any("objects" in layer.name for layer in apply.viewer.layers)
    assert "Cancelled" in apply.form.status.text()


def test_ious_count_annotated_pixels_only():
    strokes = np.zeros((1, 4, 4), np.uint8)
    strokes[0, 0], strokes[0, 1] = 1, 2
    said = np.full((4, 4), 1, np.uint8)
    said[1, :2] = 2
    assert class_ious(prediction(said), strokes) == {1: (4 / 6, 4), 2: (0.5, 4)}


def test_a_comparison_asks_both_models_about_every_image(qapp, engine, qtbot):
    comparison = ModelComparison(lambda: engine)
    rows = []
    comparison.finished.connect(rows.extend)
    strokes = np.zeros((3, *SHAPE), np.uint8)
    strokes[1, 3:6, 3:6], strokes[1, 15:18, 15:18] = 2, 1
    judged = Judged.of(
        ImageBlock(np.zeros((3, *SHAPE)), "ZYX", name="stack"), strokes, [(2,), (0,), (1,)]
    )
    assert judged is not None
    assert Judged.of(judged.image, np.zeros_like(strokes), [(1,)]) is None
    comparison.start((ref("semantic", name="old"), ref("semantic", name="new")), [judged])
    for count, labels in enumerate((np.ones(SHAPE, np.uint8), classes()), 1):
        qtbot.waitUntil(lambda count=count: len(engine.jobs) == count)
        assert engine.jobs[-1].arguments["planes"] == ((1,),)
        engine.jobs[-1].give(prediction(labels[np.newaxis]))
    qtbot.waitUntil(lambda: len(rows) == 2)
    assert [(row.name, row.old, row.new, row.pixels) for row in rows] == [
        ("background", 0.5, 1.0, 9),
        ("cell", 0.0, 1.0, 9),
    ]


def test_the_most_uncertain_place_is_none_where_all_is_sure():
    nothing = np.zeros((70, 90), bool)
    assert most_uncertain(np.zeros((70, 90), np.uint8), nothing) is None
    doubt = np.zeros((200, 205), np.uint8)
    doubt[180:, 190:] = 255
    found = most_uncertain(doubt, np.zeros(doubt.shape, bool))
    assert found is not None
    assert found[1][0] > 170
    assert found[1][1] > 180
