"""The verb `patches`: the keys of an encoder for a grid of patches, with thumbnails and a 2-D map."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..core.errors import InputError, ModelError
from ..core.events import Event, Progress, Started
from ..core.image import ImageBlock
from ..core.moco_settings import MoCoSettings
from ..core.model import ModelRef
from ..core.patches import PatchMap
from ..networks.encoder_network import EncoderNetwork
from .augment import keyed_generator
from .device import pick_device
from .models import load_model
from .provenance import versions
from .runner import twin
from .views import Dice, change_greys, draw_geometry, window_side
from .windows import Window, WindowSource, batch_of

PURPOSE_PATCH = 14
BATCH = 64
THUMBNAIL = 40
NEIGHBOURS, FEW = 15, 4  # of UMAP; and patches that it cannot lay out

Place: TypeAlias = tuple[int, int, int, int]  # image, plane, y, x


def patches(
    images: Sequence[ImageBlock],
    model: str | Path | ModelRef,
    *,
    side: int = 64,
    most: int = 1200,
    device: str = "auto",
    seed: int = 0,
    layout: str = "components",
) -> Generator[Event, Any, PatchMap]:
    """Encode patches of images.

    Parameters
    ----------
    images : sequence of ImageBlock
        Any number; of stacks and large images a part is taken.
    model : str, Path or ModelRef
        An encoder that ``pretrain`` made.
    side : int
        Side of a patch in pixels: a multiple of the encoder's step.
    most : int
        Patches in all; the grid is made as fine as that allows, down to half a side.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to compute.
    seed : int
        Of the other view of each patch, and of UMAP.
    layout : {"components", "umap"}
        How keys become a map: their principal components, or UMAP (an extra: umap-learn).

    Yields
    ------
    Event
        `Started`, then `Progress` after every batch.

    Returns
    -------
    PatchMap

    Raises
    ------
    InputError
        If there is no image, the side is none that the encoder takes, or UMAP is not installed.
    ModelError
        If the model is no encoder.
    """
    check_layout(layout)
    loaded = load_model(model)
    network = loaded.network
    if not isinstance(network, EncoderNetwork):
        mend = "choose an encoder that pretrain made"
        raise ModelError("model", f"architecture {loaded.spec.architecture!r}", mend)
    if loaded.spec.size_rule.round_up(side) != side or side < loaded.spec.size_rule.step:
        raise InputError("side", side, f"give a multiple of {loaded.spec.size_rule.step}")
    here = pick_device(device)
    settings = MoCoSettings(crop=side, seed=seed, zoom_range=1.25, elastic=2.0)
    source = WindowSource(images, loaded.spec, window_side(settings), side, seed)
    places = grid(images, side, most)
    yield Started(len(places), "window", f"{len(places)} patches of {len(images)} images")
    parts = []
    network = twin(network).to(here).eval()
    for start in range(0, len(places), BATCH):
        chunk = places[start : start + BATCH]
        parts.append(encode(network, source, chunk, start, settings, here))
        if (yield Progress(start + len(chunk), len(places))) == "stop":
            break
    keys, positives, thumbnails, views = (np.concatenate(p) for p in zip(*parts, strict=True))
    plane_map, explained = principal_components(keys)
    if layout == "umap" and len(keys) > FEW:
        plane_map, explained = umap_of(keys, seed), ()
    provenance = dict(
        verb="patches", model=loaded.spec.name, sha256=loaded.sha256, side=side, versions=versions()
    )
    done = np.array(places[: len(keys)], np.int64).reshape(-1, 4)
    return PatchMap(keys, positives, done, thumbnails, views, plane_map, explained, side, provenance)


def grid(images: Sequence[ImageBlock], side: int, most: int) -> list[Place]:
    """Centres of at most about `most` patches of `side` pixels, evenly over images and planes.

    Raises
    ------
    InputError
        If there is no image.
    """
    if not images:
        raise InputError("images", "none", "give at least one image")
    share = max(1, most // len(images))
    places: list[Place] = []
    for number, image in enumerate(images):
        planes = int(np.prod(image.stack_shape, dtype=np.int64))
        fits = int(np.prod([max(1, 2 * n // side - 1) for n in image.plane_shape]))
        count = min(planes, max(1, share // fits))  # of planes
        chosen = np.unique(np.linspace(0, planes - 1, count).round().astype(int))
        for plane in chosen:
            centres = centres_of(image.plane_shape, side, share // len(chosen))
            places += [(number, int(plane), y, x) for y, x in centres]
    return places


def centres_of(shape: tuple[int, int], side: int, most: int) -> list[tuple[int, int]]:
    """Centres of a grid of at most `most` patches, half a side apart or more."""
    step = side / 2
    while True:
        lines = [_line(n, side, step) for n in shape]
        if len(lines[0]) * len(lines[1]) <= max(1, most) or all(len(line) == 1 for line in lines):
            return [(y, x) for y in lines[0] for x in lines[1]]
        step *= 1.1


def _line(length: int, side: int, step: float) -> list[int]:
    room = max(0, length - side)
    count = int(room / step) + 1
    if count == 1:
        return [length // 2]
    return [round(side / 2 + room * i / (count - 1)) for i in range(count)]


@torch.no_grad()
def encode(
    network: EncoderNetwork,
    source: WindowSource,
    places: Sequence[Place],
    first: int,
    settings: MoCoSettings,
    device: torch.device,
) -> tuple[NDArray[Any], ...]:
    """Keys, keys of other views, thumbnails and thumbnails of other views of some places."""
    batch = batch_of(list(_windows(source, places)))
    windows = batch.on(device)
    margin = (windows.shape[-1] - settings.crop) // 2
    plain = windows[..., margin : margin + settings.crop, margin : margin + settings.crop]
    generator = keyed_generator(settings.seed, PURPOSE_PATCH, first)
    dice = Dice(generator, range(len(places)), len(places))
    view = draw_geometry(dice, settings, device).sample(windows)
    view = change_greys(dice, view, batch.grey, settings, windows.shape[1])
    keys, positives = (pooled(network.encoder, x).cpu().numpy() for x in (plain, view))
    return keys, positives, thumbnails_of(plain), thumbnails_of(view)


def _windows(source: WindowSource, places: Sequence[Place]) -> Iterator[Window]:
    half = source.side // 2
    for number, plane, y, x in places:
        stack = source.images[number].stack_shape
        index = tuple(int(i) for i in np.unravel_index(plane, stack)) if stack else ()
        yield source.read(number, index, y - half, x - half)


def pooled(encoder: nn.Module, x: Tensor) -> Tensor:
    """Means of all maps over each patch, every level of the same weight: (B, D), of length 1."""
    levels = [F.normalize(m.float().mean((2, 3)), dim=1) for m in encoder.maps(x)]
    return F.normalize(torch.cat(levels, dim=1), dim=1)


def thumbnails_of(x: Tensor) -> NDArray[np.uint8]:
    """Small pictures (B, t, t, 3) of images (B, C, H, W); the first three channels, or grey."""
    small = F.interpolate(x, (THUMBNAIL, THUMBNAIL), mode="area").clamp(0, 1)
    three = small[:, :3] if small.shape[1] >= 3 else small[:, :1].expand(-1, 3, -1, -1)
    return (three.permute(0, 2, 3, 1) * 255).round().to(torch.uint8).cpu().numpy()


def check_layout(layout: str) -> None:
    """Refuse a layout that there is not.

    Raises
    ------
    InputError
    """
    if layout not in ("components", "umap"):
        raise InputError("layout", repr(layout), "choose components or umap")
    if layout == "umap" and find_spec("umap") is None:
        mend = "pip install 'napari-papernets[umap]', or choose components"
        raise InputError("layout", "umap, which is not installed", mend)


def umap_of(keys: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Keys (N, D) in two dimensions by UMAP (McInnes et al. 2018), which keeps neighbours together."""
    umap = import_module("umap")
    few = min(NEIGHBOURS, len(keys) - 1)
    made = umap.UMAP(n_neighbors=few, metric="cosine", random_state=seed, n_jobs=1).fit_transform(keys)
    return np.asarray(made, np.float32)


def principal_components(
    keys: NDArray[np.float32],
) -> tuple[NDArray[np.float32], tuple[float, ...]]:
    """The first two principal components of vectors (N, D), and their shares of the variance."""
    centred = keys.astype(np.float64) - keys.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    flat = np.zeros((len(keys), 2))
    count = min(2, len(s))
    flat[:, :count] = u[:, :count] * s[:count]
    total = float((s**2).sum()) or 1.0
    shares = [float(v**2) / total for v in s[:2]] + [0.0, 0.0]
    return flat.astype(np.float32), (shares[0], shares[1])
