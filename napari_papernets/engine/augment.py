"""Random deformation and grey values: one field of coordinates, sampled once.

Elastic deformation as in Ronneberger et al. 2015, section 3.1 (random displacements on a 3×3 grid,
bicubic to every pixel), rotation, mirroring, zoom and shift are composed into one field, so that the
image is interpolated a single time. A share of crops is only turned by quarter turns and mirrored: a
network that has seen nothing but interpolated images, which are smoother, draws borders wrongly on real
ones (on the membranes of `benchmarks/papers`: V_rand 0.955 without such crops, 0.964 with). All
randomness comes from generators keyed by seed, step and item: a training that is taken up again needs no
generator's state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage

from ..core.tune_settings import TuneSettings

GRID = 3  # nodes of the coarse grid along a side


def keyed_generator(seed: int, purpose: int, step: int = 0, item: int = 0) -> np.random.Generator:
    """A generator whose numbers depend on nothing but its arguments (Philox, counter-based)."""
    return np.random.Generator(np.random.Philox(key=[seed, purpose], counter=[0, 0, item, step]))


@dataclass(frozen=True, eq=False)
class Field:
    """Where the pixels of a crop come from.

    Attributes
    ----------
    y, x : ndarray, shape (side, side), float32
        Coordinates in the plane, in pixels.
    """

    y: NDArray[np.float32]
    x: NDArray[np.float32]

    @property
    def window(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Ranges of rows and columns that interpolation touches; they may leave the plane."""
        rows, columns = ((int(np.floor(c.min())), int(np.floor(c.max())) + 2) for c in (self.y, self.x))
        return rows, columns

    def centre(self, side: int) -> Field:
        """The middle `side`×`side` coordinates: where an unpadded network has its output."""
        cut = (len(self.y) - side) // 2
        middle = slice(cut, cut + side)
        return Field(self.y[middle, middle], self.x[middle, middle])


def plain_field(centre: tuple[float, float], side: int) -> Field:
    """Coordinates of an upright crop of `side` pixels around `centre`, on whole pixels."""
    steps = np.arange(side, dtype=np.float32) - side // 2
    y, x = (np.float32(round(c)) for c in centre)
    return Field(*np.broadcast_arrays(y + steps[:, None], x + steps[None, :]))


def draw_field(
    rng: np.random.Generator, centre: tuple[float, float], side: int, settings: TuneSettings
) -> Field:
    """Draw a crop of `side` pixels around `centre`: deformed, or of the plane's own pixels."""
    if settings.undeformed and rng.random() < settings.undeformed:
        return turn(plain_field(centre, side), rng) if settings.rotate else plain_field(centre, side)
    steps = np.arange(side, dtype=np.float32) - (side - 1) / 2
    y, x = np.meshgrid(steps, steps, indexing="ij")
    matrix = draw_matrix(rng, settings)
    bend_y, bend_x = draw_elastic(rng, side, settings.elastic)
    return Field(
        np.float32(centre[0]) + matrix[0, 0] * y + matrix[0, 1] * x + bend_y,
        np.float32(centre[1]) + matrix[1, 0] * y + matrix[1, 1] * x + bend_x,
    )


def turn(field: Field, rng: np.random.Generator) -> Field:
    """The same coordinates, after one of the eight quarter turns and mirror images."""
    turns, flip = int(rng.integers(4)), int(rng.integers(2))
    y, x = (np.ascontiguousarray(np.rot90(c[:, :: 1 - 2 * flip], turns)) for c in (field.y, field.x))
    return Field(y, x)


def draw_matrix(rng: np.random.Generator, settings: TuneSettings) -> NDArray[np.float32]:
    """Rotation by any angle, mirroring and zoom (uniform in its logarithm), shape (2, 2)."""
    angle, flip, zoom = rng.uniform(0, 2 * np.pi), rng.integers(2), rng.uniform(-1, 1)
    matrix = np.eye(2)
    if settings.rotate:
        matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix[:, 1] *= 1 - 2 * flip
    return (matrix / settings.zoom_range**zoom).astype(np.float32)


def draw_elastic(rng: np.random.Generator, side: int, sigma: float) -> NDArray[np.float32]:
    """Displacements (y, x) of every pixel, shape (2, side, side): 3×3 Gaussians, made smooth."""
    nodes = torch.from_numpy(rng.normal(0, sigma or 1.0, (1, 2, GRID, GRID)).astype(np.float32))
    if not sigma:
        return np.zeros((2, side, side), np.float32)
    return F.interpolate(nodes, (side, side), mode="bicubic", align_corners=True)[0].numpy()


def sample_image(window: NDArray[np.float32], field: Field) -> torch.Tensor:
    """Bilinear values of a window of the plane (the field's own), shape (C, side, side)."""
    (y0, y1), (x0, x1) = field.window
    y = (field.y - y0) * (2 / max(y1 - 1 - y0, 1)) - 1
    x = (field.x - x0) * (2 / max(x1 - 1 - x0, 1)) - 1
    grid = torch.from_numpy(np.stack([x, y], axis=-1))[None]
    source = torch.from_numpy(np.ascontiguousarray(window))[None]
    return F.grid_sample(source, grid, padding_mode="border", align_corners=True)[0]


def sample_nearest(window: NDArray[Any], field: Field) -> NDArray[Any]:
    """Nearest values of a window of the plane, shape (side, side)."""
    (y0, _), (x0, _) = field.window
    rows = np.rint(field.y).astype(np.intp) - y0
    columns = np.rint(field.x).astype(np.intp) - x0
    return window[rows, columns]


def change_greys(rng: np.random.Generator, image: torch.Tensor, settings: TuneSettings) -> torch.Tensor:
    """Random brightness, contrast, gamma, blur and noise; colours and polarity too.

    Parameters
    ----------
    rng : Generator
        From `keyed_generator`.
    image : Tensor, shape (C, H, W), float32
        About 0…1.
    settings : TuneSettings
        `grey` is the strength, `invert` the share of inverted crops.
    """
    strength = settings.grey
    contrast, gamma = np.exp(rng.normal(0, (0.35 * strength, 0.4 * strength)))
    brightness = rng.normal(0, 0.15 * strength)
    blurred, noisy, inverted = rng.random(3)
    if strength:
        image = image.clamp(0, 2) ** float(gamma)
        image = (image - 0.5) * float(contrast) + 0.5 + float(brightness)
        if len(image) > 1:
            image = change_colours(rng, image, strength)
        if blurred < 0.3:
            image = blur(image, rng.uniform(0, 3.0 * strength))
        if noisy < 0.5:
            noise = rng.standard_normal(tuple(image.shape), np.float32)
            image = image + torch.from_numpy(noise) * float(rng.uniform(0, 0.15 * strength))
    return 1 - image if inverted < settings.invert else image


def change_colours(rng: np.random.Generator, image: torch.Tensor, strength: float) -> torch.Tensor:
    """Random saturation, from grey to stronger, and a small change of each channel."""
    grey = image.mean(0, keepdim=True)
    saturation = float(np.clip(1 + rng.normal(0, 0.6 * strength), 0, 2))
    gains = np.exp(rng.normal(0, 0.15 * strength, (len(image), 1, 1))).astype(np.float32)
    shifts = rng.normal(0, 0.06 * strength, (len(image), 1, 1)).astype(np.float32)
    image = grey + (image - grey) * saturation
    return image * torch.from_numpy(gains) + torch.from_numpy(shifts)


def blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian blur of each channel, σ in pixels."""
    return torch.from_numpy(ndimage.gaussian_filter(image.numpy(), (0, sigma, sigma), truncate=3))
