"""Fine-tune DeepLab-LargeFOV from VGG-16's weights on real sets, and judge it on unseen images.

    python -m benchmarks.deeplab.train --set hela --steps 150 --folder build/deeplab

One model "deeplab-SET" for each set, written to the folder with its checkpoint (--resume goes on). The
scores are those of the coarse maps, restored but without a CRF.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from napari_papernets.api import drain
from napari_papernets.core.events import Checkpoint, Event, Notice, Started, Step
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.engine.device import keep_heap
from napari_papernets.engine.finetune import finetune
from napari_papernets.engine.vgg_files import import_vgg16

from .evaluate import evaluate
from .sets import CLASSES, SETS, SHARED

VGG = SHARED / "weights" / "vgg16_features_fp16.safetensors"

SETTINGS = TuneSettings(
    kind="classes",
    schedule="poly",
    batch=1,
    crop=225,
    elastic=5.0,
    undeformed=0.0,  # as the table on the page was trained
    balance=True,  # objects are a fifth of an H&E image: without, a short training gives background only
    average=0.95,  # of one crop a step, the gradients are noisy
    held_out=0.0,  # whole images are unseen, and nothing is chosen by looking at them
    checkpoint_every=50,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=SETS, action="append", help="default: all of them")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--crop", type=int, default=SETTINGS.crop)
    parser.add_argument("--train", default=SETTINGS.train, help="all, decoder (fc6 to fc8) or head")
    parser.add_argument("--most", type=int, help="see at most so many images of a set")
    parser.add_argument("--optimiser", default=SETTINGS.optimiser)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--vgg", type=Path, default=VGG, help="VGG-16's weights, torchvision's names")
    parser.add_argument("--folder", type=Path, default=Path("build/deeplab"))
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    keep_heap()
    start = import_vgg16(given.vgg, given.folder)
    settings = SETTINGS.replace(
        steps=given.steps,
        crop=given.crop,
        train=given.train,
        optimiser=given.optimiser,
        learning_rate=given.learning_rate,
    )
    for name in given.set or SETS:
        seen = SETS[name].examples("learn")
        seen = seen[:: -(-len(seen) // given.most)] if given.most else seen
        job = finetune(
            [e.image for e in seen],
            [e.classes for e in seen],
            start,
            settings,
            name=f"deeplab-{name}",
            class_names=CLASSES,
            folder=given.folder,
            resume=given.resume,
        )
        tuned = drain(job, report)
        found = evaluate(tuned.model, name)
        scores = dict(miou=found.miou, trimap=found.trimap)
        facts = dict(set=name, seen=len(seen), seconds=tuned.provenance["seconds"], **scores)
        print(json.dumps(facts), flush=True)


def report(event: Event) -> None:
    """Print what happens."""
    if isinstance(event, Step) and event.step % 10 == 0:
        print(f"step {event.step} loss {event.loss:.4f} {event.seconds:.0f} s", flush=True)
    elif isinstance(event, Started | Notice | Checkpoint):
        print(event, flush=True)


if __name__ == "__main__":
    main()
