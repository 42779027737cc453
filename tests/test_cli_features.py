"""`papernets features` and `papernets weights` on files."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import zarr
from click.testing import CliRunner

import napari_papernets as pn
from napari_papernets.cli import main
from napari_papernets.engine import features as module
from napari_papernets.engine.token_cache import TokenCache
from napari_papernets.files import read_image, write_image
from napari_papernets.networks import VisionTransformer


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "CACHE", TokenCache(tmp_path / "cache"))
    torch.manual_seed(0)
    torch.save(VisionTransformer(32, 8, 64, 2, 1).state_dict(), tmp_path / "vit.pth")
    image = np.random.default_rng(0).integers(0, 255, (2, 32, 40), np.uint8)
    tifffile.imwrite(tmp_path / "stack.tif", image)
    return tmp_path


def run(*words: object) -> str:
    result = CliRunner().invoke(main, [str(w) for w in words])
    assert result.exit_code == 0, result.output
    return result.output


def test_features_are_those_of_the_api(files: Path) -> None:
    out = files / "out"
    given = ["features", files / "stack.tif", "-m", files / "vit.pth", "--axes", "ZYX", "-o", out]
    run(*given, "--block", 1, "--summaries", "--clusters", 3)
    expected = pn.features(
        tifffile.imread(files / "stack.tif"), files / "vit.pth", "ZYX", pn.FeatureSettings(block=1)
    )
    with np.load(out / "stack_tokens.npz") as found:
        np.testing.assert_array_equal(found["tokens"], expected.tokens)
        about = json.loads(str(found["about"]))
        assert found["rollout"].shape == (2, 4, 5)
    assert about["grid"] == [4, 5]
    command = shlex.split(json.loads((out / "stack_provenance.json").read_text())["command"])
    pictures = [tifffile.imread(out / f"stack_{name}.tif") for name in ("pca", "clusters", "rollout")]
    run(*command[1:], "-o", files / "again")
    for name, picture in zip(("pca", "clusters", "rollout"), pictures, strict=True):
        np.testing.assert_array_equal(tifffile.imread(files / "again" / f"stack_{name}.tif"), picture)
    assert "--block 1" in about["provenance"]["command"]
    assert tifffile.imread(out / "stack_pca.tif").shape[-2:] == (4, 5)
    assert set(np.unique(tifffile.imread(out / "stack_clusters.tif"))) == {1, 2, 3}
    run(*given, "--format", "zarr", "--plane", 1)
    group = zarr.open_group(out / "stack_tokens.zarr", mode="r")
    assert group["tokens"].shape == (1, 20, 64)
    assert group.attrs["patch"] == 8


@pytest.mark.parametrize("axes", ["TYX", "ZYX", "ZTYX"])
def test_pictures_keep_the_stack_axes_and_the_size_of_a_pixel(files: Path, axes: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (2, 3, 32, 40)[-len(axes) :], np.uint8)
    write_image(files / "a.ome.tif", pixels, axes, (3.0, 4.0, 0.5, 0.25)[-len(axes) :], "µm")
    given = ["features", files / "a.ome.tif", "-m", files / "vit.pth", "-o", files / "out"]
    run(*given, "--clusters", 3, "--summaries", "--region", "17,32,8,40")
    for name, letters in (("clusters", axes), ("rollout", axes), ("pca", f"C{axes}")):
        block = read_image(files / f"out/a_{name}.tif")
        assert block.axes == letters
        assert block.plane_scale == (4.0, 2.0)
        assert block.unit == "µm"
    with tifffile.TiffFile(files / "out/a_clusters.tif") as tif:
        assert 'PositionY="8.0"' in tif.ome_metadata  # pixel 16, where the patch of pixel 17 begins


def test_images_of_nearly_the_same_name_keep_their_own_tokens(files: Path) -> None:
    pixels = tifffile.imread(files / "stack.tif")[0]
    for name in ("a.1.tif", "a.2.tif"):
        tifffile.imwrite(files / name, pixels)
    given = ["features", files / "a.1.tif", files / "a.2.tif", "-m", files / "vit.pth"]
    run(*given, "-o", files / "out")
    assert sorted(p.name for p in (files / "out").glob("*_tokens.npz")) == [
        "a.1_tokens.npz",
        "a.2_tokens.npz",
    ]


def test_one_bad_image_of_several_is_named_before_any_is_read(files: Path) -> None:
    tifffile.imwrite(files / "wide.tif", np.zeros((32, 90), np.uint8))
    given = ["features", files / "wide.tif", files / "stack.tif", "-m", files / "vit.pth", "-o"]
    for option, words in (("--region", "0,32,0,90"), ("--plane", "1")):
        result = CliRunner().invoke(main, [str(w) for w in (*given, files / "out", option, words)])
        assert result.exit_code == 2, result.output
        assert "of stack.tif: got" in result.stderr or "of wide.tif: got" in result.stderr
        assert not (files / "out").exists()


def test_bad_input_ends_with_two(files: Path) -> None:
    for words in (
        ["features", files / "stack.tif", "-m", "nuclei"],
        ["features", files / "stack.tif", "-m", files / "vit.pth", "--block", "9"],
        ["weights", "nothing-of-that-name"],
        ["weights", "--file", files / "none.pth"],
    ):
        result = CliRunner().invoke(main, [str(w) for w in words])
        assert result.exit_code == 2, result.output


def test_checkpoints_are_listed_with_their_terms() -> None:
    listed = run("weights")
    assert "dinov2-small" in listed
    assert "CC-BY-NC-4.0" in listed
