"""Multi-scale filters, as pixel classifiers use them: brightness, edges and texture at several scales.

For each channel and σ: the smoothed grey value, the length of its gradient, and the two eigenvalues of
its Hessian, larger first (the "basic features" of scikit-image, ilastik's recipe).
"""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor
from torch.nn import functional as F

from .bands import smooth

SIGMAS = (0.7, 1.4, 2.6, 5.1, 10.0)
PER_SIGMA = 4
REACH = ceil(3 * SIGMAS[-1]) + 2  # pixels: the widest kernel, and two differences


def filter_count(channels: int) -> int:
    """Number of features for so many channels."""
    return channels * len(SIGMAS) * PER_SIGMA


def filters(x: Tensor) -> Tensor:
    """Features (B, C·20, H, W), float32, of images (B, C, H, W)."""
    x = x.float()
    return torch.cat([part for sigma in SIGMAS for part in _at_scale(smooth(x, sigma))], dim=1)


def _at_scale(s: Tensor) -> list[Tensor]:
    dy, dx = _slopes(s)
    (yy, xy), (_, xx) = _slopes(dy), _slopes(dx)
    middle, half = (yy + xx) / 2, torch.sqrt(((yy - xx) / 2) ** 2 + xy**2)
    return [s, torch.sqrt(dy**2 + dx**2), middle + half, middle - half]


def _slopes(s: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences along Y and X; the border repeats its values."""
    p = F.pad(s, (1, 1, 1, 1), mode="replicate")
    return (p[:, :, 2:, 1:-1] - p[:, :, :-2, 1:-1]) / 2, (p[:, :, 1:-1, 2:] - p[:, :, 1:-1, :-2]) / 2
