"""Models in memory: loaded once, kept while they are in use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias

from torch import nn

from ..core.errors import ModelError
from ..core.model import ModelRef, ModelSpec, class_infos
from ..model_files import check_there, find_model
from ..networks import DeepLabLargeFOV, HypercolumnUNet, UNet
from ..networks.build import deeplab_spec, unet_spec, with_hypercolumns
from ..networks.deeplab import DeepLab, restored
from .runner import twin
from .weights import check_finite, hash_file, load_weights

ModelLike: TypeAlias = str | Path | ModelRef | nn.Module


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A network in memory with its description and the SHA-256 of its file ("" without a file)."""

    spec: ModelSpec
    network: nn.Module
    sha256: str
    path: Path | None


def load_model(model: ModelLike) -> LoadedModel:
    """Load a model by name, file or reference; a bare network stays as it is, on its device and in its
    mode.

    Raises
    ------
    ModelError
        If there is no such model, its file is damaged, or the bare network is neither U-Net nor DeepLab.
    """
    if isinstance(model, nn.Module):
        plain = isinstance(model, DeepLabLargeFOV) and not isinstance(model, DeepLab)
        network = restored(model) if plain else twin(model).eval()
        spec = describe_network(model)
        check_finite(model.state_dict(), "a network")
        return LoadedModel(spec, network, "", None)
    path = find_model(model).path
    check_there(path)
    return _load_file(path.absolute(), file_identity(path))


def describe_network(network: nn.Module) -> ModelSpec:
    """A description for a network that was built in code.

    Raises
    ------
    ModelError
        If it is neither a U-Net nor a DeepLab.
    """
    if not isinstance(network, UNet | DeepLabLargeFOV):
        mend = "give a UNet, a DeepLabLargeFOV, or the name or file of a saved model"
        raise ModelError("model", type(network).__name__, mend)
    classes = class_infos([f"class {i + 1}" for i in range(network.classes)])
    if isinstance(network, DeepLabLargeFOV):
        return deeplab_spec("network", network.in_channels, classes, {}, **network.options)
    if isinstance(network, HypercolumnUNet):
        plain = {name: value for name, value in network.options.items() if name != "forest"}
        spec = unet_spec("network", network.in_channels, classes, **plain, padding="same")
        return replace(with_hypercolumns(spec), options=network.options)
    return unet_spec("network", network.in_channels, classes, **network.options)


def file_identity(path: Path) -> tuple[int, ...]:
    """What changes when a file is written or replaced, even where a copy keeps the time of writing."""
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


@lru_cache(maxsize=2)
def _load_file(path: Path, _identity: tuple[int, ...]) -> LoadedModel:
    ref = find_model(path)
    return LoadedModel(ref.spec, load_weights(ref), hash_file(path), path)
