"""Teach the bundled start `strokes` to learn from strokes.

    python -m napari_papernets.benchmarks.strokes.teach --minutes 45 --folder build/strokes

Each step solves a few episodes (`episodes`): a linear head is fitted to the strokes in closed form, by
ridge regression on the network's hypercolumns, and judged on every pixel of another part of the image.
The error goes back through that solution into the network, which so learns features from which strokes
can be learnt (Bertinetto et al., ICLR 2019, arXiv 1805.08136). In most episodes further strokes follow
where the answer is wrong, as a person would paint them.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from napari_papernets.core.model import Normalisation, class_infos
from napari_papernets.engine.device import fast_bf16, keep_heap
from napari_papernets.engine.weights import save_weights
from napari_papernets.networks import HypercolumnUNet
from napari_papernets.networks.build import unet_spec, with_hypercolumns
from napari_papernets.networks.hypercolumn import gather

from .episodes import SIDE, UNKNOWN, Episode, draw_episode, paint

WIDTH, DEPTH = 16, 4
EPISODES = 3  # in a step
JUDGED = 6000  # pixels of the other part
LOOKED_AT = 3000  # pixels of the painted part, where mistakes are looked for
DESCRIPTION = "A start for any image: it was taught to learn from few strokes. Paint, and it adapts."


class Pupil(nn.Module):
    """The network, and what the head in closed form needs: penalty, steepness, scales of the maps."""

    def __init__(self) -> None:
        super().__init__()
        self.network = HypercolumnUNet(3, 2, WIDTH, DEPTH)
        self.log_penalty = nn.Parameter(torch.tensor(-4.9))
        self.log_steepness = nn.Parameter(torch.tensor(0.9))
        self.log_scales = nn.Parameter(torch.tensor([0.0, 0.0, 0.0, 0.0, 1.3]))

    def read(self, maps: list[Tensor], points: np.ndarray) -> Tensor:
        """Features of single pixels (N, F)."""
        return gather(maps, self.log_scales.exp(), torch.from_numpy(points))

    def solve(self, features: Tensor, classes: Tensor, count: int) -> Tensor:
        """Ridge regression to ±1 in which every class weighs alike, (F + 1, K)."""
        x = torch.cat([features, torch.ones_like(features[:, :1])], dim=1)
        weight = 1 / (torch.bincount(classes, minlength=count)[classes] * count)
        target = F.one_hot(classes, count).float() * 2 - 1
        normal = (x * weight[:, None]).T @ x + self.log_penalty.exp() * torch.eye(x.shape[1])
        return torch.linalg.solve(normal, (x * weight[:, None]).T @ target)

    def answer(self, features: Tensor, weights: Tensor) -> Tensor:
        """Logits (N, K)."""
        return (features @ weights[:-1] + weights[-1]) * self.log_steepness.exp()


def episode_loss(pupil: Pupil, maps: list[Tensor], episode: Episode, rng: np.random.Generator) -> Tensor:
    """Cross-entropy on both parts of an episode, after strokes and corrections."""
    first, second = [m[:1] for m in maps], [m[1:] for m in maps]
    truth, strokes, k = episode.classes[0], episode.strokes.copy(), episode.count
    looked = _known(truth, rng.integers(0, SIDE, (LOOKED_AT, 2)))
    looked_features = pupil.read(first, looked)
    looked_truth = torch.from_numpy(truth[tuple(looked.T)])
    for _ in range(int(rng.integers(1, 4)) if rng.random() < 0.6 else 0):
        with torch.no_grad():
            weights = _fit(pupil, first, strokes, k)
            found = pupil.answer(looked_features, weights).argmax(1)
        wrong = np.flatnonzero((found != looked_truth).numpy())
        if len(wrong) < 30:
            break
        for at in rng.choice(wrong, 3):
            c = int(truth[tuple(looked[at])])
            strokes[paint(rng, truth, looked[at : at + 1], c)] = c
    weights = _fit(pupil, first, strokes, k)
    loss = 0.5 * _cross_entropy(pupil.answer(looked_features, weights), looked_truth, k)
    judged = _known(episode.classes[1], rng.integers(0, SIDE, (JUDGED, 2)))
    if len(judged) > 200:
        logits = pupil.answer(pupil.read(second, judged), weights)
        loss = loss + _cross_entropy(logits, torch.from_numpy(episode.classes[1][tuple(judged.T)]), k)
    return loss


def _known(classes: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points[classes[tuple(points.T)] != UNKNOWN]


def _fit(pupil: Pupil, maps: list[Tensor], strokes: np.ndarray, count: int) -> Tensor:
    points = np.argwhere(strokes != UNKNOWN)
    classes = torch.from_numpy(strokes[tuple(points.T)].astype(np.int64))
    return pupil.solve(pupil.read(maps, points), classes, count)


def _cross_entropy(logits: Tensor, classes: Tensor, count: int) -> Tensor:
    """Classes weigh by the root of their frequency: between pixels alike and classes alike."""
    seen = torch.bincount(classes, minlength=count).float()
    weight = torch.where(seen > 0, seen.clamp(min=1).rsqrt(), 0)
    weight = weight / (weight * seen).sum() * seen.sum()
    return F.cross_entropy(logits, classes, weight=weight)


def episodes(seed: int) -> Iterator[list[Episode]]:
    """Endless batches, drawn by a process beside this one."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, mp_context=context, initializer=torch.set_num_threads, initargs=(1,))
    with pool:
        waiting = [pool.submit(draw_episode, seed + n) for n in range(3 * EPISODES)]
        while True:
            batch = [waiting.pop(0).result() for _ in range(EPISODES)]
            seed += EPISODES
            waiting += [pool.submit(draw_episode, seed + 2 * EPISODES + n) for n in range(EPISODES)]
            yield batch


