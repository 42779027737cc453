"""The ViT panel with the engine's own process: a landmark, a click, and labels from strokes."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from napari_papernets.widgets import vit_picker
from napari_papernets.widgets.vit_panel import ViTPanel

pytestmark = pytest.mark.gui


def test_a_landmark_lies_under_its_token(make_napari_viewer_proxy, monkeypatch, tmp_path, qtbot):
    """Random weights suffice: the token of a bright square is unlike all others, where the square is."""
    monkeypatch.setattr(vit_picker, "list_models", lambda: ())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    viewer = make_napari_viewer_proxy()
    image = np.zeros((80, 112), np.float32)
    image[32:48, 64:80] = 1  # the patch in row 2, column 4
    viewer.add_image(image, name="image", scale=(0.3, 0.3), translate=(5, 6))
    panel = ViTPanel(viewer)
    viewer.window.add_dock_widget(panel, name="ViT")
    panel.controls.similarity.setChecked(True)
    panel.controls.attention.setChecked(True)
    panel.controls.block.setValue(1)
    with qtbot.waitSignal(panel.shown, timeout=240_000):
        panel.read("plane")
    assert viewer.layers["random tokens as colour of image"].data.shape == (5, 7, 3)
    layer = viewer.layers["image"]
    panel.clicks.clicked.emit(tuple(layer.data_to_world((40, 72))), False)
    similar = viewer.layers["random similarity of image"]
    assert np.unravel_index(similar.data.argmax(), similar.data.shape) == (2, 4)
    corner = similar.data_to_world((2 - 0.5, 4 - 0.5))
    np.testing.assert_allclose(corner, layer.data_to_world((32 - 0.5, 64 - 0.5)), atol=1e-9)
    np.testing.assert_array_less(viewer.layers["random attention of image"].data.sum(), 1)
    assert "nothing learnt" in panel.message.text()
    assert "torch" not in sys.modules
