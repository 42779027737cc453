"""A Vision Transformer under a linear last layer, so that strokes can be learnt from in seconds.

The last layer reads patch tokens of a block three quarters up, brought to full size by bilinear
interpolation, and the grey values themselves (`bands`): tokens say what a place is, grey values where it
ends. Tokens are finer than patches where the image is enlarged before it is divided into patches. It is
then looked at in overlapping windows, so that the network meets about as many patches at once as it was
trained with.

What of the tokens tells of the place in the window alone is left out (`positions`). What the neighbours
of a token have in common and what it has beyond them are read apart, each at one length: side by side in
one token the former, which is most of it, would outweigh what tells a thing from its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import InputError
from ..core.model import ModelSpec
from ..core.tiles import SizeRule
from .bands import GreyBands, smooth
from .forested import Forested
from .hypercolumn import HypercolumnHead
from .positions import direction_count, position_directions, without
from .vit import VisionTransformer

VIT_PAPER = (
    "Dosovitskiy et al.: An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale. "
    "ICLR 2021, arXiv 2010.11929"
)

CONTEXT = 4  # patches around what a window answers for: attention is global, so more is never exact
LARGEST = 48  # patches to a side of what a window answers for
# What a fit of the last layer multiplies them by: some hundred numbers a token, alike within a patch,
# explain a few strokes by themselves, and then say little of other places.
BANDS_TRUSTED, TOKENS_TRUSTED = 1.0, 0.3
NEIGHBOURS = 1.5  # σ in tokens of what counts as neighbours
LEAST = 0.05  # of a token's length: what is shorter is rounding rather than seen
# Numbers held at the peak of a block for each channel of a token: the residual, its norm, what is added
# to it, and twice the MLP's hidden layer, before and after the GELU.
VALUES_OF_TOKEN = 3 + 2 * 4


class ViTSegmenter(Forested):
    """A Vision Transformer that gives classes of pixels.

    Parameters
    ----------
    in_channels : int
        Channels of the image.
    classes : int
        K.
    density : int
        Tokens for each patch along Y and X: by how much the image is enlarged.
    positions : int
        Directions of tokens, found by `find_positions`, that are left out; not more than D.
    neighbours : float
        σ, in tokens, within which neighbours are averaged, to be read apart from what a token has beyond
        them; 0 leaves tokens whole.
    conv : bool
        Put two 3×3 convolutions between tokens and last layer, to be trained by steps: the small
        convolutional head.
    forest : mapping
        As for `HypercolumnUNet`.
    **options
        Of `VisionTransformer`.
    """

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 2,
        density: int = 1,
        conv: bool = False,
        positions: int = 0,
        neighbours: float = 0.0,
        forest: Mapping[str, Any] | Sequence[int] = (),
        **options: Any,
    ) -> None:
        super().__init__()
        self.in_channels, self.classes, self.density = in_channels, classes, density
        self.vit = VisionTransformer(in_channels=in_channels, **options)
        self.neighbours = neighbours
        self.options = dict(
            self.vit.options, density=density, conv=conv, positions=positions, neighbours=neighbours
        )
        self.make_forest(forest, classes)
        self.size_rule = vit_rule(self.vit.patch_size)
        self.block = three_quarters(self.vit.depth)
        self.bands = GreyBands(in_channels)
        dim = self.vit.dim
        if not 0 <= positions <= dim:
            raise InputError("positions", positions, f"give 0 to {dim}, the length of a token")
        if not neighbours >= 0:
            raise InputError("neighbours", neighbours, "give 0 or a σ in tokens")
        self.positions: Tensor | None
        self.register_buffer("positions", torch.zeros(positions, dim) if positions else None)
        self.conv = ConvolutionalNeck(dim) if conv else None
        parts = 2 if neighbours else 1
        maps = [dim] * parts + ([ConvolutionalNeck.WIDTH] if conv else [])
        self.head = HypercolumnHead([self.bands.channels, *maps], classes)
        self.head.scales.fill_(TOKENS_TRUSTED)
        self.head.scales[0] = BANDS_TRUSTED
        self.head.scales[1 : 1 + parts] /= parts**0.5  # together as one whole token

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, K, H, W) of grey values about 0…1, (B, in_channels, H, W), of whole patches."""
        return self.head(self.read(x))

    def read(self, x: Tensor) -> list[Tensor]:
        """The maps that the last layer reads: grey bands (B, C, H, W), then tokens of length √D,
        (B, D, density · H/P, density · W/P), in two maps where neighbours are read apart."""
        x = x[:, : self.in_channels]  # what follows is for the forest
        tokens = self._tokens(x)
        maps = [self.bands(x), *apart(tokens, self.neighbours)]
        if self.conv is not None:
            maps.append(self.conv(tokens))
        return maps

    def find_positions(self) -> None:
        """Find the directions that tell of nothing but the place, for the weights that there are now."""
        if self.positions is not None:
            self.positions.copy_(position_directions(self.vit, self.block, len(self.positions)))

    def part(self, name: Literal["all", "decoder", "head"]) -> Iterable[nn.Module]:
        """What to train: everything; the convolutions, or the last block that is read, and the head;
        the head."""
        last: nn.Module = self.conv if self.conv is not None else self.vit.blocks[self.block - 1]
        parts: dict[str, list[nn.Module]] = {
            "all": [self], "decoder": [last, self.vit.norm, self.head], "head": [self.head],
        }  # fmt: skip
        return parts[name]

    def _tokens(self, x: Tensor) -> Tensor:
        """(B, D, gy, gx)."""
        patch, density = self.vit.patch_size, self.density
        x = x.float().clamp(0, 1)
        if density > 1:
            x = F.interpolate(x, scale_factor=density, mode="bicubic").clamp(0, 1)
        x = self.vit.normalise(x)
        rows, columns = (list(windows(n // patch)) for n in x.shape[-2:])
        bands = [torch.cat([self._window(x, row, col) for col in columns], dim=3) for row in rows]
        return torch.cat(bands, dim=2)

    def _window(self, x: Tensor, row: Window, column: Window) -> Tensor:
        """Tokens of the patches that a window answers for."""
        patch = self.vit.patch_size
        seen = x[..., scaled(row.seen, patch), scaled(column.seen, patch)]
        return self._pass(seen)[..., row.kept, column.kept]

    def _pass(self, x: Tensor) -> Tensor:
        inside = self.vit.read(x, tokens=(self.block,))
        z = self.vit.norm(inside.tokens[self.block][:, inside.prefix :])  # (B, N, D)
        if self.positions is not None:
            z = without(z, self.positions.to(z.dtype))
        return at_one_length(z.transpose(1, 2).unflatten(2, inside.grid))


def at_one_length(tokens: Tensor, least: float = 0.0) -> Tensor:
    """Tokens (B, D, gy, gx) of length √D: some are far longer, and would outweigh others in a fit.

    Those shorter than a fraction `least` of it are in proportion.
    """
    length = tokens.shape[1] ** 0.5
    eps = max(least * length, 1e-12)
    return (F.normalize(tokens.float(), dim=1, eps=eps) * length).to(tokens.dtype)


def apart(tokens: Tensor, sigma: float) -> list[Tensor]:
    """What tokens (B, D, gy, gx) have beyond their neighbours, and what these have in common, each of
    length √D; the tokens themselves where σ is 0."""
    if not sigma:
        return [tokens]
    near = smooth(tokens, sigma)
    return [at_one_length(tokens - near, LEAST), at_one_length(near)]


class ConvolutionalNeck(nn.Module):
    """Two 3×3 convolutions on the tokens, which may tell a place by its neighbours."""

    WIDTH = 64

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(dim, self.WIDTH, 3, padding=1), nn.GELU(),
            nn.Conv2d(self.WIDTH, self.WIDTH, 3, padding=1), nn.GELU(),
        )  # fmt: skip

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, D, gy, gx) to (B, 64, gy, gx)."""
        return self.layers(tokens)


@dataclass(frozen=True)
class Window:
    """Patches along one side: those that a window sees, those that it answers for, and where among those
    that it sees these are."""

    seen: slice
    answer: slice

    @property
    def kept(self) -> slice:
        return slice(self.answer.start - self.seen.start, self.answer.stop - self.seen.start)


def windows(count: int) -> Iterator[Window]:
    """Cover so many patches with windows of about equal size.

    >>> [(w.seen, w.answer) for w in windows(50)]
    [(slice(0, 29, None), slice(0, 25, None)), (slice(21, 50, None), slice(25, 50, None))]
    """
    pieces = -(-count // LARGEST)
    edges = [n * count // pieces for n in range(pieces + 1)]
    for start, stop in pairwise(edges):
        yield Window(slice(max(0, start - CONTEXT), min(count, stop + CONTEXT)), slice(start, stop))


def scaled(patches: slice, size: int) -> slice:
    """Pixels of a range of patches."""
    return slice(patches.start * size, patches.stop * size)


def three_quarters(depth: int) -> int:
    """The block whose tokens a last layer reads: later ones serve what the encoder was trained for."""
    return max(1, round(0.75 * depth))


def vit_rule(patch: int) -> SizeRule:
    """Windows of whole patches; what lies further away than the context is not seen by a tile."""
    return SizeRule("same", step=patch, context=CONTEXT * patch, minimum=patch)


def vit_spec(name: str, network: VisionTransformer, **about: Any) -> ModelSpec:
    """Description of an encoder, which has no classes yet; `about` holds further fields of ModelSpec."""
    return ModelSpec(
        name=name,
        architecture="vit",
        options=network.options,
        in_channels=network.in_channels,
        classes=(),
        size_rule=vit_rule(network.patch_size),
        task="features",
        values_per_pixel=token_values(network.options) + network.in_channels,
        exact_tiles=False,
        **{"paper": VIT_PAPER, **about},
    )


def token_values(options: Mapping[str, Any]) -> float:
    """Numbers that a block holds at its peak for each pixel."""
    return VALUES_OF_TOKEN * options["dim"] / options["patch_size"] ** 2


def with_linear_head(spec: ModelSpec, density: int = 1, conv: bool = False) -> ModelSpec:
    """Description of a segmenter, for the classes of `spec`, on the encoder that it describes."""
    bands = GreyBands(spec.in_channels).channels
    added = ("density", "conv", "positions", "neighbours", "forest")
    own = {k: v for k, v in spec.options.items() if k not in added}
    head = dict(density=density, conv=conv, positions=direction_count(own["dim"]), neighbours=NEIGHBOURS)
    return replace(
        spec,
        architecture="vit_segmenter",
        options={**own, **head},
        values_per_pixel=token_values(own) * density**2 + 2 * bands + 3 * len(spec.classes),
    )
