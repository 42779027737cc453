"""Two views of the same places, made on the device: what MoCo compares.

A view is one resampling of a window: rotation by any angle, mirroring, zoom, shift and elastic
deformation are composed into one field of coordinates, then grey values are changed, channel by channel,
as a microscope would: gain, offset, gamma, focus and noise. There is no colour jitter: grey images stay
grey. All random numbers come from a generator keyed by seed and step, which draws for the whole batch at
once: a training that is taken up again needs no generator's state, and several processes, each of which
takes the numbers of its places, draw what one would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..core.moco_settings import MoCoSettings
from .augment import GRID, keyed_generator

PURPOSE_VIEW = 11
ELASTIC_ROUNDS = 16  # of the fixed point that inverts an elastic deformation
CANDIDATES = 4  # places drawn for each that is needed
MARGIN = 0.92  # places stay within this share of a view


class Dice:
    """Random numbers for some places of a batch.

    Parameters
    ----------
    rng : Generator
        Draws for every place of the batch, whichever are wanted.
    items : sequence of int
        The places that are wanted.
    batch : int
        How many there are.
    """

    def __init__(self, rng: np.random.Generator, items: Sequence[int], batch: int) -> None:
        self._rng, self.items, self.batch = rng, np.asarray(items), batch

    def uniform(self, *shape: int) -> NDArray[np.float64]:
        """Numbers in −1…1, (places, *shape)."""
        return self._rng.uniform(-1, 1, (self.batch, *shape))[self.items]

    def normal(self, *shape: int) -> NDArray[np.float64]:
        """Standard normal numbers, (places, *shape)."""
        return self._rng.normal(0, 1, (self.batch, *shape))[self.items]

    def seed(self) -> int:
        """A seed for all places together."""
        return int(self._rng.integers(2**62))


@dataclass(frozen=True, eq=False)
class Geometry:
    """Where the pixels of a batch of views come from: window = centre + shift + matrix·u + elastic(u).

    Attributes
    ----------
    matrix : Tensor, shape (B, 2, 2)
        Acts on (x, y).
    shift : Tensor, shape (B, 2)
        (x, y) in pixels of the window.
    elastic : Tensor, shape (B, 2, side, side)
        Displacement (x, y) of every pixel of the view.
    """

    matrix: Tensor
    shift: Tensor
    elastic: Tensor

    @property
    def side(self) -> int:
        return self.elastic.shape[-1]

    def forward(self, u: Tensor) -> Tensor:
        """Points (B, P, 2) of the view, in pixels from its centre, to pixels from the window's."""
        return u @ self.matrix.mT + self.shift[:, None] + self._displacement(u)

    def inverse(self, x: Tensor) -> Tensor:
        """Points of the window to points of the view; undoes `forward` to a tenth of a pixel."""
        back = torch.linalg.inv_ex(self.matrix).inverse.mT  # does not wait for a GPU, as `inv` does
        u = (x - self.shift[:, None]) @ back
        for _ in range(ELASTIC_ROUNDS):
            u = (x - self.shift[:, None] - self._displacement(u)) @ back
        return u

    def _displacement(self, u: Tensor) -> Tensor:
        """Elastic displacement at points (B, P, 2), bilinear."""
        grid = (u * (2 / (self.side - 1)))[:, :, None]  # (B, P, 1, 2)
        found = F.grid_sample(self.elastic, grid, padding_mode="border", align_corners=True)
        return found[..., 0].mT

    def halves(self) -> tuple[Geometry, Geometry]:
        """Of the first and of the last half of the views."""
        parts = (t.chunk(2) for t in (self.matrix, self.shift, self.elastic))
        first, second = zip(*parts, strict=True)
        return Geometry(*first), Geometry(*second)

    def sample(self, windows: Tensor) -> Tensor:
        """Bilinear values (B, C, side, side) of windows (N, C, S, S), mirrored beyond their border.

        The first N views are of all windows, the next N again.
        """
        line = torch.arange(self.side, device=windows.device) - (self.side - 1) / 2
        # (B, 2, side): by what a row, and a column, changes x and y of the window
        across = self.matrix[:, :, :1] * line
        down = self.matrix[:, :, 1:] * line + self.shift[:, :, None]
        points = self.elastic + across[:, :, None] + down[..., None]  # (B, 2, side, side)
        grid = points.mul_(2 / (windows.shape[-1] - 1)).permute(0, 2, 3, 1)
        views = [
            F.grid_sample(windows, part, padding_mode="reflection", align_corners=True)
            for part in grid.split(len(windows))
        ]
        return torch.cat(views) if len(views) > 1 else views[0]


