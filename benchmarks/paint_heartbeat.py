"""Does painting stay smooth? A 5 ms timer in a real viewer while strokes are painted on a 2048×2048
image and a network learns from them, beside the same strokes in napari alone.

    python -m napari_papernets.benchmarks.paint_heartbeat --write docs/benchmarks.md   # needs a screen
    python -m napari_papernets.benchmarks.paint_heartbeat --explain  # what was done in the longest gaps

The strokes are drags through napari's own mouse callbacks.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import napari
import numpy as np
import wrapt
from napari.utils.interactions import (
    mouse_move_callbacks,
    mouse_press_callbacks,
    mouse_release_callbacks,
)
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_papernets.core.events import Preview
from napari_papernets.samples import load_sample
from napari_papernets.session import discard_session
from napari_papernets.widgets.annotate_panel import AnnotatePanel

from .gap_watch import BareTimer, GapWatch

IMAGE = "large"
WINDOW = (1280, 800)  # pixels, so that the panel does not enlarge it
BEAT = 5  # ms
MOVE = 15  # ms between two moves of the mouse
BRUSH = 5
LENGTH = 40  # moves of a stroke
SECONDS = 30.0  # that it learns
ALONE = 15.0  # seconds in napari alone, and again with as many layers as the panel has
START = 2.0  # seconds that are left out after napari's start, and after layers were added
CLEAR = 0.3  # seconds between two layers that are removed
OPEN = 5.0  # seconds that a person looks at the panel before pressing Annotate


class Mouse:
    """A drag on a labels layer, as the canvas would tell of it."""

    def __init__(self, layer: napari.layers.Labels) -> None:
        self._layer = layer

    def tell(self, kind: str, y: float, x: float) -> None:
        """Tell "mouse_press", "mouse_move" or "mouse_release" at a pixel."""

        class Event:
            type = kind
            is_dragging = kind == "mouse_move"
            position = self._layer.data_to_world((y, x))
            pos = (x, y)
            view_direction = None
            up_direction = None
            dims_displayed = (0, 1)
            camera_zoom = 1.0
            dims_point = (0.0, 0.0)
            button = 1
            buttons = (1,)
            modifiers = ()
            inverted = False
            handled = False

        call = {
            "mouse_press": mouse_press_callbacks,
            "mouse_move": mouse_move_callbacks,
            "mouse_release": mouse_release_callbacks,
        }[kind]
        call(self._layer, wrapt.ObjectProxy(Event()))


def strokes(layer: napari.layers.Labels, size: int) -> Iterator[None]:
    """Paint strokes of both classes for ever, a move at a time."""
    rng, mouse = np.random.default_rng(0), Mouse(layer)
    middle = size / 2
    while True:
        layer.selected_label = int(rng.integers(1, 3))
        place, way = rng.uniform(middle - 300, middle + 300, 2), rng.normal(0, 3, 2)
        mouse.tell("mouse_press", *place)
        yield
        for _ in range(LENGTH):
            place = (place + way).clip(0, size - 1)
            mouse.tell("mouse_move", *place)
            yield
        mouse.tell("mouse_release", *place)
        for _ in range(LENGTH):
            yield


class Play:
    """The acts, one after the other: napari alone, with as many layers as the panel has, the panel.

    Attributes
    ----------
    beats : list of float
        Of the 5 ms timer.
    marks : dict of str to float
        When each act began.
    moves : dict of str to list of float
        Seconds that a move of the mouse took in napari alone ("alone") and with the panel ("panel").
    told : Counter of str
        How many events of each kind came meanwhile.
    panel : AnnotatePanel
        Once it is open.
    """

    panel: AnnotatePanel

    def __init__(self, viewer: napari.viewer.Viewer, model: str) -> None:
        self._viewer, self._model = viewer, model
        self.beats: list[float] = []
        self.moves: dict[str, list[float]] = {"alone": [], "panel": []}
        self.marks: dict[str, float] = {}
        self.told: Counter[str] = Counter()
        self._image = np.tile(np.asarray(load_sample("nuclei").image.data), (4, 4))
        viewer.add_image(self._image, name=IMAGE)
        self._bare = viewer.add_labels(np.zeros(self._image.shape, np.uint8), name="bare")
        self._bare.brush_size, self._bare.mode = BRUSH, "paint"
        self._act, self._painting = "alone", strokes(self._bare, len(self._image))
        self._beat = QTimer(timerType=Qt.TimerType.PreciseTimer, interval=BEAT)
        self._beat.timeout.connect(lambda: self.beats.append(time.perf_counter()))
        self._hand = QTimer(interval=MOVE)
        self._hand.timeout.connect(self._move)

    def run(self) -> None:
        """Play them all in the viewer's event loop."""
        self._beat.start()
        self._hand.start()
        self._begin("alone")
        _after(ALONE, self._add_layers)
        napari.run()
        self._beat.stop()
        self._hand.stop()

    def _begin(self, act: str) -> None:
        self.marks[act] = time.perf_counter()

    def _move(self) -> None:
        began = time.perf_counter()
        next(self._painting)
        self.moves[self._act].append(time.perf_counter() - began)

    def _add_layers(self) -> None:
        """As the panel has them: classes in view, and an image that is hidden."""
        classes = (self._image > self._image.mean()).astype(np.uint8) + 1
        self._viewer.add_labels(classes, name="classes", opacity=0.45)
        self._viewer.add_image(self._image, name="doubt", visible=False)
        self._viewer.layers.selection.active = self._bare
        self._begin("layers")
        _after(ALONE, self._end_alone)

    def _end_alone(self) -> None:
        self._hand.stop()
        self._begin("alone ends")
        assert self._bare.data.max() > 0, "napari alone painted nothing"
        self._clear()

    def _clear(self) -> None:
        """One layer at a time, each drawn before: napari's canvas does not live through more."""
        last = self._viewer.layers[-1]
        if last.name == IMAGE:
            self._open_panel()
            return
        if last.visible:
            self._viewer.layers.remove(last)
        else:
            last.visible = True
        _after(CLEAR, self._clear)

    def _open_panel(self) -> None:
        self._begin("panel")
        self._act = "panel"
        self.panel = AnnotatePanel(self._viewer)
        self._viewer.window.add_dock_widget(self.panel, name="Annotate & fine-tune", area="right")
        self.panel.parts.start.choose(self._model)
        _after(OPEN, self._annotate)

    def _annotate(self) -> None:
        self._begin("annotate")
        self.panel.parts.image.annotate.click()
        self._hand.start()
        self._painting = strokes(self._viewer.layers[f"{IMAGE} strokes"], len(self._image))
        self.panel.parts.control.happened.connect(self._follow)
        self.panel.parts.control.failed.connect(lambda _: QApplication.instance().quit())

    def _follow(self, event: object) -> None:
        self.told[type(event).__name__] += 1
        if isinstance(event, Preview) and "answer" not in self.marks:
            self._begin("answer")
            _after(SECONDS, QApplication.instance().quit)


