"""Tune on my annotations: the search for the CRF's parameters, from the press to the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QVBoxLayout, QWidget

from ..core.errors import InputError, PapernetsError
from ..core.events import CRFTrial, Event
from ..core.results import TunedCRF
from .belief_sources import BeliefSource
from .crf_plan import CRFPlan
from .job_adapter import Engine, JobAdapter
from .label_numbers import OBJECTS, LabelNumbers, Numbers
from .layer_combo import LayerCombo
from .layer_parts import Index, LaterArray, Target, fit_layer, part_of
from .outputs import OUTPUT, is_output
from .progress_row import ProgressRow
from .settings_form import add_row, aligned_rows

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer

HELP = {
    "annotation": "A Labels layer with 0 where nothing is known and the numbers of the classes "
    "elsewhere: strokes, or the whole truth. Layers with other numbers are not offered. Only the plane "
    "in view is used.",
    "tune": "Search w₁, σ_α and σ_β as the paper does, and Denoise, on half of the annotation near "
    "boundaries; the other half tells whether the CRF helps. If it does not, it is left off.",
    "cancel": "Stop the search; the parameters stay as they are.",
}

POOR = 0.3  # mean IoU below which both hardly speak of the same classes
MISMATCH = (
    ". The annotation and the probabilities seem not to match: see whether their classes have the same "
    "numbers"
)


class CRFTuning(QWidget):
    """Asks for the search and tells what came of it; a search ends when its image or its annotation is
    removed from the viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose labels layers are offered.
    source : callable
        What is refined; raises InputError where there is nothing.
    numbers : LabelNumbers
        Tells which classes a labels layer has.
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
    ended : Signal()
        Nothing is searched any more.
    """

    tuned = Signal(object)
    failed = Signal(object)
    told = Signal(str)
    ended = Signal()

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        source: Callable[[], BeliefSource],
        numbers: LabelNumbers,
        plan: Callable[[], CRFPlan],
        engine: Callable[[], Engine],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._plan, self._engine = viewer, plan, engine
        self._searched: tuple[Any, ...] = ()  # the layers that a search is about
        self._job: JobAdapter | None = None
        self.annotation = LayerCombo(
            viewer, lambda: find_annotations(viewer, source(), numbers), best_first=True
        )
        self.annotation.setPlaceholderText("no labels that fit")
        numbers.counted.connect(self.annotation.refresh)
        self.button = QPushButton("Tune on my annotations")
        self.progress = ProgressRow(HELP["cancel"], "Trials")
        self.button.clicked.connect(lambda: self.start())
        self.progress.cancel.clicked.connect(lambda: self._on_cancel())
        self._lay_out()
        self._switch(False)

    @property
    def is_running(self) -> bool:
        return self._job is not None

    def start(self) -> None:
        """Search on the chosen annotation, where no search is on its way."""
        if self.is_running:
            return
        try:
            plan = self._plan()
            offer = self._offer()
            annotation = self._read(offer, plan)
            job = self._job = JobAdapter(self)
            job.happened.connect(self._on_event)
            job.returned.connect(self._on_returned)
            job.failed.connect(self._on_failed)
            job.cancelled.connect(self._on_cancel)
            self._searched = plan.identity, offer.layer
            self._viewer.layers.events.removed.connect(self._on_removed)
            self._switch(True)
            job.start(
                self._engine(), "tune_crf", probabilities=plan.beliefs.probabilities,
                image=plan.image, annotation=annotation, settings=plan.settings, device=plan.device,
                region=plan.region,
            )  # fmt: skip
        except PapernetsError as error:
            self._on_failed(error)

    def leave(self) -> None:
        """Drop the search."""
        if self._job is not None:
            self._job.forget()
            self._job.deleteLater()
            self._job = None
            self._viewer.layers.events.removed.disconnect(self._on_removed)
        self._searched = ()
        self._switch(False)

    def close_events(self) -> None:
        """Let go of the viewer."""
        self.annotation.close_events()

    def _offer(self) -> Annotation:
        """The annotation that is chosen."""
        offer = self.annotation.current()
        if offer is None:
            mend = "add a Labels layer over the image and paint strokes of at least two classes"
            raise InputError("annotation", "no labels layer that fits image and classes", mend)
        assert isinstance(offer, Annotation)
        return offer

    def _read(self, offer: Annotation, plan: CRFPlan) -> Any:
        """The annotation of the plane as classes 1…K of the probabilities, 0 where there is none."""
        part = part_of(offer.layer, offer.target, plan.plane or (), plan.region)
        values = paintable(plan.beliefs.values)

        def read(index: Index) -> NDArray[Any]:
            painted = part.read(index)
            classes = np.zeros(painted.shape, np.uint8)
            for number, value in enumerate(values, start=1):
                classes[painted == value] = number
            return classes

        return LaterArray(part.shape, np.uint8, read)

    def _on_event(self, event: Event) -> None:
        self.progress.show_event(event)
        if isinstance(event, CRFTrial):
            self.told.emit(
                f"trial {event.done} of {event.total}: IoU near boundaries {event.score:.3f}, "
                f"best {event.best:.3f}"
            )

    def _on_returned(self, result: TunedCRF) -> None:
        self._end()
        text = result.message[:1].upper() + result.message[1:]
        self.told.emit(text + (MISMATCH if max(result.before, result.after) < POOR else ""))
        self.tuned.emit(result)

    def _on_failed(self, error: BaseException) -> None:
        self._end()
        self.failed.emit(error)

    def _on_cancel(self, reason: str = "Cancelled") -> None:
        self._end()
        self.told.emit(f"{reason}.")

    def _on_removed(self, event: Any) -> None:
        if any(event.value == layer for layer in self._searched):
            self._on_cancel(f"Cancelled, since {event.value.name} was removed: the parameters stay")

    def _end(self) -> None:
        self.leave()
        self.ended.emit()

    def _switch(self, running: bool) -> None:
        self.button.setEnabled(not running)
        self.progress.set_busy(running)

    def _lay_out(self) -> None:
        rows = aligned_rows()
        add_row(rows, "Annotation", self.annotation, HELP["annotation"])
        self.button.setToolTip(f"<p>{HELP['tune']}</p>")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(rows)
        layout.addWidget(self.button)
        layout.addWidget(self.progress)


class Annotation:
    """A labels layer to choose."""

    def __init__(self, layer: napari.layers.Labels, target: Target) -> None:
        self.name, self.key = str(layer.name), layer.unique_id
        self.layer, self.target = layer, target


def find_annotations(
    viewer: napari.viewer.Viewer, source: BeliefSource, numbers: LabelNumbers
) -> list[Annotation]:
    """Labels layers whose numbers are classes of the source, those that hold two of them first, then the
    user's own, then the newer ones. Neither the source itself nor a result of this panel is one.
    """
    from napari.layers import Labels

    found = []
    for layer in reversed(viewer.layers):
        ours = str(layer.metadata.get(OUTPUT, {}).get("key", "")).startswith("refined ")
        if not isinstance(layer, Labels) or ours or any(layer == other for other in source.layers):
            continue
        present = numbers.of(layer) if fit_layer(layer, source.target) is not None else None
        if present is not None and fits_classes(present, source.values):
            few = len(set(present) - {0}) < 2
            found.append((few, is_output(layer), Annotation(layer, source.target)))
    return [annotation for *_, annotation in sorted(found, key=lambda one: one[:2])]


def fits_classes(present: Numbers, values: Numbers) -> bool:
    """Whether labels of these numbers can be annotation of classes with those values."""
    return present != OBJECTS and bool(values) and set(present) - {0} <= set(paintable(values))


def paintable(values: Numbers) -> Numbers:
    """The number of each class in annotation: counted from 1 where one is 0, which cannot be painted."""
    return tuple(range(1, len(values) + 1)) if 0 in values else values
