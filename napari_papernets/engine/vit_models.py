"""Vision Transformers in memory: from a model file, a public checkpoint, or built in code."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..core.errors import InputError, ModelError
from ..core.model import ModelRef, ModelSpec
from ..model_files import SUFFIX, find_model, is_model_file
from ..networks import VisionTransformer
from ..networks.vit import SIZES
from ..networks.vit_segmenter import ViTSegmenter, vit_spec
from .models import file_identity, load_model
from .runner import twin
from .torch_files import read_checkpoint
from .weights import save_weights

RANDOM_SEED = 0
RANDOM = {f"random-{name}": name for name in ("tiny", "small")}  # without any weights at hand


@dataclass(frozen=True, eq=False)
class LoadedViT:
    """An encoder with its description, and a name for its weights: SHA-256 of the file, or of them."""

    spec: ModelSpec
    network: VisionTransformer
    sha256: str
    path: Path | None = None
    random: bool = False

    @property
    def label(self) -> str:
        """What to type to get it again: its name, or its file where it is nobody's model yet."""
        return self.spec.name if self.path is None else str(self.path)


def load_vit(model: str | Path | ModelRef | nn.Module, random_weights: bool = False) -> LoadedViT:
    """The Vision Transformer of a model.

    Parameters
    ----------
    model : str, Path, ModelRef or nn.Module
        Name or file of a model; a file of a public checkpoint (``.safetensors``, or ``.pth`` without
        code in it); a VisionTransformer, or a ViTSegmenter; "random-tiny" or "random-small", which have
        learnt nothing.
    random_weights : bool
        The control: the same network with freshly drawn weights, the same at every call.

    Raises
    ------
    ModelError
        If it is no Vision Transformer, or the file cannot be read.
    """
    loaded = _load(model)
    if not random_weights:
        return loaded
    network = _draw(loaded.network.in_channels, json.dumps(loaded.network.options))
    return LoadedViT(loaded.spec, network, f"random {RANDOM_SEED}", loaded.path, True)


def import_checkpoint(
    path: Path, folder: Path, name: str = "", about: Mapping[str, Any] | None = None, **options: Any
) -> ModelRef:
    """Keep a public checkpoint as a model file of this program.

    Parameters
    ----------
    path : Path
        As for `read_checkpoint`.
    folder : Path
        Where the model file goes.
    name : str
        Of the model; the file's by default.
    about : mapping, optional
        Further fields of `ModelSpec`.
    **options
        `heads`, `antialias`, `mean`, `std`: what a state dict does not tell.

    Raises
    ------
    ModelError
        If it is no Vision Transformer; the first tensor that does not fit is named.
    """
    weights = read_checkpoint(path)
    network = VisionTransformer.from_state_dict(weights, **options)
    spec = vit_spec(name or path.stem, network, **(about or {}))
    half = all(t.dtype == torch.float16 for t in tensors_of(weights))
    return save_weights(spec, network.state_dict(), folder / f"{spec.name}{SUFFIX}", half=half)


def tensors_of(state: Mapping[str, Any]) -> list[torch.Tensor]:
    """All floating tensors of a nested state dict."""
    found: list[torch.Tensor] = []
    for value in state.values():
        if isinstance(value, Mapping):
            found += tensors_of(value)
        elif isinstance(value, torch.Tensor) and value.is_floating_point():
            found.append(value)
    return found


def _load(model: str | Path | ModelRef | nn.Module) -> LoadedViT:
    if isinstance(model, nn.Module):
        return _of_module(twin(model), _hash(model))
    if isinstance(model, str) and model in RANDOM:
        return _random(RANDOM[model])
    if isinstance(model, str | Path):
        path = Path(model).expanduser()
        if os.path.isfile(path) and not is_model_file(path):
            return _load_checkpoint(path.absolute(), file_identity(path))
    ref = find_model(model)
    if ref.spec.architecture not in ("vit", "vit_segmenter"):
        mend = "choose a Vision Transformer, by name or file"
        raise ModelError("model", f"{ref.name!r}, of architecture {ref.spec.architecture}", mend)
    loaded = load_model(ref)
    return _of_module(loaded.network, loaded.sha256, loaded.spec)


def _random(size: str) -> LoadedViT:
    """A network of the paper's size, patch 16, that has learnt nothing."""
    depth, dim, heads = SIZES[size]
    options = dict(image_size=224, patch_size=16, dim=dim, depth=depth, heads=heads)
    network = _draw(3, json.dumps(options))
    about = "Random weights: nothing was learnt. What is seen is the image and the architecture."
    spec = vit_spec(f"random-{size}", network, description=about)
    return LoadedViT(spec, network, f"random {RANDOM_SEED}", random=True)


def _of_module(network: nn.Module, sha256: str, spec: ModelSpec | None = None) -> LoadedViT:
    encoder = network.vit if isinstance(network, ViTSegmenter) else network
    if not isinstance(encoder, VisionTransformer):
        mend = "give a VisionTransformer, or the name or file of one"
        raise InputError("model", type(network).__name__, mend)
    return LoadedViT(spec or vit_spec("network", encoder), encoder.eval(), sha256)


@lru_cache(maxsize=2)
def _load_checkpoint(path: Path, _identity: tuple[int, ...]) -> LoadedViT:
    network = VisionTransformer.from_state_dict(read_checkpoint(path))
    return LoadedViT(vit_spec(path.stem, network), network, _hash(network), path)


def _hash(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()


@lru_cache(maxsize=2)
def _draw(in_channels: int, options: str) -> VisionTransformer:
    """A network of those options (JSON) before any training, the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(RANDOM_SEED)
        return VisionTransformer(in_channels=in_channels, **json.loads(options)).eval()
