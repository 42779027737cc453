"""What the person looks at, as a network's maps: kept, so that a new head answers at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.annotation import View, middle_of
from ..core.image import ImageBlock
from ..core.model import ModelSpec
from ..core.tiles import Region, Tile, plan_tiles
from ..networks import ReadableNetwork
from ..networks.forest import PixelForest
from .annotated import Plane
from .pixels import inside
from .quick import read_maps, to_device
from .tiling import open_source

WINDOW = 1024**2  # pixels of one pass
VOTING = 32_768  # pixels whose votes are counted between two looks at whether something is more urgent


@dataclass(eq=False)
class Window:
    """One tile of the view: its window, normalised; the maps of it; what a forest looks at there (by the
    channels it sees), and what it votes."""

    tile: Tile
    pixels: Tensor
    maps: list[Tensor]
    filters: tuple[tuple[int, ...], Tensor] | None = None
    votes: Tensor | None = None


class ViewMaps:
    """Maps of the visible part under one state of a network: as it is, or was when they were read.

    Parameters
    ----------
    images : sequence of ImageBlock
        As the job has them.
    spec : ModelSpec
        How they are fed.
    network : ReadableNetwork
        On its device.
    device : torch.device
        That device.
    bf16 : bool
        Compute the maps in bfloat16.
    """

    def __init__(
        self,
        images: Sequence[ImageBlock],
        spec: ModelSpec,
        network: ReadableNetwork,
        device: torch.device,
        bf16: bool,
    ) -> None:
        self._images, self._spec, self._network = images, spec, network
        self._device, self._bf16 = device, bf16
        self._windows: list[Window] = []
        self._stale = False
        self.view: View | None = None

    def look_at(self, view: View) -> None:
        """Another part is visible."""
        if view != self.view:
            self.view = view
            self._windows = []

    def network_changed(self) -> None:
        """Its maps are to be made anew, by the next `read`."""
        self._stale = True

    @property
    def unread(self) -> bool:
        """Whether there is a view, and no maps of it under any state."""
        return self.view is not None and not self._windows

    @property
    def outdated(self) -> bool:
        """Whether there is a view, and no maps of it under the network as it is."""
        return self.unread or (self.view is not None and self._stale)

    def forest_changed(self) -> None:
        """Its votes are to be made anew."""
        for window in self._windows:
            window.votes = None

    def voting(self) -> Iterator[None]:
        """Let the forest vote on the view, in short steps."""
        forest = getattr(self._network, "forest", None)
        if forest is not None:
            for window in self._windows:
                yield from _voting(forest, window)

    @torch.no_grad()
    def read(self) -> None:
        """Make the maps of the view, where there are none of the network as it is."""
        if self.view is None:
            return
        self._network.eval()  # reading must not train it
        if not self._windows:
            self._windows = self._read(self.view, middle_of(self.view.region))
        elif self._stale:
            for window in self._windows:
                window.maps = read_maps(self._network, window.pixels, self._bf16)
        self._stale = False

    @torch.no_grad()
    def features(self, plane: Plane, places: NDArray[np.int64]) -> tuple[NDArray[np.bool_], Tensor]:
        """Features of those of some flat places of a plane that are in view, by the maps there are.

        Returns
        -------
        found : ndarray of bool, shape (N,)
            Which are.
        features : Tensor, shape (N, F), float32, on the CPU
            Of these; the others are not set.
        """
        head = self._network.head
        found, features = np.zeros(len(places), bool), torch.empty(len(places), sum(head.channels))
        here = self.view is not None and (self.view.image, self.view.plane) == (plane.image, plane.index)
        if not here:
            return found, features
        points = np.stack(np.unravel_index(places, plane.shape), axis=-1)
        for window in self._windows:
            within = inside(points, window.tile) & ~found
            if within.any():
                tile = window.tile
                local = torch.from_numpy(points[within] - (tile.y.read[0], tile.x.read[0]))
                features[within] = head.gather(window.maps, local.to(self._device)).cpu()
                found |= within
        return found, features

    @torch.no_grad()
    def answer(self) -> tuple[View, NDArray[np.uint8], NDArray[np.uint8]]:
        """What the head says of the view, by the maps there are (read now where there are none): the
        part, classes 1…K and uncertainty 0…255, both (h, w).

        The uncertainty is 255 · (1 − difference of the two highest probabilities).
        """
        assert self.view is not None
        view = self.view
        if self.unread:
            self.read()
        self._network.eval()
        y0, y1, x0, x1 = region = middle_of(view.region)
        labels = np.empty((y1 - y0, x1 - x0), np.uint8)
        doubt = np.empty_like(labels)
        for window in self._windows:
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bf16):
                logits = self._network.head(window.maps)[0]
            (rows, columns), (top, left) = window.tile.crop, window.tile.write
            p = torch.softmax(logits[:, rows, columns].float(), dim=0)
            if (forest := getattr(self._network, "forest", None)) is not None:
                for _ in _voting(forest, window):
                    pass
                assert window.votes is not None
                p = (p + window.votes[0, :, rows, columns]) / 2
            best = p.topk(2, dim=0)
            place = slice(top.start - y0, top.stop - y0), slice(left.start - x0, left.stop - x0)
            labels[place] = (best.indices[0] + 1).to(torch.uint8).cpu().numpy()
            margin = (best.values[0] - best.values[1]).clamp(0, 1)
            doubt[place] = (255 * (1 - margin)).to(torch.uint8).cpu().numpy()
        return View(view.image, view.plane, region), labels, doubt

    def _read(self, view: View, region: Region) -> list[Window]:
        image = self._images[view.image]
        channels = self._spec.pick_channels(image)
        source = open_source(image, view.plane, channels, self._spec.normalisation)
        tiles = plan_tiles(source.shape, self._spec.size_rule, max_pixels=WINDOW, region=region)
        windows = []
        for tile in tiles:
            pixels = to_device(source.read(tile.y.read, tile.x.read), self._device)
            windows.append(Window(tile, pixels, read_maps(self._network, pixels, self._bf16)))
        return windows


def _voting(forest: PixelForest, window: Window) -> Iterator[None]:
    """Fill in the votes of a window where it has none, a band of rows at every step."""
    if window.votes is not None:
        return
    sees = tuple(forest.sees)
    if window.filters is None or window.filters[0] != sees:
        window.filters = sees, forest.features(window.pixels)
        yield
    _, features = window.filters
    rows = max(1, VOTING // features.shape[3])
    bands = []
    for start in range(0, features.shape[2], rows):
        bands.append(forest.vote(features[:, :, start : start + rows]))
        yield
    window.votes = torch.cat(bands, dim=2)
