"""A version beside the one before it: how well each answers what is annotated, class by class."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.errors import ModelError
from ..core.events import ClassScore, Compared
from ..core.model import ModelRef
from ..core.tiles import Tile, plan_tiles
from ..networks.forest import PixelForest
from .annotated import Plane
from .metrics import class_ious
from .quick import to_device
from .weights import load_weights

WINDOW = 448**2  # pixels of one pass, of which a third may be counted: a new stroke waits for no more
NO_CLASS = -1


def can_compare(old: ModelRef, new: ModelRef, renamed: bool = False) -> bool:
    """Whether both are fed alike and answer with classes, at least two of which are the same."""
    semantic = old.spec.task == new.spec.task == "semantic"
    return semantic and _fed(old) == _fed(new) and len(_shared(old, new, renamed)) >= 2


def _fed(ref: ModelRef) -> tuple[Any, ...]:
    spec = ref.spec
    return spec.architecture, spec.in_channels, spec.size_rule, spec.normalisation


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
    judges: list[_Judge] = []
    for ref in (old, new):
        try:
            network = load_weights(ref).to(device)
        except (ModelError, OSError):  # somebody has taken the file away
            return Compared(old, new, ())
        judges.append(_Judge(network, _numbers(ref, new, renamed), len(new.spec.classes), bf16))
        yield
    for plane in planes:
        for tile in plan_tiles(plane.shape, judges[1].network.size_rule, max_pixels=WINDOW):
            known = np.stack(np.nonzero(plane.annotation[tile.write] >= 0))  # (2, N)
            if known.size:
                part = _Part(plane, tile, known, device)
                for judge in judges:
                    judge.take(part)
                    yield
    before, after = (class_ious(judge.matrix) for judge in judges)
    pixels = judges[1].matrix.sum(1)
    both = [c for c in _shared(old, new, renamed) if pixels[c]]
    scores = [ClassScore(c + 1, float(before[c]), float(after[c]), int(pixels[c])) for c in both]
    return Compared(old, new, tuple(scores))


class _Part:
    """The annotated pixels that a tile writes; what the forests look at there is read once."""

    def __init__(self, plane: Plane, tile: Tile, known: NDArray[np.intp], device: torch.device) -> None:
        self.truth = plane.annotation[tile.write][tuple(known)]
        self.window = to_device(plane.window(tile.y.read, tile.x.read), device)
        places = (k + c.start for k, c in zip(known, tile.crop, strict=True))
        self.y, self.x = (torch.from_numpy(place).to(device) for place in places)
        self._features: dict[tuple[int, ...], Tensor] = {}

    def features(self, forest: PixelForest) -> Tensor:
        """(1, F, N, 1), of these pixels alone: to ask for those between would take longest."""
        sees = tuple(forest.sees)
        if sees not in self._features:
            self._features[sees] = forest.features(self.window)[:, :, self.y, self.x][..., None]
        return self._features[sees]


class _Judge:
    """What a network says of annotated pixels: how many of each class, by its answer, (K, K + 1); the
    last answer is none of the K classes. `numbers` are the classes of the network's."""

    def __init__(self, network: nn.Module, numbers: NDArray[np.intp], classes: int, bf16: bool) -> None:
        self.network, self._numbers, self._bf16 = network, numbers, bf16
        self.matrix = np.zeros((classes, classes + 1), np.int64)

    @torch.no_grad()
    def take(self, part: _Part) -> None:
        """Answer some more."""
        with torch.autocast(part.window.device.type, torch.bfloat16, enabled=self._bf16):
            logits = self.network(part.window)
        p = torch.softmax(logits[0, :, part.y, part.x].float(), 0)  # (K, N)
        forest = getattr(self.network, "forest", None)
        if forest is not None:
            p = (p + forest.vote(part.features(forest))[0, :, :, 0]) / 2
        np.add.at(self.matrix, (part.truth, self._numbers[p.argmax(0).cpu().numpy()]), 1)


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
