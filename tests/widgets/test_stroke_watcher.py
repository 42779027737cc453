"""Every change becomes patches: replayed on nothing, they give what is in the layers."""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from qtpy.QtCore import QObject
from scipy import ndimage

from napari_papernets.core.annotation import Patch
from napari_papernets.core.model import class_infos
from napari_papernets.samples import open_nuclei
from napari_papernets.widgets import stroke_feed
from napari_papernets.widgets.annotated_images import AnnotatedImages
from napari_papernets.widgets.annotation_layer import adopt_annotation, arm, new_annotation
from napari_papernets.widgets.plane_shadow import Shadow, changed_boxes, count_strokes
from napari_papernets.widgets.stroke_watcher import StrokeWatcher

pytestmark = pytest.mark.gui

THREE = class_infos(("background", "cell", "border"))


@pytest.fixture
def viewer(qapp):
    return ViewerModel()


@pytest.fixture
def images(viewer):
    images = AnnotatedImages(viewer)
    yield images
    images.close_events()


class Replay:
    """A sink that does what a journal does: empty arrays, and every patch written into them."""

    def __init__(self, images):
        self._images = images
        self.arrays: dict[int, np.ndarray] = {}
        self.patches: list[Patch] = []
        self.threads: set[int] = set()

    def __call__(self, patch):
        self.threads.add(threading.get_ident())
        self.patches.append(patch)
        height, width = patch.labels.shape
        box = slice(patch.y, patch.y + height), slice(patch.x, patch.x + width)
        self.arrays[patch.image][patch.plane][box] = patch.labels

    def expect(self, *numbers):
        for number in numbers:
            shape = self._images.pair(number).array().shape
            self.arrays[number] = np.zeros(shape, np.uint8)

    def check(self):
        for number in self._images.numbers():
            np.testing.assert_array_equal(self.arrays[number], self._images.pair(number).array())
        assert [p.number for p in self.patches] == list(range(1, len(self.patches) + 1))


@pytest.fixture
def replay(images):
    return Replay(images)


@pytest.fixture
def watcher(images, replay):
    watcher = StrokeWatcher(images)
    watcher.add_sink(replay)
    yield watcher
    watcher.close()


@pytest.fixture
def add(viewer, images, watcher, replay):
    """Adds an image of zeros with an annotation layer, watched."""

    def add(shape=(200, 300), axes="YX", **options):
        image = viewer.add_image(np.zeros(shape, np.uint8), contrast_limits=(0, 1), **options)
        pair = images.add(image, new_annotation(viewer, image, axes, THREE), axes)
        arm(viewer, pair.labels, 1)
        pair.labels.brush_size = 5
        replay.expect(pair.number)
        watcher.watch(pair.number)
        return pair

    return add


def test_strokes_undo_and_redo(add, watcher, replay):
    labels = add().labels
    for label, y in ((1, 20), (2, 60), (3, 180)):
        labels.paint((y, 50), label)
        watcher.flush()
        replay.check()
    for step in (labels.undo, labels.undo, labels.redo, labels.undo, labels.undo, labels.redo):
        step()
        watcher.flush()
        replay.check()
    assert labels.data[20, 50] == 1
    assert watcher.newest == len(replay.patches) > 8


def test_patches_come_by_themselves_in_the_middle_of_a_drag(add, replay, qtbot):
    labels = add().labels
    with labels.block_history():  # as while the button is down: napari tells nothing yet
        for x in (50, 100, 150):
            labels.paint((40, x), 2)
            qtbot.waitUntil(lambda x=x: replay.arrays[0][40, x] == 2)
    replay.check()
    assert replay.threads.isdisjoint({threading.get_ident()})


def test_undo_comes_by_itself(add, watcher, replay, qtbot):
    labels = add().labels
    labels.paint((40, 50), 2)
    watcher.flush()
    assert replay.arrays[0][40, 50] == 2
    labels.undo()
    qtbot.waitUntil(lambda: not replay.arrays[0].any())


