"""A whole plane or stack through the CRF: from the press of a button to its layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Signal

from ..core.errors import PapernetsError
from ..core.events import Event, Notice
from ..core.results import Refinement
from .crf_plan import CRFPlan
from .job_adapter import Engine, JobAdapter
from .outputs import PROVENANCE, put_output
from .run_bar import RunBar, duration
from .run_plan import Kind

if TYPE_CHECKING:
    import napari.viewer


class RefineRun(QObject):
    """Runs the verb ``refine``, one at a time.

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
        bar.cancelRequested.connect(self.cancel)

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
            self._job, self._plan = job, plan
            self._bar.set_waiting()
            job.start(self._engine(), "refine", **plan.arguments(show="nothing"))
        except PapernetsError as error:
            self._on_failed(error)

    def cancel(self) -> None:
        """Drop the run; no layer is touched."""
        if self._job is not None:
            self._end()
            self.told.emit("Cancelled: nothing was changed.")

    def leave(self) -> None:
        """Drop the run without a word."""
        if self._job is not None:
            self._job.forget()
            self._job = None

    def _on_event(self, event: Event) -> None:
        self._bar.show_event(event)
        if isinstance(event, Notice):
            self.told.emit(event.message)

    def _on_returned(self, result: Refinement) -> None:
        plan = self._plan
        self._end()
        assert plan is not None
        data, placement = plan.place(plan.beliefs.labels(result.labels))
        account: dict[str, Any] = {PROVENANCE: dict(result.provenance)}
        layer = put_output(
            self._viewer, "labels", plan.key("labels"), plan.name, data, placement, metadata=account
        )
        facts = result.provenance
        self.told.emit(outcome(plan, result, float(facts.get("seconds", 0))))
        self.finished.emit(layer, result)

    def _on_failed(self, error: BaseException) -> None:
        self._end()
        self.failed.emit(error)

    def _end(self) -> None:
        if self._job is not None:
            self._job.forget()
            self._job.deleteLater()
        self._job = None
        self._bar.set_idle()


def outcome(plan: CRFPlan, result: Refinement, seconds: float) -> str:
    """One line on a run: how many pixels changed their class, and what to know."""
    before = plan.beliefs.probabilities.argmax(0).reshape(result.labels.shape) + 1
    changed = float((before != result.labels).mean())
    text = f"{100 * changed:.1f} % of the pixels changed class · {duration(seconds)}"
    notices = result.provenance.get("notices") or []
    return " · ".join([text, *notices])
