"""Every documented shortcut works in napari's window while the bars of all panels are open."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_papernets.widgets.annotation_bar import AnnotationBar
from napari_papernets.widgets.read_bar import ReadBar
from napari_papernets.widgets.run_bar import RunBar

pytestmark = pytest.mark.gui

DOCS = Path(__file__).resolve().parents[2] / "docs"
PRESSES = {
    "Alt+1": ("unet", "view"), "Alt+2": ("unet", "plane"), "Alt+3": ("unet", "stack"),
    "Alt+4": ("vit", "view"), "Alt+5": ("vit", "plane"),
    "Alt+A": ("annotate", "live"), "Alt+T": ("annotate", "train"),
    "Alt+K": ("annotate", "stop"), "Alt+U": ("annotate", "place"),
}  # fmt: skip


@pytest.fixture
def bars(make_napari_viewer_proxy):
    """Of U-Net, ViT and Annotate & fine-tune, in one window that has the keyboard."""
    viewer = make_napari_viewer_proxy(show=True)
    found = dict(unet=RunBar(), vit=ReadBar(), annotate=AnnotationBar())
    for name, bar in found.items():
        viewer.window.add_dock_widget(bar, name=name, area="right")
    QApplication.setActiveWindow(found["unet"].window())
    return found


def press(bars, qtbot, keys: str) -> None:
    key = getattr(Qt.Key, f"Key_{keys[-1]}")
    qtbot.keyClick(bars["unet"].window(), key, Qt.KeyboardModifier.AltModifier)


def test_each_asks_for_what_it_says(bars, qtbot):
    asked: list[tuple[str, str]] = []
    bars["unet"].runRequested.connect(lambda kind: asked.append(("unet", kind)))
    bars["vit"].readRequested.connect(lambda extent: asked.append(("vit", extent)))
    bars["annotate"].liveChanged.connect(lambda _: asked.append(("annotate", "live")))
    for name in ("train", "stop", "place"):
        signal = getattr(bars["annotate"], f"{name}Requested")
        signal.connect(lambda n=name: asked.append(("annotate", n)))
    for number, (keys, wanted) in enumerate(PRESSES.items(), start=1):
        press(bars, qtbot, keys)
        qtbot.waitUntil(lambda n=number: len(asked) == n)  # Qt shows the button pressed for a moment
        assert asked[-1] == wanted


def test_a_run_is_cancelled(bars, qtbot):
    bars["unet"].set_waiting()
    with qtbot.waitSignal(bars["unet"].cancelRequested):
        press(bars, qtbot, "Alt+0")


def test_the_pages_name_these_keys_and_no_others():
    known = {*PRESSES, "Alt+0"}
    named = {
        key for page in DOCS.glob("*.md") for key in re.findall(r"Alt\+[A-Z0-9]\b", page.read_text())
    }
    assert named == known
