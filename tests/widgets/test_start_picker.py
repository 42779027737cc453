"""What a training can start from: models, a network from scratch, and VGG-16's weights."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from fakes import ref

from napari_papernets.core.errors import ModelError
from napari_papernets.widgets import start_picker
from napari_papernets.widgets.start_picker import SCRATCH, StartPicker


def write_header(path: Path, names: list[str]) -> Path:
    """A safetensors file of empty tensors."""
    entries = {n: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in names}
    header = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path


@pytest.fixture
def picker(home, qtbot) -> StartPicker:
    made = StartPicker()
    qtbot.addWidget(made)
    return made


def names(picker: StartPicker) -> list[str]:
    return [picker.combo.itemText(i) for i in range(picker.combo.count())]


def test_a_file_of_vgg_weights_can_be_chosen_and_is_remembered(picker, tmp_path, home, qtbot) -> None:
    path = write_header(tmp_path / "vgg16.safetensors", ["features.0.weight", "features.28.weight"])
    picker.choose(path)
    assert picker.model() == str(path)
    assert names(picker)[-3:] == ["vgg16.safetensors (DeepLab)", "From scratch", "Open…"]
    picker.refresh()
    assert picker.model() == str(path)
    another = StartPicker()
    qtbot.addWidget(another)
    another.choose(picker.key())
    assert another.model() == str(path)


def test_features_for_strokes_come_first_then_encoders(picker, home, monkeypatch) -> None:
    made = [
        ref("semantic", name="cells"),
        ref("features", name="cloud", architecture="encoder"),
        ref("features", name="general"),
    ]
    monkeypatch.setattr(start_picker, "list_models", lambda: made)
    picker.refresh()
    assert names(picker)[:3] == ["general (general)", "cloud (encoder)", "cells"]
    assert picker.model() is made[2]
    monkeypatch.setattr(start_picker, "list_models", lambda: made[:2])
    picker.refresh()
    assert picker.model() == SCRATCH  # an encoder is no better start than none, as far as is known


def test_torch_s_own_files_are_left_to_the_engine(picker, tmp_path) -> None:
    path = tmp_path / "vgg16-397923af.pth"
    path.write_bytes(b"never opened here")
    picker.choose(path)
    assert picker.model() == str(path)
    picker.choose(SCRATCH)
    assert picker.model() == SCRATCH


def test_other_files_are_refused(picker, tmp_path) -> None:
    before = picker.model()
    with pytest.raises(ModelError, match="without a model description"):
        picker.choose(write_header(tmp_path / "other.safetensors", ["conv1.weight"]))
    with pytest.raises(ModelError):
        picker.choose(tmp_path / "gone.pth")
    assert picker.model() == before
