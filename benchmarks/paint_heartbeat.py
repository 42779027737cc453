"""Does painting stay smooth? A 5 ms timer in a real viewer while strokes are painted on a 2048×2048
image and a network learns from them.

    python benchmarks/paint_heartbeat.py [MODEL] [SECONDS]     # needs a screen, or xvfb-run

MODEL is "scratch" (the default), a name or a file. The strokes are drags through napari's own mouse
callbacks. Prints the gaps between two beats while it paints, and what one move of the mouse takes.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator

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

BEAT = 5  # ms
MOVE = 15  # ms between two moves of the mouse
LENGTH = 40  # moves of a stroke
SECONDS = 30.0


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


def main(model: str = "scratch", seconds: float = SECONDS) -> None:
    viewer = napari.Viewer()
    image = np.tile(np.asarray(load_sample("nuclei").image.data), (4, 4))
    viewer.add_image(image, name="large")
    panel = AnnotatePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Annotate & fine-tune", area="right")
    panel.parts.start.choose(model)
    panel.parts.image.annotate.click()
    painting = strokes(viewer.layers["large strokes"], len(image))
    beats: list[float] = []
    moves: list[float] = []
    learning: list[float] = []
    counts: Counter[str] = Counter()
    beat, hand = QTimer(timerType=Qt.TimerType.PreciseTimer), QTimer()
    beat.timeout.connect(lambda: beats.append(time.perf_counter()))

    def move() -> None:
        began = time.perf_counter()
        next(painting)
        moves.append(time.perf_counter() - began)

    def follow(event: object) -> None:
        counts[type(event).__name__] += 1
        if isinstance(event, Preview) and not learning:
            learning.append(time.perf_counter())
            QTimer.singleShot(int(seconds * 1000), QApplication.instance().quit)

    hand.timeout.connect(move)
    panel.parts.control.happened.connect(follow)
    panel.parts.control.failed.connect(lambda _: QApplication.instance().quit())
    beat.start(BEAT)
    hand.start(MOVE)
    napari.run()
    beat.stop()
    hand.stop()
    report(np.array(beats), np.array(moves), learning[0])
    told = f"{counts['Preview']} previews, {counts['Step']} steps"
    print(f"{panel.parts.painting.watcher.newest} patches; {told}")
    assert "torch" not in sys.modules
    folder = panel.parts.store.session.folder
    panel.shut_down()
    discard_session(folder)
    viewer.close()


def report(beats: np.ndarray, moves: np.ndarray, learning: float) -> None:
    """Print the gaps in ms, before and after the first answer of the network."""
    gaps, at = np.diff(beats) * 1000, beats[1:]
    for name, part in (("until the first answer", at < learning), ("while it learns", at >= learning)):
        found = gaps[part]
        print(
            f"{name}: p99 {np.percentile(found, 99):.0f} ms, largest {found.max():.0f} ms, "
            f"{(found > 50).sum()} of {len(found)} over 50 ms"
        )
    print(f"a move of the mouse: p99 {np.percentile(moves, 99) * 1000:.0f} ms")


if __name__ == "__main__":
    main(*sys.argv[1:2], *(float(text) for text in sys.argv[2:3]))
