"""napari-papernets: four papers on your own image.

>>> import napari_papernets as pn
>>> prediction = pn.predict(image, "nuclei")  # doctest: +SKIP

The verbs are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ._version import __version__

_HOMES = {
    "predict": "api",
    "finetune": "api",
    "refine": "api",
    "features": "api",
    "pretrain": "api_pretrain",
    "load_model": "api",
    "save_model": "api",
    "list_models": "model_files",
    "CRFSettings": "core.crf_settings",
    "PredictSettings": "core.predict_settings",
    "TuneSettings": "core.tune_settings",
    "FeatureSettings": "core.feature_settings",
    "MoCoSettings": "core.moco_settings",
    "ImageBlock": "core.image",
    "ModelRef": "core.model",
    "ModelSpec": "core.model",
    "FeatureMaps": "core.feature_maps",
    "Prediction": "core.results",
    "Tuned": "core.results",
    "InputError": "core.errors",
    "ModelError": "core.errors",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(__all__)
