"""The permutohedral lattice on processors: kernels that numba compiles for each number of dimensions.

They are plain loops for one thread that let go of Python's lock; `lattice_cpu` runs one on each core.
Every getter compiles at its first call (a few seconds, once: the machine code is kept on disk). The
dimension is a constant of the code, so that its loops are unrolled: twice the speed of general ones.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

EMPTY = np.iinfo(np.int64).min
MIXER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio (Knuth 6.4)
LOAD = 2  # slots of a hash table for each vertex, at least


@cache
def embed(s: int, d: int) -> Any:  # noqa: C901 - one loop, whose values stay in registers
    """Kernel that finds the simplex of every pixel (Adams et al. 2010, section 3).

    ``embed(s, d)(channels, first, extents, sigmas, scale, strides, slots, ids, keys, ones, count,
    start, offsets, weights, bits)``

    The d features of a pixel are its s coordinates, fastest axis first, over `sigmas`, and its
    `channels` (n, d - s), given in units of their σ. `first` is the number of the first pixel in an
    image of `extents` pixels along those axes. Pixels are taken from `start` on, until all are done or
    the hash table (`slots`, `ids`) is half full; it returns (pixels done, vertices). `keys` and `ones`
    grow by an entry for each new vertex: its packed key, and the sum of the weights that fall on it.
    `offsets` and `weights` (n, d + 1) are the answer.
    """
    from numba import njit

    down, up = np.float32(1 / (d + 1)), np.float32(d + 1)

    @njit(
        "UniTuple(i8, 2)(f4[:,::1], i8, i8[::1], f4[::1], f4[::1], i8[::1], i8[::1], u4[::1], i8[::1],"
        " f4[::1], i8, i8, u4[:,::1], f4[:,::1], i8)",
        cache=True,
        nogil=True,
    )
    def run(  # noqa: C901
        channels: NDArray[Any],
        first: int,
        extents: NDArray[Any],
        sigmas: NDArray[Any],
        scale: NDArray[Any],
        strides: NDArray[Any],
        slots: NDArray[Any],
        ids: NDArray[Any],
        keys: NDArray[Any],
        ones: NDArray[Any],
        count: int,
        start: int,
        offsets: NDArray[Any],
        weights: NDArray[Any],
        bits: int,
    ) -> tuple[int, int]:
        elevated = np.empty(d + 1, np.float32)
        rest = np.empty(d + 1, np.float32)
        base = np.empty(d + 1, np.int64)
        rank = np.empty(d + 1, np.int64)
        steps = np.empty(d + 1, np.int64)  # by rank
        parts = np.empty(d + 1, np.float32)  # by rank
        last_key = np.full(d + 1, EMPTY, np.int64)
        last_id = np.zeros(d + 1, np.uint32)
        feature = np.empty(d, np.float32)
        position = np.empty(s, np.int64)
        place = first + start
        for i in range(s):
            position[i] = place % extents[i]
            place //= extents[i]
            feature[i] = np.float32(position[i]) / sigmas[i]
        mask, shift = np.uint64(len(slots) - 1), np.uint64(64 - bits)
        limit = len(slots) // LOAD - (d + 1)
        whole = np.int64(0)
        for i in range(d):
            whole += strides[i]
        for n in range(start, len(channels)):
            if count > limit:
                return n, count
            for i in range(d - s):
                feature[s + i] = channels[n, i]
            above = np.float32(0)
            for i in range(d, 0, -1):
                along = feature[i - 1] * scale[i - 1]
                elevated[i] = above - np.float32(i) * along
                above += along
            elevated[0] = above
            total = np.int64(0)
            for i in range(d + 1):
                nearest = np.rint(elevated[i] * down)
                rest[i] = elevated[i] - nearest * up
                base[i] = np.int64(nearest)
                total += base[i]
                rank[i] = 0
            for i in range(d):
                for j in range(i + 1, d + 1):
                    behind = np.int64(rest[i] < rest[j])
                    rank[i] += behind
                    rank[j] += 1 - behind
            key = np.int64(0)
            for i in range(d + 1):
                place = rank[i] + total
                if place < 0:
                    place += d + 1
                    base[i] += 1
                    rest[i] -= up
                elif place > d:
                    place -= d + 1
                    base[i] -= 1
                    rest[i] += up
                parts[place] = rest[i] * down
                steps[place] = 0
                if i < d:
                    steps[place] = strides[i] * (d + 1)
                    key += base[i] * steps[place]
            for r in range(d + 1):
                if r == 0:
                    weight = np.float32(1) + parts[d] - parts[0]
                else:
                    key += whole - steps[d - r + 1]
                    weight = parts[d - r] - parts[d - r + 1]
                if key != last_key[r]:
                    slot = (np.uint64(key) * MIXER) >> shift
                    while slots[slot] != key and slots[slot] != EMPTY:
                        slot = (slot + np.uint64(1)) & mask
                    if slots[slot] == EMPTY:
                        slots[slot] = key
                        ids[slot] = count
                        keys[count] = key
                        ones[count] = 0
                        count += 1
                    last_key[r] = key
                    last_id[r] = ids[slot]
                found = last_id[r]
                ones[found] += weight
                offsets[n, r] = found
                weights[n, r] = weight
            for i in range(s):
                position[i] += 1
                if position[i] < extents[i] or i == s - 1:
                    feature[i] = np.float32(position[i]) / sigmas[i]
                    break
                position[i] = 0
                feature[i] = 0
        return len(channels), count

    return run


@cache
def insert() -> Any:
    """Kernel that puts keys into a hash table.

    ``insert()(slots, ids, keys, count, wanted, found, bits)`` writes the id of each wanted key to
    `found`; a key that is not in the table becomes a new vertex at the end of `keys`. It returns the
    number of vertices. The table must have room.
    """
    from numba import njit

    @njit("i8(i8[::1], u4[::1], i8[::1], i8, i8[::1], u4[::1], i8)", cache=True, nogil=True)
    def run(
        slots: NDArray[Any],
        ids: NDArray[Any],
        keys: NDArray[Any],
        count: int,
        wanted: NDArray[Any],
        found: NDArray[Any],
        bits: int,
    ) -> int:
        mask, shift = np.uint64(len(slots) - 1), np.uint64(64 - bits)
        for n in range(len(wanted)):
            key = wanted[n]
            slot = (np.uint64(key) * MIXER) >> shift
            while slots[slot] != key and slots[slot] != EMPTY:
                slot = (slot + np.uint64(1)) & mask
            if slots[slot] == EMPTY:
                slots[slot] = key
                ids[slot] = count
                keys[count] = key
                count += 1
            found[n] = ids[slot]
        return count

    return run


@cache
def neighbours() -> Any:
    """Kernel that finds the two neighbours of every vertex along one direction.

    ``neighbours()(slots, ids, keys, step, forward, backward, bits)``: `step` is the packed way from a
    vertex to the one ahead. A neighbour that is no vertex has the number of vertices, where a 0 is kept.
    """
    from numba import njit

    @njit("void(i8[::1], u4[::1], i8[::1], i8, u4[::1], u4[::1], i8)", cache=True, nogil=True)
    def run(
        slots: NDArray[Any],
        ids: NDArray[Any],
        keys: NDArray[Any],
        step: int,
        forward: NDArray[Any],
        backward: NDArray[Any],
        bits: int,
    ) -> None:
        mask, shift = np.uint64(len(slots) - 1), np.uint64(64 - bits)
        count = len(keys)
        for n in range(count):
            backward[n] = count
        for n in range(count):
            key = keys[n] + step
            slot = (np.uint64(key) * MIXER) >> shift
            while slots[slot] != key and slots[slot] != EMPTY:
                slot = (slot + np.uint64(1)) & mask
            if slots[slot] == EMPTY:
                forward[n] = count
            else:
                forward[n] = ids[slot]
                backward[ids[slot]] = n

    return run


@cache
def fold(d: int) -> Any:
    """Kernel that makes the weights those of the normalised kernel.

    ``fold(d)(offsets, weights, blurred, remap, alpha, splat)``: `blurred` (M + 1) are the blurred sums
    of weights, from which each point takes its norm 1/√(K1); the weights are multiplied by it; offsets
    go through `remap`; `splat` (M + 1) collects the new weights.
    """
    from numba import njit

    @njit("void(u4[:,::1], f4[:,::1], f4[::1], u4[::1], f4, f4[::1])", cache=True, nogil=True)
    def run(
        offsets: NDArray[Any],
        weights: NDArray[Any],
        blurred: NDArray[Any],
        remap: NDArray[Any],
        alpha: float,
        splat: NDArray[Any],
    ) -> None:
        for n in range(len(offsets)):
            total = np.float32(0)
            for r in range(d + 1):
                offsets[n, r] = remap[offsets[n, r]]
                total += weights[n, r] * blurred[offsets[n, r]]
            norm = np.float32(1) / np.sqrt(total * alpha + np.float32(1e-20))
            for r in range(d + 1):
                weights[n, r] *= norm
                splat[offsets[n, r]] += weights[n, r]

    return run
