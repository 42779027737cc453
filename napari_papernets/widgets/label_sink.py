"""Turns the events of a prediction into updates of one Labels layer, few and small enough for the window
to stay alive."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer

from ..core.events import Event, PlaneDone, TileDone
from ..core.results import Prediction
from .outputs import EDITED, PROVENANCE, find_output, is_shown, put_output, update_layer
from .placement import placement_of
from .run_plan import RunPlan

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

INTERVAL = 250  # ms between updates: one takes about 40 ms where GL is software
# Pixels to a side of what is sent to the screen with every update. Up to here the layer keeps its shape
# to the end, which makes the hand-over of the result cheap; beyond, every update would be too dear.
LARGEST_LOOK = 4096


class LabelSink(QObject):
    """The labels layer of one run.

    Making it shows an empty layer (or empties the one of the last run); then comes any number of
    `add`, and at the end either `finish` or `abandon`.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layer is.
    plan : RunPlan
        The run.
    interval : int
        Milliseconds between updates of the layer.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        plan: RunPlan,
        parent: QObject | None = None,
        interval: int = INTERVAL,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._plan = viewer, plan
        self._pending: list[TileDone | PlaneDone] = []
        self._timer = QTimer(self)
        self._timer.setInterval(interval)
        self._timer.timeout.connect(self._on_time)
        # Every step-th pixel is enough for a first look, and quick to draw; the result has them all.
        self._step = ceil(max(plan.shape[-2:]) / LARGEST_LOOK)
        look = (*plan.shape[:-2], *(ceil(n / self._step) for n in plan.shape[-2:]))
        self._array = np.zeros(look, plan.label_type)
        self._shown, self._placement = plan.place(self._array, self._step)
        self._before = self._state(find_output(viewer, plan.key))
        self._layer = self._put()

    def add(self, event: Event) -> None:
        """Take note of a part that is done; it is shown within the interval."""
        single = self._plan.shape[:-2].count(1) == len(self._plan.shape) - 2
        if isinstance(event, TileDone) or (isinstance(event, PlaneDone) and not single):
            self._pending.append(event)
            if not self._timer.isActive():
                self._flush()
                self._timer.start()

    def finish(self, result: Prediction) -> napari.layers.Labels:
        """Show the result (after `RunPlan.prepare`), in a new layer if the user deleted or painted on
        the one of the run."""
        self._stop()
        self._shown, self._placement = self._plan.place(result.labels)
        if is_shown(self._viewer, self._layer) and not self._layer.metadata.get(EDITED):
            update_layer(self._layer, self._shown, self._placement)
        else:
            self._layer = self._put()
        self._layer.metadata[PROVENANCE] = dict(result.provenance)
        for key in self._plan.supersedes:
            lesser = find_output(self._viewer, key)
            if lesser is not None:
                lesser.visible = False
        return self._layer

    def abandon(self) -> None:
        """Put the layer back as it was before the run, or take it away if there was none."""
        self._stop()
        if not is_shown(self._viewer, self._layer) or self._layer.metadata.get(EDITED):
            return
        if self._before is None:
            self._viewer.layers.remove(self._layer)
            return
        data, placement, provenance = self._before
        update_layer(self._layer, data, placement)
        self._layer.metadata[PROVENANCE] = provenance

    def _put(self) -> napari.layers.Labels:
        plan = self._plan
        return put_output(
            self._viewer, "labels", plan.key, plan.name, self._shown, self._placement,
            metadata={PROVENANCE: {}}, visible=True, **({} if plan.instances else _class_colours(plan)),
        )  # fmt: skip

    @staticmethod
    def _state(layer: napari.layers.Labels | None) -> tuple[Any, Any, Any] | None:
        if layer is None or layer.data.size == 0:
            return None
        return layer.data, placement_of(layer), layer.metadata.get(PROVENANCE, {})

    def _on_time(self) -> None:
        if self._pending:
            self._flush()
        else:
            self._timer.stop()

    def _stop(self) -> None:
        self._timer.stop()
        self._pending.clear()

    def _flush(self) -> None:
        """Write what is pending into the array, then tell napari once."""
        parts, self._pending = self._pending, []
        for part in parts:
            self._write(part)
        if is_shown(self._viewer, self._layer) and self._layer.data is self._shown:
            # In place and without a setter: nothing enters the undo history.
            self._layer.refresh(thumbnail=False, highlight=False, extent=False)

    def _write(self, part: TileDone | PlaneDone) -> None:
        plan = self._plan
        index = tuple(i - o for i, o in zip(part.plane, plan.origin[:-2], strict=True))
        plane = self._array[index]
        # Numbers too large for the type wrap around until the result comes: this is a first look.
        labels = part.labels.astype(plan.label_type, copy=False)
        if isinstance(part, PlaneDone):
            plane[...] = labels[:: self._step, :: self._step]
            return
        starts = part.y[0] - plan.origin[-2], part.x[0] - plan.origin[-1]
        pairs = [
            overlap(start, length, size, self._step)
            for start, length, size in zip(starts, labels.shape, plan.shape[-2:], strict=True)
        ]
        plane[pairs[0][0], pairs[1][0]] = labels[pairs[0][1], pairs[1][1]]


def overlap(start: int, length: int, size: int, step: int) -> tuple[slice, slice]:
    """Where a part lands on a grid of every `step`-th pixel, along one axis.

    Parameters
    ----------
    start, length : int
        The part, in pixels of the array; it may reach beyond both ends.
    size : int
        Pixels of the array.
    step : int
        The grid has the pixels 0, step, 2 · step …

    Returns
    -------
    slice, slice
        Into the grid, and into the part.
    """
    low, high = max(start, 0), max(min(start + length, size), 0)
    first, end = ceil(low / step), ceil(high / step)
    if end <= first:
        return slice(0, 0), slice(0, 0)
    source = first * step - start
    return slice(first, end), slice(source, source + (end - first - 1) * step + 1, step)


def _class_colours(plan: RunPlan) -> dict[str, Any]:
    """Colours and names of the classes; a first class named background lets the image through."""
    from napari.utils.colormaps import DirectLabelColormap

    classes = plan.model.spec.classes
    colours: dict[int | None, str] = {None: "#00000000", 0: "#00000000"}
    for number, about in enumerate(classes, 1):
        clear = number == 1 and about.name.lower() == "background"
        colours[number] = "#00000000" if clear else about.colour
    names = [c.name for c in classes]
    return dict(
        colormap=DirectLabelColormap(color_dict=colours),
        features={"index": list(range(1, len(names) + 1)), "class": names},
    )
