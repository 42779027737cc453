"""Every format is read as it was written, refused with a mend when damaged, and never half-written."""

from __future__ import annotations

import csv
import json
import pickle
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_papernets import files, tiff_files, zarr_files
from napari_papernets.core.errors import InputError
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.part import Part
from napari_papernets.files import (
    read_image,
    read_labels,
    write_image,
    write_json,
    write_labels,
    write_table,
)
from napari_papernets.units import in_micrometres

NUMBERS = ["uint8", "uint16", "uint32", "int16", "int32", "float32", "float64"]
AXES = ["YX", "ZYX", "CYX", "YXC", "TZYX", "ZYXC", "TZCYX", "CZYX", "XY"]


def random_image(axes: str, dtype: str, seed: int = 0, side: int = 9) -> np.ndarray:
    """Different lengths along all axes, none of them 1."""
    lengths = {"T": 2, "Z": 5, "C": 3, "Y": side, "X": side + 4}
    values = np.random.default_rng(seed).random([lengths[a] for a in axes])
    return (values * 250).astype(dtype)


def in_order(array: np.ndarray, axes: str, wanted: str) -> np.ndarray:
    return array.transpose([axes.index(a) for a in wanted])


@pytest.mark.parametrize("suffix", [".tif", ".tiff", ".zarr"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(axes=st.sampled_from(AXES), dtype=st.sampled_from(NUMBERS), seed=st.integers(0, 9))
def test_axes_scale_and_values_survive(
    tmp_path: Path, suffix: str, axes: str, dtype: str, seed: int
) -> None:
    array, path = random_image(axes, dtype, seed), tmp_path / f"image{suffix}"
    scale = tuple(0.25 * (i + 1) for i in range(len(axes)))
    write_image(path, array, axes, scale, "µm")
    block = read_image(path)
    assert sorted(block.axes) == sorted(axes)
    np.testing.assert_array_equal(np.asarray(block.data), in_order(array, axes, block.axes))
    assert block.dtype == dtype
    assert block.unit == "µm"
    for axis in block.axes.replace("C", ""):
        assert block.scale[block.axes.index(axis)] == pytest.approx(scale[axes.index(axis)])


@pytest.mark.parametrize(
    ("suffix", "dtype"), [(".png", "uint8"), (".png", "uint16"), (".npy", "float32"), (".npy", "int64")]
)
def test_pictures_and_arrays_survive(tmp_path: Path, suffix: str, dtype: str) -> None:
    array = random_image("YX", dtype)
    write_image(tmp_path / f"a{suffix}", array, "YX")
    block = read_image(tmp_path / f"a{suffix}")
    np.testing.assert_array_equal(block.data, array)
    assert (block.axes, block.dtype, block.unit) == ("YX", dtype, "pixel")


def test_colours_survive(tmp_path: Path) -> None:
    for name, dtype in (("a.png", "uint8"), ("b.png", "uint16"), ("c.tif", "uint8")):
        array = random_image("YXC", dtype)
        write_image(tmp_path / name, array, "YXC")
        block = read_image(tmp_path / name)
        assert block.axes == "YXC"
        np.testing.assert_array_equal(block.data, array)


def test_opaque_alpha_is_left_out(tmp_path: Path) -> None:
    array = np.concatenate([random_image("YXC", "uint8"), np.full((9, 13, 1), 255, np.uint8)], axis=-1)
    write_image(tmp_path / "opaque.png", array, "YXC")
    assert read_image(tmp_path / "opaque.png").shape == (9, 13, 3)
    array[0, 0, 3] = 10
    write_image(tmp_path / "window.png", array, "YXC")
    assert read_image(tmp_path / "window.png").shape == (9, 13, 4)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_opacity_is_known_as_such(tmp_path: Path, name: str, mode: str) -> None:
    array = random_image("YXC", "uint8")[..., [0, 1, 2, 1][-len(mode) :]]
    Image.fromarray(array, mode).save(tmp_path / name)
    block = read_image(tmp_path / name)
    assert (block.axes, block.shape, block.alpha) == ("YXC", array.shape, True)
    tifffile.imwrite(
        tmp_path / "two.tif", array[..., :2], photometric="minisblack", planarconfig="contig"
    )
    assert not read_image(tmp_path / "two.tif").alpha


def test_jpeg_is_read(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 10, 3), (200, 30, 90), np.uint8)).save(tmp_path / "a.jpg", quality=95)
    block = read_image(tmp_path / "a.jpg")
    assert (block.axes, block.shape) == ("YXC", (8, 10, 3))
    assert np.abs(np.asarray(block.data, int) - (200, 30, 90)).max() < 6


