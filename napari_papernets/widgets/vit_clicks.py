"""Clicks on the canvas while the ViT panel asks for places."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, Signal

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

CAMERA = "pan_zoom"  # the mode of a layer in which a click does nothing
FAR = 4.0  # pixels on the screen: what moves further is a drag, which moves the camera


class CanvasClicks(QObject):
    """Tells where the canvas was clicked, as long as it is switched on.

    Meanwhile the active layer only moves the camera: a brush would paint where a place is clicked.

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
        self._tools: list[tuple[Any, str]] = []  # layers whose tool was laid aside, and which it was

    def switch(self, on: bool) -> None:
        """Listen, or stop listening."""
        callbacks = self._viewer.mouse_drag_callbacks
        active = self._viewer.layers.selection.events.active
        if on and not self._on:
            callbacks.append(self._follow)
            active.connect(self._lay_tool_aside)
            self._lay_tool_aside()
        elif self._on and not on:
            if self._follow in callbacks:
                callbacks.remove(self._follow)
            active.disconnect(self._lay_tool_aside)
            self._take_tools_up()
        self._on = on

    def close_events(self) -> None:
        """Let go of the viewer."""
        self.switch(False)

    def _lay_tool_aside(self, event: object = None) -> None:
        layer = self._viewer.layers.selection.active
        if layer is not None and str(layer.mode) != CAMERA:
            self._tools.append((layer, str(layer.mode)))
            layer.mode = CAMERA

    def _take_tools_up(self) -> None:
        """Give the layers their tools back, but for those that were given another one meanwhile."""
        for layer, tool in self._tools:
            if str(layer.mode) == CAMERA:
                layer.mode = tool
        self._tools.clear()

    def _holds_tool(self) -> bool:
        layer = self._viewer.layers.selection.active
        return layer is not None and str(layer.mode) != CAMERA

    def _follow(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        if self._holds_tool():  # chosen since: the click is for it
            return
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
