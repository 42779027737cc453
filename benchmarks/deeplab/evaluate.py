"""Mean IoU of a model on unseen images, over all pixels and within bands around true borders.

python -m napari_papernets.benchmarks.deeplab.evaluate MODEL --set hela
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_papernets.api import predict
from napari_papernets.core.model import ModelRef
from napari_papernets.engine.metrics import mean_iou
from napari_papernets.engine.trimap import band

from .sets import CLASSES, SETS, Example

BAND = 5.0  # pixels to each side of a true border
WIDTHS = (1.0, 2.0, 3.0, BAND, 8.0, 12.0, 20.0, 40.0)


@dataclass(frozen=True)
class Scores:
    """Mean IoU over the classes, of all images together: of all pixels, and by the width of the band."""

    miou: float
    curve: Mapping[float, float]

    @property
    def trimap(self) -> float:
        """Within 5 pixels of true borders."""
        return self.curve[BAND]


def score(labels: Sequence[NDArray[np.integer]], examples: Sequence[Example]) -> Scores:
    """Compare classes from 1, as `predict` gives them, with the truth."""
    k = len(CLASSES)
    counts = {width: np.zeros((k, k), np.int64) for width in (None, *WIDTHS)}
    for found, example in zip(labels, examples, strict=True):
        pairs = example.classes.astype(np.int64) * k + found - 1
        for width, confusion in counts.items():
            chosen = pairs if width is None else pairs[band(example.classes + np.uint8(1), width)]
            confusion += np.bincount(chosen.ravel(), minlength=k * k).reshape(k, k)
    whole = mean_iou(counts.pop(None))
    return Scores(whole, {width: mean_iou(confusion) for width, confusion in counts.items()})


def evaluate(model: str | Path | ModelRef, name: str) -> Scores:
    """Scores of a model on the unseen images of a set."""
    examples = SETS[name].examples("judge")
    labels = [predict(e.image, model, e.image.axes, probabilities=False).labels for e in examples]
    return score(labels, examples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--set", choices=SETS, required=True)
    given = parser.parse_args()
    scores = evaluate(given.model, given.set)
    print(f"{given.set}: mean IoU {scores.miou:.4f}, within {BAND:g} px {scores.trimap:.4f}")


if __name__ == "__main__":
    main()
