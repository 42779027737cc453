"""Training crops: where they are taken, and the image, target and weights that they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..core.errors import InputError
from ..core.model import ModelSpec
from ..core.tiles import SizeRule
from ..core.tune_settings import TuneSettings
from .annotated import Plane
from .augment import (
    Field,
    change_greys,
    draw_field,
    keyed_generator,
    plain_field,
    sample_image,
    sample_nearest,
)
from .recipes import recipe_of
from .targets import IGNORE, balanced_weights, encode_instances, weight_map
from .teacher import Teacher

PURPOSE_CROP, PURPOSE_JUDGE = 3, 4
JUDGED = 24  # crops on which the model is judged, at most
FAR = 1.5  # sides of a crop: how far from annotation a teacher is listened to


@dataclass(frozen=True, eq=False)
class Problem:
    """What is to be learnt, whatever the image.

    Attributes
    ----------
    kind, encoding : str
        Of the annotation; of objects as classes ("" for others).
    class_weights : ndarray, shape (K,)
        w_c of the weight map.
    settings : TuneSettings
        w0, σ and the augmentation.
    side : int
        Input side of a crop, one that the network takes.
    target_side : int
        Side of the network's answer to it.
    """

    kind: str
    encoding: str
    class_weights: NDArray[np.float32]
    settings: TuneSettings
    side: int
    target_side: int


@dataclass(frozen=True, eq=False)
class Crop:
    """One training example.

    Attributes
    ----------
    image : Tensor, shape (C, H, W), float32
        Grey values, about 0…1.
    classes : Tensor, shape (h, w), int64
        Target; `targets.IGNORE` where it is unknown.
    weights : Tensor, shape (h, w), float32
        The paper's w(x); 0 where the target is unknown or held out.
    field : Field
        Where the image was sampled.
    taught : Tensor, shape (K, h, w), float32, optional
        What a teacher says of these pixels, undisturbed.
    """

    image: Tensor
    classes: Tensor
    weights: Tensor
    field: Field
    taught: Tensor | None = None


def pose_problem(
    planes: Sequence[Plane], spec: ModelSpec, settings: TuneSettings, fresh: bool = False
) -> Problem:
    """Class weights and crop sizes for these planes and this network, `fresh` if it has learnt nothing.

    Raises
    ------
    InputError
        If batch normalisation would have a single pixel to go by.
    """
    encoding = spec.encoding if settings.kind == "instances" else ""
    weights = np.ones(len(spec.classes), np.float32)
    if settings.balance:
        weights = balanced_weights(count_pixels(planes, encoding, len(weights)))
    crop = settings.crop or recipe_of(spec.architecture).crop
    side, target = crop_sides(spec.size_rule, crop)
    alone = settings.batch == 1 and side == spec.size_rule.step and spec.size_rule.padding == "same"
    if alone and fresh and settings.train == "all" and spec.options.get("norm") == "batch":
        mend = f"give more than {side}, or a batch of 2, or less depth"
        raise InputError("crop", f"{crop}, a single pixel at the lowest level", mend)
    return Problem(settings.kind, encoding, weights, settings, side, target)


def crop_sides(rule: SizeRule, crop: int) -> tuple[int, int]:
    """Input and output side for a target of at least `crop` pixels."""
    side = rule.whole(crop)
    return side, side - 2 * rule.context if rule.padding == "valid" else side


def count_pixels(planes: Sequence[Plane], encoding: str, classes: int) -> NDArray[np.int64]:
    """Pixels of each class that training sees, shape (K,)."""
    counts = np.zeros(classes, np.int64)
    for plane in planes:
        known = plane.classes(encoding)[~plane.held]
        counts += np.bincount(known[known >= 0], minlength=classes)
    return counts


def draw_crop(
    planes: Sequence[Plane],
    chances: NDArray[np.float64],
    problem: Problem,
    step: int,
    item: int,
    teacher: Teacher | None = None,
) -> Crop:
    """The crop number `item` of a step; it depends on the seed, the step and the item only.

    Parameters
    ----------
    planes : sequence of Plane
        To draw from.
    chances : ndarray, shape (len(planes),)
        Probability of each; they sum to 1.
    problem : Problem
        What to learn.
    step, item : int
        Step from 0, place in the batch from 0.
    teacher : Teacher, optional
        Says what is to be learnt of pixels without annotation. Every second crop is then taken further
        away from it.
    """
    settings = problem.settings
    rng = keyed_generator(settings.seed, PURPOSE_CROP, step, item)
    plane = planes[int(np.searchsorted(np.cumsum(chances), rng.random(), side="right"))]
    far = teacher is not None and item % 2 == 1
    field = draw_field(rng, draw_centre(rng, plane, problem, far), problem.side, settings)
    crop = take_crop(plane, field, problem, held=False)
    image = change_greys(rng, crop.image, settings)[list(plane.order)]
    taught = None
    if teacher is not None:
        target_field = field.centre(problem.target_side)
        taught = sample_image(teacher.answer(plane, *target_field.window), target_field)
    return Crop(image, crop.classes, crop.weights, field, taught)


def draw_centre(
    rng: np.random.Generator, plane: Plane, problem: Problem, far: bool = False
) -> tuple[float, float]:
    """A point near an annotated pixel, or around it; all classes of the plane are equally likely."""
    centres = plane.centres(problem.settings.seed)
    pixels = centres[int(rng.integers(len(centres)))]
    y, x = pixels[int(rng.integers(len(pixels)))]
    jitter = problem.target_side / (4 if problem.kind == "strokes" else 2)
    if far:
        jitter = FAR * problem.target_side
    dy, dx = rng.uniform(-jitter, jitter, 2)
    return float(np.clip(y + dy, 0, plane.shape[0])), float(np.clip(x + dx, 0, plane.shape[1]))


def take_crop(plane: Plane, field: Field, problem: Problem, held: bool) -> Crop:
    """Sample image, target and weights.

    Of the held-out annotation the image is what prediction is fed, of the other it is distinct channels.
    """
    settings = problem.settings
    target_field = field.centre(problem.target_side)
    window = target_field.window

    def sample(array: NDArray[Any]) -> NDArray[Any]:
        return sample_nearest(plane.mirror(array, *window), target_field)

    classes, close, spared = sample(plane.annotation), None, None
    if problem.kind == "instances":
        classes = encode_instances(classes, problem.encoding)
        close = sample(plane.close(settings.sigma)) if settings.w0 else None
        spared = 1  # the inside of objects
    classes = np.where(sample(plane.held) == held, classes, IGNORE)
    weights = weight_map(classes, close, problem.class_weights, settings.w0, spared)
    image = sample_image((plane.window if held else plane.read)(*field.window), field)
    return Crop(image, torch.from_numpy(classes), torch.from_numpy(weights), field)


def judged_crops(planes: Sequence[Plane], problem: Problem) -> list[Crop]:
    """Upright crops that together show the held-out annotation, a fixed choice of at most 24."""
    places = [(p, y, x) for p in planes if p.held.any() for y, x in _places(p, problem.target_side)]
    rng = keyed_generator(problem.settings.seed, PURPOSE_JUDGE)
    chosen = [places[i] for i in np.sort(rng.permutation(len(places))[:JUDGED])]
    fields = [(p, plain_field((y, x), problem.side)) for p, y, x in chosen]
    crops = [take_crop(plane, field, problem, held=True) for plane, field in fields]
    return [c for c in crops if bool((c.classes >= 0).any())]


def _places(plane: Plane, side: int) -> Iterator[tuple[float, float]]:
    """Centres of the cells of a grid of `side` pixels that hold something to judge."""
    known = plane.held & (plane.annotation >= 0)
    rows, columns = (max(1, round(n / side)) for n in plane.shape)
    for i, j in np.ndindex(rows, columns):
        y0, y1 = (plane.shape[0] * k // rows for k in (i, i + 1))
        x0, x1 = (plane.shape[1] * k // columns for k in (j, j + 1))
        if known[y0:y1, x0:x1].any():
            yield (y0 + y1) / 2, (x0 + x1) / 2
