"""Look inside: every map lies on the pixels that it came from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_papernets.api import drain
from napari_papernets.core.errors import InputError
from napari_papernets.core.image import ImageBlock
from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.engine.inspect import inspect
from napari_papernets.networks import UNet

NAMES = ["contract 0", "contract 1", "bottom", "expand 1", "expand 0", "logits"]


def landmark(shape=(200, 240), at=(130, 90)) -> ImageBlock:
    data = np.zeros(shape, np.float32)
    data[at[0] - 4 : at[0] + 4, at[1] - 4 : at[1] + 4] = 1
    return ImageBlock(data, "YX")


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("zoom", [1.0, 2.0])
@pytest.mark.parametrize("region", [None, (101, 171, 53, 140)])
def test_the_landmark_is_where_the_boxes_say(padding, zoom, region):
    torch.manual_seed(0)
    network = UNet(1, 2, width=4, depth=2, padding=padding, dropout=0.0).eval()
    for parameter in network.parameters():
        parameter.data.abs_()
    result = drain(inspect(landmark(), network, PredictSettings(zoom=zoom), region=region))
    assert list(result.maps) == NAMES
    for name, level in result.maps.items():
        y0, y1, x0, x1 = result.boxes[name]
        total = level.sum(0)
        row, column = np.unravel_index(total.argmax(), total.shape)
        step_y, step_x = (y1 - y0) / total.shape[0], (x1 - x0) / total.shape[1]
        assert y0 + (row + 0.5) * step_y == pytest.approx(130, abs=3 * step_y + 4), name
        assert x0 + (column + 0.5) * step_x == pytest.approx(90, abs=3 * step_x + 4), name
        if region:  # all of the region, and less than one map pixel more (valid: a pixel of margin)
            assert y0 <= 101
            assert y1 >= 171
            assert y0 > 101 - 2 * step_y
            assert x1 < 140 + 2 * step_x


def test_levels_halve():
    network = UNet(1, 2, width=4, depth=2, padding="same")
    maps = drain(inspect(landmark((64, 64), (32, 32)), network)).maps
    assert {k: v.shape for k, v in maps.items()} == {
        "contract 0": (4, 64, 64), "contract 1": (8, 32, 32), "bottom": (16, 16, 16),
        "expand 1": (8, 32, 32), "expand 0": (4, 64, 64), "logits": (2, 64, 64),
    }  # fmt: skip


def test_the_control_is_another_network_and_always_the_same():
    torch.manual_seed(5)
    network = UNet(1, 2, width=4, depth=2, padding="same")
    looks = [
        drain(inspect(landmark((64, 64), (32, 32)), network, random_weights=random))
        for random in (False, True, True)
    ]
    trained, control, again = (look.maps["bottom"] for look in looks)
    assert not np.array_equal(trained, control)
    np.testing.assert_array_equal(control, again)
    assert [look.provenance["random_weights"] for look in looks] == [False, True, True]


def test_too_large_a_region_is_refused():
    network = UNet(1, 2, width=64, depth=2, padding="same")
    with pytest.raises(InputError, match="zoom in"):
        drain(inspect(landmark((2000, 2000)), network))
