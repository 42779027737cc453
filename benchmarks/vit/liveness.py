"""Does the ViT panel stay live? From a click to the similarity map, and how the window lives meanwhile.

    python -m napari_papernets.benchmarks.vit.liveness --write docs/benchmarks.md   # needs a screen

A 1024×1024 image is read with ViT-S/16 (random weights take as long as others), then clicked.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_papernets.samples import load_sample
from napari_papernets.widgets.vit_panel import ViTPanel

MODEL = "random-small"
BEAT = 5  # ms
WARM = 6000  # ms for the engine to be ready
CLICKS = 12
TITLES = {
    "read": "tokens are read",
    "shown": "they are shown",
    "first": "first click, which adds two layers",
    "click": "further clicks",
    "napari": "for scale: napari alone, another opacity of the image",
    "adds": "for scale: napari alone, adds an image of 64×64 pixels and a point",
}
REST = 500  # ms between two clicks
LIMIT = 120.0  # seconds


class Visit(QObject):
    """Reads the plane, then clicks; takes the time of both."""

    def __init__(self, viewer: napari.Viewer, panel: ViTPanel, done: Callable[[], None]) -> None:
        super().__init__()
        self._viewer, self._panel, self._done = viewer, panel, done
        self._rng = np.random.default_rng(0)
        self.phase, self.reading, self.clicks = "", 0.0, list[float]()
        self.beats: dict[str, list[float]] = {phase: [] for phase in TITLES}
        self._redraws = 0
        self._beat = QTimer(self, timerType=Qt.TimerType.PreciseTimer)
        self._beat.timeout.connect(self._on_beat)
        self._beat.start(BEAT)
        panel.shown.connect(self._on_shown)

    def begin(self) -> None:
        """Press the button."""
        self.phase, self._pressed = "read", time.perf_counter()
        self._panel.read("plane")

    def _on_shown(self) -> None:
        if self.phase == "read":
            self.reading = time.perf_counter() - self._pressed
            self.phase = "shown"
            QTimer.singleShot(2 * REST, self._click)

    def _click(self) -> None:
        if len(self.clicks) == CLICKS:
            self.phase = "napari"
            self._redraw()
            return
        self.phase = "click" if self.clicks else "first"
        y, x = self._rng.uniform(50, 970, 2)
        began = time.perf_counter()
        self._panel.clicks.clicked.emit((y, x), len(self.clicks) % 3 == 2)
        QTimer.singleShot(0, lambda: self.clicks.append(time.perf_counter() - began))
        QTimer.singleShot(REST, self._click)

    def _redraw(self) -> None:
        """Napari by itself: another opacity of the image, then two layers of its own."""
        layer = self._panel.image.layer()
        self._redraws += 1
        if self._redraws < CLICKS:
            layer.opacity = 1 - self._redraws / 20
            QTimer.singleShot(REST, self._redraw)
            return
        self.phase = "adds"
        QTimer.singleShot(REST, self._add)
        QTimer.singleShot(4 * REST, self._done)

    def _add(self) -> None:
        self._viewer.add_image(np.zeros((64, 64), np.float32), name="napari's own")
        QTimer.singleShot(REST, lambda: self._viewer.add_points(np.ones((1, 2)), name="napari's own"))

    def _on_beat(self) -> None:
        if self.phase:
            self.beats[self.phase].append(time.perf_counter())


def measure() -> Visit:
    """Open the viewer and pay a visit."""
    viewer = napari.Viewer()
    viewer.window.resize(1560, 960)
    pixels = np.tile(np.asarray(load_sample("tissue").image.data), (2, 2, 1))
    pixels ^= np.random.default_rng().integers(0, 2, pixels.shape, np.uint8)  # not to be remembered
    viewer.add_image(pixels, name="tissue")
    panel = ViTPanel(viewer)
    viewer.window.add_dock_widget(panel, name="ViT", area="right")
    panel.model.combo.setCurrentIndex(panel.model.combo.count() - 1)
    assert panel.model.model() == MODEL
    panel.controls.similarity.setChecked(True)
    visit = Visit(viewer, panel, QApplication.instance().quit)
    QTimer.singleShot(WARM, visit.begin)
    QTimer.singleShot(int(LIMIT * 1000), QApplication.instance().quit)
    napari.run()
    assert "torch" not in sys.modules
    assert len(visit.clicks) == CLICKS, "something hung"
    assert "similarity of tissue" in viewer.layers
    panel.shut_down()
    viewer.close()
    return visit


def row(title: str, beats: list[float]) -> tuple[str, ...]:
    """Gaps of one phase."""
    gaps: NDArray[np.float64] = np.diff(beats) * 1000
    over = f"{(gaps > 50).sum()} of {len(gaps)}"
    return title, f"{np.percentile(gaps, 99):.0f}", f"{gaps.max():.0f}", over


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="put the figures into this Markdown page")
    given = parser.parse_args()
    visit = measure()
    from ..report import machine, markdown_table, publish

    clicks = np.array(visit.clicks) * 1000
    header = "phase", "gaps of a 5 ms timer: p99, ms", "longest, ms", "over 50 ms"
    text = (
        "## The ViT panel, live\n\n"
        "1024×1024 RGB, ViT-S/16 with 4096 tokens, in a real window. Read in "
        f"{visit.reading:.1f} s from the button to the picture. From a click to the similarity map: "
        f"median {np.median(clicks):.0f} ms, longest {clicks.max():.0f} ms of {CLICKS}.\n\n"
        f"{markdown_table(header, [row(TITLES[k], b) for k, b in visit.beats.items()])}\n\n"
        f"{machine('napari')}. Made by `benchmarks/vit/liveness.py`."
    )
    publish(text, "vit-liveness", given.write)


if __name__ == "__main__":
    main()
