"""Two views of the same places, made on the device: what MoCo compares.

A view is one resampling of a window: rotation by any angle, mirroring, zoom, shift and elastic
deformation are composed into one field of coordinates, then grey values are changed, channel by channel,
as a microscope would: gain, offset, gamma, focus and noise. There is no colour jitter: grey images stay
grey. All random numbers come from generators keyed by seed, step and place in the batch: a training that
is taken up again needs no generator's state, and several processes draw what one would.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ..core.moco_settings import MoCoSettings
from .augment import GRID, keyed_generator

PURPOSE_VIEW = 11
ELASTIC_ROUNDS = 8  # of the fixed point that inverts an elastic deformation
CANDIDATES = 4  # places drawn for each that is needed
MARGIN = 0.92  # places stay within this share of a view


Rngs: TypeAlias = Sequence[np.random.Generator]


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
        back = torch.linalg.inv(self.matrix).mT
        u = (x - self.shift[:, None]) @ back
        for _ in range(ELASTIC_ROUNDS):
            u = (x - self.shift[:, None] - self._displacement(u)) @ back
        return u

    def _displacement(self, u: Tensor) -> Tensor:
        """Elastic displacement at points (B, P, 2), bilinear."""
        grid = (u * (2 / (self.side - 1)))[:, :, None]  # (B, P, 1, 2)
        found = F.grid_sample(self.elastic, grid, padding_mode="border", align_corners=True)
        return found[..., 0].mT

    def sample(self, windows: Tensor) -> Tensor:
        """Bilinear values (B, C, side, side) of windows (B, C, S, S), mirrored beyond their border."""
        side, span = self.side, windows.shape[-1] - 1
        steps = torch.arange(side, device=windows.device) - (side - 1) / 2
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        u = torch.stack([x, y], dim=-1).reshape(1, -1, 2).to(windows.dtype)  # (1, side², 2)
        points = u @ self.matrix.mT + self.shift[:, None] + self.elastic.flatten(2).mT
        grid = (points * (2 / span)).view(-1, side, side, 2)
        return F.grid_sample(windows, grid, padding_mode="reflection", align_corners=True)


def window_side(settings: MoCoSettings) -> int:
    """Side of the windows that views are cut from."""
    reach = settings.crop * (settings.zoom_range * (1.3 if settings.rotate else 1.0) + settings.shift)
    return ceil(reach)


def draw_geometry(rngs: Rngs, settings: MoCoSettings, device: torch.device) -> Geometry:
    """Random geometry of one view for each generator."""
    angle = each(rngs, lambda r: r.uniform(0, 2 * np.pi))
    shift = each(rngs, lambda r: r.uniform(-1, 1, 2))
    flip = each(rngs, lambda r: 1 - 2 * r.integers(2))
    zoom = settings.zoom_range ** each(rngs, lambda r: r.uniform(-1, 1))
    nodes = each(rngs, lambda r: r.normal(0, 1, (2, GRID, GRID))) * settings.elastic
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


def shared_places(rngs: Rngs, first: Geometry, second: Geometry, count: int) -> tuple[Tensor, Tensor]:
    """The same random places of the windows in both views, each (B, count, 2), (x, y) in −1…1.

    Only where a window's views share hardly anything a place may come twice.
    """
    device, half = first.shift.device, first.side / 2
    u = put(each(rngs, lambda r: r.uniform(-MARGIN, MARGIN, (CANDIDATES * count, 2))), device) * half
    v = second.inverse(first.forward(u))
    seen = v.abs().amax(-1) <= MARGIN * half  # (B, 4·count)
    order = torch.argsort((~seen).to(torch.uint8), dim=1, stable=True)
    number = torch.arange(count, device=device)[None] % seen.sum(1, keepdim=True).clamp(min=1)
    chosen = order.gather(1, number)[..., None].expand(-1, -1, 2)
    return u.gather(1, chosen) / half, v.gather(1, chosen) / half


def change_greys(rngs: Rngs, x: Tensor, grey: Tensor, settings: MoCoSettings, channels: int) -> Tensor:
    """Random gamma, contrast, brightness, blur and noise.

    Parameters
    ----------
    rngs : sequence of Generator
        One for each image.
    x : Tensor, shape (B, C, side, side)
        Grey values, about 0…1.
    grey : Tensor, shape (B,), bool
        Images whose channels are copies of each other, and stay so.
    settings : MoCoSettings
        Strengths.
    channels : int
        Of the network; C is less where all images are grey.
    """
    coloured = ~grey.cpu().numpy()[:, None]

    def spread(strength: float) -> Tensor:
        """A number for each image and channel: a common one, and for colours one of their own."""
        drawn = each(rngs, lambda r: r.normal(0, 1, 1 + channels))[:, : 1 + x.shape[1]]
        values = drawn[:, :1] + 0.5 * drawn[:, 1:] * coloured
        return put(values * strength, x.device)[:, :, None, None]

    gamma, contrast, brightness = spread(0.25), spread(0.25), spread(0.1)
    if settings.grey:
        x = x.clamp(0, 2) ** (gamma * settings.grey).exp()
        x = (x - 0.5) * (contrast * settings.grey).exp() + 0.5 + brightness * settings.grey
    sigma = each(rngs, lambda r: max(0.0, r.uniform(-1, 1))) * settings.blur
    if settings.blur:
        x = blur(x, sigma, settings.blur)
    level = each(rngs, lambda r: r.uniform(0, 1)) * settings.noise
    seeds = [int(r.integers(2**62)) for r in rngs]
    if settings.noise:
        x = x + draw_noise(seeds, x, grey) * put(level, x.device)[:, None, None, None]
    return x


def draw_noise(seeds: Sequence[int], x: Tensor, grey: Tensor) -> Tensor:
    """Normal noise like `x`, from a seed for each image; the same for all channels of grey ones."""
    generator, noise = torch.Generator(x.device), torch.empty_like(x)
    for image, seed, same in zip(noise, seeds, grey.tolist(), strict=True):
        generator.manual_seed(seed)
        count = 1 if same else len(image)
        image.copy_(torch.randn((count, *image.shape[1:]), generator=generator, device=x.device))
    return noise


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


def draw_views(
    windows: Tensor, grey: Tensor, settings: MoCoSettings, step: int, items: Sequence[int]
) -> Views:
    """Two views of each window (B, C, S, S), and where the same places lie in both.

    Parameters
    ----------
    windows : Tensor, shape (B, C, S, S), float32
        Grey values, about 0…1, on the device.
    grey : Tensor, shape (B,), bool
        Windows whose channels are copies of each other.
    settings : MoCoSettings
        Strengths, and the seed.
    step : int
        From 0.
    items : sequence of int
        Place of each window in the batch.
    """
    rngs = [keyed_generator(settings.seed, PURPOSE_VIEW, step, item) for item in items]
    source = windows[:, :1] if bool(grey.all()) else windows
    first, second = (draw_geometry(rngs, settings, windows.device) for _ in range(2))
    im_q, im_k = (
        change_greys(rngs, g.sample(source), grey, settings, windows.shape[1])
        .expand(-1, windows.shape[1], -1, -1)
        .contiguous(memory_format=torch.channels_last)
        for g in (first, second)
    )
    if settings.contrast == "image":
        return Views(im_q, im_k, None, None)
    return Views(im_q, im_k, *shared_places(rngs, first, second, settings.places))


def each(rngs: Rngs, draw: Callable[[np.random.Generator], Any]) -> NDArray[np.float64]:
    """What `draw` takes from each generator, stacked."""
    return np.stack([np.asarray(draw(rng), np.float64) for rng in rngs])


def put(array: NDArray[np.float64], device: torch.device) -> Tensor:
    """An array as float32 on the device."""
    return torch.from_numpy(array.astype(np.float32)).to(device)
