"""Repeats a live training as its course tells, to the same weights."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import InputError
from ..core.events import Event, Notice, Started
from ..core.image import ImageBlock
from ..core.model import class_infos
from ..core.results import Tuned
from ..core.tune_settings import TuneSettings
from ..model_files import model_path
from .course import BEGIN, FIT, GROW, KEEP, LOOK, READ, TAKE, Course, Deed, unpacked, view_of
from .learner import Learner
from .listener import Request

OF_THE_COURSE = ("steps", "seconds", "kind")  # settings that it has of its own


def repeat(
    request: Request, course: Course, path: Path, whole: Sequence[ImageBlock]
) -> Generator[Event, Any, Tuned]:
    """Do what a live training did, in the same order.

    Parameters
    ----------
    request : Request
        What `finetune` was asked; its annotations are what the course ends with.
    course : Course
        What was done.
    path : Path
        Where that was read.
    whole : sequence of ImageBlock
        The images with all their channels.

    Yields
    ------
    Event
        As `finetune`.

    Returns
    -------
    Tuned
        The model, with the same weights as the version beside which the course lies: exactly so on a CPU
        of the same kind, by as many threads.

    Raises
    ------
    InputError
        If images, annotations, classes or settings are not those of the course.
    """
    settings = _settings(request, course)
    if request.class_names is None or len(request.class_names) != course.classes:
        received = "none" if request.class_names is None else ", ".join(request.class_names)
        mend = f"name the {course.classes} classes of the course, in their order"
        raise InputError("classes", received, mend)
    _check_end(request, course, whole)
    learner = Learner(
        whole, course.annotations(whole, last=False), request.model, settings,
        class_infos(request.class_names), request.device, request.name, request.folder, 0, False,
    )  # fmt: skip
    with closing(learner):
        text = f"Repeats {course.steps} steps, with strokes as they were painted"
        stopped = (yield Started(course.steps, "step", text)) == "stop"
        differences = _differences(course, learner)
        for notice in (*learner.start.notices, *differences):
            stopped = (yield notice) == "stop" or stopped
        for event in _followed(learner, course.deeds):
            if stopped := ((yield event) == "stop" or stopped):
                break
        if stopped:
            learner.settle()
        exact = not (stopped or differences) and learner.device.type == "cpu"
        facts = dict(course=str(path), repeats_exactly=exact)
        reason = "stopped by the user" if stopped else "as its course says"
        target = model_path(request.folder, request.name)
        ref = learner.save(target, reason, verb="finetune", **facts)
        return Tuned(ref, learner.history, ref.spec.provenance)


def _followed(learner: Learner, deeds: Sequence[Deed]) -> Iterator[Event]:
    does: dict[str, Callable[..., None]] = {
        LOOK: lambda *values: learner.look_at(view_of(values)),
        READ: learner.read_view,
        TAKE: lambda *patches: learner.take([unpacked(one) for one in patches]),
        FIT: learner.fit_quickly,
        GROW: learner.grow,
        BEGIN: learner.begin_round,
        KEEP: learner.settle,
    }
    for kind, *values in deeds:
        if kind in does:
            does[kind](*values)
            continue
        for _ in range(values[0]):  # steps
            yield from learner.advance()


def _differences(course: Course, learner: Learner) -> list[Notice]:
    """What is otherwise than when the course was run."""
    then, found = course.made, []
    for name, now in learner.made.items():
        if then.get(name) != now:
            exact = name in ("images", "start")
            found.append(f"other {name}" if exact else f"{name} {then.get(name)} then, {now} now")
    if not found:
        return []
    return [Notice(f"Not the same weights: {'; '.join(found)}", dict(other=found))]


def _settings(request: Request, course: Course) -> TuneSettings:
    """Those of the course, which are not to be others than those that were asked for."""
    known, asked = TuneSettings.from_dict(course.settings), request.settings
    for name, value in asked.changed().items():
        there = getattr(known, name)
        if name not in OF_THE_COURSE and value != there:
            mend = f"the course was trained with {there!r}: leave it out, or train without the course"
            raise InputError(name, value, mend)
    return known


def _check_end(request: Request, course: Course, images: Sequence[ImageBlock]) -> None:
    """Refuse annotations that are others than those at the end of the course."""
    if len(request.annotations) != len(images):
        mend = f"give one for each of the {len(images)} images"
        raise InputError("annotations", len(request.annotations), mend)
    pairs = zip(images, course.annotations(images, last=True), request.annotations, strict=True)
    for image, known, given in pairs:
        if not np.array_equal(known, np.asarray(given)):
            received = f"other strokes on {image.name} than the course ends with"
            raise InputError("annotations", received, "leave out the course to learn from these")
