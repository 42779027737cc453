"""Results of different images never get the same name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_papernets.file_names import base_name, result_names


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("cells.tif", "cells"),
        ("A1.t001.tif", "A1.t001"),
        ("A1.t001.ome.tiff", "A1.t001"),
        ("plate.ome.zarr", "plate"),
        ("SCAN.OME.TIF", "SCAN"),
        ("ome.tif", "ome"),
        ("no kind", "no kind"),
        ("v1.2", "v1.2"),
        (".tif", ".tif"),
    ],
)
def test_only_the_kind_of_file_is_taken_off(name: str, base: str) -> None:
    assert base_name(Path("folder") / name) == base


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/x.tif", "a/y.tif"], ["x", "y"]),
        (["A1.t001.tif", "A1.t002.tif"], ["A1.t001", "A1.t002"]),
        (["x.png", "x.tif", "y.tif"], ["x.png", "x.tif", "y"]),
        (["x.png", "X.tif"], ["x.png", "X.tif"]),
        (["x.tif", "X.tif"], ["x", "X"]),
        (["x.tif", "x.TIF"], ["x.tif", "x.TIF"]),
        (["x.tif", "x.ome.tif"], ["x.tif", "x.ome.tif"]),
        (["day1/x.tif", "day2/x.tif"], ["day1_x", "day2_x"]),
        (["x.png", "x.tif", "x.tif.png"], ["x.png", "x.tif", "x.tif.png"]),
        (["a/x.tif", "a/../a/x.tif"], ["x", "x"]),
    ],
)
def test_images_that_would_share_a_name_get_longer_ones(paths: list[str], names: list[str]) -> None:
    assert list(result_names(Path(p) for p in paths).values()) == names


WORDS = st.sampled_from(["a", "b", "a_b", "a.tif"])
PATHS = st.lists(st.tuples(WORDS, WORDS, WORDS, st.sampled_from([".tif", ".TIF", ".ome.tif", ".png"])))


@given(PATHS)
def test_no_two_images_share_a_name(parts: list[tuple[str, str, str, str]]) -> None:
    paths = {Path("/", one, two, name + kind) for one, two, name, kind in parts}
    assert len(set(result_names(paths).values())) == len(paths)
