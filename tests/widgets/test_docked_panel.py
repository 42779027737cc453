"""How a panel stands in napari's window."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QApplication, QTabBar

from napari_papernets.widgets.docked_panel import DockedPanel

pytestmark = pytest.mark.gui


class Panel(DockedPanel):
    def shut_down(self) -> None:
        pass


def test_the_tab_of_a_panel_shows_an_ampersand(make_napari_viewer_proxy):
    viewer = make_napari_viewer_proxy()
    dock = viewer.window.add_dock_widget(Panel(), name="Annotate & fine-tune")
    viewer.window.add_dock_widget(Panel(), name="U-Net", tabify=True)
    bars = [bar for bar in QApplication.allWidgets() if isinstance(bar, QTabBar)]
    tabs = {bar.tabText(i) for bar in bars for i in range(bar.count())}
    assert {"Annotate && fine-tune", "U-Net"} <= tabs  # Qt takes a single one for the mark of a key
    assert dock.title.title.text() == "Annotate & fine-tune"
