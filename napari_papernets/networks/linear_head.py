"""Last layers that are linear in maps, so that they can be fitted to single pixels in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.tiles import SizeRule

SCALE = 8.0  # features are divided by it, so that weights of a fitted head are about 1


class Pointwise(nn.Conv2d):
    """A 1×1 convolution with few outputs.

    Where the input lies channel by channel it is a product of matrices for each image, in a tenth of the
    time: a convolution would first lay the input out anew.
    """

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, kernel_size=1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, out_channels, H, W)."""
        if not x.is_contiguous():
            return super().forward(x)
        weight = self.weight.flatten(1)
        found = torch.stack([weight @ image.flatten(1) for image in x]).unflatten(2, x.shape[2:])
        return found if self.bias is None else found + self.bias[:, None, None]


class LinearHead(nn.Module):
    """A linear layer on one map or several.

    Parameters
    ----------
    channels : sequence of int
        Of each map.
    classes : int
        K.

    Attributes
    ----------
    scales : Tensor, shape (number of maps,)
        What each map is multiplied by before a head is fitted to it: how much it is trusted.
    """

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.channels, self.classes = tuple(channels), classes
        self.weights = nn.ModuleList(Pointwise(c, classes, bias=not n) for n, c in enumerate(channels))
        self.register_buffer("scales", torch.ones(len(self.channels)))

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Logits (B, K, H, W) of every pixel of the window."""
        raise NotImplementedError

    def gather(self, maps: list[Tensor], points: Tensor) -> Tensor:
        """Features of single pixels, as a head is fitted to them.

        Parameters
        ----------
        maps : list of Tensor, shape (1, C, h, w)
            As `forward` takes them.
        points : Tensor, shape (N, 2), int64
            Row and column in the window.

        Returns
        -------
        Tensor, shape (N, F), float32
        """
        raise NotImplementedError

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


class ReadableNetwork(nn.Module):
    """A network that hands out the maps which its last, linear layer reads.

    Attributes
    ----------
    in_channels, classes : int
        Channels of the input; K.
    size_rule : SizeRule
        Which windows it takes.
    head : LinearHead
        ``network(x)`` equals ``network.head(network.read(x))``.
    """

    in_channels: int
    classes: int
    size_rule: SizeRule
    head: LinearHead

    def read(self, x: Tensor) -> list[Tensor]:
        """The maps, (B, C, h, w) each, of a window (B, in_channels, H, W) of a valid size."""
        raise NotImplementedError


def sample(maps: list[Tensor], scales: Tensor, grid: Tensor, align_corners: bool) -> Tensor:
    """Scaled features (N, F), float32, at the places `grid` (N, 2) of maps (1, C, h, w).

    Places are x and y in −1…1, as `torch.nn.functional.grid_sample` has them.
    """
    places = grid[None, :, None]  # (1, N, 1, 2)
    columns = [
        scale
        * F.grid_sample(m.float(), places, padding_mode="border", align_corners=align_corners)[
            0, :, :, 0
        ].T
        for m, scale in zip(maps, scales, strict=True)
    ]
    return torch.cat(columns, dim=1) / SCALE
