"""High-dimensional Gaussian filtering on the permutohedral lattice, in torch.

A. Adams, J. Baek, M. A. Davis. *Fast High-Dimensional Filtering Using the Permutohedral Lattice.*
Eurographics 2010. Conventions are those of Krähenbühl's densecrf, and so of pydensecrf: features in the
order (x, y[, z], channels), each over its σ; α = 1 / (1 + 2^-d); the symmetric normalisation
K ← N K N with N = diag(K1)^-½.

Deviations: vertices are told apart by one 64-bit number that packs their coordinates linearly, so that
the way to a neighbour is a constant; where the ranges are too large for 64 bits, the strides are random
odd numbers, and any two of 10^6 vertices are confused with a probability below 10^-7. Splat and slice
are products with a sparse matrix, and the blur gathers neighbours.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def scale_factors(d: int) -> NDArray[np.float64]:
    """Diagonal of the embedding E (Adams et al., p. 5), for a filter of standard deviation 1.

    Rounded where Krähenbühl's code rounds: one bit elsewhere, and a pixel on the border of two simplices
    may be embedded in the other one, which moves its belief by up to 0.2.
    """
    i = np.arange(d)
    deviation = np.float32(math.sqrt(2 / 3) * (d + 1))
    return (1 / np.sqrt((i + 1.0) * (i + 2.0)) * deviation).astype(np.float32).astype(np.float64)


def alpha_of(d: int) -> float:
    """What splat, blur and slice must be multiplied by."""
    return 1 / (1 + 2.0**-d)


def key_strides(low: NDArray[np.float64], high: NDArray[np.float64]) -> NDArray[np.int64]:
    """Strides that pack the first d coordinates of a vertex into one number.

    Parameters
    ----------
    low, high : ndarray of float, shape (d,)
        Smallest and largest value of every feature.
    """
    d = len(low)
    a, b = low * scale_factors(d), high * scale_factors(d)
    strides, reach = [], 1
    for i in range(d):  # coordinate i of E f is Σ_{j ≥ i} f_j - i f_{i-1}, f scaled
        top = b[i:].sum() - (i * a[i - 1] if i else 0)
        bottom = a[i:].sum() - (i * b[i - 1] if i else 0)
        strides.append(reach)
        reach *= int(top - bottom) + 6 * (d + 1) + 4  # whole simplices and neighbours beyond
    if reach < 2**62:
        return np.array(strides, np.int64)
    return np.random.default_rng(0).integers(2**62, size=d) * 2 + 1


def directions(strides: NDArray[np.int64]) -> NDArray[np.int64]:
    """Packed way from a vertex to its neighbour ahead, along each of the d + 1 directions."""
    d = len(strides)
    with np.errstate(over="ignore"):  # strides may be random: arithmetic modulo 2^64
        back = -strides.sum(dtype=np.int64)
        return np.concatenate([back + (d + 1) * strides, [back]])


class PermutohedralLattice:
    """The lattice of a set of points, on any device of torch.

    Parameters
    ----------
    features : Tensor, shape (N, d), float32 or float64
        Positions in units of the kernel's σ, in the order of the module's head.

    Attributes
    ----------
    offsets : Tensor of int64, shape (N, d + 1)
        Vertices of the simplex of each point.
    weights : Tensor, shape (N, d + 1)
        Barycentric coordinates, without the norm.
    neighbours : Tensor of int64, shape (d + 1, 2, M + 1)
        Of every vertex along every direction; M where there is none, which is its own neighbour.
    norm : Tensor, shape (N,)
        1/√(K1).
    """

    def __init__(self, features: Tensor) -> None:
        strides = key_strides(*(e.double().cpu().numpy() for e in (features.amin(0), features.amax(0))))
        self.dimensions = features.shape[1]
        keys, self.weights = simplices(features, torch.from_numpy(strides).to(features.device))
        ordered, order = keys.flatten().sort(stable=True)
        vertices, counts = torch.unique_consecutive(ordered, return_counts=True)
        numbers = torch.repeat_interleave(counts, output_size=len(order))  # of the sorted corners
        self.offsets = torch.empty_like(order).scatter_(0, order, numbers).view_as(keys)
        self.neighbours = _neighbours(vertices, directions(strides))
        self._splat_matrix, self._slice_matrix = self._matrices(counts, order)
        ones = features.new_ones(len(features), 1)
        self.norm = (self._raw(ones)[:, 0] + 1e-20).rsqrt()
        self.mass = float(self.filter(ones).sum(dtype=torch.float64))

    @property
    def vertices(self) -> int:
        return self.neighbours.shape[2] - 1

    @property
    def nbytes(self) -> int:
        """Of what is kept; the two sparse matrices hold a number and a weight for each corner."""
        return self.offsets.nbytes + 5 * self.weights.nbytes + self.neighbours.nbytes

    def filter(self, values: Tensor) -> Tensor:
        """Σ_j K_ij v_j of the normalised kernel, for values (N, L); differentiable in the values."""
        return _Filter.apply(values, self)

    def _matrices(self, counts: Tensor, order: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Splat (M, N) and slice (N, M) as sparse matrices, where the device has them.

        Parameters
        ----------
        counts : Tensor of int64, shape (M,)
            Corners of simplices that each vertex is.
        order : Tensor of int64, shape (N (d + 1),)
            These corners, vertex by vertex.
        """
        n, corners = self.offsets.shape
        device, vertices = self.offsets.device, len(counts)
        if device.type not in ("cpu", "cuda"):
            return None, None
        index = torch.int32 if len(order) < 2**31 else torch.int64
        rows = torch.arange(0, len(order) + 1, corners, device=device, dtype=index)
        starts = torch.nn.functional.pad(counts.cumsum(0), (1, 0)).to(index)
        flat, weights = self.offsets.flatten().to(index), self.weights.flatten()
        return (
            _sparse(starts, (order // corners).to(index), weights[order], (vertices, n)),
            _sparse(rows, flat, weights, (n, vertices)),
        )

    def _raw(self, values: Tensor, reverse: bool = False) -> Tensor:
        """Splat, blur and slice, without the norm; `reverse` is the transposed filter."""
        lattice = self._blur(self._splat(values), reverse)
        return self._slice(lattice) * alpha_of(self.dimensions)

    def _splat(self, values: Tensor) -> Tensor:
        if self._splat_matrix is not None:
            return self._splat_matrix @ values
        weighted = (self.weights[..., None] * values[:, None]).flatten(0, 1)
        out = values.new_zeros(self.vertices, values.shape[1])
        return out.index_add_(0, self.offsets.flatten(), weighted)

    def _slice(self, lattice: Tensor) -> Tensor:
        if self._slice_matrix is not None:
            return self._slice_matrix @ lattice
        return (self.weights[..., None] * lattice[self.offsets]).sum(1)

    def _blur(self, lattice: Tensor, reverse: bool) -> Tensor:
        values = torch.nn.functional.pad(lattice, (0, 0, 0, 1))  # what is no vertex has the value 0
        for ways in reversed(self.neighbours) if reverse else self.neighbours:
            around = values.index_select(0, ways.flatten()).view(2, *values.shape)
            values = values.add(around.sum(0), alpha=0.5)
        return values[:-1]


def _sparse(rows: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    with warnings.catch_warnings():  # torch says once that the format is young
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(rows, columns, values, shape, check_invariants=False)


class _Filter(torch.autograd.Function):
    """The filter and its transpose."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, lattice: PermutohedralLattice) -> Tensor:
        ctx.lattice = lattice
        norm = lattice.norm[:, None]
        return norm * lattice._raw(norm * values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        norm = ctx.lattice.norm[:, None]
        return norm * ctx.lattice._raw(norm * gradient, reverse=True), None


def simplices(features: Tensor, strides: Tensor) -> tuple[Tensor, Tensor]:
    """The simplex around every point (Adams et al., section 3).

    Parameters
    ----------
    features : Tensor, shape (N, d)
        In units of σ.
    strides : Tensor of int64, shape (d,)
        From `key_strides`.

    Returns
    -------
    Tensor of int64, shape (N, d + 1)
        Packed keys of the vertices, remainder 0 to d.
    Tensor, shape (N, d + 1)
        Barycentric coordinates.
    """
    d = features.shape[1]
    elevated = _elevate(features)  # (N, d + 1)
    nearest = torch.round(elevated / elevated.new_tensor(d + 1))  # a tensor: see GridFeatures.on
    rest = elevated - nearest * (d + 1)
    base, total = nearest.long(), nearest.sum(1).long()
    # position of each coordinate among the others, largest first; of equal ones the later one first
    ahead = rest[:, :, None] < rest[:, None, :]  # (N, i, j): j is ahead of i
    later = torch.ones(d + 1, d + 1, dtype=torch.bool, device=features.device).triu(1)
    rank = torch.where(later, ahead, ~ahead.transpose(1, 2)).masked_fill_(
        torch.eye(d + 1, dtype=torch.bool, device=features.device), False
    )
    place = rank.sum(2) + total[:, None]  # (N, d + 1)
    turn = (place < 0).long() - (place > d).long()
    place, base, rest = place + turn * (d + 1), base + turn, rest - turn * (d + 1)
    parts = torch.zeros_like(rest).scatter_(1, place, rest / (d + 1))
    weights = torch.cat([1 + parts[:, d:] - parts[:, :1], (parts[:, :-1] - parts[:, 1:]).flip(1)], 1)
    steps = torch.nn.functional.pad(strides * (d + 1), (0, 1))
    first = (base * steps).sum(1, keepdim=True)
    ways = torch.zeros_like(base).scatter_(1, place, steps.expand_as(base))
    keys, every = [first], strides.sum()
    for k in range(d, 0, -1):  # `cumsum` along so short rows takes a GPU half of the whole set-up
        keys.append(keys[-1] + every - ways[:, k : k + 1])
    return torch.cat(keys, 1), weights


def _elevate(features: Tensor) -> Tensor:
    """E f: points of R^d on the hyperplane of R^(d + 1) that the lattice tiles."""
    d = features.shape[1]
    along = features * torch.from_numpy(scale_factors(d)).to(features)
    above = torch.zeros_like(along[:, 0])
    columns = []
    for i in range(d, 0, -1):
        columns.append(above - i * along[:, i - 1])
        above = above + along[:, i - 1]
    return torch.stack([above, *reversed(columns)], 1)


def _neighbours(vertices: Tensor, steps: NDArray[np.int64]) -> Tensor:
    """Numbers of the vertices ahead and behind, (d + 1, 2, M + 1); M where there is none."""
    count = len(vertices)
    found = []
    for step in steps.tolist():
        for wanted in (vertices + step, vertices - step):
            at = torch.searchsorted(vertices, wanted).clamp_(max=count - 1)
            found.append(torch.where(vertices[at] == wanted, at, count))
    numbers = torch.stack(found).view(len(steps), 2, count)
    return torch.nn.functional.pad(numbers, (0, 1), value=count)
