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
    "pretrain": "api_pretrain",
    "load_model": "api",
    "save_model": "api",
    "list_models": "model_files",
    "PredictSettings": "core.settings",
    "TuneSettings": "core.settings",
    "MoCoSettings": "core.moco_settings",
    "ImageBlock": "core.image",
    "ModelRef": "core.model",
    "ModelSpec": "core.model",
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
