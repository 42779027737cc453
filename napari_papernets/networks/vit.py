"""Vision Transformer (Dosovitskiy et al., ICLR 2021, arXiv 2010.11929).

The paper's equations, with its symbols (D `dim`, L `depth`, P `patch_size`, N patches)::

    z_0  = [x_class; x_p^1 E; …; x_p^N E] + E_pos          (1)
    z'_l = MSA(LN(z_{l-1})) + z_{l-1},     l = 1…L         (2)
    z_l  = MLP(LN(z'_l)) + z'_l,           l = 1…L         (3)
    y    = LN(z_L^0)                                       (4)

Sizes of the paper's table 1 are `SIZES` (Tiny and Small are those of DeiT, arXiv 2012.12877).

Beyond the paper, as far as public weights need it: a factor for every channel of each residual branch
(layer scale, arXiv 2103.17239), register tokens between class and patches (arXiv 2309.16588), and any
image size, for which the position embeddings are interpolated in two dimensions (section 3.2). There is
no dropout: these networks are used as they were trained. Parameter names are those of the public
checkpoints (timm's).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.checkpoints import IMAGENET_MEAN, IMAGENET_STD
from ..core.errors import InputError
from .encoder import EPSILON, Block, Inside, PatchEmbedding


class Size(NamedTuple):
    """A row of the paper's table 1; the MLP is four times as wide as D."""

    depth: int
    dim: int
    heads: int


SIZES: Mapping[str, Size] = {
    "tiny": Size(12, 192, 3),
    "small": Size(12, 384, 6),
    "base": Size(12, 768, 12),
    "large": Size(24, 1024, 16),
    "huge": Size(32, 1280, 16),
}


