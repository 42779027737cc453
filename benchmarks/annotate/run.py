"""Annotation to quality: the project beside a forest, on the same strokes of a simulated annotator.

    python -m napari_papernets.benchmarks.annotate.run --write docs/benchmarks.md

For each task strokes are painted on two images; after each of five rounds both learn from all strokes so
far, and are judged by the mean IoU over the classes on images without strokes. Corrections are painted
where the tool named by --corrected-by is wrong: once where ours is, once where the forest is.

A run takes long: with --rows what is done is kept in a file, and not done again. Several processes may
each do some tasks into files of their own; a last run that is given all files writes the page.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import napari_papernets as pn
from napari_papernets.core.model import ModelRef
from napari_papernets.engine.device import keep_heap
from napari_papernets.engine.metrics import mean_iou

from ..report import machine, markdown_table, publish
from . import forest
from .annotator import Annotator
from .curves import STROKE_SECONDS, curve, draw
from .rounds import Round, keep_rounds, read_rounds
from .tasks import TASKS, Task, load_tasks

ROUNDS = 5
PICTURE = "annotate_curves.png"
TOOLS = ["ours", "forest"]
Labels = Sequence[NDArray[np.integer]]


def run_task(
    task: Task, seed: int, settings: pn.TuneSettings, model: str, corrected_by: str
) -> list[Round]:
    """The rounds of one task."""
    annotator = Annotator(task.truths[: task.annotated], seed)
    features = [forest.filters(image) for image in task.images]
    annotator.begin()
    rounds = []
    for number in range(1, ROUNDS + 1):
        with tempfile.TemporaryDirectory() as folder:
            began, worked = time.perf_counter(), time.process_time()
            tuned = _learn(task, annotator.strokes, settings, model, folder)
            took = time.perf_counter() - began, time.process_time() - worked
            ours = [pn.predict(i, tuned, axes=i.axes).labels for i in task.images]
        trees = forest.fit(features[: task.annotated], annotator.strokes)
        theirs = [forest.classify(trees, f) for f in features]
        scores = score(task, ours), score(task, theirs)
        rounds.append(Round(task.name, seed, corrected_by, number, annotator.count, *scores, *took))
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


def _learn(task: Task, strokes: Labels, settings: pn.TuneSettings, model: str, folder: str) -> ModelRef:
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


def speed(rounds: Sequence[Round]) -> str:
    """When ours, on average over the tasks, is as good as the forest ever gets."""
    best = max(curve(rounds, "forest")[1])
    seconds = [second for second, quality in zip(*curve(rounds, "ours"), strict=True) if quality >= best]
    if not seconds:
        return f"The forest's best mean, {best:.3f}, is not reached by ours."
    last = max(curve(rounds, "forest")[0])
    return (
        f"Ours passes the forest's best mean, {best:.3f}, after {seconds[0]:.0f} of {last:.0f} seconds "
        f"of annotation ({STROKE_SECONDS:g} s a stroke, which is assumed)."
    )


def report(
    rounds: Sequence[Round], settings: pn.TuneSettings, model: str, picture: Path | None = None
) -> str:
    """The section of the page: a table for each way to choose corrections, and the curves."""
    steps, seconds = settings.steps, settings.seconds
    learning = f"{seconds:g} s of training" if steps is None else f"{steps} steps of training"
    parts = [
        "## From strokes to quality, beside a forest",
        "Mean IoU over the classes on images without strokes, ours / forest (ilastik's recipe: "
        "multi-scale filters, 100 trees) on the same strokes: 3 a class, then up to 4 corrections a "
        f"round; start `{model}`, {learning} a round. Made by "
        "`benchmarks/annotate/run.py`.",
    ]
    for corrected_by in dict.fromkeys(r.corrected_by for r in rounds):
        some = [r for r in rounds if r.corrected_by == corrected_by]
        who = {"ours": "ours is wrong", "forest": "the forest is wrong"}[corrected_by]
        seeds = len({r.seed for r in some})
        parts += [f"Corrections where {who}, {seeds} seed(s):", table(some), speed(some)]
    if picture:
        parts.append(f"![Mean IoU against the time of annotation, task by task](images/{picture.name})")
    took, cpu = [r.seconds for r in rounds], [r.cpu for r in rounds]
    parts.append(
        f"Learning a round took {np.mean(cpu):.1f} s of processor time on average, {max(cpu):.1f} s at "
        f"most, loading and saving included; by the clock, beside other work, {np.mean(took):.1f} s and "
        f"{max(took):.1f} s. {machine('scikit-image', 'scikit-learn')}"
    )
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--steps", type=int, help="in place of the seconds: the same on any machine")
    parser.add_argument("--model", default="strokes")
    parser.add_argument("--corrected-by", nargs="*", choices=TOOLS, default=TOOLS)
    parser.add_argument("--rows", nargs="*", type=Path, default=[], help="new ones go to the first")
    parser.add_argument("--write", type=Path, help="put the tables into this Markdown page")
    given = parser.parse_args()
    keep_heap()
    settings = pn.TuneSettings(steps=given.steps, seconds=given.seconds if given.steps is None else None)
    rounds = read_rounds(given.rows)
    wanted = [(t, s, c) for t in given.tasks for s in given.seeds for c in given.corrected_by]
    done = {(r.task, r.seed, r.corrected_by) for r in rounds}
    for task, seed, corrected_by in [w for w in wanted if w not in done]:
        new = run_task(load_tasks([task])[0], seed, settings, given.model, corrected_by)
        rounds += new
        if given.rows:
            keep_rounds(new, given.rows[0])
    chosen = [r for t, s, c in wanted for r in rounds if (r.task, r.seed, r.corrected_by) == (t, s, c)]
    picture = given.write.parent / "images" / PICTURE if given.write else None
    if picture:
        draw(chosen, picture)
    publish(report(chosen, settings, given.model, picture), "annotate", given.write)


if __name__ == "__main__":
    main()
