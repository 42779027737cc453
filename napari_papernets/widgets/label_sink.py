"""Turns the events of a prediction into updates of one Labels layer, few and small enough for the window
to stay alive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, QTimer

from ..core.events import Event
from ..core.results import Prediction
from .first_look import FirstLook
from .outputs import EDITED, PROVENANCE, find_output, is_shown, put_output, update_layer
from .placement import placement_of
from .run_plan import RunPlan

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

INTERVAL = 250  # ms between updates: one takes about 40 ms where GL is software


class LabelSink(QObject):
    """The labels layer of one run.

    Making it shows an empty layer (or empties the one of the last run); then, for any number of events,
    `look.write` and `show`, and at the end either `finish` or `abandon`.

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
        self._timer = QTimer(self)
        self._timer.setInterval(interval)
        self._timer.timeout.connect(self._on_time)
        self.look = FirstLook(plan)
        self._shown, self._placement = plan.place(self.look.array, self.look.step)
        self._before = self._state(find_output(viewer, plan.key))
        self._layer = self._put()

    def show(self, event: Event) -> None:
        """Show what `event` has written, within the interval."""
        if self.look.takes(event):
            self._stale = True
            if not self._timer.isActive():
                self._refresh()
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
        if self._stale:
            self._refresh()
        else:
            self._timer.stop()

    def _stop(self) -> None:
        self._timer.stop()
        self._stale = False

    def _refresh(self) -> None:
        self._stale = False
        if is_shown(self._viewer, self._layer) and self._layer.data is self._shown:
            # The data were written in place, without a setter: nothing enters the undo history.
            self._layer.refresh(thumbnail=False, highlight=False, extent=False)


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
