"""Tiled prediction: the answer equals one pass over the whole image."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.events import Event, Notice, PlaneDone, Started, TileDone
from ..core.image import ImageBlock
from ..core.predict_settings import PredictSettings
from ..core.results import Prediction
from ..core.tiles import Region, Tile, check_region
from . import zoom as zooming
from .answer import Answer, classes_of
from .instances import to_instances
from .models import ModelLike, load_model
from .prediction_job import PredictionJob, check_planes, open_job, settle_zoom
from .provenance import prediction_provenance
from .tiling import largest_batch


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
    job = open_job(image, load_model(model), settings or PredictSettings(), device)
    indices = check_planes(image, planes)
    check_region(region, image.plane_shape)
    job.region, job.planes = region, indices if planes else None
    yield from job.loop.steps_down
    yield from settle_zoom(job)
    plan = job.plan()
    total = len(plan) * len(indices)
    job.loop.batch = largest_batch(plan, job.loop.max_pixels, job.loop.runner.device)
    yield Started(total, "tile", f"{len(indices)} planes" if len(indices) > 1 else "")
    answer = Answer(image, indices if planes else None, probabilities)
    for number, plane in enumerate(indices):
        block = yield from _predict_plane(job, plane, focus, number * len(plan), total)
        labels = _label(job, block)
        answer.add(plane, labels, block)
        yield PlaneDone(plane, answer.labels_of(plane))
    seconds = time.monotonic() - started
    facts = dict(job.facts(plan, device, seconds), probabilities=probabilities)
    provenance = prediction_provenance(job.model, image, job.settings, facts)
    return Prediction(answer.labels, answer.probabilities, provenance)


def _predict_plane(
    job: PredictionJob,
    plane: tuple[int, ...],
    focus: tuple[float, float] | None,
    before: int,
    total: int,
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
    job: PredictionJob,
    plane: tuple[int, ...],
    tile: Tile,
    part: NDArray[np.float32],
    done: int,
    total: int,
) -> TileDone:
    """What to show of a tile at once: foreground for objects, classes otherwise."""
    labels = (part[0] < 1 - job.threshold).astype(np.uint8) if job.wants_instances else classes_of(part)
    height, width = job.image.plane_shape
    y = _unzoom(tile.y.write, job.zoomed_shape[0], height)
    x = _unzoom(tile.x.write, job.zoomed_shape[1], width)
    if job.zoom != 1.0:
        rows = np.linspace(0, labels.shape[0] - 1, y[1] - y[0]).round().astype(int)
        columns = np.linspace(0, labels.shape[1] - 1, x[1] - x[0]).round().astype(int)
        labels = labels[np.ix_(rows, columns)]
        if job.region is not None:  # whose zoomed pixels reach a little beyond it
            (y, of_y), (x, of_x) = _within(y, job.region[:2]), _within(x, job.region[2:])
            labels = labels[of_y, of_x]
    return TileDone(done, total, plane, y, x, labels)


def _within(span: tuple[int, int], bounds: tuple[int, int]) -> tuple[tuple[int, int], slice]:
    """The part of a span that lies within bounds, and which of its own pixels that is."""
    start, stop = (min(max(n, bounds[0]), bounds[1]) for n in span)
    return (start, stop), slice(start - span[0], stop - span[0])


def _unzoom(span: tuple[int, int], zoomed: int, length: int) -> tuple[int, int]:
    return round(span[0] * length / zoomed), round(span[1] * length / zoomed)


def _label(job: PredictionJob, block: NDArray[np.float32]) -> NDArray[Any]:
    if not job.wants_instances:
        return classes_of(block)
    spec = job.model.spec
    encoding = spec.encoding
    if not encoding:  # a model of classes: objects are what is not its first class
        encoding, block = "ridge", np.stack([block[0], 1 - block[0]])
    return to_instances(block, encoding, job.threshold, job.settings.min_size, spec.object_solidity)