def test_far_places_are_patches_of_their_own(add, watcher, replay):
    labels = add((1000, 1000)).labels
    with labels.block_history():
        labels.paint((10, 10), 1)
        labels.paint((900, 950), 2)
    watcher.flush()
    assert len(replay.patches) == 2
    assert sum(p.labels.size for p in replay.patches) < 100
    replay.check()


def test_planes_of_a_stack_and_undo_in_another_one(add, viewer, watcher, replay, qtbot):
    labels = add((6, 40, 50), "ZYX").labels
    for z in (1, 4):
        viewer.dims.set_point(0, z)
        labels.paint((z, 20, 20), 2)
        watcher.flush()
        replay.check()
    viewer.dims.set_point(0, 0)
    labels.undo()
    qtbot.waitUntil(lambda: not replay.arrays[0][4].any())
    replay.check()
    assert replay.arrays[0][1].any()


def test_a_brush_through_planes(add, watcher, replay, viewer):
    labels = add((6, 40, 50), "ZYX").labels
    labels.n_edit_dimensions = 3
    viewer.dims.set_point(0, 2)
    labels.paint((2, 20, 20), 2)
    watcher.flush()
    replay.check()
    assert {p.plane for p in replay.patches} == {(i,) for i in range(5)}


@pytest.mark.parametrize("seed", range(3))
def test_a_person_who_does_everything(add, viewer, watcher, replay, seed):
    pair, random = add((5, 90, 130), "ZYX"), np.random.default_rng(seed)
    labels = pair.labels
    for _ in range(60):
        z, y, x, label = (int(random.integers(n)) for n in (5, 90, 130, 4))
        act = random.choice(["paint", "paint", "drag", "move", "undo", "redo", "fill", "replace"])
        if act == "paint":
            labels.paint((viewer.dims.point[0], y, x), label)
        elif act == "drag":
            with labels.block_history():
                for step in range(4):
                    labels.paint((viewer.dims.point[0], y, min(x + 3 * step, 129)), label, refresh=False)
        elif act == "move":
            viewer.dims.set_point(0, z)
        elif act == "fill" and y < 10:
            labels.fill((z, y, x), label)
        elif act == "replace" and y < 10:
            labels.data = np.roll(labels.data, 1, axis=0)
        elif act in ("undo", "redo"):
            getattr(labels, act)()
        if random.random() < 0.3:
            watcher.flush()
            replay.check()
    watcher.flush()
    replay.check()
    assert {1, 2, 3} <= {int(label) for patch in replay.patches for label in np.unique(patch.labels)}


@pytest.mark.parametrize(
    ("shape", "axes"), [((5, 2, 40, 50), "TCYX"), ((40, 50, 6), "YXZ"), ((3, 4, 40, 50), "TZYX")]
)
def test_any_axes(add, watcher, replay, viewer, shape, axes):
    labels = add(shape, axes).labels
    labels.paint([3 if n > 3 else 1 for n in shape], 2)
    labels.fill([0] * len(shape), 3)
    watcher.flush()
    replay.check()
    assert set(np.unique(replay.arrays[0])) == {0, 2, 3}
    labels.undo()
    watcher.flush()
    replay.check()
    assert set(np.unique(replay.arrays[0])) == {0, 2}


def test_two_images_and_one_deleted_while_painting(add, images, viewer, watcher, replay):
    first, second = add(), add((50, 60))
    first.labels.paint((20, 20), 1)
    second.labels.paint((30, 30), 2)
    viewer.layers.remove(first.labels)
    second.labels.paint((10, 10), 3)
    watcher.flush()
    replay.check()
    np.testing.assert_array_equal(replay.arrays[0], first.labels.data)
    newest = watcher.newest
    first.labels.paint((100, 100), 1)
    watcher.flush()
    assert watcher.newest == newest


def test_replaced_data_and_a_renamed_layer(add, watcher, replay):
    labels = add().labels
    labels.paint((20, 20), 1)
    watcher.flush()
    data = np.zeros((200, 300), np.int32)
    data[100:120, 200:250] = 3
    labels.data = data
    labels.name = "another"
    watcher.flush()
    replay.check()
    assert replay.arrays[0][20, 20] == 0
    assert replay.arrays[0][110, 225] == 3
    labels.paint((50, 50), 2)
    watcher.flush()
    replay.check()
    assert replay.arrays[0][50, 50] == 2