def test_imagej_stack_tells_axes_and_scale(tmp_path: Path) -> None:
    array = random_image("TZCYX", "uint16")
    tifffile.imwrite(
        tmp_path / "stack.tif",
        array,
        imagej=True,
        resolution=(4.0, 2.0),
        metadata={"axes": "TZCYX", "spacing": 3.0, "unit": "um", "finterval": 7000.0, "tunit": "ms"},
    )
    block = read_image(tmp_path / "stack.tif")
    assert (block.axes, block.unit) == ("TZCYX", "µm")
    assert block.scale == pytest.approx((7.0, 3.0, 1.0, 0.5, 0.25))


@pytest.mark.parametrize("unit", ["micrometer", "nanometers", "nm"])
def test_lengths_are_written_in_micrometres(tmp_path: Path, unit: str) -> None:
    """As napari calls them; OME has no such word."""
    size = 0.5 if unit == "micrometer" else 500.0
    path = tmp_path / "a.ome.tif"
    write_image(path, np.zeros((4, 5), np.uint8), "YX", (size, size), unit, {"Y": [size], "X": [0.0]})
    told = tifffile.TiffFile(path).ome_metadata
    assert 'PhysicalSizeXUnit="µm"' in told
    assert 'PositionYUnit="µm"' in told
    found = read_image(path)
    assert found.unit == "µm"
    np.testing.assert_allclose(found.scale, (0.5, 0.5))


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".zarr", ".ome.zarr", ".png", ".npy"])
def test_images_are_called_after_all_of_their_name_but_what_tells_the_kind(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"A1.t001{suffix}"
    write_image(path, random_image("YX", "uint8"), "YX")
    assert read_image(path).name == "A1.t001"


def test_a_time_is_no_length() -> None:
    assert in_micrometres(1.0, "ms") == (1.0, "pixel")
    assert in_micrometres(1.0, "metres") == (1e6, "µm")


@pytest.mark.parametrize("scale", [(2.0, None, None), (None, 0.5, None)])
def test_sizes_that_are_told_for_some_axes_only_are_written(
    tmp_path: Path, scale: tuple[float | None, ...]
) -> None:
    path = tmp_path / "x.tif"
    write_image(path, np.zeros((3, 4, 5), np.uint8), "ZYX", scale, "µm")
    assert read_image(path).axes == "ZYX"


def test_ome_units_become_micrometres(tmp_path: Path) -> None:
    sizes = {
        "PhysicalSizeX": 65.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 130.0,
        "PhysicalSizeYUnit": "nm",
        "TimeIncrement": 500.0,
        "TimeIncrementUnit": "ms",
    }
    metadata = {"axes": "TYX", **sizes}
    tifffile.imwrite(tmp_path / "a.ome.tif", random_image("TYX", "uint8"), ome=True, metadata=metadata)
    block = read_image(tmp_path / "a.ome.tif")
    assert (block.name, block.unit) == ("a", "µm")
    assert block.scale == pytest.approx((0.5, 0.13, 0.065))


@pytest.mark.parametrize(
    ("told", "scale", "unit"),
    [
        ({"X": 0.0, "Y": 0.0}, (1.0, 1.0), "pixel"),
        ({"X": -0.5, "Y": -0.5}, (1.0, 1.0), "pixel"),
        ({"X": float("inf"), "Y": float("nan")}, (1.0, 1.0), "pixel"),
        ({"X": 0.25}, (0.25, 0.25), "µm"),
        ({"X": 0.0, "Y": 0.25}, (0.25, 0.25), "µm"),
    ],
)
def test_sizes_that_no_pixel_can_have_count_as_not_told(
    tmp_path: Path, told: dict[str, float], scale: tuple[float, float], unit: str
) -> None:
    array = random_image("YX", "uint8")
    metadata = {f"PhysicalSize{a}": size for a, size in told.items()}
    metadata |= {f"PhysicalSize{a}Unit": "µm" for a in told}
    tifffile.imwrite(tmp_path / "a.ome.tif", array, ome=True, metadata={"axes": "YX", **metadata})
    write_image(tmp_path / "a.zarr", array, "YX", (1, 1), "µm")
    group = zarr.open_group(tmp_path / "a.zarr")
    ome = dict(group.attrs["ome"])
    sizes = [told.get(a, 0.0) for a in "YX"]
    ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] = sizes
    group.attrs["ome"] = ome
    for name in ("a.ome.tif", "a.zarr"):
        block = read_image(tmp_path / name)
        assert (block.scale, block.unit) == (scale, unit)


