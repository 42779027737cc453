"""Tells what the person looks at, a few times a second while it changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer, Signal

from ..core.annotation import View
from .camera import camera_of

if TYPE_CHECKING:
    import napari.viewer

PAUSE = 200  # ms between two views


class ViewFollower(QObject):
    """Follows the camera, the sliders and the active layer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose view it is.
    view : callable
        What is in view now; None where that is nothing.

    Attributes
    ----------
    moved : Signal(object)
        The new View.
    """

    moved = Signal(object)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        view: Callable[[], View | None],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._view = view
        self._last: View | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._look)
        camera = camera_of(viewer)
        self._events = (
            camera.events.center,
            camera.events.zoom,
            viewer.dims.events.current_step,
            viewer.dims.events.order,
            viewer.dims.events.ndisplay,
            viewer.layers.selection.events.active,
        )
        for event in self._events:
            event.connect(self._on_change)

    def close_events(self) -> None:
        """Let go of the viewer."""
        self._timer.stop()
        for event in self._events:
            event.disconnect(self._on_change)

    def _on_change(self, event: object = None) -> None:
        if not self._timer.isActive():
            self._timer.start(PAUSE)

    def _look(self) -> None:
        view = self._view()
        if view is not None and view != self._last:
            self._last = view
            self.moved.emit(view)
