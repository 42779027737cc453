"""An augmented crop as pictures: the image, the target over it, and the weight map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.model import ClassInfo
from ..core.results import AugmentedCrop
from .colour_tables import colour_table

Picture = NDArray[np.uint8]

GRID_COLOUR = (255, 255, 255)
GRID_SHARE, TARGET_SHARE = 0.45, 0.6
THUMB = 84  # side of a small picture, in pixels of the screen
DIM = 0.55  # of the image where the target is unknown
OUTSIDE = 70  # grey around the target of an unpadded network


def image_picture(crop: AugmentedCrop, grid: bool) -> Picture:
    """The image in grey or colour, with the deformed grid over it if asked for.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    return _bytes(_with_grid(_colours_of(crop), crop, grid))


def target_picture(crop: AugmentedCrop, infos: Sequence[ClassInfo], grid: bool) -> Picture:
    """Each class in its colour over the image, which is dim where nothing is annotated.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    shown = _colours_of(crop) * DIM
    window = target_window(crop)
    palette = np.array([hex_to_rgb(info.colour) for info in infos], np.float32) / 255  # (K, 3)
    known = crop.classes >= 0
    part, painted = shown[window], palette[np.where(known, crop.classes, 0) % len(palette)]
    part[known] = (1 - TARGET_SHARE) * part[known] / DIM + TARGET_SHARE * painted[known]
    return _bytes(_with_grid(shown, crop, grid))


def weights_picture(crop: AugmentedCrop) -> Picture:
    """The weight map in magma, black 0 and its highest value lightest; grey where there is none.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    shown = np.full((*crop.image.shape[1:], 3), OUTSIDE, np.uint8)
    highest = float(crop.weights.max()) or 1.0
    levels = np.rint(crop.weights / highest * 255).astype(np.uint8)
    shown[target_window(crop)] = colour_table("magma")[levels]
    return shown


def nothing() -> Picture:
    """Plain grey, where there is no crop yet."""
    return np.full((THUMB, THUMB, 3), OUTSIDE, np.uint8)


def target_window(crop: AugmentedCrop) -> tuple[slice, slice]:
    """Where target and weights lie in the image."""
    cuts = [(a - b) // 2 for a, b in zip(crop.image.shape[1:], crop.classes.shape, strict=True)]
    rows, columns = (slice(c, c + n) for c, n in zip(cuts, crop.classes.shape, strict=True))
    return rows, columns


def hex_to_rgb(colour: str) -> tuple[int, int, int]:
    """0…255 each, of "#RRGGBB"."""
    red, green, blue = bytes.fromhex(colour.lstrip("#")[:6])
    return red, green, blue


def _colours_of(crop: AugmentedCrop) -> NDArray[np.float32]:
    """Grey, or the first three channels as red, green and blue, shape (H, W, 3), 0…1."""
    channels = crop.image[:3]
    if len(channels) == 2:
        channels = np.concatenate([channels, np.zeros_like(channels[:1])])
    planes = np.broadcast_to(channels, (3, *channels.shape[1:]))
    return np.clip(np.moveaxis(planes, 0, -1), 0, 1).astype(np.float32)


def _with_grid(shown: NDArray[np.float32], crop: AugmentedCrop, grid: bool) -> NDArray[np.float32]:
    if grid:
        colour = np.array(GRID_COLOUR, np.float32) / 255
        shown[crop.grid] = (1 - GRID_SHARE) * shown[crop.grid] + GRID_SHARE * colour
    return shown


def _bytes(values: NDArray[Any]) -> Picture:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
