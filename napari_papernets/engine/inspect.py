"""Look inside: the feature maps of every level of a network for a part of an image."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..core.errors import InputError
from ..core.events import Event, Started
from ..core.image import ImageBlock
from ..core.predict_settings import PredictSettings
from ..core.results import LevelMaps
from ..core.tiles import Region, Tile, plan_tiles
from ..networks import UNet
from ..networks.build import draw
from .device import pick_device
from .models import ModelLike, load_model
from .provenance import versions
from .tiling import open_source

MAX_GIGABYTES = 1.5  # of float32 maps that are kept and handed over

Box = tuple[float, float, float, float]


def inspect(
    image: ImageBlock,
    model: ModelLike,
    settings: PredictSettings | None = None,
    *,
    device: str = "auto",
    region: Region | None = None,
    plane: tuple[int, ...] = (),
    random_weights: bool = False,
) -> Generator[Event, None, LevelMaps]:
    """Feature maps of every level for a region of one plane, in float32.

    Parameters
    ----------
    image : ImageBlock
        Any axes.
    model : str, Path, ModelRef or nn.Module
        A U-Net.
    settings : PredictSettings, optional
        `zoom` (1 where automatic) and `channels` are used.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to run.
    region : (y0, y1, x0, x1), optional
        Pixels to look at; all by default.
    plane : tuple of int
        Index along the stack axes.
    random_weights : bool
        The control: the same network with freshly drawn weights (seed 0). What looks alike in both
        was not learnt.

    Yields
    ------
    Event
        Started.

    Returns
    -------
    LevelMaps
        Maps cropped to the region (to whole map pixels), and the pixels of the image they cover.

    Raises
    ------
    InputError
        If the region is too large to keep all maps in memory, or the model is no U-Net.
    """
    loaded, settings = load_model(model), settings or PredictSettings()
    if not isinstance(loaded.network, UNet):
        raise InputError("model", loaded.spec.architecture, "choose a U-Net to look inside of")
    channels = loaded.spec.pick_channels(image, settings.channels)
    zoom = settings.zoom or 1.0
    source = open_source(image, plane, channels, loaded.spec.normalisation, zoom)
    scaled = _scale_region(region, image.plane_shape, source.shape)
    tile = plan_tiles(source.shape, loaded.spec.size_rule, region=scaled).tiles[0]
    _check_memory(tile, loaded.spec.values_per_pixel)
    yield Started(1, "tile", "one pass over the region")
    target = pick_device(device)
    network = draw(loaded.spec, 0).eval() if random_weights else loaded.network
    maps = _run(network, source.read(tile.y.read, tile.x.read), target)
    cropped: dict[str, NDArray[np.float32]] = {}
    boxes: dict[str, Box] = {}
    for name, level in maps.items():
        cropped[name], box = crop_map(level, tile, scaled)
        y0, y1, x0, x1 = (edge / zoom for edge in box)
        boxes[name] = (y0, y1, x0, x1)
    facts = dict(
        verb="inspect", model=loaded.spec.name, weights_sha256=loaded.sha256, plane=list(plane),
        region=list(region) if region else None, zoom=zoom,
        random_weights=random_weights, device=str(target), versions=versions(),
    )  # fmt: skip
    return LevelMaps(cropped, boxes, facts)


def crop_map(level: NDArray[np.float32], tile: Tile, region: Region) -> tuple[NDArray[np.float32], Box]:
    """Cut a map to the pixels that touch `region`.

    Parameters
    ----------
    level : ndarray of float32, shape (C, y, x)
        The map of the whole window; unpadded convolutions cut its margin evenly on both sides.
    tile : Tile
        The window that was read.
    region : (y0, y1, x0, x1)
        Wanted pixels of the plane.

    Returns
    -------
    ndarray, shape (C, y', x')
        The part of the map.
    (y0, y1, x0, x1)
        Pixels of the plane that it covers.
    """
    spans = (tile.y.read, region[:2]), (tile.x.read, region[2:])
    slices, box = [], []
    for size, (read, wanted) in zip(level.shape[1:], spans, strict=True):
        factor = 2 ** round(np.log2((read[1] - read[0]) / size))
        origin = read[0] + ((read[1] - read[0]) - size * factor) / 2
        first = max(0, int((wanted[0] - origin) // factor))
        last = min(size, -int((origin - wanted[1]) // factor))
        slices.append(slice(first, last))
        box += [origin + first * factor, origin + last * factor]
    return np.ascontiguousarray(level[:, slices[0], slices[1]]), (box[0], box[1], box[2], box[3])


def _scale_region(region: Region | None, shape: tuple[int, int], zoomed: tuple[int, int]) -> Region:
    y0, y1, x0, x1 = region or (0, shape[0], 0, shape[1])
    fy, fx = zoomed[0] / shape[0], zoomed[1] / shape[1]
    top, left = int(y0 * fy), int(x0 * fx)
    return (
        top,
        max(top + 1, min(zoomed[0], round(y1 * fy))),
        left,
        max(left + 1, min(zoomed[1], round(x1 * fx))),
    )


def _check_memory(tile: Tile, values_per_pixel: float) -> None:
    height, width = tile.y.read[1] - tile.y.read[0], tile.x.read[1] - tile.x.read[0]
    needed = height * width * values_per_pixel * 4 / 1e9
    if needed > MAX_GIGABYTES:
        mend = "zoom in so that fewer pixels are in view"
        raise InputError("region", f"{height}×{width} pixels ({needed:.1f} GB of maps)", mend)


@torch.inference_mode()
def _run(
    network: nn.Module, window: NDArray[np.float32], device: torch.device
) -> dict[str, NDArray[np.float32]]:
    maps: dict[str, Tensor] = {}
    network.to(device)
    try:
        maps["logits"] = network(torch.from_numpy(window)[None].to(device), maps)
    finally:
        network.to("cpu")
    return {name: level[0].float().cpu().numpy() for name, level in maps.items()}
