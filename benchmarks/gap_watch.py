"""What a window was doing while it did not answer, and whether the machine itself stood still."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType

import numpy as np
from numpy.typing import NDArray

BARE_TIMER = """
import sys, threading, time
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
beats = [time.perf_counter()]
while not ended.wait(0.005):
    beats.append(time.perf_counter())
for last, now in zip(beats, beats[1:]):
    print(now, now - last)
"""


class BareTimer:
    """A timer of 5 ms in a process that does nothing else: its gaps are the machine's own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", BARE_TIMER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def gaps(self) -> NDArray[np.float64]:
        """End it: the time of each beat (of `time.perf_counter`), and the seconds since the last one."""
        return np.array(self._process.communicate()[0].split(), float).reshape(-1, 2)


class GapWatch(threading.Thread):
    """Looks at what the main thread does, every few ms that a beat is late.

    Parameters
    ----------
    beats : list of float
        Times of `time.perf_counter`, which grows.
    """

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
                line = self._calls(sys._current_frames().get(self._main or 0))
                self.seen.setdefault(last, Counter())[line] += 1

    def _calls(self, frame: FrameType | None) -> str:
        calls: list[str] = []
        while frame is not None and len(calls) < self.DEPTH:
            code = frame.f_code
            calls.append(f"{Path(code.co_filename).name}:{frame.f_lineno} {code.co_name}")
            frame = frame.f_back
        return " < ".join(calls)

    def tell(self, start: float, longest: int = 8) -> None:
        """Print the gaps with the most looks, and the commonest stacks of each."""
        for last, stacks in sorted(self.seen.items(), key=lambda kv: -kv[1].total())[:longest]:
            print(f"\n{last - start:.2f} s: {stacks.total()} looks")
            for line, count in stacks.most_common(4):
                print(f"  {count}: {line}")
