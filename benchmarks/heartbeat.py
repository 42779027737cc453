"""Does the window stay smooth? A 5 ms timer in a real viewer while the panel predicts a 4096×4096 image.

    python -m napari_papernets.benchmarks.heartbeat            # needs a screen, or xvfb-run
    python -m napari_papernets.benchmarks.heartbeat --explain  # what was done in them

Tells the longest gaps between two beats: from the press of the button, while tiles arrive, at the end;
and, for scale, those of napari alone, with nothing else to do: as it draws the image again, and as it
adds an empty labels layer of 16×16 pixels. A timer in a process of its own, which does nothing else,
tells when the machine itself stood still. With --write PAGE the gaps go into a Markdown page.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_papernets.samples import load_sample
from napari_papernets.widgets.unet_panel import UNetPanel

from .gap_watch import BareTimer, GapWatch

BEAT = 5  # ms
WARM = 12_000  # ms for the engine to be ready, and for napari alone, before the press
ADD, DRAW, DRAWS = 6000, 8000, 8  # ms until a layer is added, and until the image is drawn, how often
MARGIN = 0.3  # s before the end that are not "during"
START = 1.5  # s after the press that are not "during"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--explain", action="store_true", help="tell what was done in the longest gaps")
    parser.add_argument("--write", type=Path, help="put the gaps into this Markdown page")
    given = parser.parse_args()
    viewer = napari.Viewer()
    viewer.add_image(np.tile(np.asarray(load_sample("nuclei").image.data), (8, 8)), name="large")
    panel = UNetPanel(viewer)
    viewer.window.add_dock_widget(panel, name="U-Net", area="right")
    beats: list[float] = []
    marks: dict[str, float] = {}
    timer = QTimer(interval=BEAT, timerType=Qt.TimerType.PreciseTimer)
    timer.timeout.connect(lambda: beats.append(time.perf_counter()))
    timer.start()
    bare = BareTimer()
    watch = GapWatch(beats)
    if given.explain:
        watch.start()

    def add() -> None:
        marks["add"] = time.perf_counter()
        viewer.add_labels(np.zeros((16, 16), np.uint16), name="empty")
        QTimer.singleShot(1500, remove)

    def remove() -> None:
        viewer.layers.remove("empty")
        viewer.layers.selection.active = viewer.layers["large"]  # as it was before

    def draw(count: int = DRAWS) -> None:
        marks.setdefault("draw", time.perf_counter())
        viewer.layers["large"].opacity = 1.0 - 0.01 * (count % 2)
        if count:
            QTimer.singleShot(250, lambda: draw(count - 1))

    def press() -> None:
        marks["press"] = time.perf_counter()
        panel.start_run("plane")

    def finished(*_: object) -> None:
        marks["end"] = time.perf_counter()
        QTimer.singleShot(1500, QApplication.instance().quit)

    panel.runFinished.connect(finished)
    panel.runFailed.connect(finished)
    QTimer.singleShot(ADD, add)
    QTimer.singleShot(DRAW, draw)
    QTimer.singleShot(WARM, press)
    napari.run()
    assert "torch" not in sys.modules
    viewer.close()
    text = report(np.array(beats), bare.gaps(), marks)
    from .report import publish  # torch comes with it

    publish(text, "heartbeat", given.write)
    watch.tell(marks["press"])


def report(beats: np.ndarray, bare: np.ndarray, marks: dict[str, float]) -> str:
    """What the page says of the gaps; `bare` are times and gaps of the other process."""
    from .report import machine, markdown_table  # which imports torch

    gaps, at = np.diff(beats) * 1000, beats[1:]
    press, end = marks["press"], marks["end"]
    parts = {
        "napari alone, adding an empty layer": (at > marks["add"]) & (at < marks["add"] + 1.4),
        "napari alone, drawing the image": (at > marks["draw"]) & (at < marks["draw"] + 2.3),
        "at the press": (at > press) & (at < press + START),
        "while it predicts": (at >= press + START) & (at < end - MARGIN),
        "as the result comes": at >= end - MARGIN,
    }
    found = {name: gaps[part] for name, part in parts.items()}
    meanwhile = (bare[:, 0] >= press + START) & (bare[:, 0] < end - MARGIN)
    found["a bare timer, while it predicts"] = bare[meanwhile, 1] * 1000
    rows = [
        (name, *(f"{v:.0f}" for v in (np.percentile(g, 99), g.max())), f"{(g > 50).sum()} of {len(g)}")
        for name, g in found.items()
    ]
    return (
        "## Does the window stay smooth?\n\n"
        "Gaps between the beats of a 5 ms timer in napari while the U-Net panel predicts a 4096×4096 "
        f"image ({end - press:.0f} s), on a virtual screen with software GL, everything on the same "
        "cores. Made by `benchmarks/heartbeat.py`.\n\n"
        f"{markdown_table(('', '99th percentile, ms', 'longest, ms', 'over 50 ms'), rows)}\n\n"
        f"{machine('napari')}"
    )


if __name__ == "__main__":
    main()
