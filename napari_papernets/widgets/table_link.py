"""A table of objects and their labels layer, linked both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from .farewell import when_destroyed
from .outputs import is_shown
from .table_window import Columns, TableWindow

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer


class TableLink(QObject):
    """A row that is chosen shows its object; a label that is chosen in the layer shows its row.

    Ends when the window is closed or the layer is removed.

    Parameters
    ----------
    window : TableWindow
        Shows `columns`; the link belongs to it.
    columns : mapping of str to ndarray
        As `measure` gives them.
    viewer : napari.viewer.Viewer
        Where the layer is.
    layer : napari.layers.Labels
        What was measured.
    start : mapping of str to int, optional
        By axis ("t", "z", "y", "x"), where the layer begins in the image, in whose pixels the columns
        tell places; 0 where it is left out.
    """

    def __init__(
        self,
        window: TableWindow,
        columns: Columns,
        viewer: napari.viewer.Viewer,
        layer: napari.layers.Labels,
        start: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__(window)
        self._window, self._columns = window, columns
        self._viewer, self._layer, self._start = viewer, layer, dict(start or {})
        self._looking = False
        window.rowChosen.connect(self._on_row)
        layer.events.selected_label.connect(self._on_label)
        viewer.layers.events.removed.connect(self._on_removed)
        window.finished.connect(self.end)
        when_destroyed(window, self.end)

    def end(self, *_: object) -> None:
        """Let go of the layer; may be called again."""
        self._layer.events.selected_label.disconnect(self._on_label)
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def _on_row(self, row: int) -> None:
        if is_shown(self._viewer, self._layer):
            self._looking = True
            try:
                self._look_at(row)
            finally:
                self._looking = False

    def _on_label(self, _: object = None) -> None:
        if not self._looking:
            self._window.show_row(self._row_of(int(self._layer.selected_label)))

    def _on_removed(self, event: Any) -> None:
        if event.value is self._layer:
            self.end()

    def _row_of(self, label: int) -> int | None:
        """Of that label, in the plane in view where it is measured there; None where nowhere."""
        rows: NDArray[Any] = np.flatnonzero(self._columns["label"] == label)
        point = np.asarray(self._viewer.dims.point, dtype=float)[-self._layer.ndim :]
        here = rows
        for value, axis in zip(self._layer.world_to_data(point), self._axes(), strict=False):
            here = here[self._in_layer(axis, here) == round(float(value))]
        found = here if len(here) else rows
        return int(found[0]) if len(found) else None

    def _look_at(self, row: int) -> None:
        """Bring an object to the middle of the view and select its label."""
        viewer, layer, columns = self._viewer, self._layer, self._columns
        layer.selected_label = int(columns["label"][row])
        place = [float(self._in_layer(axis, row)) for axis in (*self._axes(), "y", "x")]
        if len(place) == layer.ndim:
            world = layer.data_to_world(place)
            for dim, value in enumerate(world[:-2]):
                viewer.dims.set_point(viewer.dims.ndim - layer.ndim + dim, value)
            # napari 0.9 moved the camera from the viewer to its scene.
            getattr(viewer, "scene", viewer).camera.center = (0.0, *world[-2:])

    def _in_layer(self, axis: str, rows: Any) -> Any:
        """Places along an axis, counted from where the layer begins."""
        return self._columns[axis][rows] - self._start.get(axis, 0)

    def _axes(self) -> list[str]:
        return [axis for axis in ("t", "z") if axis in self._columns]
