"""The layers of the Vision Transformer's encoder (equations 2 and 3, and appendix A of the paper)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .linear import fast_linear

EPSILON = 1e-6  # of every LayerNorm, as in all public checkpoints


@dataclass(eq=False)
class Inside:
    """What `VisionTransformer.read` keeps of a forward pass.

    Attributes
    ----------
    grid : (int, int)
        Patches along Y and X.
    prefix : int
        Tokens before the patches: the class token and the registers.
    tokens : dict of int to Tensor, shape (B, prefix + N, D)
        z_l by l = 1…L, before the last norm.
    queries, keys : dict of int to Tensor, shape (B, heads, prefix + N, D / heads)
        Of block l, before they are multiplied.
    """

    grid: tuple[int, int]
    prefix: int
    tokens: dict[int, Tensor] = field(default_factory=dict)
    queries: dict[int, Tensor] = field(default_factory=dict)
    keys: dict[int, Tensor] = field(default_factory=dict)


class PatchEmbedding(nn.Module):
    """x_p E: patches of P×P pixels mapped to D channels; a convolution of stride P is the same."""

    def __init__(self, in_channels: int, dim: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(in_channels, dim, kernel_size=patch_size, stride=patch_size)

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) of whole patches to (B, D, H/P, W/P)."""
        return self.proj(x)


class Block(nn.Module):
    """Equations 2 and 3."""

    def __init__(
        self, dim: int, heads: int, mlp_dim: int, layer_scale: bool = False, qkv_bias: bool = True
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=EPSILON)
        self.attn = Attention(dim, heads, qkv_bias)
        self.ls1 = LayerScale(dim) if layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=EPSILON)
        self.mlp = MLP(dim, mlp_dim)
        self.ls2 = LayerScale(dim) if layer_scale else nn.Identity()

    def forward(self, z: Tensor, inside: Inside | None = None, number: int = 0) -> Tensor:
        """z_l (B, T, D) of z_{l-1}; queries and keys are put into `inside` under `number`."""
        z = z + self.ls1(self.attn(self.norm1(z), inside, number))
        return z + self.ls2(self.mlp(self.norm2(z)))


class Attention(nn.Module):
    """Multi-head self-attention, appendix A of the paper; the matrix A is never held as a whole."""

    def __init__(self, dim: int, heads: int, qkv_bias: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, z: Tensor, inside: Inside | None = None, number: int = 0) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        shape = len(z), z.shape[1], 3, self.heads, -1
        q, k, v = fast_linear(z, self.qkv).view(shape).permute(2, 0, 3, 1, 4)  # (B, heads, T, D/heads)
        if inside is not None:
            inside.queries[number], inside.keys[number] = q, k
        attended = F.scaled_dot_product_attention(q, k, v)
        return fast_linear(attended.transpose(1, 2).flatten(2), self.proj)


class MLP(nn.Module):
    """Two layers with a GELU between them."""

    def __init__(self, dim: int, mlp_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, mlp_dim)
        self.fc2 = nn.Linear(mlp_dim, dim)

    def forward(self, z: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return fast_linear(F.gelu(fast_linear(z, self.fc1)), self.fc2)


class LayerScale(nn.Module):
    """A learnt factor for every channel."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, z: Tensor) -> Tensor:
        """(B, T, D) to (B, T, D)."""
        return z * self.gamma
