"""A linear probe on frozen features from 3 + 3 strokes, beside random weights.

    python -m napari_papernets.benchmarks.moco.probe ENCODER.safetensors --write docs/benchmarks.md

On two images of each task three strokes are painted in each of the two classes, a logistic regression is
fitted to all maps of the encoder at the painted pixels, and judged by the mean IoU over the classes on
images without strokes. The same is done with encoders of the same shape whose weights are random.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from napari_papernets.core.model import ModelRef
from napari_papernets.engine.device import keep_heap
from napari_papernets.engine.metrics import mean_iou
from napari_papernets.engine.normalise import normalisation_range, normalise
from napari_papernets.engine.weights import load_weights
from napari_papernets.model_files import find_model
from napari_papernets.networks import build
from napari_papernets.networks.encoder_network import EncoderNetwork
from napari_papernets.networks.encoders import at_places

from ..annotate.annotator import Annotator
from ..annotate.tasks import Task, load_tasks
from ..report import machine, markdown_table, put_section

TASKS = ("fluo", "histology", "phase contrast", "DIC", "EM membranes")
JUDGED = 8000  # pixels of each image without strokes
PENALTY = 0.001  # scikit-learn's C: many features, few pixels
SEEDS = 3

Maps = tuple[list[Tensor], tuple[int, int]]


def probe(network: EncoderNetwork, tasks: Sequence[Task], seeds: int = SEEDS) -> dict[str, float]:
    """Mean IoU of each task, mean over annotators."""
    network.eval()
    return {task.name: probe_task(network, task, seeds) for task in tasks}


def probe_task(network: EncoderNetwork, task: Task, seeds: int) -> float:
    """Mean IoU over the classes on the images without strokes."""
    maps = [maps_of(network, image) for image in task.images]
    rng, judged = np.random.default_rng(0), []
    for truth, found in list(zip(task.truths, maps, strict=True))[task.annotated :]:
        points = rng.permutation(np.argwhere(truth > 0))[:JUDGED]
        judged.append((features(found, points), truth[tuple(points.T)]))
    return float(np.mean([_score(task, maps, judged, seed) for seed in range(seeds)]))


def _score(
    task: Task, maps: Sequence[Maps], judged: Sequence[tuple[NDArray, NDArray]], seed: int
) -> float:
    annotator = Annotator(task.truths[: task.annotated], seed)
    annotator.begin()
    x, y = [], []
    for found, strokes in zip(maps[: task.annotated], annotator.strokes, strict=True):
        points = np.argwhere(strokes > 0)
        if len(points):
            x.append(features(found, points))
            y.append(strokes[tuple(points.T)])
    learnt, classes = np.concatenate(x), np.concatenate(y)
    mean, spread = learnt.mean(0), learnt.std(0) + 1e-3
    model = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=100)
    model.fit((learnt - mean) / spread, classes)
    k, scores = task.classes, []
    for values, truth in judged:
        answer = model.predict((values - mean) / spread)
        pairs = (truth.astype(int) - 1) * k + answer.astype(int) - 1
        scores.append(mean_iou(np.bincount(pairs, minlength=k * k).reshape(k, k)))
    return float(np.mean(scores))


@torch.no_grad()
def maps_of(network: EncoderNetwork, image) -> Maps:
    """All maps of an image, and the size that they cover."""
    pixels = normalise(image.read(), *normalisation_range(image))
    x = torch.from_numpy(pixels)[None]
    if x.shape[1] == 1:
        x = x.expand(-1, network.in_channels, -1, -1)
    step = network.size_rule.step
    height, width = x.shape[-2:]
    x = torch.nn.functional.pad(x, (0, -width % step, 0, -height % step), "reflect")
    return network.encoder.maps(x.contiguous(memory_format=torch.channels_last)), tuple(x.shape[-2:])


def features(maps: Maps, points: NDArray[np.int64]) -> NDArray[np.float32]:
    """Values of all maps (N, F) at pixels (N, 2)."""
    found, (height, width) = maps
    places = (points[:, ::-1] + 0.5) / (width, height) * 2 - 1
    return at_places(found, torch.from_numpy(places.astype(np.float32))[None]).numpy()


def random_networks(ref: ModelRef, count: int = SEEDS) -> list[EncoderNetwork]:
    """Networks of the same shape with weights drawn by other seeds."""
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        made.append(build(ref.spec))
    return made


def compare(ref: ModelRef, tasks: Sequence[Task]) -> Mapping[str, tuple[float, float]]:
    """For each task the score of the encoder and the mean of random ones."""
    ours = probe(load_weights(ref), tasks)
    controls = [probe(network, tasks) for network in random_networks(ref)]
    return {name: (ours[name], float(np.mean([c[name] for c in controls]))) for name in ours}


def table(scores: Mapping[str, tuple[float, float]]) -> str:
    """One row for each task, and their mean."""
    rows = [(name, *pair) for name, pair in scores.items()]
    rows.append(("mean", *(float(np.mean([r[i] for r in rows])) for i in (1, 2))))
    header = ["task", "pre-trained", "random weights", "difference"]
    return markdown_table(header, [[n, f"{a:.3f}", f"{b:.3f}", f"{a - b:+.3f}"] for n, a, b in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encoder", help="name or file")
    parser.add_argument("--write", type=Path, help="put the table into this Markdown page")
    given = parser.parse_args()
    keep_heap()
    ref = find_model(given.encoder)
    done, rows = ref.spec.provenance, table(compare(ref, load_tasks(TASKS)))
    text = (
        f"## A linear probe on frozen features from 3 + 3 strokes\n\n"
        f"Mean IoU over the classes on images without strokes, {SEEDS} annotators; beside it the mean "
        f"of {SEEDS} encoders with random weights. Encoder: {ref.spec.options['encoder']}, "
        f"{done.get('steps_done')} steps in {done.get('seconds', 0) / 60:.0f} min. Made by "
        f"`benchmarks/moco/probe.py`. {machine('scikit-learn')}\n\n{rows}"
    )
    print(text)
    if given.write:
        put_section(given.write, "moco-probe", text)


if __name__ == "__main__":
    main()
