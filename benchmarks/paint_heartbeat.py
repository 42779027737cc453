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
from collections.abc import Iterator
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

WINDOW = (1280, 800)  # pixels, so that the panel does not enlarge it
BEAT = 5  # ms
MOVE = 15  # ms between two moves of the mouse
BRUSH = 5
LENGTH = 40  # moves of a stroke
SECONDS = 30.0  # that it learns
ALONE = 15.0  # seconds in napari alone
START = 2.0  # seconds of napari's own start that are left out
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="scratch", help="where to start: scratch, a name or a file")
    parser.add_argument("--write", type=Path, help="put the table into this Markdown page")
    parser.add_argument("--explain", action="store_true", help="tell what was done in the longest gaps")
    given = parser.parse_args()
    viewer = napari.Viewer()
    viewer.window.resize(*WINDOW)
    image = np.tile(np.asarray(load_sample("nuclei").image.data), (4, 4))
    viewer.add_image(image, name="large")
    bare = viewer.add_labels(np.zeros(image.shape, np.uint8), name="bare")
    bare.brush_size, bare.mode = BRUSH, "paint"
    beats: list[float] = []
    moves: dict[str, list[float]] = {"alone": [], "panel": []}
    marks: dict[str, float] = {}
    counts: Counter[str] = Counter()
    held: list[AnnotatePanel] = []
    painted: list[bool] = []
    painting = strokes(bare, len(image))
    beat, hand = QTimer(timerType=Qt.TimerType.PreciseTimer), QTimer()
    beat.timeout.connect(lambda: beats.append(time.perf_counter()))

    def move() -> None:
        began = time.perf_counter()
        next(painting)
        moves["panel" if held else "alone"].append(time.perf_counter() - began)

    def follow(event: object) -> None:
        counts[type(event).__name__] += 1
        if isinstance(event, Preview) and "answer" not in marks:
            marks["answer"] = time.perf_counter()
            QTimer.singleShot(int(SECONDS * 1000), QApplication.instance().quit)

    def open_panel() -> None:
        marks["panel"] = time.perf_counter()
        hand.stop()
        painted.append(bare.data.max() > 0)
        viewer.layers.remove("bare")
        panel = AnnotatePanel(viewer)
        held.append(panel)
        viewer.window.add_dock_widget(panel, name="Annotate & fine-tune", area="right")
        panel.parts.start.choose(given.model)
        QTimer.singleShot(int(OPEN * 1000), annotate)

    def annotate() -> None:
        nonlocal painting
        marks["annotate"] = time.perf_counter()
        panel = held[0]
        panel.parts.image.annotate.click()
        hand.start(MOVE)
        painting = strokes(viewer.layers["large strokes"], len(image))
        panel.parts.control.happened.connect(follow)
        panel.parts.control.failed.connect(lambda _: QApplication.instance().quit())

    hand.timeout.connect(move)
    beat.start(BEAT)
    watch, bare_timer = GapWatch(beats), BareTimer()
    if given.explain:
        watch.start()
    hand.start(MOVE)
    marks["alone"] = time.perf_counter()
    QTimer.singleShot(int(ALONE * 1000), open_panel)
    napari.run()
    beat.stop()
    hand.stop()
    panel = held[0]
    assert "torch" not in sys.modules
    assert painted == [True], "napari alone painted nothing"
    folder = panel.parts.store.session.folder
    panel.shut_down()
    discard_session(folder)
    viewer.close()
    from .report import publish  # torch comes with it

    told = f"{counts['Preview']} answers and {counts['Step']} steps of training meanwhile."
    text = report(np.array(beats), bare_timer.gaps(), moves, marks, given.model, told)
    publish(text, "paint-heartbeat", given.write)
    watch.tell(marks["annotate"], longest=20)


def report(
    beats: np.ndarray, bare: np.ndarray, moves: dict[str, list[float]], marks: dict[str, float],
    model: str, told: str,
) -> str:  # fmt: skip
    """What the page says; `bare` are times and gaps of the other process."""
    from .report import machine, markdown_table  # which imports torch

    gaps, at = np.diff(beats) * 1000, beats[1:]
    parts = {
        "napari alone": (at > marks["alone"] + START) & (at < marks["panel"]),
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
    slow = {name: np.percentile(times, 99) * 1000 for name, times in moves.items()}
    return (
        "## Does painting stay smooth?\n\n"
        "Gaps between the beats of a 5 ms timer while strokes are painted without end on a 2048×2048 "
        f"image, in a virtual screen with software GL, everything on the same cores; start `{model}`. "
        f"{told} Made by `benchmarks/paint_heartbeat.py`.\n\n"
        f"{markdown_table(('', '99th percentile, ms', 'longest, ms', 'over 50 ms'), rows)}\n\n"
        f"A move of the mouse took {slow['alone']:.0f} ms in napari alone and {slow['panel']:.0f} ms "
        f"with the panel (99th percentile). {machine('napari')}"
    )


if __name__ == "__main__":
    main()
