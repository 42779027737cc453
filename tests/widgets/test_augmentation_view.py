"""The augmentation preview: pictures, jobs of which the newest counts, layers."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtWidgets import QLabel

from napari_papernets.core.errors import InputError
from napari_papernets.core.events import Started
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import ClassInfo, class_infos
from napari_papernets.core.results import AugmentedCrop
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.widgets import newest_job
from napari_papernets.widgets.augmentation_pictures import (
    hex_to_rgb,
    image_picture,
    target_picture,
    weights_picture,
)
from napari_papernets.widgets.augmentation_view import AugmentationView, Example
from napari_papernets.widgets.colour_tables import colour_table
from napari_papernets.widgets.picture import to_image

pytestmark = pytest.mark.gui

CLASSES = (ClassInfo("ground", "#ff0000"), ClassInfo("cell", "#00ff00"))


def crop(side: int = 8, channels: int = 1, margin: int = 0, level: float = 0.5) -> AugmentedCrop:
    """Class 0 above, class 1 below, a row between that is unknown."""
    inner = side - 2 * margin
    classes = np.zeros((inner, inner), np.int64)
    classes[inner // 2 :], classes[inner // 2] = 1, -1
    weights = np.where(classes < 0, 0, 1 + 3 * classes).astype(np.float32)
    grid = np.zeros((side, side), bool)
    grid[:, 0] = True
    image = np.full((channels, side, side), level, np.float32)
    return AugmentedCrop(image, grid, classes, weights, ("a", "b"), np.array([1, 4], np.float32))


@pytest.fixture
def source():
    """What the view draws from; tests change it."""
    image = ImageBlock(np.zeros((20, 30), np.uint8), "YX", (0.5, 0.5))
    return {"example": Example(image, np.zeros((20, 30), np.uint8), TuneSettings(kind="instances"))}


@pytest.fixture
def viewer(qapp):
    return ViewerModel()


@pytest.fixture
def make_view(qtbot, viewer, engine, source):
    def example():
        if isinstance(source["example"], Exception):
            raise source["example"]
        return source["example"]

    def make(show=True):
        view = AugmentationView(viewer, lambda: engine, example)
        qtbot.addWidget(view)
        if show:
            with qtbot.waitExposed(view):
                view.show()
        return view

    return make


def answer(view, engine, qtbot, given=None):
    with qtbot.waitSignal(view.jobs.drawn):
        engine.jobs[-1].give(given or crop())


def test_the_grid_lies_over_the_image():
    plain, lined = (image_picture(crop(), grid) for grid in (False, True))
    assert plain.shape == (8, 8, 3)
    assert (plain == 128).all()
    assert (lined[:, 0] > 150).all()
    assert (lined[:, 1:] == 128).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_number_of_channels_is_shown(channels):
    assert image_picture(crop(channels=channels), grid=True).shape == (8, 8, 3)


def test_values_beyond_the_range_are_cut():
    assert (image_picture(crop(level=7.0), grid=False) == 255).all()
    assert (image_picture(crop(level=-7.0), grid=False) == 0).all()


def test_classes_have_their_colours_and_the_unknown_is_dim():
    picture = target_picture(crop(), CLASSES, grid=False)
    red, dim, green = picture[0, 4], picture[4, 4], picture[7, 4]
    assert red[0] > red[1] == red[2]
    assert green[1] > green[0] == green[2]
    assert (dim < 128).all()
    assert len(set(dim.tolist())) == 1


def test_the_target_of_an_unpadded_network_lies_in_the_middle():
    picture = target_picture(crop(margin=2), CLASSES, grid=False)
    assert len({tuple(p) for p in picture[0]}) == 1
    assert picture[2, 2][0] > picture[2, 2][1]
    weights = weights_picture(crop(margin=2))
    assert (weights[0] == weights[0, 0]).all()
    assert (weights[2, 2] != weights[0, 0]).any()


def test_weights_are_magma_up_to_their_highest():
    picture = weights_picture(crop())
    np.testing.assert_array_equal(picture[7, 0], colour_table("magma")[255])
    np.testing.assert_array_equal(picture[0, 0], colour_table("magma")[64])
    np.testing.assert_array_equal(picture[4, 0], colour_table("magma")[0])
    assert colour_table("magma")[0].sum() < 20 < 500 < colour_table("magma")[255].sum()


def test_a_picture_becomes_an_image_of_the_same_pixels(qapp):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    image = to_image(picture)
    got = [[image.pixelColor(x, y).getRgb()[:3] for x in range(7)] for y in range(5)]
    np.testing.assert_array_equal(got, picture)


def test_hex_colours():
    assert hex_to_rgb("#E69F00") == (230, 159, 0)


def test_nothing_is_asked_while_hidden(make_view, engine):
    view = make_view(show=False)
    view.refresh()
    assert not engine.jobs
    view.show()
    assert [job.verb for job in engine.jobs] == ["preview"]
    assert engine.jobs[0].arguments["number"] == 0


def test_a_crop_is_shown_and_explained(make_view, engine, qtbot):
    view = make_view()
    assert not view.layers.isEnabled()
    answer(view, engine, qtbot)
    assert view.layers.isEnabled()
    assert all(not thumb.icon().isNull() for thumb in view.thumbs.values())
    assert "8 × 8 pixels" in view.legend.text.text()
    view.thumbs["Target"].click()
    assert "background" not in view.legend.text.text()
    assert "not&nbsp;annotated&nbsp;8" in view.legend.text.text()
    view.thumbs["Weights"].click()
    assert view.legend.high.text() == "4"
    assert "up to 10 more between objects" in view.legend.text.text()


def test_another_is_the_next_number(make_view, engine, qtbot):
    view = make_view()
    answer(view, engine, qtbot)
    view.another.click()
    assert engine.jobs[-1].arguments["number"] == 1


def test_of_many_changes_the_newest_counts_and_one_job_runs(make_view, engine, qtbot):
    view = make_view()
    for value in (2.0, 3.0, 7.5):
        view.sliders.sliders["sigma"].setValue(value)
    assert len(engine.jobs) == 1
    answer(view, engine, qtbot)
    assert len(engine.jobs) == 2
    assert engine.jobs[1].arguments["settings"].sigma == 7.5
    answer(view, engine, qtbot)
    assert len(engine.jobs) == 2
    assert not view.jobs.busy


def test_sliders_start_from_the_settings_and_tell_what_they_say(make_view, engine, qtbot, source):
    old = source["example"]
    settings = TuneSettings(kind="instances", w0=60.0, sigma=3.0, elastic=0.0, crop=64)
    source["example"] = Example(old.image, old.annotation, settings)
    view = make_view()
    assert engine.jobs[0].arguments["settings"] == settings
    answer(view, engine, qtbot)
    with qtbot.waitSignal(view.valuesChanged) as changed:
        view.sliders.sliders["w0"].setValue(20)
    assert changed.args == [settings.replace(w0=20.0)]
    with qtbot.assertNotEmitted(view.valuesChanged):
        view.set_settings(settings.replace(sigma=9.0))
    assert view.sliders.sliders["sigma"].value() == 9.0


def test_strokes_have_no_border_weight_and_the_view_says_so(make_view, engine, qtbot, source):
    old = source["example"]
    source["example"] = Example(old.image, old.annotation, TuneSettings(), CLASSES)
    view = make_view()
    assert [view.sliders.sliders[n].isEnabled() for n in ("w0", "sigma", "elastic")] == [
        False,
        False,
        True,
    ]
    answer(view, engine, qtbot)
    view.thumbs["Weights"].click()
    text = view.legend.text.text()
    assert "There is no border term" in text
    assert "cell&nbsp;4" in text
    assert "#00ff00" in text


def test_an_error_is_shown_and_the_next_try_goes_on(make_view, engine, qtbot, source):
    view = make_view()
    with qtbot.waitSignal(view.jobs.failed):
        engine.jobs[0].fail(InputError("annotations", "only class 1", "annotate two classes"))
    assert "annotate two classes" in view.status.text()
    fine = source["example"]
    source["example"] = InputError("image", "none", "open an image")
    view.refresh()
    assert "open an image" in view.status.text()
    assert not view.jobs.busy
    source["example"] = fine
    view.refresh()
    answer(view, engine, qtbot)
    assert not view.status.isVisible()


@pytest.mark.parametrize(("info", "word"), [({}, "start"), ({"device": "cpu"}, "training")])
def test_while_the_engine_is_busy_the_view_says_that_it_waits(
    make_view, engine, qtbot, monkeypatch, info, word
):
    monkeypatch.setattr(newest_job, "PATIENCE", 1)
    engine.info = info
    view = make_view()
    qtbot.waitUntil(lambda: view.status.text().startswith("Waiting"), timeout=5000)
    assert word in view.status.text()
    engine.jobs[0].tell(Started(1, "step"))
    answer(view, engine, qtbot)
    assert not view.status.isVisible()


def test_a_started_job_is_not_said_to_wait(make_view, engine, qtbot, monkeypatch):
    view = make_view()
    engine.jobs[0].tell(Started(1, "step"))
    qtbot.waitUntil(lambda: not view.jobs._patience.isActive(), timeout=5000)
    assert not view.status.text().startswith("Waiting")


def test_leaving_cancels_and_asks_no_more(make_view, engine):
    view = make_view()
    view.leave()
    assert engine.jobs[0].cancelled
    view.refresh()
    assert len(engine.jobs) == 1


def test_a_crop_becomes_layers_beside_the_image_once(make_view, engine, qtbot, viewer):
    view = make_view()
    answer(view, engine, qtbot, crop(margin=2))
    view.layers.click()
    view.layers.click()
    names = [layer.name for layer in viewer.layers]
    assert names == ["augmented image", "augmented weights", "augmented target", "augmented grid"]
    image, _, target, _ = viewer.layers
    np.testing.assert_allclose(image.translate, (0, 0.5 * (30 + 16)))
    np.testing.assert_allclose(target.translate, (0.5 * 2, 0.5 * (30 + 16 + 2)))
    np.testing.assert_allclose(target.scale, (0.5, 0.5))
    assert set(np.unique(target.data)) == {0, 1, 2}
    np.testing.assert_allclose(target.colormap.color_dict[2][:3], np.array([230, 159, 0]) / 255)


def test_given_classes_colour_a_crop_of_fewer(make_view, engine, qtbot, source):
    old = source["example"]
    three = (*CLASSES, ClassInfo("debris", "#0000ff"))
    source["example"] = Example(old.image, old.annotation, TuneSettings(), three)
    view = make_view()
    answer(view, engine, qtbot)
    assert view._infos(*view._shown) == CLASSES
    source["example"] = old
    view.refresh()
    answer(view, engine, qtbot)
    assert view._infos(*view._shown) == class_infos(("a", "b"))


def test_everything_has_help_and_a_name(make_view):
    view = make_view()
    for widget in (*view.thumbs.values(), view.another, view.layers, view.grid):
        assert widget.toolTip()
    for slider in view.sliders.sliders.values():
        assert slider.toolTip()
        assert slider.accessibleName()
    assert {"Border weight w₀", "Border width σ", "Elastic σ"} <= {
        label.text() for label in view.findChildren(QLabel)
    }
