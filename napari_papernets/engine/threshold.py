"""The foreground probability at which objects come out as they were annotated.

A network that was trained with border weights, or on outlines that were drawn generously, puts outlines
elsewhere than at 0.5. As StarDist does, the threshold is fitted to annotated images and kept with the
model.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..core.model import ModelSpec
from .annotated import Plane
from .crops import crop_sides
from .instances import to_instances
from .judging import answer
from .metrics import panoptic_quality

THRESHOLDS = (0.5, 0.45, 0.55, 0.4, 0.6, 0.35, 0.65, 0.3, 0.7, 0.25, 0.2)  # of equals, the first
SIDE = 384  # pixels of each plane, around its objects
MOST = 6  # planes


def fit_threshold(
    network: nn.Module, planes: Sequence[Plane], spec: ModelSpec, device: torch.device, bf16: bool
) -> float:
    """The threshold of highest panoptic quality on annotated objects.

    Parameters
    ----------
    network : nn.Module
        On `device`; its answers are background first.
    planes : sequence of Plane
        Of kind "instances"; at most six are looked at, spread over all that hold an object.
    spec : ModelSpec
        Its encoding and size rule.
    device, bf16
        Where and how the network computes.

    Returns
    -------
    float
        0.2…0.7; 0.5 where there is no object.
    """
    full = [p for p in planes if (p.annotation > 0).any()]
    chosen = full[:: max(1, -(-len(full) // MOST))]
    shown = [_show(network, p, spec, device, bf16) for p in chosen]
    if not shown:
        return THRESHOLDS[0]

    def quality(threshold: float) -> float:
        found = [to_instances(p, spec.encoding, threshold) for _, p in shown]
        return float(np.mean([panoptic_quality(t, f) for (t, _), f in zip(shown, found, strict=True)]))

    return max(THRESHOLDS, key=quality)


def _show(
    network: nn.Module, plane: Plane, spec: ModelSpec, device: torch.device, bf16: bool
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Objects and probabilities of a window around the middle of a plane's objects."""
    side, shown = crop_sides(spec.size_rule, min(SIDE, max(plane.shape)))
    middle = np.median(np.argwhere(plane.annotation > 0), axis=0)
    starts = [
        int(np.clip(m - shown // 2, 0, max(0, n - shown)))
        for m, n in zip(middle, plane.shape, strict=True)
    ]
    margin = (side - shown) // 2
    y, x = ((s - margin, s - margin + side) for s in starts)
    rows, columns = ((s, s + shown) for s in starts)
    pixels = torch.from_numpy(plane.window(y, x))[None]
    return plane.mirror(plane.annotation, rows, columns), answer(network, pixels, device, bf16)
