"""The panel with the engine's own process: a crash, a cancel and a closed window in mid-run."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import psutil
import pytest

from napari_papernets.core.predict_settings import PredictSettings
from napari_papernets.model_files import list_models
from napari_papernets.samples import load_sample
from napari_papernets.widgets.unet_panel import UNetPanel

pytestmark = [
    pytest.mark.gui,
    pytest.mark.skipif(sys.platform == "win32", reason="kills with a POSIX signal"),
    pytest.mark.skipif(not list_models(), reason="no bundled model in this checkout"),
]


@pytest.fixture
def opened(make_napari_viewer_proxy):
    """A viewer with nuclei, and the panel docked, set to many small tiles."""
    viewer = make_napari_viewer_proxy()
    nuclei = np.tile(np.asarray(load_sample("nuclei").image.data), (3, 3))
    viewer.add_image(nuclei, name="nuclei")
    panel = UNetPanel(viewer)
    viewer.window.add_dock_widget(panel, name="U-Net")
    panel.model.choose("nuclei")
    panel.form.setValue(PredictSettings(zoom=1.0, tile=256))
    return viewer, panel


def start_and_wait_for_tiles(panel, qtbot):
    panel.start_run("plane")
    qtbot.waitUntil(lambda: panel.bar.bar.maximum() > 9 and panel.bar.bar.value() > 1, timeout=60_000)


def test_a_killed_engine_loses_nothing_and_the_next_run_works(opened, qtbot):
    viewer, panel = opened
    start_and_wait_for_tiles(panel, qtbot)
    assert viewer.layers["nuclei nuclei"].data.any()
    with qtbot.waitSignal(panel.runFailed, timeout=10_000):
        os.kill(panel._hold.engine().pid, signal.SIGKILL)
    assert "Nothing in the viewer was lost" in panel.message.text()
    assert [layer.name for layer in viewer.layers] == ["nuclei"]
    panel.form.setValue(PredictSettings(zoom=1.0))
    viewer.layers["nuclei"].corner_pixels = np.array([[0, 0], [199, 199]])
    with qtbot.waitSignal(panel.runFinished, timeout=60_000) as finished:
        panel.start_run("view")
    assert finished.args[0].data.max() > 3
    assert "torch" not in sys.modules


def test_a_cancelled_run_makes_room_for_the_next(opened, qtbot):
    viewer, panel = opened
    start_and_wait_for_tiles(panel, qtbot)
    panel.bar.cancel.click()
    assert not panel.control.is_running
    assert [layer.name for layer in viewer.layers] == ["nuclei"]
    viewer.layers["nuclei"].corner_pixels = np.array([[0, 0], [99, 99]])
    with qtbot.waitSignal(panel.runFinished, timeout=60_000):
        panel.start_run("view")


def test_a_closed_window_ends_the_engine(opened, qtbot):
    viewer, panel = opened
    start_and_wait_for_tiles(panel, qtbot)
    pid = panel._hold.engine().pid
    viewer.close()
    qtbot.waitUntil(lambda: not psutil.pid_exists(pid), timeout=10_000)
