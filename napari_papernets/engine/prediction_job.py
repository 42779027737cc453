"""One call of `predict`: what it was asked, and what it decided (channels, precision, zoom, memory)."""

from __future__ import annotations

import operator
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.errors import InputError, ModelError
from ..core.events import Event, Notice
from ..core.image import ImageBlock
from ..core.predict_settings import CPU_MEMORY, PredictSettings
from ..core.probabilities import MOST_CLASSES
from ..core.tiles import Region, TilePlan
from . import zoom as zooming
from .device import pick_device, release_memory
from .failures import is_out_of_memory
from .instances import to_instances
from .metrics import estimate_diameter
from .models import LoadedModel
from .runner import ChosenPrecision, Runner, forget_runners, open_runner
from .tiling import PlaneSource, TileLoop, open_source, out_of_memory

GPU_SHARE = 0.6
PROBE = 128  # side in pixels of the window on which precisions are compared


@dataclass(eq=False)
class PredictionJob:
    """One call: what it was asked, and what it decided."""

    image: ImageBlock
    model: LoadedModel
    settings: PredictSettings
    channels: tuple[int, ...]
    precision: ChosenPrecision
    loop: TileLoop
    first: PlaneSource
    region: Region | None = None
    planes: tuple[tuple[int, ...], ...] | None = None
    zoom: float = 1.0
    notices: list[Notice] = field(default_factory=list)

    def source(self, plane: tuple[int, ...]) -> PlaneSource:
        """Windows of a plane at the zoom that was settled."""
        if self.zoom == 1.0 and plane == self.first.plane:
            return self.first
        return open_source(self.image, plane, self.channels, self.model.spec.normalisation, self.zoom)

    @property
    def wants_instances(self) -> bool:
        """Whether labels are to number objects rather than name classes."""
        wanted = self.settings.output
        return (self.model.spec.task if wanted == "auto" else wanted) == "instances"

    @property
    def threshold(self) -> float:
        """Foreground probability from which a pixel belongs to an object."""
        asked = self.settings.threshold
        return self.model.spec.threshold if asked is None else asked

    @property
    def zoomed_shape(self) -> tuple[int, int]:
        """(Y, X) of a plane as the network sees it."""
        y, x = (max(1, round(n * self.zoom)) for n in self.image.plane_shape)
        return y, x

    @property
    def zoomed_region(self) -> Region | None:
        """The region in pixels of the zoomed plane; None for all of it."""
        if self.region is None or self.zoom == 1.0:
            return self.region
        return zooming.zoom_region(self.region, self.image.plane_shape, self.zoomed_shape)

    def plan(self) -> TilePlan:
        """The tiles of every plane."""
        return self.loop.plan(self.zoomed_shape, self.zoomed_region)

    def facts(self, plan: TilePlan, device: str, seconds: float) -> dict[str, Any]:
        """What was decided, for the provenance."""
        notices = [*self.notices, *self.loop.steps_down]
        return dict(
            zoom=self.zoom,
            threshold=self.threshold if self.wants_instances else None,
            region=self.region,
            planes=self.planes,
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


def open_job(
    image: ImageBlock, model: LoadedModel, settings: PredictSettings, device: str
) -> PredictionJob:
    """Fit model and image together, choose precision and memory.

    Raises
    ------
    InputError
        If the model has no classes or too many, the channels do not fit it, the device is not there or
        the plane holds no number.
    """
    if model.spec.task == "features":
        mend = "it is a start for training: fine-tune it on a few strokes first"
        raise ModelError("model", f"{model.spec.name!r}, which has no classes yet", mend)
    if len(model.spec.classes) > MOST_CLASSES:
        mend = f"labels are numbers of 8 bits: use a model of at most {MOST_CLASSES} classes"
        raise ModelError("model", f"{model.spec.name!r} with {len(model.spec.classes)} classes", mend)
    channels = model.spec.pick_channels(image, settings.channels)
    target = pick_device(device)
    first = open_source(image, next(image.planes()), channels, model.spec.normalisation)
    probe = _probe(first, model)
    runner, precision, given_up = _make_runner(model, settings, target, probe)
    if runner.device.type == "cpu":
        release_memory()  # what making the runner left behind
    pixels = model.spec.window_pixels(_memory(settings, runner.device))
    loop = TileLoop(runner, model.spec.size_rule, pixels, settings.tile, steps_down=given_up)
    return PredictionJob(image, model, settings, channels, precision, loop, first)


def _make_runner(
    model: LoadedModel, settings: PredictSettings, device: torch.device, probe: NDArray[np.float32]
) -> tuple[Runner, ChosenPrecision, list[Notice]]:
    """A runner on the device; where there is no room, without those that were kept of other models;
    where there is none even so, on the CPU, and a notice of that."""

    def make(device: torch.device) -> tuple[Runner, ChosenPrecision]:
        from_file = bool(model.sha256)  # nobody trains what lies in the store of loaded models
        how = settings.precision, probe, settings.turns
        return open_runner(model.network, device, *how, keep=from_file)

    for _ in range(2):
        try:
            return *make(device), []
        except RuntimeError as error:
            if device.type == "cpu" or not is_out_of_memory(error):
                raise
        forget_runners()
        release_memory()
    notice = out_of_memory("the model does not fit: going on with the CPU")
    return *make(torch.device("cpu")), [notice]


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


def check_planes(
    image: ImageBlock, planes: Sequence[tuple[int, ...]] | None
) -> tuple[tuple[int, ...], ...]:
    """The planes to predict: all, or the chosen ones.

    Raises
    ------
    InputError
        If a chosen plane does not exist, or none is chosen.
    """
    known = tuple(image.planes())
    mend = image.planes_there
    try:
        chosen = known if planes is None else tuple(tuple(map(operator.index, p)) for p in planes)
    except TypeError as error:
        raise InputError("planes", repr(planes), f"{mend}, as in [(0,), (2,)]") from error
    for plane in chosen:
        if plane not in known:
            raise InputError("planes", plane, mend)
    if not chosen:
        raise InputError("planes", "none", "give at least one plane")
    if len(set(chosen)) < len(chosen):
        raise InputError("planes", chosen, "give each plane once")
    return chosen


def settle_zoom(job: PredictionJob) -> Generator[Event, None, None]:
    """Take the user's zoom, or estimate one from the objects found at several.

    The estimate is made on the middle plane of the image, so that a preview and the whole agree.
    """
    if job.settings.zoom is not None:
        job.zoom = job.settings.zoom
        return
    trained = job.model.spec.object_diameter
    if job.model.spec.task != "instances" or not trained:
        return
    planes = tuple(job.image.planes())
    source = job.source(planes[len(planes) // 2])
    job.zoom, tried = zooming.choose_zoom(lambda z: _objects_at(job, source, z), trained)
    if job.zoom != 1.0:
        message = f"Zoom {job.zoom:g} chosen: objects look {1 / job.zoom:.2g}× those of the training"
        notice = Notice(message, {"zoom": job.zoom, "tried": tried})
        job.notices.append(notice)
        yield notice


def _objects_at(job: PredictionJob, source: PlaneSource, zoom: float) -> tuple[float, float]:
    """Median diameter (zoomed pixels) and confidence of the objects in the middle, seen at `zoom`."""
    side = round(zooming.PROBE / zoom)
    y, x = ((max(0, (n - side) // 2), min(n, (n + side) // 2)) for n in source.shape)
    block = _probabilities(job, zooming.resize(source.read(y, x), zoom))
    spec = job.model.spec
    labels = to_instances(block, spec.encoding, job.threshold, solidity=spec.object_solidity)
    inside = block[1][labels > 0] if labels.any() else np.zeros(0)
    foreground = float((1 - block[0]).sum())
    confident = float(np.clip(2 * inside - 1, 0, None).sum()) if inside.size else 0.0
    return estimate_diameter(labels) or 0.0, confident / max(foreground, 1.0)


def _probabilities(job: PredictionJob, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probabilities (K, y, x) of a small normalised image (C, y, x), tile by tile."""
    count = len(job.channels)
    image = ImageBlock(pixels, "CYX", name=job.image.name)
    source = PlaneSource(image, (), tuple(range(count)), np.zeros(count), np.ones(count))
    block = np.empty((len(job.model.spec.classes), *source.shape), np.float32)
    for item in job.loop.run(source):
        if not isinstance(item, Notice):
            tile, part = item
            block[(slice(None), *tile.write)] = part
    return block
