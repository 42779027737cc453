"""A random forest on multi-scale filters, grown elsewhere and read here.

It stands beside a network that learns from few strokes: the forest knows at once what can be told from a
pixel's neighbourhood, the network what needs a wider view; the mean of the two is better than either.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .filters import filter_count, filters

LEAF = -1
BLOCK = 512  # pixels
AT_ONCE = 2**24  # pairs of a pixel and a tree that it walks at once


class PixelForest(nn.Module):
    """Trees as arrays.

    Parameters
    ----------
    trees, nodes : int
        How many, all trees together.
    sees : sequence of int
        Channels of a window that the filters see: those on the scale that all images share, where there
        is one (`Normalisation.shared`); of an image that repeats its grey channel the first only.
    classes : int
        K.
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    roots: Tensor

    def __init__(self, trees: int, nodes: int, sees: Sequence[int], classes: int) -> None:
        super().__init__()
        self.sees, self.classes = tuple(sees), classes
        shapes: dict[str, tuple[tuple[int, ...], torch.dtype]] = dict(
            roots=((trees,), torch.int32), feature=((nodes,), torch.int16),
            threshold=((nodes,), torch.float32), left=((nodes,), torch.int32),
            right=((nodes,), torch.int32), value=((nodes, classes), torch.float32),
        )  # fmt: skip
        for name, (shape, dtype) in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=dtype))

    @property
    def sizes(self) -> dict[str, Any]:
        """What makes an empty forest of this size, JSON-able; see `read_sizes`."""
        return dict(trees=len(self.roots), nodes=len(self.feature), sees=list(self.sees))

    def is_sound(self) -> bool:
        """Whether every walk ends, at a leaf: what a file holds is walked by code that does not look."""
        nodes, inner = len(self.feature), self.left != LEAF
        numbers = torch.arange(nodes, device=inner.device)
        downwards = [(child > numbers) & (child < nodes) for child in (self.left, self.right)]
        known = (self.feature >= 0) & (self.feature < filter_count(len(self.sees)))
        rooted = (self.roots >= 0) & (self.roots < nodes)
        return bool(rooted.all()) and all(bool(fine[inner].all()) for fine in (*downwards, known))

    def features(self, x: Tensor) -> Tensor:
        """What the trees look at, (B, F, H, W) float32, of windows (B, C, H, W)."""
        return filters(x[:, list(self.sees)])

    def forward(self, x: Tensor) -> Tensor:
        """Mean class frequencies of the leaves, (B, K, H, W), of windows (B, C, H, W)."""
        return self.vote(self.features(x))

    @torch.no_grad()
    def vote(self, features: Tensor) -> Tensor:
        """As `forward`, of features (B, F, H, W)."""
        batch, count, height, width = features.shape
        assert count == filter_count(len(self.sees))
        rows = features.permute(0, 2, 3, 1).reshape(-1, count)
        found = self._walk_compiled(rows) if rows.device.type == "cpu" else self._walk(rows)
        return found.view(batch, height, width, self.classes).permute(0, 3, 1, 2)

    def _walk_compiled(self, rows: Tensor) -> Tensor:
        out = np.zeros((len(rows), self.classes), np.float32)
        arrays = [getattr(self, n).cpu().numpy() for n in _ARRAYS]
        with _walking, same_threads():
            compiled_walk()(np.ascontiguousarray(rows.numpy()), *arrays, out)
        return torch.from_numpy(out)

    def _walk(self, rows: Tensor) -> Tensor:
        """One level of all trees at a time, for devices with many threads."""
        left, right, feature = self.left.long(), self.right.long(), self.feature.long()
        roots, found = self.roots.long(), []
        for part in rows.split(max(1, AT_ONCE // len(roots))):
            node = roots.expand(len(part), -1)  # (rows, trees)
            for _ in range(len(feature)):  # no tree is deeper
                inner = left[node] != LEAF
                if not bool(inner.any()):
                    break
                goes_left = part.gather(1, feature[node]) <= self.threshold[node]
                node = torch.where(inner, torch.where(goes_left, left[node], right[node]), node)
            found.append(self.value[node].mean(1))
        return torch.cat(found)


def read_sizes(sizes: Mapping[str, Any] | Sequence[int]) -> dict[str, Any]:
    """Parameters of `PixelForest` beside classes; model format 1 has [trees, nodes, channels]."""
    if isinstance(sizes, Mapping):
        return dict(sizes)
    trees, nodes, channels = sizes
    return dict(trees=trees, nodes=nodes, sees=range(channels))


_walking = Lock()  # numba's simplest threading layer, the only one of some Macs, aborts where two walk
_ARRAYS = ("roots", "feature", "threshold", "left", "right", "value")


@contextmanager
def same_threads() -> Iterator[None]:
    """Let numba use no more threads than torch, and torch as many as before: where numba runs on OpenMP,
    its first launch sets the number of the whole process to that of the processors."""
    import numba

    threads = torch.get_num_threads()
    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    numba.set_num_threads(min(threads, most))
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


@cache
def compiled_walk() -> Any:
    """The walk through the trees for processors; compiled once, and kept on disk."""
    from numba import njit, prange

    @njit(
        "void(f4[:,::1], i4[::1], i2[::1], f4[::1], i4[::1], i4[::1], f4[:,::1], f4[:,::1])",
        parallel=True,
        cache=True,
        nogil=True,
    )
    def walk(
        rows: NDArray[Any],
        roots: NDArray[Any],
        feature: NDArray[Any],
        threshold: NDArray[Any],
        left: NDArray[Any],
        right: NDArray[Any],
        value: NDArray[Any],
        out: NDArray[Any],
    ) -> None:
        trees, classes, count = len(roots), value.shape[1], len(rows)
        for block in prange((count + BLOCK - 1) // BLOCK):  # a tree stays in the cache for a block
            for t in range(trees):
                for n in range(block * BLOCK, min((block + 1) * BLOCK, count)):
                    node = roots[t]
                    while left[node] >= 0:
                        below = rows[n, feature[node]] <= threshold[node]
                        node = left[node] if below else right[node]
                    for k in range(classes):
                        out[n, k] += value[node, k] / trees

    return walk
