"""What is to be done at the end of a widget is done once, whatever took the widget away."""

from __future__ import annotations

import gc
import weakref

import pytest
from qtpy.QtWidgets import QWidget

from napari_papernets.widgets import engine_access
from napari_papernets.widgets.engine_access import EngineHold
from napari_papernets.widgets.farewell import when_destroyed

pytestmark = pytest.mark.gui


class Work:
    def __init__(self) -> None:
        self.ended = 0

    def end(self) -> None:
        self.ended += 1


class Part(QWidget):
    def __init__(self, *calls) -> None:
        super().__init__()
        self.own = Work()
        when_destroyed(self, *calls, self.own.end)


def test_work_ends_with_the_window_around_it(qtbot):
    window, work = QWidget(), Work()
    part = Part(work.end)
    part.setParent(window)
    window.deleteLater()
    qtbot.waitUntil(lambda: work.ended == 1)
    assert part.own.ended == 1


def test_a_share_in_the_engine_ends_with_a_panel_that_nobody_closed(monkeypatch):
    released = []
    monkeypatch.setattr(engine_access, "_give_back", released.append)
    hold = EngineHold()
    number = hold._number
    del hold
    gc.collect()
    assert number in released


def test_it_keeps_nothing_alive(qtbot):
    widget, work = QWidget(), Work()
    when_destroyed(widget, work.end)
    gone = weakref.ref(work)
    del work
    assert gone() is None
    widget.deleteLater()
    qtbot.wait(50)
