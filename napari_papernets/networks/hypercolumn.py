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
from .forest import PixelForest
from .forested import Forested
from .linear_head import SCALE, LinearHead, sample
from .unet import Norm, UNet

BANDS = "grey bands"


class HypercolumnUNet(UNet, Forested):
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
        self.make_forest(forest, classes)
        self.levels = ("expand 0", "contract 0", *(f"expand {n}" for n in range(1, min(depth, 3))))
        self.bands = GreyBands(in_channels)
        channels = [width * 2 ** int(name[-1]) for name in self.levels]
        self.head = HypercolumnHead([*channels, self.bands.channels], classes)

    def forward(self, x: Tensor, maps: dict[str, Tensor] | None = None) -> Tensor:
        """Logits (B, K, H, W) of an image (B, in_channels, H, W); `maps` as in `UNet.forward`."""
        return self.head(self.read(x, maps))

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


class HypercolumnHead(LinearHead):
    """A linear layer on maps of several sizes; the first is of full size."""

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__(channels, classes)
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

    def gather(self, maps: list[Tensor], points: Tensor) -> Tensor:
        """As for `LinearHead`."""
        return gather(maps, self.scales, points)


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
    grid = (points.flip(1) + 0.5) / size * 2 - 1  # (N, 2): x, y in −1…1
    return sample(maps, scales, grid, align_corners=False)


def mixed(forest: PixelForest | None, probabilities: Tensor, x: Tensor) -> Tensor:
    """The mean of a network's probabilities (B, K, H, W) for `x` (B, C, H, W), and of its forest's.

    Without a forest they stand alone.
    """
    return probabilities if forest is None else (probabilities + forest(x)) / 2
