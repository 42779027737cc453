"""Files of weights from elsewhere: plain ones are read, all others refused with the reason."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from napari_papernets.core.errors import ModelError
from napari_papernets.engine.torch_files import read_checkpoint


class Thing:
    """What a pickle may not hold."""


def write(path: Path, content: Any) -> Path:
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    return path


def test_tensors_are_read_from_both_kinds(tmp_path: Path) -> None:
    weights = {"a": torch.arange(6.0).view(2, 3)}
    save_file(weights, tmp_path / "a.safetensors")
    for path in (tmp_path / "a.safetensors", write(tmp_path / "a.pth", weights)):
        assert torch.equal(read_checkpoint(path)["a"], weights["a"])
    old = tmp_path / "old.pth"
    torch.save(weights, old, _use_new_zipfile_serialization=False)
    assert torch.equal(read_checkpoint(old)["a"], weights["a"])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.pth", b"", "damaged"),
        ("text.pth", b"hello world\n", "damaged"),
        ("page.pth", b"<!DOCTYPE html><html>not found</html>", "damaged"),
        ("half.pth", b"PK\x03\x04 and no more", "damaged"),
        ("half.safetensors", b"\x10\x00", "safetensors"),
        ("object.pth", {"a": Thing()}, "could run code"),
        ("plain.pth", pickle.dumps(Thing(), protocol=2), "could run code"),
        ("newer.pth", pickle.dumps(Thing(), protocol=4), "could run code"),
        ("list.pth", [torch.zeros(2)], "state dict"),
        ("weights.npz", b"PK", "give a .safetensors file"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_is_none_is_refused_by_name(tmp_path: Path, name: str, content: Any, words: str) -> None:
    with pytest.raises(ModelError, match=name) as told:
        read_checkpoint(write(tmp_path / name, content))
    assert words in str(told.value)
    assert "\n" not in str(told.value)
