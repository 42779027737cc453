"""The permutohedral lattice of an image on a processor: made on all cores, kept for many filterings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import lattice_kernels as kernels
from . import meanfield_kernels
from .grid_features import GridFeatures
from .permutohedral import alpha_of, directions, key_strides, scale_factors

BLOCK = 1 << 16  # pixels whose channels are converted at once
FIRST_TABLE = 15  # bits


@dataclass(frozen=True, eq=False)
class CPULattice:
    """Where every pixel lies, and who is whose neighbour.

    Attributes
    ----------
    offsets : ndarray of uint32, shape (N, d + 1)
        Vertices of the simplex of each pixel.
    weights : ndarray of float32, shape (N, d + 1)
        Barycentric coordinates times the pixel's norm 1/√(K1).
    forward, backward : ndarray of uint32, shape (d + 1, M)
        Neighbours of every vertex; M where there is none.
    mass : float
        Σ_ij K_ij of the normalised kernel.
    """

    offsets: NDArray[np.uint32]
    weights: NDArray[np.float32]
    forward: NDArray[np.uint32]
    backward: NDArray[np.uint32]
    mass: float

    @property
    def dimensions(self) -> int:
        return self.offsets.shape[1] - 1

    @property
    def vertices(self) -> int:
        return self.forward.shape[1]

    @property
    def alpha(self) -> float:
        return alpha_of(self.dimensions)

    @property
    def nbytes(self) -> int:
        arrays = (self.offsets, self.weights, self.forward, self.backward)
        return sum(a.nbytes for a in arrays)

    def blur(
        self, splat: NDArray[np.float32], spare: tuple[NDArray[np.float32], NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """Blur values along all directions in turn.

        Parameters
        ----------
        splat : ndarray of float32, shape (M + 1, C)
            Its last row is 0.
        spare : two ndarrays of that shape
            Where to work; last rows 0.

        Returns
        -------
        ndarray of float32
            One of `spare`.
        """
        run = meanfield_kernels.blur(splat.shape[1])
        source, target, free = splat, spare[0], spare[1]
        for forward, backward in zip(self.forward, self.backward, strict=True):
            run(source, target, forward, backward)
            source, target, free = target, free, target
        return source

    def blurred(self, splat: NDArray[np.float32]) -> NDArray[np.float32]:
        """`blur` of one channel, shape (M + 1,)."""
        spare = np.zeros((len(splat), 1), np.float32), np.zeros((len(splat), 1), np.float32)
        return self.blur(splat[:, np.newaxis], spare)[:, 0]


def build_lattice(features: GridFeatures, threads: int) -> CPULattice:
    """The lattice of an image.

    Parameters
    ----------
    features : GridFeatures
        The image and the σ of a kernel.
    threads : int
        Threads to use.
    """
    d, n = features.dimensions, features.pixels
    offsets, weights = np.empty((n, d + 1), np.uint32), np.empty((n, d + 1), np.float32)
    strides = key_strides(*features.bounds())
    parts = spans(n, threads)

    def place(span: slice) -> _Table:
        table = _Table(FIRST_TABLE)
        _embed(features, strides, span, table, offsets, weights)
        return table

    tables = run_all(place, parts, threads)
    table, remaps, ones = _merge(tables)
    tables.clear()  # their memory is needed
    forward, backward = _neighbours(table, strides, threads)
    bare = CPULattice(offsets, weights, forward, backward, 0.0)
    blurred = bare.blurred(ones)
    splats = np.zeros((len(parts), table.count + 1), np.float32)

    def fold(part: int) -> None:
        span = parts[part]
        kernels.fold(d)(offsets[span], weights[span], blurred, remaps[part], bare.alpha, splats[part])

    run_all(fold, range(len(parts)), threads)
    splat = splats.sum(0)
    mass = bare.alpha * float(np.sum(splat * bare.blurred(splat), dtype=np.float64))
    return CPULattice(offsets, weights, forward, backward, mass)


class _Table:
    """Vertices by key, with room for as many as there will be.

    Attributes
    ----------
    keys, ones : ndarray of int64 and float32
        The packed key of each vertex and the sum of the weights on it; `count` are in use.
    slots, ids : ndarray of int64 and uint32, shape (2^bits,)
        Open addressing.
    """

    def __init__(self, bits: int) -> None:
        self.count = 0
        self.keys = np.empty(0, np.int64)
        self.ones = np.empty(0, np.float32)
        self._allocate(bits)

    def _allocate(self, bits: int) -> None:
        self.bits = bits
        self.slots = np.full(1 << bits, kernels.EMPTY, np.int64)
        self.ids = np.empty(1 << bits, np.uint32)
        room = (1 << bits) // kernels.LOAD + 1
        self.keys = np.concatenate([self.keys[: self.count], np.empty(room - self.count, np.int64)])
        more = np.empty(room - self.count, np.float32)
        self.ones = np.concatenate([self.ones[: self.count], more])

    def grow(self) -> None:
        """Twice as many slots."""
        self._allocate(self.bits + 1)
        keys, self.count = self.keys[: self.count].copy(), 0
        self.add(keys)

    def add(self, keys: NDArray[np.int64]) -> NDArray[np.uint32]:
        """Put keys in; the number of each."""
        found = np.empty(len(keys), np.uint32)
        self.count = kernels.insert()(
            self.slots, self.ids, self.keys, self.count, keys, found, self.bits
        )
        return found


def _embed(
    features: GridFeatures,
    strides: NDArray[np.int64],
    span: slice,
    table: _Table,
    offsets: NDArray[np.uint32],
    weights: NDArray[np.float32],
) -> None:
    """Place the pixels of `span`, block by block."""
    d, run = features.dimensions, kernels.embed(len(features.extents), features.dimensions)
    extents, sigmas = np.array(features.extents), np.array(features.sigmas, np.float32)
    scale = scale_factors(d).astype(np.float32)
    for first in range(span.start, span.stop, BLOCK):
        block = slice(first, min(first + BLOCK, span.stop))
        channels, start = features.channels(block), 0
        while True:
            start, table.count = run(
                channels, first, extents, sigmas, scale, strides, table.slots, table.ids, table.keys,
                table.ones, table.count, start, offsets[block], weights[block], table.bits,
            )  # fmt: skip
            if start == len(channels):
                break
            table.grow()


def _merge(
    tables: Sequence[_Table],
) -> tuple[_Table, list[NDArray[np.uint32]], NDArray[np.float32]]:
    """One table of all; the new number of every vertex of each; the weights on each, and a 0."""
    most = sum(t.count for t in tables)
    whole = _Table(max(FIRST_TABLE, int(kernels.LOAD * most).bit_length()))
    remaps = [whole.add(t.keys[: t.count]) for t in tables]
    ones = np.zeros(whole.count + 1, np.float32)
    for table, remap in zip(tables, remaps, strict=True):
        ones[remap] += table.ones[: table.count]
    return whole, remaps, ones


def _neighbours(
    table: _Table, strides: NDArray[np.int64], threads: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    steps = directions(strides)
    forward = np.empty((len(steps), table.count), np.uint32)
    backward = np.empty_like(forward)
    keys = table.keys[: table.count]

    def find(j: int) -> None:
        kernels.neighbours()(
            table.slots, table.ids, keys, int(steps[j]), forward[j], backward[j], table.bits
        )

    run_all(find, range(len(steps)), threads)
    return forward, backward


def spans(n: int, parts: int) -> list[slice]:
    """0…n-1 in at most `parts` equal runs, none of them empty."""
    edges = np.linspace(0, n, max(1, min(parts, n)) + 1).astype(int)
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]


def run_all(work: Callable[[Any], Any], items: Sequence[Any], threads: int) -> list[Any]:
    """`work` of every item, in order, on at most so many threads."""
    if threads < 2 or len(items) < 2:
        return [work(item) for item in items]
    return list(_pool(threads).map(work, items))


def run_blocks(work: Callable[[slice], Any], n: int, threads: int) -> list[Any]:
    """`work` of every run of about `BLOCK` of n pixels; see `run_all`."""
    return run_all(work, spans(n, ceil(n / BLOCK)), threads)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="lattice")
