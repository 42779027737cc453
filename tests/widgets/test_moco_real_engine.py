"""The MoCo panel with the engine's own process: it learns, keeps, and makes the dictionary."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from napari_papernets import model_files
from napari_papernets.core.moco_settings import MoCoSettings
from napari_papernets.samples import load_sample
from napari_papernets.widgets.moco_panel import MoCoPanel

pytestmark = pytest.mark.gui


@pytest.fixture
def data_home(monkeypatch, tmp_path):
    """Models are written to a folder of the test's; the engine's process is told by the environment."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return model_files.user_folder()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the folder is told by XDG_DATA_HOME")
def test_from_a_frame_to_its_dictionary(make_napari_viewer_proxy, data_home, qtbot):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.asarray(load_sample("nuclei").image.data), name="nuclei")
    strokes = np.zeros(viewer.layers["nuclei"].data.shape, np.uint8)
    strokes[5::40, 5:25], strokes[20::40, 5:25] = 1, 2
    viewer.add_labels(strokes, name="strokes")
    panel = MoCoPanel(viewer)
    viewer.window.add_dock_widget(panel, name="MoCo")
    panel.sources.strokes.setCurrentText("strokes")
    small = dict(width=4, depth=2, K=64, crop=32, batch=4, places=8, encoder="contracting")
    panel.form.settings.setValue(MoCoSettings(**small))
    panel.form.minutes.setValue(100)
    panel.bar.start.click()
    qtbot.waitUntil(lambda: len(panel.plots._losses) > 3, timeout=120_000)
    with qtbot.waitSignal(panel.trained, timeout=60_000) as trained:
        panel.bar.stop.click()
    (tuned,) = trained.args
    assert tuned.provenance["stopped"] == "asked to stop"
    assert tuned.model.path.parent == data_home
    assert "on your strokes" in panel.plots.helps.text()
    assert np.isfinite([loss for _, loss in panel.plots._losses]).all()
    panel.dictionary.make.click()
    qtbot.waitUntil(lambda: panel.dictionary.patch_map is not None, timeout=60_000)
    assert len(viewer.layers["dictionary"].data) == len(panel.dictionary.patch_map.keys)
    assert panel.dictionary.nearest.count() == 8
    assert panel.bar.go_on.isEnabled()
    done = tuned.provenance["steps_done"]
    with qtbot.waitSignal(panel.trained, timeout=60_000) as trained:
        panel.bar.go_on.click()
        qtbot.waitUntil(lambda: len(panel.plots._losses) > done + 3, timeout=60_000)
        panel.bar.stop.click()
    assert trained.args[0].provenance["steps_done"] > done
    assert "torch" not in sys.modules
