"""A table of objects and their labels layer, linked both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject

from .camera import camera_of, zoom_to_see
from .farewell import when_destroyed
from .outputs import is_shown
from .table_window import Columns, TableWindow

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer


CHANGED = "The labels have changed since they were measured, and rows show nothing now. Measure again."


class TableLink(QObject):
    """A row that is chosen shows its object; a label that is chosen in the layer shows its row.

    Ends when the window is closed, the layer is removed or gets other labels, of which the window then
    tells. What is painted leaves it.

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
    start : mapping of str to int
        By each axis of the layer ("t", "z", "c", "y", "x"), in their order, where it begins in the
        image, in whose pixels the columns tell places.
    """

    def __init__(
        self,
        window: TableWindow,
        columns: Columns,
        viewer: napari.viewer.Viewer,
        layer: napari.layers.Labels,
        start: Mapping[str, int],
    ) -> None:
        super().__init__(window)
        self._window, self._columns = window, columns
        self._viewer, self._layer, self._start = viewer, layer, dict(start)
        self._looking = self._ended = False
        window.rowChosen.connect(self._on_row)
        layer.events.selected_label.connect(self._on_label)
        layer.events.data.connect(self._on_data)
        viewer.layers.events.removed.connect(self._on_removed)
        window.finished.connect(self.end)
        when_destroyed(window, self.end)

    def end(self, *_: object) -> None:
        """Let go of the layer; may be called again."""
        self._ended = True
        self._layer.events.selected_label.disconnect(self._on_label)
        self._layer.events.data.disconnect(self._on_data)
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def _on_row(self, row: int) -> None:
        if not self._ended and is_shown(self._viewer, self._layer):
            self._looking = True
            try:
                self._look_at(row)
            finally:
                self._looking = False

    def _on_label(self, _: object = None) -> None:
        if not self._looking:
            self._window.show_row(self._row_of(int(self._layer.selected_label)))

    def _on_data(self, _: object = None) -> None:
        """Other labels, perhaps along other axes: the numbers of the rows are no longer theirs."""
        self.end()
        self._window.about.setText(CHANGED)

    def _on_removed(self, event: Any) -> None:
        if event.value == self._layer:
            self.end()

    def _row_of(self, label: int) -> int | None:
        """Of that label, in the plane in view where it is measured there; None where nowhere."""
        rows: NDArray[Any] = np.flatnonzero(self._columns["label"] == label)
        here = rows
        for axis, value in self._in_view().items():
            if self._is_stacked(axis):
                here = here[self._in_layer(axis, here) == round(value)]
        found = here if len(here) else rows
        return int(found[0]) if len(found) else None

    def _look_at(self, row: int) -> None:
        """Bring an object to the middle of the view, show it and select its label; closer where it is
        hardly seen, and from further away where only a part of it would be."""
        viewer, layer = self._viewer, self._layer
        layer.visible = True
        layer.selected_label = int(self._columns["label"][row])
        place = {
            axis: float(self._in_layer(axis, row)) if axis in self._columns else value
            for axis, value in self._in_view().items()
        }
        world = dict(zip(place, layer.data_to_world(list(place.values())), strict=True))
        for dim, axis in enumerate(self._start, start=viewer.dims.ndim - layer.ndim):
            if self._is_stacked(axis):
                viewer.dims.set_point(dim, world[axis])
        camera_of(viewer).center = (0.0, world["y"], world["x"])
        if viewer.dims.ndisplay == 2:
            pixel = self._in_world(1.0, 1.0)
            box = (float(self._columns[f"{a}1"][row] - self._columns[f"{a}0"][row]) for a in "yx")
            zoom_to_see(viewer, self._in_world(*box), pixel)

    def _in_world(self, y: float, x: float) -> tuple[float, float]:
        """Height and width in world units of what has so many pixels, turned or not."""
        at = [list(self._start).index(axis) for axis in "yx"]
        sides = np.zeros((2, self._layer.ndim))
        sides[[0, 1], at] = y, x
        origin = self._layer.data_to_world(np.zeros(self._layer.ndim))
        turned = [np.subtract(self._layer.data_to_world(side), origin)[at] for side in sides]
        height, width = np.abs(turned).sum(axis=0)
        return float(height), float(width)

    def _in_view(self) -> dict[str, float]:
        """Where the layer is looked at, by its axes."""
        point = np.asarray(self._viewer.dims.point, dtype=float)[-self._layer.ndim :]
        return dict(zip(self._start, map(float, self._layer.world_to_data(point)), strict=True))

    def _is_stacked(self, axis: str) -> bool:
        """Whether the table tells planes along it."""
        return axis in "tz" and axis in self._columns

    def _in_layer(self, axis: str, rows: Any) -> Any:
        """Places along an axis, counted from where the layer begins."""
        return self._columns[axis][rows] - self._start[axis]
