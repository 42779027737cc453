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

from ..core.command import listed, training_command
from ..core.events import Version
from ..core.image import ImageBlock
from ..core.part import Part
from ..files import write_labels
from ..journal import Place
from ..model_files import COURSE_SUFFIX, usable_name
from ..session import Session
from ..session_files import copy_to_disk
from .live_plan import LivePlan

COURSE = "course.json"

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
        The command line that trains again on these strokes, from the same start, by as many steps; with
        the course of the version, as far as one is known, it does so stroke by stroke.
    """
    folder = session.folder / "rounds" / f"{number:04}"
    course = _keep_course(session, folder, event, plan, strokes)
    pairs: list[tuple[Path, Path]] = []
    images: list[ImageBlock] = []
    for at, (image, name) in enumerate(zip(plan.images, _file_names(plan), strict=True)):
        planes = {plane: labels for (n, plane), labels in strokes.items() if n == plan.numbers[at]}
        if course or any(labels.any() for labels in planes.values()):
            target = folder / "annotations" / f"{name}.tif"
            write_strokes(target, image, planes)
            pairs.append((_image_file(session, plan.numbers[at], image), target))
            images.append(image)
    as_read = all(
        file == Path(image.source or "") for (file, _), image in zip(pairs, images, strict=True)
    )
    inputs = [str(path) for path in pairs[0]] if pairs else []
    if len(pairs) > 1:
        inputs = [str(_gather(folder / "images", pairs)), str(folder / "annotations")]
    if not as_read:
        images = []  # what the session keeps tells its axes, which may stand in another order
    return training_command(
        "finetune", inputs, images, plan.settings, event.step, plan.device,
        model=start, classes=listed(c.name for c in event.model.spec.classes),
        name=usable_name(f"{session.folder.name} {number}"), course=course,
    )  # fmt: skip


def _keep_course(
    session: Session,
    folder: Path,
    event: Version,
    plan: LivePlan,
    strokes: Mapping[Place, NDArray[Any]],
) -> Path | None:
    """Take the course of a version into its round; None where there is none, or it needs an image that
    lies in no file and is too much to be written for that."""
    made = event.model.path.with_name(event.model.path.stem + COURSE_SUFFIX)
    for number, image in zip(plan.numbers, plan.images, strict=True):
        painted = any(n == number and labels.any() for (n, _), labels in strokes.items())
        filed = image.source or painted or session.kept_image(number)
        if not filed and not isinstance(image.data, np.ndarray):
            return None
    if not made.is_file():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    return copy_to_disk(made, folder / COURSE)


def write_strokes(path: Path, image: ImageBlock, planes: dict[Plane, NDArray[np.generic]]) -> None:
    """Write the labels (Y, X) of some planes as one file of the shape of the image."""
    part = Part(image)
    whole = np.zeros(part.shape, np.uint8)
    for plane, labels in planes.items():
        whole[plane] = labels
    path.parent.mkdir(parents=True, exist_ok=True)
    write_labels(path, whole, part.axes, part.scale, image.unit)


def _file_names(plan: LivePlan) -> list[str]:
    """One for each image, as its file is or would be called; where there are several, numbered, since a
    course knows them by their order."""
    width = len(str(len(plan.images)))
    names: list[str] = []
    for at, image in enumerate(plan.images, 1):
        stem = Path(image.source).stem if image.source else re.sub(r"[^\w. -]", "_", image.name)
        names.append(f"{at:0{width}} {stem}" if len(plan.images) > 1 else stem or "image")
    return names


def _image_file(session: Session, number: int, image: ImageBlock) -> Path:
    """The file in the session, or the image's own; written now where there is none."""
    kept = session.kept_image(number)
    if kept is None and image.source:
        return Path(image.source)
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
