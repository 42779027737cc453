"""Does the CRF panel stay live? Its slider in a real viewer, with 512×512 pixels in view.

    python -m napari_papernets.benchmarks.crf_liveness --write docs/benchmarks.md   # needs a screen

A slider is moved once and its preview waited for, then dragged without a pause; a 5 ms timer tells how
long the window stood still meanwhile.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import napari
import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_papernets.core.crf_settings import CRFSettings
from napari_papernets.samples import load_sample
from napari_papernets.widgets.crf_panel import CRFPanel

BEAT = 5  # ms
MOVES = 8  # of one slider, each waited for
REST = 600  # ms from a preview to the next move, so that nothing of it runs any more
DRAG = 4.0  # seconds
HAND, REDRAW = 30, 200  # ms between two moves of a drag, two changes of napari alone
LIMIT = 100.0  # seconds, after which something hangs
BLOCK = 8  # pixels: side of DeepLab's fields
SAMPLES = {"RGB": "tissue", "grey": "nuclei"}
TITLES = {
    "sigma_beta": "σ_β, one move",
    "w1": "w₁, one move",
    "drag": "σ_β, dragged",
    "off": "for scale: σ_β, dragged, no live preview",
    "napari": "for scale: napari alone, another opacity of the image five times a second",
}
MADE = "Made by `benchmarks/crf_liveness.py`."


@dataclass(eq=False)
class Record:
    """What was seen in one phase: seconds from a value to its preview, and gaps between beats in ms."""

    waits: list[float] = field(default_factory=list)
    beats: list[float] = field(default_factory=list)

    @property
    def gaps(self) -> NDArray[np.float64]:
        return np.diff(self.beats) * 1000


class Hand(QObject):
    """Moves the sliders of a panel, phase by phase, and takes the time."""

    def __init__(self, panel: CRFPanel, done: Callable[[], None]) -> None:
        super().__init__()
        self._panel, self._done = panel, done
        self.records = {phase: Record() for phase in TITLES}
        self._phases = iter(TITLES)
        self._phase = ""
        self._values: Iterator[float] = iter(())
        self._set: dict[float, float] = {}  # when a value was set
        self._beat = QTimer(self, timerType=Qt.TimerType.PreciseTimer)
        self._beat.timeout.connect(self._on_beat)
        self._drag = QTimer(self)
        self._drag.timeout.connect(self._move)
        panel.previews.jobs.answered.connect(self._on_answer)
        self._beat.start(BEAT)

    def begin(self) -> None:
        """The next phase."""
        self._phase = next(self._phases, "")
        self._set.clear()
        if not self._phase:
            self._done()
        elif self._phase in ("sigma_beta", "w1"):
            self._values = iter(np.linspace(5.5, 18.0, MOVES).round(1))
            self._move()
        else:
            self._panel.previews.live.setChecked(self._phase == "drag")
            step = REDRAW if self._phase == "napari" else HAND
            self._values = iter(np.linspace(4.0, 40.0, int(DRAG * 1000 / step)).round(1))
            self._drag.start(step)

    @property
    def _slider(self) -> str:
        return "w1" if self._phase == "w1" else "sigma_beta"

    def _move(self) -> None:
        value = next(self._values, None)
        if value is None:
            self._drag.stop()
            self._phase = ""
            QTimer.singleShot(2 * REST, self.begin)
            return
        if self._phase == "napari":
            self._panel.image.layer().opacity = 1 - float(value) / 100
            return
        self._set[float(value)] = time.perf_counter()
        self._panel.form.sliders[self._slider].setValue(float(value))

    def _on_answer(self, plan: Any, _: object) -> None:
        # after the panel has shown it, and when the canvas has had its turn
        QTimer.singleShot(0, lambda: self._on_shown(getattr(plan.settings, self._slider)))

    def _on_shown(self, value: float) -> None:
        if not self._phase or value not in self._set:
            return
        self.records[self._phase].waits.append(time.perf_counter() - self._set.pop(value))
        if self._phase != "drag":
            QTimer.singleShot(REST, self._move)

    def _on_beat(self) -> None:
        if self._phase:
            self.records[self._phase].beats.append(time.perf_counter())


def coarse(truth: NDArray[Any]) -> NDArray[np.float32]:
    """Probabilities (2, Y, X) as a network of stride 8 gives them."""
    share = (truth > 0).astype(np.float32)
    height, width = (n // BLOCK * BLOCK for n in share.shape)
    fields = share[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).mean((1, 3))
    full = np.full(share.shape, 0.5, np.float32)
    full[:height, :width] = 0.1 + 0.8 * np.kron(fields, np.ones((BLOCK, BLOCK), np.float32))
    return np.stack([1 - full, full])


def measure(kind: str) -> dict[str, Record]:
    """Every phase on one image."""
    sample = load_sample(SAMPLES[kind])
    viewer = napari.Viewer()
    pixels = np.asarray(sample.image.data)[:512, :512]
    viewer.add_image(pixels, name="image", rgb=kind == "RGB")
    viewer.add_image(coarse(sample.truth[:512, :512]), name="scores", visible=False)
    viewer.window.resize(1560, 960)
    panel = CRFPanel(viewer)
    viewer.window.add_dock_widget(panel, name="DeepLab + CRF", area="right")
    hand = Hand(panel, QApplication.instance().quit)
    first = [True]

    def start(*_: object) -> None:
        if first.pop() if first else False:
            viewer.reset_view()  # the dock has taken its room now
            QTimer.singleShot(int(LIMIT * 1000), QApplication.instance().quit)
            QTimer.singleShot(5 * REST, hand.begin)

    panel.previewed.connect(start)
    panel.previews.request()
    napari.run()
    assert "torch" not in sys.modules
    assert hand.records["drag"].waits, "a preview did not come"
    assert hand.records["napari"].beats
    region = panel.plan("view").region
    panel.form.setValue(CRFSettings())  # it remembers its settings
    panel.shut_down()
    viewer.close()
    print(kind, pixels.shape, "region", region, flush=True)
    return hand.records


def row(kind: str, phase: str, record: Record) -> tuple[str, ...]:
    """One line of the table."""
    waits, gaps = np.array(record.waits) * 1000, record.gaps
    return (
        kind, TITLES[phase], str(len(waits)),
        f"{np.median(waits):.0f} ({waits.max():.0f})" if len(waits) else "–",
        f"{np.percentile(gaps, 99):.0f}", f"{gaps.max():.0f}", f"{(gaps > 50).sum()} of {len(gaps)}",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=SAMPLES, action="append")
    parser.add_argument("--write", type=Path, help="put the table into this Markdown page")
    given = parser.parse_args()
    rows = [
        row(kind, phase, record)
        for kind in given.only or SAMPLES
        for phase, record in measure(kind).items()
    ]
    from .report import machine, markdown_table, publish

    header = (
        "image", "slider", "previews", "to the preview, median (longest), ms", "gaps: p99, ms",
        "longest, ms", "over 50 ms",
    )  # fmt: skip
    text = (
        "## From the CRF panel's slider to its preview\n\n"
        "512×512 in view, 2 classes, 10 iterations, engine warm, in a real window; from the change of "
        "the slider to the labels on the screen. Dragged: the age of what a preview shows. Gaps: how "
        f"long the window did not answer to a timer of {BEAT} ms. {MADE}\n\n"
        f"{markdown_table(header, rows)}\n\n"
        f"{machine('napari')}"
    )
    publish(text, "crf-liveness", given.write)


if __name__ == "__main__":
    main()
