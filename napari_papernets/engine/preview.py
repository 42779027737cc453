"""What training will see: an augmented crop beside its target and weight map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.image import ImageBlock
from ..core.settings import TuneSettings
from .annotated import annotated_classes, read_planes
from .augment import Field
from .crops import Crop, draw_crop, pose_problem
from .starts import object_classes, scratch_spec

GRID_STEP = 16  # pixels of the image between lines of the drawn grid


@dataclass(frozen=True, eq=False)
class AugmentedCrop:
    """One crop as a training would see it.

    Attributes
    ----------
    image : ndarray of float32, shape (C, H, W)
        Grey values after normalisation, deformation and change, about 0…1.
    grid : ndarray of bool, shape (H, W)
        Lines that were straight, 16 pixels apart, before the deformation.
    classes : ndarray of int64, shape (h, w)
        Target; -1 where it is unknown. Smaller than the image for an unpadded network.
    weights : ndarray of float32, shape (h, w)
        The weight map w(x).
    class_names : tuple of str
        Names of the classes from 0.
    """

    image: NDArray[np.float32]
    grid: NDArray[np.bool_]
    classes: NDArray[np.int64]
    weights: NDArray[np.float32]
    class_names: tuple[str, ...]


def preview_augmentation(
    image: ImageBlock, annotation: Any, settings: TuneSettings | None = None, number: int = 0
) -> AugmentedCrop:
    """Draw the crop that a training from scratch would see as number `number`.

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
    settings = settings or TuneSettings()
    bare = scratch_spec([image], settings, "preview", ())
    planes = read_planes([image], [annotation], settings.kind, bare)
    names = object_classes(settings.encoding)
    if settings.kind != "instances":
        names = tuple(f"class {i + 1}" for i in range(annotated_classes(planes)[-1] + 1))
    problem = pose_problem(planes, scratch_spec([image], settings, "preview", names), settings)
    crop = draw_crop(planes, np.full(len(planes), 1 / len(planes)), problem, number, 0)
    return _shown(crop, names)


def deformed_grid(field: Field, step: int = GRID_STEP) -> NDArray[np.bool_]:
    """Where a field samples lines that are `step` pixels apart in the image."""
    return ((field.y % step) < 1) | ((field.x % step) < 1)


def _shown(crop: Crop, names: tuple[str, ...]) -> AugmentedCrop:
    return AugmentedCrop(
        crop.image.numpy(),
        deformed_grid(crop.field),
        crop.classes.numpy(),
        crop.weights.numpy(),
        names,
    )
