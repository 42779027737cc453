"""The verbs that the engine process knows, by name; their modules are imported there only."""

from __future__ import annotations

import importlib
import os
import platform
import threading
from collections.abc import Callable, Generator, Mapping
from typing import Any

from ..core.errors import InputError

VERBS: Mapping[str, str] = {
    "predict": "napari_papernets.engine.predict",
    "finetune": "napari_papernets.engine.finetune",
    "live": "napari_papernets.engine.live",
    "inspect": "napari_papernets.engine.inspect",
    "features": "napari_papernets.engine.features",
    "embedding": "napari_papernets.engine.embedding",
    "probe": "napari_papernets.engine.probe",
    "download": "napari_papernets.engine.downloads",
    "adopt": "napari_papernets.engine.downloads",
    "preview": "napari_papernets.engine.preview",
    "refine": "napari_papernets.engine.refine",
    "pretrain": "napari_papernets.engine.pretrain",
    "patches": "napari_papernets.engine.patches",
    "tune_crf": "napari_papernets.engine.tune_crf",
}

Verb = Callable[..., Generator[Any, Any, Any]]


def find_verb(name: str) -> Verb:
    """The generator function of that name.

    Raises
    ------
    InputError
        If there is none.
    """
    if name not in VERBS:
        raise InputError("verb", repr(name), f"choose one of {', '.join(VERBS)}")
    return getattr(importlib.import_module(VERBS[name]), name)


def prepare() -> dict[str, Any]:
    """Import all verbs, so that the first run need not wait; facts about this engine.

    Returns
    -------
    dict
        device, device_name, threads, cpus, python and versions, all of them plain values.
    """
    from ..networks import densecrf
    from ..networks.forest import compiled_walk
    from . import device, optimisation, provenance

    device.keep_heap()
    device.settle_kernels()
    for name in VERBS:
        find_verb(name)
    compiled_walk()
    optimisation.warm()
    # a first time takes seconds: beside the jobs, so that nobody waits for it who needs no CRF
    threading.Thread(target=densecrf.warm, name="warm up").start()
    return dict(
        device=str(device.pick_device("auto")),
        device_name=_device_name(),
        threads=_threads(),
        cpus=os.cpu_count() or 1,
        python=platform.python_version(),
        versions=provenance.versions(),
    )


def rest() -> None:
    """Give memory back to the system and to other programs on the GPU, until there is a job again."""
    from . import crf_solvers, device

    crf_solvers.kept_lattices().clear()
    device.release_memory()


def _device_name() -> str:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return platform.processor() or platform.machine()


def _threads() -> int:
    import torch

    return torch.get_num_threads()