def window_side(settings: MoCoSettings) -> int:
    """Side of the windows that views are cut from."""
    reach = settings.crop * (settings.zoom_range * (1.3 if settings.rotate else 1.0) + settings.shift)
    return ceil(reach)


def draw_geometry(dice: Dice, settings: MoCoSettings, device: torch.device) -> Geometry:
    """Random geometry of one view for each place."""
    angle, shift = np.pi * dice.uniform(), dice.uniform(2)
    flip = np.where(dice.uniform() < 0, -1.0, 1.0)
    zoom = settings.zoom_range ** dice.uniform()
    nodes = dice.normal(2, GRID, GRID) * settings.elastic
    if not settings.rotate:
        angle, flip = 0 * angle, np.ones_like(flip)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.stack([np.stack([cos, -sin * flip], -1), np.stack([sin, cos * flip], -1)], -2)
    reach = settings.shift * settings.crop / 2
    spread = bicubic(settings.crop).to(device)  # (side, GRID)
    elastic = spread @ put(nodes, device) @ spread.T
    return Geometry(put(matrix * zoom[:, None, None], device), put(shift * reach, device), elastic)


@lru_cache(maxsize=8)
def bicubic(side: int) -> Tensor:
    """Bicubic interpolation from the nodes of a line to its pixels, corners aligned, (side, GRID).

    Two products with it take a quarter of the time of `interpolate` on a processor.
    """
    nodes = torch.eye(GRID).view(1, GRID, GRID, 1)
    return F.interpolate(nodes, (side, 1), mode="bicubic", align_corners=True)[0, :, :, 0].T.contiguous()


def shared_places(dice: Dice, first: Geometry, second: Geometry, count: int) -> tuple[Tensor, Tensor]:
    """The same random places of the windows in both views, each (B, count, 2), (x, y) in −1…1.

    Only where a window's views share hardly anything a place may come twice.
    """
    device, half = first.shift.device, first.side / 2
    u = put(dice.uniform(CANDIDATES * count, 2), device) * MARGIN * half
    v = second.inverse(first.forward(u))
    seen = v.abs().amax(-1) <= MARGIN * half  # (B, 4·count)
    order = torch.argsort((~seen).to(torch.uint8), dim=1, stable=True)
    number = torch.arange(count, device=device)[None] % seen.sum(1, keepdim=True).clamp(min=1)
    chosen = order.gather(1, number)[..., None].expand(-1, -1, 2)
    return u.gather(1, chosen) / half, v.gather(1, chosen) / half


def change_greys(
    dice: Dice, x: Tensor, grey: NDArray[np.bool_], settings: MoCoSettings, channels: int
) -> Tensor:
    """Random gamma, contrast, brightness, blur and noise.

    Parameters
    ----------
    dice : Dice
        Of these images.
    x : Tensor, shape (B, C, side, side)
        Grey values, about 0…1.
    grey : ndarray of bool, shape (B,)
        Images whose channels are copies of each other, and stay so.
    settings : MoCoSettings
        Strengths.
    channels : int
        Of the network; C is less where all images are grey.
    """
    coloured = ~grey[:, None]

    def spread(strength: float) -> Tensor:
        """A number for each image and channel: a common one, and for colours one of their own."""
        drawn = dice.normal(1 + channels)[:, : 1 + x.shape[1]]
        values = drawn[:, :1] + 0.5 * drawn[:, 1:] * coloured
        return put(values * strength, x.device)[:, :, None, None]

    gamma, contrast, brightness = spread(0.25), spread(0.25), spread(0.1)
    if settings.grey:
        x = x.clamp(0, 2) ** (gamma * settings.grey).exp()
        x = (x - 0.5) * (contrast * settings.grey).exp() + 0.5 + brightness * settings.grey
    sigma = np.maximum(0.0, dice.uniform()) * settings.blur
    if settings.blur:
        x = blur(x, sigma, settings.blur)
    level = np.abs(dice.uniform()) * settings.noise
    if settings.noise:
        x = x + draw_noise(dice, x, grey) * put(level, x.device)[:, None, None, None]
    return x


