"""Starts and ends runs for a panel: the run bar asks, the message line answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Signal

from ..core.errors import PapernetsError
from ..core.events import Event, Notice
from ..core.results import Prediction
from .job_adapter import Engine
from .message_line import MessageLine
from .result_actions import ResultActions
from .run import Run
from .run_bar import RunBar, counted, duration
from .run_plan import Kind, RunPlan

if TYPE_CHECKING:
    import napari.layers
    import napari.viewer


class RunControl(QObject):
    """At most one run at a time of one panel.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Where the layers are.
    plan : callable
        Works out a run of the given kind; raises PapernetsError.
    engine : callable
        The engine.
    bar, message, results
        The parts of the panel that ask for runs, and that tell of them.

    Attributes
    ----------
    started : Signal()
        A run was submitted.
    finished : Signal(object, object)
        The labels layer and the Prediction of a run.
    failed : Signal(object)
        The error of a run, or why none was started.
    """

    started = Signal()
    finished = Signal(object, object)
    failed = Signal(object)

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        plan: Callable[[Kind], RunPlan],
        engine: Callable[[], Engine],
        bar: RunBar,
        message: MessageLine,
        results: ResultActions,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer, self._plan, self._engine = viewer, plan, engine
        self._bar, self._message, self._results = bar, message, results
        self._run: Run | None = None  # that goes on
        bar.runRequested.connect(self.start)
        bar.cancelRequested.connect(self.cancel)

    @property
    def is_running(self) -> bool:
        return self._run is not None

    def start(self, kind: Kind) -> None:
        """Run on what is in view ("view"), on its whole plane ("plane") or on everything ("stack"),
        where nothing else of the panel goes on."""
        if self._bar.is_running:
            return
        self._message.tell("")
        try:
            plan = self._plan(kind)
            run = self._run = self._make(plan)
            self._bar.set_waiting()
            run.start()
        except PapernetsError as error:
            self._on_failed(error)
        else:
            self._message.tell(plan.note)
            self.started.emit()

    def cancel(self) -> None:
        """End the run, if there is one, within a second."""
        if self._run is not None:
            self._run.cancel()

    def leave(self) -> None:
        """The panel goes away: drop the run and put its layers back."""
        if self._run is not None:
            self._run.leave()
        self._end()

    def drop(self) -> None:
        """The window is gone: drop the run. Touches nothing of Qt or napari."""
        if self._run is not None:
            self._run.drop()

    def _make(self, plan: RunPlan) -> Run:
        run = Run(self._viewer, self._engine(), plan, self)
        run.progressed.connect(self._on_event)
        run.finished.connect(self._on_finished)
        run.failed.connect(self._on_failed)
        run.cancelled.connect(self._on_cancelled)
        return run

    def _on_event(self, event: Event) -> None:
        self._bar.show_event(event)
        if isinstance(event, Notice):
            self._message.tell(event.message)

    def _on_finished(self, layer: napari.layers.Labels, result: Prediction) -> None:
        assert self._run is not None
        plan = self._run.plan
        self._end()
        self._results.add_result(layer, plan)
        self._message.tell(outcome(plan, result))
        self.finished.emit(layer, result)

    def _on_failed(self, error: BaseException) -> None:
        self._end()
        self._message.complain(error)
        self.failed.emit(error)

    def _on_cancelled(self, reason: str) -> None:
        self._end()
        self._message.tell(f"{reason}; the layers are as they were.")

    def _end(self) -> None:
        self._run = None
        self._bar.set_idle()
        self._results.refresh()


def outcome(plan: RunPlan, result: Prediction) -> str:
    """One line on what came out."""
    account = result.provenance
    facts = [counted(int(result.labels.max(initial=0)), "object")] if plan.instances else ["Done"]
    facts.append(duration(account["seconds"]) if "seconds" in account else "")
    facts += [str(account.get("device", "")), str(account.get("precision", ""))]
    zoom = account.get("zoom", 1.0)
    chosen = plan.settings.zoom is None  # of which a notice tells
    facts.append(f"zoom {zoom:g}" if zoom != 1.0 and not chosen else "")
    threshold = account.get("threshold") or 0.5
    facts.append(f"threshold {threshold:g}" if threshold != 0.5 else "")
    notes = [*account.get("notices", []), *([plan.note] if plan.note else [])]
    return " · ".join([fact for fact in facts if fact] + notes)
