"""Where a result came from: everything needed to repeat it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from ..core.command import command_line
from ..core.crf_settings import CRFSettings
from ..core.feature_settings import FeatureSettings
from ..core.image import ImageBlock
from ..core.predict_settings import PredictSettings
from ..image_folders import PROBABILITIES
from ..model_files import is_bundled
from .models import LoadedModel

PACKAGES = ("napari-papernets", "torch", "numpy", "scipy", "scikit-image", "scikit-learn")


def where_trained(images: Sequence[ImageBlock], device: torch.device, bf16: bool) -> dict[str, Any]:
    """What the account of every training tells: from which images, where, and with what."""
    names = [f"{i.name} {i.axes} {'×'.join(map(str, i.shape))}" for i in images]
    return dict(images=names, **made_with(device, bf16))


def made_with(device: torch.device, bf16: bool) -> dict[str, Any]:
    """What decides, beside seed and data, how weights are rounded."""
    return dict(
        device=str(device),
        precision="bfloat16" if bf16 else "float32",
        threads=torch.get_num_threads(),
        processor=torch.backends.cpu.get_cpu_capability(),
        versions=versions(),
    )


def versions() -> dict[str, str]:
    """Versions of what decides a result."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a source tree
            found[package] = "source"
    return found


def prediction_provenance(
    model: LoadedModel, image: ImageBlock, settings: PredictSettings, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """JSON-able account of a prediction.

    Parameters
    ----------
    model : LoadedModel
        The model that was used.
    image : ImageBlock
        The image that was given.
    settings : PredictSettings
        As asked for.
    facts : mapping
        What was decided: zoom, region, tiles, device, precision, notices, seconds.
    """
    resolved = settings.replace(zoom=facts["zoom"], precision=facts["precision"])
    bundled = model.path is not None and is_bundled(model.path)
    options = dict(
        model=model.spec.name if bundled else str(model.path),
        axes=image.axes,
        device=None if facts["device_asked"] == "auto" else facts["device_asked"],
        region=facts["region"],
        plane=facts["planes"] if image.stack_axes else None,
        probabilities=facts["probabilities"] or None,
    )
    # A network that is in no file cannot be named: nothing to type repeats this.
    repeatable = model.path is not None
    command = command_line("predict", [file_of(image)], options, resolved) if repeatable else ""
    account = dict(
        verb="predict",
        model=model.spec.name,
        architecture=model.spec.architecture,
        weights_sha256=model.sha256,
        image=_described(image),
        settings=settings.to_dict(),
        **facts,
        versions=versions(),
        command=command,
    )
    return json.loads(json.dumps(account))


def refinement_provenance(
    probabilities: Any,
    image: ImageBlock,
    settings: CRFSettings,
    source: str,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    """JSON-able account of a refinement.

    Parameters
    ----------
    probabilities : array
        As given.
    image : ImageBlock
        As given.
    settings : CRFSettings
        As asked for.
    source : str
        File of the probabilities; empty where there is none.
    facts : mapping
        What was decided and found: backend, device, region, grey values, energies, notices, seconds.
    """
    options = dict(
        axes=image.axes,
        backend=None if facts["backend"] == "torch" else facts["backend"],
        device=None if facts["device_asked"] == "auto" else facts["device_asked"],
        region=facts["region"],
        plane=facts["planes"] if image.stack_axes else None,
    )
    inputs = [source or f"{image.name}{PROBABILITIES}", file_of(image)]
    account = dict(
        verb="refine",
        probabilities=dict(source=source, shape=[int(n) for n in probabilities.shape]),
        image=_described(image),
        settings=settings.to_dict(),
        **facts,
        versions=versions() | _version_of("numba") | _version_of("pydensecrf2"),
        command=command_line("refine", inputs, options, settings),
    )
    return json.loads(json.dumps(account))


def features_provenance(
    name: str, sha256: str, image: ImageBlock, settings: FeatureSettings, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """JSON-able account of tokens that were read.

    Parameters
    ----------
    name, sha256 : str
        Of the model (its name, or its file) and of its weights.
    image : ImageBlock
        The image that was given.
    settings : FeatureSettings
        As asked for.
    facts : mapping
        region, planes, random_weights, device, device_asked.
    """
    options = dict(
        model=name,
        axes=image.axes,
        device=None if facts["device_asked"] == "auto" else facts["device_asked"],
        region=facts["region"],
        plane=facts["planes"] if image.stack_axes else None,
        random_weights=facts["random_weights"] or None,
    )
    account = dict(
        verb="features",
        model=name,
        weights_sha256=sha256,
        image=_described(image),
        settings=settings.to_dict(),
        **facts,
        versions=versions(),
        command=command_line("features", [file_of(image)], options, settings),
    )
    return json.loads(json.dumps(account))


def file_of(image: ImageBlock) -> str:
    """Where an image came from, or what its file would be called."""
    return image.source or re.sub(r'[/\\:*?"<>|]', "_", f"{image.name}.tif")


def _described(image: ImageBlock) -> dict[str, Any]:
    return dict(name=image.name, axes=image.axes, shape=image.shape, dtype=str(image.dtype))


@cache
def _version_of(package: str) -> dict[str, str]:
    try:
        return {package: version(package)}
    except PackageNotFoundError:
        return {}