def test_an_image_without_a_sound_scale_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one positive number"):
        write_image(tmp_path / "a.tif", random_image("YX", "uint8"), "YX", (0, 1))
    assert not list(tmp_path.iterdir())


def test_files_of_a_part_tell_where_it_lies(tmp_path: Path) -> None:
    """Of chosen planes that are not equally far apart, no distance is told."""
    image = ImageBlock(np.zeros((5, 20, 30), np.uint8), "ZYX", (2.0, 0.5, 0.25), unit="µm")
    part = Part(image, (4, 9, 8, 20), [(0,), (1,), (4,)])
    array = np.zeros((3, 3, 5, 12), np.float32)  # two classes
    for name in ("a.tif", "a.zarr"):
        axes, scale = f"C{part.axes}", (1.0, *part.scale)
        write_image(tmp_path / name, array, axes, scale, "µm", part.positions())
        assert read_image(tmp_path / name).scale[-2:] == (0.5, 0.25)
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        pixels = tifffile.xml2dict(tif.ome_metadata)["OME"]["Image"]["Pixels"]
    assert "PhysicalSizeZ" not in pixels
    places = {p["TheC"]: [] for p in pixels["Plane"]}
    for p in pixels["Plane"]:
        assert (p["PositionY"], p["PositionX"], p["PositionXUnit"]) == (2.0, 2.0, "µm")
        places[p["TheC"]].append((p["TheZ"], p["PositionZ"]))
    assert places == {c: [(0, 0.0), (1, 2.0), (2, 8.0)] for c in range(3)}
    level = zarr.open_group(tmp_path / "a.zarr").attrs["ome"]["multiscales"][0]["datasets"][0]
    moved = level["coordinateTransformations"][1]
    assert moved == {"type": "translation", "translation": [0.0, 0.0, 2.0, 2.0]}


def test_unknown_axes_are_guessed_and_can_be_given(tmp_path: Path) -> None:
    array = random_image("ZYX", "uint8")
    tifffile.imwrite(tmp_path / "a.tif", array, metadata=None)
    assert read_image(tmp_path / "a.tif").axes == "ZYX"
    assert read_image(tmp_path / "a.tif", "tyx").axes == "TYX"
    with pytest.raises(InputError, match="name all 3 axes"):
        read_image(tmp_path / "a.tif", "YX")
    with pytest.raises(InputError, match="letters of TZCYX"):
        read_image(tmp_path / "a.tif", "QYX")


