"""What network and forest together say of pixels that nobody annotated: something to learn from.

Trained on strokes alone, a network forgets what it knew of the pixels between them: objects grow fat.
Here a frozen copy of the network as the quick head left it, with the forest beside it, answers for the
surroundings of strokes, and the network in training must say the same of crops that are turned, bent and
changed in brightness (a student under noise: Xie et al., CVPR 2020, arXiv 1911.04252). So it takes over
what only the forest knew, and becomes steadier.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.image import Range, reflect_indices
from ..core.tiles import Tile, plan_tiles
from ..networks.forested import Forested
from ..networks.hypercolumn import mixed
from .annotated import Plane
from .optimisation import learnt_state, restore_state
from .quick import to_device

WINDOW = 512**2  # pixels of one pass

Place = tuple[int, tuple[int, ...]]


class Teacher:
    """Answers of a network and its forest, as they are when it is made; tiles are answered once.

    Parameters
    ----------
    network : Forested
        On `device`; it is copied.
    device : torch.device
        Where to compute.
    bf16 : bool
        Compute in bfloat16.
    """

    def __init__(self, network: Forested, device: torch.device, bf16: bool) -> None:
        self._network = copy.deepcopy(network).eval().requires_grad_(False)
        self._device, self._bf16 = device, bf16
        self._answers: dict[Place, NDArray[np.float16]] = {}
        self._waiting: dict[Place, list[Tile]] = {}

    @property
    def state(self) -> dict[str, Tensor]:
        """Its weights; the forest can be grown again."""
        return learnt_state(self._network)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Put back what `state` gave."""
        restore_state(self._network, state)
        self._answers.clear()

    def answer(self, plane: Plane, y: Range, x: Range) -> NDArray[np.float32]:
        """Probabilities (K, y, x), float32, of a window, mirrored outside the plane."""
        place = plane.image, plane.index
        if place not in self._answers:
            self._answers[place] = np.zeros((self._network.classes, *plane.shape), np.float16)
            tiles = plan_tiles(plane.shape, self._network.size_rule, max_pixels=WINDOW)
            self._waiting[place] = list(tiles)
        rows, columns = (reflect_indices(*r, n) for r, n in zip((y, x), plane.shape, strict=True))
        for tile in [t for t in self._waiting[place] if _touches(t, rows, columns)]:
            self._answers[place][:, tile.write[0], tile.write[1]] = self._ask(plane, tile)
            self._waiting[place].remove(tile)
        return plane.mirror(self._answers[place], y, x).astype(np.float32)

    @torch.no_grad()
    def _ask(self, plane: Plane, tile: Tile) -> NDArray[np.float32]:
        window = to_device(plane.window(tile.y.read, tile.x.read), self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
            logits = self._network(window)
        p = mixed(self._network.forest, torch.softmax(logits.float(), 1), window)[0]
        return p[:, tile.crop[0], tile.crop[1]].cpu().numpy()


def _touches(tile: Tile, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> bool:
    (y0, y1), (x0, x1) = tile.y.write, tile.x.write
    return bool(((rows >= y0) & (rows < y1)).any() and ((columns >= x0) & (columns < x1)).any())
