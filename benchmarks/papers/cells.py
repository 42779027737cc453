"""How films of cells are judged: foreground IoU, and SEG of the Cell Tracking Challenge."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from napari_papernets.core.results import Prediction
from napari_papernets.engine.metrics import foreground_iou, segmentation_accuracy

from .common import Frame, Scores


def score_cells(
    partly: Sequence[str] = (),
) -> Callable[[Sequence[Prediction], Sequence[Frame]], Scores]:
    """The scores of cells; foreground IoU leaves out frames that are annotated in part (`partly`)."""

    def score(found: Sequence[Prediction], frames: Sequence[Frame]) -> Scores:
        pairs = [(f, p.labels) for p, f in zip(found, frames, strict=True)]
        whole = [foreground_iou(f.truth, labels) for f, labels in pairs if f.name not in partly]
        objects = [s for f, labels in pairs for s in segmentation_accuracy(f.truth, labels)]
        return {"IoU": float(np.mean(whole)), "SEG": float(np.mean(objects))}

    return score
