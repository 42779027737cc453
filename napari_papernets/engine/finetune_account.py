"""What a training tells of itself: the description of its model, and the command that repeats it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.command import listed, training_command
from ..core.image import ImageBlock
from ..core.model import ModelRef, ModelSpec
from ..model_files import takes_place_of, user_folder
from .annotated import Plane
from .convexity import object_solidities
from .listener import Request
from .metrics import estimate_diameter
from .provenance import file_of, where_trained
from .starts import AUTO
from .training import Training


def describe(
    request: Request,
    spec: ModelSpec,
    planes: Sequence[Plane],
    training: Training,
    facts: Mapping[str, Any],
) -> ModelSpec:
    """The description of the trained model, with its provenance."""
    about = request.about
    provenance = account(request, planes, training) | dict(facts)
    provenance |= {k: v for k, v in about.items() if k not in ("description", "licence")}
    objects = [p.annotation for p in planes if p.kind == "instances"]
    diameters = [d for labels in objects if (d := estimate_diameter(labels))]
    solidities = [s for labels in objects for s in object_solidities(labels)]
    return replace(
        spec,
        object_diameter=float(np.median(diameters)) if diameters else spec.object_diameter,
        object_solidity=float(np.percentile(solidities, 25)) if solidities else spec.object_solidity,
        description=about.get("description", spec.description),
        licence=about.get("licence", spec.licence),
        provenance=json.loads(json.dumps(provenance)),
    )


def account(request: Request, planes: Sequence[Plane], training: Training) -> dict[str, Any]:
    """What was done, JSON-able."""
    settings = training.settings
    return dict(
        verb="finetune",
        base=str(getattr(request.model, "name", request.model)),
        settings=settings.to_dict(),
        **where_trained(request.images, training.device, training.bf16),
        annotated_planes=len(planes),
        held_out_planes=sum(bool(p.held.any()) for p in planes),
        score=training.best_score if training.best else None,
        steps_done=training.step,
        seconds=round(training.seconds, 1),
        stopped=training.stopped,
        plans=training.plans,
        command=repeating_command(request, training.step),
        repeats_exactly=training.repeats(
            as_planned=settings.seconds is None and len(training.plans) == 1,
            told=request.shares is None
            and not takes_place_of(request.folder, request.name, request.model),
        ),
    )


def start_of(request: Request) -> str:
    """The file or the name of what a training starts from."""
    return str(request.model.path if isinstance(request.model, ModelRef) else request.model)


def repeating_command(request: Request, steps: int) -> str:
    """The command line that trains again, by steps where this run went by the clock."""
    options = dict(
        model=None if start_of(request) == AUTO else start_of(request),
        classes=listed(request.class_names) if request.class_names else None,
        name=request.name if request.named else None,
        out=None if request.folder == user_folder() else str(request.folder),
    )
    inputs = request.inputs or usual_inputs(request.images)
    return training_command(
        "finetune", inputs, request.images, request.settings, steps, request.device, **options
    )


def usual_inputs(images: Sequence[ImageBlock]) -> list[str]:
    """Where the images came from, or would be, and a name for their annotations."""
    if len(images) > 1:
        return [str(Path(file_of(images[0])).parent), "annotations"]
    return [file_of(images[0]), "annotations.tif"]
