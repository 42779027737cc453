"""Pictures of tokens and of a network's embedding, as arrays; free of Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.feature_maps import FeatureMaps, Patch
from ..core.results import EmbeddingView
from ..core.token_math import Basis
from .colour_tables import colour_table

GAP = 1  # pixels between the pictures of a mosaic
SHOWN_POSITIONS = 7  # along each side, as in the paper's figure


@dataclass(frozen=True, eq=False)
class Looks:
    """What was made of tokens beside the window.

    Attributes
    ----------
    maps : FeatureMaps
        The tokens.
    basis : Basis
        That the colours are drawn in.
    colours : ndarray of float32, shape (gy, gx, 3)
        0…1; black where a token was told not to belong to the foreground.
    clusters : ndarray of int32, shape (gy, gx)
        1…k.
    count : int
        k, as asked for.
    """

    maps: FeatureMaps
    basis: Basis
    colours: NDArray[np.float32]
    clusters: NDArray[np.int32]
    count: int


def make_looks(maps: FeatureMaps, basis: Basis | None, foreground: bool, count: int) -> Looks:
    """Colours and groups of the tokens of one plane.

    Parameters
    ----------
    maps : FeatureMaps
        Of one plane; a stack axis of length 1 may lead.
    basis : Basis, optional
        Of another image, to draw in; otherwise one is fitted to these tokens.
    foreground : bool
        Divide foreground from background by the first component, and colour the foreground only.
    count : int
        k.
    """
    tokens = maps.tokens.reshape(*maps.grid, -1)
    flat = tokens.reshape(-1, tokens.shape[-1])
    mask = np.ones(len(flat), bool)
    if foreground:
        from ..core.token_math import foreground_of

        mask = foreground_of(flat)
    if basis is None or basis.components.shape[1] != flat.shape[1]:
        basis = maps.fit_basis(foreground=foreground)
    colours = basis.colours(tokens) * mask.reshape(*maps.grid, 1)
    return Looks(maps, basis, colours, maps.clusters(count).reshape(maps.grid), count)


def similarity_picture(
    maps: FeatureMaps, positive: Sequence[Patch], negative: Sequence[Patch]
) -> NDArray[np.float32]:
    """Similarity to clicks, (gy, gx)."""
    return maps.similarity_to(positive, negative, plane=first_plane(maps))


def attention_picture(maps: FeatureMaps, place: Patch | None, head: int | None) -> NDArray[np.float32]:
    """Attention of a head, or of their mean, (gy, gx) of whole patches; of the class token for None.

    `place` is a token of the grid of `maps`, whatever its density.
    """
    y, x = patch_of(maps, place)
    row = maps.attention(y, x, head, first_plane(maps))
    return row if head is not None else row.mean(0)


def heads_picture(maps: FeatureMaps, place: Patch | None) -> NDArray[np.uint8]:
    """Attention of all heads side by side, each in its own contrast, (H, W, 3)."""
    y, x = patch_of(maps, place)
    rows = maps.attention(y, x, None, first_plane(maps))
    return mosaic([heat(row) for row in rows])


def patch_of(maps: FeatureMaps, place: Patch | None) -> tuple[int | None, int | None]:
    """The whole patch that a token lies on."""
    return (place[0] // maps.density, place[1] // maps.density) if place is not None else (None, None)


def first_plane(maps: FeatureMaps) -> tuple[int, ...]:
    """Index of the only plane of `maps`."""
    return (0,) * len(maps.stack_shape)


def filters_picture(view: EmbeddingView) -> NDArray[np.uint8]:
    """Principal components of the filters side by side, zero in the middle grey."""
    shown = view.filters[..., :3] if view.filters.shape[-1] >= 3 else view.filters[..., :1].repeat(3, -1)
    largest = np.abs(shown).max((1, 2, 3), keepdims=True)
    return mosaic(list(((shown / largest + 1) * 127.5).round().astype(np.uint8)), columns=7)


def positions_picture(view: EmbeddingView) -> NDArray[np.uint8]:
    """Similarity of position embeddings as in the paper: where each small picture lies is the patch,
    and what it shows is its likeness to all others."""
    side = len(view.positions)
    chosen = np.unique(np.linspace(0, side - 1, min(side, SHOWN_POSITIONS)).round().astype(int))
    pictures = [heat(view.positions[i, j], -1, 1) for i in chosen for j in chosen]
    return mosaic(pictures, columns=len(chosen))


def beside(learnt: NDArray[np.uint8], random: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """A picture, and to its right that of random weights where there is one."""
    if random is None:
        return learnt
    gap = np.full((len(learnt), 4 * GAP, 3), 255, np.uint8)
    return np.concatenate([learnt, gap, random], axis=1)


def heat(
    values: NDArray[np.floating], low: float | None = None, high: float | None = None
) -> NDArray[np.uint8]:
    """Values as colours from dark blue to yellow, (H, W, 3)."""
    low = float(values.min()) if low is None else low
    high = float(values.max()) if high is None else high
    at = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    return colour_table("viridis")[np.rint(at * 255).astype(np.uint8)]


def mosaic(pictures: Sequence[NDArray[np.uint8]], columns: int | None = None) -> NDArray[np.uint8]:
    """Pictures (h, w, 3) of one size in rows, white between them."""
    columns = columns or int(np.ceil(np.sqrt(len(pictures))))
    rows = -(-len(pictures) // columns)
    height, width = pictures[0].shape[:2]
    whole = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        y, x = number // columns * (height + GAP), number % columns * (width + GAP)
        whole[y : y + height, x : x + width] = picture
    return whole
