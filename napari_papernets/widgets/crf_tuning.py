"""Tune on my annotations: the search for the CRF's parameters, from the press to the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QVBoxLayout, QWidget

from ..core.errors import InputError, PapernetsError
from ..core.events import CRFTrial, Event, Started
from ..core.image import ImageBlock
from ..core.results import TunedCRF
from .crf_plan import CRFPlan
from .image_layers import full_data
from .job_adapter import Engine, JobAdapter
from .layer_combo import LayerCombo
from .outputs import OUTPUT
from .settings_form import add_row, aligned_rows

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

HELP = {
    "annotation": "A Labels layer with 0 where nothing is known and the numbers of the classes "
    "elsewhere: strokes, or the whole truth. Only the plane in view is used.",
    "tune": "Search w₁, σ_α and σ_β as the paper does, on half of the annotation near boundaries; the "
    "other half tells whether the CRF helps. If it does not, it is left off.",
}


class CRFTuning(QWidget):
    """Asks for the search and tells what came of it.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose labels layers are offered.
    block : callable
        The image; raises InputError where there is none.
    plan : callable
        The refinement of the plane in view; raises PapernetsError.
    engine : callable
        The engine.

    Attributes
    ----------
    tuned : Signal(object)
        The TunedCRF.
    failed : Signal(object)
        The error.
    told : Signal(str)
        A sentence for the person.
    """

    tuned = Signal(object)
    failed = Signal(object)
    told = Signal(str)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        block: Callable[[], ImageBlock],
        plan: Callable[[], CRFPlan],
        engine: Callable[[], Engine],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._block, self._plan, self._engine = block, plan, engine
        self._job: JobAdapter | None = None
        self.annotation = LayerCombo(viewer, lambda: _annotations(viewer, block()))
        self.button, self.bar = QPushButton("Tune on my annotations"), QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName("Trials")
        self.cancel = QPushButton("Cancel")
        self.button.clicked.connect(lambda: self.start())
        self.cancel.clicked.connect(lambda: self._on_cancel())
        self._lay_out()
        self._switch(False)

    def start(self) -> None:
        """Search on the chosen annotation, where no search is on its way."""
        if self._job is not None:
            return
        try:
            plan = self._plan()
            annotation = self._read(plan)
            job = self._job = JobAdapter(self)
            job.happened.connect(self._on_event)
            job.returned.connect(self._on_returned)
            job.failed.connect(self._on_failed)
            self._switch(True)
            job.start(
                self._engine(), "tune_crf", probabilities=plan.beliefs.probabilities,
                image=plan.image, annotation=annotation, settings=plan.settings, device=plan.device,
            )  # fmt: skip
        except PapernetsError as error:
            self._on_failed(error)

    def leave(self) -> None:
        """Drop the search."""
        if self._job is not None:
            self._job.forget()
            self._job = None
        self._switch(False)

    def close_events(self) -> None:
        """Let go of the viewer."""
        self.annotation.close_events()

    def _read(self, plan: CRFPlan) -> Any:
        """The annotation of the plane as classes 1…K of the probabilities, 0 where there is none."""
        offer = self.annotation.current()
        if offer is None:
            mend = "add a Labels layer over the image and paint strokes of at least two classes"
            raise InputError("annotation", "no labels layer that fits the image", mend)
        painted = np.asarray(offer.data[plan.plane or ()])
        values = plan.beliefs.values
        if values and values[0] == 0:  # 0 cannot be painted: classes are numbered from 1
            return painted.astype(np.int64)
        classes = np.zeros(painted.shape, np.int64)
        for number, value in enumerate(values, start=1):
            classes[painted == value] = number
        return classes

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Started):
            self.bar.setRange(0, event.total)
        elif isinstance(event, CRFTrial):
            self.bar.setRange(0, event.total)
            self.bar.setValue(event.done)
            self.told.emit(
                f"trial {event.done} of {event.total}: IoU near boundaries {event.score:.3f}, "
                f"best {event.best:.3f}"
            )

    def _on_returned(self, result: TunedCRF) -> None:
        self.leave()
        text = result.message
        self.told.emit(text[:1].upper() + text[1:])
        self.tuned.emit(result)

    def _on_failed(self, error: BaseException) -> None:
        self.leave()
        self.failed.emit(error)

    def _on_cancel(self) -> None:
        self.leave()
        self.told.emit("Cancelled.")

    def _switch(self, running: bool) -> None:
        self.button.setEnabled(not running)
        self._progress.setVisible(running)
        if running:
            self.bar.setRange(0, 0)

    def _lay_out(self) -> None:
        rows = aligned_rows()
        add_row(rows, "Annotation", self.annotation, HELP["annotation"])
        self.button.setToolTip(f"<p>{HELP['tune']}</p>")
        self._progress = QWidget()
        line = QHBoxLayout(self._progress)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.bar, 1)
        line.addWidget(self.cancel)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        layout.addWidget(self.button)
        layout.addWidget(self._progress)


class _Annotation:
    """A labels layer to choose."""

    def __init__(self, layer: napari.layers.Labels) -> None:
        self.name, self.key, self.data = str(layer.name), layer.unique_id, full_data(layer)


def _annotations(viewer: napari.viewer.Viewer, block: ImageBlock) -> list[_Annotation]:
    """Labels layers of the shape of the image, results of this panel left out."""
    from napari.layers import Labels

    shape = (*block.stack_shape, *block.plane_shape)
    return [
        _Annotation(layer)
        for layer in viewer.layers
        if isinstance(layer, Labels)
        and tuple(full_data(layer).shape) == shape
        and not str(layer.metadata.get(OUTPUT, {}).get("key", "")).startswith("refined ")
    ]
