"""What the CRF starts from: results, images and labels that change, of one plane or of many."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from fakes import prediction, ref
from napari.components import ViewerModel
from qtpy.QtWidgets import QStyle, QStyleOptionComboBox

from napari_papernets.core.crf_settings import CRFSettings
from napari_papernets.core.errors import InputError
from napari_papernets.core.events import Refined
from napari_papernets.core.model import class_infos
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.core.results import Refinement
from napari_papernets.widgets import crf_plan
from napari_papernets.widgets.belief_sources import find_sources, label_classes
from napari_papernets.widgets.belief_view import HELP
from napari_papernets.widgets.crf_panel import CRFPanel
from napari_papernets.widgets.image_layers import block_of
from napari_papernets.widgets.label_numbers import OBJECTS, count_numbers
from napari_papernets.widgets.label_sink import class_colours
from napari_papernets.widgets.layer_parts import LayerPart, NothingToRefine, Target, fit_layer
from napari_papernets.widgets.outputs import OUTPUT, PROVENANCE
from napari_papernets.widgets.probability_layers import set_earlier_apart, show_probabilities
from napari_papernets.widgets.run_plan import plan_run

pytestmark = pytest.mark.gui
SHAPE = (40, 48)


def maps(seed=0, shape=SHAPE, classes=2):
    found = np.random.default_rng(seed).random((classes, *shape)).astype(np.float32)
    return found / found.sum(0)


def refinement(labels, **account):
    hot = np.stack([labels == 1, labels == 2]).astype(np.float32)
    return Refinement(hot, labels, ((2.0, 1.0),), dict(notices=[], seconds=0.1, **account))


def give(job):
    """Play a refinement that changes nothing."""
    found = np.asarray(job.arguments["probabilities"])
    labels = found.argmax(0).astype(np.uint8) + np.uint8(1)
    for n in range(2):
        job.tell(Refined((), n, n, 1, 2.0 - n, False, labels, None))
    job.give(Refinement(found, labels, ((2.0, 1.0),), dict(notices=[], seconds=0.1)))


def adding_result(viewer, image, kind, chances, axes, **account):
    """The probability layers of a U-Net run on an image layer, one at each step."""
    layer = viewer.layers[image]
    model = ref("semantic" if len(chances) == 2 else "instances", name="toy")
    settings = PredictSettings(channels=(0,) if "C" in axes else None)
    plan = plan_run(viewer, layer, block_of(layer, axes), model, settings, kind, probabilities=True)
    result = plan.prepare(prediction(np.zeros(chances.shape[1:], np.uint8), chances, **account))
    set_earlier_apart(viewer, plan, result)
    yield from show_probabilities(viewer, plan, result)


def add_result(*given, **account):
    for _ in adding_result(*given, **account):
        pass


def run_without_probabilities(viewer):
    """A run of the same model that brings labels alone."""
    image = viewer.layers["cells"]
    model, settings = ref("instances", name="toy"), PredictSettings()
    plan = plan_run(viewer, image, block_of(image, "YX"), model, settings, "plane", probabilities=False)
    set_earlier_apart(viewer, plan, plan.prepare(prediction(np.zeros(SHAPE, np.uint8))))


def target_of(viewer, name, axes):
    return Target(viewer.layers[name], block_of(viewer.layers[name], axes))


@pytest.fixture
def viewer(qapp):
    viewer = ViewerModel()
    pixels = np.random.default_rng(1).integers(0, 255, SHAPE).astype(np.uint8)
    viewer.add_image(pixels, name="cells", scale=(0.5, 0.5), translate=(3.0, 4.0))
    return viewer


@pytest.fixture
def make(qtbot, engine):
    def make_panel(viewer):
        panel = CRFPanel(viewer, engine=engine)
        qtbot.addWidget(panel)
        panel.image.combo.setCurrentIndex(0)
        panel.previews.begin()
        return panel

    return make_panel


def test_a_second_run_of_the_network_is_refined_anew(viewer, make, engine, qtbot):
    add_result(viewer, "cells", "plane", maps(0), "YX")
    make(viewer)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    give(engine.jobs[-1])
    before = len(engine.jobs)
    add_result(viewer, "cells", "plane", maps(1), "YX", seed=1)
    qtbot.waitUntil(lambda: len(engine.jobs) > before)
    np.testing.assert_array_equal(engine.jobs[-1].arguments["probabilities"], maps(1))


def test_maps_of_two_runs_are_not_mixed(viewer):
    add_result(viewer, "cells", "plane", maps(0), "YX")
    source = find_sources(viewer, target_of(viewer, "cells", "YX"))[0]
    viewer.layers[-1].metadata[PROVENANCE] = {"seconds": 99}
    with pytest.raises(NothingToRefine, match="two results"):
        source.beliefs(())


def test_only_all_maps_of_a_result_are_offered(viewer):
    target = target_of(viewer, "cells", "YX")
    offered = []
    for _ in adding_result(viewer, "cells", "plane", maps(classes=3), "YX"):
        offered.append([len(source.layers) for source in find_sources(viewer, target)])
    assert offered == [[], [], [3]]
    viewer.layers.remove("cells toy p(inside)")
    assert not find_sources(viewer, target)


def test_the_choice_stays_while_probabilities_come_back_after_earlier_ones(viewer, make, engine, qtbot):
    add_result(viewer, "cells", "plane", maps(classes=3), "YX")
    viewer.add_labels(np.eye(*SHAPE, dtype=np.uint8), name="drawn")
    panel = make(viewer)
    panel.beliefs.combo.setCurrentIndex(1)
    panel.beliefs.combo.setCurrentIndex(0)  # by hand
    run_without_probabilities(viewer)
    assert panel.beliefs.combo.currentText() == "cells toy (earlier) (probabilities)"
    for _ in adding_result(viewer, "cells", "plane", maps(1, classes=3), "YX", seed=1):
        assert panel.beliefs.combo.count() == 2
        qtbot.wait(120)
        assert not panel.message.is_error
        assert all(job.arguments["probabilities"].shape[0] == 3 for job in engine.jobs)
    assert panel.beliefs.combo.currentText() == "cells toy (probabilities)"
    np.testing.assert_array_equal(panel.beliefs.source().beliefs(()).probabilities, maps(1, classes=3))


def test_a_map_that_was_given_another_name_is_no_part_of_a_result(viewer, make, qtbot):
    add_result(viewer, "cells", "plane", maps(classes=3), "YX")
    panel = make(viewer)
    combo = panel.beliefs.combo
    kept = viewer.layers["cells toy p(inside)"]
    kept.name = "keep"
    assert combo.count() == 0
    add_result(viewer, "cells", "plane", maps(1, classes=3), "YX", seed=1)
    assert combo.currentText() == "cells toy (probabilities)"
    source = panel.beliefs.source()
    np.testing.assert_array_equal(source.beliefs(()).probabilities, maps(1, classes=3))
    assert source.names == ("background", "inside", "border")  # in the order of the result
    np.testing.assert_array_equal(kept.data, maps(classes=3)[1])


def test_classes_of_labels_are_those_of_the_whole_layer(viewer, make, engine, qtbot):
    objects = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) // 40
    viewer.add_labels(objects, name="objects")
    panel = make(viewer)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    assert engine.jobs[-1].arguments["probabilities"].shape == (2, *SHAPE)
    source = panel.beliefs.source()
    assert source.numbers == OBJECTS
    corner = source.beliefs((), (0, 4, 0, 4))
    assert corner.values == (0, 1)
    assert [about.name for about in corner.classes] == ["background", "foreground"]


def test_one_class_in_view_is_told_quietly(viewer, make, engine, qtbot):
    drawn = np.ones(SHAPE, np.uint8)
    drawn[0, 0] = 2
    viewer.add_labels(drawn, name="drawn")
    panel = make(viewer)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    ones = np.ones(SHAPE, np.uint8)
    with qtbot.waitSignal(panel.previewed):
        engine.jobs[-1].tell(Refined((), 0, 0, 0, 1.0, False, ones, None))
        engine.jobs[-1].give(refinement(ones))
    assert "all that is in view is label 1" in panel.message.text()
    assert not panel.message.is_error


def test_labels_of_one_number_wait_quietly_until_they_are_asked_for(viewer, make, engine, qtbot):
    viewer.add_labels(np.zeros(SHAPE, np.uint8), name="drawn")
    panel = make(viewer)
    qtbot.waitUntil(lambda: "all 0" in panel.message.text())
    assert not panel.message.is_error
    panel.bar.buttons["plane"].click()
    assert panel.message.is_error
    assert not engine.jobs
    viewer.layers["drawn"].data_setitem(np.nonzero(np.eye(*SHAPE)), 3)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    assert panel.beliefs.source().numbers == (0, 3)


def test_labels_are_counted_once_and_not_when_the_plane_changes(make, engine, qtbot, monkeypatch):
    from napari_papernets.widgets import label_numbers

    counts = []

    def count(data, stop=None):
        counts.append(1)
        return count_numbers(data, stop)

    monkeypatch.setattr(label_numbers, "count_numbers", count)
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5, *SHAPE), np.uint8), name="stack")
    drawn = np.zeros((5, *SHAPE), np.uint8)
    drawn[:, :9], drawn[2, 9:] = 1, 2
    viewer.add_labels(drawn, name="drawn")
    make(viewer)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    assert engine.jobs[-1].arguments["probabilities"].shape[0] == 3
    for plane in range(5):
        viewer.dims.set_point(0, plane)
        qtbot.wait(60)
    qtbot.wait(300)
    assert len(counts) == 1


def test_numbers_are_counted_plane_by_plane():
    assert count_numbers(np.array([[[0, 3]], [[7, 3]]])) == (0, 3, 7)
    assert count_numbers(np.arange(30).reshape(3, 10)) == OBJECTS
    assert count_numbers(np.array([[0, 300]])) == OBJECTS
    assert count_numbers(np.array([[-1, 2]])) == OBJECTS
    repeated = np.lib.stride_tricks.as_strided(np.ones((3, 3), int), (10**9, 3, 3), (0, 24, 8))
    assert count_numbers(repeated) == (1,)  # not a thousand million times


@pytest.mark.parametrize("kind", ["plane", "stack"])
def test_nothing_is_read_on_the_thread_of_the_window(make, engine, qtbot, monkeypatch, kind):
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5, *SHAPE), np.uint8), name="stack")
    drawn = np.zeros((5, *SHAPE), np.uint8)
    drawn[:, :9] = 1
    viewer.add_labels(drawn, name="drawn")
    panel = make(viewer)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    threads = []
    read = LayerPart.read

    def watched(part, wanted=()):
        threads.append(threading.current_thread())
        return read(part, wanted)

    monkeypatch.setattr(LayerPart, "read", watched)
    panel.bar.buttons[kind].click()
    answer = np.ones((5, *SHAPE) if kind == "stack" else SHAPE, np.uint8)
    with qtbot.waitSignal(panel.runFinished):
        engine.jobs[-1].give(refinement(answer))
    assert f"{100 * 9 / 40:.1f} % of the pixels changed class" in panel.message.text()
    assert threads
    assert threading.main_thread() not in threads


def test_one_plane_of_a_stack_is_refined_where_it_lies(make, engine, qtbot):
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5, *SHAPE), np.uint8), name="stack", scale=(2, 0.5, 0.5))
    viewer.dims.set_point(0, 6)  # plane 3
    add_result(viewer, "stack", "plane", maps(shape=(1, *SHAPE)), "ZYX")
    panel = make(viewer)
    assert panel.beliefs.source().kind == "result"
    qtbot.waitUntil(lambda: bool(engine.jobs))
    np.testing.assert_array_equal(
        engine.jobs[-1].arguments["probabilities"], maps(shape=(1, *SHAPE))[:, 0]
    )
    give(engine.jobs[-1])
    viewer.dims.set_point(0, 2)
    qtbot.waitUntil(lambda: "Z 3" in panel.message.text())
    assert not panel.message.is_error
    panel.bar.buttons["stack"].click()
    assert panel.message.is_error
    assert "whole stack" in panel.message.text()


def test_a_preview_of_another_plane_is_hidden_and_comes_back(make, engine, qtbot):
    """napari may crash where a layer is removed that the slider is outside of."""
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5, *SHAPE), np.uint8), name="stack", scale=(2, 0.5, 0.5))
    viewer.dims.set_current_step(0, 3)
    add_result(viewer, "stack", "plane", maps(shape=(1, *SHAPE)), "ZYX")
    panel = make(viewer)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    with qtbot.waitSignal(panel.previewed):
        give(engine.jobs[-1])
    shown, jobs = viewer.layers["stack CRF preview"], len(engine.jobs)
    viewer.dims.set_current_step(0, 1)
    qtbot.waitUntil(lambda: not shown.visible)
    assert shown in viewer.layers
    viewer.dims.set_current_step(0, 3)
    qtbot.waitUntil(lambda: len(engine.jobs) > jobs)
    with qtbot.waitSignal(panel.previewed):
        give(engine.jobs[-1])
    assert viewer.layers["stack CRF preview"] == shown
    assert shown.visible
    viewer.dims.set_current_step(0, 0)
    qtbot.waitUntil(lambda: not shown.visible)
    viewer.add_image(np.zeros((5, *SHAPE), np.uint8), name="other", scale=(2, 0.5, 0.5))
    viewer.layers.remove("stack")
    qtbot.waitUntil(lambda: shown.visible)  # to be drawn in view before it goes
    assert (shown.translate[0], shown.opacity) == (0, 0)
    qtbot.waitUntil(lambda: "stack CRF preview" not in viewer.layers)


def test_results_of_an_image_with_channels_fit(qapp):
    viewer = ViewerModel()
    viewer.add_image(np.zeros((3, 2, *SHAPE), np.uint8), name="stack")
    chances = maps(shape=(3, *SHAPE))
    add_result(viewer, "stack", "stack", chances, "ZCYX")
    assert viewer.layers[-1].data.shape == (3, 2, *SHAPE)
    target = target_of(viewer, "stack", "ZCYX")
    source = find_sources(viewer, target)[0]
    np.testing.assert_array_equal(source.beliefs(None).probabilities, chances)
    np.testing.assert_array_equal(
        source.beliefs((1,), (2, 9, 3, 7)).probabilities, chances[:, 1, 2:9, 3:7]
    )
    strangers = viewer.add_labels(np.zeros((3, 2, *SHAPE), np.uint8))  # one of its own for each channel
    assert fit_layer(strangers, target) is None


def test_results_have_the_colours_and_names_of_their_classes(viewer, make, engine, qtbot):
    add_result(viewer, "cells", "plane", maps(), "YX")
    panel = make(viewer)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    with qtbot.waitSignal(panel.previewed):
        give(engine.jobs[-1])
    panel.bar.buttons["plane"].click()
    with qtbot.waitSignal(panel.runFinished):
        engine.jobs[-1].give(refinement(np.ones(SHAPE, np.uint8)))
    panel.view.layers.click()
    cell = ref("semantic").spec.classes[1]
    for name in ("cells CRF preview", "cells CRF", "cells before CRF"):
        layer = viewer.layers[name]
        assert list(layer.features["class"]) == ["background", "cell"]
        assert layer.get_color(0) is None  # clear
        np.testing.assert_allclose(layer.get_color(1)[:3], rgb(cell.colour), atol=0.01)
    shown = viewer.layers["cells after CRF, score of cell"].colormap.colors[-1]
    np.testing.assert_allclose(shown[:3], rgb(cell.colour), atol=0.01)


def test_zero_beside_a_class_named_background_is_another_and_both_are_clear(viewer):
    """As in the live prediction of Annotate, where 0 was not in view yet."""
    given = class_infos(("background", "object"))
    layer = viewer.add_labels(np.zeros((4, 4), int), **class_colours(given))
    classes = label_classes(layer, (0, 1, 2))
    assert [one.name for one in classes] == ["unlabelled", "background", "object"]
    colours = class_colours(classes, (0, 1, 2))["colormap"].color_dict
    assert [float(colours[n][3]) for n in (0, 1, 2)] == [0, 0, 1]
    assert [one.name for one in label_classes(layer, (1, 2))] == ["background", "object"]


@pytest.mark.parametrize("kind", ["prediction", "strokes", "named otherwise"])
def test_where_nothing_is_predicted_or_painted_all_classes_are_alike(viewer, make, engine, qtbot, kind):
    given = class_infos(("one", "other") if kind != "named otherwise" else ("background", "object"))
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[:9], drawn[9:20] = 1, 2
    about = {
        "prediction": {OUTPUT: dict(key="live prediction of cells", name="drawn")},
        "strokes": dict(class_names=("one", "other")),
        "named otherwise": {},
    }[kind]
    looks = {} if kind == "strokes" else class_colours(given)
    viewer.add_labels(drawn, name="drawn", metadata=about, **looks)
    panel = make(viewer)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    chances = np.asarray(engine.jobs[-1].arguments["probabilities"])
    assert chances.shape == (2, *SHAPE)
    np.testing.assert_allclose(chances[:, (0, 9, 20), 0], [(0.7, 0.3, 0.5), (0.3, 0.7, 0.5)])
    source = panel.beliefs.source()
    assert source.values == (1, 2)
    assert [about.name for about in source.beliefs(()).classes] == [one.name for one in given]


def test_before_the_crf_nothing_is_shown_where_strokes_say_nothing(viewer, make, engine, qtbot):
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[:9], drawn[9:20] = 1, 2
    viewer.add_labels(drawn, name="drawn", metadata=dict(class_names=("one", "other")))
    panel = make(viewer)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    with qtbot.waitSignal(panel.previewed):
        give(engine.jobs[-1])
    shown = viewer.layers["cells CRF preview"]
    assert shown.data.all()
    panel.view.swipe.setValue(panel.view.swipe.maximum())
    np.testing.assert_array_equal(shown.data, drawn)
    panel.view.swipe.setValue(0)
    panel.view.iteration.setValue(0)
    np.testing.assert_array_equal(shown.data, drawn)
    panel.view.layers.click()
    np.testing.assert_array_equal(viewer.layers["cells before CRF"].data, drawn)


def test_a_plane_without_strokes_is_told(make, engine, qtbot):
    drawn = np.zeros((5, *SHAPE), np.uint8)
    drawn[1, :9], drawn[1, 9:20] = 1, 2
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5, *SHAPE), np.uint8), name="stack")
    viewer.add_labels(drawn, name="drawn", metadata=dict(class_names=("one", "other")))
    viewer.dims.set_point(0, 0)
    panel = make(viewer)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    with qtbot.waitSignal(panel.previewed):
        give(engine.jobs[-1])
    assert "nothing that is in view is labelled" in panel.message.text()


def test_another_source_brings_its_own_colours(viewer, make, engine, qtbot):
    add_result(viewer, "cells", "plane", maps(), "YX")
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[:9], drawn[9:20] = 4, 7
    viewer.add_labels(drawn, name="drawn", features={"index": [4, 7], "class": ["nut", "bolt"]})
    panel = make(viewer)
    panel.beliefs.combo.setCurrentIndex(0)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    with qtbot.waitSignal(panel.previewed):
        give(engine.jobs[-1])
    panel.beliefs.combo.setCurrentText("drawn (labels)")
    qtbot.waitUntil(lambda: engine.jobs[-1].arguments["probabilities"].shape[0] == 3)
    with qtbot.waitSignal(panel.previewed):
        give(engine.jobs[-1])
    layer = viewer.layers["cells CRF preview"]
    assert list(layer.features["class"]) == ["background", "nut", "bolt"]
    np.testing.assert_allclose(layer.get_color(7), viewer.layers["drawn"].get_color(7), atol=0.01)


def test_coarse_scores_of_a_deeplab_lie_on_their_pixels(viewer, make, engine, qtbot, monkeypatch):
    region = (5, 37, 10, 42)
    monkeypatch.setattr(crf_plan, "visible_region", lambda *_: region)
    add_result(viewer, "cells", "plane", maps(), "YX", architecture="deeplab")
    panel = make(viewer)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    with qtbot.waitSignal(panel.previewed):
        give(engine.jobs[-1])
    panel.view.layers.click()
    coarse = viewer.layers["cells every 8 pixels, score of cell"]
    np.testing.assert_array_equal(coarse.data, maps()[1, 8:37:8, 16:42:8])
    np.testing.assert_allclose(coarse.scale, (4.0, 4.0))
    image = viewer.layers["cells"]
    np.testing.assert_allclose(coarse.data_to_world((1, 2)), image.data_to_world((16, 32)))


def test_a_network_of_full_size_has_no_coarse_scores(viewer, make, engine, qtbot):
    add_result(viewer, "cells", "plane", maps(), "YX", architecture="unet")
    panel = make(viewer)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    with qtbot.waitSignal(panel.previewed):
        give(engine.jobs[-1])
    panel.view.layers.click()
    assert not any("every" in layer.name for layer in viewer.layers)


def test_only_annotations_that_fit_the_classes_are_offered(viewer, make, engine, qtbot):
    viewer.add_image(maps(), name="scores")
    viewer.add_labels(np.arange(1920).reshape(SHAPE), name="objects")
    strokes = np.zeros(SHAPE, np.uint8)
    for name, numbers in (("empty", ()), ("three", (1, 3)), ("good", (1, 2))):
        painted = strokes.copy()
        for row, number in enumerate(numbers):
            painted[row] = number
        viewer.add_labels(painted, name=name)
    panel = make(viewer)
    offers = panel.tuning.annotation
    qtbot.waitUntil(lambda: [offer.name for offer in offers.offers] == ["good", "empty"])
    assert offers.currentText() == "good"
    viewer.layers["three"].data = np.where(viewer.layers["three"].data == 3, 2, 1)
    qtbot.waitUntil(lambda: len(offers.offers) == 3)
    offers.setCurrentText("empty")
    viewer.add_labels(viewer.layers["good"].data, name="better")
    qtbot.waitUntil(lambda: len(offers.offers) == 4)
    assert offers.currentText() == "empty"  # what was chosen by hand stays


def test_the_source_is_no_annotation_of_itself(viewer, make, engine, qtbot):
    drawn = np.zeros(SHAPE, np.uint8)
    drawn[:9], drawn[9:20] = 1, 2
    viewer.add_labels(drawn, name="drawn")
    panel = make(viewer)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    assert panel.tuning.annotation.current() is None
    assert "no labels" in panel.tuning.annotation.placeholderText()
    assert not panel.tuning.button.isEnabled()
    assert "nothing to judge by" in panel.tuning.button.toolTip()


def test_a_renamed_layer_is_offered_by_its_new_name(viewer, make):
    viewer.add_image(maps(), name="scores")
    panel = make(viewer)
    viewer.layers["scores"].name = "chances"
    assert panel.beliefs.combo.currentText() == "chances"


def test_names_of_the_samples_are_not_cut(make_napari_viewer_proxy, make):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.zeros(SHAPE, np.uint8), name="tissue")
    viewer.add_labels(np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) % 2, name="tissue truth")
    panel = make(viewer)
    panel.resize(panel.minimumSizeHint())  # as it is docked
    panel.show()
    combo, option = panel.beliefs.combo, QStyleOptionComboBox()
    assert combo.currentText() == "tissue truth (labels)"
    combo.initStyleOption(option)
    part = QStyle.SubControl.SC_ComboBoxEditField
    room = combo.style().subControlRect(QStyle.ComplexControl.CC_ComboBox, option, part, combo)
    assert combo.fontMetrics().horizontalAdvance(combo.currentText()) <= room.width()


def test_texts_of_the_panel(viewer, make):
    panel = make(viewer)
    assert "parameters stay" in panel.tuning.progress.cancel.toolTip()
    assert "line" not in HELP["swipe"]  # none is drawn


def test_a_closed_panel_follows_no_layer(viewer, make, qtbot, engine):
    viewer.add_image(maps(), name="scores")
    viewer.add_labels(np.eye(*SHAPE, dtype=np.uint8), name="drawn")
    panel = make(viewer)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    panel.shut_down()
    jobs = len(engine.jobs)
    viewer.layers["scores"].data = maps(3)
    viewer.layers["drawn"].data = np.ones(SHAPE, np.uint8)
    qtbot.wait(100)
    assert len(engine.jobs) == jobs


def test_a_stack_is_not_fed_with_a_part_of_it(qapp):
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5, *SHAPE), np.uint8), name="stack")
    add_result(viewer, "stack", "plane", maps(shape=(1, *SHAPE)), "ZYX")
    source = find_sources(viewer, target_of(viewer, "stack", "ZYX"))[0]
    assert source.beliefs((viewer.dims.current_step[0],)).probabilities.shape == (2, *SHAPE)
    with pytest.raises(InputError, match="predict the whole stack"):
        source.beliefs(None)


def test_a_preview_feeds_the_crf_with_what_it_covers(qapp):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((3, *SHAPE), np.uint8), name="stack", scale=(2, 0.5, 0.5))
    viewer.dims.set_current_step(0, 1)
    image.corner_pixels = np.array([[1, 10, 4], [1, 29, 43]])
    chances = maps(shape=(1, 20, 40))
    add_result(viewer, "stack", "view", chances, "ZYX")
    target = target_of(viewer, "stack", "ZYX")
    source = find_sources(viewer, target)[0]
    assert source.window == (10, 30, 4, 44)
    found = source.beliefs((1,), (12, 20, 5, 9)).probabilities
    np.testing.assert_array_equal(found, chances[:, 0, 2:10, 1:5])

    def plan(kind):
        return crf_plan.plan_refinement(viewer, image, target.block, source, CRFSettings(), kind)

    assert plan("plane").region == plan("view").region == (10, 30, 4, 44)
    image.corner_pixels = np.array([[1, 20, 0], [1, 39, 19]])
    assert plan("view").region == (20, 30, 4, 20)
    assert plan("view").beliefs.probabilities.shape == (2, 10, 16)
    image.corner_pixels = np.array([[1, 32, 0], [1, 39, 47]])
    with pytest.raises(NothingToRefine, match="another part of the image"):
        plan("view")
    with pytest.raises(InputError, match="predict the whole stack"):
        plan("stack")
    with pytest.raises(InputError, match="predict the whole image"):
        source.beliefs((1,))


def test_what_came_of_a_preview_lies_where_the_preview_does(viewer, make, qtbot, engine):
    viewer.layers["cells"].corner_pixels = np.array([[10, 4], [29, 43]])
    add_result(viewer, "cells", "view", maps(shape=(20, 40)), "YX")
    panel = make(viewer)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    panel.bar.buttons["plane"].click()
    job = engine.jobs[-1]
    assert job.arguments["region"] == (10, 30, 4, 44)
    give(job)
    qtbot.waitUntil(lambda: "cells CRF" in viewer.layers)
    refined = viewer.layers["cells CRF"]
    assert refined.data.shape == (20, 40)
    image = viewer.layers["cells"]
    np.testing.assert_allclose(refined.data_to_world((0, 0)), image.data_to_world((10, 4)))


def rgb(colour):
    return [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
