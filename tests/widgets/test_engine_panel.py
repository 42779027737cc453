"""The Engine panel shows what the engine says, while it is looked at."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QApplication

from napari_papernets.widgets.engine_panel import EnginePanel

pytestmark = pytest.mark.gui


class Told:
    """An engine that only reports."""

    def __init__(self) -> None:
        self.text, self.started = "engine: not running", 0

    def start(self) -> None:
        self.started += 1
        self.text = "engine: starting"

    def diagnostics(self) -> str:
        return self.text


@pytest.fixture
def panel(qtbot):
    panel = EnginePanel(None, engine=Told())
    qtbot.addWidget(panel)
    panel.show()
    return panel


def test_it_follows_the_engine_while_it_is_visible(panel, qtbot):
    assert panel.log.toPlainText() == "engine: not running"
    engine = panel._hold.engine()
    engine.text = "engine: busy"
    qtbot.waitUntil(lambda: panel.log.toPlainText() == "engine: busy", timeout=10_000)
    panel.hide()
    assert not panel._timer.isActive()


def test_the_buttons_start_and_copy(panel):
    panel.start_button.click()
    assert panel._hold.engine().started == 1
    assert panel.log.toPlainText() == "engine: starting"
    panel.copy_button.click()
    assert QApplication.clipboard().text() == "engine: starting"


def test_plugins_menu_has_all_panels():
    from npe2 import PluginManifest

    import napari_papernets

    path = napari_papernets.__file__.replace("__init__.py", "napari.yaml")
    widgets = PluginManifest.from_file(path).contributions.widgets
    names = ["Annotate & fine-tune", "U-Net", "DeepLab + CRF", "ViT", "MoCo", "Engine"]
    assert [w.display_name for w in widgets] == names