def teach(pupil: Pupil, minutes: float, learning_rate: float, seed: int) -> int:
    """Train for so long; returns the steps done."""
    bf16 = fast_bf16(torch.device("cpu"))
    pupil.to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(pupil.parameters(), lr=learning_rate, weight_decay=1e-4)
    rng, began, losses = np.random.default_rng(seed), time.monotonic(), []
    for step, batch in enumerate(episodes(seed * 10**7), 1):
        done = (time.monotonic() - began) / 60 / minutes
        if done >= 1:
            return step - 1
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * min(1, step / 50) * (1 + math.cos(math.pi * done)) / 2
        images = torch.from_numpy(np.concatenate([e.images for e in batch]))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            maps = pupil.network.read(images.contiguous(memory_format=torch.channels_last))
        parts = [[m[2 * n : 2 * n + 2] for m in maps] for n in range(len(batch))]
        each = [episode_loss(pupil, p, e, rng) for p, e in zip(parts, batch, strict=True)]
        loss = torch.stack(each).mean()
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(pupil.parameters(), 2.0)
        optimiser.step()
        losses.append(float(loss))
        if step % 50 == 0:
            print(
                f"step {step} loss {np.mean(losses[-50:]):.3f} {60 * minutes * done:.0f} s", flush=True
            )
    raise AssertionError("episodes never end")


def save(pupil: Pupil, path: Path, steps: int) -> None:
    """Write the network as a model that has no classes yet."""
    body = unet_spec(
        path.stem, 3, class_infos(["background", "object"]), WIDTH, DEPTH, "same", "batch", 0.0,
        normalisation=Normalisation(joint=False), task="features", description=DESCRIPTION,
        licence="BSD-3-Clause", provenance=dict(
            script="benchmarks/strokes/teach.py", steps=steps,
            data="drawn worlds and samples of this project; BBBC038 training images (CC0)",
        ),
    )  # fmt: skip
    spec = with_hypercolumns(body)
    with torch.no_grad():
        pupil.network.head.scales.copy_(pupil.log_scales.exp())
    save_weights(spec, pupil.network.state_dict(), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--base", type=Path, help="state to go on from")
    parser.add_argument("--folder", type=Path, default=Path("build/strokes"))
    given = parser.parse_args()
    keep_heap()
    torch.manual_seed(given.seed)
    given.folder.mkdir(parents=True, exist_ok=True)
    pupil = Pupil()
    if given.base:
        pupil.load_state_dict(torch.load(given.base, weights_only=True))
    steps = teach(pupil, given.minutes, given.learning_rate, given.seed)
    torch.save(pupil.state_dict(), given.folder / "state.pt")
    save(pupil, given.folder / "strokes.safetensors", steps)


if __name__ == "__main__":
    main()
