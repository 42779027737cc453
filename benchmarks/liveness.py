"""How soon does a stroke, or a slider of the CRF, change what is seen? From the door, as a panel does
it, with a warm engine.

python -m napari_papernets.benchmarks.liveness --write docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import queue
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from skimage import data

from napari_papernets.core.annotation import Patch, View
from napari_papernets.core.crf_settings import CRFSettings
from napari_papernets.core.events import Preview
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import class_infos
from napari_papernets.core.results import Refinement
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.engine.door import Engine
from napari_papernets.samples import load_sample

NEXT = 8  # strokes after the first answer, and again while it trains
PAUSES = 1.7  # seconds between two of the latter
MOVES = 9  # of each of the CRF's sliders
LIMIT = 60.0  # seconds to wait for an answer


class Watch:
    """A live job whose previews are waited for."""

    def __init__(self, engine: Engine, folder: Path, image: Any, shape: tuple[int, int]) -> None:
        self.events: queue.Queue[Any] = queue.Queue()
        self.job = engine.submit(
            "live",
            on_event=self.events.put,
            on_returned=self.events.put,
            on_failed=self.events.put,
            on_cancelled=lambda: self.events.put(None),
            images=[image],
            annotations=[np.zeros(shape, np.uint8)],
            settings=TuneSettings(held_out=0.0),
            classes=class_infos(["background", "nucleus"]),
            folder=folder,
            view=View(0, (), (0, shape[0], 0, shape[1])),
        )

    def answer(self, patch: int, source: str | None = None) -> float:
        """When a preview that knows the patch arrived."""
        while True:
            event = self.events.get(timeout=LIMIT)
            if isinstance(event, Exception):
                raise event
            fits = isinstance(event, Preview) and event.patch >= patch
            if fits and source in (None, event.source):
                return time.perf_counter()


def measure_strokes() -> tuple[float, list[float], float, list[float]]:
    """Seconds from the first stroke of a second class to an answer, from each stroke after that, from
    the last of them to the answer of the trained network, and from each stroke while it trains."""
    sample = load_sample("nuclei")
    ys, xs = np.nonzero(sample.strokes)
    engine = Engine()
    engine.start()
    while not engine.info:
        time.sleep(0.1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            watch = Watch(engine, Path(folder), sample.image, sample.strokes.shape)
            time.sleep(2.0)  # a person looks before painting
            watch.job.send(Patch(0, (), 0, 0, sample.strokes * (sample.strokes == 1), 1))
            time.sleep(1.0)  # of one class only: there is nothing to tell apart yet
            began = time.perf_counter()
            watch.job.send(Patch(0, (), 0, 0, sample.strokes, 2))
            took = watch.answer(2) - began
            waits = []
            for n in range(2 * NEXT):
                at = n * len(ys) // (2 * NEXT)
                labels = np.ones((3, 20), np.uint8)
                y, x = min(int(ys[at]), 500), min(int(xs[at]), 480)
                number = n + 3
                began = time.perf_counter()
                watch.job.send(Patch(0, (), y, x, labels, number))
                waits.append(watch.answer(number) - began)
                if n == NEXT - 1:
                    trained = watch.answer(number, "trained") - began
                if n >= NEXT - 1:
                    time.sleep(PAUSES)
            watch.job.cancel()
            return took, waits[:NEXT], trained, waits[NEXT:]
    finally:
        engine.close()


def measure_sliders() -> dict[str, float]:
    """Median seconds from a new σ_β, and from a new w₁, to the labels of a refined 512×512 RGB view."""
    image = ImageBlock(data.immunohistochemistry(), "YXC")
    nearness = np.clip(image.data.mean(-1, dtype=np.float32) / 255, 0.02, 0.98)
    shares = np.stack([nearness, 1 - nearness])
    engine = Engine()
    try:
        found = {}
        for slider, start in (("sigma_beta", 10.0), ("w1", 5.0)):
            waits = []
            for move in range(MOVES):
                settings = CRFSettings(**{slider: start + move / 10})
                began = time.perf_counter()
                _refined(engine, shares, image, settings)
                waits.append(time.perf_counter() - began)
            found[slider] = float(np.median(waits[1:]))  # the first compiles, or loads, its kernels
        return found
    finally:
        engine.close()


def _refined(engine: Engine, shares: Any, image: ImageBlock, settings: CRFSettings) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    engine.submit(
        "refine",
        on_event=lambda event: None,
        on_returned=answers.put,
        on_failed=answers.put,
        on_cancelled=lambda: answers.put(None),
        probabilities=shares,
        image=image,
        settings=settings,
        show="labels",
        keep=True,
    )
    answer = answers.get(timeout=LIMIT)
    if not isinstance(answer, Refinement):
        raise RuntimeError(f"not refined: {answer}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="put the figures into this Markdown page")
    given = parser.parse_args()
    took, later, trained, training = measure_strokes()
    slid = measure_sliders()
    from napari_papernets.engine.device import pick_device

    from .report import key_on, machine, publish

    text = (
        "## From a stroke to an answer\n\n"
        "512×512 in view, start `strokes`, engine warm; from the viewer's side of "
        "the door. Made by `benchmarks/liveness.py`.\n\n"
        f"First answer {took:.2f} s after a second class was painted; after each of {NEXT} further "
        f"strokes a median of {np.median(later):.2f} s (longest {max(later):.2f} s); first answer of "
        f"the trained network {trained:.1f} s after the last of them. While it trains, after each of "
        f"{NEXT} strokes a median of {np.median(training):.2f} s (longest {max(training):.2f} s).\n\n"
        f"A CRF's new labels after its slider moved: {1e3 * slid['sigma_beta']:.0f} ms for σ_β, "
        f"{1e3 * slid['w1']:.0f} ms for w₁ (medians of {MOVES - 1} moves, RGB, 10 iterations)."
        f"\n\n{machine()}"
    )
    publish(text, key_on("liveness", pick_device("auto")), given.write)


if __name__ == "__main__":
    main()
