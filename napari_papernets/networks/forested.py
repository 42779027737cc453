"""A network that is fitted to strokes, and beside which a forest may stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .forest import PixelForest, read_sizes
from .linear_head import ReadableNetwork


class Forested(ReadableNetwork):
    """Holds the forest, and tells its sizes among the options from which the network is built again.

    A window may hold further channels after those of the network, for the forest.
    """

    options: dict[str, Any]
    forest: PixelForest | None

    def make_forest(self, sizes: Mapping[str, Any] | Sequence[int], classes: int) -> None:
        """Make room for a forest of these sizes (`PixelForest.sizes`), or for none."""
        self.set_forest(PixelForest(classes=classes, **read_sizes(sizes)) if sizes else None)

    def set_forest(self, forest: PixelForest | None) -> None:
        """Put a forest beside the network, or take it away."""
        self.forest = forest
        self.options = {**self.options, "forest": forest.sizes if forest is not None else {}}
