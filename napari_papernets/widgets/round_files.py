"""Strokes and images of a round of training as files, and the command line that repeats it with them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.command import training_command
from ..core.events import Version
from ..core.image import ImageBlock
from ..core.part import Part
from ..files import write_labels
from ..journal import Place
from ..model_files import usable_name
from ..session import Session
from .live_plan import LivePlan

Plane = tuple[int, ...]


def write_round(
    session: Session,
    number: int,
    event: Version,
    plan: LivePlan,
    strokes: Mapping[Place, NDArray[Any]],
    start: str,
) -> str:
    """Write the strokes that a version learnt from into its session.

    Parameters
    ----------
    session : Session
        Where they go.
    number : int
        Of the version.
    event : Version
        What was learnt.
    plan : LivePlan
        How the training was begun.
    strokes : mapping of place to ndarray, shape (Y, X)
        As of the version.
    start : str
        Name of the model that it began with, or a file of it that stays.

    Returns
    -------
    str
        The command line that trains again on these strokes, from the same start, by as many steps.
    """
    folder = session.folder / "rounds" / f"{number:04}"
    pairs: list[tuple[Path, Path]] = []
    images: list[ImageBlock] = []
    for at, (image, name) in enumerate(zip(plan.images, _file_names(plan), strict=True)):
        planes = {plane: labels for (n, plane), labels in strokes.items() if n == plan.numbers[at]}
        if any(labels.any() for labels in planes.values()):
            target = folder / "annotations" / f"{name}.tif"
            write_strokes(target, image, planes)
            pairs.append((_image_file(session, plan.numbers[at], image), target))
            images.append(image)
    inputs = [str(path) for path in pairs[0]] if pairs else []
    if len(pairs) > 1:
        inputs = [str(_gather(folder / "images", pairs)), str(folder / "annotations")]
    if not all(image.source for image in images):
        images = []  # what the session keeps tells its axes, which may stand in another order
    return training_command(
        "finetune", inputs, images, plan.settings, event.step, plan.device,
        model=start, classes=",".join(c.name for c in event.model.spec.classes),
        name=usable_name(f"{session.folder.name} {number}"),
    )  # fmt: skip


def write_strokes(path: Path, image: ImageBlock, planes: dict[Plane, NDArray[np.generic]]) -> None:
    """Write the labels (Y, X) of some planes as one file of the shape of the image."""
    part = Part(image)
    whole = np.zeros(part.shape, np.uint8)
    for plane, labels in planes.items():
        whole[plane] = labels
    path.parent.mkdir(parents=True, exist_ok=True)
    write_labels(path, whole, part.axes, part.scale, image.unit)


def _file_names(plan: LivePlan) -> list[str]:
    """One for each image, as its file is or would be called; different ones."""
    names: list[str] = []
    for image in plan.images:
        stem = Path(image.source).stem if image.source else re.sub(r"[^\w. -]", "_", image.name)
        while stem in names:
            stem += "_"
        names.append(stem or "image")
    return names


def _image_file(session: Session, number: int, image: ImageBlock) -> Path:
    """The image's own file, or one in the session; written now where there is none."""
    if image.source:
        return Path(image.source)
    kept = session.kept_image(number)
    return kept or session.keep_image(number, image.data)


def _gather(folder: Path, pairs: list[tuple[Path, Path]]) -> Path:
    """A folder with the images, named as their strokes; linked where the system can."""
    folder.mkdir(parents=True, exist_ok=True)
    for image, strokes in pairs:
        place = folder / f"{strokes.stem}{image.suffix}"
        if not place.exists():
            try:
                os.symlink(image.resolve(), place)
            except OSError:
                shutil.copyfile(image, place)
    return folder
