"""Checkpoints that a person has: tensors, and never code."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..core.errors import ModelError
from ..model_files import SUFFIX, read_header

PICKLED = (".pth", ".pt", ".bin", ".ckpt", ".tar")
STARTS = (b"PK", b"\x80")  # of torch's archives, and of its files before version 1.6


def read_checkpoint(path: Path) -> Mapping[str, Any]:
    """What a checkpoint holds, by name. Pickles are opened by torch's own reader of plain weights, which
    runs no code.

    Parameters
    ----------
    path : Path
        ``.safetensors``, or a file of torch.

    Returns
    -------
    mapping
        Of tensors; in a file of torch also plain values and further mappings.

    Raises
    ------
    ModelError
        If the file is damaged, of another kind, or holds more than tensors and plain values.
    """
    if path.suffix not in (SUFFIX, *PICKLED):
        mend = f"give a {SUFFIX} file or one of {', '.join(PICKLED)}"
        raise ModelError("model", path.name, mend)
    try:
        found = _read_safetensors(path) if path.suffix == SUFFIX else _read_torch_file(path)
    except pickle.UnpicklingError as error:
        mend = "it holds Python objects, which could run code; ask its authors for plain weights"
        raise ModelError("model", path.name, mend) from error
    except (SafetensorError, RuntimeError, EOFError, OSError, ValueError, LookupError) as error:
        why = (str(error) or type(error).__name__).splitlines()[0]
        mend = f"the file is damaged: copy or download it again ({why})"
        raise ModelError("model", path.name, mend) from error
    if not isinstance(found, Mapping):
        raise ModelError("model", f"{path.name} with a {type(found).__name__}", "give a state dict")
    return found


def _read_safetensors(path: Path) -> Mapping[str, Any]:
    read_header(path)
    return load_file(path)


def _read_torch_file(path: Path) -> Any:
    with path.open("rb") as file:
        if not file.read(2).startswith(STARTS):
            raise ValueError("it does not begin as a file of torch does")
    with warnings.catch_warnings():  # of a pickle of another protocol, which it reads or refuses
        warnings.simplefilter("ignore", UserWarning)
        return torch.load(path, map_location="cpu", weights_only=True)
