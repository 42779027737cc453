"""Takes away layers of a plane that is not in view, which napari does not always survive at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QObject, QTimer

from .outputs import is_shown

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

DRAWN = 100  # ms in which the canvas has been drawn anew


def take_away(viewer: napari.viewer.Viewer, layer: napari.layers.Layer) -> None:
    """Remove a layer, now or when it has been drawn in view; for whoever may be gone by then."""
    removal = SafeRemoval(viewer)
    removal.soon(layer)
    QTimer.singleShot(2 * DRAWN, lambda: removal.leave())  # which keeps it until then


class SafeRemoval(QObject):
    """Removes layers from a viewer.

    napari may crash in the next drawing after a layer was removed while the slider stood outside of its
    planes: such a layer is first brought to the plane in view, quite clear, and drawn there.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers they are.
    """

    def __init__(self, viewer: napari.viewer.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._leaving: list[tuple[napari.layers.Layer, float]] = []  # and the opacity before
        self._timer = QTimer(self, singleShot=True, interval=DRAWN)
        self._timer.timeout.connect(self._remove_all)

    def at_once(self, layer: napari.layers.Layer) -> bool:
        """Remove a layer where that is safe now; whether it was."""
        planes = dict(self._stack_axes(layer))
        safe = not planes or bool(
            layer.visible and all(0 <= plane < layer.data.shape[axis] for axis, plane in planes.items())
        )
        if safe:
            self._viewer.layers.remove(layer)
        return safe

    def soon(self, layer: napari.layers.Layer) -> None:
        """Remove a layer, now or when it has been drawn in view."""
        if self.at_once(layer):
            return
        self._leaving.append((layer, layer.opacity))
        layer.opacity = 0
        moved = np.array(layer.translate, float)
        for axis, plane in self._stack_axes(layer):
            moved[axis] += plane * layer.scale[axis]
        layer.translate = moved
        layer.visible = True
        self._timer.start()

    def keep(self, layer: napari.layers.Layer) -> None:
        """A layer that was to be removed soon is needed again."""
        for leaving, opacity in self._leaving:
            if leaving == layer:
                layer.opacity = opacity
        self._leaving = [pair for pair in self._leaving if pair[0] != layer]

    def leave(self) -> None:
        """Remove nothing any more."""
        self._timer.stop()

    def _stack_axes(self, layer: napari.layers.Layer) -> list[tuple[int, int]]:
        """Axes of a layer that sliders move along, and its index at the place of each slider."""
        dims = self._viewer.dims
        before = dims.ndim - layer.ndim
        axes = [axis - before for axis in dims.not_displayed if axis >= before]
        return [(a, round((dims.point[a + before] - layer.translate[a]) / layer.scale[a])) for a in axes]

    def _remove_all(self) -> None:
        leaving, self._leaving = self._leaving, []
        for layer, _ in leaving:
            if is_shown(self._viewer, layer):
                self._viewer.layers.remove(layer)
