"""The demo that writes its results."""

from __future__ import annotations

import napari
import numpy as np
import pytest
from fakes import prediction
from qtpy.QtCore import QObject, Signal

from napari_papernets.core.errors import InputError
from napari_papernets.samples import load_sample
from napari_papernets.widgets import demo

pytestmark = pytest.mark.gui

SAMPLE = "nuclei"


class Panel(QObject):
    """Its run is done at once, where it is to be done at all."""

    runFinished = Signal(object, object)
    runFailed = Signal(object)

    def __init__(self, result=None) -> None:
        super().__init__()
        self._result = result

    def start_run(self, kind: str) -> None:
        if self._result is not None:
            self.runFinished.emit(None, self._result)


@pytest.mark.parametrize("done", [False, True])
def test_a_window_that_is_closed_too_early_is_told_in_one_line(done, monkeypatch, tmp_path, qtbot):
    shape = load_sample(SAMPLE).image.plane_shape
    panel = Panel(prediction(np.ones(shape, np.uint16)) if done else None)
    monkeypatch.setattr(demo, "open_window", lambda _: (None, panel))
    monkeypatch.setattr(demo, "SETTLE", 10_000)  # the screenshot is still to come
    monkeypatch.setattr(napari, "run", lambda: None)
    with pytest.raises(InputError, match="window: got closed before the run was done; leave it open"):
        list(demo.run_demo(SAMPLE, tmp_path / "output"))
    assert not (tmp_path / "output").exists()
