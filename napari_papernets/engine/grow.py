"""Growing the forest that stands beside a network: scikit-learn's trees on the filters of strokes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.tiles import plan_tiles
from ..networks.filters import filter_count, filters
from ..networks.forest import LEAF, PixelForest
from ..networks.hypercolumn import HypercolumnUNet
from .annotated import Plane
from .quick import WINDOW, choose_pixels, inside

TREES = 100
SMALLEST_LEAF = 4  # pixels


class ForestGrower:
    """Grows the forest of a network anew for the strokes there are, and remembers their filters.

    Parameters
    ----------
    network : HypercolumnUNet
        Its `forest` is replaced.
    device : torch.device
        Where the network is.
    seed : int
        Of the trees.
    """

    def __init__(self, network: HypercolumnUNet, device: torch.device, seed: int = 0) -> None:
        self._network, self._device, self._seed = network, device, seed
        self._known: dict[tuple[int, tuple[int, ...]], tuple[NDArray[np.int64], Tensor]] = {}

    def grow(self, planes: Sequence[Plane]) -> None:
        """Grow it from all annotated pixels that are not held out."""
        channels = 1 if all(len(set(p.order)) == 1 for p in planes) else self._network.in_channels
        parts = [self._features(plane, channels) for plane in planes]
        features, classes = (np.concatenate(both) for both in zip(*parts, strict=True))
        forest = grow_forest(features, classes, self._network.classes, channels, self._seed)
        self._network.set_forest(forest.to(self._device))

    def _features(self, plane: Plane, channels: int) -> tuple[NDArray[np.float32], NDArray[Any]]:
        place, wanted = (plane.image, plane.index), choose_pixels(plane)
        features = torch.empty(len(wanted), filter_count(channels))
        known, values = self._known.get(place, (np.zeros(0, np.int64), features[:0]))
        if values.shape[1] != features.shape[1]:
            known, values = np.zeros(0, np.int64), features[:0]
        at = np.searchsorted(known, wanted).clip(max=max(len(known) - 1, 0))
        there = known[at] == wanted if len(known) else np.zeros(len(wanted), bool)
        features[there] = values[at[there]]
        if not there.all():
            features[~there] = self._read(plane, wanted[~there], channels)
        self._known[place] = wanted, features
        return features.numpy(), plane.annotation.ravel()[wanted]

    @torch.no_grad()
    def _read(self, plane: Plane, places: NDArray[np.int64], channels: int) -> Tensor:
        points = np.stack(np.unravel_index(places, plane.shape), axis=-1)
        features = torch.empty(len(points), filter_count(channels))
        for tile in plan_tiles(plane.shape, self._network.size_rule, max_pixels=WINDOW):
            here = np.flatnonzero(inside(points, tile))
            if len(here):
                x = plane.read(tile.y.read, tile.x.read)[list(plane.order)][:channels]
                maps = filters(torch.from_numpy(np.ascontiguousarray(x))[None].to(self._device))[0]
                y, x_ = (points[here] - (tile.y.read[0], tile.x.read[0])).T
                features[here] = maps[:, y, x_].T.cpu()
        return features


def grow_forest(
    features: NDArray[np.float32], classes: NDArray[Any], count: int, channels: int, seed: int = 0
) -> PixelForest:
    """A forest in which every class weighs alike.

    Parameters
    ----------
    features : ndarray of float32, shape (N, F)
        From `networks.filters`.
    classes : ndarray of int, shape (N,)
        From 0.
    count : int
        K; classes without a pixel get no vote.
    channels : int
        That the filters see.
    seed : int
        The same seed gives the same trees.
    """
    from sklearn.ensemble import RandomForestClassifier

    grown = RandomForestClassifier(
        TREES,
        min_samples_leaf=SMALLEST_LEAF,
        class_weight="balanced_subsample",
        n_jobs=-1,
        random_state=seed,
    ).fit(features, classes)
    trees = [e.tree_ for e in grown.estimators_]
    sizes = [t.node_count for t in trees]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    forest = PixelForest(len(trees), int(starts[-1]), channels, count)
    value = np.zeros((int(starts[-1]), count), np.float32)
    for tree, start in zip(trees, starts, strict=False):
        part = slice(start, start + tree.node_count)
        votes = tree.value[:, 0]
        value[part, grown.classes_.astype(int)] = votes / votes.sum(1, keepdims=True)
        inner = tree.children_left != LEAF
        for name, children in (("left", tree.children_left), ("right", tree.children_right)):
            getattr(forest, name)[part] = torch.from_numpy(np.where(inner, children + start, LEAF))
        forest.feature[part] = torch.from_numpy(np.where(inner, tree.feature, 0))
        forest.threshold[part] = torch.from_numpy(_rounded_down(tree.threshold))
    forest.roots.copy_(torch.from_numpy(starts[:-1]))
    forest.value.copy_(torch.from_numpy(value))
    return forest


def _rounded_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is not above: the trees compare float32 features with float64."""
    near = thresholds.astype(np.float32)
    return np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near)
