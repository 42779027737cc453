"""``papernets refine``: equals the API, repeats itself, and ends with one line for bad input."""

from __future__ import annotations

import json
import shlex

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result

import napari_papernets as pn
from napari_papernets.cli import main
from napari_papernets.files import read_image


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with an image, a stack, and probabilities of both."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    square = np.zeros((60, 70), np.uint8)
    square[15:45, 20:50] = 160
    first = np.clip(0.3 + 0.4 * (square > 0) + rng.normal(0, 0.15, square.shape), 0, 1)
    share = np.stack([1 - first, first]).astype(np.float32)
    pixels = (square + rng.integers(0, 20, square.shape)).astype(np.uint8)
    tifffile.imwrite("cells.tif", pixels)
    tifffile.imwrite("share.tif", share)
    tifffile.imwrite("stack.ome.tif", np.stack([pixels, pixels.T[:60, :60].repeat(2, 1)[:, :70]]),
                     metadata={"axes": "ZYX"})  # fmt: skip
    tifffile.imwrite("shares.ome.tif", np.stack([share] * 2, 1), metadata={"axes": "CZYX"})
    return tmp_path


def run(line: str) -> Result:
    return CliRunner().invoke(main, shlex.split(line))


def test_it_writes_what_the_api_returns(folder):
    result = run("refine share.tif cells.tif --sigma-alpha 20 --w1 4 -o out")
    assert result.exit_code == 0, result.output
    settings = pn.CRFSettings(sigma_alpha=20.0, w1=4.0)
    expected = pn.refine(tifffile.imread("share.tif"), tifffile.imread("cells.tif"), settings=settings)
    np.testing.assert_array_equal(tifffile.imread("out/cells_refined_probabilities.tif"), expected)
    labels = tifffile.imread("out/cells_refined_labels.tif")
    np.testing.assert_array_equal(labels, expected.argmax(0) + 1)
    assert (labels[18:42, 23:47] == 2).all()


def test_the_copied_command_repeats_the_result(folder):
    line = "refine shares.ome.tif stack.ome.tif --plane 1 --region 5,50,6,66 --sigma-alpha 15 -o first"
    result = run(line)
    assert result.exit_code == 0, result.output
    account = json.loads((folder / "first/stack_refined_provenance.json").read_text())
    again = CliRunner().invoke(main, [*shlex.split(account["command"])[1:], "-o", "second"])
    assert again.exit_code == 0, again.output
    name = "stack_refined_probabilities.tif"
    first, second = (tifffile.imread(f"{f}/{name}") for f in ("first", "second"))
    assert first.shape[-2:] == (45, 60)
    np.testing.assert_array_equal(first, second)


def test_planes_that_differ_in_time_are_written_as_a_time_series(folder):
    pixels, share = tifffile.imread("cells.tif"), tifffile.imread("share.tif")
    tifffile.imwrite("tz.ome.tif", np.tile(pixels, (2, 3, 1, 1)), metadata={"axes": "TZYX"})
    tifffile.imwrite("shares.ome.tif", np.tile(share[:, None, None], (2, 3, 1, 1)),
                     metadata={"axes": "CTZYX"})  # fmt: skip
    result = run("refine shares.ome.tif tz.ome.tif --plane 0,1 --plane 1,1 -o out")
    assert result.exit_code == 0, result.output
    assert read_image("out/tz_refined_labels.tif").axes == "TYX"
    assert sorted(read_image("out/tz_refined_probabilities.tif").axes[:2]) == ["C", "T"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("share.tif stack.ome.tif", "probabilities"),
        ("cells.tif cells.tif", "axes"),
        ("share.tif cells.tif --sigma-beta -3", "sigma_beta"),
        ("share.tif cells.tif --region 0,99,0,9", "region"),
        ("double.tif cells.tif", "sum to 1"),
        ("nan.tif cells.tif", "not finite"),
        ("missing.tif cells.tif", "no such file"),
        (
            ". cells.tif",
            "probabilities: got ., a folder that is not a Zarr image; give an image file or a Zarr",
        ),
        ("broken.tif cells.tif", "probabilities: got broken.tif; it is damaged"),
        ("share.tif broken.tif", "image: got broken.tif; it is damaged"),
    ],
)
def test_bad_input_ends_with_2_and_one_line_and_writes_nothing(folder, arguments, words):
    share = tifffile.imread("share.tif")
    tifffile.imwrite("double.tif", 2 * share)
    (folder / "broken.tif").write_bytes(b"II*\0")
    tifffile.imwrite("nan.tif", np.where(share > 0.9, np.nan, share).astype("f4"))
    result = run(f"refine {arguments} -o out")
    assert result.exit_code == 2, result.output
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("papernets: ")
    assert words in line
    assert not (folder / "out").exists()


@pytest.mark.parametrize("verb", ["refine", "bench refine"])
def test_every_verb_has_help(verb):
    assert "Usage" in run(f"{verb} --help").output
