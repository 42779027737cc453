"""A user's file of VGG-16's weights becomes a model to start a DeepLab from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..core.checkpoints import IMAGENET_MEAN, IMAGENET_STD
from ..core.errors import ModelError
from ..core.model import ModelRef, class_infos
from ..model_files import SUFFIX, read_spec, user_folder
from ..networks.build import deeplab_spec
from ..networks.vgg16 import FC6, from_vgg16, with_unit_maps
from .torch_files import read_checkpoint
from .weights import hash_file, save_weights

NAME = "vgg16"


def import_vgg16(path: Path, folder: Path | None = None) -> ModelRef:
    """Re-purpose VGG-16's weights for DeepLab and keep them as a model "vgg16".

    The file is read once: afterwards the model is found by name, in the list too. A second, other file
    becomes another model, named after its checksum.

    Parameters
    ----------
    path : Path
        A state dict with torchvision's names: ``.safetensors``, or a ``.pth`` that holds nothing but
        tensors.
    folder : Path, optional
        Where the model is kept; the user's own by default.

    Returns
    -------
    ModelRef
        A start without classes (task "features").

    Raises
    ------
    ModelError
        If the file is damaged or holds other weights.
    """
    folder, checksum = folder or user_folder(), hash_file(path)
    for name in (NAME, f"{NAME}-{checksum[:8]}"):
        kept = folder / f"{name}{SUFFIX}"
        if not kept.exists():
            return _convert(path, kept, name, checksum)
        spec = read_spec(kept)
        if spec.provenance.get("source_sha256") == checksum:
            return ModelRef(spec, kept)
    raise ModelError("model", str(kept), "it is another model: remove or rename it")


def _convert(path: Path, kept: Path, name: str, checksum: str) -> ModelRef:
    weights = _read(path)
    whole = f"{FC6}.weight" in weights
    if not whole:
        weights = with_unit_maps(weights)
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        network = from_vgg16(weights, 2, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    about = dict(
        task="features",
        description="VGG-16, re-purposed for DeepLab"
        + ("" if whole else " (its convolutions; fc6 and fc7 are drawn)"),
        provenance=dict(source=path.name, source_sha256=checksum, classifier=whole),
    )
    none_yet = class_infos(["background", "object"])  # as long as it is a start
    spec = deeplab_spec(name, 3, none_yet, about, **network.options)
    kept.parent.mkdir(parents=True, exist_ok=True)
    return save_weights(spec, network.state_dict(), kept)


def _read(path: Path) -> Mapping[str, Any]:
    weights = read_checkpoint(path)
    if not all(isinstance(v, Tensor) for v in weights.values()):
        mend = "give the state dict of torchvision's vgg16"
        raise ModelError("model", f"{path.name}, which holds no state dict", mend)
    return weights
