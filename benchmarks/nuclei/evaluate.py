"""Judge a nuclei model on the third of the images that no training saw, and bundle it if told so.

    python benchmarks/nuclei/evaluate.py build/nuclei/nuclei.safetensors [--install]
    python benchmarks/nuclei/evaluate.py nuclei --auto-zoom --write docs/benchmarks.md

Average precision at IoU 0.5 is TP / (TP + FP + FN) over objects: its mean over images, and pooled over
the objects of all images. The foreground's IoU is the mean over images.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from data import DATA, KINDS, Example, examples
from napari_papernets.benchmarks.report import machine, markdown_table, put_section

from napari_papernets.core.events import Event
from napari_papernets.core.model import ModelRef
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.core.results import Prediction
from napari_papernets.engine.device import keep_heap
from napari_papernets.engine.metrics import Matches, foreground_iou, match_objects
from napari_papernets.engine.predict import predict
from napari_papernets.engine.weights import load_weights, save_weights
from napari_papernets.model_files import BUNDLED, find_model

NOTE = "CC0 training data; weights BSD-3-Clause"
DESCRIPTION = (
    "Cell nuclei in fluorescence, histology (H&E) and brightfield images, grey or RGB, on dark or light "
    "ground; objects about 8 to 60 pixels across at zoom 1. Trained on two thirds of BBBC038 (2018 Data "
    "Science Bowl)."
)


@dataclass(frozen=True)
class Score:
    """How one image came out."""

    kind: str
    name: str
    matches: Matches
    foreground: float


def judge(model: ModelRef, images: Iterable[Example], settings: PredictSettings) -> Iterator[Score]:
    """Predict each image and compare."""
    for example in images:
        labels = finish(predict(example.image, model, settings, probabilities=False)).labels
        matches = match_objects(example.objects, labels)
        foreground = foreground_iou(example.objects, labels)
        yield Score(example.kind, example.image.name, matches, foreground)


def finish(job: Generator[Event, None, Prediction]) -> Prediction:
    """The answer of a job whose events do not matter."""
    while True:
        try:
            next(job)
        except StopIteration as end:
            return end.value


def summarise(scores: Iterable[Score]) -> dict[str, dict[str, float]]:
    """For each kind: number of images, AP@0.5 as a mean and pooled, mean foreground IoU."""
    by_kind: dict[str, list[Score]] = defaultdict(list)
    for score in scores:
        by_kind[score.kind].append(score)
    return {
        kind: dict(
            images=len(found),
            ap50_mean=round(float(np.mean([s.matches.average_precision for s in found])), 4),
            ap50_pooled=round(sum((s.matches for s in found), Matches(0, 0, 0)).average_precision, 4),
            foreground_iou=round(float(np.mean([s.foreground for s in found])), 4),
        )
        for kind, found in by_kind.items()
    }


def install(model: ModelRef, scores: dict[str, dict[str, float]]) -> Path:
    """Write the model into the package in half precision, its scores among its provenance."""
    provenance = {**model.spec.provenance, "held_out_third": scores, "stored": "float16"}
    spec = replace(
        model.spec,
        name="nuclei",
        description=DESCRIPTION,
        licence=NOTE,
        provenance=provenance,
    )
    weights = load_weights(model).state_dict()
    path = save_weights(spec, weights, BUNDLED / "nuclei.safetensors", half=True).path
    path.chmod(0o644)  # readable for everyone once it is packaged
    return path


def section(scores: dict[str, dict[str, float]], model: ModelRef, auto_zoom: bool) -> str:
    """The summary as a part of the benchmarks page."""
    header = ("kind", "images", "AP at IoU 0.5, mean", "AP at IoU 0.5, pooled", "foreground IoU, mean")
    rows = [
        (
            kind,
            str(row["images"]),
            *(f"{row[k]:.3f}" for k in ("ap50_mean", "ap50_pooled", "foreground_iou")),
        )
        for kind, row in scores.items()
    ]
    zoom = "estimated for each image (the default)" if auto_zoom else "1 (images as they are)"
    return (
        f"## The bundled model `{model.name}` on images it never saw\n\n"
        "2018 Data Science Bowl (BBBC038): the third of each kind that a hash of the file name holds "
        "out from training; which of three sets of weights ships was decided by looking at them "
        "(`benchmarks/nuclei/README.md`). Average precision is "
        f"TP / (TP + FP + FN) over objects. Zoom: {zoom}. "
        f"{machine('napari-papernets')}.\n\n{markdown_table(header, rows)}\n\n"
        "Written by `python benchmarks/nuclei/evaluate.py nuclei "
        f"{'--auto-zoom ' if auto_zoom else ''}--write docs/benchmarks.md`."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--auto-zoom", action="store_true", help="estimate the zoom of each image")
    parser.add_argument("--threshold", type=float, default=0.5)
    parser.add_argument("--turns", type=int, default=1, help="average over turned versions")
    parser.add_argument("--worst", type=int, default=0, help="also list so many images of each kind")
    parser.add_argument("--install", action="store_true")
    parser.add_argument("--write", type=Path, help="put the table into this Markdown page")
    given = parser.parse_args()
    keep_heap()
    model = find_model(given.model)
    settings = PredictSettings(
        zoom=None if given.auto_zoom else 1.0, threshold=given.threshold, turns=given.turns
    )
    kinds = tuple(given.kind or KINDS)
    scores = list(judge(model, examples(True, kinds, given.data), settings))
    summary = summarise(scores)
    for kind, row in summary.items():
        print(kind, row)
        poor = sorted((s for s in scores if s.kind == kind), key=lambda s: s.matches.average_precision)
        for score in poor[: given.worst]:
            print(f"  {score.matches.average_precision:.3f} {score.foreground:.3f} {score.name}")
    if given.write:
        put_section(given.write, "nuclei", section(summary, model, given.auto_zoom))
    if given.install:
        print(install(model, summary))


if __name__ == "__main__":
    main()
