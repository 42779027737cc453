"""A version beside the one before it: how well each answers what is annotated, class by class."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..core.errors import ModelError
from ..core.events import ClassScore, Compared
from ..core.model import ModelRef
from ..core.tiles import Tile, plan_tiles
from ..networks.hypercolumn import mixed
from .annotated import Plane
from .quick import to_device
from .weights import load_weights

WINDOW = 384**2  # pixels of one pass: a new stroke waits for no more
NO_CLASS = -1


def can_compare(old: ModelRef, new: ModelRef) -> bool:
    """Whether both answer with classes, at least two of which have the same names."""
    semantic = old.spec.task == new.spec.task == "semantic"
    return semantic and len(_names(old) & _names(new)) >= 2


def comparing(
    old: ModelRef, new: ModelRef, planes: Sequence[Plane], device: torch.device, bf16: bool
) -> Generator[None, None, Compared]:
    """Judge two models in short steps.

    Parameters
    ----------
    old, new : ModelRef
        Models that `can_compare`, as files.
    planes : sequence of Plane
        With annotation by the classes of `new`, held out or not.
    device : torch.device
        Where to compute.
    bf16 : bool
        Compute in bfloat16.

    Returns
    -------
    Compared
        The IoU of each class on the annotated pixels; none where a file is gone.
    """
    counts: list[NDArray[np.int64]] = []
    classes = len(new.spec.classes)
    for ref in (old, new):
        try:
            network = load_weights(ref).to(device)
        except (ModelError, OSError):  # somebody has taken the file away
            return Compared(old, new, ())
        yield
        counts.append((yield from _counting(network, _numbers(ref, new), classes, planes, device, bf16)))
    before, after = counts
    both = [c for c, name in enumerate(_list(new)) if name in _names(old) and after[c].any()]
    return Compared(old, new, tuple(_score(c, before, after) for c in both))


def _counting(
    network: nn.Module,
    numbers: NDArray[np.intp],
    classes: int,
    planes: Sequence[Plane],
    device: torch.device,
    bf16: bool,
) -> Generator[None, None, NDArray[np.int64]]:
    """Annotated pixels by their class and the one that is answered, (K, K + 1): the last is none of
    them; `numbers` are the classes of the answers, of K `classes`."""
    matrix = np.zeros((classes, classes + 1), np.int64)
    for plane in planes:
        for tile in plan_tiles(plane.shape, network.size_rule, max_pixels=WINDOW):
            truth = plane.annotation[tile.write]
            known = truth >= 0
            if known.any():
                said = numbers[_answer(network, plane, tile, device, bf16)][known]
                np.add.at(matrix, (truth[known], said), 1)
                yield
    return matrix


@torch.no_grad()
def _answer(
    network: nn.Module, plane: Plane, tile: Tile, device: torch.device, bf16: bool
) -> NDArray[np.int64]:
    """The most probable class of each pixel that the tile writes."""
    window = to_device(plane.window(tile.y.read, tile.x.read), device)
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        logits = network(window)
    p = torch.softmax(logits.float(), 1)
    p = mixed(getattr(network, "forest", None), p, window)[0]
    return p[:, tile.crop[0], tile.crop[1]].argmax(0).cpu().numpy()


def _score(c: int, before: NDArray[np.int64], after: NDArray[np.int64]) -> ClassScore:
    return ClassScore(c + 1, _iou(before, c), _iou(after, c), int(after[c].sum()))


def _iou(matrix: NDArray[np.int64], c: int) -> float:
    both = matrix[c, c]
    return float(both / max(1, matrix[c].sum() + matrix[:, c].sum() - both))


def _numbers(ref: ModelRef, new: ModelRef) -> NDArray[np.intp]:
    """For each class of a model that of the same name in the new one; without one `NO_CLASS`, which as
    an index is the last."""
    known = _list(new)
    return np.array([known.index(n) if n in known else NO_CLASS for n in _list(ref)], np.intp)


def _list(ref: ModelRef) -> list[str]:
    return [c.name for c in ref.spec.classes]


def _names(ref: ModelRef) -> set[str]:
    return set(_list(ref))
