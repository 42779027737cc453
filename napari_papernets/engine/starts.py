"""Where a training starts: from scratch, from a model, or from a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ..core.errors import InputError, ModelError
from ..core.events import Notice
from ..core.image import ImageBlock
from ..core.model import ClassInfo, ModelRef, ModelSpec, class_infos
from ..core.tune_settings import TuneSettings
from ..model_files import find_model, holds_vgg16
from ..networks import DeepLab, HypercolumnUNet, UNet, VisionTransformer, ViTSegmenter, build
from ..networks.build import deeplab_spec, draw, unet_spec, with_hypercolumns
from ..networks.encoder_network import EncoderNetwork
from ..networks.forested import Forested
from ..networks.linear_head import ReadableNetwork
from ..networks.vit_segmenter import with_linear_head
from .annotated import Plane, read_planes
from .checkpoints import State
from .class_names import name_classes, notices_of_gaps, object_classes
from .encoder_starts import network_of_encoder
from .vgg_files import import_vgg16
from .weights import load_weights
from .windows import channels_of

AUTO, SCRATCH, TAUGHT = "auto", "scratch", "strokes"
DROPOUT = 0.5  # the papers'; with batch normalisation there is none
VGG_WIDTH = 64  # channels of DeepLab's first level at width 1


@dataclass(frozen=True, eq=False)
class Start:
    """Where a training starts: network, its description, and what was decided about it.

    `fits_head`: the last layer is to be fitted to the annotation before the first step.
    """

    spec: ModelSpec
    network: nn.Module
    fresh: bool
    notices: tuple[Notice, ...] = ()
    fits_head: bool = False


def prepare(
    images: Sequence[ImageBlock],
    annotations: Sequence[Any],
    model: str | Path | ModelRef,
    settings: TuneSettings,
    name: str,
    class_names: Sequence[str] | None,
    state: State | None,
) -> tuple[Start, list[Plane]]:
    """Read the annotated planes and the network to start from (of a checkpoint: as it was)."""
    if not images:
        raise InputError("images", "none", "give at least one image with its annotation")
    if state is not None:
        spec = ModelSpec.from_dict(state.facts["spec"])
        planes = read_planes(images, annotations, settings.kind, spec)
        fits = bool(state.facts.get("fits_head", False))
        return Start(spec, build(spec), bool(state.facts["fresh"]), fits_head=fits), planes
    base = _base(model, settings, settings.kind)
    feed = base.spec if base is not None else scratch_spec(images, settings, name, ())
    planes = read_planes(images, annotations, settings.kind, feed)
    names = name_classes(planes, settings, class_names, base)
    if base is None:
        spec = replace(feed, classes=class_infos(names or object_classes(settings.encoding)))
        network = draw(spec, settings.seed)
        fits = isinstance(network, ReadableNetwork)
        start = Start(spec, network, fresh=True, fits_head=fits)
    else:
        start = continue_from(base, names, settings, name)
    return replace(start, notices=start.notices + notices_of_gaps(planes, settings)), planes


def live_start(
    images: Sequence[ImageBlock],
    model: str | Path | ModelRef,
    settings: TuneSettings,
    name: str,
    classes: Sequence[ClassInfo],
) -> Start:
    """Where a live training starts: a network whose last layer can be fitted to strokes, for these
    classes; a U-Net gets one on hypercolumns.

    Raises
    ------
    InputError
        If there is no image.
    ModelError
        If the model is an unpadded U-Net, or does not take the images.
    """
    if not images:
        raise InputError("images", "none", "give at least one image")
    base = _base(model, settings, "strokes")
    if base is None:
        plain = settings.replace(kind="strokes", padding="same")
        spec = replace(scratch_spec(images, plain, name, ()), classes=tuple(classes))
        return Start(spec, draw(spec, settings.seed), fresh=True, fits_head=True)
    for image in images:
        base.spec.pick_channels(image)
    network = load_weights(base)
    if isinstance(network, EncoderNetwork):
        plain = settings.replace(kind="strokes", train="all")
        start = start_from_encoder(base, network, [c.name for c in classes], plain, name)
        return replace(start, spec=replace(start.spec, classes=tuple(classes)))
    names = [c.name for c in classes]
    same = [c.name for c in base.spec.classes] == names and base.spec.task == "semantic"
    if same and isinstance(network, ReadableNetwork):
        if isinstance(network, Forested):
            network.set_forest(None)
        return Start(replace(base.spec, name=name, classes=tuple(classes)), network, False)
    start = _with_new_head(base, network, names, settings.replace(kind="strokes"), name)
    if not start.fits_head:
        mend = (
            "choose a padded U-Net (its size must not shrink), a DeepLab or a ViT, or start from scratch"
        )
        raise ModelError("model", f"{base.name!r}, which is unpadded", mend)
    return replace(start, spec=replace(start.spec, classes=tuple(classes)))


def _base(model: str | Path | ModelRef, settings: TuneSettings, kind: str) -> ModelRef | None:
    """The model to start from; None is from scratch. "auto" is what was taught for strokes, a U-Net, or
    else from scratch; a file of VGG-16's weights is made a model first."""
    if isinstance(model, str) and model == AUTO:
        taught = kind == "strokes" and settings.architecture == "unet"
        model = TAUGHT if taught else SCRATCH
    if isinstance(model, str | Path) and holds_vgg16(path := Path(model).expanduser()):
        return import_vgg16(path)
    if model == SCRATCH:
        return None
    base = find_model(model)
    # Images of chosen channels have those only: what it once took of others does not matter.
    bare = replace(base.spec, channels=(), channels_of=0) if settings.channels else base.spec
    return replace(base, spec=bare)


