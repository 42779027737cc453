"""What to do with a result: measure its objects, copy the command that repeats it, copy diagnostics."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QApplication, QHBoxLayout, QPushButton, QWidget

from ..core.errors import InputError, PapernetsError
from ..core.image import ImageBlock
from ..core.part import Part
from ..core.tiles import Region
from .annotation_layer import annotated_id, classes_of
from .beside import beside
from .farewell import when_destroyed
from .job_adapter import Engine
from .offered import offer
from .outputs import PROVENANCE, is_output
from .run_bar import counted
from .run_plan import RunPlan
from .table_link import TableLink
from .table_window import Columns, TableWindow

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

HELP = {
    "measure": (
        "Measure every object of the selected labels layer, or of the last result: size, shape, place "
        "and brightness, in pixels and physical units, as a table that can be saved as CSV."
    ),
    "command": (
        "Copy the command line that repeats the last result (or that of the selected layer) exactly, "
        "to be pasted into a terminal."
    ),
    "diagnostics": "Copy versions, device and the engine's log, for a report of a problem.",
}


class ResultActions(QWidget):
    """Buttons that act on the selected result.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where results are.
    image : callable
        The chosen image, for labels that no run of this panel made; raises PapernetsError.
    engine : callable
        The engine, whose diagnostics are copied.

    Attributes
    ----------
    told : Signal(str)
        What was done, one line.
    failed : Signal(object)
        The error.
    """

    told = Signal(str)
    failed = Signal(object)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        image: Callable[[], ImageBlock],
        engine: Callable[[], Engine],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._image, self._engine = viewer, image, engine
        self._plans: dict[Any, RunPlan] = {}
        self._last: Any = None
        self._measuring = False
        self.windows: list[TableWindow] = []
        self.measure = self._button("Measure…", HELP["measure"], self._on_measure)
        self.command = self._button("Copy command", HELP["command"], self._on_command)
        self.diagnostics = self._button("Diagnostics", HELP["diagnostics"], self._on_diagnostics)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for button in (self.measure, self.command, self.diagnostics):
            layout.addWidget(button, 1)
        for emitter in self._emitters():
            emitter.connect(self.refresh)
        when_destroyed(self, self.close_events)
        self.refresh()

    def close_events(self) -> None:
        """Let go of the viewer."""
        for emitter in self._emitters():
            emitter.disconnect(self.refresh)

    def add_result(self, layer: napari.layers.Labels, plan: RunPlan) -> None:
        """A run gave this layer."""
        shown = {la.unique_id for la in self._viewer.layers}
        self._plans = {key: p for key, p in self._plans.items() if key in shown}
        self._plans[layer.unique_id] = plan
        self._last = layer.unique_id
        self.refresh()

    def labels_layer(self) -> napari.layers.Labels:
        """The selected labels layer; where there is none, or it is annotation, which one seldom wants to
        measure, the last result if there is one.

        Raises
        ------
        InputError
            If there is none of them.
        """
        from napari.layers import Labels

        active = self._viewer.layers.selection.active
        selected = isinstance(active, Labels)
        if selected and not _is_annotation(active):
            return active
        last = self._last_result()
        if last is not None:
            return last
        if selected:
            return active
        raise InputError("labels", "no result yet", "run a prediction or select a labels layer")

    def command_text(self) -> str:
        """The command that repeats the selected or last result.

        Raises
        ------
        InputError
            If there is none.
        """
        layer = self._repeatable()
        command = layer.metadata.get(PROVENANCE, {}).get("command")
        if not command:
            mend = "select a layer that a run of this panel made"
            raise InputError("labels", f"{layer.name}, which has no provenance", mend)
        return str(command)

    def _emitters(self) -> tuple[Any, ...]:
        layers = self._viewer.layers
        return layers.events.inserted, layers.events.removed, layers.selection.events.active

    def refresh(self, event: object = None) -> None:
        """Offer what can be done with what is there."""
        offer(self.measure, HELP["measure"], _obstacle(self.labels_layer), not self._measuring)
        offer(self.command, HELP["command"], _obstacle(self.command_text))

    def _on_command(self) -> None:
        try:
            text = self.command_text()
        except InputError as error:
            self.failed.emit(error)
            return
        QApplication.clipboard().setText(text)
        self.told.emit(f"Copied: {text}{_missing_file(text)}")

    def _repeatable(self) -> napari.layers.Layer:
        layer = self._viewer.layers.selection.active
        if layer is not None and layer.metadata.get(PROVENANCE):
            return layer
        last = self._last_result()
        return self.labels_layer() if last is None else last

    def _last_result(self) -> napari.layers.Layer | None:
        return next((la for la in self._viewer.layers if la.unique_id == self._last), None)

    def _on_diagnostics(self) -> None:
        QApplication.clipboard().setText(self._engine().diagnostics())
        self.told.emit("Diagnostics copied: paste them into your report.")

    def _on_measure(self) -> None:
        try:
            layer = self.labels_layer()
        except InputError as error:
            self.failed.emit(error)
            return
        plan = self._plans.get(layer.unique_id)
        image = self._image_of(layer) if plan is None else None
        if plan is not None:
            labels = np.array(plan.take_back(layer.data))
            worker = beside(_measure, labels, plan.image, plan.region, plan.planes)
        else:
            worker = beside(_measure, np.array(layer.data), image)
        start = _start_of(layer, plan, image)
        self._measuring = True
        self.refresh()
        used = image if plan is None else plan.image
        worker.returned.connect(lambda columns: self._on_measured(layer, start, columns, used))
        worker.errored.connect(lambda error: self._on_measured(layer, start, error))
        worker.start()

    def _on_measured(
        self,
        layer: napari.layers.Labels,
        start: dict[str, int],
        found: Columns | Exception,
        image: ImageBlock | None = None,
    ) -> None:
        self._measuring = False
        try:
            self.refresh()
        except RuntimeError:
            return  # the panel was closed meanwhile
        if isinstance(found, Exception):
            self.failed.emit(found)
        else:
            self.told.emit(_measured(layer, len(found["label"]), image))
            self._show(found, layer, start)

    def _image_of(self, layer: napari.layers.Labels) -> ImageBlock | None:
        """The chosen image, if the layer has its stack and plane; for units and brightness."""
        try:
            image = self._image()
        except PapernetsError:
            return None
        return image if layer.data.shape == (*image.stack_shape, *image.plane_shape) else None

    def _show(self, columns: Columns, layer: napari.layers.Labels, start: dict[str, int]) -> None:
        window = TableWindow(columns, f"Objects of {layer.name}", f"{layer.name} objects", self)
        window.saved.connect(lambda path: self.told.emit(f"Saved {path}"))
        window.problem.connect(self.failed)
        TableLink(window, columns, self._viewer, layer, start)
        window.finished.connect(lambda: self._forget(window))
        self.windows.append(window)
        window.show()

    def _forget(self, window: TableWindow) -> None:
        self.windows = [w for w in self.windows if w is not window]

    def _button(self, text: str, tooltip: str, action: Any) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(f"<p>{tooltip}</p>")
        button.clicked.connect(lambda: action())
        return button


def _obstacle(attempt: Callable[[], object]) -> str:
    """Why it fails; empty where it does not."""
    try:
        attempt()
    except InputError as error:
        text = f"{error.received}: {error.mend}."
        return text[:1].upper() + text[1:]
    return ""


def _is_annotation(layer: napari.layers.Labels) -> bool:
    """Whether it is there to be painted on: ours, or the strokes of a sample."""
    return bool((annotated_id(layer) or classes_of(layer)) and not is_output(layer))


def _measured(layer: napari.layers.Labels, count: int, image: ImageBlock | None) -> str:
    """One line on what was measured, with which image."""
    what = f"Measured “{layer.name}”: {counted(count, 'object')}"
    if image is None:
        return f"{what}, without brightness: choose the image that has its shape, and measure again."
    return f"{what}, on “{image.name}”."


def _missing_file(command: str) -> str:
    """What to do first where the image of a command has not been saved to a file yet."""
    path = shlex.split(command)[2]
    if Path(path).exists():
        return ""
    return f"\nThe image has not been saved to a file yet: save its layer as {path} first."


def _start_of(
    layer: napari.layers.Labels, plan: RunPlan | None, image: ImageBlock | None
) -> dict[str, int]:
    """By each axis of a layer, in their order, where it begins in its image."""
    if plan is not None:
        begins = dict(zip(plan.axes, plan.origin, strict=True))
        return {axis.lower(): begins.get(axis, 0) for axis in plan.like[-layer.ndim :]}
    axes = f"{image.stack_axes}YX" if image is not None else "TZYX"[-layer.ndim :]
    return dict.fromkeys(axes.lower(), 0)


def _measure(
    labels: NDArray[Any],
    image: ImageBlock | None,
    region: Region | None = None,
    planes: Sequence[tuple[int, ...]] | None = None,
) -> Columns:
    from ..measure import measure

    if image is not None:
        labels = labels.reshape(Part(image, region, planes).shape)  # as there, but for axes of one plane
    return measure(labels, image, region=region, planes=planes)