def draw_noise(dice: Dice, x: Tensor, grey: NDArray[np.bool_]) -> Tensor:
    """Normal noise like `x`; the same for all channels of grey images."""
    generator = torch.Generator(x.device).manual_seed(dice.seed())
    items = torch.from_numpy(dice.items).to(x.device)

    def draw(channels: int) -> Tensor:
        shape = dice.batch, channels, *x.shape[2:]
        return torch.randn(shape, generator=generator, device=x.device)[items]

    noise = draw(1)
    if x.shape[1] == 1:
        return noise
    copies = torch.from_numpy(grey).to(x.device)[:, None, None, None]
    colours = torch.where(copies, noise, draw(x.shape[1] - 1))
    return torch.cat([noise, colours], 1)


def blur(x: Tensor, sigma: NDArray[np.float64], largest: float) -> Tensor:
    """Gaussian blur of each image (B, C, H, W) by its own σ ≤ `largest` (0: left as it is)."""
    radius = ceil(2.5 * largest)
    steps = np.arange(-radius, radius + 1)
    kernels = np.exp(-(steps**2) / (2 * np.maximum(sigma, 1e-3)[:, None] ** 2))
    kernels /= kernels.sum(1, keepdims=True)
    weight = put(kernels, x.device).repeat_interleave(x.shape[1], 0)  # (B·C, 2·radius + 1)
    flat = x.reshape(1, len(weight), *x.shape[2:])
    flat = F.pad(flat, (0, 0, radius, radius), "replicate")
    flat = F.conv2d(flat, weight[:, None, :, None], groups=len(weight))
    flat = F.pad(flat, (radius, radius, 0, 0), "replicate")
    flat = F.conv2d(flat, weight[:, None, None, :], groups=len(weight))
    return flat.view_as(x)


@dataclass(frozen=True, eq=False)
class Views:
    """A batch as `MoCo` takes it: images (B, C, side, side), and places (B, P, 2) for dense contrast."""

    im_q: Tensor
    im_k: Tensor
    places_q: Tensor | None
    places_k: Tensor | None

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(t for t in (self.im_q, self.im_k, self.places_q, self.places_k) if t is not None)


def draw_views(
    windows: Tensor, grey: NDArray[np.bool_], settings: MoCoSettings, step: int, items: Sequence[int]
) -> Views:
    """Two views of each window (B, C, S, S), and where the same places lie in both.

    Parameters
    ----------
    windows : Tensor, shape (B, C, S, S), float32
        Grey values, about 0…1, on the device.
    grey : ndarray of bool, shape (B,)
        Windows whose channels are copies of each other.
    settings : MoCoSettings
        Strengths, and the seed.
    step : int
        From 0.
    items : sequence of int
        Place of each window in the batch.
    """
    rng = keyed_generator(settings.seed, PURPOSE_VIEW, step)
    second = [settings.batch + item for item in items]
    both = Dice(rng, [*items, *second], 2 * settings.batch)  # all first views, then all second ones
    geometry = draw_geometry(both, settings, windows.device)
    images = geometry.sample(windows[:, :1] if grey.all() else windows)
    images = change_greys(both, images, np.tile(grey, 2), settings, windows.shape[1])
    im_q, im_k = (
        views.expand(-1, windows.shape[1], -1, -1).contiguous(memory_format=torch.channels_last)
        for views in images.chunk(2)
    )
    if settings.contrast == "image":
        return Views(im_q, im_k, None, None)
    dice = Dice(rng, items, settings.batch)
    return Views(im_q, im_k, *shared_places(dice, *geometry.halves(), settings.places))


def put(array: NDArray[np.float64], device: torch.device) -> Tensor:
    """An array as float32 on the device."""
    return torch.from_numpy(array.astype(np.float32)).to(device)
