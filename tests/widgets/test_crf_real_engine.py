"""The CRF panel with the engine's own process: a slider moves, a new preview comes, the window lives."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from napari_papernets.samples import load_sample
from napari_papernets.widgets.crf_panel import CRFPanel

pytestmark = pytest.mark.gui


def coarse(truth: np.ndarray) -> np.ndarray:
    """Probabilities (2, Y, X) of foreground, in fields of 8 pixels as a network of that stride gives."""
    share = np.zeros(truth.shape, np.float32)
    for y in range(0, truth.shape[0], 8):
        for x in range(0, truth.shape[1], 8):
            share[y : y + 8, x : x + 8] = 0.1 + 0.8 * (truth[y : y + 8, x : x + 8] > 0).mean()
    return np.stack([1 - share, share])


def test_a_slider_gives_a_new_preview_that_follows_edges(make_napari_viewer_proxy, qtbot):
    sample = load_sample("tissue")
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.asarray(sample.image.data), name="tissue", rgb=True)
    viewer.add_image(coarse(sample.truth), name="scores", visible=False)
    panel = CRFPanel(viewer)
    viewer.window.add_dock_widget(panel, name="DeepLab + CRF")
    with qtbot.waitSignal(panel.previewed, timeout=120_000):
        panel.previews.request()
    layer = viewer.layers["tissue CRF preview"]
    smooth = layer.data.copy()
    qtbot.waitUntil(lambda: not panel.previews.jobs.busy, timeout=60_000)
    with qtbot.waitSignal(panel.previewed, timeout=60_000):
        panel.form.sliders["w1"].setValue(20.0)
    assert (viewer.layers["tissue CRF preview"].data != smooth).any()
    assert len(panel.view.plot.energies) == 11
    assert "torch" not in sys.modules
    truth = (sample.truth > 0).astype(np.uint8) + np.uint8(1)
    viewer.add_labels(truth, name="truth", visible=False)
    qtbot.waitUntil(lambda: panel.tuning.annotation.currentText() == "truth", timeout=10_000)
    with qtbot.waitSignal(panel.tuning.tuned, timeout=180_000) as told:
        panel.tuning.start()
    assert told.args[0].helps
    assert told.args[0].after > told.args[0].before
