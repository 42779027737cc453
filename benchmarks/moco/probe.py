"""A linear probe on frozen features from 3 + 3 strokes, beside random weights.

    python -m napari_papernets.benchmarks.moco.probe ENCODER.safetensors … --write docs/benchmarks.md
    python -m napari_papernets.benchmarks.moco.probe ENCODER.safetensors --penalties
    python -m napari_papernets.benchmarks.moco.probe ENCODER.safetensors --install

On two images of each task three strokes are painted in each of the two classes, a logistic regression is
fitted to all maps of the encoder at the painted pixels, and judged by the mean IoU over the classes on
images without strokes. Each level of the encoder counts alike, however many channels it has: otherwise
the coarsest would outvote the others. The same is done with encoders of the same shape whose weights are
random. The penalty is the one at which random weights do best; --penalties tells how much hangs on it.
With --install the encoder goes into the package, with these scores among its provenance.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import Tensor

import napari_papernets as pn
from napari_papernets.core.model import ModelRef
from napari_papernets.engine.device import keep_heap
from napari_papernets.engine.metrics import mean_iou
from napari_papernets.engine.normalise import normalisation_range, normalise
from napari_papernets.engine.weights import load_weights, save_weights
from napari_papernets.model_files import BUNDLED, find_model
from napari_papernets.networks import build
from napari_papernets.networks.encoder_network import EncoderNetwork
from napari_papernets.networks.encoders import at_places

from ..annotate.annotator import Annotator
from ..annotate.tasks import Task, load_tasks
from ..report import machine, markdown_table, publish

TASKS = ("fluo", "histology", "phase contrast", "DIC", "EM membranes")
JUDGED = 8000  # pixels of each image without strokes
PENALTIES = (1e-6, 1e-5, 3e-5, 1e-4, 1e-3, 1e-2, 1e-1)  # scikit-learn's C
PENALTY = 3e-5  # pixels of a stroke are alike: there are six examples rather than some hundreds
SEEDS, DRAWS = 8, 3  # annotators; encoders with random weights

NAME = "microscopy"
DESCRIPTION = (
    "A small U-Net that learnt by momentum contrast from fluorescence, H&E and other "
    "microscope images without annotation. Its features tell strokes apart {gain:.1f} points of mean "
    "IoU better than random ones, on average over five kinds of images."
)
DATA = "BBBC038 (2018 Data Science Bowl), CC0; CellProfiler's example images, BSD-3-Clause"

Maps = tuple[list[Tensor], tuple[int, int], Sequence[int]]  # and their strides


def probe(
    network: EncoderNetwork, tasks: Sequence[Task], penalty: float = PENALTY, seeds: int = SEEDS
) -> dict[str, float]:
    """Mean IoU of each task, mean over annotators."""
    network.eval()
    return {task.name: probe_task(network, task, penalty, seeds) for task in tasks}


def probe_task(network: EncoderNetwork, task: Task, penalty: float, seeds: int) -> float:
    """Mean IoU over the classes on the images without strokes."""
    maps = [maps_of(network, image) for image in task.images]
    weights = level_weights(network.encoder.channels)
    rng, judged = np.random.default_rng(0), []
    for truth, found in list(zip(task.truths, maps, strict=True))[task.annotated :]:
        points = rng.permutation(np.argwhere(truth > 0))[:JUDGED]
        judged.append((features(found, points), truth[tuple(points.T)]))
    return float(np.mean([_score(task, maps, judged, weights, penalty, s) for s in range(seeds)]))


def _score(
    task: Task,
    maps: Sequence[Maps],
    judged: Sequence[tuple[NDArray, NDArray]],
    weights: NDArray[np.float64],
    penalty: float,
    seed: int,
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
    mean, spread = learnt.mean(0), (learnt.std(0) + 1e-3) / weights
    model = LogisticRegression(C=penalty, class_weight="balanced", max_iter=100)
    model.fit((learnt - mean) / spread, classes)
    k, scores = task.classes, []
    for values, truth in judged:
        answer = model.predict((values - mean) / spread)
        pairs = (truth.astype(int) - 1) * k + answer.astype(int) - 1
        scores.append(mean_iou(np.bincount(pairs, minlength=k * k).reshape(k, k)))
    return float(np.mean(scores))


def level_weights(channels: Sequence[int]) -> NDArray[np.float64]:
    """A factor for each feature, so that the features of every level together have the same weight."""
    mean = float(np.mean(channels))
    return np.concatenate([np.full(c, (mean / c) ** 0.5) for c in channels])


@torch.no_grad()
def maps_of(network: EncoderNetwork, image) -> Maps:
    """All maps of an image, the size that they cover, and how far their elements lie apart."""
    pixels = normalise(image.read(), *normalisation_range(image))
    x = torch.from_numpy(pixels)[None]
    if x.shape[1] == 1:
        x = x.expand(-1, network.in_channels, -1, -1)
    step = network.size_rule.step
    height, width = x.shape[-2:]
    x = torch.nn.functional.pad(x, (0, -width % step, 0, -height % step), "reflect")
    maps = network.encoder.maps(x.contiguous(memory_format=torch.channels_last))
    return maps, tuple(x.shape[-2:]), network.encoder.strides


def features(maps: Maps, points: NDArray[np.int64]) -> NDArray[np.float32]:
    """Values of all maps (N, F) at pixels (N, 2)."""
    found, (height, width), strides = maps
    places = (points[:, ::-1] + 0.5) / (width, height) * 2 - 1
    return at_places(found, torch.from_numpy(places.astype(np.float32))[None], strides).numpy()


def random_networks(ref: ModelRef, count: int = DRAWS) -> list[EncoderNetwork]:
    """Networks of the same shape with weights drawn by other seeds."""
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        made.append(build(ref.spec))
    return made


@torch.no_grad()
def measure_statistics(network: EncoderNetwork, tasks: Sequence[Task]) -> None:
    """Give batch normalisation the statistics of the annotated images; the weights stay as they are."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over all images
    network.train()
    for task in tasks:
        for image in task.images[: task.annotated]:
            maps_of(network, image)
    network.eval()


