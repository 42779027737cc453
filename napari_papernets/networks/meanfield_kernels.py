"""Mean field on processors: kernels that numba compiles for the numbers of dimensions and classes.

As in `lattice_kernels`: plain loops for one thread without Python's lock, compiled at the first call of
their getter and kept on disk. Slice, softmax and the next splat are one pass over the pixels, so that
the offsets and weights, which are most of the memory, are read once an iteration. Of K classes only
K - 1 differences to class 0 are filtered, since beliefs sum to 1 and softmax knows differences only.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

MANY = 1e200  # product of softmax denominators whose logarithm is taken
FAST = {"contract", "reassoc", "nsz", "arcp"}  # sums in any order; NaN stays NaN
SIGNATURE = (
    "f8(f4[:,::1], u4[:,::1], f4[:,::1], u4[:,::1], f4[:,::1], f4[:,::1], f4[:,::1], f4[:,::1],"
    " f4[:,::1], f4[:,:], b1, b1)"
)


@cache
def update(d1: int, d2: int, classes: int) -> Any:
    """Kernel of the pass over the pixels, for two lattices of d1 and d2 dimensions and K classes.

    ``update(d1, d2, K)(u, offsets1, weights1, offsets2, weights2, blurred1, blurred2, splat1, splat2,
    belief, message, keeps)`` takes the messages of both kernels from `blurred` (M + 1, K - 1),
    which hold w·K·D for the differences D of the beliefs; forms the new beliefs from the unaries u
    (n, K - 1), which are differences to class 0; writes them to `belief` (K, n) with `keeps`, and adds
    their differences to `splat` (M + 1, K - 1). Without `message` the beliefs are those of
    the unaries alone. It returns Σ Q (log Q + u), the part of the free energy that lives on pixels.
    """
    return _update_two(d1, d2) if classes == 2 else _update_many(d1, d2, classes - 1)


@cache
def _update_two(d1: int, d2: int) -> Any:
    """`update` for two classes: one number a pixel, in registers."""
    from numba import njit

    @njit(SIGNATURE, cache=True, nogil=True, fastmath=FAST)
    def run(
        u: NDArray[Any],
        offsets1: NDArray[Any],
        weights1: NDArray[Any],
        offsets2: NDArray[Any],
        weights2: NDArray[Any],
        blurred1: NDArray[Any],
        blurred2: NDArray[Any],
        splat1: NDArray[Any],
        splat2: NDArray[Any],
        belief: NDArray[Any],
        message: bool,
        keeps: bool,
    ) -> float:
        one: Any = np.float32(1)
        two: Any = np.float32(2)
        zero: Any = np.float32(0)
        total, masses = 0.0, 1.0
        for n in range(len(u)):
            delta = zero
            if message:
                for r in range(d1 + 1):
                    delta += weights1[n, r] * blurred1[offsets1[n, r], 0]
                for r in range(d2 + 1):
                    delta += weights2[n, r] * blurred2[offsets2[n, r], 0]
            logit = delta - u[n, 0]
            small = math.exp(-abs(logit))
            mass = one + small
            share = (one if logit > 0 else small) / mass
            total += share * delta - max(logit, zero)
            masses *= mass
            if masses > MANY:  # one logarithm for many pixels
                total -= math.log(masses)
                masses = 1.0
            if keeps:
                belief[0, n], belief[1, n] = one - share, share
            x = two * share - one
            for r in range(d1 + 1):
                splat1[offsets1[n, r], 0] += weights1[n, r] * x
            for r in range(d2 + 1):
                splat2[offsets2[n, r], 0] += weights2[n, r] * x
        return total - math.log(masses)

    return run


@cache
def _update_many(d1: int, d2: int, c: int) -> Any:  # noqa: C901 - likewise
    """`update` for c + 1 classes."""
    from numba import njit

    @njit(SIGNATURE, cache=True, nogil=True, fastmath=FAST)
    def run(  # noqa: C901
        u: NDArray[Any],
        offsets1: NDArray[Any],
        weights1: NDArray[Any],
        offsets2: NDArray[Any],
        weights2: NDArray[Any],
        blurred1: NDArray[Any],
        blurred2: NDArray[Any],
        splat1: NDArray[Any],
        splat2: NDArray[Any],
        belief: NDArray[Any],
        message: bool,
        keeps: bool,
    ) -> float:
        one: Any = np.float32(1)
        zero: Any = np.float32(0)
        x = np.empty(c, np.float32)
        delta = np.empty(c, np.float32)
        total, masses = 0.0, 1.0
        for n in range(len(u)):
            highest = zero
            for k in range(c):
                along = zero
                if message:
                    for r in range(d1 + 1):
                        along += weights1[n, r] * blurred1[offsets1[n, r], k]
                    for r in range(d2 + 1):
                        along += weights2[n, r] * blurred2[offsets2[n, r], k]
                delta[k] = along
                x[k] = along - u[n, k]
                highest = max(highest, x[k])
            base: Any = math.exp(-highest)
            mass: Any = base
            for k in range(c):
                x[k] = math.exp(x[k] - highest)
                mass += x[k]
            share = one / mass
            base *= share
            total -= highest
            masses *= mass
            if masses > MANY:  # one logarithm for many pixels
                total -= math.log(masses)
                masses = 1.0
            if keeps:
                belief[0, n] = base
            for k in range(c):
                x[k] *= share
                total += x[k] * delta[k]
                if keeps:
                    belief[k + 1, n] = x[k]
                x[k] -= base
            for r in range(d1 + 1):
                vertex, weight = offsets1[n, r], weights1[n, r]
                for k in range(c):
                    splat1[vertex, k] += weight * x[k]
            for r in range(d2 + 1):
                vertex, weight = offsets2[n, r], weights2[n, r]
                for k in range(c):
                    splat2[vertex, k] += weight * x[k]
        return total - math.log(masses)

    return run


@cache
def blur(c: int) -> Any:
    """Kernel that blurs c channels along one direction of a lattice, with taps ½, 1, ½.

    ``blur(c)(source, target, forward, backward)``: rows are vertices, and one more of 0.
    """
    from numba import njit

    @njit("void(f4[:,::1], f4[:,::1], u4[::1], u4[::1])", cache=True, nogil=True, fastmath=True)
    def run(
        source: NDArray[Any], target: NDArray[Any], forward: NDArray[Any], backward: NDArray[Any]
    ) -> None:
        half = np.float32(0.5)
        for n in range(len(forward)):
            for k in range(c):
                both = source[forward[n], k] + source[backward[n], k]
                target[n, k] = source[n, k] + half * both

    return run


@cache
def gather(c: int) -> Any:
    """Kernel that adds up what the threads splatted, and clears it for the next pass.

    ``gather(c)(parts, target)``: `parts` (threads, M + 1, c), `target` (M + 1, c).
    """
    from numba import njit

    @njit("void(f4[:,:,::1], f4[:,::1])", cache=True, nogil=True, fastmath=True)
    def run(parts: NDArray[Any], target: NDArray[Any]) -> None:
        zero = np.float32(0)
        for n in range(len(target)):
            for k in range(c):
                total = zero
                for part in range(len(parts)):
                    total += parts[part, n, k]
                    parts[part, n, k] = zero
                target[n, k] = total

    return run


@cache
def weigh(c: int) -> Any:
    """Kernel that multiplies blurred values by a weight, and tells what the pairs contribute.

    ``weigh(c)(splat, blurred, weight)`` returns (Σ_k D_k·K D_k, e·K e), e = Σ_k D_k, without the weight.
    """
    from numba import njit

    @njit("UniTuple(f8, 2)(f4[:,::1], f4[:,::1], f4)", cache=True, nogil=True, fastmath=True)
    def run(splat: NDArray[Any], blurred: NDArray[Any], weight: float) -> tuple[float, float]:
        own: Any = 0.0
        all_: Any = 0.0
        for n in range(len(splat)):
            sums, blurs = np.float32(0), np.float32(0)
            for k in range(c):
                own += splat[n, k] * blurred[n, k]
                sums += splat[n, k]
                blurs += blurred[n, k]
                blurred[n, k] *= weight
            all_ += sums * blurs
        return own, all_

    return run