def _after(seconds: float, call: Callable[[], None]) -> None:
    QTimer.singleShot(int(seconds * 1000), call)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="scratch", help="where to start: scratch, a name or a file")
    parser.add_argument("--write", type=Path, help="put the table into this Markdown page")
    parser.add_argument("--explain", action="store_true", help="tell what was done in the longest gaps")
    given = parser.parse_args()
    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    play = Play(viewer, given.model)
    watch, bare_timer = GapWatch(play.beats), BareTimer()
    if given.explain:
        watch.start()
    play.run()
    assert "torch" not in sys.modules
    folder = play.panel.parts.store.session.folder
    play.panel.shut_down()
    discard_session(folder)
    viewer.close()
    from .report import publish  # torch comes with it

    publish(report(play, bare_timer.gaps(), given.model), "paint-heartbeat", given.write)
    watch.tell(play.marks["annotate"], longest=20)


def report(play: Play, bare: np.ndarray, model: str) -> str:
    """What the page says; `bare` are times and gaps of the other process."""
    from .report import machine, markdown_table  # which imports torch

    beats, marks = np.array(play.beats), play.marks
    gaps, at = np.diff(beats) * 1000, beats[1:]
    parts = {
        "napari alone": (at > marks["alone"] + START) & (at < marks["layers"]),
        "napari alone, two layers more": (at > marks["layers"] + START) & (at < marks["alone ends"]),
        "the panel opens, nobody paints": (at >= marks["panel"]) & (at < marks["annotate"]),
        "from Annotate to the first answer": (at >= marks["annotate"]) & (at < marks["answer"]),
        "while it learns": at >= marks["answer"],
    }
    found = {name: gaps[part] for name, part in parts.items()}
    meanwhile = (bare[:, 0] >= marks["answer"]) & (bare[:, 0] < at[-1])
    found["a bare timer, while it learns"] = bare[meanwhile, 1] * 1000
    rows = [
        (name, f"{np.percentile(g, 99):.0f}", f"{g.max():.0f}", f"{(g > 50).sum()} of {len(g)}")
        for name, g in found.items()
    ]
    slow = {name: np.percentile(times, 99) * 1000 for name, times in play.moves.items()}
    return (
        "## Does painting stay smooth?\n\n"
        "Gaps between the beats of a 5 ms timer while strokes are painted without end on a 2048×2048 "
        f"image, in a virtual screen with software GL, everything on the same cores; start `{model}`. "
        f"{play.told['Preview']} answers and {play.told['Step']} steps of training meanwhile. "
        "Made by `benchmarks/paint_heartbeat.py`.\n\n"
        f"{markdown_table(('', '99th percentile, ms', 'longest, ms', 'over 50 ms'), rows)}\n\n"
        f"A move of the mouse took {slow['alone']:.0f} ms in napari alone and {slow['panel']:.0f} ms "
        f"with the panel (99th percentile). {machine('napari')}"
    )


if __name__ == "__main__":
    main()
