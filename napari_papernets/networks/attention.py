"""Attention of a Vision Transformer from its queries and keys, row by row.

All rows of one block of a 1024² image with patches of 14 pixels would take 720 MB, those of all blocks
8 GB; so rows are made when they are asked for, and sums over them in pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

CHUNK = 2**24  # numbers of attention held at a time


def attention_rows(queries: Tensor, keys: Tensor) -> Tensor:
    """A = softmax(q kᵀ / √D_h), equation 6 of the paper's appendix.

    Parameters
    ----------
    queries : Tensor, shape (..., heads, R, D / heads)
        Of the tokens that look: all, or some.
    keys : Tensor, shape (..., heads, T, D / heads)
        Of all tokens.

    Returns
    -------
    Tensor, shape (..., heads, R, T)
        Every row sums to 1.
    """
    scale = queries.shape[-1] ** -0.5
    return torch.softmax((queries.float() * scale) @ keys.float().transpose(-2, -1), dim=-1)


def rollout(blocks: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """What the class token has gathered from where: attention rollout (Abnar & Zuidema, ACL 2020, arXiv
    2005.00928), Ã = ½(Ā_L + I) … ½(Ā_1 + I), with Ā the mean over the heads.

    Parameters
    ----------
    blocks : iterable of (queries, keys), each of shape (heads, T, D / heads)
        From the last block to the first.

    Returns
    -------
    Tensor, shape (T,), float32
        The row of the class token; it sums to 1.
    """
    row: Tensor | None = None
    for queries, keys in blocks:
        if row is None:
            row = torch.zeros(keys.shape[-2], device=keys.device)
            row[0] = 1
        gathered = torch.zeros_like(row)
        for rows, part in _chunks(queries, keys):
            gathered += row[rows] @ part.mean(0)
        row = (row + gathered) / 2
    if row is None:
        raise ValueError("no blocks")
    return row


def mean_distance(queries: Tensor, keys: Tensor, grid: tuple[int, int], prefix: int) -> Tensor:
    """Mean attention distance of every head (the paper's appendix D.7), in patches.

    The distance between the looking patch and each patch, weighted by attention and averaged over all
    looking patches. The class token and registers have no place: what is paid to them is left out,
    and the rest weighs as 1.

    Parameters
    ----------
    queries, keys : Tensor, shape (heads, prefix + N, D / heads)
        Of one block.
    grid : (int, int)
        Patches along Y and X.
    prefix : int
        Tokens before the patches.

    Returns
    -------
    Tensor, shape (heads,), float32
    """
    y, x = torch.meshgrid(*(torch.arange(float(n)) for n in grid), indexing="ij")
    places = torch.stack([y.ravel(), x.ravel()], dim=1).to(keys.device)  # (N, 2)
    total = torch.zeros(len(keys), device=keys.device)
    for rows, part in _chunks(queries[:, prefix:], keys):
        between = torch.cdist(places[rows], places)  # (R, N)
        patches = part[:, :, prefix:]
        total += ((patches * between).sum(-1) / patches.sum(-1).clamp(min=1e-12)).sum(-1)
    return total / len(places)


def _chunks(queries: Tensor, keys: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Rows of attention (heads, R, T), a few at a time."""
    heads, tokens = keys.shape[0], keys.shape[-2]
    step = max(1, CHUNK // (heads * tokens))
    for start in range(0, queries.shape[-2], step):
        rows = slice(start, min(start + step, queries.shape[-2]))
        yield rows, attention_rows(queries[:, rows], keys)
