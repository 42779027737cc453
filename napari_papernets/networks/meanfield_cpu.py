"""Mean field of the fully connected CRF on a processor's cores, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import meanfield_kernels as kernels
from .lattice_cpu import CPULattice, run_all, run_blocks, spans


@dataclass(frozen=True, eq=False)
class Belief:
    """The state after an iteration of mean field.

    Attributes
    ----------
    iteration : int
        0 is the softmax of the unaries alone.
    energy : float
        Variational free energy; see `DenseCRF`.
    q : array of float32, shape (K, N), or None
        Beliefs; the same memory at every iteration. None where they were not asked for.
    """

    iteration: int
    energy: float
    q: Any


@dataclass(frozen=True, eq=False)
class Unaries:
    """−log P, as differences to class 0.

    Attributes
    ----------
    u : ndarray of float32, shape (N, K - 1)
        U_k - U_0 of every pixel.
    base : float
        Σ U_0 over all pixels.
    """

    u: NDArray[np.float32]
    base: float


def unaries_of(probabilities: NDArray[np.float32], smallest: float, threads: int = 1) -> Unaries:
    """Unaries of probabilities (K, N), which count as at least `smallest`; block by block."""
    classes, n = probabilities.shape
    u = np.empty((n, classes - 1), np.float32)

    def part(block: slice) -> float:
        logs = np.log(np.clip(probabilities[:, block], smallest, 1.0))
        u[block] = (logs[0] - logs[1:]).T
        return -float(logs[0].sum(dtype=np.float64))

    return Unaries(u, sum(run_blocks(part, n, threads)))


def mean_field(
    unaries: Unaries,
    lattices: tuple[CPULattice, CPULattice],
    weights: tuple[float, float],
    iterations: int,
    threads: int,
    every: bool = False,
) -> Iterator[Belief]:
    """Mean field, an iteration at a time.

    Parameters
    ----------
    unaries : Unaries
        Of N pixels.
    lattices : two CPULattice
        Of the same pixels.
    weights : two floats
        Of the two kernels.
    iterations : int
        How many, after iteration 0.
    threads : int
        Threads to use.
    every : bool
        Tell the beliefs after each iteration; otherwise only the last ones.

    Yields
    ------
    Belief
        iterations + 1 times.
    """
    state = _State(unaries, lattices, weights, threads)
    for iteration in range(iterations + 1):
        keeps = every or iteration == iterations
        energy = state.update(iteration > 0, keeps) + state.exchange()
        yield Belief(iteration, energy, state.q if keeps else None)


class _State:
    """What is kept from one iteration to the next."""

    def __init__(
        self,
        unaries: Unaries,
        lattices: tuple[CPULattice, CPULattice],
        weights: tuple[float, float],
        threads: int,
    ) -> None:
        n, self._channels = unaries.u.shape
        self._unaries, self._threads = unaries, threads
        self._spans = spans(n, threads)
        self._kernels = [
            _Kernel(lattice, weight, len(self._spans), self._channels)
            for lattice, weight in zip(lattices, weights, strict=True)
        ]
        self.q = np.empty((self._channels + 1, n), np.float32)
        self._run = kernels.update(lattices[0].dimensions, lattices[1].dimensions, self._channels + 1)

    def update(self, message: bool, keeps: bool) -> float:
        """New beliefs from the messages, and their splat; Σ Q (log Q + U)."""
        one, two = self._kernels

        def part(number: int) -> float:
            span = self._spans[number]
            return self._run(
                self._unaries.u[span], one.lattice.offsets[span], one.lattice.weights[span],
                two.lattice.offsets[span], two.lattice.weights[span], one.blurred, two.blurred,
                one.parts[number], two.parts[number], self.q[:, span], message, keeps,
            )  # fmt: skip

        parts = run_all(part, range(len(self._spans)), self._threads)
        return sum(parts) + self._unaries.base

    def exchange(self) -> float:
        """Blur what was splatted; the energy of the pairs."""
        # the larger lattice first: there is one task for each
        order = sorted(self._kernels, key=lambda k: -k.lattice.forward.size)
        return sum(run_all(_Kernel.exchange, order, self._threads))


class _Kernel:
    """The vertices' values of one kernel."""

    def __init__(self, lattice: CPULattice, weight: float, parts: int, channels: int) -> None:
        shape = (lattice.vertices + 1, channels)
        self.lattice, self._weight = lattice, weight
        self.parts = np.zeros((parts, *shape), np.float32)
        self._splat = np.zeros(shape, np.float32)
        self._spare = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.blurred = self._spare[0]

    def exchange(self) -> float:
        channels, alpha = self._splat.shape[1], self.lattice.alpha
        kernels.gather(channels)(self.parts, self._splat)
        self.blurred = self.lattice.blur(self._splat, self._spare)
        own, together = kernels.weigh(channels)(self._splat, self.blurred, self._weight * alpha)
        return pair_energy(self._weight, self.lattice.mass, alpha * own, alpha * together, channels + 1)


def pair_energy(weight: float, mass: float, own: float, together: float, classes: int) -> float:
    """½ w Σ_ij K_ij (1 - Q_i·Q_j), from the differences D_k = Q_k - Q_0.

    Parameters
    ----------
    weight : float
        w of the kernel.
    mass : float
        Σ_ij K_ij.
    own, together : float
        Σ_k D_k·K D_k, and e·K e for e = Σ_k D_k.
    classes : int
        K.
    """
    return 0.5 * weight * (mass - (mass - together) / classes - own)
