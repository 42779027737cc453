"""Weights to and from disk: safetensors with the ModelSpec in the header, written whole or not."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from ..atomic import write_atomically
from ..core.errors import ModelError
from ..core.model import ModelRef, ModelSpec
from ..model_files import HEADER_KEY, SUFFIX, read_header
from ..networks import build
from ..networks.forest import PixelForest

HASH_KEY = "papernets_sha256"  # in the header: checksum of all that comes behind it


def save_weights(
    spec: ModelSpec, weights: Mapping[str, Tensor], path: Path, half: bool = False
) -> ModelRef:
    """Write a model file.

    Parameters
    ----------
    spec : ModelSpec
        Goes into the header.
    weights : mapping of str to Tensor
        A state dict.
    path : Path
        Ends in ``.safetensors``, or that is appended.
    half : bool
        Store floating tensors as float16 (half the size; they are float32 again when loaded).

    Returns
    -------
    ModelRef
        The model where it was written.
    """
    path = path if path.suffix == SUFFIX else path.with_name(path.name + SUFFIX)
    content = save({k: _stored(v, half) for k, v in weights.items()})
    write_atomically(path, _with_metadata(content, {HEADER_KEY: json.dumps(spec.to_dict())}))
    return ModelRef(spec, path)


def _with_metadata(content: bytes, metadata: dict[str, str]) -> bytes:
    """A safetensors file with a description, and the checksum of its tensors, in its header."""
    start = 8 + int.from_bytes(content[:8], "little")
    tensors = memoryview(content)[start:]
    metadata = metadata | {HASH_KEY: hashlib.sha256(tensors).hexdigest()}
    header = json.dumps({"__metadata__": metadata, **json.loads(content[8:start])}).encode()
    header += b" " * (-len(header) % 8)  # tensors begin at a multiple of 8 bytes
    return b"".join([struct.pack("<Q", len(header)), header, tensors])


def load_weights(ref: ModelRef) -> nn.Module:
    """Build the network of `ref` and load its weights (float32, CPU, evaluation mode).

    Raises
    ------
    ModelError
        If the file is damaged or its tensors are not those of the described network; the first that
        does not fit is named. A file of an earlier version has no checksum, and its bytes are trusted.
    """
    _check_intact(ref.path)
    try:
        weights = load_file(ref.path)
    except Exception as error:
        raise ModelError("model", ref.path.name, f"the file is damaged ({error})") from error
    network = build(ref.spec)
    check_state(network, weights, ref.path.name)
    network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in weights.items()})
    if not all(m.is_sound() for m in network.modules() if isinstance(m, PixelForest)):
        mend = "copy or download it again, or train anew"
        raise ModelError("model", f"{ref.path.name} whose forest leads nowhere", mend)
    return network.eval()


def _check_intact(path: Path) -> None:
    """Refuse a truncated or foreign file, and one whose tensors are not as they were written."""
    written = read_header(path).get("__metadata__", {}).get(HASH_KEY)
    if written is None:
        return
    with path.open("rb") as file:
        file.seek(8 + int.from_bytes(file.read(8), "little"))
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != written:
        mend = "copy or download it again, or train anew"
        raise ModelError("model", f"{path.name}, whose weights are damaged (another checksum)", mend)


def check_state(network: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights that are not those of `network`, or not finite, naming the first such tensor."""
    expected = network.state_dict()
    for name, tensor in expected.items():
        if name not in weights:
            mend = "the file does not hold the weights that its description promises"
            raise ModelError("model", f"{source} without tensor {name}", mend)
        if weights[name].shape != tensor.shape:
            shape = tuple(weights[name].shape)
            mend = f"the described network needs {tuple(tensor.shape)}"
            raise ModelError("model", f"{source} whose {name} has shape {shape}", mend)
    check_finite({name: weights[name] for name in expected}, source)
    for name in weights:
        if name not in expected:
            mend = "the described network has no such tensor"
            raise ModelError("model", f"{source} with tensor {name}", mend)


def check_finite(weights: Mapping[str, Tensor], source: str) -> None:
    """Refuse weights that are not finite, naming the first such tensor."""
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            mend = "use an earlier version of it, or copy or download it again"
            raise ModelError("model", f"{source} whose {name} holds numbers that are not finite", mend)


def checksum_of_state(weights: Mapping[str, Tensor]) -> str:
    """Of names and values, wherever the tensors are; 32 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, values in weights.items():
        digest.update(name.encode())
        digest.update(values.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:32]


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stored(tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.to(torch.float16) if half and tensor.is_floating_point() else tensor
