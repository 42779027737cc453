"""Clicks on the canvas while the ViT panel asks for places."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

FAR = 4.0  # pixels on the screen: what moves further is a drag, which moves the camera


class CanvasClicks(QObject):
    """Tells where the canvas was clicked, as long as it is switched on.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose canvas it is.

    Attributes
    ----------
    clicked : Signal(object, bool)
        World position, and whether Alt was held.
    """

    clicked = Signal(object, bool)

    def __init__(self, viewer: napari.viewer.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._on = False

    def switch(self, on: bool) -> None:
        """Listen, or stop listening."""
        callbacks = self._viewer.mouse_drag_callbacks
        if on and not self._on:
            callbacks.append(self._follow)
        elif self._on and not on and self._follow in callbacks:
            callbacks.remove(self._follow)
        self._on = on

    def _follow(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        start = np.asarray(event.pos, float)
        position, alt = tuple(event.position), "Alt" in event.modifiers
        moved = False
        yield
        while event.type == "mouse_move":
            moved = moved or float(np.linalg.norm(np.asarray(event.pos, float) - start)) > FAR
            yield
        if not moved:
            self.clicked.emit(position, alt)


def pixel_at(layer: napari.layers.Image, position: Any, axes: str) -> tuple[float, float]:
    """Pixel (y, x), with pixel i spanning i to i + 1, of a world position.

    Parameters
    ----------
    layer : napari.layers.Image
        The image.
    position : sequence of float
        In the world of the viewer, which may have more axes.
    axes : str
        Of the layer.
    """
    point = np.asarray(layer.world_to_data(np.asarray(position, float)[-layer.ndim :]))
    return float(point[axes.index("Y")]) + 0.5, float(point[axes.index("X")]) + 0.5
