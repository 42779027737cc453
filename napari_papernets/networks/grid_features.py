"""Features of the pixels of an image, between which a Gaussian kernel tells how alike they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, eq=False)
class GridFeatures:
    """Features of the pixels of an image: position and, for a bilateral kernel, channels.

    Attributes
    ----------
    image : ndarray, shape (*space, C)
        Channels last. Of any real type; C may be 0.
    sigmas : tuple of float
        σ of each coordinate in pixels, fastest axis (x) first.
    sigma_channels : float
        σ of the channels, in their own unit.
    """

    image: NDArray[Any]
    sigmas: tuple[float, ...]
    sigma_channels: float = 1.0

    @property
    def extents(self) -> tuple[int, ...]:
        """Pixels along each coordinate, x first."""
        return tuple(reversed(self.image.shape[:-1]))

    @property
    def pixels(self) -> int:
        return math.prod(self.extents)

    @property
    def dimensions(self) -> int:
        return self.image.ndim - 1 + self.image.shape[-1]

    def channels(self, pixels: slice) -> NDArray[np.float32]:
        """Channels of some pixels in units of their σ, shape (n, C), contiguous."""
        flat = self.image.reshape(self.pixels, -1)[pixels]
        return np.ascontiguousarray(flat.astype(np.float32) / np.float32(self.sigma_channels))

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Smallest and largest value of every feature."""
        flat = self.image.reshape(self.pixels, -1)
        low = [float(flat[:, c].min()) / self.sigma_channels for c in range(flat.shape[1])]
        high = [float(flat[:, c].max()) / self.sigma_channels for c in range(flat.shape[1])]
        ends = [(n - 1) / s for n, s in zip(self.extents, self.sigmas, strict=True)]
        return np.array([0.0] * len(ends) + low), np.array(ends + high)

    def matrix(self) -> NDArray[np.float32]:
        """All features, shape (N, d)."""
        return self.on(torch.device("cpu")).numpy()

    def on(self, device: torch.device) -> Tensor:
        """All features, shape (N, d), float32, made on a device: only the image itself goes there.

        Divisors are tensors of the device: a number, a GPU would multiply by its rounded inverse, and
        points on the border of two simplices would fall into the other one than on a processor.
        """
        as_is = self.image.dtype in (np.uint8, np.float32)
        image = torch.from_numpy(self.image if as_is else self.image.astype(np.float32)).to(device)
        positions = []
        for axis, sigma in enumerate(reversed(self.sigmas)):
            pixels = torch.arange(image.shape[axis], dtype=torch.float32, device=device)
            along = pixels / pixels.new_tensor(sigma)
            beyond = [1] * (len(self.sigmas) - 1 - axis)
            positions.append(along.view(-1, *beyond).expand(image.shape[:-1]))
        channels = image.float() / torch.tensor(self.sigma_channels, device=device)
        return torch.cat([torch.stack(positions[::-1], -1), channels], -1).flatten(0, -2)
