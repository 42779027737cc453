"""Does the window stay smooth? A 5 ms timer in a real viewer while the panel predicts a 4096×4096 image.

    python benchmarks/heartbeat.py            # needs a screen, or xvfb-run
    python benchmarks/heartbeat.py --explain  # and tells what the window did in the longest gaps

Prints the longest gaps between two beats: from the press of the button, while tiles arrive, at the end.
"""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path

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
    watch = GapWatch(beats)
    if "--explain" in sys.argv:
        watch.start()

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
    watch.tell(marks["press"])
    assert "torch" not in sys.modules
    viewer.close()


class GapWatch(threading.Thread):
    """Looks at what the main thread does, every few ms that a beat is late."""

    LATE, EVERY, DEPTH = 0.030, 0.004, 12

    def __init__(self, beats: list[float]) -> None:
        super().__init__(daemon=True)
        self._beats, self._main = beats, threading.main_thread().ident
        self.seen: dict[float, Counter[str]] = {}  # by the beat before the gap

    def run(self) -> None:
        while True:
            time.sleep(self.EVERY)
            last = self._beats[-1] if self._beats else None
            if last is not None and time.perf_counter() - last > self.LATE:
                stack = traceback.extract_stack(sys._current_frames()[self._main])[-self.DEPTH :]
                line = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in stack[::-1])
                self.seen.setdefault(last, Counter())[line] += 1

    def tell(self, start: float, longest: int = 8) -> None:
        """Print the gaps with the most looks, and the commonest stacks of each."""
        for last, stacks in sorted(self.seen.items(), key=lambda kv: -kv[1].total())[:longest]:
            print(f"\n{last - start:.2f} s: {stacks.total()} looks")
            for line, count in stacks.most_common(4):
                print(f"  {count}: {line}")


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
