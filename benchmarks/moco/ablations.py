"""The paper's ablations in minutes: momentum m and size K of the dictionary, on a shipped sample.

    python -m napari_papernets.benchmarks.moco.ablations --write docs/moco.md

He et al. 2020 train 200 epochs on ImageNet (table in section 4.1, figure 3). Here a small encoder trains
for a few hundred steps on the stack of nuclei, and each run tells how its look-ups end, and how well a
linear layer on its frozen maps separates the sample's strokes.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import napari_papernets as pn
from napari_papernets.core.events import LookUps, Step, StrokeProbe
from napari_papernets.engine.device import keep_heap
from napari_papernets.samples import load_sample

from ..report import machine, markdown_table, publish

SAMPLE = "nuclei_stack"
MOMENTA = (0.0, 0.9, 0.99, 0.999)
SIZES = (16, 256, 4096, 16384)
M, K = 0.99, 4096  # of the runs in which the other is varied
LAST = 20  # steps over which the end of a run is averaged
BASE = pn.MoCoSettings(
    encoder="contracting", width=8, depth=3, crop=48, batch=16, places=16, dim=64, near=False
)


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes
    ----------
    m : float
    K : int
    loss : float
        Mean of the last steps.
    swing : float
        Standard deviation of the loss over them: a key encoder that moves too fast never settles.
    accuracy : float
        Look-ups that found the positive key.
    apart : float
        Mean cosine of positive pairs minus that of negative ones.
    probe, random : float
        Mean IoU of a linear layer on the strokes; the same on random weights.
    """

    m: float
    K: int
    loss: float
    swing: float
    accuracy: float
    apart: float
    probe: float
    random: float


def run(m: float, k: int, steps: int, seed: int) -> Outcome:
    """One training."""
    sample = load_sample(SAMPLE)
    losses: list[float] = []
    told: list[LookUps] = []
    probes: list[StrokeProbe] = []

    def tell(event: object) -> None:
        if isinstance(event, Step):
            losses.append(event.loss)
        elif isinstance(event, LookUps):
            told.append(event)
        elif isinstance(event, StrokeProbe):
            probes.append(event)

    settings = BASE.replace(m=m, K=k, steps=steps, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        pn.pretrain(
            sample.image,
            settings=settings,
            folder=Path(folder),
            strokes=[sample.strokes],
            on_event=tell,
        )
    end = losses[-LAST:]
    apart = mean_similarity(told[-1].positives) - mean_similarity(told[-1].negatives)
    return Outcome(
        m,
        k,
        float(np.mean(end)),
        float(np.std(end)),
        told[-1].accuracy,
        apart,
        probes[-1].score,
        probes[-1].random,
    )


def mean_similarity(counts: np.ndarray) -> float:
    """The mean of a histogram of cosines."""
    centres = (np.arange(len(counts)) + 0.5) / len(counts) * 2 - 1
    return float((counts * centres).sum() / counts.sum())


def table(outcomes: Sequence[Outcome]) -> str:
    """One row for each run."""
    header = [
        "m", "K", "loss", "chance ln(K+1)", "swing of the loss", "looked up", "positives − negatives",
        "linear probe", "random weights",
    ]  # fmt: skip
    rows = []
    for o in outcomes:
        chance = math.log(o.K + 1)
        rows.append(
            [
                f"{o.m:g}",
                str(o.K),
                f"{o.loss:.2f}",
                f"{chance:.2f}",
                f"{o.swing:.3f}",
                f"{o.accuracy:.1%}",
                f"{o.apart:.2f}",
                f"{o.probe:.3f}",
                f"{o.random:.3f}",
            ]
        )
    return markdown_table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", type=Path, help="put the tables into this Markdown page")
    given = parser.parse_args()
    keep_heap()
    tables, done = [], {}
    for title, pairs in (
        ("The momentum m of the key encoder", [(m, K) for m in MOMENTA]),
        ("The size K of the dictionary", [(M, k) for k in SIZES]),
    ):
        for pair in pairs:
            if pair not in done:  # one run stands in both tables
                done[pair] = run(*pair, given.steps, given.seed)
                print(done[pair], flush=True)
        outcomes = [done[pair] for pair in pairs]
        tables.append(f"**{title}**\n\n{table(outcomes)}")
    text = (
        f"## The paper's ablations on a shipped sample\n\nSample `{SAMPLE}`, {given.steps} steps of "
        f"{BASE.batch} crops of {BASE.crop}×{BASE.crop}, contracting path of width {BASE.width}, seed "
        f"{given.seed}. Made by `benchmarks/moco/ablations.py`. {machine()}\n\n" + "\n\n".join(tables)
    )
    publish(text, "moco-ablations", given.write)


if __name__ == "__main__":
    main()