def test_levels_of_a_tiff_pyramid(tmp_path: Path) -> None:
    array = random_image("YX", "uint8", side=64)[:64, :64]
    metadata = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    with tifffile.TiffWriter(tmp_path / "p.ome.tif") as tif:
        tif.write(array, subifds=1, tile=(16, 16), metadata=metadata)
        tif.write(array[::2, ::2], subfiletype=1, tile=(16, 16))
    half = read_image(tmp_path / "p.ome.tif", level=1)
    np.testing.assert_array_equal(half.data, array[::2, ::2])
    assert half.scale == pytest.approx((1.0, 1.0))
    assert read_image(tmp_path / "p.ome.tif").scale == pytest.approx((0.5, 0.5))
    with pytest.raises(InputError, match="levels 0 to 1"):
        read_image(tmp_path / "p.ome.tif", level=2)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_levels_of_ome_zarr(tmp_path: Path, version: str) -> None:
    array = random_image("CYX", "uint16", side=16)
    group = zarr.create_group(tmp_path / "p.zarr", zarr_format=2 if version == "0.4" else 3)
    levels = []
    for level, part in enumerate((array, array[:, ::2, ::2])):
        group.create_array(str(level), data=np.ascontiguousarray(part))
        scale = [1.0, 400.0 * 2**level, 200.0 * 2**level]
        changes = [{"type": "scale", "scale": scale}]
        levels.append({"path": str(level), "coordinateTransformations": changes})
    space = {"type": "space", "unit": "nanometer"}
    axes = [{"name": "c", "type": "channel"}, {"name": "y", **space}, {"name": "x", **space}]
    images = [{"axes": axes, "datasets": levels, "version": version}]
    group.attrs.update({"multiscales": images} if version == "0.4" else {"ome": {"multiscales": images}})
    full, half = (read_image(tmp_path / "p.zarr", level=level) for level in (0, 1))
    assert (full.axes, full.unit) == ("CYX", "µm")
    assert full.scale == pytest.approx((1.0, 0.4, 0.2))
    assert half.scale == pytest.approx((1.0, 0.8, 0.4))
    np.testing.assert_array_equal(half.data, array[:, ::2, ::2])
    with pytest.raises(InputError, match="levels 0 to 1"):
        read_image(tmp_path / "p.zarr", level=2)


def ome_zarr(path: Path, array: np.ndarray, axes: list[dict[str, str]], scale: list[float]) -> Path:
    group = zarr.create_group(path)
    group.create_array("0", data=array)
    level = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [level]}]}
    return path


def test_an_ome_zarr_with_an_axis_of_another_kind_opens_with_axes_that_are_given(tmp_path: Path) -> None:
    array = random_image("ZYX", "uint8")
    space = {"type": "space", "unit": "micrometer"}
    axes = [{"name": "angle"}, {"name": "y", **space}, {"name": "x", **space}]
    path = ome_zarr(tmp_path / "a.zarr", array, axes, [1.0, 0.5, 0.25])
    given = read_image(path, "TYX")
    assert (given.axes, given.scale, given.unit) == ("TYX", (1.0, 0.5, 0.25), "µm")
    guessed = read_image(path)
    assert (guessed.axes, guessed.scale, guessed.unit) == ("ZYX", (1.0, 1.0, 1.0), "pixel")
    np.testing.assert_array_equal(guessed.data, array)


@pytest.mark.parametrize(
    ("interval", "unit", "seconds"), [(500.0, "millisecond", 0.5), (1.0, "minute", 60.0), (3.0, "", 3.0)]
)
def test_the_interval_of_an_ome_zarr_is_in_seconds(
    tmp_path: Path, interval: float, unit: str, seconds: float
) -> None:
    axes = [{"name": "t", "type": "time", "unit": unit}, {"name": "y"}, {"name": "x"}]
    path = ome_zarr(tmp_path / "a.zarr", random_image("TYX", "uint8"), axes, [interval, 1.0, 1.0])
    assert read_image(path).scale == (seconds, 1.0, 1.0)


