"""A person who drives a live training on a small picture."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from napari_papernets.core.annotation import Patch, View
from napari_papernets.core.events import Idle
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import class_infos
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.engine.live import live

TINY = TuneSettings(width=4, depth=2, crop=32, batch=2, steps=6, held_out=0.0, precision="float32")
CLASSES = class_infos(["ground", "cell"])
VIEW = View(0, (), (0, 64, 0, 96))


def picture() -> tuple[ImageBlock, np.ndarray]:
    """A bright half on the right."""
    rng = np.random.default_rng(0)
    truth = np.ones((64, 96), np.uint8)
    truth[:, 48:] = 2
    return ImageBlock((truth * 80 + rng.integers(0, 40, truth.shape)).astype(np.uint8), "YX"), truth


def stroke(c: int, number: int, row: int = 10) -> Patch:
    x = 5 if c == 1 else 60
    return Patch(0, (), row, x, np.full((3, 25), c, np.uint8), number)


class Person:
    """Drives a live training: sends what is in the script after events of a kind."""

    def __init__(self, folder: Path, settings: TuneSettings = TINY, **options: Any) -> None:
        image, self.truth = picture()
        image = options.pop("image", image)
        options = {"view": VIEW, "name": "toy", "model": "scratch", **options}
        blank = options.pop("annotation", np.zeros(self.truth.shape, np.uint8))
        self.job = live([image], [blank], settings=settings, classes=CLASSES, folder=folder, **options)
        self.events: list[Any] = []
        self.result: Any = None

    def see(self, kind: type, *sent: Any) -> Any:
        """Send values, and go on until an event of that kind."""
        waiting, began = list(sent), time.monotonic()
        while time.monotonic() - began < 60:
            try:
                value = waiting.pop(0) if waiting and self.events else None
                event = self.job.send(value)
            except StopIteration as end:
                self.result = end.value
                return None
            if isinstance(event, Idle):
                time.sleep(min(event.seconds, 0.02))
            else:
                self.events.append(event)
            if isinstance(event, kind) and not waiting:
                return event
        raise AssertionError(f"no {kind.__name__} in {self.events[-5:]}")

    def kinds(self) -> list[str]:
        return [type(e).__name__ for e in self.events]


def run(job: Any) -> Any:
    while True:
        try:
            next(job)
        except StopIteration as end:
            return end.value
