"""The verb `finetune`: a U-Net or a DeepLab learns from annotations, dense or sparse."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..atomic import check_folder
from ..core.errors import InputError
from ..core.events import Event, Notice, Started
from ..core.image import ImageBlock
from ..core.model import ModelRef
from ..core.results import Tuned
from ..core.tune_settings import TuneSettings
from ..model_files import model_path, reserved, still_free, user_folder
from ..networks.forested import Forested
from ..networks.linear_head import ReadableNetwork
from .annotated import Plane, hold_out
from .checkpoints import called, check_resumable, checkpoint_path, fingerprint_of, read_state
from .course import Course, read_course
from .crops import pose_problem
from .device import pick_device, trains_in_bf16
from .finetune_account import describe, start_of
from .grow import ForestGrower
from .listener import Listener, Request, chances_of
from .optimisation import with_rates
from .quick import HeadFitter
from .recipes import recipe_of
from .repeat import repeat
from .shared_scale import with_shared_scale
from .starts import AUTO, Start, prepare
from .teacher import Teacher
from .threshold import fit_threshold
from .training import Training
from .weights import save_weights

USUAL_NAME = "tuned"


def finetune(
    images: Sequence[ImageBlock],
    annotations: Sequence[Any],
    model: str | Path | ModelRef = AUTO,
    settings: TuneSettings | None = None,
    *,
    device: str = "auto",
    name: str | None = None,
    class_names: Sequence[str] | None = None,
    folder: Path | None = None,
    resume: bool = False,
    shares: Sequence[float] | None = None,
    about: Mapping[str, Any] | None = None,
    inputs: Sequence[str] | None = None,
    course: Path | None = None,
) -> Generator[Event, Any, Tuned]:
    """Train a model from annotated images.

    Parameters
    ----------
    images : sequence of ImageBlock
        Any number, of any sizes; either all with the same channels, or grey among colour.
    annotations : sequence of array
        For each image integers with its stack axes, then Y and X; `settings.kind` says what they
        mean. Planes of a stack without annotation are left out.
    model : str, Path or ModelRef
        A model to start from, by name, file or reference; "scratch"; or "auto": for strokes the bundled
        start that was taught to learn from them, else from scratch. A file of VGG-16's weights with
        torchvision's names (.safetensors, .pth) starts a DeepLab on them, and is kept as a model.
    settings : TuneSettings, optional
        How to train.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to train.
    name : str, optional
        Of the new model, which replaces one of that name. Without it "tuned", or "tuned-2", … so that
        none is replaced.
    class_names : sequence of str, optional
        Names of the classes ("strokes" and "classes" only).
    folder : Path, optional
        Where the model and its checkpoint go; the user's model folder by default.
    resume : bool
        Go on from the checkpoint of that name, without one from the last of these: the result is that of
        an uninterrupted training.
    shares : sequence of float, optional
        How often each image is drawn, relative to the others; all alike by default.
    about : mapping, optional
        `description`, `licence`, and further provenance for the new model.
    inputs : sequence of str, optional
        Images and annotations as a command line names them, for the command that repeats this; where
        the images came from by default.
    course : Path, optional
        Of a live training (beside its version): it is repeated stroke by stroke, to the same weights.
        `annotations` are those that it ends with.

    Yields
    ------
    Event
        `Started`, then `Step` after every optimiser step, `EpochDone` when the model was judged on
        what is held out, `Checkpoint` when the state was written, `Notice` for what to know.
        ``send("stop")`` ends the training and keeps the model; ``close()`` cancels it (the last
        checkpoint stays). New strokes can be sent as a `Patch`: the next step learns from them.

    Returns
    -------
    Tuned
        The saved model, the history and the provenance. The best model by the held-out score is
        kept, or the last where nothing could be held out; the provenance says which. The score is that
        of the network before strokes that were held out are learnt too, in closed form, at the end.
        Where strokes are too few to hold any out, the quick fit of a model that had learnt before is
        kept: a training by so few does as often harm. With ``held_out=0`` it is trained all the same.

    Raises
    ------
    InputError
        If images and annotations do not fit each other, the model or the settings.
    """
    folder = folder or user_folder()
    check_folder(folder)
    settings = settings or TuneSettings()
    picked = [image.pick(settings.channels) for image in images]
    known = _course(course, resume, shares)
    with reserved(name, USUAL_NAME, folder, resume) as chosen:
        request = Request(
            picked,
            annotations,
            model,
            settings,
            device,
            chosen,
            class_names,
            folder,
            shares,
            about or {},
            inputs,
            name is not None,
        )
        if course is not None and known is not None:
            return (yield from repeat(request, known, course, images))
        return (yield from train(request, resume, images))


def _course(path: Path | None, resume: bool, shares: Sequence[float] | None) -> Course | None:
    """What to repeat, if anything; refuses what would make it another training."""
    if path is None:
        return None
    if resume:
        raise InputError("resume", "with a course", "leave it out: a course is repeated from its start")
    if shares is not None:
        raise InputError("shares", list(shares), "leave them out: the course was trained without")
    return read_course(path)


def train(request: Request, resume: bool, whole: Sequence[ImageBlock]) -> Generator[Event, Any, Tuned]:
    """Train, and write the model, under a name that is ours; `whole` has all channels of the images."""
    folder = request.folder
    free = not (request.named or model_path(folder, request.name).exists())
    start, planes, training = open_training(request, resume)
    notices = list(start.notices)
    begun = training.identity["start"]
    if called(begun) != called(start_of(request)):
        text = f"It goes on from the checkpoint, which began with {begun}, not with {start_of(request)}"
        notices.append(Notice(text))
        request = replace(request, model=begun)
    with closing(training):
        listener = Listener(request, start.spec, planes, training)
        yield from run(training, notices, len(planes), listener)
        kept, kept_step = training.keep()
        listener.finish(refit=start.fits_head and kept_step == 0)
    if free:
        request = replace(request, name=still_free(request.name, USUAL_NAME, folder))
    facts = dict(kept=kept, kept_step=kept_step, notices=[n.message for n in notices])
    if listener.arrivals:
        facts |= dict(arrivals=listener.arrivals, repeats_exactly=False)
    spec = start.spec.trained_on(request.settings.channels, whole[0])
    spec = describe(request, replace(spec, name=request.name), listener.planes, training, facts)
    if isinstance(start.network, Forested):
        spec = replace(spec, options=start.network.options)
    if training.settings.kind == "instances":
        threshold, solidity = yield from fit_threshold(
            start.network, training.planes, spec, training.device, training.bf16
        )
        spec = replace(spec, threshold=threshold, object_solidity=solidity)
    ref = save_weights(spec, start.network.state_dict(), model_path(folder, spec.name))
    return Tuned(ref, tuple(training.history), spec.provenance)


def open_training(request: Request, resume: bool) -> tuple[Start, list[Plane], Training]:
    """Check everything, read the annotated planes, and make ready for the first step."""
    began = time.monotonic()
    settings, device = request.settings, pick_device(request.device)
    path = checkpoint_path(request.folder, request.name)
    state = read_state(path) if resume else None
    start, planes = prepare(
        request.images,
        request.annotations,
        request.model,
        settings,
        request.name,
        request.class_names,
        state,
    )
    if settings.kind == "strokes" and isinstance(start.network, Forested):
        start = replace(start, spec=with_shared_scale(start.spec, request.images[0]))
        planes = [plane.on_scale(start.spec.normalisation.shared) for plane in planes]
    settings = with_rates(settings, recipe_of(start.spec.architecture), start.fresh)
    chances = chances_of(planes, request.shares, len(request.images))
    fingerprint = fingerprint_of(planes, chances)
    if state is not None:
        check_resumable(state, settings, fingerprint)
    planes = hold_out(planes, settings.held_out, settings.seed)
    bf16 = trains_in_bf16(settings.precision, device)
    fits = start.fits_head and state is None and settings.kind != "instances"
    if fits and isinstance(start.network, ReadableNetwork):
        HeadFitter(start.network.to(device), device, bf16).fit(planes)
    teacher = None
    if settings.kind == "strokes" and isinstance(start.network, Forested):
        growing = time.monotonic()
        ForestGrower(start.network.to(device), device, settings.seed).grow(planes)
        if any(plane.held.any() for plane in planes):
            began -= time.monotonic() - growing  # in the end it is grown again, from all of them
        teacher = Teacher(start.network, device, bf16)
    begun = start_of(request) if state is None else state.facts.get("start", start_of(request))
    decided = dict(fresh=start.fresh, fits_head=start.fits_head, start=begun)
    identity = dict(spec=start.spec.to_dict(), fingerprint=fingerprint, **decided)
    training = Training(
        start.network,
        planes,
        chances,
        pose_problem(planes, start.spec, settings, start.fresh),
        device,
        bf16,
        start.fresh,
        path,
        identity,
        teacher,
    )
    if state is not None:
        training.restore(state)
    else:
        training.count_from(began)
    return start, planes, training


def run(
    training: Training, notices: list[Notice], planes: int, listener: Listener
) -> Generator[Event, Any, None]:
    """Advance a training to its end. Adds its own notices."""
    held = f", judged on {len(training.judged)} held-out crops" if training.judged else ""
    total = training.total_steps if training.settings.seconds is None else 0
    message = f"{len(training.planes)} of {planes} planes to learn from{held}"
    untold = bool(training.settings.held_out) and not training.judged
    if training.teacher and untold and not training.fresh:
        training.stop("too few strokes to judge a training by")
        more = "paint five strokes of a class, or hold nothing out (held_out=0)"
        notices.append(Notice(f"Quick fit, not trained: {training.stopped}; {more}", dict(few=True)))
    first: list[Event] = [Started(total or 0, "step", message), *notices]
    for event in first:
        listener.take((yield event))
    if training.judged and not training.fresh and training.step == 0:
        listener.take((yield training.judge()))  # what training must surpass
    while not training.finished:
        for event in training.advance():
            if isinstance(event, Notice):
                notices.append(event)
            listener.take((yield event))
    fitted = training.identity["fits_head"] and training.settings.kind != "instances"
    if not (training.step or fitted or training.teacher):
        notices.append(Notice("Not trained: no step was done, so these are the weights it began with"))
        listener.take((yield notices[-1]))
    listener.take((yield training.save()))
    if training.judged_step != training.step:
        listener.take((yield training.judge()))
