"""What was written in place reaches the screen, and no more than that is sent there."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils.colormaps import DirectLabelColormap

from napari_papernets.widgets import part_refresh
from napari_papernets.widgets.part_refresh import in_bands, refresh_boxes

pytestmark = pytest.mark.gui


@pytest.fixture
def shown(make_napari_viewer_proxy):
    """A viewer with an empty layer, and what is sent to the screen."""
    viewer = make_napari_viewer_proxy(show=True)
    layer = viewer.add_labels(np.zeros((60, 80), np.uint16))
    picture(viewer)  # before it was drawn once, napari draws all
    sent = []
    layer.events.labels_update.connect(lambda e: sent.append((*e.offset, *e.data.shape)))
    layer.events.set_data.connect(lambda _: sent.append("all"))
    return viewer, layer, sent


def picture(viewer) -> np.ndarray:
    return viewer.screenshot(canvas_only=True, flash=False)


@pytest.mark.parametrize("direct", [False, True], ids=["cyclic", "direct"])
def test_a_part_looks_as_if_all_had_been_drawn(shown, direct):
    viewer, layer, sent = shown
    if direct:
        colours = {None: "#00000000", 0: "#00000000", 3: "red", 9: "blue"}
        layer.colormap = DirectLabelColormap(color_dict=colours)
        picture(viewer)
        sent.clear()
    layer.data[10:30, 20:60] = 3
    layer.data[40:50, 5:70] = 9
    refresh_boxes(viewer, layer, [(slice(10, 30), slice(20, 60)), (slice(40, 50), slice(5, 70))])
    assert sent == [(10, 20, 20, 40), (40, 5, 10, 65)]
    parts = picture(viewer)
    layer.refresh()
    np.testing.assert_array_equal(parts, picture(viewer))
    assert len(np.unique(parts.reshape(-1, 4), axis=0)) >= 3  # two labels and the ground


def test_bands_show_everything(shown, monkeypatch):
    viewer, layer, sent = shown
    monkeypatch.setattr(part_refresh, "BAND", 25 * 80 * 2)
    layer.data[...] = np.arange(60)[:, None]
    assert len(list(in_bands(viewer, layer))) == 3
    assert sent == [(0, 0, 25, 80), (25, 0, 25, 80), (50, 0, 10, 80)]
    bands = picture(viewer)
    layer.refresh()
    np.testing.assert_array_equal(bands, picture(viewer))


@pytest.mark.parametrize(
    "change",
    [
        lambda viewer, layer: setattr(layer, "contour", 1),
        lambda viewer, layer: setattr(layer, "data", layer.data.astype(np.uint32)),
        lambda viewer, layer: setattr(layer, "data", np.zeros((2, 60, 80), np.uint16)),
        lambda viewer, layer: viewer.dims.transpose(),
        lambda viewer, layer: setattr(viewer.dims, "ndisplay", 3),
    ],
    ids=["contour", "uint32", "stack", "transposed", "3-D"],
)
def test_where_a_part_cannot_be_shown_all_is(shown, change):
    viewer, layer, sent = shown
    change(viewer, layer)
    sent.clear()
    refresh_boxes(viewer, layer, [(slice(0, 5), slice(0, 5))])
    assert sent == ["all"]
