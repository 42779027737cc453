"""Tiled prediction: the answer equals one pass over the whole image."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.errors import InputError
from ..core.events import Event, Notice, PlaneDone, Started, TileDone, smallest_label_type
from ..core.image import ImageBlock
from ..core.results import Prediction
from ..core.settings import PredictSettings
from ..core.tiles import Region, Tile, TilePlan
from . import zoom as zooming
from .device import pick_device
from .instances import to_instances
from .metrics import estimate_diameter
from .models import LoadedModel, ModelLike, load_model
from .provenance import prediction_provenance
from .runner import Precision, Runner, choose_precision
from .tiling import PlaneSource, TileLoop, largest_batch, open_source

CPU_MEMORY = 0.85  # GB: larger windows gain nothing on a CPU
GPU_SHARE = 0.6
PROBE = 256  # side in pixels of the window on which precisions are compared


def predict(
    image: ImageBlock,
    model: ModelLike,
    settings: PredictSettings | None = None,
    *,
    device: str = "auto",
    probabilities: bool = True,
    region: Region | None = None,
    planes: Sequence[tuple[int, ...]] | None = None,
    focus: tuple[float, float] | None = None,
) -> Generator[Event, None, Prediction]:
    """Segment an image, plane by plane and tile by tile.

    Parameters
    ----------
    image : ImageBlock
        Any axes; T and Z are iterated. Values that are not finite count as the darkest.
    model : str, Path, ModelRef or nn.Module
        A model by name or file, or a bare U-Net.
    settings : PredictSettings, optional
        The defaults otherwise.
    device : {"auto", "cpu", "cuda", "mps"}
        "auto" is cuda, else mps, else cpu.
    probabilities : bool
        Whether to return them; labels alone need far less memory for a stack.
    region : (y0, y1, x0, x1), optional
        Only these pixels of each plane; probabilities and classes are those of the whole plane.
    planes : sequence of tuple of int, optional
        Only these planes (indices along the image's stack axes).
    focus : (y, x), optional
        Do the tiles nearest to this pixel first.

    Yields
    ------
    Event
        Started, TileDone, PlaneDone, Notice.

    Returns
    -------
    Prediction
        Labels of shape (*stack, Y, X), or (number of planes, Y, X) for chosen planes; Y and X are
        those of the region where one is given.

    Raises
    ------
    InputError
        For settings, channels, planes or a region that do not fit; ModelError for the model.
    """
    started = time.monotonic()
    job = _open(image, load_model(model), settings or PredictSettings(), device)
    job.region = region
    indices = _check_planes(image, planes)
    yield from _choose_zoom(job, indices[len(indices) // 2] if not focus else indices[0])
    plan = job.plan(indices[0])
    total = len(plan) * len(indices)
    job.loop.batch = largest_batch(plan, job.loop.max_pixels, job.loop.runner.device)
    yield Started(total, "tile", f"{len(indices)} planes" if len(indices) > 1 else "")
    answer = _Answer(image, indices if planes else None, plan, probabilities)
    for number, plane in enumerate(indices):
        block = yield from _predict_plane(job, plane, focus, number * len(plan), total)
        labels = _label(job, block)
        answer.add(plane, labels, block)
        yield PlaneDone(plane, answer.labels_of(plane))
    seconds = time.monotonic() - started
    provenance = prediction_provenance(job.model, image, job.settings, job.facts(plan, device, seconds))
    return Prediction(answer.labels, answer.probabilities, provenance)


@dataclass(eq=False)
class _Job:
    """One call: what it was asked, and what it decided."""

    image: ImageBlock
    model: LoadedModel
    settings: PredictSettings
    channels: tuple[int, ...]
    precision: Precision
    loop: TileLoop
    region: Region | None = None
    zoom: float = 1.0
    notices: list[Notice] = field(default_factory=list)

    def source(self, plane: tuple[int, ...], zoom: float | None = None) -> PlaneSource:
        zoom = self.zoom if zoom is None else zoom
        return open_source(self.image, plane, self.channels, self.model.spec.normalisation, zoom)

    @property
    def zoomed_shape(self) -> tuple[int, int]:
        y, x = (max(1, round(n * self.zoom)) for n in self.image.plane_shape)
        return y, x

    @property
    def zoomed_region(self) -> Region | None:
        if self.region is None or self.zoom == 1.0:
            return self.region
        return zooming.zoom_region(self.region, self.image.plane_shape, self.zoomed_shape)

    def plan(self, plane: tuple[int, ...]) -> TilePlan:
        _check_region(self.region, self.image)
        return self.loop.plan(self.zoomed_shape, self.zoomed_region)

    def facts(self, plan: TilePlan, device: str, seconds: float) -> dict[str, Any]:
        notices = [*self.notices, *self.loop.steps_down]
        return dict(
            zoom=self.zoom,
            region=self.region,
            channels=self.channels,
            tiles=dict(
                shape=plan.shape,
                window=plan.window,
                count=len(plan),
                overhead=round(plan.overhead, 4),
                exact=self.model.spec.exact_tiles,
            ),
            device=str(self.loop.runner.device),
            device_asked=device,
            precision=self.precision.name,
            bf16_max_difference=self.precision.bf16_max_difference,
            threads=torch.get_num_threads(),
            notices=[n.message for n in notices],
            seconds=round(seconds, 3),
        )


def _open(image: ImageBlock, model: LoadedModel, settings: PredictSettings, device: str) -> _Job:
    channels = model.spec.pick_channels(image, settings.channels)
    target = pick_device(device)
    first = next(image.planes())
    probe = _probe(open_source(image, first, channels, model.spec.normalisation), model)
    precision = choose_precision(model.network, target, settings.precision, probe)
    runner = Runner(model.network, target, precision.name)
    pixels = model.spec.window_pixels(_memory(settings, target))
    loop = TileLoop(runner, model.spec.size_rule, pixels, settings.tile)
    return _Job(image, model, settings, channels, precision, loop)


def _probe(source: PlaneSource, model: LoadedModel) -> NDArray[np.float32]:
    """A window (1, C, y, x) from the middle of a plane, as the network takes it."""
    rule = model.spec.size_rule
    side = rule.whole(PROBE)
    y, x = ((n - side) // 2 for n in source.shape)
    return source.read((y, y + side), (x, x + side))[None]


def _memory(settings: PredictSettings, device: torch.device) -> float:
    if settings.memory is not None:
        return settings.memory
    if device.type == "cuda":
        return GPU_SHARE * torch.cuda.mem_get_info(device)[0] / 1e9
    return CPU_MEMORY


def _check_planes(
    image: ImageBlock, planes: Sequence[tuple[int, ...]] | None
) -> tuple[tuple[int, ...], ...]:
    known = tuple(image.planes())
    chosen = known if planes is None else tuple(tuple(int(i) for i in p) for p in planes)
    for plane in chosen:
        if plane not in known:
            mend = f"give indices along {image.stack_axes or 'no axes'} within {image.stack_shape}"
            raise InputError("planes", plane, mend)
    if not chosen:
        raise InputError("planes", "none", "give at least one plane")
    return chosen


def _check_region(region: Region | None, image: ImageBlock) -> None:
    if region is None:
        return
    y0, y1, x0, x1 = region
    height, width = image.plane_shape
    if not (0 <= y0 < y1 <= height and 0 <= x0 < x1 <= width):
        raise InputError("region", region, f"give y0, y1, x0, x1 within {height}×{width} pixels")


def _choose_zoom(job: _Job, plane: tuple[int, ...]) -> Generator[Event, None, None]:
    """Take the user's zoom, or estimate one from the objects found at several."""
    if job.settings.zoom is not None:
        job.zoom = job.settings.zoom
        return
    trained = job.model.spec.object_diameter
    if job.model.spec.task != "instances" or not trained:
        return
    job.zoom, tried = zooming.choose_zoom(lambda z: _objects_at(job, plane, z), trained)
    if job.zoom != 1.0:
        message = f"Zoom {job.zoom:g} chosen: objects look {1 / job.zoom:.2g}× those of the training"
        notice = Notice(message, {"zoom": job.zoom, "tried": tried})
        job.notices.append(notice)
        yield notice


def _objects_at(job: _Job, plane: tuple[int, ...], zoom: float) -> tuple[float, float]:
    """Median diameter (zoomed pixels) and confidence of the objects in a window at `zoom`."""
    source = job.source(plane, zoom)
    region: list[int] = []
    for length in source.shape:
        start = max(0, (length - zooming.PROBE) // 2)
        region += [start, min(length, start + zooming.PROBE)]
    y0, y1, x0, x1 = region
    block = _collect(job, source, (y0, y1, x0, x1))
    labels = to_instances(block, job.model.spec.encoding, job.settings.threshold, 0)
    inside = block[1][labels > 0] if labels.any() else np.zeros(0)
    foreground = float((1 - block[0]).sum())
    confident = float(np.clip(2 * inside - 1, 0, None).sum()) if inside.size else 0.0
    return estimate_diameter(labels) or 0.0, confident / max(foreground, 1.0)


def _collect(job: _Job, source: PlaneSource, region: Region) -> NDArray[np.float32]:
    """Probabilities (K, y, x) of a region, at once."""
    y0, y1, x0, x1 = region
    block = np.empty((len(job.model.spec.classes), y1 - y0, x1 - x0), np.float32)
    for item in job.loop.run(source, region):
        if not isinstance(item, Notice):
            tile, part = item
            block[:, tile.y.write[0] - y0 : tile.y.write[1] - y0,
                  tile.x.write[0] - x0 : tile.x.write[1] - x0] = part  # fmt: skip
    return block


def _predict_plane(
    job: _Job, plane: tuple[int, ...], focus: tuple[float, float] | None, before: int, total: int
) -> Generator[Event, None, NDArray[np.float32]]:
    """Probabilities (K, Y, X) of the region of one plane, tile by tile."""
    source = job.source(plane)
    zoomed = job.zoomed_region or (0, source.shape[0], 0, source.shape[1])
    y0, y1, x0, x1 = zoomed
    block = np.empty((len(job.model.spec.classes), y1 - y0, x1 - x0), np.float32)
    near = (focus[0] * job.zoom, focus[1] * job.zoom) if focus else None
    done = before
    for item in job.loop.run(source, job.zoomed_region, near):
        if isinstance(item, Notice):
            yield item
            continue
        tile, part = item
        rows, columns = tile.write
        block[:, rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0] = part
        done = min(done + 1, total)
        yield _tile_event(job, plane, tile, part, done, total)
    if job.zoom == 1.0:
        return block
    height, width = job.image.plane_shape
    wanted = job.region or (0, height, 0, width)
    return zooming.resample(block, (y0, x0), source.shape, (height, width), wanted)


def _tile_event(
    job: _Job, plane: tuple[int, ...], tile: Tile, part: NDArray[np.float32], done: int, total: int
) -> TileDone:
    """What to show of a tile at once: foreground for objects, classes otherwise."""
    if _wants_instances(job):
        labels = (part[0] < 1 - job.settings.threshold).astype(np.uint8)
    else:
        labels = (part.argmax(axis=0) + 1).astype(np.uint8)
    height, width = job.image.plane_shape
    y = _unzoom(tile.y.write, job.zoomed_shape[0], height)
    x = _unzoom(tile.x.write, job.zoomed_shape[1], width)
    if job.zoom != 1.0:
        rows = np.linspace(0, labels.shape[0] - 1, y[1] - y[0]).round().astype(int)
        columns = np.linspace(0, labels.shape[1] - 1, x[1] - x[0]).round().astype(int)
        labels = labels[np.ix_(rows, columns)]
    return TileDone(done, total, plane, y, x, labels)


def _unzoom(span: tuple[int, int], zoomed: int, length: int) -> tuple[int, int]:
    return round(span[0] * length / zoomed), round(span[1] * length / zoomed)


def _wants_instances(job: _Job) -> bool:
    wanted = job.settings.output
    return (job.model.spec.task if wanted == "auto" else wanted) == "instances"


def _label(job: _Job, block: NDArray[np.float32]) -> NDArray[Any]:
    if not _wants_instances(job):
        return (block.argmax(axis=0) + 1).astype(np.uint8)
    encoding = job.model.spec.encoding
    if not encoding:  # a model of classes: objects are what is not its first class
        encoding, block = "ridge", np.stack([block[0], 1 - block[0]])
    return to_instances(block, encoding, job.settings.threshold, job.settings.min_size)


class _Answer:
    """Arrays that grow plane by plane; object numbers go on from plane to plane."""

    def __init__(
        self,
        image: ImageBlock,
        planes: Sequence[tuple[int, ...]] | None,
        plan: TilePlan,
        probabilities: bool,
    ) -> None:
        self._order = {p: i for i, p in enumerate(planes or image.planes())}
        flat = planes is not None and bool(image.stack_axes)
        self._stack = (len(planes),) if flat and planes else image.stack_shape
        self._labels: dict[int, NDArray[Any]] = {}
        self._blocks: dict[int, NDArray[np.float32]] | None = {} if probabilities else None
        self._highest = 0

    def add(self, plane: tuple[int, ...], labels: NDArray[Any], block: NDArray[np.float32]) -> None:
        """Keep a plane; objects (not classes) are renumbered to be unique in the stack."""
        if labels.dtype != np.uint8:
            highest = self._highest + int(labels.max(initial=0))
            labels = labels.astype(smallest_label_type(highest), copy=False)
            labels[labels > 0] += labels.dtype.type(self._highest)
            self._highest = highest
        self._labels[self._order[plane]] = labels
        if self._blocks is not None:
            self._blocks[self._order[plane]] = block

    def labels_of(self, plane: tuple[int, ...]) -> NDArray[Any]:
        return self._labels[self._order[plane]]

    @property
    def labels(self) -> NDArray[Any]:
        parts = [self._labels[i] for i in range(len(self._labels))]
        kind = np.result_type(*(p.dtype for p in parts))
        return np.stack(parts).astype(kind, copy=False).reshape(*self._stack, *parts[0].shape)

    @property
    def probabilities(self) -> NDArray[np.float32] | None:
        if self._blocks is None:
            return None
        parts = [self._blocks[i] for i in range(len(self._blocks))]
        shape = (parts[0].shape[0], *self._stack, *parts[0].shape[1:])
        return parts[0].reshape(shape) if len(parts) == 1 else np.stack(parts, 1).reshape(shape)
