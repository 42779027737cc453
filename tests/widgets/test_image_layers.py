"""What a layer is taken for."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_papernets.core.errors import InputError
from napari_papernets.widgets.camera import camera_of
from napari_papernets.widgets.image_layers import (
    block_of,
    guess_layer_axes,
    layer_axes,
    visible_region,
)

pytestmark = pytest.mark.gui


@pytest.mark.parametrize(
    ("layer", "axes"),
    [
        (Image(np.zeros((20, 30))), "YX"),
        (Image(np.zeros((20, 30, 3), np.uint8), rgb=True), "YXC"),
        (Image(np.zeros((2, 20, 30))), "CYX"),
        (Image(np.zeros((7, 20, 30))), "ZYX"),
        (Image(np.zeros((7, 2, 20, 30))), "ZCYX"),
        (Image(np.zeros((3, 20, 30)), axis_labels=("z", "y", "x")), "ZYX"),
        (Image(np.zeros((3, 20, 30)), metadata={"axes": "TYX"}), "TYX"),
        (Image(np.zeros((3, 20, 30)), metadata={"axes": "nonsense"}), "CYX"),
        (Image([np.zeros((40, 60)), np.zeros((20, 30))], multiscale=True), "YX"),
    ],
)
def test_axes_are_guessed(layer, axes):
    assert guess_layer_axes(layer) == axes


UM = "micrometer"


@pytest.mark.parametrize(
    ("sizes", "units", "axes"),
    [
        ((7,), ("second", UM, UM), "TYX"),
        ((3,), ("min", UM, UM), "TYX"),  # no channels
        ((3,), ("nm", UM, UM), "ZYX"),
        ((3,), ("pixel", UM, UM), "CYX"),
        ((3,), (UM, UM, UM), "CYX"),  # one unit for all says nothing of the first
        ((7, 9), (UM, "ms", UM, UM), "ZTYX"),
        ((7, 9), ("pixel", "s", UM, UM), "ZTYX"),
        ((7, 9), (UM, "pixel", UM, UM), "ZTYX"),
        ((7, 3), ("s", UM, UM, UM), "TZYX"),
        ((7, 3), ("s", "pixel", UM, UM), "TCYX"),
        ((7, 9), ("s", "min", UM, UM), "TZYX"),  # two times are none
        ((5, 7, 2), (UM, "s", "pixel", UM, UM), "ZTCYX"),
    ],
)
def test_units_tell_time_from_depth(sizes, units, axes):
    image = np.zeros((*sizes, 20, 30), np.uint8)
    assert guess_layer_axes(Image(image, units=units)) == axes
    named = "TZCYX"[-image.ndim :]
    assert guess_layer_axes(Image(image, units=units, metadata={"axes": named})) == named


def test_units_of_colours_tell_time_too():
    colours = np.zeros((7, 20, 30, 3), np.uint8)
    assert guess_layer_axes(Image(colours, rgb=True, units=("s", UM, UM))) == "TYXC"


def test_a_block_takes_scale_unit_and_name():
    layer = Image(np.zeros((7, 20, 30)), scale=(2, 0.5, 0.25), units=("um",) * 3, name="stack")
    block = block_of(layer, "ZYX")
    assert block.scale == (2, 0.5, 0.25)
    assert block.unit == "micrometer"
    assert block.name == "stack"


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")  # napari's own
def test_a_flip_or_odd_scale_gives_sizes_that_a_pixel_can_have():
    flipped = Image(np.zeros((20, 30)), scale=(-0.5, 0.25), units=("um",) * 2)
    block = block_of(flipped, "YX")
    assert (block.scale, block.unit) == ((0.5, 0.25), "micrometer")
    block = block_of(Image(np.zeros((20, 30)), scale=(np.nan, 0.25), units=("um",) * 2), "YX")
    assert (block.scale, block.unit) == ((1.0, 1.0), "pixel")


def test_a_multiscale_image_gives_its_full_resolution():
    layer = Image([np.zeros((40, 60)), np.zeros((20, 30))], multiscale=True)
    assert block_of(layer, "YX").shape == (40, 60)


def test_the_colours_of_rgb_must_stay_last():
    layer = Image(np.zeros((20, 30, 3), np.uint8), rgb=True)
    assert layer_axes(layer, "YXC") == "YX"
    with pytest.raises(InputError, match="end with C"):
        block_of(layer, "CYX")


def test_axes_that_do_not_fit_name_the_mend():
    with pytest.raises(InputError, match="name all 2 axes"):
        block_of(Image(np.zeros((20, 30))), "ZYX")


@pytest.mark.parametrize("centre", [(-900, -900), (900, 900), (20, -900)])
def test_an_image_beyond_the_canvas_on_any_side_is_not_in_view(qapp, centre):
    """What napari has not drawn yet has the same corners as what lies below and right of the canvas."""
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((40, 50)))
    layer.corner_pixels = np.zeros((2, 2), int)
    assert visible_region(viewer, layer, "YX") == (0, 40, 0, 50)
    camera_of(viewer).center = (0, *centre)
    with pytest.raises(InputError, match="in view"):
        visible_region(viewer, layer, "YX")
