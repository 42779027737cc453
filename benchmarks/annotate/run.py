"""Annotation to quality: the project beside a forest, on the same strokes of a simulated annotator.

    python -m napari_papernets.benchmarks.annotate.run --write docs/benchmarks.md

For each task strokes are painted on two images; after each of five rounds both learn from all strokes so
far, and are judged by the mean IoU over the classes on images without strokes. Corrections are painted
where the tool named by --corrected-by is wrong.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import napari_papernets as pn
from napari_papernets.core.model import ModelRef
from napari_papernets.engine.device import keep_heap
from napari_papernets.engine.metrics import mean_iou

from ..report import machine, markdown_table, put_section
from . import forest
from .annotator import Annotator
from .tasks import TASKS, Task, load_tasks

ROUNDS = 5
Labels = Sequence[NDArray[np.integer]]


@dataclass(frozen=True)
class Round:
    """One round of one task.

    Attributes
    ----------
    task : str
        Its name.
    number, strokes : int
        From 1; painted so far.
    ours, theirs : float
        Mean IoU on the images without strokes.
    seconds : float
        That ours took to learn.
    """

    task: str
    number: int
    strokes: int
    ours: float
    theirs: float
    seconds: float


def run_task(task: Task, seed: int, seconds: float, model: str, corrected_by: str) -> list[Round]:
    """The rounds of one task."""
    annotator = Annotator(task.truths[: task.annotated], seed)
    features = [forest.filters(image) for image in task.images]
    annotator.begin()
    rounds = []
    for number in range(1, ROUNDS + 1):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            tuned = _learn(task, annotator.strokes, seconds, model, folder)
            took = time.perf_counter() - began
            ours = [pn.predict(i, tuned, axes=i.axes).labels for i in task.images]
        trees = forest.fit(features[: task.annotated], annotator.strokes)
        theirs = [forest.classify(trees, f) for f in features]
        scores = score(task, ours), score(task, theirs)
        rounds.append(Round(task.name, number, annotator.count, *scores, took))
        print(rounds[-1], flush=True)
        annotator.correct((ours if corrected_by == "ours" else theirs)[: task.annotated])
    return rounds


def score(task: Task, labels: Labels) -> float:
    """Mean over the images without strokes of the mean IoU over the classes."""
    found = []
    for truth, answer in list(zip(task.truths, labels, strict=True))[task.annotated :]:
        known = truth > 0
        pairs = (truth[known].astype(int) - 1) * task.classes + answer[known].astype(int) - 1
        counts = np.bincount(pairs, minlength=task.classes**2)
        found.append(mean_iou(counts.reshape(task.classes, task.classes)))
    return float(np.mean(found))


def _learn(task: Task, strokes: Labels, seconds: float, model: str, folder: str) -> ModelRef:
    settings = pn.TuneSettings(kind="strokes", seconds=seconds)
    images = list(task.images[: task.annotated])
    tuned = pn.finetune(
        images, list(strokes), model, settings, axes=images[0].axes, folder=Path(folder), name="task"
    )
    return tuned.model


def table(rounds: Sequence[Round]) -> str:
    """Mean IoU by task and round: ours − the forest's."""
    names = list(dict.fromkeys(r.task for r in rounds))
    header = ["task", *(f"round {n}" for n in range(1, ROUNDS + 1)), "after the last"]
    rows = []
    for name in [*names, "mean"]:
        of_round = [
            [r for r in rounds if r.number == n and name in (r.task, "mean")]
            for n in range(1, ROUNDS + 1)
        ]
        means = [(np.mean([r.ours for r in g]), np.mean([r.theirs for r in g])) for g in of_round]
        cells = [f"{ours:.3f} / {theirs:.3f}" for ours, theirs in means]
        rows.append([name, *cells, f"{means[-1][0] - means[-1][1]:+.3f}"])
    return markdown_table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--model", default="strokes")
    parser.add_argument("--corrected-by", choices=["ours", "forest"], default="ours")
    parser.add_argument("--write", type=Path, help="put the table into this Markdown page")
    given = parser.parse_args()
    keep_heap()
    rounds = [
        r
        for task in load_tasks(given.tasks)
        for seed in range(given.seeds)
        for r in run_task(task, seed, given.seconds, given.model, given.corrected_by)
    ]
    text = (
        "## From strokes to quality, beside a forest\n\n"
        f"Mean IoU over the classes on images without strokes, ours / forest (ilastik's recipe: "
        f"multi-scale filters, 100 trees) on the same strokes: 3 a class, then up to 4 corrections a "
        f"round where {given.corrected_by} is wrong; start `{given.model}`, {given.seconds:g} s of "
        f"learning a round, {given.seeds} seed(s). Made by `benchmarks/annotate/run.py`.\n\n"
        f"{table(rounds)}\n\nMean time of learning {np.mean([r.seconds for r in rounds]):.1f} s. "
        f"{machine('scikit-image', 'scikit-learn')}"
    )
    print(text)
    if given.write:
        put_section(given.write, "annotate", text)


if __name__ == "__main__":
    main()
