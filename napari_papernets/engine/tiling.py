"""Tiles of one plane through a network, stepping down when memory runs out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.events import Notice
from ..core.image import ImageBlock
from ..core.model import Normalisation
from ..core.tiles import Region, SizeRule, Tile, TilePlan, halve_tiles, plan_tiles
from .failures import is_out_of_memory
from .far_greys import near_zero
from .normalise import Ranges, normalisation_range, normalise, shared_range
from .runner import Runner
from .zoom import resize

MAX_BATCH = 16


@dataclass(frozen=True, eq=False)
class PlaneSource:
    """Normalised windows of one plane.

    Attributes
    ----------
    image : ImageBlock
        Where windows are read; what lies outside is mirrored.
    plane : tuple of int
        Index along the stack axes.
    channels : tuple of int
        In the order that the network takes them.
    low, high : ndarray, shape (C,)
        Grey values that become 0 and 1.
    shared : (ndarray, ndarray), each of shape (C,), optional
        Those of the scale that all images share (`Normalisation.shared`).
    """

    image: ImageBlock
    plane: tuple[int, ...]
    channels: tuple[int, ...]
    low: NDArray[Any]
    high: NDArray[Any]
    shared: Ranges | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self.image.plane_shape

    def read(self, y: tuple[int, int], x: tuple[int, int]) -> NDArray[np.float32]:
        """Window (C, y, x), float32, grey values about 0…1; (2C, y, x) with the shared scale."""
        window = self.image.read(self.plane, y, x, self.channels)
        own = normalise(window, self.low, self.high)
        return own if self.shared is None else np.concatenate([own, normalise(window, *self.shared)])


def open_source(
    image: ImageBlock,
    plane: tuple[int, ...],
    channels: tuple[int, ...],
    normalisation: Normalisation,
    zoom: float = 1.0,
) -> PlaneSource:
    """Windows of a plane, normalised over the whole plane; resized as a whole where `zoom` is not 1.

    Raises
    ------
    InputError
        If the plane has no finite value.
    """
    image = near_zero(image)
    own = normalisation_range(image, plane, channels, normalisation)
    shared = shared_range(own, normalisation.shared) if normalisation.shared else None
    source = PlaneSource(image, plane, channels, *own, shared)
    if zoom == 1.0:
        return source
    pixels = resize(source.read((0, source.shape[0]), (0, source.shape[1])), zoom)
    count = len(pixels)
    resized = ImageBlock(pixels, "CYX", name=image.name)
    return PlaneSource(resized, (), tuple(range(count)), np.zeros(count), np.ones(count))


@dataclass(eq=False)
class TileLoop:
    """Runs plans, and remembers how far it had to step down for memory.

    Attributes
    ----------
    runner : Runner
        The network on its device.
    rule : SizeRule
        Of the network.
    max_pixels : int
        Largest window, in pixels, that fits the memory.
    tile : int, (int, int) or None
        Window side that the user asked for.
    batch : int
        Windows in one pass.
    steps_down : list of Notice
        What had to be given up, in order.
    """

    runner: Runner
    rule: SizeRule
    max_pixels: int
    tile: int | tuple[int, int] | None = None
    batch: int = 1
    steps_down: list[Notice] = field(default_factory=list)

    def plan(self, shape: tuple[int, int], region: Region | None = None) -> TilePlan:
        """The windows that cover `region` of an image of `shape`."""
        return plan_tiles(shape, self.rule, self.tile, self.max_pixels, region)

    def run(
        self,
        source: PlaneSource,
        region: Region | None = None,
        focus: tuple[float, float] | None = None,
    ) -> Iterator[tuple[Tile, NDArray[np.float32]] | Notice]:
        """Probabilities of every tile of `region`, those nearest to `focus` first.

        Yields
        ------
        (Tile, ndarray of float32, shape (K, y, x)) or Notice
            The part of the plane that the tile writes; or what was given up for lack of memory, after
            which it goes on with the tiles that are missing.
        """
        covered = np.zeros(source.shape, dtype=bool)
        while True:
            plan = self.plan(source.shape, region)
            tiles = plan.nearest_first(*focus) if focus else plan.tiles
            missing = [t for t in tiles if not covered[t.write].all()]
            try:
                for tile, answer in zip(missing, self._answers(source, missing), strict=True):
                    covered[tile.write] = True
                    yield tile, answer[(slice(None), *tile.crop)]
                return
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                notice = self._step_down(plan, error)
            yield notice

    def _answers(self, source: PlaneSource, tiles: Sequence[Tile]) -> Iterator[NDArray[np.float32]]:
        groups = (tiles[i : i + self.batch] for i in range(0, len(tiles), self.batch))
        batches = (np.stack([source.read(t.y.read, t.x.read) for t in group]) for group in groups)
        for answers in self.runner.stream(batches):
            yield from answers

    def _step_down(self, plan: TilePlan, error: Exception) -> Notice:
        """Halve the batch, else the tile, else go to the CPU; refuse when nothing is left."""
        if self.runner.device.type == "cuda":
            torch.cuda.empty_cache()
        smaller = halve_tiles(plan)
        if self.batch > 1:
            self.batch //= 2
            taken = f"batch halved to {self.batch}"
        elif smaller is not None:
            self.tile = smaller.window
            taken = f"tiles reduced to {smaller.window[0]}×{smaller.window[1]}"
        elif self.runner.device.type != "cpu":
            self.runner = self.runner.to(torch.device("cpu"))
            taken = "going on with the CPU"
        else:
            window = f"a {plan.window[0]}×{plan.window[1]} window in memory"
            mend = "not even the smallest tile fits: close other programs or use a smaller model"
            raise InputError("memory", f"no room for {window}", mend) from error
        notice = out_of_memory(taken)
        self.steps_down.append(notice)
        return notice


def out_of_memory(taken: str) -> Notice:
    """Tells that there was no room, and what was done about it."""
    return Notice(f"Out of memory: {taken}", {"out_of_memory": taken})


def largest_batch(plan: TilePlan, max_pixels: int, device: torch.device) -> int:
    """Windows that fit one pass; 1 on the CPU, where a batch gains nothing."""
    if device.type == "cpu":
        return 1
    fitting = max_pixels // (plan.window[0] * plan.window[1])
    return max(1, min(fitting, len(plan), MAX_BATCH))