def test_changes_by_code_are_found_without_being_told(add, replay, qtbot):
    labels = add((6, 40, 50), "ZYX").labels
    labels.data[5, 10:20, 10:20] = 2
    qtbot.waitUntil(lambda: bool(replay.arrays[0][5, 15, 15] == 2))
    replay.check()


def test_restored_strokes_become_patches(add, images, watcher, replay):
    add((6, 40, 50), "ZYX")
    images.write([Patch(0, (5,), 10, 10, np.full((3, 3), 2, np.uint8), 1)])
    watcher.flush()
    replay.check()
    images.remove_class(1)
    watcher.flush()
    replay.check()
    assert (replay.arrays[0][5, 10:13, 10:13] == 1).all()


def test_an_adopted_layer_is_delivered_unless_it_is_known(viewer, images, watcher, replay):
    for data, options, kind in open_nuclei():
        getattr(viewer, f"add_{kind}")(data, **options)
    image, strokes = viewer.layers["nuclei"], viewer.layers["nuclei strokes"]
    adopt_annotation(strokes, image, "YX", THREE)
    strokes.brush_size = 5
    images.add(image, strokes, "YX")
    replay.expect(0)
    watcher.watch(0)
    watcher.flush()
    replay.check()
    assert len(replay.patches) > 3
    again = StrokeWatcher(images, start=8)
    told = []
    again.add_sink(told.append)
    again.watch(0, delivered=True)
    strokes.paint((30, 30), 2)
    assert again.flush() == 8
    assert [p.number for p in told] == [8]
    assert told[0].labels.size < 100
    again.close()


def test_the_signal_comes_on_the_thread_of_the_window_after_the_sinks(add, watcher, replay, qtbot):
    labels = add().labels
    seen = []
    watcher.painted.connect(lambda p: seen.append((p.number, threading.get_ident(), watcher.newest)))
    with qtbot.waitSignal(watcher.painted):
        labels.paint((20, 20), 1)
    labels.paint((90, 90), 1)
    watcher.flush()
    assert [number for number, *_ in seen] == [p.number for p in replay.patches] == [1, 2]
    assert {thread for _, thread, _ in seen} == {threading.get_ident()}


def test_a_sink_that_fails_is_told_once_and_the_others_go_on(add, watcher, replay):
    labels = add().labels
    problems = []
    watcher.problem.connect(problems.append)

    def full(patch):
        raise OSError("No space left")

    watcher.add_sink(full)
    for x in (20, 80, 140):
        labels.paint((20, x), 1)
        watcher.flush()
    replay.check()
    assert [str(p) for p in problems] == ["No space left"]


def test_a_sink_that_hangs_does_not_hang_the_window_for_good(add, watcher, monkeypatch):
    monkeypatch.setattr(stroke_feed, "PATIENCE", 0.2)
    labels = add().labels
    go_on, problems = threading.Event(), []
    watcher.problem.connect(problems.append)
    watcher.add_sink(lambda patch: go_on.wait(20))
    labels.paint((20, 20), 1)
    watcher.flush()
    assert "no answer" in str(problems[0])
    go_on.set()
    monkeypatch.setattr(stroke_feed, "PATIENCE", 20)


def test_closing_delivers_what_is_left_and_ends_the_thread(viewer, images):
    image = viewer.add_image(np.zeros((40, 50)))
    images.add(image, new_annotation(viewer, image, "YX", THREE), "YX")
    watcher = StrokeWatcher(images)
    told = []
    watcher.add_sink(told.append)
    watcher.watch(0)
    images.pair(0).labels.paint((20, 20), 1)
    watcher.close()
    assert len(told) == 1
    images.pair(0).labels.paint((5, 40), 1)
    assert not [t for t in threading.enumerate() if t.name == "papernets-strokes"]
    assert len(told) == 1
    watcher.close()
    assert watcher.flush() == 1


def test_a_destroyed_watcher_leaves_no_thread(viewer, images, qtbot):
    parent = QObject()
    StrokeWatcher(images, parent)
    assert [t for t in threading.enumerate() if t.name == "papernets-strokes"]
    parent.deleteLater()
    qtbot.waitUntil(lambda: not [t for t in threading.enumerate() if t.name == "papernets-strokes"])


