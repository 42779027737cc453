"""The answer of `features`: tokens on their grid, and what can be told from them without a network."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import InputError
from .image import Range
from .token_math import Basis, fit_basis, foreground_of, k_means, similarity

Patch = tuple[int, int]
"""Row and column of a grid."""


@dataclass(frozen=True, eq=False)
class WindowAttention:
    """Queries and keys of one block for one window of a plane; attention does not leave it.

    Attributes
    ----------
    queries, keys : ndarray of float32, shape (heads, prefix + n, D / heads)
        Of the class token, the registers, and the n patches of the window; read-only.
    rows, columns : (start, stop)
        Patches of the grid that the window holds; it may reach beyond the grid on every side.
    answers : ((start, stop), (start, stop))
        Those of them, along Y and X, that it answers for.
    prefix : int
        Tokens before the patches.
    """

    queries: NDArray[np.float32]
    keys: NDArray[np.float32]
    rows: Range
    columns: Range
    answers: tuple[Range, Range]
    prefix: int

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along Y and X."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    def row(self, token: int, heads: slice | int = slice(None)) -> NDArray[np.float32]:
        """Attention of a token to all tokens of the window, ([heads,] prefix + n); it sums to 1."""
        q, k = self.queries[heads, token], self.keys[heads]
        logits = (k @ (q * q.shape[-1] ** -0.5)[..., None])[..., 0]
        weights = np.exp(logits - logits.max(-1, keepdims=True))
        return (weights / weights.sum(-1, keepdims=True)).astype(np.float32, copy=False)


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """Answer of ``features``: the patch tokens of one block.

    Grids are in reading order: the patch in row i and column j of a grid covers the pixels
    ``origin + (i, j) · cell`` to ``origin + (i + 1, j + 1) · cell``.

    Attributes
    ----------
    tokens : ndarray of float32, shape (*stack, N, D)
        Patch tokens after the last LayerNorm, N = grid[0] · grid[1].
    class_token : ndarray of float32, shape (*stack, D)
        y of the paper's equation 4, after that block; the mean over windows where there are several.
    grid : (int, int)
        Tokens along Y and X.
    patch : int
        P, side of a patch in pixels.
    density : int
        Tokens for each patch along each axis.
    origin : (int, int)
        Pixel (y, x) of the plane where the grid begins.
    block, depth, heads : int
        The block that was read, from 1; L; and the number of heads.
    windows : tuple of tuple of WindowAttention
        For each plane, where attention was asked for. Their grid has one token for each patch.
    rollout : ndarray of float32, shape (*stack, gy, gx), or None
        Attention rollout of the class token for each patch (density 1), where summaries were asked for;
        in every window its values and what class token and registers keep sum to 1.
    distances : ndarray of float32, shape (L, heads), or None
        Mean attention distance in pixels of every head, of the first plane.
    provenance : mapping
        As in `Prediction`.
    """

    tokens: NDArray[np.float32]
    class_token: NDArray[np.float32]
    grid: tuple[int, int]
    patch: int
    density: int
    origin: tuple[int, int]
    block: int
    depth: int
    heads: int
    windows: tuple[tuple[WindowAttention, ...], ...] = ()
    rollout: NDArray[np.float32] | None = None
    distances: NDArray[np.float32] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def cell(self) -> float:
        """Side of a token's square in pixels."""
        return self.patch / self.density

    @property
    def stack_shape(self) -> tuple[int, ...]:
        return self.tokens.shape[:-2]

    @property
    def patch_grid(self) -> tuple[int, int]:
        """Whole patches along Y and X: the grid at density 1."""
        return self.grid[0] // self.density, self.grid[1] // self.density

    def of_plane(self, plane: Sequence[int] = ()) -> NDArray[np.float32]:
        """Tokens of one plane, shape (N, D).

        Raises
        ------
        InputError
            If there is no such plane.
        """
        return self.tokens[self._number(plane)]

    def patch_at(self, y: float, x: float) -> Patch:
        """Row and column of the token whose square holds a pixel of the plane.

        Raises
        ------
        InputError
            If the pixel lies outside.
        """
        row, column = (int((v - o) // self.cell) for v, o in zip((y, x), self.origin, strict=True))
        return self._check((row, column), self.grid)

    def similarity(self, y: int, x: int, plane: Sequence[int] = ()) -> NDArray[np.float32]:
        """Cosine similarity (gy, gx) of every token to the one in row `y`, column `x` of the grid."""
        return self.similarity_to([(y, x)], plane=plane)

    def similarity_to(
        self, positive: Sequence[Patch], negative: Sequence[Patch] = (), plane: Sequence[int] = ()
    ) -> NDArray[np.float32]:
        """How alike every token is to the positive ones and unlike the negative ones; see
        `token_math.similarity`.

        Returns
        -------
        ndarray of float32, shape (gy, gx)
            −1…1.

        Raises
        ------
        InputError
            If a patch lies outside, or there is no positive one.
        """
        if not positive:
            raise InputError("positive", "none", "give the row and column of one patch at least")
        positive, negative = (
            [self._check(place, self.grid) for place in places] for places in (positive, negative)
        )
        flat = [[y * self.grid[1] + x for y, x in places] for places in (positive, negative)]
        return similarity(self.of_plane(plane), *flat).reshape(self.grid)

    def fit_basis(
        self, plane: Sequence[int] | None = None, foreground: bool = False, count: int = 3
    ) -> Basis:
        """Principal components of the tokens of one plane, or of all.

        Parameters
        ----------
        plane : sequence of int, optional
            One plane; all by default.
        foreground : bool
            Fit to the rarer side of the first component only (DINOv2, figure 1).
        count : int
            Components.
        """
        dim = self.tokens.shape[-1]
        tokens = self.tokens.reshape(-1, dim) if plane is None else self.of_plane(plane)
        return fit_basis(tokens, count, foreground_of(tokens) if foreground else None)

    def pca_rgb(self, basis: Basis | None = None) -> NDArray[np.float32]:
        """The first three principal components as red, green and blue.

        Parameters
        ----------
        basis : Basis, optional
            Of other images, to compare with them; by default that of all tokens here.

        Returns
        -------
        ndarray of float32, shape (*stack, gy, gx, 3)
            0…1.
        """
        colours = (basis or self.fit_basis()).colours(self.tokens)
        return colours.reshape(*self.stack_shape, *self.grid, -1)

    def clusters(self, count: int, seed: int = 0) -> NDArray[np.int32]:
        """Groups 1…`count` of tokens by k-means over all planes, shape (*stack, gy, gx)."""
        flat = self.tokens.reshape(-1, self.tokens.shape[-1])
        return k_means(flat, count, seed).reshape(*self.stack_shape, *self.grid)

    def attention(
        self,
        y: int | None = None,
        x: int | None = None,
        head: int | None = None,
        plane: Sequence[int] = (),
    ) -> NDArray[np.float32]:
        """What a patch, or the class token, attends to.

        Parameters
        ----------
        y, x : int, optional
            Row and column of a patch (of `patch_grid`); the class token by default.
        head : int, optional
            One head, from 0; all by default.
        plane : sequence of int
            Index along the stack axes.

        Returns
        -------
        ndarray of float32, shape ([heads,] gy, gx)
            Attention to each patch. A row sums to 1 with what is paid to class token and registers;
            patches outside of the window get 0. The class token of a tiled plane is the mean over
            windows that hold a patch.

        Raises
        ------
        InputError
            If attention was not kept, or there is no such patch, head or plane.
        """
        windows = self._windows(plane)
        if head is not None and not 0 <= head < self.heads:
            raise InputError("head", head, f"the network has heads 0 to {self.heads - 1}")
        heads: slice | int = slice(None) if head is None else head
        lead = () if head is not None else (self.heads,)
        total = np.zeros((*lead, *self.patch_grid), np.float32)
        counts = np.zeros(self.patch_grid, np.float32)
        for window in windows:
            token = self._token_in(window, y, x)
            if token is None:
                continue
            part = window.row(token, heads)[..., window.prefix :].reshape(*lead, *window.grid)
            (rows, top), (columns, left) = (
                _overlap(span, size)
                for span, size in zip((window.rows, window.columns), self.patch_grid, strict=True)
            )
            total[..., rows, columns] += part[..., top, left]
            counts[rows, columns] += 1
        return (total / np.maximum(counts, 1)).astype(np.float32, copy=False)

    def _token_in(self, window: WindowAttention, y: int | None, x: int | None) -> int | None:
        """Number in a window of the patch, if the window answers for it; 0 for the class token."""
        if y is None or x is None:
            return 0
        self._check((y, x), self.patch_grid)
        (y0, y1), (x0, x1) = window.answers
        if not (y0 <= y < y1 and x0 <= x < x1):
            return None
        return window.prefix + (y - window.rows[0]) * window.grid[1] + x - window.columns[0]

    def _windows(self, plane: Sequence[int]) -> tuple[WindowAttention, ...]:
        if not self.windows:
            mend = "ask for it: FeatureSettings(attention=True)"
            raise InputError("attention", "tokens without attention", mend)
        index = self._number(plane)
        return self.windows[int(np.ravel_multi_index(index, self.stack_shape)) if index else 0]

    def _number(self, plane: Sequence[int]) -> tuple[int, ...]:
        index = tuple(int(i) for i in plane)
        fits = len(index) == len(self.stack_shape)
        if not fits or any(not 0 <= i < n for i, n in zip(index, self.stack_shape, strict=True)):
            mend = f"give an index within {self.stack_shape}"
            raise InputError("plane", index, mend)
        return index

    def _check(self, place: Patch, grid: tuple[int, int]) -> Patch:
        try:
            row, column = (operator.index(v) for v in place)
        except (TypeError, ValueError):
            row = column = -1
        if not (0 <= row < grid[0] and 0 <= column < grid[1]):
            mend = f"give a row and a column, whole numbers within the grid of {grid[0]}×{grid[1]}"
            raise InputError("patch", place, mend)
        return row, column


def _overlap(span: Range, size: int) -> tuple[slice, slice]:
    """What a window's span has of 0…`size`: in the grid, and in the window."""
    start, stop = max(span[0], 0), min(span[1], size)
    return slice(start, stop), slice(start - span[0], stop - span[0])
