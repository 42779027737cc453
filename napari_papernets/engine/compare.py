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
from .annotated import Plane
from .quick import to_device
from .weights import load_weights

WINDOW = 256**2  # pixels of one pass: a new stroke waits for no more
NO_CLASS = -1


def can_compare(old: ModelRef, new: ModelRef, renamed: bool = False) -> bool:
    """Whether both answer with classes, at least two of which are the same; see `comparing`."""
    semantic = old.spec.task == new.spec.task == "semantic"
    return semantic and len(_shared(old, new, renamed)) >= 2


def comparing(
    old: ModelRef,
    new: ModelRef,
    planes: Sequence[Plane],
    device: torch.device,
    bf16: bool,
    renamed: bool = False,
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
    renamed : bool
        Classes of the same number are the same, whatever they are called; else those of the same name.

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
        numbers = _numbers(ref, new, renamed)
        counts.append((yield from _counting(network, numbers, classes, planes, device, bf16)))
    before, after = counts
    both = [c for c in _shared(old, new, renamed) if after[c].any()]
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
            known = np.stack(np.nonzero(truth >= 0))  # (2, N)
            if known.size:
                said = numbers[_answers(network, plane, tile, known, device, bf16)]
                np.add.at(matrix, (truth[tuple(known)], said), 1)
                yield
    return matrix


@torch.no_grad()
def _answers(
    network: nn.Module,
    plane: Plane,
    tile: Tile,
    known: NDArray[np.intp],
    device: torch.device,
    bf16: bool,
) -> NDArray[np.int64]:
    """The most probable class at some of the pixels that the tile writes, (N,)."""
    window = to_device(plane.window(tile.y.read, tile.x.read), device)
    y, x = (torch.from_numpy(k + c.start).to(device) for k, c in zip(known, tile.crop, strict=True))
    with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        logits = network(window)
    p = torch.softmax(logits[0, :, y, x].float(), 0)  # (K, N)
    forest = getattr(network, "forest", None)
    if forest is not None:  # it takes longest, and nobody asks for the pixels between
        features = forest.features(window)[:, :, y, x]
        p = (p + forest.vote(features[..., None])[0, :, :, 0]) / 2
    return p.argmax(0).cpu().numpy()


def _score(c: int, before: NDArray[np.int64], after: NDArray[np.int64]) -> ClassScore:
    return ClassScore(c + 1, _iou(before, c), _iou(after, c), int(after[c].sum()))


def _iou(matrix: NDArray[np.int64], c: int) -> float:
    both = matrix[c, c]
    return float(both / max(1, matrix[c].sum() + matrix[:, c].sum() - both))


def _shared(old: ModelRef, new: ModelRef, renamed: bool) -> list[int]:
    """The classes of the new model that the old one has, too."""
    return sorted(n for n in _numbers(old, new, renamed).tolist() if n != NO_CLASS)


def _numbers(ref: ModelRef, new: ModelRef, renamed: bool) -> NDArray[np.intp]:
    """For each class of a model the same of the new one; without one `NO_CLASS`, which as an index is
    the last."""
    theirs, ours = ([c.name for c in one.spec.classes] for one in (ref, new))
    if renamed and len(theirs) == len(ours):
        return np.arange(len(ours))
    return np.array([ours.index(n) if n in ours else NO_CLASS for n in theirs], np.intp)
