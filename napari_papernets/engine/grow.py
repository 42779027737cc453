"""Growing the forest that stands beside a network: scikit-learn's trees on the filters of strokes."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..networks.filters import filter_count, filters
from ..networks.forest import LEAF, PixelForest, compiled_walk
from ..networks.forested import Forested
from .annotated import Plane
from .pixels import PixelMemory, Places
from .quick import to_device

if TYPE_CHECKING:
    from sklearn.tree import DecisionTreeClassifier

TREES = 100
AT_ONCE = 10  # trees between two looks at whether there is something more urgent
THREADS = 2  # so few trees grow before more threads are started
SMALLEST_LEAF = 4  # pixels


class ForestGrower:
    """Grows the forest of a network anew for the strokes there are, and remembers their filters.

    Parameters
    ----------
    network : Forested
        Its `forest` is replaced.
    device : torch.device
        Where the network is.
    seed : int
        Of the trees.
    """

    def __init__(self, network: Forested, device: torch.device, seed: int = 0) -> None:
        self._network, self._device, self._seed = network, device, seed
        self._memories: dict[tuple[int, ...], PixelMemory] = {}  # by the channels that the filters see

    def grow(self, planes: Sequence[Plane]) -> None:
        """Grow it from all annotated pixels that are not held out."""
        for _ in self.growing(planes):
            pass

    def growing(self, planes: Sequence[Plane]) -> Iterator[None]:
        """As `grow`, in short steps; until the last of them the network has the forest it had."""
        sees = channels_seen(planes, self._network.in_channels)
        features, classes = self._memory(sees).of(planes)
        yield
        forest = yield from growing_forest(
            features.numpy(), classes.numpy(), self._network.classes, sees, self._seed
        )
        self._network.set_forest(forest.to(self._device))

    def _memory(self, sees: tuple[int, ...]) -> PixelMemory:
        if sees not in self._memories:

            def read(window: NDArray[np.float32], points: Places) -> Tensor:
                maps = filters(to_device(window[list(sees)], self._device))[0]
                return maps[:, points[:, 0], points[:, 1]].T.cpu()

            width = filter_count(len(sees))
            self._memories[sees] = PixelMemory(read, self._network.size_rule, width)
        return self._memories[sees]


def channels_seen(planes: Sequence[Plane], channels: int) -> tuple[int, ...]:
    """Channels of a window that filters look at: those on the shared scale, a repeated one once."""
    first = 0 if planes[0].shared is None else channels
    count = 1 if all(len(set(p.order)) == 1 for p in planes) else channels
    return tuple(range(first, first + count))


def growing_forest(
    features: NDArray[np.float32],
    classes: NDArray[Any],
    count: int,
    sees: Sequence[int],
    seed: int = 0,
) -> Generator[None, None, PixelForest]:
    """A forest in which every class weighs alike; `AT_ONCE` trees at every step.

    The trees are those of scikit-learn's `RandomForestClassifier` with this `random_state` and
    `class_weight="balanced_subsample"`, which makes and ends a pool of threads whenever it goes on:
    for few pixels that takes half as long as the trees, or longer.

    Parameters
    ----------
    features : ndarray of float32, shape (N, F)
        From `networks.filters`.
    classes : ndarray of int, shape (N,)
        From 0.
    count : int
        K; classes without a pixel get no vote.
    sees : sequence of int
        Channels of a window that the filters see.
    seed : int
        The same seed gives the same trees.
    """
    from sklearn.tree import DecisionTreeClassifier
    from sklearn.utils.class_weight import compute_sample_weight

    pixels = len(features)

    def grow(state: int) -> DecisionTreeClassifier:
        drawn = np.random.RandomState(state).randint(0, pixels, pixels)
        often = np.bincount(drawn, minlength=pixels)
        weights = often * compute_sample_weight("balanced", classes, indices=drawn)
        tree = DecisionTreeClassifier(
            max_features="sqrt", min_samples_leaf=SMALLEST_LEAF, random_state=state
        )
        return tree.fit(features, classes, sample_weight=weights, check_input=False)

    trees: list[DecisionTreeClassifier] = []
    features = np.ascontiguousarray(features, np.float32)
    states = np.random.RandomState(seed).randint(np.iinfo(np.int32).max, size=TREES)
    with ThreadPoolExecutor(THREADS, "trees") as threads:
        for first in range(0, TREES, AT_ONCE):
            trees += threads.map(grow, states[first : first + AT_ONCE])
            yield
    return packed(trees, count, sees)


def warm_up() -> None:
    """Import and compile what the first forest needs: seconds that nobody should wait for."""
    import sklearn.tree  # noqa: F401

    compiled_walk()


def packed(grown: Sequence[DecisionTreeClassifier], count: int, sees: Sequence[int]) -> PixelForest:
    """Trees of scikit-learn that learnt from the same pixels as arrays."""
    trees, present = [tree.tree_ for tree in grown], grown[0].classes_.astype(int)
    sizes = [t.node_count for t in trees]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    forest = PixelForest(len(trees), int(starts[-1]), sees, count)
    value = np.zeros((int(starts[-1]), count), np.float32)
    for tree, start in zip(trees, starts, strict=False):
        part = slice(start, start + tree.node_count)
        votes = tree.value[:, 0]
        value[part, present] = votes / votes.sum(1, keepdims=True)
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
