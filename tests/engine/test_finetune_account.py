"""Commands of trainings name what they would need to repeat."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import numpy as np

from napari_papernets.core.image import ImageBlock
from napari_papernets.core.tune_settings import TuneSettings
from napari_papernets.engine.finetune_account import repeating_command
from napari_papernets.engine.listener import Request
from napari_papernets.model_files import user_folder


def request(folder: Path, axes: tuple[str, ...] = ("ZYX",), **more: Any) -> Request:
    images = [ImageBlock(np.zeros((3,) * len(a)), a, name=f"stack{i}") for i, a in enumerate(axes)]
    about = dict(model="scratch", settings=TuneSettings(), device="auto", name="mine", class_names=None)
    return Request(images, [], **(about | dict(folder=folder, shares=None) | more))


def options(command: str) -> dict[str, str]:
    words = shlex.split(command)
    return {w: words[i + 1] for i, w in enumerate(words) if w.startswith("--")}


def test_axes_and_folder_are_told(tmp_path: Path) -> None:
    found = options(repeating_command(request(tmp_path), 7))
    assert found == {
        "--model": "scratch", "--name": "mine", "--out": str(tmp_path), "--axes": "ZYX", "--steps": "7",
    }  # fmt: skip
    usual = options(repeating_command(request(user_folder(), ("YX", "YXC")), 7))
    assert "--out" not in usual
    assert "--axes" not in usual  # they differ: the files tell


def test_inputs_are_those_that_were_given(tmp_path: Path) -> None:
    given = request(tmp_path, inputs=["my images", "my labels"])
    assert shlex.split(repeating_command(given, 7))[2:4] == ["my images", "my labels"]
    assert shlex.split(repeating_command(request(tmp_path), 7))[2:4] == ["stack0.tif", "annotations.tif"]


def test_a_name_that_nobody_gave_is_no_part_of_the_command(tmp_path: Path) -> None:
    """Repeated, it would take the place of the model that was made."""
    assert "--name" not in repeating_command(request(tmp_path, named=False), 7)