@pytest.mark.parametrize("name", ["a.tif", "a.zarr"])
def test_an_interval_of_one_second_is_kept_and_an_unknown_one_stays_unknown(
    tmp_path: Path, name: str
) -> None:
    array = random_image("TYX", "uint8")
    for scale, known in (((1.0, 0.5, 0.5), True), ((None, 0.5, 0.5), False), ((), False)):
        write_image(tmp_path / name, array, "TYX", scale, "µm" if scale else "pixel")
        found = read_image(tmp_path / name)
        assert ("T" in found.sized) == known
        assert Part(found).scale[0] == (1.0 if known else None)
        region = Part(found, (0, 4, 0, 4)).positions()
        assert region.get("T", [None])[0] == (0.0 if known else None)
    assert ImageBlock(array, "TYX").known_scale == (None, 1.0, 1.0)


@pytest.mark.parametrize("name", ["a.tif", "a.zarr"])
def test_a_distance_of_planes_that_no_file_told_is_not_written(tmp_path: Path, name: str) -> None:
    array = random_image("ZYX", "uint8")
    write_image(tmp_path / "first" / name, array, "ZYX", (None, 0.5, 0.25), "µm")
    block = read_image(tmp_path / "first" / name)
    assert block.known_scale == (None, 0.5, 0.25)
    write_image(tmp_path / name, array, block.axes, block.known_scale, block.unit)
    again = read_image(tmp_path / name)
    assert again.known_scale == (None, 0.5, 0.25)
    assert "Z" not in Part(again, None, [(1,)]).positions()
    write_image(tmp_path / name, array, "ZYX", (1.0, 0.5, 0.25), "µm")
    assert read_image(tmp_path / name).known_scale == (1.0, 0.5, 0.25)


def test_plain_zarr_arrays_and_groups(tmp_path: Path) -> None:
    array = random_image("ZYX", "uint8")
    zarr.create_array(tmp_path / "a.zarr", data=array, dimension_names=["t", "y", "x"])
    assert read_image(tmp_path / "a.zarr").axes == "TYX"
    group = zarr.create_group(tmp_path / "g.zarr")
    with pytest.raises(InputError, match="there is no image in it"):
        read_image(tmp_path / "g.zarr")
    group.create_array("raw", data=array)
    np.testing.assert_array_equal(read_image(tmp_path / "g.zarr").data, array)
    group.create_array("labels", data=array)
    with pytest.raises(InputError, match="labels, raw"):
        read_image(tmp_path / "g.zarr")
    assert read_image(tmp_path / "g.zarr" / "raw").axes == "ZYX"


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_large_files_stay_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compression: str | None
) -> None:
    array = random_image("ZYX", "uint16", side=40)
    tifffile.imwrite(tmp_path / "a.tif", array, metadata={"axes": "ZYX"}, compression=compression)
    write_image(tmp_path / "a.zarr", array, "ZYX")
    monkeypatch.setattr(tiff_files, "LOADED_BYTES", 0)
    monkeypatch.setattr(zarr_files, "LOADED_BYTES", 0)
    for name, kind in (("a.tif", zarr.Array if compression else np.memmap), ("a.zarr", zarr.Array)):
        block = read_image(tmp_path / name)
        assert isinstance(block.data, kind)
        window = block.read((3,), (5, 20), (7, 33))
        np.testing.assert_array_equal(window[0], array[3, 5:20, 7:33])


def test_labels_are_written_small_and_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for top, kind in ((200, "uint8"), (60_000, "uint16"), (100_000, "uint32")):
        labels = rng.integers(0, top, (6, 7, 8))
        labels[0, 0, 0] = top
        for suffix in (".tif", ".zarr", ".npy"):
            write_labels(tmp_path / f"l{suffix}", labels)
            found = read_labels(tmp_path / f"l{suffix}")
            np.testing.assert_array_equal(found, labels)
            assert found.dtype == kind
    assert read_image(tmp_path / "l.tif").axes == "ZYX"


