"""Pictures and groups of tokens: principal components, cosine similarity, k-means. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.float32]

PERCENTILES = 1.0, 99.0  # of a component: what becomes 0 and 1
ITERATIONS = 50  # of k-means, at most


@dataclass(frozen=True, eq=False)
class Basis:
    """Principal components of some tokens, and how they become colours.

    Attributes
    ----------
    mean : ndarray, shape (D,)
        Of the tokens.
    components : ndarray, shape (n, D)
        Orthonormal, by falling variance.
    low, high : ndarray, shape (n,)
        Scores that become 0 and 1.
    explained : ndarray, shape (n,)
        Share of the variance, 0…1.
    """

    mean: Tokens
    components: Tokens
    low: Tokens
    high: Tokens
    explained: Tokens

    def scores(self, tokens: Tokens) -> Tokens:
        """Tokens (..., D) as coordinates (..., n)."""
        return ((tokens - self.mean) @ self.components.T).astype(np.float32, copy=False)

    def colours(self, tokens: Tokens) -> Tokens:
        """Tokens (..., D) as colours (..., n), 0…1."""
        span = np.maximum(self.high - self.low, 1e-12)
        return np.clip((self.scores(tokens) - self.low) / span, 0, 1).astype(np.float32)


def fit_basis(tokens: Tokens, count: int = 3, chosen: NDArray[np.bool_] | None = None) -> Basis:
    """Principal component analysis.

    Parameters
    ----------
    tokens : ndarray of float32, shape (N, D)
        At least two of them.
    count : int
        n, components.
    chosen : ndarray of bool, shape (N,), optional
        Tokens to fit to; all by default, and where fewer than n + 1 are chosen.

    Notes
    -----
    Signs are free; here the largest entry of each component is positive, so that colours stay the same
    from call to call.
    """
    use = tokens if chosen is None or chosen.sum() <= count else tokens[chosen]
    mean = use.mean(0, dtype=np.float64)
    centred = use - mean.astype(np.float32)
    covariance = (centred.T @ centred).astype(np.float64) / len(use)
    values, vectors = np.linalg.eigh(covariance)
    values, vectors = values[::-1][:count], vectors.T[::-1][:count]
    largest = np.abs(vectors).argmax(1)
    vectors = vectors * np.sign(vectors[np.arange(len(vectors)), largest])[:, None]
    components = vectors.astype(np.float32)
    low, high = np.percentile(centred @ components.T, PERCENTILES, axis=0)
    share = values / max(float(np.trace(covariance)), 1e-30)
    parts = (mean, components, low, high, share)
    return Basis(*(np.asarray(p, np.float32) for p in parts))


def foreground_of(tokens: Tokens, flip: bool = False) -> NDArray[np.bool_]:
    """Tokens on the rarer side of the first principal component, as DINOv2's figure 1 divides them.

    Parameters
    ----------
    tokens : ndarray, shape (N, D)
    flip : bool
        Take the other side.

    Returns
    -------
    ndarray of bool, shape (N,)
    """
    score = fit_basis(tokens, 1).scores(tokens)[:, 0]
    side = score > otsu(score)
    rarer = side if side.mean() <= 0.5 else ~side
    return ~rarer if flip else rarer


def otsu(values: NDArray[np.floating]) -> float:
    """The threshold that divides values into two groups of least variance (Otsu 1979), in 256 bins; of
    equally good ones, as between two hills far apart, the middle; where all are alike, that value."""
    if values.min() == values.max():
        return float(values.min())
    counts, edges = np.histogram(values, 256)
    centres = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    best = np.nanmax(between[:-1])
    return float(centres[:-1][between[:-1] >= best * (1 - 1e-9)].mean())


def unit(tokens: Tokens) -> Tokens:
    """Tokens (..., D) of length 1."""
    length = np.linalg.norm(tokens, axis=-1, keepdims=True)
    return tokens / np.maximum(length, 1e-12)


def similarity(
    tokens: Tokens, positive: Sequence[int], negative: Sequence[int] = ()
) -> NDArray[np.float32]:
    """How alike every token is to some, and unlike to others.

    Parameters
    ----------
    tokens : ndarray, shape (N, D)
    positive, negative : sequence of int
        Tokens that were clicked; one positive at least.

    Returns
    -------
    ndarray of float32, shape (N,)
        The highest cosine to a positive token, −1…1; minus the highest to a negative one, where there
        is one, halved so that it stays in −1…1.
    """
    length_one = unit(tokens)
    near = (length_one @ length_one[list(positive)].T).max(1)
    if not negative:
        return near.astype(np.float32)
    far = (length_one @ length_one[list(negative)].T).max(1)
    return ((near - far) / 2).astype(np.float32)


def k_means(tokens: Tokens, count: int, seed: int = 0) -> NDArray[np.int32]:
    """Groups of tokens by the direction they point in: k-means on unit vectors, k-means++ start.

    Parameters
    ----------
    tokens : ndarray, shape (N, D)
    count : int
        k; at most N.
    seed : int
        The same seed gives the same groups.

    Returns
    -------
    ndarray of int32, shape (N,)
        1…k, by falling size of the group.
    """
    points = unit(tokens).astype(np.float32)
    centres = _spread(points, min(count, len(points)), np.random.default_rng(seed))
    groups = np.full(len(points), -1)
    for _ in range(ITERATIONS):
        nearest = (points @ centres.T - (centres**2).sum(1) / 2).argmax(1)
        if np.array_equal(nearest, groups):
            break
        groups = nearest
        for number in range(len(centres)):
            members = points[groups == number]
            if len(members):
                centres[number] = members.mean(0)
    order = np.argsort(-np.bincount(groups, minlength=len(centres)), kind="stable")
    rank = np.empty(len(centres), np.int32)
    rank[order] = np.arange(1, len(centres) + 1)
    return rank[groups]


def _spread(points: Tokens, count: int, rng: np.random.Generator) -> Tokens:
    """Centres far from each other: each is drawn by its squared distance to those there are."""
    centres = [points[rng.integers(len(points))]]
    distance = np.full(len(points), np.inf)
    for _ in range(count - 1):
        distance = np.minimum(distance, ((points - centres[-1]) ** 2).sum(1))
        total = float(distance.sum())
        chances = distance / total if total > 0 else None
        centres.append(points[rng.choice(len(points), p=chances)])
    return np.stack(centres)
