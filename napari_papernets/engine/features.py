"""The verb `features`: the patch tokens of a Vision Transformer, and what is told from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ..core.errors import InputError
from ..core.events import Event, Notice, Progress, Started
from ..core.feature_maps import FeatureMaps, WindowAttention
from ..core.feature_settings import FeatureSettings
from ..core.image import ImageBlock
from ..core.tiles import Region, Tile, TilePlan, plan_tiles
from .device import pick_device
from .failures import is_out_of_memory
from .models import ModelLike
from .prediction_job import check_planes
from .provenance import features_provenance
from .tiling import PlaneSource, open_source
from .token_cache import Arrays, TokenCache
from .token_reader import TokenReader, WindowTokens
from .vit_models import LoadedViT, load_vit

MAX_PATCHES = 6400  # of a window: attention takes their square in time
ALL_BLOCKS = 128 * 2**20  # bytes: where the tokens of all blocks of a plane take less, all are kept

CACHE = TokenCache()


@dataclass(frozen=True, eq=False)
class FeatureJob:
    """One call of `features`: what it was asked, and what it decided."""

    image: ImageBlock
    model: LoadedViT
    settings: FeatureSettings
    channels: tuple[int, ...]
    plan: TilePlan
    block: int
    origin: tuple[int, int]
    grid: tuple[int, int]

    @property
    def patch(self) -> int:
        return self.model.network.patch_size

    def blocks(self) -> Collection[int]:
        """Blocks to read: all where they are cheap to keep, else the one that is wanted."""
        network, settings = self.model.network, self.settings
        arrays = 1 + 2 * settings.attention
        size = 4 * network.dim * np.prod(self.grid) * settings.density**2 * arrays * network.depth
        return range(1, network.depth + 1) if size <= ALL_BLOCKS else (self.block,)

    def source(self, plane: tuple[int, ...]) -> PlaneSource:
        """Grey values of a plane."""
        return open_source(self.image, plane, self.channels, self.model.spec.normalisation.alone)

    def keys(self, source: PlaneSource, blocks: Collection[int]) -> dict[int, str]:
        """For each block, what its tokens depend on, as a hash."""
        facts = dict(
            weights=self.model.sha256, options=self.model.network.options,
            settings=self.settings.replace(block=None).to_dict(), channels=self.channels,
            windows=[(t.y.read, t.x.read, t.y.write, t.x.write) for t in self.plan],
            low=source.low.tolist(), high=source.high.tolist(), form=2,
        )  # fmt: skip
        digest = hashlib.blake2b(json.dumps(facts).encode(), digest_size=20)
        for tile in self.plan:
            window = self.image.read(source.plane, tile.y.read, tile.x.read, sorted(set(self.channels)))
            digest.update(str(window.dtype).encode())
            digest.update(np.ascontiguousarray(window).tobytes())
        return {block: f"{digest.hexdigest()}{block:03x}" for block in blocks}

    def patches(self, tile: Tile) -> tuple[slice, slice]:
        """Rows and columns of the grid (density 1) that a window answers for."""
        spans = (tile.y.write, self.origin[0]), (tile.x.write, self.origin[1])
        rows, columns = (
            slice((start - origin) // self.patch, -(-(stop - origin) // self.patch))
            for (start, stop), origin in spans
        )
        return rows, columns

    def place(self, tile: Tile) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows and columns of the grid (density 1) that a window holds; some may lie outside."""
        spans = (tile.y.read, self.origin[0]), (tile.x.read, self.origin[1])
        rows, columns = (
            ((start - origin) // self.patch, (stop - origin) // self.patch)
            for (start, stop), origin in spans
        )
        return rows, columns


def features(
    image: ImageBlock,
    model: ModelLike,
    settings: FeatureSettings | None = None,
    *,
    device: str = "auto",
    region: Region | None = None,
    planes: Sequence[tuple[int, ...]] | None = None,
    random_weights: bool = False,
) -> Generator[Event, None, FeatureMaps]:
    """Read the tokens of an image, plane by plane and window by window.

    Parameters
    ----------
    image : ImageBlock
        Any axes; T and Z are iterated. Planes that do not divide into patches are mirrored at their
        lower and right border.
    model : str, Path, ModelRef or nn.Module
        A Vision Transformer: see `vit_models.load_vit`.
    settings : FeatureSettings, optional
        The defaults otherwise.
    device : {"auto", "cpu", "cuda", "mps"}
        "auto" is cuda, else mps, else cpu.
    region : (y0, y1, x0, x1), optional
        Only the patches that touch these pixels; the network sees some more around them.
    planes : sequence of tuple of int, optional
        Only these planes (indices along the image's stack axes).
    random_weights : bool
        The control: the same network with freshly drawn weights. What looks alike in both was not
        learnt.

    Yields
    ------
    Event
        Started, Progress, Notice.

    Returns
    -------
    FeatureMaps
        Of all planes, or of the chosen ones: then with one stack axis.

    Raises
    ------
    InputError
        For settings, channels, planes or a region that do not fit; ModelError for the model.
    """
    job = open_features(image, load_vit(model, random_weights), settings or FeatureSettings(), region)
    indices = check_planes(image, planes)
    total = len(job.plan) * len(indices)
    yield Started(total, "tile", f"{len(indices)} planes" if len(indices) > 1 else "")
    if len(job.plan) > 1:
        yield Notice(f"Read in {len(job.plan)} windows: attention ends at their borders")
    how = job.settings.precision == "bfloat16", job.settings.positions
    reader = TokenReader(job.model.network, pick_device(device), *how)
    parts: list[Arrays] = []
    for number, plane in enumerate(indices):
        source = job.source(plane)
        keys = job.keys(source, {*job.blocks(), job.block})
        arrays = CACHE.get(keys[job.block])
        if arrays is None:
            arrays = yield from _read_plane(job, reader, source, keys, number * len(job.plan), total)
        parts.append(arrays)
        yield Progress((number + 1) * len(job.plan), total)
    stack = (len(indices),) if planes is not None and image.stack_axes else image.stack_shape
    facts = dict(
        region=region, planes=planes, random_weights=random_weights, device=str(reader.device),
        device_asked=device,
    )  # fmt: skip
    provenance = features_provenance(job.model.label, job.model.sha256, image, job.settings, facts)
    if isinstance(model, nn.Module):  # it is in no file: nothing to type repeats this
        provenance["command"] = ""
    return _assemble(job, parts, stack, provenance)


def open_features(
    image: ImageBlock, model: LoadedViT, settings: FeatureSettings, region: Region | None
) -> FeatureJob:
    """Fit model, image and settings together.

    Raises
    ------
    InputError
        If the block does not exist, the channels do not fit, or the region lies outside.
    """
    network = model.network
    if settings.block is not None and settings.block > network.depth:
        mend = f"{model.spec.name!r} has blocks 1 to {network.depth}"
        raise InputError("block", settings.block, mend)
    patch = network.patch_size
    rule = model.spec.size_rule
    plan = plan_tiles(image.plane_shape, rule, settings.tile, MAX_PATCHES * patch**2, region)
    y0, y1, x0, x1 = plan.region
    origin = y0 // patch * patch, x0 // patch * patch
    grid = -(-(y1 - origin[0]) // patch), -(-(x1 - origin[1]) // patch)
    channels = model.spec.pick_channels(image, settings.channels)
    block = settings.block or network.depth
    return FeatureJob(image, model, settings, channels, plan, block, origin, grid)


def _read_plane(
    job: FeatureJob,
    reader: TokenReader,
    source: PlaneSource,
    keys: Mapping[int, str],
    before: int,
    total: int,
) -> Generator[Event, None, Arrays]:
    """Read one plane, remember every block that was read, and return the wanted one."""
    settings, blocks = job.settings, job.blocks()
    found: dict[int, dict[str, NDArray[Any]]] = {b: _empty(job) for b in blocks}
    looks = blocks if settings.attention else ()
    with reader:
        for number, tile in enumerate(job.plan):
            asked = tile.y.read, tile.x.read, blocks, settings.density, looks, settings.summaries
            window: WindowTokens | None = None
            while window is None:
                try:
                    window = reader.read(source.read, *asked)
                except Exception as error:
                    if not is_out_of_memory(error):
                        raise
                    yield reader.step_down(error)
            for block, arrays in found.items():
                _write(job, tile, number, window, block, arrays)
            yield Progress(before + number + 1, total)
    for block, arrays in found.items():
        CACHE.put(keys[block], arrays, on_disk=block == job.block)
    return found[job.block]


def _empty(job: FeatureJob) -> dict[str, NDArray[Any]]:
    density, dim = job.settings.density, job.model.network.dim
    arrays: dict[str, NDArray[Any]] = dict(
        tokens=np.zeros((job.grid[0] * density, job.grid[1] * density, dim), np.float32),
        class_token=np.zeros(dim, np.float32),
    )
    if job.settings.summaries:
        network = job.model.network
        arrays["rollout"] = np.zeros(job.grid, np.float32)
        arrays["distances"] = np.zeros((network.depth, network.heads), np.float32)
    return arrays


def _write(
    job: FeatureJob,
    tile: Tile,
    number: int,
    window: WindowTokens,
    block: int,
    arrays: dict[str, NDArray[Any]],
) -> None:
    """Put what a window answers for in its place."""
    density, share = job.settings.density, 1 / len(job.plan)
    rows, columns = job.patches(tile)
    (top, _), (left, _) = job.place(tile)
    local = slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)
    fine = tuple(slice(s.start * density, s.stop * density) for s in (rows, columns, *local))
    arrays["tokens"][fine[:2]] = window.tokens[block][fine[2:]]
    arrays["class_token"] += window.class_tokens[block] * share
    if block in window.attention:
        arrays[f"queries {number}"], arrays[f"keys {number}"] = window.attention[block]
    if window.rollout is not None and window.distances is not None:
        size = (tile.y.read[1] - tile.y.read[0]) // job.patch
        arrays["rollout"][rows, columns] = window.rollout.reshape(size, -1)[local]
        arrays["distances"] += window.distances * job.patch * share


def _assemble(
    job: FeatureJob,
    parts: Sequence[Arrays],
    stack: tuple[int, ...],
    provenance: Mapping[str, Any],
) -> FeatureMaps:
    dim, density = job.model.network.dim, job.settings.density
    grid = job.grid[0] * density, job.grid[1] * density
    tokens = np.stack([p["tokens"].reshape(-1, dim) for p in parts])
    summaries = job.settings.summaries
    rollouts = np.stack([p["rollout"] for p in parts]) if summaries else None
    return FeatureMaps(
        tokens=tokens.reshape(*stack, -1, dim),
        class_token=np.stack([p["class_token"] for p in parts]).reshape(*stack, dim),
        grid=grid,
        patch=job.patch,
        density=density,
        origin=job.origin,
        block=job.block,
        depth=job.model.network.depth,
        heads=job.model.network.heads,
        windows=tuple(_windows(job, p) for p in parts) if job.settings.attention else (),
        rollout=rollouts.reshape(*stack, *job.grid) if rollouts is not None else None,
        distances=parts[0]["distances"].copy() if summaries else None,
        provenance=provenance,
    )


def _windows(job: FeatureJob, arrays: Arrays) -> tuple[WindowAttention, ...]:
    found = []
    for number, tile in enumerate(job.plan):
        rows, columns = job.patches(tile)
        held = job.place(tile)
        answers = (rows.start, rows.stop), (columns.start, columns.stop)
        queries, keys = arrays[f"queries {number}"], arrays[f"keys {number}"]
        found.append(WindowAttention(queries, keys, *held, answers, job.model.network.prefix))
    return tuple(found)
