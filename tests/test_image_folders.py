"""Images of a folder, without what this program wrote beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_papernets.core.errors import InputError
from napari_papernets.files import write_image
from napari_papernets.image_folders import is_folder, list_folder


def test_images_of_a_folder_in_natural_order(tmp_path: Path) -> None:
    for name in ("t10.tif", "t2.TIF", "t1.png", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    write_image(tmp_path / "t3.zarr", np.zeros((4, 5), np.uint8), "YX")
    (tmp_path / "t4.zarr").mkdir()
    assert [p.name for p in list_folder(tmp_path).images] == ["t1.png", "t2.TIF", "t3.zarr", "t10.tif"]
    with pytest.raises(InputError, match="without an image"):
        list_folder(tmp_path / "t4.zarr")
    with pytest.raises(InputError, match="no such folder"):
        list_folder(tmp_path / "none")


def test_results_are_known_by_the_account_beside_them(tmp_path: Path) -> None:
    names = ["a.tif", "a_labels.tif", "a_refined_probabilities.tif", "b_labels.tif", "c_pca.tif"]
    for name in (*names, "a_provenance.json", "a_refined_provenance.json", "c_provenance.json"):
        (tmp_path / name).write_bytes(b"")
    write_image(tmp_path / "c_tokens.zarr", np.zeros((4, 5), np.uint8), "YX")
    assert [p.name for p in list_folder(tmp_path).images] == ["a.tif", "b_labels.tif"]
    assert list_folder(tmp_path).left_out == len(names) + 1 - 2
    every = list_folder(tmp_path, results=True)
    assert {p.name for p in every.images} == {*names, "c_tokens.zarr"}
    assert every.left_out == 0
    (tmp_path / "a.tif").unlink()
    (tmp_path / "b_labels.tif").unlink()
    with pytest.raises(InputError, match="only results of this program"):
        list_folder(tmp_path)


def test_an_image_in_the_format_of_zarr_is_no_folder(tmp_path: Path) -> None:
    write_image(tmp_path / "a.zarr", np.zeros((4, 5), np.uint8), "YX")
    (tmp_path / "a.zarr").rename(tmp_path / "plain")
    (tmp_path / "b.ZARR").mkdir()
    assert is_folder(tmp_path)
    assert not is_folder(tmp_path / "plain")
    assert not is_folder(tmp_path / "b.ZARR")


def test_a_folder_that_may_not_be_looked_into_is_no_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.tif").touch()
    (tmp_path / "theirs").mkdir()
    there = Path.is_file

    def refuse(path: Path) -> bool:
        if path.parent.name == "theirs":
            raise PermissionError(13, "not yours", str(path))
        return there(path)

    monkeypatch.setattr(Path, "is_file", refuse)
    assert [path.name for path in list_folder(tmp_path).images] == ["a.tif"]


def test_a_folder_that_may_not_be_listed_is_told_with_a_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "not yours", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputError, match=r"folder: got .*; it may not be listed"):
        list_folder(tmp_path)
