"""Models are called as their files are, and no name is taken from another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from napari_papernets import model_files
from napari_papernets.api import save_model
from napari_papernets.core.errors import InputError
from napari_papernets.engine.models import load_model
from napari_papernets.model_files import (
    BUNDLED,
    check_name,
    find_model,
    is_bundled,
    list_models,
    model_path,
    name_to_write,
    still_free,
    takes_place_of,
    usable_name,
)
from napari_papernets.networks import UNet


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's models: one, called mine."""
    monkeypatch.setattr(model_files, "user_folder", lambda: tmp_path)
    torch.manual_seed(0)
    save_model(UNet(1, 2, width=2, depth=1, padding="same"), model_path(tmp_path, "mine"))
    return tmp_path


def test_a_copy_has_a_name_of_its_own(folder: Path) -> None:
    shutil.copy(model_path(folder, "mine"), model_path(folder, "mine_old"))
    assert [ref.name for ref in list_models(str(folder))][-2:] == ["mine", "mine_old"]
    for name in ("mine", "mine_old"):
        assert find_model(name).path == model_path(folder, name)


def test_a_bundled_model_is_not_hidden_by_another(folder: Path) -> None:
    shutil.copy(model_path(folder, "mine"), model_path(folder, "nuclei"))
    assert find_model("nuclei").path == model_path(BUNDLED, "nuclei")
    assert find_model(model_path(folder, "nuclei")).path == model_path(folder, "nuclei")
    with pytest.raises(InputError, match="bundled"):
        name_to_write("nuclei", "tuned", folder, resume=False)
    assert name_to_write("nuclei", "tuned", folder / "elsewhere", resume=False) == "nuclei"


@pytest.mark.parametrize("text", ["my cells (2)", "(2)", "- a", "ä" * 300, "../x", "", "a\nb"])
def test_any_text_becomes_a_name(text: str) -> None:
    check_name(usable_name(text))
    assert usable_name("2026-11-27 10.15.00 cells 3") == "2026-11-27 10.15.00 cells 3"


def test_what_comes_with_the_program_is_told_by_its_place(folder: Path) -> None:
    (folder / "models").mkdir()
    assert is_bundled(find_model("nuclei").path)
    assert not is_bundled(model_path(folder / "models", "nuclei"))


def test_a_name_that_was_taken_meanwhile_is_left_to_its_owner(folder: Path) -> None:
    assert still_free("mine", "mine", folder) == "mine-2"
    assert still_free("mine", "mine", folder / "elsewhere") == "mine"
    assert name_to_write(None, "nuclei", folder, resume=False) == "nuclei-2"


def test_a_model_has_one_name_by_name_and_by_file(folder: Path) -> None:
    shutil.copy(model_path(folder, "mine"), model_path(folder, "v1.2"))
    for found in (find_model("v1.2"), find_model(model_path(folder, "v1.2"))):
        assert found.name == "v1.2"
        assert load_model(found).spec.name == "v1.2"
    (folder / "apart").mkdir()
    shutil.copy(model_path(folder, "mine"), folder / "apart" / "other.safetensors")
    assert find_model(folder / "apart" / "other.safetensors").name == "network"  # as its header says


def test_which_start_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(model_path(folder, "mine"), model_path(folder, "net.v2"))
    monkeypatch.chdir(folder)
    for start in ("net.v2", model_path(folder, "net.v2"), "net.v2.safetensors", find_model("net.v2")):
        assert takes_place_of(folder, "net.v2", start)
        assert not takes_place_of(folder, "mine", start)
        assert not takes_place_of(folder / "apart", "net.v2", start)
    for start in ("scratch", "auto", "nuclei"):
        assert not takes_place_of(folder, start, start)
