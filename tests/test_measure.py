"""Measurements of shapes whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.draw import disk, ellipse

from napari_papernets.core.errors import InputError
from napari_papernets.core.image import ImageBlock
from napari_papernets.measure import measure


def disc_and_box() -> np.ndarray:
    labels = np.zeros((60, 80), np.uint16)
    labels[disk((20, 25), 10.5)] = 3
    labels[40:50, 50:70] = 8
    return labels


def test_shape_in_pixels() -> None:
    table = measure(disc_and_box())
    assert table["label"].tolist() == [3, 8]
    assert table["area_px"].tolist() == [(disc_and_box() == 3).sum(), 200]
    np.testing.assert_allclose(table["y"], [20, 44.5])
    np.testing.assert_allclose(table["x"], [25, 59.5])
    assert [int(table[k][1]) for k in ("y0", "x0", "y1", "x1")] == [40, 50, 50, 70]
    assert table["diameter_px"][0] == pytest.approx(21, abs=0.2)
    assert table["eccentricity"][0] < 0.05
    np.testing.assert_allclose(table["solidity"], [1, 1], atol=0.06)
    assert not any(k.endswith(("um", "um2", "scaled")) or k.startswith("intensity") for k in table)


def test_pixel_size_gives_physical_columns_and_true_shapes() -> None:
    labels = np.zeros((50, 90), np.uint8)
    labels[ellipse(25, 45, 10.5, 20.5)] = 1  # a circle where pixels are half as wide as high
    image = ImageBlock(np.zeros(labels.shape), "YX", (0.4, 0.2), unit="µm")
    table = measure(labels, image)
    assert table["eccentricity"][0] < 0.3 < 0.8 < measure(labels)["eccentricity"][0]
    assert table["area_um2"][0] == pytest.approx(table["area_px"][0] * 0.08)
    assert table["diameter_um"][0] == pytest.approx(2 * 4.1, rel=0.05)
    assert (table["y_um"][0], table["x_um"][0]) == pytest.approx((10.0, 9.0))
    assert table["y"][0] == pytest.approx(25)


@pytest.mark.parametrize(
    ("unit", "column", "area"), [("nm", "area_um2", 4e-6), ("pixel", "area_scaled", 4.0)]
)
def test_other_units(unit: str, column: str, area: float) -> None:
    image = ImageBlock(np.zeros((4, 4)), "YX", (2.0, 2.0), unit=unit)
    assert measure(np.eye(4, dtype=np.uint8), image)[column][0] == pytest.approx(4 * area)


@pytest.mark.filterwarnings("error")
def test_brightness_is_that_of_the_finite_pixels() -> None:
    labels = np.array([[1, 1, 1, 0], [4, 4, 9, 9]])
    greys = np.array([[3e38, np.nan, 1e38, np.nan], [np.inf, -np.inf, 3e38, 3e38]], np.float32)
    table = measure(labels, ImageBlock(greys, "YX"))
    large = float(np.float32(3e38))
    np.testing.assert_allclose(table["intensity_mean"], [2e38, np.nan, large], rtol=1e-6)
    np.testing.assert_array_equal(table["intensity_max"], [large, np.nan, large])
    np.testing.assert_allclose(table["intensity_min"], [1e38, np.nan, large], rtol=1e-6)


@pytest.mark.parametrize("axes", ["CYX", "YXC"])
def test_brightness_of_each_channel(axes: str) -> None:
    labels = disc_and_box()
    first = labels * 2.0
    second = np.where(labels == 8, np.arange(80.0), 0)
    data = np.stack([first, second], axis=0 if axes == "CYX" else -1)
    table = measure(labels, ImageBlock(data, axes))
    assert table["intensity_mean_0"].tolist() == [6, 16]
    assert table["intensity_min_1"].tolist() == [0, 50]
    assert table["intensity_max_1"].tolist() == [0, 69]


def test_one_channel_needs_no_number_and_masks_count_as_0_and_1() -> None:
    labels = disc_and_box()
    table = measure(labels, ImageBlock(labels == 8, "YX"))
    assert table["intensity_mean"].tolist() == [0, 1]


def test_stacks_plane_by_plane() -> None:
    labels = np.zeros((2, 3, 20, 20), np.uint32)
    labels[0, 1, 2:6, 3:8] = 5
    labels[1, 1, 2:6, 3:8] = 5
    labels[1, 2, 10:12, 10:12] = 100_000
    table = measure(labels)
    assert table["label"].tolist() == [5, 5, 100_000]
    assert table["t"].tolist() == [0, 1, 1]
    assert table["z"].tolist() == [1, 1, 2]
    assert table["area_px"].tolist() == [20, 20, 4]
    image = ImageBlock(np.moveaxis(labels.astype(float), 0, 1), "ZTYX")
    turned = measure(np.moveaxis(labels, 0, 1), image)
    assert list(zip(turned["z"], turned["t"], strict=True)) == [(1, 0), (1, 1), (2, 1)]
    np.testing.assert_array_equal(turned["intensity_mean"], turned["label"])


def test_no_objects_gives_the_same_columns() -> None:
    image = ImageBlock(np.zeros((5, 6, 3)), "YXC", (0.5, 0.5, 1), unit="µm")
    full = measure(np.ones((5, 6), np.uint8), image)
    empty = measure(np.zeros((5, 6), np.uint8), image)
    assert list(empty) == list(full)
    assert all(len(column) == 0 for column in empty.values())


def test_specks_do_not_fail() -> None:
    labels = np.zeros((9, 9), np.uint8)
    labels[1, 1] = 1
    labels[3, 2:7] = 2
    table = measure(labels)
    assert np.isfinite(np.stack(list(table.values()))).all()


@pytest.mark.parametrize(("kind", "low", "high"), [("int64", 3, 2**40), ("uint64", 1, 2**64 - 1)])
def test_objects_may_have_any_number(kind: str, low: int, high: int) -> None:
    small = disc_and_box()
    large = np.zeros(small.shape, kind)
    large[small == 3], large[small == 8] = low, high
    table, expected = measure(large), measure(small)
    assert table.pop("label").tolist() == [low, high]
    for name, values in table.items():
        np.testing.assert_array_equal(values, expected[name])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="the number -8"):
        measure(-disc_and_box().astype(int))
    image = ImageBlock(np.zeros((3, 5, 6)), "ZYX")
    with pytest.raises(InputError, match=r"\(3, 5, 6\)"):
        measure(np.zeros((5, 6), np.uint8), image)
    with pytest.raises(InputError, match="whole numbers"):
        measure(np.zeros((5, 6)))
    with pytest.raises(InputError, match="at most"):
        measure(np.zeros((2, 2, 2, 5, 6), np.uint8))


def test_of_a_region_and_chosen_planes_places_count_in_the_whole_image() -> None:
    labels = np.zeros((4, 60, 80), np.uint16)
    labels[2], labels[0, 12:15, 30:34] = disc_and_box(), 5
    image = ImageBlock(labels * 3.0, "ZYX", (1.0, 0.5, 0.5), unit="µm")
    region = (5, 55, 10, 75)
    part = labels[[2, 0], 5:55, 10:75]
    found, whole = measure(part, image, region=region, planes=[(2,), (0,)]), measure(labels, image)
    order = [1, 2, 0]  # plane 2, which has two objects, comes first
    for name, column in whole.items():
        np.testing.assert_allclose(found[name], column[order])