Scores = Mapping[str, tuple[float, float, float]]
Pair = tuple[dict[str, float], dict[str, float]]


def score_random(ref: ModelRef, tasks: Sequence[Task]) -> Pair:
    """For each task the means of random encoders of the same shape, as drawn and measured."""
    drawn, measured = [], []
    for network in random_networks(ref):
        drawn.append(probe(network, tasks))
        measure_statistics(network, tasks)
        measured.append(probe(network, tasks))

    def mean(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
        return {name: float(np.mean([scores[name] for scores in found])) for name in found[0]}

    return mean(drawn), mean(measured)


def compare(ref: ModelRef, tasks: Sequence[Task], random: dict[str, Pair]) -> Scores:
    """For each task the scores of the encoder and of random ones, which are remembered by shape."""
    shape = repr((ref.spec.options, ref.spec.in_channels))
    if shape not in random:
        random[shape] = score_random(ref, tasks)
    drawn, measured = random[shape]
    ours = probe(load_weights(ref), tasks)
    return {name: (ours[name], drawn[name], measured[name]) for name in ours}


def table(scores: Scores) -> str:
    """One row for each task, and their mean."""
    rows = [(name, *values) for name, values in scores.items()]
    rows.append(("mean", *(float(np.mean([r[i] for r in rows])) for i in (1, 2, 3))))
    header = ["task", "pre-trained", "random weights", "difference", "random, statistics measured"]
    return markdown_table(
        header, [[n, f"{a:.3f}", f"{b:.3f}", f"{a - b:+.3f}", f"{c:.3f}"] for n, a, b, c in rows]
    )


def sweep(ref: ModelRef, tasks: Sequence[Task]) -> str:
    """Mean over the tasks for each penalty, of the encoder and of random ones as they are drawn."""
    networks = [load_weights(ref), *random_networks(ref)]
    rows = []
    for penalty in PENALTIES:
        ours, *drawn = (float(np.mean(list(probe(n, tasks, penalty).values()))) for n in networks)
        random = float(np.mean(drawn))
        rows.append([f"{penalty:g}", f"{ours:.3f}", f"{random:.4f}", f"{ours - random:+.3f}"])
        print(rows[-1], flush=True)
    return markdown_table(["C", "pre-trained", "random weights", "difference"], rows)


def install(ref: ModelRef, scores: Scores) -> Path:
    """Write the encoder into the package in half precision, with its scores."""
    made = dict(ref.spec.provenance)
    gains = {name: round(ours - drawn, 3) for name, (ours, drawn, _) in scores.items()}
    made |= dict(images=f"{len(made['images'])} images", data=DATA, better_than_random=gains)
    made.pop("command")  # of so many file names; benchmarks/moco/train.py --free is it
    spec = replace(
        ref.spec,
        name=NAME,
        description=DESCRIPTION.format(gain=100 * float(np.mean(list(gains.values())))),
        licence="CC0 and BSD-3-Clause training data; weights BSD-3-Clause",
        provenance=made | dict(stored="float16"),
    )
    path = BUNDLED / f"{NAME}.safetensors"
    save_weights(spec, load_weights(ref).state_dict(), path, half=True)
    path.chmod(0o644)  # readable for everyone once it is packaged
    return path


def account(ref: ModelRef, scores: Scores) -> str:
    """How an encoder was made, and its table."""
    done = ref.spec.provenance
    settings = pn.MoCoSettings.from_dict(done.get("settings", {}))
    text = (
        f"Encoder `{ref.name}`, {done.get('steps_done')} steps in {done.get('seconds', 0) / 60:.0f} min "
        f"by the clock: `{settings!r}`."
    )
    return f"{text}\n\n{table(scores)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encoders", nargs="+", help="names or files")
    parser.add_argument("--penalties", action="store_true", help="of the first: only how C matters")
    parser.add_argument("--install", action="store_true", help="bundle the first of them")
    parser.add_argument("--write", type=Path, help="put the tables into this Markdown page")
    given = parser.parse_args()
    keep_heap()
    tasks = load_tasks(TASKS)
    refs = [find_model(name) for name in given.encoders]
    if given.penalties:
        text = f"Encoder `{refs[0].name}`, mean of the tasks by the penalty of the regression:"
        publish(f"{text}\n\n{sweep(refs[0], tasks)}", "moco-probe-penalties", given.write)
        return
    random: dict[str, Pair] = {}
    scores = [compare(ref, tasks, random) for ref in refs]
    if given.install:
        print(install(refs[0], scores[0]))
    text = (
        f"## A linear probe on frozen features from 3 + 3 strokes\n\n"
        f"Mean IoU over the classes on images without strokes, {SEEDS} annotators; a logistic "
        f"regression with C = {PENALTY:g}, at which random weights do best; beside it the mean "
        f"of {DRAWS} encoders of the same shape with random weights, as they are drawn and with the "
        f"statistics of batch normalisation measured on the annotated images. Made by "
        f"`benchmarks/moco/probe.py`. {machine('scikit-learn')}"
    )
    publish(text, "moco-probe", given.write)
    for ref, found in zip(refs, scores, strict=True):  # those of other runs stay on the page
        publish(account(ref, found), f"moco-probe-{ref.name}", given.write)


if __name__ == "__main__":
    main()
