"""Grey values as soft histograms: the fixed features that a linear layer cannot make by itself.

A linear layer on grey values divides bright from dark; it cannot pick out what lies between. Here every
value is spread over the two nearest of a few bands, so that any piecewise linear function of it becomes
a weighted sum. Values are smoothed at several scales first; the slope of the image is banded likewise.
"""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GREY_SIGMAS, GREY_BANDS = (0.7, 2.0, 5.0), 6
SLOPE_SIGMAS, SLOPE_BANDS = (1.0, 2.5), 4
SLOPE_GAIN, STEEPEST = 20.0, 3.0  # log(1 + gain · slope) of 0…3 is banded


class GreyBands(nn.Module):
    """Bands of smoothed grey values of every channel, and of the slope of their mean; no parameters."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.channels = in_channels * len(GREY_SIGMAS) * GREY_BANDS + len(SLOPE_SIGMAS) * SLOPE_BANDS

    def forward(self, x: Tensor) -> Tensor:
        """Bands of an image (B, C, H, W) of grey values about 0…1: (B, `channels`, H, W), each 0…1."""
        kind = x.dtype
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            grey = x.mean(1, keepdim=True)
            parts = [bands(smooth(x, s), 0.0, 1.0, GREY_BANDS) for s in GREY_SIGMAS]
            parts += [bands(slope(grey, s), 0.0, STEEPEST, SLOPE_BANDS) for s in SLOPE_SIGMAS]
            return torch.cat(parts, dim=1).to(kind)


def bands(values: Tensor, low: float, high: float, count: int) -> Tensor:
    """Weights of the two nearest of `count` equidistant bands, (B, C·count, H, W); they sum to 1."""
    at = (values.clamp(low, high) - low) / (high - low) * (count - 1)
    centres = torch.arange(count, device=values.device, dtype=values.dtype).view(1, 1, -1, 1, 1)
    return (1 - (at[:, :, None] - centres).abs()).clamp(min=0).flatten(1, 2)


def slope(grey: Tensor, sigma: float) -> Tensor:
    """log(1 + gain · σ · |∇|) of a smoothed image (B, 1, H, W)."""
    s = smooth(grey, sigma)
    dy = F.pad(s[:, :, 2:] - s[:, :, :-2], (0, 0, 1, 1))
    dx = F.pad(s[..., 2:] - s[..., :-2], (1, 1))
    return torch.log1p(SLOPE_GAIN * sigma * torch.sqrt(dy**2 + dx**2 + 1e-12))


def smooth(x: Tensor, sigma: float) -> Tensor:
    """Gaussian smoothing that leaves out what lies beyond the border."""
    return _convolve(x, sigma) / _convolve(torch.ones_like(x[:1, :1]), sigma)


def _convolve(x: Tensor, sigma: float) -> Tensor:
    radius, channels = ceil(3 * sigma), x.shape[1]
    steps = torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-(steps**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    down = kernel.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    across = kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    x = F.conv2d(x, down, padding=(radius, 0), groups=channels)
    return F.conv2d(x, across, padding=(0, radius), groups=channels)
