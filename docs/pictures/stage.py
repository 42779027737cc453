"""A viewer in which a tutorial is played as a person would, and photographed: see `make pictures`, which
also gives it a home of its own, so that nobody's sessions and models are touched."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari._qt.dialogs.qt_notification import NapariQtNotification
from napari.layers import Labels
from numpy.typing import NDArray
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QPainter
from qtpy.QtWidgets import QApplication, QScrollArea, QWidget
from scipy import ndimage

from napari_papernets import samples

PLUGIN = "napari-papernets"
IMAGES = Path(__file__).resolve().parents[1] / "images"
LIMIT = 300.0  # seconds that anything may take
SETTLE = 1.5  # until the last change is on the screen


class Stage:
    """A viewer with one panel.

    Parameters
    ----------
    panel : str
        Its name in the Plugins menu.
    sample : str
        Which is opened first.
    side : int, optional
        Of the sample only this corner, so many pixels to a side.
    width, height : int
        Of the window, in pixels.
    panel_width : int, optional
        Of the panel, where it is to be wider than it needs.
    without : collection of str
        Layers of the sample that are deleted before the panel is opened.

    Attributes
    ----------
    viewer : napari.Viewer
    panel : QWidget
    """

    def __init__(
        self,
        panel: str,
        sample: str,
        side: int | None = None,
        width: int = 1400,
        height: int = 900,
        panel_width: int | None = None,
        without: Collection[str] = (),
    ) -> None:
        self.viewer = napari.Viewer()
        self.viewer.window.resize(width, height)
        if side is None:
            self.viewer.open_sample(PLUGIN, sample)
        else:
            pixels, options, _ = getattr(samples, f"open_{sample}")()[0]
            self.viewer.add_image(pixels[:side, :side], **options)
        for name in without:
            self.viewer.layers.remove(name)
        dock, self.panel = self.viewer.window.add_plugin_dock_widget(PLUGIN, panel)
        if panel_width is not None:
            self.window.resizeDocks([dock], [panel_width], Qt.Orientation.Horizontal)
        self.rest(2 * SETTLE)
        self.viewer.reset_view()

    @property
    def window(self) -> QWidget:
        """The viewer's."""
        return self.viewer.window._qt_window

    def rest(self, seconds: float = SETTLE) -> None:
        """Let the window live for a while."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)

    def wait(self, what: str, condition: Callable[[], Any], limit: float = LIMIT) -> None:
        """Let the window live until something is there.

        Raises
        ------
        TimeoutError
            If it does not come.
        """
        end = time.monotonic() + limit
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"{what} did not come in {limit:g} s")
            self.rest(0.05)

    def layer(self, name: str) -> Any:
        """The layer of that name, or None."""
        return next((layer for layer in self.viewer.layers if layer.name == name), None)

    def dialog(self, kind: type[QWidget]) -> Any:
        """The open window of that kind, or None."""
        found = (w for w in QApplication.topLevelWidgets() if isinstance(w, kind) and w.isVisible())
        return next(found, None)

    def shoot(self, name: str, window: QWidget | None = None) -> None:
        """Photograph the viewer; another window is put over the lower end of the canvas."""
        self.rest()
        for note in self.window.findChildren(NapariQtNotification):
            note.close()
        path = IMAGES / f"{name}.png"
        picture = self.window.grab()
        if window is not None:
            painter = QPainter(picture)
            canvas = self.viewer.window._qt_viewer.canvas.native
            window.resize(canvas.width() - 24, canvas.height() // 3)
            self.rest()
            shown = window.grab()
            corner = canvas.mapTo(self.window, QPoint(0, canvas.height()))
            left = corner.x() + (canvas.width() - shown.width()) // 2
            painter.drawPixmap(left, corner.y() - shown.height() - 12, shown)
            painter.end()
        picture.save(str(path))
        print(path.name, flush=True)

    def scroll(self, share: float) -> None:
        """Move the first scroll area of the panel."""
        bar = self.panel.findChild(QScrollArea).verticalScrollBar()
        bar.setValue(round(bar.maximum() * share))

    def close(self) -> None:
        """Close panel and viewer."""
        self.panel.shut_down()
        self.viewer.close()
        self.rest(0.5)


def strokes_of(labels: NDArray[Any], value: int) -> list[tuple[NDArray[np.intp], ...]]:
    """Pixels of every stroke of a class, from the upper left."""
    numbers, count = ndimage.label(labels == value, np.ones((3, 3)))
    return [np.nonzero(numbers == n + 1) for n in range(count)]


def paint(layer: Labels, strokes: list[tuple[NDArray[np.intp], ...]], value: int) -> None:
    """Paint strokes one after another, each of which can be undone."""
    layer.selected_label = value
    for stroke in strokes:
        layer.data_setitem(stroke, value)
