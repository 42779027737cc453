"""The verb `pretrain`: MoCo learns from images without annotation."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..atomic import check_folder
from ..core.errors import InputError
from ..core.events import Event, Notice, Started, Step
from ..core.image import ImageBlock
from ..core.moco_settings import MoCoSettings
from ..core.model import ModelRef, ModelSpec, class_infos
from ..core.results import Tuned
from ..files import read_image
from ..image_folders import list_folder
from ..model_files import model_path, reserved, still_free, user_folder
from ..networks import MoCo
from ..networks.build import encoder_spec
from ..networks.encoders import encoder_factory
from ..networks.moco import world_and_rank
from .checkpoints import check_resumable, checkpoint_path, read_state
from .device import trains_in_bf16
from .encoder_starts import NO_CLASSES, SCRATCH, adopted_notice, draw_head, encoder_of, take_over
from .far_greys import near_zero
from .normalise import normalisation_range
from .pretrain_account import Request, base_of, describe, fingerprint_of
from .pretraining import Pretraining, with_rate
from .processes import joined
from .stroke_probe import ProbedStrokes, Prober
from .views import window_side
from .weights import save_weights
from .windows import WindowSource, channels_of

USUAL_NAME = "moco"


def pretrain(
    images: Sequence[ImageBlock],
    model: str | Path | ModelRef = SCRATCH,
    settings: MoCoSettings | None = None,
    *,
    device: str = "auto",
    name: str | None = None,
    folder: Path | None = None,
    resume: bool = False,
    shares: Sequence[float] | None = None,
    about: Mapping[str, Any] | None = None,
    strokes: Sequence[Any] | None = None,
    folder_of_images: str | None = None,
    inputs: Sequence[str] | None = None,
) -> Generator[Event, Any, Tuned]:
    """Train an encoder by momentum contrast.

    Under ``torchrun`` the processes share every batch; each runs this verb.

    Parameters
    ----------
    images : sequence of ImageBlock
        Any number, of any sizes, grey among colour; read window by window, so they may be larger than
        memory.
    model : str, Path or ModelRef
        Where to start: "scratch"; a model of an encoder or a U-Net, by name, file or reference; or a
        public MoCo checkpoint of a ResNet (``.pth``, ``.pth.tar``, ``.pt``).
    settings : MoCoSettings, optional
        How to train. Encoder, width and depth are those of `model` if there is one; a `Notice` names
        those that were asked for in vain.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to train.
    name : str, optional
        Of the new model, which replaces one of that name. Without it "moco", or "moco-2", … so that
        none is replaced.
    folder : Path, optional
        Where the model and its checkpoint go; the user's model folder by default.
    resume : bool
        Go on from the checkpoint of that name, without one from the last of these: the result is that of
        an uninterrupted training. Images, shares, `model` and settings must be those that it began with,
        but for its length.
    shares : sequence of float, optional
        How often each image is drawn, relative to the others; all alike by default.
    about : mapping, optional
        `description`, `licence`, and further provenance for the new model.
    strokes : sequence of array or None, optional
        For each image strokes (0 not annotated, 1…K classes) or None. Nothing is learnt from them: they
        judge, now and then, whether the encoder got better.
    folder_of_images : str, optional
        A folder of further images, which are read here.
    inputs : sequence of str, optional
        The images as a command line names them, for the command that repeats this; where they came
        from by default.

    Yields
    ------
    Event
        `Started`, then `Step` after every step, `LookUps` twice a second at most, `StrokeProbe` where
        there are strokes, `Checkpoint` when the state was written, `Notice` for what to know.
        ``send("stop")`` ends the training and keeps the model; ``close()`` cancels it (the last
        checkpoint stays).

    Returns
    -------
    Tuned
        The saved encoder ("features", no classes: a start for training), history and provenance.

    Raises
    ------
    InputError
        If the images, the model and the settings do not fit each other, or the checkpoint.
    """
    folder = folder or user_folder()
    check_folder(folder)
    if folder_of_images is not None:
        further = [read_image(path) for path in list_folder(folder_of_images).images]
        strokes = None if strokes is None else [*strokes, *([None] * len(further))]
        images = [*images, *further]
    if strokes is not None and len(strokes) != len(images):
        raise InputError("strokes", len(strokes), f"give one, or None, for each of {len(images)} images")
    with reserved(name, USUAL_NAME, folder, resume) as chosen:
        request = Request(
            images,
            model,
            settings or MoCoSettings(),
            chosen,
            folder,
            shares,
            about or {},
            strokes,
            device,
            inputs,
            name is not None,
        )
        return (yield from train(request, resume))


def train(request: Request, resume: bool) -> Generator[Event, Any, Tuned]:
    """Train, and write the encoder, under a name that is ours."""
    folder = request.folder
    free = not (request.named or model_path(folder, request.name).exists())
    with joined(request.device) as here:
        spec, training, prober = open_pretraining(request, here, resume)
        notices: list[str] = []
        with closing(training):
            yield from run(training, request, prober, notices)
            training.keep()
        if free and world_and_rank()[1] == 0:
            request = replace(request, name=still_free(request.name, USUAL_NAME, folder))
        spec = describe(request, replace(spec, name=request.name), training, notices)
        path = model_path(folder, spec.name)
        ref = ModelRef(spec, path)
        if world_and_rank()[1] == 0:
            ref = save_weights(spec, weights_of(training.model, spec), path)
    return Tuned(ref, tuple(training.history), spec.provenance)


def open_pretraining(
    request: Request, device: torch.device, resume: bool
) -> tuple[ModelSpec, Pretraining, Prober | None]:
    """Check everything, and make ready for the first step."""
    path = checkpoint_path(request.folder, request.name)
    state = read_state(path, "pretrain") if resume else None
    channels, normalisation = channels_of(request.images)
    start = encoder_of(request.model)
    settings = with_rate(start.adopt(request.settings))
    spec = encoder_spec(
        request.name,
        channels if start.in_channels is None else start.in_channels,
        class_infos(NO_CLASSES),
        settings.encoder,
        settings.width,
        settings.depth,
        normalisation=start.normalisation or normalisation,
        task="features",
    )
    check_batch(settings, spec)
    check_signal(request.images, spec)
    source = WindowSource(
        request.images, spec, window_side(settings), settings.crop, settings.seed, request.shares
    )
    fingerprint = fingerprint_of(request)
    if state is not None:
        check_resumable(state, settings, fingerprint, base_of(request))
    model = draw_moco(settings, spec.in_channels)
    if start.weights is not None:
        take_over(model, start.weights)
    bf16 = trains_in_bf16(settings.precision, device)
    identity = dict(fingerprint=fingerprint, spec=spec.to_dict(), base=base_of(request))
    training = Pretraining(model, source, settings, device, bf16, path, identity)
    prober = make_prober(request, spec, training)
    if state is not None:
        training.restore(state)
    return spec, training, prober


def make_prober(request: Request, spec: ModelSpec, training: Pretraining) -> Prober | None:
    """What judges by strokes, before the first step; None without strokes, or in a further process."""
    pairs = list(zip(request.images, request.strokes or (), strict=request.strokes is not None))
    given = [(image, strokes) for image, strokes in pairs if strokes is not None]
    if not given or world_and_rank()[1]:
        return None
    probed = ProbedStrokes([i for i, _ in given], [s for _, s in given], spec)
    settings = training.settings
    drawn = draw_moco(settings.replace(seed=(settings.seed + 1) % 2**31, K=1), spec.in_channels)
    random = drawn.encoder_q.to(training.device, memory_format=torch.channels_last)
    return Prober(probed, training.model.encoder_q, random, training.device, training.bf16)


def draw_moco(settings: MoCoSettings, in_channels: int) -> MoCo:
    """MoCo with weights drawn by the seed; torch's own generator stays as it was."""
    s, dense = settings, settings.contrast == "dense"
    encoder = encoder_factory(s.encoder, in_channels, s.width, s.depth, dense)
    with torch.random.fork_rng([]):
        torch.manual_seed(s.seed)
        return MoCo(
            encoder,
            s.dim,
            s.K,
            s.m,
            s.T,
            s.mlp,
            bn_groups=max(1, s.bn_groups // world_and_rank()[0]),
            near=s.near,
            queue_device="cpu" if s.queue_device == "cpu" else None,
        )


def check_batch(settings: MoCoSettings, spec: ModelSpec) -> None:
    """Refuse a batch that processes or groups cannot share, or a crop that the network cannot take.

    Raises
    ------
    InputError
        Naming the setting.
    """
    world, _ = world_and_rank()
    shared = max(world, settings.bn_groups)
    if shared % world:
        mend = f"give a multiple of the {world} processes"
        raise InputError("bn_groups", settings.bn_groups, mend)
    if settings.batch % shared or settings.batch // shared < 2:
        mend = f"give a multiple of {shared}, at least {2 * shared} (BN groups, processes)"
        raise InputError("batch", settings.batch, mend)
    valid = spec.size_rule.round_up(settings.crop)
    if valid != settings.crop or valid < 2 * spec.size_rule.step:
        mend = f"give a multiple of {spec.size_rule.step}, at least {2 * spec.size_rule.step}"
        raise InputError("crop", settings.crop, mend)


def check_signal(images: Sequence[ImageBlock], spec: ModelSpec) -> None:
    """Refuse images of one grey value, by their first planes.

    Raises
    ------
    InputError
        If none of them holds another.
    """
    for image in map(near_zero, images):
        plane = next(image.planes())
        low, high = normalisation_range(image, plane, spec.pick_channels(image), spec.normalisation)
        if (high > low).any():
            return
    others = " and all others" if images[1:] else ""
    received = f"{images[0].name}{others} of one grey value"
    raise InputError("images", received, "give images with something to see")


def run(
    training: Pretraining, request: Request, prober: Prober | None, notices: list[str]
) -> Generator[Event, Any, None]:
    """Advance a training to its end."""
    planes = sum(sum(1 for _ in image.planes()) for image in request.images)
    total = training.total_steps if training.settings.seconds is None else 0
    message = f"{len(request.images)} images, {planes} planes, {training.settings.encoder} encoder"

    def take(sent: Any) -> None:
        if sent == "stop":
            training.stop("asked to stop")

    take((yield Started(total or 0, "step", message)))
    for notice in _to_know(training, request):
        notices.append(notice.message)
        take((yield notice))
    for event in training.run():
        if isinstance(event, Notice):
            notices.append(event.message)
        take((yield event))
        if prober is not None and isinstance(event, Step) and prober.is_due:
            take((yield prober.score(training.step)))
    if not training.step:
        notices.append("Not trained: no step was done, so these are the weights it began with")
        yield Notice(notices[-1])
    if prober is not None:
        yield prober.score(training.step)
    if not training.diverged:
        yield training.save()


def _to_know(training: Pretraining, request: Request) -> list[Notice]:
    """What to say before the first step."""
    found = (
        adopted_notice(request.settings, training.settings, base_of(request)),
        _smaller_than(training.settings.crop, request.images),
    )
    return [notice for notice in found if notice is not None]


def _smaller_than(crop: int, images: Sequence[ImageBlock]) -> Notice | None:
    """What to say of images that are smaller than the crops; None where there is none."""
    small = [image for image in images if min(image.plane_shape) < crop]
    if not small:
        return None
    sides = "×".join(map(str, small[0].plane_shape))
    message = (
        f"{len(small)} of {len(images)} images are smaller than the crops of {crop}×{crop} pixels, "
        f"such as {small[0].name} ({sides}): they are mirrored at their borders. Lower crop."
    )
    return Notice(message, dict(smaller=len(small), crop=crop))


def weights_of(model: MoCo, spec: ModelSpec) -> dict[str, torch.Tensor]:
    """The query encoder's weights as those of the network that `spec` describes."""
    body = {f"encoder.{k}": v for k, v in model.encoder_q.state_dict().items()}
    return {k: v for k, v in body.items() if not k.startswith("encoder.fc.")} | draw_head(spec)
