"""Results of different images never get the same name; annotations are found by theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_papernets.core.errors import InputError
from napari_papernets.file_names import base_name, pair_by_name, result_names


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


def test_annotations_are_found_by_name() -> None:
    images = [Path("i", n) for n in ("a.tif", "b.ome.tif", "c.png", "A1.t1.tif", "without.tif")]
    annotations = [Path("l", n) for n in ("A1.t1.png", "b.png", "c.png", "c.tif", "a.tif", "other.tif")]
    pairs = [(image.name, annotation.name) for image, annotation in pair_by_name(images, annotations)]
    assert pairs == [
        ("a.tif", "a.tif"), ("b.ome.tif", "b.png"), ("c.png", "c.png"), ("A1.t1.tif", "A1.t1.png"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("images", "annotations", "words"),
    [
        (["x.tif", "x.png"], ["x.npy"], "x.npy for x.tif and x.png"),
        (["x.tif"], ["x.npy", "x.png"], "x.npy and x.png for x.tif"),
    ],
)
def test_annotations_of_two_images_are_refused(
    images: list[str], annotations: list[str], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        pair_by_name([Path(p) for p in images], [Path(p) for p in annotations])


WORDS = st.sampled_from(["a", "b", "a_b", "a.tif"])
PATHS = st.lists(st.tuples(WORDS, WORDS, WORDS, st.sampled_from([".tif", ".TIF", ".ome.tif", ".png"])))


@given(PATHS)
def test_no_two_images_share_a_name(parts: list[tuple[str, str, str, str]]) -> None:
    paths = {Path("/", one, two, name + kind) for one, two, name, kind in parts}
    assert len(set(result_names(paths).values())) == len(paths)
