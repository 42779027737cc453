"""The dictionary of a contrastive encoder, as it can be looked at: patches of images and their keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class PatchMap:
    """Answer of ``patches``: N patches on a grid over the images.

    Attributes
    ----------
    keys : ndarray of float32, shape (N, D)
        What the encoder makes of each patch, of length 1.
    positives : ndarray of float32, shape (N, D)
        The same of another view of the patch (turned, resized, with other grey values).
    places : ndarray of int64, shape (N, 4)
        Number of the image, number of the plane in the order of `ImageBlock.planes`, and the patch's
        centre (y, x) in pixels.
    thumbnails, views : ndarray of uint8, shape (N, t, t, 3)
        The patch, and its other view.
    plane_map : ndarray of float32, shape (N, 2)
        The keys in two dimensions.
    explained : tuple of float
        Shares of the variance that the two principal components hold; empty of a map by UMAP.
    side : int
        Side of a patch in pixels.
    provenance : mapping
        Model, settings, versions.
    """

    keys: NDArray[np.float32]
    positives: NDArray[np.float32]
    places: NDArray[np.int64]
    thumbnails: NDArray[np.uint8]
    views: NDArray[np.uint8]
    plane_map: NDArray[np.float32]
    explained: tuple[float, ...]
    side: int
    provenance: Mapping[str, Any]

    def nearest(self, query: int, count: int) -> NDArray[np.int64]:
        """Numbers of the keys most similar to that of the patch `query`, itself left out; `count` at
        most."""
        order = np.argsort(-(self.keys @ self.keys[query]), kind="stable")
        return order[order != query][:count].astype(np.int64)

    def hardest(self, query: int, count: int) -> NDArray[np.int64]:
        """The hardest negatives: most similar keys of patches that do not overlap the patch `query`."""
        similar = self.keys @ self.positives[query]
        image, plane, y, x = self.places[query]
        same = (self.places[:, 0] == image) & (self.places[:, 1] == plane)
        close = np.abs(self.places[:, 2:] - (y, x)).max(axis=1) < self.side
        similar[same & close] = -np.inf
        found = np.argsort(-similar, kind="stable")[:count]
        return found[np.isfinite(similar[found])].astype(np.int64)

    def at(self, image: int, plane: int, y: float, x: float) -> int | None:
        """The patch whose centre is nearest to a place; None where the plane has none."""
        here = np.flatnonzero((self.places[:, 0] == image) & (self.places[:, 1] == plane))
        if not len(here):
            return None
        distance = np.square(self.places[here, 2:] - (y, x)).sum(axis=1)
        return int(here[np.argmin(distance)])

    def axis_names(self) -> tuple[str, str]:
        """What the two axes of the map are."""
        if not self.explained:
            return "UMAP 1", "UMAP 2"
        first, second = (f"component {n + 1} ({v:.0%})" for n, v in enumerate(self.explained))
        return first, second

    def similarity_of_positives(self) -> NDArray[np.float32]:
        """Cosine of each key and its other view's, shape (N,)."""
        return (self.keys * self.positives).sum(axis=1)
