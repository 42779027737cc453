"""The CRF panel: what it asks for, what it shows, and that it lets go."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_papernets.core.crf_settings import CRFSettings
from napari_papernets.core.errors import EngineError, InputError
from napari_papernets.core.events import CRFTrial, Notice, Refined, Started
from napari_papernets.core.results import Refinement, TunedCRF
from napari_papernets.widgets.belief_sources import find_sources
from napari_papernets.widgets.belief_view import swiped
from napari_papernets.widgets.beliefs import soften
from napari_papernets.widgets.crf_form import CRFForm
from napari_papernets.widgets.crf_panel import CRFPanel
from napari_papernets.widgets.energy_plot import rises
from napari_papernets.widgets.image_layers import block_of
from napari_papernets.widgets.job_adapter import JobAdapter
from napari_papernets.widgets.label_numbers import OBJECTS
from napari_papernets.widgets.layer_parts import Target
from napari_papernets.widgets.outputs import OUTPUT
from napari_papernets.widgets.probability_layers import CLASSES

pytestmark = pytest.mark.gui
SHAPE = (40, 50)


def maps(shape=SHAPE, classes=2):
    rng = np.random.default_rng(0)
    found = rng.random((classes, *shape)).astype(np.float32)
    return found / found.sum(0)


def refinement(labels, energies=(5.0, 4.0, 4.5), notices=(), classes=2):
    hot = (labels == np.arange(1, classes + 1).reshape(-1, *[1] * labels.ndim)).astype(np.float32)
    account = dict(notices=list(notices), seconds=0.2, command="papernets refine")
    return Refinement(hot, labels, (tuple(energies),), account)


@pytest.fixture
def viewer(qapp):
    """A viewer without a window, with an image and probabilities of two classes."""
    viewer = ViewerModel()
    viewer.add_image(np.random.default_rng(1).integers(0, 255, SHAPE).astype(np.uint8), name="cells",
                     scale=(0.5, 0.5))  # fmt: skip
    viewer.add_image(maps(), name="scores")
    return viewer


@pytest.fixture
def panel(viewer, qtbot, engine):
    panel = CRFPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    panel.image.combo.setCurrentIndex(0)
    qtbot.waitUntil(lambda: len(engine.jobs) > 0)
    return panel


def answer(job, labels, energies=(5.0, 4.0, 4.5), **more):
    """Play a refinement of two iterations."""
    job.tell(Started(2, "iteration"))
    for n, energy in enumerate(energies):
        flipped = labels if n == len(energies) - 1 else np.ones_like(labels)
        if n == 0:
            flipped = np.asarray(job.arguments["probabilities"]).argmax(0).astype(np.uint8) + np.uint8(1)
        job.tell(Refined((), n, n, 2, energy, n == 2, flipped, None))
    job.give(refinement(labels, energies, **more))


def target_of(viewer, name, axes):
    return Target(viewer.layers[name], block_of(viewer.layers[name], axes))


def labels(shape=SHAPE):
    found = np.ones(shape, np.uint8)
    found[10:20, 10:20] = 2
    return found


def test_what_is_in_view_is_refined_at_once(panel, viewer, engine, qtbot):
    job = engine.jobs[0]
    assert job.verb == "refine"
    assert job.arguments["settings"] == CRFSettings()
    assert job.arguments["keep"]
    np.testing.assert_array_equal(job.arguments["probabilities"], viewer.layers["scores"].data)
    with qtbot.waitSignal(panel.previewed):
        answer(job, labels())
    layer = viewer.layers["cells CRF preview"]
    np.testing.assert_array_equal(layer.data, labels())
    np.testing.assert_array_equal(layer.scale, (0.5, 0.5))
    told = tuple(e / 2000 for e in (5.0, 4.0, 4.5))
    qtbot.waitUntil(lambda: panel.view.plot.energies == told)
    assert (panel.view.iteration.value(), panel.view.iteration.maximum()) == (2, 2)


def test_an_error_goes_with_the_next_preview_that_succeeds(panel, engine, qtbot):
    engine.jobs[0].fail(EngineError("it stopped"))
    qtbot.waitUntil(lambda: panel.message.is_error)
    panel.previews.request()
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    with qtbot.waitSignal(panel.previewed):
        answer(engine.jobs[1], labels())
    assert not panel.message.text()
    panel.message.complain("something else")
    panel.bar.buttons["view"].click()
    qtbot.waitUntil(lambda: not panel.message.text())


WORDS = "give one map for each class, classes first: shape (K, 40, 50) for cells"
SIZE = "make them as large as the image: shape (2, 40, 50)"
DIVIDE = "divide them by 255, as numbers with a fraction"
DIVIDE16 = DIVIDE.replace("255", "65535")


@pytest.mark.parametrize(
    ("added", "told"),
    [
        (np.moveaxis(maps(classes=3), 0, -1), f"shape (40, 50, 3); {WORDS}"),
        (maps((20, 25)), f"maps of shape (20, 25); {SIZE}"),
        ((255 * maps()).astype(np.uint8), f"whole numbers up to 255; {DIVIDE}"),
        ((65535 * maps(classes=3)).astype(np.uint16), "whole numbers up to 65535; " + DIVIDE16),
        (
            (255 * np.moveaxis(maps(), 0, -1)).astype(np.uint8),
            f"shape (40, 50, 2); {WORDS}, and {DIVIDE}",
        ),
        (np.random.default_rng(0).integers(0, 255, (3, *SHAPE)).astype(np.uint8), ""),  # a movie
        (maps()[0], "one class alone; put the map of the rest, 1 − p, before it: shape (2, 40, 50)"),
        (maps()[:1], "one class alone; put the map of the rest, 1 − p, before it: shape (2, 40, 50)"),
        (maps(classes=25), "25 classes; join some of them: the panel takes 2 to 20"),
        (maps(), ""),
        (1000 * maps()[0], ""),  # a second stain
        (np.zeros((7, 20, 25), np.float32), ""),  # another image
    ],
)
def test_what_looks_like_probabilities_and_is_none_is_told_with_the_mend(qtbot, engine, added, told):
    viewer = ViewerModel()
    viewer.add_image(np.arange(2000).reshape(SHAPE).astype(np.uint8), name="cells")
    panel = CRFPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    viewer.add_image(added, name="scores", rgb=False)
    qtbot.wait(50)
    begun = "“scores” is taken for an image: as probabilities of “cells” it has "
    assert panel.beliefs.unfit.text() == (f"{begun}{told}." if told else "")
    panel.image.choose(viewer.layers["cells"])
    assert panel.beliefs.unfit.isHidden()


def test_probabilities_that_are_taken_for_colours_are_told_by_the_names_of_now(qtbot, engine):
    viewer = ViewerModel()
    image = viewer.add_image(np.arange(2000).reshape(SHAPE).astype(np.uint8), name="cells")
    panel = CRFPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    softmax = viewer.add_image(np.moveaxis(maps(classes=3), 0, -1), name="softmax")
    assert softmax.rgb
    begun = "“softmax” is taken for an image: as probabilities of “cells” it has shape (40, 50, 3)"
    assert panel.beliefs.unfit.text().startswith(begun)
    softmax.name, image.name = "scores", "tissue"
    assert panel.beliefs.unfit.text().startswith(
        "“scores” is taken for an image: as probabilities of “tissue”"
    )
    viewer.layers.remove(image)
    assert panel.beliefs.unfit.isHidden()


def test_added_probabilities_are_what_to_start_from(qtbot, engine):
    viewer = ViewerModel()
    viewer.add_image(np.arange(2000).reshape(SHAPE).astype(np.uint8), name="cells")
    panel = CRFPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    viewer.add_image(maps(), name="scores")
    qtbot.waitUntil(lambda: panel.image.combo.currentText() == "cells")
    assert panel.beliefs.combo.currentText() == "scores"
    viewer.add_image(np.zeros((20, 20), np.uint8), name="another")  # which has none
    qtbot.wait(50)
    assert panel.image.combo.currentText() == "another"


def test_probabilities_that_come_again_after_they_were_removed_are_no_image_either(qtbot, engine):
    viewer = ViewerModel()
    viewer.add_image(np.arange(2000).reshape(SHAPE).astype(np.uint8), name="cells")
    panel = CRFPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    for _ in range(3):
        scores = viewer.add_image(maps(), name="scores")
        qtbot.waitUntil(lambda: panel.beliefs.combo.currentText() == "scores")
        assert panel.image.combo.currentText() == "cells"
        viewer.layers.remove(scores)


def test_a_slider_asks_again_and_of_many_changes_only_the_newest_counts(panel, engine, qtbot):
    for w1 in (6.0, 7.0, 8.0):
        panel.form.sliders["w1"].setValue(w1)
    qtbot.wait(120)
    assert len(engine.jobs) == 1  # the first is on its way
    answer(engine.jobs[0], labels())
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert engine.jobs[1].arguments["settings"].w1 == 8.0


@pytest.mark.parametrize("touch", ["slider", "preview", "source", "confidence"])
def test_labels_are_not_refined_before_anybody_asks(qtbot, engine, touch):
    viewer = ViewerModel()
    viewer.add_image(np.zeros(SHAPE, np.uint8), name="cells")
    for name in ("truth", "other"):
        viewer.add_labels(labels(), name=name)
    panel = CRFPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    qtbot.waitUntil(lambda: "Move a slider, or press Preview" in panel.message.text())
    assert not engine.jobs
    {
        "slider": lambda: panel.form.sliders["w1"].setValue(7),
        "preview": panel.bar.buttons["view"].click,
        "source": lambda: panel.beliefs.combo.setCurrentIndex(1),
        "confidence": lambda: panel.beliefs.confidence.setValue(0.9),
    }[touch]()
    qtbot.waitUntil(lambda: bool(engine.jobs))
    with qtbot.waitSignal(panel.previewed):
        engine.jobs[-1].give(refinement(labels()))
    assert not panel.message.text()


def test_it_previews_while_the_hand_moves(panel, engine, qtbot):
    answer(engine.jobs[0], labels())
    for w1 in range(6, 18):
        panel.form.sliders["w1"].setValue(w1)
        qtbot.wait(20)
    assert len(engine.jobs) > 1


def test_a_preview_writes_into_the_layer_that_is_there(panel, viewer, engine, qtbot):
    with qtbot.waitSignal(panel.previewed):
        answer(engine.jobs[0], labels())
    layer = viewer.layers["cells CRF preview"]
    array, drawn = layer.data, []
    layer.events.set_data.connect(lambda _: drawn.append(1))
    panel.previews.request()
    with qtbot.waitSignal(panel.previewed):
        answer(engine.jobs[1], np.full(SHAPE, 2, np.uint8))
    assert layer.data is array
    assert (array == 2).all()
    assert drawn


def test_an_answer_for_another_source_is_dropped(panel, viewer, engine, qtbot):
    viewer.add_labels(labels(), name="drawn")
    panel.beliefs.combo.setCurrentText("drawn (labels)")
    answer(engine.jobs[0], labels())
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    assert "cells CRF preview" not in viewer.layers
    soft = np.asarray(engine.jobs[1].arguments["probabilities"])
    assert soft.shape == (2, *SHAPE)
    assert soft.max() == pytest.approx(0.7)


def test_scrubbing_and_swiping_show_other_labels(panel, viewer, engine, qtbot):
    with qtbot.waitSignal(panel.previewed):
        answer(engine.jobs[0], labels())
    layer = viewer.layers["cells CRF preview"]
    panel.view.iteration.setValue(1)
    assert (layer.data == 1).all()
    assert panel.view.number.text() == "1 of 2"
    panel.view.iteration.setValue(2)
    panel.view.swipe.setValue(500)
    before = viewer.layers["scores"].data.argmax(0) + 1
    np.testing.assert_array_equal(layer.data[:, :25], before[:, :25])
    np.testing.assert_array_equal(layer.data[:, 25:], labels()[:, 25:])
    with qtbot.waitSignal(panel.previewed):
        panel.previews.request()
        answer(engine.jobs[-1], labels())
    np.testing.assert_array_equal(layer.data[:, :25], before[:, :25])


def test_score_maps_become_layers(panel, viewer, engine, qtbot):
    with qtbot.waitSignal(panel.previewed):
        answer(engine.jobs[0], labels())
    panel.view.layers.click()
    names = [layer.name for layer in viewer.layers]
    assert "cells before CRF, score of class 2" in names
    assert "cells after CRF, score of class 1" in names
    assert "cells before CRF" in names
    np.testing.assert_array_equal(
        viewer.layers["cells before CRF, score of class 2"].data, viewer.layers["scores"].data[1]
    )


def test_a_whole_image_becomes_a_layer_with_its_provenance(panel, viewer, engine, qtbot):
    panel.bar.buttons["plane"].click()
    job = engine.jobs[-1]
    assert job.arguments["region"] is None
    assert not job.arguments["keep"]
    job.tell(Started(2, "iteration"))
    job.tell(Refined((), 1, 1, 2, 4.0, False, None, None))
    job.tell(Notice("the image is constant"))
    with qtbot.waitSignal(panel.runFinished) as finished:
        job.give(refinement(labels(), notices=["the image is constant"]))
    layer = finished.args[0]
    assert layer.name == "cells CRF"
    assert layer.metadata["papernets"]["command"] == "papernets refine"
    assert "changed class" in panel.message.text()
    assert "constant" in panel.message.text()
    assert not panel.bar.cancel.isEnabled()


def test_the_preview_and_a_whole_result_are_not_seen_together(panel, viewer, engine, qtbot):
    with qtbot.waitSignal(panel.previewed):
        answer(engine.jobs[0], labels())
    preview = viewer.layers["cells CRF preview"]
    assert preview.visible
    panel.bar.buttons["plane"].click()
    with qtbot.waitSignal(panel.runFinished):
        engine.jobs[-1].give(refinement(labels()))
    whole = viewer.layers["cells CRF"]
    assert (preview.visible, whole.visible) == (False, True)
    panel.view.swipe.setValue(20)
    assert (preview.visible, whole.visible) == (True, False)
    whole.visible = True  # what the user shows stays
    panel.view.swipe.setValue(30)
    assert whole.visible


def test_a_whole_result_is_seen_each_time(panel, viewer, engine, qtbot):
    with qtbot.waitSignal(panel.previewed):
        answer(engine.jobs[0], labels())
    for share in (20, 30):
        panel.bar.buttons["plane"].click()
        with qtbot.waitSignal(panel.runFinished):
            engine.jobs[-1].give(refinement(labels()))
        seen = [viewer.layers[name].visible for name in ("cells CRF preview", "cells CRF")]
        assert seen == [False, True]
        panel.view.swipe.setValue(share)  # the preview takes over


def test_probabilities_are_preferred_to_the_labels_that_came_before_them(qtbot, engine):
    """As the layers of a result of the U-Net do."""
    viewer = ViewerModel()
    viewer.add_image(np.arange(2000).reshape(SHAPE).astype(np.uint8), name="cells")
    panel = CRFPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    viewer.add_labels(labels(), name="found")
    assert "found" in panel.beliefs.combo.currentText()
    viewer.layers.append(Image(maps(), name="scores"))
    qtbot.waitUntil(lambda: panel.beliefs.combo.currentText() == "scores")
    panel.beliefs.combo.setCurrentIndex(1)
    viewer.add_image(maps(), name="more scores")
    assert "found" in panel.beliefs.combo.currentText()


def test_a_run_ends_when_its_image_is_removed(panel, viewer, engine, qtbot):
    listening = len(viewer.layers.events.removed.callbacks)
    panel.bar.buttons["stack"].click()
    assert len(viewer.layers.events.removed.callbacks) == listening + 1
    job = next(j for j in engine.jobs if j.arguments.get("show") == "nothing")
    viewer.layers.remove("cells")
    assert job.cancelled
    assert "the image cells was removed: nothing was changed" in panel.message.text()
    assert not panel.bar.cancel.isEnabled()


def test_cancel_touches_nothing(panel, viewer, engine, qtbot):
    panel.bar.buttons["plane"].click()
    job = engine.jobs[-1]
    panel.bar.cancel.click()
    assert job.cancelled
    assert not panel.control.is_running
    job.give(refinement(labels()))
    qtbot.wait(20)
    assert "cells CRF" not in viewer.layers


def test_a_stack_is_previewed_by_plane_and_run_as_a_whole(qtbot, engine):
    viewer = ViewerModel()
    stack = np.random.default_rng(0).integers(0, 255, (3, *SHAPE)).astype(np.uint8)
    viewer.add_image(np.repeat(stack, 2, 0)[:5], name="stack")
    viewer.add_image(maps((5, *SHAPE)), name="scores")
    panel = CRFPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    panel.image.combo.setCurrentIndex(0)
    panel.beliefs.combo.setCurrentText("scores")
    viewer.dims.set_point(1, 3)
    qtbot.waitUntil(lambda: bool(engine.jobs))
    with qtbot.waitSignal(panel.previewed):
        answer(engine.jobs[-1], labels())
        while panel.previews.jobs.busy:
            qtbot.wait(20)
            answer(engine.jobs[-1], labels())
    np.testing.assert_array_equal(
        engine.jobs[-1].arguments["probabilities"], viewer.layers["scores"].data[:, 3]
    )
    shown = viewer.layers["stack CRF preview"]
    assert shown.data.shape == (1, *SHAPE)
    assert shown.translate[0] == 3
    panel.bar.buttons["stack"].click()
    assert engine.jobs[-1].arguments["probabilities"].shape == (2, 5, *SHAPE)
    with qtbot.waitSignal(panel.runFinished):
        engine.jobs[-1].give(refinement(np.stack([labels()] * 5)))
    assert viewer.layers["stack CRF"].data.shape == (5, *SHAPE)


def test_tuning_takes_settings_over_where_they_help(panel, viewer, engine, qtbot):
    painted = np.zeros(SHAPE, np.uint8)
    painted[2:4], painted[30:32] = 1, 2
    viewer.add_labels(painted, name="strokes")
    qtbot.waitUntil(lambda: panel.tuning.annotation.currentText() == "strokes")
    panel.tuning.button.click()
    job = engine.jobs[-1]
    assert job.verb == "tune_crf"
    np.testing.assert_array_equal(job.arguments["annotation"], painted)
    best = CRFSettings(w1=8.0, sigma_beta=4.0)
    job.tell(Started(9, "trial"))
    job.tell(CRFTrial(1, 9, best, 0.5, 0.6))
    qtbot.waitUntil(lambda: panel.tuning.progress.bar.value() == 1)
    with qtbot.waitSignal(panel.tuning.tuned):
        job.give(TunedCRF(best, True, 0.5, 0.6, 0.8, 0.9, 99, "the CRF helps: 0.5 → 0.6", ()))
    assert panel.settings() == best
    assert panel.message.text().startswith("The CRF helps")
    assert "seem not to match" not in panel.message.text()


def test_a_search_on_another_annotation_is_told(panel, viewer, engine, qtbot):
    viewer.add_labels(labels(), name="truth")
    qtbot.waitUntil(lambda: panel.tuning.annotation.currentText() == "truth")
    panel.tuning.button.click()
    found = TunedCRF(CRFSettings(), True, 0.126, 0.157, 0.2, 0.2, 99, "the CRF helps: 0.126 → 0.157", ())
    with qtbot.waitSignal(panel.tuning.tuned):
        engine.jobs[-1].give(found)
    assert "0.157. The annotation and the probabilities seem not to match" in panel.message.text()


def test_what_the_engine_ends_is_over_here_too(panel, viewer, engine, qtbot):
    viewer.add_labels(labels(), name="truth")
    qtbot.waitUntil(lambda: panel.tuning.annotation.currentText() == "truth")
    for button, verb in ((panel.tuning.button, "tune_crf"), (panel.bar.buttons["plane"], "refine")):
        button.click()
        assert engine.jobs[-1].verb == verb
        assert not button.isEnabled()
        engine.jobs[-1].end()
        qtbot.waitUntil(button.isEnabled)
        assert panel.message.text().startswith("Cancelled")
    parts = (panel.control, panel.tuning)
    qtbot.waitUntil(lambda: not any(part.findChildren(JobAdapter) for part in parts))


@pytest.mark.parametrize("gone", ["cells", "truth"])
def test_a_search_ends_when_its_image_or_annotation_is_removed(panel, viewer, engine, qtbot, gone):
    viewer.add_labels(labels(), name="truth")
    qtbot.waitUntil(lambda: panel.tuning.annotation.currentText() == "truth")
    listening = len(viewer.layers.events.removed.callbacks)
    panel.tuning.button.click()
    job = engine.jobs[-1]
    viewer.layers.remove(gone)
    assert job.cancelled
    assert not panel.tuning.is_running
    assert len(viewer.layers.events.removed.callbacks) == listening
    assert f"since {gone} was removed" in panel.message.text()


def test_without_annotation_there_is_nothing_to_tune_on(panel, viewer, qtbot):
    assert not panel.tuning.button.isEnabled()
    assert "nothing to judge by" in panel.tuning.button.toolTip()
    viewer.add_labels(labels(), name="truth")
    qtbot.waitUntil(panel.tuning.button.isEnabled)  # its classes are looked up beside the window
    viewer.layers.remove("truth")
    assert not panel.tuning.button.isEnabled()


def test_a_preview_goes_with_its_image(panel, viewer, engine, qtbot):
    with qtbot.waitSignal(panel.previewed):
        answer(engine.jobs[0], labels())
    assert "cells CRF preview" in viewer.layers
    viewer.add_image(np.zeros(SHAPE, np.uint8), name="another")
    viewer.layers.remove("cells")
    qtbot.waitUntil(lambda: "cells CRF preview" not in viewer.layers)


def test_tuning_leaves_the_crf_off_where_it_harms(panel, viewer, engine, qtbot):
    with qtbot.waitSignal(panel.previewed):
        answer(engine.jobs[0], labels())
    viewer.add_labels(labels(), name="older")
    viewer.add_labels(labels(), name="truth")
    qtbot.waitUntil(lambda: panel.tuning.annotation.currentText() == "truth")  # the newest
    panel.tuning.button.click()
    worse = TunedCRF(
        CRFSettings(w1=9.0), False, 0.6, 0.5, 0.9, 0.8, 99, "makes it worse; leave it off", ()
    )
    with qtbot.waitSignal(panel.tuning.tuned):
        engine.jobs[-1].give(worse)
    assert not panel.previews.live.isChecked()
    assert "leave it off. Live preview is off now" in panel.message.text()
    assert "cells CRF preview" not in viewer.layers
    assert panel.settings() == CRFSettings()


def test_errors_are_told_in_red(panel, engine, qtbot):
    engine.jobs[0].fail(InputError("probabilities", "sums from 2", "let them sum to 1"))
    qtbot.waitUntil(lambda: panel.message.is_error)
    assert "sum to 1" in panel.message.text()


def test_without_probabilities_it_waits_and_its_buttons_say_why(qtbot, engine):
    viewer = ViewerModel()
    viewer.add_image(np.zeros(SHAPE, np.uint8), name="cells")
    panel = CRFPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    qtbot.wait(120)
    assert not engine.jobs
    assert not panel.message.is_error
    buttons = (*panel.bar.buttons.values(), panel.tuning.button)
    assert not any(button.isEnabled() for button in buttons)
    assert all("Probability layers" in button.toolTip() for button in buttons)
    viewer.add_labels(labels(), name="drawn")
    panel.bar.buttons["view"].click()
    qtbot.waitUntil(lambda: len(engine.jobs) == 1)


def test_probabilities_that_go_while_they_wait_for_their_turn_are_no_error(panel, viewer, engine, qtbot):
    viewer.add_image(np.zeros((9, 9), np.uint8), name="other")
    panel.image.combo.setCurrentText("cells")
    qtbot.waitUntil(lambda: panel.beliefs.combo.currentText() == "scores")
    panel.previews.request()  # while the first is on its way
    viewer.layers.remove("scores")
    answer(engine.jobs[0], labels())
    qtbot.wait(120)
    assert not panel.message.text()
    assert len(engine.jobs) == 1


def test_what_was_waited_for_is_forgotten_when_it_comes(panel, engine, qtbot):
    panel.previews.jobs.waiting.emit("Waiting for the engine to start.")
    assert panel.message.text() == "Waiting for the engine to start."
    with qtbot.waitSignal(panel.previewed):
        answer(engine.jobs[0], labels())
    assert panel.message.text() == ""


def test_what_a_search_tells_outlives_previews(panel, engine, qtbot):
    with qtbot.waitSignal(panel.previewed):
        answer(engine.jobs[0], labels(), notices=["the image is constant"])
    panel.tuning.told.emit("The CRF helps.")
    with qtbot.waitSignal(panel.previewed):
        panel.previews.request()
        answer(engine.jobs[-1], labels())
    assert panel.message.text() == "The CRF helps."


def test_a_panel_that_is_closed_at_once_does_not_take_the_engine_again(viewer, engine, qtbot):
    panel = CRFPanel(viewer, engine=engine)
    qtbot.addWidget(panel)
    panel.shut_down()
    qtbot.wait(400)
    assert not engine.started


def test_a_destroyed_panel_lets_go_of_the_viewer_and_drops_what_runs(viewer, engine, qtbot):
    events = viewer.layers.events.inserted, viewer.dims.events.current_step
    before = [len(event.callbacks) for event in events]
    panel = CRFPanel(viewer, engine=engine)
    qtbot.waitUntil(lambda: len(engine.jobs) == 1)
    panel.bar.buttons["plane"].click()
    qtbot.waitUntil(lambda: len(engine.jobs) == 2)
    with qtbot.waitSignal(panel.destroyed):
        panel.deleteLater()
    assert [len(event.callbacks) for event in events] == before
    assert all(job.cancelled for job in engine.jobs)


def test_settings_are_remembered(panel, viewer, engine, qtbot):
    panel.form.setValue(CRFSettings(w1=7.5))
    panel.shut_down()
    again = CRFPanel(viewer, engine=engine)
    qtbot.addWidget(again)
    assert again.settings().w1 == 7.5


def test_results_of_this_plugin_are_offered_first(viewer):
    for name, values in zip(("background", "cell"), maps(), strict=True):
        layer = viewer.add_image(values, name=f"cells toy p({name})")
        layer.metadata[OUTPUT] = {"key": f"x {name}", "name": str(layer.name)}
        layer.metadata[CLASSES] = ["background", "cell"]
    found = find_sources(viewer, target_of(viewer, "cells", "YX"))
    assert [s.kind for s in found] == ["result", "image"]
    beliefs = found[0].beliefs(())
    np.testing.assert_array_equal(beliefs.probabilities, maps())
    assert [about.name for about in beliefs.classes] == ["background", "cell"]
    assert beliefs.values == (0, 1)
    assert found[1].beliefs(()).values == (1, 2)


def test_what_was_told_of_an_image_goes_with_it(viewer, panel, qtbot):
    panel.message.tell("35.9 % of the pixels changed class")
    panel.image.changed.emit()
    assert "35.9" in panel.message.text()
    viewer.add_image(np.zeros((9, 9), np.uint8), name="other")
    panel.image.combo.setCurrentText("other")
    assert not panel.message.text()


def test_labels_are_softened():
    soft = soften(np.array([[0, 3], [3, 7]]), (0, 3, 7), 0.8)
    assert soft.dtype == np.float32
    np.testing.assert_allclose(soft[:, 0, 1], (0.1, 0.8, 0.1), atol=1e-6)
    unknown = soften(np.array([[0, 9]]), (0, 3, 7), 0.8)  # painted since the numbers were counted
    np.testing.assert_allclose(unknown[:, 0, 1], 1 / 3)
    objects = soften(np.arange(100).reshape(10, 10), OBJECTS, 0.9)
    np.testing.assert_allclose(objects[1].ravel()[:2], (0.1, 0.9), atol=1e-6)


@pytest.mark.parametrize("settings", [CRFSettings(), CRFSettings(w1=33.5, grey="raw", tile=512)])
def test_the_form_shows_and_gives_back_settings(qtbot, settings):
    form = CRFForm()
    qtbot.addWidget(form)
    with qtbot.waitSignal(form.valueChanged):
        form.setValue(settings)
    assert form.value() == settings


def test_swipe_and_rises():
    before, after = np.zeros((2, 4), int), np.ones((2, 4), int)
    assert swiped(before, after, 0.0) is after
    np.testing.assert_array_equal(swiped(before, after, 0.5)[0], (0, 0, 1, 1))
    assert rises((5.0, 4.0, 4.5, 4.5)) == [2]
