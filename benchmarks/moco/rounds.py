"""Does a U-Net that starts from a pre-trained encoder beat one from scratch in the first rounds?

    python -m napari_papernets.benchmarks.moco.rounds ENCODER.safetensors --write docs/benchmarks.md

The protocol of `benchmarks/annotate`: three strokes a class on two images, then up to four corrections
where the network itself is wrong. The control starts from an encoder of the same shape whose weights are
random, everything else being the same.

A run takes long: with --rows what is done is kept in files, and not done again (see `annotate/run.py`).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import napari_papernets as pn
from napari_papernets.core.model import ModelRef
from napari_papernets.engine.device import keep_heap
from napari_papernets.engine.weights import hash_file
from napari_papernets.model_files import find_model
from napari_papernets.networks import build

from ..annotate.annotator import Annotator
from ..annotate.run import score
from ..annotate.tasks import TASKS, Task, load_tasks
from ..report import machine, markdown_table, publish

ROUNDS = 2


def rounds(task: Task, model: ModelRef, settings: pn.TuneSettings, seed: int) -> list[float]:
    """Mean IoU on the images without strokes after each round."""
    annotator = Annotator(task.truths[: task.annotated], seed)
    annotator.begin()
    images, scores = list(task.images), []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            tuned = pn.finetune(
                images[: task.annotated],
                list(annotator.strokes),
                model,
                settings,
                axes=images[0].axes,
                folder=Path(folder),
                name="task",
            )
            labels = [pn.predict(i, tuned.model, axes=i.axes).labels for i in images]
        scores.append(score(task, labels))
        annotator.correct(labels[: task.annotated])
    return scores


def random_start(ref: ModelRef, folder: Path, seed: int) -> ModelRef:
    """An encoder of the same shape that has learnt nothing."""
    import torch

    from napari_papernets.engine.weights import save_weights

    torch.manual_seed(seed)
    return save_weights(ref.spec, build(ref.spec).state_dict(), folder / f"random-{seed}.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encoder", help="name or file")
    parser.add_argument("--tasks", nargs="*", default=["phase contrast", "fluo"], choices=list(TASKS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1])
    parser.add_argument("--steps", type=int, default=100, help="of training in each round")
    parser.add_argument("--rows", nargs="*", type=Path, default=[], help="new ones go to the first")
    parser.add_argument("--write", type=Path, help="put the table into this Markdown page")
    given = parser.parse_args()
    keep_heap()
    ref, settings = find_model(given.encoder), pn.TuneSettings(steps=given.steps)
    lines = [line for path in given.rows if path.is_file() for line in path.read_text().splitlines()]
    found = {tuple(key): pair for *key, pair in map(json.loads, lines)}
    about = (hash_file(ref.path), given.steps)
    rows: list[list[str]] = []
    every: list[list[list[float]]] = []
    with tempfile.TemporaryDirectory() as folder:
        for task in load_tasks(given.tasks):
            for seed in given.seeds:
                key = (*about, task.name, seed)
                if key in found:
                    continue
                control = random_start(ref, Path(folder), seed)
                found[key] = [rounds(task, start, settings, seed) for start in (ref, control)]
                print(task.name, seed, *found[key], flush=True)
                if given.rows:
                    with given.rows[0].open("a") as file:
                        file.write(json.dumps([*key, found[key]]) + "\n")
            pairs = [found[*about, task.name, seed] for seed in given.seeds]
            every += pairs
            rows.append(row(task.name, *zip(*pairs, strict=True)))
    rows.append(row("mean", *zip(*every, strict=True)))
    header = ["task", *(f"round {n + 1}" for n in range(ROUNDS))]
    text = (
        "## Fine-tuning a U-Net from the pre-trained encoder, and from scratch\n\n"
        f"Mean IoU over the classes on images without strokes, pre-trained / random weights of the same "
        f"shape, {given.steps} steps of training a round, mean of {len(given.seeds)} annotators. "
        f"Encoder `{ref.name}`. Made by `benchmarks/moco/rounds.py`. {machine()}\n\n"
        f"{markdown_table(header, rows)}"
    )
    publish(text, "moco-rounds", given.write)


def row(name: str, ours: Sequence[Sequence[float]], control: Sequence[Sequence[float]]) -> list[str]:
    """One row of the table."""
    pairs = zip(np.mean(ours, axis=0), np.mean(control, axis=0), strict=True)
    return [name, *(f"{a:.3f} / {b:.3f} ({a - b:+.3f})" for a, b in pairs)]


if __name__ == "__main__":
    main()
