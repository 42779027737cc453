"""Does the window stay smooth? A 5 ms timer in a real viewer while the panel predicts a 4096×4096 image.

    python benchmarks/heartbeat.py        # needs a screen, or xvfb-run

Prints the longest gaps between two beats: from the press of the button, while tiles arrive, at the end.
"""

from __future__ import annotations

import sys
import time

import napari
import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication

from napari_papernets.samples import load_sample
from napari_papernets.widgets.unet_panel import UNetPanel

BEAT = 5  # ms
WARM = 8000  # ms for the engine to be ready before the press
MARGIN = 0.3  # s before the end that are not "during"
START = 1.5  # s after the press that are not "during"


def main() -> None:
    viewer = napari.Viewer()
    viewer.add_image(np.tile(np.asarray(load_sample("nuclei").image.data), (8, 8)), name="large")
    panel = UNetPanel(viewer)
    viewer.window.add_dock_widget(panel, name="U-Net", area="right")
    beats: list[float] = []
    marks: dict[str, float] = {}
    timer = QTimer(interval=BEAT, timerType=Qt.TimerType.PreciseTimer)
    timer.timeout.connect(lambda: beats.append(time.perf_counter()))
    timer.start()

    def press() -> None:
        marks["press"] = time.perf_counter()
        panel.start_run("plane")

    def finished(*_: object) -> None:
        marks["end"] = time.perf_counter()
        QTimer.singleShot(1500, QApplication.instance().quit)

    panel.runFinished.connect(finished)
    panel.runFailed.connect(finished)
    QTimer.singleShot(WARM, press)
    napari.run()
    report(np.array(beats), marks["press"], marks["end"])
    assert "torch" not in sys.modules
    viewer.close()


def report(beats: np.ndarray, press: float, end: float) -> None:
    """Print the gaps in ms: at the press, during the run, at the end."""
    gaps, at = np.diff(beats) * 1000, beats[1:]
    parts = {
        "press": (at > press) & (at < press + START),
        "during": (at >= press + START) & (at < end - MARGIN),
        "end": at >= end - MARGIN,
    }
    print(f"{end - press:.1f} s from the press to the result")
    for name, part in parts.items():
        found = gaps[part]
        print(
            f"{name}: p99 {np.percentile(found, 99):.0f} ms, largest {found.max():.0f} ms, "
            f"{(found > 50).sum()} of {len(found)} over 50 ms"
        )


if __name__ == "__main__":
    main()
