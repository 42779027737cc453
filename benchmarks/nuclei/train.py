"""Train the bundled `nuclei` model with the project's own verb.

    python benchmarks/nuclei/train.py --steps 3300 --folder build/nuclei-1
    python benchmarks/nuclei/train.py --steps 1800 --folder build/nuclei-2 \\
        --base build/nuclei-1/nuclei.safetensors --learning-rate 1e-3

Two thirds of the images are seen (see data.py); `evaluate.py` judges on the others and writes the model
into the package. Interrupt it at will: --resume goes on from the last checkpoint. README.md tells how
the shipped file came about.
"""

from __future__ import annotations

import argparse
import signal
from collections import Counter
from collections.abc import Generator
from pathlib import Path

from data import DATA, examples

from napari_papernets.core.events import Checkpoint, EpochDone, Event, Notice, Started, Step
from napari_papernets.core.results import Tuned
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.engine.device import keep_heap
from napari_papernets.engine.finetune import finetune

# How much of the training each kind gets, whatever its number of images.
KIND_SHARES = {"fluo": 0.56, "histology": 0.34, "brightfield": 0.10}

SETTINGS = TuneSettings(
    kind="instances",
    encoding="border",
    width=16,
    depth=4,
    optimiser="adamw",
    learning_rate=3e-3,
    schedule="cosine",
    batch=8,
    crop=192,
    w0=10.0,
    balance=False,
    elastic=6.0,
    zoom_range=2.0,
    grey=0.6,
    invert=0.15,
    average=0.99,
    held_out=0.0,  # a third is held out beforehand: nothing is chosen by looking at it
    checkpoint_every=400,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--folder", type=Path, default=Path("build/nuclei"))
    parser.add_argument("--steps", type=int, default=3300)
    parser.add_argument("--base", default="scratch", help="a model to go on from")
    parser.add_argument("--learning-rate", type=float, default=SETTINGS.learning_rate)
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    keep_heap()
    seen = list(examples(held_out=False, folder=given.data))
    counts = Counter(e.kind for e in seen)
    job = finetune(
        [e.image for e in seen],
        [e.objects for e in seen],
        given.base,
        SETTINGS.replace(steps=given.steps, learning_rate=given.learning_rate),
        name="nuclei",
        folder=given.folder,
        resume=given.resume,
        shares=[KIND_SHARES[e.kind] / counts[e.kind] for e in seen],
        about=dict(data="BBBC038 (2018 Data Science Bowl), CC0", kinds=dict(counts)),
    )
    follow(job)


def follow(job: Generator[Event, str | None, Tuned]) -> None:
    """Print what happens; Ctrl-C stops and keeps the model."""
    asked: list[str] = []
    signal.signal(signal.SIGINT, lambda *_: asked.append("stop"))
    event, losses = next(job), []
    while True:
        if isinstance(event, Step):
            losses.append(event.loss)
        if isinstance(event, Step) and event.step % 50 == 0:
            mean = sum(losses[-50:]) / len(losses[-50:])
            print(
                f"step {event.step} loss {mean:.4f} lr {event.learning_rate:.2e} {event.seconds:.0f} s"
            )
        elif isinstance(event, EpochDone):
            print(f"step {event.step} score {event.score} {'best' if event.best else ''}", flush=True)
        elif isinstance(event, Started | Notice | Checkpoint):
            print(event, flush=True)
        try:
            event = job.send(asked.pop() if asked else None)
        except StopIteration as end:
            print(end.value.model.path, end.value.provenance["kept"], end.value.provenance["score"])
            return


if __name__ == "__main__":
    main()
