"""Mean IoU of a model on unseen images, over all pixels and within a band around true borders.

python -m benchmarks.deeplab.evaluate MODEL --set hela
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.deeplab.sets import CLASSES, SETS, Example
from napari_papernets.api import predict
from napari_papernets.core.model import ModelRef
from napari_papernets.engine.metrics import mean_iou

BAND = 5.0  # pixels to each side of a true border


def trimap(classes: NDArray[np.uint8], width: float = BAND) -> NDArray[np.bool_]:
    """Pixels at most `width` away from the nearest pixel of another class (Kohli et al. 2009).

    Parameters
    ----------
    classes : ndarray, shape (Y, X)
        The truth.
    width : float
        In pixels.
    """
    near = np.zeros(classes.shape, bool)
    for c in np.unique(classes):
        inside = classes == c
        if not inside.all():
            near |= inside & (ndimage.distance_transform_edt(inside) <= width)
    return near


def score(labels: Sequence[NDArray[np.integer]], examples: Sequence[Example]) -> dict[str, float]:
    """Mean IoU over the classes, of all images together: "miou", and "trimap" within the band.

    `labels` are classes from 1, as `predict` gives them.
    """
    k = len(CLASSES)
    whole, band = np.zeros((k, k), np.int64), np.zeros((k, k), np.int64)
    for found, example in zip(labels, examples, strict=True):
        pairs = example.classes.astype(np.int64) * k + found - 1
        whole += np.bincount(pairs.ravel(), minlength=k * k).reshape(k, k)
        near = pairs[trimap(example.classes)]
        band += np.bincount(near, minlength=k * k).reshape(k, k)
    return {"miou": mean_iou(whole), "trimap": mean_iou(band)}


def evaluate(model: str | Path | ModelRef, name: str) -> dict[str, float]:
    """Scores of a model on the unseen images of a set."""
    examples = SETS[name].examples(unseen=True)
    labels = [predict(e.image, model, e.image.axes, probabilities=False).labels for e in examples]
    return score(labels, examples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--set", choices=SETS, required=True)
    given = parser.parse_args()
    scores = evaluate(given.model, given.set)
    print(given.set, {name: round(value, 4) for name, value in scores.items()})


if __name__ == "__main__":
    main()