def test_labels_as_masks_floats_and_colour_tables(tmp_path: Path) -> None:
    indices = np.random.default_rng(0).integers(0, 5, (9, 12)).astype(np.uint8)
    picture = Image.fromarray(indices, mode="L").convert("P")
    picture.putpalette(list(range(255, -1, -1)) * 3)
    picture.save(tmp_path / "table.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "table.png"), np.asarray(picture))
    Image.fromarray(indices > 2).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "mask.png"), indices > 2)
    write_image(tmp_path / "grey.png", np.repeat(indices[..., None], 3, axis=-1), "YXC")
    np.testing.assert_array_equal(read_labels(tmp_path / "grey.png"), indices)
    np.save(tmp_path / "whole.npy", indices.astype(float))
    np.testing.assert_array_equal(read_labels(tmp_path / "whole.npy"), indices)


def colour_table(colours: list[tuple[int, int, int]]) -> np.ndarray:
    """As TIFF stores it: shape (3, 256), of 16 bits."""
    table = np.zeros((3, 256), np.uint16)
    table[:, : len(colours)] = np.array(colours).T
    return table * 257


def test_the_colour_table_of_a_tiff_is_applied(tmp_path: Path) -> None:
    indices, path = random_image("ZYX", "uint8") % 3, tmp_path / "a.tif"
    colours = [(255, 0, 10), (0, 255, 20), (3, 4, 5)]
    tifffile.imwrite(path, indices, photometric="palette", colormap=colour_table(colours))
    block = read_image(path)
    assert block.axes[-3:] == "YXC"
    np.testing.assert_array_equal(block.data, np.array(colours, np.uint8)[indices])
    np.testing.assert_array_equal(read_labels(path), indices)
    shown = read_image(path, block.axes[:-1])  # axes of the indices, as a viewer shows them
    np.testing.assert_array_equal(shown.data, indices)
    greys = np.array([200, 0, 100], np.uint8)
    table = colour_table([(int(g),) * 3 for g in greys])
    tifffile.imwrite(path, indices[0], photometric="palette", colormap=table)
    assert read_image(path).axes == "YX"
    np.testing.assert_array_equal(read_image(path).data, greys[indices[0]])
    np.testing.assert_array_equal(read_labels(path), indices[0])


@pytest.mark.parametrize("kind", ["imagej", "ome"])
def test_a_lookup_table_of_a_microscope_is_only_for_the_eye(tmp_path: Path, kind: str) -> None:
    array, path = random_image("YX", "uint8"), tmp_path / "a.tif"
    green = colour_table([(0, v, 0) for v in range(256)])
    options = {kind: True, "photometric": "palette", "colormap": green, "metadata": {"axes": "YX"}}
    tifffile.imwrite(path, array, **options)
    block = read_image(path)
    assert block.axes == "YX"
    np.testing.assert_array_equal(block.data, array)


@pytest.mark.parametrize(
    ("values", "reason"),
    [([[0.5, 1.0]], "not whole"), ([[-1, 2]], "the number -1"), ([[0.0, np.nan]], "not whole")],
)
def test_what_is_no_label_is_refused(tmp_path: Path, values: list[list[float]], reason: str) -> None:
    np.save(tmp_path / "a.npy", np.array(values))
    with pytest.raises(InputError, match=reason):
        read_labels(tmp_path / "a.npy")
    with pytest.raises(InputError, match=reason):
        write_labels(tmp_path / "b.tif", np.array(values))
    assert not (tmp_path / "b.tif").exists()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("number", ["3e+38", "-3e+38"])
def test_numbers_beyond_integers_are_told_as_they_are(tmp_path: Path, number: str) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, float(number)]], np.float32))
    with pytest.raises(InputError, match=rf"a\.tif: got the number {re.escape(number)};"):
        read_labels(tmp_path / "a.tif")


def test_what_may_not_be_read_is_told_with_a_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    tifffile.imwrite(tmp_path / "a.tif", np.eye(4))
    monkeypatch.setitem(files._READERS, ".tif", refuse)
    with pytest.raises(InputError, match=r"image: got .*a\.tif; it may not be read: change its"):
        read_image(tmp_path / "a.tif")


