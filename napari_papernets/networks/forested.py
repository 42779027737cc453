"""A network that is fitted to strokes, and beside which a forest may stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .forest import PixelForest
from .linear_head import ReadableNetwork


class Forested(ReadableNetwork):
    """Holds the forest, and tells its sizes among the options from which the network is built again."""

    options: dict[str, Any]
    forest: PixelForest | None

    def make_forest(self, sizes: Sequence[int], classes: int) -> None:
        """Make room for a forest of (trees, nodes, channels), or for none where `sizes` is empty."""
        self.forest = None
        if sizes:
            trees, nodes, seen = sizes
            self.forest = PixelForest(trees, nodes, seen, classes)

    def set_forest(self, forest: PixelForest | None) -> None:
        """Put a forest beside the network, or take it away."""
        self.forest = forest
        sizes = [len(forest.roots), len(forest.feature), forest.channels] if forest is not None else []
        self.options = {**self.options, "forest": sizes}
