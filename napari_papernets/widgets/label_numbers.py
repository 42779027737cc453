"""The different numbers of labels layers, counted beside the window and remembered."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from .beside import beside
from .image_layers import full_data
from .layer_events import DATA_EVENTS, LayerEvents

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

MOST_LABELS = 20  # different numbers up to which labels are classes; more are objects
PAUSE = 200  # ms after the last change, so that a stroke is counted once
CHUNK = 2**20  # pixels that are counted at a time: the window has its turn between two

Numbers = tuple[int, ...]
OBJECTS: Numbers = ()  # more numbers than classes


class LabelNumbers(QObject):
    """Tells which numbers a labels layer has, all its planes together.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers they are.

    Attributes
    ----------
    counted : Signal()
        Those of a layer are known, or are others.
    """

    counted = Signal()

    def __init__(self, viewer: napari.viewer.Viewer, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._known: dict[Any, Numbers] = {}
        self._layers: dict[Any, napari.layers.Labels] = {}
        self._points: dict[Any, tuple[float, ...]] = {}  # where the viewer stood at its last change
        self._todo: dict[Any, napari.layers.Labels] = {}
        self._running, self._stop = False, threading.Event()
        self._events = LayerEvents(DATA_EVENTS, self._on_change)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.timeout.connect(self._count_next)
        viewer.layers.events.removed.connect(self._on_removed)

    def of(self, layer: napari.layers.Labels) -> Numbers | None:
        """In ascending order; `OBJECTS` where there are too many for classes; None until `counted`."""
        key = layer.unique_id
        if key not in self._layers:
            self._layers[key], self._todo[key] = layer, layer
            self._points[key] = tuple(self._viewer.dims.point)
            self._events.follow(self._layers.values())
            self._count_next()
        return self._known.get(key)

    def close_events(self) -> None:
        """Let go of the viewer, and stop counting."""
        self._stop.set()
        self._pause.stop()
        self._todo.clear()
        self._events.follow(())
        self._viewer.layers.events.removed.disconnect(self._on_removed)

    def _on_change(self, event: Any) -> None:
        layer, point = event.source, tuple(self._viewer.dims.point)
        moved = self._points.get(layer.unique_id) != point
        self._points[layer.unique_id] = point
        if event.type == "set_data" and moved:
            return  # another plane of the same labels
        self._todo[layer.unique_id] = layer
        self._pause.start(PAUSE)

    def _on_removed(self, event: object = None) -> None:
        there = {layer.unique_id for layer in self._viewer.layers}
        for found in (self._layers, self._known, self._points, self._todo):
            for key in found.keys() - there:
                del found[key]
        self._events.follow(self._layers.values())

    def _count_next(self) -> None:
        if self._running or not self._todo:
            return
        key = next(iter(self._todo))
        layer = self._todo.pop(key)
        self._running = True
        worker = beside(_count, key, full_data(layer), self._stop)
        worker.returned.connect(self._on_counted)
        worker.errored.connect(self._on_unreadable)
        worker.start()

    def _on_counted(self, found: tuple[Any, Numbers]) -> None:
        self._running = False
        if self._stop.is_set():
            return
        key, numbers = found
        news = key in self._layers and self._known.get(key) != numbers
        if news:
            self._known[key] = numbers
        self._count_next()
        if news:
            self.counted.emit()

    def _on_unreadable(self, error: object) -> None:
        """Who reads them for a result will tell why they cannot be read."""
        self._running = False
        self._count_next()


def count_numbers(data: Any, stop: threading.Event | None = None) -> Numbers:
    """The different numbers of labels, read plane by plane.

    Parameters
    ----------
    data : array of integers, shape (..., Y, X)
        numpy, dask or zarr.
    stop : threading.Event, optional
        Set where nobody wants to know any more.

    Returns
    -------
    tuple of int
        In ascending order; `OBJECTS` where there are more than 20, or others than 0…255.
    """
    if isinstance(data, np.ndarray):  # what is repeated without memory is counted once
        data = data[tuple(slice(0, 1 if step == 0 else None) for step in data.strides)]
    found = np.zeros(256, bool)
    for plane in np.ndindex(*data.shape[:-2]):
        pixels = np.asarray(data[plane])
        rows = max(1, CHUNK // max(1, pixels.shape[1]))
        for top in range(0, len(pixels), rows):
            if stop is not None and stop.is_set():
                return OBJECTS
            present = _present(pixels[top : top + rows])
            if present is None:
                return OBJECTS
            found |= present
        if found.sum() > MOST_LABELS:
            return OBJECTS
    return tuple(int(number) for number in np.flatnonzero(found))


def _present(block: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Which of 0…255 there are; None where there are others."""
    if block.min() < 0 or block.max() > np.iinfo(np.uint8).max:
        return None
    return np.bincount(block.ravel().astype(np.uint8), minlength=256) > 0


def _count(key: Any, data: Any, stop: threading.Event) -> tuple[Any, Numbers]:
    return key, count_numbers(data, stop)
