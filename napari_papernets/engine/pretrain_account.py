"""What a pre-training was asked, and the account of what it did."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.command import training_command
from ..core.image import ImageBlock
from ..core.moco_settings import OF_WEIGHTS, MoCoSettings
from ..core.model import ModelRef, ModelSpec
from ..model_files import takes_place_of, user_folder
from ..networks.moco import world_and_rank
from .encoder_starts import SCRATCH
from .pretraining import Pretraining
from .provenance import file_of, where_trained

MOST_TOLD = 20  # images in the command
SEEN = 32  # pixels: side of the windows that stand for an image


@dataclass(frozen=True, eq=False)
class Request:
    """What a pre-training was asked."""

    images: Sequence[ImageBlock]
    model: str | Path | ModelRef
    settings: MoCoSettings
    name: str
    folder: Path
    shares: Sequence[float] | None
    about: Mapping[str, Any]
    strokes: Sequence[Any] | None = None
    device: str = "auto"
    inputs: Sequence[str] | None = None
    named: bool = True  # by the person, not by us


def describe(
    request: Request, spec: ModelSpec, training: Pretraining, notices: Sequence[str]
) -> ModelSpec:
    """The description of the trained encoder, with its provenance."""
    about = request.about
    settings = training.settings
    last = training.history[-100:]
    asked = request.settings.replace(**{name: getattr(settings, name) for name in OF_WEIGHTS})
    provenance = dict(
        verb="pretrain",
        base=base_of(request),
        settings=settings.to_dict(),
        **where_trained(request.images, training.device, training.bf16),
        steps_done=training.step,
        seconds=round(training.seconds, 1),
        stopped=training.stopped,
        loss=sum(r["loss"] for r in last) / len(last) if last else None,
        accuracy=sum(r["accuracy"] for r in last) / len(last) if last else None,
        processes=world_and_rank()[0],
        command=repeating_command(replace(request, settings=asked), training.step),
        repeats_exactly=training.repeats(
            as_planned=settings.seconds is None and training.as_planned,
            told=request.shares is None
            and (request.inputs is not None or len(request.images) <= MOST_TOLD)
            and not takes_place_of(request.folder, request.name, request.model),
        ),
        notices=list(notices),
    )
    provenance |= {k: v for k, v in about.items() if k not in ("description", "licence")}
    return replace(
        spec,
        description=about.get("description", "An encoder that learnt from images without annotation."),
        licence=about.get("licence", ""),
        provenance=json.loads(json.dumps(provenance)),
    )


def base_of(request: Request) -> str:
    """Name of what was started from."""
    return str(request.model.spec.name if isinstance(request.model, ModelRef) else request.model)


def repeating_command(request: Request, steps: int) -> str:
    """The command line that trains again, by steps where this run went by the clock."""
    base = request.model.path if isinstance(request.model, ModelRef) else request.model
    options = dict(
        model=None if base == SCRATCH else str(base),
        name=request.name if request.named else None,
        out=None if request.folder == user_folder() else str(request.folder),
    )
    inputs = request.inputs or [file_of(image) for image in request.images[:MOST_TOLD]]
    command = training_command(
        "pretrain", inputs, request.images, request.settings, steps, request.device, **options
    )
    processes = world_and_rank()[0]
    run = f"torchrun --nproc-per-node {processes} -m napari_papernets.cli"
    return command if processes == 1 else run + command.removeprefix("papernets")


def fingerprint_of(request: Request) -> str:
    """Checksum of what the images are and how often each is drawn, without reading all of them.

    Of each image small windows along the diagonal of three planes are read.
    """
    checksum = zlib.crc32(repr(request.shares).encode())
    for image in request.images:
        checksum = zlib.crc32(f"{image.axes} {image.shape} {image.dtype}".encode(), checksum)
        for plane in three(list(image.planes())):
            for y, x in zip(*(three(range(size)) for size in image.plane_shape), strict=False):
                window = image.read(plane, (y, y + SEEN), (x, x + SEEN))
                checksum = zlib.crc32(window.tobytes(), checksum)
    return f"{checksum:08x}"


def three(places: Sequence[Any]) -> list[Any]:
    """The first, the middle and the last of them; fewer where there are fewer."""
    last = len(places) - 1
    return [places[i] for i in sorted({0, last // 2, last})]
