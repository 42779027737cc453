"""Events become a labels layer: few updates, in place, and nothing of the user's is touched."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np
import pytest
from fakes import prediction, ref
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_papernets.core.events import PlaneDone, TileDone
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.widgets import first_look
from napari_papernets.widgets.image_layers import block_of
from napari_papernets.widgets.label_sink import LabelSink
from napari_papernets.widgets.outputs import PROVENANCE
from napari_papernets.widgets.run_plan import plan_run

pytestmark = pytest.mark.gui


@pytest.fixture
def make(qapp):
    """A viewer (without a window) with an image, and the plan of a run on it."""

    def make(
        shape=(40, 50), axes="YX", kind="plane", task="instances", viewer=None, channels=None, **options
    ):
        if viewer is None:
            viewer = ViewerModel()
            viewer.add_image(np.random.default_rng(0).random(shape), name="image", **options)
        layer = viewer.layers["image"]
        block = block_of(layer, axes)
        return viewer, plan_run(
            viewer, layer, block, ref(task), PredictSettings(channels=channels), kind
        )

    return make


def opened(viewer, plan, **options):
    sink = LabelSink(viewer, plan, **options)
    for _ in sink.opening():
        pass
    return sink


def add(sink, event):
    """What a run does with an event, on one thread and the other."""
    sink.look.write(event)
    sink.show(event)


def tile(y, x, value=1, plane=(), done=1, total=2):
    shape = (y[1] - y[0], x[1] - x[0])
    return TileDone(done, total, plane, y, x, np.full(shape, value, np.uint8))


def test_tiles_appear_in_place_and_the_result_takes_over(make):
    viewer, plan = make()
    sink = opened(viewer, plan)
    layer = viewer.layers["image toy"]
    before = layer.data
    add(sink, tile((0, 20), (0, 50)))
    assert layer.data is before
    assert layer.data[:20].all()
    assert not layer.data[20:].any()
    labels = np.arange(2000, dtype=np.uint32).reshape(40, 50)
    sink.finish(plan.prepare(prediction(labels)))
    np.testing.assert_array_equal(layer.data, labels)
    assert layer.data.dtype == np.uint16
    assert layer.metadata[PROVENANCE]["command"].startswith("papernets predict")


def test_a_new_layer_comes_in_steps_and_the_selection_stays(make):
    viewer, plan = make()
    moved = []
    viewer.layers.selection.events.active.connect(moved.append)
    steps = LabelSink(viewer, plan).opening()
    next(steps)
    assert "image toy" not in viewer.layers
    next(steps)
    layer = viewer.layers["image toy"]
    assert not layer.visible
    next(steps)
    assert layer.data.dtype == plan.label_type
    assert not list(steps)
    assert layer.visible
    assert not moved, "nobody was told that another layer was selected"
    assert viewer.layers.selection == {viewer.layers["image"]}
    viewer.add_points([(1, 1)], name="next")
    assert viewer.layers.selection.active.name == "next"


def test_a_run_that_ends_while_its_layer_comes_shows_its_result(make):
    viewer, plan = make()
    sink = LabelSink(viewer, plan)
    steps = sink.opening()
    next(steps), next(steps)
    del steps
    sink.finish(plan.prepare(prediction(np.ones((40, 50), np.uint16))))
    layer = viewer.layers["image toy"]
    assert layer.visible
    assert layer.data.all()


def test_a_result_that_was_painted_on_is_hidden_by_the_next(make):
    viewer, plan = make()
    opened(viewer, plan).finish(plan.prepare(prediction(np.ones((40, 50), np.uint16))))
    painted = viewer.layers["image toy"]
    painted.paint((3, 3), 7)
    sink = opened(viewer, plan)
    assert [la.name for la in viewer.layers if la.visible] == ["image", "image toy [1]"]
    sink.abandon()
    assert painted.visible
    assert (painted.data == 7).any()


def test_many_tiles_cost_few_refreshes(make, qtbot):
    viewer, plan = make()
    sink = opened(viewer, plan, interval=50)
    layer, drawn = viewer.layers["image toy"], []
    layer.events.labels_update.connect(lambda e: drawn.append((*e.offset, *e.data.shape)))
    layer.events.set_data.connect(lambda _: drawn.append("all"))
    for row in range(40):
        add(sink, tile((row, row + 1), (0, 50)))
    assert drawn == [(0, 0, 1, 50)]  # what has changed, and no more
    qtbot.waitUntil(lambda: len(drawn) > 1)
    assert drawn[1:] == ["all"]  # 39 parts are too many
    assert layer.data.all()
    sink.abandon()


def test_where_the_axes_are_swapped_all_is_drawn(make):
    viewer, plan = make(axes="XY")
    sink = opened(viewer, plan)
    layer, drawn = viewer.layers["image toy"], []
    layer.events.labels_update.connect(lambda e: drawn.append(e.offset))
    layer.events.set_data.connect(lambda _: drawn.append("all"))
    add(sink, tile((0, 10), (0, 40)))
    assert drawn == ["all"]
    assert layer.data[:, :10].all()
    sink.abandon()


def test_a_run_that_ends_early_leaves_things_as_they_were(make):
    viewer, plan = make()
    opened(viewer, plan).abandon()
    assert [layer.name for layer in viewer.layers] == ["image"]
    first = opened(viewer, plan)
    result = np.ones((40, 50), np.uint16)
    first.finish(plan.prepare(prediction(result, note=1)))
    second = opened(viewer, plan)
    assert not viewer.layers["image toy"].data.any()
    add(second, tile((0, 20), (0, 50)))
    second.abandon()
    np.testing.assert_array_equal(viewer.layers["image toy"].data, result)
    assert viewer.layers["image toy"].metadata[PROVENANCE]["note"] == 1


def test_runs_do_not_pile_up_layers(make):
    viewer, plan = make()
    for number in (1, 2, 3):
        opened(viewer, plan).finish(plan.prepare(prediction(np.full((40, 50), number))))
    assert [layer.name for layer in viewer.layers] == ["image", "image toy"]
    assert viewer.layers["image toy"].data[0, 0] == 3


def seen(viewer):
    return [str(layer.name) for layer in viewer.layers if layer.visible]


def played(make, viewer, kind, **options):
    """A run from start to end."""
    _, plan = make(viewer=viewer, kind=kind, **options)
    result = plan.prepare(prediction(np.ones(plan.shape, np.uint8)))
    return opened(viewer, plan).finish(result)


def test_the_newest_result_is_seen_alone(make):
    viewer, _ = make((4, 40, 50), "ZYX")
    viewer.add_labels(np.zeros((4, 40, 50), np.uint8), name="strokes")
    ours = {"view": "image toy preview", "plane": "image toy plane", "stack": "image toy"}
    for kind in ("view", "stack", "view", "plane", "view", "stack"):
        viewer.layers["image"].corner_pixels = np.array([[0, 10, 10], [0, 29, 29]])
        played(make, viewer, kind, axes="ZYX")
        assert seen(viewer) == ["image", "strokes", ours[kind]]
    assert len(viewer.layers) == 5
    viewer.layers["image toy"].visible = False  # by hand: it is hidden until its next run
    played(make, viewer, "view", axes="ZYX")
    played(make, viewer, "plane", axes="ZYX", task="semantic")
    assert seen(viewer) == ["image", "strokes", "image toy plane"]


def test_what_the_user_shows_during_a_run_or_has_renamed_stays_seen(make):
    viewer, _ = make()
    viewer.layers["image"].corner_pixels = np.array([[10, 10], [29, 29]])
    played(make, viewer, "plane").name = "mine"
    other = played(make, viewer, "plane")
    _, plan = make(viewer=viewer, kind="view")
    sink = opened(viewer, plan)
    assert seen(viewer) == ["image", "mine", "image toy preview"]
    other.visible = True
    sink.finish(plan.prepare(prediction(np.ones((20, 20), np.uint8))))
    assert seen(viewer) == ["image", "mine", "image toy", "image toy preview"]


def test_a_cancelled_run_shows_again_what_it_hid(make):
    viewer, _ = make()
    viewer.layers["image"].corner_pixels = np.array([[10, 10], [29, 29]])
    for kind in ("view", "plane"):
        played(make, viewer, kind)
    for kind in ("view", "plane"):
        _, plan = make(viewer=viewer, kind=kind)
        opened(viewer, plan).abandon()
        assert seen(viewer) == ["image", "image toy"]


def test_to_show_a_result_again_draws_it_once(make):
    viewer, _ = make()
    viewer.layers["image"].corner_pixels = np.array([[10, 10], [29, 29]])
    whole, drawn = played(make, viewer, "plane"), []
    small = played(make, viewer, "view")
    for layer in (whole, small):
        layer.events.set_data.connect(lambda e: drawn.append(str(e.source.name)))
    _, plan = make(viewer=viewer, kind="plane")
    sink = opened(viewer, plan)  # from hidden
    assert drawn == ["image toy"]
    sink.finish(plan.prepare(prediction(np.ones((40, 50), np.uint8))))
    del drawn[:]
    opened(viewer, plan)  # from seen
    assert drawn == ["image toy"]


@pytest.mark.parametrize("change", ["renamed", "painted"])
def test_a_result_that_the_user_made_theirs_is_kept(make, change):
    viewer, plan = make()
    opened(viewer, plan).finish(plan.prepare(prediction(np.ones((40, 50)).astype(np.uint8))))
    kept = viewer.layers["image toy"]
    if change == "renamed":
        kept.name = "mine"
    else:
        kept.paint((5, 5), 8)
    for _ in range(2):
        opened(viewer, plan).finish(plan.prepare(prediction(np.full((40, 50), 2))))
    assert kept.data[5, 5] == (1 if change == "renamed" else 8)
    assert len(viewer.layers) == 3


def test_a_layer_of_the_same_name_is_not_taken_for_ours(make):
    viewer, plan = make()
    users = viewer.add_labels(np.full((40, 50), 5), name="image toy")
    opened(viewer, plan).finish(plan.prepare(prediction(np.ones((40, 50)).astype(np.uint8))))
    assert (users.data == 5).all()
    assert len(viewer.layers) == 3


def test_a_layer_deleted_in_mid_run_comes_back_with_the_result(make):
    viewer, plan = make()
    sink = opened(viewer, plan)
    viewer.layers.remove("image toy")
    add(sink, tile((0, 20), (0, 50)))
    sink.finish(plan.prepare(prediction(np.ones((40, 50)).astype(np.uint8))))
    assert viewer.layers["image toy"].data.all()


def test_the_image_may_be_renamed_and_deleted_in_mid_run(make):
    viewer, plan = make()
    sink = opened(viewer, plan)
    viewer.layers["image"].name = "other"
    viewer.layers.remove("other")
    add(sink, tile((0, 20), (0, 50)))
    sink.finish(plan.prepare(prediction(np.ones((40, 50)).astype(np.uint8))))
    assert viewer.layers["image toy"].data.all()


def test_a_layer_renamed_or_replaced_in_mid_run_breaks_nothing(make):
    viewer, plan = make()
    sink = opened(viewer, plan)
    layer = viewer.layers["image toy"]
    layer.name = "mine"
    layer.data = np.zeros((4, 4), np.uint8)
    add(sink, tile((0, 20), (0, 50)))
    assert layer.data.shape == (4, 4)
    sink.finish(plan.prepare(prediction(np.ones((40, 50)).astype(np.uint8))))
    assert layer.data.shape == (40, 50)
    assert len(viewer.layers) == 2


def test_nothing_of_ours_can_be_undone_by_the_user(make):
    viewer, plan = make()
    sink = opened(viewer, plan)
    add(sink, tile((0, 20), (0, 50)))
    layer = viewer.layers["image toy"]
    layer.undo()
    assert layer.data[:20].all()
    sink.finish(plan.prepare(prediction(np.full((40, 50), 3))))
    layer.undo()
    assert (layer.data == 3).all()


def test_the_layer_that_the_user_works_on_stays_selected(make):
    viewer, plan = make()
    strokes = viewer.add_labels(np.zeros((40, 50), np.uint8), name="strokes")
    opened(viewer, plan)
    assert viewer.layers.selection.active.name == strokes.name


def test_one_plane_of_a_stack_shows_at_its_place_only(make):
    viewer, _ = make((6, 40, 50), "ZYX", scale=(2, 0.5, 0.5))
    viewer.dims.set_point(0, 8.0)
    _, plan = make(axes="ZYX", viewer=viewer)
    assert plan.planes == ((4,),)
    sink = opened(viewer, plan)
    add(sink, tile((0, 20), (0, 50), plane=(4,)))
    layer = viewer.layers["image toy plane"]
    assert layer.data.shape == (1, 40, 50)
    assert layer.data[0, :20].all()
    assert layer.data_to_world((0, 3, 4)) == viewer.layers["image"].data_to_world((4, 3, 4))
    sink.finish(plan.prepare(prediction(np.ones((1, 40, 50)).astype(np.uint8))))
    assert layer.data.all()


def test_planes_of_a_stack_arrive_one_by_one(make, qtbot):
    viewer, plan = make((3, 40, 50), "ZYX", kind="stack")
    sink = opened(viewer, plan, interval=1)
    add(sink, PlaneDone((1,), np.full((40, 50), 70_000, np.uint32)))
    layer = viewer.layers["image toy"]
    assert layer.data[1].all()
    assert not layer.data[0].any()
    result = np.stack([np.full((40, 50), n, np.uint32) for n in (1, 70_000, 3)])
    sink.finish(plan.prepare(prediction(result)))
    np.testing.assert_array_equal(layer.data, result)


def test_classes_have_their_colours_and_names(make):
    viewer, plan = make(task="semantic")
    opened(viewer, plan)
    layer = viewer.layers["image toy"]
    assert layer.data.dtype == np.uint8
    assert layer.get_color(1)[3] == 0
    np.testing.assert_allclose(layer.get_color(2)[:3], (0xE6 / 255, 0x9F / 255, 0), atol=0.01)
    assert list(layer.features["class"]) == ["background", "cell"]


def test_channels_between_stack_and_plane_are_spanned(make):
    viewer, plan = make((3, 2, 40, 50), "TCYX", kind="stack", channels=(1,))
    sink = opened(viewer, plan)
    layer = viewer.layers["image toy"]
    assert layer.data.shape == (3, 2, 40, 50)
    add(sink, tile((0, 20), (0, 50), plane=(1,)))
    assert layer.data[1, :, :20].all()
    layer.data[2, 0, 5, 6] = 9
    assert plan.take_back(layer.data).shape == (3, 40, 50)
    assert plan.take_back(layer.data)[2, 5, 6] == 9
    sink.abandon()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_tile_lands_where_it_belongs_and_nowhere_else(make_region, data):
    sink, array, plan, step = make_region
    y0, x0 = data.draw(st.integers(0, 30)), data.draw(st.integers(0, 40))
    y1, x1 = data.draw(st.integers(y0 + 1, 40)), data.draw(st.integers(x0 + 1, 50))
    array[...] = 0
    whole = np.zeros((40, 50), int)
    labels = np.arange(1, (y1 - y0) * (x1 - x0) + 1).reshape(y1 - y0, x1 - x0)
    whole[y0:y1, x0:x1] = labels
    sink.look.write(TileDone(1, 1, (), (y0, y1), (x0, x1), labels))
    a, b, c, d = plan.region
    np.testing.assert_array_equal(array, whole[a:b, c:d][::step, ::step])


@pytest.fixture(params=[1, 2, 3])
def make_region(make, monkeypatch, request):
    monkeypatch.setattr(first_look, "LARGEST_LOOK", ceil(39 / request.param))
    viewer, plan = make()
    plan = replace(plan, region=(10, 33, 5, 44))
    sink = opened(viewer, plan)
    return sink, viewer.layers["image toy"].data, plan, request.param


def test_a_large_image_is_shown_coarsely_at_first_and_in_full_at_last(make, monkeypatch):
    monkeypatch.setattr(first_look, "LARGEST_LOOK", 16)
    viewer, plan = make(scale=(0.5, 0.25))
    sink = opened(viewer, plan)
    layer, image = viewer.layers["image toy"], viewer.layers["image"]
    assert layer.data.shape == (10, 13)
    np.testing.assert_allclose(layer.data_to_world((-0.5, -0.5)), image.data_to_world((-0.5, -0.5)))
    np.testing.assert_allclose(layer.data_to_world((4.5, 9.5)), image.data_to_world((19.5, 39.5)))
    add(sink, tile((0, 20), (0, 40)))
    assert layer.data[:5, :10].all()
    assert layer.data.sum() == 50
    labels = np.arange(2000).reshape(40, 50)
    sink.finish(plan.prepare(prediction(labels)))
    np.testing.assert_array_equal(layer.data, labels)
    np.testing.assert_array_equal(layer.scale, image.scale)
    np.testing.assert_array_equal(layer.translate, image.translate)
