"""How objects come out as they were annotated: at which probability, and whether lobes are cut.

A network that was trained with border weights, or on outlines that were drawn generously, puts outlines
elsewhere than at 0.5. As StarDist does, the threshold is fitted to annotated images and kept with the
model.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..core.events import Event, Progress, Started
from ..core.model import ModelSpec
from .annotated import Plane
from .instances import to_instances
from .judging import answer
from .metrics import segmentation_accuracy

THRESHOLDS = (0.5, 0.4, 0.6, 0.3, 0.7, 0.2)  # of equals, the first
FINER = 0.05  # beside the best of them
SIDE = 512  # pixels of each plane, around its objects
MOST = 8  # planes


# Whole objects, and probabilities, of a window.
Shown: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float32]]


def fit_threshold(
    network: nn.Module, planes: Sequence[Plane], spec: ModelSpec, device: torch.device, bf16: bool
) -> Generator[Event, Any, tuple[float, float | None]]:
    """The threshold at which objects overlap best with the annotated ones (SEG, mean over all objects),
    and how solid objects have to be where cutting what is less so makes them overlap better still.

    Parameters
    ----------
    network : nn.Module
        On `device`; its answers are background first.
    planes : sequence of Plane
        Of kind "instances"; at most eight are looked at, spread over all that hold an object.
    spec : ModelSpec
        Its encoding, size rule, and the solidity to try.
    device, bf16
        Where and how the network computes.

    Yields
    ------
    Event
        `Started`, and `Progress` after each look at a plane; nothing where there is no object.

    Returns
    -------
    threshold : float
        0.15…0.75; 0.5 where there is no object.
    solidity : float or None
        That of `spec`, or None where it does not help.
    """
    full = [p for p in planes if (p.annotation > 0).any()]
    places = np.linspace(0, len(full) - 1, min(len(full), MOST)).round().astype(int)
    if not full:
        return THRESHOLDS[0], None
    tries = len(THRESHOLDS) + 2 + (spec.object_solidity is not None)
    done, total = 0, len(places) * (1 + tries)
    yield Started(total, "look", "finding the threshold at which objects come out as annotated")
    shown: list[Shown] = []
    for place in places:
        shown.append(_show(network, full[place], spec, device, bf16))
        yield Progress(done := done + 1, total)

    def judge(threshold: float, solidity: float | None) -> Generator[Event, Any, float]:
        nonlocal done
        scores: list[float] = []
        for truth, probabilities in shown:
            found = to_instances(probabilities, spec.encoding, threshold, solidity=solidity)
            scores += segmentation_accuracy(truth, found)
            yield Progress(done := done + 1, total)
        return float(np.mean(scores)) if scores else 0.0  # none is whole in its window

    quality: dict[float, float] = {}
    for threshold in _candidates(quality):
        quality[threshold] = yield from judge(threshold, None)
    best, solidity = _best(quality), spec.object_solidity
    if solidity is not None and (yield from judge(best, solidity)) <= quality[best]:
        solidity = None
    return best, solidity


def _candidates(quality: Mapping[float, float]) -> Iterator[float]:
    """Thresholds to judge; the last two lie beside the best of those that were judged until then."""
    yield from THRESHOLDS
    best = _best(quality)
    yield from (round(best - FINER, 2), round(best + FINER, 2))


def _best(quality: Mapping[float, float]) -> float:
    return max(quality, key=lambda threshold: quality[threshold])


def _show(network: nn.Module, plane: Plane, spec: ModelSpec, device: torch.device, bf16: bool) -> Shown:
    """Whole objects, and probabilities, of a window around the middle of a plane's objects."""
    rule = spec.size_rule
    margin = rule.context if rule.padding == "valid" else 0
    middle = np.median(np.argwhere(plane.annotation > 0), axis=0)
    ranges, inside = [], []
    for place, length in zip(middle, plane.shape, strict=True):
        side = min(SIDE, length)
        start = int(np.clip(place - side // 2, 0, length - side))
        ranges.append((start - margin, start - margin + rule.whole(side)))
        inside.append(slice(start, start + side))
    window = inside[0], inside[1]
    outside = plane.annotation.copy()
    outside[window] = 0
    truth = plane.annotation[window]
    truth = np.where(np.isin(truth, np.unique(outside)), 0, truth)  # of cut objects nothing is told
    pixels = torch.from_numpy(plane.window(*ranges))[None]
    found = answer(network, pixels, device, bf16)
    return truth, found[:, : truth.shape[0], : truth.shape[1]]
