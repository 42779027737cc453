"""Specs go through JSON; channels are picked or refused with the mend."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_papernets.core.errors import InputError, ModelError
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.model import SPEC_VERSION, ModelSpec, Normalisation, class_infos
from napari_papernets.core.tiles import SizeRule


def spec(in_channels: int = 3, **more) -> ModelSpec:
    rule = SizeRule("same", 16, 96, 16)
    return ModelSpec("m", "unet", {"width": 8}, in_channels, class_infos(["a", "b"]), rule, **more)


def image(channels: int, last: bool = False) -> ImageBlock:
    shape = (4, 5, channels) if last else (channels, 4, 5)
    return ImageBlock(np.zeros(shape, "u1"), "YXC" if last else "CYX")


def test_json_goes_round():
    values = json.loads(json.dumps(spec().to_dict()))
    assert ModelSpec.from_dict(values) == spec()
    scaled = spec(normalisation=Normalisation(shared=((0.0, 255.0), (10.5, 80.0), (1.0, 2.0))))
    assert ModelSpec.from_dict(json.loads(json.dumps(scaled.to_dict()))) == scaled


def test_the_first_format_is_read_and_written_again_as_this_one():
    values = spec().to_dict() | {"version": 1}
    del values["normalisation"]["shared"]
    assert ModelSpec.from_dict(values) == spec()
    assert ModelSpec.from_dict(values).version == SPEC_VERSION


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"version": 99}, "update napari-papernets"),
        ({"version": "x"}, "not a model of napari-papernets"),
        ({"classes": [{"nome": "a"}]}, "damaged"),
        ({"size_rule": 5}, "damaged"),
        ({"normalisation": {"shared": [[1.0]]}}, "damaged"),
        ({"surprise": 1}, "damaged"),
        ({"name": None}, "name None.*damaged"),
        ({"classes": [{"name": 1, "colour": "#000000"}]}, "classes.*damaged"),
        (
            {"size_rule": {"padding": "same", "step": 0, "context": 8, "minimum": 8}},
            "size_rule.*damaged",
        ),
        ({"size_rule": {"padding": "same", "step": "a", "context": 8, "minimum": 8}}, "damaged"),
        (
            {"size_rule": {"padding": "same", "step": 1.5, "context": 8, "minimum": 8}},
            "size_rule.*damaged",
        ),
        ({"normalisation": {"low": -5}}, "normalisation.*damaged"),
        ({"normalisation": {"low": 90, "high": 10}}, "normalisation.*damaged"),
        ({"in_channels": "a"}, "in_channels.*damaged"),
        ({"in_channels": 0}, "in_channels.*damaged"),
        ({"task": "guess"}, "task 'guess'.*damaged"),
        ({"values_per_pixel": 0}, "values_per_pixel 0.*damaged"),
        ({"object_diameter": -3.0}, "object_diameter -3.0.*damaged"),
        ({"object_solidity": 1.5}, "object_solidity 1.5.*damaged"),
        ({"threshold": float("nan")}, "threshold nan.*damaged"),
        ({"threshold": "high"}, "damaged"),
    ],
)
def test_damaged_specs_are_refused(change, text):
    with pytest.raises(ModelError, match=text):
        ModelSpec.from_dict({**spec().to_dict(), **change})


def test_a_description_that_is_no_mapping_is_refused():
    with pytest.raises(ModelError, match=r"list.*damaged"):
        ModelSpec.from_dict([1])


def test_channels():
    grey = ImageBlock(np.zeros((4, 5)), "YX")
    assert spec().pick_channels(grey) == (0, 0, 0)
    assert spec().pick_channels(image(3)) == (0, 1, 2)
    colours = replace(image(4, last=True), alpha=True)
    assert spec().pick_channels(colours) == (0, 1, 2)
    with pytest.raises(ModelError, match="got 4 channels"):  # of fluorescence, say
        spec().pick_channels(image(4, last=True))
    assert spec().pick_channels(image(5), (4,)) == (4, 4, 4)
    assert spec(1).pick_channels(image(5), (3,)) == (3,)


def test_what_is_known_to_be_opacity_is_left_out():
    grey = ImageBlock(np.zeros((4, 5, 2)), "YXC", alpha=True)
    assert spec().pick_channels(grey) == (0, 0, 0)
    assert spec(1).pick_channels(grey) == (0,)
    assert spec(1).pick_channels(grey, (1,)) == (1,)
    with pytest.raises(ModelError, match="got 2 channels"):
        spec(1).pick_channels(replace(grey, alpha=False))


def test_wrong_channels_are_refused_with_the_mend():
    with pytest.raises(ModelError, match="takes 1 or 3; choose which with channels"):
        spec().pick_channels(image(5))
    with pytest.raises(ModelError, match="takes 3;"):
        spec(grey_to_colour=False).pick_channels(image(1))
    with pytest.raises(InputError, match="channels 0 to 1"):
        spec().pick_channels(image(2), (2,))
