"""A whole plane or stack through the CRF: from the press of a button to its layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from ..core.errors import PapernetsError
from ..core.events import Event, Notice
from ..core.results import Refinement
from .crf_plan import CRFPlan
from .job_adapter import Engine, JobAdapter
from .label_sink import class_colours
from .outputs import PROVENANCE, put_output
from .run_bar import RunBar, duration
from .run_plan import Kind

if TYPE_CHECKING:
    import napari.viewer


@dataclass(frozen=True, eq=False)
class Refined:
    """A Refinement and what of it needs a look at all pixels.

    Attributes
    ----------
    result : Refinement
        The answer.
    labels : ndarray of uint8
        As their layer takes them, before they are placed.
    changed : float
        Share of the pixels that changed class.
    """

    result: Refinement
    labels: NDArray[np.uint8]
    changed: float


class RefineRun(QObject):
    """Runs the verb ``refine``, one at a time; a run ends when its image is removed from the viewer.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where results go.
    plan : callable
        What a run of a kind would do; raises PapernetsError.
    engine : callable
        The engine.
    bar : RunBar
        Shows how it goes.

    Attributes
    ----------
    finished : Signal(object, object)
        The labels layer and the Refinement.
    failed : Signal(object)
        The error.
    told : Signal(str)
        A sentence for the person.
    """

    finished = Signal(object, object)
    failed = Signal(object)
    told = Signal(str)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        plan: Callable[[Kind], CRFPlan],
        engine: Callable[[], Engine],
        bar: RunBar,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._plan_of, self._engine, self._bar = viewer, plan, engine, bar
        self._job: JobAdapter | None = None
        self._plan: CRFPlan | None = None
        bar.cancelRequested.connect(lambda: self.cancel())

    @property
    def is_running(self) -> bool:
        return self._job is not None

    def start(self, kind: Kind) -> None:
        """Start a run of a kind, where none is on its way."""
        if self.is_running:
            return
        self.told.emit("")
        try:
            plan = self._plan_of(kind)
            job = JobAdapter(self)
            job.happened.connect(self._on_event)
            job.returned.connect(self._on_returned)
            job.failed.connect(self._on_failed)
            job.cancelled.connect(self.cancel)
            self._job, self._plan = job, plan
            self._viewer.layers.events.removed.connect(self._on_removed)
            self._bar.set_waiting()
            job.start(
                self._engine(), "refine",
                prepare=partial(look_through, plan), **plan.arguments(show="nothing"),
            )  # fmt: skip
        except PapernetsError as error:
            self._on_failed(error)

    def cancel(self, reason: str = "Cancelled") -> None:
        """Drop the run; no layer is touched."""
        if self._job is not None:
            self._end()
            self.told.emit(f"{reason}: nothing was changed.")

    def leave(self) -> None:
        """Drop the run without a word."""
        if self._job is not None:
            self._viewer.layers.events.removed.disconnect(self._on_removed)
            self._job.forget()
            self._job = None

    def _on_removed(self, event: Any) -> None:
        if self._plan is not None and event.value == self._plan.identity:
            self.cancel(f"Cancelled, since the image {event.value.name} was removed")

    def _on_event(self, event: Event) -> None:
        self._bar.show_event(event)
        if isinstance(event, Notice):
            self.told.emit(event.message)

    def _on_returned(self, found: Refined) -> None:
        plan, result = self._plan, found.result
        self._end()
        assert plan is not None
        data, placement = plan.place(found.labels)
        account: dict[str, Any] = {PROVENANCE: dict(result.provenance)}
        layer = put_output(
            self._viewer, "labels", plan.key("labels"), plan.name, data, placement, metadata=account,
            visible=True,  # a preview may have taken its place
            **class_colours(plan.beliefs.classes, plan.beliefs.values),
        )  # fmt: skip
        self.told.emit(outcome(found))
        self.finished.emit(layer, result)

    def _on_failed(self, error: BaseException) -> None:
        self._end()
        self.failed.emit(error)

    def _end(self) -> None:
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        if self._job is not None:
            self._job.forget()
            self._job.deleteLater()
        self._job = self._plan = None
        self._bar.set_idle()


def look_through(plan: CRFPlan, result: Refinement) -> Refined:
    """What of a refinement is told and shown; for a large one too slow for the window's thread."""
    return Refined(result, plan.beliefs.labels(result.labels), plan.beliefs.changed_share(result.labels))


def outcome(found: Refined) -> str:
    """One line on a run: how many pixels changed their class, and what to know."""
    facts = found.result.provenance
    text = f"{100 * found.changed:.1f} % of the pixels changed class"
    seconds = duration(float(facts.get("seconds", 0)))
    return " · ".join([text, seconds, *(facts.get("notices") or [])])
