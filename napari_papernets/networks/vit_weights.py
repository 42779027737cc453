"""Public checkpoints of Vision Transformers: their sizes and tensors, read off their own names.

Understood are state dicts of timm (with Google's ImageNet-21k weights as timm converts them), DINO,
DINOv2 with and without registers, and MAE, as they are or wrapped as their authors' training scripts
wrote them. What a network of tokens has no use for is left out: classification and projection heads,
mask tokens, MAE's decoder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from ..core.errors import ModelError

HEAD_WIDTH = 64  # of all published sizes but Huge, whose heads are 80 wide
HUGE = 1280, 16  # D and its heads
WRAPPERS = ("state_dict", "teacher", "model", "student")
PREFIXES = ("module.", "backbone.", "encoder.", "trunk.")
LEFT_OUT = re.compile(
    r"(head|heads|fc_norm|pre_logits|decoder_\w+|dino_head|ibot_head|mask_token|projection)\b.*|head_\w+.*"
)
RENAMED = {"register_tokens": "reg_token"}


def read_checkpoint(
    weights: Mapping[str, Any], heads: int | None = None, **options: Any
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Options for `VisionTransformer`, and the tensors to load into it.

    Parameters
    ----------
    weights : mapping of str to Tensor
        A state dict, or what holds one under "state_dict", "teacher" or "model".
    heads : int, optional
        Number of heads, which no state dict tells: D / 64 by default, for D = 1280 (Huge) 16.
    **options
        `antialias`, `mean` and `std`, which no state dict tells either.

    Raises
    ------
    ModelError
        Naming the first tensor that is missing, has another shape, or does not belong to a Vision
        Transformer.
    """
    tensors = unwrap(weights)
    found = read_sizes(tensors, heads)
    _check(tensors, expected_shapes(found))
    positions = tensors["pos_embed"]
    registers, side = found["registers"], found["image_size"] // found["patch_size"]
    if positions.shape[1] == 1 + registers + side**2 and registers:
        tensors = _add_register_positions(tensors)
    return {**found, **options}, {k: v.float() for k, v in tensors.items()}


def unwrap(weights: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of the encoder by timm's names."""
    for wrapper in WRAPPERS:
        if isinstance(weights.get(wrapper), Mapping):
            return unwrap(weights[wrapper])
    found: dict[str, Tensor] = {}
    for name, value in weights.items():
        while any(name.startswith(p) for p in PREFIXES):
            name = name.split(".", 1)[1]
        name = re.sub(r"^blocks\.(?:\d+\.)(\d+\.)", r"blocks.\1", name)  # DINOv2's block chunks
        if isinstance(value, Tensor) and not LEFT_OUT.fullmatch(name):
            found[RENAMED.get(name, name)] = value
    if "norm.weight" not in found:  # MAE and DeiT III fine-tuned on the mean token
        for part in ("weight", "bias"):
            value = next((v for k, v in weights.items() if k.endswith(f"fc_norm.{part}")), None)
            if isinstance(value, Tensor):
                found[f"norm.{part}"] = value
    return found


def read_sizes(tensors: Mapping[str, Tensor], heads: int | None) -> dict[str, Any]:
    """Options of `VisionTransformer` that the shapes tell.

    Raises
    ------
    ModelError
        If the tensors that tell them are not there, or contradict each other.
    """
    kernel = _need(tensors, "patch_embed.proj.weight", 4)
    dim, in_channels, patch, _ = kernel.shape
    first = _need(tensors, "blocks.0.mlp.fc1.weight", 2)
    numbers = {int(m[1]) for name in tensors if (m := re.match(r"blocks\.(\d+)\.", name))}
    registers = tensors["reg_token"].shape[1] if "reg_token" in tensors else 0
    count = _need(tensors, "pos_embed", 3).shape[1]
    for before in (1, 0, 1 + registers):
        side = isqrt(max(count - before, 0))
        if side and side**2 == count - before:
            break
    else:
        mend = "position embeddings must be those of a square of patches, with or without a class token"
        raise ModelError("weights", f"pos_embed of {count} tokens", mend)
    heads = heads or (HUGE[1] if dim == HUGE[0] else max(1, dim // HEAD_WIDTH))
    if dim % heads:
        raise ModelError("heads", heads, f"give a divisor of the {dim} channels of these weights")
    return dict(
        image_size=side * patch,
        patch_size=patch,
        dim=dim,
        depth=max(numbers) + 1,
        heads=heads,
        mlp_dim=first.shape[0],
        in_channels=in_channels,
        registers=registers,
        layer_scale="blocks.0.ls1.gamma" in tensors,
        class_position=before > 0,
        qkv_bias="blocks.0.attn.qkv.bias" in tensors,
    )


def expected_shapes(options: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of the network, in the order of the forward pass."""
    from .vit import VisionTransformer

    with torch.device("meta"):
        network = VisionTransformer(**options)
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def _check(tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]) -> None:
    for name, shape in expected.items():
        if name not in tensors:
            mend = "a Vision Transformer of these sizes needs it; is it a checkpoint of another network?"
            raise ModelError("weights", f"no tensor {name}", mend)
        received = tuple(tensors[name].shape)
        registers = tensors["reg_token"].shape[1] if "reg_token" in tensors else 0
        positions = name == "pos_embed" and received[1] == shape[1] + registers
        if received != shape and not positions:
            raise ModelError("weights", f"{name} of shape {received}", f"the others ask for {shape}")
        if not tensors[name].isfinite().all():
            mend = "copy or download the file again"
            raise ModelError("weights", f"{name} with numbers that are not finite", mend)
    for name in tensors:
        if name not in expected:
            mend = "a plain Vision Transformer has no such tensor; it belongs to another architecture"
            raise ModelError("weights", f"a tensor {name}", mend)


def _add_register_positions(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Registers that have position embeddings of their own take them in."""
    registers, positions = tensors["reg_token"], tensors["pos_embed"]
    stop = 1 + registers.shape[1]
    joined = torch.cat([positions[:, :1], positions[:, stop:]], dim=1)
    return {**tensors, "reg_token": registers + positions[:, 1:stop], "pos_embed": joined}


def _need(tensors: Mapping[str, Tensor], name: str, axes: int) -> Tensor:
    if name not in tensors:
        mend = "give the weights of a Vision Transformer with the names of timm, DINO, DINOv2 or MAE"
        raise ModelError("weights", f"no tensor {name}", mend)
    if tensors[name].ndim != axes:
        raise ModelError(
            "weights", f"{name} of shape {tuple(tensors[name].shape)}", f"it has {axes} axes"
        )
    return tensors[name]
