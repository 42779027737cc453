"""Turns the events of a prediction into updates of one Labels layer, few and small enough for the window
to stay alive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer

from ..core.events import Event
from ..core.model import ClassInfo
from ..core.results import Prediction
from .first_look import FirstLook
from .outputs import (
    EDITED,
    PROVENANCE,
    find_output,
    is_renamed,
    is_shown,
    key_of,
    make_labels,
    put_output,
    rename_output,
    show_labels,
    update_layer,
)
from .part_refresh import Box, in_bands, refresh_boxes
from .placement import placement_of
from .run_plan import RunPlan
from .safe_removal import take_away

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

INTERVAL = 250  # ms between updates: one takes about 40 ms where GL is software
IN_PLACE = 64_000_000  # bytes of a result that are quickly copied into the array that is shown


class LabelSink(QObject):
    """The labels layer of one run.

    `opening` shows an empty layer (or empties the one of the last run). Before, meanwhile and after, for
    any number of events, `look.write` and `show`, and at the end either `finish` and the steps of
    `settling`, or `abandon`.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layer is.
    plan : RunPlan
        The run.
    interval : int
        Milliseconds between updates of the layer.

    Attributes
    ----------
    look : FirstLook
        What the layer shows until the result comes.
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
        self._stale = False
        self._boxes: list[Box] | None = []
        self._in_place = False
        self._timer = QTimer(self)
        self._timer.setInterval(interval)
        self._timer.timeout.connect(self._on_time)
        self.look = FirstLook(plan)
        self._shown, self._placement = plan.place(self.look.array, self.look.step)
        self._before: tuple[Any, Any, Any, bool] | None = None
        self._layer: napari.layers.Labels | None = None
        self._hidden = False
        self._covered: list[napari.layers.Layer] | None = None  # other results that were hidden for it

    def opening(self) -> Iterator[None]:
        """Show the layer with what has been written so far.

        A new layer takes napari a tenth of a second and more where GL is software, so it comes in steps:
        made, added unseen (of 8 bits, for which napari makes a visual whatever the data are), given its
        array, and seen. The window can live between them.
        """
        plan = self._plan
        known = find_output(self._viewer, plan.key)
        if known is not None:
            self._before = self._state(known)
            self._layer = self._put()
            self._stand_alone()
            return
        blank = np.zeros(self._shown.shape, np.uint8)
        layer = make_labels(plan.key, plan.name, blank, self._placement, **self._options(False))
        yield
        layer.metadata[PROVENANCE] = {}
        self._layer, self._hidden = layer, True
        show_labels(self._viewer, layer)
        yield
        if layer.data is blank:
            layer.data = self._shown
        yield
        self._reveal()
        self._stand_alone()

    def show(self, event: Event) -> None:
        """Show what `event` has written, within the interval."""
        if self.look.takes(event):
            self._stale = True
            box = self.look.box(event) if self._plan.like.endswith("YX") else None
            if box is None or self._boxes is None:
                self._boxes = None
            else:
                self._boxes.append(box)
            if not self._timer.isActive():
                self._refresh()
                self._timer.start()

    def finish(self, result: Prediction) -> napari.layers.Labels:
        """Show the result (after `RunPlan.prepare`), in a new layer if the user deleted or painted on
        the one of the run."""
        self.rest()
        shown, placement = self._plan.place(result.labels)
        layer = self._untouched()
        self._in_place = layer is not None and layer.data is self._shown and self._fits(shown)
        if self._in_place:
            np.copyto(self.look.array, result.labels)
        else:
            self._shown, self._placement = shown, placement
        if layer is None:
            layer = self._put()
        elif not self._in_place:
            update_layer(layer, shown, placement)
        self._reveal()
        self._layer = layer
        layer.metadata[PROVENANCE] = dict(result.provenance)
        rename_output(layer, self._plan.name)  # the image may have another name by now
        self._stand_alone()
        return layer

    def settling(self) -> Iterator[None]:
        """Bring to the screen what `finish` has put into the layer and is not there yet."""
        layer = self._layer
        if self._in_place and layer is not None:
            for _ in in_bands(self._viewer, layer):
                yield
                if not is_shown(self._viewer, layer):
                    return

    def rest(self) -> None:
        """Draw nothing any more, until `finish` or `abandon`."""
        self._timer.stop()
        self._stale = False

    def abandon(self) -> None:
        """Put the layer back as it was before the run, or take it away if there was none; and show again
        what was hidden for it."""
        self.rest()
        for other in self._covered or ():
            if is_shown(self._viewer, other) and not other.visible:
                other.visible = True
        layer = self._untouched()
        if layer is None:
            return
        if self._before is None:
            take_away(self._viewer, layer)
            return
        data, placement, provenance, visible = self._before
        update_layer(layer, data, placement)
        layer.metadata[PROVENANCE] = provenance
        if layer.visible != visible:
            layer.visible = visible

    def _untouched(self) -> napari.layers.Labels | None:
        """The layer of the run, where there is one that the user neither deleted nor painted on."""
        layer = self._layer
        if layer is None or not is_shown(self._viewer, layer) or layer.metadata.get(EDITED):
            return None
        return layer

    def _fits(self, shown: NDArray[Any]) -> bool:
        """Whether a result can be copied into the array that is shown."""
        same = (shown.shape, shown.dtype) == (self._shown.shape, self._shown.dtype)
        return same and shown.nbytes <= IN_PLACE

    def _reveal(self) -> None:
        if self._hidden and self._layer is not None:
            self._layer.visible = True
        self._hidden = False

    def _stand_alone(self) -> None:
        """Hide the other results of the image, once: what the user shows afterwards stays. Together with
        this layer they could not be told apart. To hide one costs no drawing of its own."""
        if self._covered is None:
            keys = {self._plan.key, *self._plan.supersedes}  # what was painted on, too
            self._covered = [
                other for other in self._viewer.layers
                if key_of(other) in keys and other != self._layer
                and other.visible and not is_renamed(other)
            ]  # fmt: skip
            for other in self._covered:
                other.visible = False

    def _put(self) -> napari.layers.Labels:
        plan = self._plan
        layer = put_output(
            self._viewer, "labels", plan.key, plan.name, self._shown, self._placement, **self._options()
        )
        layer.metadata[PROVENANCE] = {}
        return layer

    def _options(self, visible: bool = True) -> dict[str, Any]:
        plan = self._plan
        colours = {} if plan.instances else class_colours(plan.model.spec.classes)
        return dict(visible=visible, **colours)

    @staticmethod
    def _state(layer: napari.layers.Labels | None) -> tuple[Any, Any, Any, bool] | None:
        if layer is None or layer.data.size == 0:
            return None
        return layer.data, placement_of(layer), layer.metadata.get(PROVENANCE, {}), layer.visible

    def _on_time(self) -> None:
        if self._stale:
            self._refresh()
        else:
            self._timer.stop()

    def _refresh(self) -> None:
        self._stale = False
        boxes, self._boxes = self._boxes, []
        layer = self._layer
        if layer is not None and is_shown(self._viewer, layer) and layer.data is self._shown:
            refresh_boxes(self._viewer, layer, boxes)


def class_colours(classes: Sequence[ClassInfo], numbers: Sequence[int] | None = None) -> dict[str, Any]:
    """Options of a labels layer that shows 1…K, or those numbers: colours and names of the classes; 0
    and a first class named background, beside 0 too, let the image through."""
    from napari.utils.colormaps import DirectLabelColormap

    numbers = list(range(1, len(classes) + 1) if numbers is None else numbers)
    colours: dict[int | None, str] = {None: "#00000000", 0: "#00000000"}
    first = min((number for number in numbers if number), default=0)
    for number, about in zip(numbers, classes, strict=True):
        clear = number == 0 or (number == first and about.name.lower() == "background")
        colours[number] = "#00000000" if clear else about.colour
    return dict(
        colormap=DirectLabelColormap(color_dict=colours),
        features={"index": numbers, "class": [c.name for c in classes]},
    )
