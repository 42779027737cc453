"""What of a token tells where its patch lies, and nothing else.

Position embeddings stay readable in all blocks: a few strokes are told apart by where they were painted
as well as by what is seen there, and places look alike because they lie alike. An image of one grey
value has nothing to see: its tokens differ by their place alone, and what they differ by is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from .vit import VisionTransformer

DIRECTIONS = 8
BLANK_SIDE = 16  # patches to a side of the image without anything in it
LEAST_DIM = 32  # numbers of a token for each direction: small networks have little to spare


def direction_count(dim: int) -> int:
    """How many directions to leave out of tokens of this length."""
    return min(DIRECTIONS, dim // LEAST_DIM)


@torch.no_grad()
def position_directions(network: VisionTransformer, block: int, count: int) -> Tensor:
    """The first principal components of the tokens of an image of one grey value.

    Parameters
    ----------
    network : VisionTransformer
        Read on the device where it is.
    block : int
        From 1; the network's last LayerNorm follows.
    count : int
        How many, at most D.

    Returns
    -------
    Tensor, shape (count, D)
        Orthonormal rows.
    """
    side = BLANK_SIDE * network.patch_size
    blank = network.pos_embed.new_full((1, network.in_channels, side, side), 0.5)
    inside = network.read(network.normalise(blank), tokens=(block,))
    tokens = network.norm(inside.tokens[block][0, inside.prefix :]).cpu().double()  # (N, D)
    directions = torch.linalg.svd(tokens - tokens.mean(0), full_matrices=False).Vh
    return directions[:count].to(network.pos_embed)


def without(tokens: Tensor, directions: Tensor) -> Tensor:
    """Tokens (..., D) without what they have along directions (R, D), orthonormal."""
    return tokens - tokens @ directions.mT @ directions