def test_counts(add, watcher, images, viewer, qtbot):
    one, two = add((2, 100, 200), "ZYX"), add((100, 200))
    assert watcher.counts() == {}
    one.labels.paint((0, 20, 20), 1)
    one.labels.paint((1, 20, 20), 1)
    two.labels.paint((20, 20), 1)
    two.labels.paint((90, 190), 2)
    pixels = int((two.labels.data == 1).sum())
    qtbot.waitUntil(lambda: watcher.counts() == {1: (3, 3 * pixels), 2: (1, pixels)})
    viewer.layers.remove(two.labels)
    qtbot.waitUntil(lambda: watcher.counts() == {1: (2, 2 * pixels)})
    one.labels.undo()
    qtbot.waitUntil(lambda: watcher.counts() == {1: (1, pixels)})


def test_a_real_viewer(make_napari_viewer_proxy, qtbot):
    viewer = make_napari_viewer_proxy()
    image = viewer.add_image(np.zeros((5, 80, 90), np.uint8))
    images = AnnotatedImages(viewer)
    pair = images.add(image, new_annotation(viewer, image, "ZYX", THREE), "ZYX")
    watcher, replay = StrokeWatcher(images), Replay(images)
    replay.expect(0)
    watcher.add_sink(replay)
    watcher.watch(0)
    arm(viewer, pair.labels, 2)
    viewer.dims.set_point(0, 3)
    with pair.labels.block_history():
        pair.labels.paint((3, 40, 40), 2)
        qtbot.waitUntil(lambda: replay.arrays[0][3, 40, 40] == 2)
    pair.labels.paint((3, 10, 70), 1)
    pair.labels.undo()
    watcher.flush()
    replay.check()
    assert watcher.newest >= 1
    watcher.close()
    images.close_events()


planes = st.lists(
    st.tuples(st.integers(0, 199), st.integers(0, 149), st.integers(1, 40), st.integers(0, 3)),
    max_size=8,
)


def painted(rectangles):
    labels = np.zeros((200, 150), np.uint8)
    for y, x, size, value in rectangles:
        labels[y : y + size, x : x + max(size // 4, 1)] = value
    return labels


@settings(max_examples=60, deadline=None)
@given(before=planes, now=planes)
def test_boxes_hold_every_change_and_counts_are_those_of_whole_planes(before, now):
    old, new = painted(before), painted(now)
    patched = old.copy()
    for y0, y1, x0, x1 in changed_boxes(new, old):
        part, was = new[y0:y1, x0:x1], old[y0:y1, x0:x1]
        for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
            assert (part[edge] != was[edge]).any()
        patched[y0:y1, x0:x1] = part
    np.testing.assert_array_equal(patched, new)
    expected = {
        k: (ndimage.label(new == k, np.ones((3, 3)))[1], int((new == k).sum()))
        for k in np.unique(new[new > 0]).tolist()
    }
    assert count_strokes(new) == expected


def test_rows_are_looked_at_alone():
    live = np.zeros((3, 300, 100), np.uint8)
    shadow = Shadow(live)
    live[1, 50, 50] = live[1, 250, 50] = 2
    assert [(y, x) for _, y, x, _ in shadow.changes((1,), (-10, 200))] == [(50, 50)]
    assert [(y, x) for _, y, x, _ in shadow.changes((1,), (200, 900))] == [(250, 50)]
    assert not list(shadow.changes((1,)))
    assert shadow.known_planes() == ((1,),)


def test_a_sweep_covers_everything_once():
    shadow = Shadow(np.zeros((2, 3, 5000, 2000), np.uint8))
    rows = {}
    for index in range(shadow.units):
        plane, (start, stop) = shadow.unit(index)
        rows.setdefault(plane, []).append((start, min(stop, 5000)))
    assert set(rows) == set(np.ndindex(2, 3))
    for spans in rows.values():
        assert spans[0][0] == 0
        assert spans[-1][1] == 5000
        assert all(a[1] == b[0] for a, b in pairwise(spans))