def test_labels_of_a_jpeg_are_not_those_that_were_saved(tmp_path: Path) -> None:
    labels = np.zeros((16, 16), np.uint8)
    labels[4:9, 4:9] = 1
    Image.fromarray(labels * 255).save(tmp_path / "mask.JPG")
    with pytest.raises(InputError, match=r"mask\.JPG, a JPEG.*TIFF or PNG"):
        read_labels(tmp_path / "mask.JPG")


def test_colours_are_no_labels(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", random_image("YXC", "uint8"), "YXC")
    with pytest.raises(InputError, match="not as colours"):
        read_labels(tmp_path / "a.png")


VARIANTS = {
    "ome": dict(ome=True, metadata={"axes": "ZYX"}),
    "ome-zlib": dict(ome=True, metadata={"axes": "ZYX"}, compression="zlib"),
    "imagej": dict(imagej=True, metadata={"axes": "ZYX"}),
    "plain": dict(),
    "zlib": dict(compression="zlib"),
    "pages": dict(metadata=None, compression="zlib"),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("part", [0.001, 0.3, 0.6, 0.9, 0.99])
def test_a_tiff_that_is_cut_off_is_refused(tmp_path: Path, variant: str, part: float) -> None:
    array = np.random.default_rng(0).integers(1, 60_000, (6, 50, 60)).astype(np.uint16)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, **VARIANTS[variant])
    np.testing.assert_array_equal(read_image(path).data, array)
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(InputError, match=r"a\.tif") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


def test_a_damaged_file_that_another_thread_reads_is_no_reason_to_refuse_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = random_image("YX", "uint8")
    write_image(tmp_path / "sound.tif", array, "YX")
    real = tiff_files.pixel_sizes

    def meanwhile(tif: tifffile.TiffFile) -> object:
        other = threading.Thread(target=tifffile.logger().error, args=("corrupted strip",))
        other.start()
        other.join()
        return real(tif)

    monkeypatch.setattr(tiff_files, "pixel_sizes", meanwhile)
    np.testing.assert_array_equal(read_image(tmp_path / "sound.tif").data, array)


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.jpg"])
@pytest.mark.parametrize("part", [0.1, 0.2, 0.7])
def test_other_files_that_are_cut_off_are_refused(tmp_path: Path, name: str, part: float) -> None:
    array = np.random.default_rng(0).integers(0, 255, (60, 70)).astype(np.uint8)
    if name.endswith("jpg"):
        Image.fromarray(array).save(tmp_path / name)
    else:
        write_image(tmp_path / name, array, "YX")
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(InputError, match="damaged or cut off"):
        read_image(tmp_path / name)


def test_damaged_zarr_is_refused(tmp_path: Path) -> None:
    write_image(tmp_path / "a.zarr", random_image("YX", "uint8"), "YX")
    (tmp_path / "a.zarr" / "zarr.json").write_text("{not json")
    with pytest.raises(InputError, match=r"a\.zarr"):
        read_image(tmp_path / "a.zarr")


def test_foreign_content_is_refused(tmp_path: Path) -> None:
    for suffix in (".tif", ".png", ".jpg", ".npy"):
        (tmp_path / f"a{suffix}").write_bytes(b"this is a text, not an image" * 9)
        with pytest.raises(InputError, match=r"damaged or cut off|no plain array"):
            read_image(tmp_path / f"a{suffix}")


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object), allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(pickle.dumps({"a": 1}))
    for name in ("a.npy", "b.npy"):
        with pytest.raises(InputError, match="never opened"):
            read_image(tmp_path / name)


