"""Linear probe on frozen tokens from three strokes a class, beside random weights and a forest.

    python -m napari_papernets.benchmarks.vit.probe WEIGHTS --write docs/benchmarks.md

The strokes are those of `benchmarks/annotate`: three a class on two images; judged by the mean IoU over
the classes on images without strokes. The probe is what `finetune` fits from a Vision Transformer before
any step of training; and the same on the tokens alone, without the grey bands that stand beside them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

import napari_papernets as pn
from napari_papernets.core.model import ModelRef, class_infos
from napari_papernets.engine.annotated import read_planes
from napari_papernets.engine.device import keep_heap
from napari_papernets.engine.quick import HeadFitter
from napari_papernets.engine.starts import continue_from
from napari_papernets.engine.vit_models import import_checkpoint, load_vit
from napari_papernets.engine.weights import save_weights
from napari_papernets.networks.linear_head import ReadableNetwork

from ..annotate import forest
from ..annotate.annotator import Annotator
from ..annotate.run import score
from ..annotate.tasks import Task, load_tasks
from ..report import machine, markdown_table, put_section

DEFAULT = ("phase contrast", "DIC", "histology", "EM membranes")


@dataclass(frozen=True)
class Row:
    """Mean IoU of one task and seed, by weights and by what the probe reads ("tokens", or "bands": grey
    bands beside them), and by a forest; and the seconds that the probe with bands took to learn."""

    task: str
    learnt: Mapping[str, float]
    random: Mapping[str, float]
    forest: float
    seconds: float


def run_task(task: Task, seed: int, learnt: ModelRef, random: ModelRef, density: int) -> Row:
    """One row."""
    annotator = Annotator(task.truths[: task.annotated], seed)
    annotator.begin()
    filters = [forest.filters(image) for image in task.images]
    trees = forest.fit(filters[: task.annotated], annotator.strokes)
    theirs = score(task, [forest.classify(trees, f) for f in filters])
    ours, seconds = probe_task(task, annotator.strokes, learnt, density)
    control, _ = probe_task(task, annotator.strokes, random, density)
    row = Row(task.name, ours, control, theirs, seconds)
    print(row, flush=True)
    return row


def probe_task(
    task: Task, strokes: Sequence[np.ndarray], ref: ModelRef, density: int
) -> tuple[dict[str, float], float]:
    """Mean IoU of the probe on tokens with bands and alone, and seconds of learning with bands."""
    settings = pn.TuneSettings(steps=0, density=density, held_out=0.0)
    names = [info.name for info in class_infos([str(c) for c in range(1, task.classes + 1)])]
    began, cpu = time.perf_counter(), torch.device("cpu")
    start = continue_from(ref, names, settings, "probe")
    network = start.network
    assert isinstance(network, ReadableNetwork)
    planes = read_planes(task.images[: task.annotated], list(strokes), "strokes", start.spec)
    HeadFitter(network, cpu, bf16=False).fit(planes)
    seconds = time.perf_counter() - began
    found = {"bands": judged(task, network, start.spec)}
    network.head.scales[0] = 0.0  # bands are not trusted at all
    HeadFitter(network, cpu, bf16=False).fit(planes)
    found["tokens"] = judged(task, network, start.spec)
    return found, seconds


def judged(task: Task, network: torch.nn.Module, spec: pn.ModelSpec) -> float:
    """Mean IoU of a network on the images without strokes."""
    described = replace(spec, options=network.options)
    with tempfile.TemporaryDirectory() as folder:
        ref = save_weights(described, network.state_dict(), Path(folder) / "probe")
        blank = [np.ones(t.shape, np.uint8) for t in task.truths[: task.annotated]]
        answers = [
            pn.predict(i, ref, axes=i.axes, probabilities=False).labels
            for i in task.images[task.annotated :]
        ]
    return score(task, [*blank, *answers])


def table(rows: Sequence[Row]) -> str:
    """Means over the seeds by task, and over the tasks."""
    header = ["task"]
    for what in ("tokens", "tokens + bands"):
        header += [what, "random weights", "gain"]
    lines = []
    for name in [*dict.fromkeys(r.task for r in rows), "mean"]:
        chosen = [r for r in rows if name in (r.task, "mean")]
        cells = [name]
        for what in ("tokens", "bands"):
            ours = np.mean([r.learnt[what] for r in chosen])
            control = np.mean([r.random[what] for r in chosen])
            cells += [f"{ours:.3f}", f"{control:.3f}", f"{100 * (ours - control):+.1f}"]
        trees = np.mean([r.forest for r in chosen])
        lines.append((*cells, f"{trees:.3f}", f"{100 * (ours - trees):+.1f}"))
    return markdown_table([*header, "forest", "tokens + bands − forest"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, help="a checkpoint of a Vision Transformer")
    parser.add_argument("--tasks", nargs="*", default=list(DEFAULT))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--density", type=int, default=pn.TuneSettings().density)
    parser.add_argument("--antialias", action="store_true")
    parser.add_argument("--write", type=Path, help="put the table into this Markdown page")
    given = parser.parse_args()
    keep_heap()
    with tempfile.TemporaryDirectory() as folder:
        learnt = import_checkpoint(given.weights, Path(folder), antialias=given.antialias)
        control = load_vit(learnt, random_weights=True)
        random = save_weights(control.spec, control.network.state_dict(), Path(folder) / "random")
        rows: list[Row] = []
        for task in load_tasks(given.tasks):
            rows += [run_task(task, s, learnt, random, given.density) for s in range(given.seeds)]
            text = report(rows, given.weights.stem, given.density, given.seeds)
            if given.write:
                put_section(given.write, "vit", text)
    print(text)


def report(rows: Sequence[Row], weights: str, density: int, seeds: int) -> str:
    """The section of the page."""
    return (
        "## Linear probe on frozen tokens, from three strokes a class\n\n"
        f"Mean IoU over the classes on images without strokes: `{weights}`, images enlarged "
        f"{density}×, {seeds} seed(s); gains in points. Tokens: a linear layer on the tokens of the "
        "block three quarters up, no step of training. Bands: the grey values that stand beside them in "
        "the program. Forest: ilastik's recipe on the same strokes. The block, the length of tokens, "
        "the enlargement and how much tokens and bands are trusted were chosen on these very images "
        f"(with strokes of four seeds). Made by `benchmarks/vit/probe.py`.\n\n{table(rows)}\n\n"
        f"Mean time of learning {np.mean([r.seconds for r in rows]):.1f} s. "
        f"{machine('scikit-image', 'scikit-learn')}"
    )


if __name__ == "__main__":
    main()
