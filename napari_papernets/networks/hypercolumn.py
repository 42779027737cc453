"""A U-Net whose last layer reads several levels at once: hypercolumns (Hariharan et al., CVPR 2015,
arXiv 1411.5752).

The 1×1 convolution of the paper's U-Net sees the last map only. For a few strokes that is too little to
choose from: here it reads the first map of the contracting path, sharp and local, the last three of the
expanding path, each brought to full size by bilinear interpolation, and the grey values themselves
(`bands`). A weighted sum commutes with interpolation, so coarse maps are weighted first and enlarged
afterwards.

A forest may stand beside the network; whoever predicts takes the mean of both (`mixed`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.tiles import SizeRule
from .bands import GreyBands
from .filters import REACH
from .forest import PixelForest, read_sizes
from .unet import Norm, UNet

SCALE = 8.0  # features are divided by it, so that weights of a fitted head are about 1
BANDS = "grey bands"


class HypercolumnUNet(UNet):
    """A padded U-Net with a linear last layer on maps of several levels.

    Parameters
    ----------
    in_channels, classes, width, depth, norm, dropout
        As for `UNet`; ``padding`` is "same".
    forest : mapping, optional
        Sizes of a forest that stands beside the network (`PixelForest.sizes`); none by default.
    """

    def __init__(
        self,
        in_channels: int = 3,
        classes: int = 2,
        width: int = 16,
        depth: int = 4,
        norm: Norm = "batch",
        dropout: float = 0.0,
        forest: Mapping[str, Any] | Sequence[int] = (),
    ) -> None:
        super().__init__(in_channels, classes, width, depth, "same", norm, dropout)
        self.size_rule = with_reach(self.size_rule)
        self.options = dict(width=width, depth=depth, norm=norm, dropout=dropout)
        self.set_forest(PixelForest(classes=classes, **read_sizes(forest)) if forest else None)
        self.levels = ("expand 0", "contract 0", *(f"expand {n}" for n in range(1, min(depth, 3))))
        self.bands = GreyBands(in_channels)
        channels = [width * 2 ** int(name[-1]) for name in self.levels]
        self.head = HypercolumnHead([*channels, self.bands.channels], classes)

    def forward(self, x: Tensor, maps: dict[str, Tensor] | None = None) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W); `maps` as in `UNet.forward`."""
        return self.head(self.read(x, maps))

    def set_forest(self, forest: PixelForest | None) -> None:
        """Put a forest beside the network, or take it away."""
        self.forest: PixelForest | None = forest
        self.options = {**self.options, "forest": forest.sizes if forest is not None else {}}

    def read(self, x: Tensor, maps: dict[str, Tensor] | None = None) -> list[Tensor]:
        """The maps that the last layer reads, (B, C, H/2^l, W/2^l); the first is of full size."""
        maps = {} if maps is None else maps
        x = x[:, : self.in_channels]  # what follows is for the forest
        self.decode(x, maps)
        maps[BANDS] = self.bands(x)
        return [maps[name] for name in (*self.levels, BANDS)]


def with_reach(rule: SizeRule) -> SizeRule:
    """The size rule of a padded U-Net with the context that bands and forest need, if it is more."""
    return replace(rule, context=max(rule.context, ceil(REACH / rule.step) * rule.step))


class HypercolumnHead(nn.Module):
    """A linear layer on maps of several sizes.

    Parameters
    ----------
    channels : sequence of int
        Of each map; the first is of full size.
    classes : int
        K.

    Attributes
    ----------
    scales : Tensor, shape (number of maps,)
        What each map is multiplied by before a head is fitted to it: how much it is trusted.
    """

    def __init__(self, channels: list[int], classes: int) -> None:
        super().__init__()
        self.channels, self.classes = tuple(channels), classes
        self.weights = nn.ModuleList(
            nn.Conv2d(c, classes, kernel_size=1, bias=not n) for n, c in enumerate(channels)
        )
        self.register_buffer("scales", torch.ones(len(channels)))
        for layer in self.weights:
            nn.init.normal_(layer.weight, std=sum(channels) ** -0.5 / SCALE)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Logits (B, K, H, W), of the size of the first map."""
        size = maps[0].shape[-2:]
        total = self.weights[0](maps[0])
        for layer, values in zip(self.weights[1:], maps[1:], strict=True):
            part = layer(values)
            if part.shape[-2:] != size:
                part = F.interpolate(part, size, mode="bilinear", align_corners=False)
            total = total + part
        return total

    @torch.no_grad()
    def set(self, weights: Tensor) -> None:
        """Take over fitted weights (F + 1, K) on the features of `gather`; the last row is the bias."""
        weights, start = weights.to(self.scales.device), 0
        for layer, count, scale in zip(self.weights, self.channels, self.scales, strict=True):
            part = weights[start : start + count].T * scale / SCALE
            layer.weight.copy_(part[:, :, None, None])
            start += count
        self.weights[0].bias.copy_(weights[-1])

    def get(self) -> Tensor:
        """What `set` took, (F + 1, K)."""
        pairs = zip(self.weights, self.scales, strict=True)
        parts = [layer.weight.detach()[:, :, 0, 0].T * SCALE / scale for layer, scale in pairs]
        return torch.cat([*parts, self.weights[0].bias.detach()[None]])


def gather(maps: list[Tensor], scales: Tensor, points: Tensor) -> Tensor:
    """Features of single pixels, as a head is fitted to them.

    Parameters
    ----------
    maps : list of Tensor, shape (1, C, h, w)
        From `HypercolumnUNet.read`.
    scales : Tensor, shape (len(maps),)
        Of the head.
    points : Tensor, shape (N, 2), int64
        Row and column in the first map.

    Returns
    -------
    Tensor, shape (N, F), float32
    """
    height, width = maps[0].shape[-2:]
    size = torch.tensor([width, height], device=points.device)
    grid = ((points.flip(1) + 0.5) / size * 2 - 1)[None, :, None]  # (1, N, 1, 2): x, y in -1…1
    columns = [
        scale * F.grid_sample(m.float(), grid, padding_mode="border", align_corners=False)[0, :, :, 0].T
        for m, scale in zip(maps, scales, strict=True)
    ]
    return torch.cat(columns, dim=1) / SCALE


def mixed(forest: PixelForest | None, probabilities: Tensor, x: Tensor) -> Tensor:
    """The mean of a network's probabilities (B, K, H, W) for `x` (B, C, H, W), and of its forest's.

    Without a forest they stand alone.
    """
    return probabilities if forest is None else (probabilities + forest(x)) / 2