def test_missing_unknown_and_empty(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_image(tmp_path / "none.tif")
    with pytest.raises(InputError, match="no such file"):
        read_labels(tmp_path / "none.png")
    (tmp_path / "a.docx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"give \.tif"):
        read_image(tmp_path / "a.docx")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="not a Zarr image"):
        read_image(tmp_path / "folder")
    np.save(tmp_path / "empty.npy", np.zeros((0, 5)))
    np.save(tmp_path / "line.npy", np.zeros(5))
    for name in ("empty", "line"):
        with pytest.raises(InputError, match=name):
            read_image(tmp_path / f"{name}.npy")


def test_what_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    cases = [
        ("a.png", random_image("ZYX", "uint8"), "ZYX", "holds stacks"),
        ("a.png", random_image("YX", "float32"), "YX", "such numbers"),
        ("a.tif", random_image("YX", "int64"), "YX", "convert it"),
        ("a.jpg", random_image("YX", "uint8"), "YX", "ends in"),
        ("a.tif", random_image("YX", "uint8"), "ZYX", "name all 2 axes"),
    ]
    for name, array, axes, reason in cases:
        with pytest.raises(InputError, match=reason):
            write_image(tmp_path / name, array, axes)
    with pytest.raises(InputError, match="each axis"):
        write_image(tmp_path / "a.tif", random_image("YX", "uint8"), "YX", (1.0,))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.tif", "a.zarr", "a.npy", "a.png"])
def test_a_failure_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    before, after = (random_image("YX", "uint8", seed) for seed in (1, 2))
    write_image(tmp_path / name, before, "YX")
    real = files._WRITERS[Path(name).suffix]

    def write_then_fail(path: Path, *rest: object) -> None:
        real(path, *rest)
        raise OSError("disk full")

    monkeypatch.setitem(files._WRITERS, Path(name).suffix, write_then_fail)
    with pytest.raises(OSError, match="disk full"):
        write_image(tmp_path / name, after, "YX")
    assert [p.name for p in tmp_path.iterdir()] == [name]
    np.testing.assert_array_equal(np.asarray(read_image(tmp_path / name).data), before)


@pytest.mark.parametrize("name", ["a.tif", "a.zarr", "a.npy", "a.png"])
def test_writing_again_replaces(tmp_path: Path, name: str) -> None:
    for seed in (1, 2):
        write_image(tmp_path / "new" / name, random_image("YX", "uint8", seed), "YX")
    found = np.asarray(read_image(tmp_path / "new" / name).data)
    np.testing.assert_array_equal(found, random_image("YX", "uint8", 2))
    assert [p.name for p in (tmp_path / "new").iterdir()] == [name]


def test_tables_and_json(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", {"label": np.array([1, 2]), "name": ["a,b", "µ"]})
    rows = list(csv.reader((tmp_path / "t.csv").open(encoding="utf-8", newline="")))
    assert rows == [["label", "name"], ["1", "a,b"], ["2", "µ"]]
    with pytest.raises(InputError, match="equal length"):
        write_table(tmp_path / "u.csv", {"a": [1], "b": [1, 2]})
    write_json(tmp_path / "j.json", {"a": [1, "µ"]})
    assert json.loads((tmp_path / "j.json").read_text(encoding="utf-8")) == {"a": [1, "µ"]}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["j.json", "t.csv"]


def test_real_files_open(shared: Path) -> None:
    paths = [*shared.glob("data/bacteria_omnipose/images/*.tif"), *shared.glob("data/volumes/*.tif")]
    assert paths
    for path in paths:
        stored = tifffile.imread(path)
        block = read_image(path)
        assert block.shape == stored.shape
        assert block.axes == ("ZYX" if "volumes" in str(path) else "YX" if stored.ndim == 2 else "YXC")


def test_importing_costs_nothing() -> None:
    heavy = "('torch', 'skimage', 'scipy', 'tifffile', 'zarr', 'PIL', 'imagecodecs', 'napari', 'qtpy')"
    code = f"import sys, napari_papernets.files, napari_papernets.samples, napari_papernets.measure; print([m for m in {heavy} if m in sys.modules])"  # noqa: E501
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_numbers_of_the_other_byte_order_go_into_a_png(tmp_path: Path) -> None:
    pixels = np.arange(20, dtype=">u2").reshape(4, 5) * 300
    write_image(tmp_path / "x.png", pixels, "YX")
    np.testing.assert_array_equal(read_image(tmp_path / "x.png").data, pixels)
