"""Where a result came from: everything needed to repeat it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..core.command import command_line
from ..core.feature_settings import FeatureSettings
from ..core.image import ImageBlock
from ..core.settings import PredictSettings
from .models import LoadedModel

PACKAGES = ("napari-papernets", "torch", "numpy", "scikit-image")


def versions() -> dict[str, str]:
    """Versions of what decides a result."""
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
    bundled = model.path is None or model.path.parent.name == "models"
    options = dict(
        model=model.spec.name if bundled else str(model.path),
        axes=image.axes,
        device=None if facts["device_asked"] == "auto" else facts["device_asked"],
        region=facts["region"],
        plane=facts["planes"] if image.stack_axes else None,
    )
    command = command_line("predict", [image.source or f"{image.name}.tif"], options, resolved)
    account = dict(
        verb="predict",
        model=model.spec.name,
        weights_sha256=model.sha256,
        image=dict(name=image.name, axes=image.axes, shape=image.shape, dtype=str(image.dtype)),
        settings=settings.to_dict(),
        **facts,
        versions=versions(),
        command=command,
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
        region, planes, random_weights, device.
    """
    options = dict(
        model=name,
        axes=image.axes,
        region=facts["region"],
        plane=facts["planes"] if image.stack_axes else None,
        random_weights=facts["random_weights"] or None,
    )
    account = dict(
        verb="features",
        model=name,
        weights_sha256=sha256,
        image=dict(name=image.name, axes=image.axes, shape=image.shape, dtype=str(image.dtype)),
        settings=settings.to_dict(),
        **facts,
        versions=versions(),
        command=command_line("features", [image.source or f"{image.name}.tif"], options, settings),
    )
    return json.loads(json.dumps(account))
