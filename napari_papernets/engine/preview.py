"""What training will see: an augmented crop beside its target and weight map."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.events import Event, Started
from ..core.image import ImageBlock
from ..core.results import AugmentedCrop
from ..core.tune_settings import TuneSettings
from .annotated import annotated_classes, read_planes
from .augment import Field
from .class_names import object_classes
from .crops import Crop, Problem, draw_crop, pose_problem
from .starts import scratch_spec

GRID_STEP = 16  # pixels of the image between lines of the drawn grid


def preview(
    image: ImageBlock, annotation: Any, settings: TuneSettings | None = None, number: int = 0
) -> Generator[Event, None, AugmentedCrop]:
    """`preview_augmentation` as a verb.

    Yields
    ------
    Event
        Started.
    """
    yield Started(1, "step", "one crop as a training would see it")
    return preview_augmentation(image, annotation, settings, number)


def preview_augmentation(
    image: ImageBlock, annotation: Any, settings: TuneSettings | None = None, number: int = 0
) -> AugmentedCrop:
    """Draw a deformed crop as a training from scratch would see it as number `number`.

    Parameters
    ----------
    image : ImageBlock
        Any image.
    annotation : array
        As for ``finetune``; `settings.kind` says what its numbers mean.
    settings : TuneSettings, optional
        How to train; nothing is held out here.
    number : int
        Another number gives another crop, the same number the same one.

    Raises
    ------
    InputError
        If the annotation does not fit the image or holds nothing to learn.
    """
    # of an undeformed crop there is nothing to see
    settings = (settings or TuneSettings()).replace(undeformed=0.0)
    image = image.pick(settings.channels)
    bare = scratch_spec([image], settings, "preview", ())
    planes = read_planes([image], [annotation], settings.kind, bare)
    names = object_classes(settings.encoding)
    if settings.kind != "instances":
        names = tuple(f"class {i + 1}" for i in range(annotated_classes(planes)[-1] + 1))
    problem = pose_problem(planes, scratch_spec([image], settings, "preview", names), settings)
    crop = draw_crop(planes, np.full(len(planes), 1 / len(planes)), problem, number, 0)
    return _shown(crop, names, problem)


def deformed_grid(field: Field, step: int = GRID_STEP) -> NDArray[np.bool_]:
    """Where a field samples lines that are `step` pixels apart in the image."""
    return ((field.y % step) < 1) | ((field.x % step) < 1)


def _shown(crop: Crop, names: tuple[str, ...], problem: Problem) -> AugmentedCrop:
    return AugmentedCrop(
        crop.image.numpy(),
        deformed_grid(crop.field),
        crop.classes.numpy(),
        crop.weights.numpy(),
        names,
        problem.class_weights,
    )