class VisionTransformer(nn.Module):
    """The paper's encoder, of any size.

    Parameters
    ----------
    image_size : int
        Side in pixels for which there are position embeddings.
    patch_size : int
        P.
    dim, depth, heads : int
        D, L and the number of heads k.
    mlp_dim : int, optional
        Width of the MLP; 4·D by default.
    in_channels : int
        C.
    classes : int
        K of the linear classification head on y; 0 is no head.
    registers : int
        Register tokens.
    layer_scale : bool
        Whether residual branches have a factor for every channel.
    class_position : bool
        Whether the class token has a position embedding, as in the paper.
    qkv_bias : bool
        Whether queries, keys and values have a bias.
    antialias : bool
        How position embeddings are interpolated, always bicubic: with antialiasing as timm does it, or
        without as DINO, DINOv2 and MAE do.
    mean, std : sequence of float
        Of the grey values 0…1 that the weights were trained with, by channel. Forward passes take what
        `normalise` gives.
    """

    def __init__(
        self,
        image_size: int = 224,
        patch_size: int = 16,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        *,
        mlp_dim: int | None = None,
        in_channels: int = 3,
        classes: int = 0,
        registers: int = 0,
        layer_scale: bool = False,
        class_position: bool = True,
        qkv_bias: bool = True,
        antialias: bool = True,
        mean: Collection[float] = IMAGENET_MEAN,
        std: Collection[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        for name, value in dict(patch_size=patch_size, dim=dim, depth=depth).items():
            if value < 1:
                raise InputError(name, value, "give at least 1")
        if image_size < 1 or image_size % patch_size:
            mend = f"give a multiple of the patch size {patch_size}"
            raise InputError("image_size", image_size, mend)
        if heads < 1 or dim % heads:
            raise InputError("heads", heads, f"give a divisor of dim, which is {dim}")
        mlp_dim = 4 * dim if mlp_dim is None else mlp_dim
        self.options: dict[str, Any] = dict(
            image_size=image_size, patch_size=patch_size, dim=dim, depth=depth, heads=heads,
            mlp_dim=mlp_dim, registers=registers, layer_scale=layer_scale,
            class_position=class_position, qkv_bias=qkv_bias, antialias=antialias,
            mean=list(mean), std=list(std),
        )  # fmt: skip
        self.in_channels, self.classes = in_channels, classes
        self.patch_size, self.dim, self.depth, self.heads = patch_size, dim, depth, heads
        self.side, self.antialias = image_size // patch_size, antialias
        self.patch_embed = PatchEmbedding(in_channels, dim, patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.reg_token = nn.Parameter(torch.zeros(1, registers, dim)) if registers else None
        self.pos_embed = nn.Parameter(torch.zeros(1, class_position + self.side**2, dim))
        self.blocks = nn.ModuleList(
            Block(dim, heads, mlp_dim, layer_scale, qkv_bias) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim, eps=EPSILON)
        self.head = nn.Linear(dim, classes) if classes else None
        channels = (1, -1, 1, 1)
        self.register_buffer("mean", torch.tensor(list(mean)).view(channels), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)).view(channels), persistent=False)
        self.apply(_draw)
        for embedding in (self.cls_token, self.pos_embed, self.reg_token):
            if embedding is not None:
                nn.init.trunc_normal_(embedding, std=0.02)

    @classmethod
    def from_state_dict(
        cls, weights: Mapping[str, Any], heads: int | None = None, **options: Any
    ) -> VisionTransformer:
        """A network of the sizes that a state dict of timm, DINO, DINOv2 or MAE tells; see
        `vit_weights.read_checkpoint` for `heads`, `options`, what is left out, and the errors."""
        from .vit_weights import read_checkpoint

        found, tensors = read_checkpoint(weights, heads, **options)
        network = cls(**found)
        network.load_state_dict(tensors)
        return network.eval()

    @property
    def prefix(self) -> int:
        """Tokens before those of the patches: the class token and the registers."""
        return 1 + self.options["registers"]

    def normalise(self, x: Tensor) -> Tensor:
        """Grey values 0…1 (B, C, H, W) as the weights want them."""
        return (x - self.mean) / self.std

    def forward(self, x: Tensor) -> Tensor:
        """y (B, D), equation 4, or logits (B, classes), of images as for `tokens`."""
        y = self.tokens(x)[:, 0]
        return y if self.head is None else self.head(y)

    def tokens(self, x: Tensor) -> Tensor:
        """The class token and the N patch tokens after the last norm.

        Parameters
        ----------
        x : Tensor, shape (B, C, H, W)
            Normalised images, of any size; at the lower and the right border they are mirrored up to a
            multiple of the patch size.

        Returns
        -------
        Tensor, shape (B, 1 + N, D)
            Patches in reading order; the registers are left out.
        """
        z = self.norm(self._encode(x, None, (), ()))
        return torch.cat([z[:, :1], z[:, self.prefix :]], dim=1) if self.prefix > 1 else z

    def read(self, x: Tensor, tokens: Collection[int] = (), attention: Collection[int] = ()) -> Inside:
        """What is inside of some blocks, counted from 1; those behind the last one are not computed.

        Parameters
        ----------
        x : Tensor, shape (B, C, H, W)
            As for `tokens`.
        tokens, attention : collection of int
            Blocks whose tokens, and whose queries and keys, are kept.

        Raises
        ------
        InputError
            If there is no such block.
        """
        for block in (*tokens, *attention):
            if not 1 <= block <= self.depth:
                raise InputError("block", block, f"the network has blocks 1 to {self.depth}")
        height, width = padded(x.shape[-2:], self.patch_size)
        inside = Inside((height // self.patch_size, width // self.patch_size), self.prefix)
        self._encode(x, inside, tokens, attention)
        return inside

    def positions(self, grid: tuple[int, int]) -> Tensor:
        """Position embeddings of a grid of patches, (1, [1 +] N, D), interpolated in two dimensions."""
        if grid == (self.side, self.side):
            return self.pos_embed
        first = self.pos_embed.shape[1] - self.side**2
        square = self.pos_embed[:, first:].float().unflatten(1, (self.side, self.side))
        wanted = F.interpolate(
            square.permute(0, 3, 1, 2), grid, mode="bicubic", antialias=self.antialias
        )  # (1, D, gy, gx)
        patches = wanted.flatten(2).transpose(1, 2).to(self.pos_embed.dtype)
        return torch.cat([self.pos_embed[:, :first], patches], dim=1)

    def _encode(
        self, x: Tensor, inside: Inside | None, tokens: Collection[int], attention: Collection[int]
    ) -> Tensor:
        z = self._embed(x)
        last = max((*tokens, *attention), default=0) if inside is not None else self.depth
        for number, block in enumerate(self.blocks[:last], start=1):
            kept = inside if number in attention else None
            z = block(z, kept, number)
            if inside is not None and number in tokens:
                inside.tokens[number] = z
        return z

    def _embed(self, x: Tensor) -> Tensor:
        """z_0 (B, prefix + N, D), equation 1."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            mend = f"give (B, {self.in_channels}, H, W)"
            raise InputError("image", f"shape {tuple(x.shape)}", mend)
        x = pad_to_patches(x, self.patch_size).to(self.pos_embed.dtype)
        patches = self.patch_embed(x)  # (B, D, gy, gx)
        grid = patches.shape[-2], patches.shape[-1]
        z = patches.flatten(2).transpose(1, 2)  # (B, N, D)
        position = self.positions(grid)
        first = self.cls_token
        if self.options["class_position"]:
            first, position = first + position[:, :1], position[:, 1:]
        before = [first] if self.reg_token is None else [first, self.reg_token]
        return torch.cat([*(t.expand(len(z), -1, -1) for t in before), z + position], dim=1)


def padded(shape: Collection[int], patch_size: int) -> tuple[int, int]:
    """(H, W) rounded up to whole patches."""
    height, width = (-(-n // patch_size) * patch_size for n in shape)
    return height, width


def pad_to_patches(x: Tensor, patch_size: int) -> Tensor:
    """Images (B, C, H, W) mirrored at the lower and the right border up to whole patches.

    Raises
    ------
    InputError
        If the image is smaller than half a patch, so that there is not enough to mirror.
    """
    height, width = padded(x.shape[-2:], patch_size)
    below, right = height - x.shape[-2], width - x.shape[-1]
    if not below and not right:
        return x
    if below >= x.shape[-2] or right >= x.shape[-1]:
        mend = f"give at least {patch_size} pixels along Y and X, a patch"
        raise InputError("image", f"{x.shape[-2]}×{x.shape[-1]} pixels", mend)
    return F.pad(x, (0, right, 0, below), mode="reflect")


def _draw(module: nn.Module) -> None:
    """Weights as timm and DINO draw them: a normal distribution of 0.02, cut off; biases 0."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