def continue_from(
    base: ModelRef, names: Sequence[str] | None, settings: TuneSettings, name: str
) -> Start:
    """The network of `base`, with a new head where the classes are others.

    Raises
    ------
    ModelError
        If it is none of the networks that are trained here.
    """
    network = load_weights(base)
    if isinstance(network, EncoderNetwork):
        return start_from_encoder(base, network, names, settings, name)
    if not isinstance(network, UNet | DeepLab | VisionTransformer | ViTSegmenter):
        mend = "fine-tuning takes a U-Net, a DeepLab or a ViT; choose one, or start from scratch"
        raise ModelError("model", f"architecture {base.spec.architecture!r}", mend)
    same_task = base.spec.task == ("instances" if settings.kind == "instances" else "semantic")
    spec = replace(base.spec, name=name)
    if settings.kind == "instances" and same_task:
        return Start(spec, network, False, _encoding_notices(base, settings))
    if same_task and (names is None or len(names) == len(spec.classes)):
        classes = spec.classes if names is None else class_infos(names)
        return Start(replace(spec, classes=classes), network, False)
    return _with_new_head(base, network, names or object_classes(settings.encoding), settings, name)


def _with_new_head(
    base: ModelRef, network: nn.Module, names: Sequence[str], settings: TuneSettings, name: str
) -> Start:
    """The body of a network under a freshly drawn last layer for other classes."""
    task, encoding = _task(settings)
    spec = replace(base.spec, name=name, classes=class_infos(names), task=task, encoding=encoding)
    if task != base.spec.task:
        # those of other objects
        spec = replace(spec, threshold=0.5, object_diameter=None, object_solidity=None)
    transformer = isinstance(network, VisionTransformer | ViTSegmenter)
    padded = spec.options.get("padding") == "same"
    if transformer:
        spec = with_linear_head(spec, settings.density, settings.convolutions)
    elif isinstance(network, HypercolumnUNet) or (task == "semantic" and padded):
        spec = with_hypercolumns(spec)
    fresh = draw(spec, settings.seed)
    encoder = network.vit if isinstance(network, ViTSegmenter) else network
    body = {k: v for k, v in encoder.state_dict().items() if not k.startswith("head.")}
    (fresh.vit if isinstance(fresh, ViTSegmenter) else fresh).load_state_dict(body, strict=False)
    if isinstance(fresh, ViTSegmenter):
        fresh.find_positions()
    both = isinstance(network, ReadableNetwork) and isinstance(fresh, ReadableNetwork)
    if both and network.head.channels == fresh.head.channels:
        fresh.head.scales.copy_(network.head.scales)
    fits = isinstance(fresh, ReadableNetwork)
    if base.spec.task == "features":
        return Start(spec, fresh, False, fits_head=fits)
    notice = Notice(_what_is_kept(base.spec, spec), dict(new_head=len(names)))
    return Start(spec, fresh, False, (notice,), fits_head=fits)


