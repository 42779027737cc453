"""Results overlay their image exactly, whatever its axes and transform."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.layers import Image, Labels

from napari_papernets.widgets.placement import lay_out, placement_of

pytestmark = pytest.mark.gui

ODD = dict(
    scale=(2.0, 1.0, 0.5, 0.25),
    translate=(1.0, 2.0, 3.0, 4.0),
    rotate=30,
    shear=[0.1, 0, 0, 0, 0, 0.2],
    affine=np.diag([1.0, 1.0, 2.0, 3.0, 1.0]),
)


def test_a_part_lies_where_its_pixels_are():
    image = Image(np.zeros((4, 3, 20, 30)), **ODD)
    part, dims = lay_out(np.zeros((1, 5, 6), np.uint8), "TYX", "TCYX", {"C": 3})
    labels = Labels(part, **placement_of(image).keep(dims).part((2, 0, 7, 9)).options())
    np.testing.assert_allclose(labels.data_to_world((0, 1, 2, 3)), image.data_to_world((2, 1, 9, 12)))


@given(step=st.sampled_from([1, 2, 4, 16]), y=st.integers(-20, 20), x=st.integers(-20, 20))
def test_a_coarse_map_covers_the_pixels_of_its_box(step, y, x):
    image = Image(np.zeros((20, 30)), scale=(0.5, 0.25), translate=(3, 4), rotate=20)
    coarse = Image(np.zeros((3, 3)), **placement_of(image).part((y, x), (step, step)).options())
    corner = np.array(coarse.data_to_world((-0.5, -0.5)))
    np.testing.assert_allclose(corner, image.data_to_world((y - 0.5, x - 0.5)), atol=1e-9)
    end = np.array(coarse.data_to_world((2.5, 2.5)))
    np.testing.assert_allclose(
        end, image.data_to_world((y + 3 * step - 0.5, x + 3 * step - 0.5)), atol=1e-9
    )


def test_an_axis_in_front_changes_nothing_of_the_others():
    image = Image(np.zeros((4, 3, 20, 30)), **ODD)
    maps = Image(np.zeros((2, 4, 3, 20, 30)), **placement_of(image).lead().options())
    np.testing.assert_allclose(
        maps.data_to_world((1, 1, 2, 3, 4))[1:], image.data_to_world((1, 2, 3, 4))
    )


@given(st.permutations("TZCYX"))
def test_every_pixel_lands_on_its_axes(order):
    like, sizes = "".join(order), dict(zip("TZCYX", (2, 3, 4, 5, 6), strict=True))
    array = np.arange(2 * 3 * 5 * 6).reshape(2, 3, 5, 6)
    laid, dims = lay_out(array, "TZYX", like, sizes)
    axes = [like[d] for d in dims]
    assert laid.shape == tuple(sizes[a] for a in axes)
    at = dict(T=1, Z=2, C=3, Y=4, X=5)
    assert laid[tuple(at[a] for a in axes)] == array[1, 2, 4, 5]


def test_channels_in_front_are_left_out():
    laid, dims = lay_out(np.zeros((5, 6)), "YX", "CYX", {"C": 3})
    assert laid.shape == (5, 6)
    assert dims == (1, 2)


def test_painting_on_one_channel_paints_all_and_the_result_itself():
    array = np.zeros((2, 5, 6), np.uint8)
    laid, _ = lay_out(array, "TYX", "TCYX", {"C": 3})
    laid[1, 2, 3, 4] = 9
    assert array[1, 3, 4] == 9
    assert (laid[1, :, 3, 4] == 9).all()