def _what_is_kept(known: ModelSpec, wanted: ModelSpec) -> str:
    """What a model that was made for something else brings along, and what it does not."""
    brings = "it keeps what it sees in images and learns"
    if wanted.task == "instances":
        return f"The model tells classes apart and you have objects: {brings} to find objects anew"
    if known.task == "instances":
        return f"The model finds objects and you have classes: {brings} the classes anew"
    if len(known.classes) == len(wanted.classes):
        names = ", ".join(one.name for one in known.classes)
        return f"The model knows other classes ({names}): {brings} yours anew"
    theirs, yours = len(known.classes), len(wanted.classes)
    counted = f"{theirs} class" if theirs == 1 else f"{theirs} classes"
    return f"The model knows {counted} and you have {yours}: {brings} the classes anew"


def start_from_encoder(
    base: ModelRef,
    network: EncoderNetwork,
    names: Sequence[str] | None,
    settings: TuneSettings,
    name: str,
) -> Start:
    """A U-Net or DeepLab that begins with a pre-trained encoder, or a linear layer on it ("head").

    Raises
    ------
    InputError, ModelError
        If the encoder is no part of such a network and more than a linear layer is to be trained.
    """
    names = names or object_classes(settings.encoding)
    if settings.train != "head":
        spec, begun, whole = network_of_encoder(base, network, settings.architecture, settings.seed)
        start = _with_new_head(replace(base, spec=spec), begun, names, settings, name)
        return replace(start, fresh=not whole)
    task, encoding = _task(settings)
    spec = replace(base.spec, name=name, classes=class_infos(names), task=task, encoding=encoding)
    fresh = draw(spec, settings.seed)
    body = {k: v for k, v in network.state_dict().items() if not k.startswith("head.")}
    fresh.load_state_dict(body, strict=False)
    return Start(spec, fresh, False)


def _encoding_notices(base: ModelRef, settings: TuneSettings) -> tuple[Notice, ...]:
    if settings.encoding == base.spec.encoding:
        return ()
    message = f"Objects are encoded as {base.spec.encoding}, which the model has learnt"
    return (Notice(message, dict(encoding=base.spec.encoding)),)


def scratch_spec(
    images: Sequence[ImageBlock], settings: TuneSettings, name: str, classes: Sequence[str]
) -> ModelSpec:
    """A network from scratch for these images; their classes may not be known yet."""
    channels, normalisation = channels_of(images)
    task, encoding = _task(settings)
    if settings.architecture == "deeplab":
        about = dict(task=task, encoding=encoding, normalisation=normalisation)
        width = settings.width / VGG_WIDTH
        return deeplab_spec(name, channels, class_infos(classes), about, width=width)
    spec = unet_spec(
        name,
        channels,
        class_infos(classes),
        width=settings.width,
        depth=settings.depth,
        padding=settings.padding,
        norm=settings.norm,
        dropout=DROPOUT if settings.norm == "none" else 0.0,
        normalisation=normalisation,
        task=task,
        encoding=encoding,
    )
    quick = settings.kind == "strokes" and settings.padding == "same"
    return with_hypercolumns(spec) if quick else spec


def _task(settings: TuneSettings) -> tuple[Any, str]:
    if settings.kind == "instances":
        return "instances", settings.encoding
    return "semantic", ""
